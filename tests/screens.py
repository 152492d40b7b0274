"""Pictures of the page for docs/: the real app in Chromium, in the light, in the dark and on a phone.

    python -m tests.screens [--out docs] [--model toybox-sprint]

Uses a studio of its own, in which the gallery is filled first, so that the pictures show what a user sees.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from benchmarks.keystroke import CHROMIUM, FLAGS, WHOLE, app
from core.paths import ROOT
from models.request import DEFAULT_MODEL

PROMPT = "a parrot"
GALLERY = ("a fox", "two blue cubes", "a teal robot", "an owl", "a pink house from above", "a yellow teapot")
SHOTS = {
    "create-light": ("light", {"width": 1400, "height": 1100}),
    "create-dark": ("dark", {"width": 1400, "height": 1100}),
    "create-phone": ("light", {"width": 390, "height": 844}),
}
COMPARED = "[...document.querySelectorAll('.sl-column')]"  # all of them painted and timed
COMPARED += ".every((c, _, all) => all.length > 1 && c.querySelector('img')?.naturalWidth && / ms/.test(c.innerText))"


def open_page(browser, address: str, theme: str, size: dict, **request) -> Page:
    page = browser.new_page(viewport=size, color_scheme=theme)
    page.set_default_timeout(300_000)
    page.goto(f"{address}?{urlencode(request)}")
    page.wait_for_function(f"window.still?.arrived && {WHOLE}")
    return page


def fill(page: Page) -> None:
    """Two kept pictures of each prompt, as somebody would paint them."""
    for prompt in GALLERY:
        page.locator("#prompt").fill(prompt)
        page.wait_for_function(WHOLE)
        page.keyboard.press("Control+Enter")
        page.wait_for_function(f"{WHOLE} && still.painter.wall.kept")


def compare(browser, address: str, out: Path) -> None:
    """The first models of the menu that can paint here, side by side."""
    theme, size = SHOTS["create-light"]
    page = browser.new_page(viewport=size, color_scheme=theme)
    page.set_default_timeout(300_000)
    page.goto(f"{address}compare?{urlencode({'prompt': PROMPT, 'seed': 7})}")
    page.locator(".sl-column").first.wait_for()
    page.wait_for_function(COMPARED)
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=out / "compare-light.png")
    print(out / "compare-light.png")
    page.close()


def inspect(browser, address: str, out: Path) -> None:
    """Steps of a base and two students at equal noise, with a branch and the close-up."""
    theme, size = SHOTS["create-light"]
    page = browser.new_page(viewport=size, color_scheme=theme)
    page.set_default_timeout(300_000)
    asked = {"prompt": "a red mushroom", "seed": 1, "seeds": 2, "models": "toybox-sd:10,toybox-hyper:4,toybox-dmd2:4"}
    page.goto(f"{address}inspect?{urlencode(asked)}")
    page.wait_for_function("document.querySelectorAll('.sl-look-cell').length === 2 * (10 + 4 + 4)")
    page.get_by_label("toybox-dmd2, seed 1, step 2", exact=True).click()
    page.get_by_text("Go on from this step").click()
    page.get_by_label("Prompt from here on").fill("a yellow mushroom")
    page.get_by_role("button", name="Branch from here").click()
    page.wait_for_function("document.querySelectorAll('.sl-look-cell').length === 2 * (10 + 4 + 4) + 3")
    page.locator(".sl-look-plot").nth(1).wait_for()
    page.screenshot(path=out / "inspect-light.png")
    print(out / "inspect-light.png")
    page.close()


def variety(browser, address: str, out: Path) -> None:
    """A wall with and without what the knob does at its second stop, side by side."""
    theme, _ = SHOTS["create-light"]
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme=theme)
    page.set_default_timeout(300_000)
    page.goto(f"{address}?{urlencode({'prompt': 'a mug', 'model': 'toybox-dmd2', 'seed': 7, 'num_images': 9})}")
    page.wait_for_function(f"window.still?.arrived && {WHOLE}")
    page.locator("#variety").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"still.request.base_steps === 1 && {WHOLE}")
    page.get_by_role("button", name="With and without").click()
    page.wait_for_function("document.querySelectorAll('.sl-beside img').length === 18")
    page.screenshot(path=out / "variety-light.png")
    print(out / "variety-light.png")
    page.close()


def main() -> int:
    p = argparse.ArgumentParser("tests.screens", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--out", type=Path, default=ROOT / "docs")
    p.add_argument("--model", default=DEFAULT_MODEL)
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as studio, app(Path(studio)) as (address, *_), sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        fill(
            open_page(
                browser, address, "light", SHOTS["create-light"][1], prompt="a fox", model=args.model, num_images=4
            )
        )
        for name, (theme, size) in SHOTS.items():
            page = open_page(browser, address, theme, size, prompt=PROMPT, model=args.model, seed=7, num_images=9)
            page.locator(".sl-odd, .sl-tries .sl-chip").first.wait_for()
            page.locator("#gallery figure").first.wait_for()
            page.evaluate("document.activeElement.blur()")
            page.screenshot(path=args.out / f"{name}.png")
            print(args.out / f"{name}.png")
            page.close()
        for shot in (compare, inspect, variety):
            shot(browser, address, args.out)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

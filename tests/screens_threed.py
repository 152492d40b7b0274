"""Pictures of things in 3D for docs/: six turntables as one animation, and the page in the light and in the dark.

    python -m tests.screens_threed [--out docs] [--studio DIR]

The things are made where they are not there yet, which takes minutes each; a studio that has them is quick.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.keystroke import CHROMIUM, FLAGS, app
from core.paths import run_dir, use_studio
from jobs.store import Store
from tests import things
from threed import run
from threed.export import FRAMES, SECONDS, SIDE
from threed.request import ThreeDRequest

PROMPTS = ("a blue mug", "a brown teapot", "a yellow car", "a purple snowman", "a fox", "a pizza")
FIELDS = {"preset": "standard", "texture": 512, "faces": 5000}
COLUMNS = 3
WINDOW = {"width": 1400, "height": 1180}


def made(prompt: str) -> Path:
    """The folder of a finished thing."""
    flags = [part for k, v in FIELDS.items() for part in (f"--{k}", str(v))]
    assert run.main([prompt, *flags]) == 0
    return run_dir(run.name_of(ThreeDRequest(prompt=prompt, **FIELDS))) / "object"


def together(turntables: list[Path], target: Path) -> None:
    """One animation of all."""
    rows = -(-len(turntables) // COLUMNS)
    frames = [Image.new("RGB", (COLUMNS * SIDE, rows * SIDE)) for _ in range(FRAMES)]
    for n, path in enumerate(turntables):
        with Image.open(path) as turning:
            for k, frame in enumerate(frames):
                turning.seek(k)
                frame.paste(turning.convert("RGB"), (n % COLUMNS * SIDE, n // COLUMNS * SIDE))
    pace = int(1000 * SECONDS / FRAMES)
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=pace, loop=0, quality=70, method=6)


def page(out: Path, files: Path) -> None:
    """The first visit, and a thing of one's own with its seeds, in a studio of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STILL_LIFE_STUDIO"] = folder
        with app(Path(folder)) as (address, *_), sync_playwright() as p:
            browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for name, theme in (("threed-first", "light"), ("threed-dark", "dark")):
                tab = browser.new_page(viewport=WINDOW, color_scheme=theme)
                tab.set_default_timeout(300_000)
                tab.goto(f"{address}threed")
                tab.wait_for_selector("canvas[data-faces]:visible")
                tab.wait_for_selector(".sl-thing img")
                if theme == "dark":
                    store = Store(Path(folder))
                    id = things.done(store, PROMPTS[0], files=files, seeds=3).id
                    store.close()
                    tab.goto(f"{address}threed?id={id}")
                    tab.wait_for_selector("canvas[data-faces]:visible")
                    tab.get_by_role("button", name="Edges").click()
                tab.wait_for_timeout(1000)
                tab.screenshot(path=out / f"{name}.png")
            browser.close()


def main(argv: list[str] | None = None) -> None:
    p = argparse.ArgumentParser("tests.screens_threed", description=__doc__)
    p.add_argument("--out", type=Path, default=Path("docs"))
    p.add_argument("--studio", help="where the things are, or go")
    args = p.parse_args(argv)
    use_studio(args.studio)
    folders = [made(prompt) for prompt in PROMPTS]
    together([folder / "turntable.webp" for folder in folders], args.out / "threed-turntables.webp")
    page(args.out, folders[0])


if __name__ == "__main__":
    sys.exit(main())

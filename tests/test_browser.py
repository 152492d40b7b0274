"""The page in a real browser, with the network cut: Debian's Chromium on app.py as people start it.

`pytest -m browser` runs these alone. Each waits for what a person would see, never for a time.
"""

import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from models import picture
from models.paths import ROOT
from models.request import ImageRequest
from tests import tiny

pytestmark = pytest.mark.browser
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
DESK, PHONE = {"width": 1400, "height": 1100}, {"width": 390, "height": 844}
TINY = "?prompt=a+red+ball&model=tiny-sprint&seed=7&num_images=4"
PATIENCE = 60_000  # ms; a loaded machine is slow, a broken page would wait for ever
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    studio = tiny.build(tmp_path_factory.mktemp("studio"))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    address, command = f"http://127.0.0.1:{port}/", [sys.executable, "app.py", "--port", str(port)]
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, "STILL_LIFE_STUDIO": str(studio)}) as app,
    ):
        patch.setenv("STILL_LIFE_STUDIO", str(studio))
        try:
            _wait_for(address, app)
            yield address
        finally:
            app.terminate()
            app.wait(30)


def _wait_for(address, app):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and app.poll() is None:
        try:
            return urllib.request.urlopen(address, timeout=10).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"no page at {address}, exit status {app.poll()}")


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """An open page; what it asked of the outside, and what went wrong in it."""

    def __init__(self, chromium, site, query="", viewport=None, **context):
        self.context = chromium.new_context(viewport=viewport or DESK, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.outside, self.wrong, self.site = [], [], site
        self.page.route(lambda url: not url.startswith((site, "data:", "blob:")), self._cut)
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("dialog", lambda d: (self.wrong.append(f"dialog {d.message}"), d.dismiss()))
        self.open(query)

    def _cut(self, route):
        self.outside.append(route.request.url)
        route.abort()

    def open(self, query=""):
        self.page.goto(self.site + query)
        self.painted()

    def painted(self, prompt=None):
        """Wait until the wall is whole, and for this prompt."""
        self.page.wait_for_function(
            "(prompt) => window.still?.painter.wall.complete && !still.painter.busy"
            " && (prompt === null || still.painter.wall.request.prompt === prompt)",
            arg=prompt,
        )

    def sources(self):
        return self.page.eval_on_selector_all("#wall img", "all => all.map(i => i.src)")

    def type(self, text, delay=0):
        self.page.locator("#prompt").press("End")
        self.page.keyboard.type(text, delay=delay)

    def request(self):
        return self.page.evaluate("still.request")

    def count(self):
        return self.page.locator("#count").inner_text()

    def away(self):
        """Take the focus off the prompt, as a click beside it does."""
        self.page.evaluate("document.activeElement.blur()")


@pytest.fixture
def visit(chromium, site):
    opened = []

    def go(query=TINY, **more):
        opened.append(Visit(chromium, site, query, **more))
        return opened[-1]

    yield go
    for one in opened:
        assert not one.outside and not one.wrong
        one.context.close()


def drop(page, name, data, kind="image/png"):
    """Drop a file on the middle of the page, as a person does."""
    transfer = page.evaluate_handle(
        """([name, kind, data]) => {
            const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: kind }));
            return transfer;
        }""",
        [name, kind, base64.b64encode(data).decode()],
    )
    page.dispatch_event("#wall", "drop", {"dataTransfer": transfer})


def test_a_first_visit_sees_a_finished_wall(visit):
    page = visit("").page
    tiles = page.locator("#wall figure img")
    expect(tiles).to_have_count(9)
    assert page.eval_on_selector_all("#wall img", "all => all.every(i => i.complete && i.naturalWidth >= 128)")
    assert page.locator("#prompt").input_value() == "a red mushroom"
    sizes = page.evaluate(
        "['#prompt', '#say', '.sl-chips', '#cost', 'h2', '#settings label'].map(s =>"
        " parseFloat(getComputedStyle(document.querySelector(s)).fontSize))"
    )
    assert sizes[0] > max(sizes[1:])
    told = page.eval_on_selector_all(
        "#wall img", "all => all.map(i => [getComputedStyle(i).objectFit, getComputedStyle(i).imageRendering])"
    )
    assert all(t == ["contain", "auto"] for t in told), "a picture is cropped, or blocky"


def test_pictures_change_as_one_types_and_no_keystroke_is_lost(visit):
    v = visit()
    before = v.sources()
    text = " on the blue cube beside a very small mushroom"
    v.type(text, delay=25)
    assert v.page.locator("#prompt").input_value() == "a red ball" + text
    v.painted("a red ball" + text)
    after = v.sources()
    assert len(after) == 4 and not set(before) & set(after)
    assert re.fullmatch(
        r"4 pictures in [\d.]+ s · text [\d.]+ ms · denoiser [\d.]+ ms · decode [\d.]+ ms each",
        v.page.locator("#cost").inner_text(),
    )
    assert re.fullmatch(r"\d+ ms a picture", v.page.locator("#each").inner_text())
    assert v.page.evaluate("performance.getEntriesByName('keystroke').length") >= 1


def test_the_newest_prompt_does_not_wait_for_the_rest_of_a_wall(visit):
    v = visit(TINY.replace("num_images=4", "num_images=16"))
    asked = []
    v.page.on("request", lambda r: asked.append(json.loads(r.post_data)) if "component_server" in r.url else None)
    v.type(" one")
    v.page.wait_for_function(
        "still.painter.wall.pictures.length > 0 && still.painter.wall.request.prompt.endsWith('one')"
    )
    v.type(" two")
    v.painted("a red ball one two")
    paints = [a["data"] for a in asked if a["fn_name"] == "paint"]
    wanted = [p for p in paints if p["request"]["prompt"] == "a red ball one"]
    assert sum(p["count"] for p in wanted) < 16, "the old wall was finished first"
    assert sum(p["count"] for p in paints if p["request"]["prompt"].endswith("two")) == 16


def test_what_is_painted_is_there_after_a_reload(visit):
    v = visit(TINY.replace("ball", "cube"))
    total = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#count")).not_to_have_text(total)
    kept = v.count()
    newest = v.page.locator("#gallery img").first.get_attribute("alt")
    v.open("")
    expect(v.page.locator("#count")).to_have_text(kept)
    assert v.page.locator("#gallery img").first.get_attribute("alt") == newest == "a red cube, seed 10"
    v.page.get_by_placeholder("Search prompts…").fill("red cube")
    expect(v.page.locator("#count")).to_have_text("4 pictures")
    v.page.get_by_placeholder("Search prompts…").fill("nothing like that")
    expect(v.page.locator("#count")).to_have_text("0 pictures")
    expect(v.page.get_by_text("No picture here matches.")).to_be_visible()


def test_painting_again_rolls_the_seed_unless_it_is_locked(visit):
    v = visit(TINY + "&style=night")
    count, before = v.page.locator("#count"), v.count()
    v.page.keyboard.press("Control+Enter")
    v.page.keyboard.press("Control+Enter")  # impatience changes nothing
    expect(count).not_to_have_text(before)
    assert v.request()["seed"] == 7, "what was seen is what is kept"
    once = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(count).not_to_have_text(once)
    seed, twice = v.request()["seed"], v.count()
    assert seed != 7
    expect(v.page.locator("#field-seed input")).to_have_value(str(seed))
    v.page.locator("#lock").click()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#say")).to_contain_text("Unlock the seed")
    assert v.request()["seed"] == seed and v.count() == twice


def test_the_whole_studio_by_keyboard(visit):
    v = visit()
    page = v.page
    v.away()
    on = page.locator("#wall .sl-on figcaption")
    expect(on).to_have_text("seed 7")
    page.keyboard.press("ArrowRight")
    expect(on).to_have_text("seed 8")
    page.keyboard.press("ArrowDown")
    expect(on).to_have_text("seed 10")
    page.keyboard.press("f")
    expect(page.locator("#wall .sl-loved figcaption")).to_have_text("seed 10")
    with page.expect_download() as got:
        page.keyboard.press("d")
    assert got.value.suggested_filename == "a-red-ball-seed-10.png"
    assert picture.read(got.value.path()).seed == 10
    page.keyboard.press("Enter")
    expect(page.locator(".sl-closeup")).to_contain_text(
        "tiny-sprint · 1 step · guidance 3.5 · seed 10 · 128 × 128 pixels"
    )
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".sl-closeup")).to_contain_text("seed 9")
    page.keyboard.press("Escape")
    expect(page.locator(".sl-closeup")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator(".sl-help")).to_contain_text("more like this")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#prompt")).to_be_focused()


def test_a_favourite_can_be_found_and_deleted(visit):
    v = visit(TINY.replace("ball", "mushroom"))
    page = v.page
    v.away()
    page.keyboard.press("f")
    expect(page.locator("#wall .sl-loved")).to_have_count(1)
    page.get_by_role("button", name="Favourites").click()
    mine = page.locator("#gallery img[alt='a red mushroom, seed 7']")
    expect(mine).to_have_count(1)
    mine.click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Really delete?").click()
    expect(mine).to_have_count(0)
    expect(page.locator("#wall .sl-loved")).to_have_count(0)


def test_a_dropped_picture_restores_everything(visit):
    v = visit()
    wanted = ImageRequest(
        "a blue mushroom", model="tiny-sana", seed=123, steps=8, guidance=2.5, negative="red", style="sky"
    )
    drop(v.page, "any name.png", picture.png_bytes(Image.new("RGB", (8, 8)), wanted))
    v.painted("a blue mushroom")
    assert v.request() == wanted.to_dict()
    page = v.page
    assert page.locator("#prompt").input_value() == "a blue mushroom"
    assert page.locator("#model").input_value() == "tiny-sana"
    assert page.locator("#field-seed input").input_value() == "123"
    assert page.locator("#field-negative textarea, #field-negative input").input_value() == "red"
    assert page.locator("#field-steps label.selected").inner_text() == "8"
    assert page.locator("#field-guidance input[type=number]").input_value() == "2.5"
    drop(page, "a.png", b"this is text")
    expect(page.locator("#say")).to_contain_text("this is no picture that can be read")
    assert v.request() == wanted.to_dict()


def test_a_link_restores_and_a_wrong_one_says_so(visit):
    v = visit("?prompt=two+balls&model=tiny-sprint&seed=99&steps=2&num_images=1")
    assert [v.request()[k] for k in ("prompt", "seed", "steps", "num_images")] == ["two balls", 99, 2, 1]
    v.context.grant_permissions(["clipboard-read", "clipboard-write"])
    v.away()
    v.page.keyboard.press("l")
    expect(v.page.locator("#say")).to_contain_text("The link is copied")
    link = v.page.evaluate("navigator.clipboard.readText()")
    v.open(link.removeprefix(v.site))
    assert [v.request()[k] for k in ("prompt", "seed", "steps")] == ["two balls", 99, 2]
    v.open("?seed=x&prompt=a")
    expect(v.page.locator("#say")).to_have_text("seed in the link must be a whole number")


def test_what_a_model_cannot_obey_is_disabled_and_says_why(visit):
    v = visit()
    page = v.page
    negative = page.locator("#field-negative textarea, #field-negative input")
    expect(negative).to_be_disabled()
    expect(page.locator("#negative-note")).to_contain_text("its guidance is part of the network")
    hub = page.locator("#model option[value='sana-sprint-1.6b']")
    assert hub.evaluate("o => o.disabled") is True
    expect(page.locator(".sl-reasons")).to_contain_text("sana-sprint-1.6b: It needs an NVIDIA GPU")
    v.type(" on a cube")
    page.locator("#model").select_option("tiny-sana")
    expect(negative).to_be_enabled()
    v.painted("a red ball on a cube")
    assert (v.request()["model"], v.request()["steps"], v.request()["seed"]) == ("tiny-sana", 20, 7)
    assert page.locator("#field-steps label").all_inner_texts() == ["4", "8", "20", "40"]
    page.locator("#field-steps label", has_text="4").first.click()
    page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.steps === 4")


def test_escape_stops(visit):
    v = visit(TINY.replace("sprint", "sana") + "&steps=4")
    v.page.evaluate("still.set({ steps: 100, num_images: 16 })")
    v.page.wait_for_function("still.painter.busy && still.painter.wall.pictures.length > 0")
    v.page.keyboard.press("Escape")
    v.page.wait_for_function("!still.painter.busy")
    assert v.page.evaluate("still.painter.wall.complete") is False
    expect(v.page.get_by_role("button", name="Stop")).to_be_disabled()


def test_more_like_this_is_a_wall_of_neighbours(visit):
    v = visit()
    v.away()
    v.page.keyboard.press("ArrowRight")
    v.page.keyboard.press("m")
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.variation === 0.35")
    r = v.request()
    assert r["seed"] == 8 and r["num_images"] == 4
    expect(v.page.locator("#wall figcaption").first).to_have_text("neighbour 1")
    slider = v.page.locator("#field-variation input[type=number]")
    expect(slider).to_be_visible()
    slider.fill("0")
    slider.press("Enter")
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.variation === 0")
    expect(v.page.locator("#wall figcaption").first).to_have_text("seed 8")


def test_any_two_pictures_side_by_side(visit):
    v = visit()
    v.away()
    for key in ("c", "ArrowRight", "c"):
        v.page.keyboard.press(key)
    expect(v.page.locator("#slider img")).to_have_count(2)
    expect(v.page.locator("#slider-note")).to_contain_text(
        "Left, A: a red ball, tiny-sprint, 1 step, seed 7. Right, B:"
    )
    v.page.keyboard.press("Escape")
    expect(v.page.locator("#slider")).to_be_hidden()


def test_all_pictures_in_one_download(visit):
    v = visit(TINY.replace("a+red", "the+red"))
    total = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#count")).not_to_have_text(total)
    v.page.get_by_placeholder("Search prompts…").fill("the red")
    expect(v.page.locator("#count")).to_have_text("4 pictures")
    with v.page.expect_download() as got:
        v.page.get_by_role("button", name="Download all", exact=True).first.click()
    with zipfile.ZipFile(io.BytesIO(got.value.path().read_bytes())) as archive:
        assert len(archive.namelist()) == 4


def test_words_that_the_model_never_saw_are_pointed_out(visit):
    v = visit()
    v.type(" on a dragon")
    expect(v.page.locator(".sl-odd")).to_have_text("dragon")
    near = v.page.locator(".sl-unknown-note .sl-chip").first
    word = near.inner_text()
    near.click()
    assert v.page.locator("#prompt").input_value() == f"a red ball on a {word}"
    expect(v.page.locator(".sl-odd")).to_have_count(0)
    v.page.get_by_role("button", name="a red mushroom").click()
    v.painted("a red mushroom")


def test_text_stays_text(visit):
    evil = "<img src=x onerror=alert(1)> ${alert(2)} {{7*7}} `${alert(3)}`"
    v = visit()
    v.page.locator("#prompt").fill(evil)
    v.painted(evil)
    total = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#count")).not_to_have_text(total)
    v.page.locator("#gallery figure").first.click()
    expect(v.page.locator(".sl-said")).to_have_text(evil)
    v.open("")
    expect(v.page.locator("#gallery figure").first).to_be_visible()


def test_dark_and_light_are_kept(visit):
    v = visit(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert v.page.evaluate(paper) == "rgb(244, 239, 232)"
    v.page.get_by_role("button", name="Dark or light").click()
    assert v.page.evaluate(paper) == "rgb(21, 19, 16)"
    v.open()
    v.page.wait_for_function(f"{paper} === 'rgb(21, 19, 16)'")


def test_on_a_phone_everything_is_there_and_nothing_sticks_out(visit):
    v = visit("?prompt=a+red+ball&model=tiny-sprint&seed=7&num_images=9", viewport=PHONE, has_touch=True)
    page = v.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = {s: page.locator(s).bounding_box() for s in ("#prompt", "#wall", "#settings", "#gallery-part")}
    tops = [b["y"] for b in box.values()]
    assert tops == sorted(tops) and all(b["width"] > 150 and b["x"] >= 0 for b in box.values())
    assert page.evaluate("getComputedStyle(document.querySelector('#wall')).gridTemplateColumns.split(' ').length") == 2
    page.locator("#wall figure").nth(3).tap()
    expect(page.locator("#wall .sl-on figcaption")).to_have_text("seed 10")
    page.locator("#wall .sl-on").get_by_role("button", name="More").tap()
    shown = page.locator(".sl-large").bounding_box()
    assert shown["width"] > 300 and shown["x"] >= 0 and shown["x"] + shown["width"] <= 390


def test_a_server_that_is_gone_is_one_sentence(visit):
    v = visit()
    v.page.route("**/component_server/**", lambda route: route.abort())
    v.type(" x")
    expect(v.page.locator("#say")).to_contain_text("The studio doesn't answer.")
    assert v.page.locator("#prompt").input_value() == "a red ball x"
    v.wrong = [w for w in v.wrong if not w.startswith(("Failed to load", "Could not connect"))]

"""The Draw page in a real browser: what is drawn is painted on, goes back and forth, and is there after a reload."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from core.paths import studio
from tests.conftest import PHONE

pytestmark = pytest.mark.browser
QUERY = "?prompt=a+red+ball&model=tiny-sprint&steps=1&seed=7&strength=0.5"
LARGE = ".sl-draw-large"


def opened(visit, **more):
    v = visit(**more)
    v.page.goto(f"{v.site}draw{QUERY}")
    expect(v.page.locator(f"{LARGE}:not([hidden])")).to_be_visible()
    return v


def drawing(v):
    """Its pixels, as they would be painted on."""
    with v.page.expect_download() as download:
        v.page.get_by_role("button", name="The drawing as a PNG").click()
    return np.asarray(Image.open(download.value.path()).convert("RGB"), dtype=int)


def stroke(v, *points):
    box = v.page.locator(".sl-draw-canvas").bounding_box()
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    v.page.mouse.move(*at[0])
    v.page.mouse.down()
    for x, y in at[1:]:
        v.page.mouse.move(x, y, steps=4)
    v.page.mouse.up()


def follows(v, act):
    """Do it, and wait for another picture."""
    before = v.page.locator(LARGE).get_attribute("data-painted")
    act()
    v.page.wait_for_function("old => document.querySelector('.sl-draw-large').dataset.painted !== old", arg=before)


def test_a_stroke_is_painted_on_undone_redone_and_there_after_a_reload(visit):
    v = opened(visit)
    plain = drawing(v)
    v.page.get_by_label("Colour #222222").click()
    follows(v, lambda: stroke(v, (0.1, 0.9), (0.5, 0.92), (0.9, 0.9)))
    drawn = drawing(v)
    changed = np.abs(drawn - plain).max(2) > 60
    rows = np.flatnonzero(changed.any(1)) / 512
    assert rows.min() > 0.8 and rows.max() < 1 and changed.any(0).mean() > 0.75, "where the pen went, and nowhere else"
    assert drawn[465, 256].max() < 60
    follows(v, lambda: v.page.keyboard.press("Control+z"))
    assert np.array_equal(drawing(v), plain)
    follows(v, lambda: v.page.keyboard.press("Control+Shift+Z"))
    assert np.array_equal(drawing(v), drawn)
    v.page.reload()
    expect(v.page.locator(f"{LARGE}:not([hidden])")).to_be_visible()
    assert np.array_equal(drawing(v), drawn)


def test_eraser_fill_mirror_ground_and_clear(visit):
    v = opened(visit)
    v.page.get_by_role("button", name="Clear the drawing").click()
    assert (drawing(v) == 255).all()
    v.page.get_by_label("Colour #3a6fd6").click()
    v.page.keyboard.press("m")
    stroke(v, (0.2, 0.5), (0.3, 0.5))
    blue = np.abs(drawing(v) - (58, 111, 214)).max(2) < 8
    assert blue.any() and np.array_equal(blue, blue[:, ::-1]), "its mirror image"
    v.page.keyboard.press("f")
    v.page.get_by_label("Colour #3f9a4d").click()
    stroke(v, (0.5, 0.1))
    filled = drawing(v)
    assert (np.abs(filled - (63, 154, 77)).max(2) < 8).mean() > 0.9 and not (filled == 255).all(2).any(), (
        "no rim is left"
    )
    v.page.keyboard.press("e")
    stroke(v, (0.5, 0.2), (0.6, 0.2))
    assert (drawing(v)[102, 280] == 255).all(), "down to the ground"
    v.page.get_by_label("Colour #f2c52e").click()
    v.page.get_by_role("button", name="The brush's colour becomes the ground").click()
    assert tuple(drawing(v)[102, 280]) == (242, 197, 46)


def test_kept_pictures_bring_the_drawing_with_them(visit):
    v = opened(visit)
    v.page.get_by_role("button", name="Begin with a blue mug").click()
    expect(v.page.locator("#draw-prompt")).to_have_value("a blue mug")
    v.page.locator("#draw-keep").click()
    expect(v.page.locator("#say")).to_contain_text("4 pictures kept in the gallery.")
    v.page.goto(f"{v.site}?prompt=a+blue+mug&model=tiny-sprint")
    expect(v.page.locator("#gallery-part img").first).to_be_visible()
    assert re.search("model=tiny-sprint", v.page.url)


def test_a_dropped_picture_is_drawn_on_and_a_painted_one_goes_to_the_canvas(visit, tmp_path):
    v = opened(visit)
    Image.new("RGB", (200, 100), (250, 120, 30)).save(tmp_path / "a.png")
    data = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    drop = """data => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), all = new DataTransfer();
      all.items.add(new File([bytes], "a.png", { type: "image/png" }));
      document.querySelector(".sl-draw").dispatchEvent(new DragEvent("drop", { dataTransfer: all, bubbles: true }));
    }"""
    follows(v, lambda: v.page.evaluate(drop, data))
    assert np.abs(drawing(v) - (250, 120, 30)).max() < 4
    v.page.wait_for_function("() => document.querySelector('.sl-draw-large').naturalWidth === 512")
    source = v.page.locator(LARGE).get_attribute("src")
    painted = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB"), dtype=int)
    follows(v, lambda: v.page.get_by_role("button", name="Draw on with this picture").click())
    assert np.abs(drawing(v)[::4, ::4].mean((0, 1)) - painted.mean((0, 1))).max() < 4


def test_on_a_phone_fingers_draw_and_the_page_stays(visit):
    v = opened(visit, viewport=PHONE, has_touch=True, is_mobile=True)
    plain = drawing(v)
    v.page.get_by_label("Colour #222222").click()
    v.page.locator(".sl-draw-canvas").scroll_into_view_if_needed()
    box, top = v.page.locator(".sl-draw-canvas").bounding_box(), v.page.evaluate("scrollY")
    assert box["width"] > 340
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.6
    touch = v.context.new_cdp_session(v.page)

    def send(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]})

    send("touchStart", (x, y))
    for k in range(1, 6):
        send("touchMove", (x, y + 10 * k))
    send("touchEnd")
    drawn = drawing(v)
    assert (np.abs(drawn - plain).max(2) > 60).any() and v.page.evaluate("scrollY") == top
    send("touchStart", (x - 20, y), (x + 20, y))
    for k in range(1, 6):
        send("touchMove", (x - 20 - 10 * k, y), (x + 20 + 10 * k, y))
    send("touchEnd")
    v.page.wait_for_function("document.querySelector('.sl-draw-sheet').style.transform.includes('scale(3')")
    assert np.array_equal(drawing(v), drawn), "two fingers zoom and draw nothing"


def test_drawings_of_passing_pictures_leave_no_files_and_kept_ones_do(visit):
    before = files()
    v = opened(visit)
    for k in range(3):
        follows(v, lambda k=k: stroke(v, (0.1, 0.1 + 0.2 * k), (0.9, 0.15 + 0.2 * k)))
    v.page.wait_for_function("document.querySelector('#draw-pace').textContent.includes('4 pictures')")
    assert len(files() - before) == 1, "the newest one"
    v.page.locator("#draw-keep").click()
    expect(v.page.locator("#say")).to_contain_text("4 pictures kept in the gallery.")
    (kept,) = files() - before
    for k in range(2):
        follows(v, lambda k=k: stroke(v, (0.2, 0.8 - 0.3 * k), (0.8, 0.8)))
    v.page.wait_for_function("document.querySelector('#draw-pace').textContent.includes('4 pictures')")
    assert kept in files() and len(files() - before) == 2


def files():
    return set((studio() / "inputs").glob("*.png"))


def test_the_lines_of_a_picture_are_drawn_on(visit, tmp_path):
    """By a detector that is here; those without their checkpoint are grey and say what they lack."""
    disk = Image.new("RGB", (640, 480), "#c8e0ff")
    ImageDraw.Draw(disk).ellipse((220, 140, 420, 340), fill="#d03020")
    disk.save(tmp_path / "disk.png")
    v = opened(visit)
    before = drawing(v)
    how = v.page.get_by_label("How the lines of a picture are found")
    assert "hf download" in how.locator("option[value=hed]").get_attribute("title")
    assert how.locator("option[value=hed]").is_disabled() and how.input_value() == "canny"
    with v.page.expect_file_chooser() as chooser:
        v.page.get_by_role("button", name="The lines of a picture").click()
    follows(v, lambda: chooser.value.set_files(tmp_path / "disk.png"))
    ink = drawing(v).max(2) < 100
    rows, columns = (np.flatnonzero(ink.any(axis)) / 512 for axis in (1, 0))
    assert abs(rows.min() - 140 / 480) < 0.03 and abs(columns.max() - 340 / 480) < 0.03 and ink.mean() < 0.1
    assert not ink[256, 256]
    follows(v, lambda: v.page.keyboard.press("Control+z"))
    assert np.array_equal(drawing(v), before)


def test_at_rest_the_picture_becomes_large(visit):
    v = opened(visit)
    v.page.wait_for_function("() => document.querySelector('.sl-draw-large').naturalWidth === 512")
    follows(v, lambda: stroke(v, (0.2, 0.2), (0.8, 0.8)))
    v.page.wait_for_function("() => document.querySelector('.sl-draw-large').naturalWidth === 512")

"""What people type, in a real browser: emoji, letters of other scripts, what a model does not read, other keyboards."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.conftest import TINY

pytestmark = pytest.mark.browser


PIXELS = """async u => {
    const picture = await createImageBitmap(await (await fetch(u)).blob());
    const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    canvas.drawImage(picture, 0, 0);
    return [...canvas.getImageData(0, 0, picture.width, picture.height).data].join();
}"""


def notes(v):
    return v.page.locator(".sl-notes p")


def test_an_emoji_is_read_as_its_name_and_stays_as_it_was_typed(visit):
    v = visit()
    v.page.locator("#prompt").fill("a mushroom")
    v.painted("a mushroom")
    named = v.sources()
    v.page.locator("#prompt").fill("a 🍄")
    v.painted("a 🍄")
    expect(notes(v)).to_have_text(["🍄 is read as mushroom."])
    assert [v.page.evaluate(PIXELS, u) for u in v.sources()] == [v.page.evaluate(PIXELS, u) for u in named]
    assert (
        v.request()["prompt"] == "a 🍄"
        and v.page.locator("#wall img").first.get_attribute("alt") == "a mushroom, seed 7"
    )
    v.page.locator("#prompt").fill("a {🐌|🐌}")
    v.painted("a {🐌|🐌}")
    expect(v.page.locator(".sl-odd")).to_have_text(["🐌", "🐌"])
    expect(notes(v)).to_have_text(["This model doesn't know snail.", "🐌 is read as snail."])
    v.page.locator("#wall figure").first.dblclick()
    expect(v.page.locator(".sl-closeup .sl-said")).to_have_text("a {🐌|🐌}")
    expect(v.page.locator(".sl-closeup .sl-reading")).to_have_text("Read as: a snail")


def test_what_does_nothing_is_marked_and_said(visit):
    v = visit()
    v.page.locator("#prompt").fill("a (red:1.4) ball without a {blue|red cube")
    expect(notes(v)).to_contain_text(["without", "{ has no partner", "Weights do nothing", "“without” does nothing"])
    assert v.page.locator(".sl-odd").all_inner_texts() == ["(red:1.4)", "without", "{"]
    long = "a red ball on the blue cube " * 6
    v.page.locator("#prompt").fill(long)
    unread = v.page.locator(".sl-unread")
    expect(unread).to_have_text(re.compile("^a? ?(red|ball|on|the|blue|cube) "))
    expect(notes(v)).to_have_text(["The prompt is longer than this model reads: what is crossed out is not read."])
    read = long[: -len(unread.text_content())]
    v.page.locator("#prompt").fill(read)
    expect(notes(v)).to_have_count(0)
    expect(unread).to_have_text("")


def test_letters_that_run_the_other_way(visit):
    v = visit()
    v.page.locator("#prompt").fill("كرة حمراء")
    expect(notes(v)).to_have_text(["This model was trained on words in Latin letters only; it can't read كرة, حمراء."])
    assert v.page.locator(".sl-odd").all_inner_texts() == ["كرة", "حمراء"]
    right = "e => { const b = e.getBoundingClientRect(), r = document.createRange(); r.selectNodeContents(e);"
    right += " return Math.abs(b.right - r.getBoundingClientRect().right) }"
    assert v.page.evaluate(f"({right})(document.querySelector('.sl-mirror'))") < 30, "its lines begin at the right"
    assert v.page.evaluate("getComputedStyle(document.querySelector('#prompt')).direction") == "rtl"
    assert (
        v.page.evaluate("getComputedStyle(document.querySelector('#field-negative textarea')).unicodeBidi")
        == "plaintext"
    )


@pytest.mark.parametrize("width", [1400, 1100, 800])
def test_everything_below_the_prompt_can_be_seen(visit, width):
    v = visit(viewport={"width": width, "height": 900})
    v.page.locator("#prompt").fill("wooden unicorns juggle mushrom cakes silently")
    expect(notes(v)).to_have_count(6)
    expect(v.page.get_by_role("button", name="words it knows")).to_be_visible()
    for box in v.page.locator(".sl-notes p, .sl-tries .sl-chip").all():
        assert (at := box.bounding_box()) and at["x"] >= 0 and at["x"] + at["width"] <= width
    odd = "[...document.querySelectorAll('.sl-notes, .sl-tries')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert v.page.evaluate(odd) == 0, "cut off"


def press(v, key, code):
    keys = json.dumps({"key": key, "code": code, "bubbles": True, "cancelable": True})
    v.page.evaluate(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {keys}))")


def test_letters_work_on_every_keyboard(visit):
    """A layout without Latin letters has them where they stand; one with them where it says so."""
    v = visit()
    v.away()
    expect(v.page.locator("#count")).to_have_text(re.compile(r"^\d+ pictures?$"))
    before = int(v.count().split()[0])
    press(v, "а", "KeyF")  # Russian
    expect(v.page.locator("#count")).to_have_text(re.compile(f"^{before + 1} "))
    seed = v.request()["seed"]
    press(v, "ㄱ", "KeyR")  # Korean
    v.page.wait_for_function(f"still.request.seed !== {seed}")
    held = v.request()["seed"]
    press(v, "p", "KeyR")  # Dvorak's p stands on R
    press(v, "ö", "Semicolon")
    v.page.wait_for_timeout(50)
    assert v.request()["seed"] == held


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("seed", [("99999999999", 2**31 - 1), ("-5", 0), ("", 0), ("1.5", 2), ("", 2), ("7", 7)]),
        ("guidance", [("99", 5), ("-3", 2), ("", 2), ("3.3", 3.3), ("", 3.3)]),
        ("variation", [("99", 1), ("-3", 0), ("0.35", 0.35), ("", 0.35)]),
    ],
)
def test_a_number_is_sent_as_it_is_shown(visit, name, steps):
    """Out of range it is refused while it is typed; when the field is left it is the nearest that is allowed."""
    v = visit(TINY + "&variation=0.2")
    field = v.page.locator(f"#field-{name} input[type=number]")
    for typed, sent in steps:
        field.fill(typed)
        if typed not in ("", "1.5") and float(typed) != sent:
            expect(v.page.locator("#say")).to_contain_text(f"{name} must be ")
        elif typed == "":
            assert v.request()[name] == sent, "an emptied field means the last allowed one"
        field.blur()
        v.page.wait_for_function(f"still.request.{name} === {sent} && still.painter.wall.complete")
        assert float(field.input_value()) == sent and v.page.evaluate(f"still.painter.wall.request.{name}") == sent
        expect(v.page.locator("#say")).to_have_text("")

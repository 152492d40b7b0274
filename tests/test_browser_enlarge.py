"""Large pictures on the page, in a real browser: they take the place of the small ones, and go where one looks."""

import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from models import picture, realesrgan
from tests.conftest import TINY

pytestmark = pytest.mark.browser
SIZES = "[...document.querySelectorAll('#wall img')].map((i) => i.naturalWidth).join()"


def large(page, pictures=4):
    """Wait until every picture of the wall is large."""
    page.wait_for_function(f"{SIZES} === '{','.join(['512'] * pictures)}'")


def test_the_wall_is_small_at_once_and_large_a_moment_later(visit):
    v = visit()
    calls_seen = []
    v.page.on("request", lambda r: calls_seen.append(json.loads(r.post_data)) if "component_server" in r.url else None)
    v.type("s")
    v.painted("a red balls")
    large(v.page)
    mine = [a for a in calls_seen if a["data"].get("request", {}).get("prompt") == "a red balls"]
    calls = [a["fn_name"] for a in mine]
    assert calls[0] == "paint" and calls.count("large") == 4
    assert all(a["data"]["request"]["enlarge"] == 4 for a in mine)


def test_large_pictures_of_a_wall_that_moves_on_are_dropped(visit):
    v = visit()
    calls = []
    v.page.on("request", lambda r: calls.append(json.loads(r.post_data)) if "component_server" in r.url else None)
    held = []
    v.page.route(
        "**/component_server/**",
        lambda r: held.append(r) if '"large"' in (r.request.post_data or "") else r.continue_(),
    )
    for word in ("one", "two"):
        v.type(f" {word}")
        v.page.wait_for_function(
            "(word) => still.painter.wall.complete && still.painter.wall.request.prompt.endsWith(word)", arg=word
        )
    v.page.unroute("**/component_server/**")
    for route in held:
        route.continue_()
    large(v.page)
    prompts = [a["data"]["request"]["prompt"] for a in calls if a["fn_name"] == "large"]
    assert prompts.count("a red ball one two") == 4 and prompts.count("a red ball one") <= 1


def test_the_closeup_has_every_size_and_says_what_is_missing(visit):
    v = visit(TINY.replace("ball", "cone"))
    page = v.page
    large(page)
    v.away()
    page.keyboard.press("Enter")
    facts, sizes = page.locator(".sl-closeup .sl-facts").last, page.locator(".sl-sizes")
    expect(facts).to_contain_text("512 × 512 pixels")
    there = realesrgan.missing() is None
    greyed = sizes.locator("option", has_text="Real-ESRGAN")
    assert greyed.is_disabled() is not there
    if not there:
        expect(greyed).to_contain_text("pip install -r requirements-enlarge.txt")
    sizes.select_option("")
    expect(facts).to_contain_text("128 × 128 pixels")
    with page.expect_download() as small:
        page.keyboard.press("d")
    sizes.select_option("toybox-enlarger")
    expect(facts).to_contain_text("512 × 512 pixels")
    with page.expect_download() as crisp:
        page.keyboard.press("d")
    assert Image.open(small.value.path()).size == (128, 128)
    assert Image.open(crisp.value.path()).size == (512, 512)
    assert picture.resized(crisp.value.path()) == "enlarged × 4 by toybox-enlarger"
    assert picture.resized(small.value.path()) is None


def test_a_smaller_size_can_be_chosen_for_the_wall(visit):
    v = visit(TINY.replace("ball", "egg"))
    large(v.page)
    v.page.locator("#field-enlarge label", has_text="128").click()
    v.painted()
    v.page.wait_for_function(f"{SIZES} === '128,128,128,128'")
    v.page.wait_for_function("location.search.includes('enlarge=1')")

"""The Compare page in a real browser: the same words and seed by several models."""

import re
from urllib.parse import urlencode

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.conftest import PHONE, TINY

pytestmark = pytest.mark.browser
ASKED = "compare?" + urlencode({"prompt": "a blue cube", "seed": 5, "models": "tiny-sprint:1,tiny-sana:4"})
WHOLE = "all => all.length === 2 && all.every(c => c.querySelector('img')?.naturalWidth && / ms/.test(c.innerText))"


def opened(visit, viewport=None, link=ASKED):
    v = visit(TINY, viewport=viewport)
    v.page.goto(v.site + link)
    v.page.wait_for_function(f"({WHOLE})([...document.querySelectorAll('.sl-column')])")
    return v


def columns(v):
    return v.page.eval_on_selector_all(
        ".sl-column", "all => all.map(c => [c.dataset.model, c.querySelector('img').src])"
    )


def test_a_link_shows_the_same_words_and_seed_by_each_model(visit):
    v = opened(visit)
    (first, one), (second, other) = columns(v)
    assert (first, second) == ("tiny-sprint", "tiny-sana") and one != other
    text = v.page.locator(".sl-column").first.inner_text()
    assert re.search(r"\d+ ms", text) and re.search(r"[\d.]+ MB", text)
    expect(v.page.locator("#compare-seed")).to_have_value("5")
    v.page.reload()
    v.page.wait_for_function(f"({WHOLE})([...document.querySelectorAll('.sl-column')])")
    assert columns(v) == [[first, one], [second, other]], "the same link is the same pictures"


def test_students_of_one_base_stand_side_by_side(visit):
    """A LoRA and several students, from the box."""
    query = {"prompt": "a red mushroom", "seed": 3, "models": "toybox-hyper:1,toybox-msd4:4"}
    v = opened(visit, link=f"compare?{urlencode(query)}")
    (first, one), (second, other) = columns(v)
    assert (first, second) == ("toybox-hyper", "toybox-msd4") and one != other


def test_models_come_and_go_and_steps_change(visit):
    v = opened(visit)
    v.page.get_by_label("Take tiny-sana away").click()
    expect(v.page.locator(".sl-column")).to_have_count(1)
    assert "tiny-sana" not in v.page.url
    [[_, one]] = columns(v)
    v.page.get_by_label("Steps of tiny-sprint").select_option("2")
    v.page.wait_for_function("src => document.querySelector('.sl-column img').src !== src", arg=one)
    assert "tiny-sprint%3A2" in v.page.url
    v.page.locator(".sl-picks button", has_text="tiny-sprint").click()
    expect(v.page.locator(".sl-column")).to_have_count(2)  # the same model, at one step and at two
    v.page.locator("#compare-prompt").fill("")
    v.page.locator("#compare-go").click()
    expect(v.page.locator("#say")).to_have_text("Type what you want to see.")


def test_a_phone_compares_without_scrolling_sideways(visit):
    v = opened(visit, PHONE)
    assert v.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_one_click_shows_base_fast_and_hybrid(visit):
    v = opened(visit)
    v.page.get_by_role("group", name="Base, fast and hybrid").get_by_role("button", name="tiny-sprint").click()
    three = "all => all.length === 3 && all.every(c => c.querySelector('img')?.naturalWidth && / ms/.test(c.innerText))"
    v.page.wait_for_function(f"({three})([...document.querySelectorAll('.sl-column')])")
    heads = v.page.eval_on_selector_all(".sl-column h2", "all => all.map(h => h.firstChild.textContent)")
    assert heads == ["tiny-sana", "tiny-sprint", "tiny-sprint, first step by tiny-sana"]
    assert len({src for _, src in columns(v)}) == 3
    shown = columns(v)
    assert "tiny-sprint%3A4~1" in v.page.url or "tiny-sprint%3A4%7E1" in v.page.url
    v.page.reload()
    v.page.wait_for_function(f"({three})([...document.querySelectorAll('.sl-column')])")
    assert columns(v) == shown, "the same link is the same pictures"


def whole(v, columns, each):
    """Wait until so many columns have so many pictures each, and their time."""
    state = "all => all.length === %d && all.every("
    state += "c => c.querySelectorAll('img').length === %d && / ms/.test(c.innerText))"
    v.page.wait_for_function(f"({state % (columns, each)})([...document.querySelectorAll('.sl-column')])")


def test_several_seeds_and_one_model_along_its_steps_and_its_guidance(visit):
    v = opened(visit)
    v.page.get_by_label("Pictures of each").select_option("2")
    whole(v, 2, 2)
    v.page.get_by_label("Columns").select_option("steps tiny-sprint")
    whole(v, 3, 2)
    assert [c for c, _ in columns(v)] == ["tiny-sprint"] * 3
    assert v.page.eval_on_selector_all(".sl-column select", "all => all.map(s => s.value)") == ["1", "2", "4"]
    assert len(set(v.page.eval_on_selector_all(".sl-column img", "all => all.map(i => i.src)"))) == 6
    v.page.get_by_label("Columns").select_option("guidance tiny-sprint")
    whole(v, 4, 2)
    heads = v.page.eval_on_selector_all(".sl-column h2", "all => all.map(h => h.firstChild.textContent)")
    assert heads == [f"tiny-sprint, guidance {g}" for g in (2, 3, 4, 5)]
    shown = columns(v)
    v.page.reload()
    whole(v, 4, 2)
    assert columns(v) == shown, "the same link is the same pictures"


def test_a_picture_opens_is_kept_and_goes_to_create_and_the_sheet_is_one_file(visit):
    v = opened(visit)
    v.page.locator(".sl-column img").nth(1).click()
    closeup = v.page.locator(".sl-closeup")
    expect(closeup).to_contain_text("tiny-sana · 4 steps")
    closeup.get_by_role("button", name="Favourite").click()
    expect(closeup.get_by_role("button", name="Delete")).to_be_visible()
    v.page.keyboard.press("Escape")
    with v.page.expect_download() as got:
        v.page.get_by_role("button", name="Save as PNG").click()
    with Image.open(got.value.path()) as sheet:
        assert sheet.size == (2 * 268 + 12, 44 + 268 + 34)
        assert len(set(sheet.convert("RGB").crop((12, 44, 268, 300)).getdata())) > 500
    v.page.locator(".sl-column img").first.click()
    closeup.get_by_role("button", name="Open on Create").click()
    v.painted("a blue cube")
    assert (v.request()["model"], v.request()["seed"]) == ("tiny-sprint", 5)


def test_a_slider_is_a_strip_of_columns(visit):
    v = opened(visit)
    v.page.locator("#compare-axis").select_option("slider tiny-sprint size")
    v.page.wait_for_function(f"({WHOLE.replace('=== 2', '=== 7')})([...document.querySelectorAll('.sl-column')])")
    assert len({source for _, source in columns(v)}) == 7
    heads = v.page.locator(".sl-column h2").all_inner_texts()
    assert [head.partition("size ")[2].strip("×\n ") for head in heads] == ["-3", "-2", "-1", "0", "1", "2", "3"]
    strip = columns(v)
    v.page.reload()
    v.page.wait_for_function(f"({WHOLE.replace('=== 2', '=== 7')})([...document.querySelectorAll('.sl-column')])")
    assert columns(v) == strip, "the same link is the same strip"

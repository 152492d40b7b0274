"""The Inspect page in a real browser: cells as they come, views, wiping, branching, exporting, keys and a phone."""

import io
import re
from urllib.parse import urlencode

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.conftest import PHONE, TINY

pytestmark = pytest.mark.browser
ASKED = {"prompt": "a red ball", "seed": 5, "seeds": 2, "models": "tiny-sana:4,tiny-sprint:2"}
CELL = ".sl-look-cell"


def opened(visit, viewport=None, **more):
    v = visit(TINY, viewport=viewport)
    v.page.goto(f"{v.site}inspect?{urlencode(ASKED | more)}")
    return v


def whole(v, cells):
    expect(v.page.locator(CELL)).to_have_count(cells)
    expect(v.page.locator(".sl-look-plot").first).to_be_visible()


def test_a_link_shows_each_step_of_each_model_at_its_noise(visit):
    v = opened(visit)
    whole(v, 2 * (4 + 2))
    styles = v.page.eval_on_selector_all(CELL, "all => all.map(c => c.style.gridArea || c.style.cssText)")
    assert len(set(styles)) == 12, "no two cells in one place"
    expect(v.page.locator(".sl-look-head")).to_have_count(1 + 4)
    assert re.search(r"tiny-sprint\s+seed 6", v.page.locator(".sl-look").inner_text())


def test_close_up_scrubs_wipes_and_branches(visit):
    v = opened(visit, models="tiny-sprint:2", seeds=1)
    whole(v, 2)
    cells = v.page.locator(CELL)
    cells.nth(0).click()
    expect(v.page.locator(".sl-look-large .sl-facts")).to_contain_text("tiny-sprint, step 1 of 2")
    v.page.get_by_label("Step", exact=True).fill("1")
    expect(v.page.locator(".sl-look-large .sl-facts")).to_contain_text("step 2 of 2")
    cells.nth(0).click(modifiers=["Shift"])
    expect(v.page.get_by_label("Wipe")).to_be_visible()
    v.page.get_by_text("Go on from this step").click()
    v.page.get_by_role("button", name="Branch from here").click()
    expect(cells).to_have_count(3)
    src = v.page.eval_on_selector_all(f"{CELL} img", "all => all.map(i => i.src)")
    assert src[2] == src[1], "unchanged, a branch is its parent"
    v.page.get_by_label("Go on with").select_option("tiny-sana")
    v.page.get_by_role("button", name="Branch from here").click()
    expect(cells).to_have_count(4)
    assert v.page.eval_on_selector_all(f"{CELL} img", "all => all.map(i => i.src)")[3] != src[1]
    expect(v.page.locator(".sl-look-label").last).to_contain_text("from step 2: model tiny-sana")


def test_views_change_every_cell_and_come_back(visit):
    v = opened(visit, models="tiny-sprint:2", seeds=1)
    whole(v, 2)
    first = v.page.eval_on_selector_all(f"{CELL} img", "all => all.map(i => i.src)")
    v.page.get_by_label("Show").select_option("noise")
    v.page.wait_for_function("src => document.querySelector('.sl-look-cell img').src !== src", arg=first[0])
    assert "view=noise" in v.page.url
    v.page.get_by_label("Show").select_option("x0")
    v.page.wait_for_function("src => document.querySelector('.sl-look-cell img').src === src", arg=first[0])


def test_the_grid_is_exported(visit):
    v = opened(visit, models="tiny-sprint:2", seeds=2)
    whole(v, 4)
    with v.page.expect_download() as download:
        v.page.get_by_label("Export").select_option("gif")
    assert download.value.suggested_filename == "still-life-steps.gif"
    assert Image.open(io.BytesIO(download.value.path().read_bytes())).n_frames == 2


def test_keys_walk_the_grid(visit):
    v = opened(visit, models="tiny-sprint:2", seeds=2)
    whole(v, 4)
    v.page.locator(".sl-look").focus()
    facts = v.page.locator(".sl-look-large .sl-facts")
    for key, sentence in (("ArrowRight", "step 1 of 2"), ("ArrowRight", "step 2 of 2"), ("ArrowDown", "step 2 of 2")):
        v.page.keyboard.press(key)
        expect(facts).to_contain_text(sentence)
    v.page.keyboard.press("Escape")
    expect(v.page.locator(".sl-look-large")).to_be_hidden()


def test_mistakes_are_said_and_nothing_is_lost(visit):
    v = opened(visit, models="tiny-sprint:2", seeds=1)
    whole(v, 2)
    v.page.get_by_label("Vary").select_option("guidance")
    v.page.get_by_label("Values").fill("1, much")
    v.page.get_by_role("button", name="Look").click()
    expect(v.page.locator("#say")).to_have_text("Values are numbers with commas, such as 0, 1.")
    expect(v.page.locator(CELL)).to_have_count(2)
    v.page.get_by_label("Values").fill("99")
    v.page.get_by_role("button", name="Look").click()
    expect(v.page.locator("#say")).to_contain_text("guidance")


def test_a_phone_scrolls_the_grid_and_not_the_page(visit):
    v = opened(visit, PHONE)
    whole(v, 12)
    assert v.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_branches_are_a_tree_that_one_can_walk_back(visit):
    v = opened(visit, models="tiny-sprint:4", seeds=1)
    whole(v, 4)
    v.page.locator(CELL).nth(1).click()
    v.page.get_by_text("Go on from this step").click()
    v.page.get_by_label("Prompt from here on").fill("a blue ball")
    v.page.get_by_role("button", name="Branch from here").click()
    expect(v.page.locator(CELL)).to_have_count(7)
    tree = v.page.get_by_role("navigation", name="Branches")
    expect(tree.locator("ul ul button")).to_have_text("from step 2: prompt a blue ball")
    tree.locator("ul ul button").click()
    facts = v.page.locator(".sl-look-large .sl-facts")
    expect(facts).to_contain_text("step 2 of 4")
    v.page.get_by_text("Go on from this step").click()
    v.page.get_by_role("button", name="Branch from here").click()
    expect(tree.locator("ul ul ul button")).to_have_text("from step 2: unchanged")
    tree.locator("ul ul ul button").click()
    v.page.get_by_role("button", name="Back to where it branched").click()
    expect(tree.locator("[aria-current]")).to_have_text("from step 2: prompt a blue ball")
    v.page.get_by_role("button", name="Back to where it branched").click()
    expect(tree.locator("[aria-current]")).to_have_text("tiny-sprint")
    expect(v.page.get_by_role("button", name="Back to where it branched")).to_have_count(0)
    tree.locator("ul ul ul button").click()
    v.page.get_by_role("link", name="Paint on Create").click()
    v.painted("a blue ball")
    assert v.request()["start"] and v.request()["start_step"] == 1

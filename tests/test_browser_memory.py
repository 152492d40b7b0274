"""Nobody's work is lost on the page: tabs, Back, reload, a studio that goes away; and Ctrl+Z."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
SLOW = "?prompt=a+red+ball&model=tiny-sana&seed=7&num_images=9&steps=100"


def test_prompt_seed_settings_and_wall_come_back(visit):
    """By the header's tabs, by Back, by a reload, and in a new tab of the browser."""
    v = visit()
    page = v.page
    page.locator("#field-num_images label", has_text="9").click()
    page.locator("#field-steps label", has_text="4").click()
    page.locator("#prompt").fill("a blue cube")
    page.locator("#roll").click()
    v.painted("a blue cube")
    wanted, wall = v.request(), v.sources()
    assert (wanted["num_images"], wanted["steps"]) == (9, 4)
    page.wait_for_function("location.search.includes('blue') && location.search.includes(still.request.seed)")
    page.get_by_role("link", name="Compare").click()
    expect(page.locator("#compare-prompt")).to_have_value("a blue cube")
    expect(page.locator("#compare-seed")).to_have_value(str(wanted["seed"]))

    def same():
        v.painted("a blue cube")
        assert v.request() == wanted and v.sources() == wall
        expect(page.locator("#field-seed input")).to_have_value(str(wanted["seed"]))
        expect(page.locator("#field-steps label.selected")).to_have_text("4")

    page.get_by_role("link", name="Create").click()
    same()
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator(".sl-joblist")).to_be_visible()
    page.go_back()
    same()
    page.reload()
    same()
    other = v.context.new_page()
    other.goto(v.site)
    other.wait_for_function("window.still?.arrived")
    assert other.evaluate("still.request") == wanted


def test_an_unfinished_wall_is_finished_after_a_reload(visit):
    v = visit(SLOW.replace("steps=100", "steps=4"))
    page, count = v.page, v.page.locator("#count")
    before = int(v.count().split()[0].replace(",", ""))
    page.locator("#field-steps label", has_text="40").click()
    page.wait_for_function("still.request.steps === 40")  # or what was there before would be kept
    page.keyboard.press("Control+Enter")
    page.wait_for_function("still.painter.busy && still.painter.wall.kept && still.painter.wall.pictures.length > 1")
    first = v.sources()[0]
    page.reload()
    v.painted("a red ball")
    assert v.request()["steps"] == 40 and len(v.sources()) == 9 and v.sources()[0] == first
    expect(count).to_have_text(f"{before + 9} pictures")


def test_a_wall_that_is_kept_is_kept_whole_whatever_the_form_says_meanwhile(visit):
    """The form's answers come late, and say the same again; a reload may fall before the first picture."""
    v = visit(SLOW.replace("steps=100", "steps=4").replace("seed=7", "seed=300"))
    before = int(v.count().split()[0].replace(",", ""))
    v.page.keyboard.press("Control+Enter")
    v.page.wait_for_function("still.painter.busy && still.painter.wall.kept")
    v.page.evaluate("still.set({ steps: still.request.steps })")
    expect(v.page.locator("#count")).to_have_text(f"{before + 9} pictures")
    leave = "still.set({ steps: 40 }); still.painter.paint(); dispatchEvent(new Event('pagehide'));"
    assert v.page.evaluate(f"() => {{ {leave} return JSON.parse(still.session.get('wall')).kept; }}") is True
    v.page.evaluate("location.reload()")
    v.painted("a red ball")
    assert v.request()["steps"] == 40 and len(v.sources()) == 9
    expect(v.page.locator("#count")).to_have_text(f"{before + 18} pictures")


def test_undo_and_redo_over_prompts_seeds_and_walls(visit):
    v = visit()
    page = v.page
    first = v.sources()
    page.locator("#prompt").fill("a blue cube")
    v.painted("a blue cube")
    second = v.sources()
    page.locator("#roll").click()
    page.wait_for_function("still.request.seed !== 7")
    v.painted("a blue cube")
    rolled = v.request()["seed"]
    page.locator("#prompt").focus()
    page.keyboard.press("Control+z")
    expect(page.locator("#field-seed input")).to_have_value("7")
    v.painted("a blue cube")
    assert v.sources() == second
    page.keyboard.press("Control+z")
    expect(page.locator("#prompt")).to_have_value("a red ball")
    v.painted("a red ball")
    assert v.sources() == first
    expect(page.locator("#undo")).to_be_disabled()
    page.locator("#redo").click()
    v.painted("a blue cube")
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator("#field-seed input")).to_have_value(str(rolled))
    v.away()
    page.keyboard.press("m")
    page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.variation")
    page.locator("#undo").click()
    page.wait_for_function("still.painter.wall.complete && !still.painter.wall.request.variation")
    assert v.request()["seed"] == rolled


def test_another_prompt_leaves_the_neighbours(visit):
    v = visit()
    v.away()
    v.page.keyboard.press("m")
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.variation")
    v.page.locator("#prompt").fill("a blue cube")
    v.painted("a blue cube")
    assert v.request()["variation"] == 0
    expect(v.page.locator("#wall figcaption").nth(1)).to_have_text("seed 8")
    expect(v.page.locator("#field-variation input[type=number]")).to_have_value("0")


def test_a_link_with_a_model_that_is_gone_keeps_the_prompt(visit):
    v = visit("?prompt=a+blue+cube&model=gone&steps=77&seed=5")
    assert (v.request()["prompt"], v.request()["seed"]) == ("a blue cube", 5)
    expect(v.page.locator("#say")).to_contain_text(re.compile("Its model 'gone' is not here, so .* paints."))


def test_stop_leaves_no_ghosts_and_no_untruth(visit):
    v = visit(SLOW)
    page = v.page
    page.keyboard.press("Control+Enter")
    page.wait_for_function("still.painter.busy && still.painter.wall.pictures.length > 1")
    expect(page.locator("#each")).to_have_text("painting …")
    page.keyboard.press("Escape")
    expect(page.locator("#say")).to_have_text("Stopped.")
    expect(page.locator("#wall .sl-stale")).to_have_count(0)
    done = page.locator("#wall img").count()
    assert 0 < done < 9
    expect(page.locator("#cost")).to_have_text(f"{done} of 9 pictures")
    expect(page.locator("#each")).not_to_have_text("painting …")
    expect(page.locator("#say")).to_be_empty()  # its moment is over


def test_a_wrong_setting_leaves_the_wall_as_it_was(visit):
    v = visit()
    before = v.sources()
    v.page.evaluate("still.set({ seed: -5 })")
    expect(v.page.locator("#say")).to_contain_text("seed must be 0 to")
    expect(v.page.locator("#wall .sl-stale")).to_have_count(0)
    assert v.sources() == before


def test_a_kept_seed_is_kept(visit):
    v = visit()
    v.page.locator("#lock").click()
    expect(v.page.locator("#lock")).to_have_text("Seed kept")
    v.page.locator("#roll").click()
    expect(v.page.locator("#say")).to_contain_text("The seed is kept.")
    assert v.request()["seed"] == 7


def test_enter_keeps_and_shift_enter_breaks_the_line(visit):
    v = visit()
    before = int(v.count().split()[0].replace(",", ""))
    v.page.locator("#prompt").press("End")
    v.page.keyboard.press("Shift+Enter")
    v.page.keyboard.type("and a cube")
    v.painted("a red ball\nand a cube")
    v.page.keyboard.press("Enter")
    expect(v.page.locator("#count")).to_have_text(f"{before + 4} pictures")
    assert v.page.locator("#prompt").input_value() == "a red ball\nand a cube"
    expect(v.page.locator("#say")).to_have_text("4 pictures kept in the gallery.")


def test_back_closes_the_large_picture_and_a_wall_is_one_stop(visit):
    v = visit()
    page = v.page
    page.locator("#wall figure").nth(1).dblclick()
    expect(page.locator(".sl-closeup")).to_be_visible()
    page.get_by_role("button", name="Next picture").click()
    expect(page.locator(".sl-closeup")).to_contain_text("seed 9")
    page.locator(".sl-actions button").first.click()
    expect(page.locator(".sl-actions button").first).to_have_text("♥ Favourite")
    expect(page.locator(".sl-actions button").first).to_be_focused()
    page.go_back()
    expect(page.locator(".sl-closeup")).to_be_hidden()
    assert page.url.startswith(v.site) and v.request()["prompt"] == "a red ball"
    stops = page.eval_on_selector_all("#wall figure", "all => all.map(f => f.tabIndex)")
    assert sorted(stops) == [-1, -1, -1, 0]
    assert page.title() == "Create · Still Life"

"""A first visit by keyboard, and on a slow server: Tab goes where the eyes go, what was done shows at once."""

import pytest
from playwright.sync_api import expect

from tests import tiny
from tests.conftest import TINY, Visit
from tests.served import serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path_factory.mktemp("studio"))))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        with serving() as (site, _, _):
            visit = Visit(chromium, site, TINY)
            yield visit.page
            assert not visit.outside and not visit.wrong, visit.wrong
            visit.context.close()


def test_a_group_of_choices_is_one_stop_and_arrows_choose(page):
    page.locator("#field-guidance input[type=range]").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    chosen = page.locator("#field-steps input:checked")
    expect(chosen).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("still.request.steps === 2")
    expect(page.locator("#field-steps label.selected")).to_have_text("2")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_text("Details")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#model")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#field-steps input:checked")).to_be_focused()
    page.locator("#field-steps label", has_text="1").click()
    page.wait_for_function("still.request.steps === 1")


def test_style_is_a_menu_that_closes_when_it_is_left(page):
    style = page.get_by_label("Style")
    assert style.evaluate("e => e.tagName") == "SELECT" and "night" in style.inner_text()
    style.select_option("night")
    page.wait_for_function("still.request.style === 'night' && still.painter.wall.request.style === 'night'")
    style.focus()
    page.keyboard.press("Tab")
    expect(style).not_to_be_focused()
    assert page.locator("[role=listbox]:visible").count() == 0


def test_a_favourite_shows_before_the_server_answers_and_goes_where_it_is_refused(page):
    held = []
    page.route("**/component_server/**", lambda route: held.append(route))
    heart = page.get_by_role("button", name="Favourite: ").first
    heart.click(force=True)
    expect(heart).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(100)
    for route in held:
        route.fulfill(json={"error": "The disk is full: nothing new can be kept until some space is free."})
    page.unroute("**/component_server/**")
    expect(heart).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#say")).to_contain_text("The disk is full")


def test_the_row_of_tries_says_that_it_is_looked_up_for_as_long_as_it_is(page):
    held = []

    def hold(route):
        held.append(route) if '"words"' in route.request.post_data else route.continue_()

    page.route("**/component_server/**", hold)
    page.reload()
    row = page.locator(".sl-tries")
    expect(row).to_have_text("Looking up what this model knows …")
    while not held:
        page.wait_for_timeout(50)
    expect(row).to_have_text("Looking up what this model knows …")
    held[0].fulfill(json={"error": "The disk is full: nothing new can be kept until some space is free."})
    expect(row).to_have_text("")
    page.unroute("**/component_server/**")
    page.locator("#prompt").fill("a fox")
    expect(row).to_contain_text("try ")
    expect(row.locator("button").nth(1)).to_be_visible()


def test_a_screen_reader_hears_what_groups_are_called(page):
    expect(page.get_by_role("group", name="Steps", exact=True)).to_be_visible()
    expect(page.get_by_role("group", name="Pictures", exact=True).get_by_role("radio").first).to_be_attached()
    assert 'heading "Create" [level=1]' in page.locator("main").aria_snapshot()

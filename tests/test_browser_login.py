"""Pages that are no tab, in a real browser: the login in both themes, what programs can call, and what is not there."""

import pytest
from playwright.sync_api import expect

from tests import tiny
from tests.conftest import TINY, Visit
from tests.served import serving
from ui.place import Place

pytestmark = pytest.mark.browser
CONTRAST = """([front, back]) => {
  const curve = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((v) => curve(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path_factory.mktemp("studio"))))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        with serving(Place(login=True), logins=(("ada", "one"),)) as (site, _, _):
            yield site


class Guest(Visit):
    def painted(self, prompt=None):
        """Nothing is, before the login."""

    def colour(self, selector, what):
        return self.page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{what}")

    def contrast(self, front, back):
        return self.page.evaluate(CONTRAST, [front, back])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_can_be_seen_in_both_themes(chromium, door, theme):
    guest = Guest(chromium, door, TINY, color_scheme=theme)
    page, card = guest.page, guest.colour("form", "backgroundColor")
    assert page.title() == "Log in · Still Life"
    assert page.evaluate("document.activeElement.name") == "username"
    assert guest.contrast(guest.colour("input", "borderTopColor"), card) >= 3
    assert guest.contrast(guest.colour("input", "color"), guest.colour("input", "backgroundColor")) >= 4.5
    assert guest.contrast(guest.colour("button", "color"), guest.colour("button", "backgroundColor")) >= 4.5
    calm = guest.colour("input", "borderTopColor")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("two")
    page.get_by_role("button", name="Log in").click()
    assert "don't belong together" in page.get_by_role("alert").filter(has_text="password").inner_text()
    assert guest.contrast(guest.colour("#wrong", "color"), card) >= 4.5
    assert guest.colour("input", "borderTopColor") != calm and page.get_by_label("Password").input_value() == ""
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    Visit.painted(guest)
    assert "prompt=a+red+ball" in page.url, "the link that was opened"
    page.get_by_role("link", name="Log out").click()
    page.get_by_label("Password").wait_for()
    assert page.request.get(f"{door}gradio_api/info").status == 401
    assert not guest.outside and all("400" in line for line in guest.wrong), guest.wrong
    guest.context.close()


def test_what_programs_can_call_is_a_page_from_which_one_comes_back(chromium, door):
    with serving() as (site, _, _):
        v = Visit(chromium, site, TINY)
        page = v.page
        v.type(" x")
        page.locator(".sl-more summary, button", has_text="Wildcards, metadata, HTTP").first.click()
        page.get_by_role("link", name="What programs can call").click()
        expect(page.get_by_role("heading", name="/generate")).to_be_visible()
        assert page.title() == "For programs · Still Life" and f"curl -s {v.site}gradio_api/call/v2" in page.content()
        expect(page.get_by_role("cell", name="num_images")).to_be_visible()
        page.go_back()
        expect(page.locator("#prompt")).to_have_value("a red ball x")
        v.painted()
        assert page.goto(v.site + "nowhere/at/all").status == 404
        expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
        page.get_by_role("link", name="To Still Life").click()
        v.painted()
        v.wrong = []
        v.context.close()


def test_what_programs_can_call_is_told_after_the_login(chromium, door):
    guest = Guest(chromium, door, "endpoints")
    expect(guest.page.get_by_label("Password")).to_be_visible()
    guest.context.close()

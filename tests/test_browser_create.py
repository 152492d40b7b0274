"""Create in a real browser: drafts, previews, what the button says, the picker, and the sheet of a phone."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.conftest import PHONE, TINY

pytestmark = pytest.mark.browser
SLOW = TINY.replace("tiny-sprint", "tiny-sana")
HYPER = "?prompt=a+fox&model=toybox-hyper&seed=7&steps=2&num_images=1"


def calls(v):
    """What the page asks the server for from now on, as a list that grows."""
    asked = []
    v.page.on("request", lambda r: asked.append(json.loads(r.post_data)) if "component_server" in r.url else None)
    return asked


def test_a_student_drafts_while_one_types_and_the_base_paints_when_the_typing_rests(visit):
    v = visit(SLOW + "&steps=4")
    asked = calls(v)
    v.type("s")
    v.painted("a red balls")
    painted = [a["data"]["request"] for a in asked if a["fn_name"] == "paint"]
    models = [request["model"] for request in painted]
    assert models[0] == "tiny-sprint" and models[-1] == "tiny-sana" and models == sorted(models, reverse=True)
    assert {request["prompt"] for request in painted} == {"a red balls"}
    assert v.page.evaluate("still.painter.wall.request.model") == "tiny-sana"


def test_a_picture_of_many_steps_is_seen_as_it_comes(visit):
    v = visit(SLOW + "&steps=4")
    v.page.evaluate("still.set({ steps: 100, num_images: 16, prompt: 'a blue cube' })")
    v.page.wait_for_function("document.querySelector('.sl-look img')?.naturalWidth === 128")
    v.page.evaluate("still.painter.stop()")
    expect(v.page.locator(".sl-look")).to_have_count(0)


def test_nothing_of_another_prompt_is_seen_beside_the_first_picture(visit):
    v = visit()
    held = []
    v.page.route(
        "**/component_server/**",
        lambda r: (
            held.append(r) if '"paint"' in r.request.post_data and '"first":1' in r.request.post_data else r.continue_()
        ),
    )
    v.type("s")
    v.page.wait_for_function(
        "still.painter.wall.pictures.length === 1 && still.painter.wall.request.prompt === 'a red balls'"
    )
    v.page.wait_for_function(
        "[...document.querySelectorAll('#wall figure')].map(f => getComputedStyle(f).opacity).join() === '1,0,0,0'"
    )
    v.page.unroute("**/component_server/**")
    for route in held:
        route.continue_()
    v.painted("a red balls")


def test_the_button_says_what_it_does_and_what_is_kept_is_in_sight(visit):
    v = visit(TINY.replace("ball", "pyramid"), viewport={"width": 1400, "height": 900})
    go = v.page.locator(".sl-go")
    expect(go).to_have_text("Keep these")
    go.click()
    expect(go).to_have_text("New ones")
    expect(v.page.locator("#wall .sl-kept")).to_have_count(4)
    shown = v.page.get_by_role("navigation", name="Kept last").get_by_role("button", name="a red pyramid, seed 7")
    expect(shown).to_have_count(1)
    assert shown.bounding_box()["y"] + 64 < 900
    shown.click()
    expect(v.page.locator(".sl-closeup")).to_contain_text("seed 7")
    v.page.keyboard.press("Escape")
    before = v.sources()
    go.click()
    v.painted()
    assert v.request()["seed"] != 7 and not set(before) & set(v.sources())


def test_the_original_stands_in_the_middle_of_its_variations(visit):
    v = visit(TINY + "&enlarge=1")
    original = v.sources()[1]
    v.away()
    v.page.keyboard.press("ArrowRight")
    v.page.keyboard.press("m")
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.variation")
    v.painted()
    expect(v.page.locator("#wall figcaption")).to_have_text(["variation 1", "variation 2", "original", "variation 4"])
    assert v.sources()[2] == original and len(set(v.sources())) == 4
    v.page.get_by_role("button", name="Back to the original").click()
    v.page.wait_for_function("still.painter.wall.complete && !still.painter.wall.request.variation")
    v.painted()
    assert v.sources()[0] == original
    expect(v.page.locator("#original")).to_be_hidden()


def test_each_picture_says_what_its_wildcard_became(visit):
    v = visit(TINY.replace("a+red+ball", "a+{red|blue}+ball"))
    captions = v.page.locator("#wall figcaption").all_inner_texts()
    assert len(captions) == 4 and set(captions) <= {"a red ball", "a blue ball"}


def test_one_press_shows_a_thing_from_all_around(visit):
    v = visit("?prompt=a+mug&model=toybox-sd-views&seed=7&steps=4&num_images=1&enlarge=1")
    v.page.get_by_role("button", name="All around").click()
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.turn === 40")
    v.painted()
    captions = ["0°", "40°", "80°", "120°", "160°", "-160°", "-120°", "-80°", "-40°"]
    expect(v.page.locator("#wall figcaption")).to_have_text(captions)
    assert len(set(v.sources())) == 9 and v.request()["seed"] == 7
    v.page.locator("#model").select_option("toybox-sd")
    expect(v.page.get_by_role("button", name="All around")).to_be_hidden()
    assert v.request()["turn"] == 0


def test_what_can_be_typed_is_shown_found_and_offered(visit):
    v = visit(HYPER)
    expect(v.page.locator(".sl-notes")).to_contain_text("It was shown one drawing of “fox”")
    v.page.get_by_role("button", name="What can I type?").click()
    names = v.page.locator(".sl-names button")
    expect(v.page.locator(".sl-names")).to_contain_text("teapot")
    v.page.wait_for_function("document.querySelector('.sl-small-picture').style.backgroundImage.startsWith('url(')")
    v.page.get_by_label("Search names").fill("birthday")
    expect(names).to_have_text(["birthday cake"])
    v.page.locator("#prompt").fill("two")
    names.first.click()
    expect(v.page.locator("#prompt")).to_have_value("two birthday cake")
    v.page.locator("#prompt").fill("a birth")
    offers = v.page.get_by_role("listbox").get_by_role("option")
    expect(offers).to_have_text(["birthday cake"])
    v.page.keyboard.press("ArrowDown")
    v.page.keyboard.press("Enter")
    expect(v.page.locator("#prompt")).to_have_value("a birthday cake")
    expect(v.page.get_by_role("listbox")).to_be_hidden()
    v.painted("a birthday cake")


def test_a_model_is_chosen_by_what_it_is_good_for(visit):
    v = visit(HYPER)
    option = v.page.locator("#model option[value=toybox-dmd2]")
    assert re.match(r"Calm.*toybox-dmd2", option.evaluate("o => o.textContent"))
    assert 'option "Calm, well-shaped things, toybox-dmd2"' in v.page.locator("#model").aria_snapshot()
    assert option.locator("img").evaluate("async i => (await i.decode(), i.naturalWidth)") == 96
    note = v.page.locator("#model-note")
    expect(note).to_contain_text("about 24 pictures a second")
    expect(note.get_by_text("parameters")).to_be_hidden()
    note.get_by_text("Details").click()
    expect(note.get_by_text("parameters")).to_be_visible()


def test_a_phone_has_its_settings_in_a_sheet_and_targets_for_thumbs(visit):
    v = visit(viewport=PHONE, has_touch=True)
    page = v.page
    settings, model = page.locator("#settings"), page.locator("#model")
    expect(model).to_be_hidden()
    page.get_by_role("button", name="Settings", exact=True).tap()
    expect(model).to_be_visible()
    box = settings.bounding_box()
    assert box["y"] > 200 and box["height"] < 0.75 * PHONE["height"]
    page.wait_for_function("document.querySelector('#settings').getBoundingClientRect().bottom <= innerHeight + 1")
    page.go_back()
    expect(model).to_be_hidden()
    assert page.url.startswith(v.site)
    page.mouse.wheel(0, 900)
    page.wait_for_function("scrollY > 100")
    assert 0 <= page.locator("#prompt").bounding_box()["y"] < 60
    targets = "[...document.querySelectorAll('main button, main select, .sl-chip')]"
    targets += ".filter(e => e.checkVisibility({ visibilityProperty: true }))"
    low = page.evaluate(f"{targets}.filter(e => e.getBoundingClientRect().height < 43.5).map(e => e.outerHTML)")
    assert not low
    page.locator("#wall figure").nth(1).tap()
    page.locator("#wall .sl-on").get_by_role("button", name="More").tap()
    closeup = page.locator(".sl-closeup")
    expect(closeup).to_contain_text("seed 8")
    swipe = """(image, by) => { const at = (x) => new Touch({ identifier: 1, target: image, clientX: x, clientY: 200 });
        image.dispatchEvent(new TouchEvent('touchstart', { touches: [at(200)], changedTouches: [at(200)] }));
        image.dispatchEvent(new TouchEvent('touchend', { changedTouches: [at(200 + by)] })); }"""
    page.locator(".sl-large").evaluate(swipe, -120)
    expect(closeup).to_contain_text("seed 9")
    page.locator(".sl-large").evaluate(swipe, 120)
    expect(closeup).to_contain_text("seed 8")

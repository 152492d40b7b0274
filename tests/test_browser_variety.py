"""Variety on Create in a real browser: the knob, with and without, more different from these, Even; keys, a phone."""

import pytest
from playwright.sync_api import expect

from tests.conftest import PHONE

pytestmark = pytest.mark.browser
STUDENT = "?prompt=a+red+ball&model=tiny-sprint&seed=7&num_images=4&steps=4&enlarge=1"


def cures(v):
    return v.page.evaluate("(({ base_steps, text_noise, pink }) => ({ base_steps, text_noise, pink }))(still.request)")


def settled(v):
    """The wall that is there is whole, and the one that is wanted."""
    v.page.wait_for_function(
        "still.painter.same(still.painter.wall.request, still.request)"
        " && still.painter.wall.complete && !still.painter.busy"
    )


def turned(v, text):
    expect(v.page.locator("#variety-note")).to_contain_text(text)
    settled(v)


def test_the_knob_sets_fields_that_change_the_wall_and_come_back_with_a_picture(visit):
    """No study has measured the tiny models, so theirs are the stops of any model."""
    v = visit(STUDENT)
    before, knob = v.sources(), v.page.locator("#variety")
    expect(knob).to_have_value("0")
    knob.focus()
    for stop, fields in ((1, {"base_steps": 0, "text_noise": 0.2}), (2, {"base_steps": 1, "text_noise": 0})):
        v.page.keyboard.press("ArrowRight")
        v.page.wait_for_function("([k, n]) => still.request[k] === n", arg=["base_steps", fields["base_steps"]])
        turned(v, "Not measured on this model")
        assert cures(v) == fields | {"pink": 0}, stop
    varied = v.sources()
    assert all(a != b for a, b in zip(before, varied, strict=True))
    v.page.wait_for_function("location.search.includes('base_steps=1')")
    v.page.reload()
    v.painted()
    expect(v.page.locator("#variety-note")).to_contain_text("Its base takes the first step")
    assert cures(v) == {"base_steps": 1, "text_noise": 0, "pink": 0}
    knob.focus()
    v.page.keyboard.press("Home")
    v.page.wait_for_function("still.request.base_steps === 0")
    settled(v)
    assert cures(v) == {"base_steps": 0, "text_noise": 0, "pink": 0}


def test_other_steps_and_another_model_keep_the_knob_where_it_can_be_obeyed(visit):
    v = visit(STUDENT)
    v.page.locator("#variety").focus()
    v.page.keyboard.press("End")
    turned(v, "Its base takes the first step")
    v.page.locator("#field-steps label", has_text="1").click()
    v.page.wait_for_function("still.request.steps === 1 && still.request.base_steps === 0")
    settled(v)
    assert cures(v)["text_noise"] == 0.2, "one step has no room for a base"
    v.page.locator("#model").select_option("tiny-sana")
    v.page.wait_for_function("still.request.model === 'tiny-sana' && still.model.id === 'tiny-sana'")
    settled(v)
    assert cures(v) == {"base_steps": 0, "text_noise": 0.2, "pink": 0}
    expect(v.page.locator("#variety")).to_have_value("1")


def test_with_and_without_stand_side_by_side_and_escape_closes(visit):
    v = visit(STUDENT)
    v.page.locator("#variety").focus()
    v.page.keyboard.press("End")
    turned(v, "Its base takes the first step")
    v.page.get_by_role("button", name="With and without").click()
    v.page.wait_for_function("document.querySelectorAll('.sl-beside img').length === 8")
    sides = v.page.eval_on_selector_all(
        ".sl-beside .sl-wall", "all => all.map(w => [...w.querySelectorAll('img')].map(i => i.src))"
    )
    assert len(sides) == 2 and all(plain != varied for plain, varied in zip(*sides, strict=True))
    expect(v.page.locator(".sl-beside .sl-time").last).to_contain_text("ms a picture")
    v.page.keyboard.press("Escape")
    expect(v.page.locator(".sl-beside")).to_be_hidden()


def test_more_different_from_these_paints_a_wall_that_keeps_away(visit):
    v = visit(STUDENT)
    before, seed = v.sources(), v.request()["seed"]
    v.page.get_by_role("button", name="More different from these").click()
    v.page.wait_for_function("still.request.unlike && still.painter.wall.request.unlike === still.request.unlike")
    settled(v)
    expect(v.page.locator("#unlike-note")).to_contain_text("Kept away from 4 pictures")
    away = v.sources()
    assert v.request()["seed"] != seed and away != before
    v.page.get_by_role("button", name="Let go of them").click()
    v.page.wait_for_function("!still.request.unlike")
    settled(v)
    assert v.sources() != away
    v.page.locator("#field-steps label", has_text="1").click()
    expect(v.page.locator("#unlike")).to_be_disabled()


def test_even_says_on_each_picture_what_it_chose(visit):
    v = visit("?prompt=a+ball&model=tiny-sprint&seed=7&num_images=4&steps=1&even=background")
    labels = v.page.locator("#wall figcaption")
    expect(labels).to_have_count(4)
    texts = [label.text_content() for label in labels.all()]
    assert len(set(texts)) == 4 and all(text.startswith("on a ") or "background" in text for text in texts)
    assert [p["text"] for p in v.page.evaluate("still.painter.wall.pictures")] == v.page.eval_on_selector_all(
        "#wall img", "all => all.map(i => i.alt.split(', seed')[0])"
    )


def test_skin_tones_are_offered_by_models_that_have_the_words(visit):
    v = visit(STUDENT)
    choice = v.page.locator("#field-even select")
    skin = choice.locator("option[value='everything and skin']")
    expect(skin).to_be_disabled()
    v.page.locator("#model").select_option("tiny-sana")  # it lists no words: it may know all
    expect(skin).to_be_enabled()
    choice.select_option("everything and skin")
    v.page.wait_for_function("still.request.even === 'everything and skin'")
    v.page.locator("#model").select_option("tiny-sprint")
    v.page.wait_for_function("still.request.model === 'tiny-sprint' && still.request.even === 'everything'")
    expect(choice).to_have_value("everything")
    settled(v)


def test_a_phone_shows_it_all_without_scrolling_sideways(visit):
    v = visit(STUDENT, viewport=PHONE)
    v.page.get_by_role("button", name="Settings", exact=True).click()
    v.page.locator("#variety").scroll_into_view_if_needed()
    v.page.get_by_role("button", name="With and without").click()
    v.page.wait_for_function("document.querySelectorAll('.sl-beside img').length === 8")
    assert v.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert v.page.evaluate("(d => d.scrollWidth <= d.clientWidth)(document.querySelector('.sl-beside'))")

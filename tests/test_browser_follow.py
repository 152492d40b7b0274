"""A line drawing on the Draw page steers the picture, by a control; what has none says so."""

import numpy as np
import pytest
from playwright.sync_api import expect

from core.paths import studio
from tests import tiny
from tests.test_browser_draw import LARGE, drawing, files, follows, stroke

pytestmark = pytest.mark.browser
QUERY = "?prompt=a+red+ball&model=tiny-hyper&steps=1&seed=7"


@pytest.fixture(scope="module", autouse=True)
def control(site):
    """The running app finds the models that are put into its studio."""
    tiny.build_sd(studio())
    tiny.build_control(studio())


@pytest.fixture
def opened(visit):
    v = visit()
    v.page.goto(f"{v.site}draw{QUERY}")
    expect(v.page.locator(f"{LARGE}:not([hidden])")).to_be_visible()
    return v


def settled(v, words):
    """Wait until four pictures are there of a drawing that was read so, and nothing is under way."""
    pace = v.page.locator("#draw-pace")
    expect(pace).to_contain_text("4 pictures")
    expect(pace).to_contain_text(words)


def source(v):
    """The second seed's picture, which is not painted again in a larger size as the first one is."""
    return v.page.locator(".sl-draw-strip img").first.get_attribute("src")


def test_lines_on_white_are_followed_as_closely_as_one_says(opened):
    v = opened
    settled(v, "as colours")
    v.page.get_by_role("button", name="Clear the drawing").click()
    expect(v.page.locator("#draw-pace")).to_have_text("Draw something, then it is painted on.")
    v.page.get_by_label("Colour #222222").click()
    follows(v, lambda: stroke(v, (0.2, 0.2), (0.8, 0.3), (0.5, 0.8), (0.2, 0.2)))
    settled(v, "as lines")
    followed = source(v)
    slider = v.page.get_by_label("How closely the lines are followed")
    follows(v, lambda: slider.fill("0"))
    settled(v, "as lines")
    assert source(v) != followed
    follows(v, lambda: slider.fill("1"))
    settled(v, "as lines")
    assert source(v) == followed, "the same drawing and seed give the same picture"
    follows(v, lambda: v.page.get_by_label("How the drawing is read").select_option("colours"))
    settled(v, "as colours")
    assert source(v) != followed and "reads=colours" in v.page.url


def test_a_drawing_becomes_its_lines_and_leaves_one_file_for_each_reading(opened):
    v = opened
    settled(v, "as colours")
    before = files()
    follows(v, lambda: v.page.get_by_role("button", name="The drawing becomes its lines").click())
    settled(v, "as lines")
    drawn = drawing(v)
    assert set(np.unique(drawn)) == {0, 255} and 0.005 < (drawn == 0).mean() < 0.2
    assert len(files() - before) == 1 and len(before - files()) == 1, "the picture's file went as the lines' came"
    v.page.keyboard.press("Control+z")
    settled(v, "as colours")
    assert len(np.unique(drawing(v))) > 2
    follows(v, lambda: v.page.get_by_label("How the drawing is read").select_option("both"))
    settled(v, "as both")
    assert len(files() - before) <= 2


def test_a_model_without_a_control_says_so(opened):
    v = opened
    reading = v.page.get_by_label("How the drawing is read")
    expect(reading).to_be_enabled()
    follows(v, lambda: v.page.get_by_label("Model").select_option("tiny-sprint"))
    expect(reading).to_be_disabled()
    expect(reading).to_have_attribute(
        "title", "tiny-sprint has no control, so it follows no lines: it reads the drawing as colours."
    )

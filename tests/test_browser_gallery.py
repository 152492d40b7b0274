"""The gallery in a real browser: what was painted stays, is found, compared, dropped, taken along."""

import base64
import io
import zipfile

import pytest
from PIL import Image
from playwright.sync_api import expect

from models import picture
from models.request import ImageRequest
from tests.conftest import TINY

pytestmark = pytest.mark.browser


def drop(page, name, data, kind="image/png"):
    """Drop a file on the middle of the page, as a person does."""
    transfer = page.evaluate_handle(
        """([name, kind, data]) => {
            const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: kind }));
            return transfer;
        }""",
        [name, kind, base64.b64encode(data).decode()],
    )
    page.dispatch_event("#wall", "drop", {"dataTransfer": transfer})


def test_what_is_painted_is_there_after_a_reload(visit):
    v = visit(TINY.replace("ball", "cube"))
    total = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#count")).not_to_have_text(total)
    kept = v.count()
    newest = v.page.locator("#gallery img").first.get_attribute("alt")
    v.open("")
    expect(v.page.locator("#count")).to_have_text(kept)
    assert v.page.locator("#gallery img").first.get_attribute("alt") == newest == "a red cube, seed 10"
    v.page.get_by_placeholder("Search prompts…").fill("red cube")
    expect(v.page.locator("#count")).to_have_text("4 pictures")
    v.page.get_by_placeholder("Search prompts…").fill("nothing like that")
    expect(v.page.locator("#count")).to_have_text("0 pictures")
    expect(v.page.get_by_text("No picture here matches.")).to_be_visible()


def test_a_favourite_can_be_found_and_deleted(visit):
    v = visit(TINY.replace("ball", "mushroom"))
    page = v.page
    v.away()
    page.keyboard.press("f")
    expect(page.locator("#wall .sl-loved")).to_have_count(1)
    page.get_by_role("button", name="Favourites").click()
    mine = page.locator("#gallery img[alt='a red mushroom, seed 7']")
    expect(mine).to_have_count(1)
    mine.click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Really delete?").click()
    expect(mine).to_have_count(0)
    expect(page.locator("#wall .sl-loved")).to_have_count(0)


def test_a_dropped_picture_restores_everything(visit):
    v = visit()
    wanted = ImageRequest(
        "a blue mushroom", model="tiny-sana", seed=123, steps=8, guidance=2.5, negative="red", style="sky"
    )
    drop(v.page, "any name.png", picture.png_bytes(Image.new("RGB", (8, 8)), wanted))
    v.painted("a blue mushroom")
    wall = wanted.to_dict() | {"num_images": 4}  # it stays as large as it was
    assert v.request() == wall
    page = v.page
    assert page.locator("#prompt").input_value() == "a blue mushroom"
    assert page.locator("#model").input_value() == "tiny-sana"
    assert page.locator("#field-seed input").input_value() == "123"
    assert page.locator("#field-negative textarea, #field-negative input").input_value() == "red"
    assert page.locator("#field-steps label.selected").inner_text() == "8"
    assert page.locator("#field-guidance input[type=number]").input_value() == "2.5"
    drop(page, "a.png", b"this is text")
    expect(page.locator("#say")).to_contain_text("this is no picture that can be read")
    assert v.request() == wall


def test_more_like_this_is_a_wall_of_neighbours(visit):
    v = visit()
    v.away()
    v.page.keyboard.press("ArrowRight")
    v.page.keyboard.press("m")
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.variation === 0.35")
    r = v.request()
    assert r["seed"] == 8 and r["num_images"] == 4
    expect(v.page.locator("#wall figcaption").first).to_have_text("variation 1")
    slider = v.page.locator("#field-variation input[type=number]")
    expect(slider).to_be_visible()
    slider.fill("0")
    slider.press("Enter")
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.variation === 0")
    expect(v.page.locator("#wall figcaption").first).to_have_text("seed 8")


def test_any_two_pictures_side_by_side(visit):
    v = visit()
    v.away()
    said = v.page.locator("#say")
    for key, sentence in (("c", "This is A"), ("c", ""), ("c", "This is A"), ("ArrowRight", "This is A"), ("c", "")):
        v.page.keyboard.press(key)
        assert said.inner_text().startswith(sentence) and bool(said.inner_text()) == bool(sentence)
    expect(v.page.locator("#compare-pair img")).to_have_count(2)
    expect(v.page.locator("#slider-note")).to_contain_text(
        "Left, A: a red ball, tiny-sprint, 1 step, seed 7. Right, B:"
    )
    v.page.keyboard.press("Escape")
    expect(v.page.locator("#compare-pair")).to_be_hidden()


def test_all_pictures_in_one_download(visit):
    v = visit(TINY.replace("a+red", "the+red"))
    total = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#count")).not_to_have_text(total)
    v.page.get_by_placeholder("Search prompts…").fill("the red")
    expect(v.page.locator("#count")).to_have_text("4 pictures")
    with v.page.expect_download() as got:
        v.page.get_by_role("button", name="Download all", exact=True).first.click()
    with zipfile.ZipFile(io.BytesIO(got.value.path().read_bytes())) as archive:
        assert len(archive.namelist()) == 4


def test_text_stays_text(visit):
    evil = "<img src=x onerror=alert(1)> ${alert(2)} {{7*7}} `${alert(3)}`"
    v = visit()
    v.page.locator("#prompt").fill(evil)
    v.painted(evil)
    total = v.count()
    v.page.keyboard.press("Control+Enter")
    expect(v.page.locator("#count")).not_to_have_text(total)
    v.page.locator("#gallery figure").first.click()
    expect(v.page.locator(".sl-said")).to_have_text(evil)
    v.open("")
    expect(v.page.locator("#gallery figure").first).to_be_visible()

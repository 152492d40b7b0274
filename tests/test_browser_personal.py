"""A thing of one's own on Distill, in a real browser: pictures, a name and a start make a job."""

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.conftest import DESK, PATIENCE

pytestmark = pytest.mark.browser
APP_FLAGS = ("--no-worker",)


def test_pictures_and_a_name_start_a_training(chromium, app, tmp_path):
    files = [tmp_path / f"{colour}.png" for colour in ("red", "green", "blue", "white", "black", "pink")]
    for file in files:
        Image.new("RGB", (300, 200), file.stem).save(file)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    context = chromium.new_context(viewport=DESK)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(app.address + "distill")
    note, start = page.locator("#own-note"), page.locator("#own-start")
    expect(note).to_contain_text("5 to 20 pictures of one thing")
    expect(start).to_be_disabled()
    page.locator("#own-files").set_input_files([*files, tmp_path / "broken.png"])
    expect(page.locator("#own-strip img")).to_have_count(6)
    expect(note).to_have_text("broken.png can't be read as a picture.")
    page.get_by_role("button", name="Leave out picture 6").click()
    expect(page.locator("#own-strip img")).to_have_count(5)
    page.locator("#own-word").fill("two words")
    start.click()
    expect(note).to_contain_text("the name 'two words' must be one word of small letters, digits and dashes")
    page.locator("#own-word").fill("bobo")
    page.locator("#own-noun").fill("cup")
    start.click()
    page.wait_for_function("location.search.startsWith('?id=')")
    expect(page.locator(".sl-job")).to_contain_text("personal · bobo")
    assert len(list((app.studio / "datasets" / "bobo").glob("*.png"))) == 5
    expect(page.locator("#own-word")).to_be_hidden()
    page.get_by_role("button", name="Teach it your own thing").click()
    expect(page.locator("#own-strip img")).to_have_count(5)
    expect(page.locator("#own-choose")).to_be_focused()
    page.wait_for_timeout(1500)  # the page asks for the newest job each second, and does not open it again
    expect(page.locator("#own-word")).to_be_visible()
    context.close()

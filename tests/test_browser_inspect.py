"""The Inspect page in a real browser: cells as they come, views, wiping, branching, exporting, keys and a phone."""

import base64
import io
import re
from urllib.parse import urlencode

import av
import pytest
from PIL import Image
from playwright.sync_api import expect

from core.paths import studio
from models import picture
from tests.branched import retold
from tests.conftest import PHONE, TINY
from tests.jobs_bench import until

pytestmark = pytest.mark.browser
ASKED = {"prompt": "a red ball", "seed": 5, "seeds": 2, "models": "tiny-sana:4,tiny-sprint:2"}
CELL, FACTS, TREE = ".sl-look-cell", ".sl-look-large .sl-facts", ".sl-look-tree"


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
    expect(v.page.locator(FACTS)).to_contain_text("tiny-sprint, step 1 of 2")
    v.page.get_by_label("Step", exact=True).fill("1")
    expect(v.page.locator(FACTS)).to_contain_text("step 2 of 2")
    cells.nth(0).click(modifiers=["Shift"])
    expect(v.page.get_by_label("Wipe")).to_be_visible()
    v.page.get_by_text("Go on from this step").click()
    v.page.get_by_role("button", name="Branch from here").click()
    expect(cells).to_have_count(3)
    src = v.page.eval_on_selector_all(f"{CELL} img", "all => all.map(i => i.src)")
    assert src[2] == src[1], "unchanged, a branch is its parent"
    assert set(v.page.get_by_label("Go on with").locator("option").all_inner_texts()) == {"tiny-sana", "tiny-sprint"}
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
    made = {}
    for kind in ("gif", "mp4"):
        with v.page.expect_download() as download:
            v.page.get_by_label("Export").select_option(kind)
        assert download.value.suggested_filename == f"still-life-steps.{kind}"
        made[kind] = io.BytesIO(download.value.path().read_bytes())
    assert Image.open(made["gif"]).n_frames == 2
    with av.open(made["mp4"]) as film:
        assert sum(1 for _ in film.decode(video=0)) == 2 + 1, "the last is written twice"


def test_a_cell_fills_the_window_and_is_scrubbed_and_wiped_there(visit):
    v = opened(visit, models="tiny-sprint:4", seeds=1)
    whole(v, 4)
    page, large = v.page, v.page.locator(".sl-look-large")
    picture = large.locator(".sl-look-picture")
    page.locator(CELL).nth(0).click()
    page.locator(CELL).nth(2).click(modifiers=["Shift"])
    beside = picture.bounding_box()["width"]
    picture.click()
    page.wait_for_function("document.querySelector('.sl-look-large').matches(':modal')")
    box = picture.bounding_box()
    assert box["width"] > 1.5 * beside and box["y"] + box["height"] <= page.viewport_size["height"]
    expect(page.get_by_label("Step", exact=True)).to_be_focused()
    page.get_by_label("Wipe").fill("80")
    assert large.locator(".sl-look-over").evaluate("e => e.style.clipPath") == "inset(0px 20% 0px 0px)"
    page.get_by_label("Step", exact=True).focus()
    for step in (2, 3):
        page.keyboard.press("ArrowRight")
        expect(page.locator(FACTS)).to_contain_text(f"step {step} of 4")
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('.sl-look-large').matches(':modal')")
    expect(page.locator(FACTS)).to_contain_text("step 3 of 4")
    expect(page.get_by_role("button", name="Full size")).to_be_focused()
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    expect(page.locator(".sl-look")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("f")
    page.wait_for_function("document.querySelector('.sl-look-large').matches(':modal')")


def test_a_slider_is_an_axis_of_the_grid(visit):
    v = opened(visit, models="tiny-sprint:2", seeds=1)
    whole(v, 2)
    v.page.get_by_label("Vary").select_option("size")
    expect(v.page.get_by_label("Values")).to_have_value("-2, 0, 2")
    v.page.get_by_role("button", name="Look").click()
    whole(v, 3 * 2)
    expect(v.page.locator(".sl-look-label b")).to_have_text([f"tiny-sprint, size {n}" for n in (-2, 0, 2)])
    assert len(set(v.page.eval_on_selector_all(f"{CELL} img", "all => all.map(i => i.src)"))) == 6
    v = opened(visit, models="tiny-sprint:2", seeds=1, field="plain/striped", values="1")
    whole(v, 2)
    expect(v.page.get_by_label("Vary")).to_have_value("plain/striped")


def test_keys_walk_the_grid(visit):
    v = opened(visit, models="tiny-sprint:2", seeds=2)
    whole(v, 4)
    v.page.locator(".sl-look").focus()
    facts = v.page.locator(FACTS)
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
    v.page.get_by_text("What it can't tell").first.click()
    expect(v.page.get_by_text("Its blur counts as distance")).to_be_visible()
    assert v.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def grown(v, cell, cells, words=None):
    """A branch from a cell, with other words; there are so many cells then."""
    v.page.locator(CELL).nth(cell).click()
    button = v.page.get_by_role("button", name="Branch from here")
    if not button.is_visible():
        v.page.get_by_text("Go on from this step").click()
    if words:
        v.page.get_by_label("Prompt from here on").fill(words)
    button.click()
    expect(v.page.locator(CELL)).to_have_count(cells)


def current(v, text):
    expect(v.page.get_by_role("tree").locator("[aria-current]")).to_have_text(text)


def test_branches_are_a_tree_that_one_can_walk_back(visit):
    v = opened(visit, models="tiny-sprint:4", seeds=1)
    whole(v, 4)
    grown(v, 1, 7, "a blue ball")
    tree = v.page.get_by_role("navigation", name="Branches")
    expect(tree.locator("ul ul button")).to_have_text("from step 2: prompt a blue ball")
    tree.locator("ul ul button").click()
    expect(v.page.locator(FACTS)).to_contain_text("step 2 of 4")
    v.page.get_by_role("button", name="Branch from here").click()
    expect(tree.locator("ul ul ul button")).to_have_text("from step 2: unchanged")
    tree.locator("ul ul ul button").click()
    back = v.page.get_by_role("button", name="Back to where it branched")
    back.click()
    current(v, "from step 2: prompt a blue ball")
    back.click()
    current(v, "tiny-sprint")
    expect(back).to_have_count(0)
    tree.locator("ul ul ul button").click()
    v.page.get_by_role("link", name="Paint on Create").click()
    v.painted("a blue ball")
    assert v.request()["start"] and v.request()["start_step"] == 1


def test_the_tree_is_walked_by_keys_alone(visit):
    """Tab comes to it once; arrows go to neighbours, a row's branches and where it came from; Enter opens."""
    v = opened(visit, models="tiny-sprint:4", seeds=1)
    whole(v, 4)
    grown(v, 1, 7, "a blue ball")
    grown(v, 2, 9, "a green ball")
    grown(v, 5, 11, "a blue cube")
    page, tree = v.page, v.page.get_by_role("tree")
    row = {"root": "tiny-sprint"} | {
        n: f"from step {i}: prompt {words}"
        for n, (i, words) in {
            "blue": (2, "a blue ball"),
            "cube": (3, "a blue cube"),
            "green": (3, "a green ball"),
        }.items()
    }
    assert tree.get_by_role("treeitem").all_inner_texts() == [row[n] for n in ("root", "blue", "cube", "green")]
    levels = tree.get_by_role("treeitem").evaluate_all("all => all.map(e => e.ariaLevel)")
    assert levels == ["1", "2", "3", "2"]
    tree.get_by_text(row["root"], exact=True).click()
    expect(page.locator(f"{TREE} [tabindex='0']")).to_have_count(1)
    for key, name in (
        ("ArrowRight", "blue"),
        ("ArrowRight", "cube"),
        ("ArrowDown", "green"),
        ("ArrowRight", "green"),  # nothing goes on from it
        ("ArrowLeft", "root"),
        ("ArrowUp", "root"),
        ("End", "green"),
        ("ArrowUp", "cube"),
        ("ArrowLeft", "blue"),
        ("Home", "root"),
        ("ArrowDown", "blue"),
    ):
        page.keyboard.press(key)
        expect(page.locator(f"{TREE} :focus")).to_have_text(row[name])
    current(v, row["root"])
    page.keyboard.press("Enter")
    current(v, row["blue"])
    expect(page.locator(f"{TREE} :focus")).to_have_text(row["blue"])
    expect(page.locator(FACTS)).to_contain_text("step 2 of 4")
    back = page.get_by_role("button", name="Back to where it branched")
    back.focus()
    page.keyboard.press("Enter")
    current(v, row["root"])
    expect(page.locator(".sl-look")).to_be_focused()  # the button is gone, the grid goes on
    page.keyboard.press("ArrowRight")
    expect(page.locator(FACTS)).to_contain_text("step 3 of 4")


def test_keys_scrub_on_and_wipe(visit):
    """What a key changed in the close-up keeps the focus, so that the next key goes on."""
    v = opened(visit, models="tiny-sprint:4", seeds=1)
    whole(v, 4)
    v.page.locator(".sl-look").focus()
    v.page.keyboard.press("ArrowRight")
    v.page.keyboard.press("Shift+ArrowRight")
    v.page.keyboard.press("Shift+ArrowRight")
    expect(v.page.locator(".sl-look-large")).to_contain_text(
        "Left: tiny-sprint, seed 5, step 3. Right: tiny-sprint, seed 5, step 1."
    )
    v.page.get_by_label("Step", exact=True).focus()
    for step in (2, 3, 4):
        v.page.keyboard.press("ArrowRight")
        expect(v.page.locator(FACTS)).to_contain_text(f"step {step} of 4")
    for stop in (v.page.get_by_role("button", name="Full size"), v.page.get_by_role("link", name="Paint on Create")):
        v.page.keyboard.press("Tab")
        expect(stop).to_be_focused()


def test_a_phone_shows_the_tree_and_fingers_walk_it(visit):
    v = opened(visit, PHONE, models="tiny-sprint:4", seeds=1)
    whole(v, 4)
    words = "a very long prompt about a small blue ball"
    grown(v, 0, 8, words)
    for n, cells in ((4, 12), (8, 16)):
        grown(v, n, cells, f"{words} {n}")
    tree = v.page.get_by_role("tree")
    rows = tree.get_by_role("treeitem")
    expect(rows).to_have_count(4)
    for box in (row.bounding_box() for row in rows.all()):
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] and box["height"] >= 24
    rows.last.click()
    expect(rows.last).to_have_attribute("aria-current", "true")
    for n in (2, 1, 0):
        v.page.get_by_role("button", name="Back to where it branched").click()
        expect(rows.nth(n)).to_have_attribute("aria-current", "true")
    assert v.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_base_takes_any_number_of_steps_and_a_student_its_own(visit):
    v = opened(visit, models="tiny-sana:10,tiny-sprint:2", seeds=1)
    whole(v, 10 + 2)
    number = v.page.get_by_label("Steps of tiny-sana")
    expect(number).to_have_value("10")
    assert v.page.get_by_label("Steps of tiny-sprint").evaluate("e => e.tagName") == "SELECT"
    number.fill("7")
    number.press("Enter")
    whole(v, 7 + 2)
    assert "tiny-sana%3A7" in v.page.url


def cells_of(v):
    """By place, once nothing is painted any more."""
    expect(v.page.get_by_role("button", name="Stop")).to_be_disabled()
    return dict(v.page.eval_on_selector_all(CELL, "all => all.map(c => [c.id, c.firstChild.src])"))


def test_another_view_while_the_grid_is_painted_loses_no_cell(visit):
    v = opened(visit, models="tiny-sana:30,tiny-sprint:4", seeds=2)
    expect(v.page.locator(CELL).first).to_be_visible()
    for view in ("noise", "x_t", "change", "noise"):
        v.page.get_by_label("Show").select_option(view)
    whole(v, 2 * (30 + 4))
    redrawn = cells_of(v)
    v.page.get_by_role("button", name="Look").click()
    v.page.wait_for_function("count => document.querySelectorAll('.sl-look-cell').length < count", arg=2 * (30 + 4))
    whole(v, 2 * (30 + 4))
    assert cells_of(v) == redrawn, "all are of one view"


def ended(v):
    """Wait until nothing is painted and the page has every cell. (`wait_for_function` takes a promise for true.)"""
    whole = f"(grid) => !grid.working && grid.cells.length === document.querySelectorAll('{CELL}').length"
    until(lambda: v.page.evaluate(f"still.call('look_more', {{ after: 0 }}).then({whole})"))


def test_stop_stops_and_what_is_there_stays(visit):
    v = opened(visit, models="tiny-sana:100", seeds=4)
    v.page.wait_for_function(
        """() => document.querySelector(".sl-look-cell")
          && ([...document.querySelectorAll("button")].find((b) => b.textContent === "Stop").click(), true)"""
    )
    ended(v)
    expect(v.page.get_by_role("button", name="Stop")).to_be_disabled()
    there = v.page.locator(CELL).count()
    assert 4 <= there < 400
    v.page.locator(CELL).first.click()
    expect(v.page.locator(FACTS)).to_contain_text("step 1 of 100")
    v.page.get_by_label("Show").select_option("noise")
    ended(v)
    assert v.page.locator(CELL).count() <= there + 4, "what was stopped does not go on"


def dropped(v, data):
    """A file on Create, and what the page says of it."""
    transfer = v.page.evaluate_handle(
        """data => {
            const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), all = new DataTransfer();
            all.items.add(new File([bytes], "branch.png", { type: "image/png" }));
            return all;
        }""",
        base64.b64encode(data).decode(),
    )
    v.page.dispatch_event("#wall", "drop", {"dataTransfer": transfer})


def forget():
    for file in (studio() / "inputs").iterdir():
        file.unlink()


def test_a_branched_picture_that_is_dropped_is_painted_again_from_its_descent(visit):
    """Kept by the page, forgotten by the studio, dropped: the same wall; with another beginning, it says so."""
    v = opened(visit, models="tiny-sprint:4", seeds=1)
    whole(v, 4)
    grown(v, 1, 7, "a blue ball")
    grown(v, 5, 9, "a blue cube")
    v.page.get_by_role("tree").get_by_role("treeitem").last.click()
    v.page.get_by_role("link", name="Paint on Create").click()
    v.painted("a blue cube")
    branch, wall = v.request(), v.sources()
    v.away()
    v.page.keyboard.press("ArrowRight")
    with v.page.expect_download() as got:
        v.page.keyboard.press("d")
    png = got.value.path().read_bytes()
    assert [one["prompt"] for one in picture.read(png).descent] == ["a red ball", "a blue ball"]
    forget()
    v.open(TINY.replace("num_images=4", "num_images=1"))
    dropped(v, png)
    v.painted("a blue cube")
    expect(v.page.locator("#say")).to_contain_text("The step that it starts from was painted again, bit for bit.")
    assert v.sources() == wall and v.request() == branch
    forget()
    v.open(TINY.replace("num_images=4", "num_images=1"))
    dropped(v, retold(png, seed=99))
    v.page.wait_for_function("start => ![start, ''].includes(still.request.start)", arg=branch["start"])
    expect(v.page.locator("#say")).to_contain_text("was painted again, and is not quite what it was.")
    v.page.wait_for_function("still.painter.wall.complete && still.painter.wall.request.start === still.request.start")
    v.painted("a blue cube")
    assert v.sources() != wall

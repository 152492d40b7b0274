"""The page of things in 3D in a real browser, with real meshes in real WebGL; nothing is fetched from outside."""

import re

import pytest
from playwright.sync_api import expect

from jobs.job import State
from jobs.store import Store
from tests import things, tiny
from tests.conftest import PATIENCE, PHONE

pytestmark = pytest.mark.browser
APP_FLAGS = ["--no-worker"]  # jobs are left as a worker leaves them, until the last test
LONG = 400_000  # ms for a job of seconds on a machine whose cores are all busy


@pytest.fixture(scope="module")
def store(app):
    made = Store(app.studio)
    yield made
    made.close()


@pytest.fixture(scope="module")
def egg(store):
    return things.done(store, seeds=3)


@pytest.fixture
def visit(chromium, app):
    contexts, wrong, outside = [], [], []

    def go(path, **context):
        contexts.append(chromium.new_context(**({"viewport": {"width": 1400, "height": 1300}} | context)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((app.address, *OWN)) else None)
        page.goto(app.address + path)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not wrong and not outside


OWN = ("data:", "blob:")
SHOWN = """canvas => {
    const [width, height] = [canvas.width, canvas.height], copy = new OffscreenCanvas(width, height).getContext("2d");
    return new Promise(done => requestAnimationFrame(() => {
        canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "+"}));   // draws in this very frame
        canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "-"}));
        copy.drawImage(canvas, 0, 0);
        done({middle: [...copy.getImageData(width / 2, height / 2, 1, 1).data],
              corner: [...copy.getImageData(2, 2, 1, 1).data],
              all: [...copy.getImageData(0, 0, width, height).data].reduce((sum, x) => (sum * 31 + x) % 1e9, 0)});
    }));
}"""


def seen(canvas):
    """What the stage shows: pixels of its middle and of a corner, and a sum over all."""
    return canvas.evaluate(SHOWN)


def stage(page):
    canvas = page.locator("canvas.sl-stage[data-faces]:visible")
    expect(canvas).to_have_count(1)
    return canvas


def test_on_the_first_visit_the_box_shows_what_can_be_made(visit, store):
    page = visit("threed")
    canvas = stage(page)
    names = page.get_by_role("group", name="Examples").locator(".sl-thing")
    expect(names).to_have_count(3)
    first = seen(canvas)
    assert first["middle"][3] == 255 and first["corner"][3] == 0, "a solid thing on nothing"
    faces = canvas.get_attribute("data-faces")
    names.last.click()
    page.wait_for_function("faces => document.querySelector('canvas.sl-stage').dataset.faces !== faces", arg=faces)
    assert seen(canvas)["all"] != first["all"]


def test_a_mesh_is_turned_by_mouse_and_keys_and_shown_in_other_ways(visit, egg):
    page = visit(f"threed?id={egg.id}")
    canvas = stage(page)
    expect(canvas).to_have_attribute("data-faces", "1280")
    red, green, blue, _ = seen(canvas)["middle"]
    assert red > green > blue, "its front is orange"
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + box["height"] * 0.75, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    expect(canvas).to_have_attribute("aria-label", re.compile("from 205° round"))
    red, _, blue, _ = seen(canvas)["middle"]
    assert blue > red, "its back is blue"
    canvas.press("0")
    home = seen(canvas)["all"]
    for key, words in (("ArrowUp", "28° up"), ("w", "and edges"), ("n", "normals")):
        canvas.press(key)
        expect(canvas).to_have_attribute("aria-label", re.compile(words))
        now = seen(canvas)["all"]
        assert now != home, key
        home = now
    page.get_by_role("button", name="Clay").click()
    page.get_by_role("button", name="Edges").click()
    pixel = seen(canvas)["middle"]
    assert max(pixel[:3]) - min(pixel[:3]) < 90, "clay has no colour of its own"
    page.get_by_role("button", name="Turn", exact=True).click()
    at = canvas.get_attribute("aria-label")
    page.wait_for_function("at => document.querySelector('canvas.sl-stage').ariaLabel !== at", arg=at)


def test_a_threshold_is_tried_before_anything_is_made(visit, store, egg):
    page = visit(f"threed?id={egg.id}")
    canvas = stage(page)
    slider, cut = page.get_by_label("Threshold of the surface"), page.get_by_role("button", name="Cut it here")
    expect(cut).to_be_disabled()
    slider.press("ArrowRight")
    expect(page.get_by_text("Its silhouettes would be")).to_be_visible()
    expect(canvas).not_to_have_attribute("data-faces", "1280")
    page.get_by_role("button", name="Back to the finished mesh").click()
    expect(canvas).to_have_attribute("data-faces", "1280")
    slider.press("End")
    expect(page.get_by_text("No surface at threshold 30")).to_be_visible()
    expect(cut).to_be_disabled()
    slider.press("Home")
    expect(cut).to_be_enabled()
    cut.click()
    expect(page.locator(".sl-words")).to_contain_text("Waiting for its turn")
    job = store.jobs((State.QUEUED,))[0]
    fields = {k: job.request[k] for k in ("prompt", "start", "rounds", "seeds", "threshold")}
    assert fields == {"prompt": "an orange egg", "start": egg.id, "rounds": 0, "seeds": 1, "threshold": 0.6}
    assert job.parent == egg.id
    store.cancel(job.id)


def test_another_seed_is_picked_and_more_rounds_are_asked_for(visit, store, egg):
    page = visit(f"threed?id={egg.id}")
    seeds = page.locator(".sl-seed")
    expect(seeds).to_have_count(3)
    expect(seeds.nth(1)).to_be_disabled()
    seeds.nth(2).click()
    expect(page.locator(".sl-words")).to_contain_text("Waiting for its turn")
    picked = store.jobs((State.QUEUED,))[0]
    assert (picked.request["start"], picked.request["pick"], picked.request["rounds"]) == (egg.id, 2, 0)
    page.go_back()
    page.get_by_role("button", name="More rounds").click()
    expect(page.locator(".sl-words")).to_contain_text("Waiting for its turn")
    page.wait_for_function("id => !location.search.includes(id)", arg=egg.id)
    more = next(j for j in store.jobs((State.QUEUED,)) if j.id != picked.id)
    assert (more.request["start"], more.request["pick"], more.request["rounds"]) == (egg.id, None, 10)
    for job in (picked, more):
        store.cancel(job.id)


def test_things_that_were_made_are_there_after_a_restart(visit, app, store, egg):
    app.kill()
    app.start("--no-worker")
    page = visit("threed")
    mine = page.get_by_role("group", name="Things made here").get_by_title("an orange egg")
    expect(mine).to_have_count(1)
    expect(mine.locator("img")).to_have_attribute("src", re.compile("^data:image/webp"))
    mine.click()
    expect(page).to_have_url(re.compile(egg.id))
    with page.expect_download() as fetched:
        page.get_by_role("button", name=re.compile("^GLB")).click()
    assert fetched.value.suggested_filename == "object.glb"
    phone = visit(f"threed?id={egg.id}", viewport=PHONE, color_scheme="dark", has_touch=True)
    stage(phone)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_word_that_the_teacher_does_not_know_is_said_with_near_ones(visit):
    page = visit("threed")
    page.locator("#ask-prompt").fill("a red mushrom")
    page.get_by_title("Replace mushrom by mushroom", exact=True).click()
    expect(page.locator("#ask-prompt")).to_have_value("a red mushroom")
    expect(page.locator(".sl-notes em")).to_have_count(0)
    expect(page.locator(".sl-cost")).to_contain_text("About 16 seconds on two idle cores")
    page.locator("#ask-prompt").fill("a" * 3000)
    expect(page.locator(".sl-cost")).to_contain_text("prompt has 3,000 characters")
    expect(page.locator("#start")).to_be_disabled()


def test_a_picture_of_create_is_made_solid_by_one_click(visit, store):
    page = visit("?prompt=a+red+ball&model=tiny-sprint&seed=7&num_images=1")
    page.locator("#wall .sl-tile img").first.dblclick()
    page.get_by_role("button", name="Make it solid").click()
    expect(page.locator(".sl-words")).to_contain_text("Waiting for its turn")
    job = store.jobs((State.QUEUED,))[0]
    assert page.url.endswith(f"threed?id={job.id}") and job.request["prompt"] == "a red ball"
    assert (store.studio / "inputs" / f"{job.request['picture']}.png").is_file()
    store.cancel(job.id)


def fill(page, **fields):
    page.locator("#ask-prompt").fill("an orange egg")
    page.get_by_text("Settings of the preset").click()
    for name, value in fields.items():
        control = page.locator(f"#ask-{name}")
        control.select_option(value) if name == "model" else control.fill(value)
    expect(page.locator(".sl-cost")).to_contain_text("on two idle cores")


@pytest.mark.slow
def test_from_the_prompt_to_the_mesh_though_the_tab_is_closed_and_the_server_killed(visit, app):
    """A real job on a tiny teacher."""
    tiny.build_sd(app.studio)
    app.kill()
    app.start()
    page = visit("threed")
    fill(page, model="tiny-sd", seeds="2", rounds="8", rays="4", skin="1", faces="1000", texture="128")
    page.get_by_role("button", name="Make it").click()
    words = page.locator(".sl-words")
    expect(words).to_contain_text("Shape:", timeout=LONG)
    page.get_by_role("button", name="Pause").click()
    expect(words).to_contain_text("Paused at shape", timeout=LONG)
    expect(page.locator(".sl-figures")).to_contain_text("last checkpoint")
    page.get_by_role("button", name="Resume").click()
    expect(words).to_contain_text(re.compile("^(Starting|Shape)"), timeout=LONG)
    page.context.close()
    app.kill()
    app.start()
    page = visit("threed")
    expect(page.locator(".sl-words")).to_contain_text(re.compile("^Done in .*, attempt [23]"), timeout=LONG)
    canvas = stage(page)
    assert 0 < int(canvas.get_attribute("data-faces")) <= 1000 and seen(canvas)["middle"][3] == 255
    expect(page.locator(".sl-grid")).to_have_attribute("src", re.compile("^data:image/webp"))
    expect(page.get_by_text("The mesh is closed")).to_be_visible()
    expect(page.locator(".sl-seed")).to_have_count(2)
    made = page.get_by_role("group", name="Things made here").get_by_title("an orange egg")
    expect(made.first.locator("img")).to_have_attribute("src", re.compile("^data:image/webp"))

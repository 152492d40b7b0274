"""Jobs in a real browser: a training of seconds outlives its tab and its server, on a desk and on a phone.

The app is started as people start it, with its own worker; jobs are real trainings on the 2-D mixture.
"""

import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from core import events
from jobs import kinds
from jobs.job import State
from jobs.store import Store
from tests.conftest import DESK, PATIENCE, PHONE
from tests.jobs_bench import worked

pytestmark = pytest.mark.browser
LONG = 400_000  # ms for what a training of seconds needs on a machine whose cores are all busy: jobs stand back
QUICK = {"method": "sft", "dataset": "mixture", "train.log_every": "10", "train.sample_every": "100"}


@pytest.fixture(scope="module")
def store(app):
    made = Store(app.studio)
    yield made
    for job in made.jobs((State.QUEUED, State.RUNNING)):
        made.cancel(job.id)
    made.close()


@pytest.fixture
def visit(chromium, app):
    """Open a page of the app in a browser of its own; whatever goes wrong in it fails the test."""
    contexts, wrong = [], []

    def go(path, **context):
        contexts.append(chromium.new_context(**({"viewport": DESK} | context)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.goto(app.address + path)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not wrong


def submit(store, **settings):
    return store.submit("distill", kinds.request("distill", QUICK | settings, {}).to_dict())


@pytest.fixture(scope="module")
def done(store):
    """A job that is done, whoever else would have liked to run it."""
    with store._writing():
        job = submit(store, **{"train.steps": "1500"})
        worked(store, job.id)
    return store.get(job.id)


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_job_outlives_its_tab_and_its_server(visit, app, store):
    watcher = visit("jobs")
    expect(watcher.locator(".sl-joblist")).to_contain_text("No job yet.")
    steps = 3000  # a quick machine is still at it when the server is killed
    job = submit(store, **{"train.steps": str(steps), "train.checkpoint_every": "50"})
    row = watcher.locator(f"[data-id='{job.id}']")
    expect(row).to_contain_text("sft · mixture")
    tab = visit(f"jobs?id={job.id}")
    expect(tab.locator(".sl-figures")).to_contain_text("last checkpoint", timeout=LONG)
    expect(tab.locator(".sl-words")).to_contain_text("Train: step")
    tab.context.close()
    app.kill()
    expect(watcher.locator("#away")).to_contain_text("The studio doesn't answer.")
    app.start()
    expect(row).to_have_attribute("data-state", "done", timeout=LONG)
    expect(watcher.locator("#away")).to_be_hidden()
    again = visit(f"jobs?id={job.id}")
    expect(again.locator(".sl-words")).to_contain_text(re.compile(r"^Done in .*, attempt [2-4]\.$"))
    expect(again.locator("#job polyline").first).to_be_visible()
    expect(again.locator("#job .sl-grid")).to_have_attribute("src", re.compile("^data:image/webp"))
    expect(again.locator("#job pre")).to_contain_text("trainable parameters")
    resumed = store.get(job.id).resumed_from
    assert resumed is not None and 50 <= resumed < steps, "from a checkpoint, not from the beginning"
    fact = again.locator("#job .sl-facts").first
    expect(fact).to_contain_text(re.compile(rf"resumed from step\s*{resumed:,}"))


def test_a_wall_is_finished_when_the_studio_is_there_again(visit, app):
    page = visit("?prompt=a+red+ball&model=tiny-sana&seed=7&num_images=9&steps=100")
    page.wait_for_function("window.still?.arrived")
    page.locator("#prompt").press("Control+Enter")
    page.wait_for_function("still.painter.wall.pictures.length > 1")
    app.kill()
    expect(page.locator("#away")).to_contain_text("The studio doesn't answer.")
    expect(page.locator("#each")).to_have_text("no connection")
    app.start()
    page.wait_for_function("still.painter.wall.complete && !still.painter.busy", timeout=LONG)
    expect(page.locator("#away")).to_be_hidden()
    expect(page.locator("#count")).to_have_text("9 pictures")


def test_rerun_with_changes_cancel_and_delete(visit, store, done):
    page = visit(f"jobs?id={done.id}")
    page.get_by_role("button", name="Rerun with changes").click()
    dialog = page.locator("dialog.sl-rerun")
    expect(dialog.locator("#ask-train-steps")).to_have_value("1500")
    dialog.locator("#ask-lr").fill("fast")
    dialog.get_by_role("button", name="Start the new job").click()
    expect(dialog.locator("[role=alert]")).to_have_text("lr='fast' must be a number")
    dialog.locator("#ask-lr").fill("1e-4")
    dialog.locator("#ask-train-steps").fill("90000")
    dialog.get_by_role("button", name="Start the new job").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#job dl").last).to_contain_text("90000")
    new = store.jobs((State.QUEUED, State.RUNNING))[0]
    assert new.parent == done.id and page.url.endswith(f"jobs?id={new.id}")
    assert {"lr=1e-4", "train.steps=90000", "train.log_every=10"} <= set(new.request["set"])
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".sl-words")).to_contain_text(re.compile("^(Pausing|Paused)"))
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Really cancel?").click()
    expect(page.locator(".sl-words")).to_contain_text("Cancelled", timeout=LONG)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name=re.compile("Really delete")).click()
    expect(page.locator(f"[data-id='{new.id}']")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("id="))
    expect(page.locator("#job h1")).to_be_visible()  # the next one is shown
    expect(page.locator("#say")).to_be_empty()
    assert not store.run(new.id).exists()


def test_on_a_phone_nothing_is_wider_than_the_screen(visit, done):
    page = visit("jobs", viewport=PHONE, color_scheme="dark")
    rows = page.locator(".sl-jobrow")
    expect(rows.first).to_be_visible()
    assert fits(page) and page.locator("#job").is_hidden()
    rows.first.click()
    expect(page.locator("#job polyline").first).to_be_visible()
    assert fits(page) and rows.first.is_hidden()
    page.get_by_role("button", name="Rerun with changes").click()
    expect(page.locator("dialog.sl-rerun #ask-lr")).to_be_visible()
    assert fits(page)
    page.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="All jobs").click()
    expect(rows.first).to_be_visible()
    page.go_back()
    expect(page.locator("#job h1")).to_be_visible()


def test_what_the_judge_reads_in_samples_is_a_curve_of_its_own(visit, store, done):
    log = events.Events(store.run(done.id), attempt=1)  # as the training itself would
    for step, right in ((1400, 0.5), (1500, 0.75)):
        log.write("metric", step=step, values={"student/right_kind": right})
    log.close()
    page = visit(f"jobs?id={done.id}")
    page.get_by_role("button", name="right kind").click()
    expect(page.locator("#job .sl-plot polyline").first).to_be_visible()
    expect(page.locator("#job")).to_contain_text("0.75")


def test_a_job_that_is_not_there_is_one_sentence(visit):
    page = visit("jobs?id=<img src=x onerror=alert(1)>")
    expect(page.locator("#say")).to_have_text("there is no job '<img src=x onerror=alert(1)>'")


def test_a_training_from_the_form_to_the_menu_of_create(visit, app, store):
    folder = app.studio / "datasets" / "plushies"
    folder.mkdir(parents=True)
    for colour in ("red", "blue", "green", "white"):
        Image.new("RGB", (128, 128), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(f"a {colour} ball")
    page = visit("distill")
    expect(page.locator(".sl-cost")).to_contain_text("No training of sft on toys has run here yet")
    for method, dataset, base in (
        ("scm_ladd", "mini", "toybox-sana"),
        ("scm_ladd", "mixture", ""),
        ("sft", "toys", "toybox-dcae"),
    ):
        page.locator("#ask-method").select_option(method)
        page.locator("#ask-dataset").select_option(dataset)
        expect(page.locator("#ask-base")).to_have_value(base)
    expect(page.locator("#ask-dataset option[value=emoji]")).to_be_disabled()  # they are not on this machine
    expect(page.locator(".sl-offer")).to_contain_text("The emoji are not on this machine yet")
    expect(page.get_by_role("button", name="Fetch the emoji")).to_be_enabled()
    page.locator("#ask-base").select_option("tiny-sana")
    page.locator("#ask-dataset").select_option("plushies")
    expect(page.locator(".sl-cost")).to_contain_text("sft on plushies")
    expect(page.locator("#ask-base")).to_have_value("tiny-sana")  # a person's choice stays
    page.locator("#ask-train-steps").fill("many")
    expect(page.locator(".sl-cost")).to_have_text("train.steps='many' must be a whole number")
    expect(page.locator("#start")).to_be_disabled()
    page.locator("#ask-train-steps").fill("4")
    page.locator("summary").click()
    page.locator("#ask-train-batch_size").fill("4")
    expect(page.locator(".sl-cost")).to_contain_text("of memory, for 1 parameters")
    page.locator("#start").click()
    expect(page.locator(".sl-words")).to_contain_text("Done in", timeout=LONG)
    expect(page.locator(".sl-grid")).to_be_visible()
    page.locator("#serve-name").fill("tiny-sana")
    page.get_by_role("button", name="Serve this").click()
    expect(page.locator(".sl-serve p")).to_have_text("there is a model 'tiny-sana' already; choose another name")
    page.locator("#serve-name").fill("my-plushies")
    page.get_by_role("button", name="Serve this").click()
    expect(page.locator(".sl-serve p")).to_contain_text("my-plushies is in the menu of Create.", timeout=LONG)
    page.get_by_role("link", name="Paint with it").click()
    expect(page.locator("#model")).to_have_value("my-plushies")
    expect(page.locator("#wall img").first).to_have_attribute("src", re.compile("^data:image/"))


def test_a_training_is_watched_paused_and_resumed_where_it_was_started(visit, store):
    page, words = visit("distill"), re.compile
    page.locator("#ask-method").select_option("dmd")
    page.locator("#ask-dataset").select_option("mixture")
    page.locator("#ask-train-steps").fill("90000")
    page.locator("summary").click()
    page.locator("#ask-train-log_every").fill("10")
    page.locator("#ask-train-sample_every").fill("100")
    page.locator("#start").click()
    expect(page.locator(".sl-words")).to_contain_text("Train: step", timeout=LONG)
    expect(page.locator(".sl-job h1")).to_be_in_viewport()
    expect(page.locator("polyline").first).to_be_visible(timeout=LONG)
    expect(page.locator(".sl-grid")).to_have_attribute("src", words("^data:image/webp"), timeout=LONG)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".sl-words")).to_contain_text(words("^Paused"), timeout=LONG)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".sl-words")).to_contain_text("Train: step", timeout=LONG)
    job = store.jobs((State.RUNNING,))[0]
    assert job.attempt == 2 and (job.request["method"], job.request["dataset"]) == ("dmd", "mixture")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Really cancel?").click()
    expect(page.locator(".sl-words")).to_contain_text("Cancelled", timeout=LONG)


def test_a_hundred_thousand_ended_jobs(visit, store):
    columns = "(id, kind, request, owner, priority, state, created, ended, ran, outputs)"
    rows = (
        (f"old{i:07}", "distill", "{}", "local", 0, "done", 1.0, 2.0, 60.0, '[{"path": "a"}]') for i in range(100_000)
    )
    with store._writing():
        store.conn.executemany(f"INSERT INTO jobs {columns} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    page = visit("jobs")
    expect(page.locator("[data-id=old0099999]")).to_be_visible()
    assert page.locator(".sl-jobrow").count() == 50
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".sl-jobrow")).to_have_count(100)
    with store._writing():
        store.conn.execute("DELETE FROM jobs WHERE id LIKE 'old%'")

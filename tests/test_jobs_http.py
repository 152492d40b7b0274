"""Long work over HTTP: every endpoint by gradio_client and plainly, one sentence for a mistake, nobody else's jobs.

Jobs are moved by the store as a worker moves them; commands run in tests/test_jobs_*.py and in the browser's tests.
"""

import json
import time

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from core import paths
from core.events import Events
from distill import declared, request
from distill.fitting import on_pictures
from jobs.job import State
from jobs.store import Store
from tests.jobs_bench import worked
from tests.served import serving
from ui.distill.form import form
from ui.distill.serve import job_serve
from ui.jobs.desk import JobsDesk, Visitor
from ui.jobs.live import folded
from ui.place import Place

MIXTURE = {"method": "sft", "dataset": "mixture", "set": {"train.steps": 200, "lr": "2e-3"}}
ANNA, BEN = "a" * 32, "b" * 32


def plushies(studio):
    (studio / "datasets" / "plushies").mkdir(parents=True)


STUDIO = [plushies]


@pytest.fixture(scope="module")
def site(studio):
    with serving(Place(login=True), logins=(("ada", "one"), ("ben", "two"))) as (address, _, _):
        yield address


@pytest.fixture(scope="module")
def ada(site):
    return Client(site, auth=("ada", "one"), verbose=False)


@pytest.fixture(scope="module")
def ben(site):
    return Client(site, auth=("ben", "two"), verbose=False)


@pytest.fixture(scope="module")
def store(studio):
    made = Store(studio)
    yield made
    made.close()


def plainly(http: httpx.Client, name: str, **arguments):
    """POST arguments by name, then the event's stream to its end: (event, data)."""
    posted = http.post(f"gradio_api/call/v2/{name}", json=arguments)
    assert posted.status_code == 200, posted.text
    lines = http.get(f"gradio_api/call/{name}/{posted.json()['event_id']}").text.splitlines()
    last = [i for i, line in enumerate(lines) if line.startswith("event:")][-1]
    return lines[last].removeprefix("event: "), json.loads(lines[last + 1].removeprefix("data: "))


def test_a_life_over_http(ada, store):
    job = ada.predict("distill", MIXTURE, key="once", api_name="/submit")
    assert (job["state"], job["owner"], job["kind"]) == ("queued", "ada", "distill") and "worker" not in job
    assert job["request"]["set"] == ["train.steps=200", "lr=2e-3"]
    assert ada.predict("distill", MIXTURE, key="once", api_name="/submit")["id"] == job["id"]
    id = job["id"]
    for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("resume", "queued")):
        assert ada.predict(id, api_name=f"/{action}")["state"] == state
    assert ada.predict(id, api_name="/events") == {"events": [], "next": 0}
    with pytest.raises(AppError, match=f"job {id} is queued: it has no result"):
        ada.predict(id, api_name="/result")
    worked(store, id)
    status = ada.predict(id, api_name="/status")
    assert (status["state"], status["step"], status["checkpoint_step"]) == ("done", 20, 20)
    result = ada.predict(id, api_name="/result")
    assert result["outputs"] == [{"file": "weights", "bytes": 5}] and result["missing"] == []
    assert result["values"] == {"student/loss": 0.05, "student/grad_norm": 1.0}
    said = ada.predict(id, api_name="/events")
    assert [e["kind"] for e in said["events"]] == ["metric", "progress", "metric", "progress", "sample", "done"]
    assert ada.predict(id, after=said["next"], api_name="/events")["events"] == []
    (store.run(id) / "weights").unlink()
    assert ada.predict(id, api_name="/result")["missing"] == ["weights"]
    with pytest.raises(AppError, match="is done: there is nothing to cancel"):
        ada.predict(id, api_name="/cancel")


def test_the_same_by_plain_http(site):
    with httpx.Client(base_url=site, timeout=60) as http:
        assert http.post("gradio_api/call/list", json={"data": []}).status_code == 401
        assert http.post("login", data={"username": "ada", "password": "one"}).status_code == 200
        kind, [job] = plainly(http, "submit", kind="distill", fields=MIXTURE)
        assert kind == "complete" and job["owner"] == "ada"
        kind, [page] = plainly(http, "list", states=["queued"])
        assert kind == "complete" and [j["id"] for j in page["jobs"]] == [job["id"]]
        assert plainly(http, "cancel", id=job["id"])[1][0]["state"] == "cancelled"


def test_long_lists_come_in_pages(ben):
    ids = [ben.predict("distill", MIXTURE, priority=p % 3, api_name="/submit")["id"] for p in range(5)]
    first = ben.predict(limit=2, api_name="/list")
    second = ben.predict(limit=2, before=first["next"], api_name="/list")
    third = ben.predict(limit=2, before=second["next"], api_name="/list")
    assert [j["id"] for page in (first, second, third) for j in page["jobs"]] == ids[::-1] and third["next"] is None
    for id in ids:
        ben.predict(id, api_name="/cancel")
    assert ben.predict(states=["queued", "paused"], api_name="/list")["jobs"] == []


def test_nobody_sees_cancels_or_reads_the_jobs_of_others(ada, ben):
    id = ada.predict("distill", MIXTURE, api_name="/submit")["id"]
    assert id not in [j["id"] for j in ben.predict(api_name="/list")["jobs"]]
    for name in ("status", "events", "result", "cancel", "pause", "resume"):
        with pytest.raises(AppError) as refused:
            ben.predict(id, api_name=f"/{name}")
        assert str(refused.value) == f"there is no job {id!r}", name
    with pytest.raises(AppError, match="there is no job 'nothing'"):
        ben.predict("nothing", api_name="/status")
    assert ben.predict("distill", MIXTURE, owner="ada", api_name="/submit")["owner"] == "ben"
    assert ada.predict(id, api_name="/status")["state"] == "queued"


def test_the_page_keeps_them_apart_as_well(site, ada):
    """The page's own calls, with the cookie of a login: a script can't ask for another's job either."""
    id = ada.predict("distill", MIXTURE, api_name="/submit")["id"]
    for name, password, seen in (("ada", "one", True), ("ben", "two", False)):
        with httpx.Client(base_url=site, timeout=60) as http:
            http.post("login", data={"username": name, "password": password})
            parts = http.get("config").json()["components"]
            part = next(c["id"] for c in parts if c["props"].get("elem_id") == "jobs-part")

            def ask(fn, part=part, http=http, session=name, **data):
                body = {"data": data, "fn_name": fn, "component_id": part, "session_hash": session}
                return http.post("gradio_api/component_server", json=body).json()

            told = ask("job", id=id)
            assert ("job" in told) is seen and ("there is no job" in told.get("error", "")) is not seen
            assert (id in json.dumps(ask("jobs_page"))) is seen
            assert ("error" in ask("job_submit", kind="distill", values={"dataset": "mixture"}, parent=id)) is not seen
            assert ("error" in ask("job_do", action="cancel", id=id)) is not seen


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"method": "x"}, "unknown method 'x'; valid: "),
        ({"method": ["sft"]}, "method must be text, not ['sft']"),
        ({"dataset": "../../etc"}, "unknown dataset '../../etc'; valid: toys, "),
        ({"dataset": "/etc"}, "unknown dataset '/etc'"),
        ({"base": "stabilityai/sd-turbo"}, "unknown base 'stabilityai/sd-turbo'; valid: "),
        ({"base": "../x"}, "unknown base '../x'"),
        ({"minutes": -1}, "minutes must be 0.05 to 60000 minutes, not -1"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"command": "rm"}, "unknown field 'command'; valid: method, base"),
        ({"set": {"lr": "x"}}, "lr='x' must be a number"),
        ({"set": {"rm": 1}}, "unknown setting 'rm' of sft; valid: lr, "),
        ({"set": ["--resume"]}, "a setting is key=value, not '--resume'"),
        ([], "a request is a JSON object, not []"),
    ],
)
def test_a_mistake_in_a_request_is_one_sentence(ada, fields, sentence):
    with pytest.raises(AppError) as refused:
        ada.predict("distill", fields if isinstance(fields, list) else MIXTURE | fields, api_name="/submit")
    assert str(refused.value).startswith(sentence) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("submit", {"kind": "shell", "fields": {}}, "unknown kind 'shell'; valid: distill"),
        ("submit", {"kind": "distill", "fields": MIXTURE, "priority": 11}, "priority must be a whole number"),
        ("submit", {"kind": "distill", "fields": MIXTURE, "key": "\n"}, "key must be 1 to 200 printable characters"),
        ("list", {"states": ["lost"]}, "unknown state 'lost'; valid: queued, running, paused, done"),
        ("list", {"states": "done"}, "states must be a list of some of queued"),
        ("list", {"limit": 100_000}, "limit must be a whole number from 1 to 200"),
        ("status", {"id": "x" * 41}, "id must be text of at most 40 characters"),
        ("status", {"id": None}, "id must be text"),
        ("events", {"id": "x", "after": -1}, "there is no job 'x'"),
    ],
)
def test_a_mistake_in_a_call_is_one_sentence(ada, name, arguments, sentence):
    with pytest.raises(AppError) as refused:
        ada.predict(**arguments, api_name=f"/{name}")
    assert str(refused.value).startswith(sentence)


def test_a_folder_of_the_studio_is_a_data_set(ada):
    job = ada.predict("distill", MIXTURE | {"dataset": "plushies", "base": "toybox-sana"}, api_name="/submit")
    assert job["request"]["dataset"] == "plushies"
    ada.predict(job["id"], api_name="/cancel")


def test_the_endpoints_are_documented(ada):
    told = ada.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert [p["parameter_name"] for p in told["/submit"]["parameters"]] == [
        "kind",
        "fields",
        "priority",
        "key",
        "owner",
    ]
    assert "Queue a job." in told["/submit"]["description"] and "ends" not in told["/events"]["description"]


def test_on_a_space_trainings_are_refused_and_jobs_are_a_browsers_own(studio, store):
    mine = store.submit("distill", {"method": "sft", "dataset": "mixture"}, ANNA)
    with serving(Place(space="ada/still-life", lasting=False), names=None) as (address, desk, _):
        client = Client(address, verbose=False)
        with pytest.raises(AppError, match="Visitors of a Space can't start a training"):
            client.predict("distill", MIXTURE, owner=ANNA, api_name="/submit")
        with pytest.raises(AppError, match="owner must be 32 hexadecimal digits"):
            client.predict(api_name="/list")
        assert [j["id"] for j in client.predict(owner=ANNA, api_name="/list")["jobs"]] == [mine.id]
        assert client.predict(owner=BEN, api_name="/list")["jobs"] == []
        with pytest.raises(AppError, match="there is no job"):
            client.predict(mine.id, owner=BEN, api_name="/cancel")
        page = desk.jobs.jobs_page({}, Visitor(ANNA, ANNA))
        assert page["begin"][0].startswith("Visitors of a Space can't start a training") and "disk" not in page
    store.cancel(mine.id)


def test_what_a_page_is_told_about_a_run(studio, store):
    desk, home = JobsDesk(Place()), Visitor()
    job = store.submit("distill", {"method": "sft", "dataset": "mixture", "set": ["lr=2e-3"]}, priority=10)
    assert desk.job({"id": job.id}, home)["actions"] == ["pause", "cancel", "rerun", "delete"]
    worked(store, job.id)
    (paths.cache() / "toys").mkdir(parents=True, exist_ok=True)
    (paths.cache() / "toys" / "pictures.npy").write_bytes(bytes(50_000))
    disk = desk.jobs_page({}, home)["disk"]
    assert disk["drawn"] >= 50_000 and disk["used"] == store.used(), "what was drawn for trainings counts apart"
    told = desk.job({"id": job.id}, home)
    assert told["actions"] == ["rerun", "delete"] and told["job"]["changed"] == {"dataset": "mixture", "lr": "2e-3"}
    assert told["log"]["text"] == "from step 0\nwhole <b>"
    loss = told["live"]["curves"][0]
    assert loss == {"quantity": "loss", "lines": [{"name": "student", "points": [(10, 0.1), (20, 0.05)]}]}
    again = desk.job({"id": job.id, "seen": told["live"]["seen"], "log": told["log"]["mark"]}, home)
    assert "curves" not in again["live"] and "text" not in again["log"]
    assert desk.job_sample({"id": job.id}, home)["width"] == 16
    Events(store.run(job.id)).write("progress", step=10, resumed_from=10)
    after = desk.job({"id": job.id}, home)["live"]
    assert after["curves"][0]["lines"][0]["points"] == [(10, 0.1)] and after["samples"] == []
    assert desk.job_do({"id": job.id, "action": "delete"}, home)["done"]["id"] == job.id
    with pytest.raises(ValueError, match="there is no job"):
        desk.job({"id": job.id}, home)


def test_a_run_that_lies_harms_nobody(studio, store, tmp_path):
    desk, job = JobsDesk(Place()), store.submit("distill", {"method": "sft"})
    (tmp_path / "secret.png").write_bytes(b"secret")
    events = Events(store.run(job.id))
    events.write("metric", step=1, values={"a/loss": "x", "b": None, "c/d": 1})
    events.write("metric", step="one", values=3)
    events.write("sample", step=1, path=str(tmp_path / "secret.png"))
    live = desk.job({"id": job.id}, Visitor())["live"]
    assert live["curves"] == [{"quantity": "d", "lines": [{"name": "c", "points": [(1, 1.0)]}]}]
    with pytest.raises(ValueError, match="the sample is no longer there"):
        desk.job_sample({"id": job.id}, Visitor())
    store.cancel(job.id)


def test_what_a_training_will_cost_is_told_from_what_one_took(studio, store):
    desk = JobsDesk(Place())

    def cost(**values):
        return desk.job_estimate({"kind": "distill", "values": values}, Visitor("cara", "cara"))

    asked = {"method": "sft", "dataset": "mixture", "train.batch_size": "128"}
    assert "No training of sft on mixture has run here yet" in cost(**asked)["sentences"][0]
    job = store.submit("distill", {"method": "sft", "dataset": "mixture", "set": []}, "cara", priority=10)
    worked(store, job.id)  # 20 steps in 3 s with 64 samples a step
    known = [f"About 5 minutes for 1,000 steps, at 0.3 s a step, as job {job.id} took."]
    assert cost(**asked)["sentences"] == known
    (short,) = cost(**asked, minutes="2")["sentences"]
    assert short.startswith("The time limit will be reached near step 400 of 1,000")
    need = [cost(method="feedback", base="toybox-sd", dataset="toys", rank=rank)["sentences"] for rank in ("0", "32")]
    (whole,), (adapter,) = ([s for s in sentences if "GB" in s] for sentences in need)
    assert whole.startswith("At least 0.17 GB") and adapter.startswith("At least 0.034 GB"), "frozen weights are cheap"
    fresh = cost(method="sft", base="toybox-dcae", dataset="toys")["sentences"]
    assert not [s for s in fresh if "GB" in s], "a new network is trained on an autoencoder"
    assert cost(base="x")["mistake"].startswith("unknown base 'x'; valid: ")


def test_what_cannot_be_served_says_why(studio, store):
    desk, home = JobsDesk(Place()), Visitor()
    job = store.submit("distill", {"method": "sft", "dataset": "toys"}, priority=10)
    with pytest.raises(ValueError, match="It has no checkpoint yet."):
        job_serve(desk, {"id": job.id, "model": "mine"}, home)
    worked(store, job.id)
    for name in ("../x", "", "A b", "-x"):
        with pytest.raises(ValueError, match="is no valid name for a model"):
            job_serve(desk, {"id": job.id, "model": name}, home)
    with pytest.raises(ValueError, match="there is a model 'toybox-sana' already"):
        job_serve(desk, {"id": job.id, "model": "toybox-sana"}, home)
    with pytest.raises(ValueError, match="Visitors of a Space can't add models"):
        job_serve(JobsDesk(Place(space="a/b")), {"id": job.id, "model": "mine"}, home)


@pytest.mark.parametrize("method", declared.methods())
def test_every_setting_of_a_method_is_in_its_form(method):
    known, made = declared.declared(method).settings, form("distill", {"method": method})
    drawn = {s["name"]: s for s in made["settings"]}
    assert drawn.keys() | {"train.steps"} == known.keys()
    assert all(s["help"] == known[name].option.help for name, s in drawn.items())
    usual = tuple(f"{name}={s['usual']}" for name, s in drawn.items())
    dataset = "toys" if on_pictures(method) else "mixture"
    assert request.DistillRequest(method=method, dataset=dataset, set=usual).set, "what is shown as usual is valid"
    assert all(known[name].read(s["usual"]) == known[name].default for name, s in drawn.items())


@pytest.mark.parametrize(
    ("asked", "base"),
    [
        ({"method": "dmd"}, "toybox-sd"),
        ({"method": "scm_ladd"}, "toybox-sana"),
        ({"method": "scm_ladd", "dataset": "mixture"}, ""),
        ({"method": "oracle"}, ""),
        ({}, "toybox-dcae"),
    ],
)
def test_a_form_proposes_the_base_that_the_box_was_made_from(asked, base):
    [field] = [f for f in form("distill", asked)["fields"] if f["name"] == "base"]
    assert field["proposed"] == base


def test_a_strip_of_samples_is_folded_so_that_each_is_larger():
    strip = Image.new("RGB", (32, 8))
    for i in range(16):
        strip.paste((i, 0, 0), (i % 8 * 4, i // 8 * 4, i % 8 * 4 + 4, i // 8 * 4 + 4))
    square = folded(strip)
    assert square.size == (16, 16)
    assert [square.getpixel((i % 4 * 4 + 1, i // 4 * 4 + 1))[0] for i in range(16)] == list(range(16))
    assert folded(square) is square and folded(strip.crop((0, 0, 31, 8))).size == (31, 8)


def test_a_long_history_is_listed_at_once(studio, store):
    columns = "(id, kind, request, owner, priority, state, created, ended, outputs)"
    rows = ((f"old{i:07}", "distill", "{}", "old", 0, "done", 1.0, 2.0, '[{"path": "a"}]') for i in range(100_000))
    with store._writing():
        store.conn.executemany(f"INSERT INTO jobs {columns} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    desk, old = JobsDesk(Place()), Visitor("old", "old")
    page, ids, seconds = desk.jobs_page({}, old), [], []
    for _ in range(4):
        ids += [j["id"] for j in page["ended"]]
        start = time.perf_counter()
        page = desk.jobs_page({"before": page["next"]}, old)
        seconds.append(time.perf_counter() - start)
    assert len(set(ids)) == 200 and ids[0] == "old0099999" and min(seconds) < 0.2
    assert desk.jobs_page({"tag": (page := desk.jobs_page({}, old))["tag"]}, old).keys() == {"tag", "now"}
    assert page["counts"]["done"] == 100_000 and page["active"] == []
    assert store.counts()[State.DONE] >= 100_000

"""Things in 3D over HTTP: by gradio's client and plainly, from asking to the GLB; what a Space allows; mistakes."""

import base64
import json
import os
import sys
import time

import httpx
import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from jobs.store import Store
from tests import things
from tests.served import serving
from tests.test_jobs_http import ANNA, BEN, plainly
from threed import glb
from threed.request import PRESETS, ThreeDRequest
from ui import scratch
from ui.jobs.desk import JobsDesk, Visitor
from ui.place import Place
from ui.threed import things as shelf
from ui.threed.job import FIXED, cost, results
from ui.threed.trying import trial

DRAFT = {"prompt": "a red mushroom", "preset": "draft"}


STUDIO = []


@pytest.fixture(scope="module")
def store(studio):
    made = Store(studio)
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(studio):
    with serving() as (address, _, _):
        yield address


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    return Client(site, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture(scope="module")
def egg(store):
    return things.done(store, seeds=3)


def test_from_the_prompt_to_the_mesh_by_gradios_client(client, store, egg):
    job = client.predict("threed", DRAFT, api_name="/submit")
    assert (job["state"], job["request"]["rounds"]) == ("queued", 14)
    assert client.predict(job["id"], api_name="/status")["state"] == "queued"
    assert client.predict(job["id"], api_name="/cancel")["state"] == "cancelled"
    events = client.predict(egg.id, api_name="/events")["events"]
    assert events[-1]["kind"] == "done"
    made = client.predict(egg.id, api_name="/result")["outputs"]
    assert {"file": "object/object.glb", "bytes": store.get(egg.id).outputs[0]["bytes"]} == made[0]
    path = client.predict(egg.id, "object/object.glb", "", api_name="/file")
    with open(path, "rb") as f:
        extras = glb.extras(f.read())
    assert ThreeDRequest.from_dict(extras["request"]).prompt == "an orange egg"


def test_the_same_by_plain_http(site, store, egg):
    with httpx.Client(base_url=site, timeout=60) as http:
        kind, [job] = plainly(http, "submit", kind="threed", fields=DRAFT)
        assert kind == "complete" and job["kind"] == "threed"
        assert plainly(http, "status", id=job["id"])[1][0]["state"] == "queued"
        assert plainly(http, "cancel", id=job["id"])[1][0]["state"] == "cancelled"
        assert plainly(http, "events", id=egg.id)[1][0]["events"]
        kind, [file] = plainly(http, "file", id=egg.id, file="object/object.glb")
        assert kind == "complete" and file["orig_name"] == "object.glb"
        fetched = http.get(file["url"])
        assert fetched.status_code == 200
        assert fetched.content == (store.run(egg.id) / "object" / "object.glb").read_bytes()


def test_files_that_are_fetched_again_do_not_pile_up(client, site, egg):
    """There is one copy of an output, which a killed server leaves for the next one to remove."""
    for _ in range(3):
        client.predict(egg.id, "object/object.glb", "", api_name="/file")
    copies = list(scratch.folder().rglob("object.glb"))
    assert copies == [scratch.folder() / egg.id / "object.glb"]
    aged = time.time() - scratch.LEFT_SECONDS - 1
    os.utime(copies[0].parent, (aged, aged))
    scratch.sweep()
    assert not copies[0].exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "a" * 100_000}, "prompt has 100,000 characters"),
        ({"preset": "fast"}, "unknown preset 'fast'; valid: draft, standard, quality"),
        ({"rounds": 0}, "rounds must be at least 1, unless start names a run to go on from"),
        ({"pick": 1}, "pick says which thing of a run: name the run as start, or leave pick out"),
        ({"start": "../../etc"}, "start must be the name of a run in this studio, not '../../etc'"),
        ({"start": "nobody"}, "there is no job 'nobody'"),
        ({"picture": "x.png"}, "picture must be the 64 hexadecimal digits of a kept picture"),
        ({"start": "abc", "picture": "0" * 64}, "start and picture both say what it begins with"),
        ({"picture": "0" * 64, "seeds": 3}, "of a start or a picture one thing is made: leave seeds out"),
    ],
)
def test_a_mistake_is_one_sentence(client, fields, sentence):
    with pytest.raises(AppError) as wrong:
        client.predict("threed", DRAFT | fields, api_name="/submit")
    assert sentence in str(wrong.value)


@pytest.mark.parametrize("file", ["object/report.txt", "../../jobs.db", "events.jsonl", ""])
def test_only_outputs_are_given(client, egg, file):
    with pytest.raises(AppError, match="has no output"):
        client.predict(egg.id, file, "", api_name="/file")


def test_a_space_makes_drafts_one_at_a_time_for_each_browser(studio, store):
    with serving(Place(space="ada/still-life"), names=None) as (address, _, _):
        client = Client(address, verbose=False)

        def submit(owner, **fields):
            return client.predict("threed", DRAFT | fields, owner=owner, api_name="/submit")

        for heavier in ({"preset": "standard"}, {"rounds": 500}, {"seeds": 16}, {"mode": "vsd"}):
            with pytest.raises(AppError, match="On a Space there are drafts alone"):
                submit(ANNA, **heavier)
        mine = submit(ANNA, seed=3)
        with pytest.raises(AppError, match="a visitor makes one thing at a time"):
            submit(ANNA)
        other = submit(BEN)
        with pytest.raises(AppError, match=f"there is no job '{mine['id']}'"):
            submit("c" * 32, start=mine["id"], rounds=0)
        assert client.predict(mine["id"], owner=ANNA, api_name="/cancel")["state"] == "cancelled"
        again = submit(ANNA)
        with pytest.raises(AppError, match="a visitor makes one thing at a time"):
            client.predict(mine["id"], owner=ANNA, api_name="/resume")
        assert httpx.get(f"{address}threed").status_code == 200
    for job, owner in ((again, ANNA), (other, BEN)):
        assert store.get(job["id"]).owner == owner and store.cancel(job["id"])


def test_the_shelf_has_what_was_made_newest_first_and_nobody_elses(studio, store, egg):
    desk, newer = JobsDesk(Place()), things.done(store, "a blue cube", owner=BEN)
    listed = shelf.things(desk, {}, Visitor())["things"]
    assert [t["name"] for t in listed[:2]] == ["a blue cube", "an orange egg"]
    assert listed[0]["src"].startswith("data:image/webp") and len(listed[0]["src"]) < 20_000
    assert [t["id"] for t in shelf.things(desk, {}, Visitor(BEN, BEN))["things"]] == [newer.id]
    (store.run(newer.id) / "object" / "object.glb").unlink()
    assert newer.id not in [t["id"] for t in shelf.things(desk, {}, Visitor())["things"]]


def test_without_av_a_turntable_is_no_mp4_and_the_page_says_so(studio, store, monkeypatch):
    reason, with_it = "as the package av was not installed", things.done(store, seeds=1)
    monkeypatch.setitem(sys.modules, "av", None)
    for job, kinds, sentences in (
        (with_it, ["GIF", "WebP", "MP4"], 0),
        (things.done(store, seeds=1), ["GIF", "WebP"], 1),
    ):
        thing = results(JobsDesk(Place()), job)[-1]
        assert [file["name"] for file in thing["files"]][4:] == kinds
        assert sum(reason in sentence for sentence in thing["facts"]) == sentences


def test_the_boxs_examples_are_whole_and_small():
    examples = shelf.examples()
    assert len(examples) == 3
    sizes = 0
    for name, turntable in examples.items():
        data = turntable.with_suffix(".glb").read_bytes()
        sizes += len(data) + turntable.stat().st_size
        made = glb.extras(data)
        assert made["request"]["prompt"] == name and made["made"]["watertight"] and made["made"]["tunnels"] >= 0
        answer = shelf.example(JobsDesk(Place()), {"name": name}, Visitor())
        assert base64.b64decode(answer["src"].partition(",")[2]) == data
    assert sizes <= 2 * 2**20
    with pytest.raises(ValueError, match="there is no example 'x'; valid: a blue mug, a fox"):
        shelf.example(JobsDesk(Place()), {"name": "x"}, Visitor())


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        (True, "threshold must be a number"),
        ("4", "threshold must be a number"),
        (1e9, "from 0.6 to 30"),
        (None, "must"),
    ],
)
def test_a_threshold_that_is_none_is_a_sentence(store, egg, threshold, sentence):
    with pytest.raises(ValueError, match=sentence):
        trial(JobsDesk(Place()), {"id": egg.id, "threshold": threshold}, Visitor())


def test_a_threshold_is_tried_on_the_things_own_density(store, egg):
    desk = JobsDesk(Place())
    low, high = (trial(desk, {"id": egg.id, "threshold": t}, Visitor()) for t in (0.6, 9.0))
    assert low["closed"] and high["closed"] and 0 <= low["agreement"] <= 1
    reach = [np.abs(np.frombuffer(base64.b64decode(x["positions"]), np.float32)).max() for x in (low, high)]
    assert reach[0] > reach[1] + 0.02 and len(json.dumps(low)) < 2**20


def test_the_time_that_is_told_holds_what_every_run_takes(studio):
    """A start without rounds is cut and written too; more steps on rays take longer."""

    def seconds(**fields):
        words = cost(None, ThreeDRequest(**{**DRAFT, **fields}), None)[0].split()
        return int(words[1]) * (60 if words[2] == "minutes" else 1)

    assert seconds() == PRESETS["draft"].seconds and seconds(rays=32) > 1.3 * seconds()
    assert seconds(start="other", rounds=0) == FIXED

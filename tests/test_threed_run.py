"""Runs of text to 3D: resumed they end where undisturbed ones end, files open elsewhere, mistakes are a sentence."""

import io
import json
import os
import shutil
import signal
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from core import checkpoint, events, inputs
from jobs import kinds, process
from jobs import store as stores
from jobs.job import State
from jobs.kinds import KINDS
from jobs.worker import Worker
from models import catalogue, families
from tests import small_disk, tiny
from tests.jobs_bench import QUICK, opened, until
from threed import glb, making, run
from threed.making import FINE, Making, NotFinite, fault
from threed.prompts import backgrounds
from threed.request import ThreeDRequest
from threed.teacher import Teacher

QUICKLY = {"rounds": 3, "rays": 8, "skin": 1, "faces": 1000, "texture": 128}
PROMPT = "an orange egg"


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    monkeypatch.setattr(stores, "BACKOFF", 0.05)
    torch.set_num_threads(1)
    return tmp_path


def request(**fields) -> ThreeDRequest:
    return ThreeDRequest(**({"prompt": PROMPT, "model": "toybox-sd", **QUICKLY} | fields))


def new(studio: Path, wanted: ThreeDRequest) -> Making:
    teacher = Teacher(families.load(catalogue.get(wanted.model)), wanted.prompt, backgrounds(wanted.prompt))
    return Making(wanted, teacher, bf16=False)


def test_resumed_twice_it_is_bit_for_bit_the_run_that_was_not(studio):
    """Two particles and a score network, over the refining of the grid; a tiny teacher, whose pictures mean nothing."""
    tiny.build_sd(studio)
    wanted = request(model="tiny-sd", mode="hybrid", seeds=2, rounds=4, rays=2)  # finer from round 2, vsd in round 3
    whole = new(studio, wanted)
    for _ in range(8):
        whole.advance()
    halves = new(studio, wanted)
    for steps in (3, 5):
        for _ in range(steps):
            halves.advance()
        folder = checkpoint.save(studio / "half", halves.saved())
        halves = new(studio, wanted)
        halves.restore(checkpoint.load(folder))
    ended, resumed = whole.saved(), halves.saved()
    assert ended.step == resumed.step == 8 and ended.counters == resumed.counters
    flat = [{f"{p}/{k}": v for p, of in s.tensors.items() for k, v in of.items()} for s in (ended, resumed)]
    assert flat[0].keys() == flat[1].keys() and {"score/camera.last.weight", "particle-1/pool.trust"} < flat[0].keys()
    assert [k for k in flat[0] if not torch.equal(flat[0][k], flat[1][k])] == []


def test_a_run_goes_on_with_the_thing_that_was_picked(studio):
    """Another seed than the best, with more rounds, and none of the other run's other things."""
    tiny.build_sd(studio)
    first = new(studio, request(model="tiny-sd", mode="hybrid", seeds=2, rounds=1, rays=2))
    for _ in range(2):
        first.advance()
    saved = first.saved()
    wanted = request(model="tiny-sd", mode="hybrid", start="first", pick=1, rounds=2, rays=2)
    more = new(studio, wanted)
    more.go_on(saved)
    assert wanted.seeds == 1 and len(more.particles) == 1 and more.step == 0
    assert torch.equal(more.particles[0].field.values, first.particles[1].field.values)
    assert all(torch.equal(w, first.score.weights()[k]) for k, w in more.score.weights().items())
    assert "score" in more.advance(), "what goes on is late in its run, where a hybrid is vsd"
    assert more.plan == {"shape": 2, "mesh": 1, "skin": 1, "export": 1}
    with pytest.raises(ValueError, match="run 'first' made 2 of it: pick is 0 to 1, not 2"):
        new(studio, request(start="first", pick=2, model="tiny-sd")).go_on(saved)


def test_numbers_that_are_not_finite_are_taken_back(studio, monkeypatch):
    tiny.build_sd(studio)
    thing = new(studio, request(model="tiny-sd"))
    right, tries = making.shape, []

    def sometimes(one, *rest):
        logs = right(one, *rest)
        tries.append(rest[2])
        if len(tries) in broken:
            one.field.values.data[0, 0, 0, 0, 0] = torch.nan
        return logs

    monkeypatch.setattr(making, "shape", sometimes)
    broken = {1}
    thing.advance()
    assert tries == [(0, 0), (0, 1)] and thing.particles[0].finite and thing.step == 1
    broken = {3, 4, 5}
    with pytest.raises(NotFinite, match="another seed may help"):
        thing.advance()
    assert thing.particles[0].finite and thing.step == 1


def test_the_better_of_two_things_is_cut_out(studio):
    """Whichever comes first."""
    tiny.build_sd(studio)
    thing = new(studio, request(model="tiny-sd", seeds=2, rounds=2, rays=2))
    for _ in range(4):
        thing.advance()
    values, best = [], []
    for order in (thing.particles, thing.particles[::-1]):
        thing.particles = list(order)
        logs = thing._mesh(0)
        values.append([logs["quality/0"], logs["quality/1"]])
        best.append(thing.best)
    assert values[0] == values[1][::-1] and values[0][0] != values[0][1]
    assert best == [int(np.argmax(v)) for v in values] and best[0] != best[1]


def test_a_scene_of_fog_is_told_from_an_empty_one(studio):
    tiny.build_sd(studio)
    thing = new(studio, request(model="tiny-sd"))
    (one,) = thing.particles
    for filled, sentence in ((1.0, "the scene is full of fog"), (0.0, "the scene is empty"), (0.5, None)):
        one.cells = (torch.arange(one.cells.numel()) < filled * one.cells.numel()).view(one.cells.shape)
        said = fault(one)
        assert said is None if sentence is None else str(said).startswith(sentence)


def test_an_empty_scene_is_tried_once_more_with_another_seed(studio, monkeypatch):
    tiny.build_sd(studio)
    thing = new(studio, request(model="tiny-sd", rounds=1))

    def clear(one, *rest):
        one.cells.zero_()
        return {}

    monkeypatch.setattr(making, "shape", clear)
    thing.advance()
    assert thing.step == 0 and thing.restarts == 1 and fault(thing.particles[0]) is None
    with pytest.raises(ValueError, match="the scene is empty"):
        thing.advance()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A real egg of a few rounds, by the command."""
    home = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(home))
        flags = [part for k, v in QUICKLY.items() for part in (f"--{k}", str(v))]
        assert run.main([PROMPT, "--model", "toybox-sd", *flags, "--out", str(home / "egg.glb")]) == 0
    return home


def test_its_files_open_elsewhere(finished):
    folder = next((finished / "runs").iterdir()) / "object"
    report = json.loads((folder / "report.json").read_text())
    assert report["watertight"] and report["faces"] <= 1000 and report["silhouettes"] > 0.8
    mesh = trimesh.load(finished / "egg.glb", force="mesh")
    assert len(mesh.faces) == report["faces"] and isinstance(mesh.visual, trimesh.visual.TextureVisuals)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight and mesh.volume > 0
    red, green, blue = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")).mean((0, 1))
    assert red > green > blue, "an orange egg"
    extras = glb.extras((finished / "egg.glb").read_bytes())
    assert ThreeDRequest.from_dict(extras["request"]) == request() and extras["made"]["watertight"]
    with zipfile.ZipFile(folder / "object.zip") as z:
        assert sorted(z.namelist()) == ["object.mtl", "object.obj", "object.png"]
        picture = Image.open(io.BytesIO(z.read("object.png")))
        assert "trainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]
        z.extractall(finished / "obj")
    assert len(trimesh.load(finished / "obj" / "object.obj", force="mesh").faces) == report["faces"]
    solid = trimesh.load(folder / "object.stl")
    assert 60 < np.ptp(solid.bounds, axis=0).max() < 110, "millimetres"
    assert trimesh.load(folder / "object.ply").visual.vertex_colors[:, :3].std() > 1
    turning = Image.open(folder / "turntable.webp")
    assert turning.n_frames > 20 and Image.open(folder / "turntable.gif").n_frames == turning.n_frames
    with av.open(folder / "turntable.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) == turning.n_frames + 1, "the last is written twice"


def test_the_time_left_counts_what_each_step_takes(studio):
    """Ten rounds of two things: three coarse, seven fine, then a mesh, one round of colour and the export."""
    making = new(studio, request(rounds=10, seeds=2, skin=1))
    ends = [making.cost(k, making.total) for k in range(making.total + 1)]
    assert ends[0] == pytest.approx(6 * 1.0 + 14 * FINE + 0.4 + 2.6 + 2.6) and ends[-1] == 0
    assert ends[5] - ends[6] == 1.0 and ends[6] - ends[7] == pytest.approx(FINE)
    later = new(studio, request(rounds=10, start="other"))
    assert later.cost(0, 1) == FINE


def test_what_it_says_on_the_way(finished):
    home = next((finished / "runs").iterdir())
    entries = events.read(home)
    assert [e["outputs"] for e in entries if e["kind"] == "done"][0][0] == "object/object.glb"
    assert {e["stage"] for e in entries if e["kind"] == "progress"} == {"shape", "mesh", "skin", "export", "done"}
    samples = [home / e["path"] for e in entries if e["kind"] == "sample"]
    assert samples and all(Image.open(p).size == (4 * 96, 3 * 96) for p in samples)
    assert {"moved", "rays"} <= set().union(*(e["values"] for e in entries if e["kind"] == "metric"))


def test_a_finished_thing_is_cut_anew_whatever_becomes_of_its_run(finished, studio, monkeypatch):
    first = next((finished / "runs").iterdir())
    shutil.copytree(first, studio / "runs" / "first")
    flags = [part for k, v in (QUICKLY | {"rounds": 0}).items() for part in (f"--{k}", str(v))]
    again = [PROMPT, "--model", "toybox-sd", *flags, "--start", "first", "--threshold", "9", "--run", "again"]
    right = Making.advance

    def killed(self):
        raise ValueError("killed after its first checkpoint")

    monkeypatch.setattr(Making, "advance", killed)
    assert run.main(again) == 2
    shutil.rmtree(studio / "runs" / "first")
    monkeypatch.setattr(Making, "advance", right)
    assert run.main(again) == 0
    reports = [json.loads((r / "object" / "report.json").read_text()) for r in (first, studio / "runs" / "again")]
    assert reports[1]["threshold"] == 9 and reports[1]["volume"] < reports[0]["volume"] and reports[1]["watertight"]


def test_a_picture_is_made_solid(studio, capsys):
    tiny.build_sd(studio)
    far = np.linspace(-1, 1, 96)
    disc = (far[None] ** 2 + far[:, None] ** 2) < 0.4
    pixels = np.where(disc[..., None], (230, 130, 30), (250, 250, 250)).astype(np.uint8)
    flags = ["--model", "tiny-sd", "--texture", "128", "--faces", "1000", "--run"]

    def kept_as(image: np.ndarray) -> str:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        return inputs.keep(out.getvalue(), "png")

    digest = kept_as(pixels)
    assert run.main(["a red mug", "--picture", digest, *flags, "a"]) == 0
    report = json.loads((studio / "runs" / "a" / "object" / "report.json").read_text())
    assert report["way"] == "cushion" and report["watertight"] and report["tunnels"] == 0
    mesh = trimesh.load(studio / "runs" / "a" / "object" / "object.glb", force="mesh")
    red, green, blue = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")).reshape(-1, 3).mean(0)
    assert red > green + 50 > blue + 100, "the picture's colours"
    assert run.main(["a mug", "--picture", "0" * 64, *flags, "b"]) == 2
    assert "is not in this studio" in capsys.readouterr().err
    busy = np.random.default_rng(0).integers(0, 255, pixels.shape, np.uint8)
    assert run.main(["a mug", "--picture", kept_as(busy), *flags, "c"]) == 2
    assert "the picture has no plain background" in capsys.readouterr().err
    inputs.file(digest, "png").write_bytes(b"x")
    assert run.main(["a mug", "--picture", digest, *flags, "d"]) == 2
    assert "is damaged" in capsys.readouterr().err


def dying(stage: str) -> None:
    """This process is killed by SIGKILL in that stage: at its first step, or when all but the report is written."""
    right, write = Making.advance, run.export.write

    def advance(self):
        if self.where()[0] == stage:
            os.kill(os.getpid(), signal.SIGKILL)
        return right(self)

    def written(*arguments):
        write(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    Making.advance = advance
    if stage == "export":
        run.export.write = written


@pytest.mark.slow  # the next test kills a job once
@pytest.mark.parametrize("stages", [("shape", "export"), ("mesh", "skin")])
def test_killed_in_each_stage_it_ends_in_the_same_files(studio, monkeypatch, stages):
    tiny.build_sd(studio)
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0.0)
    flags = [part for k, v in (QUICKLY | {"rounds": 2, "rays": 2}).items() for part in (f"--{k}", str(v))]
    command = [PROMPT, "--model", "tiny-sd", *flags, "--run"]
    assert run.main([*command, "whole"]) == 0
    for stage in stages:
        if (child := os.fork()) == 0:
            try:
                dying(stage)
                run.main([*command, stage])
            finally:
                os._exit(1)  # never back into the test runner
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, stage
        assert run.main([*command, stage]) == 0
        resumed = [e["resumed_from"] for e in events.read(studio / "runs" / stage) if "resumed_from" in e]
        assert resumed == {"shape": [], "mesh": [2], "skin": [3], "export": [4]}[stage]
        for name in ("object.glb", "object.zip", "object.stl", "turntable.gif", "report.json"):
            whole, again = (studio / "runs" / r / "object" / name for r in ("whole", stage))
            assert whole.read_bytes() == again.read_bytes(), (stage, name)


def test_asked_to_stop_it_keeps_what_it_has_and_leaves(studio, monkeypatch):
    tiny.build_sd(studio)
    right = Making.advance

    def interrupted(self):
        signal.raise_signal(signal.SIGTERM)
        return right(self)

    monkeypatch.setattr(Making, "advance", interrupted)
    assert run.main(["a cube", "--model", "tiny-sd", "--rounds", "3", "--rays", "2", "--run", "r"]) == events.PAUSED
    newest, faults = checkpoint.newest(studio / "runs" / "r")
    assert newest is not None and checkpoint.step_of(newest) == 1 and not faults


def test_a_job_that_was_killed_goes_on_and_ends_as_one_that_was_not(finished, studio):
    store = opened(studio)
    texts = {k: str(v) for k, v in request().to_dict().items() if v is not None}
    job = store.submit("threed", kinds.request("threed", texts, {}).to_dict())
    hand, home = Worker(store, QUICK, KINDS), store.run(job.id)
    until(lambda: store.get(job.id).checkpoint_step or 0, hand.turn, 300)
    for pid in process.of_job(job.id):
        os.kill(pid, signal.SIGKILL)
    until(lambda: store.get(job.id).state is State.DONE, hand.turn, 300)
    ended = store.get(job.id)
    assert ended.resumed_from and ended.attempt == 2 and ended.outputs[0]["path"] == "object/object.glb"
    undisturbed = next((finished / "runs").iterdir())
    for name in ("object.stl", "object.glb", "object.zip", "turntable.gif"):
        assert (home / "object" / name).read_bytes() == (undisturbed / "object" / name).read_bytes(), name


@pytest.mark.slow
def test_a_disk_that_is_full_is_one_sentence_and_it_goes_on_when_there_is_room(tmp_path):
    """Full to the last byte after the first checkpoint, so that not even the error can be written."""
    out = small_disk.run(
        """
        import contextlib, io, signal
        from core import checkpoint, events
        from tests import small_disk, tiny
        from threed import making, run

        tiny.build_sd(disk)
        command = ["a cube", "--model", "tiny-sd", "--rounds", "4", "--rays", "2", "--run", "r", "--studio", str(disk)]
        run.CHECKPOINT_SECONDS, keep, advance = -1, run.Report.checkpoint, making.Making.advance

        def kept(self):
            keep(self)
            written = disk / "runs" / "r" / events.FILE
            with written.open("ab") as f:  # to the end of its page, where the file system has room for more
                f.write(b"\\n" * (-written.stat().st_size % 4096))
            fill()

        def last(self):
            signal.raise_signal(signal.SIGTERM)
            return advance(self)

        run.Report.checkpoint, said = kept, io.StringIO()
        with contextlib.redirect_stderr(said):
            print(run.main(command))
        print(said.getvalue().splitlines()[-1])
        newest, faults = checkpoint.newest(disk / "runs" / "r")
        print(checkpoint.step_of(newest), faults)
        empty()
        run.Report.checkpoint, making.Making.advance = keep, last
        print(run.main(command), [e["resumed_from"] for e in events.read(disk / "runs" / "r") if "resumed_from" in e])
        """,
        tmp_path / "disk",
        "size=100m",
    )
    assert out.splitlines() == ["1", f"threed.run: {events.DISK_FULL}", "1 []", f"{events.PAUSED} [1]"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["", "--run", "a"], "prompt is empty"),
        (["a" * 100_000, "--run", "a"], "prompt has 100,000 characters"),
        (["a cube", "--run", "a", "--preset", "fast"], "unknown preset 'fast'; valid: draft, standard, quality"),
        (["a cube", "--run", "a", "--model", "toybox-sprint"], "unknown model 'toybox-sprint'; valid: toybox-sd"),
        (
            ["a cube", "--run", "a", "--start", "nothing"],
            "there is nothing to go on from: run 'nothing' is not in this",
        ),
        (["a cube", "--run", "a", "--mode", "magic"], "unknown mode 'magic'; valid: hybrid, pool, vsd, sds, sdi"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_event(studio, capsys, flags, sentence):
    assert run.main(flags) == 2
    assert sentence in capsys.readouterr().err
    assert sentence in events.read(studio / "runs" / "a")[-1]["message"]


def test_another_request_does_not_take_over_a_run(finished, studio, capsys):
    home = next((finished / "runs").iterdir())
    shutil.copytree(home, studio / "runs" / home.name)
    assert run.main(["a cube", "--run", home.name]) == 2
    assert "makes something else" in capsys.readouterr().err

"""A training that goes on from a student that is served: it begins as that one, and says so."""

import copy
import json
import shutil

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from core import events
from distill import publish, start
from distill.methods import dmd, scm_ladd
from distill.request import DistillRequest
from distill.train import main
from jobs import kinds
from models import catalogue, families
from models.denoiser import Denoiser
from models.manifest import ROUTER
from models.route import Router
from tests import tiny

LOOP = {"steps": 2, "batch_size": 4, "precision": "fp32", "warmup": 1, "checkpoint_every": 1}
SPRINT = ["--base", "tiny-sana", "--set", "blocks=0,1", "--set", "lr=1e-2", "--set", "adversarial=0"]
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
STILL = ("--set", "lr=1e-12")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    home = tiny.build_sd(tiny.build(tmp_path_factory.mktemp("studio"), half=True))
    (home / "datasets/mine").mkdir(parents=True)
    for i in range(8):
        Image.new("RGB", (128, 128), (30 * i, 90, 40)).save(home / f"datasets/mine/{i}.png")
        (home / f"datasets/mine/{i}.txt").write_text("a crimson ball")
    several = home / "models/tiny-msd"
    shutil.copytree(home / "models/tiny-sd", several)
    Router(torch.zeros(1, 4), torch.zeros(1)).save(several / ROUTER)
    tiny.manifest("tiny-msd", several, base="tiny-sd", family="sd", method="msd", scheduler="DDIMScheduler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(home))
        yield home
    AcceleratorState._reset_state(True)


def train(studio, run, *more, dataset=None):
    loop = [word for k, v in LOOP.items() for word in ("--set", f"train.{k}={v}")]
    dataset = dataset or str(studio / "datasets/mine")
    return main(["scm_ladd", "--run", run, "--dataset", dataset, *loop, *SPRINT, *more])


@pytest.fixture(scope="module")
def bases(studio):
    return {id: families.load(catalogue.get(id)) for id in ("tiny-sana", "tiny-sd")}


def begun(bases, run, module, cfg, base, id=None):
    """A new student, and where it begins."""
    student = module.student(cfg, copy.deepcopy(bases[base].denoiser))
    if id:
        start.keep(catalogue.get(id), run)
        start.give(student, run)
    return student


def test_a_network_begins_as_the_served_one(bases, tmp_path):
    fresh, own = (begun(bases, tmp_path, scm_ladd, scm_ladd.Config(), "tiny-sana", s) for s in (None, "tiny-sprint"))
    served = families.load(catalogue.get("tiny-sprint")).denoiser.network.state_dict()
    weights = own.network.state_dict()
    assert all(torch.equal(w, weights[k]) for k, w in served.items()) and weights.keys() == served.keys()
    assert any(not torch.equal(w, weights[k]) for k, w in fresh.network.state_dict().items())
    assert all(p.dtype == torch.float32 for p in own.parameters())


def test_an_adapter_begins_as_the_served_one(bases, tmp_path):
    """Whose alpha is twice its rank: what it does to the base is what counts."""
    fresh, own = (begun(bases, tmp_path, dmd, dmd.Config(rank=4), "tiny-sd", s) for s in (None, "tiny-hyper"))
    parts = families.load(catalogue.get("tiny-hyper"))
    x, t, cond = torch.randn(2, 16, 8, 8), torch.tensor([0.9, 0.3]), parts.text(["a red ball"] * 2)
    with torch.no_grad():
        served, mine, base = (d.predict(x, t, cond) for d in (parts.denoiser, own, fresh))
    assert (served - mine).abs().max() < 1e-5 < 0.01 < (mine - base).abs().max()
    assert sum(p.requires_grad for p in own.parameters()) == sum("lora_" in k for k, _ in own.named_parameters())


@pytest.fixture(scope="module")
def runs(studio):
    """`second` goes on from `mine`, which `first` made and `second` replaces; its steps are too small to see."""
    runs, home = studio / "runs", studio / "models/mine"
    shutil.copytree(studio / "datasets/mine", studio / "datasets/other")
    (studio / "datasets/other/0.txt").write_text("a teal cube")
    assert train(studio, "first", dataset=str(studio / "datasets/other")) == 0
    first = publish.publish(runs / "first", "mine", home)
    before = load_file(home / WEIGHTS)
    assert train(studio, "second", "--start", "mine", "--until", "1", *STILL) == 0
    half = publish.publish(runs / "second", "mine", home)
    assert main(["scm_ladd", "--run", "second", "--resume"]) == 0
    second = publish.publish(runs / "second", "mine", home)
    return first, half, second, before


def test_it_is_trained_from_there(studio, runs):
    after, base = (load_file(studio / "models" / id / WEIGHTS) for id in ("mine", "tiny-sana"))
    assert all(torch.equal(runs[-1][k], w) for k, w in after.items())
    assert any(not torch.equal(runs[-1][k], w) for k, w in base.items())


def test_what_is_loaded_is_called_by_its_name(studio, runs):
    stages = {event.get("stage") for event in events.lines(studio / "runs/first")}
    assert "loading tiny-sana" in stages


def test_it_is_published_with_the_past_of_what_it_began_as(studio, runs):
    """Whatever has taken that one's place since, or gone: it is written down with the run."""
    first, half, second, _ = runs
    facts = json.loads((studio / "runs/second/run.json").read_text())
    assert facts["start"]["id"] == "mine" and " --base tiny-sana --start mine " in facts["command"]
    assert [m.samples_seen for m in (first, half, second)] == [8, 8 + 4, 8 + 8] and second.base == "tiny-sana"
    then = [facts["command"], "python -m distill.publish second --id mine"]
    assert second.command == " && ".join([first.command, *then])
    assert half.command == " && ".join([first.command, f"{then[0]} --until 1", then[1]]), "it was stopped there"
    shutil.rmtree(studio / "models/mine")
    third = publish.publish(studio / "runs/second", "third", studio / "models/third")
    assert third.command == " && ".join([first.command, then[0], "python -m distill.publish second --id third"])
    words = json.loads((studio / "models/third/vocabulary.json").read_text())
    assert {"crimson", "teal"} <= set(words) and len(words) == len(set(words)), "it has seen both"
    told = (studio / "models/third/README.md").read_text()
    assert (
        f"`{first.dataset}`, then `{third.dataset}`, 16 samples" in told
        and "Before, as mine: Training pictures" in told
    )


def test_it_does_not_take_the_place_of_its_base(studio, runs):
    with pytest.raises(ValueError, match="can't take its base's place"):
        publish.publish(studio / "runs/second", "tiny-sana", studio / "models/tiny-sana")
    assert catalogue.get("tiny-sana").manifest.base == "tiny-dcae" and not catalogue.broken()


@pytest.mark.parametrize(
    ("base", "id", "said"),
    [
        ("tiny-sana", "tiny-hyper", "a student of tiny-sana; tiny-hyper is one of tiny-sd"),
        ("tiny-sana", "tiny-dcae", "a student of tiny-sana; tiny-dcae is no student"),
        ("tiny-sana", "nothing", "unknown model 'nothing'; valid: "),
        ("tiny-sd", "tiny-msd", "tiny-msd is several students; leave it out"),
    ],
)
def test_what_cannot_be_a_start_is_said_before_anything_is_drawn(studio, capsys, base, id, said):
    method = {"tiny-sana": "scm_ladd", "tiny-sd": "dmd"}[base]
    argv = [method, "--run", "none", "--dataset", str(studio / "datasets/mine"), "--base", base, "--start", id]
    assert main(argv) == 2
    assert said in capsys.readouterr().err and not (studio / "runs/none/run.json").exists()


@pytest.mark.parametrize(
    ("cfg", "said"),
    [
        (dmd.Config(), "the start is an adapter of rank 4, and this training makes a network of"),
        (dmd.Config(rank=2), "the start is an adapter of rank 4, and this training makes an adapter of rank 2"),
    ],
)
def test_a_start_of_another_shape_is_said(bases, tmp_path, cfg, said):
    with pytest.raises(ValueError, match=said):
        begun(bases, tmp_path, dmd, cfg, "tiny-sd", "tiny-hyper")


def test_several_students_have_no_one_start(studio, tmp_path):
    start.keep(catalogue.get("tiny-hyper"), tmp_path)
    with pytest.raises(ValueError, match="this method trains several; leave it out"):
        start.give(Denoiser(None), tmp_path)


def test_a_run_that_has_begun_has_begun(studio, runs, capsys):
    assert main(["scm_ladd", "--run", "second", "--resume", "--start", "tiny-sprint"]) == 2
    assert "--start is for new runs; leave it out" in capsys.readouterr().err
    assert train(studio, "points", "--start", "tiny-sprint", dataset="mixture") == 2
    assert "start takes a training on latents of pictures; leave it out" in capsys.readouterr().err


def test_what_an_attempt_left_that_took_no_step_is_nobody_s_start(studio):
    """Only what run.json says counts; and what it says stays, where settings change before the first step."""
    start.keep(catalogue.get("tiny-sprint"), studio / "runs/left")
    assert train(studio, "left", *STILL) == 0
    made = publish.trained(studio / "runs/left")
    facts, student = made.facts, made.student
    served = families.load(catalogue.get("tiny-sprint")).denoiser.network.state_dict()
    own = student.network.state_dict()
    assert facts["start"] is None and not all(torch.allclose(w, own[k], atol=1e-6) for k, w in served.items())
    assert train(studio, "kept", "--start", "tiny-sprint", *STILL) == 0
    shutil.rmtree(studio / "runs/kept/checkpoints")
    assert main(["scm_ladd", "--run", "kept", "--resume", "--set", "train.warmup=2"]) == 0
    facts = json.loads((studio / "runs/kept/run.json").read_text())
    assert " --start tiny-sprint " in facts["command"] and facts["start"]["id"] == "tiny-sprint"


def test_a_job_has_a_start(studio, tmp_path):
    asked = {
        "method": "scm_ladd",
        "base": "tiny-sana",
        "start": "tiny-sprint",
        "dataset": "mine",
        "set": ["blocks=0,1"],
    }
    argv = kinds.distill(DistillRequest.from_dict(asked), kinds.Start(tmp_path / "job"))
    assert argv[argv.index("--start") + 1] == "tiny-sprint"
    with pytest.raises(ValueError, match="a student of tiny-sd; tiny-sprint is one of tiny-sana"):
        DistillRequest.from_dict(asked | {"method": "dmd", "base": "tiny-sd", "set": []})


def test_an_adapter_keeps_which_weights_of_its_base_it_was_made_on(studio):
    """As they were when its training began: the base may be published anew while it goes on."""
    loop = [word for k, v in LOOP.items() for word in ("--set", f"train.{k}={v}")]
    data = ["--base", "tiny-sd", "--dataset", str(studio / "datasets/mine"), "--until", "1"]
    assert main(["cfg_lora", "--run", "adapted", *data, *loop]) == 0
    base = studio / "models/tiny-sd/manifest.json"
    before = base.read_text()
    manifest = json.loads(before)
    was = manifest["files"]["unet/diffusion_pytorch_model.safetensors"]
    manifest["files"]["unet/diffusion_pytorch_model.safetensors"] = "0123"
    base.write_text(json.dumps(manifest))
    assert main(["cfg_lora", "--run", "adapted", "--resume"]) == 0
    base.write_text(before)
    made = publish.publish(studio / "runs/adapted", "adapted", studio / "models/adapted")
    assert made.base_sha256 == was and catalogue.denoiser_sha256(catalogue.get("adapted")) == was

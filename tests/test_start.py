"""A training that goes on from a student that is served: it begins as that one, and says so."""

import copy
import json

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from distill import adapt, publish
from distill.methods import dmd, scm_ladd
from distill.train import main
from models import catalogue, families
from models.denoiser import Denoiser
from tests import tiny

LOOP = {"steps": 2, "batch_size": 4, "precision": "fp32", "warmup": 1, "checkpoint_every": 1}
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SPRINT = ["--base", "tiny-sana", "--set", "blocks=0,1", "--set", "lr=1e-2", "--set", "adversarial=0"]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    home = tiny.build_sd(tiny.build(tmp_path_factory.mktemp("studio"), half=True))
    (home / "mine").mkdir()
    for i in range(8):
        Image.new("RGB", (128, 128), (30 * i, 90, 40)).save(home / "mine" / f"{i}.png")
        (home / "mine" / f"{i}.txt").write_text("a red ball")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(home))
        yield home
    AcceleratorState._reset_state(True)


def train(studio, run, *more, dataset=None):
    loop = [word for k, v in LOOP.items() for word in ("--set", f"train.{k}={v}")]
    return main(["scm_ladd", "--run", run, "--dataset", dataset or str(studio / "mine"), *loop, *SPRINT, *more])


@pytest.fixture(scope="module")
def bases(studio):
    return {id: families.load(catalogue.get(id)) for id in ("tiny-sana", "tiny-sd")}


def begun(bases, module, cfg, base, start=None):
    """A new student, and where it begins."""
    student = module.student(cfg, copy.deepcopy(bases[base].denoiser))
    if start:
        adapt.start(student, catalogue.find(start), base)
    return student


def test_a_network_begins_as_the_served_one(bases):
    fresh, own = (begun(bases, scm_ladd, scm_ladd.Config(), "tiny-sana", s) for s in (None, "tiny-sprint"))
    served = families.load(catalogue.get("tiny-sprint")).denoiser.network.state_dict()
    weights = own.network.state_dict()
    assert all(torch.equal(w, weights[k]) for k, w in served.items()) and weights.keys() == served.keys()
    assert any(not torch.equal(w, weights[k]) for k, w in fresh.network.state_dict().items())
    assert all(p.dtype == torch.float32 for p in own.parameters())


def test_an_adapter_begins_as_the_served_one(bases):
    """Whose alpha is twice its rank: what it does to the base is what counts."""
    fresh, own = (begun(bases, dmd, dmd.Config(rank=4), "tiny-sd", s) for s in (None, "tiny-hyper"))
    parts = families.load(catalogue.get("tiny-hyper"))
    x, t, cond = torch.randn(2, 16, 8, 8), torch.tensor([0.9, 0.3]), parts.text(["a red ball"] * 2)
    with torch.no_grad():
        served, mine, base = (d.predict(x, t, cond) for d in (parts.denoiser, own, fresh))
    assert (served - mine).abs().max() < 1e-5 < 0.01 < (mine - base).abs().max()
    assert sum(p.requires_grad for p in own.parameters()) == sum("lora_" in k for k, _ in own.named_parameters())


def test_it_is_published_with_the_past_of_what_it_began_as(studio):
    """Also where it takes that one's id; and a run that stopped goes on as the run that it was. Its steps are none."""
    assert train(studio, "first") == 0
    first = publish.publish(studio / "runs/first", "mine", studio / "models/mine")
    before = load_file(studio / "models/mine" / WEIGHTS)
    assert train(studio, "second", "--start", "mine", "--until", "1", "--set", "lr=1e-12") == 0
    assert main(["scm_ladd", "--run", "second", "--resume"]) == 0
    facts = json.loads((studio / "runs/second/run.json").read_text())
    assert facts["start"] == "mine" and " --base tiny-sana --start mine " in facts["command"]
    second = publish.publish(studio / "runs/second", "mine", studio / "models/mine")
    after, base = (load_file(studio / "models" / id / WEIGHTS) for id in ("mine", "tiny-sana"))
    assert all(torch.equal(before[k], w) for k, w in after.items())
    assert any(not torch.equal(before[k], w) for k, w in base.items())
    assert (first.samples_seen, second.samples_seen) == (8, 16) and second.base == "tiny-sana"
    assert second.command.split(" && ")[:2] == first.command.split(" && ")
    assert second.command.split(" && ")[2:] == [facts["command"], "python -m distill.publish second --id mine"]
    assert publish.publish(studio / "runs/second", "mine", studio / "models/mine").command == second.command


@pytest.mark.parametrize(
    ("module", "cfg", "base", "start", "said"),
    [
        (scm_ladd, scm_ladd.Config(), "tiny-sana", "tiny-hyper", "a student of tiny-sana; tiny-hyper is one of"),
        (dmd, dmd.Config(), "tiny-sd", "tiny-hyper", "tiny-hyper is an adapter, and this training is of a whole net"),
        (dmd, dmd.Config(rank=2), "tiny-sd", "tiny-hyper", "tiny-hyper has other layers, or another rank"),
        (dmd, dmd.Config(rank=4), "tiny-sd", "nothing", "unknown model 'nothing'; valid: "),
    ],
)
def test_what_cannot_go_on_is_said(bases, module, cfg, base, start, said):
    with pytest.raises(ValueError, match=said):
        begun(bases, module, cfg, base, start)


def test_several_students_have_no_one_start(studio):
    with pytest.raises(ValueError, match="this method trains several; leave it out"):
        adapt.start(Denoiser(None), catalogue.get("tiny-hyper"), "tiny-sd")


def test_a_mixture_and_pictures_have_no_served_student(studio, capsys):
    assert train(studio, "points", "--start", "tiny-sprint", dataset="mixture") == 2
    assert "there is no --start; leave it out" in capsys.readouterr().err
    assert main(["autoencoder", "--run", "a", "--start", "tiny-dcae", "--set", "train.precision=fp32"]) == 2
    assert "autoencoder makes none; leave it out" in capsys.readouterr().err

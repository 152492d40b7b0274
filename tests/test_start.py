"""A training that goes on from a student that is served: it begins as that one, and says so."""

import json

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from distill import publish
from distill.methods import cfg_lora, dmd, msd, scm_ladd
from distill.train import main
from distill.world import Asked, build
from models import catalogue, families
from tests import tiny

LOOP = {"steps": 2, "batch_size": 4, "precision": "fp32", "warmup": 1, "checkpoint_every": 1}
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


def student(studio, module, cfg, base, start=None):
    return build(Asked(module, cfg, base, str(studio / "mine"), 0, start=start), torch.device("cpu")).world.student


def test_a_network_begins_as_the_served_one(studio):
    fresh, begun = (student(studio, scm_ladd, scm_ladd.Config(), "tiny-sana", s) for s in (None, "tiny-sprint"))
    served = families.load(catalogue.get("tiny-sprint")).denoiser.network.state_dict()
    own = begun.network.state_dict()
    assert all(torch.equal(w, own[k]) for k, w in served.items()) and own.keys() == served.keys()
    assert any(not torch.equal(w, own[k]) for k, w in fresh.network.state_dict().items())
    assert all(p.dtype == torch.float32 for p in begun.parameters())


def test_an_adapter_begins_as_the_served_one(studio):
    """Whose alpha is twice its rank: what it does to the base is what counts."""
    fresh, begun = (student(studio, dmd, dmd.Config(rank=4), "tiny-sd", s) for s in (None, "tiny-hyper"))
    parts = families.load(catalogue.get("tiny-hyper"))
    x, t, cond = torch.randn(2, 16, 8, 8), torch.tensor([0.9, 0.3]), parts.text(["a red ball"] * 2)
    with torch.no_grad():
        served, own, base = (d.predict(x, t, cond) for d in (parts.denoiser, begun, fresh))
    assert (served - own).abs().max() < 1e-5 < 0.01 < (own - base).abs().max()
    assert sum(p.requires_grad for p in begun.parameters()) == sum("lora_" in k for k, _ in begun.named_parameters())


def test_it_is_published_with_the_past_of_what_it_began_as(studio):
    """Also where it takes that one's id; and a run that stopped goes on as the run that it was."""
    assert train(studio, "first") == 0
    first = publish.publish(studio / "runs/first", "mine", studio / "models/mine")
    assert train(studio, "second", "--start", "mine", "--until", "1") == 0
    assert main(["scm_ladd", "--run", "second", "--resume"]) == 0
    facts = json.loads((studio / "runs/second/run.json").read_text())
    assert facts["start"] == "mine" and " --base tiny-sana --start mine " in facts["command"]
    second = publish.publish(studio / "runs/second", "mine", studio / "models/mine")
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
        (cfg_lora, cfg_lora.Config(rank=4), "tiny-sd", "nothing", "unknown model 'nothing'; valid: "),
        (msd, msd.Config(students=2), "tiny-sd", "tiny-hyper", "this method trains several"),
    ],
)  # fmt: skip
def test_what_cannot_go_on_is_said(studio, module, cfg, base, start, said):
    with pytest.raises(ValueError, match=said):
        student(studio, module, cfg, base, start)


def test_a_mixture_and_pictures_have_no_served_student(studio, capsys):
    assert train(studio, "points", "--start", "tiny-sprint", dataset="mixture") == 2
    assert "there is no --start; leave it out" in capsys.readouterr().err
    assert main(["autoencoder", "--run", "a", "--start", "tiny-dcae", "--set", "train.precision=fp32"]) == 2
    assert "autoencoder makes none; leave it out" in capsys.readouterr().err

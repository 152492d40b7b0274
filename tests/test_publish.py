"""From a training on pictures to a served model: it resumes exactly, it is what was trained, its card is true."""

import json
import shutil
from dataclasses import replace
from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from core import checkpoint
from core.paths import assets
from core.stage import heard
from distill import card, declared, publish, world
from distill.data.toys import Toys
from distill.methods import scm_ladd
from distill.methods.autoencoder import encode, some_pictures
from distill.serve import Trained
from distill.settings import TrainConfig
from distill.train import main
from distill.trainer import prepare
from distill.world import SceneRequest
from evals import judges
from models import catalogue, families, weights
from models.catalogue import Manifest
from models.denoiser import TrigFlow
from models.families import sana
from models.generate import Step, generate
from models.request import ImageRequest
from tests import tiny

LOOP = {"steps": 6, "batch_size": 4, "precision": "fp32", "warmup": 1, "ema": 0.5, "sample_every": 100}
LOOP |= {"checkpoint_every": 3}
OWN = {
    "scm_ladd": ["--base", "tiny-sana", "--set", "blocks=0,1", "--set", "lr=1e-3"],
    "autoencoder": ["--set", "width=4"],
    "oracle": ["--set", "lr=1e-3", "--set", "train.batch_size=16"],
}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Tiny models in half precision, a folder of pictures, and toys no more than that."""
    home = tiny.build(tmp_path_factory.mktemp("studio"), half=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(home))
        patch.setattr(world, "images", few_toys(world.images))
        torch.set_num_threads(1)
        yield home
    AcceleratorState._reset_state(True)


def few_toys(images):
    return lambda request: [Toys(size=12)] if request.dataset == "toys" else images(request)


@pytest.fixture(scope="module")
def pictures(studio) -> Path:
    root = studio / "mine"
    root.mkdir()
    for i in range(12):
        picture = Image.new("RGB", (128, 128), (20 * i, 90, 40))
        ImageDraw.Draw(picture).ellipse((10 + i, 20, 90, 100 + i), fill=(200, 10 * i, 90))
        picture.save(root / f"{i}.png")
        (root / f"{i}.txt").write_text("a red ball\nthe ball on a cube" if i % 2 else "a ball")
    return root


def train(method: str, run: str, pictures: Path, *more: str) -> None:
    dataset = "toys" if method == "oracle" else str(pictures)
    loop = [word for k, v in LOOP.items() for word in ("--set", f"train.{k}={v}")]
    assert main([method, "--run", run, "--dataset", dataset, *loop, *OWN[method], *more]) == 0


@pytest.fixture(scope="module")
def run(studio, pictures):
    """The folder of a whole training of a method, trained once."""

    def folder(method: str) -> Path:
        home = studio / "runs" / method
        if not home.exists():
            train(method, method, pictures)
        return home

    return folder


def test_what_comes_before_the_steps_is_called_by_names_that_people_know(run):
    events = [json.loads(line) for line in (run("scm_ladd") / "events.jsonl").read_text().splitlines()]
    stages = {event["stage"] for event in events if "stage" in event}
    assert "loading tiny-sana" in stages and all(len(stage) < 60 for stage in stages)


@pytest.mark.parametrize("method", OWN)
def test_on_pictures_it_resumes_exactly(method, run, studio, pictures):
    whole, half = run(method), studio / "runs" / f"{method}-half"
    shutil.copytree(whole, half)
    shutil.rmtree(half / "checkpoints" / "step-00000006")
    assert main([method, "--run", half.name, "--resume"]) == 0
    first, second = (checkpoint.load(checkpoint.newest(home)[0]) for home in (whole, half))
    assert first.step == second.step == 6 and first.tensors.keys() == second.tensors.keys()
    for player, tensors in first.tensors.items():
        for name, w in tensors.items():
            assert torch.equal(w, second.tensors[player][name]), (player, name)


@pytest.fixture(scope="module")
def published(run, studio):
    def model(method: str) -> Manifest:
        return publish.publish(run(method), f"my-{method}", studio / "models" / f"my-{method}")

    return model


def ended(run: Path, player: str = "student"):
    """The network that a run ended with, at its moving average."""
    net, saved = publish.trained(run).student, checkpoint.load(checkpoint.newest(run)[0])
    weights, average = dict(net.named_parameters()), saved.tensors[f"{player}.ema"]
    assert average and all(torch.equal(weights[k], w) for k, w in average.items())
    return net


def test_a_student_is_served_as_it_was_trained(published, run):
    """Every step of the loop asks the network that the run ended with, at the paper's times (Table 7)."""
    made = published("scm_ladd")
    assert (made.family, made.scheduler, made.prediction) == ("sana", "SCMScheduler", "trigflow")
    parts, net = families.load(catalogue.get(made.id)), ended(run("scm_ladd")).half().float()
    cond = replace(parts.text(["a red ball"]), guidance=torch.tensor([3.5]))
    for angles in ([pi / 2], [1.5683, 1.3], [1.5683, 1.3, 1.1, 0.6]):
        events = list(generate(parts, ImageRequest("a red ball", model=made.id, seed=3, steps=len(angles))))
        steps = [e for e in events if isinstance(e, Step)]
        assert [s.t * pi / 2 for s in steps] == pytest.approx(angles, abs=1e-4)
        for s in steps:
            with torch.no_grad():
                own = net(s.x_t, torch.tensor([s.t]), cond)
            assert torch.allclose(s.x0, own, atol=1e-3 * own.abs().max().item())
        with torch.no_grad():
            picture = parts.vae.decode(steps[-1].x0).sample[0].permute(1, 2, 0)
        shown = np.asarray(events[-1].picture, dtype=int)
        assert np.abs((picture.clamp(-1, 1) + 1).numpy() * 127.5 - shown).max() <= 1 and shown.std() > 5
    assert torch.equal(steps[0].x_t, torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(3)))


def test_training_reaches_the_weights_that_are_kept(published, studio):
    """Steps smaller than half precision resolves would leave a published file as its base's was."""
    made, file = published("scm_ladd"), "transformer/diffusion_pytorch_model.safetensors"
    after, before = (load_file(studio / "models" / id / file) for id in (made.id, "tiny-sana"))
    shared = [k for k in after if k in before and before[k].numel() > 1]
    assert len(shared) > 20 and all(after[k].dtype == before[k].dtype == torch.float16 for k in shared)
    changed = [(after[k] != before[k]).float().mean().item() for k in shared]
    assert min(changed) > 0 and sum(changed) / len(changed) > 0.8


def test_an_autoencoder_is_served_as_it_was_trained(published, run, pictures):
    made = published("autoencoder")
    x = some_pictures(publish.trained(run("autoencoder")), 12)
    own, served = ended(run("autoencoder")), sana.load(catalogue.get(made.id)).vae
    with torch.no_grad():
        wanted, z = own.decode(encode(own, x)).sample, encode(served, x)
        assert torch.allclose(served.decode(z).sample, wanted, atol=2e-2) and wanted.std() > 0.05
    assert z.square().mean() == pytest.approx(1, abs=0.1), "of unit variance, as denoisers take them"
    assert "vocabulary.json" not in made.files and made.latents == weights.digest(served.half().encoder)[:12]


def test_a_judge_is_served_as_it_was_trained(published, run, studio):
    made = published("oracle")
    own, served = ended(run("oracle"), "judge"), world.judge_named(made.id)
    x = torch.stack([torch.from_numpy(Toys(size=12)[i].picture.copy()).permute(2, 0, 1) for i in range(4)])
    fresh = judges.Judge(own.config["arch"], own.classes)
    with torch.no_grad():
        for head, logits in own(x / 127.5 - 1).items():
            assert torch.allclose(served(x / 127.5 - 1)[head], logits, atol=2e-2), head
            assert not torch.allclose(fresh.eval()(x / 127.5 - 1)[head], logits, atol=2e-2), head


def test_the_memory_of_a_training_includes_encoder_and_decoder(studio, pictures):
    request = SceneRequest(scm_ladd, scm_ladd.Config(blocks=(0, 1)), catalogue.get("tiny-sana"), str(pictures), 0)
    stages = []
    with heard(lambda *stage: stages.append(stage)):
        t = prepare(request, TrainConfig())
    assert ("loading tiny-sana", 0, 1) in stages
    parts = families.load(catalogue.get("tiny-sana"))
    networks = (parts.vae, parts.pipeline.text_encoder, parts.pipeline.transformer)
    rest = replace(t, scene=replace(t.scene, beside=())).held()
    assert t.held() - rest == 4 * sum(w.numel() for net in networks for w in net.parameters())
    assert rest > 5 * 4 * sum(w.numel() for w in t.scene.world.student.parameters())


def told(studio: Path, id: str) -> str:
    return (studio / "models" / id / "README.md").read_text(encoding="utf-8")


def test_a_card_tells_the_run_and_nothing_else(published, studio):
    for method in OWN:
        published(method)
    student, vae, judge = (told(studio, f"my-{method}") for method in OWN)
    assert "continuous-time consistency, with a discriminator in latents. " in student
    assert "| warmup | 300 |" in student and "| train.warmup | 1 |" in student
    assert "Its vocabulary is `vocabulary.json`" in student and "a folder of the person who trained it" in student
    assert "vocabulary" not in vae and "vocabulary" not in judge
    assert "toy scenes that this project draws." in judge and "Emoji" not in judge


def test_a_card_names_no_part_that_was_off(studio, tmp_path):
    net = TrigFlow(families.load(catalogue.get("tiny-sana")).denoiser.with_guidance())
    for adversarial, about in ((0.0, "SANA-Sprint's continuous-time consistency alone."), (0.5, scm_ladd.ABOUT)):
        made = Trained({}, scm_ladd.Config(adversarial=adversarial), None, net)
        assert ({"about": scm_ladd.ABOUT} | scm_ladd.serve(made, tmp_path))["about"] == about


def test_every_method_says_how_it_is_served_and_what_it_is():
    for name in declared.methods():
        module = declared.module(name)
        assert module.ABOUT.endswith(".") and callable(module.serve) and callable(module.student)


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ("toys+emoji", "toy scenes that this project draws, and Fluent Emoji (MIT License, Microsoft)."),
        ("toys+words+pairs", "draws, and Fluent Emoji (MIT License, Microsoft), and pairs of both."),
        ("emoji+noto", "Fluent Emoji (MIT License, Microsoft), and Noto Emoji (Apache License 2.0, Google)."),
        ("mini", "toy scenes of one thing each, which this project draws."),
        ("mixture", "Trained on points of a mixture of Gaussians, not on pictures."),
        ("some/folder", "a folder of the person who trained it; ask them for the licence."),
    ],
)
def test_a_card_says_whose_pictures_they_were(dataset, sentence):
    assert card.learnt_from(dataset).endswith(sentence)


@pytest.mark.parametrize("home", sorted((assets() / "weights").iterdir()), ids=lambda home: home.name)
def test_a_card_of_the_box_tells_its_manifest(home):
    made = Manifest.from_dict(json.loads((home / "manifest.json").read_text(encoding="utf-8")))
    text = (home / "README.md").read_text(encoding="utf-8")
    assert text.split("```\n")[1].splitlines() == made.command.split(" && ")
    assert card.learnt_from(made.dataset) in text
    assert ("Its vocabulary is `vocabulary.json`" in text) == ("vocabulary.json" in made.files)
    training = [line for line in made.command.split(" && ") if "distill.train" in line][-1]
    for setting in training.split(" --set ")[1:]:
        assert f"\n| {setting.split('=')[0]} | " in text


def test_a_run_that_is_not_there_is_one_sentence(studio, capsys):
    assert publish.main(["nowhere", "--id", "mine"]) == 2
    assert capsys.readouterr().err == "distill.publish: there is no run named 'nowhere' to publish\n"
    assert not (studio / "models/mine").exists() and not (studio / "runs/nowhere").exists()


def test_an_id_of_the_box_is_not_published_where_nobody_would_find_it(studio, capsys):
    assert publish.main(["any", "--id", "toybox-sd"]) == 2
    assert "toybox-sd is taken by a model of the box; choose another --id" in capsys.readouterr().err
    assert not (studio / "models/toybox-sd").exists()

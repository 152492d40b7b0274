"""A decoder that mends latents of students: what it learns, what stays as it was, and the pairs that it learns from."""

import functools

import numpy as np
import pytest
import torch
from diffusers import AutoencoderDC
from torch import Tensor

from core.paths import assets
from core.settings import override
from distill import declared, fitting
from distill.data import painted, slips
from distill.data.toys import Toys
from distill.method import Batch, Rows, World
from distill.methods import decoder as method
from distill.methods.autoencoder import encode
from distill.mover import moves
from distill.settings import TrainConfig
from distill.world import pixels
from models import batch, catalogue, families, weights
from models.generate import Image, generate
from models.request import ImageRequest
from tests import tiny

SMALL = {"perceptual": "0", "noise": "0", "lr": "1e-3"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A studio of tiny models, whose students stand for those of the box."""
    folder = tmp_path_factory.mktemp("decoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(folder))
        tiny.build(folder)
        patch.setattr(painted, "painters", lambda: [[catalogue.get("tiny-sprint")]])
        yield folder


def made(home, **own: str) -> tuple[World, method.Method]:
    """The autoencoder of the box, as a random one would take long to learn anything."""
    cfg = override(method.Config(), SMALL | own)
    vae = weights.load(AutoencoderDC, assets() / "weights" / "toybox-dcae" / "vae", torch.float32)
    world = World(student=vae, base=catalogue.get("tiny-dcae"))
    return world, declared.module("decoder").Method(world, cfg)


@functools.cache
def pictures() -> Batch:
    return Batch(0, pixels=pixels(np.stack([Toys(split="held_out")[k].picture for k in range(4)])))


def taught(how: method.Method, steps: int) -> None:
    mover, shown = moves("student", how.players["student"], 0.0, "adamw"), pictures()
    for step in range(steps):
        how.loss("student", shown, Rows(0, step, 4)).loss.backward()
        mover.update(1.0, 0.9)
        mover.forget_gradients()


def error(how: method.Method, z: Tensor, x: Tensor) -> float:
    with torch.no_grad():
        return float((how.decode(how.vae, z) - x).square().mean())


def test_it_learns_what_the_teacher_would_change_and_the_encoder_stays(home):
    world, how = made(home, slips="0")
    z = encode(world.student, pictures().pixels).detach()
    wrong = z + 0.4 * torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    how.slips = slips.Slips(wrong, z)
    wanted, encoder = how.decode(how.before, z).detach(), [p.clone() for p in world.student.encoder.parameters()]
    before = error(how, wrong, wanted)
    taught(how, 12)
    assert error(how, wrong, wanted) < 0.7 * before
    assert all(torch.equal(a, b) for a, b in zip(encoder, world.student.encoder.parameters(), strict=True))


def test_noise_is_forgiven_and_without_it_a_decoder_learns_the_pictures_themselves(home):
    errors = {}
    for noise in ("0", "2"):
        world, how = made(home, slips="0", noise=noise)
        taught(how, 12)
        z = encode(world.student, pictures().pixels)
        far = z + torch.randn(z.shape, generator=torch.Generator().manual_seed(2))
        errors[noise] = error(how, z, pictures().pixels), error(how, far, pictures().pixels)
    assert errors["0"][0] < errors["2"][0] and errors["2"][1] < 0.8 * errors["0"][1]


def test_the_judge_that_is_learnt_from_is_not_the_one_that_reports(home):
    _, how = made(home, slips="0", perceptual="1")
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    assert method.JUDGE == "judge-a" and how.apart(x, x).abs().max() == 0
    assert (how.apart(x, x.flip(3)) > 0.01).all()
    assert made(home, slips="0")[1].apart(x, x.flip(3)).tolist() == [0, 0]


def test_pairs_are_painted_once_and_hold_the_students_own_latents(home, tmp_path, monkeypatch):
    monkeypatch.setattr(slips, "SHARD", 4)
    row = catalogue.get("tiny-dcae")
    drawn = slips.draw(row, 8, tmp_path)
    assert drawn.painted.shape == drawn.mended.shape == (8, 16, 8, 8) and drawn.painted.isfinite().all()
    monkeypatch.setattr(slips, "shard", lambda *_: pytest.fail("painted again"))
    again = slips.draw(row, 8, tmp_path)
    assert torch.equal(drawn.painted, again.painted) and torch.equal(drawn.mended, again.mended)


def test_the_latents_of_a_batch_are_those_of_single_requests(home):
    """And from time 1 on a refined picture is the model's own, whatever it begins with."""
    parts = families.load_all(["tiny-sprint", "tiny-sana"])
    prompts, seeds = ["a red ball", "a blue cube on the mushroom"], [3, 4]
    z = batch.latents(parts["tiny-sprint"], prompts, seeds, 2, 3.5)
    for k, prompt in enumerate(prompts):
        request = ImageRequest(prompt, model="tiny-sprint", steps=2, seed=seeds[k], guidance=3.5)
        steps = [e for e in generate(parts["tiny-sprint"], request) if not isinstance(e, Image)]
        assert torch.allclose(steps[-1].x_s[0], z[k], atol=1e-4)
    teacher = parts["tiny-sana"]
    whole = batch.latents(teacher, prompts, seeds, 6, 3.0)
    assert torch.allclose(batch.refined(teacher, torch.zeros_like(z), prompts, seeds, 6, 1.0, 3.0), whole, atol=1e-2)
    near, far = (batch.refined(teacher, z, prompts, seeds, 6, t, 3.0) for t in (0.1, 0.7))
    assert (near - z).square().mean() < (far - z).square().mean()


def test_a_base_without_students_is_refused_in_a_sentence(home):
    row = catalogue.get("tiny-dcae")
    own = override(method.Config(), {})
    there = fitting.Training("decoder", row, None, "toys", own, TrainConfig())
    fitting.check(there)
    other = catalogue.Row(
        **(vars(row) | {"manifest": row.manifest.from_dict(row.manifest.to_dict() | {"latents": "x"})})
    )
    alone = fitting.Training("decoder", other, None, "toys", own, TrainConfig())
    with pytest.raises(ValueError, match="no student of the box paints latents of tiny-dcae; set slips=0"):
        fitting.check(alone)
    fitting.check(fitting.Training("decoder", other, None, "toys", override(own, {"slips": "0"}), TrainConfig()))

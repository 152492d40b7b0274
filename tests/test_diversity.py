"""Cures of lost variety: fields of a request that change nothing until they are set, each what its equation says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import catalogue, diversity, families, stored
from models.denoiser import Cond
from models.generate import Image, generate
from models.guidance import guided
from models.picture import png_bytes, read
from models.request import ImageRequest
from models.samplers import Step
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")

CURES = {"base_steps": 1, "skip_steps": 1, "pink": 0.6, "text_noise": 0.5, "cads": 0.5, "adapter_first": 0.4}


@pytest.fixture(scope="module")
def crew(studio):
    return families.load_all(["tiny-sd", "tiny-hyper", "tiny-sprint", "tiny-sana"])


def ask(model="tiny-hyper", **fields):
    steps = {"tiny-hyper": 4, "tiny-sprint": 2, "tiny-sd": 8}[model]
    return ImageRequest(**({"prompt": "a red mushroom", "model": model, "seed": 7, "steps": steps} | fields))


def run(crew, request):
    events = list(generate(crew[request.model], request, crew))
    return [e for e in events if isinstance(e, Step)], [e for e in events if isinstance(e, Image)]


def pixels(crew, request):
    return np.asarray(run(crew, request)[1][0].picture, dtype=int)


@pytest.mark.parametrize("cure", CURES)
def test_each_cure_changes_the_picture_and_its_png_brings_it_back(crew, cure):
    plain, cured = ask(), ask(**{cure: CURES[cure]})
    assert np.abs(pixels(crew, plain) - pixels(crew, cured)).max() > 3
    restored = read(png_bytes(run(crew, cured)[1][0].picture, cured)).request
    assert restored == cured and np.array_equal(pixels(crew, restored), pixels(crew, cured))


@pytest.mark.parametrize("cure", CURES)
def test_a_picture_of_a_wall_is_the_picture_of_its_seed(crew, cure):
    wall = ask(num_images=3, **{cure: CURES[cure]})
    pictures = run(crew, wall)[1]
    alone = run(crew, wall.single(2))[1][0]
    a, b = np.asarray(pictures[2].picture, dtype=int), np.asarray(alone.picture, dtype=int)
    assert np.abs(a - b).max() <= 1 and np.abs(a - np.asarray(pictures[1].picture, dtype=int)).max() > 3


@pytest.mark.parametrize("model, base", [("tiny-hyper", "tiny-sd"), ("tiny-sprint", "tiny-sana")])
def test_a_base_step_is_the_bases_own(crew, model, base):
    """Bit for bit its guided answer at the same x_t, with its own kind of guidance; the calls are counted."""
    steps, images = run(crew, ask(model, base_steps=1, base_guidance=3.0))
    first, *others = steps
    assert first.painter == base and {s.painter for s in others} == {model} and images[0].calls == len(steps) + 1
    cond, null = crew[base].text(["a red mushroom"]), crew[base].text([""])
    net = crew[base].denoiser
    if model == "tiny-hyper":
        with torch.no_grad():
            expected = guided(net, first.x_t, torch.tensor([first.t]), cond, null, 3.0)
        assert torch.equal(first.x0, expected)
    assert run(crew, ask(model, base_steps=1))[1][0].calls == len(steps), "at guidance 1 the base is asked once"


def test_all_steps_by_the_base_are_the_base_on_the_students_timesteps(crew):
    steps, _ = run(crew, ask(base_steps=4))
    student, _ = run(crew, ask())
    assert [s.painter for s in steps] == ["tiny-sd"] * 4 and [s.t for s in steps] == [s.t for s in student]
    again, _ = run(crew, ask(base_steps=0, painters="tiny-sd:0-3@1"))
    assert torch.equal(steps[-1].x0, again[-1].x0)


def test_where_base_and_student_are_one_network_nothing_changes(crew):
    """A student whose adapter is scaled to nothing is its base."""
    hollow = replace(crew["tiny-hyper"], denoiser=crew["tiny-hyper"].denoiser.adapted(None))
    mixed = {**crew, "tiny-hyper": hollow}
    assert np.array_equal(pixels(mixed, ask(base_steps=1)), pixels(mixed, ask()))
    assert not np.array_equal(pixels(crew, ask(base_steps=1)), pixels(crew, ask()))


def test_an_adapter_that_is_off_in_the_first_step_is_a_base_step(crew):
    assert np.array_equal(pixels(crew, ask(adapter_first=0.0)), pixels(crew, ask(base_steps=1)))


def test_a_skipped_step_begins_later_from_pure_noise(crew):
    whole, _ = run(crew, ask())
    steps, images = run(crew, ask(skip_steps=1))
    assert [s.i for s in steps] == [1, 2, 3] and steps[0].t == whole[1].t and images[0].calls == 3
    assert torch.equal(steps[0].x_t, whole[0].x_t)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"model": "tiny-sd", "base_steps": 1}, "tiny-sd has no base model to take its steps"),
        ({"base_steps": 5}, "tiny-sd can't paint step 4: 4 steps are 0 to 3"),
        ({"skip_steps": 4}, "skip_steps must be 0 to 3, not 4"),
        ({"model": "tiny-sprint", "adapter_first": 0.5}, "tiny-sprint is no LoRA, so adapter_first must be 1"),
        ({"base_steps": 1, "base_guidance": 0.5}, "guidance of tiny-sd must be 1 to 8, not 0.5"),
        ({"base_steps": 1, "painters": "tiny-sd:0"}, "painters names two models for step 0"),
    ],
)
def test_what_a_model_cannot_obey_is_one_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        ask(**fields)


def test_pink_noise_falls_with_frequency_and_keeps_its_variance():
    white = torch.randn(2000, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    power = torch.fft.rfft2(diversity.pink(white, 1.0)).abs().square().mean((0, 1))
    assert power[0, 1] / power[0, 4] == pytest.approx(16, rel=0.1)  # 1 / f in amplitude: 4 times the frequency
    assert diversity.pink(white, 1.0).var().item() == pytest.approx(1, abs=0.02)
    assert diversity.pink(white, 0.0) is white


def cond(*lengths: int) -> Cond:
    g = torch.Generator().manual_seed(1)
    tokens = torch.randn(len(lengths), max(lengths), 6, generator=g) * 2 + 1
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return Cond(tokens * mask[..., None], mask)


def test_noise_on_the_prompt_is_in_its_deviations_and_leaves_the_padding():
    y = cond(40, 60)
    noise = diversity.drawn(y, diversity.text_generators([3, 4], 0))
    moved = diversity.noisy(y, noise, 0.5)
    assert torch.equal(moved.mask, y.mask) and torch.equal(moved.tokens[0, 40:], y.tokens[0, 40:])
    for row in range(2):
        added = (moved.tokens - y.tokens)[row][y.mask[row]]
        assert (added.std() / y.tokens[row][y.mask[row]].std()).item() == pytest.approx(0.5, rel=0.15)
    alone = diversity.drawn(cond(40), diversity.text_generators([3], 0))
    assert torch.equal(alone[0, :40], noise[0, :40]), "a longer neighbour changes nothing"


def test_cads_leaves_no_prompt_at_the_start_and_all_of_it_below_its_time():
    y = cond(50, 50)
    noise = diversity.drawn(y, diversity.text_generators([3, 4], 0))
    early, late = (diversity.annealed(y, noise, 1.0, t).tokens.flatten() for t in (1.0, 0.75))
    alike = [torch.corrcoef(torch.stack([x - x.mean(), y.tokens.flatten()]))[0, 1].item() for x in (early, late)]
    assert abs(alike[0]) < 0.15 and 0.55 < alike[1] < 0.85  # sqrt(0.5)
    assert torch.equal(diversity.annealed(y, noise, 1.0, 0.6).tokens, y.tokens)
    assert late.std().item() == pytest.approx(y.tokens.std().item(), rel=0.05)


def test_a_shield_pushes_to_its_radius_and_no_farther():
    others = torch.zeros(1, 2, 4, 4)
    near, far = torch.full((1, 2, 4, 4), 0.2), torch.full((1, 2, 4, 4), 2.0)
    moved = diversity.shielded(torch.cat([near, far]), others, 1.0)
    assert moved[0].pow(2).mean().sqrt().item() == pytest.approx(1.0) and torch.equal(moved[1], far[0])


def earlier(crew, request):
    """Where the file is that holds what this request paints."""
    steps, _ = run(crew, request)
    return stored.keep(steps[-1].x_s, catalogue.chain(request.row)[-1].id)


def test_unlike_moves_a_picture_away_from_those_that_were_there(crew):
    plain = ask()
    digest = earlier(crew, plain)
    far = ask(unlike=digest, unlike_by=1.5)
    last = run(crew, plain)[0][-1].x_s
    gone = (run(crew, far)[0][-1].x_s - last).pow(2).mean().sqrt()
    assert gone > 0.2 and np.array_equal(pixels(crew, ask(unlike=digest, unlike_by=0.0)), pixels(crew, plain))
    steps, images = run(crew, far)
    for step in steps[:-1]:
        assert (step.x0 - last).pow(2).mean().sqrt() > 1.49
    assert read(png_bytes(images[0].picture, far)).request == far


def test_what_unlike_cannot_do_is_one_sentence(crew):
    digest = earlier(crew, ask())
    with pytest.raises(ValueError, match="unlike needs at least 2 steps"):
        ask(steps=1, unlike=digest)
    with pytest.raises(ValueError, match="64 hexadecimal digits of stored pictures"):
        ask(unlike="me")
    with pytest.raises(ValueError, match="what this picture should be unlike is not in this studio"):
        run(crew, ask(unlike="0" * 64))
    with pytest.raises(ValueError, match="latents of tiny-kl, not of tiny-dcae"):
        run(crew, ask("tiny-sprint", unlike=digest))

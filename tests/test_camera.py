"""A UNet that is told the camera: each picture its own, and one that nobody tells paints as before."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill import publish, start
from distill.method import Batch, Rows, World
from distill.methods import camera as method
from distill.serve import Trained
from models import camera, catalogue, families, recipe, trajectory
from models.camera import numbers
from models.denoiser import Cond
from models.families.sd import UNetDenoiser
from models.generate import Image, encode, generate
from models.manifest import CAMERA, Guidance
from models.request import ImageRequest
from models.samplers import Step
from models.together import alike, together
from models.views import Camera, camera_matrix
from tests import tiny

B = 16


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return UNetDenoiser(tiny.unet()).requires_grad_(False)


def conditions(n: int) -> Cond:
    return Cond(torch.zeros(n, 4, 384), torch.ones(n, 4, dtype=torch.bool))


def test_each_picture_is_told_its_own_camera_but_for_those_that_are_hidden(base):
    """Rows of the truth go to rows of the batch; emoji get any; a hidden caption hides its camera too."""
    truth = [{"azimuth": 20.0 * k, "elevation": 10.0 + k} if k % 4 else {} for k in range(B)]
    batch = Batch(0, x0=torch.zeros(B, 16, 8, 8), cond=conditions(B), truth=truth)
    conditions_seen = []

    class Listens(UNetDenoiser):
        def predict(self, x_t, t, cond):
            conditions_seen.append(cond)
            return super().predict(x_t, t, cond)

    student = Listens(copy.deepcopy(base.network))
    student.camera = camera.new_embedding(base.network)
    made = method.Method(World(student, null=conditions(1).map(lambda x: x + 1)), method.Config(drop=0.3, unknown=0.3))
    made.loss("student", batch, Rows(0, 0, B)).loss.backward()
    assert student.camera.last.weight.grad.abs().max() > 0
    right = numbers([Camera(r["azimuth"], r["elevation"]) if r else None for r in truth])
    emoji = torch.tensor([not r for r in truth])
    hidden = conditions_seen[0].tokens.amax((1, 2)) > 0
    unknown = (conditions_seen[0].camera == 0).all(1)
    seen, own = conditions_seen[0].camera, ~unknown & ~emoji
    assert torch.equal(seen[own], right[own])
    assert len(set(seen[~unknown & emoji][:, 0].tolist())) == int((~unknown & emoji).sum()) > 1
    assert hidden.any() and unknown[hidden].all()
    assert 0 < (~unknown).sum() < B - hidden.sum()


def test_nobody_told_it_is_the_base_bit_for_bit_until_it_is_trained(base):
    x_t, t, cond = torch.randn(2, 16, 8, 8), torch.tensor([0.3, 0.9]), conditions(2)
    new = method.student(method.Config(rank=4), copy.deepcopy(base))
    torch.nn.init.normal_(new.camera.last.weight)
    with torch.no_grad():
        plain = base(x_t, t, cond)
        assert torch.equal(new(x_t, t, cond), plain)
        steered = new(x_t, t, replace(cond, camera=numbers([Camera(30.0, 20.0), None])))
    assert not torch.equal(steered[0], plain[0]) and torch.equal(steered[1], plain[1])


def test_a_network_that_others_share_keeps_no_camera(base):
    shared = UNetDenoiser(base.network)
    shared.camera = camera.new_embedding(base.network)
    torch.nn.init.normal_(shared.camera.last.weight)
    x_t, t, cond = torch.randn(1, 16, 8, 8), torch.tensor([0.5]), conditions(1)
    before = base(x_t, t, cond)
    assert not torch.equal(shared(x_t, t, replace(cond, camera=numbers([Camera(9.0, 9.0)]))), before)
    assert torch.equal(base(x_t, t, cond), before)


@pytest.fixture
def turning(tmp_path, monkeypatch):
    """A studio whose models tiny-sd and tiny-hyper have cameras, and the embedding of both."""
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build_sd(tmp_path)))
    embedding = camera.new_embedding(families.load(catalogue.get("tiny-sd")).denoiser.network)
    embedding.begin(3.0)
    homes = [tmp_path / "models" / id for id in ("tiny-sd", "tiny-hyper")]
    for home in homes:
        camera.save(embedding, home)
    guidance = Guidance("cfg", 3.0, (1.0, 8.0))
    tiny.manifest("tiny-sd", homes[0], family="sd", base="tiny-kl", scheduler="DDIMScheduler", prediction="epsilon",
        guidance=guidance, default_steps=2)  # fmt: skip
    tiny.manifest("tiny-hyper", homes[1], family="sd", base="tiny-sd", kind="lora", scheduler="TCDScheduler",
        timesteps={"1": [999]}, lora={"rank": 4, "alpha": 8}, eta=0.3)  # fmt: skip
    return embedding, homes[1]


def pictures(**fields) -> list[np.ndarray]:
    request = ImageRequest(**({"prompt": "a blue mug", "model": "tiny-sd", "seed": 7} | fields))
    events = generate(families.load(catalogue.get(request.model)), request)
    return [np.asarray(event.picture) for event in events if isinstance(event, Image)]


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-hyper"])
def test_a_request_turns_the_camera_around_one_thing(turning, model):
    """A network and a LoRA: the pictures share their noise, and each is that of its own angle alone."""
    one, two, three = pictures(model=model, num_images=3, azimuth=150, turn=40, elevation=30)
    assert not np.array_equal(one, two) and not np.array_equal(two, three)
    for picture, azimuth in ((two, -170), (three, -130)):
        (alone,) = pictures(model=model, azimuth=azimuth, elevation=30)
        assert np.abs(picture.astype(int) - alone).max() <= 1
    request = ImageRequest("a mug", model=model, num_images=3, seed=7, azimuth=150, turn=40)
    assert request.seeds() == [7, 7, 7] and request.single(2).azimuth == -130 and request.single(2).seed == 7


def test_callers_whose_things_turn_together_get_their_own_angles(turning):
    one, other = (
        ImageRequest(p, model="tiny-sd", num_images=2, seed=s, turn=40) for p, s in (("a mug", 1), ("a key", 5))
    )
    assert alike(one, other)
    parts, both = families.load(catalogue.get("tiny-sd")), together([one, other])
    alone = [np.asarray(e.picture, int) for r in (one, other) for e in generate(parts, r) if isinstance(e, Image)]
    joint = [np.asarray(e.picture, int) for e in generate(parts, both) if isinstance(e, Image)]
    assert max(np.abs(a - b).max() for a, b in zip(alone, joint, strict=True)) <= 1


def test_the_empty_prompt_of_guidance_has_no_camera(turning):
    parts, request = families.load(catalogue.get("tiny-sd")), ImageRequest("a mug", model="tiny-sd", azimuth=40)
    cond, null = encode(parts, request, request.texts(), null=True)
    assert torch.equal(cond.camera, numbers([Camera(40.0, 20.0)])) and torch.equal(null.camera, numbers([None]))
    step = Step(0, torch.zeros(1), torch.zeros(1), torch.zeros(1), 0.5, parts.denoiser.schedule, None)
    assert torch.equal(trajectory.prompts(parts, request, step, empty=False).camera, cond.camera)
    assert torch.equal(trajectory.prompts(parts, request, step, empty=True).camera, null.camera)


def test_a_model_without_a_camera_takes_no_angle():
    with pytest.raises(ValueError, match="toybox-sd has no camera, so turn must be 0; models with one: "):
        ImageRequest("a mug", model="toybox-sd", turn=40)


def test_it_is_served_with_its_camera(turning):
    embedding, home = turning
    served = families.load(catalogue.get("tiny-hyper")).denoiser
    assert torch.equal(served.camera.last.weight, embedding.last.weight.half().float())
    assert "Plain diffusers passes over it" in recipe.section(catalogue.get("tiny-hyper"))
    assert "Plain diffusers" not in recipe.section(catalogue.get("tiny-cfg"))
    (home / CAMERA).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        camera.load(served.network, home / CAMERA)


def test_a_cell_knows_its_place_in_the_world():
    """The axes are those of the renders: a camera's matrix takes the cell at the right and above there."""
    cameras = [Camera(a, e) for a, e in ((0, 0), (40, 20), (90, 5), (200, 65), (311, 33))]
    place = camera.places(numbers(cameras), 8, 8)
    for c, cells in zip(cameras, place, strict=True):
        right, up, back, _ = torch.from_numpy(camera_matrix(c)).float().T[:, :3]
        corner = 7 / 8 * camera.HALF * (right + up)
        assert torch.allclose(cells[:3, 0, 7], corner, atol=1e-5) and torch.allclose(cells[3:, 3, 5], back, atol=1e-5)
    assert (camera.places(numbers([None]), 8, 8) == 0).all()


def test_it_knows_the_words_of_its_own_pictures_alone(tmp_path):
    """A network that is trained on toys paints no fox any more, so the page should say that it knows none."""
    (tmp_path / start.WORDS).write_text('["mug"]')
    words = {}
    for name in ("camera", "sft"):
        made = Trained({"method": name, "dataset": "toys", "skip_bad": False}, None, catalogue.get("toybox-sd"), None)
        words[name] = publish.vocabulary(tmp_path, made)
    assert words["camera"] == ["mug"] and "fox" in words["sft"]


def test_a_new_camera_is_felt_from_the_start_and_an_old_one_kept(base):
    first = copy.deepcopy(base)
    noise = first.network.conv_in(torch.randn(64, 16, 8, 8)).std(dim=(0, 2, 3)).mean()
    torch.manual_seed(0)
    net = method.student(method.Config(begin=0.5), first)
    felt = net.camera(numbers([Camera(a, 20.0) for a in range(0, 360, 10)]), 8, 8)
    assert 0.25 * noise < felt.std() < noise
    assert method.student(method.Config(), net).camera is net.camera


def test_pictures_that_a_turn_changes_are_drawn_most_often():
    single, several = {"kind": "mug", "count": 1}, {"kind": "mug", "count": 3}
    rare = [method.often(row) for row in (several, {"kind": "ball", "count": 1}, {"emoji": "fox"})]
    assert method.often(single) == 1 and set(rare) == {method.RARE}

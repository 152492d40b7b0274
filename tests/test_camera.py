"""A UNet that is told the camera: each picture its own, and one that nobody tells paints as before."""

import copy
from dataclasses import replace

import pytest
import torch

from distill.method import Batch, Rows, World
from distill.methods import camera as method
from models import camera, catalogue, families
from models.camera import numbers
from models.denoiser import Cond
from models.families.sd import UNetDenoiser
from models.manifest import CAMERA
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
    """Rows of the truth go to rows of the batch; emoji have none; a hidden caption hides its camera too."""
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
    hidden = conditions_seen[0].tokens.amax((1, 2)) > 0
    unknown = (conditions_seen[0].camera == 0).all(1)
    assert torch.equal(conditions_seen[0].camera[~unknown], right[~unknown])
    assert hidden.any() and unknown[hidden].all() and unknown[::4].all()
    assert 0 < (~unknown).sum() < B - hidden.sum() - 3


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


def test_it_is_served_with_its_camera(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build_sd(tmp_path)))
    home = tmp_path / "models" / "tiny-hyper"
    embedding = camera.new_embedding(families.load(catalogue.get("tiny-sd")).denoiser.network)
    torch.nn.init.normal_(embedding.last.weight)
    camera.save(embedding, home)
    tiny.manifest("tiny-hyper", home, family="sd", base="tiny-sd", kind="lora", scheduler="TCDScheduler",
        timesteps={"1": [999]}, lora={"rank": 4, "alpha": 8}, eta=0.3)  # fmt: skip
    served = families.load(catalogue.get("tiny-hyper")).denoiser
    assert torch.equal(served.camera.last.weight, embedding.last.weight.half().float())
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

"""OpenVINO beside torch: the same pictures, whoever answers; what it can't answer torch does."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import catalogue, families, openvino, picture
from models.camera import new_embedding, numbers
from models.denoiser import Cond
from models.engine import Engine
from models.generate import Image, generate
from models.request import ImageRequest
from models.views import Camera
from tests.compiled import converted

SPRINT, LORA = "tiny-sprint", "tiny-hyper"


@pytest.fixture(scope="module", autouse=True)
def studio(tmp_path_factory):
    yield from converted(tmp_path_factory.mktemp("studio"), SPRINT, "tiny-sd", LORA)


def pictures(parts, **fields) -> list[Image]:
    request = ImageRequest(**({"prompt": "a red ball", "model": parts.row.id, "num_images": 3} | fields))
    return [e for e in generate(parts, request, {parts.row.id: parts}) if isinstance(e, Image)]


def levels(a: list[Image], b: list[Image]) -> int:
    apart = [np.asarray(x.picture, int) - np.asarray(y.picture, int) for x, y in zip(a, b, strict=True)]
    return max(int(np.abs(x).max()) for x in apart)


@pytest.mark.parametrize("id", [SPRINT, "tiny-sd"])
def test_pictures_are_those_of_torch_to_one_grey_level(id):
    """One picture and a batch, short prompts and long ones: one compiled network takes all."""
    plain, fast = families.load(catalogue.get(id)), families.load(catalogue.get(id), backend="openvino")
    for fields in ({}, {"num_images": 1, "prompt": "two small striped blue cubes on a yellow background"}):
        ours, theirs = pictures(fast, **fields), pictures(plain, **fields)
        assert {e.backend for e in ours} == {"openvino"} and {e.backend for e in theirs} == {"torch"}
        assert levels(ours, theirs) <= 1


def test_a_lora_has_a_network_of_its_own_and_torch_answers_for_other_strengths():
    ids = ["tiny-sd", LORA]
    plain, fast = families.load_all(ids), families.load_all(ids, backend="openvino")
    for _ in range(2):  # to and fro
        for id in ids:
            ours, theirs = pictures(fast[id]), pictures(plain[id])
            assert ours[0].backend == "openvino" and levels(ours, theirs) <= 1
    ours, theirs = (pictures(parts[LORA], adapter_first=0.5) for parts in (fast, plain))
    assert ours[0].backend == "openvino and torch" and levels(ours, theirs) <= 1


def test_a_camera_is_computed_by_torch():
    """It changes the network, whose compiled copy knows nothing of it."""
    ours, theirs = (families.load(catalogue.get("tiny-sd"), backend=b).denoiser for b in ("openvino", "torch"))
    ours.camera = theirs.camera = new_embedding(theirs.network)
    ours.camera.begin(3.0)
    x, t, cond = torch.zeros(2, 16, 8, 8), torch.full((2,), 0.9), Cond(torch.zeros(2, 77, 384), torch.ones(2, 77))
    seen = replace(cond, camera=numbers([Camera(40.0, 20.0)] * 2))
    with torch.no_grad():
        assert (ours(x, t, cond) - theirs(x, t, cond)).abs().max() < 1e-3
        assert (ours(x, t, seen) - theirs(x, t, seen)).abs().max() < 1e-3
        assert (theirs(x, t, seen) - theirs(x, t, cond)).abs().max() > 1e-2


def test_a_picture_says_who_computed_it():
    (one,) = pictures(families.load(catalogue.get(SPRINT), backend="openvino"), num_images=1)
    png = picture.png_bytes(one.picture, ImageRequest("a red ball", model=SPRINT))
    assert "Backend: openvino" in picture.open_png(png).info["parameters"]


def test_gradients_go_through_torch():
    parts = families.load(catalogue.get(SPRINT), backend="openvino")
    cond = parts.text(["a red ball"])
    x = torch.zeros(1, *parts.latent, requires_grad=True)
    guided = replace(cond, guidance=torch.ones(1))
    parts.denoiser(x, torch.full((1,), 0.5), guided).sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0


def test_nobody_waits_for_a_network_that_is_compiled(monkeypatch):
    """Torch answers until it is there; then whoever is quicker here, which is measured once."""
    engine, backends = Engine("cpu", embeddings=0, backend="auto"), []
    begun = openvino.compile_all
    held = openvino.threading.Event()
    monkeypatch.setattr(openvino, "compile_all", lambda *a, **k: held.wait(60) and begun(*a, **k))
    monkeypatch.setattr(openvino, "measure", lambda *a: backends.append(1) or {"torch": 2.0, "openvino": 1.0})
    request = ImageRequest("a red ball", model=SPRINT)
    first = [e for e in engine.generate(request) if isinstance(e, Image)]
    assert first[0].backend == "torch"
    held.set()
    openvino.settled()
    then = [e for e in engine.generate(request) if isinstance(e, Image)]
    assert then[0].backend == "openvino" and levels(first, then) <= 1
    assert len(backends) == 6, "three networks, for one picture and for a wall"


def test_what_is_slower_here_is_left_to_torch():
    parts = families.load(catalogue.get(SPRINT), backend="openvino")
    for module in openvino.networks(parts).values():
        for made in module.forward.compiled.values():
            made.faster = {1: True, openvino.WALL: False}
    assert pictures(parts, num_images=1)[0].backend == "openvino"
    assert "torch" in pictures(parts, num_images=2)[0].backend


def test_without_it_torch_serves_and_a_wish_for_it_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    assert pictures(families.load(catalogue.get(SPRINT), backend="auto"))[0].backend == "torch"
    with pytest.raises(ValueError, match="OpenVINO is not installed: pip install -r requirements.txt"):
        families.load(catalogue.get(SPRINT), backend="openvino")
    with pytest.raises(ValueError, match="unknown backend 'fast'; valid: auto, torch, openvino"):
        families.load(catalogue.get(SPRINT), backend="fast")


def test_it_tells_its_maker_nothing():
    """Its package for that can't be imported once ours has loaded it."""
    code = "from models import openvino; openvino.library(); import sys; print(sys.modules['openvino_telemetry'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=catalogue.assets().parent)
    assert done.stdout == "None\n", done.stderr

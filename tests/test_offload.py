"""Weights that are stored in eight bits, or lie elsewhere until they are called: the pictures stay what they were."""

import accelerate
import numpy as np
import pytest
import torch

from models import catalogue, families
from models.generate import generate
from models.request import ImageRequest
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")

MODELS = ["tiny-sd", "tiny-hyper", "tiny-sana", "tiny-sprint"]


def load(id, before=lambda *modules: None, after=lambda *modules: None):
    """A model, and a LoRA's base by itself, with what is done to their modules before and after the LoRA comes."""
    row = catalogue.get(id)
    home = families.load(catalogue.get("tiny-sd") if row.manifest.kind == "lora" else row)
    modules = home.denoiser.network, home.vae, home.pipeline.text_encoder
    before(*modules)
    parts = families.load(row, base=home) if row.manifest.kind == "lora" else home
    after(*modules)
    return home, parts


def picture(parts):
    request = ImageRequest("a red mushroom on a blue ball", model=parts.row.id, steps=4, seed=7)
    return np.asarray(list(generate(parts, request))[-1].picture, dtype=int)


def eight_bits(network, vae, encoder):
    for module in (network, vae):
        module.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


@pytest.mark.parametrize("id", MODELS)
def test_weights_in_eight_bits_paint_nearly_the_same(id):
    whole = picture(families.load(catalogue.get(id)))
    base, small = load(id, before=eight_bits)
    assert torch.float8_e4m3fn in {p.dtype for p in base.denoiser.network.parameters()}
    before = picture(base)
    assert np.corrcoef(whole.ravel(), picture(small).ravel())[0, 1] > 0.95
    if base is not small:
        assert np.abs(before - picture(small)).mean() > 3, "the LoRA acts"
        lora = [p for name, p in base.denoiser.network.named_parameters() if "lora_" in name]
        assert lora and {p.dtype for p in lora} == {torch.float32}
    assert np.array_equal(before, picture(base)), "and leaves the base alone"


def disk(folder):
    def change(network, vae, encoder):
        device = torch.device("cpu")
        for name, module in (("network", network), ("vae", vae)):
            where = {"offload_device": device, "offload_to_disk_path": str(folder / name)}
            module.enable_group_offload(device, offload_type="leaf_level", **where)

    return change


def nowhere(folder):
    def change(*modules):
        for module in modules:
            accelerate.cpu_offload(module, torch.device("cpu"))
            assert {p.device.type for p in module.parameters()} == {"meta"}

    return change


@pytest.mark.parametrize("where", [disk, nowhere])
@pytest.mark.parametrize("id", MODELS)
def test_weights_that_come_when_they_are_called_paint_the_same(tmp_path, where, id):
    whole = picture(families.load(catalogue.get(id)))
    base, parts = load(id, after=where(tmp_path))
    before = picture(base)
    assert np.abs(picture(parts) - whole).max() <= 1, "where weights lie in memory decides how sums are rounded"
    assert np.array_equal(picture(base), before)

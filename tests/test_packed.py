"""Layers laid out for oneDNN give the plain layers' numbers, whatever happens to their weights."""

import pytest
import torch
from torch import nn

from models import catalogue, families, packed
from tests import tiny


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 96, 3, padding=1), nn.Conv2d(96, 96, 3, 2, 1), nn.Conv2d(96, 8, 1, bias=False)
    return nn.Sequential(*layers, nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Flatten(2), nn.Linear(16, 5))


def both() -> tuple[nn.Sequential, nn.Sequential]:
    plain, other = net(), net()
    packed.pack(other)
    return plain, other


def same(plain: nn.Module, other: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(other(x), plain(x), rtol=1e-4, atol=1e-5)


@pytest.fixture
def laid(monkeypatch):
    """How many layers were laid out."""
    count, before = [], packed.state
    monkeypatch.setattr(packed, "state", lambda w: count.append(w) or before(w))
    return count


def test_the_numbers_of_the_plain_layers_for_every_shape_and_layout(laid):
    plain, other = both()
    for x in (torch.randn(1, 3, 8, 8), torch.randn(4, 3, 8, 8), torch.randn(1, 3, 8, 8)):
        same(plain, other, x)
        same(plain, other, x.to(memory_format=torch.channels_last))
    assert len(laid) == 4 * 6, "three convolutions and a linear layer took the packed way each time"


def test_a_weight_that_changes_is_laid_out_anew():
    plain, other = both()
    x = torch.randn(1, 3, 8, 8)
    same(plain, other, x)
    for network in (plain, other):
        with torch.no_grad():
            network[0].weight.mul_(2)  # in place
        network[5].weight.data = network[5].weight.data * 3  # replaced, as a LoRA that is merged does
    same(plain, other, x)


def test_gradients_half_precision_and_autocast_take_the_plain_way(laid):
    plain, other = both()
    x = torch.randn(2, 3, 8, 8)
    for network in (plain, other):
        network(x).sum().backward()
    assert torch.equal(plain[5].weight.grad, other[5].weight.grad)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain(x), other(x))
    with torch.no_grad():
        assert torch.equal(plain.bfloat16()(x.bfloat16()), other.bfloat16()(x.bfloat16()))
    assert not laid


def test_the_parameters_stay_as_they_are_and_large_networks_are_left_alone(monkeypatch):
    plain, other = both()
    assert list(plain.state_dict()) == list(other.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))
    monkeypatch.setattr(packed, "SMALL", 10)
    large = net()
    packed.pack(large)
    assert type(large[0]) is nn.Conv2d and type(other[0]) is packed.Conv2d
    assert type(other[3]) is nn.Conv2d, "depthwise"


@pytest.mark.parametrize("id", ["tiny-sprint", "tiny-sd"])
def test_what_is_served_on_a_cpu_is_laid_out_but_for_a_unet(id, tmp_path, monkeypatch):
    tiny.build(tmp_path)
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build_sd(tmp_path)))
    pipeline = families.load(catalogue.get(id), "cpu").pipeline
    networks = {name: net for name, net in pipeline.components.items() if isinstance(net, nn.Module)}
    ours = {
        name
        for name, net in networks.items()
        if any(isinstance(m, packed.Linear | packed.Conv2d) for m in net.modules())
    }
    assert ours == networks.keys() - {"unet"}

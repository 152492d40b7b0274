"""What the benchmark of sliders measures: shapes of known size and roundness, ranges, units, transfer, a probe."""

import pytest
import torch

from benchmarks import probe
from benchmarks import sliders as measuring
from models import catalogue, sliders
from models.sliders import Range

PAPER, INK = 0.9, 0.2


def drawn(mask):
    return torch.where(mask, INK, PAPER).expand(1, 3, *mask.shape)


Y, X = torch.meshgrid(torch.arange(128.0) - 63.5, torch.arange(128.0) - 63.5, indexing="ij")
SHAPES = {"disc": Y.hypot(X) < 40, "square": Y.abs().maximum(X.abs()) < 40, "bar": (Y.abs() < 10) & (X.abs() < 50)}


def test_size_and_roundness_of_known_shapes():
    size = {name: measuring.thing(drawn(mask)).item() for name, mask in SHAPES.items()}
    assert size == pytest.approx({"disc": 0.554, "square": 0.625, "bar": 0.349}, abs=0.01)
    round_ = {name: measuring.roundness(drawn(mask)).item() for name, mask in SHAPES.items()}
    assert round_ == pytest.approx({"disc": 1.0, "square": 0.78, "bar": 0.28}, abs=0.03)
    assert measuring.roundness(drawn(Y > 1e9)).item() == 0, "an empty picture"


def test_a_range_ends_where_the_measure_is_farthest_or_kinds_are_lost():
    rising = [k / 10 for k in range(11)]
    assert measuring.usable(rising, [1.0] * 11) == (0, 10)
    assert measuring.usable([*rising[:8], 0.6, 0.5, 0.4], [1.0] * 11) == (0, 7)
    assert measuring.usable(rising, [0.5, 0.5, *[1.0] * 7, 0.5, 0.9]) == (2, 8)


def test_a_unit_is_the_same_change_and_too_little_change_is_no_range():
    slider = sliders.Slider("size", "small", "big", [], step=0.05)
    values = [0.1 * k for k in range(11)]  # 0.25 for 1 raw
    assert measuring.calibrated(slider, values, [1.0] * 11, "lora") == Range(0.2, -5.0, 5.0, "lora")
    half = measuring.calibrated(slider, values, [*[0.0] * 3, *[1.0] * 8], "lora")
    assert (half.unit, half.low, half.high) == (0.2, -4.0, 5.0)
    still = measuring.calibrated(slider, [v / 100 for v in values], [1.0] * 11)
    assert still == Range(1.0, 0.0, 0.0)


def test_transfer_is_the_slope_by_that_of_the_same_lora_on_its_base():
    base = catalogue.get("slider-size").manifest.base
    rows = [
        {"slider": "size", "model": base, "by": "slider-size", "slope": 0.2},
        {"slider": "size", "model": "toybox-hyper", "by": "slider-size", "slope": 0.17},
        {"slider": "size", "model": "toybox-hyper", "by": "direction", "slope": 0.1},
    ]
    assert [row["transfer"] for row in measuring.transfers(rows)] == [100.0, 85.0, None]
    assert measuring.ways(sliders.get("size"), catalogue.get("toybox-msd4"), "lora") == []
    assert measuring.ways(sliders.get("size"), catalogue.get("toybox-hyper"), "lora") == ["slider-size"]
    with pytest.raises(ValueError, match="^unknown model 'size-of-hyper'; valid: "):
        measuring.ways(sliders.get("size"), catalogue.get("toybox-hyper"), "size-of-hyper")


def test_a_probe_finds_the_direction_that_its_labels_share():
    g = torch.Generator().manual_seed(0)
    y = (torch.rand(200, generator=g) < 0.2).float()
    x = torch.randn(200, 6, generator=g)
    x[:, 2] += 4 * y
    w, b = probe.fitted(x, y)
    assert w.argmax() == 2 and probe.balanced(x @ w + b, y) > 0.95
    assert probe.balanced(torch.ones(200), y) == 0.5, "one class alone is half right, however rare the other is"


def test_words_in_its_name_label_a_face():
    high, low = probe.LABELS["smile"]
    names = ("grinning face", "frowning face", "nerd face")
    assert [probe.labelled(name, high, low) for name in names] == [1, 0, None]
    assert probe.labelled("nerd face", *probe.LABELS["tears"]) == 0

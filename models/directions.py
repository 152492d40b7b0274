"""Where a slider goes: the direction of its pairs in the space of prompt embeddings (models/sliders.py)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from models import sliders
from models.catalogue import Row
from models.denoiser import Cond
from models.route import pooled
from models.schedule import Schedule, log_snr
from models.sliders import Slider
from models.stack import Entry

_directions: WeakKeyDictionary[Any, dict[str, Tensor]] = WeakKeyDictionary()


@torch.no_grad()
def direction(slider: Slider, encode: Callable[[Sequence[str]], Cond]) -> Tensor:
    """The mean difference of its pairs, [D], without the part along what it keeps; remembered for each encoder."""
    known = _directions.setdefault(encode, {})
    if slider.name not in known:
        d = difference(slider.pairs, encode)
        if slider.keeps:
            k = difference(slider.keeps, encode)
            d = d - (d @ k) / (k @ k) * k
        known[slider.name] = d
    return known[slider.name]


def difference(pairs: Sequence[Sequence[str]], encode: Callable[[Sequence[str]], Cond]) -> Tensor:
    """The mean over pairs of the second prompt's mean token less the first's, [D]."""
    low, high = zip(*pairs, strict=True)
    return (pooled(encode(high)) - pooled(encode(low))).mean(0)


def moved(directions: Sequence[tuple[Entry, Tensor]], cond: Cond, schedule: Schedule, t: Tensor) -> Cond:
    """The prompts at times t [B], moved along each direction that is active there."""
    noise = float(log_snr(schedule, t[:1]))
    total = sum((entry.strength * d for entry, d in directions if entry.at(noise)), torch.zeros(()))
    tokens = cond.tokens + total.to(cond.tokens)
    return replace(cond, tokens=torch.where(cond.mask[..., None], tokens, cond.tokens))


def along(text: str, row: Row, encode: Callable[[Sequence[str]], Cond]) -> list[tuple[Entry, Tensor]]:
    """The sliders of a request that are directions here, whose length is that of one unit on this model."""
    return [
        (entry, range_.unit * direction(slider, encode))
        for entry, slider, range_ in sliders.chosen(text, row)
        if range_.by == "direction"
    ]

"""The kinds of field by name, new and saved."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from threed.field import Grid
from threed.planes import HashGrid, TriPlane

FIELDS: Mapping[str, Any] = {"grid": Grid, "triplane": TriPlane, "hash": HashGrid}


def new(kind: str, side: int, seed: int = 0) -> Any:
    """A field that holds nothing yet but the cone of density."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FIELDS[kind](side)


def saved(tensors: Mapping[str, Tensor]) -> Any:
    """The field with these weights, among which may be others."""
    kind, key = next((name, field.KEY) for name, field in FIELDS.items() if field.KEY in tensors)
    made = new(kind, int(tensors["size"] if "size" in tensors else tensors[key].shape[-1]))
    made.load_state_dict({name: tensors[name] for name in made.state_dict()})
    return made

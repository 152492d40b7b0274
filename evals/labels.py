"""What is true of a picture, as the class indices that a judge is trained on and read by. Pure.

A judge's `heads` say what it reads: {"kind": ["ball", "cube", …], …}, stored in its config.json.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Heads = Mapping[str, Sequence[str]]
NOT_APPLICABLE = -1  # no loss, no accuracy: the colour of a second object where there is none


def index(heads: Heads, head: str, value: object) -> int:
    """The class of a value, `NOT_APPLICABLE` for None. Numbers are written as words ("2")."""
    if value is None:
        return NOT_APPLICABLE
    classes = list(heads[head])
    if str(value) not in classes:
        raise ValueError(f"{head} {value!r} is not among what this judge reads: {', '.join(classes)}")
    return classes.index(str(value))


def indices(attributes: Mapping[str, object], heads: Heads) -> dict[str, int]:
    """One picture's truth, by head; an attribute that is absent is not applicable."""
    return {head: index(heads, head, attributes.get(head)) for head in heads}


def batch(rows: Sequence[Mapping[str, object]], heads: Heads) -> dict[str, Tensor]:
    """The truth of several pictures: {head: int64 [B]}."""
    found = [indices(row, heads) for row in rows]
    return {head: torch.tensor([f[head] for f in found], dtype=torch.int64) for head in heads}

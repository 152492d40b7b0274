"""True attributes of pictures as class indices, for training and evaluating judges. Pure.

A judge's heads are its attributes with their classes: {"kind": ["ball", "cube", …], …}, stored in its config.json.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

Heads = Mapping[str, Sequence[str]]
Attributes = Mapping[str, object]
NOT_APPLICABLE = -1  # no loss and no accuracy, such as for the colour of a second thing where there is none
NONE = "none"
PAIRED = ("kind", "colour", "pattern")  # of the first thing; with a 2 behind it, of the second


def legible(attributes: Attributes) -> dict[str, object]:
    """The attributes that a picture shows, in the one form that every picture has.

    "A right of b" is the same picture as "b left of a", so the left thing comes first. One thing, and several of a
    kind, have the relation "none". Things without a face have a view only from overhead.
    """
    truth = dict(attributes)
    if truth.get("relation") == "right of":
        truth["relation"] = "left of"
        for name in PAIRED:
            truth[name], truth[name + "2"] = truth.get(name + "2"), truth.get(name)
    if "relation" in truth and truth["relation"] is None:
        truth["relation"] = NONE
    if truth.get("view") != "overhead" and not truth.get("faced", True):
        truth["view"] = None
    return truth


def classes(rows: Iterable[Attributes], reads: Sequence[str]) -> dict[str, list[str]]:
    """The heads of a judge of these pictures: the sorted values of each attribute.

    First and second things have the same classes, so that mirroring can swap them.
    """
    classes: dict[str, set[str]] = {head: set() for head in reads}
    for row in rows:
        truth = legible(row)
        for head in reads:
            if truth.get(head) is not None:
                classes[head].add(str(truth[head]))
    for name in PAIRED:
        if classes.get(name) and classes.get(name + "2"):
            classes[name] = classes[name + "2"] = classes[name] | classes[name + "2"]
    return {head: sorted(values) for head, values in classes.items() if values}


def index(heads: Heads, head: str, value: object) -> int:
    """The class of a value, `NOT_APPLICABLE` for None."""
    if value is None:
        return NOT_APPLICABLE
    known = list(heads[head])
    if str(value) not in known:
        raise ValueError(f"{head} {value!r} is not among what this judge reads: {', '.join(known)}")
    return known.index(str(value))


def batch(rows: Sequence[Attributes], heads: Heads) -> dict[str, Tensor]:
    """The classes of several pictures, {head: int64 [B]}; an absent attribute is `NOT_APPLICABLE`."""
    truths = [legible(row) for row in rows]
    return {head: torch.tensor([index(heads, head, t.get(head)) for t in truths]) for head in heads}

"""Requests of older pictures and of other tools, restored as far as the models here can paint them.

A request is checked against the models only where it will be painted (`fitted`), not where it is stored and shown
(`kept`).
"""

import contextlib
import dataclasses
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from models import catalogue, inputs
from models.request import DEFAULT_MODEL, ImageRequest, check, options

DEEPEST = 16  # most requests in the descent of a branch
NAMES = {"negative": "negative prompt", "width": "size", "height": "size"}  # names that people use


@dataclass(frozen=True)
class Restored:
    """`fields`: those of an ImageRequest, valid except that the prompt may be empty. `notes`: sentences on what was
    left out. `descent`: the requests that a branch comes from."""

    fields: dict[str, Any]
    notes: tuple[str, ...] = ()
    descent: tuple[dict[str, Any], ...] = ()

    @property
    def request(self) -> ImageRequest:
        """The restored request. Raises ValueError for an empty prompt."""
        return ImageRequest.from_dict(self.fields)


def fitted(given: dict[str, Any]) -> Restored:
    """The fields that a model here can paint with, and sentences on those that were left out."""
    menu = [r.id for r in catalogue.menu()]
    wanted, notes = given.get("model"), []
    model = wanted if wanted in menu else DEFAULT_MODEL if DEFAULT_MODEL in menu else menu[0]
    if wanted is not None and wanted != model:
        notes.append(f"Its model {str(wanted)!r:.60} is not here, so {model} paints.")
    prompt = given.get("prompt", "")
    empty = isinstance(prompt, str) and not prompt.strip()
    good: dict[str, Any] = {"prompt": "nothing" if empty else prompt, "model": model}
    ImageRequest.from_dict(good)  # raises ValueError for an invalid prompt
    names = [n for n in options(ImageRequest) if n in given and n not in good]
    for name in sorted(names, key=lambda n: n == "negative"):  # last: the other painters may take one
        with contextlib.suppress(ValueError):
            ImageRequest.from_dict(good | {name: given[name]})
            good[name] = given[name]
    left = [NAMES.get(name, name.replace("_", " ")) for name in names if name not in good]
    if empty:
        notes.append("Its prompt is empty.")
    if gone := inputs.missing(good):
        notes.append(gone)
    if given.keys() - options(ImageRequest).keys():
        left.append("settings of another version")
    if left := list(dict.fromkeys(left)):
        sentence = f"{', '.join(left)} left out, as {model} can't take {'it' if len(left) == 1 else 'them'}."
        notes.append(sentence[0].upper() + sentence[1:])
    return Restored(ImageRequest.from_dict(good).to_dict() | ({"prompt": ""} if empty else {}), tuple(notes))


def kept(given: Any) -> dict[str, Any]:
    """The fields of a picture's own request, each valid by itself; its model need not exist. Raises ValueError."""
    if not isinstance(given, dict):
        raise ValueError("a request is a JSON object")
    hints, known = get_type_hints(ImageRequest), options(ImageRequest)
    out = {}
    for field in dataclasses.fields(ImageRequest):
        if (value := given.get(field.name, field.default)) is None:
            raise ValueError(f"{field.name} is missing")
        out[field.name] = check(field.name, value, hints[field.name], replace(known[field.name], choices=None))
    return given | out

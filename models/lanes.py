"""Lanes of a grid of steps: every model at every value of what varies, for every seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models import sliders
from models.request import SEEDS, ImageRequest

VARIED = {  # the fields of a request that may vary in a grid, and values that show what they do
    "guidance": (1, 3, 5),
    "base_steps": (0, 1, 2),
    "text_noise": (0, 0.2, 0.4),
    "cads": (0, 0.5),
    "pink": (0, 0.5, 1),
    "skip_steps": (0, 1),
}
SLID = (-2, 0, 2)  # the same of a slider


@dataclass(frozen=True)
class Choice:
    """One value of what varies: the words for it, and the fields of the request that it sets."""

    words: str
    fields: Mapping[str, object]


@dataclass(frozen=True)
class Lane:
    """A request and its label; each of its pictures is one row of the grid."""

    request: ImageRequest
    label: str


def varied(name: str, values: Sequence[float]) -> list[Choice]:
    """The values of one of VARIED, of a slider, or of one between two words such as plain/striped. Raises ValueError
    for any other name."""
    known = [*VARIED, *sliders.box(), *sliders.own()]
    if name not in known and sliders.WORDS.fullmatch(name) is None:
        valid = ", ".join(known)
        raise ValueError(f"{name!r:.80} can't be varied; valid: {valid}, or two words such as plain/striped")
    out = []
    for value in values:
        number = int(value) if float(value).is_integer() else value
        own = {name: number} if name in VARIED else {"sliders": f"{name}:{number}" if number else ""}
        out.append(Choice(f"{name.replace('_', ' ')} {number}", own))
    return out


def product(
    request: ImageRequest, models: Sequence[tuple[str, int | None]], choices: Sequence[Choice], seeds: Sequence[int]
) -> list[Lane]:
    """A lane for each model, each choice and each run of consecutive seeds. A step count of None is the model's own."""
    fields = request.to_dict() | {"guidance": None, "width": None, "height": None}
    out = []
    for model, steps in models:
        for choice in choices:
            label = ", ".join(filter(None, (model, choice.words)))
            for first, count in runs(seeds):
                own = {"model": model, "steps": steps, "seed": first, "num_images": count}
                out.append(Lane(ImageRequest.from_dict(fields | own | dict(choice.fields)), label))
    return out


def runs(seeds: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive seeds, as (first, count): a lane paints them in one batch."""
    starts: list[tuple[int, int]] = []
    for seed in seeds:
        if starts and seed == (starts[-1][0] + starts[-1][1]) % SEEDS and starts[-1][1] < 16:
            starts[-1] = starts[-1][0], starts[-1][1] + 1
        else:
            starts.append((seed, 1))
    return starts

"""Training data: sources of captioned pictures, each a pure function of its arguments and an index."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from core.paths import datasets

SIDE = 128  # pixels on a side of the project's own pictures; a person's folder has the size of the trained model


@dataclass(frozen=True)
class Example:
    picture: np.ndarray  # uint8 [side, side, 3]
    captions: tuple[str, ...]  # several wordings, all true
    attributes: dict  # the true attributes, as JSON
    key: str  # hex hash of the content
    conditions: np.ndarray | None = None  # uint8 [side, side, 3] of `distill.data.steered`: what can steer it


Split = Literal["train", "held_out"]
Hold = Literal["wordings", "pictures"]  # what is held out of the emoji


class Source(Protocol):
    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


TOYS = 24_000  # scenes drawn for a training; one that needs no captions takes a prefix of them
PICTURES = 12_000
NAMES = (
    "toys",
    "emoji",
    "toys+emoji",
    "words",
    "pairs",
    "toys+words+pairs",
    "emoji+noto",
    "words+noto",
    "mini",
    "painted",
)

DRAWN_HERE = ("toys", "mini", "mixture", "painted")  # parts that need no download


def missing(dataset: str) -> str | None:
    """One sentence where a data set of the project is not on this machine yet; a person's own folders always are."""
    from distill.data.emoji_fetch import home, ready

    if dataset not in NAMES or all(part in DRAWN_HERE for part in dataset.split("+")) or ready(home()):
        return None
    return "The emoji are not on this machine yet: `make data` fetches them."


OFTEN = {"nature": 5.0, "foods": 5.0}  # weights of the groups of emoji that people type first
PAIR = "pair"  # the group of pictures of two emoji
RELATED = 2.5  # weight of pictures of two things, whose places and colours are the hardest to learn
WEIGHTS = OFTEN | {PAIR: RELATED, "people": 2.0}


def often(attributes: dict) -> float:
    """The weight of a picture when a generator draws its batches; 1 for most. Judges and autoencoders weigh all
    alike."""
    return WEIGHTS.get(attributes.get("group", ""), RELATED if attributes.get("relation") else 1.0)


def place(dataset: str) -> Path | None:
    """The folder of a person's own data set: the path itself, or the folder of this name in the studio."""
    places = (Path(dataset), datasets() / dataset, datasets() / Path(dataset).name)
    return None if dataset in (*NAMES, "mixture") else next((p for p in places if p.is_dir()), None)


def named(dataset: str) -> str:
    """The name of a data set in a run's facts. A folder of the studio is stored by name, as the studio may move."""
    folder = place(dataset)
    ours = folder is not None and folder.resolve().parent == datasets()
    return folder.name if folder is not None and ours else dataset


def sources(
    dataset: str,
    split: Split = "train",
    toys: int = TOYS,
    hold: Hold = "wordings",
    skip_bad: bool = False,
    side: int = SIDE,
) -> list[Source]:
    """The sources of a data set; batches draw from each equally often.

    dataset: one of `NAMES`, several with + between them, or a folder of captioned pictures. `words` has more emoji
    (people and signs), in more wordings; `pairs` has two toys or two emoji; `painted` is made by the box's models.
    hold: what is held out of the emoji. skip_bad: skip files of a folder that can't be used, instead of raising an
    error that names them. side: pixels on a side; only a folder takes another number than `SIDE`. Raises ValueError.
    """
    from distill.data.emoji import Emoji  # imported here, as each source needs packages that the others do not
    from distill.data.folder import Folder
    from distill.data.painted import Painted
    from distill.data.pairs import Pairs
    from distill.data.toys import Toys
    from distill.data.words import Words

    if dataset in NAMES and side != SIDE:
        raise ValueError(
            f"pictures of {dataset} are {SIDE} × {SIDE}; a model of {side} × {side} needs a folder of pictures"
        )
    if dataset == "mini":
        return [Toys(split=split, size=min(toys, 8000), mini=True)]
    parts = dataset.split("+")
    if dataset in NAMES:
        drawn = Words if "words" in parts else Emoji
        made = {
            "toys": lambda: Toys(split=split, size=toys),
            "emoji": lambda: Emoji(split=split, hold=hold),
            "words": lambda: Words(split=split, hold=hold),
            "pairs": lambda: Pairs(split=split, hold=hold),
            "painted": lambda: Painted(split=split),
            "noto": lambda: drawn(split=split, hold=hold, look="noto"),  # other drawings, for the emoji judge alone
        }
        return [made[part]() for part in parts]
    if (folder := place(dataset)) is None:
        raise ValueError(f"unknown data set {dataset!r}; valid: {', '.join(NAMES)}, mixture, or a folder of pictures")
    return [Folder(folder, split, skip_bad, side)]

"""What trainings look at: sources of captioned pictures, each a pure function of its arguments and an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Example:
    picture: np.ndarray  # uint8 [128, 128, 3]
    captions: tuple[str, ...]  # several wordings, all true
    attributes: dict  # the truth, as JSON
    key: str  # hex hash of the content


class Source(Protocol):
    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


Sources = Sequence[Source]

"""A training that is cut, saved and resumed, beside one that is not."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from core import checkpoint
from distill.trainer import Trainer

Tensors = dict[str, dict[str, Tensor]]  # by player and name


def whole_and_resumed(fresh: Callable[[], Trainer], folder: Path) -> tuple[Tensors, Tensors]:
    """The tensors after ten steps at once, and after five, a checkpoint in `folder`, and five more."""
    whole, cut, again = fresh(), fresh(), fresh()
    for _ in range(10):
        whole.advance()
    for _ in range(5):
        cut.advance()
    checkpoint.save(folder, cut.saved())
    again.restore(checkpoint.load(checkpoint.newest(folder)[0]))
    for _ in range(5):
        again.advance()
    return whole.saved().tensors, again.saved().tensors

"""A probe of one attribute of faces: logistic regression on the features of judge-emoji, trained on labelled emoji.

The labels are words in the emoji's names. The ceiling is the accuracy on faces that the probe never saw: each of five
folds holds out a fifth of the names, in both drawings, Fluent and Noto.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.paths import assets
from distill.data.emoji import FILL, compose, drawings_of, read_rows
from distill.data.emoji_fetch import home
from evals import judges
from models.palette import BACKGROUNDS

FOLDS = 5
SHRINK = 3e-2  # weight of the squared norm
LABELS: dict[str, tuple[Sequence[str], Sequence[str]]] = {  # words in the names: (with the attribute, without it)
    "smile": (
        ("smil", "grin", "beaming", "laugh", "joy", "savoring", "star-struck", "partying"),
        ("cry", "frown", "disappoint", "sad", "worried", "anguish", "weary", "pensive", "fearful", "anxious", "confus"),
    ),
    "tears": (("tear", "cry", "rolling on the floor"), ("",)),
}


@dataclass(frozen=True)
class Probe:
    mean: Tensor
    weight: Tensor  # [D]
    bias: Tensor
    ceiling: float  # accuracy on faces that it did not see, the mean over both classes

    def __call__(self, features: Tensor) -> Tensor:
        """Log-odds that the faces have the attribute, [B]."""
        return (features - self.mean) @ self.weight + self.bias


def labelled(name: str, high: Sequence[str], low: Sequence[str]) -> int | None:
    """1 with the attribute, 0 without it, None for a face that the words leave open."""
    if any(word in name for word in high):
        return 1
    return 0 if any(word in name for word in low) else None


def faces(attribute: str, features: Callable[[Tensor], Tensor]) -> tuple[list[str], Tensor, Tensor]:
    """The names, features [N, D] and labels [N] of all faces that have one."""
    high, low = LABELS[attribute]
    names, pictures, labels = [], [], []
    for row in read_rows(home(), ("smileys",)):
        label, name = labelled(row["name"], high, low), row["name"]
        if label is None or not any(word in name for word in ("face", "cat", "rolling on the floor")):
            continue
        for look in ("fluent", "noto"):
            for drawing in drawings_of(row, home(), look)[:1]:
                for behind in ("white", "grey", "blue"):
                    names.append(name)
                    labels.append(label)
                    pictures.append(compose(drawing.path, BACKGROUNDS[behind], sum(FILL) / 2, (0, 0)))
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return names, torch.cat([features(part) for part in x.split(64)]), torch.tensor(labels).float()


def fitted(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The weight [D] and bias of a logistic regression on x [N, D], both classes weighed alike."""
    w, b = torch.zeros(x.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    share = torch.where(y > 0.5, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    solver = torch.optim.LBFGS([w, b], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ w + b, y, share) + SHRINK * w.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(closure)
    return w.detach(), b.detach()


def balanced(logits: Tensor, y: Tensor) -> float:
    """The accuracy, the mean over both classes."""
    right = ((logits > 0) == (y > 0.5)).float()
    return (right[y > 0.5].mean() + right[y < 0.5].mean()).item() / 2


@cache
def probe(attribute: str) -> Probe:
    judge = judges.load(assets() / "weights" / "judge-emoji").eval()
    with torch.no_grad():
        names, x, y = faces(attribute, judge.features)
    mean, scale = x.mean(0), x.std()
    x = (x - mean) / scale
    known = sorted(set(names))
    fold = torch.tensor([known.index(name) % FOLDS for name in names])
    held = torch.zeros_like(y)
    for k in range(FOLDS):
        w, b = fitted(x[fold != k], y[fold != k])
        held[fold == k] = x[fold == k] @ w + b
    w, b = fitted(x, y)
    return Probe(mean, w / scale, b, balanced(held, y))


if __name__ == "__main__":
    for attribute in LABELS:
        print(f"{attribute}: {100 * probe(attribute).ceiling:.1f} % of faces that the probe never saw")

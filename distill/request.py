"""The request of a training: method, base, start, data, time limit and settings; checked without torch.

Settings (`lr`, `train.steps`, …) are those of the loop and of the method's Config. So a name or a value that the
command would refuse is refused here, before the job is queued.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from core import paths
from core.fields import option
from core.settings import override
from distill.declared import BASES, declared, methods
from distill.settings import TrainConfig
from models import catalogue
from models.request import SEEDS, Request

MOST = 60  # most settings of one request


def _shipped() -> tuple[str, ...]:
    """The data sets of the project."""
    from distill.data import NAMES  # imports numpy, which listing jobs does not need

    return (*NAMES, "mixture")


def datasets() -> list[str]:
    """The data sets of the project, and a person's folders in the studio's `datasets/`."""
    from distill.data.metadata import litter  # imports numpy too

    home, shipped = paths.datasets(), _shipped()
    own = sorted(p.name for p in home.iterdir() if p.is_dir() and not litter(p, home)) if home.is_dir() else []
    return [*shipped, *(name for name in own if name not in shipped)]


def bases() -> list[str]:
    return list(catalogue.rows())


def no_base(method: str, row: catalogue.Row | None, dataset: str) -> str | None:
    """One sentence where this method does not take that base. The mixture has a base of its own."""
    if dataset == "mixture":
        return None
    takes = declared(method).bases
    made = row and row.manifest
    kind = "none"
    if made is not None:
        kind = made.kind if made.kind in BASES else "sprint" if made.prediction == "trigflow" else made.family
    if kind in takes:
        return None
    *most, last = (BASES[name] for name in takes)
    is_one = f"{row.id} is {BASES.get(kind, kind).partition(' (')[0]}" if row else "name one with --base"
    many = f"{', '.join(most)} or {last}" if most else last
    return f"{method} takes {many} as its base; {is_one}"


def unreached(begins: Mapping[str, int], steps: int) -> str | None:
    """One sentence where a training of so many steps ends before one of its stages begins."""
    what, step = max(begins.items(), key=lambda item: item[1], default=("", 0))
    if step < steps:
        return None
    return f"train.steps={steps} ends before {what}, step {step}: set more steps, or start that phase earlier"


def fitting(own: Any, loop: TrainConfig) -> None:
    """Raises ValueError where settings of the method and of the loop do not fit together."""
    if reason := unreached(getattr(own, "stages", {}), loop.steps):
        raise ValueError(reason)
    if loop.batch_size < (least := getattr(own, "least", 1)):
        raise ValueError(f"train.batch_size={loop.batch_size}: this method needs {least} samples in a step")


def no_start(row: catalogue.Row, base: str | None) -> str | None:
    """One sentence where no training on this base can start from that row's weights."""
    made = row.manifest
    if made.base is None or made.base != base:
        of = f"one of {made.base}" if made.base else "no student"
        return f"start takes a student of {base or 'the base'}; {row.id} is {of}"
    if row.routed:
        return f"start takes one network, and {row.id} is several students; leave it out"
    return None if row.folder else f"start takes a student that was trained here; {row.id} is from elsewhere"


def starts() -> list[str]:
    """The ids of models whose weights a training can start from, given the right base."""
    return [r.id for r in catalogue.rows().values() if not no_start(r, r.manifest.base)]


@dataclass(frozen=True)
class DistillRequest(Request):
    """A training. `set` holds settings as `key=value`; in JSON it may be an object too."""

    method: str = option("sft", "The training method.", choices=methods)
    base: str | None = option(None, "The base model: the teacher, or the model to train further.", choices=bases)
    start: str | None = option(None, "A student of the base, whose weights the training starts from.", choices=starts)
    dataset: str = option("toys+emoji", "Training data.", choices=datasets)
    skip_bad: bool = option(False, "Skip files of your own folder that can't be used.")
    minutes: float | None = option(None, "Time limit over all attempts.", low=0.05, high=60_000, unit="minutes")
    seed: int = option(0, "The same seed gives the same weights.", low=0, high=SEEDS - 1, step=1)
    set: tuple[str, ...] = option((), "Settings of the method and the loop, such as lr=1e-4 or train.steps=500.")

    def _validate(self) -> None:
        if self.start and (reason := no_start(catalogue.get(self.start), self.base)):
            raise ValueError(reason)
        valid, seen = declared(self.method).settings, []
        if len(self.set) > MOST:
            raise ValueError(f"{len(self.set)} settings are too many; at most {MOST}")
        for text in self.set:
            key, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"a setting is key=value, not {text!r}")
            if key not in valid:
                raise ValueError(f"unknown setting {key!r} of {self.method}; valid: {', '.join(valid)}")
            if key in seen:
                raise ValueError(f"{key} is set twice")
            seen.append(key)
        self._settings()
        row = catalogue.get(self.base) if self.base else None
        if reason := row and catalogue.in_parts(row) or no_base(self.method, row, self.dataset):
            raise ValueError(reason)

    def _settings(self) -> None:
        """Check each setting's range, and the rules between settings. Raises ValueError."""
        method, texts = declared(self.method), dict(text.split("=", 1) for text in self.set)
        own = override(method.config, {k: v for k, v in texts.items() if not k.startswith("train.")})
        loop = {k.removeprefix("train."): v for k, v in texts.items() if k.startswith("train.")}
        fitting(own, override(method.loop, loop, "train."))

    def folder(self) -> Path | None:
        """The folder of a person's own data set; None for one of the project."""
        return None if self.dataset in _shipped() else paths.datasets() / self.dataset

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        if isinstance(data, dict) and isinstance(data.get("set"), dict):
            data = data | {"set": [f"{k}={v}" for k, v in data["set"].items()]}
        return super().from_dict(data)

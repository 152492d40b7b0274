"""The request of a training: method, base, start, data, time limit and settings; checked without torch.

Settings (`lr`, `train.steps`, …) are those of the loop and of the method's Config. So a name or a value that the
command would refuse is refused here, before the job is queued.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from core import paths
from core.fields import option
from core.settings import as_text, override
from distill.declared import declared, methods, proposed
from distill.fitting import MIXTURE, Training, check, no_start
from models import catalogue
from models.request import SEEDS, Request

MOST = 60  # most settings of one request


def _shipped() -> tuple[str, ...]:
    """The data sets of the project."""
    from distill.data import NAMES  # imports numpy, which listing jobs does not need

    return (*NAMES, MIXTURE)


def datasets() -> list[str]:
    """The data sets of the project, and a person's folders in the studio's `datasets/`."""
    from distill.data.metadata import litter  # imports numpy too

    home, shipped = paths.datasets(), _shipped()
    own = sorted(p.name for p in home.iterdir() if p.is_dir() and not litter(p, home)) if home.is_dir() else []
    return [*shipped, *(name for name in own if name not in shipped)]


def bases() -> list[str]:
    return list(catalogue.rows())


def starts() -> list[str]:
    """The ids of models whose weights a training can start from, given the right base."""
    return [r.id for r in catalogue.rows().values() if not no_start(r, r.manifest.base)]


@dataclass(frozen=True)
class DistillRequest(Request):
    """A training. `set` holds settings as `key=value`; in JSON it may be an object too."""

    method: str = option(proposed(), "The training method.", choices=methods)
    base: str | None = option(None, "The base model: the teacher, or the model to train further.", choices=bases)
    start: str | None = option(None, "A student of the base, whose weights the training starts from.", choices=starts)
    dataset: str = option("toys+emoji", "Training data.", choices=datasets)
    skip_bad: bool = option(False, "Skip files of your own folder that can't be used.")
    minutes: float | None = option(None, "Time limit over all attempts.", low=0.05, high=60_000, unit="minutes")
    seed: int = option(0, "The same seed gives the same weights.", low=0, high=SEEDS - 1, step=1)
    set: tuple[str, ...] = option((), "Settings of the method and the loop, such as lr=1e-4 or train.steps=500.")

    def _validate(self) -> None:
        method, seen = declared(self.method), []
        if len(self.set) > MOST:
            raise ValueError(f"{len(self.set)} settings are too many; at most {MOST}")
        for text in self.set:
            key, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"a setting is key=value, not {text!r}")
            if key not in method.settings:
                raise ValueError(f"unknown setting {key!r} of {self.method}; valid: {', '.join(method.settings)}")
            if key in seen:
                raise ValueError(f"{key} is set twice")
            seen.append(key)
        base, start = (catalogue.get(id) if id else None for id in (self.base, self.start))
        texts = dict(text.split("=", 1) for text in self.set)
        own = override(method.config, {k: v for k, v in texts.items() if not k.startswith("train.")})
        loop = {k.removeprefix("train."): v for k, v in texts.items() if k.startswith("train.")}
        check(Training(self.method, base, start, self.dataset, own, override(method.loop, loop, "train.")))

    def folder(self) -> Path | None:
        """The folder of a person's own data set; None for one of the project."""
        return None if self.dataset in _shipped() else paths.datasets() / self.dataset

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        if isinstance(data, dict) and isinstance(data.get("set"), dict):
            data = data | {"set": [f"{k}={as_text(v)}" for k, v in data["set"].items() if v is not None]}
        return super().from_dict(data)

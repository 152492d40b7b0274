"""How what a training made is laid out to be served: what the methods' own `serve` share.

    def serve(made: Trained, home: Path) -> dict

writes weights and scheduler into `home`, and returns what the manifest says of them: `scheduler`, `timesteps`,
`default_steps`, `guidance`, `prediction` and, where they are not the usual, `kind`, `family`, `lora`, `about`.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import catalogue, lora
from models.catalogue import Row
from models.families.sd import BETAS
from models.schedule import VP

Steps = Mapping[str, Sequence[float]]  # timesteps by step count


@dataclass(frozen=True)
class Trained:
    """A run at its newest checkpoint."""

    facts: dict  # its run.json
    cfg: Any  # the method's Config
    base: Row | None
    student: Any  # at its moving average
    samples: int = 0  # that it has seen
    step: int = 0  # where it ended, which may be before all of its steps


def network(made: Trained, home: Path) -> dict:
    """The student's network, or of one with a LoRA the adapter alone, or several with their router."""
    assert made.base is not None, "such a student has a base"
    student = made.student
    facts = {"family": made.base.manifest.family, "prediction": student.prediction}
    if student.network is None or not lora.layers(student.network):
        student.save(home)
        return facts
    lora.save(student.network.half(), "default", home)
    config = student.network.peft_config["default"]
    return facts | {"kind": "lora", "lora": {"rank": config.r, "alpha": config.lora_alpha}}


def few_steps(made: Trained, home: Path, scheduler: Any, timesteps: Steps) -> dict:
    """A student with this scheduler, and the timesteps of each step count; the fewest are its usual."""
    scheduler(**BETAS).save_pretrained(home / "scheduler")
    facts = {"scheduler": scheduler.__name__, "timesteps": timesteps, "default_steps": min(map(int, timesteps))}
    return network(made, home) | facts


def at_times(times: Sequence[float]) -> Steps:
    """As many steps as there are times, at these times, as timesteps."""
    return {str(len(times)): [round(t * VP.num_train_timesteps) - 1 for t in times]}


def as_its_base(made: Trained, home: Path) -> dict:
    """The scheduler, steps and guidance of its base."""
    base = made.base
    if base is None or (scheduler := catalogue.part(base, "scheduler")) is None:
        raise ValueError(f"a model trained from {base and base.id} can't be served; valid bases: models published here")
    shutil.copytree(scheduler, home / "scheduler")
    as_base = ("family", "scheduler", "prediction", "timesteps", "default_steps", "guidance", "eta")
    facts = {name: getattr(base.manifest, name) for name in as_base}
    return network(made, home) | facts

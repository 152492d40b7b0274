"""Writing a trained model for serving: the parts that the methods' `serve` share.

    def serve(made: Trained, home: Path) -> dict

writes weights and scheduler into `home`, and returns their fields of the manifest: `scheduler`, `timesteps`,
`default_steps`, `guidance`, `prediction` and, where they differ from the usual, `kind`, `family`, `lora`, `about`.
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

Steps = Mapping[str, Sequence[float]]  # the timesteps of each step count


@dataclass(frozen=True)
class Trained:
    """A run at its newest checkpoint."""

    facts: dict  # its run.json
    cfg: Any  # the method's Config
    base: Row | None
    student: Any  # with the weights of its moving average
    samples: int = 0  # samples of its training
    step: int = 0  # its last step, which may be before all of its steps


def network(made: Trained, home: Path) -> dict:
    """Write the student: its network, its adapter alone where it has a LoRA, or several networks and their router."""
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
    """Write a student with this scheduler and the timesteps of each step count. The fewest steps are the default."""
    scheduler(**BETAS).save_pretrained(home / "scheduler")
    facts = {"scheduler": scheduler.__name__, "timesteps": timesteps, "default_steps": min(map(int, timesteps))}
    return network(made, home) | facts


def at_times(times: Sequence[float]) -> Steps:
    """The timesteps of one step count: a step at each of these times."""
    return {str(len(times)): [round(t * VP.num_train_timesteps) - 1 for t in times]}


def as_its_base(made: Trained, home: Path) -> dict:
    """Write the student with the scheduler, steps and guidance of its base. Raises ValueError where it has none."""
    base = made.base
    if base is None or (scheduler := catalogue.part(base, "scheduler")) is None:
        raise ValueError(f"a model trained from {base and base.id} can't be served; valid bases: models published here")
    shutil.copytree(scheduler, home / "scheduler")
    as_base = ("family", "scheduler", "prediction", "timesteps", "default_steps", "guidance", "eta")
    facts = {name: getattr(base.manifest, name) for name in as_base}
    return network(made, home) | facts

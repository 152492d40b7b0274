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

from diffusers import DDIMScheduler

from models import catalogue, lora
from models.catalogue import Row
from models.denoiser import UNetDenoiser
from models.families import sd
from models.manifest import ROUTER
from models.route import Routed
from models.schedule import VP

Steps = Mapping[str, Sequence[float]]  # timesteps by step count
BETAS = {"beta_start": VP.beta_start, "beta_end": VP.beta_end, "beta_schedule": "scaled_linear", "steps_offset": 1}


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
    """A UNet, or of a LoRA the adapter alone, or students with their router."""
    assert made.base is not None, "such a student has a base"
    facts = {"family": made.base.manifest.family, "prediction": "epsilon"}
    if isinstance(made.student, Routed):
        made.student.router.save(home / ROUTER)
        for i, member in enumerate(made.student.members):
            half: Any = member.network
            half.half().save_pretrained(home / sd.student_folder(i))
        return facts
    unet = made.student.network.half()
    if not lora.layers(unet):
        unet.save_pretrained(home / "unet")
        return facts
    lora.save(unet, "default", home)
    config = unet.peft_config["default"]
    return facts | {"kind": "lora", "lora": {"rank": config.r, "alpha": config.lora_alpha}}


def few_steps(made: Trained, home: Path, scheduler: Any, timesteps: Steps) -> dict:
    """A student with this scheduler, and the timesteps of each step count; the fewest are its usual."""
    scheduler(**BETAS).save_pretrained(home / "scheduler")
    facts = {"scheduler": scheduler.__name__, "timesteps": timesteps, "default_steps": min(map(int, timesteps))}
    return network(made, home) | facts


def at_times(times: Sequence[float]) -> Steps:
    """As many steps as there are times, at these times, as timesteps."""
    return {str(len(times)): [round(t * VP.num_train_timesteps) - 1 for t in times]}


def ddim(home: Path) -> dict:
    """DDIM from the noisiest step there is (Lin et al. 2024, "trailing") to clean data."""
    DDIMScheduler(**BETAS, clip_sample=False, timestep_spacing="trailing").save_pretrained(home / "scheduler")
    return {"scheduler": "DDIMScheduler", "default_steps": 25}


def as_its_base(made: Trained, home: Path) -> dict:
    """The scheduler, steps and guidance of its base."""
    base = made.base
    if base is None or (scheduler := catalogue.part(base, "scheduler")) is None:
        raise ValueError(f"what was made of {base and base.id} can't be served; valid bases: models published here")
    shutil.copytree(scheduler, home / "scheduler")
    as_base = ("family", "scheduler", "prediction", "timesteps", "default_steps", "guidance", "eta")
    facts = {name: getattr(base.manifest, name) for name in as_base}
    if isinstance(made.student, UNetDenoiser | Routed):
        return network(made, home) | facts
    made.student.network.half().save_pretrained(home / "transformer")
    return facts

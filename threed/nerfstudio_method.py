"""The same field in nerfstudio: `ns-train prolificdreamer --pipeline.prompt "a red mushroom"`, its viewer and its logs.

A pipeline of ours runs the rounds (threed/rounds.py), as nerfstudio's own only read pictures. nerfstudio's optimisers
train the field and its viewer shows it; after the training the mesh is written beside the checkpoints. No other file
imports nerfstudio, which finds this one by its entry point. Our world has +Y up, nerfstudio's has +Z, and it is a fifth
as large: nerfstudio's viewer starts half a unit from the centre, which would be inside a thing of our size.
"""

from dataclasses import dataclass, field
from math import radians, tan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.data.datamanagers.random_cameras_datamanager import (
    RandomCamerasDataManager,
    RandomCamerasDataManagerConfig,
)
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification
from torch import Tensor

from core.hardware import faster_precision
from core.paths import studio
from models.views import FOV, RADIUS
from threed import export
from threed.check import checklist
from threed.field import occupied
from threed.fit import BLUR, BLUR_EVERY, LAST_RATE, RATE, SIDES, Particle, draws, loss_of, pace
from threed.mesh import cut
from threed.modes import acting
from threed.render import Rays, march
from threed.request import ThreeDRequest
from threed.rounds import Guide, answered, rendered
from threed.run import prepared
from threed.surface import Surface
from threed.texture import field_paint, skinned

SAMPLES = 64  # points on a ray of the viewer
UNIT = 0.2  # a unit of our world in nerfstudio's
FOCAL = 1 / (2 * tan(radians(FOV) / 2))  # focal length, in sides of a picture
ROUNDS, STEPS = 20, 16  # rounds of a training of minutes on a CPU, and steps on rays in each


# Learning rates in nerfstudio's checkpoints are numbers of numpy, which torch reads only where they are named.
torch.serialization.add_safe_globals([np._core.multiarray.scalar, np.dtype, np.dtypes.Float64DType])


def ours(vectors: Tensor) -> Tensor:
    """Directions [N, 3] of nerfstudio's world, +Z up, in ours, +Y up."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([x, z, -y], -1)


@dataclass
class CamerasConfig(RandomCamerasDataManagerConfig):
    _target: type = field(default_factory=lambda: AllAround)


class AllAround(RandomCamerasDataManager):
    """Cameras all around, whatever the step: `ns-export pointcloud` looks from those of step 0."""

    def __init__(self, config: CamerasConfig, *arguments: Any, **named: Any):
        super().__init__(config, *arguments, **named)
        self.train_pixel_sampler = SimpleNamespace(num_rays_per_batch=config.train_resolution**2)

    def next_train(self, step: int) -> tuple[RayBundle, dict]:
        return super().next_train(self.config.horizontal_rotation_warmup)

    def get_datapath(self) -> Path:
        """Where the viewer keeps camera paths, as there is no folder of photographs."""
        return studio() / "nerfstudio"


@dataclass
class FieldConfig(ModelConfig):
    _target: type = field(default_factory=lambda: FieldModel)
    enable_collider: bool = False
    """No near and far planes: our rays find the ball themselves."""


class FieldModel(Model):
    """The dense grid of threed/field.py as a model of nerfstudio."""

    def populate_modules(self) -> None:
        super().populate_modules()
        self.one = Particle.new(SIDES[-1])
        self.field = self.one.field
        self.register_buffer("cells", self.one.cells)

    def get_param_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"field": [self.field.values]}

    def looked(self) -> None:
        """Find the occupied cells anew; empty ones are skipped."""
        self.one.cells = self.cells = occupied(self.field, 1)

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Tensor]:
        rays = Rays(ours(ray_bundle.origins) / UNIT, ours(ray_bundle.directions))
        seen = march(self.field, rays, self.cells, samples=SAMPLES)
        depth = seen.depth / seen.opacity.clamp_min(1e-4) * UNIT
        return {
            "rgb": seen.on(torch.tensor(export.PAPER)),
            "accumulation": seen.opacity[:, None],
            "depth": depth[:, None],
        }

    def get_rgba_image(self, outputs: dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """Colours with opacity, [..., 4], of which `ns-export` makes points."""
        return torch.cat([outputs[output_name], outputs["accumulation"]], -1)

    def get_loss_dict(self, outputs: Any, batch: Any, metrics_dict: Any = None) -> dict[str, Tensor]:
        return {}  # metrics of pictures; there are no pictures

    def get_image_metrics_and_images(self, outputs: Any, batch: Any) -> tuple[dict[str, float], dict[str, Tensor]]:
        return {"opacity": float(outputs["accumulation"].mean())}, {"img": outputs["rgb"]}


@dataclass
class DreamConfig(VanillaPipelineConfig):
    _target: type = field(default_factory=lambda: DreamPipeline)
    prompt: str = "a red mushroom"
    """One thing."""
    teacher: str = ""
    """A model of the catalogue that is guided by two prompts; if left out, that of `threed.run`."""
    mode: str = "hybrid"
    """How the teacher's answers are used: hybrid, pool, vsd, sds or sdi."""
    rounds: int = ROUNDS
    """Number of rounds; each asks the teacher once and is followed by steps on rays."""
    steps: int = STEPS
    """Optimisation steps on rays after each round."""
    seed: int = 0


class DreamPipeline(VanillaPipeline):
    """Gets targets from the teacher and fits the field to them."""

    config: DreamConfig

    def __init__(self, config: DreamConfig, *arguments: Any, **named: Any):
        super().__init__(config, *arguments, **named)
        request = ThreeDRequest(
            prompt=config.prompt, model=config.teacher or None, mode=config.mode, seed=config.seed, rounds=config.rounds
        )
        made = prepared(request, faster_precision())
        self.request, self.guide = request, Guide(made.teacher, request.mode, request.seed, config.steps)
        self.score = [made.score]  # in a list, so that it is not in checkpoints

    def get_train_loss_dict(self, step: int) -> tuple[dict, dict[str, Tensor], dict[str, Tensor]]:
        place, of = divmod(step, self.config.steps)
        progress = min(place / self.config.rounds, 1.0)
        one, metrics = self.model.one, {}
        if of == 0 or one.pool is None:
            self.model.looked()
            mode = acting(self.request.mode, progress)

            def render(views: Any, grounds: Any, size: int) -> Tensor:
                return rendered(one, views, grounds, size)

            made, metrics = answered(self.guide, render, self.score[0], mode, (place, 0), progress)
            one.keep(made)
        if step % BLUR_EVERY == BLUR_EVERY - 1:
            self.field_smoothed(progress)
        loss = loss_of(one, progress, draws(self.request.seed, "rays", step))
        return {}, {"rays": loss}, {k: torch.tensor(v) for k, v in metrics.items()}

    @torch.no_grad()
    def field_smoothed(self, progress: float) -> None:
        self.model.field.smooth(BLUR * pace(progress))

    def get_training_callbacks(self, attributes: TrainingCallbackAttributes) -> list[TrainingCallback]:
        after = TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN], self.mesh, args=[attributes.trainer])
        return [*super().get_training_callbacks(attributes), after]

    def mesh(self, trainer: Any, step: int) -> None:
        """Write the mesh, as ns-export needs photographs."""
        self.model.looked()
        one, folder = self.model.one, Path(trainer.base_dir) / "object"
        made = cut(one.field, one.cells, self.request.faces)
        thing, _ = skinned(made.mesh, self.request.texture, field_paint(one.field))
        names = export.write(folder, thing, self.request, checklist(made, one, Surface(thing.mesh)))
        print(f"{folder}: {', '.join(names)}")


method = MethodSpecification(
    config=TrainerConfig(
        method_name="prolificdreamer",
        max_num_iterations=ROUNDS * STEPS,
        steps_per_save=ROUNDS * STEPS,
        steps_per_eval_batch=0,
        steps_per_eval_image=ROUNDS * STEPS // 2,
        steps_per_eval_all_images=0,
        mixed_precision=False,
        pipeline=DreamConfig(
            datamanager=CamerasConfig(
                radius_mean=sum(RADIUS) / 2 * UNIT,
                radius_std=0.0,
                jitter_std=0.0,
                focal_range=(FOCAL, FOCAL),
                num_eval_angles=16,
                eval_resolution=96,
            ),
            model=FieldConfig(),
        ),
        optimizers={
            "field": {
                "optimizer": AdamOptimizerConfig(lr=RATE, eps=1e-15),
                "scheduler": ExponentialDecaySchedulerConfig(
                    lr_final=RATE * LAST_RATE, max_steps=ROUNDS * STEPS, warmup_steps=0
                ),
            }
        },
        viewer=ViewerConfig(num_rays_per_chunk=1 << 12, quit_on_train_completion=True),
        vis="viewer",
    ),
    description="Still Life: text to 3D by a small text-to-image teacher, VSD or a pool of its pictures, on a CPU.",
)
method.config.machine.device_type = "cpu"

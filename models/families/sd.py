"""Stable Diffusion: the box's own UNet and, from the Hub, the published ones, through the same code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from models import catalogue, families, text, weights
from models.catalogue import Row
from models.denoiser import Cond, Denoiser, UNetDenoiser, pick_dtype
from models.families import Parts
from models.manifest import ROUTER
from models.route import Routed, Router

SCHEDULERS = ("DDIMScheduler", "EulerDiscreteScheduler", "LCMScheduler", "TCDScheduler")


def load(
    row: Row,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    encoder: Any = None,
    attention: str = "auto",
    base: Parts | None = None,
) -> Parts:
    """`encoder`: a text encoder of the box that is already loaded, to share it; `base`: a LoRA's, likewise."""
    if row.manifest.kind == "lora":
        return on_base(row, base, device=device, dtype=dtype, encoder=encoder, attention=attention)
    device = torch.device(device)
    dtype = pick_dtype(device) if dtype is None else dtype
    if catalogue.on_hub(row) is not None:
        pipeline = from_hub(StableDiffusionPipeline, row, dtype, safety_checker=None)
    else:
        pipeline = _from_folders(row, dtype, encoder)
    families.prepare(row, pipeline, pipeline.unet, device, attention)
    denoiser = None if pipeline.unet is None else UNetDenoiser(pipeline.unet, dtype)
    if denoiser is not None and row.folder is not None and (row.folder / ROUTER).is_dir():
        denoiser = routed(row, denoiser, device, dtype)
    return Parts(row, Text(pipeline, device), denoiser, pipeline.vae, pipeline.scheduler, pipeline, device, dtype)


def student_folder(i: int) -> str:
    """Of several students the first lies where one UNet would."""
    return f"unet-{i}" if i else "unet"


class Waiting(UNetDenoiser):
    """A student that is read from its folder when its first prompt comes."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype):
        super().__init__(None, dtype)
        self.folder, self.device = folder, device

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        if self.network is None:
            network = weights.load(UNet2DConditionModel, self.folder, self.dtype)
            self.network = network.to(self.device).eval().requires_grad_(False)
        return super().predict(x_t, t, cond)


def routed(row: Row, first: Denoiser, device: torch.device, dtype: torch.dtype) -> Routed:
    """Multi-student distillation's row: a router, and as many students as it has leaves."""
    router = Router.load(families.part(row, ROUTER)).to(device)
    others = [families.part(row, student_folder(i)) for i in range(1, router.students)]
    return Routed(router, [first, *(Waiting(folder, device, dtype) for folder in others)])


def on_base(row: Row, base: Parts | None, **options: Any) -> Parts:
    """A LoRA on its base, which is loaded where it isn't given."""
    from models import lora  # brings peft

    return lora.attach(row, base or families.load(catalogue.get(row.manifest.base or ""), **options), SCHEDULERS)


def from_hub(kind: Any, row: Row, dtype: torch.dtype, **options: Any) -> Any:
    """A row of a folder brings UNet and scheduler, and takes everything else from the pipeline that it is built on."""
    above = catalogue.on_hub(row)
    assert above is not None, "whoever asks has looked"
    if row.hub is None:
        options |= {"unet": weights.load(UNet2DConditionModel, families.part(row, "unet"), dtype)}
    pipeline = families.from_hub(kind, above, dtype, **options)
    pipeline.scheduler = families.scheduler(row, SCHEDULERS, pipeline.scheduler.config if row.hub else None)
    return pipeline


def _from_folders(row: Row, dtype: torch.dtype, encoder: Any) -> StableDiffusionPipeline:
    """A row that is an autoencoder alone gives a pipeline without UNet and scheduler."""
    home, alone = text.find(), row.manifest.kind == "autoencoder"
    tokenizer = text.load_tokenizer(home)
    tokenizer.model_max_length = row.tokens  # the pipeline pads to it
    kind: Any = StableDiffusionPipeline  # any tokenizer and encoder will do
    return kind(
        tokenizer=tokenizer,
        text_encoder=text.load_encoder(home, dtype=dtype) if encoder is None else encoder,
        vae=weights.load(AutoencoderKL, families.part(row, "vae"), dtype),
        unet=None if alone else weights.load(UNet2DConditionModel, families.part(row, "unet"), dtype),
        scheduler=None if alone else families.scheduler(row, SCHEDULERS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


class Text:
    """Prompts through the pipeline's `encode_prompt`: all of one length, and the UNet sees the padding."""

    def __init__(self, pipeline: StableDiffusionPipeline, device: torch.device):
        self.pipeline, self.device = pipeline, device

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Cond:
        device = self.device
        tokens, _ = self.pipeline.encode_prompt(list(texts), device, 1, do_classifier_free_guidance=False)
        return Cond(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=device))


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1] to latents [B, C, h, w] of unit variance."""
    return vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor

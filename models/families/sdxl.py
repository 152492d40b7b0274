"""SDXL from the Hub, and models that were distilled from it."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor, nn

from models import catalogue, families
from models.catalogue import Row
from models.denoiser import Cond, pick_dtype
from models.families import Parts, sd
from models.families.sd import UNetDenoiser
from models.manifest import ROUTER

encode, many_steps, call, on_base = sd.encode, sd.many_steps, sd.call, sd.on_base
CONTROL = sd.CONTROL


class SDXLDenoiser(UNetDenoiser):
    """SDXL's UNet. The pooled text embedding is the last token; the size conditions are the picture's own size."""

    several = False

    def conditions(self, tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
        config = self.network.config
        pixels = config.sample_size * 8
        sizes = torch.tensor([pixels, pixels, 0, 0, pixels, pixels], dtype=tokens.dtype, device=tokens.device)
        width = config.projection_class_embeddings_input_dim - config.addition_time_embed_dim * len(sizes)
        added = {"text_embeds": tokens[:, -1, :width], "time_ids": sizes.expand(len(tokens), -1)}
        return tokens[:, :-1], {"added_cond_kwargs": added}


def pipeline_class(row: Row) -> Any:
    return StableDiffusionXLPipeline


def load(
    row: Row,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    encoder: Any = None,
    attention: str = "auto",
    base: Parts | None = None,
) -> Parts:
    """`encoder` is the box's text encoder, which SDXL does not use; `base`: a LoRA's base, which is shared."""
    if row.manifest.kind == "lora":
        return on_base(row, base, device=device, dtype=dtype, attention=attention)
    if catalogue.on_hub(row) is None:
        raise ValueError(f"{row.id} is an SDXL whose base is none of the Hub's; valid: one of those, or a whole folder")
    if row.folder is not None and (row.folder / ROUTER).is_dir():
        raise ValueError(f"{row.id} is several students of an SDXL, and prompts are sent to those of an SD alone")
    device = torch.device(device)
    dtype = pick_dtype(device) if dtype is None else dtype
    pipeline = sd.from_hub(StableDiffusionXLPipeline, row, dtype, add_watermarker=False)
    families.prepare(row, pipeline, pipeline.unet, device, attention)
    vae_dtype = torch.float32 if dtype == torch.float16 else dtype  # its activations don't fit
    pipeline.vae.to(vae_dtype)
    denoiser = SDXLDenoiser(pipeline.unet, dtype)
    return Parts(row, Text(pipeline, device), denoiser, pipeline.vae, pipeline.scheduler, pipeline, device, vae_dtype)


class Text:
    """Prompts through the pipeline's `encode_prompt`. The pooled text embedding is the last token, padded with zeros.

    The empty prompt is all zeros where the pipeline's configuration says so.
    """

    def __init__(self, pipeline: Any, device: torch.device):
        self.pipeline, self.device = pipeline, device

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Cond:
        device = self.device
        tokens, _, pooled, _ = self.pipeline.encode_prompt(
            list(texts), device=device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        last = nn.functional.pad(pooled, (0, tokens.shape[2] - pooled.shape[1]))
        both = torch.cat([tokens, last[:, None]], 1)
        if self.pipeline.config.force_zeros_for_empty_prompt:
            both[[not t.strip() for t in texts]] = 0
        return Cond(both, torch.ones(both.shape[:2], dtype=torch.bool, device=device))

"""SANA and SANA-Sprint: the box's own and, from the Hub, the published ones, through the same code."""

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderDC, SanaPipeline, SanaSprintPipeline, SanaTransformer2DModel
from torch import Tensor, nn

from models import catalogue, text, weights
from models.catalogue import Row
from models.denoiser import Cond, Denoiser, SanaDenoiser, TrigFlow, pick_dtype, set_attention
from models.families import Parts

SCHEDULERS = ("SCMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler")
Pipeline = SanaPipeline | SanaSprintPipeline


def load(
    row: Row,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    encoder: Any = None,
    attention: str = "auto",
) -> Parts:
    """`encoder`: a text encoder of the box that is already loaded, to share it."""
    device = torch.device(device)
    dtype = pick_dtype(device) if dtype is None else dtype
    pipeline = (_from_hub(row, dtype) if row.hub else _from_folders(row, dtype, encoder)).to(device)
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.eval().requires_grad_(False)
    if note := set_attention(pipeline.transformer, attention, device):
        warnings.warn(f"{row.id}: {note}", stacklevel=2)
    return Parts(row, Text(row, pipeline), denoiser(pipeline), pipeline.vae, pipeline.scheduler, pipeline)


def denoiser(pipeline: Pipeline) -> Denoiser | None:
    if pipeline.transformer is None:
        return None
    flow = SanaDenoiser(pipeline.transformer)
    return TrigFlow(flow) if isinstance(pipeline, SanaSprintPipeline) else flow


def pipeline_class(row: Row) -> Any:
    return SanaSprintPipeline if row.manifest.scheduler == "SCMScheduler" else SanaPipeline


def _from_hub(row: Row, dtype: torch.dtype) -> Pipeline:
    """From the local cache, which is completed where the Hub can be reached."""
    make, local = pipeline_class(row).from_pretrained, not catalogue.reachable()
    try:
        return make(row.hub or "", revision=row.revision, dtype=dtype, use_safetensors=True, local_files_only=local)
    except OSError as e:
        where = "the local Hub cache, and the Hub can't be reached" if local else "the Hub"
        raise ValueError(f"{row.id} is not whole in {where}: {str(e).splitlines()[0]}") from None


def _from_folders(row: Row, dtype: torch.dtype, encoder: Any) -> Pipeline:
    """A row that is an autoencoder alone gives a pipeline without transformer and scheduler."""
    home, alone = text.find(), row.manifest.kind == "autoencoder"
    return pipeline_class(row)(
        tokenizer=text.load_tokenizer(home),
        text_encoder=text.load_encoder(home, dtype=dtype) if encoder is None else encoder,
        vae=weights.load(AutoencoderDC, _part(row, "vae"), dtype),
        transformer=None if alone else transformer(row, dtype),
        scheduler=None if alone else scheduler(row),
    )


def transformer(row: Row, dtype: torch.dtype) -> SanaTransformer2DModel:
    return weights.load(SanaTransformer2DModel, _part(row, "transformer"), dtype)


def scheduler(row: Row):
    name = row.manifest.scheduler
    if name not in SCHEDULERS:
        raise ValueError(f"scheduler {name!r} of {row.id}; valid: {', '.join(SCHEDULERS)}")
    return getattr(diffusers, name).from_pretrained(_part(row, "scheduler"))


def _part(row: Row, name: str) -> Path:
    folder = catalogue.part(row, name)
    if folder is None:
        raise ValueError(f"{row.id} has no folder {name}/, and neither has its base")
    return folder


class Text:
    """Prompts through the pipeline's `encode_prompt`, padded to the longest of them and no further.

    The pipeline pads every prompt to its maximum and masks the padding out. The pictures are the same (the mask adds
    -10,000 to the logits, whose exponential is zero), for a third of the time.
    """

    def __init__(self, row: Row, pipeline: Any):
        self.row, self.pipeline = row, pipeline
        self.extra = {"do_classifier_free_guidance": False} if isinstance(pipeline, SanaPipeline) else {}
        self.instruction = _instruction(type(pipeline)) if row.instruction else None

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Cond:
        ids = self.pipeline.tokenizer([t.lower().strip() for t in texts], truncation=False, padding=False).input_ids
        margin = 2 if self.instruction else 0  # where the instruction ends, tokens may merge differently
        tokens, mask = self.pipeline.encode_prompt(
            list(texts),
            device=self.pipeline.text_encoder.device,
            max_sequence_length=min(self.row.tokens, max(map(len, ids)) + margin),
            complex_human_instruction=self.instruction,
            **self.extra,
        )[:2]
        return Cond(tokens, mask.bool())


def _instruction(pipeline: type[Pipeline]) -> list[str]:
    """The default that the class's own call would use."""
    return inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1] to latents [B, C, h, w] of unit variance."""
    return vae.encode(pixels).latent * vae.config.scaling_factor

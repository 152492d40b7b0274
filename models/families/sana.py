"""SANA and SANA-Sprint: the box's own and, from the Hub, the published ones, through the same code."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderDC, SanaPipeline, SanaSprintPipeline, SanaTransformer2DModel
from torch import Tensor

from models import catalogue, families, text, weights
from models.catalogue import Row
from models.denoiser import Cond, Denoiser, SanaDenoiser, TrigFlow, pick_dtype
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
    above = catalogue.on_hub(row)
    pipeline = _from_hub(row, above, dtype) if above is not None else _from_folders(row, dtype, encoder)
    families.prepare(row, pipeline, pipeline.transformer, device, attention)
    own = Text(row, pipeline, device), denoiser(pipeline, dtype)
    return Parts(row, *own, pipeline.vae, pipeline.scheduler, pipeline, device, dtype)


def denoiser(pipeline: Pipeline, dtype: torch.dtype) -> Denoiser | None:
    if pipeline.transformer is None:
        return None
    flow = SanaDenoiser(pipeline.transformer, dtype)
    return TrigFlow(flow) if isinstance(pipeline, SanaSprintPipeline) else flow


def pipeline_class(row: Row) -> Any:
    return SanaSprintPipeline if row.manifest.scheduler == "SCMScheduler" else SanaPipeline


def _from_hub(row: Row, above: Row, dtype: torch.dtype) -> Pipeline:
    """A row of a folder brings transformer and scheduler, and takes everything else from the pipeline above it."""
    own = {} if row.hub else {"transformer": transformer(row, dtype), "scheduler": families.scheduler(row, SCHEDULERS)}
    return families.from_hub(pipeline_class(row), above, dtype, **own)


def _from_folders(row: Row, dtype: torch.dtype, encoder: Any) -> Pipeline:
    """A row that is an autoencoder alone gives a pipeline without transformer and scheduler."""
    home, alone = text.find(), row.manifest.kind == "autoencoder"
    return pipeline_class(row)(
        tokenizer=text.load_tokenizer(home),
        text_encoder=text.load_encoder(home, dtype=dtype) if encoder is None else encoder,
        vae=weights.load(AutoencoderDC, families.part(row, "vae"), dtype),
        transformer=None if alone else transformer(row, dtype),
        scheduler=None if alone else families.scheduler(row, SCHEDULERS),
    )


def transformer(row: Row, dtype: torch.dtype) -> SanaTransformer2DModel:
    return weights.load(SanaTransformer2DModel, families.part(row, "transformer"), dtype)


class Text:
    """Prompts through the pipeline's `encode_prompt`, padded to the longest of them and no further.

    The pipeline pads every prompt to its maximum and masks the padding out. The pictures are the same (the mask adds
    -10,000 to the logits, whose exponential is zero), for a third of the time.
    """

    def __init__(self, row: Row, pipeline: Any, device: torch.device):
        self.row, self.pipeline, self.device = row, pipeline, device
        self.extra = {"do_classifier_free_guidance": False} if isinstance(pipeline, SanaPipeline) else {}
        self.instruction = _instruction(type(pipeline)) if row.instruction else None

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Cond:
        ids = self.pipeline.tokenizer([t.lower().strip() for t in texts], truncation=False, padding=False).input_ids
        margin = 2 if self.instruction else 0  # where the instruction ends, tokens may merge differently
        tokens, mask = self.pipeline.encode_prompt(
            list(texts),
            device=self.device,
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

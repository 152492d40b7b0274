"""SANA and SANA-Sprint: the box's own and, from the Hub, the published ones, through the same code."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    DPMSolverMultistepScheduler,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
)
from torch import Tensor, nn

from models import catalogue, families, sana_control, text, weights
from models.adapters import Adapted
from models.catalogue import Row
from models.denoiser import Cond, Denoiser, Features, TrigFlow, pick_dtype
from models.families import Parts
from models.sana_control import SanaControl
from models.schedule import Flow, Prediction

SCHEDULERS = ("SCMScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler")
Pipeline = SanaPipeline | SanaSprintPipeline
AUTOENCODER, CONTROL, SPRINT = AutoencoderDC, SanaControl, "SCMScheduler"
EMBEDDER = "time_embed.emb.timestep_embedder.", "time_embed.timestep_embedder."  # without and with a guidance input
LINEAR = "SANA's self-attention is linear, and its cross-attention stays with sdpa"


class SanaDenoiser(Adapted):
    """SanaTransformer2DModel trained by flow matching, with the dense time embedding of SANA-Sprint (t, not 1000 t)."""

    prediction: Prediction = "flow"
    schedule = Flow()
    folder, targets, few_steps = "transformer", ("to_q", "to_k", "to_v", "to_out.0"), False
    several = False

    @property
    def takes_guidance(self) -> bool:
        return self.network.config.guidance_embeds

    def named(self, key: str) -> str:
        """The networks with and without a guidance input have equal layers, and one of them has another name."""
        theirs, own = EMBEDDER if self.network.config.guidance_embeds else EMBEDDER[::-1]
        return key.replace(theirs, own)

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        self.wear(t, cond.guidance)
        net = self.network
        scale = net.config.guidance_embeds_scale
        guidance = None if cond.guidance is None else cond.guidance * scale
        time = t if net.config.guidance_embeds else t * (net.config.timestep_scale * 1000)
        x, tokens = x_t.to(self.dtype), cond.tokens.to(self.dtype)
        more = {"encoder_attention_mask": cond.mask}
        if self.control is not None and cond.control is not None:
            more |= self.control(net, x, time, guidance, tokens, cond, self.control_share)
        v = net(x, tokens, time, guidance=guidance, **more, return_dict=False)[0]
        return v.to(x_t.dtype)

    def with_guidance(self) -> "SanaDenoiser":
        """The guidance embedder's first layer is N(0, 0.02), as it would never learn from zero."""
        # `_use_default_values` would override the guidance_embeds that is set next.
        config = {k: v for k, v in self.network.config.items() if k != "_use_default_values"}
        config["guidance_embeds"] = True
        student = type(self.network).from_config(config)
        embedder = student.time_embed.guidance_embedder
        nn.init.normal_(embedder.linear_1.weight, std=0.02)
        nn.init.zeros_(embedder.linear_1.bias)
        nn.init.zeros_(embedder.linear_2.weight)
        nn.init.zeros_(embedder.linear_2.bias)
        weights = {k.replace(*EMBEDDER): v for k, v in self.network.state_dict().items()}
        weights |= {f"time_embed.guidance_embedder.{k}": v for k, v in embedder.state_dict().items()}
        student.load_state_dict(weights)
        return SanaDenoiser(student)

    def with_control(self) -> "SanaDenoiser":
        self.control = sana_control.new(self.network)
        return self

    def features(self, blocks: Sequence[int]) -> Features:
        all_blocks, config = self.network.transformer_blocks, self.network.config
        if wrong := [b for b in blocks if not 0 <= b < len(all_blocks)]:
            raise ValueError(f"blocks={wrong} are not among the teacher's {len(all_blocks)} blocks")
        width = config.num_attention_heads * config.attention_head_dim
        return Features([all_blocks[b] for b in blocks], [width] * len(blocks), kernel=9)

    @property
    def token_width(self) -> int:
        return self.network.config.caption_channels


def load(
    row: Row,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    encoder: Any = None,
    attention: str = "auto",
    base: Parts | None = None,
) -> Parts:
    """`encoder`: the box's text encoder, and `base`: a LoRA's base, where they are loaded already and can be shared."""
    if row.manifest.kind == "lora":
        return on_base(row, base, device=device, dtype=dtype, encoder=encoder, attention=attention)
    device = torch.device(device)
    dtype = pick_dtype(device) if dtype is None else dtype
    above = catalogue.on_hub(row)
    pipeline = _from_hub(row, above, dtype) if above is not None else _from_folders(row, dtype, encoder)
    families.prepare(row, pipeline, pipeline.transformer, device, attention, linear=LINEAR)
    own = Text(row, pipeline, device), denoiser(pipeline, dtype)
    return Parts(row, *own, pipeline.vae, pipeline.scheduler, pipeline, device, dtype)


def on_base(row: Row, base: Parts | None, **options: Any) -> Parts:
    """A LoRA on its base, which is loaded where it isn't given."""
    from models import lora  # brings peft

    return lora.attach(row, base or families.load(catalogue.get(row.manifest.base or ""), **options), SCHEDULERS)


def denoiser(pipeline: Pipeline, dtype: torch.dtype) -> Denoiser | None:
    if pipeline.transformer is None:
        return None
    flow = SanaDenoiser(pipeline.transformer, dtype)
    return TrigFlow(flow) if isinstance(pipeline, SanaSprintPipeline) else flow


def pipeline_class(row: Row) -> Any:
    return SanaSprintPipeline if row.manifest.scheduler == SPRINT else SanaPipeline


def call(row: Row, steps: int) -> dict[str, Any]:
    manifest = row.manifest
    arguments = {"num_inference_steps": steps, "guidance_scale": manifest.guidance.default}
    if manifest.scheduler == SPRINT:
        table = manifest.timesteps.get(str(steps), [1.5708])
        arguments |= {"max_timesteps": table[0], "intermediate_timesteps": table[1] if len(table) == 2 else None}
    arguments |= {"height": row.size, "width": row.size}
    if not row.instruction:
        arguments |= {"use_resolution_binning": False, "complex_human_instruction": None}
        arguments |= {"max_sequence_length": row.tokens}
    return arguments


def _from_hub(row: Row, above: Row, dtype: torch.dtype) -> Pipeline:
    """A row with a folder has its own transformer and scheduler, and all else from the Hub pipeline `above` it."""
    own = {} if row.hub else {"transformer": transformer(row, dtype), "scheduler": families.scheduler(row, SCHEDULERS)}
    return families.from_hub(pipeline_class(row), above, dtype, **own)


def _from_folders(row: Row, dtype: torch.dtype, encoder: Any) -> Pipeline:
    """The pipeline of a row; without transformer and scheduler where the row is an autoencoder alone."""
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
    """Prompts through the pipeline's `encode_prompt`, padded to the longest of them only.

    The pipeline pads every prompt to its maximum and masks the padding. The pictures are the same (the mask adds
    -10,000 to the logits, whose exponential is zero) in a third of the time.
    """

    def __init__(self, row: Row, pipeline: Any, device: torch.device):
        self.row, self.pipeline, self.device = row, pipeline, device
        self.extra = {"do_classifier_free_guidance": False} if isinstance(pipeline, SanaPipeline) else {}
        self.instruction = _instruction(type(pipeline)) if row.instruction else None

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Cond:
        ids = self.pipeline.tokenizer([t.lower().strip() for t in texts], truncation=False, padding=False).input_ids
        margin = 2 if self.instruction else 0  # tokens may merge differently at the end of the instruction
        tokens, mask = self.pipeline.encode_prompt(
            list(texts),
            device=self.device,
            max_sequence_length=min(self.row.tokens, max(map(len, ids)) + margin),
            complex_human_instruction=self.instruction,
            **self.extra,
        )[:2]
        return Cond(tokens, mask.bool())


def _instruction(pipeline: type[Pipeline]) -> list[str]:
    """The default instruction of the pipeline's call."""
    return inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1] to latents [B, C, h, w] of unit variance."""
    return vae.encode(pixels).latent * vae.config.scaling_factor


def new(cfg: Any) -> SanaDenoiser:
    """An untrained network of `cfg.layers` layers, each `cfg.width` wide."""
    heads = cfg.width // 32
    network = SanaTransformer2DModel(
        in_channels=16,
        out_channels=16,
        num_layers=cfg.layers,
        num_attention_heads=heads,
        attention_head_dim=32,
        num_cross_attention_heads=heads,
        cross_attention_head_dim=32,
        cross_attention_dim=cfg.width,
        caption_channels=384,
        sample_size=8,
        qk_norm="rms_norm_across_heads",
        timestep_scale=0.001,
    )
    return SanaDenoiser(network)


def many_steps(home: Path) -> dict[str, Any]:
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.5)
    scheduler.save_pretrained(home / "scheduler")
    about = "Flow matching: a generator of many steps, the teacher of students of few."
    return {"scheduler": type(scheduler).__name__, "default_steps": 20, "about": about}


def new_autoencoder(cfg: Any) -> AutoencoderDC:
    """An untrained autoencoder with `cfg.width` channels at full resolution."""
    w = cfg.width
    return AutoencoderDC(
        latent_channels=cfg.latent_channels,
        encoder_block_out_channels=(w, 2 * w, 4 * w, 8 * w, 16 * w),
        decoder_block_out_channels=(w, 2 * w, 4 * w, 8 * w, 16 * w),
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_layers_per_block=(0, 1, 1, 2, 2),  # a block at full resolution would cost as much as all the others
        decoder_layers_per_block=(0, 1, 1, 2, 2),
        encoder_qkv_multiscales=((),) * 5,
        decoder_qkv_multiscales=((),) * 5,
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
        encoder_out_shortcut=False,  # so that `publish` can fold the latents' statistics into the last layer
        decoder_in_shortcut=False,
        scaling_factor=1.0,
    )


def channel_shape(cost: Tensor, deviation: Tensor) -> Tensor:
    """The divisor of each channel of latents, up to one common factor: afterwards a unit of error in any channel costs
    the pictures the same."""
    return 1 / cost

"""Stable Diffusion: the box's own UNet and, from the Hub, the published ones, through the same code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn

from models import camera, catalogue, control, families, text, weights
from models.adapters import Adapted
from models.camera import CameraEmbedding, new_embedding, telling
from models.catalogue import Row
from models.control import Control
from models.denoiser import Cond, Denoiser, Features, pick_dtype
from models.families import Parts
from models.manifest import ROUTER
from models.route import Routed, Router, member_folder
from models.schedule import VP, Prediction

SCHEDULERS = ("DDIMScheduler", "EulerDiscreteScheduler", "LCMScheduler", "TCDScheduler")
BETAS = {"beta_start": VP.beta_start, "beta_end": VP.beta_end, "beta_schedule": "scaled_linear", "steps_offset": 1}
AUTOENCODER, CONTROL = AutoencoderKL, Control
TARGETS = (  # layers that a LoRA adapts: those of DMD2
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "ff.net.0.proj",
    "ff.net.2",
    "conv1",
    "conv2",
    "conv_shortcut",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
    "time_emb_proj",
)
READERS = ("attn2.to_k", "attn2.to_v")  # those that read the prompt


class UNetDenoiser(Adapted):
    """UNet2DConditionModel with the schedule of Stable Diffusion. As there, it also attends to a prompt's padding."""

    prediction: Prediction = "epsilon"
    schedule = VP()
    folder, targets, readers = "unet", TARGETS, READERS

    def __init__(self, network: nn.Module | None, dtype: torch.dtype = torch.float32):
        super().__init__(network, dtype)
        self.camera: CameraEmbedding | None = None  # of a network with a camera input

    @property
    def takes_guidance(self) -> bool:
        return self.full is not None

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        self.wear(t, cond.guidance)
        tokens, more = self.conditions(cond.tokens.to(self.dtype))
        timestep, x = t * VP.num_train_timesteps - 1, x_t.to(self.dtype)
        if self.control is not None and cond.control is not None:
            more = more | self.control(x, timestep, tokens, cond, self.control_share, more)
        with telling(self.network, self.camera, cond.camera):
            out = self.network(x, timestep, tokens, **more, return_dict=False)[0]
        return out.to(x_t.dtype)

    def conditions(self, tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """The tokens for cross-attention, and the network's other arguments."""
        return tokens, {}

    def with_camera(self) -> "UNetDenoiser":
        self.camera = new_embedding(self.network)
        return self

    def with_control(self) -> "UNetDenoiser":
        self.control = control.new(self.network)
        return self

    def smaller(self, width: float) -> "UNetDenoiser":
        """The smaller network begins with a part of this one's weights (`thinned`)."""
        config = {k: v for k, v in self.network.config.items() if k != "_use_default_values"}
        groups = config["norm_num_groups"]
        channels = [max(groups, int(c * width) // groups * groups) for c in config["block_out_channels"]]
        made = type(self.network).from_config(config | {"block_out_channels": channels})
        made.load_state_dict(thinned(self.network.state_dict(), made.state_dict()))
        return type(self)(made)

    def features(self, blocks: Sequence[int]) -> Features:
        """The outputs of its first and last blocks and of its middle block."""
        net = self.network
        modules = [net.down_blocks[0].resnets[-1], net.mid_block.resnets[-1], net.up_blocks[-1].resnets[-1]]
        return Features(modules, [m.out_channels for m in modules], kernel=9)

    @property
    def token_width(self) -> int:
        return self.network.config.cross_attention_dim


def thinned(wide: dict[str, Tensor], narrow: dict[str, Tensor]) -> dict[str, Tensor]:
    """Evenly spaced channels of `wide`, in the shapes of `narrow`: at half the width every second one.

    Heads, groups and frequencies of the time embedding keep their meaning. A layer's outputs keep their size, as its
    weights grow by the square root of the ratio of inputs. As in pruning of diffusion models (Fang et al. 2023), the
    small network starts from the large one's weights; the multi-student paper starts from new ones.
    """
    out = {}
    for name, shape in ((name, w.shape) for name, w in narrow.items()):
        w = wide[name]
        lost = w.shape[1] / shape[1] if len(shape) > 1 else 1.0
        for dim, n in enumerate(shape):
            w = w.index_select(dim, torch.arange(n, device=w.device) * w.shape[dim] // n)
        out[name] = w * lost**0.5
    return out


def load(
    row: Row,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    encoder: Any = None,
    attention: str = "auto",
    base: Parts | None = None,
) -> Parts:
    """`encoder`, `base`: the box's text encoder and a LoRA's base, where they are loaded already and can be shared."""
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
    if denoiser is not None:
        camera.give(denoiser, row)
    if denoiser is not None and row.folder is not None and (row.folder / ROUTER).is_dir():
        denoiser = routed(row, denoiser, device, dtype)
    return Parts(row, Text(pipeline, device), denoiser, pipeline.vae, pipeline.scheduler, pipeline, device, dtype)


class LazyUNet(UNetDenoiser):
    """A student that is loaded from its folder at its first prompt."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype):
        super().__init__(None, dtype)
        self.folder, self.device = folder, device

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        if self.network is None:
            network = weights.load(UNet2DConditionModel, self.folder, self.dtype)
            self.network = network.to(self.device).eval().requires_grad_(False)
        return super().predict(x_t, t, cond)


def routed(row: Row, first: Denoiser, device: torch.device, dtype: torch.dtype) -> Routed:
    """The denoiser of multi-student distillation: a router, and as many students as it has leaves."""
    router = Router.load(families.part(row, ROUTER)).to(device)
    others = [families.part(row, member_folder("unet", i)) for i in range(1, router.students)]
    return Routed(router, [first, *(LazyUNet(folder, device, dtype) for folder in others)])


def on_base(row: Row, base: Parts | None, **options: Any) -> Parts:
    """A LoRA on its base, which is loaded here where it isn't given."""
    from models import lora  # brings peft

    return lora.attach(row, base or families.load(catalogue.get(row.manifest.base or ""), **options), SCHEDULERS)


def pipeline_class(row: Row) -> Any:
    return StableDiffusionPipeline


def call(row: Row, steps: int) -> dict[str, Any]:
    """For a LoRA with guidance folded in the pipeline's guidance is 1, which is none: its adapter's strength is set."""
    manifest = row.manifest
    scale = manifest.guidance.default if manifest.guidance.kind == "cfg" else 1.0
    arguments: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": scale}
    arguments |= {"height": row.size, "width": row.size}
    if manifest.scheduler != "DDIMScheduler" and str(steps) in manifest.timesteps:
        arguments |= {"num_inference_steps": None, "timesteps": [int(t) for t in manifest.timesteps[str(steps)]]}
    return arguments | ({"eta": manifest.eta} if manifest.eta else {})


def from_hub(kind: Any, row: Row, dtype: torch.dtype, **options: Any) -> Any:
    """A row with a folder has its own UNet and scheduler, and all else from the Hub pipeline that it is built on."""
    above = catalogue.on_hub(row)
    assert above is not None, "callers check that the row is on the Hub"
    if row.hub is None:
        options |= {"unet": weights.load(UNet2DConditionModel, families.part(row, "unet"), dtype)}
    pipeline = families.from_hub(kind, above, dtype, **options)
    pipeline.scheduler = families.scheduler(row, SCHEDULERS, pipeline.scheduler.config if row.hub else None)
    return pipeline


def _from_folders(row: Row, dtype: torch.dtype, encoder: Any) -> StableDiffusionPipeline:
    """The pipeline of a row; without UNet and scheduler where the row is an autoencoder alone."""
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
    """Prompts through the pipeline's `encode_prompt`: all have one length, and the UNet attends to the padding."""

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


def new(cfg: Any) -> UNetDenoiser:
    """An untrained UNet: `cfg.channels` has the channels of each resolution, `cfg.blocks` the blocks at each."""
    network = UNet2DConditionModel(
        in_channels=16,
        out_channels=16,
        sample_size=8,
        block_out_channels=cfg.channels,
        layers_per_block=cfg.blocks,
        down_block_types=("CrossAttnDownBlock2D",) * len(cfg.channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(cfg.channels),
        cross_attention_dim=384,
        # diffusers' name for how many heads there are; its tuple[int] means any length
        attention_head_dim=tuple(c // 32 for c in cfg.channels),  # pyright: ignore[reportArgumentType]
        norm_num_groups=16,
    )
    return UNetDenoiser(network)


def many_steps(home: Path) -> dict[str, Any]:
    """Write DDIM from the noisiest timestep ("trailing", Lin et al. 2024) to clean data; returns its manifest
    fields."""
    DDIMScheduler(**BETAS, clip_sample=False, timestep_spacing="trailing").save_pretrained(home / "scheduler")
    return {"scheduler": "DDIMScheduler", "default_steps": 25}


def new_autoencoder(cfg: Any) -> AutoencoderKL:
    """An untrained autoencoder with `cfg.width` channels at half the resolution. Its latents have no noise: the log
    variance is fixed at the least that diffusers takes.

    At full resolution AutoencoderKL always has a block, so it is narrow there. It has two normalisation groups, as
    groups of one channel took half of a step's time.
    """
    w = cfg.width
    vae = AutoencoderKL(
        latent_channels=cfg.latent_channels,
        block_out_channels=(w // 2, w, 2 * w, 6 * w, 12 * w),  # pyright: ignore[reportArgumentType]  # diffusers' tuple[…] of one means any length
        down_block_types=("DownEncoderBlock2D",) * 5,  # pyright: ignore[reportArgumentType]  # diffusers' tuple[…] of one means any length
        up_block_types=("UpDecoderBlock2D",) * 5,  # pyright: ignore[reportArgumentType]  # diffusers' tuple[…] of one means any length
        layers_per_block=1,
        norm_num_groups=2,
        use_quant_conv=False,  # a second linear layer after the last
        use_post_quant_conv=False,
        scaling_factor=1.0,
    )
    with torch.no_grad():
        last = vae.encoder.conv_out
        assert last.bias is not None, "diffusers' always has one"
        last.weight[cfg.latent_channels :] = 0
        last.bias[cfg.latent_channels :] = -30
    return vae


def channel_shape(cost: Tensor, deviation: Tensor) -> Tensor:
    """The divisor of each channel of latents, up to one common factor: the geometric mean of the divisors for unit
    deviation and for unit cost. The schedule's noisiest step does not quite hide the latents, so a channel far wider
    than the others would let the background show through.
    """
    return (deviation / cost).sqrt()

"""A studio with tiny random models of the box's own classes, and the real text encoder. Built in about a second."""

import copy
import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SanaTransformer2DModel,
    SCMScheduler,
    TCDScheduler,
    UNet2DConditionModel,
)

from core.files import sha256
from distill.methods import autoencoder
from models import catalogue, control, lora
from models.adapt import add_lora
from models.catalogue import Guidance, Manifest
from models.families import sd
from models.families.sana import SanaDenoiser
from models.families.sd import UNetDenoiser

WORDS = ["a", "ball", "blue", "cube", "mushroom", "on", "red", "the"]


def vae() -> AutoencoderDC:
    """f16, 16 channels: 128 x 128 pictures are 8 x 8 latents, as in the box."""
    channels, layers = (4, 4, 8, 8, 16), (0, 1, 1, 1, 1)
    return AutoencoderDC(
        latent_channels=16,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        encoder_layers_per_block=layers,
        decoder_layers_per_block=layers,
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
        scaling_factor=1.0,
    )


def transformer() -> SanaTransformer2DModel:
    return SanaTransformer2DModel(
        in_channels=16,
        out_channels=16,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=16,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=384,
        sample_size=8,
        qk_norm="rms_norm_across_heads",
        timestep_scale=0.001,
    )


def manifest(id: str, folder: Path, **own) -> Manifest:
    """Writes manifest.json for the files that are there."""
    files = {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    files.pop("manifest.json", None)
    defaults = {
        "family": "sana",
        "base": None,
        "kind": "model",
        "method": "random",
        "dataset": "none",
        "command": "tests/tiny.py",
        "code": "0",
        "seed": 0,
        "samples_seen": 0,
        "scheduler": None,
        "timesteps": {},
        "default_steps": 1,
        "guidance": Guidance(),
        "prediction": None,
        "lora": None,
        "licence": "Apache-2.0",
        "parameters": 1,
    }
    made = Manifest(**(defaults | {"id": id, "files": files} | own))
    (folder / "manifest.json").write_text(json.dumps(made.to_dict()))
    return made


@torch.no_grad()
def build(studio: Path, half: bool = False) -> Path:
    """studio/models/{tiny-dcae,tiny-sana,tiny-sprint}, in half precision as published ones are, or not.

    The guidance input has an effect. Returns the studio.
    """
    home, stored = studio / "models", (lambda m: m.half()) if half else (lambda m: m)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stored(vae()).save_pretrained(home / "tiny-dcae" / "vae")
        teacher = SanaDenoiser(transformer())
        student = teacher.with_guidance()
        torch.nn.init.normal_(student.network.time_embed.guidance_embedder.linear_2.weight, std=0.5)
    stored(teacher.network).save_pretrained(home / "tiny-sana" / "transformer")
    solver = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.5)
    solver.save_pretrained(home / "tiny-sana" / "scheduler")
    stored(student.network).save_pretrained(home / "tiny-sprint" / "transformer")
    SCMScheduler().save_pretrained(home / "tiny-sprint" / "scheduler")
    (home / "tiny-sprint" / "vocabulary.json").write_text(json.dumps(WORDS))
    manifest("tiny-dcae", home / "tiny-dcae", kind="autoencoder")
    manifest(
        "tiny-sana",
        home / "tiny-sana",
        base="tiny-dcae",
        scheduler="DPMSolverMultistepScheduler",
        default_steps=20,
        guidance=Guidance("cfg", 3.0, (1.0, 8.0)),
        prediction="flow",
    )
    manifest(
        "tiny-sprint",
        home / "tiny-sprint",
        base="tiny-sana",
        scheduler="SCMScheduler",
        timesteps={"1": [1.5708], "2": [1.5683, 1.3], "4": [1.5683, 1.3, 1.1, 0.6]},
        guidance=Guidance("embedded", 3.5, (2.0, 5.0)),
        prediction="trigflow",
    )
    return studio


@torch.no_grad()
def build_control(studio: Path, base: str = "tiny-sd") -> Path:
    """studio/models/tiny-control: a control of `base`, of `build_sd`, that has an effect."""
    home = studio / "models" / "tiny-control"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        branch = control.new(
            UNet2DConditionModel.from_pretrained(catalogue.part(catalogue.get(base), "unet")), (4, 4, 4, 8, 8)
        )
        for block in (*branch.network.controlnet_down_blocks, branch.network.controlnet_mid_block):
            torch.nn.init.normal_(block.weight, std=0.3)
        torch.nn.init.normal_(branch.network.class_embedding.weight)
    branch.network.save_pretrained(home / control.FOLDER)
    sha = catalogue.denoiser_sha256(catalogue.get(base))
    manifest("tiny-control", home, family="sd", base=base, kind="control", base_sha256=sha)
    return studio


def kl() -> AutoencoderKL:
    return sd.new_autoencoder(autoencoder.Config(kind="kl", width=4))


def unet(**more) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "in_channels": 16,
            "out_channels": 16,
            "sample_size": 8,
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": 384,
            "attention_head_dim": 2,
            "norm_num_groups": 4,
        }
        | more
    )


BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
CONFIGS = {
    "DDIMScheduler": DDIMScheduler(**BETAS, clip_sample=False, timestep_spacing="trailing"),
    "EulerDiscreteScheduler": EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace"),
    "LCMScheduler": LCMScheduler(**BETAS),
    "TCDScheduler": TCDScheduler(**BETAS),
}


def adapted(denoiser: UNetDenoiser, rank: int = 4, alpha: int = 8) -> UNetDenoiser:
    """With a LoRA of every target, alpha other than the rank, that has an effect."""
    made = add_lora(copy.deepcopy(denoiser), rank, alpha)
    for name, w in made.network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(w, std=0.2)
    return made


@torch.no_grad()
def build_sd(studio: Path) -> Path:
    """studio/models/{tiny-kl,tiny-sd,tiny-hyper,tiny-cfg}: an autoencoder, a UNet, and two LoRAs on it."""
    home = studio / "models"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kl().save_pretrained(home / "tiny-kl" / "vae")
        base = UNetDenoiser(unet())
        base.network.save_pretrained(home / "tiny-sd" / "unet")
        hyper, guided = (adapted(base, rank) for rank in (4, 2))
    CONFIGS["DDIMScheduler"].save_pretrained(home / "tiny-sd" / "scheduler")
    lora.save(hyper.network, "default", home / "tiny-hyper")
    CONFIGS["TCDScheduler"].save_pretrained(home / "tiny-hyper" / "scheduler")
    lora.save(guided.network, "default", home / "tiny-cfg")
    sd = {"family": "sd", "prediction": "epsilon"}
    manifest("tiny-kl", home / "tiny-kl", family="sd", kind="autoencoder")
    cfg = Guidance("cfg", 3.0, (1.0, 8.0))
    manifest(
        "tiny-sd", home / "tiny-sd", base="tiny-kl", scheduler="DDIMScheduler", guidance=cfg, default_steps=8, **sd
    )
    sd |= {"base": "tiny-sd", "kind": "lora"}
    steps = {"1": [999], "4": [999, 759, 499, 259]}
    tcd = {"scheduler": "TCDScheduler", "timesteps": steps, "lora": {"rank": 4, "alpha": 8}, "eta": 0.3}
    manifest("tiny-hyper", home / "tiny-hyper", **sd, **tcd)
    folded = {"guidance": Guidance("embedded", 3.0, (1.0, 6.0)), "lora": {"rank": 2, "alpha": 8, "full": 5.0}}
    manifest("tiny-cfg", home / "tiny-cfg", scheduler="DDIMScheduler", default_steps=4, **folded, **sd)
    return studio

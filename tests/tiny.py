"""A studio with tiny random models of the box's own classes, and the real text encoder. Built in about a second."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaTransformer2DModel, SCMScheduler

from models.catalogue import Guidance, Manifest, sha256
from models.denoiser import SanaDenoiser

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

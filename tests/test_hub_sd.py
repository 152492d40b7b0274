"""Rows of the Hub for SD 1.5 and SDXL and the LoRAs on them, on tiny models of the same classes in a Hub cache."""

import copy
import io
import json
from dataclasses import replace

import huggingface_hub
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image, ImageDraw
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from core.machine import Machine
from models import catalogue, families, inputs, lora, steer
from models.families.sd import UNetDenoiser
from models.families.sdxl import SDXLDenoiser
from models.generate import generate
from models.request import ImageRequest
from tests import tiny

MACHINE = Machine("Toy", 24, 64)


def tokenizer(folder):
    """CLIP's own class, with the letters alone."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    made = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    made.model_max_length = 16
    return made


def encoder(kind, width):
    return kind(
        CLIPTextConfig(
            vocab_size=54,
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=16,
            projection_dim=24,
            bos_token_id=52,
            eos_token_id=53,
        )
    ).eval()


def vae():
    channels = (4, 4, 8, 8)
    return AutoencoderKL(
        latent_channels=4,
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=2,
        scaling_factor=0.18,
    )


def sd15(folder):
    torch.manual_seed(0)
    net = tiny.unet(in_channels=4, out_channels=4, cross_attention_dim=16)
    parts = {"tokenizer": tokenizer(folder), "text_encoder": encoder(CLIPTextModel, 16), "unet": net, "vae": vae()}
    parts |= {"scheduler": copy.deepcopy(tiny.CONFIGS["DDIMScheduler"]), "safety_checker": None}
    return StableDiffusionPipeline(**parts, feature_extractor=None, requires_safety_checker=False)


def sdxl(folder):
    torch.manual_seed(0)
    told = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    told |= {"projection_class_embeddings_input_dim": 24 + 6 * 8}
    net = tiny.unet(in_channels=4, out_channels=4, cross_attention_dim=48, **told)
    first, second = encoder(CLIPTextModel, 16), encoder(CLIPTextModelWithProjection, 32)
    one, two = tokenizer(folder / "1"), tokenizer(folder / "2")
    parts = {"tokenizer": one, "tokenizer_2": two, "text_encoder": first, "text_encoder_2": second}
    scheduler = copy.deepcopy(tiny.CONFIGS["EulerDiscreteScheduler"])
    return StableDiffusionXLPipeline(**parts, unet=net, vae=vae(), scheduler=scheduler)


def into_cache(cache, hub, write):
    """A repository in the layout of huggingface_hub."""
    repo = cache / f"models--{hub.replace('/', '--')}"
    write(repo / "snapshots" / ("c" * 40))
    (repo / "refs").mkdir(exist_ok=True)
    (repo / "refs" / "main").write_text("c" * 40)


def controlling(unet):
    """A ControlNet of one kind, with an effect."""
    made = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 4, 8))
    for block in (*made.controlnet_down_blocks, made.controlnet_mid_block):
        torch.nn.init.normal_(block.weight, std=0.2)
    torch.nn.init.normal_(made.controlnet_cond_embedding.conv_out.weight, std=0.2)
    return made


BASES = {"sd15": (sd15, UNetDenoiser), "sdxl": (sdxl, SDXLDenoiser)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Tiny models at the addresses of the real ones, and small rows for them."""
    folder = tmp_path_factory.mktemp("hub")
    rows = {r.id: r for r in catalogue.hub_rows()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setenv("STILL_LIFE_STUDIO", str(folder / "studio"))
        for id, (build, kind) in BASES.items():
            pipeline = build(folder / id)
            into_cache(folder, rows[id].hub, pipeline.save_pretrained)
            made = tiny.adapted(kind(pipeline.unet))
            for row in rows.values():
                if row.manifest.base == id:

                    def write(snapshot, made=made, row=row, unet=pipeline.unet):
                        if row.manifest.kind == "control":
                            controlling(unet).save_pretrained(snapshot)
                        else:
                            lora.save(made.network, "default", snapshot)
                            (snapshot / lora.FILE).rename(snapshot / row.file)

                    into_cache(folder, row.hub, write)
        small = {id: replace(r, size=64, tokens=16) for id, r in rows.items()}
        patch.setattr(catalogue, "rows", lambda: small)
        yield folder


@pytest.mark.parametrize("id", ["sd15", "hyper-sd15", "sdxl", "hyper-sdxl", "dmd2-sdxl"])
def test_the_loop_is_the_pipeline(cache, monkeypatch, id):
    row = catalogue.get(id)
    assert catalogue.available(row, MACHINE) is None
    parts = families.load(row)
    ends, decoded = [], parts.vae.decode
    monkeypatch.setattr(parts.vae, "decode", lambda z, **more: ends.append(z) or decoded(z, **more))
    list(generate(parts, ImageRequest("a red ball", model=id, seed=7, steps=4)))
    table = row.manifest.timesteps.get("4")
    if row.manifest.kind == "lora":
        assert type(parts.scheduler).__name__ == row.manifest.scheduler
        parts.denoiser.adapters.use((parts.denoiser.adapter, 1.0))
    theirs = parts.pipeline(
        "a red ball",
        guidance_scale=row.manifest.guidance.default,
        eta=row.manifest.eta,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
        height=64,
        width=64,
        **({"timesteps": table} if table else {"num_inference_steps": 4}),
    ).images
    assert (ends[0] * parts.vae.config.scaling_factor - theirs).abs().max() < 1e-4 * max(1, theirs.abs().max())
    assert theirs.std() > 0.3


def test_rows_say_why_they_cannot_run(cache):
    rows = catalogue.rows()
    for id in ("sd15", "hyper-sd15", "sdxl", "hyper-sdxl", "dmd2-sdxl"):
        row = rows[id]
        assert "NVIDIA GPU" in catalogue.available(row, Machine(None, 0, 64))
        assert f"It needs about {row.memory_gib:g} GiB" in catalogue.available(row, Machine("Toy", 1, 64))
        elsewhere = replace(row, hub="nobody/nothing")
        assert "isn't in the local Hub cache" in catalogue.available(elsewhere, MACHINE)
        with pytest.raises(ValueError, match="local Hub cache, and the Hub can't be reached"):
            families.load(elsewhere)


CONTROLLED = {"sd15": StableDiffusionControlNetPipeline, "sdxl": StableDiffusionXLControlNetPipeline}


@pytest.mark.parametrize("id", CONTROLLED)
def test_a_control_of_the_hub_steers_as_in_its_pipeline(cache, monkeypatch, id):
    """Each reads one kind of drawing; another kind is refused in a sentence."""
    monkeypatch.setattr(catalogue, "here", lambda: MACHINE)
    lines, out = Image.new("RGB", (64, 64), "black"), io.BytesIO()
    ImageDraw.Draw(lines).ellipse((10, 12, 50, 40), outline="white", width=4)
    lines.save(out, "PNG")
    drawing, parts = inputs.keep(out.getvalue()), families.load(catalogue.get(id))
    ends, decoded = [], parts.vae.decode
    monkeypatch.setattr(parts.vae, "decode", lambda z, **more: ends.append(z) or decoded(z, **more))
    asked = {"model": id, "seed": 7, "steps": 4}
    list(generate(parts, ImageRequest("a red ball", **asked, control=drawing, control_strength=0.8)))
    list(generate(parts, ImageRequest("a red ball", **asked)))
    branch = steer.load(catalogue.get(f"{id}-scribble"), torch.device("cpu"), torch.float32).network
    own = {k: v for k, v in parts.pipeline.components.items() if k not in ("image_encoder", "feature_extractor")}
    more = {"requires_safety_checker": False, "feature_extractor": None} if id == "sd15" else {}
    pipe = CONTROLLED[id](**own, controlnet=branch, **more)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        "a red ball",
        image=lines,
        controlnet_conditioning_scale=0.8,
        guidance_scale=parts.row.manifest.guidance.default,
        generator=torch.Generator().manual_seed(7),
        num_inference_steps=4,
        output_type="latent",
        height=64,
        width=64,
    ).images
    scale = parts.vae.config.scaling_factor
    assert (ends[0] * scale - theirs).abs().max() < 1e-4 * max(1, theirs.abs().max())
    assert not torch.equal(ends[0], ends[1])
    with pytest.raises(ValueError, match=f"{id} has no control for depth; valid: sketch, edges"):
        ImageRequest("a red ball", **asked, control=drawing, control_kind="depth")


def test_a_control_that_cannot_run_says_why(cache):
    row = catalogue.rows()["sd15-scribble"]
    assert "NVIDIA GPU" in catalogue.available(row, Machine(None, 0, 64))
    assert "isn't in the local Hub cache" in catalogue.available(replace(row, hub="nobody/nothing"), MACHINE)
    assert row not in catalogue.menu()

"""Low-rank adapters (LoRA, Hu et al. 2022) on a denoiser, by peft. The base's weights stay what they are."""

import contextlib
from collections.abc import Iterator

from peft import LoraConfig, inject_adapter_in_model

from models.denoiser import Denoiser
from models.lora import layers

TARGETS = {
    "Net": ["first", "body.1", "body.3"],
    "SanaTransformer2DModel": ["to_q", "to_k", "to_v", "to_out.0"],
    "UNet2DConditionModel": [
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
    ],
}  # fmt: skip  (the UNet's are DMD2's)


def add_lora(denoiser: Denoiser, rank: int, alpha: int | None = None) -> Denoiser:
    """The same denoiser with an adapter that has no effect yet and alone asks for gradients; no second copy of it is
    held. alpha: rank, if not given."""
    denoiser.requires_grad_(False)
    targets = TARGETS[type(denoiser.network).__name__]
    config = LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=targets, init_lora_weights=True)
    inject_adapter_in_model(config, denoiser.network)
    return denoiser


@contextlib.contextmanager
def without(denoiser: Denoiser) -> Iterator[None]:
    """Within: the base, exactly, by the same weights."""
    found = layers(denoiser.network)
    for layer in found:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in found:
            layer.enable_adapters(True)


@contextlib.contextmanager
def scaled(denoiser: Denoiser, scale: float) -> Iterator[None]:
    """Within: the adapter's effect is `scale` times as strong."""
    found = layers(denoiser.network)
    for layer in found:
        layer.scale_layer(scale)
    try:
        yield
    finally:
        for layer in found:
            layer.unscale_layer()  # to alpha / rank, bit for bit

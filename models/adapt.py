"""Low-rank adapters (LoRA, Hu et al. 2022) on a denoiser, by peft. The base's weights stay what they are."""

import contextlib
from collections.abc import Iterator

from peft import LoraConfig, inject_adapter_in_model

from models.denoiser import Denoiser
from models.lora import layers


def add_lora(denoiser: Denoiser, rank: int, alpha: int | None = None) -> Denoiser:
    """The same denoiser with an adapter that has no effect yet and alone asks for gradients; no second copy of it is
    held. alpha: rank, if not given."""
    denoiser.requires_grad_(False)
    targets = list(denoiser.targets)
    config = LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=targets, init_lora_weights=True)
    inject_adapter_in_model(config, denoiser.network)
    return denoiser


@contextlib.contextmanager
def without(denoiser: Denoiser) -> Iterator[None]:
    """Within: the base, exactly, by the same weights."""
    adapted = layers(denoiser.network)
    for layer in adapted:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in adapted:
            layer.enable_adapters(True)


@contextlib.contextmanager
def scaled(denoiser: Denoiser, scale: float) -> Iterator[None]:
    """Within: the adapter's effect is `scale` times as strong."""
    adapted = layers(denoiser.network)
    for layer in adapted:
        layer.scale_layer(scale)
    try:
        yield
    finally:
        for layer in adapted:
            layer.unscale_layer()  # to alpha / rank, bit for bit

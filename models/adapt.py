"""Low-rank adapters (LoRA, Hu et al. 2022) on a denoiser, by peft. The base's weights stay what they are."""

import contextlib
from collections.abc import Iterator, Sequence

from peft import LoraConfig, inject_adapter_in_model

from models.denoiser import Denoiser
from models.lora import layers


def add_lora(denoiser: Denoiser, rank: int, alpha: int | None = None, targets: Sequence[str] | None = None) -> Denoiser:
    """Put an adapter on this denoiser, in place, and return it. The adapter has no effect yet, and it alone takes
    gradients. `alpha` is the rank, and `targets` are the family's, where they are not given."""
    denoiser.requires_grad_(False)
    names = list(targets or denoiser.targets)
    config = LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=names, init_lora_weights=True)
    inject_adapter_in_model(config, denoiser.network)
    return denoiser


@contextlib.contextmanager
def without(denoiser: Denoiser) -> Iterator[None]:
    """Within: the denoiser is its base, exactly; the adapter is off."""
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
    """Within: the adapter acts at `scale` times its strength."""
    adapted = layers(denoiser.network)
    for layer in adapted:
        layer.scale_layer(scale)
    try:
        yield
    finally:
        for layer in adapted:
            layer.unscale_layer()  # to alpha / rank, bit for bit

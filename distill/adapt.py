"""Low-rank adapters (LoRA, Hu et al. 2022) on a denoiser, by peft; the base's weights stay what they are.

And where a student begins: as its base, or as a student that is served already.
"""

import contextlib
from collections.abc import Iterator

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file

from models import catalogue, families, lora
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


def start(student: Denoiser, row: catalogue.Row, base: str | None) -> None:
    """Gives a new student the weights of a served one, in half precision as they are. Raises ValueError where the two
    are not of one base, or not of one shape."""
    if row.manifest.base != base:
        raise ValueError(f"--start takes a student of {base}; {row.id} is one of {row.manifest.base}")
    network = student.network
    if network is None:
        raise ValueError("--start takes one network, and this method trains several; leave it out")
    adapter = bool(layers(network))
    if adapter != (row.manifest.kind == "lora"):
        kinds = ("a whole network", "an adapter")
        raise ValueError(f"{row.id} is {kinds[not adapter]}, and this training is of {kinds[adapter]}: see rank")
    if adapter:
        catalogue.verify(row)
        size = row.manifest.lora or {"rank": 1, "alpha": 1}
        factor = size["alpha"] / size["rank"]  # which is 1 in a training
        file = {k.removeprefix("unet."): w.float() for k, w in load_file(lora.file(row)).items()}
        found = {k: w * factor if "lora_B" in k else w for k, w in file.items()}
        own = get_peft_model_state_dict(network)
    else:
        found, own = families.load(row).denoiser.network.state_dict(), network.state_dict()
    if {k: w.shape for k, w in found.items()} != {k: w.shape for k, w in own.items()}:
        raise ValueError(f"{row.id} has other layers, or another rank, than what this training makes")
    if adapter:
        set_peft_model_state_dict(network, found)
    else:
        network.load_state_dict({k: w.to(torch.float32) for k, w in found.items()})


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

"""The LoRAs on a network that several denoisers share."""

from typing import Any

import torch
from torch import Tensor

REMEMBERED = 256 * 2**20  # bytes of merged weights cached for each network; a larger version is cached alone
HOOKS = "_diffusers_hook", "_hf_hook"  # of layerwise casting and offloading, by diffusers and by accelerate


def plain(weight: Tensor) -> bool:
    """Whether a weight can be added to: a quantised one can't."""
    return type(weight.data) is Tensor and weight.dtype in (torch.float32, torch.bfloat16, torch.float16)


class Adapters:
    """The LoRAs on a network that several denoisers share: which one is active, and how strongly.

    The active adapter is merged into the weights, as an unmerged one makes a step on a CPU about twice as long. The
    original weights are kept and come back bit for bit. Models may take turns within a picture, so merged weights are
    cached. Where weights are quantised, or a hook moves or casts them around each call, the adapter stays unmerged:
    quantised weights can't hold it, and a hook would load the weights without it.
    """

    def __init__(self, network: Any):
        self.network = network
        self.layers: list[Any] = []
        self.own: list[tuple[Any, Tensor]] = []  # (layer, its weight without an adapter)
        self.acting: tuple[str | None, float] | None = None
        self.merged: dict[tuple, list[Tensor]] = {}  # by name, scale and version of the adapter, the oldest first

    def carry(self, layers: list[Any]) -> None:
        """Set the layers that have adapters. To be called after `part`, when one more adapter was added."""
        self.layers, self.merged = layers, {}

    def use(self, name: str | None, scale: float) -> None:
        """Activate an adapter at this scale. With None the network is exactly as it was without adapters."""
        if not self.layers or self.acting == (name, scale):
            return
        self.part()
        for layer in self.layers:
            layer.enable_adapters(name is not None)
            if name is not None:
                layer.set_adapter(name, inference_mode=True)
                layer.set_scale(name, scale)
        if name is not None:
            self._merge(name, scale)
        self.acting = name, scale

    def _merge(self, name: str, scale: float) -> None:
        if any(hasattr(module, hook) for module in self.network.modules() for hook in HOOKS):
            return
        able = [layer for layer in self.layers if name in layer.lora_A and plain(layer.get_base_layer().weight)]
        halves = (half[name].weight for layer in able for half in (layer.lora_A, layer.lora_B))
        key = name, scale, sum(half._version for half in halves)  # which changes when the adapter does
        known = self.merged.pop(key, None)
        for n, layer in enumerate(able):
            weight = layer.get_base_layer().weight
            self.own.append((layer, weight.data))
            if known is None:
                weight.data = weight.data.clone()
                layer.merge(adapter_names=[name])
            else:
                weight.data = known[n]
                layer.merged_adapters.append(name)
        self.merged[key] = [layer.get_base_layer().weight.data for layer in able]
        while len(self.merged) > 1 and sum(map(_bytes, self.merged.values())) > REMEMBERED:
            del self.merged[next(iter(self.merged))]

    def part(self) -> None:
        """Take every adapter out of the weights."""
        for layer, weight in self.own:
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()
        self.own, self.acting = [], None


def _bytes(tensors: list[Tensor]) -> int:
    return sum(x.nbytes for x in tensors)

"""The LoRAs on a network that several denoisers share."""

from typing import Any

import torch
from torch import Tensor

HOOKS = "_diffusers_hook", "_hf_hook"  # of layerwise casting and offloading, by diffusers and by accelerate


def plain(weight: Tensor) -> bool:
    """Numbers that can be added to as they lie there: no quantised ones."""
    return type(weight.data) is Tensor and weight.dtype in (torch.float32, torch.bfloat16, torch.float16)


class Adapters:
    """The LoRAs on a network that several denoisers share: which of them acts, and how strongly.

    The one that acts is part of the weights, as beside them it would make a step on a CPU about twice as long. The
    network's own weights are kept meanwhile, and come back bit for bit. Beside weights that are quantised, or that a
    hook moves or casts around each call, it stays beside them: those have no room for it, or would come back without.
    """

    def __init__(self, network: Any):
        self.network = network
        self.layers: list[Any] = []
        self.own: list[tuple[Any, Tensor]] = []  # (layer, its weight without an adapter)
        self.acting: tuple[str | None, float] | None = None

    def found(self, layers: list[Any]) -> None:
        """Every layer of the network that has an adapter, after `part` and one more adapter."""
        self.layers = layers

    def use(self, name: str | None, scale: float) -> None:
        """None: the network as it was without any, exactly."""
        if not self.layers or self.acting == (name, scale):
            return
        self.part()
        hooked = any(hasattr(module, hook) for module in self.network.modules() for hook in HOOKS)
        for layer in self.layers:
            layer.enable_adapters(name is not None)
            if name is not None:
                layer.set_adapter(name, inference_mode=True)
                layer.set_scale(name, scale)
                if name in layer.lora_A and not hooked and plain(layer.get_base_layer().weight):
                    self._merge(layer, name)
        self.acting = name, scale

    def _merge(self, layer: Any, name: str) -> None:
        weight = layer.get_base_layer().weight
        self.own.append((layer, weight.data))
        weight.data = weight.data.clone()
        layer.merge(adapter_names=[name])

    def part(self) -> None:
        """No adapter is in the weights any more."""
        for layer, weight in self.own:
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()
        self.own, self.acting = [], None

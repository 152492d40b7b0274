"""The LoRAs on a network that several denoisers share: any number of them can be active, each with a strength."""

from collections.abc import Iterable
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from models import denoiser
from models.denoiser import Denoiser
from models.schedule import log_snr
from models.stack import Entry

REMEMBERED = 256 * 2**20  # bytes of merged weights cached for each network; a larger version is cached alone
HOOKS = "_diffusers_hook", "_hf_hook"  # of layerwise casting and offloading, by diffusers and by accelerate
Acting = tuple[tuple[str, float], ...]  # names of adapters and their strengths


def plain(weight: Tensor) -> bool:
    """Whether a weight can be added to: a quantised one can't."""
    return type(weight.data) is Tensor and weight.dtype in (torch.float32, torch.bfloat16, torch.float16)


def acting(acts: Iterable[tuple[str, float]]) -> Acting:
    """The active adapters as a key: one entry for each name, sorted, without those of strength 0."""
    total: dict[str, float] = {}
    for name, strength in acts:
        total[name] = total.get(name, 0.0) + strength
    return tuple(sorted((name, strength) for name, strength in total.items() if strength))


class Adapters:
    """The LoRAs on a network that several denoisers share: which of them are active, and how strongly.

    The active adapters are merged into the weights, as unmerged ones make a step on a CPU about twice as long. The
    original weights are kept and come back bit for bit. Models may take turns within a picture, so merged weights are
    cached; so is each adapter's product B A, so that another strength costs one sum. Where weights are quantised, or a
    hook moves or casts them around each call, adapters stay unmerged: quantised weights can't hold them, and a hook
    would load the weights without them.
    """

    def __init__(self, network: Any):
        self.network = network
        self.layers: list[Any] = []
        self.modules: list[Any] = []  # all of the network's
        self.worn: dict[str, str] = {}  # the digest of each adapter's file, by name
        self.own: list[tuple[Any, Tensor]] = []  # (a layer's weight, its values without adapters)
        self.acting: Acting = ()
        self.kept: dict[Acting | str, dict[int, Tensor]] = {}  # merged weights, and products by name; oldest first
        self.size = 0  # of the cache, in bytes

    def carry(self, layers: list[Any]) -> None:
        """Set the layers that have adapters. To be called after `part`, when one more adapter was added."""
        self.layers, self.modules = layers, list(self.network.modules())
        self.kept, self.size = {}, 0
        self.part()

    def use(self, *acts: tuple[str, float]) -> None:
        """Activate these adapters, each a name and a strength. With none the network is exactly as it was."""
        wanted = acting(acts)
        if self.acting == wanted:
            return
        self.part()
        assert all(name in self.worn for name, _ in wanted), "an adapter is used after it was put on"
        self.kept = {key: tensors for key, tensors in self.kept.items() if tensors}
        for key in (*(name for name, _ in wanted), wanted):  # moved to the end, as used last
            self.kept[key] = self.kept.pop(key, {})
        hooked = any(hook in vars(module) for module in self.modules for hook in HOOKS)
        for n, layer in enumerate(self.layers):
            names = layer.lora_A.keys()
            here = [(name, strength) for name, strength in wanted if name in names]
            if here and (hooked or not plain(layer.get_base_layer().weight)):
                for name, strength in here:
                    layer.set_scale(name, strength)
                layer.set_adapter([name for name, _ in here], inference_mode=True)
                layer.enable_adapters(True)
            elif here:
                weight = layer.get_base_layer().weight
                self.own.append((weight, weight.data))
                weight.data = self._sum(wanted, n, layer, here)
        self.acting = wanted

    def part(self) -> None:
        """Deactivate every adapter, and take it out of the weights."""
        for weight, own in self.own:
            weight.data = own
        for layer in self.layers:
            if not layer.disable_adapters:
                layer.enable_adapters(False)
        self.own, self.acting = [], ()

    @torch.no_grad()
    def _sum(self, wanted: Acting, n: int, layer: Any, here: list[tuple[str, float]]) -> Tensor:
        """A layer's weight with these adapters merged: W + s1 B1 A1 + s2 B2 A2 + …"""
        total = self.kept[wanted].get(n)
        if total is None:
            own = layer.get_base_layer().weight.data
            (first, strength), *others = here
            total = self._product(n, layer, first) * scale(layer, first, strength)
            total += own
            for name, strength in others:
                total += self._product(n, layer, name) * scale(layer, name, strength)
            self._keep(wanted, n, total)
        return total

    def _product(self, n: int, layer: Any, name: str) -> Tensor:
        """The product B A of a layer's adapter."""
        product = self.kept[name].get(n)
        if product is None:
            was, layer.scaling[name] = layer.scaling[name], 1.0
            product = layer.get_delta_weight(name)
            layer.scaling[name] = was
            self._keep(name, n, product)
        return product

    def _keep(self, key: Acting | str, n: int, tensor: Tensor) -> None:
        """Cache a tensor. Entries in use stay, however large; of the others the oldest are dropped."""
        self.kept[key][n] = tensor
        self.size += tensor.nbytes
        for old in list(self.kept)[:-1] if self.size > REMEMBERED else ():
            self.size -= sum(x.nbytes for x in self.kept[old].values())
            self.kept[old] = {}
            if self.size <= REMEMBERED:
                break


def scale(layer: Any, name: str, strength: float) -> float:
    """s = strength * alpha / rank, or the scale that peft has for this kind of adapter."""
    layer.set_scale(name, strength)
    return layer.scaling[name]


class Adapted(Denoiser):
    """A denoiser with a network that takes LoRAs."""

    def __init__(self, network: nn.Module | None, dtype: torch.dtype = torch.float32):
        super().__init__(network, dtype)
        self.adapters = Adapters(network)
        self.adapter: str | None = None  # of a LoRA model: its own adapter
        self.full: float | None = None  # guidance at which that has strength 1; at guidance 1 it has 0
        self.share = 1.0  # factor of that strength
        self.acts: tuple[Entry, ...] = ()  # the LoRAs that are active beside it
        self.control: Any = None  # the branch that reads `cond.control`, where there is one
        self.control_share = 1.0  # factor of the branch's outputs

    def adapted(self, name: str | None, full: float | None = None) -> Self:
        """A denoiser on the same network with this adapter of its own."""
        other = self.acting()
        other.adapter, other.full = name, full
        return other

    def weakened(self, share: float) -> Self:
        """A denoiser on the same network with its own adapter at a share of the strength."""
        other = self.acting()
        other.share = share
        return other

    def acting(self, *acts: Entry) -> Self:
        """A denoiser on the same network with these adapters active, too."""
        other = copy(self)
        vars(other)["_modules"] = dict(self._modules)  # a dictionary of its own: torch keeps a camera there
        other.acts = *self.acts, *acts
        return other

    def controlled(self, branch: nn.Module, share: float) -> Self:
        """A denoiser on the same network with this control beside it, at `share` of its strength."""
        other = self.acting()
        other.control, other.control_share = branch, share
        return other

    def strength(self, guidance: float) -> float:
        return self.share * (1.0 if self.full is None else denoiser.strength(guidance, self.full))

    def own(self, guidance: float) -> Acting:
        return () if self.adapter is None else ((self.adapter, self.strength(guidance)),)

    def named(self, key: str) -> str:
        """The name in this network of a layer that a LoRA file names."""
        return key

    def wear(self, t: Tensor, guidance: Tensor | None) -> None:
        """Activate the adapters for times t [B] and this guidance [B]; the pictures of a batch share both."""
        noise = float(log_snr(self.schedule, t[:1])) if self.acts else 0.0
        more = ((act.name, act.strength) for act in self.acts if act.at(noise))
        self.adapters.use(*self.own(1.0 if guidance is None else float(guidance[0])), *more)

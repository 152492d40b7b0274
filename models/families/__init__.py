"""The families of models. Each has one file, with all that is particular to it; this file has what they share.

    load(row, device, dtype, …) -> Parts      loads a row of the catalogue, ready to paint
    encode(vae, pixels)                       turns pictures into latents of unit variance
    new(cfg)                                  makes an untrained network, for the box's latents and text encoder
    many_steps(home)                          writes the scheduler of a teacher into a folder
    pipeline_class(row)                       is the class of diffusers that gives the same pictures
    call(row, steps)                          gives the arguments of that pipeline's call
    on_base(row, base, …) -> Parts            loads a LoRA from a file, in a family that has LoRAs
    CONTROL                                   is the branch that reads a drawing beside its network
    AUTOENCODER, new_autoencoder(cfg)         are the class of its autoencoder, and a new one to train
    channel_shape(cost, deviation)            divides the latents' variance among the channels

A family needs `load` to be served, and `call` and `pipeline_class` for its model card. The others are used by the
methods that train it. The family's `Denoiser` says how its network is called, which layers a LoRA adapts, what a
discriminator sees and how it is saved.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL.Image import Image as Picture
from torch import Tensor, nn

from models import catalogue, content, openvino, weights
from models.catalogue import Row
from models.denoiser import Cond, set_attention
from models.precision import SINGLE
from models.stack import Entry


@dataclass(frozen=True)
class Parts:
    """A model that is ready to paint. `pipeline` is the one of diffusers, around the same parts."""

    row: Row
    text: Callable[[Sequence[str]], Cond]  # one row a text, padded to the longest
    denoiser: Any  # a Denoiser; None where only an autoencoder was loaded, which paints nothing
    vae: Any
    scheduler: Any
    pipeline: Any
    device: torch.device  # of the computation; offloaded weights lie elsewhere until they are used
    vae_dtype: torch.dtype  # of the autoencoder's computation; quantised weights are stored in another

    @property
    def latent(self) -> tuple[int, int, int]:
        """The shape of one picture's latents, [C, h, w]."""
        side = self.row.size // self.pipeline.vae_scale_factor
        return self.vae.config.latent_channels, side, side


def names() -> list[str]:
    """The families that are served: all but the 2-D mixture."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py") if p.stem != "toy2d")


def family(name: str) -> Any:
    """The module of a family. Raises ValueError for an unknown name."""
    valid = names()
    if name not in valid:
        raise ValueError(f"unknown family {name!r:.80}; valid: {', '.join(valid)}")
    return import_module(f"models.families.{name}")


def load(
    row: Row,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    backend: str = "torch",
    precision: str = SINGLE,
    **options: Any,
) -> Parts:
    """A model ready to paint, by this back end (models/openvino.py). Raises ValueError where it can't be loaded."""
    parts = _load(row, device, dtype, **options)
    openvino.serve(parts, backend, precision)
    return parts


def of_autoencoder(vae: Any) -> Any:
    """The module of the family that this autoencoder belongs to."""
    return next(own for own in map(family, names()) if isinstance(vae, getattr(own, "AUTOENCODER", ())))


@weights.alone
def _load(row: Row, device: torch.device | str, dtype: torch.dtype | None, **options: Any) -> Parts:
    """Load a row. Its files are compared with their sha256 before and after, as it may be published anew meanwhile."""
    own = family(row.manifest.family)
    if row.manifest.kind in catalogue.HIDDEN:
        raise ValueError(f"{row.id} paints nothing: it is part of other models")
    catalogue.verify(row)
    parts = own.load(row, device, dtype, **options)
    try:
        catalogue.verify(row)
    except ValueError:
        raise ValueError(f"{row.id} was replaced while it was being loaded; ask again") from None
    return parts


@weights.alone
def wear(parts: Parts, loras: Sequence[Entry]) -> Parts:
    """The same model with these LoRAs active. The caller has the turn on its network. Raises ValueError for a LoRA that
    does not fit."""
    if not loras:
        return parts
    from models import learnt, lora  # brings peft

    acts = []
    for entry in loras:
        row = catalogue.get(entry.name)
        if not lora.worn(row, parts):
            if reason := catalogue.available(row):
                raise ValueError(f"{row.id} can't be used here. {reason}")
            catalogue.verify(row)
        acts.append(replace(entry, name=lora.put(row, parts)))
        parts = replace(parts, text=learnt.reading(parts, lora.file(row), entry.strength))
    return replace(parts, denoiser=parts.denoiser.acting(*acts))


def load_all(ids: Iterable[str], device: torch.device | str = "cpu", **options: Any) -> dict[str, Parts]:
    """Several models by id. LoRAs share their base's network."""
    loaded: dict[str, Parts] = {}

    def take(id: str) -> Parts:
        if id not in loaded:
            row = catalogue.get(id)
            shared: dict[str, Any] = {"base": take(row.manifest.base or "")} if row.manifest.kind == "lora" else {}
            loaded[id] = load(row, device, **options, **shared)
        return loaded[id]

    return {id: take(id) for id in ids}


@torch.no_grad()
def latents(parts: Parts, pictures: Sequence[Picture]) -> Tensor:
    """The latents of pictures of any size, at this model's size: [K, C, h, w], of unit variance."""
    side = parts.row.size
    pixels = parts.pipeline.image_processor.preprocess(list(pictures), height=side, width=side)
    encode = import_module(f"models.families.{parts.row.manifest.family}").encode
    return encode(parts.vae, pixels.to(parts.device, parts.vae_dtype)).float()


def part(row: Row, name: str) -> Path:
    """The folder of a part, in the row's folder or its base's. Raises ValueError where neither has it."""
    folder = catalogue.part(row, name)
    if folder is None:
        raise ValueError(f"{row.id} has no folder {name}/, and neither has its base")
    return folder


def scheduler(row: Row, valid: Sequence[str], config: Any = None) -> Any:
    """The scheduler that the manifest names, from its folder or with this configuration."""
    name = row.manifest.scheduler or "none"
    if name not in valid:
        raise ValueError(f"scheduler {name!r} of {row.id}; valid: {', '.join(valid)}")
    kind = getattr(diffusers, name)
    return kind.from_pretrained(part(row, "scheduler")) if config is None else kind.from_config(config)


def from_hub(kind: Any, row: Row, dtype: torch.dtype, **options: Any) -> Any:
    """A pipeline from its folder, or from the local Hub cache, which is completed where the Hub can be reached.

    Parts that `options` holds are not read from there.
    """
    make, local = kind.from_pretrained, catalogue.in_folder(row) or not catalogue.reachable()
    options |= {"dtype": dtype, "use_safetensors": True, "local_files_only": local, "variant": _precision(row)}
    try:
        return make(row.hub or "", revision=row.revision, **options)
    except OSError as e:
        where = "the local Hub cache, and the Hub can't be reached" if local else "the Hub"
        where = "its folder" if catalogue.in_folder(row) else where
        raise ValueError(f"{row.id} is not whole in {where}: {str(e).splitlines()[0]}") from None


def _precision(row: Row) -> str | None:
    """The precision in the names of a folder's weight files; None where they have plain names."""
    if not catalogue.in_folder(row):
        return None
    variants = (content.variant(Path(row.hub or "") / network) for network in catalogue.NETWORKS)
    return next((name for name in variants if name), None)


def prepare(row: Row, pipeline: Any, network: Any, device: torch.device, attention: str, linear: str = "") -> None:
    """Put the pipeline on the device, frozen and without progress bars.

    `linear`: why a choice of attention kernel does not apply to this network, if so.
    """
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.eval().requires_grad_(False)
    if note := set_attention(network, attention, device, linear):
        warnings.warn(f"{row.id}: {note}", stacklevel=3)

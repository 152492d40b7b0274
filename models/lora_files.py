"""LoRA files: the layouts of kohya, peft and diffusers, read into one form and written from it.

    read(path) -> {module: Pair}         raises ValueError where it is no LoRA, or where a part of it would be lost
    fitted(pairs, network) -> {module: Pair}    by the network's own module names and shapes; none may be left over
    write(pairs, path, layout)

A layer's weight becomes W + scale B A, with scale = alpha / rank. Alpha stands beside the matrices (kohya), in
`adapter_config.json` (peft) or in the file's metadata (diffusers); where it stands nowhere, it is the rank.
"""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models import weights
from models.content import shown

FILE = "lora.safetensors"
LAYOUTS = ("diffusers", "peft", "kohya")
MEGABYTES = 400
ENDS = "slider"  # key of a file's metadata: the words for the ends of a slider, low/high
TEXT = re.compile(r"(base_model\.model\.)?(text_encoder|text_model|lora_te\d?_)")
PREFIX = re.compile(r"(base_model\.model\.)?(unet|transformer)\.|base_model\.model\.|lora_(unet|transformer)_")
DOWN = re.compile(r"\.(lora_A(\.[\w-]+)?|lora_down|lora\.down)\.weight$")
OLD = re.compile(r"\.processor\.(to_\w+?)_lora\.(down|up)\.weight$")  # diffusers before peft
WIDTHS = {384: "toybox-sd", 768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}


@dataclass(frozen=True)
class Pair:
    """The two matrices of a layer: down [rank, in, …] and up [out, rank, …]."""

    down: Tensor
    up: Tensor
    alpha: float | None = None  # None means the rank
    scale: float | None = None  # None means alpha / rank

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def factor(self) -> float:
        if self.scale is not None:
            return self.scale
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def delta(self) -> Tensor:
        """The change of the layer's weight, [out, in, …] in fp32."""
        down, up = self.down.float(), self.up.float()
        return self.factor * (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def read(path: Path) -> dict[str, Pair]:
    """The pairs of a file by module name, with dots or, in kohya's files, underscores. Only safetensors are opened."""
    if path.stat().st_size > MEGABYTES * 2**20:
        size = path.stat().st_size / 2**20
        raise ValueError(f"{shown(path)} has {size:,.0f} MiB; a LoRA has at most {MEGABYTES}")
    weights.check(path)
    with safe_open(path, "pt") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118  (not a dict)
        config = _config(path, f.metadata() or {})
    if text := [name for name in tensors if TEXT.match(name)]:
        raise ValueError(
            f"{shown(path)} also changes a text encoder ({text[0]} and {len(text) - 1} more); "
            "only what changes the denoiser is taken, so train or export it without"
        )
    if dora := [name for name in tensors if "dora_scale" in name or "magnitude" in name]:
        raise ValueError(f"{shown(path)} is a DoRA ({dora[0]}), which is no LoRA")
    pairs, left = {}, dict(tensors)
    for name in tensors:
        down = OLD.sub(r".\1.lora_down.weight", name) if OLD.search(name) and ".down." in name else name
        if not (match := DOWN.search(down)):
            continue
        other = name.replace("lora_A", "lora_B").replace("lora_down", "lora_up").replace(".down.", ".up.")
        if other not in left:
            raise ValueError(f"{shown(path)} has {name} without {other}")
        module = down[: match.start()]
        alpha = left.pop(f"{module}.alpha", None)
        short = PREFIX.sub("", module, count=1)
        pair = Pair(left.pop(name), left.pop(other), None if alpha is None else float(alpha))
        pairs[short] = pair if alpha is not None else _scaled(pair, short, config)
    if not pairs:
        raise ValueError(
            f"{shown(path)} is no LoRA: it has no pairs of matrices, but {min(tensors, default='nothing')}"
        )
    _nothing_left(path, left)
    for module, pair in pairs.items():
        if not (torch.isfinite(pair.down).all() and torch.isfinite(pair.up).all()):
            raise ValueError(f"{shown(path)} is damaged: {module} holds numbers that are not finite")
    return pairs


def _config(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The configuration of peft or diffusers, which has ranks and alphas; empty where there is none."""
    beside = path.with_name("adapter_config.json")
    try:
        saved = json.loads(metadata.get("lora_adapter_metadata", "{}"))
        own = {key.split(".", 1)[-1]: value for key, value in saved.items()}
        return own or (json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {})
    except (ValueError, AttributeError):
        raise ValueError(f"{shown(path)} has a configuration that is no JSON object") from None


def _scaled(pair: Pair, module: str, config: dict[str, Any]) -> Pair:
    patterns = config.get("alpha_pattern") or {}
    alpha = next((v for key, v in patterns.items() if module == key or module.endswith(f".{key}")), None)
    alpha = config.get("lora_alpha") if alpha is None else alpha
    if alpha is None:
        return pair
    root = math.sqrt(pair.rank) if config.get("use_rslora") else None
    return replace(pair, alpha=float(alpha), scale=float(alpha) / root if root else None)


def _nothing_left(path: Path, left: dict[str, Any]) -> None:
    if left:
        some = ", ".join(sorted(left)[:3])
        raise ValueError(f"{shown(path)} has {len(left)} tensors that belong to no pair of a LoRA: {some}")


def fitted(pairs: dict[str, Pair], network: nn.Module, name: str) -> dict[str, Pair]:
    """The pairs by the network's own module names, in the shapes of its layers. Raises ValueError that names the pairs
    without a layer, or the first that does not fit."""
    layers = places(network)
    flat = {n.replace(".", "_"): n for n in layers} | {
        n.removesuffix(".0"): n for n in layers if n.endswith("to_out.0")
    }
    placed, lost, wrong = {}, [], []
    for module, pair in pairs.items():
        own = module if module in layers else flat.get(module)
        if own is None:
            lost.append(module)
            continue
        shape, pair = size(layers[own]), _as(pair, layers[own])
        made = (pair.up.shape[0], *pair.down.shape[1:])
        if made != shape or pair.up.shape[1] != pair.rank:
            wrong.append((own, made, shape))
        placed[own] = pair
    if wrong:
        module, made, shape = wrong[0]
        hint = _meant_for(pairs)
        raise ValueError(f"it does not fit {name}: {module} would be {list(made)} and is {list(shape)}{hint}")
    if lost:
        raise ValueError(f"{name} has no layer for {len(lost)} of its {len(pairs)}: {', '.join(sorted(lost)[:3])}")
    return placed


def places(network: nn.Module) -> dict[str, nn.Module]:
    """The layers that a LoRA may change, by name, with or without adapters on them."""
    own = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and ".lora_" not in n}
    return {n.removesuffix(".base_layer"): m for n, m in own.items()}


def size(layer: nn.Module) -> tuple[int, ...]:
    """The shape of a layer's weight, however that is stored."""
    if isinstance(layer, nn.Conv2d):
        return layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size
    assert isinstance(layer, nn.Linear), "no other layer takes a LoRA"
    return layer.out_features, layer.in_features


def _as(pair: Pair, layer: nn.Module) -> Pair:
    """A pair reshaped for its layer: projections are linear in some networks and 1 x 1 convolutions in others."""
    if isinstance(layer, nn.Linear) and pair.down.ndim == 4 and pair.down.shape[2:] == (1, 1):
        return replace(pair, down=pair.down[..., 0, 0], up=pair.up.flatten(1))
    if isinstance(layer, nn.Conv2d) and pair.down.ndim == 2:
        return replace(pair, down=pair.down[..., None, None], up=pair.up[..., None, None])
    return pair


def _meant_for(pairs: dict[str, Pair]) -> str:
    """Part of an error sentence: the base that the LoRA's cross-attention fits, where it is a known one."""
    widths = {p.down.shape[1] for m, p in pairs.items() if re.search(r"attn2[._]to_k$", m)}
    known = [WIDTHS[w] for w in widths if w in WIDTHS]
    return f"; its prompts are those of {known[0]}" if known else ""


def ends(path: Path) -> tuple[str, str] | None:
    """The words for the ends of the slider that the file holds; None where it is another LoRA."""
    with safe_open(path, "pt") as f:
        low, _, high = (f.metadata() or {}).get(ENDS, "").partition("/")
    return (low[:40], high[:40]) if low and high else None


def write(
    pairs: dict[str, Pair],
    path: Path,
    layout: str = "diffusers",
    folder: str = "unet",
    more: dict[str, str] | None = None,
) -> None:
    """Write pairs that are named as in the network, which a pipeline has in `folder`. Peft's layout also has an
    `adapter_config.json` beside the file. `more`: entries of the file's metadata, such as the ends of a slider."""
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; valid: {', '.join(LAYOUTS)}")
    out, metadata = {}, {"format": "pt"} | (more or {})
    alphas = {module: pair.factor * pair.rank for module, pair in pairs.items()}
    ranks = {module: pair.rank for module, pair in pairs.items()}
    first = next(iter(pairs))
    config = {"r": ranks[first], "lora_alpha": alphas[first], "rank_pattern": ranks, "alpha_pattern": alphas}
    config |= {"target_modules": sorted(pairs), "peft_type": "LORA", "bias": "none", "use_dora": False}
    for module, pair in pairs.items():
        if layout == "kohya":
            key = f"lora_unet_{module.replace('.', '_')}"
            out |= {f"{key}.lora_down.weight": pair.down, f"{key}.lora_up.weight": pair.up}
            out[f"{key}.alpha"] = torch.tensor(alphas[module])
        else:
            key = f"{folder if layout == 'diffusers' else 'base_model.model'}.{module}"
            out |= {f"{key}.lora_A.weight": pair.down, f"{key}.lora_B.weight": pair.up}
    if layout == "diffusers":
        metadata["lora_adapter_metadata"] = json.dumps({f"{folder}.{k}": v for k, v in config.items()})
    save_file({k: v.contiguous() for k, v in out.items()}, path, metadata)
    if layout == "peft":
        path.with_name("adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")

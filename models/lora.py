"""LoRAs (Hu et al. 2022), in the file format of diffusers, on a UNet that several models share in memory.

    save(network, "default", folder)         writes the file that `load_lora_weights` of a plain pipeline reads
    attach(row, base)                        puts a row of kind `lora` on its base's parts
    python -m models.lora import FILE --base ID --id NAME        makes a model of a LoRA that was trained elsewhere
    python -m models.lora export ID --layout kohya --out FILE    writes a LoRA from here for another program

The file avoids two silent faults of the libraries: its keys are peft's, as converted keys are dropped on loading
without an error; and it holds alpha, as without it every LoRA is read with alpha = rank.
"""

import argparse
import copy
import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusers import SanaPipeline, StableDiffusionPipeline, UNet2DConditionModel
from peft import get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from torch import nn

from core.paths import use_studio
from models import camera, catalogue, hub, learnt, lora_files, lora_import, weights
from models.families import Parts, scheduler
from models.lora_files import FILE, LAYOUTS

DOWN = re.compile(r"lora(_A|_down|\.down)\.")  # the first matrix of a pair, in every naming that diffusers reads


def save(network: Any, adapter: str, home: Path) -> None:
    """Write an adapter to `home/lora.safetensors`."""
    unet = isinstance(network, UNet2DConditionModel)
    kind, folder = (StableDiffusionPipeline, "unet") if unet else (SanaPipeline, "transformer")
    kind.save_lora_weights(
        home,
        weight_name=FILE,
        **{
            f"{folder}_lora_layers": dict(get_peft_model_state_dict(network, adapter_name=adapter)),
            f"{folder}_lora_adapter_metadata": network.peft_config[adapter].to_dict(),
        },
    )


def layers(network: nn.Module) -> list[LoraLayer]:
    return [m for m in network.modules() if isinstance(m, LoraLayer)]


def adapter(id: str) -> str:
    """The name of a row's adapter among torch's modules. It is a hash, so it is no path and no module's name."""
    return f"of-{hashlib.sha256(id.encode()).hexdigest()[:16]}"


def attach(row: catalogue.Row, base: Parts, valid: tuple[str, ...]) -> Parts:
    """Parts that paint with the base's own modules. Models of one base take turns (models/engine.py)."""
    name = put(row, base)
    own = scheduler(row, valid, base.pipeline.scheduler.config if row.hub else None)
    pipeline = copy.copy(base.pipeline)  # `from_pipe` would cast the modules that are shared
    pipeline.scheduler = own
    denoiser = base.denoiser.adapted(name, (row.manifest.lora or {}).get("full"))
    camera.give(denoiser, row)
    return replace(
        base,
        row=row,
        text=learnt.reading(base, file(row), 1.0),
        denoiser=denoiser,
        scheduler=own,
        pipeline=pipeline,
    )


def put(row: catalogue.Row, base: Parts) -> str:
    """Put the row's adapter on the network of these parts, inactive, and return its name there. The caller has the turn
    on that network. Raises ValueError where the file is damaged or does not fit."""
    name, adapters = adapter(row.id), base.denoiser.adapters
    if worn(row, base):
        return name
    path, network = file(row), base.denoiser.network
    adapters.part()
    if name in getattr(network, "peft_config", {}):  # an older version, before the model was published anew
        base.pipeline.delete_adapters(name)
    where = {"weight_name": path.name, "local_files_only": True, "unet_config": network.config}
    state, *alphas, metadata = base.pipeline.lora_state_dict(str(path.parent), return_lora_metadata=True, **where)
    state = {base.denoiser.named(key): tensor for key, tensor in state.items()}
    metadata = metadata and json.loads(base.denoiser.named(json.dumps(metadata)))
    if row.folder is not None:
        _fits(row, path, base)
    more = {"network_alphas": alphas[0]} if alphas else {}
    network.load_lora_adapter(
        state, prefix=base.denoiser.folder, adapter_name=name, metadata=metadata, _pipeline=base.pipeline, **more
    )
    network.eval().requires_grad_(False)
    adapted = layers(network)
    for layer in adapted:
        if name in layer.lora_A:  # peft gives them the dtype of the base weights, which may be a quantised one
            for half in (layer.lora_A, layer.lora_B):
                half[name].to(base.denoiser.dtype)
    _whole(row, path, sum(name in layer.lora_A for layer in adapted))
    adapters.carry(adapted)
    adapters.worn[name] = digest(row)
    return name


def worn(row: catalogue.Row, base: Parts) -> bool:
    """Whether this version of the row's adapter is on the network of these parts."""
    return base.denoiser.adapters.worn.get(adapter(row.id)) == digest(row)


def digest(row: catalogue.Row) -> str:
    """The version of a LoRA: the sha256 of its file, or its revision on the Hub."""
    return row.manifest.files.get(FILE, f"{row.hub} {row.revision}")


def file(row: catalogue.Row) -> Path:
    """The LoRA file of a row. Raises ValueError where it is missing or no LoRA."""
    if row.hub:
        return hub.file(row)
    assert row.folder is not None
    if FILE not in row.manifest.files:
        raise ValueError(f"{row.id} lacks its file {FILE}; fetch it again")
    weights.check(row.folder / FILE)
    return row.folder / FILE


def _fits(row: catalogue.Row, path: Path, base: Parts) -> None:
    """Raises ValueError that names the layers which this network lacks, or the first that has another shape there."""
    pairs = {base.denoiser.named(module): pair for module, pair in lora_files.read(path).items()}
    try:
        lora_files.fitted(pairs, base.denoiser.network, base.row.id)
    except ValueError as e:
        raise ValueError(f"{row.id} can't act on {base.row.id}: {e}") from None


def _whole(row: catalogue.Row, path: Path, placed: int) -> None:
    with safe_open(path, "pt") as f:
        pairs = sum(bool(DOWN.search(key)) for key in f.keys())  # noqa: SIM118  (not a dict)
    if placed != pairs or not pairs:
        raise ValueError(f"{path.name} of {row.id} has {pairs} pairs of matrices, and its base took {placed} of them")


def fuse(parts: Parts) -> None:
    """Merge the adapter into the UNet for good, at its strength for the default guidance."""
    denoiser, guidance = parts.denoiser, parts.row.manifest.guidance.default
    denoiser.adapters.part()
    parts.pipeline.fuse_lora(lora_scale=denoiser.strength(guidance), adapter_names=[denoiser.adapter])
    parts.pipeline.unload_lora_weights()


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("models.lora", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    acts = p.add_subparsers(dest="act", required=True)
    bring = acts.add_parser("import", help="a LoRA from a file becomes a model of the studio")
    bring.add_argument("file", type=Path, help="a safetensors file in kohya's, peft's or diffusers' layout")
    bring.add_argument("--base", required=True, help="the model that it was trained on")
    bring.add_argument("--id", required=True, help="what it will be called here")
    bring.add_argument("--licence", default="not said", help="under which others may use it")
    take = acts.add_parser("export", help="a LoRA becomes a file for another program")
    take.add_argument("id", help="a LoRA of the catalogue")
    take.add_argument("--layout", default="diffusers", help=", ".join(LAYOUTS))
    take.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    for one in (bring, take):
        one.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    try:
        if args.act == "import":
            made = lora_import.bring(args.file, args.base, args.id, args.licence)
            print(f"{made.id}: rank {(made.lora or {})['rank']}, {made.parameters:,} parameters, on {made.base}")
        else:
            print(f"{args.out}: {lora_import.take(args.id, args.out, args.layout)} layers")
    except (ValueError, OSError) as e:
        print(f"models.lora: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

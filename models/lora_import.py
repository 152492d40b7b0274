"""Import of a LoRA that was trained elsewhere as a model of the studio, and export of a LoRA to a file."""

import json
import re
from pathlib import Path

from safetensors import safe_open

from core.files import sha256, whole_folder
from core.paths import studio
from models import catalogue, families, learnt, lora_files, recipe
from models.generate import generate
from models.lora_files import FILE
from models.manifest import Manifest, Row
from models.request import ImageRequest

ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


def takes(row: Row) -> bool:
    """Whether the row can be the base of a LoRA from a file."""
    return row.manifest.kind == "model" and hasattr(families.family(row.manifest.family), "on_base")


def bring(path: Path, base: str, id: str, licence: str = "not said") -> Manifest:
    """Make a model of a LoRA file. Raises ValueError where it does not fit the base, or where the id is taken."""
    row = catalogue.get(base)
    if not takes(row):
        raise ValueError(
            f"{base} takes no LoRA from a file; valid: {', '.join(r.id for r in catalogue.menu() if takes(r))}"
        )
    if not ID.fullmatch(id):
        raise ValueError(f"the id {id!r:.60} must be small letters, digits, dots, dashes and underscores")
    if id in catalogue.rows():
        raise ValueError(f"there is a model {id} already; take another --id")
    if not path.is_file():
        raise ValueError(f"there is no file {path.name}")
    parts = families.load(row)
    pairs = lora_files.fitted(lora_files.read(path), parts.denoiser.network, base)
    home = studio() / "models" / id
    ends, word = lora_files.ends(path), learnt.read(path)
    named = dict(zip(("low", "high"), ends, strict=True)) if ends else {}
    named |= {"word": word.name} if word else {}
    learnt.reading(parts, path, 1.0)  # refuses a word of another encoder
    with whole_folder(home) as part:
        lora_files.write(pairs, part / FILE, folder=parts.denoiser.folder, more=entries(path))
        facts = row.manifest.to_dict() | {
            "id": id,
            "base": base,
            "kind": "slider" if ends else "lora",
            "method": "imported",
            "dataset": "not said",
            "command": f"python -m models.lora import {path.name} --base {base} --id {id}",
            "samples_seen": 0,
            "lora": {"rank": max(pair.rank for pair in pairs.values())} | named,
            "licence": licence,
            "files": {FILE: sha256(part / FILE)},
            "parameters": sum(pair.down.numel() + pair.up.numel() for pair in pairs.values()),
            "quality": {},
            "about": f"A LoRA from {path.name}, on {base}.",
            "base_sha256": catalogue.denoiser_sha256(row),
        }
        manifest = Manifest.from_dict(facts)
        with catalogue.unpublished(manifest, part) as new:
            tried = ImageRequest("a picture", model=base if ends else id, steps=1, sliders=f"{id}:1" if ends else "")
            for _ in generate(parts if ends else families.load(new), tried):
                pass
            words = f"# {id}\n\nA LoRA that was trained elsewhere, read from `{path.name}`. Licence: {licence}.\n"
            (part / "README.md").write_text(f"{words}\n{recipe.section(new)}\n", encoding="utf-8")
        (part / catalogue.FILE).write_text(json.dumps(manifest.to_dict(), indent=1))
    return manifest


def entries(path: Path) -> dict[str, str]:
    """The entries of a LoRA file's metadata that are this project's: the ends of a slider, a word."""
    with safe_open(path, "pt") as f:
        metadata = f.metadata() or {}
    return {key: metadata[key] for key in (lora_files.ENDS, learnt.KEY) if key in metadata}


def take(id: str, out: Path, layout: str) -> int:
    """Write a LoRA of the catalogue in another program's layout; returns the number of its layers."""
    row = catalogue.get(id)
    kinds, lora = ("lora", "slider"), row.manifest.lora or {}
    if row.manifest.kind not in kinds or row.folder is None:
        own = [r.id for r in catalogue.rows().values() if r.manifest.kind in kinds and r.folder is not None]
        raise ValueError(f"{id} is no LoRA that is here; valid: {', '.join(own)}")
    if out.suffix != ".safetensors":
        raise ValueError(f"--out {out.name} must end in .safetensors")
    base = families.load(catalogue.get(row.manifest.base or "")).denoiser
    pairs = lora_files.fitted(lora_files.read(row.folder / FILE), base.network, row.manifest.base or "")
    out.parent.mkdir(parents=True, exist_ok=True)
    ends = {lora_files.ENDS: f"{lora['low']}/{lora['high']}"} if row.manifest.kind == "slider" else {}
    lora_files.write(pairs, out, layout, base.folder, entries(row.folder / FILE) | ends)
    return len(pairs)

"""A LoRA that somebody drops on Create: it becomes one of the studio's."""

import re
from pathlib import Path

from models import catalogue
from ui.place import Place


def bring(place: Place, path: Path, model: str) -> str:
    """Its id. Raises ValueError with one sentence for what is no LoRA for this model's base."""
    from models import lora_import  # brings torch and diffusers

    if refusal := place.refusal("add models"):
        raise ValueError(refusal)
    row = catalogue.get(model)
    base = row.manifest.base if row.manifest.kind == "lora" else row.id
    stem = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:60] or "lora"
    known = catalogue.rows()
    id = next(name for n in range(1, len(known) + 2) if (name := stem if n == 1 else f"{stem}-{n}") not in known)
    lora_import.bring(path, base or model, id)
    return id

"""A distilled network as a base of its own, for trainings on the student itself."""

import json
import shutil
from dataclasses import replace

from core.files import sha256, whole_folder
from core.paths import studio
from models import catalogue, families, lora, vocabulary


def whole(id: str) -> str:
    """The id of a model of the studio that is this student with its LoRA merged into its network. Made once."""
    row, own = catalogue.get(id), f"{id}-whole"
    home = studio() / "models" / own
    if home.is_dir():
        return own
    parts = families.load_all([id])[id]
    lora.fuse(parts)
    assert row.folder is not None and row.manifest.kind == "lora", "a student of the box"
    with whole_folder(home) as part:
        parts.denoiser.network.half().save_pretrained(part / parts.denoiser.folder, safe_serialization=True)
        shutil.copytree(row.folder / "scheduler", part / "scheduler")
        if (row.folder / vocabulary.FILE).is_file():
            shutil.copy(row.folder / vocabulary.FILE, part)
        files = {str(p.relative_to(part)): sha256(p) for p in sorted(part.rglob("*")) if p.is_file()}
        made = replace(row.manifest, id=own, kind="model", lora=None, base_sha256="", files=files)
        (part / "manifest.json").write_text(json.dumps(made.to_dict(), indent=1))
    return own

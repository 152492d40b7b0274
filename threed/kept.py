"""Pictures that things are made of, in `<studio>/inputs/`, each in a file named by the sha256 of its bytes."""

import hashlib
from pathlib import Path

from PIL.Image import Image

from core.files import sha256, whole_file
from core.paths import studio
from models.picture import open_png


def file(digest: str) -> Path:
    return studio() / "inputs" / f"{digest}.png"


def keep(png: bytes) -> str:
    """The name by which a request asks for it."""
    digest = hashlib.sha256(png).hexdigest()
    path = file(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(png)
    return digest


def load(digest: str) -> Image:
    """Raises ValueError where it is not in this studio, or is no longer what it was."""
    path = file(digest)
    if not path.is_file():
        raise ValueError(f"the picture that this thing is made of is not in this studio: {path.name} of inputs/")
    if sha256(path) != digest:
        raise ValueError(f"{path.name} of inputs/ is damaged: its sha256 is not its name")
    return open_png(path.read_bytes())

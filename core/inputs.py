"""Files that requests start from: `<studio>/inputs/`, each named by the sha256 of its bytes."""

import hashlib
from pathlib import Path

from core.files import sha256, whole_file
from core.paths import studio


def file(digest: str, suffix: str) -> Path:
    return studio() / "inputs" / f"{digest}.{suffix}"


def keep(data: bytes, suffix: str) -> str:
    """Write these bytes; returns the sha256 by which a request names them."""
    digest = hashlib.sha256(data).hexdigest()
    path = file(digest, suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(data)
    return digest


def checked(digest: str, suffix: str, what: str) -> Path:
    """The path of a stored file. Raises ValueError where it is missing or damaged."""
    path = file(digest, suffix)
    if not path.is_file():
        raise ValueError(f"{what} is not in this studio: {path.name} of inputs/")
    if sha256(path) != digest:
        raise ValueError(f"{path.name} of inputs/ is damaged: its sha256 is not its name")
    return path

"""Pictures that a request starts from, stored in `<studio>/inputs/` under the sha256 of their bytes.

A request names them by that hash, so it stays small JSON. A picture made from them can be restored as long as they are
stored.
"""

import re
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from PIL.Image import Image as Picture

from core import inputs
from models.upload import upload

DIGEST = re.compile(r"[0-9a-f]{64}")
FIELDS = {"image": "picture", "mask": "mask", "control": "drawing"}  # of a request that name one
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}


def keep(source: Path | bytes) -> str:
    """Store a picture and return its hash. Raises ValueError with one sentence where it is no picture."""
    kind = upload(source).format or "PNG"
    data = source if isinstance(source, bytes) else source.read_bytes()
    return inputs.keep(data, SUFFIXES[kind])


def _file(digest: str) -> Path | None:
    files = (inputs.file(digest, suffix) for suffix in SUFFIXES.values())
    return next((f for f in files if f.is_file()), None)


def path(digest: str, what: str = "picture") -> Path:
    """The file of a stored picture. Raises ValueError where it is not in this studio."""
    if (file := _file(digest)) is None:
        raise ValueError(f"the {what} {digest[:12]}… that this request names is no longer in the studio's inputs/")
    return file


def there(digest: str) -> bool:
    return _file(digest) is not None


def forget(digest: str) -> None:
    """Remove a stored picture that nothing refers to any more."""
    if (file := _file(digest)) is not None:
        file.unlink(missing_ok=True)


def missing(fields: dict[str, Any]) -> str:
    """One sentence on the pictures that a request names and this studio no longer has; empty where it has all."""
    gone = [name for name in FIELDS if fields.get(name) and not _file(fields[name])]
    verb = "is" if len(gone) == 1 else "are"
    return f"Its {' and '.join(gone)} {verb} no longer in the studio's inputs/." if gone else ""


def load(digest: str, what: str = "picture") -> Picture:
    """A stored picture, turned upright. Raises ValueError where it is missing or damaged."""
    suffix = path(digest, what).suffix.removeprefix(".")
    return ImageOps.exif_transpose(upload(inputs.checked(digest, suffix, f"the {what}")))


def flat(picture: Picture) -> Picture:
    """The picture in RGB; transparent parts are put on white."""
    clear = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


def named(text: str, what: str) -> str:
    """The hash for what a person gave as a picture: a hash stays, a file is stored, an empty text stays empty."""
    if not text or DIGEST.fullmatch(text):
        return text
    if not Path(text).is_file():
        raise ValueError(f"{what} {text} is no file, and no sha256 of a picture in the studio's inputs/")
    return keep(Path(text))

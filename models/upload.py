"""Decoding of pictures that people upload, with one sentence for every fault."""

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.Image import Image as Picture

from models.png import without_text

JSON_KEY, TEXT_KEY, RESIZED_KEY = "still-life", "parameters", "still-life-resized"
DESCENT_KEY = "still-life-descent"  # for a branch: the requests that it comes from
TEXTS = JSON_KEY, TEXT_KEY, RESIZED_KEY, DESCENT_KEY  # the texts of a PNG that are read
MEGAPIXELS, MEGABYTES = 25, 64
FORMATS = ("PNG", "JPEG", "WEBP")


def upload(source: Path | bytes | io.BytesIO) -> Picture:
    """An uploaded picture, decoded. Raises ValueError with one sentence where it can't be."""
    data = source if isinstance(source, bytes) else _bytes(source)
    if len(data) > MEGABYTES * 2**20:
        raise ValueError(f"the file has {len(data) / 2**20:.0f} MiB; at most {MEGABYTES} are read")
    data = without_text(data, keep=TEXTS)
    with harm_said(), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the next check is stricter
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    pixels = picture.width * picture.height
    if pixels > MEGAPIXELS * 1e6:
        raise ValueError(f"the picture has {pixels / 1e6:.0f} megapixels; at most {MEGAPIXELS} are read")
    with harm_said():
        picture.load()
    return picture


@contextlib.contextmanager
def harm_said() -> Iterator[None]:
    """Within: every error of Pillow about a file becomes a ValueError of one sentence."""
    try:
        yield
    except Image.DecompressionBombError:
        raise ValueError(f"the picture has far too many pixels; at most {MEGAPIXELS} megapixels are read") from None
    except UnidentifiedImageError:
        raise ValueError(f"this is no picture that can be read; valid: {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, EOFError, ValueError, struct.error):
        raise ValueError("the picture is damaged or cut short; get the file again") from None


def _bytes(source: Path | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()
    try:
        with Path(source).open("rb") as f:
            return f.read(MEGABYTES * 2**20 + 1)
    except OSError as e:
        raise ValueError(f"the file can't be read: {e.strerror}") from None

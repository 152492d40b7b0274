"""Reading of a person's picture file as a square with 8 bits a channel, or one sentence why it can't be read."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from distill.data import SIDE
from models.png import without_text

SUFFIXES = frozenset(".png .jpg .jpeg .jfif .webp .avif .bmp .gif .tif .tiff".split())
OTHERS = frozenset(".heic .heif .jxl .psd .svg .dng .cr2 .cr3 .nef .arw .raf .orf .rw2".split())  # known, not read
MAX_PIXELS = 64_000_000  # a larger file is refused before it is decoded
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # TIFF tags and a value


def eight_bits(image: Image.Image, bits: int = 16, negative: bool = False) -> Image.Image:
    """A grey picture of up to 16 bits scaled to 8; Pillow's own conversion would clip values above 255.

    Raises ValueError for numbers without a known white point.
    """
    if image.mode in ("I", "F", "LAB"):
        kind = "Lab colours" if image.mode == "LAB" else "numbers of 32 bits, or signed ones"
        raise ValueError(f"it holds {kind}, which are not read; save it with 8 or 16 bits a channel")
    if not image.mode.startswith("I;16"):
        return image
    values, white = np.asarray(image).astype(np.uint32), 2**bits - 1
    grey = (255 * (white - values if negative else values) + white // 2) // white
    out = Image.fromarray(grey.astype(np.uint8))
    if isinstance(clear := image.info.get("transparency"), int):
        out.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return out


def square(image: Image.Image, side: int = SIDE) -> np.ndarray:
    """The centre square, resized, uint8 [side, side, 3]; transparent parts are put on white."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    image = image.crop((left, top, left + short, top + short))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


def load(path: Path, side: int = SIDE) -> np.ndarray:
    """The picture as a square, turned upright by its EXIF. Raises ValueError that says what is wrong with the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(without_text(path.read_bytes()))) as image:
                size = f"{image.width} × {image.height} pixels"
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{size}, more than {MAX_PIXELS // 10**6} megapixels")
                if min(image.size) < side:
                    raise ValueError(f"{size}, smaller than {side} × {side}")
                tags = getattr(image, "tag_v2", {})
                depth = tags.get(BITS, (16,))[0], tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
                return square(eight_bits(ImageOps.exif_transpose(image), *depth), side)
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError) as e:
        reason = "no picture that can be read" if isinstance(e, UnidentifiedImageError) else str(e)
        raise ValueError(f"damaged or no picture ({reason})") from None

"""A picture carries its request: in a PNG as JSON and as the text that other tools read, with the IPTC's mark for AI.

`read` gives the request back, from our own files or, as far as it goes, from those of tools that write A1111's text.
"""

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.Image import Image as Picture
from PIL.PngImagePlugin import PngInfo

from models import catalogue
from models.request import DEFAULT_MODEL, PROMPT, SEEDS, ImageRequest

JSON_KEY, TEXT_KEY, RESIZED_KEY, XMP_KEY = "still-life", "parameters", "still-life-resized", "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MEGAPIXELS, MEGABYTES = 25, 64  # of an upload
FORMATS = ("PNG", "JPEG", "WEBP")
WHOLE = "[0-9]{1,18}"
USER_COMMENT, EXIF_IFD = 0x9286, 0x8769
XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def a1111(request: ImageRequest) -> str:
    """The request as the text that AUTOMATIC1111's web UI made customary."""
    row = catalogue.get(request.model)
    facts = {
        "Steps": request.steps,
        "Sampler": row.manifest.scheduler,
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": request.model,
    }
    if request.variation:
        facts |= {"Variation seed": request.variation_seed, "Variation seed strength": f"{request.variation:g}"}
    negative = f"Negative prompt: {request.negative}\n" if request.negative else ""
    settings = ", ".join(f"{k}: {v}" for k, v in facts.items())
    return f"{request.texts()[0]}\n{negative}{settings}, Version: Still Life"


def png_bytes(
    picture: Picture, request: ImageRequest, resized_from: tuple[int, int] | None = None, level: int = 6
) -> bytes:
    """A PNG with its request inside. A resized one says so and from what. `level`: 1 packs fast, 9 packs tight."""
    info = PngInfo()
    info.add_itxt(JSON_KEY, request.to_json())
    info.add_text(TEXT_KEY, a1111(request))
    info.add_itxt(XMP_KEY, XMP)
    if resized_from is not None:
        size, was = (f"{w} x {h}" for w, h in (picture.size, resized_from))
        info.add_text(RESIZED_KEY, f"resized to {size} from {was}: no detail was added")
    out = io.BytesIO()
    picture.save(out, "PNG", pnginfo=info, compress_level=level)
    return out.getvalue()


def enlarge(picture: Picture, factor: int) -> Picture:
    """Smoothly resized; give its old size to `png_bytes`."""
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.LANCZOS)


def thumbnail(picture: Picture, side: int = 128) -> bytes:
    """A WebP that fits into a square."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=85)
    return out.getvalue()


def open_png(data: bytes) -> Picture:
    """A PNG of our own, decoded."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        picture.load()
        return picture


def upload(source: Path | bytes | io.BytesIO) -> Picture:
    """Somebody's picture, decoded. Raises ValueError with one sentence for whatever it may be instead."""
    data = source if isinstance(source, bytes) else _bytes(source)
    if len(data) > MEGABYTES * 2**20:
        raise ValueError(f"the file has {len(data) / 2**20:.0f} MiB; at most {MEGABYTES} are read")
    with _harm_said(), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the next lines are stricter
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    pixels = picture.width * picture.height
    if pixels > MEGAPIXELS * 1e6:
        raise ValueError(f"the picture has {pixels / 1e6:.0f} megapixels; at most {MEGAPIXELS} are read")
    with _harm_said():
        picture.load()
    return picture


@contextlib.contextmanager
def _harm_said() -> Iterator[None]:
    """One sentence for whatever Pillow says of somebody's file."""
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


def read(source: Path | bytes | io.BytesIO) -> ImageRequest:
    """The request that a picture carries. Raises ValueError with one sentence where it carries none."""
    picture = upload(source)
    own = picture.info.get(JSON_KEY)
    if isinstance(own, str):
        return ImageRequest.from_json(own)
    text = picture.info.get(TEXT_KEY) or _comment(picture)
    if isinstance(text, str) and "Steps: " in text:
        return parse_a1111(text)
    raise ValueError("the picture carries no settings: it wasn't made here, or they were stripped on the way")


def resized(source: Path | bytes | io.BytesIO) -> str | None:
    """What a PNG says of having been resized."""
    return upload(source).info.get(RESIZED_KEY)


def _comment(picture: Picture) -> str | None:
    """EXIF's UserComment, where A1111 puts the text of a JPEG or WebP."""
    with _harm_said():
        raw = picture.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT)
    if not isinstance(raw, bytes) or not raw.startswith(b"UNICODE\0"):
        return raw if isinstance(raw, str) else None
    return raw[8:].decode("utf-16-be", errors="replace")


def parse_a1111(text: str) -> ImageRequest:
    """Prompt and seed of another tool's picture, and what else the model that paints here can obey."""
    head, _, tail = text.rpartition("\nSteps: ")
    if not head:
        head, _, tail = text.rpartition("Steps: ")
    prompt, _, negative = head.partition("\nNegative prompt: ")
    facts = dict(re.findall(r"([A-Z][\w ]*): ([^,]*)", f"Steps: {tail}"))
    menu = [r.id for r in catalogue.menu()]
    model = facts.get("Model", "")
    if model not in menu:
        model = DEFAULT_MODEL if DEFAULT_MODEL in menu else menu[0]
    manifest = catalogue.get(model).manifest
    fields = {"prompt": prompt.strip().replace("\0", " ")[:PROMPT], "model": model}
    if re.fullmatch(WHOLE, facts.get("Seed", "")):
        fields["seed"] = int(facts["Seed"]) % SEEDS
    if manifest.guidance.kind == "cfg":
        fields["negative"] = negative.strip()[:PROMPT]
    steps = int(facts["Steps"]) if re.fullmatch(WHOLE, facts.get("Steps", "")) else 0
    if steps in (manifest.step_counts or range(1, 101)):
        fields["steps"] = steps
    scale = facts.get("CFG scale", "")
    low, high = manifest.guidance.range
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?", scale) and low <= float(scale) <= high:
        fields["guidance"] = float(scale)
    return ImageRequest(**fields)

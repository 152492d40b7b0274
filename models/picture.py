"""A picture carries its request: in a PNG as JSON and as the text that other tools read, with the IPTC's mark for AI.

`read` gives the request back, from our own files or, as far as it goes, from those of tools that write A1111's text;
`own` gives it as it is, whatever models there are by now.
"""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.Image import Image as Picture
from PIL.PngImagePlugin import PngInfo

from models.request import JSON_LIMIT, PROMPT, SEEDS, ImageRequest
from models.restore import DEEPEST, Restored, fitted, kept
from models.upload import DESCENT_KEY, JSON_KEY, RESIZED_KEY, TEXT_KEY, TEXTS, harm_said, upload

XMP_KEY = "XML:com.adobe.xmp"
BACKEND = "backend"  # in the info of a picture in memory: what computed it
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
USER_COMMENT, EXIF_IFD = 0x9286, 0x8769
CODES = {  # of a UserComment, and what tools write after them, likeliest first; whoever is right has the word "Steps: "
    b"UNICODE\0": ("utf-16-be", "utf-16-le", "utf-8"),
    b"ASCII\0\0\0": ("utf-8", "latin-1"),
    b"JIS\0\0\0\0\0": ("iso2022_jp", "shift_jis"),
    b"\0" * 8: ("utf-8", "utf-16-be", "utf-16-le", "latin-1"),
}
XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def a1111(request: ImageRequest, backend: str = "") -> str:
    """The request as the text that AUTOMATIC1111's web UI made customary. backend: what computed the picture."""
    row = request.row
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
    if request.enlarge > 1:
        facts |= {"Hires upscale": request.enlarge, "Hires upscaler": request.enlarger}
    facts |= {"Painters": request.painters.replace(", ", "; ")} if request.painters else {}
    facts |= {"Start": f"{request.start_step} of {request.start[:12]}"} if request.start else {}
    facts |= {"Backend": backend} if backend else {}
    negative = f"Negative prompt: {request.negative}\n" if request.negative else ""
    settings = ", ".join(f"{k}: {v}" for k, v in facts.items())
    return f"{request.texts()[0]}\n{negative}{settings}, Version: Still Life"


def png_bytes(picture: Picture, request: ImageRequest, level: int = 6) -> bytes:
    """A PNG with its request inside, what that comes from, and whether it was enlarged. `level`: 1 packs fast."""
    texts = {JSON_KEY: request.to_json(), TEXT_KEY: a1111(request, picture.info.get(BACKEND, ""))}
    if request.enlarge > 1:
        texts |= {RESIZED_KEY: f"enlarged × {request.enlarge} by {request.enlarger}"}
    if request.start:
        from models import stored  # it needs torch, which a page that opens does not wait for

        texts[DESCENT_KEY] = json.dumps(stored.descent(request))
    return _png(picture, texts, level)


def _png(picture: Picture, texts: dict[str, str], level: int = 6) -> bytes:
    info = PngInfo()
    for key, text in (texts | {XMP_KEY: XMP}).items():
        add = info.add_text if key in (TEXT_KEY, RESIZED_KEY) else info.add_itxt
        add(key, text)
    out = io.BytesIO()
    picture.save(out, "PNG", pnginfo=info, compress_level=level)
    return out.getvalue()


def enlarged(png: bytes, factor: int) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
    """A PNG of our own, smoothly resized, with its old and its new size. It says that it is, beside all it said."""
    small = open_png(png)
    large = small.resize((small.width * factor, small.height * factor), Image.Resampling.LANCZOS)
    size, was = (f"{w} x {h}" for w, h in (large.size, small.size))
    texts = {key: small.info[key] for key in TEXTS if key in small.info}
    note = f"resized to {size} from {was}: no detail was added"
    return _png(large, texts | {RESIZED_KEY: note}), small.size, large.size


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


def read(source: Path | bytes | io.BytesIO) -> Restored:
    """The request that a picture carries. Raises ValueError with one sentence where it carries none."""
    picture = upload(source)
    if JSON_KEY in picture.info:
        return replace(fitted(_said(picture)), descent=_descent(picture))
    text = picture.info.get(TEXT_KEY) or _comment(picture)
    if isinstance(text, str) and "Steps: " in text:
        return parse_a1111(text)
    raise ValueError("the picture carries no settings: it wasn't made here, or they were stripped on the way")


def own(png: bytes) -> dict[str, Any]:
    """The fields of the request in a picture that was made here. Raises ValueError for any other."""
    return kept(_said(upload(png)))


def _descent(picture: Picture) -> tuple[dict[str, Any], ...]:
    """The requests that a branch comes from; none where the picture does not tell, or tells what is none."""
    text = picture.info.get(DESCENT_KEY, "[]")
    try:
        chain = json.loads(text) if len(text) <= JSON_LIMIT else []
    except (json.JSONDecodeError, RecursionError):
        return ()
    if not isinstance(chain, list) or not all(isinstance(one, dict) for one in chain):
        return ()
    return tuple(chain[-DEEPEST:])


def _said(picture: Picture) -> dict[str, Any]:
    """The JSON in a picture of our own."""
    text = picture.info.get(JSON_KEY)
    try:
        request = json.loads(text) if isinstance(text, str) and len(text) <= JSON_LIMIT else None
    except (json.JSONDecodeError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise ValueError("the picture's request is damaged, or it wasn't made here")
    return request


def resized(source: Path | bytes | io.BytesIO) -> str | None:
    """What a PNG says of having been resized."""
    return upload(source).info.get(RESIZED_KEY)


def _comment(picture: Picture) -> str | None:
    """EXIF's UserComment, where A1111 puts the text of a JPEG or WebP."""
    with harm_said():
        raw = picture.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT)
    if not isinstance(raw, bytes):
        return raw if isinstance(raw, str) else None
    code = raw[:8] if raw[:8] in CODES else b"\0" * 8
    body = raw[8:] if raw[:8] in CODES else raw
    readings = (body.decode(encoding, errors="replace") for encoding in CODES[code])
    return next((text.lstrip("\ufeff") for text in readings if "Steps: " in text), None)


def parse_a1111(text: str) -> Restored:
    """Prompt and seed of another tool's picture, and what else the model that paints here can obey."""
    text = f"\n{text}"  # so that each part begins a line
    head, _, tail = text.rpartition("\nSteps: " if "\nSteps: " in text else "Steps: ")
    prompt, _, negative = head.partition("\nNegative prompt: ")
    facts = dict(re.findall(r"([A-Z][\w ]*): ([^,\n]*)", f"Steps: {tail}"))
    fields: dict[str, Any] = {"prompt": prompt.strip().replace("\0", " ")}
    fields |= {"model": facts["Model"].strip()} if "Model" in facts else {}
    fields |= {"negative": negative.strip()} if negative.strip() else {}
    width, _, height = facts.get("Size", "").strip().partition("x")
    numbers = {"seed": facts.get("Seed"), "steps": facts.get("Steps"), "guidance": facts.get("CFG scale")}
    for name, number in (numbers | {"width": width, "height": height}).items():
        if number:
            fields[name] = _number(number.strip())
    notes = []
    if len(fields["prompt"]) > PROMPT:
        fields["prompt"] = fields["prompt"][:PROMPT]
        notes.append(f"Its prompt was cut after {PROMPT:,} characters.")
    if isinstance(seed := fields.get("seed"), int) and seed >= SEEDS:
        fields["seed"] = seed % SEEDS
        notes.append(f"Seeds end at {SEEDS - 1:,}: for its {seed} stands {seed % SEEDS}.")
    restored = fitted(fields)
    return Restored(restored.fields, (*notes, *restored.notes))


def _number(text: str) -> int | float | str:
    """A number of at most 40 digits; other text as it is, for the request to refuse."""
    if re.fullmatch("[0-9]{1,40}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", text) else text

"""Pictures that carry their request: a PNG has it as JSON and as the text that other tools read, with the IPTC's mark
for AI.

`read` restores the request from our own files or, as far as possible, from files of tools that write A1111's text.
`own` gives the stored fields unchanged, even where their model is gone.
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
BACKEND = "backend"  # key in the info of a picture in memory: the back end that computed it
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
USER_COMMENT, EXIF_IFD = 0x9286, 0x8769
CODES = {  # prefix of a UserComment: encodings that tools use after it, likeliest first; the right one has "Steps: "
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
    """The request in the text format of AUTOMATIC1111's web UI. `backend`: what computed the picture."""
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
    facts |= {"LoRAs": request.loras.replace(", ", "; ")} if request.loras else {}
    facts |= {"Sliders": request.sliders.replace(", ", "; ")} if request.sliders else {}
    facts |= {"Start": f"{request.start_step} of {request.start[:12]}"} if request.start else {}
    facts |= {"Backend": backend} if backend else {}
    negative = f"Negative prompt: {request.negative}\n" if request.negative else ""
    settings = ", ".join(f"{k}: {v}" for k, v in facts.items())
    return f"{request.texts()[0]}\n{negative}{settings}, Version: Still Life"


def png_bytes(picture: Picture, request: ImageRequest, level: int = 6) -> bytes:
    """A PNG that holds its request, the requests that this one branches from, and a note where it was enlarged.
    `level`: of compression; 1 is fast."""
    texts = {JSON_KEY: request.to_json(), TEXT_KEY: a1111(request, picture.info.get(BACKEND, ""))}
    if request.enlarge > 1:
        texts |= {RESIZED_KEY: f"enlarged × {request.enlarge} by {request.enlarger}"}
    if request.start:
        from models import stored  # imports torch, which a page that opens should not wait for

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
    """A PNG of our own, smoothly resized, with its old and new size. Its texts are kept; a note says it was resized."""
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
    """The request that a picture carries. Raises ValueError with one sentence where there is none."""
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
    """The requests that a branch comes from; empty where the picture has none, or has no valid ones."""
    text = picture.info.get(DESCENT_KEY, "[]")
    try:
        chain = json.loads(text) if len(text) <= JSON_LIMIT else []
    except (json.JSONDecodeError, RecursionError):
        return ()
    if not isinstance(chain, list) or not all(isinstance(one, dict) for one in chain):
        return ()
    return tuple(chain[-DEEPEST:])


def _said(picture: Picture) -> dict[str, Any]:
    """The request's JSON in a picture of our own."""
    text = picture.info.get(JSON_KEY)
    try:
        request = json.loads(text) if isinstance(text, str) and len(text) <= JSON_LIMIT else None
    except (json.JSONDecodeError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise ValueError("the picture's request is damaged, or it wasn't made here")
    return request


def resized(source: Path | bytes | io.BytesIO) -> str | None:
    """A PNG's note that it was resized; None where it has none."""
    return upload(source).info.get(RESIZED_KEY)


def _comment(picture: Picture) -> str | None:
    """EXIF's UserComment, where A1111 stores the text of a JPEG or WebP."""
    with harm_said():
        raw = picture.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT)
    if not isinstance(raw, bytes):
        return raw if isinstance(raw, str) else None
    code = raw[:8] if raw[:8] in CODES else b"\0" * 8
    body = raw[8:] if raw[:8] in CODES else raw
    readings = (body.decode(encoding, errors="replace") for encoding in CODES[code])
    return next((text.lstrip("\ufeff") for text in readings if "Steps: " in text), None)


def parse_a1111(text: str) -> Restored:
    """Prompt and seed of another tool's picture, and all other settings that the model here takes."""
    text = f"\n{text}"  # so that each part starts on a new line
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
    """A number of at most 40 digits. Other text is returned unchanged; the request then refuses it."""
    if re.fullmatch("[0-9]{1,40}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", text) else text

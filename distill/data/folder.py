"""A user's own pictures: a folder of image files, each with what it shows.

Captions are a `name.txt` beside `name.png` (one wording a line), or a `metadata.jsonl` with `file_name` and `text` a
line (the Hugging Face imagefolder convention; `text` may be a list of wordings); of a picture that metadata.jsonl does
not name, beside it. Everything is checked before the first step: what cannot be used is named in one error, or left out
with skip_bad=True, which is said in one line.
"""

import hashlib
import json
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from distill.data import SIDE, Example, Split

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
MAX_PIXELS = 64_000_000  # a larger file is refused before it is decoded
MAX_CAPTION = 1000
SHOWN = 10  # faults that an error lists


@dataclass(frozen=True)
class Row:
    path: Path
    captions: tuple[str, ...]
    key: str  # sha256 of the file


def content_split(key: str) -> Split:
    """A tenth of the pictures, by hash of the file: the same picture is never on both sides."""
    return "held_out" if int(key[:8], 16) % 10 == 0 else "train"


def square(image: Image.Image, side: int = SIDE) -> np.ndarray:
    """uint8 [side, side, 3]: on white where it is see-through, the middle square, resized."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    image = image.crop((left, top, left + short, top + short))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


def load(path: Path, side: int = SIDE) -> np.ndarray:
    """The picture as a square, turned as its camera says. ValueError says what is wrong with the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                size = f"{image.width} × {image.height} pixels"
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{size}, more than {MAX_PIXELS // 10**6} megapixels")
                if min(image.size) < side:
                    raise ValueError(f"{size}, smaller than {side} × {side}")
                return square(ImageOps.exif_transpose(image), side)
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError) as e:
        reason = "no picture that can be read" if isinstance(e, UnidentifiedImageError) else str(e)
        raise ValueError(f"damaged or no picture ({reason})") from None


def wordings(text: object) -> tuple[str, ...]:
    """Captions from a line of text or a list of them, stripped, empty ones gone."""
    given = text if isinstance(text, list) else [text]
    lines = [" ".join(line.split()) for line in given if isinstance(line, str)]
    if len(lines) < len(given):
        raise ValueError("`text` is neither a line nor a list of lines")
    kept = tuple(dict.fromkeys(filter(None, lines)))
    if not kept:
        raise ValueError("its caption is empty")
    if any(len(line) > MAX_CAPTION for line in kept):
        raise ValueError(f"a caption is longer than {MAX_CAPTION} characters")
    return kept


def inside(path: Path, root: Path) -> Path:
    """The path if it stays in the folder, links followed."""
    try:
        target = path.resolve()
        missing = not target.is_file()
    except OSError as e:
        raise ValueError(e.strerror) from None
    if not target.is_relative_to(root):
        raise ValueError("leads out of the folder")
    if missing:
        raise ValueError("is missing")
    return path


def listed(root: Path) -> list[tuple[str, object]]:
    """(file name, text) for each line of metadata.jsonl; a broken line is a pair whose text is the ValueError."""
    out: list[tuple[str, object]] = []
    try:
        lines = inside(root / "metadata.jsonl", root).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return [("metadata.jsonl", ValueError("is not UTF-8 text"))]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            out.append((os.fspath(fields["file_name"]), fields["text"]))
        except (json.JSONDecodeError, KeyError, TypeError):
            out.append((f"metadata.jsonl line {number}", ValueError("needs a JSON object with `file_name` and `text`")))
    return out


def beside(root: Path) -> list[tuple[str, object]]:
    """(file name, lines of the .txt beside it) for each picture file below the folder."""
    out: list[tuple[str, object]] = []
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES):
        name, text = str(path.relative_to(root)), path.with_suffix(".txt")
        try:
            out.append((name, inside(text, root).read_text(encoding="utf-8").splitlines()))
        except UnicodeDecodeError:
            out.append((name, ValueError(f"{text.name} is not UTF-8 text")))
        except ValueError as e:
            out.append((name, ValueError(f"its caption {text.name} {e}")))
    return out


def check(root: Path, side: int = SIDE) -> tuple[list[Row], list[str]]:
    """Every usable picture, and one sentence for each that is not; every file is decoded once."""
    rows, faults = [], []
    named = listed(root) if (root / "metadata.jsonl").exists() else []
    known = {os.path.normpath(root / name) for name, _ in named}
    torn = any(isinstance(text, ValueError) for _, text in named)  # nobody knows whom such a line would have named
    rest = [] if torn else [pair for pair in beside(root) if str(root / pair[0]) not in known]
    for name, text in [*named, *rest]:
        try:
            if isinstance(text, ValueError):
                raise text
            captions = wordings(text)
            path = inside(root / name, root)
            load(path, side)
            rows.append(Row(path, captions, hashlib.sha256(path.read_bytes()).hexdigest()))
        except ValueError as e:
            faults.append(f"{name}: {e}")
    return rows, faults


def left_out(path: Path | str, total: int, faults: list[str]) -> str:
    """One line that counts the pictures that are not used, and names the first."""
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"left out {len(faults)} of {total} pictures in {path}: {' '.join(faults[0].split())}{more}"


class Folder:
    """The pictures of one folder, squares of `side` pixels. `bad`: what was left out; keys: hashes of the files."""

    def __init__(self, path: Path | str, split: Split = "train", skip_bad: bool = False, side: int = SIDE):
        root = Path(path).resolve()
        if not root.is_dir():
            raise ValueError(f"{path} is not a folder")
        rows, self.bad = check(root, side)
        total = len(rows) + len(self.bad)
        if self.bad and skip_bad:
            print(left_out(path, total, self.bad), file=sys.stderr)
        elif self.bad:
            shown = "\n".join(f"  {fault}" for fault in self.bad[:SHOWN])
            more = f"\n  and {len(self.bad) - SHOWN} more" if len(self.bad) > SHOWN else ""
            raise ValueError(f"{len(self.bad)} of {total} pictures in {path} cannot be used "
                             f"(--skip-bad leaves them out):\n{shown}{more}")  # fmt: skip
        self.rows = [row for row in rows if content_split(row.key) == split]
        if not self.rows and split == "train":
            raise ValueError(f"{path} holds no picture with a caption: put cat.txt beside cat.png, or a metadata.jsonl")
        self.name = f"folder-{root.name}"
        content = hashlib.sha256(repr([(r.key, r.captions) for r in self.rows]).encode()).hexdigest()
        self.side, self.signature = side, ("folder", split, content, side)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        return Example(load(row.path, self.side), row.captions, {"file": row.path.name}, row.key)

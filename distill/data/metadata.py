"""The captions of a folder's pictures: from its metadata files, and from the texts beside the pictures.

Metadata is a `metadata.jsonl` or `metadata.csv` with `file_name` and `text`, in any folder, for the pictures in and
below it (the Hugging Face imagefolder convention). Files that systems, archivers, editors and cameras add are left out.
"""

import codecs
import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distill.data.pictures import OTHERS, SUFFIXES

JSONL, CSV, UNREAD = "metadata.jsonl", "metadata.csv", "metadata.parquet"
TEXTS = (".txt", ".caption")
# folders of macOS' archives, of Synology's thumbnails, of bins and of recovered files
LITTER = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
NEEDS = "`file_name` and `text`"


@dataclass(frozen=True)
class Pair:
    """A picture and its caption, as a file gives it. Where that is broken, `text` is the ValueError."""

    name: str  # its path in the folder, for messages
    path: Path
    text: object


def inside(path: Path, root: Path) -> Path:
    """The path with links followed. Raises ValueError where it leads out of the folder."""
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


def read(path: Path, root: Path) -> str:
    """A text file in UTF-8, or in an encoding that Windows marks at its start. Raises ValueError."""
    raw = inside(path, root).read_bytes()
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def litter(path: Path, root: Path) -> bool:
    """Whether a program put the file there: it is hidden, locked, in a bin, or macOS' resource fork of another."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-1:]
    return any(part.startswith((".", "~$")) or part in LITTER for part in parts)


def files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if not litter(p, root) and not p.is_dir())


def jsonl(text: str) -> Iterator[tuple[int, object]]:
    """The objects of a JSON-lines text, as (line, object); None for a line that is no JSON."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                yield number, None


def table(text: str) -> Iterator[tuple[int, object]]:
    """The rows of a CSV text, as (line, cells by column)."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="more")
    try:
        for row in reader:
            yield reader.line_num, {k: v for k, v in row.items() if v is not None}
    except csv.Error:
        yield reader.line_num, None


def listed(file: Path, root: Path) -> Iterator[Pair]:
    """A pair for each line of a metadata file, with the error where a line is broken."""
    shown = str(file.relative_to(root))
    rows, shape = (jsonl, "a JSON object with") if file.suffix.lower() == ".jsonl" else (table, "comma-parted columns")
    try:
        if file.name.lower() == UNREAD:
            raise ValueError(f"is not read; save it as {JSONL} or {CSV}")
        text = read(file, root)
    except ValueError as e:
        yield Pair(shown, file, e)
        return
    for number, fields in rows(text):
        name, caption = (fields.get("file_name"), fields.get("text")) if isinstance(fields, dict) else (None, None)
        if not isinstance(name, str) or caption is None:
            has = f"; it has {', '.join(map(str, fields))}" if isinstance(fields, dict) else ""
            yield Pair(f"{shown} line {number}", file, ValueError(f"needs {shape} {NEEDS}{has}"))
            continue
        path = Path(os.path.normpath(file.parent / name))
        if not path.exists() and "\\" in name:  # written on Windows
            path = Path(os.path.normpath(file.parent / name.replace("\\", "/")))
        if not litter(path, root):
            yield Pair(str(path.relative_to(root)) if path.is_relative_to(root) else name, path, caption)


def beside(paths: list[Path], root: Path) -> Iterator[Pair]:
    """A pair for each picture file, with the lines of the text file beside it."""
    texts = {(p.parent, p.stem): p for p in reversed(paths) if p.suffix.lower() in TEXTS}
    read_here = {(p.parent, p.stem) for p in paths if p.suffix.lower() in SUFFIXES}
    for path in paths:
        kind, key = path.suffix.lower(), (path.parent, path.stem)
        name, text = str(path.relative_to(root)), texts.get(key, path.with_suffix(TEXTS[0]))
        if kind in OTHERS and key in texts and key not in read_here:
            yield Pair(name, path, ValueError(f"{kind} is not read; valid: {', '.join(sorted(SUFFIXES))}"))
        elif kind in SUFFIXES:
            try:
                yield Pair(name, path, read(text, root).splitlines())
            except ValueError as e:
                yield Pair(name, path, ValueError(f"its caption {text.name} {e}"))


def pairs(root: Path) -> list[Pair]:
    """Every picture with its captions, from metadata files or, where none names it, from the text beside it."""
    paths = files(root)
    named = [pair for p in paths if p.name.lower() in (JSONL, CSV, UNREAD) for pair in listed(p, root)]
    if any(isinstance(pair.text, ValueError) for pair in named):
        return named  # a broken line may be meant for any picture
    known = {pair.path for pair in named}
    return [*named, *(pair for pair in beside(paths, root) if pair.path not in known)]

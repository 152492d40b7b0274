"""A person's own pictures: a folder of image files with captions.

A picture's captions are in a `metadata.jsonl` or `metadata.csv` with `file_name` and `text` (`text` may be a list of
wordings), else in a `name.txt` beside `name.png` (one wording a line). All files are checked before the first step:
one error names those that can't be used, or with skip_bad=True they are left out, and a line says so.
"""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from distill.data import SIDE, Example, Split
from distill.data.metadata import inside, pairs
from distill.data.pictures import load
from models.prompt import spelt

MAX_CAPTION = 1000
SHOWN = 10  # most faults that an error lists
FEW = 50  # number of pictures below which none is held out


@dataclass(frozen=True)
class Row:
    path: Path
    captions: tuple[str, ...]
    key: str  # sha256 of the file


def content_split(key: str) -> Split:
    """The split of a picture: a tenth is held out, by the file's hash, so that no picture is on both sides."""
    return "held_out" if int(key[:8], 16) % 10 == 0 else "train"


def wordings(text: object) -> tuple[str, ...]:
    """Captions from a line of text or a list of lines, stripped and without empty ones. Raises ValueError."""
    given = text if isinstance(text, list) else [text]
    lines = [spelt(" ".join(line.split())) for line in given if isinstance(line, str)]
    if len(lines) < len(given):
        raise ValueError("`text` is neither a line nor a list of lines")
    kept = tuple(dict.fromkeys(filter(None, lines)))
    if not kept:
        raise ValueError("its caption is empty")
    if any(len(line) > MAX_CAPTION for line in kept):
        raise ValueError(f"a caption is longer than {MAX_CAPTION} characters")
    return kept


def check(root: Path, side: int = SIDE) -> tuple[list[Row], list[str]]:
    """Every usable picture, and one sentence for each other one. Every file is decoded once."""
    rows, faults = [], []
    for pair in pairs(root):
        try:
            if isinstance(pair.text, ValueError):
                raise pair.text
            captions = wordings(pair.text)
            path = inside(pair.path, root)
            load(path, side)
            rows.append(Row(path, captions, hashlib.sha256(path.read_bytes()).hexdigest()))
        except ValueError as e:
            faults.append(f"{pair.name}: {e}")
    return rows, faults


def left_out(path: Path | str, total: int, faults: list[str]) -> str:
    """One line that counts the pictures that are not used, and names the first."""
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"left out {len(faults)} of {total} pictures in {path}: {' '.join(faults[0].split())}{more}"


class Folder:
    """The pictures of a folder as a source, as squares of `side` pixels. `bad`: a sentence for each that was left out.

    few: with fewer pictures than this none is held out.
    """

    def __init__(
        self, path: Path | str, split: Split = "train", skip_bad: bool = False, side: int = SIDE, few: int = FEW
    ):
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
        sides: dict[Split, list[Row]] = {"train": [], "held_out": []}
        for row in rows:
            sides[content_split(row.key) if len(rows) >= few else "train"].append(row)
        self.rows = sides[split]
        if not self.rows and split == "train":
            raise ValueError(f"{path} holds no picture with a caption: put cat.txt beside cat.png, or a metadata.jsonl")
        if sides["held_out"] and split == "train":
            print(f"held out {len(sides['held_out'])} of {len(rows)} pictures in {path}, a tenth by content: "
                  "no training sees them", file=sys.stderr)  # fmt: skip
        self.name = f"folder-{root.name}"
        content = hashlib.sha256(repr([(r.key, r.captions) for r in self.rows]).encode()).hexdigest()
        self.side, self.signature = side, ("folder", split, content, side)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        return Example(load(row.path, self.side), row.captions, {"file": row.path.name}, row.key)

"""A user's own pictures: a folder of image files, each with what it shows.

Captions are a `name.txt` beside `name.png` (one wording a line), or a `metadata.jsonl` or `metadata.csv` with
`file_name` and `text` (`text` may be a list of wordings); of a picture that these do not name, beside it. Everything is
checked before the first step: what cannot be used is named in one error, or left out with skip_bad=True, which is said
in one line.
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
SHOWN = 10  # faults that an error lists
FEW = 50  # pictures, below which none is held out


@dataclass(frozen=True)
class Row:
    path: Path
    captions: tuple[str, ...]
    key: str  # sha256 of the file


def content_split(key: str) -> Split:
    """A tenth of the pictures, by hash of the file: the same picture is never on both sides."""
    return "held_out" if int(key[:8], 16) % 10 == 0 else "train"


def wordings(text: object) -> tuple[str, ...]:
    """Captions from a line of text or a list of them, stripped, empty ones gone."""
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
    """Every usable picture, and one sentence for each that is not; every file is decoded once."""
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
    """The pictures of one folder, squares of `side` pixels. `bad`: what was left out; keys: hashes of the files.

    few: of fewer pictures than this none is held out.
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

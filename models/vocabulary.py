"""The words that a small model was trained on, as its folder lists them."""

import json
import re
import unicodedata

from models import catalogue
from models.catalogue import Row

FILE = "vocabulary.json"
MARKS = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c) in ("Mn", "Mc"))  # accents
WORD = re.compile(rf"[^\W\d_](?:[\w'’-]|[{MARKS}])*")


def vocabulary(row: Row) -> list[str] | None:
    """The words of a model, or of its nearest base that lists them, the commonest first. None for models that know a
    whole language."""
    for r in catalogue.chain(row):
        if r.folder is not None and (r.folder / FILE).is_file():
            entries = json.loads((r.folder / FILE).read_text(encoding="utf-8"))
            return list(dict.fromkeys(word for entry in entries for word in WORD.findall(entry.lower())))
    return None


def knows(row: Row, word: str) -> bool:
    """Whether the model was trained on this word, or knows a whole language."""
    words = vocabulary(row)
    return words is None or word in words

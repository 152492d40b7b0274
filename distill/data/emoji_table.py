"""Writes assets/emoji.json: the name of every emoji, as captions have it and as prompts are read.

    python -m distill.data.emoji_table    write it again, after the names in distill/data/emoji_words.py changed

Skin tones and variation selectors are left out, as `models/prompt.py` reads them itself. The names are Unicode's, made
plain by `plain_name`. Characters that people type as text (©, ™, ‼) are left out too.
"""

import json
import sys
import tempfile
from pathlib import Path

from core.paths import assets
from distill.data.emoji_fetch import NAMES, members, pack
from distill.data.emoji_words import plain_name
from models.prompt import BARE

SET = "sets/15/all.json"
FIRST_PICTURE = 0x2190  # a single character before this is text
MORE = {  # pairs of people in two skin tones, which are sequences of their own, and emoji newer than the package
    "👩\u200d🤝\u200d👨": "man and woman holding hands",
    "👩\u200d🤝\u200d👩": "women holding hands",
    "👨\u200d🤝\u200d👨": "men holding hands",
    "🧑\u200d❤\u200d🧑": "couple with heart",
    "🧑\u200d❤\u200d💋\u200d🧑": "kiss",
    "🫱\u200d🫲": "handshake",
    "\U0001fae9": "face with bags under eyes",
    "\U0001fac6": "fingerprint",
    "\U0001fabe": "leafless tree",
    "\U0001fadc": "root vegetable",
    "\U0001fa89": "harp",
    "\U0001fa8f": "shovel",
    "\U0001fadf": "splatter",
}
QUOTES = str.maketrans("", "", "“”*:!()")


def table(names: dict) -> dict[str, str]:
    """The name of each emoji, from the package's own file and in its order."""
    out = {}
    for entry in names["emojis"].values():
        name = " ".join(plain_name(entry["name"]).translate(QUOTES).split())
        emoji = entry["skins"][0]["native"].translate(BARE)
        if len(emoji) > 1 or ord(emoji) >= FIRST_PICTURE:
            out[emoji] = name
    return out | MORE


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        files = members(pack(NAMES, Path(folder)), lambda name: name == SET)
    named = table(json.loads(files[SET]))
    lines = json.dumps(named, ensure_ascii=False, indent=0)
    (assets() / "emoji.json").write_text(lines + "\n", encoding="utf-8")
    print(f"{len(named):,} emoji in {assets() / 'emoji.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

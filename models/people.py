"""Nouns of people and hands whose emoji come in five skin tones.

Unicode lists the emoji that take a tone (Emoji_Modifier_Base). Their names are those of assets/emoji.json; a few others
are what people type for them. Emoji of several people are left out, as each of them may have a tone of their own.
"""

import functools
import re

from models import prompt

BASES = (  # first and last code points
    (0x261D, 0x261D), (0x26F9, 0x26F9), (0x270A, 0x270D), (0x1F385, 0x1F385), (0x1F3C2, 0x1F3C4), (0x1F3C7, 0x1F3C7),
    (0x1F3CA, 0x1F3CC), (0x1F442, 0x1F443), (0x1F446, 0x1F450), (0x1F466, 0x1F469), (0x1F46E, 0x1F46E),
    (0x1F470, 0x1F478), (0x1F47C, 0x1F47C), (0x1F481, 0x1F483), (0x1F486, 0x1F487), (0x1F4AA, 0x1F4AA),
    (0x1F574, 0x1F575), (0x1F57A, 0x1F57A), (0x1F590, 0x1F590), (0x1F595, 0x1F596), (0x1F645, 0x1F647),
    (0x1F64B, 0x1F64F), (0x1F6B4, 0x1F6B6), (0x1F6C0, 0x1F6C0), (0x1F6CC, 0x1F6CC), (0x1F90C, 0x1F90C),
    (0x1F90F, 0x1F90F), (0x1F918, 0x1F91C), (0x1F91E, 0x1F91F), (0x1F926, 0x1F926), (0x1F930, 0x1F939),
    (0x1F93D, 0x1F93E), (0x1F977, 0x1F977), (0x1F9B5, 0x1F9B6), (0x1F9B8, 0x1F9B9), (0x1F9BB, 0x1F9BB),
    (0x1F9CD, 0x1F9CF), (0x1F9D1, 0x1F9DD), (0x1FAC3, 0x1FAC5), (0x1FAF0, 0x1FAF8),
)  # fmt: skip
SEVERAL = re.compile(r"\b(?:holding hands|kiss|couple|family|men|women|people)\b")
ALSO = (
    "person", "human", "kid", "toddler", "guy", "lady", "gentleman", "grandmother", "grandfather", "old lady", "doctor",
    "nurse", "professor", "gardener", "chef", "king", "queen", "groom", "bride", "mother", "father", "angel", "hero",
    "villain", "wizard", "witch", "magician", "builder", "policeman", "fireman", "soldier", "spy", "painter", "climber",
    "cyclist", "golfer", "hand", "fist", "thumb", "finger",
)  # fmt: skip


@functools.cache
def noun() -> re.Pattern[str]:
    """A pattern of these nouns in a prompt; the longest one that fits."""
    toned = [name for emoji, name in prompt.names().items() if any(a <= ord(emoji[0]) <= b for a, b in BASES)]
    nouns = {*(name for name in toned if not SEVERAL.search(name)), *ALSO}
    longest_first = "|".join(map(re.escape, sorted(nouns, key=len, reverse=True)))
    return re.compile(rf"\b(?:{longest_first})\b", re.IGNORECASE)

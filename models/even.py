"""Even: attributes that a prompt leaves open are spread over the pictures, by words added to each picture's prompt.

    completed("a mug", seed, "everything")   "a small red mug on a blue background, side view"

A value is a function of the prompt and the picture's seed. Values come as often as in the captions of toys
(models/law.py), in rounds: where n values are equally likely, any n neighbouring seeds show each of them once. Colour,
pattern, size and view are open only for the kinds of toys; the background is open wherever a prompt names none; the
skin tone is open where it names one person or hand, for models that were trained on the words for tones.
"""

import hashlib
import re
from collections.abc import Iterator
from fractions import Fraction
from math import gcd, lcm

from models import people
from models.law import KIND_WORDS, PATTERNS, SIZES
from models.palette import BACKGROUNDS, COLOURS, UNSEEN
from models.prompt import TONES, with_tones
from models.views import CHANCES, PHRASES

EVEN = {  # the choices: which attributes each one spreads
    "nothing": (),
    "background": ("background",),
    "everything": ("background", "colour", "pattern", "size", "view"),
    "everything and skin": ("background", "colour", "pattern", "size", "view", "skin"),
}
LAW: dict[str, dict[str, float]] = {
    "background": dict.fromkeys(BACKGROUNDS, 1 / len(BACKGROUNDS)),
    "colour": dict.fromkeys(COLOURS, 1 / len(COLOURS)),
    "pattern": PATTERNS,
    "size": SIZES,
    "view": CHANCES,
}
SKIN = dict.fromkeys(TONES.values(), 1 / len(TONES))  # of people and hands, which toys have none of
WORDS = {  # patterns of the words by which a prompt names an attribute
    "colour": "|".join((*COLOURS, "turquoise", "violet", "gray")),
    "pattern": "plain|striped|stripy|stripes|dotted|spotted|polka-dot|dots|spots",
    "size": "big|large|huge|small|little|tiny",
    "view": "view|seen|above|behind|from the (?:front|side)",
    "skin": r"skin|\w+-skinned",
}
SAID = {head: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for head, words in WORDS.items()}
GROUND = re.compile(  # words that name a background; a colour in them is not the thing's
    rf"\b(?:\w+ )?back(?:ground|drop)\b|\b(?:on|against) (?:{WORDS['colour']})\s*(?=,|$)", re.IGNORECASE
)
KINDS = "|".join(sorted((word for words in KIND_WORDS.values() for word, _ in words), key=len, reverse=True))
LOOKS = "|".join(WORDS[head] for head in ("colour", "pattern", "size"))
ONE = re.compile(rf"\s*(an?) +(?P<own>(?:(?:{LOOKS}) +)*)(?P<kind>{KINDS})\b(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
PLACED = re.compile(rf"\b(?:{KINDS})\b|\b(?:and|next to|in front of)\b", re.IGNORECASE)  # more than one thing


def left_open(prompt: str, which: str) -> list[str]:
    """The attributes of `which` (a key of EVEN) that the prompt does not name, in the order of choosing."""
    one = ONE.match(prompt)
    toy = one is not None and not PLACED.search(one["rest"])
    has = {"background": True, "skin": len(people.noun().findall(prompt)) == 1}
    heads, thing = [head for head in EVEN[which] if has.get(head, toy)], GROUND.sub("", prompt)
    return [head for head in heads if (thing == prompt if head == "background" else not SAID[head].search(thing))]


def needs(which: str) -> str | None:
    """The word that a model must have been trained on for this choice."""
    return "skin" if "skin" in EVEN[which] else None


def in_rounds(law: dict[str, float], seed: int, salt: str, turning: bool) -> Iterator[str]:
    """The seed's value and then others, in rounds in which each value comes as often as in `law`. With `turning` each
    round begins at a place of its own, so that two attributes with equal rounds are independent."""
    shares = {value: Fraction(share).limit_denominator(60) for value, share in law.items()}
    n = lcm(*(share.denominator for share in shares.values()))
    table = [value for value, share in shares.items() for _ in range(int(share * n))]
    stride = next(k for k in range(round(0.618 * n), 2 * n) if gcd(k, n) == 1)  # neighbours are far apart
    for place in range(seed, seed + n):
        turn = _number(f"{salt}/{place // n if turning else 0}")
        yield table[(place * stride + turn) % n]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def chosen(prompt: str, seed: int, which: str) -> dict[str, str]:
    """The value of each attribute that the prompt leaves open, for the picture of this seed."""
    out: dict[str, str] = {}
    for head in left_open(prompt, which):
        law, salt = SKIN if head == "skin" else LAW[head], f"{head}/{prompt.strip().lower()}"
        values = in_rounds(law, seed, salt, turning=head != "background")
        taken = out.get("background")
        out[head] = next(v for v in values if not (head == "colour" and (v, taken) in UNSEEN))
    return out


def completed(prompt: str, seed: int, which: str) -> str:
    """The prompt with the chosen words in their usual places. The word "plain" is left out, as captions do."""
    values = chosen(prompt, seed, which)
    if not values:
        return prompt
    looks = [values[head] for head in ("size", "pattern", "colour") if values.get(head, "plain") != "plain"]
    if looks and (one := ONE.match(prompt)):
        words = sorted([*one["own"].split(), *looks], key=_rank)
        article = "an" if words[0][0] in "aeiou" else "a"
        prompt = f"{article} {' '.join(words)} {one['kind']}{one['rest']}"
    if "skin" in values:
        prompt = people.noun().sub(lambda match: with_tones(match[0], [values["skin"]]), prompt)
    text, comma, tail = prompt.rstrip(" .").partition(",")
    if "background" in values:
        text = f"{text} on a {values['background']} background"
    text += comma + tail
    return f"{text}, {PHRASES[values['view']][0]}" if "view" in values else text


def _rank(word: str) -> int:
    """The place of an adjective: sizes first, then patterns, then colours."""
    return next((n for n, head in enumerate(("size", "pattern")) if SAID[head].fullmatch(word)), 2)

"""From a prompt to the text that the encoder reads: wildcards are chosen, emoji become names, a style adds words.

Pure, and the same for every model. A `Traced` text has the place in the prompt of each of its characters, so that the
page can mark the parts that a model does not read. `notes` explains the parts of a prompt that have no effect.
"""

import functools
import hashlib
import json
import re
from dataclasses import dataclass

from core.paths import assets

SELECTORS = dict.fromkeys([0xFE0E, 0xFE0F])  # they choose text or picture style, not another emoji
TONES = {0x1F3FB: "light", 0x1F3FC: "medium-light", 0x1F3FD: "medium", 0x1F3FE: "medium-dark", 0x1F3FF: "dark"}
BARE = SELECTORS | dict.fromkeys(TONES)
JOINER = "\u200d"
LONGEST = 16  # characters of one emoji, with its skin tones, joiners and selectors
PICTURE = re.compile("[\U0001f000-\U0001faff]")
WILDCARD = re.compile(r"\{([^{}]*\|[^{}]*)\}")
BAR = re.compile(r"\|")
STRAY = re.compile(r"\{[^{}]*\}|[{}]")
WEIGHT = re.compile(r"\([^()]*:\s*[0-9]*\.?[0-9]+\s*\)|<\w+:[^<>]*>|\(\([^()]*\)\)")
NEGATION = re.compile(r"\b(?:no|not|without|never|(?:do|does|is|are|ca|wo)n['’]t)\b(?=\s+[\w({])", re.IGNORECASE)


@dataclass(frozen=True)
class Traced:
    """A text, with the place in the prompt of each of its characters."""

    text: str
    places: tuple[int, ...]

    @classmethod
    def typed(cls, text: str) -> "Traced":
        return cls(text, tuple(range(len(text))))

    def __getitem__(self, which: slice) -> "Traced":
        return Traced(self.text[which], self.places[which])

    def __add__(self, other: "Traced") -> "Traced":
        return Traced(self.text + other.text, self.places + other.places)


@dataclass(frozen=True)
class Note:
    """One sentence about a prompt, and the parts of the prompt that it is about."""

    sentence: str
    marks: tuple[str, ...] = ()


def expand(prompt: str, seed: int) -> str:
    """Wildcards: each `{a|b|c}` becomes one of its parts, the same for the same seed. They nest.

    Braces without a bar, or without a partner, stay as they are.
    """
    return _chosen(Traced.typed(prompt), seed).text


def _chosen(prompt: Traced, seed: int) -> Traced:
    count = 0
    while match := WILDCARD.search(prompt.text):
        bars = [bar.start() for bar in BAR.finditer(prompt.text, *match.span())]
        parts = list(zip([match.start() + 1, *(bar + 1 for bar in bars)], [*bars, match.end() - 1], strict=True))
        digest = hashlib.sha256(f"{seed}/{count}".encode()).digest()
        start, end = parts[int.from_bytes(digest[:8], "big") % len(parts)]
        prompt = prompt[: match.start()] + prompt[start:end] + prompt[match.end() :]
        count += 1
    return prompt


@functools.cache
def names() -> dict[str, str]:
    """The name of each emoji, without selectors and skin tones, from the table of `python -m
    distill.data.emoji_table`."""
    return json.loads((assets() / "emoji.json").read_text(encoding="utf-8"))


@functools.cache
def _first() -> re.Pattern[str]:
    """A pattern of the starts of emoji: the first character of one, or the digit of a keycap."""
    starts = "".join(sorted({emoji[0] for emoji in names() if not emoji[0].isascii()}))
    return re.compile(f"[{starts}]|[0-9#*](?=\ufe0f?\u20e3)")


@functools.cache
def _negative_names() -> re.Pattern[str]:
    """A pattern of the names of emoji that hold a negation, such as "face without mouth"; these are understood."""
    return re.compile("|".join(re.escape(n) for n in names().values() if NEGATION.search(n)), re.IGNORECASE)


def with_tones(name: str, tones: list[str]) -> str:
    """The name with a skin tone, or with those of two people, in the words of captions."""
    if not tones:
        return name
    return f"{name} {'and' if ' with ' in name else 'with'} {' and '.join(dict.fromkeys(tones))} skin"


def _emoji_at(text: str, i: int) -> tuple[int, str] | None:
    """The end and the name of the longest emoji that begins at i; None where there is none."""
    if not _first().match(text, i):
        return None
    for end in range(min(len(text), i + LONGEST), i, -1):
        raw = text[i:end]
        if name := names().get(raw.translate(BARE)):
            return end, with_tones(name, [TONES[ord(c)] for c in raw if ord(c) in TONES])
    return None


def emoji(text: str) -> list[tuple[int, int, str]]:
    """Every emoji in the text that has a name: (start, end, name). A joiner after it belongs to it."""
    out, i = [], 0
    while match := _first().search(text, i):
        i = match.start()
        emoji = _emoji_at(text, i)
        if emoji is None:
            i += 1
            continue
        end, name = emoji
        while end < len(text) and text[end] in (JOINER, "\ufe0e", "\ufe0f"):
            end += 1
        out.append((i, end, name))
        i = end
    return out


def named(prompt: Traced) -> Traced:
    """The text with emoji replaced by their names: spaces separate a name from letters, "and" separates two adjacent
    ones."""
    out, done = Traced("", ()), 0
    for start, end, name in emoji(prompt.text):
        between = prompt[done:start]
        if done and not between.text.strip():
            before = " and "
        else:
            out += between
            before = " " if out.text[-1:].isalnum() else ""
        after = " " if prompt.text[end : end + 1].isalnum() else ""
        word = before + name + after
        out += Traced(word, (prompt.places[start],) * len(word))
        done = end
    return out + prompt[done:]


def reading(prompt: str, seed: int = 0, style: str = "{prompt}") -> Traced:
    """The text that the encoder reads. Words of the style are placed at the prompt's end."""
    before, _, after = style.partition("{prompt}")
    middle = named(_chosen(Traced.typed(prompt), seed))
    return Traced(before, (0,) * len(before)) + middle + Traced(after, (len(prompt),) * len(after))


def spelt(text: str) -> str:
    """A text without wildcards (a negative prompt, a caption), with its emoji replaced by their names."""
    return named(Traced.typed(text)).text


def notes(prompt: str) -> list[Note]:
    """The parts of a prompt that are read differently than they look, or that have no effect."""
    candidates = [_emoji_read(prompt), _nameless(prompt), _braces(prompt), _weights(prompt), _negations(prompt)]
    return [note for note in candidates if note is not None]


def _emoji_read(prompt: str) -> Note | None:
    pairs = dict.fromkeys((prompt[start:end], name) for start, end, name in emoji(prompt))
    first, *others = [f"{typed} {{}}as {name}" for typed, name in pairs] or [""]
    return Note(", ".join([first.format("is read "), *(o.format("") for o in others)]) + ".") if pairs else None


def _nameless(prompt: str) -> Note | None:
    marks = tuple(dict.fromkeys(PICTURE.findall(spelt(prompt))))
    return Note(f"No name is known for {' '.join(marks)}, so it is not read.", marks) if marks else None


def _braces(prompt: str) -> Note | None:
    rest = expand(prompt, 0)
    marks = tuple(dict.fromkeys(STRAY.findall(rest)))
    if not marks:
        return None
    whole = [m for m in marks if len(m) > 1]
    why = f"{whole[0]} has no | in it" if whole else f"{marks[0]} has no partner"
    return Note(f"{why}, so it is read as it stands. {{red|blue}} picks one of its parts for each picture.", marks)


def _weights(prompt: str) -> Note | None:
    marks = tuple(dict.fromkeys(WEIGHT.findall(prompt)))
    return Note(f"Weights do nothing here: {', '.join(marks)} is read as plain words.", marks) if marks else None


def _negations(prompt: str) -> Note | None:
    marks = tuple(dict.fromkeys(NEGATION.findall(_negative_names().sub("", spelt(prompt)))))
    if not marks:
        return None
    words = " and ".join(f"“{m}”" for m in marks)
    does = "do" if len(marks) > 1 else "does"
    what = "what follows is painted. A negative prompt leaves things out, for models that take one."
    return Note(f"{words} {does} nothing here: {what}", marks)


def shared(low: str, high: str) -> str:
    """The words that two prompts have in common, in the order of the first."""
    left, kept = high.split(), []
    for word in low.split():
        if word in left:
            kept.append(word)
            left = left[left.index(word) + 1 :]
    return " ".join(kept)

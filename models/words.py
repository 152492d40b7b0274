"""The vocabulary of a small model: the words of its training, the words of a prompt outside it, and near known words.

A word without a single token in the text encoder is taken for a typing mistake, and near words are near in spelling.
Any other word is spelt right, and near words are near in meaning, by the cosine of the encoder's input embeddings. A
word that is near in neither is not suggested.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from models import catalogue, prompt, text
from models.catalogue import Row
from models.prompt import Note, Traced
from models.vocabulary import WORD

ALIKE = 0.3  # least cosine of two words of near meaning, chosen by the pairs in tests/test_words.py
LITTLE = frozenset(
    "a an and any at by for from in into is it its of on one or some that the there these this to up very with".split()
)
GROUPS = {
    "things": "mushroom house car robot rocket teapot tree boat snowman fish bird hat chair lamp mug key egg".split(),
    "animals": "fox cat dog panda owl penguin bear lion frog turtle whale bee butterfly unicorn octopus".split(),
    "people": "woman man boy child person chef teacher farmer astronaut pilot ninja fairy mermaid wizard zombie "
    "superhero princess firefighter dancer".split(),
    "hands": "thumb fist handshake".split(),
    "food": "apple banana cherries strawberry pizza hamburger cake ice bread cheese carrot avocado doughnut".split(),
    "colours": "red orange yellow green teal blue purple pink brown white grey black".split(),
    "looks": "big small plain striped dotted".split(),
    "signs": "circle triangle checkmark infinity".split(),
    "places": "front side back above behind background left right top".split(),
}
FEW, MOST = 24, 60  # a model that knows fewer of the groups' words also shows its own; at most so many
PROMPTS = (
    "a red mushroom",
    "a fox",
    "two blue cubes on a yellow background",
    "a birthday cake",
    "a purple teapot",
    "an owl",
    "a frog on a pink background",
    "a sunflower",
    "a green tree on a blue background",
    "a slice of pizza",
    "a panda",
    "a unicorn",
    "a chef",
    "a thumbs up",
)


def tokenizer(row: Row) -> Any | None:
    """The tokenizer of a model; None while its pipeline of the Hub is not on this machine."""
    above = catalogue.on_hub(row)
    if above is None:
        return text.load_tokenizer(text.find())
    try:
        return AutoTokenizer.from_pretrained(
            above.hub, subfolder="tokenizer", revision=above.revision, local_files_only=True
        )
    except OSError:
        return None


class Vectors:
    """Words as unit vectors [N, D]: the mean input embedding of a word's tokens, less the mean of all tokens."""

    def __init__(self, tokenizer: Callable, encoder: Any):
        self.tokenizer = tokenizer
        self.pieces = encoder.get_input_embeddings().weight.detach()
        self.centre = self.pieces.mean(0)

    def __call__(self, words: Sequence[str]) -> Tensor:
        ids = self.tokenizer(list(words), add_special_tokens=False).input_ids
        means = torch.stack([self.pieces[torch.tensor(i, device=self.pieces.device)].mean(0) for i in ids])
        return nn.functional.normalize((means - self.centre).float(), dim=-1)

    def whole(self, words: Sequence[str]) -> list[bool]:
        """Whether each word is a single token, and so a word that the encoder knows."""
        return [len(ids) == 1 for ids in self.tokenizer(list(words), add_special_tokens=False).input_ids]


class Window:
    """The context length of a text encoder: a tokenizer and the most tokens, special ones included."""

    def __init__(self, tokenizer: Any, tokens: int):
        self.tokenizer, self.tokens = tokenizer, min(tokens, tokenizer.model_max_length)

    @classmethod
    def of(cls, row: Row) -> "Window | None":
        made = tokenizer(row)
        margin = 2 if row.instruction else 0  # tokens that the pipeline's own instruction may take
        return None if made is None or not made.is_fast else cls(made, row.tokens - margin)

    def end(self, line: str) -> int:
        """The number of characters that are read; the rest is cut off."""
        spans = self.tokenizer(line, return_offsets_mapping=True, truncation=False).offset_mapping
        after = next((i for i, (start, end) in enumerate(reversed(spans)) if end > start), 0)  # special tokens
        kept = self.tokens - after
        return len(line) if len(spans) <= self.tokens else spans[kept][0]


def folded(word: str) -> str:
    """A word as the text encoder of the box sees it: lower case, without accents, with straight apostrophes."""
    plain = unicodedata.normalize("NFD", word.lower().replace("’", "'"))
    return "".join(c for c in plain if unicodedata.category(c) != "Mn")


def scripts(word: str) -> set[str]:
    """The scripts of a word's letters: "LATIN", "CYRILLIC", "HIRAGANA" …, the first word of each letter's name."""
    return {unicodedata.name(c, "unknown").split()[0] for c in word if c.isalpha()}


def slips(a: str, b: str, most: int) -> int:
    """The edit distance between a and b: letters to add, drop, change or swap with a neighbour; at most `most` + 1."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before, last = [], list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
            if i > 1 and j > 1 and (x, a[i - 2]) == (b[j - 2], y):
                row[-1] = min(row[-1], before[j - 2] + 1)
        before, last = last, row
    return min(last[-1], most + 1)


class Words:
    """A vocabulary, its commonest words first; `known=None` knows every word.

    `window`: the context length of the text encoder; None where it is not known yet.
    """

    def __init__(self, known: Iterable[str] | None, look_up: Vectors, window: Window | None = None):
        words = None if known is None else dict.fromkeys(known)
        self.known = None if words is None else frozenset(map(folded, words))
        self.names = [w for w in words or () if w not in LITTLE and len(w) > 2]
        self.look_up, self.window = look_up, window
        whole = look_up.whole(self.names) if self.names else []  # tokenizers don't take empty lists
        self.whole = [name for name, one in zip(self.names, whole, strict=True) if one]
        self.table = look_up(self.whole) if self.whole else None

    def knows(self, word: str) -> bool:
        """Whether a word is known. Plurals and possessives count as the word, hyphenated words as their parts."""
        word = folded(word)
        if self.known is None or word in self.known or word in LITTLE:
            return True
        word = re.sub(r"'s?$", "", word)
        endings = (("ies", "y"), ("es", ""), ("s", ""), ("", ""))
        if any(word.endswith(end) and word.removesuffix(end) + new in self.known for end, new in endings):
            return True
        parts = word.split("-")
        return len(parts) > 1 and all(self.knows(p) for p in parts if p)

    def unknown(self, line: str) -> dict[str, str]:
        """The words of a prompt that are read and that the model never saw, in order, each with its typed form: the
        word itself, or an emoji."""
        read = prompt.named(Traced.typed(line))
        icons = {start: line[start:end] for start, end, _ in prompt.emoji(line)}
        words = {m[0].lower(): icons.get(read.places[m.start()], m[0]) for m in WORD.finditer(read.text)}
        return {word: typed for word, typed in words.items() if not self.knows(word)}

    @cached_property
    def letters(self) -> list[str]:
        """The scripts of the vocabulary, the commonest first."""
        return [name for name, _ in Counter(s for word in self.known or () for s in scripts(word)).most_common()]

    def foreign(self, word: str) -> bool:
        """Whether the vocabulary has no word in the script of this one."""
        return self.known is not None and scripts(word).isdisjoint(self.letters)

    def near(self, word: str, n: int = 3) -> list[str]:
        """Known words that this one may have meant, the likeliest first."""
        if self.table is None or self.foreign(word):
            return []
        if self.look_up.whole([word]) == [True]:
            close = (self.table @ self.look_up([word])[0]).topk(min(n, len(self.whole)))
            return [self.whole[i] for c, i in zip(*map(Tensor.tolist, close), strict=True) if c >= ALIKE]
        most = 1 if len(word) < 7 else 2
        alike = [w for w in self.names if w[0] == word[0] and abs(len(w) - len(word)) <= most]
        ranked = sorted((slips(word, w, most), i, w) for i, w in enumerate(alike))
        return [w for distance, _, w in ranked if distance <= most][:n]

    def tell(self, line: str, seed: int = 0, style: str = "{prompt}", most: int = 8) -> dict[str, Any]:
        """The parts of a prompt that are not read as typed: at most `most` `unknown` words, each with near ones;
        `notes`; and the number of characters that are `read`, where that is not all."""
        strange = self.unknown(line)
        foreign = [word for word in strange if self.foreign(word)]
        near = [{"word": w, "typed": t, "near": self.near(w)} for w, t in strange.items() if w not in foreign]
        notes, read = prompt.notes(line), self.read(line, seed, style)
        if foreign:
            known = " and ".join(name.capitalize() for name in self.letters[:2])
            sentence = f"This model was trained on words in {known} letters only; it can't read {', '.join(foreign)}."
            notes.append(Note(sentence, tuple(strange[w] for w in foreign)))
        if read is not None:
            notes.append(Note("The prompt is longer than this model reads: what is crossed out is not read."))
        return {"unknown": near[:most], "notes": notes, "read": read}

    def read(self, line: str, seed: int, style: str) -> int | None:
        """The place in the prompt where reading stops; None where all of it is read."""
        if self.window is None:
            return None
        whole = prompt.reading(line, seed, style)
        end = self.window.end(whole.text)
        return None if end >= len(whole.text) else whole.places[end]

    def prompts(self) -> list[str]:
        """Example prompts whose words are all known."""
        return [p for p in PROMPTS if not self.unknown(p)]

    def chips(self) -> dict[str, list[str]]:
        """Known words in groups, to click. A model that knows few of them also gets its own commonest words."""
        groups = {group: [w for w in words if self.knows(w)] for group, words in GROUPS.items()}
        shown = {w for words in groups.values() for w in words}
        if len(shown) < FEW:
            groups["words"] = [w for w in self.names if w not in shown][:MOST]
        return {group: words for group, words in groups.items() if words}

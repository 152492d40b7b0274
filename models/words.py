"""What a small model knows: the words it was trained on; those of a prompt that it never saw, and near ones it did.

Near is near in spelling first (typing mistakes), then in meaning: the cosine of the text encoder's input embeddings,
which cost nothing to look up.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models import catalogue
from models.catalogue import Row

FILE = "vocabulary.json"
WORD = re.compile(r"[^\W\d_][\w'-]*")
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
FEW, MOST = 24, 60  # of the groups' words, below which a model shows its own, and of those
PROMPTS = (
    "a red mushroom",
    "a fox",
    "two blue cubes on a yellow background",
    "a small teal robot",
    "a striped teapot",
    "an owl",
    "a pink house from above",
    "an orange fish in front of a white boat",
    "a slice of pizza",
    "a black hat on a red chair",
    "a panda",
    "three green eggs",
    "a chef",
    "a thumbs up",
)


def vocabulary(row: Row) -> list[str] | None:
    """The words of the model, or of the nearest base that says, in the order of the file: the commonest first.

    None for models that know a whole language.
    """
    for r in catalogue.chain(row):
        if r.folder is not None and (r.folder / FILE).is_file():
            entries = json.loads((r.folder / FILE).read_text(encoding="utf-8"))
            return list(dict.fromkeys(word for entry in entries for word in WORD.findall(entry.lower())))
    return None


def vectors(tokenizer: Callable, encoder: Any) -> Callable[[Sequence[str]], Tensor]:
    """Words to unit vectors [N, D]: the mean of their pieces' input embeddings, centred on all pieces."""
    table = encoder.get_input_embeddings().weight.detach()
    centre = table.mean(0)

    def look_up(words: Sequence[str]) -> Tensor:
        pieces = tokenizer(list(words), add_special_tokens=False).input_ids
        means = torch.stack([table[torch.tensor(p, device=table.device)].mean(0) for p in pieces])
        return nn.functional.normalize((means - centre).float(), dim=-1)

    return look_up


class Words:
    """A vocabulary that can be asked, its commonest words first. `known=None` knows every word."""

    def __init__(self, known: Iterable[str] | None, look_up: Callable[[Sequence[str]], Tensor]):
        words = None if known is None else dict.fromkeys(known)
        self.known = None if words is None else frozenset(words)
        self.names = [w for w in words or () if w not in LITTLE and len(w) > 2]
        self.look_up = look_up
        self.table = look_up(self.names) if self.names else None

    def knows(self, word: str) -> bool:
        """Plural and possessive count as the word itself, hyphenated ones as their parts."""
        if self.known is None or word in self.known or word in LITTLE:
            return True
        word = re.sub(r"'s?$", "", word)
        endings = (("ies", "y"), ("es", ""), ("s", ""), ("", ""))
        if any(word.endswith(end) and word.removesuffix(end) + new in self.known for end, new in endings):
            return True
        parts = word.split("-")
        return len(parts) > 1 and all(self.knows(p) for p in parts if p)

    def unknown(self, prompt: str) -> list[str]:
        """Words of the prompt that the model never saw, in order, each once."""
        return [w for w in dict.fromkeys(WORD.findall(prompt.lower())) if not self.knows(w)]

    def near(self, word: str, n: int = 3) -> list[str]:
        """Known words that may have been meant, the likeliest first."""
        if self.table is None:
            return []
        spelt = difflib.get_close_matches(word, self.names, n=1, cutoff=0.8)
        close = (self.table @ self.look_up([word])[0]).topk(min(n, len(self.names))).indices.tolist()
        return list(dict.fromkeys([*spelt, *(self.names[i] for i in close)]))[:n]

    def tell(self, prompt: str, most: int = 8) -> dict[str, list[str]]:
        """Unknown words of a prompt, at most so many, each with near ones."""
        return {w: self.near(w) for w in self.unknown(prompt)[:most]}

    def prompts(self) -> list[str]:
        """Examples of which every word is known."""
        return [p for p in PROMPTS if not self.unknown(p)]

    def chips(self) -> dict[str, list[str]]:
        """Known words by what they name, to click; of a model that knows few of those also its own commonest."""
        found = {group: [w for w in words if self.knows(w)] for group, words in GROUPS.items()}
        shown = {w for words in found.values() for w in words}
        if len(shown) < FEW:
            found["words"] = [w for w in self.names if w not in shown][:MOST]
        return {group: words for group, words in found.items() if words}

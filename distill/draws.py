"""Drawing rows of cached pictures for a batch, and the domains that they belong to."""

from collections.abc import Callable, Sequence

import numpy as np

from distill.data import cache
from distill.method import Rows

Drawn = list[tuple[cache.Cached, int, float]]  # source, index, and a uniform number that chooses a caption


def domain(attributes: dict) -> str:
    """The domain of a picture: what kind of scene a toy is, or the group of an emoji."""
    if relation := attributes.get("relation"):
        return "two, one beside the other" if relation in ("left of", "right of") else "two, one before or on the other"
    if "kind" in attributes:
        return "one thing" if attributes.get("count", 1) == 1 else "several of a kind"
    return attributes.get("group") or "the rest"


class Draws:
    """Draws rows of cached sources, with replacement: sources equally often, the rows of each by their weight."""

    def __init__(self, parts: list[cache.Cached], weigh: Callable[[dict], float] = lambda _: 1.0):
        self.parts = parts
        weights = [np.array([weigh(row) for row in part.attributes]) for part in parts]
        self.edges, self.sources = [np.cumsum(w) for w in weights], None
        self.usual = [w / w.sum() / len(parts) for w in weights]  # the probability of each row

    def __call__(self, n: int, rng: Rows) -> Drawn:
        which, where, extra = (rng.rand(n).double().numpy() for _ in range(3))
        source, rows = self._source(which), np.zeros(n, int)
        for i, edges in enumerate(self.edges):
            mine = source == i
            rows[mine] = np.searchsorted(edges, where[mine] * edges[-1], side="right").clip(max=len(edges) - 1)
        parts = [self.parts[i] for i in source.tolist()]
        return list(zip(parts, rows.tolist(), extra.tolist(), strict=True))

    def _source(self, which: np.ndarray) -> np.ndarray:
        if self.sources is None:
            return (which * len(self.parts)).astype(int)
        return np.searchsorted(self.sources, which * self.sources[-1], side="right").clip(max=len(self.parts) - 1)

    def domains(self) -> dict[str, float]:
        """The share of each domain, as rows are usually drawn."""
        out: dict[str, float] = {}
        for part, usual in zip(self.parts, self.usual, strict=True):
            for attributes, share in zip(part.attributes, usual.tolist(), strict=True):
                out[domain(attributes)] = out.get(domain(attributes), 0.0) + share
        return dict(sorted(out.items()))

    def share(self, shares: Sequence[float]) -> None:
        """Draw the domains, in the order of `domains`, with these probabilities from now on; the rows of each as
        before."""
        factors = {name: new / old for (name, old), new in zip(self.domains().items(), shares, strict=True)}
        weights = [
            usual * np.array([factors[domain(a)] for a in part.attributes])
            for part, usual in zip(self.parts, self.usual, strict=True)
        ]
        self.edges, self.sources = [np.cumsum(w) for w in weights], np.cumsum([w.sum() for w in weights])

    def some(self, each: int) -> Drawn:
        """`each` rows of every domain, in the order of `domains`, evenly from all that there are; each with its first
        caption."""
        places: dict[str, list[tuple[cache.Cached, int]]] = {name: [] for name in self.domains()}
        for part in self.parts:
            for i, attributes in enumerate(part.attributes):
                places[domain(attributes)].append((part, i))
        picked = [own[k * len(own) // each] for own in places.values() for k in range(each)]
        return [(part, i, 0.0) for part, i in picked]


def rows_of(draws: Drawn) -> tuple[np.ndarray, list[str], list[dict]]:
    arrays = np.stack([part[i] for part, i, _ in draws])
    captions = [part.captions[i][wording(part, i, e)] for part, i, e in draws]
    return arrays, captions, [part.attributes[i] for part, i, _ in draws]


def wording(part: cache.Cached, i: int, extra: float) -> int:
    """The index of the caption of row i that a uniform number in [0, 1) chooses."""
    return int(extra * len(part.captions[i]))

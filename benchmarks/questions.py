"""The benchmark's prompts with their true attributes: held-out captions, and real pictures of the same scenes."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.paths import cache as cache_dir
from distill.data import TOYS, Source, cache, often, sources
from distill.data.emoji import Emoji
from distill.data.pairs import CELL, CORNERS, Pairs
from distill.data.toys import Scene, Toys, prompt, render, sample_scene, truth
from distill.data.toys.scene import sample_mini
from distill.data.words import Words
from evals.labels import legible

ASKED, REFERENCE = 1001, 1002  # seeds of the prompts' scenes, and of other scenes for comparison
CHOOSING = 1003  # seed of the scenes for choosing a checkpoint
NAMED = 0.4  # chance that a prompt names the pattern, size, background or view; kinds and colours are always named


@dataclass(frozen=True)
class Question:
    """A prompt. `expected`: the attributes that it states, as a judge's classes: {head: class}."""

    prompt: str
    expected: dict[str, str]
    group: str  # one, several (of a kind), relation (of two), emoji, first (emoji that are learnt first), people, pair


def group(scene: Scene) -> str:
    return "relation" if scene.relation else "several" if scene.count > 1 else "one"


def ask(scene: Scene, rng: np.random.Generator, mini: bool = False) -> Question:
    """A prompt for a scene. It names kinds, colours, count and relation, and some of the other attributes."""
    rest = ("background",) if mini else ("pattern", "size", "background", "view")
    names = ["colour", *(n for n in rest if rng.random() < NAMED)]
    facts = legible(scene.attributes())
    heads = [head for head in truth(scene, names) if head != "faced"]
    expected = {head: str(facts[head]) for head in heads if facts[head] is not None}
    return Question(prompt(scene, names, rng), expected, group(scene))


def toys(n: int, mini: bool = False, seed: int = ASKED) -> list[Question]:
    source = Toys(seed, "held_out", n, mini)
    return [ask(source.scene(i), np.random.default_rng([seed, i]), mini) for i in range(n)]


def emoji(n: int) -> tuple[list[Question], Tensor]:
    """Questions about known emoji, in wordings and on backgrounds that were never trained, with real pictures."""
    source = Emoji("held_out", n, ASKED)
    examples = [source[i] for i in range(n)]
    groups = ["first" if often(e.attributes) > 1 else "emoji" for e in examples]
    named = zip(examples, groups, strict=True)
    questions = [Question(e.captions[0], {"emoji": e.attributes["emoji"]}, group) for e, group in named]
    return questions, tensor([e.picture for e in examples])


def people(n: int, known: Collection[str]) -> tuple[list[Question], Tensor]:
    """The same for people and hands whose names the judge knows. Prompts may name skin tones, which are not scored."""
    source = Words("held_out", n, ASKED)
    source.emoji = [e for e in source.emoji if e.row["group"] == "people" and e.row["name"] in known]
    examples = [source[i] for i in range(n)] if source.emoji else []
    questions = [Question(e.captions[0], {"emoji": e.attributes["emoji"]}, "people") for e in examples]
    return questions, tensor([e.picture for e in examples]) if examples else torch.empty(0)


def pairs(n: int, known: Collection[str]) -> tuple[list[Question], Tensor, list[str]]:
    """Combinations of two known emoji that were never trained, with real pictures, and the places of the two."""
    source = Pairs("held_out", 2 * n, ASKED)
    source.emoji, source.first = ([e for e in part if e.row["name"] in known] for part in (source.emoji, source.first))
    examples = [source[i] for i in range(1, 2 * n, 2)]  # the others are toys
    truths = [{k: e.attributes[k] for k in ("first", "second")} for e in examples]
    questions = [
        Question(e.captions[i % len(e.captions)], t, "pair")
        for i, (e, t) in enumerate(zip(examples, truths, strict=True))
    ]
    return questions, tensor([e.picture for e in examples]), [e.attributes["place"] for e in examples]


def cells(pictures: Tensor, places: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The parts of pictures with the first and the second emoji, each enlarged to full size: uint8 [N, 3, H, W]
    twice."""

    def cut(which: int) -> Tensor:
        corners = [CORNERS[place][which] for place in places]
        squares = [p[:, y : y + CELL, x : x + CELL] for p, (x, y) in zip(pictures, corners, strict=True)]
        return F.interpolate(torch.stack(squares).float(), scale_factor=2, mode="bilinear").round().byte()

    return cut(0), cut(1)


def tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """Pictures as a tensor, uint8 [N, 3, H, W]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def shards(source: Source) -> Iterator[Tensor]:
    """Every picture of a source from the cache, a shard [N, 3, H, W] at a time."""
    yield from (torch.from_numpy(np.array(a)).permute(0, 3, 1, 2) for a in cache.draw(source, cache_dir()).arrays)


def drawn(source: Source) -> Tensor:
    """Every picture of a source, as one tensor."""
    return torch.cat(list(shards(source)))


def real(n: int, seed: int, mini: bool = False) -> Tensor:
    """Held-out renders. Those of a seed show the scenes of the prompts of `toys` with the same seed."""
    return drawn(Toys(seed, "held_out", n, mini))


def real_with_truth(n: int, seed: int) -> tuple[Tensor, list[dict]]:
    source = Toys(seed, "held_out", n)
    return drawn(source), [source.scene(i).attributes() for i in range(n)]


def trained(dataset: str, toys: int = TOYS) -> Iterator[Tensor]:
    """Every picture of a training set, with the first toys only, in shards, as all would fill gigabytes."""
    for source in sources(dataset, toys=toys):
        yield from shards(source)


def held_out_emoji(n: int) -> Tensor:
    """Emoji that no autoencoder was trained on."""
    source = Emoji("held_out", n, ASKED, hold="pictures")
    return tensor([source[i].picture for i in range(n)])


def conditions(
    n: int, pictures: int, mini: bool = False, seed: int = ASKED, names: Collection[str] = ("colour",)
) -> tuple[list[str], Tensor]:
    """Prompts that name one kind and its `names`, and real pictures [n * pictures, ...] with all else at random.

    They are the first combinations that come often enough among scenes of one thing.
    """
    rng, by_kind = np.random.default_rng(seed), defaultdict(list)
    full: list[list[Scene]] = []
    while len(full) < n:
        scene = sample_mini(rng) if mini else sample_scene(rng)
        if group(scene) != "one":
            continue
        thing = scene.things[0]
        alike = by_kind[thing.kind, *(scene.named()[name] for name in names)]
        alike.append(scene)
        if len(alike) == pictures:
            full.append(list(alike))  # a copy, as later scenes are still added to the original
    prompts = [prompt(scenes[0], names) for scenes in full]
    return prompts, tensor([render(scene) for scenes in full for scene in scenes])

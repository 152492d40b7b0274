"""Scores of a judge's answers against the prompts. Pure: questions, classes and features in, figures out."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

import torch
from torch import Tensor

from benchmarks.questions import Question
from distill.data.toys.scene import Scene
from evals.judges import Judge
from evals.metrics import frechet, kernel_distance, nearest, support, vendi

Answer = Mapping[str, str]
SHARES = ("kind", "colour", "pattern", "size", "background", "view", "count", "relation", "binding", "emoji")
SHARES += ("first",)  # of the emoji those that training meets most often: animals, plants, food
SHARES += ("people", "pair")  # people and hands; two emoji, each in its place
DISTANCES = ("frechet", "kernel", "precision", "recall", "density", "coverage", "vendi", "backgrounds", "nearest",
             "nearest_emoji")  # fmt: skip
OF_ONE = ("kind", "colour", "pattern", "size", "view")  # counted on prompts for one thing


@dataclass(frozen=True)
class Reading:
    """A judge's features and answers for pictures."""

    features: Tensor  # [N, D]
    answers: list[dict[str, str]]  # a class for every head


def read(judge: Judge, pictures: Tensor) -> Reading:
    features, answers = judge.read(pictures)
    columns = {head: [judge.classes[head][i] for i in index.tolist()] for head, index in answers.items()}
    return Reading(features, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def right(judge: Judge, pictures: Tensor, scenes: Sequence[Scene]) -> dict[str, float]:
    """The shares of pictures [N, 3, H, W] whose first thing has the kind, and the colour, of their scene."""
    answers = read(judge, pictures).answers
    return {
        head: statistics.fmean(a[head] == getattr(s.things[0], head) for a, s in zip(answers, scenes, strict=True))
        for head in ("kind", "colour")
    }


def read_two(judge: Judge, first: Tensor, second: Tensor) -> Reading:
    """The reading of two emoji of each picture, each cut out."""
    both = [read(judge, part) for part in (first, second)]
    answers = zip(*(part.answers for part in both), strict=True)
    features = torch.cat([part.features for part in both], 1)
    return Reading(features, [{"first": a["emoji"], "second": b["emoji"]} for a, b in answers])


def pairs(answer: Answer) -> set[tuple[str, str]]:
    return {(answer["kind"], answer["colour"]), (answer["kind2"], answer["colour2"])}


def marks(question: Question, answer: Answer) -> dict[str, bool]:
    """Right or wrong for each attribute that the prompt names and that its group of prompts tests.

    relation: the relation and both kinds in their places. binding: each kind has its own colour, wherever it is.
    """
    expected = question.expected
    right = {head: answer[head] == value for head, value in expected.items()}
    if question.group == "people":
        return {"people": right["emoji"]}
    if question.group == "pair":
        return {"pair": right["first"] and right["second"]}
    out = {head: right[head] for head in ("background", "emoji") if head in right}
    if question.group == "one":
        return out | {head: right[head] for head in OF_ONE if head in right}
    if question.group == "several":
        return out | {"count": right["count"]}
    if question.group == "first":
        return out | {"first": right["emoji"]}
    if question.group == "relation":
        placed = right["relation"] and right["kind"] and right["kind2"]
        return out | {"relation": placed, "binding": pairs(expected) == pairs(answer)}
    return out


def shares(questions: Sequence[Question], answers: Sequence[Answer]) -> dict[str, tuple[float, int]]:
    """The share of right answers and their number, by metric."""
    rights_of: dict[str, list[bool]] = defaultdict(list)
    for question, answer in zip(questions, answers, strict=True):
        for metric, right in marks(question, answer).items():
            rights_of[metric].append(right)
    return {metric: (sum(rights) / len(rights), len(rights)) for metric, rights in rights_of.items()}


def shuffled(questions: Sequence[Question], answers: Sequence[Answer], seed: int = 0) -> dict[str, tuple[float, int]]:
    """The same pictures scored against other prompts of their group: the score of chance and habit."""
    rng = torch.Generator().manual_seed(seed)
    swapped = list(answers)
    for name in {q.group for q in questions}:
        rows = [i for i, q in enumerate(questions) if q.group == name]
        order = torch.randperm(len(rows), generator=rng).tolist()
        for i, j in zip(rows, order, strict=True):
            swapped[i] = answers[rows[j]]
    return shares(questions, swapped)


def distances(reference: Tensor, features: Tensor, training: Tensor) -> dict[str, float]:
    """The distances between sets of features. `nearest`: the median distance to the nearest training picture."""
    supported = support(reference, features)
    return {
        "frechet": frechet(reference, features),
        "kernel": kernel_distance(reference, features),
        "precision": supported.precision,
        "recall": supported.recall,
        "density": supported.density,
        "coverage": supported.coverage,
        "nearest": closest(features, training),
    }


def closest(features: Tensor, training: Tensor) -> float:
    return float(nearest(features, training)[0].median())


def diversity(features: Tensor, centre: Tensor, pictures: int) -> float:
    """The mean Vendi score of prompts with `pictures` rows each, around the mean of all real pictures."""
    scores = [vendi(rows - centre) for rows in features.split(pictures)]
    return sum(scores) / len(scores)


def backgrounds(questions: Sequence[Question], answers: Sequence[Answer]) -> float:
    """The effective number of background colours, exp(entropy), where prompts name none; 1 where all are equal."""
    seen = Counter(a["background"] for q, a in zip(questions, answers, strict=True) if "background" not in q.expected)
    return exp(-sum(n / seen.total() * log(n / seen.total()) for n in seen.values()))

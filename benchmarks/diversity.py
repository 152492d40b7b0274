"""The variety that each cure gives back to students, and its cost, on prompts that leave attributes open.

    python -m benchmarks.diversity [--models toybox-dmd2 …] [--seeds 0 1 2] [--prompts 4] [--again | --prices]

Half of the prompts name a kind and a colour, half a kind alone. The other attributes are open, and their distribution
in real pictures is known. Each prompt is painted 16 times. `judge-b` reads the pictures; nothing was chosen by it.
Variety is measured over all pictures, and over those alone in which the named attributes are right, as noise would
count as variety: the Vendi score of 8 pictures (mean over draws) and their mean cosine distance, in the judge's
features around the mean of real ones. For open attributes, among right pictures: the effective number of classes (exp
of their entropy), the share of the commonest class, and the total variation distance from the distribution that the
same judge reads in real pictures of the same prompts. `seconds` is processor time for each picture, in batches of 16;
`walk` is that of its steps alone; `time`, by --prices, is that of one picture relative to the student without a cure.
Rows go to results/diversity.json as they are measured, and a run that was ended goes on.
"""

import argparse
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, log
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import questions, report, scoring
from benchmarks.painting import to_bytes, wall
from benchmarks.scoring import Reading
from core.paths import use_studio
from distill.world import judge_named
from evals.metrics import frechet, support, vendi
from models import catalogue, families, stored
from models.families import Parts
from models.painters import base_of
from models.request import SEEDS, ImageRequest

KEYS = ("model", "steps", "cure", "strength", "metric")
READER = "judge-b"
PICTURES, DRAWN, DRAWS = 16, 8, 16  # of a prompt; of those in a Vendi score; how many such draws
LAW = 64  # real pictures of a prompt, beside PICTURES more that are measured as a model's are
SEED_STEP = 1_000_003
OPEN = ("background", "colour", "pattern", "size", "view")
NAMED = (("colour",), ())  # what the prompts name beside the kind: half of them each
STUDENTS = {  # id: its step counts here
    "toybox-dmd2": (4,),
    "toybox-hyper": (4, 2, 1),
    "toybox-lcm": (4, 2, 1),
    "toybox-sprint": (4, 2, 1),
    "toybox-disback": (1,),
    "toybox-msd4": (4,),
}
STRENGTHS: dict[str, tuple[float, ...]] = {
    "pink": (0.5, 1.0),
    "text_noise": (0.2, 0.4, 0.8),
    "cads": (0.5, 1.0),
    "adapter_first": (0.75, 0.5, 0.25),
    "unlike": (0.6, 0.9, 1.2),
}
STACKED = (  # two cures at once; the last one's strength is the row's
    {"base_steps": 1, "pink": 0.5},
    {"base_steps": 1, "text_noise": 0.2},
    {"base_steps": 1, "unlike": 0.9},
    {"base_steps": 1, "unlike": 0.6},
    {"skip_steps": 1, "pink": 0.5},
    {"skip_steps": 1, "unlike": 0.9},
    {"pink": 0.5, "unlike": 0.9},
)
WORDS = {"even": "everything", "background": "background"}  # what Even spreads, by the name of the cure


@dataclass(frozen=True)
class Cure:
    name: str
    strength: float
    fields: dict[str, Any]
    halves: bool = False  # whether the second half of a prompt's pictures keeps away from the first


def cure(**strengths: float) -> Cure:
    """One cure, or several at once, by name and strength."""
    fields: dict[str, Any] = {}
    for name, strength in strengths.items():
        if name in WORDS:
            fields["even"] = WORDS[name]
        else:
            fields["unlike_by" if name == "unlike" else name] = strength
    *_, last = strengths.values()
    return Cure(" and ".join(strengths), last, fields, halves="unlike" in strengths)


def cures(model: str, steps: int) -> Iterator[Cure]:
    """The cures that this student can have, the one without a cure first."""
    row = catalogue.get(model)
    base = base_of(row)
    yield Cure("none", 0, {})
    for name in WORDS:
        yield cure(**{name: 1})
    for name, strengths in STRENGTHS.items():
        if (name == "adapter_first" and row.manifest.kind != "lora") or (name == "unlike" and steps < 2):
            continue
        yield from (cure(**{name: s}) for s in strengths)
    if steps < 2:
        return
    for k in range(1, min(steps, 4)):
        yield cure(base_steps=k)
    yield cure(skip_steps=1)
    yield Cure("base_last", 1, {"painters": f"{base}:{steps - 1}@1"})
    for w in (2.0, catalogue.get(base).manifest.guidance.default):
        yield Cure("base_guidance", w, {"base_steps": 1, "base_guidance": w})
    if steps > 2:
        yield from (cure(**stack) for stack in STACKED)
        yield from (cure(base_steps=1, **{name: 1}) for name in WORDS)


@dataclass(frozen=True)
class Ground:
    """The reference of every figure: prompts, and real pictures of them with the open attributes at random."""

    judge: Any
    prompts: list[str]
    expected: list[dict[str, str]]  # what each prompt names, as the judge calls it
    law: list[list[dict[str, str]]]  # what it reads in LAW real pictures of each
    features: Tensor  # of all those
    own: Reading  # PICTURES more of each
    centre: Tensor

    @classmethod
    def draw(cls, prompts: int) -> "Ground":
        judge = judge_named(READER)
        words: list[str] = []
        expected: list[dict[str, str]] = []
        pictures: list[Tensor] = []
        for part, names in enumerate(NAMED):
            count = (prompts + 1 - part) // len(NAMED)
            varied, alike = questions.conditions(count, LAW + PICTURES, seed=questions.ASKED + part, names=names)
            words, pictures = words + varied, [*pictures, *alike.split(LAW + PICTURES)]
            expected += [dict.fromkeys(("kind", *names), "")] * count
        readings = [scoring.read(judge, p) for p in pictures]
        named = [_named(heads, r.answers) for heads, r in zip(expected, readings, strict=True)]
        law = [r.answers[:LAW] for r in readings]
        features = torch.cat([r.features[:LAW] for r in readings])
        own = Reading(torch.cat([r.features[LAW:] for r in readings]), [a for r in readings for a in r.answers[LAW:]])
        centre = judge.read(questions.real(1024, questions.REFERENCE))[0].mean(0)
        return cls(judge, words, named, law, features, own, centre)


def _named(heads: Iterable[str], answers: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The named attributes in the judge's classes: those that it reads most often in the real pictures."""
    return {head: Counter(a[head] for a in answers).most_common(1)[0][0] for head in heads}


def effective(values: Sequence[str]) -> float:
    """The effective number of different values, exp(entropy)."""
    seen = Counter(values)
    return exp(-sum(n / seen.total() * log(n / seen.total()) for n in seen.values()))


def commonest(values: Sequence[str]) -> float:
    """The share of the commonest value."""
    return Counter(values).most_common(1)[0][1] / len(values)


def variation(a: Sequence[str], b: Sequence[str]) -> float:
    """The total variation distance of two samples: 0 for equal shares, 1 for nothing in common."""
    left, right = Counter(a), Counter(b)
    return sum(abs(left[k] / len(a) - right[k] / len(b)) for k in left | right) / 2


def variety(features: Tensor, seed: int) -> tuple[float, float]:
    """(Vendi score of DRAWN pictures, mean cosine distance) of centred features [N, D]."""
    rng = torch.Generator().manual_seed(seed)
    draws = [torch.randperm(len(features), generator=rng)[:DRAWN] for _ in range(DRAWS)]
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    n = len(unit)
    apart = 1 - (float((unit @ unit.T).sum()) - n) / (n * (n - 1))
    return statistics.fmean(vendi(features[d]) for d in draws), apart


def figures(ground: Ground, reading: Reading, seed: int) -> dict[str, float]:
    """Every metric of one set of pictures, PICTURES of each prompt in order."""
    centred = reading.features - ground.centre
    rows: dict[str, list[float]] = defaultdict(list)
    opened: dict[str, list[str]] = defaultdict(list)
    law: dict[str, list[str]] = defaultdict(list)
    for p, expected in enumerate(ground.expected):
        which = range(p * PICTURES, (p + 1) * PICTURES)
        marks = {head: [reading.answers[i][head] == value for i in which] for head, value in expected.items()}
        right = [all(each) for each in zip(*marks.values(), strict=True)]
        for head, values in (marks | {"right": right}).items():
            rows[head].append(statistics.fmean(values))
        kept = [i for i, ok in zip(which, right, strict=True) if ok]
        for name, index in (("", list(which)), ("_right", kept)):
            if len(index) >= DRAWN:
                score, apart = variety(centred[index], seed)
                rows[f"vendi{name}"].append(score)
                rows[f"apart{name}"].append(apart)
        for head in (h for h in OPEN if h not in expected):
            opened[head] += [reading.answers[i][head] for i in kept]
            law[head] += [answer[head] for answer in ground.law[p]]
    out = {name: statistics.fmean(values) for name, values in rows.items()}
    for head, values in opened.items():
        if values:
            out[f"{head}_number"], out[f"{head}_commonest"] = effective(values), commonest(values)
            out[f"{head}_off"] = variation(values, law[head])
    out["frechet"] = frechet(ground.features, reading.features)
    out["recall"] = support(ground.features, reading.features).recall
    return out


def walked(crew: Mapping[str, Parts], request: ImageRequest, halves: bool) -> tuple[Tensor, int]:
    """The latents of one prompt's pictures, and the calls of networks for each."""
    if not halves:
        return wall(crew, request)
    half = replace(request, num_images=PICTURES // 2)
    first, calls = wall(crew, half)
    digest = stored.keep(first, catalogue.chain(request.row)[-1].id)
    return torch.cat([first, wall(crew, replace(half, seed=half.seed + PICTURES // 2, unlike=digest))[0]]), calls


def painted(
    ground: Ground, request: ImageRequest, cure: Cure, crew: Mapping[str, Parts], seed: int
) -> tuple[Reading, dict[str, float]]:
    """The judge's reading; processor seconds for each picture in all and for its steps, and calls of networks for
    it."""
    pictures, calls, spent, began = [], 0, 0.0, time.process_time()
    for n, prompt in enumerate(ground.prompts):
        first = (seed * SEED_STEP + n * PICTURES) % SEEDS
        since = time.process_time()
        whole = replace(request, prompt=prompt, seed=first, num_images=PICTURES)
        z, calls = walked(crew, whole, cure.halves)
        spent += time.process_time() - since
        vae = crew[request.model].vae
        pictures.append(to_bytes(vae.decode(z / vae.config.scaling_factor, return_dict=False)[0]))
    number = len(ground.prompts) * PICTURES
    costs = {"seconds": (time.process_time() - began) / number, "walk": spent / number, "calls": calls}
    return scoring.read(ground.judge, torch.cat(pictures)), costs


@torch.no_grad()
def measured(
    ground: Ground, request: ImageRequest, cure: Cure, crew: Mapping[str, Parts], seeds: Sequence[int]
) -> list[tuple[str, float, float | None, int]]:
    """(metric, mean over sampling seeds, their standard deviation, pictures for each seed)."""
    values_of: dict[str, list[float]] = {}
    for seed in seeds:
        reading, costs = painted(ground, request, cure, crew, seed)
        for name, value in (figures(ground, reading, seed) | costs).items():
            values_of.setdefault(name, []).append(value)
    n = len(ground.prompts) * PICTURES
    return [
        (name, statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None, n) for name, v in values_of.items()
    ]


def rows_of(model: str, steps: int, cure: str, strength: float, figures: Sequence[tuple]) -> list[report.Row]:
    place = {"model": model, "steps": steps, "cure": cure, "strength": strength}
    return [
        {**place, "metric": m, "value": float(f"{v:.5g}"), "sd": None if sd is None else float(f"{sd:.3g}"), "n": n}
        for m, v, sd, n in figures
    ]


def law_rows(ground: Ground) -> list[report.Row]:
    """The figures of real pictures of the same prompts."""
    own = figures(ground, ground.own, 0)
    n = len(ground.prompts) * PICTURES
    return rows_of("law", 0, "none", 0, [(name, value, None, n) for name, value in own.items()])


def plan(models: Sequence[str]) -> Iterator[tuple[ImageRequest, str, Cure, tuple[str, ...]]]:
    """(request, name in the table, cure, models to load) of everything to paint, with a student's base before it."""
    bases: set[str] = set()
    for id, steps in sorted(((m, n) for m in models for n in STUDENTS[m]), key=lambda at: -at[1]):
        base = base_of(catalogue.get(id))
        if base not in bases:
            bases.add(base)
            yield ImageRequest("a", model=base, guidance=1.0), f"{base}, guidance 1", Cure("none", 0, {}), (base,)
            yield ImageRequest("a", model=base), base, Cure("none", 0, {}), (base,)
        for cure in cures(id, steps):
            yield ImageRequest("a", model=id, steps=steps, **cure.fields), id, cure, (id, base)


@lru_cache(maxsize=1)
def together(*ids: str) -> dict[str, Parts]:
    """The models of a student, loaded once for all its cures."""
    return families.load_all(ids)


@torch.no_grad()
def prices(model: str, steps: int, known: Sequence[Cure], rounds: int = 9) -> Iterator[tuple[Cure, float]]:
    """The time of one picture's steps with each cure, relative to the student's own: medians of runs in turns."""
    crew = together(model, base_of(catalogue.get(model)))
    able = [cure for cure in known if not cure.halves]
    spent: list[list[float]] = [[] for _ in able]
    for k in range(rounds + 1):
        for cure, times in zip(able, spent, strict=True):
            request = ImageRequest("a red mug", model=model, steps=steps, seed=k, **cure.fields)
            wall(crew, request)  # untimed, as the first run after another cure is slower
            since = time.process_time()
            wall(crew, request)
            times.append(time.process_time() - since)
    if not able:
        return
    own = statistics.median(spent[0][1:])  # the first round has one-time costs
    yield from ((cure, statistics.median(times[1:]) / own) for cure, times in zip(able, spent, strict=True))


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("benchmarks.diversity", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(STUDENTS), choices=list(STUDENTS), help="students")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="sampling seeds")
    p.add_argument("--prompts", type=int, default=4, help="prompts, 16 pictures each")
    p.add_argument("--prices", action="store_true", help="measure nothing but the time of each cure")
    p.add_argument("--again", action="store_true", help="measure again what was measured")
    p.add_argument("--studio", type=Path, help="the studio folder")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    path = report.RESULTS / "diversity.json"
    done = set() if args.again else {tuple(r[k] for k in KEYS[:4]) for r in report.read(path)}
    if args.prices:
        for id in args.models:
            for steps in STUDENTS[id]:
                known = [cure for cure in cures(id, steps) if (id, steps, cure.name, cure.strength) in done]
                for cure, share in prices(id, steps, known):
                    rows = rows_of(id, steps, cure.name, cure.strength, [("time", share, 0.0, 1)])
                    report.record(path, rows, KEYS)
        return 0
    try:
        ground = Ground.draw(args.prompts)
        report.record(path, law_rows(ground), KEYS)
        for request, name, cure, ids in plan(args.models):
            place = name, request.steps, cure.name, cure.strength
            if place in done:
                continue
            report.record(path, rows_of(*place, measured(ground, request, cure, together(*ids), args.seeds)), KEYS)
            print(*place, flush=True)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.diversity: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What each cure gives back of the variety that distillation lost, and its cost, on prompts that leave things open.

    python -m benchmarks.diversity [--models toybox-dmd2 …] [--seeds 0 1 2] [--prompts 8] [--again]

A prompt names a kind and a colour; background, pattern, size and view are open, and the world's law of them is known.
Each prompt is painted 16 times. `judge-b` reads the pictures and reports; nothing was chosen by it. Variety is measured
of all pictures and of those only whose kind and colour are right, or noise would count as variety: the Vendi score of 8
pictures (mean over draws) and their mean cosine distance, both in the judge's features around the mean of real ones.
Of what is open: the effective number of backgrounds, patterns, sizes and views, and their total variation distance from
the law, which is the same judge's reading of real pictures of the same prompts. `seconds` is processor time a picture,
in batches of 16. Rows go to results/diversity.json and the tables of docs/methods/diversity.md.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from models import catalogue, families
from models.families import Parts
from models.painters import base_of
from models.request import ImageRequest

KEYS = ("model", "steps", "cure", "strength", "metric")
READER = "judge-b"
PICTURES, DRAWN, DRAWS = 16, 8, 16  # of a prompt; of those in a Vendi score; how many such draws
SEED_STEP = 1_000_003
OPEN = ("background", "pattern", "size", "view")
STUDENTS = {  # id: its step counts here
    "toybox-dmd2": (4,),
    "toybox-hyper": (4, 1),
    "toybox-lcm": (4, 1),
    "toybox-disback": (1,),
    "toybox-msd4": (1,),
    "toybox-sprint": (4, 1),
}
STRENGTHS: dict[str, tuple[float, ...]] = {
    "pink": (0.5, 1.0),
    "text_noise": (0.2, 0.4, 0.8),
    "cads": (0.5, 1.0),
    "adapter_first": (0.75, 0.5, 0.25),
}


@dataclass(frozen=True)
class Cure:
    name: str
    strength: float
    fields: dict[str, Any]


def cures(model: str, steps: int) -> Iterator[Cure]:
    """Those that this student can be given, none first."""
    row = catalogue.get(model)
    yield Cure("none", 0, {})
    base = base_of(row)
    for k in range(1, steps):
        yield Cure("base_steps", k, {"base_steps": k})
    if steps > 1:
        for w in (2.0, catalogue.get(base).manifest.guidance.default):
            yield Cure("base_guidance", w, {"base_steps": 1, "base_guidance": w})
        yield Cure("base_last", 1, {"painters": f"{base}:{steps - 1}@1"})
        yield Cure("skip_steps", 1, {"skip_steps": 1})
    for name, strengths in STRENGTHS.items():
        if name == "adapter_first" and row.manifest.kind != "lora":
            continue
        yield from (Cure(name, s, {name: s}) for s in strengths)


@dataclass(frozen=True)
class Ground:
    """What every figure is compared with: prompts, and real pictures of what they leave open."""

    judge: Any
    prompts: list[str]
    expected: list[dict[str, str]]
    real: Reading
    centre: Tensor

    @classmethod
    def draw(cls, prompts: int) -> "Ground":
        judge = judge_named(READER)
        words, alike = questions.conditions(prompts, PICTURES)
        real = scoring.read(judge, alike)
        centre = judge.read(questions.real(1024, questions.REFERENCE))[0].mean(0)
        named = [_named(word, real.answers[i * PICTURES : (i + 1) * PICTURES]) for i, word in enumerate(words)]
        return cls(judge, words, named, real, centre)


def _named(prompt: str, answers: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Kind and colour that the prompt names, as the judge calls them: what it reads most often in the real pictures."""
    return {head: Counter(a[head] for a in answers).most_common(1)[0][0] for head in ("kind", "colour")}


def effective(values: Sequence[str]) -> float:
    """Effective number of different values, exp(entropy)."""
    seen = Counter(values)
    return exp(-sum(n / seen.total() * log(n / seen.total()) for n in seen.values()))


def variation(a: Sequence[str], b: Sequence[str]) -> float:
    """Total variation distance of two samples: 0 the same shares, 1 nothing in common."""
    left, right = Counter(a), Counter(b)
    return sum(abs(left[k] / len(a) - right[k] / len(b)) for k in left | right) / 2


def variety(features: Tensor, seed: int) -> tuple[float, float]:
    """(Vendi score of DRAWN pictures, mean cosine distance), features around their centre [N, D]."""
    rng = torch.Generator().manual_seed(seed)
    draws = [torch.randperm(len(features), generator=rng)[:DRAWN] for _ in range(DRAWS)]
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    n = len(unit)
    apart = 1 - (float((unit @ unit.T).sum()) - n) / (n * (n - 1))
    return statistics.fmean(vendi(features[d]) for d in draws), apart


def figures(ground: Ground, reading: Reading, seed: int) -> dict[str, float]:
    """Every metric of one set of pictures, PICTURES of each prompt in order."""
    centred = reading.features - ground.centre
    rows: dict[str, list[float]] = {}
    right_all: list[bool] = []
    opened: dict[str, list[str]] = {head: [] for head in OPEN}
    law: dict[str, list[str]] = {head: [] for head in OPEN}
    for p, expected in enumerate(ground.expected):
        which = range(p * PICTURES, (p + 1) * PICTURES)
        right = [all(reading.answers[i][h] == v for h, v in expected.items()) for i in which]
        right_all += right
        kept = [i for i, ok in zip(which, right, strict=True) if ok]
        for name, index in (("", list(which)), ("_right", kept)):
            if len(index) >= DRAWN:
                score, apart = variety(centred[index], seed)
                rows.setdefault(f"vendi{name}", []).append(score)
                rows.setdefault(f"apart{name}", []).append(apart)
        for head in OPEN:
            opened[head] += [reading.answers[i][head] for i in kept]
            law[head] += [ground.real.answers[i][head] for i in which]
    out = {name: statistics.fmean(values) for name, values in rows.items()}
    for head in ("kind", "colour"):
        wanted = [e[head] for e in ground.expected for _ in range(PICTURES)]
        out[head] = statistics.fmean(a[head] == w for a, w in zip(reading.answers, wanted, strict=True))
    out["right"] = statistics.fmean(right_all)
    for head in OPEN:
        if opened[head]:
            out[f"{head}_number"], out[f"{head}_off"] = effective(opened[head]), variation(opened[head], law[head])
    out["frechet"] = frechet(ground.real.features, reading.features)
    out["recall"] = support(ground.real.features, reading.features).recall
    return out


def painted(ground: Ground, request: ImageRequest, crew: Mapping[str, Parts], seed: int) -> tuple[Reading, float, int]:
    """What the judge reads, processor seconds a picture, and calls of the networks a picture."""
    pictures, calls, began = [], 0, time.process_time()
    for n, prompt in enumerate(ground.prompts):
        first = (seed * SEED_STEP + n * PICTURES) % 2**31
        one = replace(request, prompt=prompt, seed=first, num_images=PICTURES)
        z, calls = wall(crew, one)
        vae = crew[request.model].vae
        pictures.append(to_bytes(vae.decode(z / vae.config.scaling_factor, return_dict=False)[0]))
    spent = (time.process_time() - began) / (len(ground.prompts) * PICTURES)
    return scoring.read(ground.judge, torch.cat(pictures)), spent, calls


@torch.no_grad()
def measured(
    ground: Ground, request: ImageRequest, crew: Mapping[str, Parts], seeds: Sequence[int]
) -> list[tuple[str, float, float | None, int]]:
    """(metric, mean over sampling seeds, their deviation, pictures a seed)."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        reading, spent, calls = painted(ground, request, crew, seed)
        for name, value in (figures(ground, reading, seed) | {"seconds": spent, "calls": calls}).items():
            found.setdefault(name, []).append(value)
    n = len(ground.prompts) * PICTURES
    return [(name, statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None, n) for name, v in found.items()]


def rows_of(model: str, steps: int, cure: str, strength: float, found: Sequence[tuple]) -> list[report.Row]:
    place = {"model": model, "steps": steps, "cure": cure, "strength": strength}
    return [
        {**place, "metric": m, "value": float(f"{v:.5g}"), "sd": None if sd is None else float(f"{sd:.3g}"), "n": n}
        for m, v, sd, n in found
    ]


def law_rows(ground: Ground) -> list[report.Row]:
    """The figures of real pictures of the same prompts."""
    own = figures(ground, ground.real, 0)
    n = len(ground.prompts) * PICTURES
    return rows_of("law", 0, "none", 0, [(name, value, None, n) for name, value in own.items()])


def plan(models: Sequence[str]) -> Iterator[tuple[ImageRequest, str, Cure]]:
    """(request, name in the table, cure) of everything to be painted: bases first."""
    ids = {id: STUDENTS[id] for id in models}
    for base in dict.fromkeys(base_of(catalogue.get(id)) for id in ids):
        yield ImageRequest("a", model=base), base, Cure("none", 0, {})
        yield ImageRequest("a", model=base, guidance=1.0), f"{base}, guidance 1", Cure("none", 0, {})
    for id, counts in ids.items():
        for steps in counts:
            for cure in cures(id, steps):
                yield ImageRequest("a", model=id, steps=steps, **cure.fields), id, cure


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("benchmarks.diversity", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(STUDENTS), choices=list(STUDENTS), help="students")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="sampling seeds")
    p.add_argument("--prompts", type=int, default=8, help="prompts, 16 pictures each")
    p.add_argument("--again", action="store_true", help="measure again what was measured")
    p.add_argument("--studio", type=Path, help="folder of everything that a person makes")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    path = report.RESULTS / "diversity.json"
    done = set() if args.again else {tuple(r[k] for k in KEYS[:4]) for r in report.read(path)}
    try:
        ground = Ground.draw(args.prompts)
        report.record(path, law_rows(ground), KEYS)
        for request, name, cure in plan(args.models):
            place = name, request.steps, cure.name, cure.strength
            if place in done:
                continue
            crew = families.load_all(request.models())
            report.record(path, rows_of(*place, measured(ground, request, crew, args.seeds)), KEYS)
            print(*place, flush=True)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.diversity: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A test whether naming the background helps the rest of a prompt: the same prompts with other ends of equal length.

    python -m benchmarks.named [--models toybox-hyper:1 …] [--seeds 0 1 2] [--prompts 48]

Half of the prompts name one thing with its colour, half two things with a relation. `judge-b` reads the pictures. Each
prompt is painted as it is; with a background that `Even` chose; with empty words that no caption has; and with words of
captions that name no colour. Rows go to results/named.json, the table to docs/methods/diversity.md.
"""

import argparse
import sys

from benchmarks import questions, report, scoring
from benchmarks.diversity import READER, effective
from benchmarks.painting import paint
from benchmarks.questions import Question
from core.paths import use_studio
from distill.data.toys import prompt, scene_at
from distill.world import judge_named
from evals.labels import legible
from models import families
from models.even import completed

KEYS = ("model", "steps", "end", "metric")
MODELS = ("toybox-hyper:1", "toybox-sprint:1", "toybox-dmd2:4", "toybox-lcm:4")
ENDS = {
    "none": lambda prompt, seed: prompt,
    "background": lambda prompt, seed: completed(prompt, seed, "background"),
    "in a nice clear picture": lambda prompt, seed: f"{prompt} in a nice clear picture",
    "on a plain background": lambda prompt, seed: f"{prompt} on a plain background",
}
HEADS = ("kind", "colour", "kind2", "colour2", "relation")
SEED_STEP = 1_000_003


def drawn(prompts: int) -> list[Question]:
    """Questions, half about one thing and half about two with a relation. They name kinds and colours, no
    background."""
    out = []
    for group in ("one", "relation"):
        for i in range(prompts // 2):
            scene = scene_at(questions.ASKED, i, "held_out", group=group)
            facts = legible(scene.attributes())
            expected = {head: str(facts[head]) for head in HEADS if facts[head] is not None}
            out.append(Question(prompt(scene, ["colour"]), expected, group))
    return out


def figures(judge, parts, steps: int, end, known: list[Question], seed: int) -> dict[str, float]:
    seeds = [(seed * SEED_STEP + i) % 2**31 for i in range(len(known))]
    prompts = [end(q.prompt, s) for q, s in zip(known, seeds, strict=True)]
    answers = scoring.read(judge, paint(parts, prompts, seeds, steps, parts.row.manifest.guidance.default)).answers
    shares = {metric: share for metric, (share, _) in scoring.shares(known, answers).items()}
    return shares | {"backgrounds": effective([a["background"] for a in answers])}


def row(model: str, steps: int, end: str, metric: str, values: list[float], n: int) -> report.Row:
    place = {"model": model, "steps": steps, "end": end, "metric": metric}
    return place | report.over_seeds(values, n)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.named", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(MODELS), help="MODEL:STEPS")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="sampling seeds")
    p.add_argument("--prompts", type=int, default=96, help="number of prompts")
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    try:
        judge, known = judge_named(READER), drawn(args.prompts)
        for entry in args.models:
            id, _, steps = entry.partition(":")
            parts = families.load_all([id])[id]
            for name, end in ENDS.items():
                runs = [figures(judge, parts, int(steps), end, known, seed) for seed in args.seeds]
                rows = [row(id, int(steps), name, metric, [r[metric] for r in runs], len(known)) for metric in runs[0]]
                report.record(report.RESULTS / "named.json", rows, KEYS)
                print(id, steps, name, flush=True)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.named: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

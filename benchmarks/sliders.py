"""What a slider changes on each model: its slope, how far it goes before pictures break, and what else it moves.

    python -m benchmarks.sliders [--models toybox-sprint:1,toybox-sd:8] [--sliders size,warmth] [--write]
    python -m benchmarks.sliders --models toybox-hyper:1 --sliders size --by size-of-hyper    a LoRA of your own

Every model paints the same prompts and seeds at 11 positions, in raw strengths, so that nothing is equal by
construction: along the direction between prompts, and along the slider's LoRA where that fits the model. Sizes,
roundness, backgrounds and warmth are measured in pixels; patterns and counts are read by judge-a, and the table reports
what judge-b reads; smiles and tears are read by a probe of labelled emoji (benchmarks/probe.py). The usable range ends
where the measure is farthest, or before too few pictures still show the kind that they showed at 0. Transfer is a row's
slope by that of the same LoRA on its base. `--write` puts units and ranges into the sliders of the box, for each model
those of the way that goes farther: one unit is then the same measured change (`step` in their files) on every model.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from operator import itemgetter
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import report
from benchmarks.ablations import DOCS
from benchmarks.painting import to_bytes, to_numbers
from benchmarks.probe import probe
from core.files import whole_file
from core.paths import assets
from evals import judges
from evals.judges import Judge
from models import catalogue, directions, families, sliders
from models.batch import latents
from models.families import Parts
from models.manifest import Row
from models.sliders import Range, Slider, Way
from models.stack import Entry

MODELS = "toybox-sprint:1,toybox-hyper:1,toybox-dmd2:1,toybox-disback:1,toybox-lcm:4,toybox-msd4:1,toybox-cfg-lora:6"
MODELS += ",toybox-sana:6,toybox-sd:6,toybox-hyper:4"
POSITIONS = tuple(0.4 * k for k in range(-5, 6))  # raw
TOYS = (
    "a purple car",
    "a green mushroom",
    "a red robot on a grey background",
    "a yellow boat on a blue background",
    "a teal cube",
    "an orange fish",
    "a white teapot",
    "a pink chair",
)
FACES = ("a face", "a face with open mouth", "a cat face", "a neutral face", "an astonished face", "a nerd face")
FACES += ("a worried face", "a grinning face")
SEEDS = (11,)
HELD = 0.6  # share of the pictures that must still show the kind that they showed at 0
LEAST = 1.0  # units: a slider with a shorter range is of no use on a model
FAR = 48 / 255  # from the background's colour: what is farther belongs to a thing
EDGE = 6  # pixels
PROBED = ("smile", "tears")
HEADS = ("kind", "colour", "background", "pattern", "count")  # of the judges: what a slider should leave alone
BY = ("direction", "lora")


def edge(x: Tensor) -> Tensor:
    """The pixels along the border, [B, 3, n]."""
    sides = x[..., :EDGE, :], x[..., -EDGE:, :], x[..., :EDGE].mT, x[..., -EDGE:].mT
    return torch.cat([side.flatten(2) for side in sides], 2)


def silhouette(x: Tensor) -> Tensor:
    """Where a picture is not background, [B, H, W]."""
    return (x - edge(x).median(2).values[..., None, None]).abs().amax(1) > FAR


def thing(x: Tensor) -> Tensor:
    """The side of the square that is as large as what is not background, as a part of the picture's, [B]."""
    return silhouette(x).float().mean((1, 2)).sqrt()


def roundness(x: Tensor) -> Tensor:
    """The area of what is not background by that of the disc around it, [B]: 1 for a disc, 0.78 for a square."""
    out = []
    for mask in silhouette(x):
        points = mask.nonzero().float()
        far = (points - points.mean(0)).norm(dim=1)
        out.append(len(points) / (torch.pi * far.quantile(0.98) ** 2) if len(points) > EDGE else points.new_zeros(()))
    return torch.stack([torch.as_tensor(value) for value in out])


def named(classes: Sequence[str], words: Sequence[str]) -> list[int]:
    return [i for i, name in enumerate(classes) if any(word in name for word in words)]


@cache
def judge(name: str) -> Judge:
    return judges.load(assets() / "weights" / name).eval()


def read(name: str, head: str, x: Tensor) -> Tensor:
    """A judge's logits of one head for pictures x in [0, 1], [B, classes]."""
    return judge(name)(2 * x - 1)[head]


def odds(name: str, head: str, x: Tensor, high: Sequence[str], low: Sequence[str]) -> Tensor:
    """Log-odds between classes that have one of these words in their names, [B]."""
    logits, classes = read(name, head, x), judge(name).classes[head]
    return logits[:, named(classes, high)].logsumexp(1) - logits[:, named(classes, low)].logsumexp(1)


def count(name: str, x: Tensor) -> Tensor:
    """How many things a judge expects, [B]."""
    values = torch.tensor([float(c) for c in judge(name).classes["count"]])
    return read(name, "count", x).softmax(1) @ values


Measure = Callable[[str, Tensor], Tensor]  # (judge, pictures [B, 3, H, W] in [0, 1]) -> [B]
MEASURES: dict[str, Measure] = {
    "size": lambda _, x: thing(x),
    "background": lambda _, x: edge(x).mean((1, 2)),
    "warmth": lambda _, x: (x[:, 0] - x[:, 2]).mean((1, 2)),
    "pattern": lambda name, x: odds(name, "pattern", x, ["striped"], ["plain"]),
    "count": count,
    "roundness": lambda _, x: roundness(x),
} | {name: partial(lambda name, _, x: probe(name)(judge("judge-emoji").features(2 * x - 1)), name) for name in PROBED}


def kinds(slider: Slider, x: Tensor) -> Tensor:
    """What must stay: the kind of a toy, or that a face is one, [B]."""
    if slider.measure not in PROBED:
        return read("judge-a", "kind", x).argmax(1)
    faces = named(judge("judge-emoji").classes["emoji"], ("face", "cat"))
    return torch.isin(read("judge-emoji", "emoji", x).argmax(1), torch.tensor(faces))


@torch.no_grad()
def painted(parts: Parts, slider: Slider, steps: int, by: str) -> list[Tensor]:
    """Pictures in [0, 1] at every position, [B, 3, H, W] each. by: the direction, or the id of a LoRA."""
    texts = FACES if slider.measure in PROBED else TOYS
    prompts, seeds, out = [text for text in texts for _ in SEEDS], [*SEEDS] * len(texts), []
    d = directions.direction(slider, parts.text) if by == "direction" else None
    for s in POSITIONS:
        moves, own = (), parts
        if d is not None:
            moves = (partial(directions.moved, [(Entry(slider.name, s), d)]),)
        else:
            own = families.wear(parts, [Entry(by, s)])
        z = latents(own, prompts, seeds, steps, parts.row.manifest.guidance.default, moves)
        pixels = parts.vae.decode(z.to(parts.vae_dtype) / parts.vae.config.scaling_factor, return_dict=False)[0]
        out.append(to_numbers(to_bytes(pixels)) / 2 + 0.5)
    return out


def usable(values: Sequence[float], held: Sequence[float]) -> tuple[int, int]:
    """The positions (first, last) around the middle where the measure is farthest, before the kinds are lost."""
    middle = len(values) // 2

    def last(sign: int) -> int:
        best = middle
        for k in range(middle + sign, middle + sign * (middle + 1), sign):
            if held[k] < HELD:
                break
            best = k if sign * values[k] > sign * values[best] else best
        return best

    return last(-1), last(1)


def calibrated(slider: Slider, values: Sequence[float], held: Sequence[float], way: Way = "direction") -> Range:
    """The unit that changes the measure by the slider's step, and the usable range in it."""
    first, last = usable(values, held)
    rise = values[last] - values[first]
    if rise < LEAST * slider.step:
        return Range(1.0, 0.0, 0.0, way)
    unit = slider.step * (POSITIONS[last] - POSITIONS[first]) / rise
    low, high = (max(-sliders.STRONGEST, min(sliders.STRONGEST, POSITIONS[k] / unit)) for k in (first, last))
    return Range(float(f"{unit:.4g}"), round(low, 2), round(high, 2), way)


def spearman(values: Sequence[float]) -> float:
    """The rank correlation of values with their order."""
    ranks = torch.tensor(values).argsort().argsort().float()
    order = torch.arange(len(values)).float()
    return torch.corrcoef(torch.stack([ranks, order]))[0, 1].item() if len(values) > 1 else 0.0


def leakage(slider: Slider, pictures: Sequence[Tensor], first: int, last: int) -> float:
    """The share of pictures, in per cent, in which judge-b reads another attribute differently where the slider has
    gone as far as it may; the mean over the attributes that are not the slider's, and over both ends."""
    middle = pictures[len(POSITIONS) // 2]
    others = [name for name in HEADS if name != slider.name]
    moved = [
        (read("judge-b", name, pictures[k]).argmax(1) != read("judge-b", name, middle).argmax(1)).float().mean().item()
        for name in others
        for k in {first, last}
    ]
    return 100 * sum(moved) / len(moved)


@torch.no_grad()
def measured(parts: Parts, slider: Slider, steps: int, by: str) -> tuple[report.Row, Range, float]:
    """A row, the range that it means, and how far the measure goes in that range."""
    pictures, middle = painted(parts, slider, steps, by), len(POSITIONS) // 2
    kept = [(kinds(slider, x) == kinds(slider, pictures[middle])).float().mean().item() for x in pictures]
    values = [MEASURES[slider.measure]("judge-a", x).mean().item() for x in pictures]
    range_ = calibrated(slider, values, kept, "direction" if by == "direction" else "lora")
    first, last = usable(values, kept)
    reported = [MEASURES[slider.measure]("judge-b", x).mean().item() for x in pictures]
    distance = sum((pictures[k] - pictures[middle]).abs().mean().item() for k in (first, last)) / 2
    row = {"slider": slider.name, "model": parts.row.id, "steps": steps, "by": by, "unit": range_.unit}
    row |= {"low": range_.low, "high": range_.high, "spearman": round(spearman(reported[first : last + 1]), 3)}
    row |= {"positions": last - first + 1}  # of the 11, those in the range
    row |= {"slope": float(f"{_slope(reported, first, last):.4g}"), "held": round(min(kept[first], kept[last]), 3)}
    row |= {"leakage": round(leakage(slider, pictures, first, last), 1), "distance": round(100 * distance, 2)}
    return row, range_, (values[last] - values[first]) / slider.step


def _slope(values: Sequence[float], first: int, last: int) -> float:
    return (values[last] - values[first]) / (POSITIONS[last] - POSITIONS[first]) if last > first else 0.0


def write(slider: Slider, ranges: dict[str, Range]) -> None:
    """Put what was measured into the slider's file."""
    facts = asdict(replace(slider, models=slider.models | ranges))
    with whole_file(assets() / "sliders" / f"{slider.name}.json") as part:
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def transfers(rows: Sequence[report.Row]) -> list[report.Row]:
    """The rows with each one's slope by that of the same LoRA on its base, in per cent."""
    bases = {row.id: row.manifest.base for row in catalogue.rows().values()}
    slopes = {(row["slider"], row["model"], row["by"]): row["slope"] for row in rows}

    def transfer(row: report.Row) -> report.Row:
        own = slopes.get((row["slider"], bases.get(row["by"]), row["by"]))
        return row | {"transfer": round(100 * row["slope"] / own, 1) if own else None}

    return [transfer(row) for row in rows]


def table(rows: Sequence[report.Row]) -> str:
    columns = ["slider", "model", "steps", "by", "unit", "low", "high", "slope", "transfer", "spearman", "positions"]
    return report.markdown(transfers(rows), [*columns, "held", "leakage", "distance"])


def ways(slider: Slider, row: Row, wanted: str) -> Sequence[str]:
    """The ways to measure on a model: the direction, the slider's own LoRA where it fits, or another LoRA by its id."""
    if wanted not in BY:
        return [catalogue.get(wanted).id]
    if wanted == "direction":
        return ["direction"] if slider.pairs else []
    return [slider.lora] if slider.fits(row) else []


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("benchmarks.sliders", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", default=MODELS, help="ids with step counts, id:steps")
    p.add_argument("--sliders", default=",".join(sliders.box()), help="names of the box's sliders")
    p.add_argument("--by", default=",".join(BY), help=f"{', '.join(BY)} (the slider's own), or the id of another LoRA")
    p.add_argument("--write", action="store_true", help="put units and ranges into the sliders of the box")
    p.add_argument("--docs", type=Path, default=DOCS, help="folder of slider.md")
    return p


def measure(args: argparse.Namespace) -> None:
    wanted, best, rows = [sliders.get(name) for name in args.sliders.split(",")], {}, []
    for entry in args.models.split(","):
        id, _, steps = entry.partition(":")
        parts = families.load_all([id])[id]
        count = int(steps or parts.row.manifest.default_steps)
        for slider in wanted:
            for by in (way for name in args.by.split(",") for way in ways(slider, parts.row, name)):
                row, range_, reach = measured(parts, slider, count, by)
                rows.append(row)
                print(json.dumps(row), flush=True)
                ranges = best.setdefault(slider.name, {}).setdefault(id, {})  # of the model's first step count
                if by == "direction" or by == slider.lora:
                    ranges.setdefault(by, (reach, range_))
    rows = report.record(report.RESULTS / "sliders.json", rows, ("slider", "model", "steps", "by"))
    page = args.docs / "slider.md"
    page.write_text(report.insert(page.read_text(encoding="utf-8"), "sliders", table(rows)), encoding="utf-8")
    for slider in wanted if args.write else ():
        write(slider, {id: max(made.values(), key=itemgetter(0))[1] for id, made in best[slider.name].items()})


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        measure(args)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.sliders: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

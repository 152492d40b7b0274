"""The quality of a model's pictures, by judges that no generator was trained against.

    python -m benchmarks.quality --model toybox-sprint --steps 1 2 4 [--seeds 0 1 2] [--n 1024] [--json]
    python -m benchmarks.quality --model toybox-sprint --steps 1 2 4 --cost     # only time and memory of one picture
    python -m benchmarks.quality --model my-checkpoint --choose        # another judge, to choose a checkpoint by

A generator gets held-out captions, and `judge-b` (toys) and `judge-emoji` score its pictures. An autoencoder
reconstructs held-out pictures. A judge is scored on real ones. Flat rows go to results/quality.json, their tables
beside it and into docs/results.md and README. Each score is shown with its ceiling (real renders of the same captions),
its floor and its teacher's score. The floor of right shares is that of the same pictures against shuffled captions; of
distances, that of flat pictures in the colours of the toys' backgrounds; of variety (vendi, backgrounds), 1 for equal
pictures. Values are means over sampling seeds, `sd` is their standard deviation. The same run times one picture and
takes its peak memory.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import latency, questions, report, scoring
from benchmarks.painting import paint, to_numbers
from benchmarks.quality_table import headline, tables
from benchmarks.questions import Question
from benchmarks.scoring import Reading
from core import progress
from core.events import Events
from core.files import whole_file
from core.paths import run_dir, use_studio
from core.stage import Stages
from distill.data import TOYS
from distill.methods.autoencoder import encode
from distill.world import judge_named
from distill.world import load as load_in_full
from evals import labels
from evals.judges import Judge
from evals.metrics import psnr
from models import catalogue, families
from models.catalogue import Row
from models.families import Parts
from models.palette import BACKGROUNDS
from models.request import ImageRequest

KEYS = ("model", "steps", "guidance", "metric")
ALIKE = 16  # pictures of each prompt whose variety is measured
KNOWN = TOYS  # of the training set: all
ROUNDS = 9  # pictures that are timed, after one that is not
READER, RECOGNISER, CHOOSER = "judge-b", "judge-emoji", "judge-a"
MIN = 12
SEED_STEP = 1_000_003  # between the first pictures of two sampling seeds
Say = Callable[[str, int, int], None]  # (what, done, of)
Load = Callable[[Row], Parts]
Brush = Callable[[list[str], int], Tensor]  # (prompts, sampling seed) -> uint8 [N, 3, H, W]


@dataclass(frozen=True)
class Sizes:
    """The numbers of pictures, in proportion to the toy captions. Figures of different sizes can't be compared."""

    toys: int = 1024
    known: int = field(default_factory=lambda: KNOWN)  # toys of the training set among which the nearest is looked for

    @property
    def emoji(self) -> int:
        return self.toys // 2

    @property
    def conditions(self) -> int:
        """The number of prompts for which several pictures are compared with one another."""
        return max(2, self.toys * 24 // 1024)


@dataclass(frozen=True)
class Figure:
    """One metric: a value for each sampling seed, from n pictures each."""

    metric: str
    values: list[float]
    n: int
    ceiling: float | None = None
    floor: float | None = None

    def row(self, row: Row, steps: int = 0, guidance: float = 0.0) -> report.Row:
        sd = statistics.stdev(self.values) if len(self.values) > 1 else None
        values = {"value": statistics.fmean(self.values), "sd": sd, "ceiling": self.ceiling, "floor": self.floor}
        rounded = {k: None if v is None else float(f"{v:.5g}") for k, v in values.items()}
        place = {"model": row.id, "kind": row.manifest.kind, "steps": steps, "guidance": guidance}
        return {**place, "metric": self.metric, **rounded, "teacher": None, "n": self.n, "seeds": len(self.values)}


@dataclass(frozen=True)
class Toys:
    """The judge's reading of real toys, which is the reference of every model and step count of a run."""

    judge: Judge
    items: list[Question]
    real: Reading  # of the scenes of the items
    reference: Tensor  # features of other held-out scenes
    training: Tensor
    flat: Tensor  # of backgrounds without a toy
    conditions: list[str]
    vendi: float

    @classmethod
    def draw(cls, judge: Judge, sizes: Sizes, mini: bool = False, seed: int = questions.ASKED) -> "Toys":
        prompts, alike = questions.conditions(sizes.conditions, ALIKE, mini, seed)
        reference = judge.read(questions.real(sizes.toys, questions.REFERENCE, mini))[0]
        return cls(
            judge=judge,
            items=questions.toys(sizes.toys, mini, seed),
            real=scoring.read(judge, questions.real(sizes.toys, seed, mini)),
            reference=reference,
            training=known(judge, "mini" if mini else "toys", sizes.known),
            flat=backgrounds(judge, sizes.toys, alike.shape[-1]),
            conditions=prompts,
            vendi=scoring.diversity(judge.read(alike)[0], reference.mean(0), ALIKE),
        )


def known(judge: Judge, dataset: str, toys: int = TOYS) -> Tensor:
    """The features [N, D] of the training set."""
    return torch.cat([judge.read(pictures)[0] for pictures in questions.trained(dataset, toys)])


def backgrounds(judge: Judge, n: int, size: int) -> Tensor:
    """The features [n, D] of flat pictures, equally many of each background colour: pictures without an object."""
    colours = torch.tensor(list(BACKGROUNDS.values()), dtype=torch.uint8)
    flat = judge.read(colours[:, :, None, None].expand(-1, -1, size, size))[0]
    return flat[torch.arange(n) % len(flat)]


def share_figures(items: list[Question], real: Reading, painted: Sequence[Reading]) -> list[Figure]:
    ceiling = scoring.shares(items, real.answers)
    measured = [scoring.shares(items, p.answers) for p in painted]
    floors = [scoring.shuffled(items, p.answers, seed) for seed, p in enumerate(painted)]
    figures = []
    for metric, (top, n) in ceiling.items():
        floor = statistics.fmean(f[metric][0] for f in floors)
        figures.append(Figure(metric, [f[metric][0] for f in measured], n, top, floor))
    return figures


def toy_figures(toys: Toys, brush: Brush, seeds: Sequence[int]) -> list[Figure]:
    """All figures about toys, for a model at one step count."""
    prompts = [q.prompt for q in toys.items]
    painted = [scoring.read(toys.judge, brush(prompts, seed)) for seed in seeds]
    figures = share_figures(toys.items, toys.real, painted)
    ceiling = scoring.distances(toys.reference, toys.real.features, toys.training)
    measured = [scoring.distances(toys.reference, p.features, toys.training) for p in painted]
    floor = scoring.distances(toys.reference, toys.flat, toys.training)
    figures += [Figure(m, [f[m] for f in measured], len(prompts), top, floor[m]) for m, top in ceiling.items()]
    repeated = [p for p in toys.conditions for _ in range(ALIKE)]
    centre = toys.reference.mean(0)
    spread = [scoring.diversity(toys.judge.read(brush(repeated, seed))[0], centre, ALIKE) for seed in seeds]
    figures.append(Figure("vendi", spread, len(repeated), toys.vendi, 1.0))
    free = sum("background" not in q.expected for q in toys.items)
    top, *seen = (scoring.backgrounds(toys.items, r.answers) for r in (toys.real, *painted))
    return [*figures, Figure("backgrounds", seen, free, top, 1.0)]


def emoji_figures(judge: Judge, sizes: Sizes, brush: Brush, seeds: Sequence[int]) -> list[Figure]:
    """The recall of known emoji, and the distance of pictures from the nearest drawing of the training set."""
    items, pictures = questions.emoji(sizes.emoji)
    real, training = scoring.read(judge, pictures), known(judge, "emoji")
    painted = [scoring.read(judge, brush([q.prompt for q in items], seed)) for seed in seeds]
    away, top = [scoring.closest(p.features, training) for p in painted], scoring.closest(real.features, training)
    floor = scoring.closest(backgrounds(judge, len(items), pictures.shape[-1]), training)
    return [*share_figures(items, real, painted), Figure("nearest_emoji", away, len(items), top, floor)]


def word_figures(judge: Judge, sizes: Sizes, brush: Brush, seeds: Sequence[int]) -> list[Figure]:
    """The recall of people, where the judge knows them, and of two emoji in one picture, each read in its place."""
    names, figures = judge.classes["emoji"], []
    items, pictures = questions.people(sizes.emoji, names)
    if items:
        painted = [scoring.read(judge, brush([q.prompt for q in items], seed)) for seed in seeds]
        figures += share_figures(items, scoring.read(judge, pictures), painted)
    items, pictures, places = questions.pairs(sizes.emoji, names)
    drawn = [pictures, *(brush([q.prompt for q in items], seed) for seed in seeds)]
    real, *painted = (scoring.read_two(judge, *questions.cells(p, places)) for p in drawn)
    return figures + share_figures(items, real, painted)


def cost_figures(parts: Parts, steps: int, guidance: float) -> list[Figure]:
    """The cost of one picture: milliseconds through `generate` with a cold prompt cache, and peak memory."""
    work = latency.painting(parts, steps=steps, guidance=guidance)
    spent = latency.rounds({"generate": work}, ROUNDS, parts.device)["generate"]
    held = latency.peak_gib(parts.device, work)
    return [Figure("ms", [spent], ROUNDS), *([] if held is None else [Figure("memory", [held], 1)])]


def cost_rows(row: Row, parts: Parts, steps: Sequence[int], guidance: float) -> list[report.Row]:
    return [f.row(row, count, guidance) for count in steps for f in cost_figures(parts, count, guidance)]


def knows(dataset: str) -> tuple[bool, bool, bool]:
    """Whether a data set has toys or emoji, and whether it has people and pairs, for which there are true captions."""
    parts = set(dataset.split("+"))
    return bool(parts & {"toys", "mini"}), bool(parts & {"emoji", "words"}), parts >= {"words", "pairs"}


def of_model(
    row: Row,
    steps: Sequence[int],
    guidance: float,
    seeds: Sequence[int],
    sizes: Sizes,
    say: Say,
    load: Load = families.load,
    choosing: bool = False,
) -> list[report.Row]:
    """The rows of a generator, for each step count. choosing: by the other judge, on other captions, of toys alone."""
    dataset = row.manifest.dataset
    does_toys, does_emoji, does_words = knows(dataset)
    if not does_toys and not does_emoji:
        raise ValueError(f"{row.id} was trained on {dataset!r}; there are captions with a truth for toys, emoji, mini")
    for count in steps:
        ImageRequest("asked", model=row.id, steps=count, guidance=guidance)  # an error before minutes are spent
    parts = load(row)
    rows = cost_rows(row, parts, steps, guidance)  # while nothing else fills the memory
    say("reading real pictures", 0, 1)
    judge, seed = (CHOOSER, questions.CHOOSING) if choosing else (READER, questions.ASKED)
    toys = Toys.draw(judge_named(judge), sizes, dataset == "mini", seed) if does_toys else None
    recogniser = judge_named(RECOGNISER) if does_emoji and not choosing else None
    for count in steps:

        def brush(prompts: list[str], seed: int, count: int = count) -> Tensor:
            numbers = [seed * SEED_STEP + i for i in range(len(prompts))]
            what = f"painting, steps {count}, seed {seed}"
            say(what, 0, len(prompts))
            return paint(parts, prompts, numbers, count, guidance, lambda done: say(what, done, len(prompts)))

        figures = toy_figures(toys, brush, seeds) if toys else []
        figures += emoji_figures(recogniser, sizes, brush, seeds) if recogniser else []
        figures += word_figures(recogniser, sizes, brush, seeds) if recogniser and does_words else []
        rows += [f.row(row, count, guidance) for f in figures]
    return rows


@torch.no_grad()
def of_autoencoder(row: Row, sizes: Sizes, say: Say) -> list[report.Row]:
    """The rows of an autoencoder: the PSNR of held-out pictures in dB, and a judge's reading of the reconstructions.

    The floor of the PSNR is that of each picture's mean colour.
    """
    vae, figures = load_in_full(row, torch.device("cpu")).vae, []

    def back(pictures: Tensor, name: str) -> Tensor:
        decoded = []
        say(f"coding {name}", 0, len(pictures))
        for i, part in enumerate(pictures.split(50)):
            decoded.append(vae.decode(encode(vae, to_numbers(part))).sample.clamp(-1, 1))
            say(f"coding {name}", 50 * i + len(part), len(pictures))
        originals = to_numbers(pictures)
        ratio, floor = (
            float(psnr(x, originals, 2.0).mean()) for x in (torch.cat(decoded), originals.mean((2, 3), keepdim=True))
        )
        figures.append(Figure(f"psnr_{name}", [ratio], len(pictures), floor=floor))
        return torch.cat(decoded)

    toys = questions.real(sizes.toys, questions.ASKED)
    again, judge = back(toys, "toys"), judge_named(READER)
    back(questions.held_out_emoji(sizes.emoji), "emoji")
    figures += share_figures(questions.toys(sizes.toys), scoring.read(judge, toys), [scoring.read(judge, again)])
    return [f.row(row) for f in figures]


def of_judge(row: Row, sizes: Sizes, say: Say) -> list[report.Row]:
    """The rows of a judge: the share of held-out real pictures that each head reads rightly.

    The emoji judge knows every drawing, so only backgrounds are held out for it.
    """
    judge = judge_named(row.id)
    say("reading real pictures", 0, 1)
    if "emoji" in judge.classes:
        items, pictures = questions.emoji(sizes.emoji)
        truths = [q.expected for q in items]
    else:
        pictures, truths = questions.real_with_truth(sizes.toys, questions.REFERENCE)
    truth, (_, answers) = labels.batch(truths, judge.classes), judge.read(pictures)
    figures = []
    for head, index in truth.items():
        applies = index >= 0
        right = (answers[head] == index)[applies].double().mean()
        figures.append(Figure(head, [float(right)], int(applies.sum())))
    return [f.row(row) for f in figures]


def with_teachers(rows: Iterable[report.Row]) -> list[report.Row]:
    """The rows with the figure of the model's base, at the base's own steps and guidance, where it was measured."""
    rows, known = list(rows), catalogue.rows()
    measured = {tuple(r[k] for k in KEYS): r["value"] for r in rows}

    def teacher(row: report.Row) -> float | None:
        base = known[row["model"]].manifest.base if row["model"] in known else None
        if base not in known:
            return row["teacher"]
        own = known[base].manifest
        return measured.get((base, own.default_steps, own.guidance.default, row["metric"]))

    return [row | {"teacher": teacher(row)} for row in rows]


def note(row: Row, rows: Iterable[report.Row]) -> None:
    """Write the figures into the model's own manifest, by step count, for cards and menus."""
    quality = {k: dict(v) for k, v in row.manifest.quality.items()}
    for r in rows:
        if r["guidance"] in (0.0, row.manifest.guidance.default):
            quality.setdefault(str(r["steps"]), {})[r["metric"]] = r["value"]
    assert row.folder is not None, "only models of the box can be measured"
    path = row.folder / catalogue.FILE
    with whole_file(path) as part:
        part.write_text(json.dumps(replace(row.manifest, quality=quality).to_dict(), indent=1), encoding="utf-8")


class Progress:
    """Reports of stages, as lines on the terminal and as events of the run."""

    def __init__(self, run: Path):
        self.events = Events(run)
        self.stages = Stages(self.events, apart=0.0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stages(stage, done, total)
        pace = self.stages.pace(done)
        progress.say(f"{stage}: {done} of {total}" + (f", {pace:.1f} pictures/s" if pace else ""))


def measure(args: argparse.Namespace, say: Say) -> list[report.Row]:
    if args.n < MIN:
        raise ValueError(f"--n must be at least {MIN}, not {args.n}: distances between sets need neighbours")
    row, sizes = catalogue.get(args.model), Sizes(args.n, 2 * args.n) if args.choose else Sizes(args.n)
    if (args.choose or args.cost) and row.manifest.kind in ("judge", "autoencoder"):
        raise ValueError(f"--choose and --cost take a model that paints, and {row.id} is of kind {row.manifest.kind}")
    if args.choose and row.manifest.dataset == "emoji":
        raise ValueError(f"--choose reads toys, and {row.id} knows emoji alone")
    match row.manifest.kind:
        case "judge":
            return of_judge(row, sizes, say)
        case "autoencoder":
            return of_autoencoder(row, sizes, say)
    steps = args.steps or [row.manifest.default_steps]
    guidance = row.manifest.guidance.default if args.guidance is None else args.guidance
    if args.cost:
        return cost_rows(row, families.load(row), steps, guidance)
    return of_model(row, steps, guidance, args.seeds, sizes, say, choosing=args.choose)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("benchmarks.quality", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--model", required=True, help="id of a generator, an autoencoder or a judge")
    p.add_argument("--steps", type=int, nargs="+", help="step counts (default: the model's own)")
    p.add_argument("--guidance", type=float, help="default: the model's own")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="sampling seeds")
    p.add_argument("--n", type=int, default=Sizes.toys, help="toy captions; half as many emoji")
    p.add_argument("--choose", action="store_true", help=f"by {CHOOSER}, on other captions; nothing is written")
    p.add_argument("--cost", action="store_true", help="only time and memory of one picture, as after a change of code")
    p.add_argument("--manifest", action="store_true", help="write the figures into the model's manifest too")
    p.add_argument("--json", action="store_true", help="print the new rows as JSON, one a line, not as tables")
    p.add_argument("--studio", type=Path, help="the studio folder")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    path = report.RESULTS / "quality.json"
    try:
        say = Progress(run_dir(f"quality-{args.model}"))
        new = measure(args, say)
        if args.choose:
            print("\n".join(map(json.dumps, new)) if args.json else tables(new))
            return 0
        rows = with_teachers(report.merge(report.read(path), new, KEYS))
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.quality: {e}", file=sys.stderr)
        return 2
    report.write(path, rows)
    report.publish("quality", tables(rows))
    if report.page("headline") is not None:
        report.publish("headline", headline(rows))
    if args.manifest:
        note(catalogue.get(args.model), new)
    say.events.write("done", outputs=[])
    fresh = [r for r in rows if any(all(r[k] == n[k] for k in KEYS) for n in new)]
    print("\n".join(json.dumps(r) for r in fresh) if args.json else tables(fresh))
    return 0


if __name__ == "__main__":
    sys.exit(main())

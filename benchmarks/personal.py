"""Your own thing on every student: five things that the box has never seen, learnt from twelve pictures of each.

    python -m benchmarks.personal --train [--things bobo zizu …]      trains what is not there yet, minutes for each
    python -m benchmarks.personal [--models toybox-sd:20 toybox-hyper:1 …]

Each thing (benchmarks/subjects.py) is learnt by a LoRA on the base, which is used unchanged on the students. `itself`
is the same recipe on the distilled network itself, and `nothing` the model without a LoRA, asked for the same word.
`nearest`: the share of pictures whose nearest neighbour is that thing, among toys, emoji and untrained pictures of all
five, in the features of judge-emoji. `probe`: the share that a linear probe of judge-b's features calls that thing,
trained on the same pictures. Their ceilings are read on other real pictures of the things. `kind`: the share of
held-out toys whose kind judge-b reads right while the LoRA acts. Rows go to results/personal.json: the mean over the
things, and its deviation.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks import report, scoring
from benchmarks.painting import paint
from benchmarks.subjects import NAMES, Subject, write
from benchmarks.whole import whole
from core.paths import datasets, studio, use_studio
from distill.data import sources
from distill.data.some import Some
from distill.data.toys import prompt, scene_at
from distill.world import judge_named
from evals.judges import Judge
from evals.metrics import nearest
from models import catalogue, families
from models.families import Parts
from models.stack import Entry

KEYS = ("model", "steps", "trained", "metric")
BASE = "toybox-sd"
MODELS = ("toybox-sd:20", "toybox-hyper:1", "toybox-hyper:4", "toybox-disback:1", "toybox-dmd2:4", "toybox-lcm:4")
ITSELF = "toybox-hyper:1"  # the student on whose own network the recipe is tried as well
PROMPTS = ("a {}", "{}", "a {} on a blue background", "a {} on a pink background", "a {} on a white background")
SEEDS = (1, 2, 3, 4)
SHOWN, READ, REST = 12, 24, 192  # pictures that are trained on, that a thing is recognised by, of toys and of emoji
UNSEEN, HELD = 1_000, 2_000  # numbers of the first poses that recognise, and of those that give the ceiling
TOYS, FIRST = 96, 700_000  # toys whose kind is read; no other benchmark uses these scenes
SETTINGS = ("train.steps=400", "train.batch_size=16", "train.sample_every=200", "train.checkpoint_every=400")


def made(thing: Subject, base: str) -> str:
    """The id of the LoRA that learns this thing on that base."""
    return f"{thing.name}-on-{base}"


def train(thing: Subject, base: str, extra: Sequence[str]) -> None:
    """Train and publish a LoRA into the studio, unless it is there."""
    id, folder = made(thing, base), datasets() / thing.name
    if (studio() / "models" / id).is_dir():
        return
    if not folder.is_dir():
        write(thing, folder, SHOWN)
    settings = [part for s in (f"word={thing.name}", *SETTINGS, *extra) for part in ("--set", s)]
    line = ["distill.train", "personal", "--run", id, "--base", base, "--dataset", thing.name, *settings]
    for module in (line, ["distill.publish", id, "--id", id]):
        subprocess.run([sys.executable, "-m", *module], check=True)


@dataclass(frozen=True)
class Known:
    """Real pictures in the features of one judge. things: the number of each picture's thing, -1 for others, [N]."""

    judge: Judge
    features: Tensor  # [N, D]
    things: Tensor

    def nearest(self, pictures: Tensor) -> Tensor:
        """The thing of each picture's nearest neighbour, [B]."""
        return self.things[nearest(self.judge.read(pictures)[0], self.features)[1]]

    def probe(self, pictures: Tensor) -> Tensor:
        """The thing that a linear probe reads in each picture, [B]."""
        weight, bias, mean, scale = fitted(self)
        return ((self.judge.read(pictures)[0] - mean) / scale @ weight + bias).argmax(1) - 1


@cache
def fitted(known: Known) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights [D, classes] and bias of a multinomial logistic regression, with the mean and scale of its features."""
    mean, scale = known.features.mean(0), known.features.std()
    x, y = (known.features - mean) / scale, known.things + 1
    weight = torch.zeros(x.shape[1], len(NAMES) + 1, requires_grad=True)
    bias = torch.zeros(len(NAMES) + 1, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, y) + 1e-3 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    return weight.detach(), bias.detach(), mean, scale


def poses(thing: Subject, first: int, n: int) -> Tensor:
    """Pictures of a thing, uint8 [n, 3, H, W]."""
    return stacked([thing.draw(first + k) for k in range(n)])


def stacked(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def known(judge: Judge, others: str = "toys+emoji") -> Known:
    """others: the data sets of pictures that are none of the things."""
    pictures, things = [], []
    for number in range(len(NAMES)):
        pictures.append(poses(Subject(number), UNSEEN, READ))
        things += [number] * READ
    for source in sources(others, "held_out"):
        some = Some(source, REST)
        pictures.append(stacked([some[k].picture for k in range(len(some))]))
        things += [-1] * len(some)
    return Known(judge, judge.read(torch.cat(pictures))[0], torch.tensor(things))


Readers = dict[str, Known]


def recognised(readers: Readers, pictures: Tensor, thing: Subject) -> dict[str, float]:
    """The shares of pictures that are read as this thing."""
    read = {"nearest": readers["nearest"].nearest(pictures), "probe": readers["probe"].probe(pictures)}
    return {name: 100 * float((which == thing.number).float().mean()) for name, which in read.items()}


def asked(parts: Parts, steps: int, thing: Subject) -> Tensor:
    texts = [text.format(thing.name) for text in PROMPTS for _ in SEEDS]
    seeds = [seed + 100 * k for k in range(len(PROMPTS)) for seed in SEEDS]
    return paint(parts, texts, seeds, steps, parts.row.manifest.guidance.default)


def kinds(parts: Parts, steps: int, judge: Judge) -> float:
    """The share of held-out toys whose kind is read right, in per cent."""
    scenes = [scene_at(0, FIRST + i, "held_out", group="one") for i in range(TOYS)]
    texts = [prompt(scene, ["colour", "background"]) for scene in scenes]
    painted = paint(parts, texts, range(TOYS), steps, parts.row.manifest.guidance.default)
    return 100 * scoring.right(judge, painted, scenes)["kind"]


def rows(model: str, steps: int, trained: str, things: Sequence[Subject], readers: Readers) -> list[report.Row]:
    """trained: nothing, base, itself."""
    id = whole(model) if trained == "itself" else model
    parts = families.load_all([id])[id]
    base = id if trained == "itself" else BASE
    found: dict[str, list[float]] = {"nearest": [], "probe": [], "kind": []}
    for thing in things:
        own = parts if trained == "nothing" else families.wear(parts, [Entry(made(thing, base), 1.0)])
        for name, value in recognised(readers, asked(own, steps, thing), thing).items():
            found[name].append(value)
        if trained != "nothing" or not found["kind"]:
            found["kind"].append(kinds(own, steps, readers["probe"].judge))
    place = {"model": model, "steps": steps, "trained": trained}
    return [place | {"metric": name} | report.over_seeds(values, len(values)) for name, values in found.items()]


def ceiling(things: Sequence[Subject], readers: Readers) -> list[report.Row]:
    """What real pictures of the things, which nothing was fitted to, are read as."""
    found = [recognised(readers, poses(thing, HELD, READ), thing) for thing in things]
    place = {"model": "real pictures", "steps": None, "trained": "ceiling"}
    return [place | {"metric": name} | report.over_seeds([one[name] for one in found], len(found)) for name in found[0]]


def sheet(things: Sequence[Subject], models: Sequence[str], path: Path) -> None:
    """A row for each thing: a picture that was trained on, one by each model, and last one by the LoRA on `ITSELF`."""
    columns = [poses_of(things)]
    for entry, trained in [*((entry, "base") for entry in models), (ITSELF, "itself")]:
        id, _, steps = entry.partition(":")
        id = whole(id) if trained == "itself" else id
        parts, base = families.load_all([id])[id], id if trained == "itself" else BASE
        own = [families.wear(parts, [Entry(made(thing, base), 1.0)]) for thing in things]
        guidance = parts.row.manifest.guidance.default
        texts = [PROMPTS[2].format(thing.name) for thing in things]
        drawn = [paint(o, [text], [SEEDS[0]], int(steps), guidance) for o, text in zip(own, texts, strict=True)]
        columns.append(torch.cat(drawn))
    rows = torch.stack(columns, 1)  # [things, columns, 3, H, W]
    Image.fromarray(torch.cat([torch.cat(list(row.permute(0, 2, 3, 1)), 1) for row in rows]).numpy()).save(path)


def poses_of(things: Sequence[Subject]) -> Tensor:
    return torch.cat([poses(thing, 0, 1) for thing in things])


def table(known: Sequence[report.Row]) -> str:
    lines: dict[tuple, report.Row] = {}
    for row in known:
        line = lines.setdefault(tuple(row[k] for k in KEYS[:3]), {k: row[k] for k in KEYS[:3]})
        line[row["metric"]] = row["value"]
    heads = ("model", "steps", "LoRA trained on", "nearest %", "probe %", "old kinds %")
    return report.markdown(list(lines.values()), (*KEYS[:3], "nearest", "probe", "kind"), heads)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.personal", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--train", action="store_true", help="train the LoRAs that are not there, and measure nothing")
    p.add_argument("--things", nargs="+", default=list(NAMES), choices=NAMES)
    p.add_argument("--models", nargs="+", default=list(MODELS), help="MODEL:STEPS")
    p.add_argument("--set", action="append", default=[], help="a setting of the trainings, such as lr=2e-3")
    p.add_argument("--sheet", type=Path, help="write pictures of the things by each model there, and measure nothing")
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    things, itself = [Subject(NAMES.index(name)) for name in args.things], ITSELF.partition(":")[0]
    try:
        if args.train:
            for base in (BASE, whole(itself)):
                for thing in things:
                    train(thing, base, args.set)
            return 0
        if args.sheet:
            sheet(things, args.models, args.sheet)
            return 0
        readers = {"nearest": known(judge_named("judge-emoji")), "probe": known(judge_named("judge-b"))}
        path = report.RESULTS / "personal.json"
        report.record(path, ceiling(things, readers), KEYS)
        for entry in args.models:
            id, _, steps = entry.partition(":")
            catalogue.get(id)
            for trained in ("nothing", "base", *(["itself"] if entry == ITSELF else [])):
                new = rows(id, int(steps), trained, things, readers)
                report.publish("personal", table(report.record(path, new, KEYS)))
                print(entry, trained, {row["metric"]: row["value"] for row in new}, flush=True)
    except (ValueError, FileNotFoundError, subprocess.CalledProcessError) as e:
        print(f"benchmarks.personal: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

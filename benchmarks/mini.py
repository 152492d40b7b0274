"""Ablations of the methods on pictures: the data set `mini`, three training seeds, some hours.

    python -m benchmarks.mini [--only scm_ladd] [--again]

Trainings are the commands that a person would type. Each resumes where it stopped, and variants that were measured are
skipped. Once all seeds of a variant are there, its rows go to results/mini.json and to the tables of docs/methods/*.md,
with curves; DisBack's page also has the number of updates that it and DMD need for one distance.
Students share the training of their teacher; only their own seeds differ.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import ticker

from benchmarks import quality, report
from benchmarks.ablations import DOCS, swap
from core import checkpoint, events
from core.paths import ROOT, run_dir, studio
from distill.publish import publish
from models import catalogue, families
from models.families import Parts

Settings = dict[str, str]
SEEDS, GUIDANCE = (0, 1, 2), 3.0
SHOWN = {"frechet": "Fréchet", "kind": "kind, %", "vendi": "Vendi"}
KEYS = ["method", "variant", "steps"]
SIZES = quality.Sizes(256, known=512)  # `known` is small, as the nearest picture is not shown
LOOP = {
    "train.precision": "bf16",
    "train.batch_size": "32",
    "train.sample_every": "100000",
    "train.ema": "0.995",
    "train.warmup": "50",
}
BASES: dict[str, tuple[str, str, Settings]] = {  # id: method, its own base, settings
    "mini-sana": (
        "sft",
        "toybox-dcae",
        {"layers": "4", "width": "192", "train.steps": "1400", "train.batch_size": "64"},
    ),
    "mini-sd": (
        "sft",
        "toybox-kl",
        {"channels": "64,96", "blocks": "1", "train.steps": "2500", "train.batch_size": "64"},
    ),
}
SPRINT = {"guidance": f"2,{GUIDANCE + 1}", "blocks": "1,3", "warmup": "50", "lr": "5e-4"}
SPRINT |= {"train.steps": "300"}  # with heads, a student moves in every second step
HYPER = {"guidance": f"{GUIDANCE}", "train.steps": "400", "stage_steps": "80", "first": "0.8"}
PLAIN = HYPER | {"adversarial": "0,0,0,0"}
ONE = {"guidance": f"{GUIDANCE}", "times": "0.4", "adversarial": "0"}
BACK = ONE | {"alone": "100", "per_node": "50"}
COUNTS = (350, 500, 700)  # updates in all, whose Fréchet distances make a curve
SEVERAL = {"guidance": f"{GUIDANCE}", "adversarial": "0", "alone": "100", "train.steps": "700"}
FOUR, WRONG = "four students", "four students, each prompt to the wrong one"
MANY = ONE | {"matching": "200", "adversarial_from": "100000", "train.steps": "500"}
ALONE = {"students": "1"}
QUARTER = {"train.batch_size": "8", "matching": "800", "train.steps": "1100"}  # score matching is of one for all four
VARIANTS: dict[str, dict[str, tuple[str, str, Settings]]] = {  # page: variant: method, base, settings
    "scm_ladd": {
        "sCM alone": ("scm_ladd", "mini-sana", SPRINT | {"adversarial": "0", "train.steps": "150"}),
        "LADD alone": ("scm_ladd", "mini-sana", SPRINT | {"consistency": "0"}),
        "sCM + LADD": ("scm_ladd", "mini-sana", SPRINT),
    },
    "tscd": {
        "TCD (one segment from the start)": ("tscd", "mini-sd", PLAIN | {"segments": "1", "adversarial": "0"}),
        "Hyper (all parts)": ("tscd", "mini-sd", HYPER | {"feedback_from": "240", "score_from": "240"}),
        "LCM": ("lcm", "mini-sd", {"guidance": f"{GUIDANCE}", "lr": "1e-4", "train.steps": "400"}),  # 3e-4 diverges
        "TSCD (8, 4, 2, 1)": ("tscd", "mini-sd", PLAIN),
    },
    "dmd": {  # of four steps, the first matched like the others or taught where the teacher goes
        "DMD, four steps": ("dmd", "mini-sd", SEVERAL),
        "DP-DMD, four steps": ("dmd", "mini-sd", SEVERAL | {"diverse": "1"}),
    },
    "msd": {
        FOUR: ("msd", "mini-sd", MANY),
        "one student, as many samples as one of the four": ("msd", "mini-sd", MANY | ALONE | QUARTER),
        "one student, as many samples as all four": ("msd", "mini-sd", MANY | ALONE),
    },
    "disback": {  # counts of one training, so its rate is constant
        f"{name}, {n} steps": (method, "mini-sd", own | {"train.steps": str(n), "train.decay": "0"})
        for n in COUNTS
        for name, method, own in (("DMD", "dmd", ONE | {"alone": "0"}), ("DisBack", "disback", BACK))
    },
}  # fmt: skip
STEPS = {"scm_ladd": (1, 2, 4), "tscd": (1, 4), "dmd": (4,), "msd": (1,), "disback": (1,)}


def trained(
    id: str, method: str, base: str, settings: Settings, seed: int = 0, run: Path | None = None
) -> catalogue.Row:
    """The published model of this training, which is run, or resumed, where it is not there yet.

    A `run` other than the id's own also has shorter trainings, which this one continues.
    """
    if id in catalogue.rows():
        return catalogue.get(id)
    run = run or run_dir(id)
    command = [sys.executable, "-m", "distill.train", method, "--run", run.name, "--base", base, "--dataset", "mini"]
    command += ["--seed", str(seed)] if not (run / "run.json").exists() else ["--resume"]
    for key, value in (LOOP | settings).items():
        command += ["--set", f"{key}={value}"]
    if not any(e["kind"] == "done" and e["step"] >= int(settings["train.steps"]) for e in events.read(run)):
        subprocess.run(command, cwd=ROOT, check=True)
    newest, _ = checkpoint.newest(run)
    if newest is None or checkpoint.step_of(newest) != int(settings["train.steps"]):
        raise ValueError(f"run {run.name} is not at the {settings['train.steps']} steps of {id}: delete it")
    publish(run, id, studio() / "models" / id)
    return catalogue.get(id)


def astray(row: catalogue.Row) -> Parts:
    """The model with every prompt sent to its neighbour's student."""
    parts = families.load(row)
    swap(parts.denoiser)
    return parts


def figures(row: catalogue.Row, steps: int, say: quality.Say, load: quality.Load = families.load) -> dict[str, float]:
    """The figures of one training at one step count, at its own guidance."""
    rows = quality.of_model(row, [steps], row.manifest.guidance.default, [0], SIZES, say, load)
    return {r["metric"]: r["value"] for r in rows if r["metric"] in SHOWN}


def name(page: str, variant: str, seed: int) -> str:
    """The id of a model and of its run."""
    words = "".join(c if c.isalnum() else " " for c in f"mini {page} {variant} {seed}".lower())
    return "-".join(words.split())


def measured(page: str, variant: str, steps: tuple[int, ...], say: quality.Say) -> list[report.Row]:
    """A row for each step count, with means over the training seeds, and one for students with the wrong prompts."""
    method, base, settings = VARIANTS[page][variant]
    trained(base, *BASES[base])
    by_steps: dict[int, list[dict[str, float]]] = {n: [] for n in steps}
    wrong: list[dict[str, float]] = []
    for seed in SEEDS:
        run = run_dir(name(page, variant.removesuffix(f", {settings['train.steps']} steps"), seed))
        row = trained(name(page, variant, seed), method, base, settings, seed, run)
        for n in steps:
            by_steps[n].append(figures(row, n, say))
        if variant == FOUR:
            wrong.append(figures(row, 1, say, astray))
    rows = [summary(page, variant, n, rows) for n, rows in by_steps.items()]
    return [*rows, summary(page, WRONG, 1, wrong)] if wrong else rows


def summary(page: str, variant: str, steps: int, runs: list[dict[str, float]]) -> report.Row:
    row: report.Row = {"method": page, "variant": variant, "steps": steps, "seeds": len(runs)}
    for metric in SHOWN:
        values = [f[metric] for f in runs]
        row[metric] = float(f"{statistics.fmean(values):.5g}")
        row[f"{metric}_sd"] = float(f"{statistics.stdev(values):.3g}") if len(values) > 1 else None
    return row


def teacher(page: str, say: quality.Say) -> report.Row:
    base = next(iter(VARIANTS[page].values()))[1]
    row = trained(base, *BASES[base])
    steps = row.manifest.default_steps
    return summary(page, f"teacher, {steps} steps", steps, [figures(row, steps, say)])


def table(rows: list[report.Row]) -> str:
    def cell(row: report.Row, metric: str) -> str:
        scale = 100 if metric == "kind" else 1
        shown = [row[metric], row[f"{metric}_sd"]] if row[f"{metric}_sd"] is not None else [row[metric]]
        return " ± ".join(report.number(float(v) * scale) for v in shown)

    lines = [{k: row[k] for k in ("variant", "steps")} | {m: cell(row, m) for m in SHOWN} for row in rows]
    return report.markdown(lines, ["variant", "steps", *SHOWN], ["variant", "steps", *SHOWN.values()])


Point = tuple[int, float, float]  # updates or steps, Fréchet distance, its standard deviation over the training seeds
Curve = list[Point]


def point(x: int, row: report.Row) -> Point:
    return x, row["frechet"], row["frechet_sd"] or 0.0


def curve(rows: Sequence[report.Row], name: str) -> Curve:
    """The curve of DMD or DisBack, at the numbers of updates that were measured."""
    by_variant = {row["variant"]: row for row in rows}
    return [point(n, by_variant[f"{name}, {n} steps"]) for n in COUNTS if f"{name}, {n} steps" in by_variant]


def reached(points: Curve, distance: float) -> float | None:
    """The updates after which the curve first reaches a distance, linear between its points; None if it never does."""
    before: tuple[int, float] | None = None
    for n, there, _ in points:
        if there <= distance:
            return n if before is None else before[0] + (n - before[0]) * (before[1] - distance) / (before[1] - there)
        before = n, there
    return None


def race(curves: dict[str, Curve]) -> str:
    """One sentence: the updates that each needs to reach the first one's distance at its middle count."""
    points = next(iter(curves.values()))
    distance, sentences = points[len(points) // 2][1], []
    for name, points in curves.items():
        took = reached(points, distance)
        if took is None:
            sentences.append(f"{name} does not come there in {points[-1][0]:,}")
        elif took in COUNTS:
            sentences.append(
                f"{name} is there by {took:,.0f}{', the fewest that were measured' * (took == points[0][0])}"
            )
        else:
            sentences.append(f"{name} after about {took:,.0f}, straight between the counts that were measured")
    return f"Updates to a Fréchet distance of {distance:.3g}: {'; '.join(sentences)}."


def draw(curves: dict[str, Curve], across: str, path: Path) -> None:
    """Plot the distance against `across`, with the standard deviation over the training seeds."""
    fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    for name, points in curves.items():
        x, distance, deviation = zip(*points, strict=True)
        ax.errorbar(x, distance, deviation, marker="o", capsize=3, label=name)
    places = sorted({x for points in curves.values() for x, *_ in points})
    ax.set(xlabel=across, ylabel="Fréchet distance", yscale="log", xticks=places)
    ax.yaxis.set_major_formatter(ticker.ScalarFormatter())
    ax.yaxis.set_minor_formatter(ticker.LogFormatter(minor_thresholds=(2, 0.5)))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    fig.savefig(path, dpi=90)
    plt.close(fig)


def shown(page: str, rows: list[report.Row], docs: Path) -> str:
    """The part of a method's page: its table, a plot of curves with several points, and for DisBack the comparison.

    Rows are in the order of `VARIANTS`, with the teacher's last.
    """
    order = {v: i for i, v in enumerate(VARIANTS[page])} | {WRONG: 0.5}
    rows = sorted(rows, key=lambda row: (order.get(row["variant"], len(order)), row["steps"]))
    if page == "disback":
        across, curves = "updates", {name: curve(rows, name) for name in ("DMD", "DisBack")}
    else:
        of = {v: [point(r["steps"], r) for r in rows if r["variant"] == v] for v in VARIANTS[page]}
        across, curves = "steps of a picture", of
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    if len(curves) < 2:
        return table(rows)
    draw(curves, across, docs / f"{page}.png")
    summary = [f"{race(curves)}\n"] if page == "disback" else []
    return "\n".join([table(rows), *summary, f"![Fréchet distance against {across}]({page}.png)\n"])


def wanted(only: str | None, again: bool) -> Iterator[tuple[str, str]]:
    """(page, variant) of all that was not measured yet."""
    there = set() if again else {(r["method"], r["variant"]) for r in report.read(report.RESULTS / "mini.json")}
    for page in [only] if only else VARIANTS:
        yield from ((page, v) for v in VARIANTS[page] if (page, v) not in there)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.mini", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--only", choices=sorted(VARIANTS), help="one method's page")
    p.add_argument("--again", action="store_true", help="measure again what was measured")
    args = p.parse_args(argv)
    path, say = report.RESULTS / "mini.json", quality.Progress(run_dir("mini"))
    try:
        for page, variant in list(wanted(args.only, args.again)):
            rows = [*measured(page, variant, STEPS[page], say), teacher(page, say)]
            rows = [r for r in report.record(path, rows, KEYS) if r["method"] == page]
            doc = DOCS / f"{page}.md"
            text = report.insert(doc.read_text(encoding="utf-8"), "mini", shown(page, rows, DOCS))
            doc.write_text(text, encoding="utf-8")
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.mini: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

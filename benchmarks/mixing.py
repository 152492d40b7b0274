"""train.mix=gap on the mixture: a student that has forgotten two of eight components, with and without it.

    python -m benchmarks.mixing       (a minute of one core)

Each component is a domain. The student (`lcm`) gets an equal number of samples in all rows. Figures are sliced
Wasserstein distances of one-step samples to the truth, the mean over components and the worst one, after so many
updates; three training seeds. `upside down` draws most what is learnt best.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import report
from benchmarks.mixture import COND, TRUTH, N, few_steps, trainer
from distill.trainer import Trainer, mixing
from evals.metrics import sliced_wasserstein

SEEDS = (0, 1, 2)
LOST = (3, 6)
UPDATES = (100, 300, 900)
ARMS = {"usual": None, "gap, kappa 1": 1.0, "gap, kappa 3": 3.0, "upside down": -1.0}
PAGE = report.ROOT / "docs" / "distil.md"
COMPONENTS = 8


def begun(seed: int, sharp: float | None) -> Trainer:
    t = trainer("lcm", UPDATES[-1], seed, guidance="1", rank="0", lr="1e-3")
    dict(t.scene.world.student.named_modules())["network.prompt"].weight.data[:, list(LOST)] = 0
    if sharp is not None:
        t.cfg = replace(t.cfg, mix="gap", mix_every=10, mix_sharp=abs(sharp))
        t.mix = mixing(t.scene, t.cfg)
        assert t.mix is not None, "it was asked for"
        t.mix.sharp = sharp
    return t


def apart(t: Trainer) -> list[float]:
    """The distance of each component."""
    with t.averaged():
        samples = few_steps(t.scene.world.student, 1, COND)
    own = [torch.arange(N) % COMPONENTS == c for c in range(COMPONENTS)]
    return [float(sliced_wasserstein(samples[rows], TRUTH[rows])) for rows in own]


def measured() -> list[report.Row]:
    rows = []
    for name, sharp in ARMS.items():
        figures: dict[int, list[list[float]]] = {n: [] for n in UPDATES}
        for seed in SEEDS:
            t = begun(seed, sharp)
            while t.step < UPDATES[-1]:
                t.advance()
                if t.step in figures:
                    figures[t.step].append(apart(t))
        row: report.Row = {"shares": name}
        for n, seeds in figures.items():
            for what, of in (("mean", statistics.fmean), ("worst", max)):
                values = [of(components) for components in seeds]
                row[f"{what}, {n}"] = f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"
        print(row, flush=True)
        rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.mixing", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--docs", type=Path, default=PAGE, help="the page with the table")
    args = p.parse_args(argv)
    rows = measured()
    table = report.markdown(rows, list(rows[0]))
    args.docs.write_text(report.insert(args.docs.read_text(encoding="utf-8"), "mixing", table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

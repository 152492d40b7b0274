"""Ablations of the methods on the 2-D mixture: three training seeds, exact densities, a few minutes.

    python -m benchmarks.ablations [--only scm_ladd]      (make ablations)

Writes benchmarks/results/ablations.json and the tables of docs/methods/*.md.
"""

import argparse
import statistics
from pathlib import Path

from torch import nn

from benchmarks import report
from benchmarks.mixture import COND, FLOOR, TEACHER, distance, many_steps, measure, trainer
from models.route import Routed

SEEDS = (0, 1, 2)
DOCS = Path(__file__).parent.parent / "docs" / "methods"
SPRINT = {"guidance": "1,1", "lr": "1e-3", "heads_lr": "2e-3", "warmup": "100"}
HYPER = {"guidance": "1", "rank": "0", "lr": "1e-3", "critic_lr": "2e-3", "stage_steps": "200"}
PLAIN = HYPER | {"adversarial": "0,0,0,0"}
ONE = {"guidance": "1", "lr": "5e-4", "fake_lr": "1e-3", "adversarial": "0", "times": "1.0"}
BACK = ONE | {"alone": "250", "per_node": "150"}
MANY = ONE | {"lr": "1e-3", "fake_lr": "2e-3", "matching": "600", "solver": "8"}
QUARTER = {"students": "1", "batch_size": 64, "matching": "2400"}  # score matching is of one for all four
# scm_ladd: equal numbers of student updates; the adversarial variants spend every other step on their heads.
VARIANTS: dict[str, dict[str, tuple[int, dict]]] = {
    "scm_ladd": {
        "sCM alone": (1000, SPRINT | {"adversarial": "0"}),
        "LADD alone": (2000, SPRINT | {"consistency": "0"}),
        "sCM + 0.5 LADD (paper)": (2000, SPRINT),
        "sCM + 0.1 LADD": (2000, SPRINT | {"adversarial": "0.1"}),
        "sCM + 0.02 LADD": (2000, SPRINT | {"adversarial": "0.02"}),
    },
    "tscd": {
        "TCD (one segment from the start)": (1200, PLAIN | {"segments": "1", "adversarial": "0"}),
        "TSCD (8, 4, 2, 1)": (1200, PLAIN),
        "TSCD + adversarial": (1200, HYPER),
        "TSCD + feedback": (1200, PLAIN | {"feedback_from": "800"}),
        "TSCD + score distillation": (1200, PLAIN | {"score_from": "800"}),
        "TSCD + all three": (1200, HYPER | {"feedback_from": "800", "score_from": "800"}),
    },
    "lcm": {"LCM": (1200, {"guidance": "1", "rank": "0", "lr": "1e-3"})},
    "dmd": {
        "one step": (2000, ONE),
        "one step, ratio 1": (2000, ONE | {"ratio": "1"}),
        "one step + discriminator": (2000, ONE | {"adversarial": "5e-3"}),
        "four steps": (4000, ONE | {"times": "1.0,0.75,0.5,0.25", "lr": "2e-4"}),
    },
    "disback": {
        "DMD, 600 steps": (600, ONE | {"alone": "0", "method": "dmd"}),
        "DisBack, 600 steps": (600, BACK | {"alone": "100", "per_node": "50"}),
        "DMD, 1,200 steps": (1200, ONE | {"alone": "0", "method": "dmd"}),
        "DisBack, 1,200 steps": (1200, BACK),
        "DMD, 2,400 steps": (2400, ONE | {"alone": "0", "method": "dmd"}),
        "DisBack, 2,400 steps": (2400, BACK),
    },
    "msd": {
        "four students": (1600, MANY),
        "one student, as many samples as one of the four": (3400, MANY | QUARTER),
        "one student, as many samples as all four": (1600, MANY | {"students": "1"}),
        "four, without score matching": (1600, MANY | {"matching": "0"}),
    },
}
STEPS = {"scm_ladd": (1, 2, 4), "tscd": (1, 2, 4, 8), "lcm": (1, 2, 4, 8), "dmd": (1, 4), "disback": (1,), "msd": (1,)}


def rows_of(method: str) -> list[report.Row]:
    rows: list[report.Row] = []
    for variant, (updates, own) in VARIANTS[method].items():
        measured: dict[str, dict[int, list[float]]] = {variant: {n: [] for n in STEPS[method]}}
        for seed in SEEDS:
            t = trainer(own.get("method", method), updates, seed, **{k: v for k, v in own.items() if k != "method"})
            while t.step < updates:
                t.advance()
            with t.averaged():
                for n in STEPS[method]:
                    measured[variant][n].append(measure(t, n))
                if variant == "four students":
                    swap(t.scene.world.student)
                    measured.setdefault("four students, each prompt to the wrong one", {1: []})[1].append(measure(t, 1))
        for name, figures in measured.items():
            row: report.Row = {"method": method, "variant": name, "seeds": len(SEEDS)}
            for n, values in figures.items():
                row[f"swd_{n}"], row[f"swd_{n}_sd"] = statistics.mean(values), statistics.stdev(values)
            rows.append(row)
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return rows + bounds(method)


def swap(routed: Routed) -> None:
    """Send every part of the prompts to its neighbour's student."""
    routed.members = nn.ModuleList([*routed.members[1:], routed.members[0]])


def bounds(method: str) -> list[report.Row]:
    """The upper and lower bounds: another sample of the truth, and the exact teacher."""
    exact = {f"swd_{n}": distance(many_steps(TEACHER, n, COND)) for n in STEPS[method]}
    floor = {f"swd_{n}": FLOOR for n in STEPS[method]}
    return [
        {"method": method, "variant": "exact teacher, DDIM", **exact},
        {"method": method, "variant": "another sample of the truth", **floor},
    ]


def table(rows: list[report.Row], steps: tuple[int, ...]) -> str:
    shown = []
    for row in rows:
        cells = {"variant": row["variant"]}
        for n in steps:
            sd = row.get(f"swd_{n}_sd")
            cells[f"{n}"] = f"{row[f'swd_{n}']:.3f}" + (f" ± {sd:.3f}" if sd is not None else "")
        shown.append(cells)
    heads = ["variant", *(f"{n} step{'s' if n > 1 else ''}" for n in steps)]
    return report.markdown(shown, ["variant", *map(str, steps)], heads)


def main() -> None:
    p = argparse.ArgumentParser(
        "benchmarks.ablations", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("--only", choices=sorted(VARIANTS), help="one method")
    args = p.parse_args()
    for method in [args.only] if args.only else VARIANTS:
        rows = rows_of(method)
        report.record(report.RESULTS / "ablations.json", rows, ["method", "variant"])
        page = DOCS / f"{method}.md"
        page.write_text(
            report.insert(page.read_text(encoding="utf-8"), "ablations", table(rows, STEPS[method])), encoding="utf-8"
        )


if __name__ == "__main__":
    main()

"""What each part of a method is worth, on the 2-D mixture: three training seeds, exact densities, minutes.

    python -m benchmarks.ablations [--only scm_ladd]      (make ablations)

Writes benchmarks/results/ablations.json and the tables of docs/methods/*.md.
"""

import argparse
import statistics
from pathlib import Path

from benchmarks import report
from benchmarks.mixture import COND, FLOOR, TEACHER, distance, many_steps, measure, trainer

SEEDS = (0, 1, 2)
STEPS = (1, 2, 4)
DOCS = Path(__file__).parent.parent / "docs" / "methods"
SPRINT = {"guidance": "1,1", "lr": "1e-3", "heads_lr": "2e-3", "warmup": "100"}
# Equal numbers of student updates: the adversarial variants spend every other step on their heads.
VARIANTS = {
    "scm_ladd": {
        "sCM alone": (1000, SPRINT | {"adversarial": "0"}),
        "LADD alone": (2000, SPRINT | {"consistency": "0"}),
        "sCM + 0.5 LADD (paper)": (2000, SPRINT),
        "sCM + 0.1 LADD": (2000, SPRINT | {"adversarial": "0.1"}),
        "sCM + 0.02 LADD": (2000, SPRINT | {"adversarial": "0.02"}),
    },
}


def rows_of(method: str) -> list[report.Row]:
    rows: list[report.Row] = []
    for variant, (updates, own) in VARIANTS[method].items():
        found: dict[int, list[float]] = {n: [] for n in STEPS}
        for seed in SEEDS:
            t = trainer(method, updates, seed, **own)
            while t.step < updates:
                t.advance()
            with t.averaged():
                for n in STEPS:
                    found[n].append(measure(t, n))
        row: report.Row = {"method": method, "variant": variant, "seeds": len(SEEDS)}
        for n in STEPS:
            row[f"swd_{n}"], row[f"swd_{n}_sd"] = statistics.mean(found[n]), statistics.stdev(found[n])
        rows.append(row)
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return rows + bounds(method)


def bounds(method: str) -> list[report.Row]:
    """What nothing beats, and what is had without training."""
    exact = {f"swd_{n}": distance(many_steps(TEACHER, n, COND)) for n in STEPS}
    floor = {f"swd_{n}": FLOOR for n in STEPS}
    return [
        {"method": method, "variant": "exact teacher, DDIM", **exact},
        {"method": method, "variant": "another sample of the truth", **floor},
    ]


def table(rows: list[report.Row]) -> str:
    shown = []
    for row in rows:
        cells = {"variant": row["variant"]}
        for n in STEPS:
            sd = row.get(f"swd_{n}_sd")
            cells[f"{n}"] = f"{row[f'swd_{n}']:.3f}" + (f" ± {sd:.3f}" if sd is not None else "")
        shown.append(cells)
    return report.markdown(shown, ["variant", "1", "2", "4"], ["variant", "1 step", "2 steps", "4 steps"])


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
        page.write_text(report.insert(page.read_text(encoding="utf-8"), "ablations", table(rows)), encoding="utf-8")


if __name__ == "__main__":
    main()

"""python -m distill.data.toys --preview grid.png --n 64 --seed 0 [--mini] [--split held_out]: a captioned grid."""

import argparse
from pathlib import Path

from distill.data.preview import grid
from distill.data.toys import SPLITS, Toys


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m distill.data.toys", description="Draw a captioned grid of toys.")
    p.add_argument("--preview", type=Path, required=True, metavar="PNG", help="file for the grid")
    p.add_argument("--n", type=int, default=64, help="scenes")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--split", choices=SPLITS, default="train")
    p.add_argument("--mini", action="store_true", help="the small data set: one plain object, one view")
    args = p.parse_args()
    try:
        toys = Toys(args.seed, args.split, args.n, args.mini)
        grid([toys[i] for i in range(len(toys))], args.preview)
    except (ValueError, OSError) as error:
        p.error(str(error))
    print(f"{args.preview}: {args.n} scenes")


if __name__ == "__main__":
    main()

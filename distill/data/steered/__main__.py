"""Draws a sheet of pictures with their outline, edges, depth, two sketches and areas of colour.

python -m distill.data.steered --preview sheet.png --of toys+emoji
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from distill.data import sources
from distill.data.steered import Steered
from distill.data.steered.drawn import control_input, floats
from distill.method import Rows
from models.manifest import CONTROLS


def sheet(of: str, n: int) -> np.ndarray:
    """A sheet, uint8 [H, W, 3], with one column for each of `n` pictures; the parts of a data set take turns."""
    parts = [Steered(source) for source in sources(of)]
    examples = [parts[i % len(parts)][i // len(parts)] for i in range(n)]
    pictures = floats([e.picture for e in examples])
    conditions = floats([e.conditions for e in examples if e.conditions is not None])
    rows = [pictures, *(c.expand_as(pictures) for c in conditions.split(1, 1))]
    for step, kind in enumerate(("sketch", "sketch", "colours")):
        kinds = torch.full((n,), CONTROLS.index(kind))
        rows.append(control_input(conditions, pictures, kinds, Rows(0, step, n)))
    whole = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    return (whole * 255).round().byte().permute(1, 2, 0).numpy()


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("distill.data.steered", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--preview", type=Path, required=True, metavar="FILE", help="draw the sheet into this file")
    p.add_argument("--of", default="toys+emoji", help="a data set or a folder of pictures")
    p.add_argument("--n", type=int, default=12)
    args = p.parse_args(argv)
    try:
        Image.fromarray(sheet(args.of, args.n)).save(args.preview)
    except (ValueError, OSError) as e:
        print(f"distill.data.steered: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

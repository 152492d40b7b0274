"""Cuts a mesh into charts, as `python -m threed.unwrap IN OUT`: xatlas may never end, so it runs in its own process."""

import sys
from pathlib import Path

import numpy as np


def main(argv: list[str]) -> None:
    import xatlas

    given = np.load(argv[0])
    pieces = xatlas.Atlas()
    pieces.add_mesh(given["vertices"].astype(np.float32), given["faces"].astype(np.uint32))
    options = xatlas.PackOptions()
    options.padding, options.resolution, options.bilinear = 2, int(given["side"]), True
    pieces.generate(xatlas.ChartOptions(), options)
    _, corners, uv = pieces[0]
    np.savez(Path(argv[1]), uv=uv[corners])  # [F, 3, 2], in the order of the faces


if __name__ == "__main__":
    main(sys.argv[1:])

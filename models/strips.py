"""Steps of several runs, drawn as a picture or an animation: rows are runs, columns are noise levels."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Image as Picture

PAPER, INK, SOFT = "#f4efe8", "#2a241d", "#8a8074"
GAP, HEAD = 4, 22  # pixels between cells; height of the line above the columns
FRAME_MS, LAST_MS = 160, 1600
SUFFIXES = (".png", ".gif", ".webp", ".mp4")
Cells = dict[int, Picture]  # the pictures of one row, by column


@dataclass(frozen=True)
class Row:
    label: str
    cells: Cells


def grid(rows: Sequence[Row], heads: Sequence[str]) -> Picture:
    """One picture of all rows. `heads`: the text above each column. A column that a row skips stays empty."""
    font = ImageFont.load_default(13)
    side = next(iter(rows[0].cells.values())).width
    left = max(int(font.getlength(r.label)) for r in rows) + 3 * GAP
    sheet = Image.new("RGB", (left + len(heads) * (side + GAP), HEAD + len(rows) * (side + GAP)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        pen.text((left + column * (side + GAP) + side // 2, HEAD // 2), head, SOFT, font, anchor="mm")
    for line, row in enumerate(rows):
        top = HEAD + line * (side + GAP)
        pen.text((left - 2 * GAP, top + side // 2), row.label, INK, font, anchor="rm")
        for column, cell in row.cells.items():
            sheet.paste(cell, (left + column * (side + GAP), top))
    return sheet


def frames(rows: Sequence[Row], heads: Sequence[str]) -> list[Picture]:
    """One frame for each column, with the newest cell that each row has by then."""
    font = ImageFont.load_default(13)
    side = next(iter(rows[0].cells.values())).width
    across = min(len(rows), 4)
    down = -(-len(rows) // across)
    out = []
    for column, head in enumerate(heads):
        sheet = Image.new("RGB", (across * (side + GAP) + GAP, down * (side + GAP + HEAD) + HEAD), PAPER)
        pen = ImageDraw.Draw(sheet)
        pen.text((sheet.width // 2, HEAD // 2), head, SOFT, font, anchor="mm")
        for n, row in enumerate(rows):
            there = [c for c in row.cells if c <= column] or [min(row.cells)]
            left, top = GAP + n % across * (side + GAP), HEAD + n // across * (side + GAP + HEAD)
            sheet.paste(row.cells[max(there)], (left, top))
            pen.text((left + side // 2, top + side + HEAD // 2), row.label, INK, font, anchor="mm")
        out.append(sheet)
    return out


def write(path: Path, rows: Sequence[Row], heads: Sequence[str]) -> None:
    """Write a grid (.png) or an animation (.gif, .webp, .mp4), by the suffix. Raises ValueError for any other."""
    check(path)
    if path.suffix.lower() == ".png":
        path.write_bytes(png(grid(rows, heads)))
        return
    moving = frames(rows, heads)
    if path.suffix.lower() == ".mp4":
        _mp4(path, moving)
        return
    times = [FRAME_MS] * (len(moving) - 1) + [LAST_MS]
    options: dict[str, Any] = {"lossless": True} if path.suffix.lower() == ".webp" else {"optimize": True}
    moving[0].save(path, save_all=True, append_images=moving[1:], duration=times, loop=0, **options)


def check(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out {path} must end in {', '.join(SUFFIXES)}")
    if path.suffix.lower() == ".mp4" and find_spec("av") is None:
        raise ValueError("an MP4 needs the package av, which is not installed; valid without it: .png, .gif, .webp")


def png(picture: Picture, level: int = 6) -> bytes:
    """`level`: 1 packs fast."""
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=level)
    return out.getvalue()


def _mp4(path: Path, moving: Sequence[Picture]) -> None:
    av = import_module("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000 // FRAME_MS)
        stream.width, stream.height, stream.pix_fmt = moving[0].width // 2 * 2, moving[0].height // 2 * 2, "yuv420p"
        for picture in [*moving, *[moving[-1]] * (LAST_MS // FRAME_MS)]:
            even = picture.crop((0, 0, stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(even), format="rgb24")))
        container.mux(stream.encode())

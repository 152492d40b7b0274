"""Steps of several runs, drawn as a picture or an animation: rows are runs, columns are noise levels."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Image as Picture

from core import animation

PAPER, INK, SOFT = "#f4efe8", "#2a241d", "#8a8074"
GAP, HEAD = 4, 22  # pixels between cells; height of the line above the columns
FRAME_MS, LAST_MS = 160, 1600
SUFFIXES = (".png", *(f".{kind}" for kind in animation.KINDS))
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
    """One frame for each column, with the newest cell that each row has by then, and the row's label below it in two
    lines."""
    font = ImageFont.load_default(13)
    side = next(iter(rows[0].cells.values())).width
    labels = ["\n".join(row.label.rsplit(", ", 1)) for row in rows]
    wide = max(side, *(int(font.getlength(line)) + 1 for label in labels for line in label.split("\n"))) + 2 * GAP
    tall = side + 2 * HEAD
    across = min(len(rows), 4)
    out = []
    for column, head in enumerate(heads):
        sheet = Image.new("RGB", (across * wide, HEAD + -(-len(rows) // across) * tall), PAPER)
        pen = ImageDraw.Draw(sheet)
        pen.text((sheet.width // 2, HEAD // 2), head, SOFT, font, anchor="mm")
        for n, (row, label) in enumerate(zip(rows, labels, strict=True)):
            there = [c for c in row.cells if c <= column] or [min(row.cells)]
            left, top = n % across * wide, HEAD + n // across * tall
            sheet.paste(row.cells[max(there)], (left + (wide - side) // 2, top))
            pen.multiline_text((left + wide // 2, top + side + GAP), label, INK, font, anchor="ma", align="center")
        out.append(sheet)
    return out


def write(path: Path, rows: Sequence[Row], heads: Sequence[str]) -> None:
    """Write a grid (.png) or an animation (.gif, .webp, .mp4), by the suffix. Raises ValueError for any other."""
    check(path)
    if path.suffix.lower() == ".png":
        path.write_bytes(png(grid(rows, heads)))
        return
    moving, kind = frames(rows, heads), path.suffix.lower()[1:]
    options: dict[str, Any] = {"gif": {"optimize": True}, "webp": {"lossless": True}}.get(kind, {})
    times = [FRAME_MS] * (len(moving) - 1) + [LAST_MS]
    path.write_bytes(animation.animated(moving, kind, times, **options))


def check(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out {path} must end in {', '.join(SUFFIXES)}")
    if reason := animation.missing(path.suffix.lower()[1:]):
        raise ValueError(f"{reason}; valid without it: .png, .gif, .webp")


def png(picture: Picture, level: int = 6) -> bytes:
    """`level`: 1 packs fast."""
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=level)
    return out.getvalue()

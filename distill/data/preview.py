"""A grid of captioned examples, for looking at a data set."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from distill.data import Example

LINES, LINE = 4, 12


def grid(examples: Sequence[Example], path: Path, columns: int = 8) -> None:
    """Draw each picture with its last caption under it, as the last is the most detailed."""
    side, cell = examples[0].picture.shape[0], examples[0].picture.shape[0] + 4
    rows = -(-len(examples) // columns)
    sheet = Image.new("RGB", (cell * columns, (cell + LINES * LINE) * rows), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for i, example in enumerate(examples):
        x, y = cell * (i % columns), (cell + LINES * LINE) * (i // columns)
        sheet.paste(Image.fromarray(example.picture), (x + 2, y + 2))
        lines = textwrap.wrap(example.captions[-1], 26)[:LINES]
        draw.multiline_text((x + 2, y + side + 4), "\n".join(lines), fill="black", font=font, spacing=1)
    sheet.save(path)

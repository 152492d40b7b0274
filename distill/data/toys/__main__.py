"""python -m distill.data.toys --preview grid.png --n 64 --seed 0 [--mini] [--split held_out]: a captioned grid."""

import argparse
import math
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from distill.data.toys import SPLITS, Toys
from distill.data.toys.render import SIZE

GAP, LINE, LINES = 10, 12, 3


def grid(toys: Toys) -> Image.Image:
    columns = math.ceil(math.sqrt(len(toys)))
    width, height = SIZE + GAP, SIZE + GAP + LINE * LINES
    sheet = Image.new("RGB", (columns * width + GAP, math.ceil(len(toys) / columns) * height + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for i in range(len(toys)):
        example = toys[i]
        x, y = GAP + i % columns * width, GAP + i // columns * height
        sheet.paste(Image.fromarray(example.picture), (x, y))
        words = textwrap.wrap(example.captions[i % len(example.captions)], 26)[:LINES]
        draw.multiline_text((x, y + SIZE + 1), "\n".join(words), fill="#444", font=font, spacing=1)
    return sheet


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m distill.data.toys", description="Draw a captioned grid of toys.")
    p.add_argument("--preview", type=Path, required=True, metavar="PNG", help="where the grid goes")
    p.add_argument("--n", type=int, default=64, help="scenes")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--split", choices=SPLITS, default="train")
    p.add_argument("--mini", action="store_true", help="the small world: one plain thing, one view")
    args = p.parse_args()
    try:
        sheet = grid(Toys(args.seed, args.split, args.n, args.mini))
        sheet.save(args.preview)
    except (ValueError, OSError) as error:
        p.error(str(error))
    print(f"{args.preview}: {args.n} scenes, {sheet.width} x {sheet.height}")


if __name__ == "__main__":
    main()

"""A sheet of 24 sketches and the pictures that each model paints along them: docs/sketches.jpg, to be looked at.

    python -m benchmarks.hand_drawn [--models toybox-hyper:1 …]

Twelve were drawn by hand, as corners of pen strokes; twelve are held-out toys, drawn imprecisely by the noise model
that benchmarks.control measures with. Rows are sketches; the last column of a block is the second model without the
sketch.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw
from PIL.Image import Image as Picture

from benchmarks import control
from core.paths import ROOT, use_studio
from distill.data import SIDE
from models import families, inputs
from models.request import ImageRequest
from models.strips import png

Stroke = Sequence[tuple[float, float]]  # corners in a square of 100, joined by a smooth line
CELL, HEAD, GAP, SEED = 98, 34, 16, 3
OUT = ROOT / "docs/sketches.jpg"
MODELS = ("toybox-sd:20", "toybox-hyper:1", "toybox-dmd2:4", "toybox-lcm:4", "toybox-disback:1", "toybox-cfg-lora:20")
MODELS += ("toybox-sana:20", "toybox-sprint:1")
DRAWN: tuple[tuple[str, tuple[Stroke, ...]], ...] = (  # prompts and strokes, some of which stay open or cross
    ("a blue mug on a white background", (
        ((28, 30), (29, 52), (31, 76), (45, 80), (60, 76), (62, 52), (63, 31)),
        ((28, 30), (45, 35), (63, 30), (46, 25), (29, 29)),
        ((62, 40), (76, 40), (79, 52), (73, 64), (61, 65)))),
    ("a red mushroom on a green background", (
        ((18, 50), (24, 30), (50, 18), (76, 31), (83, 51), (50, 57), (17, 51)),
        ((42, 56), (43, 70), (38, 84), (62, 85), (58, 70), (58, 55)))),
    ("a green fir tree on a white background", (
        ((50, 12), (62, 36), (55, 35), (72, 60), (60, 58), (78, 80),
         (22, 81), (40, 59), (29, 60), (45, 36), (38, 36), (51, 13)),
        ((46, 80), (46, 90), (55, 90), (55, 80)))),
    ("a yellow car on a grey background", (
        ((12, 64), (14, 52), (33, 49), (42, 36), (64, 36), (74, 50), (88, 53), (89, 66), (50, 68), (11, 65)),
        ((30, 66), (24, 72), (30, 79), (37, 72), (31, 66)), ((70, 67), (64, 73), (70, 80), (77, 73), (71, 67)))),
    ("a purple snowman on a blue background", (
        ((50, 48), (32, 56), (30, 74), (50, 86), (70, 74), (68, 57), (51, 48)),
        ((50, 26), (39, 34), (42, 47), (57, 47), (61, 34), (51, 26)),
        ((36, 27), (64, 28)), ((42, 27), (43, 14), (58, 14), (58, 27)), ((31, 58), (16, 48)), ((69, 58), (84, 47)))),
    ("a brown teapot on a yellow background", (
        ((30, 44), (26, 62), (38, 78), (62, 78), (72, 62), (67, 44), (48, 40), (29, 45)),
        ((28, 60), (16, 54), (10, 40)), ((30, 68), (18, 64), (8, 42)),
        ((69, 48), (84, 46), (86, 60), (71, 68)), ((44, 40), (48, 32), (54, 39)))),
    ("a teal rocket on a black background", (
        ((50, 8), (62, 28), (63, 70), (37, 70), (38, 28), (50, 9)),
        ((37, 54), (24, 76), (38, 70)), ((63, 55), (76, 77), (62, 70)),
        ((50, 34), (44, 40), (50, 46), (56, 40), (50, 34)))),
    ("a black hat on a pink background", (
        ((12, 66), (34, 60), (50, 63), (66, 60), (88, 66), (66, 76), (34, 76), (13, 67)),
        ((32, 60), (34, 38), (50, 32), (66, 38), (68, 60)))),
    ("a pink house on a green background", (
        ((24, 50), (25, 84), (75, 84), (75, 50)), ((16, 52), (50, 20), (84, 52), (17, 52)),
        ((44, 84), (44, 66), (56, 66), (56, 84)))),
    ("a red heart on a white background", (
        ((50, 84), (20, 54), (20, 32), (36, 24), (50, 36), (64, 24), (80, 33), (80, 54), (51, 84)),)),
    ("a cat on a white background", (
        ((26, 80), (28, 50), (24, 26), (38, 36), (56, 36), (70, 26), (66, 50), (70, 80), (27, 80)),
        ((70, 76), (86, 66), (84, 46)), ((40, 50), (41, 51)), ((54, 50), (55, 51)))),
    ("a green apple on a blue background", (
        ((50, 38), (30, 32), (20, 52), (32, 78), (50, 75), (68, 78), (80, 52), (69, 32), (51, 38)),
        ((50, 38), (52, 22)), ((52, 28), (64, 20), (68, 26), (53, 30)))),
)  # fmt: skip


def smooth(stroke: Stroke, points: int = 12) -> list[tuple[float, float]]:
    """Points of the line through the corners (Catmull and Rom 1974)."""
    p = np.asarray([stroke[0], *stroke, stroke[-1]], float)
    t = np.linspace(0, 1, points, endpoint=False)[:, None]
    out = []
    for i in range(len(stroke) - 1):
        a, b, c, d = p[i : i + 4]
        out += (b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))).tolist()
    return [(x, y) for x, y in [*out, stroke[-1]]]


def by_hand(strokes: Sequence[Stroke], side: int = 4 * SIDE, pen: int = 11) -> Picture:
    """Strokes as a sheet, dark on light."""
    sheet = Pictures.new("L", (side, side), 255)
    draw = ImageDraw.Draw(sheet)
    for stroke in strokes:
        line = [(x * side / 100, y * side / 100) for x, y in smooth(stroke)]
        draw.line(line, fill=0, width=pen, joint="curve")
        for x, y in line:
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=0)
    return sheet


def sketches() -> list[tuple[str, str]]:
    """Prompt and kept drawing of each of the 24."""
    drawn = [(prompt, inputs.keep(png(by_hand(strokes)))) for prompt, strokes in DRAWN]
    return drawn + [(toy.prompt, toy.drawing) for toy in control.drawn(12)]


def sheet(todo: Sequence[tuple[str, str]], models: Sequence[tuple[str, str]]) -> Picture:
    """Two blocks of rows: each sketch, the pictures along it, and the second model's picture without it."""
    loaded = families.load_all(id for id, _ in models)
    columns = [("sketch", "", ""), *((id, steps, "follow") for id, steps in models), (*models[1 % len(models)], "")]
    half = -(-len(todo) // 2)
    out = Pictures.new("RGB", (2 * len(columns) * CELL + GAP, half * CELL + HEAD), "white")
    draw = ImageDraw.Draw(out)
    for k, (prompt, drawing) in enumerate(todo):
        left, top = (k // half) * (len(columns) * CELL + GAP), HEAD + (k % half) * CELL
        for i, (id, steps, follow) in enumerate(columns):
            x = left + i * CELL
            if k % half == 0:
                words = [id.removeprefix("toybox-"), f"{steps} steps" if follow else "without" if steps else ""]
                draw.multiline_text((x + 3, 2), "\n".join(words), fill="black", font_size=11)
            if not steps:
                cell = inputs.load(drawing).convert("RGB")
            else:
                request = ImageRequest(prompt, model=id, steps=int(steps), seed=SEED, control=drawing if follow else "")
                cell = Pictures.fromarray(control.paint(loaded[id], request))
            out.paste(cell.resize((CELL - 2, CELL - 2), Pictures.Resampling.LANCZOS), (x, top))
    return out


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.hand_drawn", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(MODELS), help="MODEL:STEPS")
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    todo = sketches()
    try:
        sheet(todo, [entry.partition(":")[::2] for entry in args.models]).save(OUT, quality=88)
    except ValueError as e:
        print(f"benchmarks.hand_drawn: {e}", file=sys.stderr)
        return 2
    finally:
        for _, drawing in todo:
            inputs.forget(drawing)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Things that no data set of the box has, drawn for `benchmarks.personal`: each is a function of its number.

    python -m benchmarks.subjects FOLDER [--pictures 12]      writes one as pictures with captions, to train on

A thing is a lobed shape with a pattern, eyes and feelers. Its pictures vary in angle, size, place and background.
"""

import argparse
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from distill.data import SIDE
from models.palette import BACKGROUNDS

NAMES = ("bobo", "zizu", "kepa", "mungo", "tofi")
FINE = 4  # pixels drawn for each one of the picture
INK = ((146, 58, 178), (22, 150, 140), (232, 120, 30), (48, 92, 200), (206, 46, 92))
SECOND = ((250, 210, 60), (240, 90, 90), (60, 60, 70), (250, 250, 240), (130, 220, 120))
BEHIND = ("white", "grey", "blue", "green", "pink", "yellow")


@dataclass(frozen=True)
class Subject:
    number: int

    @property
    def name(self) -> str:
        return NAMES[self.number]

    def outline(self, angle: float, size: float) -> list[tuple[float, float]]:
        """Its shape around 0: a circle with 3 to 7 lobes."""
        lobes, depth = 3 + self.number, (0.32, 0.16, 0.26, 0.12, 0.2)[self.number]
        turns = (2 * pi * k / 240 for k in range(240))
        return [
            (size * (1 - depth + depth * cos(lobes * a)) * cos(a + angle),
             size * (1 - depth + depth * cos(lobes * a)) * sin(a + angle))
            for a in turns
        ]  # fmt: skip

    def draw(self, pose: int) -> np.ndarray:
        """One picture, uint8 [128, 128, 3]."""
        rng = np.random.default_rng([self.number, pose, 27])
        side = SIDE * FINE
        size, angle = side * rng.uniform(0.31, 0.4), float(rng.uniform(-0.35, 0.35))
        x, y = side * (0.5 + rng.uniform(-0.07, 0.07, 2))
        behind = BACKGROUNDS[BEHIND[int(rng.integers(len(BEHIND)))]]
        picture = Image.new("RGB", (side, side), tuple(int(v) for v in behind))
        body = Image.new("RGB", (side, side), INK[self.number])
        self._pattern(ImageDraw.Draw(body), x, y, size, angle)
        mask = Image.new("L", (side, side), 0)
        ImageDraw.Draw(mask).polygon([(x + a, y + b) for a, b in self.outline(angle, size)], 255)
        pen = ImageDraw.Draw(picture)
        self._feelers(pen, x, y, size, angle)
        picture.paste(body, (0, 0), mask)
        self._eyes(pen, x, y, size, angle)
        return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))

    def _pattern(self, pen: ImageDraw.ImageDraw, x: float, y: float, size: float, angle: float) -> None:
        second = SECOND[self.number]
        if self.number % 3 == 0:  # rings
            for r in (0.95, 0.55):
                pen.ellipse(
                    (x - r * size, y - r * size, x + r * size, y + r * size), outline=second, width=int(0.14 * size)
                )
        elif self.number % 3 == 1:  # stripes
            for k in range(-4, 5):
                at = (x + k * 0.36 * size * cos(angle), y + k * 0.36 * size * sin(angle))
                across = (2 * size * sin(angle), -2 * size * cos(angle))
                ends = (at[0] - across[0], at[1] - across[1], at[0] + across[0], at[1] + across[1])
                pen.line(ends, second, int(0.15 * size))
        else:  # dots
            for k in range(9):
                a, r = angle + 2.4 * k, size * 0.28 * (k**0.5)
                at, dot = (x + r * cos(a), y + r * sin(a)), 0.1 * size
                pen.ellipse((at[0] - dot, at[1] - dot, at[0] + dot, at[1] + dot), second)

    def _eyes(self, pen: ImageDraw.ImageDraw, x: float, y: float, size: float, angle: float) -> None:
        count = 1 + self.number % 3
        for k in range(count):
            off = (k - (count - 1) / 2) * 0.42 * size
            at = (x + off * cos(angle) + 0.15 * size * sin(angle), y + off * sin(angle) - 0.15 * size * cos(angle))
            for r, colour in ((0.2 * size, (255, 255, 255)), (0.1 * size, (25, 25, 30))):
                pen.ellipse((at[0] - r, at[1] - r, at[0] + r, at[1] + r), colour)

    def _feelers(self, pen: ImageDraw.ImageDraw, x: float, y: float, size: float, angle: float) -> None:
        for lean in ((-0.5, 0.5), (0.0,), (-0.7, 0.0, 0.7))[self.number % 3]:
            a = angle + lean - pi / 2
            tip = (x + 1.2 * size * cos(a), y + 1.2 * size * sin(a))
            pen.line((x, y, *tip), INK[self.number], int(0.1 * size))
            r = 0.12 * size
            pen.ellipse((tip[0] - r, tip[1] - r, tip[0] + r, tip[1] + r), SECOND[self.number])


def write(subject: Subject, home: Path, pictures: int) -> None:
    """Its first pictures, each with a caption that has its name."""
    home.mkdir(parents=True, exist_ok=True)
    for pose in range(pictures):
        Image.fromarray(subject.draw(pose)).save(home / f"{pose:02d}.png")
        (home / f"{pose:02d}.txt").write_text(f"a {subject.name}\n{subject.name}\n")


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.subjects", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("folder", type=Path, help="where a folder for each thing is written")
    p.add_argument("--pictures", type=int, default=12)
    args = p.parse_args(argv)
    for number, name in enumerate(NAMES):
        write(Subject(number), args.folder / name, args.pictures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

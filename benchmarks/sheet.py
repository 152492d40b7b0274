"""A captioned sheet of a model's pictures of held-out captions, none of them chosen.

    python -m benchmarks.sheet --model toybox-sprint --steps 1 --of first --out docs/emoji.png

`toys` has the prompts of benchmarks.quality; `emoji` has known emoji in wordings that no training saw, and `first`
those of them that training draws most often.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import questions
from benchmarks.painting import paint
from benchmarks.questions import Question
from distill.data import Example
from distill.data.preview import grid
from models import catalogue, families
from models.request import ImageRequest

OF = ("toys", "emoji", "first")
ENOUGH = 8  # questions that are drawn for each one of the sheet, so that a group fills it


def questions_of(of: str, n: int) -> list[Question]:
    """The first n questions of a group."""
    if of == "toys":
        return questions.toys(n)
    return [q for q in questions.emoji(ENOUGH * n)[0] if of in ("emoji", q.group)][:n]


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.sheet", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--model", required=True, help="id of a generator")
    p.add_argument("--steps", type=int, help="default: the model's own")
    p.add_argument("--guidance", type=float, help="default: the model's own")
    p.add_argument("--of", choices=OF, default="toys")
    p.add_argument("--n", type=int, default=64)
    p.add_argument("--seed", type=int, default=0, help="seed of the first picture; each picture adds one")
    p.add_argument("--out", type=Path, required=True, metavar="FILE")
    args = p.parse_args(argv)
    try:
        row = catalogue.get(args.model)
        steps = args.steps or row.manifest.default_steps
        guidance = row.manifest.guidance.default if args.guidance is None else args.guidance
        ImageRequest("asked", model=row.id, steps=steps, guidance=guidance)
        questions = questions_of(args.of, args.n)
        prompts, seeds = [q.prompt for q in questions], [args.seed + i for i in range(len(questions))]
        pictures = paint(families.load(row), prompts, seeds, steps, guidance).permute(0, 2, 3, 1).numpy()
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.sheet: {e}", file=sys.stderr)
        return 2
    grid([Example(x, (q.prompt,), {}, "") for x, q in zip(pictures, questions, strict=True)], args.out)
    print(f"{len(questions)} pictures in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

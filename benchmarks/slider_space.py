"""Sliders without words: what each moves, and what is left of it on the students of its base.

    python -m benchmarks.slider_space --sliders car-1,car-2 --prompt "a car" [--models toybox-sd:6,toybox-hyper:1]

Every model paints the prompt with the same seeds, which no training saw, at five strengths from end to end. The shift
of a slider is the mean change of judge-b's features between the ends; the training knows judge-a alone. On the first
model, the base, it is the measure of the others: transfer is the part of a model's shift that lies along it, by its
length, in per cent, and cosine the angle between both. Deviations: how far the shift goes, in standard deviations of
the model's own pictures along it. Moves: the attribute that judge-b reads otherwise most often at the two ends.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image as Picture
from torch import Tensor

from benchmarks import report
from benchmarks.ablations import DOCS
from benchmarks.painting import to_bytes, to_numbers
from benchmarks.sliders import HEADS, judge, spearman
from models import families
from models.batch import latents
from models.families import Parts
from models.stack import Entry

MODELS = "toybox-sd:6,toybox-hyper:1,toybox-dmd2:1,toybox-disback:1,toybox-lcm:4,toybox-cfg-lora:6"
SHARES = (-1.0, -0.5, 0.0, 0.5, 1.0)
SEEDS = range(5000, 5032)
SHOWN = 3  # of them, on a sheet
COLUMNS = ["slider", "model", "steps", "ends", "deviations", "cosine", "transfer", "spearman", "held", "moves"]


@torch.no_grad()
def painted(parts: Parts, slider: str, prompt: str, steps: int, ends: float) -> list[Tensor]:
    """Pictures in [-1, 1] at five strengths from end to end, [B, 3, H, W] each."""
    out, guidance = [], parts.row.manifest.guidance.default
    for s in (ends * share for share in SHARES):
        own = families.wear(parts, [Entry(slider, s)]) if s else parts
        z = latents(own, [prompt] * len(SEEDS), list(SEEDS), steps, guidance, ())
        halves = z.to(parts.vae_dtype).split(8)
        pixels = [parts.vae.decode(half / parts.vae.config.scaling_factor, return_dict=False)[0] for half in halves]
        out.append(to_numbers(to_bytes(torch.cat(pixels))))
    return out


def measured(
    pictures: list[Tensor], parts: Parts, slider: str, prompt: str, steps: int, ends: float, base: Tensor | None
) -> tuple[report.Row, Tensor]:
    """A row, and the shift [D]. base: the shift on the base; None there."""
    read = [judge("judge-b").read(x) for x in pictures]
    features = [f for f, _ in read]
    shift = (features[-1] - features[0]).mean(0)
    base = shift if base is None else base
    along = base / base.norm()
    spread = float((features[len(SHARES) // 2] @ along).std())
    (_, low), (_, middle), (_, high) = read[0], read[len(SHARES) // 2], read[-1]
    moved = {name: float((low[name] != high[name]).float().mean()) for name in HEADS}
    most = max(moved, key=lambda name: moved[name])
    kept = min(float((end["kind"] == middle["kind"]).float().mean()) for end in (low, high))
    row = {"slider": slider, "model": parts.row.id, "steps": steps, "prompt": prompt, "ends": ends}
    row |= {"deviations": round(float(shift @ along) / spread, 2)}
    row |= {"cosine": round(float(shift @ along / shift.norm()), 3)}
    row |= {"transfer": round(100 * float(shift @ along / base.norm()), 1)}
    row |= {"spearman": round(spearman([float((f @ along).mean()) for f in features]), 3)}
    return row | {"held": round(kept, 3), "moves": f"{most} {100 * moved[most]:.0f} %"}, shift


def table(rows: Sequence[report.Row]) -> str:
    return report.markdown(rows, COLUMNS)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("benchmarks.slider_space", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--sliders", required=True, help="ids of sliders that were trained on one prompt")
    p.add_argument("--prompt", default="a car", help="that prompt")
    p.add_argument("--models", default=MODELS, help="ids with step counts, id:steps; the base first")
    p.add_argument("--ends", type=float, default=1.0, help="strength at the ends")
    p.add_argument("--sheet", type=Path, help="a picture of the first seeds, end to end, a row a slider and model")
    p.add_argument("--docs", type=Path, default=DOCS, help="folder of slider_space.md")
    return p


def measure(args: argparse.Namespace) -> None:
    rows, bases, strips = [], {}, []
    for entry in args.models.split(","):
        id, _, steps = entry.partition(":")
        parts = families.load_all([id])[id]
        for slider in args.sliders.split(","):
            count = int(steps or parts.row.manifest.default_steps)
            pictures = painted(parts, slider, args.prompt, count, args.ends)
            strips.append(torch.cat([torch.cat([x[k] for x in pictures], 2) for k in range(SHOWN)], 2))
            row, shift = measured(pictures, parts, slider, args.prompt, count, args.ends, bases.get(slider))
            bases.setdefault(slider, shift)
            rows.append(row)
            print(json.dumps(row), flush=True)
    if args.sheet:
        Picture.fromarray(to_bytes(torch.cat(strips, 1)[None])[0].permute(1, 2, 0).numpy()).save(args.sheet)
    rows = report.record(report.RESULTS / "slider_space.json", rows, ("slider", "model", "steps", "ends"))
    page = args.docs / "slider_space.md"
    page.write_text(report.insert(page.read_text(encoding="utf-8"), "space", table(rows)), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        measure(args)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.slider_space: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

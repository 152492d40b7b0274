"""Decoders of one autoencoder beside one another, on the same latents of a model: what judges read, and PSNR.

    python -m benchmarks.decoders toybox-sprint:1 my-decoder [--pictures 192] [--sheet FILE]

The first row is the decoder that serves the model, each further one an autoencoder of the catalogue that has the same
encoder. `kind`: the share of held-out toys whose kind judge-b reads right; `emoji`: of emoji that judge-emoji names
right, in wordings that were never trained. PSNR in dB is that of held-out pictures, `forgives` with noise of 0.3 on
their latents. The sheet has a row for each decoder.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks import questions, report, scoring
from benchmarks.control import FIRST
from benchmarks.painting import CHUNK, to_bytes, to_numbers
from core.paths import use_studio
from distill.data.toys import prompt, scene_at
from distill.methods.autoencoder import encode
from distill.world import judge_named
from distill.world import load as load_in_full
from evals.metrics import psnr
from models import batch, catalogue, families
from models.families import Parts

NOISE = 0.3  # on latents of unit variance
SHOWN = ("a red mug", "a fox", "a green car", "a purple robot on a blue background", "an owl", "a yellow teapot")
SHOWN += ("a strawberry", "a blue chair", "a teal mushroom on a pink background", "a panda")
COLUMNS = ("decoder", "kind", "emoji", "toys_db", "emoji_db", "toys_forgives_db", "emoji_forgives_db")
HEADS = ("decoder", "kind %", "emoji %", "toys, dB", "emoji, dB", "toys, noisy, dB", "emoji, noisy, dB")


def painted(parts: Parts, texts: Sequence[str], steps: int) -> Tensor:
    """The latents of each text, with its number as its seed."""
    guidance, out = parts.row.manifest.guidance.default, []
    for first in range(0, len(texts), CHUNK):
        some = list(texts[first : first + CHUNK])
        out.append(batch.latents(parts, some, list(range(first, first + len(some))), steps, guidance))
    return torch.cat(out)


@torch.no_grad()
def compared(model: str, steps: int, others: Sequence[str], n: int) -> tuple[list[report.Row], Tensor]:
    """A row for each decoder, and pictures uint8 [decoders, 10, 3, H, W]."""
    parts = families.load(catalogue.get(model))
    scenes = [scene_at(0, FIRST + i, "held_out", group="one") for i in range(n)]
    emoji, _ = questions.emoji(n)
    asked = [prompt(scene, ["colour", "background"]) for scene in scenes], [q.prompt for q in emoji], SHOWN
    toys, drawn, shown = (painted(parts, texts, steps) for texts in asked)
    real = {"toys": questions.real(n, questions.ASKED), "emoji": questions.held_out_emoji(n)}
    coded = {name: encode(parts.vae, to_numbers(x)) * parts.vae.config.scaling_factor for name, x in real.items()}
    reader, namer = judge_named("judge-b"), judge_named("judge-emoji")
    rows, sheet = [], []
    for name in ("served", *others):
        vae = parts.vae if name == "served" else load_in_full(catalogue.get(name), torch.device("cpu")).vae

        def decode(z: Tensor, vae=vae) -> Tensor:
            return torch.cat([to_bytes(vae.decode(part / vae.config.scaling_factor).sample) for part in z.split(CHUNK)])

        named = [
            a["emoji"] == q.expected["emoji"]
            for a, q in zip(scoring.read(namer, decode(drawn)).answers, emoji, strict=True)
        ]
        row = {"decoder": name, "kind": 100 * scoring.right(reader, decode(toys), scenes)["kind"]}
        row["emoji"] = 100 * sum(named) / n
        for kind, z in coded.items():
            noise = NOISE * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
            row[f"{kind}_db"] = nearness(decode, z, real[kind])
            row[f"{kind}_forgives_db"] = nearness(decode, z + noise, real[kind])
        rows.append(row)
        sheet.append(decode(shown))
    return rows, torch.stack(sheet)


def nearness(decode: Callable[[Tensor], Tensor], z: Tensor, pictures: Tensor) -> float:
    return float(psnr(to_numbers(decode(z)), to_numbers(pictures), 2.0).mean())


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.decoders", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("model", help="MODEL:STEPS")
    p.add_argument("decoders", nargs="+", help="autoencoders with the encoder of the model's own")
    p.add_argument("--pictures", type=int, default=192, help="of each kind")
    p.add_argument("--sheet", type=Path, help="where ten pictures by each decoder are written")
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    id, _, steps = args.model.partition(":")
    try:
        rows, pictures = compared(id, int(steps or 1), args.decoders, args.pictures)
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.decoders: {e}", file=sys.stderr)
        return 2
    print(report.markdown(rows, COLUMNS, HEADS))
    if args.sheet:
        lines = [torch.cat(list(line.permute(0, 2, 3, 1)), 1) for line in pictures]
        Image.fromarray(torch.cat(lines).numpy()).save(args.sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main())

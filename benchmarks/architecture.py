"""Seconds of a picture by the published architectures on a CPU, with random weights: SANA-Sprint 0.6B and SD 1.5.

    python -m benchmarks.architecture [--threads 2] [--repeats 3] [--only sana-sprint-0.6b …]

The weights are of the Hub, which is not needed here: time depends on the architecture alone, and nothing is said of the
pictures. One step is one call of the denoiser and one of the decoder, at the given size. SD 1.5 stands for a one-step
LoRA that is merged into its weights. Text encoders are left out, as an embedding is cached. OpenVINO's networks are
converted as those of the box (models/openvino_convert.py). Rows go to results/architecture.json.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import diffusers
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import report
from models import openvino
from models.openvino_convert import Tensors
from models.precision import SINGLE, precisions

KEYS = ("model", "pixels", "part", "backend", "precision", "threads")
SPRINT: dict[str, Any] = {  # Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers, transformer/config.json
    "num_attention_heads": 36,
    "attention_head_dim": 32,
    "num_layers": 28,
    "num_cross_attention_heads": 16,
    "cross_attention_head_dim": 72,
    "cross_attention_dim": 1152,
    "caption_channels": 2304,
    "mlp_ratio": 2.5,
    "qk_norm": "rms_norm_across_heads",
    "guidance_embeds": True,
}
SD15: dict[str, Any] = {
    "cross_attention_dim": 768,
    "sample_size": 64,
}  # the defaults of diffusers' UNet are SD 1.5's else
SD15_DECODER: dict[str, Any] = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
SD15_BLOCKS: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}


@dataclass(frozen=True)
class Network:
    """One network of a picture, with its inputs."""

    model: str
    pixels: int
    part: str
    make: Callable[[], nn.Module]
    inputs: dict[str, Tensor]


def sana(pixels: int) -> list[Network]:
    side, g = pixels // 32, torch.Generator().manual_seed(0)
    latent = torch.randn(1, 32, side, side, generator=g)
    words = torch.randn(1, 300, SPRINT["caption_channels"], generator=g)
    given = {"hidden_states": latent, "encoder_hidden_states": words, "timestep": torch.ones(1)}
    given |= {"guidance": torch.ones(1), "encoder_attention_mask": torch.ones(1, 300)}
    make = lambda: diffusers.SanaTransformer2DModel(**SPRINT)  # noqa: E731
    decoder = lambda: diffusers.AutoencoderDC().decoder  # noqa: E731  # its defaults are f32c32
    return [
        Network("sana-sprint-0.6b", pixels, "denoiser", make, given),
        Network("sana-sprint-0.6b", pixels, "decoder", decoder, {"hidden_states": latent}),
    ]


def sd(pixels: int) -> list[Network]:
    side, g = pixels // 8, torch.Generator().manual_seed(0)
    latent, words = torch.randn(1, 4, side, side, generator=g), torch.randn(1, 77, 768, generator=g)
    given = {"sample": latent, "timestep": torch.ones(1), "encoder_hidden_states": words}
    make = lambda: diffusers.UNet2DConditionModel(**SD15)  # noqa: E731
    decoder = lambda: diffusers.AutoencoderKL(**SD15_DECODER, **SD15_BLOCKS).decoder  # noqa: E731
    return [
        Network("sd15", pixels, "denoiser", make, given),
        Network("sd15", pixels, "decoder", decoder, {"sample": latent}),
    ]


def compiled(module: nn.Module, inputs: dict[str, Tensor], precision: str) -> Callable[[], Any]:
    library = openvino.library()
    plain = Tensors(module, tuple(inputs)).eval()
    model = library.convert_model(plain, example_input=tuple(inputs.values()))
    options = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    request = library.Core().compile_model(model, "CPU", options | {"INFERENCE_PRECISION_HINT": precision})
    arrays = [np.ascontiguousarray(v.numpy()) for v in inputs.values()]
    return lambda: request(arrays)


@torch.no_grad()
def measured(network: Network, repeats: int) -> list[report.Row]:
    """Median seconds by each back end and precision; one after the other, as two would not fit into memory."""
    module, rows = network.make().eval(), []
    place = {"model": network.model, "pixels": network.pixels, "part": network.part}
    millions = round(sum(p.numel() for p in module.parameters()) / 1e6)
    for backend, precision in [("torch", SINGLE), *(("openvino", p) for p in precisions())]:
        more = Tensors(module, ()).more
        plain = partial(module, **network.inputs, **more)
        work = plain if backend == "torch" else compiled(module, network.inputs, precision)
        spent = []
        for k in range(repeats + 1):
            begun = time.perf_counter()
            work()
            if k:
                spent.append(time.perf_counter() - begun)
        row = {"backend": backend, "precision": precision, "threads": torch.get_num_threads(), "millions": millions}
        rows.append(place | row | {"seconds": float(f"{statistics.median(spent):.3g}")})
        print(rows[-1], flush=True)
    return rows


def table(known: Sequence[report.Row]) -> str:
    """One line for each model, size and way to compute it: the seconds of a step, of decoding, and of both."""
    lines: dict[tuple, report.Row] = {}
    first = [k for k in KEYS if k != "part"]
    for row in known:
        line = lines.setdefault(tuple(row[k] for k in first), {k: row[k] for k in first})
        line[row["part"]] = row["seconds"]
        line["picture"] = float(f"{line.get('picture', 0) + row['seconds']:.3g}")
    columns = (*first, "denoiser", "decoder", "picture")
    return report.markdown(list(lines.values()), columns, (*first, "s, one step", "s, decoder", "s, picture"))


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.architecture", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--only", nargs="+", default=["sana-sprint-0.6b", "sd15"])
    args = p.parse_args(argv)
    if (reason := openvino.missing()) is not None:
        print(f"benchmarks.architecture: {reason}", file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    known: list[report.Row] = report.read(report.RESULTS / "architecture.json")
    for network in [*sana(512), *sana(1024), *sd(512)]:
        if network.model in args.only:
            known = report.record(report.RESULTS / "architecture.json", measured(network, args.repeats), KEYS)
            report.publish("architecture", table(known))
    print(table(known))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Settings of the training loop; a method's own are its file's `Config`. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from core.fields import option


@dataclass(frozen=True)
class TrainConfig:
    steps: int = option(1000, "Steps of the training.", low=1)
    batch_size: int = option(64, "Samples of a step, of all processes together.", low=1)
    accumulate: int = option(1, "Slices of a batch that are computed one after the other.", low=1)
    seed: int = option(0, "The same seed gives the same weights.", low=0, high=2**31 - 1)
    warmup: int = option(100, "Steps in which the learning rate rises.", low=0)
    decay: float = option(
        0.3, "Last part of the run in which the rate falls to zero; before it the rate is constant.", low=0, high=1
    )
    clip_norm: float = option(1.0, "Longer gradients are cut to this length.", low=1e-9)
    ema: float = option(
        0.999, "What the moving average, which is served, keeps of itself at each step.", low=0, high=0.999999
    )
    weight_decay: float = option(0.01, "Of matrices.", low=0, high=1)
    optimizer: Literal["adamw", "muon"] = option(
        "adamw", "muon: matrices by Muon, at rates of AdamW's size; the rest by AdamW."
    )
    precision: Literal["auto", "fp32", "bf16"] = option("auto", "auto: what this machine is quicker with.")
    compile: bool = option(
        False, "Compiles the student's network: minutes at the start, then about a fifth faster on a CPU."
    )
    log_every: int = option(20, "Steps between two points of a curve.", low=1)
    sample_every: int = option(500, "Steps between two sheets of samples.", low=1)
    checkpoint_every: int = option(500, "Steps between two checkpoints.", low=1)
    keep: int = option(2, "Newest checkpoints that are kept; more, to go back to the best one.", low=1)

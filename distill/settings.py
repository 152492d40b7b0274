"""The settings of the training loop. A method's own settings are the `Config` of its file. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from core.fields import option


@dataclass(frozen=True)
class TrainConfig:
    steps: int = option(1000, "Steps of the training.", low=1)
    batch_size: int = option(64, "Samples per step, over all processes.", low=1)
    accumulate: int = option(1, "Slices that each batch is computed in, one after the other.", low=1)
    seed: int = option(0, "The same seed gives the same weights.", low=0, high=2**31 - 1)
    warmup: int = option(100, "Warm-up: steps in which the learning rate rises.", low=0)
    decay: float = option(0.3, "Share of the run, at its end, in which the learning rate falls to zero.", low=0, high=1)
    clip_norm: float = option(1.0, "Largest norm of the gradient; longer ones are clipped.", low=1e-9)
    ema: float = option(
        0.999, "Decay of the moving average of the weights, which is what is published.", low=0, high=0.999999
    )
    weight_decay: float = option(0.01, "Weight decay of the matrices.", low=0, high=1)
    optimizer: Literal["adamw", "muon"] = option(
        "adamw", "muon: matrices by Muon, at rates of AdamW's size; the rest by AdamW."
    )
    mix: Literal["usual", "gap"] = option(
        "usual", "gap: most samples where the student is farthest from its teacher (distill/mix.py)."
    )
    mix_sharp: float = option(1.0, "How strongly shares follow the gaps of train.mix=gap.", low=0, high=10)
    mix_every: int = option(0, "Steps between two updates of those shares; 0: a thirtieth of the training.", low=0)
    precision: Literal["auto", "fp32", "bf16"] = option("auto", "auto: the faster one on this machine.")
    compile: bool = option(
        False, "Compiles the student's network: minutes at the start, then about a fifth faster on a CPU."
    )
    log_every: int = option(20, "Steps between two logged points.", low=1)
    sample_every: int = option(500, "Steps between two sample grids.", low=1)
    checkpoint_every: int = option(500, "Steps between two checkpoints.", low=1)
    keep: int = option(2, "Checkpoints that are kept, newest first.", low=1)

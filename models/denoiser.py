"""The wrapper that makes any network answer in x0: `(x_t, t, cond) -> x0`, t in [0, 1] for every family.

Predictions are converted here and in `schedule.py` alone. Dtype and attention are chosen here too. The wrapper of each
family, and all else that is particular to its network, is in its file (`models/families/`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import pi
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.schedule import (
    Flow,
    Prediction,
    Schedule,
    Trig,
    flow_input,
    flow_time,
    like,
    to_x0,
    trig_from_flow,
    trig_time,
)

ATTENTION = ("auto", "sdpa", "xformers")


@dataclass(frozen=True)
class Cond:
    """The condition of a picture. Rows are samples; `mask` is True where a token counts."""

    tokens: Tensor  # [B, L, D]
    mask: Tensor  # [B, L] bool
    guidance: Tensor | None = None  # [B], for networks with a guidance input
    camera: Tensor | None = None  # [B, ...]
    control: Tensor | None = None  # [B, ...] of a control beside the network: a drawing [B, 3, H, W] in [0, 1]
    control_kind: Tensor | None = None  # [B] which of `manifest.CONTROLS` it is

    def __len__(self) -> int:
        return len(self.tokens)

    def map(self, f) -> "Cond":
        """Apply f to every tensor that is not None (indexing, moving, repeating)."""
        return replace(self, **{k: f(v) for k, v in vars(self).items() if v is not None})


def padded(cond: Cond, length: int) -> Cond:
    """The condition padded to `length` tokens, which the mask leaves out."""
    more = length - cond.tokens.shape[1]
    pad = nn.functional.pad
    return replace(cond, tokens=pad(cond.tokens, (0, 0, 0, more)), mask=pad(cond.mask, (0, more)))


def cat(a: Cond, b: Cond) -> Cond:
    """Two batches as one; the shorter prompts are padded."""
    length = max(a.tokens.shape[1], b.tokens.shape[1])
    first, second = (vars(padded(cond, length)) for cond in (a, b))
    given = [k for k, v in first.items() if v is not None]
    assert given == [k for k, v in second.items() if v is not None], "both must have the same parts"
    return Cond(**{k: torch.cat([first[k], second[k]]) for k in given})


@dataclass(frozen=True)
class Features:
    """Modules of a network whose outputs a discriminator sees, and the width of each. `kernel`: the filter width of
    the heads on them, 1 where the outputs are no maps of a picture."""

    modules: list[nn.Module]
    channels: list[int]
    kernel: int


class Denoiser(nn.Module):
    """A network with its prediction kind and schedule. A call gives x0; `predict` gives the network's own prediction.

    `dtype`: the compute dtype, kept here because quantised weights are stored in another.
    """

    prediction: Prediction
    schedule: Schedule
    network: Any

    def __init__(self, network: nn.Module | None, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.network, self.dtype = network, dtype
        self.word: nn.Parameter | None = None  # [D] of a word that is learnt beside a LoRA (models/learnt.py)

    @property
    def takes_guidance(self) -> bool:
        """Whether the network has an input for the guidance scale (`cond.guidance`)."""
        return False

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        raise TypeError(f"{type(self).__name__} must say how its network is called")

    def route(self, cond: Cond) -> list[int] | None:
        """The student that answers each row, by index; None where there is only one network."""
        return None

    # What distillers need of a family's network

    folder = ""  # its folder in a pipeline of diffusers
    targets: Sequence[str] = ()  # names of the layers that a LoRA adapts
    readers: Sequence[str] = ()  # those of them that read the prompt alone
    few_steps = True  # whether students that step to x0 and back to noise can be served
    several = True  # whether several small students can be served in its place

    def with_guidance(self) -> "Denoiser":
        """A copy whose network has a guidance input, which has no effect yet."""
        raise TypeError(f"{type(self).__name__} has no network with a guidance input")

    def with_camera(self) -> "Denoiser":
        """This denoiser, in place, with a camera input that has no effect yet."""
        raise TypeError(f"{type(self).__name__} has no input for a camera")

    def with_control(self) -> "Denoiser":
        """The same with a branch beside it that reads `cond.control` and has no effect yet."""
        raise TypeError(f"{type(self).__name__} has no place for a control")

    def smaller(self, width: float) -> "Denoiser":
        """A new network whose layers are `width` times as wide."""
        raise TypeError(f"{type(self).__name__} has no smaller network")

    def features(self, blocks: Sequence[int]) -> "Features":
        """The modules that a discriminator sees. `blocks`: their indices, in a network of equal blocks."""
        raise TypeError(f"{type(self).__name__} has no features to look at")

    @property
    def token_width(self) -> int:
        """Width of a token of a prompt embedding."""
        raise TypeError(f"{type(self).__name__} must say what its prompts are")

    # Of a network that takes LoRAs (models/adapters.py)

    adapters: Any = None

    def own(self, guidance: float) -> tuple[tuple[str, float], ...]:
        """Its own adapter, with the strength that it has at this guidance."""
        return ()

    def save(self, home: Path, folder: str = "") -> None:
        """Write the network in half precision to `folder` of `home`; its usual folder where none is given."""
        self.network.half().save_pretrained(home / (folder or self.folder))

    def forward(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        return to_x0(self.prediction, self.schedule, x_t, self.predict(x_t, t, cond), t)


def strength(guidance: float, full: float) -> float:
    """The strength of an adapter with guidance folded in: 0 at guidance 1, 1 at guidance `full`."""
    return (guidance - 1) / (full - 1)


class TrigFlow(Denoiser):
    """A flow denoiser as a TrigFlow denoiser, exactly and without training (SANA-Sprint, Sec. 3.1)."""

    prediction: Prediction = "trigflow"
    schedule = Trig()
    few_steps = False

    def __init__(self, flow: "Predicts"):
        assert flow.prediction == "flow"
        super().__init__(getattr(flow, "network", None))  # the exact teacher of the 2-D mixture has none
        self.flow: Any = flow
        self.folder, self.targets = getattr(flow, "folder", ""), getattr(flow, "targets", ())
        self.adapters = getattr(flow, "adapters", None)

    @property
    def takes_guidance(self) -> bool:
        return getattr(self.flow, "takes_guidance", False)

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        s = flow_time(t)
        x_flow = flow_input(x_t, s)
        return trig_from_flow(x_flow, self.flow.predict(x_flow, s, cond), s)

    def acting(self, *acts: Any) -> "TrigFlow":
        return TrigFlow(self.flow.acting(*acts))

    def adapted(self, name: str | None, full: float | None = None) -> "TrigFlow":
        return TrigFlow(self.flow.adapted(name, full))

    def weakened(self, share: float) -> "TrigFlow":
        return TrigFlow(self.flow.weakened(share))

    def controlled(self, branch: nn.Module, share: float) -> "TrigFlow":
        return TrigFlow(self.flow.controlled(branch, share))

    def with_control(self) -> "TrigFlow":
        return TrigFlow(self.flow.with_control())

    @property
    def control(self) -> Any:
        """The branch beside the network, where there is one."""
        return self.flow.control

    def own(self, guidance: float) -> tuple[tuple[str, float], ...]:
        return self.flow.own(guidance)

    def named(self, key: str) -> str:
        return self.flow.named(key)

    def save(self, home: Path, folder: str = "") -> None:
        assert isinstance(self.flow, Denoiser), "the exact teacher of the 2-D mixture has nothing to save"
        self.flow.save(home, folder)


def angle(t: Tensor) -> Tensor:
    """TrigFlow's time in radians, from t in [0, 1]."""
    return t * (pi / 2)


class AnswersX0(Protocol):
    """A Denoiser, or anything else with the same call."""

    @property
    def schedule(self) -> Schedule: ...

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor: ...


class Predicts(AnswersX0, Protocol):
    """A Denoiser, or the exact teacher of the 2-D mixture: `predict` gives the prediction of a network."""

    @property
    def prediction(self) -> Prediction: ...

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor: ...


def on_schedule(denoiser: AnswersX0, schedule: Schedule) -> Callable[[Tensor, Tensor, Cond], Tensor]:
    """The denoiser for samples of another schedule: x_t is scaled and t is moved to equal signal to noise.

    Flow and TrigFlow convert into each other. Raises ValueError for other pairs.
    """
    if denoiser.schedule == schedule:
        return denoiser
    pair = type(denoiser.schedule), type(schedule)
    if pair == (Flow, Trig):
        return lambda x_t, t, cond: denoiser(flow_input(x_t, flow_time(t)), flow_time(t), cond)
    if pair == (Trig, Flow):
        return lambda x_t, t, cond: denoiser(x_t / like(((1 - t) ** 2 + t**2).sqrt(), x_t), trig_time(t), cond)
    raise ValueError(f"a {pair[0].__name__} denoiser can't take over from {pair[1].__name__}; valid: Flow and Trig")


def pick_device(name: str) -> torch.device:
    """A device by name; `auto` is CUDA where there is a GPU. Raises ValueError for a device that isn't there."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    valid = ["auto", "cpu", *(["cuda"] if gpus else []), *gpus]
    if name not in valid:
        raise ValueError(f"device {name!r} is not here; valid: {', '.join(valid)}")
    return torch.device(("cuda" if gpus else "cpu") if name == "auto" else name)


def pick_dtype(device: torch.device) -> torch.dtype:
    """bf16 on a GPU that has it, as SANA was trained; fp32 on a CPU.

    On a CPU with AVX512-BF16, bf16 saved an eighth of one picture's time but made pictures depend on the machine.
    """
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def check_attention(how: str, device: torch.device) -> None:
    """Raises ValueError for an unknown attention kernel, and for xformers without CUDA or where it isn't installed."""
    if how not in ATTENTION:
        raise ValueError(f"attention {how!r}; valid: {', '.join(ATTENTION)}")
    if how == "xformers" and device.type != "cuda":
        raise ValueError("xformers runs on CUDA only; valid on this device: auto, sdpa")
    if how == "xformers" and find_spec("xformers") is None:
        raise ValueError("xformers is not installed; valid without it: auto, sdpa")


def set_attention(network: Any, how: str, device: torch.device, linear: str = "") -> str | None:
    """Choose the kernel of softmax attention, which `check_attention` allowed. `auto` and `sdpa` are torch's own.

    `linear`: why the choice does not apply to this network, if so; the sentence that is returned says it.
    """
    check_attention(how, device)
    if how != "xformers":
        return None
    if linear:
        return f"xformers does not apply: {linear}"
    network.enable_xformers_memory_efficient_attention()
    return None

"""Wraps any network so that it answers in x0: `(x_t, t, cond) -> x0`, t in [0, 1] for every family.

What the network predicts is converted here and in `schedule.py`, nowhere else; so are dtype and attention chosen here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import pi
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.camera import CameraEmbedding, telling
from models.schedule import (
    VP,
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
    """What a picture is asked for. Rows are samples; `mask` is True where a token counts."""

    tokens: Tensor  # [B, L, D]
    mask: Tensor  # [B, L] bool
    guidance: Tensor | None = None  # [B], for networks that take their guidance as an input
    control: Tensor | None = None  # [B, C, H, W]
    camera: Tensor | None = None  # [B, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def map(self, f) -> "Cond":
        """Apply f to every tensor that is there (indexing, moving, repeating)."""
        return replace(self, **{k: f(v) for k, v in vars(self).items() if v is not None})


def padded(cond: Cond, length: int) -> Cond:
    """As many tokens as `length`; those added don't count."""
    more = length - cond.tokens.shape[1]
    pad = nn.functional.pad
    return replace(cond, tokens=pad(cond.tokens, (0, 0, 0, more)), mask=pad(cond.mask, (0, more)))


def cat(a: Cond, b: Cond) -> Cond:
    """Two batches as one, the shorter prompts padded."""
    length = max(a.tokens.shape[1], b.tokens.shape[1])
    first, second = (vars(padded(cond, length)) for cond in (a, b))
    given = [k for k, v in first.items() if v is not None]
    assert given == [k for k, v in second.items() if v is not None], "or one would lose what it is told"
    return Cond(**{k: torch.cat([first[k], second[k]]) for k in given})


class Denoiser(nn.Module):
    """A network with its prediction kind and schedule. Call it for x0; `predict` gives the network's own answer.

    dtype: in which it computes, remembered, as weights that are quantised are stored in another.
    """

    prediction: Prediction
    schedule: Schedule
    network: Any

    def __init__(self, network: nn.Module | None, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.network, self.dtype = network, dtype

    @property
    def takes_guidance(self) -> bool:
        """Whether the guidance scale is an input of the network (`cond.guidance`)."""
        return False

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        raise TypeError(f"{type(self).__name__} must say how its network is called")

    def route(self, cond: Cond) -> list[int] | None:
        """Which of several students answers each row; None where there is one."""
        return None

    def with_guidance(self) -> "Denoiser":
        """A copy whose network takes its guidance as an input that has no effect yet."""
        raise TypeError(f"{type(self).__name__} has no network with a guidance input")

    def forward(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        return to_x0(self.prediction, self.schedule, x_t, self.predict(x_t, t, cond), t)


class SanaDenoiser(Denoiser):
    """SanaTransformer2DModel trained by flow matching, with the dense time embedding of SANA-Sprint (t, not 1000 t)."""

    prediction: Prediction = "flow"
    schedule = Flow()

    @property
    def takes_guidance(self) -> bool:
        return self.network.config.guidance_embeds

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        net = self.network
        scale = net.config.guidance_embeds_scale
        guidance = None if cond.guidance is None else cond.guidance * scale
        time = t if net.config.guidance_embeds else t * (net.config.timestep_scale * 1000)
        x, tokens = x_t.to(self.dtype), cond.tokens.to(self.dtype)
        v = net(x, tokens, time, guidance=guidance, encoder_attention_mask=cond.mask, return_dict=False)[0]
        return v.to(x_t.dtype)

    def with_guidance(self) -> "SanaDenoiser":
        """Differs in the first layer of the embedder from zero (N(0, 0.02)), or it would never learn."""
        # `_use_default_values` would undo the line after.
        config = {k: v for k, v in self.network.config.items() if k != "_use_default_values"}
        config["guidance_embeds"] = True
        student = type(self.network).from_config(config)
        embedder = student.time_embed.guidance_embedder
        nn.init.normal_(embedder.linear_1.weight, std=0.02)
        nn.init.zeros_(embedder.linear_1.bias)
        nn.init.zeros_(embedder.linear_2.weight)
        nn.init.zeros_(embedder.linear_2.bias)
        weights = {
            k.replace("time_embed.emb.timestep_embedder", "time_embed.timestep_embedder"): v
            for k, v in self.network.state_dict().items()
        }
        weights |= {f"time_embed.guidance_embedder.{k}": v for k, v in embedder.state_dict().items()}
        student.load_state_dict(weights)
        return SanaDenoiser(student)


HOOKS = "_diffusers_hook", "_hf_hook"  # of layerwise casting and offloading, by diffusers and by accelerate


def plain(weight: Tensor) -> bool:
    """Numbers that can be added to as they lie there: no quantised ones."""
    return type(weight.data) is Tensor and weight.dtype in (torch.float32, torch.bfloat16, torch.float16)


class Adapters:
    """The LoRAs on a network that several denoisers share: which of them acts, and how strongly.

    The one that acts is part of the weights, as beside them it would make a step on a CPU about twice as long. The
    network's own weights are kept meanwhile, and come back bit for bit. Beside weights that are quantised, or that a
    hook moves or casts around each call, it stays beside them: those have no room for it, or would come back without.
    """

    def __init__(self, network: Any):
        self.network = network
        self.layers: list[Any] = []
        self.own: list[tuple[Any, Tensor]] = []  # (layer, its weight without an adapter)
        self.acting: tuple[str | None, float] | None = None

    def found(self, layers: list[Any]) -> None:
        """Every layer of the network that has an adapter, after `part` and one more adapter."""
        self.layers = layers

    def use(self, name: str | None, scale: float) -> None:
        """None: the network as it was without any, exactly."""
        if not self.layers or self.acting == (name, scale):
            return
        self.part()
        hooked = any(hasattr(module, hook) for module in self.network.modules() for hook in HOOKS)
        for layer in self.layers:
            layer.enable_adapters(name is not None)
            if name is not None:
                layer.set_adapter(name, inference_mode=True)
                layer.set_scale(name, scale)
                if name in layer.lora_A and not hooked and plain(layer.get_base_layer().weight):
                    self._merge(layer, name)
        self.acting = name, scale

    def _merge(self, layer: Any, name: str) -> None:
        weight = layer.get_base_layer().weight
        self.own.append((layer, weight.data))
        weight.data = weight.data.clone()
        layer.merge(adapter_names=[name])

    def part(self) -> None:
        """No adapter is in the weights any more."""
        for layer, weight in self.own:
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()
        self.own, self.acting = [], None


def strength(guidance: float, full: float) -> float:
    """How strongly an adapter that has guidance folded in acts: off at 1, as it is at `full`."""
    return (guidance - 1) / (full - 1)


class UNetDenoiser(Denoiser):
    """UNet2DConditionModel with the schedule of Stable Diffusion. As there, it sees the padding of a prompt too."""

    prediction: Prediction = "epsilon"
    schedule = VP()

    def __init__(self, network: nn.Module | None, dtype: torch.dtype = torch.float32):
        super().__init__(network, dtype)
        self.adapters = Adapters(network)
        self.adapter: str | None = None
        self.full: float | None = None  # guidance at which the adapter acts as it is; at 1 it is off
        self.camera: CameraEmbedding | None = None  # of a network that can be told `cond.camera`
        self.share = 1.0  # of that strength

    def adapted(self, name: str | None, full: float | None = None, share: float = 1.0) -> "UNetDenoiser":
        """The same network with this adapter on, at a share of its strength."""
        other = type(self)(self.network, self.dtype)
        other.adapters, other.adapter, other.full, other.share = self.adapters, name, full, share
        return other

    @property
    def takes_guidance(self) -> bool:
        return self.full is not None

    def strength(self, guidance: float) -> float:
        return self.share * (1.0 if self.full is None else strength(guidance, self.full))

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        guidance = 1.0 if cond.guidance is None else float(cond.guidance[0])  # pictures of a batch share it
        self.adapters.use(self.adapter, self.strength(guidance))
        tokens, more = self.conditions(cond.tokens.to(self.dtype))
        timestep = t * VP.num_train_timesteps - 1
        with telling(self.network, self.camera, cond.camera, x_t) as place:
            out = self.network(x_t.to(self.dtype), timestep, tokens, **more, **place, return_dict=False)[0]
        return out.to(x_t.dtype)

    def conditions(self, tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """What cross-attention sees, and what else the network is told."""
        return tokens, {}


class SDXLDenoiser(UNetDenoiser):
    """SDXL's UNet. The pooled text rides as the last token; the sizes it is told are those of the picture."""

    def conditions(self, tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
        config = self.network.config
        pixels = config.sample_size * 8
        sizes = torch.tensor([pixels, pixels, 0, 0, pixels, pixels], dtype=tokens.dtype, device=tokens.device)
        width = config.projection_class_embeddings_input_dim - config.addition_time_embed_dim * len(sizes)
        told = {"text_embeds": tokens[:, -1, :width], "time_ids": sizes.expand(len(tokens), -1)}
        return tokens[:, :-1], {"added_cond_kwargs": told}


class ToyDenoiser(Denoiser):
    """The small net of the 2-D mixture (families/toy2d.py): `network(x_t, t, cond) -> velocity`."""

    prediction: Prediction = "flow"
    schedule = Flow()

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        return self.network(x_t, t, cond)

    def with_guidance(self) -> "ToyDenoiser":
        return ToyDenoiser(self.network.with_guidance())


class TrigFlow(Denoiser):
    """A flow denoiser seen as TrigFlow, exactly and without training (SANA-Sprint, Sec. 3.1)."""

    prediction: Prediction = "trigflow"
    schedule = Trig()

    def __init__(self, flow: "Predicts"):
        assert flow.prediction == "flow"
        super().__init__(getattr(flow, "network", None))  # the exact teacher of the 2-D mixture has none
        self.flow = flow

    @property
    def takes_guidance(self) -> bool:
        return getattr(self.flow, "takes_guidance", False)

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        s = flow_time(t)
        x_flow = flow_input(x_t, s)
        return trig_from_flow(x_flow, self.flow.predict(x_flow, s, cond), s)


def angle(t: Tensor) -> Tensor:
    """TrigFlow's own time, in radians, from t in [0, 1]."""
    return t * (pi / 2)


class AnswersX0(Protocol):
    """A Denoiser, or anything else that is called like one."""

    @property
    def schedule(self) -> Schedule: ...

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor: ...


class Predicts(AnswersX0, Protocol):
    """A Denoiser, or the exact teacher of the 2-D mixture: `predict` gives what a network would say."""

    @property
    def prediction(self) -> Prediction: ...

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor: ...


def on_schedule(denoiser: AnswersX0, schedule: Schedule) -> Callable[[Tensor, Tensor, Cond], Tensor]:
    """The denoiser for samples of another schedule: x_t is scaled, t moved, to where the signal to noise is equal.

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
    """`auto` is CUDA where there is one. Raises ValueError for a device that isn't there."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    valid = ["auto", "cpu", *(["cuda"] if gpus else []), *gpus]
    if name not in valid:
        raise ValueError(f"device {name!r} is not here; valid: {', '.join(valid)}")
    return torch.device(("cuda" if gpus else "cpu") if name == "auto" else name)


def pick_dtype(device: torch.device) -> torch.dtype:
    """bf16 on a GPU that has it, as SANA was trained; fp32 on a CPU.

    On a CPU with AVX512-BF16 bf16 took an eighth off one picture's time, and made pictures depend on the machine.
    """
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def check_attention(how: str, device: torch.device) -> None:
    """Raises ValueError for an unknown kernel of attention, and for xformers off CUDA or not installed."""
    if how not in ATTENTION:
        raise ValueError(f"attention {how!r}; valid: {', '.join(ATTENTION)}")
    if how == "xformers" and device.type != "cuda":
        raise ValueError("xformers runs on CUDA only; valid on this device: auto, sdpa")
    if how == "xformers" and find_spec("xformers") is None:
        raise ValueError("xformers is not installed; valid without it: auto, sdpa")


def set_attention(network: Any, how: str, device: torch.device) -> str | None:
    """Choose the kernel of softmax attention, where `check_attention` allows it; returns a sentence where the choice
    does not apply. `auto` and `sdpa` are torch's own.
    """
    check_attention(how, device)
    if how != "xformers":
        return None
    if type(network).__name__.startswith("Sana"):
        return "xformers does not apply: SANA's self-attention is linear, and its cross-attention stays with sdpa"
    network.enable_xformers_memory_efficient_attention()
    return None

"""The 2-D Gaussian mixture, whose denoiser is known exactly: the teacher and the reference of tests, and a small net.

x is [B, 2]. A prompt names a Gaussian: its token is one-hot, [B, 1, K]. All zeros are the empty prompt: any Gaussian.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import pi

import torch
from torch import Tensor, nn

from models.denoiser import AnswersX0, Cond, Denoiser, Features
from models.guidance import Turn
from models.samplers import sample
from models.schedule import VP, Flow, Prediction, Schedule, Trig, from_x0, like
from models.stepping import DdimSteps

GUIDANCE_SCALE = 0.1


def labels(index: Tensor, num: int) -> Cond:
    """Prompts from component indices [B]; -1 is the empty prompt."""
    tokens = nn.functional.one_hot(index.clamp_min(0), num) * (index >= 0)[:, None]
    return Cond(tokens[:, None].float(), torch.ones(len(index), 1, dtype=torch.bool, device=index.device))


def named(texts: Sequence[str], num: int) -> Cond:
    """Prompts from words: a component's number among them names it, without one any is meant."""
    numbers = [[int(word) for word in text.split() if word.isdigit()] for text in texts]
    return labels(torch.tensor([each[0] if each else -1 for each in numbers]), num)


def spot(texts: Sequence[str], word: str) -> Tensor:
    """The one token [B, 1] of each text that has the word."""
    return torch.tensor([[word in text.split()] for text in texts])


def controlled(index: Tensor, num: int) -> Cond:
    """Empty prompts, and a control that says which component."""
    named = labels(index, num).tokens[:, 0]
    return replace(labels(torch.full_like(index, -1), num), control=named, control_kind=torch.zeros_like(index))


@dataclass(frozen=True)
class Mixture:
    """Equally likely Gaussians of deviation `std` around `means` [K, 2]. A call gives E[x0 | x_t] in closed form."""

    means: Tensor
    std: float
    schedule: Schedule = Flow()

    @property
    def prediction(self) -> Prediction:
        """The kind of `predict`'s answer: the one that is usual with this schedule."""
        kinds: dict[type, Prediction] = {Flow: "flow", Trig: "trigflow", VP: "epsilon"}
        return kinds[type(self.schedule)]

    @classmethod
    def ring(cls, num: int = 8, radius: float = 1.35, std: float = 0.15, schedule: Schedule | None = None) -> "Mixture":
        """Gaussians on a circle. As with latents, each coordinate has about unit standard deviation."""
        angle = torch.arange(num) * (2 * pi / num)
        return cls(radius * torch.stack([angle.cos(), angle.sin()], -1), std, schedule or Flow())

    def weights(self, cond: Cond) -> Tensor:
        """Prior of each component, [B, K]; uniform for the empty prompt."""
        named = cond.tokens[:, 0]
        return torch.where(named.sum(-1, keepdim=True) > 0, named, torch.ones_like(named))

    def sample(self, cond: Cond, generator: torch.Generator) -> Tensor:
        """Data [B, 2]. The generator is on the CPU, so that data don't depend on the device."""
        k = torch.multinomial(self.weights(cond).cpu(), 1, generator=generator)[:, 0]
        noise = torch.randn(len(k), 2, generator=generator)
        return (self.means[k].cpu() + self.std * noise).to(cond.tokens)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        """The posterior mean [B, 2]: that of each component, weighted by the component's probability given x_t."""
        a, s = like(self.schedule.alpha(t), x_t), like(self.schedule.sigma(t), x_t)
        means = self.means.to(x_t)
        var = a**2 * self.std**2 + s**2  # [B, 1]
        d = x_t[:, None] - a[..., None] * means  # [B, K, 2]
        r = (self.weights(cond).log() - (d**2).sum(-1) / (2 * var)).softmax(-1)  # [B, K]
        post = means + (a * self.std**2 / var)[..., None] * d  # [B, K, 2]
        return (r[..., None] * post).sum(1)

    def posterior(self, x0: Tensor) -> Tensor:
        """Unnormalised log probability of each component, given clean data: [B, K]."""
        return -((x0[:, None] - self.means.to(x0)) ** 2).sum(-1) / (2 * self.std**2)

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        return from_x0(self.prediction, self.schedule, x_t, self(x_t, t, cond), t)


class Net(nn.Module):
    """A small MLP: (x_t, t, cond) -> velocity [B, 2]. With `guided`, `cond.guidance` is an input too."""

    def __init__(self, num_cond: int = 8, dim: int = 64, guided: bool = False):
        super().__init__()
        self.prompt = nn.Linear(num_cond, dim)
        self.first = nn.Linear(2 + 2 + dim, dim)
        self.body = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, 2))
        self.guidance = still(nn.Linear(2, dim), nn.Linear(dim, dim)) if guided else None

    def forward(self, x_t: Tensor, t: Tensor, cond: Cond, beside: Tensor | None = None) -> Tensor:
        time = torch.stack([t, t**2], -1)
        h = self.first(torch.cat([x_t, time, self.prompt(cond.tokens[:, 0])], -1))
        h = h if beside is None else h + beside
        if self.guidance is not None:
            assert cond.guidance is not None, "this net has a guidance input"
            w = cond.guidance * GUIDANCE_SCALE
            h = h + self.guidance(torch.stack([w.sin(), w.cos()], -1))
        return self.body(h)

    def with_guidance(self) -> "Net":
        """A copy with a guidance input that has no effect yet."""
        guided = Net(self.prompt.in_features, self.prompt.out_features, guided=True).to(self.first.weight)
        own = {k: v for k, v in guided.state_dict().items() if k.startswith("guidance.")}
        guided.load_state_dict(self.state_dict() | own)
        return guided


class ToyDenoiser(Denoiser):
    """The denoiser around `Net`, which predicts the velocity."""

    prediction: Prediction = "flow"
    schedule = Flow()
    targets = "first", "body.1", "body.3"
    readers = ("prompt",)

    def __init__(self, network: nn.Module | None, dtype: torch.dtype = torch.float32):
        super().__init__(network, dtype)
        self.control: nn.Module | None = None  # a branch that reads `cond.control`: which Gaussian, [B, K]

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        if self.control is None or cond.control is None:
            return self.network(x_t, t, cond)
        return self.network(x_t, t, cond, self.control(torch.cat([x_t, t[:, None], cond.control], -1)))

    def with_control(self) -> "ToyDenoiser":
        k, dim = self.token_width, self.network.prompt.out_features
        self.control = still(nn.Linear(3 + k, dim), nn.Linear(dim, dim))
        return self

    def with_guidance(self) -> "ToyDenoiser":
        return ToyDenoiser(self.network.with_guidance())

    def smaller(self, width: float) -> "ToyDenoiser":
        prompt = self.network.prompt
        return ToyDenoiser(Net(prompt.in_features, max(8, int(prompt.out_features * width))))

    def features(self, blocks: Sequence[int]) -> Features:
        """The outputs of its two hidden layers."""
        first, second = self.network.first, self.network.body[1]
        return Features([first, second], [first.out_features] * 2, kernel=1)

    @property
    def token_width(self) -> int:
        return self.network.prompt.in_features


def still(first: nn.Linear, last: nn.Linear) -> nn.Sequential:
    """An embedder that has no effect yet and can learn: only its last layer is zero, so that gradients pass."""
    nn.init.normal_(first.weight, std=0.02)
    nn.init.zeros_(first.bias)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.SiLU(), last)


def student(num_cond: int = 8, dim: int = 64, seed: int = 0) -> ToyDenoiser:
    """A new net, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ToyDenoiser(Net(num_cond, dim))


@torch.no_grad()
def integrate(denoiser: AnswersX0, noise: Tensor, cond: Cond, steps: int) -> Tensor:
    """Deterministic samples [B, 2] from pure noise, by uniform steps of DDIM in the denoiser's own schedule."""
    return sample(DdimSteps(denoiser.schedule, steps), noise, [Turn(denoiser)] * steps, cond)

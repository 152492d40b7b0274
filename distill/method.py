"""The contract of a distillation method: the players that are trained, and the loss of each."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from models.catalogue import Row
from models.denoiser import Cond, Predicts
from models.schedule import Schedule

T = TypeVar("T")


def sent(x: Tensor, device: torch.device | str) -> Tensor:
    """A copy on the device. On a GPU the copy does not wait for earlier work."""
    device = torch.device(device)
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


class Rows:
    """The random numbers for this process's rows of the global batch.

    They are a function of (seed, step, index of the sample in the global batch). Every process draws the numbers of the
    whole batch and keeps its own rows, so that any number of processes computes the same batch.
    """

    def __init__(
        self, seed: int, step: int, total: int, start: int = 0, stream: int = 0, device: torch.device | str = "cpu"
    ):
        self.generator = torch.Generator().manual_seed((seed * 1_000_003 + step) * 16 + stream)
        self.total, self.start, self.device = total, start, device

    def _mine(self, x: Tensor, n: int) -> Tensor:
        return sent(x[self.start : self.start + n], self.device)

    def randn(self, *shape: int) -> Tensor:
        return self._mine(torch.randn(self.total, *shape[1:], generator=self.generator), shape[0])

    def rand(self, *shape: int) -> Tensor:
        return self._mine(torch.rand(self.total, *shape[1:], generator=self.generator), shape[0])

    def randint(self, low: int, high: int, n: int) -> Tensor:
        return self._mine(torch.randint(low, high, (self.total,), generator=self.generator), n)

    def randn_like(self, x: Tensor) -> Tensor:
        return self.randn(*x.shape)

    def shared(self) -> float:
        """One number in [0, 1) for the whole batch, the same in every process."""
        return float(torch.rand((), generator=self.generator))


def needed(given: T | None) -> T:
    """An optional value that is there, as the method's `needs` or settings name it."""
    assert given is not None, "a method uses only what its `needs` name"
    return given


@dataclass(frozen=True)
class Batch:
    """One batch. Methods that train on pictures read `pixels`, those that train on latents read `x0`."""

    step: int
    x0: Tensor | None = None  # latents [B, ...], unit standard deviation as a whole
    cond: Cond | None = None
    pixels: Tensor | None = None  # [B, 3, H, W] in [-1, 1]
    enlarged: Tensor | None = None  # uint8 [B, 3, 4H, 4W], enlarged by Real-ESRGAN
    labels: dict[str, Tensor] = field(default_factory=dict)  # attributes as classes, for the judges
    captions: list[str] = field(default_factory=list)
    truth: list[dict] = field(default_factory=list)  # all true attributes of each picture

    def __len__(self) -> int:
        return len(self.x0 if self.x0 is not None else needed(self.pixels))

    @property
    def latents(self) -> tuple[Tensor, Cond]:
        """x0 and its prompt embeddings, for a method that trains on latents."""
        return needed(self.x0), needed(self.cond)


@dataclass(frozen=True)
class Player:
    """Parameters that share an optimiser: those of `module` that require gradients when training starts.

    It is trained on steps in [start, stop) where step % every == phase. Two players may train one module, at different
    steps.
    """

    module: nn.Module
    lr: float
    every: int = 1
    phase: int = 0
    start: int = 0
    stop: int = 1 << 60
    ema: bool = False  # whether a moving average of its weights is kept and served


class Features(Protocol):
    """Frozen features of a teacher: `(x_t, t, cond) -> [[B, N, C], …]`, through which gradients flow to x_t."""

    schedule: Schedule  # of x_t and t
    channels: list[int]  # C of each feature map
    kernel: int  # filter width of a head along the tokens

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> list[Tensor]: ...


@dataclass(frozen=True)
class World:
    """Everything that a method gets. It holds the parts that the method `needs`; the others are None."""

    student: Any = None  # the module that is trained and published: a Denoiser, an autoencoder or a judge
    teacher: Predicts | None = None  # frozen
    null: Cond | None = None  # the empty prompt, one row
    judge: Callable[[Tensor, Batch], Tensor] | None = None  # x0 -> log probability [B] of the caption, 0 if unreadable
    look: Callable[[Tensor], Tensor] | None = None  # latents -> a judge's features [B, D]; of the mixture, the points
    prompts: Cond | None = None  # some thousand prompts of the training set
    features: Callable[[tuple[int, ...]], Features] | None = None  # features of these blocks of the teacher
    encode: Callable[[list[str]], Cond] | None = None  # texts -> prompts
    spot: Callable[[list[str], str], Tensor] | None = None  # texts, word -> its tokens in them, bool [B, L]
    show: Callable[[Tensor], Tensor] | None = None  # latents -> pictures [B, 3, H, W] in [-1, 1]
    see: Callable[[np.ndarray], Tensor] | None = None  # pictures uint8 [B, H, W, 3] -> latents
    base: Row | None = None  # the base's row of the catalogue

    def null_like(self, cond: Cond) -> Cond:
        """The empty prompt, with as many rows and tokens as `cond`."""
        b, n, d = cond.tokens.shape
        tokens, mask = cond.tokens.new_zeros(b, n, d), torch.zeros_like(cond.mask)
        null = needed(self.null)
        k = null.tokens.shape[1]
        tokens[:, :k], mask[:, :k] = null.tokens.to(tokens), null.mask.to(mask.device)
        return replace(cond, tokens=tokens, mask=mask, guidance=None)


@dataclass
class Out:
    loss: Tensor
    logs: dict[str, Tensor] = field(default_factory=dict)


class Method(Protocol):
    """`distill/methods/<name>.py` says everything about the method of that name. It has

    - `ABOUT`: one line in plain words, for forms, menus and model cards;
    - `BASES`: the kinds of base that it takes, as distill/declared.py names them;
    - `Config`: a frozen dataclass, each field an `option(default, "What it is.")` of core/fields.py;
    - `student(cfg, base)`: makes the module that is trained and published. `base` is the base model's denoiser or, for
      methods on pictures, its autoencoder; None without a base; for a judge, its heads;
    - `Method(world, cfg)`: this class. `needs` is a subset of {"pixels", "enlarged", "latents", "labels", "teacher",
      "features", "judge", "look", "prompts"}, and names the parts of `World` and `Batch` that it uses. `players` says
      which parameters are trained, when and how fast. `loss(player, batch, rng)` is the loss of that player at
      `batch.step`; all its random numbers come from `rng`. The protocols below are optional;
    - `serve(made, home)`: writes the served model into a folder and returns its manifest's fields (distill/serve.py);

    and, where they apply,

    - `STEPS`: the usual number of training steps;
    - `FURTHER`: True where the trained model is its base, trained further, and not a student of it;
    - `FORGETS`: True where it no longer paints what its base knew and its own data set lacks;
    - `PROPOSED`: True in the one method that forms start with;
    - `new(cfg, family)`: makes an untrained network, for a base that is an autoencoder alone;
    - `also_needs(cfg)`: further `needs` of some settings; `reads(cfg)`: the attributes that a judge learns;
    - `sources(names, cfg, skip_bad, side)`: the method's own choice of a data set's pictures;
    - `often(attributes)`: the weight of a picture when a batch is drawn, instead of the usual one.

    ABOUT, BASES, STEPS and Config are also read without torch (distill/declared.py), so they should use only core, the
    standard library, other methods' Config and plain constants. A whole method, with all that a training, a form and a
    card need (docs/adding.md):

        from dataclasses import dataclass

        from core.fields import option
        from distill import serve as serving
        from distill import students
        from distill.method import Out, Player, needed
        from models.schedule import add_noise

        ABOUT = "Regression: the student learns the teacher's answers."
        BASES = ("sd", "sdxl")

        @dataclass(frozen=True)
        class Config:
            lr: float = option(1e-4, "Learning rate.", low=0)
            rank: int = option(8, "Rank of the LoRA; 0 trains the whole network.", low=0)

        student = students.student

        class Method:
            needs = {"latents", "teacher"}

            def __init__(self, world, cfg):
                self.w = world
                self.players = {"student": Player(world.student, cfg.lr, ema=True)}

            def loss(self, player, batch, rng):
                (x0, cond), teacher = batch.latents, needed(self.w.teacher)
                t = 1 - rng.rand(len(batch))
                x_t = add_noise(teacher.schedule, x0, rng.randn_like(x0), t)
                answer = teacher(x_t, t, cond)  # frozen, so no gradient
                return Out(students.apart(self.w.student, x_t, t, cond, answer).mean())

        def serve(made, home):
            return serving.network(made, home) | serving.ddim(home)
    """

    needs: set[str]
    players: dict[str, Player]

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out: ...


@runtime_checkable
class Previews(Protocol):
    """A method that draws sample pictures [N, 3, H, W] of its student."""

    def preview(self, batch: Batch) -> Tensor: ...


@runtime_checkable
class Strips(Previews, Protocol):
    """A method whose samples are no pictures of the batch's captions, one each, so that no judge reads them."""

    strips: bool


@runtime_checkable
class Staged(Protocol):
    """A method whose loss has stages: the name of each, and the step at which it begins."""

    stages: dict[str, int]


@runtime_checkable
class Keeps(Protocol):
    """A method that stores networks during the training: the bytes of all of them."""

    keeps: int


@runtime_checkable
class Begins(Protocol):
    """A method that sets something up before a player's first turn."""

    def begin(self, player: str) -> None: ...


@runtime_checkable
class Remembers(Protocol):
    """A method with state of its own, besides its players, for checkpoints."""

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...

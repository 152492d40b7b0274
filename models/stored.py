"""A step of a run, kept to go on from: its x_t in `<studio>/inputs/`, in a file named by the sha256 of its bytes.

    branch(step, request, k) -> the request that goes on from this step of picture k
    keep(latents, coder)     -> the hash by which a request names pictures that it should be unlike

    descent(request)         -> the requests that a branch comes from, the first from noise

A request names it by that hash, so a picture painted from there is restored as long as the file is there; the file says
which request it was a step of.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from core import inputs
from models import weights
from models.request import ImageRequest
from models.restore import DEEPEST
from models.samplers import Step

SUFFIX = "safetensors"


@dataclass(frozen=True)
class Stored:
    """Where a run goes on. Every picture of the request begins here."""

    t: float
    x_t: Tensor  # [1, C, h, w], of unit variance in its run's schedule
    past: tuple[Tensor, ...]  # what the solver remembered, [1, C, h, w] each
    request: ImageRequest  # what it is a step of


def file(digest: str) -> Path:
    return inputs.file(digest, SUFFIX)


def branch(step: Step, request: ImageRequest, k: int) -> ImageRequest:
    """The request that goes on from this step of picture k: unchanged, it gives picture k again. Writes the file."""
    row = k - step.first
    tensors = {"x_t": step.x_t} | {f"past.{n}": x for n, x in enumerate(step.past)}
    facts = {"t": step.t, "request": request.single(k).to_dict()}
    digest = _write({name: x[row : row + 1] for name, x in tensors.items()}, facts)
    return replace(request.single(k), start=digest, start_step=step.i)


def descent(request: ImageRequest) -> list[dict[str, Any]]:
    """The requests that a branch comes from, the one from noise first, as far as their steps are in this studio."""
    out: list[dict[str, Any]] = []
    while request.start and file(request.start).is_file() and len(out) < DEEPEST:
        request = load(request.start).request
        out.insert(0, request.to_dict())
    return out


def keep(latents: Tensor, coder: str) -> str:
    """The hash of pictures [K, C, h, w] in the latents of an autoencoder, by its id."""
    return _write({"latents": latents}, {"coder": coder})


def kept(digest: str, coder: str) -> Tensor:
    """Those pictures [K, C, h, w]. Raises ValueError where they are not in this studio, or another autoencoder's."""
    path = _checked(digest, "what this picture should be unlike")
    with safe_open(path, "pt") as f:
        facts = json.loads((f.metadata() or {})["still-life"])
        if facts.get("coder") != coder:
            raise ValueError(f"the pictures to be unlike are latents of {facts.get('coder')}, not of {coder}")
        return f.get_tensor("latents")


def _write(tensors: dict[str, Tensor], facts: dict[str, Any]) -> str:
    """Tensors and facts as a file of inputs/; its name is the sha256 that is given back."""
    data = save({k: x.cpu().contiguous() for k, x in tensors.items()}, {"still-life": json.dumps(facts)})
    return inputs.keep(data, SUFFIX)


def _checked(digest: str, what: str) -> Path:
    """Its file. Raises ValueError where it is not in this studio, or is no longer what it was."""
    path = inputs.checked(digest, SUFFIX, what)
    weights.check(path)
    return path


def onward(request: ImageRequest, changes: dict[str, Any]) -> ImageRequest:
    """A branch with other words, seed or guidance, or with another model for every step from here on.

    The run keeps its schedule: another model takes the steps that are left, at the noise where they are.
    """
    fields = {k: v for k, v in changes.items() if k in ("prompt", "seed")}
    model, guidance = changes.get("model", request.model), changes.get("guidance")
    if model == request.model:
        fields |= {} if guidance is None else {"guidance": guidance}
    else:
        scale = "" if guidance is None else f"@{guidance:g}"
        left = f"{model}:{request.start_step}-{request.steps - 1}{scale}"
        fields |= {"painters": left, "base_steps": 0}  # what painted before is the stored step's own business
    return replace(request, **fields)


def load(digest: str) -> Stored:
    """Raises ValueError where it is not in this studio, or is no longer what it was."""
    path = _checked(digest, "the step that this picture starts from")
    with safe_open(path, "pt") as f:
        facts = json.loads((f.metadata() or {})["still-life"])
        names = sorted(name for name in f.keys() if name.startswith("past."))  # noqa: SIM118  (not a dict)
        past = tuple(f.get_tensor(name) for name in names)
        return Stored(facts["t"], f.get_tensor("x_t"), past, ImageRequest.from_dict(facts["request"]))

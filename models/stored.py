"""Stored steps, from which other runs start: x_t in `<studio>/inputs/`, in a file named by the sha256 of its bytes.

    branch(step, request, k) -> the request that goes on from this step of picture k
    descent(request)         -> the requests that a branch comes from, the first of which starts from noise
    keep(latents, coder)     -> the hash of stored pictures, for a request that should keep away from them

A request names the file by that hash, so its picture can be restored as long as the file exists. The file also holds
the request that it was a step of.
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
    """A stored step. Every picture of a request that names it starts from it."""

    t: float
    x_t: Tensor  # [1, C, h, w], of unit variance in its run's schedule
    past: tuple[Tensor, ...]  # the solver's memory, [1, C, h, w] each
    request: ImageRequest  # the run that it is a step of


def file(digest: str) -> Path:
    return inputs.file(digest, SUFFIX)


def branch(step: Step, request: ImageRequest, k: int) -> ImageRequest:
    """Store this step of picture k; returns the request that goes on from it. Unchanged, it gives picture k again."""
    row = k - step.first
    tensors = {"x_t": step.x_t} | {f"past.{n}": x for n, x in enumerate(step.past)}
    facts = {"t": step.t, "request": request.single(k).to_dict()}
    digest = _write({name: x[row : row + 1] for name, x in tensors.items()}, facts)
    return replace(request.single(k), start=digest, start_step=step.i)


def descent(request: ImageRequest) -> list[dict[str, Any]]:
    """The requests that a branch comes from, the earliest first, as far as their steps are in this studio."""
    out: list[dict[str, Any]] = []
    while request.start and file(request.start).is_file() and len(out) < DEEPEST:
        request = load(request.start).request
        out.insert(0, request.to_dict())
    return out


def keep(latents: Tensor, coder: str) -> str:
    """Store latents [K, C, h, w] of the autoencoder with the id `coder`; returns their hash."""
    return _write({"latents": latents}, {"coder": coder})


def kept(digest: str, coder: str) -> Tensor:
    """Stored latents [K, C, h, w]. Raises ValueError where they are not in this studio, or of another autoencoder."""
    path = _checked(digest, "what this picture should be unlike")
    with safe_open(path, "pt") as f:
        facts = json.loads((f.metadata() or {})["still-life"])
        if facts.get("coder") != coder:
            raise ValueError(f"the pictures to be unlike are latents of {facts.get('coder')}, not of {coder}")
        return f.get_tensor("latents")


def _write(tensors: dict[str, Tensor], facts: dict[str, Any]) -> str:
    """Write tensors and facts to a file of inputs/; returns the sha256 that names it."""
    data = save({k: x.cpu().contiguous() for k, x in tensors.items()}, {"still-life": json.dumps(facts)})
    return inputs.keep(data, SUFFIX)


def _checked(digest: str, what: str) -> Path:
    """The file of a hash. Raises ValueError where it is missing or damaged."""
    path = inputs.checked(digest, SUFFIX, what)
    weights.check(path)
    return path


def onward(request: ImageRequest, changes: dict[str, Any]) -> ImageRequest:
    """A branch with changes: another prompt, seed or guidance, or another model for all steps that are left.

    The run keeps its schedule: another model takes the steps that are left at their noise levels.
    """
    fields = {k: v for k, v in changes.items() if k in ("prompt", "seed")}
    model, guidance = changes.get("model", request.model), changes.get("guidance")
    if model == request.model:
        fields |= {} if guidance is None else {"guidance": guidance}
    else:
        scale = "" if guidance is None else f"@{guidance:g}"
        left = f"{model}:{request.start_step}-{request.steps - 1}{scale}"
        fields |= {"painters": left, "base_steps": 0}  # earlier steps belong to the stored step's request
    return replace(request, **fields)


def load(digest: str) -> Stored:
    """A stored step by its hash. Raises ValueError where it is missing or damaged."""
    path = _checked(digest, "the step that this picture starts from")
    with safe_open(path, "pt") as f:
        facts = json.loads((f.metadata() or {})["still-life"])
        names = sorted(name for name in f.keys() if name.startswith("past."))  # noqa: SIM118  (not a dict)
        past = tuple(f.get_tensor(name) for name in names)
        return Stored(facts["t"], f.get_tensor("x_t"), past, ImageRequest.from_dict(facts["request"]))

"""Loading of weights, with strict checks. Only safetensors are read, by their content and not by their name.

diffusers fills missing tensors with random numbers, ignores extra ones, and serves numbers that are not finite. Here
each of these raises one sentence that names the file.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any, ParamSpec, TypeVar

import diffusers.utils.logging
import torch
import transformers.utils.logging
from safetensors import SafetensorError, safe_open

from models import content

for library in (diffusers, transformers):  # their bars count files, which do not matter to a person
    library.utils.logging.disable_progress_bar()

P = ParamSpec("P")
R = TypeVar("R")
_BUILDING = RLock()
TENSORS = 20_000  # far above any model of ours, far below what takes seconds to read


def alone(build: Callable[P, R]) -> Callable[P, R]:
    """Let a process build one network at a time. diffusers, transformers and peft change torch for all threads while
    they build (default dtype, initialisation, device of parameters), so a network that another thread builds meanwhile
    would be wrong without an error."""

    @functools.wraps(build)
    def wrapped(*args: P.args, **named: P.kwargs) -> R:
        with _BUILDING:
            return build(*args, **named)

    return wrapped


@alone
def load(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A diffusers model from its part folder. Raises ValueError."""
    where = f"{folder.parent.name}/{folder.name}"
    for path in content.weights(folder):
        check(path)
    try:
        options = {"use_safetensors": True, "output_loading_info": True, "variant": content.variant(folder)}
        model, info = kind.from_pretrained(folder, dtype=dtype, **options)
    except (OSError, ValueError) as e:  # of diffusers, for a file that is missing or does not fit
        reason = str(e).splitlines()[0].replace(str(folder), where)
        raise ValueError(f"the weights of {where} don't fit its config.json: {reason}") from None
    for fault, words in (("missing_keys", "lack"), ("unexpected_keys", "have, but the network has no place for,")):
        if info[fault]:
            raise ValueError(f"the weights of {where} {words} {min(info[fault])}")
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"the weights of {where} are damaged: {name} holds numbers that are not finite")
    return model


def digest(network: torch.nn.Module) -> str:
    """The sha256 of its weights, in the order of their names."""
    h = hashlib.sha256()
    for _, w in sorted(network.state_dict().items()):
        h.update(w.detach().float().cpu().numpy().tobytes())
    return h.hexdigest()


def check(path: Path) -> None:
    """Raises ValueError unless the file's content, whatever its name, is safetensors with floating-point numbers."""
    names = content.header(path)
    if len(names) > TENSORS:
        raise ValueError(f"{content.shown(path)} holds {len(names):,} tensors; at most {TENSORS:,} are read")
    try:
        with safe_open(path, "pt") as f:
            kinds = {f.get_slice(name).get_dtype() for name in names}
    except SafetensorError as e:
        raise ValueError(f"{content.shown(path)} is damaged: {e}") from None
    if not kinds <= {"F64", "F32", "F16", "BF16"}:
        raise ValueError(
            f"{content.shown(path)} holds numbers of kind {', '.join(sorted(kinds))}; valid: F64, F32, F16, BF16"
        )

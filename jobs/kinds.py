"""The kinds of jobs: each is a request that validates itself, and a function from the request to a command line.

Page, HTTP and command line submit the fields of a request, never a command; this file turns them into arguments. How to
add a kind: docs/adding.md. Imports no torch.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from core.settings import parse
from distill.request import DistillRequest
from models.request import Request
from threed.request import ThreeDRequest


@dataclass(frozen=True)
class Start:
    """The start of an attempt: its run folder, whose name is the job's id, and the seconds of earlier attempts."""

    run: Path
    ran: float = 0.0


@dataclass(frozen=True)
class Kind:
    request: type[Request]
    command: Callable[[Any, Start], list[str]]


def distill(request: DistillRequest, start: Start) -> list[str]:
    """`python -m distill.train …`, resumed where an earlier attempt wrote the run's run.json."""
    argv = [sys.executable, "-m", "distill.train", request.method, "--run", start.run.name]
    argv += ["--dataset", str(request.folder() or request.dataset), "--seed", str(request.seed)]
    argv += ["--base", request.base] if request.base else []
    argv += ["--start", request.start] if request.start else []
    argv += ["--skip-bad"] if request.skip_bad else []
    argv += [part for text in request.set for part in ("--set", text)]
    argv += ["--resume"] if (start.run / "run.json").exists() else []
    if request.minutes:
        argv += ["--minutes", f"{max(0.05, request.minutes - start.ran / 60):.3f}"]
    return argv


def threed(request: ThreeDRequest, start: Start) -> list[str]:
    """`python -m threed.run …`, which resumes an earlier attempt by itself."""
    argv = [sys.executable, "-m", "threed.run", "--run", start.run.name]
    fields = {k: v for k, v in request.to_dict().items() if k != "prompt" and v is not None}
    argv += [part for name, value in fields.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return [*argv, "--", request.prompt]


KINDS: Mapping[str, Kind] = MappingProxyType(
    {"distill": Kind(DistillRequest, distill), "threed": Kind(ThreeDRequest, threed)}
)


def request(name: str, pairs: Mapping[str, str], old: Mapping[str, Any], valid: Mapping[str, Kind] = KINDS) -> Request:
    """The request of a kind from texts, on top of the fields of an older one. Texts that are no fields go into its
    `set`.

    Raises ValueError with one sentence.
    """
    if name not in valid:
        raise ValueError(f"unknown kind {name!r}; valid: {', '.join(valid)}")
    hints = get_type_hints(valid[name].request)
    fields, settings = dict(old), dict(text.split("=", 1) for text in old.get("set", ()))
    for key, text in pairs.items():
        if key == "set" or key not in hints and "set" not in hints:
            raise ValueError(f"unknown field {key!r} of {name}; valid: {', '.join(k for k in hints if k != 'set')}")
        if key not in hints:
            settings[key] = text
            continue
        try:
            fields[key] = parse(text, hints[key])
        except ValueError as e:
            raise ValueError(f"{key}={text!r} must be {e}") from None
    return valid[name].request.from_dict(fields | ({"set": settings} if settings else {}))

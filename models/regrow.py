"""Restoring a branched picture from another studio: the runs that it branches from are painted again.

A stored step is named by the sha256 of its bytes, so that the new one can be compared to the last digit.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from models import stored
from models.families import Parts
from models.generate import generate
from models.request import ImageRequest
from models.samplers import Step

Crew = Callable[[list[str]], AbstractContextManager[Mapping[str, Parts]]]  # within: parts of these models, by id


def here(request: ImageRequest) -> bool:
    """Whether the stored step that the request starts from is in this studio."""
    return not request.start or stored.file(request.start).is_file()


def regrown(request: ImageRequest, descent: Sequence[Mapping[str, Any]], crew: Crew) -> tuple[ImageRequest, bool]:
    """The request with its stored step painted again, and whether that step is the original one, bit for bit.

    Raises ValueError where the picture does not carry all requests that it branches from.
    """
    line = [*(ImageRequest.from_dict(dict(one)) for one in descent), request]
    first = next((n for n in reversed(range(len(line))) if here(line[n])), None)
    if first is None:
        raise ValueError(
            "the step that this picture starts from is not in this studio, and the picture does not say how to paint it"
        )
    grown, exact = line[first], True
    for child in line[first + 1 :]:
        start = stored.branch(step_of(grown, child.start_step, crew), grown, 0).start
        exact = exact and start == child.start
        grown = replace(child, start=start)
    return grown, exact


def step_of(request: ImageRequest, i: int, crew: Crew) -> Step:
    """Step i of the run of a request for one picture."""
    with crew(request.models()) as parts:
        for event in generate(parts[request.model], request, parts):
            if isinstance(event, Step) and event.i == i:
                return event
    raise ValueError(f"step {i} is none of {request.model} at {request.steps} steps")

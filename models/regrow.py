"""A branched picture from elsewhere: the steps that it comes from are painted again, from the first noise on.

A step is named by the sha256 of its bytes, so it is known whether it came back to the last digit.
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
    """Whether the request can be painted as it is."""
    return not request.start or stored.file(request.start).is_file()


def regrown(request: ImageRequest, descent: Sequence[Mapping[str, Any]], crew: Crew) -> tuple[ImageRequest, bool]:
    """The request with its start in this studio, and whether that is what it was, bit for bit.

    Raises ValueError where the picture does not tell of all that it comes from.
    """
    line = [*(ImageRequest.from_dict(dict(one)) for one in descent), request]
    first = next((n for n in reversed(range(len(line))) if here(line[n])), None)
    if first is None:
        raise ValueError(
            "the step that this picture starts from is not in this studio, nor does the picture tell it all"
        )
    grown, exact = line[first], True
    for child in line[first + 1 :]:
        start = stored.branch(step_of(grown, child.start_step, crew), grown, 0).start
        exact = exact and start == child.start
        grown = replace(child, start=start)
    return grown, exact


def step_of(request: ImageRequest, i: int, crew: Crew) -> Step:
    """Step i of the one picture of a request."""
    with crew(request.models()) as parts:
        for event in generate(parts[request.model], request, parts):
            if isinstance(event, Step) and event.i == i:
                return event
    raise ValueError(f"step {i} is none of {request.model} at {request.steps} steps")

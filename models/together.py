"""Requests of several callers that one run paints together, as they wait for one model and differ in nothing that the
run is given as a whole. Each caller gets the events of its own pictures, as if it had been alone.

On a CPU a batch of k single pictures takes less than k times as long as one (`python -m benchmarks.visitors`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from models.generate import Event, Image
from models.request import ImageRequest
from models.views import Camera

FREE = {"prompt", "seed", "num_images", "style", "even"}  # what each picture of a run may have of its own
SOLE = ("variation", "start", "image", "control", "unlike", "text_noise", "cads")  # count or read a run's pictures
SHARED = [f.name for f in fields(ImageRequest) if f.name not in FREE]


class Together(ImageRequest):
    """The requests of a run, in a row, as one request."""

    members: tuple[ImageRequest, ...]

    def seeds(self) -> list[int]:
        return [seed for member in self.members for seed in member.seeds()]

    def texts(self) -> list[str]:
        return [text for member in self.members for text in member.texts()]

    def cameras(self) -> list[Camera]:
        return [camera for member in self.members for camera in member.cameras()]


def together(members: Sequence[ImageRequest]) -> ImageRequest:
    """One request for the pictures of all members, which are alike. Valid as they are, so nothing is looked up."""
    if len(members) == 1:
        return members[0]
    whole = Together.__new__(Together)
    vars(whole).update(vars(members[0]), members=tuple(members), num_images=sum(m.num_images for m in members))
    return whole


def sociable(request: ImageRequest) -> bool:
    """Whether its pictures may be painted among others."""
    return not any(getattr(request, name) for name in SOLE) and len(request.models()) == 1


def alike(a: ImageRequest, b: ImageRequest) -> bool:
    """Whether one run can paint both."""
    return sociable(a) and sociable(b) and all(getattr(a, name) == getattr(b, name) for name in SHARED)


def split(event: Event, members: Sequence[ImageRequest]) -> Iterator[tuple[int, Event]]:
    """The event of a run as the events of its members, each with its member's index."""
    begin = 0
    for n, member in enumerate(members):
        end = begin + member.num_images
        if isinstance(event, Image):
            if begin <= event.index < end:
                yield n, replace(event, index=event.index - begin)
        else:
            own = slice(begin, end)  # all pictures of such a run are one batch
            tensors = {"x_t": event.x_t[own], "x0": event.x0[own], "x_s": event.x_s[own]}
            yield n, replace(event, **tensors, past=tuple(x[own] for x in event.past))
        begin = end

"""Estimates of a training's time and memory, from earlier trainings of this studio and from its base."""

import os

from core.progress import lasted
from core.settings import as_text
from distill.declared import declared
from distill.request import DistillRequest
from jobs.job import Job, State
from jobs.store import Store
from models import catalogue
from models.request import Request

RECENT = 200  # newest jobs that are searched
FEWEST = 20  # least steps from which a pace is computed
FROZEN, TRAINED = 4, 20  # bytes for each parameter: the weight; with gradient, two moments and average
STARTED = tuple(s for s in State if s is not State.QUEUED)


def estimate(store: Store, request: Request, sees: str | None) -> list[str]:
    """Sentences on the time, from an earlier training, and on the memory, from the base."""
    assert isinstance(request, DistillRequest)
    steps, batch = int(_setting(request, "train.steps")), int(_setting(request, "train.batch_size"))
    like = _alike(store, request, sees)
    return [s for s in (_hours(request, steps, batch, like), _memory(request)) if s]


def _setting(request: DistillRequest, name: str) -> str:
    given = dict(text.split("=", 1) for text in request.set)
    return given.get(name) or as_text(declared(request.method).settings[name].default)


def _alike(store: Store, request: DistillRequest, sees: str | None) -> Job | None:
    """The training of the same method on the same data with the most equal settings, the newest first."""
    past = [
        j
        for j in store.jobs(STARTED, sees, RECENT)
        if j.kind == "distill" and j.stage == "train" and (j.step or 0) >= FEWEST and j.ran
    ]
    same = [j for j in past if (j.request["method"], j.request["dataset"]) == (request.method, request.dataset)]
    return max(same, key=lambda j: len({*j.request["set"]} & {*request.set}), default=None)


def _hours(request: DistillRequest, steps: int, batch: int, like: Job | None) -> str:
    if like is None:
        known = f"No training of {request.method} on {request.dataset} has run here yet, so there is no estimate yet; "
        return known + "the time left is shown a minute after its start."
    before = int(_setting(DistillRequest.from_dict(like.request), "train.batch_size"))
    pace = like.ran / (like.step or 1) * batch / before
    pace_text = f"at {pace:.2g} s a step, as job {like.id} took"
    if request.minutes and request.minutes * 60 < pace * steps:
        reached = int(request.minutes * 60 / pace)
        return f"The time limit will be reached near step {reached:,} of {steps:,}, {pace_text}."
    return f"About {lasted(pace * steps)} for {steps:,} steps, {pace_text}."


def _memory(request: DistillRequest) -> str:
    """A lower bound of the memory to train the base's parameters, or an adapter on them."""
    made = catalogue.get(request.base).manifest if request.base else None
    if made is None or (made.kind == "autoencoder" and made.method != request.method):
        return ""  # the base is an autoencoder, and a new network is trained
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    adapter = "rank" in declared(request.method).settings and int(_setting(request, "rank")) > 0
    need = made.parameters * (FROZEN if adapter else TRAINED) / 1e9
    bound = f"At least {need:.2g} GB of this machine's {whole:.3g} GB of memory, for {made.parameters:,} parameters"
    return f"{bound}; teacher, critics and the pictures of a batch come on top and are shown when it starts."

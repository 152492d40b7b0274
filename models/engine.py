"""Models in memory, shared by all callers. A model is loaded when it is first needed, and a pipeline runs one
generation at a time, in the order of the requests.

The least recently used model is dropped when the memory budget is spent. Prompt embeddings are cached.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from threading import Condition, Lock
from typing import Any

import torch
from PIL.Image import Image as Picture
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from core.files import LRU
from models import catalogue, families, openvino, text
from models.catalogue import Row, home_of
from models.denoiser import ATTENTION, Cond, pick_device, pick_dtype
from models.families import Parts
from models.generate import Event, decode, generate
from models.precision import SINGLE
from models.request import ImageRequest
from models.samplers import Step
from models.vocabulary import vocabulary
from models.words import Vectors, Window, Words

TICK = 0.5  # seconds between two `Waiting` events
PATIENCE = 60.0  # seconds for which a run whose events nobody reads may hold up others


@dataclass(frozen=True)
class Waiting:
    """The request is still queued."""

    place: int  # generations before it, the running one included


class Embeddings:
    """Encodes prompts, with a cache of the last `size` different ones. Safe between threads."""

    def __init__(self, encode: Callable[[Sequence[str]], Cond], size: int):
        self.encode = encode
        self._rows: LRU[str, tuple[Tensor, Tensor]] = LRU(size)

    def __call__(self, texts: Sequence[str]) -> Cond:
        keys = [t.lower().strip() for t in texts]
        cached = {k: row for k in keys if (row := self._rows.get(k)) is not None}
        missing = [k for k in dict.fromkeys(keys) if k not in cached]
        if missing:
            cond = self.encode(missing)
            lengths = cond.mask.sum(1).tolist()
            rows = zip(missing, cond.tokens, cond.mask, lengths, strict=True)
            cached |= {key: (tokens[:n], mask[:n]) for key, tokens, mask, n in rows}
        for key in keys:
            self._rows.put(key, cached[key])
        tokens, masks = zip(*(cached[k] for k in keys), strict=True)
        return Cond(pad_sequence(list(tokens), batch_first=True), pad_sequence(list(masks), batch_first=True))


class Queue:
    """The queue of one network, first come, first served. The ticket at its head has the network."""

    def __init__(self, patience: float):
        self.patience = patience
        self._changed, self._tickets = Condition(), deque[object]()
        self._away: float | None = None  # when the reader of the head's events last left with one

    def join(self) -> object:
        with self._changed:
            self._tickets.append(ticket := object())
            return ticket

    def leave(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._tickets:
                self._drop(ticket)

    def wait(self, ticket: object, seconds: float) -> int:
        """Wait until no ticket is before this one, at most so many seconds; returns how many still are."""
        with self._changed:
            self._changed.wait_for(lambda: self._tickets[0] is ticket, seconds)
            if self._away is not None and time.monotonic() - self._away > self.patience:
                self._drop(self._tickets[0])
            return self._tickets.index(ticket)

    def lend(self) -> None:
        """Note that the head's reader now has an event, and count its time until it comes back."""
        with self._changed:
            self._away = time.monotonic()

    def back(self, ticket: object) -> None:
        with self._changed:
            if ticket not in self._tickets:
                raise ValueError("cancelled: the client stopped reading while others were queued")
            self._away = None

    def length(self) -> int:
        with self._changed:
            return len(self._tickets)

    def _drop(self, ticket: object) -> None:
        if self._tickets[0] is ticket:
            self._away = None
        self._tickets.remove(ticket)
        self._changed.notify_all()


class Places:
    """The tickets of a run in the queues of all networks that it uses."""

    def __init__(self, queues: Sequence[Queue]):
        self._places = [(queue, queue.join()) for queue in queues]

    def wait(self, seconds: float) -> int:
        """Wait until it is at the head of every queue, at most so many seconds in one of them; returns how many are
        still before it there."""
        for queue, ticket in self._places:
            if place := queue.wait(ticket, seconds):
                return place
        return 0

    def lend(self) -> None:
        for queue, _ in self._places:
            queue.lend()

    def back(self) -> None:
        for queue, ticket in self._places:
            queue.back(ticket)

    def leave(self) -> None:
        for queue, ticket in self._places:
            queue.leave(ticket)


class Engine:
    """One per process. `embeddings`: prompts cached for each model, 0 for none. `memory_gib`: budget for weights."""

    def __init__(
        self,
        device: str = "auto",
        attention: str = "auto",
        memory_gib: float | None = None,
        embeddings: int = 512,
        patience: float = PATIENCE,
        backend: str = "torch",
    ):
        if attention not in ATTENTION:
            raise ValueError(f"attention {attention!r}; valid: {', '.join(ATTENTION)}")
        self.device = pick_device(device)
        self.attention, self.embeddings, self.patience, self.backend = attention, embeddings, patience, backend
        self.budget = _budget(self.device) if memory_gib is None else memory_gib
        self._copies = 1 if backend == "torch" else 2  # OpenVINO's networks hold their own weights
        self._lock = Lock()
        self._queues: dict[str, Queue] = {}
        self._held: LRU[str, Parts] = LRU()  # `_make_room` drops models
        self._words: dict[str, tuple[Row, Words]] = {}
        self._encoder: Any = None

    def generate(self, request: ImageRequest) -> Generator[Waiting | Event, None, None]:
        """`Waiting` events while the request is queued, then its events. Closing the iterator leaves the queue."""
        with self._turn(request.models()) as places:
            seconds = 0.0
            while place := places.wait(seconds):
                yield Waiting(place)
                seconds = TICK
            crew = {id: self._ready(id) for id in request.models()}
            for parts in crew.values() if request.precision != SINGLE else ():
                openvino.serve(parts, self.backend, request.precision)
            with closing(generate(crew[request.model], request, crew)) as events:
                for event in events:
                    places.lend()
                    yield event
                    places.back()

    @torch.no_grad()
    def look(self, step: Step) -> Picture | None:
        """What the first picture of a running batch looks like at this step, by its x0; None where that is no picture.
        To be called between two events of `generate`."""
        parts = self._held.get(step.painter)
        return None if parts is None else decode(parts, step.x0[:1])[0]

    def warm(self, id: str) -> None:
        """Load a model before its first request."""
        with self._turn([id]) as places:
            while places.wait(TICK):
                pass
            self._ready(id)

    @contextmanager
    def crew(self, ids: Iterable[str]) -> Iterator[dict[str, Parts]]:
        """Within: the parts of several models. The caller holds their networks, so the block must be short."""
        with self._turn(list(ids)) as places:
            while places.wait(TICK):
                pass
            yield {id: self._ready(id) for id in ids}

    def waiting(self, id: str) -> int:
        """How many generations run or wait on a model's network."""
        home = home_of(catalogue.get(id))
        with self._lock:
            queue = self._queues.get(home)
        return queue.length() if queue else 0

    def loaded(self) -> list[str]:
        """Ids of the models in memory, the most recently used last."""
        with self._lock:
            return [id for id, _ in self._held.items()]

    def backends(self) -> dict[str, str]:
        """The back end of each model in memory, for one picture and for a wall."""
        with self._lock:
            return {id: openvino.chosen(parts) for id, parts in self._held.items()}

    def words(self, id: str) -> Words:
        """The words that a model knows. This needs no place in a queue."""
        row = catalogue.get(id)
        encoder = self._shared_encoder()
        with self._lock:
            if self._words.get(id, (None,))[0] != row:
                look_up = Vectors(text.load_tokenizer(text.find()), encoder)
                self._words[id] = row, Words(vocabulary(row), look_up)
            words = self._words[id][1]
            words.window = words.window or Window.of(row)  # a model of the Hub may have been downloaded since
            return words

    @contextmanager
    def _turn(self, ids: Sequence[str]) -> Iterator["Places"]:
        """Within: a place in the queue of every network that these models use; LoRAs use their base's.

        All queues are joined at once, so that two runs stand in the same order in each of them.
        """
        homes = sorted({home_of(catalogue.get(id)) for id in ids})
        with self._lock:
            places = Places([self._queues.setdefault(home, Queue(self.patience)) for home in homes])
        try:
            yield places
        finally:
            places.leave()

    def _ready(self, id: str) -> Parts:
        """The parts of a model, loaded now where they are not in memory, or where the model was published anew. The
        caller holds its network."""
        row = catalogue.get(id)
        base = self._ready(row.manifest.base or "") if row.manifest.kind == "lora" else None
        with self._lock:
            held = self._held.get(id)
            if held is not None and held.row == row and (base is None or held.vae is base.vae):
                return held
            self._held.pop(id)
            self._make_room(row)
        if reason := catalogue.available(row):
            raise ValueError(f"{id} can't run here. {reason}")
        parts = self._load(row) if base is None else families.load(row, self.device, backend=self.backend, base=base)
        with self._lock:
            self._held.put(id, parts)
        return parts

    def _load(self, row: Row) -> Parts:
        encoder = None if row.hub else self._shared_encoder()
        parts = families.load(row, self.device, backend=self.backend, attention=self.attention, encoder=encoder)
        if self.embeddings:
            parts = replace(parts, text=Embeddings(parts.text, self.embeddings))
        return parts

    def _shared_encoder(self) -> Any:
        with self._lock:
            if self._encoder is None:
                self._encoder = text.load_encoder(text.find(), self.device, pick_dtype(self.device))
            return self._encoder

    def _make_room(self, row: Row) -> None:
        """Drop idle models, the least recently used first, until the new one fits."""
        homes = dict.fromkeys(home_of(parts.row) for _, parts in self._held.items())
        for home in homes:
            if self._copies * (cost(row) + sum(cost(parts.row) for _, parts in self._held.items())) <= self.budget:
                return
            if self._queues[home].length() == 0:
                for id in [id for id, parts in self._held.items() if home_of(parts.row) == home]:
                    self._held.pop(id)


def cost(row: Row) -> float:
    """About how many GiB of weights a model needs: the Hub row's figure, else four bytes for each parameter along the
    chain.

    A LoRA counts as much again, as its base's weights are kept with the LoRA merged into them.
    """
    if row.manifest.kind == "lora":
        return (row.manifest.parameters + catalogue.get(row.manifest.base or "").manifest.parameters) * 4 / 2**30
    return row.memory_gib or sum(r.manifest.parameters for r in catalogue.chain(row)) * 4 / 2**30


def _budget(device: torch.device) -> float:
    """GiB for weights: half of the computer's memory, or nine tenths of the GPU's."""
    from core.machine import here

    machine = here()
    return machine.gpu_gib * 0.9 if device.type == "cuda" else machine.ram_gib / 2

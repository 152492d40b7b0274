"""Models in memory, shared by all callers. A model is loaded when it is first needed, and a pipeline runs one
generation at a time, in the order of the requests.

The least recently used model is dropped when the memory budget is spent. Prompt embeddings are cached.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from threading import Lock
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
from models.generate import Event, Image, decode, generate
from models.precision import SINGLE
from models.queues import Places, Queue
from models.request import ImageRequest
from models.samplers import Step
from models.together import split, together
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

    def generate(
        self, request: ImageRequest, wanted: Callable[[], bool] = lambda: True
    ) -> Generator[Waiting | Event, None, None]:
        """`Waiting` events while the request is queued, then its events. Closing the iterator leaves the queue.
        `wanted`: whether somebody still waits for it.

        The run of a request that waited longer may paint it, too. Where that run ends early, it gets its own turn.
        """
        with self._turn(request.models(), request, wanted) as places:
            seconds, painted = 0.0, set[int]()

            def new(event: Event) -> bool:
                """Whether it is no picture that came before, from a run that ended early."""
                if isinstance(event, Image):
                    known = event.index in painted
                    painted.add(event.index)
                    return not known
                return True

            while True:
                place, events = places.wait(seconds), places.handed()
                yield from filter(new, events)
                if len(painted) == request.num_images:
                    return
                if not place:
                    break
                if not events:
                    yield Waiting(place)
                seconds = TICK
            with closing(self._run(request, places)) as events:
                for event in filter(new, events):
                    places.lend()
                    yield event
                    places.back()

    def _run(self, request: ImageRequest, places: Places) -> Generator[Event, None, None]:
        """The events of a request that has its networks. Those of others that it takes along are handed to them."""
        crew = {id: self._ready(id) for id in request.models()}
        for parts in crew.values() if request.precision != SINGLE else ():
            openvino.serve(parts, self.backend, request.precision)
        own, left = crew[request.model], request.num_images
        others = list(places.taken_along(request, own.row.batch - request.num_images))
        members = [request, *(other for other, _ in others)]
        with closing(generate(own, together(members), crew)) as events:
            try:
                for whole in events:
                    for n, event in split(whole, members) if others else [(0, whole)]:
                        if n:
                            others[n - 1][1](event)
                            continue
                        left -= isinstance(event, Image)
                        yield event
            except ValueError:
                if left:
                    raise  # else another's picture failed, which is painted again, and fails, at its own turn

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
    def _turn(
        self, ids: Sequence[str], request: ImageRequest | None = None, wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[Places]:
        """Within: a place in the queue of every network that these models use; LoRAs use their base's.

        All queues are joined at once, so that two runs stand in the same order in each of them.
        """
        homes = sorted({home_of(catalogue.get(id)) for id in ids})
        with self._lock:
            places = Places([self._queues.setdefault(home, Queue(self.patience)) for home in homes], request, wanted)
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

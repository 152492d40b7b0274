"""The queues of the engine: one for each network, first come, first served."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Condition

from models.generate import Event
from models.request import ImageRequest
from models.together import alike


@dataclass(eq=False)
class Ticket:
    """A place in a queue. `request`: what is wanted, where it may be painted in the run of another ticket; `wanted`:
    whether it still is."""

    request: ImageRequest | None = None
    wanted: Callable[[], bool] = lambda: True
    events: list[Event] = field(default_factory=list)  # from such a run, not read yet


class Queue:
    """The queue of one network, first come, first served. The ticket at its head has the network."""

    def __init__(self, patience: float):
        self.patience = patience
        self._changed, self._tickets = Condition(), deque[Ticket]()
        self._away: float | None = None  # when the reader of the head's events last left with one

    def join(self, ticket: Ticket) -> Ticket:
        with self._changed:
            self._tickets.append(ticket)
            return ticket

    def leave(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket in self._tickets:
                self._drop(ticket)

    def alike(self, ticket: Ticket, room: int) -> list[Ticket]:
        """Those that wait behind this one and can be painted with it: at most so many pictures in all."""
        out: list[Ticket] = []
        with self._changed:
            for other in self._tickets:
                if ticket.request is None or other.request is None or other is ticket or not other.wanted():
                    continue
                if other.request.num_images <= room and alike(ticket.request, other.request):
                    out.append(other)
                    room -= other.request.num_images
        return out

    def hand(self, ticket: Ticket, event: Event) -> None:
        with self._changed:
            ticket.events.append(event)
            self._changed.notify_all()

    def handed(self, ticket: Ticket) -> list[Event]:
        with self._changed:
            events, ticket.events = ticket.events, []
            return events

    def wait(self, ticket: Ticket, seconds: float) -> int:
        """Wait until no ticket is before this one or it was handed events, at most so many seconds; returns how many
        still are before it."""
        with self._changed:
            self._changed.wait_for(lambda: self._tickets[0] is ticket or bool(ticket.events), seconds)
            if self._away is not None and time.monotonic() - self._away > self.patience:
                self._drop(self._tickets[0])
            return self._tickets.index(ticket)

    def lend(self) -> None:
        """Note that the head's reader now has an event, and count its time until it comes back."""
        with self._changed:
            self._away = time.monotonic()

    def back(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket not in self._tickets:
                raise ValueError("cancelled: the client stopped reading while others were queued")
            self._away = None

    def length(self) -> int:
        with self._changed:
            return len(self._tickets)

    def _drop(self, ticket: Ticket) -> None:
        if self._tickets[0] is ticket:
            self._away = None
        self._tickets.remove(ticket)
        self._changed.notify_all()


class Places:
    """The tickets of a run in the queues of all networks that it uses."""

    def __init__(self, queues: Sequence[Queue], request: ImageRequest | None, wanted: Callable[[], bool]):
        alone = request if len(queues) == 1 else None
        self._places = [(queue, queue.join(Ticket(alone, wanted))) for queue in queues]

    def wait(self, seconds: float) -> int:
        """Wait until it is at the head of every queue, at most so many seconds in one of them; returns how many are
        still before it there."""
        for queue, ticket in self._places:
            if place := queue.wait(ticket, seconds):
                return place
        return 0

    def handed(self) -> list[Event]:
        """Events of its own pictures from the run of another, since the last call."""
        queue, ticket = self._places[0]
        return queue.handed(ticket)

    def taken_along(self, request: ImageRequest, room: int) -> Iterator[tuple[ImageRequest, Callable[[Event], None]]]:
        """Requests that wait behind it and that its run can paint as well, at most so many pictures of them, each with
        the function that hands on an event."""
        queue, ticket = self._places[0]
        for other in queue.alike(ticket, room):
            assert other.request is not None
            yield other.request, partial(queue.hand, other)

    def lend(self) -> None:
        for queue, _ in self._places:
            queue.lend()

    def back(self) -> None:
        for queue, ticket in self._places:
            queue.back(ticket)

    def leave(self) -> None:
        for queue, ticket in self._places:
            queue.leave(ticket)

"""Callers that wait for one model are painted in one run: each gets its own pictures, and nobody else's trouble."""

import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from models import generate
from models.engine import Engine
from models.generate import Image, Step
from models.request import ImageRequest
from models.together import alike, together
from tests import tiny

STUDIO = [tiny.build]
pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture(scope="module")
def engine(studio):
    engine = Engine("cpu", patience=1.0)
    engine.warm("tiny-sprint")
    return engine


def ask(**fields):
    return ImageRequest(**({"prompt": "a red ball", "model": "tiny-sprint", "steps": 2} | fields))


@contextmanager
def calls(engine):
    """The number of pictures in each call of the network."""
    sizes = []
    network = engine._held.get("tiny-sprint").pipeline.transformer
    hook = network.register_forward_hook(lambda _, args, out: sizes.append(len(args[0])))
    yield sizes
    hook.remove()


def waited(engine, requests, meanwhile=lambda: None, left=0):
    """What each of the requests got, where all waited behind one run: its events, or its error. left: how many still
    wait at the end."""
    held = engine.generate(ask(prompt="a cube"))
    next(held)
    got: list = [[] for _ in requests]

    def visit(k):
        try:
            for event in engine.generate(requests[k]):
                got[k].append(event)
        except ValueError as e:
            got[k].append(str(e))

    threads = []
    for k in range(len(requests)):
        threads.append(threading.Thread(target=visit, args=(k,)))
        threads[-1].start()
        while engine.waiting("tiny-sprint") < k + 2:  # so that they wait in this order
            threads[-1].join(0.01)
    meanwhile()
    list(held)
    for thread in threads:
        thread.join(60)
    assert engine.waiting("tiny-sprint") == left
    return got


def images(events):
    return [e for e in events if isinstance(e, Image)]


def near(a, b):
    return np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1


def test_one_run_paints_all_that_wait_and_each_gets_its_own(engine):
    requests = [ask(seed=3), ask(prompt="a {green|green} cube", seed=9, num_images=2, even="background"), ask(seed=5)]
    alone = [images(engine.generate(r)) for r in requests]
    with calls(engine) as sizes:
        got = waited(engine, requests)
    assert sizes == [1, 1, 4, 4], "first the two calls of the run that they waited for"
    for events, expected in zip(got, alone, strict=True):
        assert [(e.index, e.seed, e.text) for e in images(events)] == [(e.index, e.seed, e.text) for e in expected]
        assert all(near(a.picture, b.picture) for a, b in zip(images(events), expected, strict=True))
        steps = [e for e in events if isinstance(e, Step)]
        assert [s.i for s in steps] == [0, 1] and all(len(s.x0) == len(s.x_t) == len(expected) for s in steps)
        assert near(engine.look(steps[-1]), expected[0].picture), "previews are of its own first picture"


def test_a_run_takes_no_more_than_a_batch_and_only_what_is_alike(engine):
    batch = ask().row.batch
    other, many = ask(guidance=3.0), ask(seed=40, num_images=batch)
    with calls(engine) as sizes:
        got = waited(engine, [ask(seed=1), other, many, ask(seed=2)])
    assert [len(images(events)) for events in got] == [1, 1, batch, 1]
    assert sizes == [1, 1, 2, 2, 1, 1, batch, batch]


@pytest.mark.parametrize(
    "fields",
    [{"variation": 0.3}, {"text_noise": 0.1}, {"cads": 0.2}, {"painters": "tiny-sana:0"}, {"start": "0" * 64}],
    ids=lambda fields: next(iter(fields)),
)
def test_what_counts_its_pictures_or_reads_others_is_painted_alone(fields):
    request = ask(**fields)
    assert not alike(request, ask(**fields)) and not alike(request, ask())


def test_all_of_a_request_but_words_and_seeds_must_agree():
    a = ask()
    assert alike(a, ask(prompt="x", seed=2, num_images=3, style="night", even="background"))
    for change in ({"guidance": 3.0}, {"pink": 0.5}, {"precision": "bf16"}, {"sliders": "size:1"}, {"enlarge": 4}):
        changed = replace(a)
        vars(changed).update(change)
        assert not alike(a, changed), change
    assert together([a]) is a


def test_where_the_run_ends_early_the_others_get_their_own_turn(engine):
    """The first of those that wait stops at its first step; the second had its events until then, and no picture."""
    first, second = engine.generate(ask(seed=1)), ask(seed=2)
    expected = images(engine.generate(second))[0].picture
    got: list = []
    thread = threading.Thread(target=lambda: got.extend(engine.generate(second)))
    held = engine.generate(ask(seed=8))
    next(held)
    assert next(first).place == 1
    thread.start()
    while engine.waiting("tiny-sprint") < 3:
        thread.join(0.01)
    list(held)
    assert isinstance(next(first), Step)
    first.close()
    thread.join(60)
    (image,) = images(got)
    assert near(image.picture, expected) and [e.i for e in got if isinstance(e, Step)] in ([0, 0, 1], [0, 1])


def test_a_picture_that_two_runs_paint_comes_once(engine):
    """As where the first run ends early, and the next one takes the request along as well."""
    (image,) = images(engine.generate(ask(seed=2)))
    held, events = engine.generate(ask(seed=8)), engine.generate(ask(seed=2, num_images=2))
    next(held)
    assert next(events).place == 1
    queue = engine._queues["tiny-sprint"]
    for _ in range(2):
        queue.hand(queue._tickets[1], image)
    list(held)
    assert [e.index for e in images(events)] == [0, 1]


def test_a_picture_that_fails_is_the_trouble_of_its_own_caller(engine, monkeypatch):
    sound = generate.noise

    def broken(parts, request, k):
        x, generator = sound(parts, request, k)
        return (x * float("nan") if request.seeds()[k] == 13 else x), generator

    monkeypatch.setattr(generate, "noise", broken)
    got = waited(engine, [ask(seed=1), ask(seed=13), ask(seed=2)])
    assert [len(images(events)) for events in got] == [1, 0, 1]
    assert got[1][-1] == "tiny-sprint produced NaN or infinite values for seed 13; try another"
    assert not any(isinstance(e, str) for e in (*got[0], *got[2]))
    got = waited(engine, [ask(seed=13), ask(seed=1)])
    assert got[0][-1].startswith("tiny-sprint produced NaN") and len(images(got[1])) == 1


def test_what_nobody_wants_any_more_is_not_painted_with_others(engine):
    stale = engine.generate(ask(seed=4), wanted=lambda: False)
    with calls(engine) as sizes:
        waited(engine, [ask(seed=1), ask(seed=2)], meanwhile=lambda: next(stale), left=1)
    assert sizes == [1, 1, 2, 2]
    stale.close()


def test_one_that_stops_waiting_takes_nothing_from_the_others(engine):
    gone = engine.generate(ask(seed=4))
    got = waited(engine, [ask(seed=1), ask(seed=2)], meanwhile=lambda: (next(gone), gone.close()))
    assert [len(images(events)) for events in got] == [1, 1]

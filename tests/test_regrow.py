"""A branched picture tells its whole descent, and is painted again from it where its steps are not here."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from models import families, stored
from models.generate import Image, generate
from models.picture import png_bytes, read
from models.regrow import here, regrown, step_of
from models.request import ImageRequest
from tests import tiny


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path)))
    return tmp_path


@pytest.fixture
def crew(studio):
    loaded = families.load_all(["tiny-sprint", "tiny-sana"])

    @contextmanager
    def within(ids):
        yield {id: loaded[id] for id in ids}

    return within


def painted(request, crew):
    with crew(request.models()) as parts:
        return [e for e in generate(parts[request.model], request, parts) if isinstance(e, Image)][-1].picture


def grandchild(crew):
    """A branch of a branch: other words from step 1, the base from step 2."""
    root = ImageRequest("a red ball", model="tiny-sprint", steps=4, seed=3)
    child = stored.onward(stored.branch(step_of(root, 1, crew), root, 0), {"prompt": "a blue ball"})
    grown = stored.branch(step_of(child, 2, crew), child, 0)
    return root, child, stored.onward(grown, {"model": "tiny-sana", "guidance": 3.0})


def forget(studio):
    for path in (studio / "inputs").iterdir():
        path.unlink()


def test_a_branch_of_a_branch_comes_back_bit_for_bit(crew, studio):
    root, child, last = grandchild(crew)
    shown = painted(last, crew)
    png = png_bytes(shown, last)
    forget(studio)
    restored = read(png)
    assert restored.request == last and [one["seed"] for one in restored.descent] == [3, 3]
    assert ImageRequest.from_dict(restored.descent[0]) == root and ImageRequest.from_dict(restored.descent[1]) == child
    assert not here(last)
    with pytest.raises(ValueError, match="is not in this studio"):
        painted(last, crew)
    again, exact = regrown(restored.request, restored.descent, crew)
    assert exact and again == last and np.array_equal(painted(again, crew), shown)
    assert png_bytes(shown, again) == png, "it tells the same descent"


def test_what_did_not_come_back_exactly_is_known(crew, studio):
    _, _, last = grandchild(crew)
    descent = stored.descent(last)
    forget(studio)
    moved = [descent[0] | {"seed": 4}, descent[1]]
    again, exact = regrown(last, moved, crew)
    assert not exact and again.start != last.start and replace(again, start=last.start) == last
    painted(again, crew)


def test_only_what_is_missing_is_painted_again(crew, studio):
    _, child, last = grandchild(crew)
    descent = stored.descent(last)
    stored.file(last.start).unlink()
    calls = []

    def counted(ids):
        calls.append(ids)
        return crew(ids)

    again, exact = regrown(last, descent, counted)
    assert exact and again == last and calls == [["tiny-sprint"]] and here(child)


def test_a_picture_that_does_not_tell_enough_is_one_sentence(crew, studio):
    _, _, last = grandchild(crew)
    descent = stored.descent(last)
    forget(studio)
    for parents in ([], descent[1:]):
        with pytest.raises(ValueError, match="the picture does not say how to paint it"):
            regrown(last, parents, crew)

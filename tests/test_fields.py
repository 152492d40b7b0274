"""The one validator: every kind of field, what is wrong with it in one sentence, and texts that become values."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from core.fields import check, option, options, record
from core.settings import as_text, from_saved, override, settings


@dataclass(frozen=True)
class Input:
    mode: Literal["edges", "depth"]
    strength: float = option(1.0, "How much.", low=0, high=2)


@dataclass(frozen=True)
class Thing:
    name: str
    size: float = option(1.0, "How large.", low=0.5, high=4, unit="metres")
    steps: int = option(8, "How often.", low=1)
    times: tuple[float, ...] = option((0.5, 1.0), "When.", low=0, high=1, length=(1, 3))
    span: tuple[float, float] = option((0.0, 1.0), "From where to where.")
    kind: Literal["a", "b"] = option("a", "Which.")
    label: str | None = option(None, "A word.", longest=5)
    big: bool = False
    words: tuple[str, ...] = option((), "Some.", choices=lambda: ["red", "blue"])
    inputs: tuple[Input, ...] = ()
    counts: dict[str, list[int | float]] = field(default_factory=dict)
    free: Any = None


GOOD = {
    "name": "x",
    "size": 2,
    "times": [0, 1],
    "span": [1, 2],
    "words": ["red"],
    "inputs": [{"mode": "edges"}],
    "counts": {"1": [999, 0.5]},
    "free": {"a": [1]},
}


def test_a_record_has_its_types_and_defaults():
    thing = record(Thing, GOOD, "a thing")
    assert thing == Thing("x", 2.0, 8, (0.0, 1.0), (1.0, 2.0), words=("red",), inputs=(Input("edges"),),
        counts={"1": [999, 0.5]}, free={"a": [1]})  # fmt: skip
    assert isinstance(thing.size, float) and isinstance(thing.counts["1"][0], int)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"colour": 1}, "unknown field 'colour'; valid: name, size"),
        ({"size": 5}, "size must be 0.5 to 4 metres, not 5"),
        ({"size": float("nan")}, "size must be a number, not nan"),
        ({"size": True}, "size must be a number, not True"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"steps": 1.0}, "steps must be a whole number, not 1.0"),
        ({"times": [0.5, 2]}, "times must be 0 to 1, not 2"),
        ({"times": []}, "times must be a list of 1 to 3, not of 0"),
        ({"times": 1}, "times must be a list, not 1"),
        ({"span": [1, 2, 3]}, "span must be a list of 2, not of 3"),
        ({"kind": "c"}, "unknown kind 'c'; valid: a, b"),
        ({"kind": []}, "unknown kind []; valid: a, b"),
        ({"label": "too long"}, "label has 8 characters; at most 5 are allowed"),
        ({"label": "a\0"}, "label holds a NUL character; remove it"),
        ({"label": 1}, "label must be text, not 1"),
        ({"big": 1}, "big must be true or false, not 1"),
        ({"words": ["green"]}, "unknown words 'green'; valid: red, blue"),
        ({"inputs": [{"mode": "edges", "strength": 3}]}, "strength must be 0 to 2, not 3"),
        ({"inputs": [{}]}, "mode is missing"),
        ({"inputs": [1]}, "inputs is a JSON object, not 1"),
        ({"counts": {"1": ["x"]}}, "counts.1 must be a number, not 'x'"),
        ({"counts": []}, "counts is a JSON object, not []"),
    ],
)
def test_what_is_wrong_is_one_sentence(changes, sentence):
    with pytest.raises(ValueError) as raised:
        record(Thing, GOOD | changes, "a thing")
    assert str(raised.value).startswith(sentence)


def test_a_field_without_a_default_must_be_there():
    with pytest.raises(ValueError, match="^name is missing$"):
        record(Thing, {}, "a thing")
    with pytest.raises(ValueError, match="^a thing is a JSON object, not \\[\\]$"):
        record(Thing, [], "a thing")
    assert check("label", None, str | None) is None


def test_a_subclass_with_another_default_keeps_what_is_said_of_the_field():
    @dataclass(frozen=True)
    class Other(Thing):
        size: float = 3.0

    assert options(Other)["size"] == options(Thing)["size"] and options(Other)["size"].help == "How large."
    with pytest.raises(ValueError, match="^size must be 0.5 to 4 metres, not 9.0$"):
        override(Other("x"), {"size": "9"})


def test_texts_become_values_within_the_ranges():
    made = override(Thing("x"), {"size": "2", "times": "(0.25, 1)", "kind": "b", "label": "none", "big": "yes"}, "my.")
    assert (made.size, made.times, made.kind, made.label, made.big) == (2.0, (0.25, 1.0), "b", None, True)
    for texts, sentence in (
        ({"size": "x"}, "my.size='x' must be a number"),
        ({"size": "5"}, "my.size must be 0.5 to 4 metres, not 5"),
        ({"times": ""}, "my.times must be a list of 1 to 3, not of 0"),
        ({"kind": "c"}, "my.kind='c' must be one of a, b"),
        ({"colour": "red"}, "unknown setting 'my.colour'; valid: my.name, my.size"),
    ):
        with pytest.raises(ValueError) as raised:
            override(Thing("x"), texts, "my.")
        assert str(raised.value).startswith(sentence)
    known = settings(made, "my.")
    assert known["my.size"].default == 2.0 and known["my.kind"].choices == ("a", "b")
    assert known["my.times"].read(as_text((0.25, 1.0))) == (0.25, 1.0)


def test_what_was_saved_is_read_whatever_the_ranges_are_by_now():
    assert from_saved(Thing("x"), {"size": 9.0, "times": [0.1]}) == Thing("x", 9.0, times=(0.1,))

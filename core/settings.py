"""`--set key=value` onto frozen dataclasses: unknown keys and wrong types are errors that name the valid ones."""

import dataclasses
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
Count = Annotated[int, "1 or more"]
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")


def parse(text: str, kind: Any) -> Any:
    """One value. Raises ValueError with what would have been right."""
    if kind == Count:
        if (value := parse(text, int)) < 1:
            raise ValueError("1 or more")
        return value
    origin = get_origin(kind)
    if origin is Literal:
        choices = get_args(kind)
        match = [c for c in choices if str(c) == text]
        if not match:
            raise ValueError(f"one of {', '.join(map(str, choices))}")
        return match[0]
    if origin in (Union, UnionType):
        if text.lower() == "none":
            return None
        return parse(text, next(k for k in get_args(kind) if k is not type(None)))
    if origin is tuple:
        return tuple(parse(p.strip(), get_args(kind)[0]) for p in text.strip("()").split(",") if p.strip())
    if kind is bool:
        if text.lower() not in TRUE + FALSE:
            raise ValueError("true or false")
        return text.lower() in TRUE
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("a whole number" if kind is int else "a number") from None
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("a finite number")
        return value
    return text


def override(config: T, settings: dict[str, str], prefix: str = "") -> T:
    """The same dataclass with settings such as {"lr": "1e-4"} applied."""
    hints = get_type_hints(type(config), include_extras=True)
    valid = [prefix + f.name for f in dataclasses.fields(config)]
    changed = {}
    for key, text in settings.items():
        if prefix + key not in valid:
            raise ValueError(f"unknown setting {prefix + key!r}; valid: {', '.join(valid)}")
        try:
            changed[key] = parse(text, hints[key])
        except ValueError as e:
            raise ValueError(f"{prefix + key}={text!r} must be {e}") from None
    return dataclasses.replace(config, **changed)


def from_saved(config: T, saved: dict) -> T:
    """A dataclass from the JSON of one (JSON has no tuples)."""
    return dataclasses.replace(config, **{k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()})

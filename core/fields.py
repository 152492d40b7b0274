"""The one validator: what a field of a frozen dataclass may hold. Requests, settings of trainings and manifests use it.

    lr: float = option(1e-4, "Learning rate.", low=0)

The validator reads the metadata of a field, and forms and help texts show it. Every fault is a ValueError of one
sentence that names the valid choices.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """How one field is validated, explained and drawn. In a list, `low` to `required` apply to each item."""

    help: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    unit: str = ""
    choices: Callable[[], Sequence[str]] | None = None
    longest: int = 200  # characters of a text
    required: bool = False  # a text that must not be blank
    lines: int = 1  # of the text box
    length: int | tuple[int, int] | None = None  # of a list: its count of items, or the least and the most
    order: Literal["", "rising", "falling"] = ""  # of a list
    multiple: int | None = None  # a whole number, or each one in a list, must be a multiple of this


FREE = Option(longest=100_000)  # for a field that has no option


def option(default: Any, help: str, **metadata: Any) -> Any:
    """A dataclass field. Where `default` is None and the field isn't optional, the request fills in the value."""
    return field(default=default, metadata={"option": Option(help, **metadata)})


def options(cls: type) -> dict[str, Option]:
    """The Option of each field, in order. A subclass that only changes a field's default keeps its Option."""
    out = {}
    for name in (f.name for f in dataclasses.fields(cls)):
        declared = (vars(c).get("__dataclass_fields__", {}).get(name) for c in cls.__mro__)
        out[name] = next((f.metadata["option"] for f in declared if f is not None and "option" in f.metadata), FREE)
    return out


def check(name: str, value: Any, kind: Any, opt: Option = FREE) -> Any:
    """A value from JSON, as a field of this type holds it. Raises ValueError."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _any_of(name, value, inner, opt)
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"unknown {name} {short(value)}; valid: {', '.join(map(str, inner))}")
        return value
    if origin in (tuple, list):
        return origin(_items(name, value, inner, opt))
    if origin is dict:
        return {
            check(f"a key of {name}", k, inner[0]): check(f"{name}.{k}", v, inner[1]) for k, v in pairs(name, value)
        }
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return value if isinstance(value, kind) else record(kind, value, name)
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {short(value)}")
    if kind in (int, float):
        return _number(name, value, kind, opt)
    return _text(name, value, opt) if kind is str else value


def record(cls: type[T], data: Any, name: str) -> T:
    """A dataclass from a JSON object with its keys, each checked."""
    hints, opts = get_type_hints(cls), options(cls)
    return cls(**{key: check(key, value, hints[key], opts[key]) for key, value in keyed(cls, data, name).items()})


def keyed(cls: type, data: Any, name: str) -> dict[str, Any]:
    """A JSON object whose keys are those of a dataclass; those without a default must be there."""
    fields, given = {f.name: f for f in dataclasses.fields(cls)}, dict(pairs(name, data))
    for key in given:
        if key not in fields:
            raise ValueError(f"unknown field {short(key)}; valid: {', '.join(fields)}")
    for key, f in fields.items():
        if key not in given and f.default is f.default_factory is dataclasses.MISSING:
            raise ValueError(f"{key} is missing")
    return given


def pairs(name: str, value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is a JSON object, not {short(value)}")
    return list(value.items())


def _any_of(name: str, value: Any, kinds: Sequence[Any], opt: Option) -> Any:
    """The value by the first type that accepts it; the error of the last type where none does."""
    *others, last = [k for k in kinds if k is not NoneType]
    if value is None and NoneType in kinds:
        return None
    for kind in others:
        try:
            return check(name, value, kind, opt)
        except ValueError:
            continue
    return check(name, value, last, opt)


def _items(name: str, value: Any, kinds: Sequence[Any], opt: Option) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} must be a list, not {short(value)}")
    fixed = len(kinds) if Ellipsis not in kinds and len(kinds) > 1 else opt.length
    least, most = (fixed, fixed) if isinstance(fixed, int) else fixed or (0, len(value))
    if not least <= len(value) <= most:
        many = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"{name} must be a list of {many}, not of {len(value)}")
    each = kinds if len(kinds) == len(value) and Ellipsis not in kinds else [kinds[0]] * len(value)
    items = [check(name, v, kind, opt) for v, kind in zip(value, each, strict=True)]
    if opt.order and items != sorted(items, reverse=opt.order == "falling"):
        raise ValueError(f"{name} must be {opt.order}, not {', '.join(map(short, items))}")
    return items


def _number(name: str, value: Any, kind: type, opt: Option) -> int | float:
    what = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise ValueError(f"{name} must be {what}, not {short(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be {what}, not {value}")
    low, high = opt.low, opt.high
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} must be {between(low, high)}{opt.unit and ' ' + opt.unit}, not {short(value)}")
    if opt.multiple and value % opt.multiple:
        raise ValueError(f"{name} must be a multiple of {opt.multiple}, not {short(value)}")
    return value if kind is int else float(value)


def _text(name: str, value: Any, opt: Option) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {short(value)}")
    if len(value) > opt.longest:
        raise ValueError(f"{name} has {len(value):,} characters; at most {opt.longest:,} are allowed")
    if opt.required and not value.strip():
        raise ValueError(f"{name} is empty; type what you want to see")
    if "\0" in value:
        raise ValueError(f"{name} holds a NUL character; remove it")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name} holds half of a surrogate pair, which is no valid text; remove it")
    if opt.choices is not None and value not in (valid := list(opt.choices())):
        raise ValueError(f"unknown {name} {short(value)}; valid: {', '.join(valid)}")
    return value


def short(value: Any) -> str:
    text = repr(value)
    return ascii(value)[:40] if len(text) <= 40 else f"{ascii(value)[:37]}..."


def between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at least {low:g}" if low is not None else f"at most {high:g}"
    return f"{low:.12g} to {high:.12g}"

"""Settings given as text, by `--set key=value`, forms and links, and applied to frozen dataclasses."""

import dataclasses
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from core.fields import Option, check, options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")


def parse(text: str, kind: Any) -> Any:
    """One value from its text. Raises ValueError with the valid forms."""
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
        return parse(text, next(k for k in get_args(kind) if k is not NoneType))
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


def as_text(value: Any) -> str:
    """A value as the text that `parse` reads."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(as_text, value)) if isinstance(value, (tuple, list)) else str(value)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting: the name that people use, and the type, option and default of its field."""

    name: str
    kind: Any
    option: Option
    default: Any

    def read(self, text: str) -> Any:
        """The value that a text gives this setting. Raises ValueError with one sentence."""
        try:
            value = parse(text, self.kind)
        except ValueError as e:
            raise ValueError(f"{self.name}={text!r} must be {e}") from None
        return check(self.name, value, self.kind, self.option)

    @property
    def choices(self) -> tuple[str, ...]:
        if self.kind is bool:
            return "true", "false"
        return tuple(map(str, get_args(self.kind))) if get_origin(self.kind) is Literal else ()


def settings(config: "DataclassInstance", prefix: str = "") -> dict[str, Setting]:
    """The settings of a dataclass by name, with the prefix before it; the values of `config` are the defaults."""
    hints, opts = get_type_hints(type(config)), options(type(config))
    return {prefix + k: Setting(prefix + k, hints[k], option, getattr(config, k)) for k, option in opts.items()}


def override(config: T, texts: dict[str, str], prefix: str = "") -> T:
    """The same dataclass with texts such as {"lr": "1e-4"} applied; `prefix` stands before its keys in messages."""
    known, changed = settings(config, prefix), {}
    for key, text in texts.items():
        if (name := prefix + key) not in known:
            raise ValueError(f"unknown setting {name!r}; valid: {', '.join(known)}")
        changed[key] = known[name].read(text)
    return dataclasses.replace(config, **changed)


def from_saved(config: T, saved: dict) -> T:
    """A dataclass from its saved JSON, whose lists become tuples. Ranges may have changed since, so none is checked."""
    return dataclasses.replace(config, **{k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()})

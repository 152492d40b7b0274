"""What comes over the wire from a page: small checks, each a sentence, and pictures as data URLs."""

import base64
import functools
from collections.abc import Callable
from typing import Any

from core.db import DatabaseUnusable

Answer = dict[str, Any]


def answers(f: Callable[[dict[str, Any]], Answer]) -> Callable[[Any], Answer]:
    """A server function: takes one object, gives one object, and says a mistake instead of failing."""

    @functools.wraps(f)
    def asked(data: Any = None) -> Answer:
        try:
            if not isinstance(data, dict):
                raise ValueError("a call takes one object")
            return f(data)
        except (ValueError, DatabaseUnusable) as e:
            return {"error": _printable(str(e))}

    return asked


def _printable(sentence: str) -> str:
    """UTF-8 even where the mistake was in the text that the sentence quotes."""
    return sentence.encode("utf-8", "replace").decode("utf-8")


def token(data: dict[str, Any], name: str) -> str:
    """A random name that a page made up: 32 hexadecimal digits."""
    value = data.get(name)
    if not isinstance(value, str) or len(value) != 32 or not all(c in "0123456789abcdef" for c in value):
        raise ValueError(f"{name} must be 32 hexadecimal digits")
    return value


def number(data: dict[str, Any], name: str, low: int, high: int) -> int:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}")
    return value


def text(data: dict[str, Any], name: str, longest: int) -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"{name} must be text of at most {longest:,} characters")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name} holds characters that are no text; remove them")
    return value


def data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

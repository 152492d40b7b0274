"""Data from and for the page's scripts: checks with one sentence each, wrappers for errors, and data URLs."""

import base64
import errno
import functools
import logging
import os
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import gradio as gr

from core.db import DatabaseUnusable

T = TypeVar("T")
log = logging.getLogger("ui")
FULL = "The disk is full: nothing new can be kept until some space is free."


def refusing(f: Callable[..., T], refuse: Callable[[str], T]) -> Callable[..., T]:
    """`f`, with a person's mistake turned into `refuse(sentence)`: an answer for the page, or an error over HTTP."""

    @functools.wraps(f)
    def wrapped(*args: Any, **named: Any) -> T:
        try:
            return f(*args, **named)
        except (ValueError, DatabaseUnusable) as e:
            return refuse(_printable(str(e)))
        except OSError as e:
            log.exception("a file could not be used")
            return refuse(FULL if e.errno in (errno.ENOSPC, errno.EDQUOT) else f"{_reason(e)}: see the server's log.")

    return wrapped


def answers(f: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A function for the page's scripts: it takes and returns one object; a mistake gives `{"error": one sentence}`."""

    @functools.wraps(f)
    def checked(data: Any = None, *more: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise ValueError("a call takes one object")
        return f(data, *more)

    return refusing(checked, lambda sentence: {"error": sentence})


def spoken(f: Callable[..., T]) -> Callable[..., T]:
    """A function for an endpoint: a mistake becomes gradio's error, so that the caller over HTTP gets the sentence."""

    def refuse(sentence: str) -> NoReturn:
        raise gr.Error(sentence, print_exception=False)

    return refusing(f, refuse)


def _reason(e: OSError) -> str:
    """The sentence of an OSError, without the file's name, which is private to the server."""
    return f"A file of the server could not be used ({os.strerror(e.errno or 0).lower()})"


def _printable(sentence: str) -> str:
    """The sentence in valid UTF-8, even where it quotes text that is not."""
    return sentence.encode("utf-8", "replace").decode("utf-8")


def token(data: dict[str, Any], name: str) -> str:
    """A random name that a page made up: 32 hexadecimal digits. Raises ValueError."""
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
    """Bytes as a data URL. `kind`: of a picture ("png"), or a whole media type ("model/gltf-binary")."""
    return f"data:{kind if '/' in kind else f'image/{kind}'};base64,{base64.b64encode(data).decode()}"


def counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"

"""Calls of programs to the named endpoints, converted to gradio's form: arguments that are absent or null get their
defaults, and every fault is one sentence.

Gradio itself answers a wrong name, too many values or an unknown endpoint with "Internal Server Error" and a traceback
in the log.
"""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from gradio.routes import App
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.fields import short
from ui import scratch
from ui.gone import while_heard
from ui.turns import Turns

CALL = re.compile(r"/gradio_api/(call/v2|call|run|api)/([^/]+)/?")
ANSWERING = ("run", "api")  # these paths return the result; others return an id to fetch it with
SERVER = re.compile(r"/gradio_api/component_server/?")
POSTS = re.compile(rf"{CALL.pattern}|{SERVER.pattern}|/gradio_api/queue/join/?")
STREAM = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)")

FILE = {"path": "what the upload answered", "meta": {"_type": "gradio.FileData"}}


class Calls:
    """ASGI middleware between the guard, which has buffered the whole body, and `gradio`, the app with the
    endpoints."""

    def __init__(self, app: ASGIApp, gradio: App, turns: Turns):
        self.app, self.blocks, self.turns = app, gradio.get_blocks(), turns
        documented = self.blocks.get_api_info()["named_endpoints"]
        functions = {f"/{f.api_name}": f.fn for f in self.blocks.fns.values()}
        self.endpoints = {name: _arguments(functions[name], one["parameters"]) for name, one in documented.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _multipart(scope):
            return await self.app(scope, receive, send)
        if scope["method"] == "POST" and POSTS.fullmatch(scope["path"]):
            return await self._posted(scope, receive, send)
        if scope["method"] == "GET" and (fetched := STREAM.fullmatch(scope["path"])):
            return await self._fetched(fetched[1], scope, receive, send)
        if scope["method"] == "GET" and (session := _session(scope)):
            return await while_heard(self.app, scope, receive, send, lambda: self.turns.gone(session))
        return await self.app(scope, receive, send)

    async def _fetched(self, event: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of a call. It is there once: gradio would let who asks again wait without end."""
        waiting = self.blocks._queue.pending_event_ids_session.values()
        if self.turns.is_over(event) or not any(event in ids for ids in waiting):
            sentence = f"there is no answer for the call {short(event)}: it was fetched already, or its caller left"
            return await JSONResponse({"detail": sentence}, 404)(scope, receive, send)
        return await while_heard(self.app, scope, receive, send, lambda: self.turns.over(event))

    async def _posted(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        call, server = CALL.fullmatch(scope["path"]), SERVER.fullmatch(scope["path"])
        try:
            given = _object(body)
            if call and "fn_index" not in given:  # the page's own scripts call unnamed functions by fn_index
                fit = self._named if call[1] == "call/v2" else self._listed
                body = json.dumps(fit(call[2], given)).encode()
            else:
                self._of_the_page(given, "component_id" if server else "fn_index")
        except LookupError as e:
            return await JSONResponse({"detail": e.args[0]}, 404)(scope, receive, send)
        except ValueError as e:
            return await JSONResponse({"detail": str(e)}, 422)(scope, receive, send)
        scope, again = _with_body(scope, receive, body)
        if call and call[1] in ANSWERING:
            return await self.app(scope, again, _refusing(send))
        data = given.get("data")
        if server and given.get("fn_name") == "paint" and isinstance(data, dict):

            async def paint(scope: Scope, _: Receive, send: Send) -> None:
                await self.app(scope, again, send)

            return await while_heard(paint, scope, receive, send, lambda: self._left(data))
        return await self.app(scope, again, send)

    def _left(self, data: dict[str, Any]) -> None:
        """Stop the pictures of a page that was closed."""
        tab, ticket = data.get("tab"), data.get("ticket")
        if isinstance(tab, str) and isinstance(ticket, int):
            self.turns.stop(tab, ticket)

    def _arguments_of(self, endpoint: str) -> dict[str, "Argument"]:
        """The arguments of an endpoint by name. Raises LookupError for an unknown endpoint."""
        if f"/{endpoint}" not in self.endpoints:
            names = ", ".join(name.strip("/") for name in self.endpoints)
            raise LookupError(f"there is no endpoint {short(endpoint)}; valid: {names}")
        return self.endpoints[f"/{endpoint}"]

    def _named(self, endpoint: str, given: dict[str, Any]) -> dict[str, Any]:
        known = self._arguments_of(endpoint)
        for name in given:
            if name not in known:
                raise ValueError(f"unknown argument {short(name)} of {endpoint}; valid: {', '.join(known) or 'none'}")
        return {n: one.absent() if given.get(n) is None else one.fitting(given[n]) for n, one in known.items()}

    def _listed(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        known, data = self._arguments_of(endpoint), body.get("data")
        if not isinstance(data, list):
            raise ValueError(f"data must be a list of the arguments: {', '.join(known) or 'none'}; or call v2 by name")
        if len(data) > len(known):
            raise ValueError(f"{endpoint} takes {len(known)} arguments, not {len(data)}: {', '.join(known) or 'none'}")
        return body | {
            "data": list(self._named(endpoint, dict(zip(islice(known, len(data)), data, strict=True))).values())
        }

    def _of_the_page(self, body: dict[str, Any], key: str) -> None:
        """Check a call of the page's own scripts. Raises LookupError where it names a component of another server's
        page, ValueError where its data don't fit."""
        there: Mapping[int, Any] = cast(Any, self.blocks.blocks if key == "component_id" else self.blocks.fns)
        if not isinstance(body.get(key), int) or body[key] not in there:
            raise LookupError("this call is for a page of another start of the server: reload the page")
        if key == "fn_index":
            wanted, data = len(there[body[key]].inputs), body.get("data")
            if not isinstance(data, list) or len(data) < wanted:
                raise ValueError(f"data must be a list of {wanted}")


@dataclass(frozen=True)
class Argument:
    name: str
    default: Any = inspect.Parameter.empty
    file: bool = False

    def absent(self) -> Any:
        if self.default is inspect.Parameter.empty:
            raise ValueError(f"{self.name} is missing")
        return self.default

    def fitting(self, value: Any) -> Any:
        """The value, checked where it is a file, as gradio fails without a sentence there. Functions check other values
        themselves. Raises ValueError."""
        if not self.file:
            return value
        path = value.get("path") if isinstance(value, dict) and value.get("meta") == FILE["meta"] else None
        own = scratch.folder().resolve()
        if not isinstance(path, str) or "\0" in path or not Path(path).resolve().is_relative_to(own):
            example = json.dumps(FILE)
            raise ValueError(f"{self.name} must be an uploaded file: POST it to /gradio_api/upload, and give {example}")
        return value


def _arguments(function: Callable | None, parameters: Sequence[Any]) -> dict[str, Argument]:
    """The arguments by name, as gradio documents them. Defaults are the function's, as gradio drops empty texts."""
    assert function is not None, "a named endpoint has a function"
    own = inspect.signature(function).parameters
    names = {one["parameter_name"]: one["component"] == "File" for one in parameters}
    return {name: Argument(name, own[name].default, file) for name, file in names.items()}


def _session(scope: Scope) -> str | None:
    """The session of gradio's client that waits for its answers."""
    if scope["path"].rstrip("/") == "/gradio_api/queue/data":
        return QueryParams(scope["query_string"]).get("session_hash")
    return None


def _multipart(scope: Scope) -> bool:
    return any(k == b"content-type" and v.lower().startswith(b"multipart/") for k, v in scope["headers"])


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):  # bytes that are no text are a ValueError too
        raise ValueError("the request is not valid JSON") from None
    if not isinstance(body, dict):
        raise ValueError("the request must be a JSON object")
    return body


def _refusing(send: Send) -> Send:
    """Change gradio's status 500 for a call that was refused in a sentence to a client error."""
    held: Message | None = None

    async def sending(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and message["status"] == 500:
            held = message
            return
        if held is not None:
            sentence = json.loads(message["body"]).get("error")  # nothing of a fault
            held = await send({**held, "status": 422 if sentence else 500})
        await send(message)

    return sending


def _with_body(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    headers = {b"content-length": str(len(body)).encode(), b"content-type": b"application/json"}  # not as curl says it
    left_out = (*headers, b"transfer-encoding", b"accept-encoding")  # a refusal is read on its way out
    others = [(k, v) for k, v in scope["headers"] if k not in left_out]
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return {**scope, "headers": [*others, *headers.items()]}, again

"""Stopping the pictures of a caller that disconnected: a closed tab, a program that ended, a broken connection."""

from collections.abc import Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def while_heard(app: ASGIApp, scope: Scope, line: Receive, send: Send, gone: Callable[[], None]) -> None:
    """The app's answer; `gone()` where the caller leaves before it is whole.

    `line`: what comes after the body, which is nothing until it breaks. `app` reads its body elsewhere.
    """
    whole = False

    async def sending(message: Message) -> None:
        nonlocal whole
        whole = whole or (message["type"] == "http.response.body" and not message.get("more_body", False))
        await send(message)

    async def listening() -> None:
        while (await line())["type"] != "http.disconnect":
            pass
        if not whole:
            gone()

    async with anyio.create_task_group() as group:
        group.start_soon(listening)
        await app(scope, line, sending)
        group.cancel_scope.cancel()

"""Stopping the pictures of a caller that disconnected: a closed tab, a program that ended, a broken connection."""

from collections.abc import Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def while_heard(app: ASGIApp, scope: Scope, line: Receive, send: Send, gone: Callable[[], None]) -> None:
    """The app's answer; `gone()` where the caller leaves before it is whole.

    `line`: what comes after the body, which is nothing until it breaks. `app` reads its body elsewhere.
    """
    whole = left = False

    async def sending(message: Message) -> None:
        nonlocal whole
        whole = whole or (message["type"] == "http.response.body" and not message.get("more_body", False))
        await send(message)

    async def hearing() -> Message:
        """The next message, for the app and for `listening`. Gradio's streams hear a disconnection too, and end as if
        they were whole, so the first that hears it calls `gone`."""
        nonlocal left
        message = await line()
        if message["type"] == "http.disconnect" and not whole and not left:
            left = True
            gone()
        return message

    async def listening() -> None:
        while (await hearing())["type"] != "http.disconnect":
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(listening)
        await app(scope, hearing, sending)
        group.cancel_scope.cancel()

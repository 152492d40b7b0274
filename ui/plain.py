"""Pages that are no tabs: the documentation of the endpoints, and the page for unknown addresses."""

import html
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

from gradio.routes import App
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui import style

ENDPOINTS = "/endpoints"
CODE = re.compile(r"`([^`]+)`")
NOTHING = """<style>main { padding: 28px; text-align: center; } h1 { font: 600 26px/1 var(--sl-serif); }</style>
<main><h1>Nothing here</h1><p>There is no page at this address.</p>
<p><a href="<!-- ROOT -->/">To Still L<i>i</i>fe</a></p></main>"""


def routes(gradio: App, root: str) -> list[Route]:
    """The routes of these pages, on a site that is shown under `root`."""

    def endpoints(request: Request) -> Response:
        endpoints = gradio.get_blocks().get_api_info()["named_endpoints"]
        functions = "\n".join(_function(name, one) for name, one in endpoints.items())
        site = html.escape(f"{request.url.scheme}://{request.url.netloc}{root}")
        body = (style.HERE / "endpoints.html").read_text(encoding="utf-8")
        body = body.replace("<!-- FUNCTIONS -->", functions).replace("<!-- SITE -->", site)
        return HTMLResponse(style.plain("For programs", body, root))

    return [Route(ENDPOINTS, endpoints)]


def _function(name: str, endpoint: Mapping[str, Any]) -> str:
    rows = "".join(_argument(one) for one in endpoint["parameters"])
    table = f"<table><tr><th>argument</th><th>type</th><th>default</th></tr>{rows}</table>" if rows else ""
    about = CODE.sub(r"<code>\1</code>", html.escape(inspect.cleandoc(endpoint.get("description") or "")))
    return f"<h2>{html.escape(name)}</h2><p>{about}</p>{table}"


def _argument(argument: dict[str, Any]) -> str:
    has = argument["parameter_has_default"]
    default = json.dumps(argument.get("parameter_default")) if has else "none: it must be given"
    cells = argument["parameter_name"], argument["python_type"]["type"], default
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in cells)}</tr>"


class Nothing:
    """ASGI middleware: a browser gets a page for an unknown address, a program gets the app's own answer."""

    def __init__(self, app: ASGIApp, root: str):
        self.app, self.root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        person = scope["type"] == "http" and scope["method"] == "GET"
        if not person or "text/html" not in Headers(scope=scope).get("accept", ""):
            return await self.app(scope, receive, send)
        missing = False

        async def seen(message: Message) -> None:
            nonlocal missing
            if message["type"] == "http.response.start" and message["status"] == 404:
                missing = True
            if not missing:
                await send(message)
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                page = style.plain("Nothing here", NOTHING, self.root)
                await HTMLResponse(page, 404)(scope, receive, send)

        return await self.app(scope, receive, seen)

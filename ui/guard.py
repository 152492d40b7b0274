"""What stands between the network and gradio: size of a body, who may post, and headers that keep the page
closed.

Pure ASGI. Gradio limits uploads but not JSON, sends no security headers, and lets another site's form post
to it.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 262_144  # bytes of anything that is no upload
UPLOADS = ("/gradio_api/upload",)  # limited by gradio's max_file_size
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CLOSED = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
)


class Guard:
    """`loopback`: only answer to names of this machine (DNS rebinding). `framed`: a Space shows the page
    in a frame.
    """

    def __init__(self, app: ASGIApp, loopback: bool = True, framed: bool = False):
        self.app = app
        self.loopback = loopback
        self.headers = {
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "content-security-policy": CLOSED
            + ("'self' https://huggingface.co https://*.hf.space" if framed else "'self'"),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST" and not scope["path"].startswith(UPLOADS):
            body, receive = await _buffered(receive)
            if body is None:
                refusal = PlainTextResponse(f"A request may hold {BODY_LIMIT // 1024} KiB at most.", 413)
        return await (refusal or self.app)(scope, receive, sealed)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.loopback and _name(host) not in LOOPBACK:
            return PlainTextResponse("This page answers to localhost only; start it with --host for other names.", 403)
        origin = headers.get("origin")
        own = {host, headers.get("x-forwarded-host", host)}
        if scope["method"] == "POST" and origin is not None and urlsplit(origin).netloc not in own:
            return PlainTextResponse("Another site may not post to this page.", 403)
        return None


def _name(host: str) -> str:
    """The host without its port: `localhost:7860`, `[::1]:7860`."""
    return host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]


async def _buffered(receive: Receive) -> tuple[bytes | None, Receive]:
    """The whole body and a `receive` that gives it again; None where it is longer than the limit."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None, receive
        if not message.get("more_body"):
            break
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return body, again

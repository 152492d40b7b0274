"""The guard between the network and gradio: it limits bodies, refuses posts of other sites, and adds security headers.

It is pure ASGI. Gradio limits each file but neither JSON nor the number of files, sends no security headers, and
accepts posts of other sites' forms. Behind a proxy (docs/serving.md) the guard also tells gradio the path, name and
port under which the browser sees the page, of which gradio makes its links.
"""

import logging
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from gradio.utils import get_upload_folder
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.address import is_loopback
from ui.metrics import REFUSED

log = logging.getLogger("ui")
BODY_LIMIT = 262_144  # most bytes of a body that is no upload
UPLOAD_BYTES = 10 * 2**20  # most bytes of a file
UPLOAD_LIMIT = UPLOAD_BYTES + BODY_LIMIT  # most bytes of all files of a request, with the form around them
UPLOADS = ("/gradio_api/upload",)
BODY_SECONDS = 60.0  # time limit for a body that is no upload
DISK_LEFT = 1_000_000_000  # bytes; with less free space, uploads are refused
RETRY_SECONDS = "5"
RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")  # one range; gradio fails at more
READS = ("GET", "HEAD")
PORT = re.compile(r":\d*$")
PROXIED = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")  # headers that proxies add
CLOSED = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
)


class Guard:
    """The middleware. `names`: host names that it accepts besides this machine's own; None: any, as DNS rebinding is no
    danger to a page that is open to everybody. `root_path`: the path under which a proxy shows the page. `framed`: a
    Space shows the page in a frame.
    """

    def __init__(
        self, app: ASGIApp, names: frozenset[str] | None = frozenset(), root_path: str = "", framed: bool = False
    ):
        self.app = app
        self.names, self.root_path = names, root_path
        self.headers = {
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
            "content-security-policy": CLOSED
            + ("'self' https://huggingface.co https://*.hf.space" if framed else "'self'"),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # the page has no websocket
            return await send({"type": "websocket.close"})

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self.headers)
                if headers.get("location", "").startswith("/"):  # a redirect of gradio, which does not know the proxy
                    headers["location"] = self.root_path + headers["location"]
                if message["status"] == 503:
                    headers["retry-after"] = RETRY_SECONDS
                _note(scope, message["status"])
            await send(message)

        refusal = self._refusal(scope)
        scope = self._seen(scope)
        if refusal is None and scope["path"].startswith(UPLOADS):
            refusal, receive = _room(), _counted(receive)
        elif refusal is None and scope["method"] not in READS:
            refusal, receive = await _buffered(receive)
        return await (refusal or self.app)(scope, receive, sealed)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts = [headers.get("host", ""), *filter(None, [_first(headers, "x-forwarded-host")])]
        for host in hosts:
            if not self._known(_name(host)):
                return PlainTextResponse(
                    f"This page does not answer to the name {_name(host)!a:.80}. Behind a proxy, or by another name of "
                    "this machine, start it with --allow-host NAME.",
                    403,
                )
        if scope["method"] not in READS and "origin" in headers and not _own(headers, hosts):
            return PlainTextResponse(
                "Another site may not post to this page. Behind a proxy, let it pass the header Host: docs/serving.md.",
                403,
            )
        if not RANGE.fullmatch(headers.get("range", "bytes=0-")):
            return PlainTextResponse("One range of bytes at a time: Range: bytes=0-499", 416)
        return None

    def _known(self, name: str) -> bool:
        return self.names is None or is_loopback(name) or name in self.names

    def _seen(self, scope: Scope) -> Scope:
        """The request for gradio: its path is without the proxy's, and after a post its address is the origin's, as a
        proxy may have dropped port or scheme."""
        scope = dict(scope)
        headers, path = MutableHeaders(scope=scope), scope["path"]
        if self.root_path and (path == self.root_path or path.startswith(self.root_path + "/")):
            scope["path"] = path[len(self.root_path) :] or "/"
            scope["raw_path"] = scope["path"].encode()
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in READS:
            headers["host"], headers["x-forwarded-proto"] = urlsplit(origin).netloc, urlsplit(origin).scheme
            del headers["x-forwarded-host"]
        return scope


def from_here(scope: Scope) -> bool:
    """Whether the request comes from this machine, by a name of this machine, without a tunnel or a proxy."""
    headers = Headers(scope=scope)
    address = (scope.get("client") or ("", 0))[0]
    return (
        is_loopback(address) and is_loopback(_name(headers.get("host", ""))) and not any(h in headers for h in PROXIED)
    )


def _own(headers: Headers, hosts: list[str]) -> bool:
    """Whether a post comes from a page of this site. A proxy's usual `Host $host` has no port; then any port of that
    name counts as this site, unless the browser says that the post is cross-site.
    """
    origin = urlsplit(headers["origin"])
    portless = [_name(host) for host in hosts if not PORT.search(host)]
    same_site = headers.get("sec-fetch-site", "same-origin") == "same-origin"
    return bool(origin.netloc) and (origin.netloc in hosts or (same_site and _name(origin.netloc) in portless))


def _first(headers: Headers, name: str) -> str:
    """The first value of a header to which each proxy adds its own: the browser's."""
    return headers.get(name, "").split(",")[0].strip()


def _name(host: str) -> str:
    """The host without its port, as in `localhost:7860` and `[::1]:7860`."""
    name = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower()


def _note(scope: Scope, status: int) -> None:
    if status in (403, 408, 413, 503, 507):
        REFUSED.labels(status).inc()
        log.warning("a request was refused", extra={"status": status, "method": scope["method"], "path": scope["path"]})


def _room() -> PlainTextResponse | None:
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    full = shutil.disk_usage(folder).free < DISK_LEFT
    return PlainTextResponse("The disk is nearly full: nothing can be uploaded now.", 507) if full else None


def _counted(receive: Receive) -> Receive:
    """The same messages, up to the limit of an upload. Raises HTTPException beyond it."""
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > UPLOAD_LIMIT:
            raise HTTPException(413, f"All files of one upload may hold {UPLOAD_BYTES // 2**20} MiB at most.")
        return message

    return counting


async def _buffered(receive: Receive) -> tuple[PlainTextResponse | None, Receive]:
    """A `receive` that gives the buffered body again, or a refusal where the body is too long or too slow."""
    body = bytearray()
    with anyio.move_on_after(BODY_SECONDS) as patience:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            if len(body) > BODY_LIMIT:
                return PlainTextResponse(f"A request may hold {BODY_LIMIT // 1024} KiB at most.", 413), receive
            if not message.get("more_body"):
                break
    if patience.cancelled_caught:
        return PlainTextResponse(f"A request has to arrive within {BODY_SECONDS:.0f} s.", 408), receive
    pending: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return None, again

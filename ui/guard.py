"""What stands between the network and gradio: size of a body, who may post, and headers that keep the page
closed.

Pure ASGI. Gradio limits each file but neither JSON nor how many files come at once, sends no security headers, and
lets another site's form post to it. Behind a proxy (docs/serving.md) the guard also says where the browser sees the
page: below which path, and after a post under which name and port, which gradio's own links are made of.
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
BODY_LIMIT = 262_144  # bytes of anything that is no upload
UPLOAD_BYTES = 10 * 2**20  # of one file
UPLOAD_LIMIT = UPLOAD_BYTES + BODY_LIMIT  # of all files of one request, with what the form adds
UPLOADS = ("/gradio_api/upload",)
BODY_SECONDS = 60.0  # in which a body that is no upload has to arrive
DISK_LEFT = 1_000_000_000  # bytes; with less, nothing is uploaded
RETRY_SECONDS = "5"
RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")  # one; gradio fails at more
READS = ("GET", "HEAD")
PORT = re.compile(r":\d*$")
PROXIED = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")  # whoever asks, asks for others
CLOSED = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
)


class Guard:
    """`names`: hosts that are answered to besides this machine's own; None: any (DNS rebinding is no danger to a page
    that everybody may open). `root_path`: where a proxy shows the page. `framed`: a Space shows it in a frame.
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
                if headers.get("location", "").startswith("/"):  # gradio's own, which knows of no proxy
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
        """The request as gradio should read it: its path without the proxy's, and who posts tells its own address best,
        as a proxy may have dropped port or scheme."""
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
    """Whether somebody on this machine asks, by a name of this machine: no tunnel, and no proxy for somebody else."""
    headers = Headers(scope=scope)
    address = (scope.get("client") or ("", 0))[0]
    return (
        is_loopback(address) and is_loopback(_name(headers.get("host", ""))) and not any(h in headers for h in PROXIED)
    )


def _own(headers: Headers, hosts: list[str]) -> bool:
    """Whether a page of this site posts. A proxy's usual `Host $host` has lost the port; then any port of that name is
    its own, unless the browser says that it is another site's.
    """
    origin = urlsplit(headers["origin"])
    portless = [_name(host) for host in hosts if not PORT.search(host)]
    same_site = headers.get("sec-fetch-site", "same-origin") == "same-origin"
    return bool(origin.netloc) and (origin.netloc in hosts or (same_site and _name(origin.netloc) in portless))


def _first(headers: Headers, name: str) -> str:
    """Each of several proxies adds its own; the first is what the browser asked for."""
    return headers.get(name, "").split(",")[0].strip()


def _name(host: str) -> str:
    """The host without its port: `localhost:7860`, `[::1]:7860`."""
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
    """The same messages, up to the limit of an upload."""
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
    """A `receive` that gives the whole body again; a refusal where it is too long, or too long on its way."""
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

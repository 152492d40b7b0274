"""Serves the page: gradio's app behind the guard, on sockets of our own, by uvicorn in this thread.

`Blocks.launch` is not used: it requests its own page over HTTP and gives up after 3 s or behind a proxy, it can't bind
IPv6, and it does not handle signals. Models are loaded after the server is up, so that requests are answered meanwhile.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from types import FrameType

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio.routes import App
from starlette.routing import Mount
from starlette.types import ASGIApp

from ui import address, plain, style
from ui.calls import Calls
from ui.desk import Desk
from ui.guard import UPLOAD_BYTES, Guard
from ui.health import Health
from ui.launch import Settings
from ui.login import Login

GOODBYE_SECONDS = 3  # time for open answers when the server stops
SESSIONS = 200  # sessions of gradio that are kept, 0.3 MB each
STOPS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """A server of the page on sockets that are bound already."""

    def __init__(self, demo: gr.Blocks, desk: Desk, settings: Settings, sockets: list[socket.socket]):
        super().__init__(
            uvicorn.Config(
                served(demo, desk, settings),
                log_level="warning",
                log_config=None,
                timeout_graceful_shutdown=GOODBYE_SECONDS,
            )
        )
        self.demo, self.desk, self.settings, self.sockets = demo, desk, settings, sockets
        self.address = address.link(settings.host, sockets)

    def serve_until_stopped(self) -> None:
        """Serve until Ctrl+C or SIGTERM, and then stop in order."""
        self.run(self.sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.settings.warm:
            self.desk.warm()
        print(f"Still Life is at {self.address.rstrip('/')}{self.settings.root_path}/  (Ctrl+C stops it)", flush=True)
        if self.settings.share:
            threading.Thread(target=self._share, daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.demo.is_running = False  # ends gradio's streams, which pages hold open
        self.demo.app.stop_event.set()
        self.desk.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Within: signals stop the server. uvicorn's own handler would raise the signal again before the cleanup."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self.handle_exit) for s in STOPS}
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + sig)
        print("Stopping. Jobs keep a checkpoint and go on at the next start.", file=sys.stderr, flush=True)
        self.should_exit = True

    def _share(self) -> None:
        from gradio.networking import setup_tunnel

        port = self.sockets[0].getsockname()[1]
        try:
            print(f"For everybody: {setup_tunnel('127.0.0.1', port, self.demo.share_token, None, None)}", flush=True)
        except (RuntimeError, OSError) as e:
            print(f"there is no public link: {e}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[str]:
        """Within: the page is served in a thread, for tests. Yields the address."""
        thread = threading.Thread(target=self.serve_until_stopped, daemon=True)
        thread.start()
        while not self.started:
            assert thread.is_alive(), "the server ended before it was up"
            time.sleep(0.01)
        try:
            yield self.address
        finally:
            self.should_exit = True
            thread.join()


def served(demo: gr.Blocks, desk: Desk, settings: Settings) -> ASGIApp:
    """Gradio's app, with the health checks beside it and the guard around it."""
    outer = FastAPI(routes=[*Health(desk).routes()], docs_url=None, redoc_url=None, openapi_url=None)
    inner = _mounted(outer, demo, settings)
    outer.router.routes[:0] = plain.routes(inner, settings.root_path)
    calls = Calls(plain.Nothing(outer, settings.root_path), inner, desk.turns)
    app = Login(calls, inner, settings.root_path, (plain.ENDPOINTS,)) if settings.logins else calls
    return Guard(app, names=settings.names, root_path=settings.root_path, framed=settings.framed)


def _mounted(outer: FastAPI, demo: gr.Blocks, settings: Settings) -> App:
    demo.state_session_capacity = SESSIONS
    demo.has_launched = True  # else gradio does not check the paths of files
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode", UserWarning)  # a mode that is not used
        _mount(outer, demo, settings)
    (inner,) = (route.app for route in outer.routes if isinstance(route, Mount))
    assert isinstance(inner, App)
    demo.app = demo.server_app = inner  # gradio reads its server here
    return inner


def _mount(outer: FastAPI, demo: gr.Blocks, settings: Settings) -> None:
    gr.mount_gradio_app(
        outer,
        demo,
        path="/",
        auth=list(settings.logins) or None,
        root_path=settings.root_path or None,
        allowed_paths=[],
        max_file_size=UPLOAD_BYTES,
        enable_monitoring=False,
        run_history=False,
        show_error=False,
        ssr_mode=False,
        footer_links=[],
        app_kwargs={"docs_url": None, "redoc_url": None},
        favicon_path=str(style.HERE / "icon.png"),
        theme=style.theme(),
        css=style.css(),
        head=style.head(),
    )

"""A small reverse proxy of real sockets for tests: what nginx and Caddy do with Host, a sub-path and X-Forwarded."""

import contextlib
import http.client
import http.server
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "keep-alive", "upgrade"}


@contextlib.contextmanager
def reverse(to: str, host: str = "$http_host", prefix: str = "", strip: bool = True, **headers: str) -> Iterator[str]:
    """In front of the server at `to`; gives its own address. `host`: what becomes of Host, in nginx's words
    ($http_host, $host, $proxy_host). `prefix`: the sub-path, which `strip` takes off. `headers`: added.
    """
    there = urlsplit(to)

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            assert self.path.startswith(prefix + "/"), self.path
            public, path = self.headers["host"], self.path[len(prefix) :] if strip else self.path
            words = {"$http_host": public, "$host": public.partition(":")[0], "$proxy_host": there.netloc}
            own = {k: v for k, v in self.headers.items() if k.lower() not in (*HOP, "host")}
            own |= {k.replace("_", "-"): words.get(v, v) for k, v in headers.items()} | {"Host": words[host]}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with contextlib.closing(http.client.HTTPConnection(there.hostname, there.port, timeout=60)) as back:
                back.request(self.command, path, body, own)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.relay(back.getresponse())

        def relay(self, response: http.client.HTTPResponse) -> None:
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in (*HOP, "date", "server", "content-length"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()
            while piece := response.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()

        do_GET = do_POST = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    with _served(Proxy) as port:
        yield f"http://127.0.0.1:{port}{prefix}/"


@contextlib.contextmanager
def forward(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A company's proxy, the only way out: (its address, what it was asked for). It answers by itself."""
    paths: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    with _served(Proxy) as port:
        yield f"http://127.0.0.1:{port}", paths


@contextlib.contextmanager
def _served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()

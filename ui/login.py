"""Login and logout of a page with `--auth`, with a login page of our own.

Gradio's login page lacks the page's style sheet, so its fields have no colours. Gradio's check of name and password and
its cookies are used.
"""

from gradio.routes import App
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ui import style


class Login:
    """ASGI middleware. `gradio`: the app that knows the logins. `app`: the app for all other requests. `others`: pages
    besides gradio's that need a login.
    """

    def __init__(self, app: ASGIApp, gradio: App, root: str = "", others: tuple[str, ...] = ()):
        self.app, self.gradio = app, gradio
        self.pages = {f"/{path}".rstrip("/") for path, *_ in gradio.get_blocks().pages} | {*others}
        self.page = style.plain("Log in", (style.HERE / "login.html").read_text(encoding="utf-8"), root)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(Request(scope)) if scope["type"] == "http" and scope["method"] == "GET" else None
        return await (answer or self.app)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        path = request.url.path.rstrip("/")
        if path == "/logout":
            return self._out(request)
        if path in self.pages and self.username(request) is None:
            return HTMLResponse(self.page, headers={"cache-control": "no-store"})
        return None

    def username(self, request: Request) -> str | None:
        tokens = self.gradio.tokens
        return next((tokens[value] for value in self._cookies(request).values() if value in tokens), None)

    def _out(self, request: Request) -> Response:
        """Log this browser out; other browsers of the same name stay logged in."""
        answer = RedirectResponse("./", 303)
        for name, value in self._cookies(request).items():
            self.gradio.tokens.pop(value, None)
            answer.delete_cookie(name)
        return answer

    def _cookies(self, request: Request) -> dict[str, str]:
        names = (f"access-token-{self.gradio.cookie_id}", f"access-token-unsecure-{self.gradio.cookie_id}")
        return {name: request.cookies[name] for name in names if name in request.cookies}

"""A page in a real browser for the tests that are marked `browser`: one app, one Chromium, the network cut."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

from core.paths import ROOT
from tests import tiny
from tests.jobs_bench import Hands, opened

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
DESK, PHONE = {"width": 1400, "height": 1100}, {"width": 390, "height": 844}
TINY = "?prompt=a+red+ball&model=tiny-sprint&seed=7&num_images=4"
PATIENCE = 60_000  # ms; a loaded machine is slow, a broken page would wait for ever
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module", autouse=True)
def accelerators():
    """A process has one precision, and each file of tests begins as a process of its own would."""
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def studio(request, tmp_path_factory):
    """A studio of the module's own, with the tiny models that its `STUDIO` lists."""
    folder = tmp_path_factory.mktemp("studio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(folder))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "served"))
        for build in request.module.STUDIO:
            build(folder)
        yield folder


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def jobs(tmp_path, hands):
    """A store of jobs under a clock that is turned by hand."""
    return opened(tmp_path, hands)


class App:
    """app.py on one port and one studio, to be killed and started again."""

    def __init__(self, studio, **env):
        self.studio, self.process = studio, None
        self.env = {"STILL_LIFE_STUDIO": str(studio), "GRADIO_TEMP_DIR": str(studio / "served"), **env}
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"

    def start(self, *flags):
        command = [sys.executable, "app.py", "--backend", "torch", "--port", str(self.port), *flags]
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ | self.env)
        try:
            _wait_for(self.address, self.process)
        except AssertionError:
            self.kill()
            raise

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def end(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def app(request, tmp_path_factory):
    """The app on tiny models, in one thread, with the flags that the module's `APP_FLAGS` lists."""
    made = App(tiny.build(tmp_path_factory.mktemp("studio")), OMP_NUM_THREADS="1")
    made.start(*getattr(request.module, "APP_FLAGS", ()))
    yield made
    made.end()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the app on tiny models, for tests that are in its studio."""
    made = App(tiny.build(tmp_path_factory.mktemp("studio")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(made.studio))
        made.start()
        yield made.address
        made.end()


def _wait_for(address, app):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and app.poll() is None:
        try:
            return urllib.request.urlopen(address, timeout=10).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"no page at {address}, exit status {app.poll()}")


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """An open page; what it asked of the outside, and what went wrong in it."""

    def __init__(self, chromium, site, query="", viewport=None, **context):
        self.context = chromium.new_context(viewport=viewport or DESK, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.outside, self.wrong, self.site = [], [], site
        self.page.route(lambda url: not url.startswith((site, "data:", "blob:")), self._cut)
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("dialog", lambda d: (self.wrong.append(f"dialog {d.message}"), d.dismiss()))
        self.open(query)

    def _cut(self, route):
        self.outside.append(route.request.url)
        route.abort()

    def open(self, query=""):
        self.page.goto(self.site + query)
        self.painted()

    def painted(self, prompt=None):
        """Wait until the wall is whole and large, and for this prompt."""
        self.page.wait_for_function(
            "(prompt) => window.still?.arrived && still.painter.wall.complete && !still.painter.busy"
            " && !still.enlarge.busy && [...document.querySelectorAll('#wall img')]"
            ".every((image, k) => image.src === still.painter.wall.pictures[k]?.src)"
            " && still.painter.wall.request.prompt === (prompt ?? still.request.prompt)",
            arg=prompt,
        )

    def sources(self):
        return self.page.eval_on_selector_all("#wall img", "all => all.map(i => i.src)")

    def type(self, text, delay=0):
        self.page.locator("#prompt").press("End")
        self.page.keyboard.type(text, delay=delay)

    def request(self):
        return self.page.evaluate("still.request")

    def count(self):
        return self.page.locator("#count").inner_text()

    def away(self):
        """Take the focus off the prompt, as a click beside it does."""
        self.page.evaluate("document.activeElement.blur()")


@pytest.fixture
def visit(chromium, site):
    opened = []

    def go(query=TINY, **more):
        opened.append(Visit(chromium, site, query, **more))
        return opened[-1]

    yield go
    for one in opened:
        assert not one.outside and not one.wrong
        one.context.close()

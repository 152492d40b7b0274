"""The app starts, everywhere: a busy machine, a proxy in the environment, odd addresses, a studio that can't be one."""

import asyncio
import contextlib
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import httpx
import pytest

import app
from core.paths import ROOT
from tests import small_disk, tiny
from ui import address

DIRECT = httpx.HTTPTransport()  # whatever the environment says of proxies
LINK = re.compile(r"Still Life is at (http://\S+)")


@contextlib.contextmanager
def started(tmp_path, *argv, cwd=ROOT, **env):
    """`app.py` as a process: (the process, its address, the lines that it has said)."""
    command = [sys.executable, str(ROOT / "app.py"), "--port", "0", "--backend", "torch", *argv]
    said: list[str] = []
    with subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        found = threading.Event()

        def read():
            for line in process.stdout:
                said.append(line)
                if LINK.search(line):
                    found.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            end = time.monotonic() + 300
            while not found.wait(0.05) and process.poll() is None and time.monotonic() < end:
                pass
            assert found.is_set(), "".join(said)
            yield process, next(m[1] for m in map(LINK.search, said) if m), said
        finally:
            process.terminate()
            process.wait(60)
            reader.join()


def test_an_environment_that_is_hostile_and_a_relative_studio(tmp_path):
    """A dead proxy would fail every call of the program to itself, and gradio's usual folder of temporary files, which
    the users of a machine share, can't be used. And Ctrl+C ends it in order."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "gradio").touch()
    dead = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    tiny.build(tmp_path / "mine")
    env = dead | {"STILL_LIFE_STUDIO": "mine", "TMPDIR": str(tmp_path / "tmp")}
    with started(tmp_path, cwd=tmp_path, **env) as (process, site, said):
        with httpx.Client(transport=DIRECT, base_url=site, timeout=60) as http:
            assert http.get("").status_code == 200
            end = time.monotonic() + 60
            while not (tmp_path / "mine/jobs.db").exists() and time.monotonic() < end:
                time.sleep(0.1)
        assert {"gallery.db", "jobs.db", "models"} <= {p.name for p in (tmp_path / "mine").iterdir()}
        assert not (ROOT / "mine").exists(), "the worker, which runs in another folder, has the same studio"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert said[-1].startswith("Stopping.") and "Traceback" not in "".join(said), "".join(said)


def test_it_ends_well_while_threads_are_inside_torch():
    """As one is that loads a model. The interpreter's own end is an abort then, mostly."""
    code = """
    import atexit, threading, time, torch
    from ui import launch

    def work():
        while True:
            torch.nn.Linear(64, 64)(torch.rand(64, 64)).sum().backward()

    for _ in range(8):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.2)
    atexit.register(print, "ended")
    launch.leave()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended\n", "")


def spin():
    while True:
        pass


@pytest.mark.slow
def test_it_starts_on_a_busy_machine_and_answers_while_models_are_loaded(tmp_path):
    """Six programs without end share one core with it; a probe waits at most 10 s, a page at most 30."""
    core = {min(os.sched_getaffinity(0))}
    hogs = [multiprocessing.get_context("spawn").Process(target=spin, daemon=True) for _ in range(6)]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core)  # which children inherit
    try:
        for hog in hogs:
            hog.start()
        with started(tmp_path, "--no-worker", STILL_LIFE_STUDIO=str(tmp_path)) as (_, site, _):
            waits, ready = [], False
            with httpx.Client(transport=DIRECT, base_url=site, timeout=60) as http:
                assert http.get("").status_code == 200
                while not ready:
                    begun = time.monotonic()
                    assert http.get("healthz").json()["alive"] is True
                    waits.append(time.monotonic() - begun)
                    ready = http.get("readyz").json()["ready"]
            assert max(waits) < 10, waits
    finally:
        os.sched_setaffinity(0, before)
        for hog in hogs:
            hog.kill()


def refused(*argv):
    with pytest.raises(SystemExit) as e:
        app.main(list(argv))
    return e.value.code


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path / "studio"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    return tmp_path / "studio"


def test_temporary_files_that_cannot_be_kept_are_one_sentence(studio, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "taken"))
    (tmp_path / "taken").touch()
    assert refused() == (
        f"temporary files can't be kept in {tmp_path / 'taken'} (File exists): remove it, or name another folder by "
        "$GRADIO_TEMP_DIR"
    )


def test_what_cannot_be_listened_on_is_one_sentence(studio):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        assert refused("--port", str(port)) == f"port {port} is taken: choose another with --port"
    nowhere = refused("--host", "192.0.2.1", "--open-to-everyone")
    assert nowhere == "--host 192.0.2.1: this machine has no such address; --host 127.0.0.1 is for itself alone"
    unknown = refused("--host", "no.such.name.invalid", "--open-to-everyone")
    assert unknown.startswith("--host no.such.name.invalid can't be resolved to an address")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--port", "99999"], "'99999' is no port; valid: 1 to 65535, or 0 for any that is free"),
        (["--port", "-1"], "'-1' is no port"),
        (["--port", "x"], "'x' is no port"),
        (["--allow-host", "https://studio.example/"], "is no host name: studio.example, without https:// and port"),
        (["--root-path", "still life"], "'still life' is no path: /still, as the proxy shows it"),
    ],
)
def test_flags_that_say_nothing_are_one_sentence(studio, capsys, argv, sentence):
    assert refused(*argv) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


@pytest.mark.parametrize("port", ["99999", "eighty"])
def test_a_port_of_the_environment_that_is_none_is_one_sentence(studio, port):
    env = os.environ | {"GRADIO_SERVER_PORT": port}
    ended = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and ended.stderr.startswith(f"argument --port: '{port}' is no port; valid: 1 to ")
    assert ended.stderr.count("\n") == 1


def test_a_studio_that_is_a_file_or_read_only_is_one_sentence(studio, tmp_path):
    studio.write_text("")
    assert refused() == f"the studio {studio} is a file, not a folder: choose another with --studio"
    below = refused("--studio", str(studio / "below"))
    assert below == f"the studio {studio / 'below'} is a file, not a folder: choose another with --studio"
    said = small_disk.run(
        """
        import subprocess
        import app

        try:
            app.main(["--studio", str(disk)])
        except SystemExit as e:
            print(e)
        """,
        tmp_path / "disk",
        "size=1m,ro",
    )
    assert said.startswith("nothing can be kept in the studio ") and "(Read-only file system)" in said


@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost", "127.0.0.1", "127.0.0.2"])
def test_every_address_of_this_machine_is_bound_and_known_as_its_own(host):
    sockets = address.listen(host, 0)
    link = address.link(host, sockets)
    with contextlib.ExitStack() as stack:
        for s in sockets:
            stack.enter_context(s)
        name, port = link.removeprefix("http://").rstrip("/").rsplit(":", 1)
        socket.create_connection((address.bare(name), int(port)), timeout=5).close()
        assert len({s.getsockname()[1] for s in sockets}) == 1
    assert address.is_loopback(host) and link.startswith("http://[::1]:" if "::" in host else f"http://{host}:")


def test_what_others_reach_is_not_taken_for_this_machine():
    for host in ("0.0.0.0", "::", "192.168.1.7", "fe80::1", "localhost.evil.example", "::ffff:10.0.0.1", ""):
        assert not address.is_loopback(host), host
    assert address.is_loopback("::ffff:127.0.0.1") and address.is_loopback("LOCALHOST")


def test_ipv6_for_everybody_answers_ipv4_too():
    (s,) = address.listen("::", 0)
    with s:
        socket.create_connection(("127.0.0.1", s.getsockname()[1]), timeout=5).close()
        assert address.link("::", [s]).startswith("http://localhost:")


def test_an_answer_does_not_wait_for_its_headers_to_be_confirmed():
    """TCP_NODELAY: else the body of an answer comes 40 ms after its headers."""

    async def accepted() -> int:
        came: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_, writer):
            came.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with address.listen("127.0.0.1", 0)[0] as s:
            async with await asyncio.start_server(connected, sock=s):
                _, writer = await asyncio.open_connection(*s.getsockname())
                writer.close()
                return await came

    assert asyncio.run(accepted())


def test_the_first_free_port_is_taken_where_none_is_named():
    with address.listen("127.0.0.1", None)[0] as one, address.listen("127.0.0.1", None)[0] as two:
        ports = [s.getsockname()[1] for s in (one, two)]
    assert address.FIRST <= ports[0] < ports[1] <= address.LAST

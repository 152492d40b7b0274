"""What watches the page and what keeps it closed: health, figures, logs, and a test for each advisory."""

import contextlib
import http.server
import json
import logging
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from importlib.metadata import version

import pytest

from core import db
from core.logs import Lines, digest
from core.paths import ROOT
from jobs.job import Limits, Progress
from tests.jobs_bench import chain, opened
from tests.served import served
from tests.test_http import endpoint, ordered, raw
from ui import guard


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with served(tmp_path_factory.mktemp("studio")) as made:
        yield made


@pytest.fixture
def jobs(page):
    return opened(page.desk.gallery.path.parent)


# Health and figures


def test_alive_and_ready(page):
    assert page.http.get("healthz").json() == {"alive": True, "backends": {}, "compiling": 0}
    answer = page.http.get("readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "not_ready": {}})


def test_what_is_not_ready_is_said_in_a_sentence(page, jobs, monkeypatch):
    monkeypatch.setattr("ui.health.PATIENCE", 0.1)
    monkeypatch.setattr("ui.health.Limits", lambda: Limits(free_gb=1e9))
    monkeypatch.setattr(page.desk, "_warming", threading.current_thread())
    job = chain(jobs)
    with contextlib.closing(sqlite3.connect(page.desk.gallery.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = page.http.get("readyz")
    reasons = answer.json()["not_ready"]
    jobs.cancel(job.id)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5" and sorted(reasons) == [
        "disk", "gallery", "jobs", "models"
    ]  # fmt: skip
    assert reasons["jobs"] == "1 job in the queue and no worker is there" and "is being loaded" in reasons["models"]
    assert "gallery.db is locked" in reasons["gallery"] and reasons["disk"].endswith("1e+09 GB are needed")


def test_figures_of_jobs_and_pictures(page, jobs):
    before = page.figures()
    chain(jobs)
    job = jobs.claim("worker", "cpu")
    jobs.count(checkpoints=1, checkpoint_seconds=0.25)
    jobs.beat(job, Progress(checkpoint_step=1, checkpoint_at=time.time() - 100))
    during = page.figures()
    assert during["still_life_jobsrunning"] == 1 and during["still_life_checkpoint_age_seconds"] == pytest.approx(
        100, abs=30
    )
    assert len(jobs.sweep(lambda who: True)) == 1
    jobs.cancel(job.id)
    assert endpoint(page.http, "generate", ordered(prompt="nobody must read this"))[0] == "complete"
    after = page.figures()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["still_life_job_attempts_total"] == grown["still_life_leases_lost_total"] == 1
    assert grown["still_life_job_wait_seconds_count"] == grown["still_life_checkpoint_seconds_count"] == 1
    assert grown["still_life_checkpoint_seconds_sum"] == 0.25 and after["still_life_queue_depth"] == 0
    assert grown["still_life_paint_seconds_counttiny-sprint"] == grown["still_life_wait_seconds_count"] == 1
    assert after["still_life_disk_free_bytes"] > 0 and "nobody" not in page.http.get("metrics").text


def test_a_table_of_jobs_that_cannot_be_used_is_a_figure(page, monkeypatch):
    def locked(self):
        raise db.DatabaseUnusable("locked")

    monkeypatch.setattr("jobs.store.Store.totals", locked)
    assert page.figures()["still_life_jobs_usable"] == 0


def test_figures_are_for_this_machine_alone(page):
    def admitted(client: str, host: str) -> bool:
        return guard.from_here({"type": "http", "client": (client, 1), "headers": [(b"host", host.encode())]})

    assert admitted("127.0.0.1", "localhost:7860") and admitted("::1", "[::1]:7860")
    assert not admitted("10.0.0.7", "localhost") and not admitted("127.0.0.1", "ada-still-life.hf.space")
    assert page.http.get("metrics").status_code == 200
    assert (
        page.http.get("metrics", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 404
    )  # a proxy says for whom


# Logs


@pytest.fixture
def log():
    """The lines that the page logs, formatted; `log(prompts)` for those with people's words."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("ui")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda prompts=False: [Lines(prompts, terminal=False).format(r) for r in records]
    logger.removeHandler(handler)


def test_a_painting_is_logged_without_its_prompt_unless_asked(page, log):
    secret = "a red ball\nfor nobody's eyes \"{"
    for _ in range(2):
        assert endpoint(page.http, "generate", ordered(prompt=secret))[0] == "complete"
    one, two = (json.loads(line) for line in log())
    assert one["message"] == "painted" and one["model"] == "tiny-sprint" and one["took_s"] > 0
    assert one["prompt"] == two["prompt"] == digest(secret) and not any("nobody" in line for line in log())
    assert json.loads(log(prompts=True)[0])["prompt"] == secret


def test_refusals_are_logged_and_counted(page, log):
    before = page.figures().get("still_life_refused_total403", 0)
    assert raw(page.site, "GET / HTTP/1.1", "Host: evil.example")[0] == 403
    (line,) = map(json.loads, log())
    assert (line["status"], line["path"], line["level"]) == (403, "/", "WARNING")
    assert page.figures()["still_life_refused_total403"] == before + 1


def test_a_worker_logs_json_with_the_ids_of_jobs(tmp_path):
    store = opened(tmp_path)
    job = chain(store)
    argv = [sys.executable, "-m", "tests.standin", "work", "--studio", str(tmp_path), "--drain"]
    out = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    started, ended = (json.loads(line) for line in out.stderr.splitlines())
    assert started["job"] == ended["job"] == job.id and ended["status"] == 0 and started["attempt"] == 1
    assert started["command"].startswith("sha256:") and "tests.standin" not in out.stderr
    chain(store)
    plain = subprocess.run([*argv, "--log-prompts"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "tests.standin" in json.loads(plain.stderr.splitlines()[0])["command"]


def test_a_terminal_reads_plain_lines():
    record = {"msg": "%s jobs", "args": (3,), "levelname": "INFO", "job": "abc", "prompt": "a fox"}
    assert (
        Lines(True, terminal=True).format(logging.makeLogRecord(record)).endswith("INFO 3 jobs  [job=abc prompt=a fox]")
    )


# Advisories (docs/reliability.md names each)


FLOORS = {"gradio": "6.31", "starlette": "1.5.1", "python-multipart": "0.0.27", "pillow": "12.2", "torch": "2.10"}
FLOORS |= {"safetensors": "0.8", "diffusers": "0.42", "transformers": "5.0"}


@pytest.mark.parametrize("package", FLOORS)
def test_no_library_is_older_than_its_last_hole(package):
    def numbers(text):
        return [int(n) for n in re.findall(r"\d+", text)[:3]]

    assert numbers(version(package)) >= numbers(FLOORS[package])


def test_nothing_is_open_that_gradio_can_open(page):
    for path in ("monitoring", "monitoring/summary", "login/huggingface", "gradio_api/mcp", "docs", "redoc", "nowhere"):
        assert page.http.get(path).status_code in (403, 404), path
    for path in ("gradio_api/proxy=http://127.0.0.1:1/", "gradio_api/file=http://127.0.0.1:1/x"):
        assert page.http.get(path).status_code in (400, 403, 404), path
    assert page.demo.analytics_enabled is False and page.demo.allowed_paths == [] and page.demo.share is False
    assert page.demo._queue.max_size == 64 and page.demo.max_file_size == guard.UPLOAD_BYTES
    assert not page.demo.enable_monitoring and page.demo.delete_cache == (3600, 86400)


def test_no_websocket_is_opened(page):
    wanted = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==")
    host, port = page.site.split("//")[1].rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as s:
        lines = ["GET /queue/join HTTP/1.1", f"Host: {host}:{port}", "Connection: Upgrade", *wanted]
        s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert b" 101 " not in s.recv(100)


ELSEWHERE = ["//evil.example", "////evil.example/..", "/\\evil.example", "/%5cevil.example", "/%2f%2fevil.example"]
ELSEWHERE += ["/jobs//evil.example", "/login?redirect=//evil.example", "/logout?next=https://evil.example"]
ELSEWHERE += ["/gradio_api/file=https://evil.example", "/static//evil.example/%2e%2e"]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_redirect_leads_to_another_site(page, path):
    status, answer = raw(page.site, f"GET {path} HTTP/1.1")
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    place = re.search(r"^location: *(.*)$", head, re.MULTILINE)
    assert status < 500 and (place is None or not re.match(r"(\w+:)?[/\\]{2,}(?!127\.0\.0\.1|localhost)", place[1])), (
        head
    )


def test_another_site_may_not_read(page):
    for origin in ("https://evil.example", "null"):
        headers = page.http.get("gradio_api/info", headers={"origin": origin}).headers
        assert headers.get("access-control-allow-origin") not in (origin, "*"), origin
        assert page.http.options("gradio_api/info", headers={"origin": origin}).status_code == 403


@pytest.fixture
def bait():
    """A server on this machine that nobody may be led to; gives its address and what was asked of it."""
    paths = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret.png", paths
        server.shutdown()


@pytest.mark.parametrize("where", ["path", "url", "both"])
def test_a_made_up_file_is_neither_read_nor_fetched(page, bait, where):
    address, fetched = bait
    fields = {"path": address} if where == "path" else {"path": "/etc/hostname", "url": address}
    for forged in (fields, {**fields, "path": "a.png"}) if where == "both" else (fields,):
        forged |= {"meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
        kind, data = endpoint(page.http, "restore", [forged])
        assert kind in ("error", 422) and not fetched, data


@pytest.mark.parametrize("name", ["x.svg", "x.html", "x.xhtml", "../../x.svg"])
def test_what_was_uploaded_comes_back_as_a_file_and_not_as_a_page(page, name):
    script = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    (path,) = page.http.post("gradio_api/upload", files={"files": (name, script, "image/svg+xml")}).json()
    assert ".." not in path
    answer = page.http.get(f"gradio_api/file={path}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream" and "nosniff" in str(answer.headers)

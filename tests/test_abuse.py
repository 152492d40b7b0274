"""What people and programs may throw at the page over the network, by accident or not: it answers, and goes on."""

import concurrent.futures
import contextlib
import gzip
import json
import logging
import socket
import time

import httpx
import pytest

from core.logs import Lines
from core.paths import ROOT
from tests.served import served
from tests.test_http import endpoint, ordered, raw
from ui import painting, pictures


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with served(tmp_path_factory.mktemp("studio")) as made:
        yield made


UPLOAD = "/gradio_api/upload"


def post(site, *headers, body=b"", path="/gradio_api/call/generate"):
    usual = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    return raw(site, f"POST {path} HTTP/1.1", *(headers or usual), body=body)[0]


def test_bodies_that_are_no_request(page):
    begun = time.monotonic()
    deep = b"[" * 100_000 + b"]" * 100_000
    packed = gzip.compress(b"0" * 10_000_000)
    gzipped = ("Content-Type: application/json", "Content-Encoding: gzip", f"Content-Length: {len(packed)}")
    assert 400 <= post(page.site, *gzipped, body=packed) < 500
    assert 400 <= post(page.site, body=deep) < 500
    long = b'{"data": [' + b"1," * 9999 + b"1]}"
    for body in (b"", b"{", b"null", b"[]", b'{"data": 1}', b'{"data": []}', b"\xff\xfe", long):
        assert post(page.site, body=body) < 500, body
    for huge in (f"X-Long: {'a' * 70_000}", f"Cookie: {'a=b;' * 20_000}"):
        assert raw(page.site, "GET /healthz HTTP/1.1", huge)[0] < 500
    assert time.monotonic() - begun < 20


def test_ranges_and_parts_without_end(page):
    (path,) = page.http.post("gradio_api/upload", files={"files": ("a.bin", bytes(1000), "image/png")}).json()
    begun = time.monotonic()
    ranges = "Range: bytes=" + ",".join(f"{n}-" for n in range(10_000))
    assert raw(page.site, f"GET /gradio_api/file={path} HTTP/1.1", ranges)[0] == 416
    part = b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n" + b"X-A: b\r\n" * 100_000
    form = ("Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(part) + 20}")
    with contextlib.suppress(ConnectionResetError):  # the answer comes, and the door is shut, before all was sent
        assert 400 <= post(page.site, *form, body=part + b"\r\n1\r\n--x--\r\n\r\n\r\n", path=UPLOAD) < 500
    assert page.http.get("healthz").status_code == 200
    assert time.monotonic() - begun < 10


def test_many_small_files_are_one_large_upload(page, monkeypatch):
    three = [("files", (f"{n}.png", bytes(4 * 2**20), "image/png")) for n in range(3)]
    answer = page.http.post("gradio_api/upload", files=three)
    assert answer.status_code == 413, answer.text
    monkeypatch.setattr("ui.guard.DISK_LEFT", 1e18)
    answer = page.http.post("gradio_api/upload", files={"files": ("a.png", b"1", "image/png")})
    assert answer.status_code == 507 and "nothing can be uploaded now" in answer.text


def test_slow_clients_keep_nobody_waiting(page, monkeypatch):
    monkeypatch.setattr("ui.guard.BODY_SECONDS", 1.0)
    host, port = page.site.split("//")[1].rstrip("/").split(":")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(100)]
        for s in slow[:50]:
            s.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        for s in slow[50:]:
            s.sendall(b"POST /gradio_api/call/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n[")
        assert page.http.get("healthz", timeout=10).status_code == 200
        assert endpoint(page.http, "generate", ordered())[0] == "complete"
        slow[-1].settimeout(20)
        assert b" 408 " in slow[-1].recv(1000).partition(b"\r\n")[0]


WORDS = ["\u202eright to left", "a" + "\u0301" * 1500, "\U0001f98a" * 1900, "</script><script>alert(1)</script>"]
WORDS += ["{{7*7}} {a|b", "%s%n%x ${HOME} $(id)", "'; DROP TABLE pictures; --", "=HYPERLINK(1)", "../../etc/passwd"]
WORDS += ["\x1b[31m\r\n\ta\x7f", "\ufffe\u200b"]


@pytest.mark.parametrize("words", WORDS)
def test_whatever_people_type_is_painted_kept_and_found_again(page, words):
    owner, tab = "b" * 32, "a" * 32
    kind, data = endpoint(page.http, "generate", ordered(prompt=words))
    assert kind == "complete" and data[0][0]["request"]["prompt"] == words
    paint, find, drop = page.desk.serve(painting.paint, pictures.gallery_page, pictures.remove)
    body = {"request": data[0][0]["request"], "tab": tab, "owner": owner, "keep": True}
    kept = paint(body | {"first": 0, "count": 1, "ticket": 1})["pictures"][0]
    (seen,) = find({"owner": owner, "text": words[:50]})["pictures"]
    assert seen["request"]["prompt"] == words
    archive = pictures.archive(page.desk, {"owner": owner})
    assert archive.stat().st_size > 0 and drop({"id": kept["id"], "owner": owner}) == {}
    line = Lines(prompts=True, terminal=False).format(logging.makeLogRecord({"msg": "painted", "prompt": words}))
    assert json.loads(line)["prompt"] == words and line.isascii()


def test_no_answer_tells_of_this_machine(page):
    """T-SEC-10: no trace, no path, no name of a person."""
    paths = ("nowhere", "gradio_api/info", "config", "gradio_api/file=x", "readyz", "metrics")
    wrong = ({"model": "x"}, {"seed": "x"}, {"width": []})
    answers = [page.http.get(path).text for path in paths]
    answers += [json.dumps(endpoint(page.http, "generate", ordered(**fields))) for fields in wrong]
    answers += [json.dumps(endpoint(page.http, "restore", [v])) for v in (None, 1, {"path": "x"}, "x" * 1000)]
    for answer in answers:
        assert "Traceback" not in answer and str(ROOT) not in answer and "site-packages" not in answer, answer[:500]


def test_a_hundred_at_once_each_get_their_own_or_a_polite_no(page):
    """T-DOS-01. `make storm` does it for a minute."""

    def visit(seed):
        with httpx.Client(base_url=page.site, timeout=120) as own:
            return seed, endpoint(own, "generate", ordered(seed=seed))

    with concurrent.futures.ThreadPoolExecutor(100) as crowd:
        answers = list(crowd.map(visit, range(100)))
    painted = [(seed, data[0]) for seed, (kind, data) in answers if kind == "complete"]
    refused = [data for _, (kind, data) in answers if kind != "complete"]
    assert len(painted) >= 64 and all(p["seed"] == p["request"]["seed"] == seed for seed, (p,) in painted)
    assert all("Queue is full" in str(text) for text in refused), refused[:1]
    assert page.figures()["still_life_queue_depth"] == 0


def test_visitors_who_leave_leave_nothing_behind(page):
    """T-DOS-04."""
    for seed in range(30):
        posted = page.http.post("gradio_api/call/generate", json={"data": ordered(seed=seed, num_images=16)})
        if posted.status_code == 503:  # full of those who left
            assert posted.headers["retry-after"] == "5"
            continue
        with contextlib.suppress(httpx.ReadTimeout):
            page.http.get(f"gradio_api/call/generate/{posted.json()['event_id']}", timeout=0.05)
    end = time.monotonic() + 60
    while page.figures()["still_life_queue_depth"] and time.monotonic() < end:
        time.sleep(0.2)
    assert page.figures()["still_life_queue_depth"] == 0
    assert endpoint(page.http, "generate", ordered())[0] == "complete"

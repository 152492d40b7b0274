"""The server: closed by default, one sentence for a mistake, and still serving after abuse."""

import base64
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
import zlib

import httpx
import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from core.paths import ROOT
from models import picture
from models.request import ImageRequest
from tests import tiny
from tests.served import serving
from ui import launch
from ui.guard import BODY_LIMIT
from ui.launch import Settings
from ui.place import Place, settle

ASK = {"prompt": "a red ball", "model": "tiny-sprint", "seed": 7}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A running app with the launch profile of app.py; gives its address."""
    with pytest.MonkeyPatch.context() as patch:
        studio = tiny.build(tmp_path_factory.mktemp("studio"))
        patch.setenv("STILL_LIFE_STUDIO", str(studio))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        with serving() as (address, _, _):
            yield address


@pytest.fixture(scope="module")
def client(site):
    return Client(site, verbose=False)


@pytest.fixture(scope="module")
def http(site):
    with httpx.Client(base_url=site, timeout=60) as made:
        yield made


def endpoint(http, name, arguments):
    """The plain way: POST, then read the event's stream to its end."""
    posted = http.post(f"gradio_api/call/{name}", json={"data": arguments})
    if posted.status_code != 200:
        return posted.status_code, posted.text
    lines = http.get(f"gradio_api/call/{name}/{posted.json()['event_id']}").text.splitlines()
    last = [i for i, line in enumerate(lines) if line.startswith("event:")][-1]
    return lines[last].removeprefix("event: "), json.loads(lines[last + 1].removeprefix("data: "))


def ordered(**fields):
    known = ImageRequest.__dataclass_fields__
    return [(ASK | fields).get(name, f.default) for name, f in known.items()]


def test_generate_gives_pictures_that_carry_their_requests(client):
    pictures = client.predict(**ASK, num_images=2, api_name="/generate")
    assert [p["seed"] for p in pictures] == [7, 8]
    for p in pictures:
        data = base64.b64decode(p["picture"].partition(",")[2])
        assert picture.read(data).request.to_dict() == p["request"] and p["calls"] == 1 and p["latency_ms"] > 0


def test_the_same_over_plain_http(http, client):
    kind, [[one]] = endpoint(http, "generate", ordered())
    assert kind == "complete" and one == client.predict(**ASK, api_name="/generate")[0] | {
        "latency_ms": one["latency_ms"]
    }


def test_models_say_what_they_take_and_why_they_cannot_run(client):
    rows = {r["id"]: r for r in client.predict(api_name="/models")}
    assert rows["tiny-sprint"]["steps"] == [1, 2, 4] and rows["tiny-sprint"]["reason"] is None
    assert "GPU" in rows["sana-sprint-0.6b"]["reason"]


def test_a_picture_is_sent_and_painted_on(client, tmp_path):
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "a.jpg")
    kept = client.predict(handle_file(tmp_path / "a.jpg"), api_name="/input")["sha256"]
    assert kept == hashlib.sha256((tmp_path / "a.jpg").read_bytes()).hexdigest()
    settings = {"prompt": "a red ball", "model": "tiny-sprint", "image": kept, "strength": 0.3}
    assert client.predict(**settings, api_name="/generate")[0]["request"]["image"] == kept
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(AppError, match="this is no picture that can be read"):
        client.predict(handle_file(tmp_path / "b.png"), api_name="/input")
    with pytest.raises(AppError, match="no longer in the studio's inputs/"):
        client.predict(**(settings | {"image": "0" * 64}), api_name="/generate")


def test_restore_reads_what_a_picture_carries(client, tmp_path):
    request = ImageRequest(**ASK)
    (tmp_path / "a.png").write_bytes(picture.png_bytes(Image.new("RGB", (8, 8)), request))
    assert client.predict(handle_file(tmp_path / "a.png"), api_name="/restore") == request.to_dict()
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    with pytest.raises(AppError, match="the picture carries no settings"):
        client.predict(handle_file(tmp_path / "b.png"), api_name="/restore")


def test_the_endpoints_are_documented_field_by_field(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/generate", "/models", "/restore", "/input", "/submit", "/list", "/status"} <= endpoints.keys()
    names = [p["parameter_name"] for p in endpoints["/generate"]["parameters"]]
    assert names == list(ImageRequest.__dataclass_fields__)
    assert "The same seed gives the same picture;" in endpoints["/generate"]["description"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"prompt": ""}, "prompt is empty; type what you want to see"),
        ({"prompt": "a" * 100_000}, "prompt has 100,000 characters; at most 2,000 are allowed"),
        ({"prompt": "a\0b"}, "prompt holds a NUL character; remove it"),
        ({"prompt": {"a": 1}}, "prompt must be text, not {'a': 1}"),
        ({"seed": -1}, "seed must be 0 to 2147483647, not -1"),
        ({"seed": 2**31}, "seed must be 0 to 2147483647, not 2147483648"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"num_images": 10**9}, "num_images must be 1 to 16, not 1000000000"),
        ({"guidance": "x"}, "guidance must be a number, not 'x'"),
        ({"width": 512}, "tiny-sprint paints 128 x 128 pixels"),
        ({"steps": 3}, "tiny-sprint takes 1, 2 or 4 steps, not 3"),
        ({"model": "../../x"}, "unknown model '../../x'"),
        ({"negative": "blue"}, "tiny-sprint takes no negative prompt"),
        ({"style": "none "}, "unknown style 'none '; valid: none, studio"),
    ],
)
def test_a_mistake_is_one_sentence_over_http(http, fields, sentence):
    kind, data = endpoint(http, "generate", ordered(**fields))
    assert kind == "error" and data["error"].startswith(sentence), data


@pytest.mark.parametrize("text", ['"\\ud800 half"', "NaN", "1e999", '"\\u0000"'])
def test_what_json_allows_and_text_does_not(http, text):
    body = json.dumps({"data": ordered()})
    field = "prompt" if text.startswith('"') else "guidance"
    old = json.dumps(ASK["prompt"]) if field == "prompt" else "null, 7"
    body = body.replace(old, text if field == "prompt" else f"{text}, 7", 1)
    posted = http.post("gradio_api/call/generate", content=body, headers={"content-type": "application/json"})
    if posted.status_code == 200:
        text_of_events = http.get(f"gradio_api/call/generate/{posted.json()['event_id']}").text
        assert "event: error" in text_of_events and (
            "surrogate" in text_of_events or "number" in text_of_events or "NUL" in text_of_events
        )
    else:
        assert 400 <= posted.status_code < 500


def bomb(width, height):
    """A PNG of so many pixels and few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(b"\0" * (width // 8 + 1)) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (bomb(12_000, 10_000), "the picture has 120 megapixels; at most 25 are read"),
        (b"", "this is no picture that can be read"),
        (b"<svg onload='alert(1)'/>", "this is no picture that can be read"),
        (bomb(64, 64)[:48], "the picture is damaged or cut short"),
    ],
)
def test_pictures_that_are_none(client, tmp_path, data, sentence):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(AppError, match=sentence):
        client.predict(handle_file(tmp_path / "x.png"), api_name="/restore")


def test_paths_that_somebody_made_up_are_not_read(http):
    forged = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
    status, text = endpoint(http, "restore", [forged])
    assert status == 422 and "picture must be an uploaded file" in text and "root:" not in text


def raw(site, line, *headers, body=b""):
    """A request exactly as written: clients tidy paths up."""
    host, port = site.split("//")[1].rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as s:
        lines = [line, "Connection: close", *headers]
        if not any(h.lower().startswith("host:") for h in headers):
            lines.append(f"Host: {host}:{port}")
        s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=..%2f..%2f..%2fetc/passwd",
        f"/gradio_api/file={ROOT}/README.md",
        "/gradio_api/file=app.py",
        "/static/..%2f..%2f..%2f..%2fetc/passwd",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file=\\\\host\\share",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_no_path_leads_out(site, path):
    status, answer = raw(site, f"GET {path} HTTP/1.1")
    assert status in (400, 403, 404), (status, answer[:300])
    assert b"root:" not in answer and b"Still Life: parse flags" not in answer


def test_pictures_and_database_are_served_to_nobody_by_path(site):
    studio = os.environ["STILL_LIFE_STUDIO"]
    for name in ("gallery.db", "models/tiny-sprint/manifest.json"):
        assert raw(site, f"GET /gradio_api/file={studio}/{name} HTTP/1.1")[0] in (403, 404)


def test_headers_keep_the_page_closed(http):
    for path in ("", "gradio_api/info", "nowhere"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'self'" in headers["content-security-policy"], path


def test_other_sites_may_not_post_and_other_names_are_not_answered(site):
    post = "POST /gradio_api/call/models HTTP/1.1"
    body = b'{"data": []}'
    usual = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    assert raw(site, post, *usual, body=body)[0] == 200
    assert raw(site, post, *usual, f"Origin: {site.rstrip('/')}", body=body)[0] == 200
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        assert raw(site, post, *usual, f"Origin: {origin}", body=body)[0] == 403, origin
    assert raw(site, "GET / HTTP/1.1", "Host: evil.example")[0] == 403
    assert raw(site, "GET / HTTP/1.1", "Host: localhost:9")[0] == 200


def test_bodies_are_limited_before_they_are_read(site):
    limit = "POST /gradio_api/queue/join HTTP/1.1"
    for length in (BODY_LIMIT + 1, 10**12):
        headers = ("Content-Type: application/json", f"Content-Length: {length}")
        assert raw(site, limit, *headers, body=b"[" * (BODY_LIMIT + 1))[0] == 413
    chunked = b"%x\r\n" % (BODY_LIMIT + 1) + b"a" * (BODY_LIMIT + 1) + b"\r\n0\r\n\r\n"
    assert raw(site, limit, "Transfer-Encoding: chunked", body=chunked)[0] == 413


def test_uploads_are_limited(http):
    big = {"files": ("a.png", b"0" * (10 * 2**20 + 1), "image/png")}
    assert http.post("gradio_api/upload", files=big).status_code == 413


def test_after_all_that_it_still_paints(client):
    assert len(client.predict(**ASK, api_name="/generate")) == 1


def flags(*argv, place=None):
    return launch.settings(launch.flags().parse_args(list(argv)), place or Place())


def test_at_home_only_this_machine_is_answered():
    assert flags() == Settings() == Settings("127.0.0.1", None, (), False, frozenset(), "", False)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 is reachable by others: give the page a login"),
        (["--host", "192.168.1.7"], "192.168.1.7 is reachable by others"),
        (["--share"], "--share puts the page on the internet: give it a login"),
        (["--auth", "ada"], "a login is NAME:PASSWORD"),
    ],
)
def test_what_would_open_the_page_by_accident_is_refused(argv, sentence):
    with pytest.raises(SystemExit, match=sentence):
        flags(*argv)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--device", "mps"], "device 'mps' is not here; valid: auto, cpu"),
        (["--device", "cuda:99"], "device 'cuda:99' is not here; valid: auto, cpu"),
        (
            ["--device", "cpu", "--attention", "xformers"],
            "xformers runs on CUDA only; valid on this device: auto, sdpa",
        ),
    ],
)
def test_what_the_machine_has_not_is_told_at_the_start(argv, sentence):
    with pytest.raises(SystemExit, match=f"^{sentence}"):
        flags(*argv)


def test_opening_the_page_on_purpose(monkeypatch):
    everybody = flags("--host", "0.0.0.0", "--open-to-everyone")
    assert everybody.logins == () and everybody.names is None
    two = flags("--host", "0.0.0.0", "--auth", "ada:pass:word", "--auth", "ben:x")
    assert two.logins == (("ada", "pass:word"), ("ben", "x"))
    monkeypatch.setenv("STILL_LIFE_AUTH", "ada:secret")
    assert flags("--share").logins == (("ada", "secret"),) and "STILL_LIFE_AUTH" not in os.environ


def test_a_space_listens_to_all_without_a_login_and_may_be_framed(monkeypatch, tmp_path):
    monkeypatch.setenv("SPACE_ID", "ada/still-life")
    monkeypatch.setattr("ui.place.SPACE_STORAGE", tmp_path / "none")
    monkeypatch.setenv("STILL_LIFE_STUDIO", "x")
    monkeypatch.delenv("STILL_LIFE_STUDIO")
    place = settle()
    assert place.shared and not place.lasting and "STILL_LIFE_STUDIO" not in os.environ
    assert flags(place=place) == Settings("0.0.0.0", names=None, framed=True)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr("ui.place.SPACE_STORAGE", tmp_path / "data")
    assert settle().lasting and os.environ["STILL_LIFE_STUDIO"] == str(tmp_path / "data")


def arrived(address, app, **headers):
    """The page, as soon as the process serves it."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and app.poll() is None:
        try:
            return httpx.get(address, headers=headers, timeout=30)
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"no page at {address}, exit status {app.poll()}")


def test_the_app_starts_as_a_space_starts_it(tmp_path):
    studio = tiny.build(tmp_path)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    space = {"SPACE_ID": "ada/still-life", "STILL_LIFE_STUDIO": str(studio), "GRADIO_SERVER_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "app.py", "--backend", "torch"], cwd=ROOT, env={**os.environ, **space}
    ) as app:
        try:
            host = {"host": "ada-still-life.hf.space"}
            page = arrived(f"http://127.0.0.1:{port}/", app, **host)
            assert page.status_code == 200 and "ephemeral" in page.text
            assert "https://*.hf.space" in page.headers["content-security-policy"]
            assert "start a training; duplicate the Space" in page.text
            statuses = [httpx.get(str(page.url.join(p)), headers=host).status_code for p in ("compare", "distill")]
            assert statuses == [200, 404]
            sockets = psutil.Process(app.pid).net_connections()
            assert [c.laddr.ip for c in sockets if c.status == "LISTEN"] == ["0.0.0.0"]
        finally:
            app.terminate()
            app.wait(20)

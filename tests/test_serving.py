"""Behind a proxy, either way; behind a reverse one as docs/serving.md says: names, links, who may post."""

import json

import httpx
import pytest
from huggingface_hub.utils import close_session

from models import catalogue
from tests import tiny
from tests.proxy import forward, reverse
from tests.served import serving

STUDIO = [tiny.build]
NAMES = frozenset({"studio.example"})
SAID = {"X_Forwarded_Host": "$http_host", "X_Forwarded_Proto": "http"}


@pytest.fixture(scope="module")
def top(studio):
    with serving(names=NAMES) as (site, _, _):
        yield site


@pytest.fixture(scope="module")
def below(studio):
    with serving(names=NAMES, root_path="/still") as (site, _, _):
        yield site


def used(public, name=None):
    """What a browser does at this address: the page, then a call with its Origin; where the page says that it is."""
    origin = public.removesuffix("/still/").removesuffix("/")
    own = {"host": f"{name}:{httpx.URL(public).port}"} if name else {}
    origin = origin if name is None else f"http://{own['host']}"
    with httpx.Client(base_url=public, headers=own, timeout=60) as http:
        page = http.get("")
        assert page.status_code == 200, page.text
        config = json.loads(page.text.split("window.gradio_config = ", 1)[1].split(";</script>", 1)[0])
        post = {"json": {"data": []}, "headers": {"origin": origin}}
        posted = http.post("gradio_api/call/models", **post)
        assert posted.status_code == 200, posted.text
        assert "complete" in http.get(f"gradio_api/call/models/{posted.json()['event_id']}").text
        for path in ("compare", "theme.css", "healthz", "favicon.ico"):
            assert http.get(path).status_code == 200, path
        moved = http.get("compare/")
        assert moved.status_code == 301 and moved.headers["location"] == httpx.URL(public).path + "compare"
        evil = http.post("gradio_api/call/models", json={"data": []}, headers={"origin": "https://evil.example"})
        assert evil.status_code == 403
        uploaded = http.post(
            "gradio_api/upload", files={"files": ("a.png", b"x", "image/png")}, headers={"origin": origin}
        )
        assert uploaded.status_code == 200
    return config["root"], origin


@pytest.mark.parametrize(
    "proxy",
    [
        {"host": "$http_host"},
        {"host": "$host"},
        {"host": "$host", **SAID},
        {"host": "$proxy_host", **SAID},
        {"host": "$http_host", "X_Forwarded_Proto": "http", "X_Forwarded_For": "203.0.113.9", "Forwarded": "for=x"},
    ],
    ids=lambda p: " ".join(p.values()),
)
@pytest.mark.parametrize("name", [None, "studio.example"])
def test_the_usual_settings_work_at_the_top(top, proxy, name):
    with reverse(top, **proxy) as public:
        root, origin = used(public, name)
    known = {origin, origin.rpartition(":")[0]}  # a port that the proxy dropped, the page's own script knows
    assert root in known


@pytest.mark.parametrize("strip", [True, False], ids=["stripped", "passed on"])
@pytest.mark.parametrize("host", ["$http_host", "$host"])
def test_a_sub_path(below, strip, host):
    with reverse(below, host=host, prefix="/still", strip=strip) as public:
        root, origin = used(public, "studio.example")
        assert root in (f"{origin}/still", f"{origin.rpartition(':')[0]}/still")


def test_https_at_the_proxy_makes_links_of_https(top):
    headers = {"host": "studio.example", "x-forwarded-proto": "https", "origin": "https://studio.example"}
    page = httpx.get(top, headers=headers)
    assert '"root":"https://studio.example"' in page.text
    answer = httpx.post(f"{top}gradio_api/call/models", json={"data": []}, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("header", ["host", "x-forwarded-host"])
def test_a_name_that_nobody_allowed_is_told_how(top, header):
    answer = httpx.get(top, headers={header: "other.example"})
    assert answer.status_code == 403
    assert "does not answer to the name 'other.example'" in answer.text and "--allow-host NAME" in answer.text


def test_a_port_that_a_proxy_dropped_is_not_another_program_s_door(top):
    """The page of another program on this machine says so itself, in the header that no script can set."""
    port = httpx.URL(top).port
    post = {"json": {"data": []}}
    ours = {"host": "localhost", "origin": "http://localhost:8080"}
    url = f"{top}gradio_api/call/models"
    assert httpx.post(url, **post, headers=ours | {"sec-fetch-site": "same-origin"}).status_code == 200
    assert httpx.post(url, **post, headers=ours | {"sec-fetch-site": "same-site"}).status_code == 403
    assert httpx.post(url, **post, headers=ours | {"host": f"localhost:{port}"}).status_code == 403


def test_figures_are_not_told_through_a_proxy(top):
    with reverse(top, host="$http_host", X_Real_IP="203.0.113.9") as public:
        assert httpx.get(f"{public}metrics").status_code == 404
    assert httpx.get(f"{top}metrics").status_code == 200


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, True), (502, False)])
def test_behind_a_company_s_proxy_the_hub_is_asked_through_it(monkeypatch, status, answers):
    """Its name is known to the proxy alone. A socket to it would say that it can't be reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://hub.invalid")
    with forward(status) as (proxy, paths):
        monkeypatch.setenv("http_proxy", proxy)
        close_session()  # which remembers the environment
        assert catalogue.reachable() is answers and paths == ["http://hub.invalid/"]
    assert not catalogue.reachable(), "the proxy is gone"
    close_session()

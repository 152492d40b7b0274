"""What programs send to the endpoints: absent and null are the default, all else that does not fit is one sentence."""

import json
import shutil
import socket
import time

import anyio
import pytest

from core.fields import options
from models.request import ImageRequest
from tests import small_disk
from tests.served import served
from tests.test_http import endpoint, ordered
from ui import gone, pictures, scratch, turns
from ui.wire import answers

BALL = {"prompt": "a red ball", "model": "tiny-sprint"}
ODD = (None, 1, -1, 1.5, "x", "", True, [], {}, [1], {"a": 1}, "\ud800", {"path": "/etc/passwd"})
PAGE = ("paint", "favourite", "download", "full", "stop", "where", "words", "gallery_page", "remove", "models")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with served(tmp_path_factory.mktemp("studio")) as made:
        yield made


def named(http, name, arguments):
    """As curl does it: (status, sentence) of a refusal, or the kind of the last event and its data."""
    posted = http.post(f"gradio_api/call/v2/{name}", content=json.dumps(arguments))
    if posted.status_code != 200:
        return posted.status_code, posted.json()["detail"]
    lines = http.get(f"gradio_api/call/{name}/{posted.json()['event_id']}").text.split("\n")
    last = [i for i, line in enumerate(lines) if line.startswith("event:")][-1]
    return lines[last].removeprefix("event: "), json.loads(lines[last + 1].removeprefix("data: "))


def test_absent_and_null_are_the_default(page):
    kind, data = named(page.http, "generate", BALL)
    _, nulls = named(page.http, "generate", dict.fromkeys(options(ImageRequest)) | BALL)
    _, short = endpoint(page.http, "generate", ["a red ball", "", "tiny-sprint"])
    assert kind == "complete" and data[0][0]["request"] == nulls[0][0]["request"] == short[0][0]["request"]
    assert data[0][0]["request"]["seed"] == 0 and data[0][0]["picture"] == nulls[0][0]["picture"]


TAKES = {"submit": {"kind": "distill", "fields": {"dataset": "mixture"}}, "file": {"file": "x"}}
REQUIRED = {"kind", "fields", "id", "file", "picture"}


def test_null_is_absent_in_every_argument_of_every_endpoint(page):
    """The same answer, which is no fault of the program: a result, or the name of what is missing."""
    _, (job,) = named(page.http, "submit", TAKES["submit"])
    for path, described in page.demo.get_api_info()["named_endpoints"].items():
        name, arguments = path.strip("/"), {p["parameter_name"] for p in described["parameters"]}
        given = TAKES.get(name, {}) | ({"id": job["id"]} if "id" in arguments else {})
        for argument in arguments if name != "generate" else ():  # whose fields are tested above
            absent = named(page.http, name, {k: v for k, v in given.items() if k != argument})
            null = named(page.http, name, given | {argument: None})
            assert null[0] == absent[0] and (null[0] == "complete" or null[1] == absent[1]), (name, argument)
            assert argument not in REQUIRED or null == (422, f"{argument} is missing")


def test_null_is_absent_in_the_fields_of_a_job(page):
    for fields in ({"base": None, "minutes": None, "method": None}, {"set": None}, {"set": {"train.steps": None}}):
        kind, (job,) = named(page.http, "submit", {"kind": "distill", "fields": {"dataset": "mixture"} | fields})
        assert kind == "complete" and job["request"]["set"] == [] and job["request"]["method"] == "sft"


@pytest.mark.parametrize(
    ("name", "arguments", "status", "sentence"),
    [
        ("generate", {"promt": "a fox"}, 422, "unknown argument 'promt' of generate; valid: prompt, negative, model, "),
        ("models", {"a": 1}, 422, "unknown argument 'a' of models; valid: none"),
        ("status", {}, 422, "id is missing"),
        ("nowhere", {}, 404, "there is no endpoint 'nowhere'; valid: generate, models, restore, "),
        ("restore", {"picture": "x.png"}, 422, "picture must be an uploaded file: POST it to /gradio_api/upload"),
        ("generate", [1], 422, "the request must be a JSON object"),
        ("generate", {"prompt": None}, "error", "prompt is empty; type what you want to see"),
    ],
)
def test_a_call_that_does_not_fit_is_one_sentence(page, name, arguments, status, sentence):
    code, answer = named(page.http, name, arguments)
    assert code == status and (answer["error"] if code == "error" else answer).startswith(sentence)


@pytest.mark.parametrize("way", ["run", "api"])
def test_a_call_that_answers_at_once_refuses_in_the_same_words(page, capfd, way):
    def refused(data, status, key, sentence):
        answer = page.http.post(f"gradio_api/{way}/generate", json=data)
        assert answer.status_code == status and answer.json()[key].startswith(sentence)

    refused({"promt": "a fox"}, 422, "detail", "data must be a list of the arguments: prompt, negative, ")
    refused({"data": ["a fox", "", 2]}, 422, "error", "model must be text, not 2")
    refused({"data": ["a fox", "", "nobody"]}, 422, "error", "unknown model 'nobody'; valid: ")
    assert (
        page.http.post(f"gradio_api/{way}/generate", json={"data": ["a red ball", "", "tiny-sprint"]}).status_code
        == 200
    )
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (["a"] * 99, f"generate takes {len(options(ImageRequest))} arguments, not 99: prompt, "),
        (None, "data must be a list of the arguments: prompt, "),
        ("x", "data must be a list of the arguments: prompt, "),
    ],
)
def test_a_list_that_does_not_fit_is_one_sentence(page, data, sentence):
    status, text = endpoint(page.http, "generate", data)
    assert status == 422 and json.loads(text)["detail"].startswith(sentence)


@pytest.mark.slow
def test_nothing_from_outside_ends_in_a_traceback(page, capfd):
    """Every argument of every endpoint, and every function of the page, with values of another kind."""
    for path, described in page.demo.get_api_info()["named_endpoints"].items():
        usual = {p["parameter_name"]: p["parameter_default"] for p in described["parameters"]}
        usual |= BALL if path == "/generate" else {}
        for argument in usual:
            for value in (None, [], {"a": 1}):
                code, answer = named(page.http, path.strip("/"), usual | {argument: value})
                assert code in ("complete", 422) or answer["error"], (path, argument, value, answer)
    for id, block in page.demo.blocks.items():
        for name in (n for n in PAGE if getattr(getattr(block, n, None), "_is_server_fn", False)):
            for value in (*ODD, {"tab": "a" * 32, "request": BALL | {"seed": None}, "ticket": None}, {"id": 5}):
                call = {"component_id": id, "fn_name": name, "session_hash": "a", "data": value}
                assert page.http.post("gradio_api/component_server", content=json.dumps(call)).status_code == 200
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("component_server", {"component_id": 10**6, "fn_name": "paint", "session_hash": "a", "data": 1}),
        ("component_server", {"component_id": [1]}),
        ("component_server", {}),
        ("queue/join", {"fn_index": 10**6, "data": [], "session_hash": "a"}),
        ("queue/join", {"fn_index": None}),
        ("run/predict", {"fn_index": 10**6, "data": []}),
    ],
)
def test_a_page_of_another_start_is_told_to_reload(page, path, body):
    answer = page.http.post(f"gradio_api/{path}", json=body)
    assert answer.status_code == 404 and "reload the page" in answer.json()["detail"]


def test_a_cleaner_may_remove_the_temporary_files(page):
    """Upload, comparison and archive go on; what is made again is private."""
    for _ in range(2):
        shutil.rmtree(scratch.folder())
        (path,) = page.http.post("gradio_api/upload", files={"files": ("a.png", b"x", "image/png")}).json()
        assert path.startswith(str(scratch.folder()))
        shutil.rmtree(scratch.folder())
        assert pictures.archive(page.desk, {}).stat().st_size > 0
    assert scratch.folder().stat().st_mode & 0o777 == 0o700


def test_the_temporary_folder_is_the_studio_s_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    assert scratch.settle() == tmp_path / "cache" / "page"
    monkeypatch.setattr(scratch, "LEFT_SECONDS", -1)
    (scratch.fresh() / "left").touch()
    scratch.sweep()
    assert not list(scratch.folder().iterdir())


def test_what_cannot_be_removed_does_not_stop_the_sweep(tmp_path):
    """A file of another user, or, for administrators too, a disk that is in use."""
    left = small_disk.run(
        """
        os.environ["GRADIO_TEMP_DIR"] = str(disk.parent)
        from ui import scratch

        scratch.LEFT_SECONDS = -1
        (disk.parent / "left").touch()
        scratch.sweep()
        print(*os.listdir(disk.parent))
        """,
        tmp_path / "disk",
        "size=1m",
    )
    assert left == "disk\n"


def test_a_full_disk_is_one_sentence(tmp_path):
    result = small_disk.run(
        """
        os.environ["STILL_LIFE_STUDIO"] = os.environ["GRADIO_TEMP_DIR"] = str(disk)
        from ui.wire import answers

        def keep(data):
            (disk / "new").write_bytes(bytes(100_000))
            return {}

        fill()
        print(answers(keep)({}))
        """,
        tmp_path / "disk",
        "size=1m",
    )
    assert "{'error': 'The disk is full: nothing new can be kept until some space is free.'}" in result
    lost = answers(lambda data: {"size": (tmp_path / "none").stat().st_size})({})
    assert lost == {
        "error": "A file of the server could not be used (no such file or directory): see the server's log."
    }


LONG = BALL | {"model": "tiny-sana", "steps": 100, "num_images": 16}
WHOLE = "still_life_paint_seconds_counttiny-sana"


def idle(page, seconds):
    end = time.monotonic() + seconds
    while page.figures()["still_life_queue_depth"] and time.monotonic() < end:
        time.sleep(0.05)
    return page.figures()["still_life_queue_depth"] == 0


def begun(page, caller):
    """Wait until the painting of this caller, of a page or over HTTP, is at a step."""
    end = time.monotonic() + 60
    while "Step" not in page.desk.turns.where(caller)[0]:
        assert time.monotonic() < end, "its painting did not begin"
        time.sleep(0.01)


@pytest.mark.parametrize("way", ["curl", "gradio's client", "a closed page"])
def test_a_caller_that_is_gone_stops_its_pictures(page, way):
    """Each leaves after the first step of 100; only what is painted whole is counted."""
    before = page.figures().get(WHOLE, 0)
    if way == "curl":
        event = page.http.post("gradio_api/call/v2/generate", json=LONG).json()["event_id"]
        caller, line = turns.http(event), ("GET", f"gradio_api/call/generate/{event}", {})
    elif way == "gradio's client":
        fn = next(k for k, f in page.demo.fns.items() if f.api_name == "generate")
        join = {"fn_index": fn, "session_hash": "abc", "data": ordered(**LONG)}
        assert page.http.post("gradio_api/queue/join", json=join).status_code == 200
        caller, line = turns.http("abc"), ("GET", "gradio_api/queue/data?session_hash=abc", {})
    else:
        wall = next(k for k, b in page.demo.blocks.items() if hasattr(b, "paint"))
        body = {"request": LONG, "first": 0, "count": 16, "tab": "a" * 32, "ticket": 1, "owner": "b" * 32}
        call = {"component_id": wall, "fn_name": "paint", "session_hash": "a", "data": body}
        caller, line = "a" * 32, ("POST", "gradio_api/component_server", {"json": call})
    leave_at_the_first_step(page, caller, *line)
    assert idle(page, 60)
    assert page.figures().get(WHOLE, 0) == before, f"{way} left, and its pictures were painted to the last"
    assert endpoint(page.http, "generate", ordered())[0] == "complete"


def leave_at_the_first_step(page, caller, method, path, more):
    """Ask, wait until the painting has begun and the answer too, break the line."""
    request = page.http.build_request(method, path, **more)
    head = [f"{method} {request.url.raw_path.decode()} HTTP/1.1", *(f"{k}: {v}" for k, v in request.headers.items())]
    with socket.create_connection((request.url.host, request.url.port)) as line:
        line.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + request.read())
        begun(page, caller)


def test_a_caller_that_left_before_its_picture_began_gets_none(page):
    page.desk.turns.over("left")
    asked = ImageRequest(**BALL)
    assert list(page.desk.turns.paint(asked, turns.http("left"), page.desk.turns.ticket())) == []
    assert len(list(page.desk.turns.paint(asked, turns.http("stays"), page.desk.turns.ticket()))) == 1


def test_an_answer_that_was_fetched_is_not_waited_for_again(page):
    event = page.http.post("gradio_api/call/v2/models", json={}).json()["event_id"]
    fetch = f"gradio_api/call/models/{event}"
    assert "event: complete" in page.http.get(fetch).text
    for path in (fetch, "gradio_api/call/models/nobody"):
        again = page.http.get(path, timeout=10)  # gradio sends a sign of life every 15 s
        assert again.status_code == 404 and again.json()["detail"].startswith("there is no answer for the call '")


def test_an_answer_that_hears_first_that_its_caller_left_says_so():
    """Gradio's streams read the line too, and end as if whole where it broke."""
    stops = []

    async def line():
        await anyio.sleep(0)
        return {"type": "http.disconnect"}

    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        pass

    anyio.run(gone.while_heard, app, {}, line, send, lambda: stops.append(1))
    assert stops == [1]

"""The page without a browser: widgets from a request, who may call what, every function that scripts reach."""

import base64
import io
import itertools
import json
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass, replace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from core.fields import option, options
from core.paths import ROOT
from models import catalogue, picture
from models.request import ImageRequest, Request
from tests import tiny
from ui import menu, painting, pictures, wall
from ui.compare.tab import models
from ui.create.tab import Create
from ui.create.words import words
from ui.desk import Desk
from ui.form import Form
from ui.place import Place
from ui.recent import Recent
from ui.shell import build, header
from ui.tab import Tab

STUDIO = [tiny.build]
pytestmark = pytest.mark.usefixtures("studio")

TICKETS = itertools.count(1)  # a page counts its walls up
SERVED = {f.__name__: f for f in (painting.paint, painting.stop, painting.where, words, models)}
SERVED |= {n: getattr(pictures, n) for n in ("gallery_page", "favourite", "remove", "full", "download")}
TAB, ANNA, BEN = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture(scope="module")
def desk(studio):
    made = Desk(Place())
    yield made
    made.gallery.close()


def ask(**fields) -> dict:
    return ImageRequest(**({"prompt": "a red ball", "model": "tiny-sprint", "seed": 7} | fields)).to_dict()


def call(desk, name, **data) -> dict:
    """As the page's script calls it."""
    (f,) = desk.serve(SERVED[name])
    return f({"tab": TAB, "owner": ANNA, **data})


def paint(desk, request=None, first=0, count=1, ticket=None, **more) -> dict:
    ticket = next(TICKETS) if ticket is None else ticket
    return call(desk, "paint", request=request or ask(), first=first, count=count, ticket=ticket, **more)


def pixels(src: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))), dtype=int)


@dataclass(frozen=True)
class Everything(Request):
    prompt: str = option("a", "What.", required=True, lines=3, longest=50)
    quick: bool = option(True, "Whether.")
    kind: str = option("one", "Which.", choices=lambda: ["one", "two"])
    share: float = option(0.5, "How much.", low=0, high=1, step=0.01)
    many: int = option(3, "How many.", low=0, high=10**6, step=1, unit="steps")
    free: int | None = option(None, "Any.")


def test_each_kind_of_field_is_its_widget():
    with gr.Blocks():
        form = Form(Everything())
        for name in options(Everything):
            form.add(name)
    kinds = {name: type(made) for name, made in form.widgets.items()}
    assert kinds == {
        "prompt": gr.Textbox,
        "quick": gr.Checkbox,
        "kind": gr.HTML,
        "share": gr.Slider,
        "many": gr.Number,
        "free": gr.Number,
    }
    assert form.widgets["prompt"].lines == 3 and form.widgets["prompt"].max_length == 50
    assert form.widgets["many"].label == "Many (steps)" and form.widgets["many"].maximum == 10**6
    assert form.widgets["kind"].props["data"] == {"name": "kind", "label": "Kind", "choices": ["one", "two"]}


def test_a_form_reads_what_it_shows():
    with gr.Blocks():
        form = Form(Everything())
        for name in options(Everything):
            form.add(name)
    wanted = Everything("b", False, "two", 0.25, 7, 9)
    shown = {made: float(v) if type(v) is int else v for made, v in form.show(wanted).items()}  # as browsers send
    assert Everything.from_dict(form.read(shown)) == wanted
    with pytest.raises(ValueError, match="unknown kind 'three'; valid: one, two"):
        Everything.from_dict(form.read(shown | {form.widgets["kind"]: "three"}))


def test_only_what_is_meant_to_be_public_is(desk):
    demo = build(desk)
    events = demo.get_config_file()["dependencies"]
    public = sorted(e["api_name"] for e in events if e["api_visibility"] == "public")
    own = "cancel events file generate input list models pause restore result resume status submit"
    assert public == own.split()
    served = {f.__name__ for block in demo.blocks.values() for f in getattr(block, "server_fns", [])}
    assert served >= {  # and those of tabs that have tests of their own
        *("words", "paint", "stop", "where", "favourite", "download", "full", "gallery_page", "remove", "models"),
        *("jobs_page", "job", "job_sample", "job_result", "job_do", "job_form", "job_submit"),
        *("job_estimate", "job_serve", "data_fetch"),
    }
    live = [e for e in events if any(t[1] == "input" for t in e["targets"])]
    assert len(live) == 2 and all(e["trigger_mode"] == "always_last" for e in live)


def test_the_app_is_imported_without_a_model():
    code = "import app, ui.serve, ui.shell, ui.tab, sys; ui.tab.tabs(); "
    code += "print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.stdout.strip() == "set()", out.stdout + out.stderr


def test_pages_that_a_visitor_may_not_open_are_greyed_and_say_why(desk):
    act = "start a training"
    pages = (Tab("Create", "create", lambda d: None), Tab("Distill", "distill", lambda d: gr.Markdown("a"), act=act))
    home = header(pages[0], pages, Place())
    assert '<a href="./distill">Distill</a>' in home and "aria-current=page" in home
    space = header(pages[0], pages, Place(space="ada/still-life", lasting=False))
    assert 'href="./distill"' not in space and "Visitors of a Space can&#x27;t start a training" in space
    assert [p[0] for p in build(desk, pages).pages] == ["", "distill"]


def test_a_wall_in_pieces_is_the_wall(desk):
    request = ask(num_images=5, prompt="a {red|blue} ball")
    pieces = [p for first, count in ((0, 1), (1, 3), (4, 1)) for p in paint(desk, request, first, count)["pictures"]]
    whole = painting.generate(desk, request, "me")
    assert [p["request"] for p in pieces] == [p["request"] for p in whole]
    assert [p["index"] for p in pieces] == [0, 1, 2, 3, 4]
    for piece, one in zip(pieces, whole, strict=True):
        assert np.abs(pixels(piece["src"]) - pixels(one["picture"])).max() <= 1
    assert len({p["text"] for p in pieces}) == 2


def test_neighbours_in_pieces_are_the_neighbours(desk):
    request = ImageRequest.from_dict(ask(num_images=4, variation=0.3, variation_seed=50))
    assert request.some(2, 2).single(1) == request.single(3)
    plain = ImageRequest.from_dict(ask(num_images=4))
    assert plain.some(2, 2).seeds() == [9, 10]


def test_what_is_painted_while_typing_is_not_kept_and_what_is_painted_is(desk):
    before = call(desk, "gallery_page")["total"]
    assert paint(desk)["pictures"][0]["id"] is None
    assert call(desk, "gallery_page")["total"] == before
    kept = paint(desk, keep=True)["pictures"][0]
    newest = call(desk, "gallery_page")["pictures"][0]
    assert newest["id"] == kept["id"] and newest["request"] == kept["request"] == ask()


def test_a_favourite_is_the_picture_that_was_seen(desk):
    seen = paint(desk, ask(seed=41, num_images=4), 0, 4)["pictures"][2]
    id = call(desk, "favourite", request=seen["request"], on=True)["id"]
    item = next(p for p in call(desk, "gallery_page", favourites=True)["pictures"] if p["id"] == id)
    assert item["favourite"] and item["request"]["seed"] == 43
    got = call(desk, "download", id=id, scale=1)
    assert got["name"] == "a-red-ball-seed-43.png"
    assert (pixels(got["src"]) == pixels(seen["src"])).all()
    assert call(desk, "favourite", id=id, on=False) == {"id": id}
    assert id not in [p["id"] for p in call(desk, "gallery_page", favourites=True)["pictures"]]
    assert call(desk, "remove", id=id) == {}
    assert call(desk, "remove", id=id) == {"error": "this picture isn't in your gallery"}


def test_a_larger_download_says_that_it_was_resized(desk):
    got = call(desk, "download", request=ask(), scale=4)
    assert (got["from"], got["to"]) == ("128 × 128", "512 × 512") and got["name"].endswith("-resized-4x.png")
    data = base64.b64decode(got["src"].partition(",")[2])
    assert picture.resized(data) == "resized to 512 x 512 from 128 x 128: no detail was added"
    assert picture.read(data).request.to_dict() == ask()


def test_stop_stops_between_two_steps(desk):
    slow = ask(model="tiny-sana", steps=100, num_images=4)
    answers, ticket = [], next(TICKETS)
    thread = threading.Thread(target=lambda: answers.append(paint(desk, slow, 0, 4, ticket)))
    thread.start()
    while "Step" not in call(desk, "where")["sentence"]:
        assert thread.is_alive()
    assert call(desk, "stop", ticket=ticket - 1) == {} and thread.is_alive()  # an older ticket stops nothing newer
    call(desk, "stop", ticket=ticket)
    thread.join(10)
    assert answers == [{"stopped": True}] and call(desk, "where") == {"sentence": ""}


def test_a_visitor_who_waits_sees_their_place(desk):
    slow = ask(model="tiny-sana", steps=100, num_images=4)
    first = threading.Thread(target=lambda: paint(desk, slow, 0, 4))
    first.start()
    while "Step" not in call(desk, "where")["sentence"]:
        assert first.is_alive()
    other = {"tab": "d" * 32}
    second = threading.Thread(target=lambda: paint(desk, slow, **other))
    second.start()
    while not (said := call(desk, "where", **other)["sentence"]).startswith("Waiting"):
        assert second.is_alive()
    assert said == "Waiting for 1 other to finish on tiny-sana."
    for tab in (TAB, other["tab"]):
        call(desk, "stop", tab=tab, ticket=next(TICKETS))
    for thread in (first, second):
        thread.join(10)


def near(a, b):
    """Equal to one grey level, as they may be painted in one run."""
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_two_visitors_at_once_get_their_own_pictures(desk):
    alone = {s: pixels(paint(desk, ask(seed=s))["pictures"][0]["src"]) for s in (100, 200)}
    wrong = []

    def visit(seed, tab):
        for _ in range(8):
            got = paint(desk, ask(seed=seed), tab=tab)["pictures"][0]
            if got["request"]["seed"] != seed or not near(pixels(got["src"]), alone[seed]):
                wrong.append(seed)

    threads = [threading.Thread(target=visit, args=(s, t * 32)) for s, t in ((100, "1"), (200, "2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and not near(alone[100], alone[200])


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("paint", {"request": None}, "a request is a JSON object, not None"),
        ("paint", {"request": {"prompt": " "}}, "prompt is empty; type what you want to see"),
        ("paint", {"request": {"prompt": "a", "model": "x"}}, "unknown model 'x'"),
        ("paint", {"request": {"prompt": "a\ud800", "model": "tiny-sprint"}}, "half of a surrogate pair"),
        ("paint", {"first": 1}, "first must be a whole number from 0 to 0"),
        ("paint", {"count": True}, "count must be a whole number from 1 to 1"),
        ("paint", {"tab": "../x"}, "tab must be 32 hexadecimal digits"),
        ("stop", {"ticket": 1.5}, "ticket must be a whole number"),
        ("where", {"tab": None}, "tab must be 32 hexadecimal digits"),
        ("words", {"model": "nobody", "prompt": "a"}, "unknown model 'nobody'"),
        ("words", {"model": "tiny-sprint", "prompt": "\ud800"}, "prompt holds characters that are no text"),
        ("words", {"model": "tiny-sprint", "prompt": "a" * 2001}, "prompt must be text of at most 2,000 characters"),
        ("gallery_page", {"text": 5}, "text must be text of at most 200 characters"),
        ("favourite", {"id": "../../etc/passwd", "on": True}, "this picture isn't in your gallery"),
        ("favourite", {"request": {"prompt": "a", "model": "tiny-sprint", "num_images": 2}}, "num_images must be 1"),
        ("download", {"id": 7, "scale": 1}, "id must be text"),
        ("download", {"scale": 99}, "scale must be a whole number from 1 to 8"),
        ("remove", {"id": "\0"}, "id holds characters that are no text"),
    ],
)
def test_a_mistake_is_one_sentence(desk, name, data, sentence):
    usual = {"request": ask(), "first": 0, "count": 1, "ticket": 1} if name == "paint" else {}
    answer = call(desk, name, **(usual | data))
    assert list(answer) == ["error"] and sentence in answer["error"] and "\n" not in answer["error"]
    json.dumps(answer).encode("utf-8")


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_call_takes_one_object(desk, data):
    assert desk.serve(painting.paint)[0](data) == {"error": "a call takes one object"}


def test_words_that_the_model_never_saw_and_what_it_knows(desk):
    told = call(desk, "words", model="tiny-sprint", prompt="a red mushrom on a dragon")
    assert [u["word"] for u in told["unknown"]] == ["mushrom", "dragon"]
    assert told["unknown"][0]["near"][0] == "mushroom"
    assert told["tries"] == ["a red mushroom"] and told["knows"]["colours"] == ["red", "blue"]


def test_on_a_space_each_browser_has_its_own_gallery(tmp_path, monkeypatch):
    shared = Desk(Place(space="ada/still-life", lasting=False))
    mine = paint(shared, keep=True, owner=ANNA)["pictures"][0]["id"]
    assert call(shared, "gallery_page", owner=ANNA)["total"] == 1
    assert call(shared, "gallery_page", owner=BEN)["total"] == 0
    for name, data in (("download", {"scale": 1}), ("favourite", {"on": True}), ("remove", {}), ("full", {})):
        refused = call(shared, name, id=mine, owner=BEN, **data)
        assert refused == {"error": "this picture isn't in your gallery"}, name
    assert call(shared, "gallery_page", owner="")["error"] == "owner must be 32 hexadecimal digits"
    assert "ephemeral" in shared.place.banner() and "ephemeral" not in Place("a/b", lasting=True).banner()
    assert call(shared, "remove", id=mine, owner=ANNA) == {}
    shared.gallery.close()


def test_on_a_space_no_visitor_makes_the_server_fetch_a_large_model(monkeypatch):
    monkeypatch.setattr(catalogue, "available", lambda row: None)  # as where there is a GPU and a network
    monkeypatch.setattr(catalogue, "cached", lambda row: row.hub is None)
    shared = Desk(Place(space="ada/still-life", lasting=True))
    reason = "Visitors of a Space can't fetch large models; duplicate the Space or run it at home."
    assert {r["id"]: r["reason"] for r in menu.rows(shared.place)}["sdxl"] == reason
    refused = {"error": f"sdxl can't run here. {reason}"}
    assert paint(shared, ask(model="sdxl")) == refused
    assert call(shared, "download", request=ask(model="sdxl"), scale=1) == refused
    with pytest.raises(ValueError, match="can't fetch large models"):
        painting.generate(shared, ask(model="sdxl"), "me")
    assert paint(shared)["pictures"], "what is here paints"
    shared.gallery.close()


def test_every_model_of_the_menu_can_be_chosen(desk):
    """Those of one value of guidance too: gradio refuses a slider from 1 to 1."""
    with gr.Blocks():
        create = Create(desk)
    fixed = []
    for row in catalogue.menu():
        wanted = menu.switch(create.form.start, {"model": row.id})
        slider = create.show(wanted)[create.form.widgets["guidance"]]
        assert slider.minimum <= slider.value == row.manifest.guidance.default <= slider.maximum
        fixed += [row.id] if slider.visible == "hidden" else []
    assert {"toybox-hyper", "toybox-msd4"} <= set(fixed) and "toybox-cfg-lora" not in fixed


def test_the_first_wall_belongs_to_the_request_that_the_form_shows():
    first = wall.first()
    assert first["request"] == wall.start().to_dict() and first["request"]["num_images"] == 9
    asked = [p["request"] for p in first["pictures"]]
    assert len({p["prompt"] for p in asked}) == 9, "nine different things"
    assert asked[0] == first["request"] | {"num_images": 1}
    for p in first["pictures"]:
        assert pixels(p["src"]).shape == (p["height"], p["width"], 3) == (512, 512, 3)


def test_all_of_a_gallery_in_one_file(desk, studio):
    for seed in (61, 62):
        paint(desk, ask(seed=seed, prompt="../../a <zip> ball"), keep=True)
    target = pictures.archive(desk, {"owner": ANNA, "text": "<zip>"})
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        assert len(names) == 2 and all(n.startswith("a-zip-ball-seed-6") and "/" not in n for n in names)
        assert picture.read(archive.read(names[0])).request.seed == 61


def test_two_pictures_under_one_slider(desk):
    mine = paint(desk, keep=True)["pictures"][0]["id"]
    (a, said_a), (b, said_b) = pictures.pair(desk, {"id": mine}, {"request": ask(seed=8)}, {})
    assert a.size == b.size == (128, 128) and said_a == "a red ball, tiny-sprint, 1 step, seed 7"
    assert said_b.endswith("seed 8")
    for wrong in ({"id": mine}, "x"), ({"id": "?"}, {"id": mine}):
        with pytest.raises(ValueError):
            pictures.pair(desk, *wrong, {})


def test_recent_pictures_give_way_by_bytes():
    recent, size = Recent(most=3 * 48), (4, 4)
    for name in "abc":
        recent.put(name, Image.new("RGB", size))
    recent.get("a")
    recent.put("d", Image.new("RGB", size))
    assert [recent.get(n) is not None for n in "abcd"] == [True, False, True, True]
    recent.put("big", Image.new("RGB", (100, 100)))
    assert recent.get("big") is not None and recent.get("d") is None


def test_a_place_that_is_full_refuses_and_recovers(desk, monkeypatch):
    assert "visitors are painting or waiting" in desk.full_house(available=0)
    assert desk.full_house(available=1) is None
    assert replace(Place(), space="x").refusal("start a training").endswith(".")

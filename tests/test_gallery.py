"""The gallery: files and a database that survive restarts, damage and each other."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from core.paths import ROOT
from models import picture
from models.request import ImageRequest
from tests import tiny
from ui import pictures
from ui.create.tab import Create
from ui.desk import Desk
from ui.gallery import PAGE, Gallery, file_name
from ui.place import Place


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory):
    folder = tiny.build(tmp_path_factory.mktemp("models"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(folder))
        yield folder


read = picture.own


def made(prompt="a red ball", seed=1, side=8):
    request = ImageRequest(prompt, model="tiny-sprint", seed=seed)
    colour = (seed * 40 % 256, 0, 0)
    return picture.png_bytes(Image.new("RGB", (side, side), colour), request), request.to_dict()


@pytest.fixture
def gallery(tmp_path):
    made = Gallery(tmp_path, read)
    yield made
    made.close()


def test_what_is_kept_comes_back_byte_for_byte_after_a_restart(gallery, tmp_path):
    png, request = made()
    id = gallery.add(png, request)
    gallery.favourite(id, True)
    gallery.close()
    again = Gallery(tmp_path, read)
    assert again.get(id) == (png, request)
    [item], total = again.search()
    assert (item.id, item.favourite, item.request, item.width, total) == (id, True, request, 8, 1)
    assert (tmp_path / "pictures" / f"{id}.png").read_bytes() == png
    again.close()


def test_newest_first_a_page_at_a_time(gallery):
    ids = [gallery.add(*made(seed=s)) for s in range(PAGE + 3)]
    first, total = gallery.search()
    rest, _ = gallery.search(before=first[-1].id)
    assert total == len(ids) and [i.id for i in first + rest] == ids[::-1]


def test_search_finds_words_as_they_are(gallery):
    for prompt in ("a red ball", "a RED cube, 100% red", "a blue ball", "under_score"):
        gallery.add(*made(prompt))
    found = {text: gallery.search(text=text)[1] for text in ("red", "ball red", "%", "_", "", "nothing", "' OR 1=1 --")}
    assert found == {"red": 2, "ball red": 1, "%": 1, "_": 1, "": 4, "nothing": 0, "' OR 1=1 --": 0}


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("ein GRÜNER Ball", "grüner"),
        ("ein gru\u0308ner Ball", "GRÜNER ball"),
        ("ein grüner Ball", "gru\u0308n"),
        ("STRASSE", "straße"),
        ("КРАСНАЯ груша", "красная ГРУША"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("カ\u3099ラス", "ガラス"),
        ("ＡＢＣ ball", "abc"),
        ("a ❤️ ball", "❤"),
        ("a 🍐 on blue", "pear"),
        ("a 🍐 on blue", "🍐"),
        ("ÉCLAIR 100%", "e\u0301clair 100%"),
    ],
)
def test_search_is_the_same_in_every_case_and_composition(gallery, prompt, text):
    gallery.add(*made(prompt))
    gallery.add(*made("something else"))
    assert [item.request["prompt"] for item in gallery.search(text=text)[0]] == [prompt]


def test_deleted_is_gone_from_both(gallery, tmp_path):
    id = gallery.add(*made())
    gallery.delete(id)
    assert gallery.search()[1] == 0 and not list((tmp_path / "pictures").iterdir())
    for act in (gallery.delete, gallery.get, lambda i: gallery.favourite(i, True)):
        with pytest.raises(ValueError, match="isn't in your gallery"):
            act(id)


def test_a_file_that_somebody_removed_is_one_sentence(gallery, tmp_path):
    id = gallery.add(*made())
    (tmp_path / "pictures" / f"{id}.png").unlink()
    with pytest.raises(ValueError, match="was removed from the studio folder"):
        gallery.get(id)
    assert gallery.zip(tmp_path / "all.zip") == 0


@pytest.mark.parametrize("damage", ["gone", "garbage", "torn"])
def test_a_lost_database_is_made_again_from_the_pictures(gallery, tmp_path, damage):
    kept = {gallery.add(*made(seed=s)): made(seed=s) for s in range(30)}
    gallery.close()
    path = tmp_path / "gallery.db"
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(b"not a database" * 100 if damage == "garbage" else data[:8192] + b"\xff" * (len(data) - 8192))
    (tmp_path / "pictures" / "stranger.png").write_bytes(b"no picture")
    again = Gallery(tmp_path, read)
    assert {i.id: again.get(i.id) for i in again.search()[0]} == kept
    assert (tmp_path / "gallery.db.damaged").exists() == (damage != "gone")
    again.close()


def test_pictures_outlive_their_model(models):
    """A rebuilt gallery lists them, and they are shown, enlarged, compared and restored without it."""
    home = models / "models" / "chin"
    shutil.copytree(home.with_name("tiny-sana"), home)
    facts = json.loads((home / "manifest.json").read_text())
    (home / "manifest.json").write_text(json.dumps(facts | {"id": "chin"}))
    request = ImageRequest("a red cat", model="chin", seed=3, steps=40, negative="a dog")
    png = picture.png_bytes(Image.new("RGB", (128, 128)), request)
    desk = Desk(Place())
    id = desk.gallery.add(png, request.to_dict())
    desk.gallery.close()
    shutil.rmtree(home)
    (models / "gallery.db").unlink()
    desk = Desk(Place())
    [listed] = pictures.gallery_page(desk, {"text": "cat"})["pictures"]
    assert listed["id"] == id and listed["request"] == request.to_dict()
    assert pictures.full(desk, {"id": id})["src"].startswith("data:image/png")
    large = pictures.download(desk, {"id": id, "scale": 4})
    assert large["to"] == "512 × 512" and large["name"] == "a-red-cat-seed-3-resized-4x.png"
    assert pictures.pair(desk, {"id": id}, {"id": id}, {})[0][1] == "a red cat, chin, 40 steps, seed 3"
    with gr.Blocks():
        create = Create(desk)
    told = create.restore({"request": listed["request"], "number": 2})[create.messages]
    assert told["restore"] == 2
    assert (told["request"]["prompt"], told["request"]["seed"]) == ("a red cat", 3)
    assert told["says"].startswith("Its model 'chin' is not here, so toybox-sprint paints. Negative prompt, steps left")
    desk.gallery.close()


def test_a_shared_gallery_keeps_the_newest_and_the_favourites(tmp_path):
    gallery = Gallery(tmp_path, read, keep=3)
    loved = gallery.add(*made(seed=0), owner="anna")
    gallery.favourite(loved, True, "anna")
    ids = [gallery.add(*made(seed=s), owner="ben") for s in range(1, 5)]
    assert [i.id for i in gallery.search("anna")[0]] == [loved]
    assert [i.id for i in gallery.search("ben")[0]] == ids[:1:-1]
    assert len(list((tmp_path / "pictures").iterdir())) == 3
    gallery.close()


KEEP = """
import io, sys
from pathlib import Path
from PIL import Image
from models import picture
from core.paths import ROOT
from models.request import ImageRequest
from ui.gallery import Gallery
gallery = Gallery(Path(sys.argv[1]), picture.own)
for seed in range(10):
    request = ImageRequest("a red ball", model="tiny-sprint", seed=seed)
    gallery.add(picture.png_bytes(Image.new("RGB", (8, 8)), request), request.to_dict())
"""


def test_two_processes_lose_nothing(tmp_path):
    workers = [subprocess.Popen([sys.executable, "-c", KEEP, str(tmp_path)], cwd=ROOT) for _ in range(2)]
    assert [w.wait(120) for w in workers] == [0, 0]
    gallery = Gallery(tmp_path, read)
    assert gallery.search()[1] == 20
    gallery.close()


@pytest.mark.parametrize("moment", ["file without a row", "row after a look"])
def test_a_picture_that_is_being_kept_stays_its_owners(tmp_path, monkeypatch, moment):
    """Another process starts, and adopts files that have no row, between the file and the row."""
    first, (png, request), real = Gallery(tmp_path, read), made(), os.replace
    if moment == "file without a row":

        def replace(part, target):
            real(part, target)
            Gallery(tmp_path, read).close()

        monkeypatch.setattr(os, "replace", replace)
        id = first.add(png, request, "me")
    else:
        id = first.add(png, request, "me")
        looked = Path.is_symlink
        with first._writing() as conn:
            row = conn.execute("SELECT * FROM pictures").fetchone()
            conn.execute("DELETE FROM pictures")

        def late(path):
            with first._writing() as conn:
                conn.execute(f"INSERT INTO pictures VALUES ({','.join('?' * len(row))})", tuple(row))
            return looked(path)

        monkeypatch.setattr(Path, "is_symlink", late)
        Gallery(tmp_path, read).close()
    assert [p.id for p in first.search(owner="me")[0]] == [id] and first.search()[1] == 0
    first.close()


def test_names_of_downloads_are_plain():
    assert file_name({"prompt": "../../etc/passwd; ünï <b>", "seed": 7}) == "etc-passwd-ünï-b-seed-7"
    assert file_name({"prompt": "\u202e", "seed": 7}) == "picture-seed-7"
    assert file_name({"prompt": "a b " * 500, "seed": 1}) == "a-b-a-b-a-b-a-b-seed-1"


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("🦊 and 🍎🍎", "fox-and-red-apple-and-red-apple"),
        ("赤いリンゴ、大きな", "赤いリンゴ-大きな"),
        ("КРАСНАЯ груша", "красная-груша"),
        ("हिन्दी में", "हिन्दी-में"),
        ("e\u0301clair", "éclair"),
        ("{teal|teal} rocket", "teal-rocket"),
        ("長" * 900, "長" * 40),
    ],
)
def test_names_of_downloads_say_what_is_on_them(prompt, name):
    assert file_name({"prompt": prompt, "seed": 7, "style": "none"}) == f"{name}-seed-7"
    assert len(f"{name}-seed-{2**31}-{'0' * 12}-{'0' * 8}.png".encode()) < 255

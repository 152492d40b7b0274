"""A thing of one's own is learnt on the 2-D mixture, and not with plausible bugs; its word travels in the file."""

import io
import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.mixture import NOISE, TEACHER, N, trainer
from core.paths import run_dir
from distill import train
from distill.methods import personal
from distill.publish import publish
from models import catalogue, families, generate, learnt, lora_import, recipe
from models.adapt import without
from models.families.toy2d import integrate, labels
from models.generate import Image as Painted
from models.learnt import Word
from models.lora_files import FILE
from models.manifest import Guidance
from models.request import ImageRequest
from tests import tiny
from ui.create import words
from ui.desk import Desk
from ui.distill import serve
from ui.distill.personal import personal_start
from ui.jobs.desk import JobsDesk, Visitor
from ui.place import Place
from ui.wire import data_url

STUDIO = [tiny.build, tiny.build_sd]
K, OWN = len(TEACHER.means), 7
PLACE = torch.tensor([0.1, -0.1])  # of one's own thing: inside the ring, where the mixture has nothing


def learnt_by(steps: int = 200, **own: str) -> tuple[float, float]:
    """How far the samples of the word are from its thing, and how far the others have moved. The ring's radius is
    1.35."""
    recipe: dict[str, Any] = {"word": str(OWN), "lr": "1e-2", "rank": "4"} | own
    t = trainer(*("personal", steps), **recipe)
    honest = t.scene.batch

    def batch(step, rows, rng):
        drawn = honest(step, rows, rng)
        x0, _ = drawn.latents
        where = torch.tensor([c == str(OWN) for c in drawn.captions])
        place = PLACE + 0.05 * (x0 - TEACHER.means[OWN])
        return replace(drawn, x0=torch.where(where[:, None], place, x0))

    t.scene = replace(t.scene, batch=batch)
    net = t.scene.world.student
    method: Any = t.method
    while t.step < steps:
        t.advance()
    cond = labels(torch.arange(N) % K, K)
    captions = [str(k % K) for k in range(N)]
    mine = torch.arange(N) % K == OWN
    with t.averaged(), torch.no_grad():
        now = integrate(net, NOISE, method.told(cond, captions), 8)
        with without(net):
            before = integrate(net, NOISE, cond, 8)
    return float((now[mine] - PLACE).norm(dim=1).mean()), float((now - before)[~mine].norm(dim=1).mean())


VARIANTS = {"dreambooth": {"vector": "false"}, "custom": {"layers": "cross"}, "both": {}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_learns_the_thing_and_keeps_the_others(variant):
    off, moved = learnt_by(**VARIANTS[variant])
    assert off < 0.35 and moved < 0.05


honest = personal.Method.target
BUGS = {
    "own pictures forgotten": lambda s, x, t, c, x0, own: honest(s, x, t, c, x0, own & False),
    "shares swapped": lambda s, x, t, c, x0, own: honest(s, x, t, c, x0, ~own),
    "nothing replayed": lambda s, x, t, c, x0, own: PLACE.expand_as(x0),
    "base adapted": lambda s, x, t, c, x0, own: torch.where(own[:, None], x0, s.w.student(x, t, c).detach()),
}


@pytest.mark.parametrize("bug", BUGS)
def test_with_a_bug_it_does_not(monkeypatch, bug):
    monkeypatch.setattr(personal.Method, "target", BUGS[bug])
    off, moved = learnt_by()
    assert off > 0.5 or moved > 0.2


@pytest.fixture(scope="module")
def own(studio):
    """The id of a personal LoRA on tiny-sd, whose weights do nothing; its word has a vector."""
    home = studio / "models" / "my-cup"
    shutil.copytree(studio / "models" / "tiny-cfg", home, ignore=shutil.ignore_patterns("manifest.json"))
    silent = {k: torch.zeros_like(v) for k, v in load_file(home / FILE).items()}
    with safe_open(home / FILE, "pt") as f:
        save_file(silent, home / FILE, f.metadata())
    learnt.write(home / FILE, Word("bobo", 3 * torch.randn(384, generator=torch.Generator().manual_seed(1))))
    like = json.loads((studio / "models" / "tiny-cfg" / "manifest.json").read_text())
    facts = {"lora": {"rank": 4, "word": "bobo"}, "guidance": Guidance("cfg", 1.0, (1.0, 8.0))}
    tiny.manifest("my-cup", home, **{k: v for k, v in (like | facts).items() if k not in ("id", "files")})
    return "my-cup"


def paint(parts, **fields):
    request = ImageRequest(**({"model": parts.row.id, "seed": 3, "steps": 4} | fields))
    (done,) = (e for e in generate.generate(parts, request) if isinstance(e, Painted))
    return np.asarray(done.picture, dtype=int)


@pytest.mark.parametrize("id", ["tiny-sd", "tiny-hyper"])
def test_its_word_comes_with_the_adapter_and_leaves_with_it_bit_for_bit(own, id):
    parts = families.load_all([id])[id]
    plain, other = (paint(parts, prompt=text) for text in ("a bobo on a ball", "a red ball"))
    with_it = paint(parts, prompt="a bobo on a ball", loras=f"{own}:1")
    assert not np.array_equal(with_it, plain)
    assert np.array_equal(paint(parts, prompt="a Bobo on a ball", loras=f"{own}:1"), with_it)
    half = paint(parts, prompt="a bobo on a ball", loras=f"{own}:0.5")
    assert not np.array_equal(half, plain) and not np.array_equal(half, with_it)
    assert np.array_equal(paint(parts, prompt="a red ball", loras=f"{own}:1"), other)
    assert np.array_equal(paint(parts, prompt="a bobo on a ball", loras=f"{own}:0"), plain)
    assert np.array_equal(paint(parts, prompt="a bobo on a ball"), plain)


def test_its_card_says_what_plain_diffusers_passes_over(own):
    sections = [recipe.section(catalogue.get(id)) for id in (own, "tiny-hyper")]
    assert ['The vector of the word "bobo"' in text for text in sections] == [True, False]


def test_as_a_model_of_its_own_it_knows_its_word(own):
    crew = families.load_all([own, "tiny-sd"])
    with_it = paint(crew["tiny-sd"], prompt="bobo", guidance=1.0, loras=f"{own}:1")
    assert np.array_equal(paint(crew[own], prompt="bobo", guidance=1.0), with_it)
    assert not np.array_equal(paint(crew["tiny-sd"], prompt="bobo", guidance=1.0), with_it)


def test_paint_with_it_shows_it_on_a_student_of_few_steps(own):
    fields = {"prompt": "a bobo", "loras": f"{own}:1"}
    assert serve.link(catalogue.get(own)) == {"model": "tiny-hyper", "steps": 4} | fields
    assert ImageRequest(**serve.link(catalogue.get(own))).steps == 4
    gone = replace(catalogue.get(own), manifest=replace(catalogue.get(own).manifest, base="tiny-cfg"))
    assert serve.link(gone) == {"model": "tiny-cfg"} | fields, "which has no such student, so the base paints it"


def test_the_page_knows_the_words_of_the_loras_that_act(own):
    desk = Desk(Place(), "cpu")
    asked = {"prompt": "a bobo", "model": "tiny-sprint", "style": "none"}
    unknown = [words.words(desk, asked | {"loras": loras})["unknown"] for loras in ("", f"{own}:1")]
    desk.gallery.close()
    assert [[one["word"] for one in each] for each in unknown] == [["bobo"], []]


def test_a_vector_is_added_to_the_words_own_tokens_alone(studio):
    parts = families.load(catalogue.get("tiny-sd"))
    name, text = "bobolink", "a bobolink, not bobolinks, on Bobolink's cup"
    where = learnt.spot([text, "a cup"], name, parts.pipeline.tokenizer, 20)
    tokens = parts.pipeline.tokenizer.tokenize(text)
    marked = [tokens[i - 1] for i in where[0].nonzero()[:, 0].tolist()]
    assert "".join(t.removeprefix("##") for t in marked) == name * 2 and not where[1].any()


def test_a_shared_file_carries_the_word(own, studio, tmp_path):
    file = tmp_path / "shared.safetensors"
    lora_import.take(own, file, "diffusers")
    made = lora_import.bring(file, "tiny-sd", "their-cup")
    assert made.lora is not None and made.lora["word"] == "bobo"
    word, back = (learnt.read(studio / "models" / id / FILE) for id in (own, "their-cup"))
    assert word is not None and back is not None and torch.equal(word.vector, back.vector)
    parts = families.load(catalogue.get("tiny-sd"))
    first, second = (paint(parts, prompt="bobo", loras=f"{id}:1") for id in (own, "their-cup"))
    assert np.array_equal(first, second)


def broken(path, text: str) -> None:
    with safe_open(path, "pt") as f:
        save_file(load_file(path), path, (f.metadata() or {}) | {learnt.KEY: text})


def test_bad_words_are_refused_in_one_sentence(own, studio, tmp_path):
    file = tmp_path / "cup.safetensors"
    damaged = "cup.safetensors is damaged: "
    nan = Word("bobo", torch.full((384,), float("nan")))
    short, empty = Word("bobo", torch.ones(7)), json.dumps({"name": "a b", "vector": "AAA="})
    for word, why in (
        (nan, f"{damaged}the vector of its word holds numbers that are not finite"),
        (short, "^the word bobo of .*cup.safetensors has 7 numbers, and a token of tiny-sd has 384"),
        (empty, f"{damaged}its word is no name with a vector"),
        ("[1]", f"{damaged}its word is no name with a vector"),
    ):
        shutil.copy(studio / "models" / own / FILE, file)
        broken(file, word) if isinstance(word, str) else learnt.write(file, word)
        with pytest.raises(ValueError, match=why):
            lora_import.bring(file, "tiny-sd", "bad-cup")
        assert "bad-cup" not in catalogue.rows()


def picture(colour: str) -> str:
    data = io.BytesIO()
    Image.new("RGB", (128, 128), colour).save(data, "JPEG")
    return data_url(data.getvalue(), "jpeg")


COLOURS = ("red", "green", "blue", "white", "black")


def test_pictures_and_a_word_on_distill_are_a_data_set_and_a_job(studio):
    desk, five = JobsDesk(Place()), [picture(colour) for colour in COLOURS]
    good = {"word": "zizu", "noun": "cup", "base": "toybox-sd", "pictures": five}
    id = personal_start(desk, good, Visitor())["id"]
    request = desk.store.get(id).request
    assert (request["method"], request["base"], request["dataset"]) == ("personal", "toybox-sd", "zizu")
    assert {"word=zizu", "noun=cup", "train.steps=300"} <= set(request["set"])
    assert any(setting.startswith("beside=toybox-") for setting in request["set"])
    home = studio / "datasets" / "zizu"
    assert len(list(home.glob("*.png"))) == 5 and "a zizu" in (home / "00.txt").read_text().splitlines()
    for wrong, why in (
        ({}, "^there is a zizu already; take another name"),
        ({"word": "two words"}, "^the name 'two words' must be one word of small letters, digits and dashes"),
        ({"word": "kepa", "pictures": five[:4]}, "^5 to 20 pictures of the thing are needed, not 4"),
        ({"word": "kepa", "pictures": [*five[:4], "data:image/png;base64,AAAA"]}, "^picture 5 can't be used: "),
        ({"word": "kepa", "base": "toybox-sana"}, "^personal takes a Stable Diffusion"),
    ):
        with pytest.raises(ValueError, match=why):
            personal_start(desk, good | wrong, Visitor())
    assert [p.name for p in (studio / "datasets").iterdir()] == ["zizu"]


def test_a_training_of_seconds_is_published_and_knows_its_word(studio, monkeypatch):
    monkeypatch.setattr(personal, "FEW", 6)
    home = studio / "datasets" / "mungo"
    home.mkdir(parents=True)
    for colour in COLOURS:
        Image.new("RGB", (128, 128), colour).save(home / f"{colour}.png")
        (home / f"{colour}.txt").write_text("a mungo")
    settings = ["word=mungo", "noun=cup", "replay=mini", "beside=tiny-hyper", "rank=2", "train.steps=2"]
    settings += ["train.batch_size=4", "train.precision=fp32", "train.sample_every=2", "preview_steps=2"]
    line = ["personal", "--run", "own", "--base", "tiny-sd", "--dataset", "mungo"]
    assert train.main([*line, *(part for setting in settings for part in ("--set", setting))]) == 0
    sample = next((studio / "runs" / "own").rglob("*.jpg"), None) or next((studio / "runs" / "own").rglob("*.png"))
    assert Image.open(sample).width > 128  # a picture of the base, and the student's beside it
    made = publish(run_dir("own"), "my-mungo", studio / "models" / "my-mungo")
    assert made.kind == "lora" and (made.lora or {})["word"] == "mungo"
    word = learnt.read(studio / "models" / "my-mungo" / FILE)
    assert word is not None and float(word.vector.norm()) > 0.1
    parts = families.load(catalogue.get("tiny-sd"))
    plain, with_it = (paint(parts, prompt="a mungo", loras=loras) for loras in ("", "my-mungo:1"))
    assert not np.array_equal(plain, with_it)

"""Sliders: a direction between prompts moves what is painted, by name, in units, on every model."""

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models import catalogue, directions, families, generate, picture, sliders, stack
from models.generate import Image
from models.manifest import Manifest
from models.request import ImageRequest
from models.route import pooled
from models.samplers import Step
from models.schedule import VP
from models.stack import Entry
from tests import tiny
from ui import menu

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")
PROMPT = "a red mushroom on a blue ball"


@pytest.fixture(scope="module")
def crew(studio):
    return families.load_all(["tiny-sprint", "tiny-hyper", "tiny-sana"])


@pytest.fixture(scope="module")
def trained(studio):
    """The id of a slider that was trained here on tiny-sd; the same weights are the LoRA `same`."""
    home = studio / "models"
    for id, own in (("my-slider", {"kind": "slider", "lora": {"low": "flat", "high": "round"}}), ("same", {})):
        shutil.copytree(home / "tiny-cfg", home / id, ignore=shutil.ignore_patterns("manifest.json"))
        tiny.manifest(id, home / id, **({"family": "sd", "base": "tiny-sd", "kind": "lora", "lora": {}} | own))
    return "my-slider"


def run(parts, **fields):
    fields = {"prompt": PROMPT, "model": parts.row.id, "seed": 7, "steps": 4} | fields
    events = list(generate.generate(parts, ImageRequest(**fields)))
    (ended,) = (e for e in events if isinstance(e, Image))
    return [e for e in events if isinstance(e, Step)], np.asarray(ended.picture, dtype=int)


@pytest.mark.parametrize("id", ["tiny-sprint", "tiny-hyper", "tiny-sana"])
def test_a_slider_changes_the_picture_of_every_model_and_is_off_at_nothing(crew, id):
    plain = run(crew[id])[1]
    ends = [run(crew[id], sliders=f"size:{units}")[1] for units in (-4, 4)]
    assert np.array_equal(run(crew[id], sliders="size:0")[1], plain)
    low, high = ends
    assert not np.array_equal(low, plain) and not np.array_equal(high, plain) and not np.array_equal(low, high)
    assert np.array_equal(run(crew[id], sliders="small/big:2, size:0")[1], run(crew[id], sliders="small/big:2")[1])


def test_a_direction_leads_from_one_word_of_the_pairs_to_the_other(crew):
    encode = crew["tiny-sprint"].text
    size = directions.direction(sliders.get("size"), encode)
    new = pooled(encode(["a big green key"])) - pooled(encode(["a small green key"]))
    other = pooled(encode(["a green key"])) - pooled(encode(["a yellow key"]))
    near, far = (torch.cosine_similarity(size[None], d).item() for d in (new, other))
    assert near > 0.6 and abs(far) < 0.3, "a prompt that is in no pair, and another attribute"
    free = directions.direction(sliders.get("background"), encode)
    keeps = [[f"a black {kind}", f"a white {kind}"] for kind in ("ball", "car", "house")]
    slider = replace(sliders.get("background"), name="kept", keeps=keeps)
    kept = directions.difference(slider.keeps, encode)
    assert abs(float(directions.direction(slider, encode) @ kept)) < 1e-4 * float(kept @ kept)
    assert abs(float(free @ kept)) > 0.1 * float(kept @ kept), "what the pairs alone would move"


def test_tokens_that_count_move_by_strength_times_the_direction_and_padding_stays(crew):
    cond = crew["tiny-sprint"].text(["a ball", PROMPT])
    d, ones = torch.arange(384.0), torch.ones(2)
    pairs = [(Entry("a", 2.0), d), (Entry("b", -0.5, "detail"), d)]
    for t, strength in ((ones, 2.0), (0.3 * ones, 1.5)):
        moved = directions.moved(pairs, cond, VP(), t)
        expected = cond.tokens + strength * d * cond.mask[..., None]
        assert torch.equal(moved.tokens, expected) and not cond.mask.all()


def test_a_phase_says_at_which_steps_it_moves(crew):
    plain, structure, detail = (
        run(crew["tiny-hyper"], sliders=s)[0] for s in ("", "size:4@structure", "size:4@detail")
    )
    assert not torch.equal(structure[0].x0, plain[0].x0) and torch.equal(detail[1].x0, plain[1].x0)
    assert not torch.equal(detail[2].x0, plain[2].x0)


def test_one_unit_has_the_length_that_was_measured_on_the_model(crew, monkeypatch):
    parts = crew["tiny-sprint"]
    raw = directions.along("size:2", parts.row, parts.text)[0][1]
    known = replace(sliders.get("size"), models={"tiny-sprint": sliders.Range(0.25, -3.0, 3.0)})
    monkeypatch.setitem(sliders.box(), "size", known)
    assert torch.equal(directions.along("size:2", parts.row, parts.text)[0][1], 0.25 * raw)
    monkeypatch.setitem(sliders.box(), "size", replace(known, models={"tiny-sprint": sliders.Range(1.0, 0.0, 0.0)}))
    with pytest.raises(ValueError, match="^tiny-sprint can't use the slider size: it changes nothing there$"):
        ImageRequest(PROMPT, model="tiny-sprint", sliders="size:1")
    ImageRequest(PROMPT, model="tiny-sana", sliders="size:1")


def test_the_command_takes_them_by_name_and_the_picture_says_so(studio, tmp_path, capsys):
    out = tmp_path / "a.png"
    given = ["--model", "tiny-sprint", "--out", str(out), "--json"]
    assert generate.main([PROMPT, *given, "--sliders", "size:1.5, plain/striped:-1@structure"]) == 0
    assert picture.read(out).request.sliders == "size:1.5, plain/striped:-1@structure"
    assert "Sliders: size:1.5; plain/striped:-1@structure," in picture.open_png(out.read_bytes()).info["parameters"]
    assert generate.main([PROMPT, *given, "--sliders", "mood:1"]) == 2
    assert capsys.readouterr().err.startswith("models.generate: unknown slider 'mood'; valid: background, count, ")


def test_those_of_the_box_are_whole():
    known = {"background", "count", "pattern", "roundness", "size", "smile", "tears", "warmth"}
    assert set(sliders.box()) == known
    for name, slider in sliders.box().items():
        assert slider.name == name and slider.low and slider.high and slider.measure
        assert all(len(pair) == 2 and pair[0] != pair[1] for pair in [*slider.pairs, *slider.keeps])
        assert set(slider.models) <= {row.id for row in catalogue.menu()}


WRONG = {
    "size:1e9": "the strength of size in sliders must be -5 to 5, not 1e9",
    "size:1, size:2": "sliders names 'size' twice; give it one strength",
    "size big": "sliders has 'size big'; each entry must be NAME:STRENGTH or NAME:STRENGTH@PHASE",
    "size:1@late": "the phase of size in sliders is 'late'; valid: all, structure, detail",
    "happy/:1": "unknown slider 'happy/'; valid: background, count, pattern, roundness, size, ",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_one_sentence(text):
    with pytest.raises(ValueError) as e:
        ImageRequest(PROMPT, model="tiny-sprint", sliders=text)
    assert str(e.value).startswith(WRONG[text])


def test_several_students_in_one_model_take_sliders_and_no_loras():
    row = catalogue.get("toybox-msd4")
    with pytest.raises(ValueError, match="several students of other shapes than their teacher's, and takes no LoRAs"):
        stack.loras("toybox-hyper:1", row)
    assert [entry for entry, _, _ in sliders.chosen("small/big:1", row)] == [Entry("small/big", 1.0)]


def test_a_trained_slider_is_a_lora_whose_strength_is_the_sliders(crew, trained):
    parts = crew["tiny-hyper"]
    assert [r.id for r in catalogue.menu() if r.id == trained] == [], "it paints nothing by itself"
    assert np.array_equal(run(parts, sliders=f"{trained}:1.5")[1], run(parts, loras="same:1.5")[1])
    assert np.array_equal(run(parts, sliders=f"{trained}:0")[1], run(parts)[1])
    both = run(parts, sliders=f"{trained}:0.5@structure, size:2", loras="tiny-cfg:0.3")[1]
    same = run(parts, sliders="size:2", loras="tiny-cfg:0.3, same:0.5@structure")[1]
    assert abs(both - same).max() <= 1, "sums in another order"
    assert abs(both - run(parts, sliders="size:2")[1]).max() > 9
    shown = {one["name"]: one for one in menu.beside(parts.row)}
    assert (shown[trained]["low"], shown[trained]["high"], shown[trained]["trained"]) == ("flat", "round", True)
    assert shown["size"]["trained"] is False and trained not in [
        one["name"] for one in menu.beside(crew["tiny-sana"].row)
    ]


def test_a_slider_of_the_box_acts_on_each_model_in_the_way_that_was_measured(crew, trained, monkeypatch):
    parts = crew["tiny-hyper"]
    ways = {"tiny-hyper": sliders.Range(0.5, -3.0, 3.0, "lora"), "tiny-cfg": sliders.Range(0.5, -3.0, 3.0)}
    boxed = replace(sliders.get("size"), models=ways, lora=trained)
    monkeypatch.setitem(sliders.box(), "size", boxed)
    assert trained not in sliders.own(), "one of the box is listed once"
    assert np.array_equal(run(parts, sliders="size:3")[1], run(parts, loras="same:1.5")[1])
    assert sliders.loras("size:3", catalogue.get("tiny-cfg")) == []
    assert sliders.loras("size:3", catalogue.get("tiny-sd")) == [Entry(trained, 3.0)], "not measured, and it fits"
    assert sliders.loras("size:3", catalogue.get("tiny-sana")) == [], "not measured, and of another family"
    assert len(directions.along("size:3", catalogue.get("tiny-sana"), parts.text)) == 1
    assert directions.along("size:3", parts.row, parts.text) == []


@pytest.mark.parametrize("id", ["tiny-sprint", "toybox-msd4"])
def test_a_trained_slider_is_refused_where_its_layers_are_not(trained, id):
    why = "which is several students of other shapes" if "msd4" in id else "which has other layers"
    with pytest.raises(ValueError, match=f"^the slider {trained} was trained on tiny-sd, so {id} can't use it, {why}$"):
        ImageRequest(PROMPT, model=id, sliders=f"{trained}:1")


def test_each_painter_of_a_run_has_the_slider_in_its_own_way(crew, trained, monkeypatch):
    ways = {"tiny-hyper": sliders.Range(0.5, -3.0, 3.0, "lora"), "tiny-sd": sliders.Range(2.0, -3.0, 3.0)}
    monkeypatch.setitem(sliders.box(), "size", replace(sliders.get("size"), models=ways, lora=trained))
    crew = families.load_all(["tiny-hyper", "tiny-sd"])
    fields = {"prompt": PROMPT, "model": "tiny-hyper", "steps": 4, "base_steps": 1}
    made = generate.Run.of(ImageRequest(**fields, sliders="size:2"), crew)
    nets: list[Any] = [turn.net for turn in made.turns]
    assert [[act.strength for act in net.acts] for net in nets] == [[], [1.0], [1.0], [1.0]]
    cond, t = crew["tiny-sd"].text([PROMPT]), torch.ones(1)
    first, later = (made.turns[i].prompts[0](cond, VP(), t) for i in (0, 1))
    assert torch.equal(later.tokens, cond.tokens) and not torch.equal(first.tokens, cond.tokens)


def test_a_slider_without_words_for_its_ends_is_no_slider(studio, trained):
    facts = json.loads((studio / "models" / trained / "manifest.json").read_text())
    with pytest.raises(ValueError, match="^the lora of a slider must have low and high, the words for its ends$"):
        Manifest.from_dict(facts | {"lora": {"low": "flat"}})

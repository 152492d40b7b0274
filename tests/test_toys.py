"""Toys and views: what a picture shows is what its attributes and captions say, for every seed and split."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distill.data import cache
from distill.data.toys import Toys, captions, prompt, questions, render, sample_scene, scene_at, truth, vocabulary
from distill.data.toys.__main__ import main
from distill.data.toys.captions import (
    COLOUR_WORDS,
    KIND_WORDS,
    NAMES,
    NUMBERS,
    PATTERN_TAILS,
    PATTERN_WORDS,
    SIZE_WORDS,
)
from distill.data.toys.kinds import FLAT, KINDS
from distill.data.toys.render import place
from distill.data.toys.scene import Scene, Thing
from models.palette import BACKGROUNDS, COLOURS, UNSEEN
from models.views import CHANCES, PHRASES, Camera, camera_matrix, position, project, ray_directions, sample_camera
from models.views import view_word as word_of

NUM = 300


def scenes(num: int = NUM, **kwargs) -> list[Scene]:
    return [scene_at(3, i, **kwargs) for i in range(num)]


def border(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def says(caption: str, word: str) -> bool:
    plain = caption.replace(",", " ")
    return f" {word} " in f" {plain} "


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fills_the_picture_and_is_never_cut(kind):
    for camera in (Camera(-30, 20, 4.1), Camera(80 if kind not in FLAT else 60, 8, 4.1), Camera(180, 70, 4.1)):
        scene = Scene((Thing(kind, "red"),), "white", camera, jitter=(1.0, 1.0, -1.0, 0, 0, 0, 0, 0))
        picture = render(scene)
        assert (border(picture) == BACKGROUNDS["white"]).all()
        shown = (picture != BACKGROUNDS["white"]).any(-1)
        assert shown.mean() > 0.05
        red = (picture[..., 0] > 1.6 * picture[..., 1]) & shown
        assert red.sum() > 0.35 * shown.sum(), "the toy's own colour dominates"


def test_scenes_keep_the_background_exact_and_the_frame_free():
    for scene in scenes(40):
        picture = render(scene)
        assert picture.dtype == np.uint8 and picture.shape == (128, 128, 3)
        assert (border(picture) == BACKGROUNDS[scene.background]).all()
        assert (picture != BACKGROUNDS[scene.background]).any(-1).mean() > 0.02
        assert len(place(scene)) == scene.count


def test_things_are_drawn_where_they_are_placed():
    for scene in (
        scene_at(1, 4, group="relation"),
        Scene((Thing("mug", "red"),), "blue", Camera(20, 20), size="small"),
    ):
        points = np.concatenate([project(scene.camera, p.hull) for p in place(scene)])
        rows, columns = np.nonzero((render(scene) != BACKGROUNDS[scene.background]).any(-1))
        low, high = (points.min(0) + 1) * 64, (points.max(0) + 1) * 64
        assert np.allclose([columns.min(), columns.max() + 1], [low[0], high[0]], atol=1.6)
        assert np.allclose([128 - rows.max() - 1, 128 - rows.min()], [low[1], high[1]], atol=1.6)


def test_small_is_big_made_smaller():
    big, small = (Scene((Thing("mug", "red"),), "blue", Camera(20, 20), size=size) for size in ("big", "small"))
    area = [(render(s) != BACKGROUNDS["blue"]).any(-1).sum() for s in (small, big)]
    assert 0.5 < (area[0] / area[1]) ** 0.5 < 0.58


def test_colours_come_out_as_named():
    """A ball's mean colour is nearest, by hue and lightness, to the colour that it was given."""
    mean = {}
    for colour in COLOURS:
        scene = Scene((Thing("ball", colour),), "green", Camera(0, 20))
        picture = render(scene).astype(float)
        mean[colour] = picture[44:84, 44:84].mean((0, 1))
    for colour, seen in mean.items():
        away = {name: np.abs(seen - COLOURS[name]).sum() for name in COLOURS}
        assert min(away, key=away.get) == colour


@pytest.mark.parametrize("relation", ["left of", "right of", "in front of", "on"])
def test_relations_hold_in_the_picture(relation):
    for scene in (s for s in scenes(120, group="relation") if s.relation == relation):
        first, second = (p.hull for p in place(scene))
        a, b = project(scene.camera, first), project(scene.camera, second)
        if relation in ("left of", "right of"):
            sign = 1 if relation == "right of" else -1
            assert sign * (a[:, 0].mean() - b[:, 0].mean()) > 0.1
        elif relation == "on":
            assert first[:, 1].min() > second[:, 1].min() + 0.1
        else:
            eye = position(scene.camera)
            assert np.linalg.norm(first - eye, axis=1).min() < np.linalg.norm(second - eye, axis=1).min()
            assert a[:, 1].min() < b[:, 1].min()


def test_light_stays_with_the_thing_when_the_camera_moves():
    """Radiance does not depend on the view: the top of a ball has one colour from everywhere around."""
    tops = []
    for azimuth in (0, 90, 180, 270):
        camera = Camera(azimuth, 35)
        top = project(camera, np.array([[0, 0.8, 0.0]]))[0]
        picture = render(Scene((Thing("ball", "teal"),), "white", camera, jitter=(0, 0, -1, 0, 0, 0, 0, 0)))
        x, y = int((top[0] + 1) * 64), int((1 - top[1]) * 64)
        tops.append(picture[y, x].astype(int))
    assert np.ptp(tops, axis=0).max() <= 6


def test_patterns_show_and_black_is_never_on_black():
    plain, striped, dotted = (
        render(Scene((Thing("ball", "blue", pattern),), "white", Camera(0, 20))) for pattern in PATTERN_WORDS
    )
    for marked in (striped, dotted):
        part = (plain != marked).any(-1).mean() / (plain != BACKGROUNDS["white"]).any(-1).mean()
        assert 0.15 < part < 0.6
    assert not any((t.colour, s.background) in UNSEEN for s in scenes(1500) for t in s.things)


def test_an_example_is_a_function_of_seed_and_index():
    short, long, other = Toys(seed=5, size=4), Toys(seed=5, size=400), Toys(seed=6, size=4)
    for i in range(4):
        a, b = short[i], long[i]
        assert (a.picture == b.picture).all()
        assert (a.captions, a.attributes, a.key) == (b.captions, b.attributes, b.key)
        assert json.loads(json.dumps(a.attributes)) == a.attributes
    assert [short[i].key for i in range(4)] != [other[i].key for i in range(4)]
    assert len({short[i].key for i in range(4)}) == 4


def test_another_process_draws_the_same():
    code = "from distill.data.toys import Toys; print(Toys(seed=5)[2].key)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == Toys(seed=5)[2].key


def test_splits_share_no_combination():
    train = {json.dumps(s.named()) for s in scenes(2000)}
    held = {json.dumps(s.named()) for s in scenes(100, split="held_out")}
    assert not train & held
    free = [sample_scene(np.random.default_rng(i)).split for i in range(4000)]
    assert 0.035 < free.count("held_out") / 4000 < 0.065
    assert {scene_at(0, i, "held_out", mini=True).split for i in range(20)} == {"held_out"}


def test_the_law_is_the_documented_one():
    drawn = [sample_scene(np.random.default_rng(i)) for i in range(6000)]
    one = [s for s in drawn if s.count == 1]
    assert abs(len(one) / 6000 - 0.6) < 0.03
    assert abs(sum(s.relation is not None for s in drawn) / 6000 - 0.22) < 0.03
    assert abs(sum(s.size == "big" for s in one) / len(one) - 0.75) < 0.03
    kinds = np.bincount([list(KINDS).index(s.things[0].kind) for s in one], minlength=27) / len(one)
    assert abs(kinds - 1 / 27).max() < 0.015
    assert all((s.size is None) == (s.count > 1) for s in drawn)


def test_mini_is_small():
    toys = Toys(mini=True, size=200)
    attributes = [toys.scene(i).attributes() for i in range(200)]
    assert len({a["kind"] for a in attributes}) == 6 and len({a["colour"] for a in attributes}) == 6
    assert {(a["pattern"], a["size"], a["count"], a["azimuth"]) for a in attributes} == {("plain", "big", 1, 30.0)}


def test_mistakes_are_one_sentence():
    with pytest.raises(ValueError, match="valid: train, held_out"):
        Toys(split="test")
    with pytest.raises(ValueError, match="valid: one, relation, several"):
        scene_at(0, 0, group="many")
    with pytest.raises(ValueError, match="cannot name weight"):
        prompt(scene_at(0, 0), ["weight"])
    with pytest.raises(IndexError):
        Toys(size=3)[3]


def untrue(caption: str, scene: Scene) -> list[str]:
    """Words of the grammar in a caption that the scene does not bear out."""
    colours = {t.colour for t in scene.things} | {scene.background}
    kinds = {t.kind for t in scene.things}
    bad = [w for c, words in COLOUR_WORDS.items() if c not in colours for w in words if says(caption, w)]
    allowed = " ".join(f" {form} " for k in kinds for pair in KIND_WORDS[k] for form in pair)
    for kind, pairs in KIND_WORDS.items():
        forms = [form for pair in pairs for form in pair if f" {form} " not in allowed]
        bad += [form for form in forms if kind not in kinds and says(caption, form)]
    patterns = {t.pattern for t in scene.things}
    for table in (PATTERN_WORDS, PATTERN_TAILS):
        bad += [w for p, words in table.items() if p not in patterns for w in words if says(caption, w)]
    bad += [w for s, words in SIZE_WORDS.items() if s != scene.size for w in words if says(caption, w)]
    bad += [w for n, w in NUMBERS.items() if (n != scene.count or scene.relation) and says(caption, w)]
    bad += [p for v, phrases in PHRASES.items() if v != scene.view for p in phrases if caption.endswith(", " + p)]
    return bad + [a for a in ("a a", "a e", "a i", "a o", "a u") if f" {a}" in f" {caption}"]


def test_captions_are_true_and_differ_in_how_much_they_say():
    lengths = np.zeros(4)
    for i, scene in enumerate(scenes(800)):
        words = captions(scene, np.random.default_rng(i))
        lengths += [len(w.split()) for w in words]
        for caption in words:
            assert untrue(caption, scene) == []
            assert any(says(caption, form) for pair in KIND_WORDS[scene.things[0].kind] for form in pair)
    assert (np.diff(lengths) > 0).all()


def test_prompts_read_naturally():
    mug = Scene((Thing("mug", "red", "striped"),), "blue", Camera(90, 10), size="small")
    assert prompt(mug, NAMES) == "a small striped red mug on a blue background, side view"
    assert prompt(Scene((Thing("robot", "teal"),), "white", Camera(0, 10), count=2, size=None), ["colour"]) == (
        "two teal robots"
    )
    pair = (Thing("egg", "orange"), Thing("table", "grey"))
    on = Scene(pair, "white", Camera(0, 30), count=2, relation="on", size=None)
    assert prompt(on, ["colour"]) == "an orange egg on a grey table"
    assert truth(on, ["colour"]) == {
        "kind": "egg", "colour": "orange", "count": 2, "relation": "on", "kind2": "table", "colour2": "grey"
    }  # fmt: skip


def test_questions_promise_what_they_say():
    for group in ("one", "relation", "several"):
        questioned = questions(group, ["colour"], 12)
        assert questioned == questions(group, ["colour"], 12)
        for text, promised in questioned:
            assert says(text, COLOUR_WORDS[promised["colour"]][0])
            assert ("kind2" in promised) == (group == "relation")
            assert "background" not in promised and "view" not in promised


def test_the_vocabulary_holds_every_word_that_is_said():
    known = {w for words in vocabulary().values() for phrase in words for w in phrase.split()}
    known |= {form for pairs in KIND_WORDS.values() for _, plural in pairs for form in plural.split()}
    known |= set("a an on against background".split())
    for i, scene in enumerate(scenes(300)):
        for caption in captions(scene, np.random.default_rng(i)):
            assert set(caption.replace(",", "").split()) <= known


def test_the_command_draws_a_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["toys", "--preview", str(tmp_path / "grid.png"), "--n", "3", "--mini"])
    main()
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    toys = Toys(0, "train", 3, True)
    for i in range(3):
        cell = grid[2:130, 132 * i + 2 : 132 * i + 130]
        assert np.array_equal(cell, toys[i].picture) and grid[132:180, 132 * i : 132 * i + 132].min() < 100, "captioned"


@given(st.floats(-720, 720), st.floats(-89, 90), st.floats(2, 6))
@settings(max_examples=60, deadline=None)
def test_a_camera_looks_at_the_origin(azimuth, elevation, radius):
    camera = Camera(azimuth, elevation, radius)
    matrix = camera_matrix(camera)
    turn = matrix[:3, :3]
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.isclose(np.linalg.det(turn), 1)
    assert np.allclose(matrix[:3, 3] - radius * turn[:, 2], 0)
    assert np.allclose(project(camera, np.zeros((1, 3))), 0)
    assert turn[1, 1] >= -1e-9, "up is never down"


def test_rays_and_projection_agree():
    camera = Camera(33, 21, 4.2)
    way = ray_directions(camera, 16)
    points = position(camera) + 3.3 * way[2, 11]
    x, y = project(camera, points[None])[0]
    assert np.allclose([x, y], [(11.5 / 16) * 2 - 1, 1 - (2.5 / 16) * 2])


@pytest.mark.parametrize(
    ("azimuth", "elevation", "word"),
    [(0, 0, "front"), (-45, 10, "front"), (315, 10, "front"), (46, 10, "side"), (-90, 0, "side"), (134, 0, "side"),
     (180, 0, "back"), (-136, 60, "back"), (0, 61, "overhead"), (540, 0, "back")],
)  # fmt: skip
def test_view_words(azimuth, elevation, word):
    assert word_of(azimuth, elevation) == word


def test_the_right_side_is_on_the_right_hand_of_a_thing_that_looks_forward():
    assert position(Camera(90, 0, 2.0)) == pytest.approx([-2, 0, 0])  # looking along +z with y up, right is -x
    assert position(Camera(0, 0, 2.0)) == pytest.approx([0, 0, 2])


def test_cameras_follow_their_law():
    drawn = [sample_camera(np.random.default_rng(i)) for i in range(3000)]
    for view, chance in CHANCES.items():
        assert abs(sum(word_of(c.azimuth, c.elevation) == view for c in drawn) / 3000 - chance) < 0.03


@pytest.mark.parametrize("name", ["pictures-0000000.npy", "facts-0000000.json"])
def test_a_torn_file_of_a_cache_is_made_again(tmp_path, name):
    toys, lines = Toys(size=6, mini=True), []
    first = cache.draw(toys, tmp_path, lines.append)
    path = cache.folder(toys, tmp_path) / name
    good, where = path.read_bytes(), np.array(first.arrays[0])
    path.write_bytes(good[: len(good) // 2])
    again = cache.draw(toys, tmp_path, lines.append)
    assert lines == ["drawing mini 0 to 6 of 6"] * 2 and path.read_bytes() == good
    assert (again.arrays[0] == where).all() and again.captions == first.captions

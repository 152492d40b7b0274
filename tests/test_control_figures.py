"""What benchmarks.control measures: the truth scores 1, another place less, and a sketch is that of its toy."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from benchmarks import control
from distill.data.steered import detected
from distill.data.toys.render import render
from models import inputs


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(tmp_path_factory.mktemp("studio")))
        yield control.drawn(6)


def test_real_pictures_score_1_and_others_less(toys):
    pictures = [render(toy.scene) for toy in toys]
    own = [control.iou(control.silhouette(p), t.silhouette) for p, t in zip(pictures, toys, strict=True)]
    other = [control.iou(control.silhouette(p), t.silhouette) for p, t in zip(pictures[1:], toys[:-1], strict=True)]
    assert np.median(own) > 0.97 and np.median(other) < 0.8, (own, other)
    edges = [control.f_score(detected.edges(p), t.edges) for p, t in zip(pictures, toys, strict=True)]
    blank = control.f_score(np.zeros((128, 128), bool), toys[0].edges)
    assert min(edges) > 0.6 and blank == 0, edges
    assert control.f_score(toys[0].edges, np.roll(toys[0].edges, 2, 1)) == 1
    assert control.f_score(toys[0].edges, np.roll(toys[0].edges, 9, 1)) < 0.7


def test_each_sketch_is_of_its_toy(toys):
    for toy in toys:
        sheet = np.asarray(Image.open(io.BytesIO(inputs.path(toy.drawing).read_bytes())), float)
        ink, near = sheet < 128, binary_dilation(toy.edges, np.ones((25, 25), bool))
        assert ink.any() and sheet[0].min() > 200 and (ink & near).sum() / ink.sum() > 0.95
        assert toy.scene.things[0].colour in toy.prompt and toy.scene.background in toy.prompt


def test_the_table_has_the_floor_beside_each_model():
    place = {"model": "m", "steps": 1, "sd": None, "n": 4}
    rows = [place | {"sketch": s, "metric": "iou", "value": v} for s, v in (("none", 0.6), ("followed", 0.85))]
    text = control.table(rows)
    assert "| m | 1 | none | 0.6 |" in text and "| m | 1 | followed | 0.85 |" in text and "≥ 0.80" in text

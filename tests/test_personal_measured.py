"""What the benchmark of one's own things measures: which thing a picture shows, and a student as a base of its own."""

import numpy as np
import pytest
import torch

from benchmarks import personal
from benchmarks.subjects import NAMES, Subject
from benchmarks.whole import whole
from distill.world import judge_named
from models import catalogue, families
from models.generate import Image, generate
from models.request import ImageRequest
from tests import tiny


@pytest.fixture(scope="module")
def readers():
    judges = {"nearest": "judge-emoji", "probe": "judge-b"}
    return {name: personal.known(judge_named(judge), "toys") for name, judge in judges.items()}


def test_things_are_told_from_one_another_and_from_what_the_box_knows(readers):
    """Real pictures, of which nothing was fitted."""
    for number in range(len(NAMES)):
        seen = personal.poses(Subject(number), personal.HELD, 8)
        assert min(personal.recognised(readers, seen, Subject(number)).values()) >= 85
        other = Subject((number + 1) % len(NAMES))
        assert max(personal.recognised(readers, seen, other).values()) <= 15
    noise = torch.randint(0, 256, (8, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    flat = torch.full((8, 3, 128, 128), 200, dtype=torch.uint8)
    for pictures in (noise, flat):
        shares = [personal.recognised(readers, pictures, Subject(k))["nearest"] for k in range(len(NAMES))]
        assert max(shares) == 0


def test_a_student_as_a_base_of_its_own_paints_the_students_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    tiny.build(tmp_path)
    tiny.build_sd(tmp_path)
    made = whole("tiny-hyper")
    row = catalogue.get(made)
    assert (row.manifest.kind, row.manifest.lora, row.manifest.base) == ("model", None, "tiny-sd")
    assert whole("tiny-hyper") == made, "made once"

    def painted(id: str) -> np.ndarray:
        parts = families.load_all([id])[id]
        request = ImageRequest("a red ball", model=id, steps=1, seed=3)
        (one,) = (e for e in generate(parts, request) if isinstance(e, Image))
        return np.asarray(one.picture, int)

    assert np.abs(painted(made) - painted("tiny-hyper")).max() <= 1
    assert np.abs(painted(made) - painted("tiny-sd")).max() > 8

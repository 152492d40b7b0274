"""The study of variety: its figures on answers that are known, and tables that are those of its rows."""

import pytest
import torch

from benchmarks import commitment, diversity, diversity_table, report
from benchmarks.scoring import Reading
from core.paths import assets
from models import catalogue


def test_effective_numbers_shares_and_distances_of_known_answers():
    assert diversity.effective(["a", "b", "c", "d"]) == pytest.approx(4)
    assert diversity.effective(["a"] * 9) == pytest.approx(1)
    assert diversity.commonest(["a", "a", "a", "b"]) == 0.75
    assert diversity.variation(["a", "b"], ["a", "b", "a", "b"]) == 0
    assert diversity.variation(["a", "a"], ["b"]) == 1


def test_variety_counts_directions_and_not_pictures():
    """Eight times the same is one; eight at right angles are eight, wherever they were drawn from."""
    alike, apart = torch.ones(16, 32), torch.eye(32)[:16]
    assert diversity.variety(alike, 0) == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-6))
    assert diversity.variety(apart, 0) == (pytest.approx(8, abs=1e-3), pytest.approx(1))


def answer(kind: str, colour: str, background: str) -> dict[str, str]:
    return {
        "kind": kind,
        "colour": colour,
        "background": background,
        "pattern": "plain",
        "size": "big",
        "view": "front",
    }


def test_only_what_a_prompt_names_must_be_right_and_what_it_leaves_open_is_counted_of_those():
    """Sixteen pictures each of "a red mug" and of "a mug": in each eight are right, all on white."""
    good, bad = answer("mug", "red", "white"), answer("ball", "red", "black")
    law = [answer("mug", "red", g) for g in ("white", "black")]
    features = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    expected = [{"kind": "mug", "colour": "red"}, {"kind": "mug"}]
    own = Reading(features, [good] * 32)
    ground = diversity.Ground(None, ["a red mug", "a mug"], expected, [law, law], features, own, features.mean(0))
    out = diversity.figures(ground, Reading(features, ([good] * 8 + [bad] * 8) * 2), 0)
    assert (out["kind"], out["colour"], out["right"]) == (0.5, 1.0, 0.5)
    assert (out["background_number"], out["background_off"], out["background_commonest"]) == (1, 0.5, 1)
    assert out["colour_off"] == 0 and out["vendi_right"] > 1, "a colour is open in the second prompt alone"


def test_every_student_is_planned_every_cure_at_each_of_its_strengths():
    plan = [(name, r.steps, c.name, c.strength) for r, name, c, _ in diversity.plan(list(diversity.STUDENTS))]
    assert len(set(plan)) == len(plan) > 250, "each has a row of its own"
    for student, counts in diversity.STUDENTS.items():
        for steps in counts:
            own = {(cure, strength) for name, n, cure, strength in plan if (name, n) == (student, steps)}
            fitting = {"none", "even", "background", "pink", "text_noise", "cads"}
            fitting |= {"base_steps", "base_guidance", "base_last", "skip_steps", "unlike"} if steps > 1 else set()
            fitting |= {"adapter_first"} if catalogue.get(student).manifest.kind == "lora" else set()
            assert fitting <= {cure for cure, _ in own}
            for cure in fitting & set(diversity.STRENGTHS):
                assert {s for name, s in own if name == cure} == set(diversity.STRENGTHS[cure])


@pytest.mark.parametrize(
    "cure, fields",
    [
        (("base_steps", 2), {"base_steps": 2}),
        (("pink", 0.5), {"pink": 0.5}),
        (("skip_steps and pink", 0.5), {"skip_steps": 1, "pink": 0.5}),
        (("base_steps and unlike", 0.9), None),
        (("background", 1), None),
        (("base_guidance", 3), None),
    ],
)
def test_the_knob_uses_cures_that_are_fields_alone(cure, fields):
    assert diversity_table.fields_of(cure) == fields


def row(model, cure, strength, metric, value):
    place = {"model": model, "steps": 4, "cure": cure, "strength": strength}
    return place | {"metric": metric, "value": value, "sd": None, "n": 1}


def test_stops_of_the_knob_are_those_that_no_other_beats_weakest_first():
    figures = {
        ("none", 0): (3.0, 0.90, 1.0),
        ("base_steps", 1): (3.6, 0.89, 1.1),
        ("pink", 0.5): (3.3, 0.85, 1.0),  # beaten in both
        ("text_noise", 0.2): (3.2, 0.90, 1.0),
        ("cads", 1.0): (4.5, 0.60, 1.0),  # too few are right
        ("base_last", 1): (3.9, 0.95, 1.0),  # no stop of the knob
    }
    rows = [
        row("toybox-dmd2", *cure, metric, value)
        for cure, values in figures.items()
        for metric, value in zip(("vendi_right", "right", "walk"), values, strict=True)
    ]
    found = diversity_table.ladders(diversity_table.cells(rows))
    assert [stop["fields"] for stop in found] == [{"text_noise": 0.2}, {"base_steps": 1}]
    assert found[1] == {
        "model": "toybox-dmd2",
        "steps": 4,
        "fields": {"base_steps": 1},
        "variety": 1.2,
        "right": 0.989,
        "time": 1.1,
    }
    [nothing] = diversity_table.ladders(diversity_table.cells(rows[:3]))
    assert nothing == {"model": "toybox-dmd2", "steps": 4, "fields": {}}


def test_page_and_knob_are_those_of_the_rows():
    text = diversity_table.PAGE.read_text(encoding="utf-8")
    assert diversity_table.page(text) == text, "write them again: python -m benchmarks.diversity_table"
    assert (assets() / "variety.json").read_text(encoding="utf-8") == diversity_table.knob()
    rights = [r for r in report.read(diversity_table.STUDY) if r["metric"] == "right" and r["model"] != "law"]
    assert len(rights) > 90 and all(r["sd"] is not None for r in rights), "three sampling seeds"


def test_a_picture_is_decided_where_it_stays_what_it_becomes():
    """Four steps of two pictures; the third step falls back, so that the second decides nothing."""
    way, curve = [0.0, 0.25, 0.5, 0.75], torch.tensor([[0.1, 0.3], [0.95, 0.95], [0.5, 0.5], [1.0, 1.0]])
    assert commitment.decided(curve, way) == 0.75 and commitment.decided(curve[:2], way[:2]) == 0.25
    assert commitment.at(curve, way, 0.1).tolist() == pytest.approx([0.1, 0.3])
    assert commitment.at(curve, way, 1 / 3).tolist() == pytest.approx([0.95, 0.95])
    value, low, high = commitment.banded(lambda which: float(curve[0, which].mean()), 2)
    assert (value, low, high) == pytest.approx((0.2, 0.1, 0.3))
    final = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    there = torch.stack([final.mean(0).expand(2, 2), final])
    assert commitment.left(there, final).tolist() == [[0, 0], [1, 1]]


def test_the_stops_of_the_slider_are_about_equally_far_apart_in_variety():
    front = [{"variety": v} for v in (1.04, 1.05, 1.08, 1.12, 1.16, 1.3)]
    kept = [rung["variety"] for rung in diversity_table._apart(front)]
    assert kept == [1.04, 1.12, 1.16, 1.3], "1.05 is within the noise of 1.04"
    assert [rung["variety"] for rung in diversity_table._apart(front[:3])] == [1.04, 1.08]

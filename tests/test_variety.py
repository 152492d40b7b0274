"""The knob of variety: rungs that each model can be asked for, weakest first, and what they bring and cost in words."""

import pytest

from models import catalogue, variety
from models.request import ImageRequest
from models.variety import Rung, knob, ladder
from tests import tiny


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path)))


def test_each_rung_of_the_table_is_a_request_that_its_model_takes():
    assert variety.table(), "the study wrote it"
    for entry in variety.table():
        row = catalogue.get(entry["model"])
        ImageRequest("a mug", model=row.id, steps=entry["steps"], **entry["fields"])
        assert set(entry["fields"]) <= set(variety.CURES)
    for id in {entry["model"] for entry in variety.table()}:
        for steps in catalogue.get(id).manifest.step_counts:
            rungs = ladder(catalogue.get(id), steps)
            values = [rung.variety for rung in rungs]
            assert values == sorted(values)
            for shown in knob(catalogue.get(id), steps)["rungs"]:
                ImageRequest("a mug", model=id, steps=steps, **shown["fields"])


def test_what_a_rung_does_brings_and_costs_is_said():
    assert Rung({"base_steps": 1}, 1.13, 0.98, 1.12, 4).words == (
        "Its base takes the first step. 13 % more varied, about as right, 12 % slower."
    )
    assert Rung({"skip_steps": 1, "pink": 0.5}, 1.2, 0.9, 0.75, 4).words == (
        "The first step is left out, larger shapes in the starting noise (0.5). "
        "20 % more varied, 10 % fewer pictures right, 25 % faster."
    )
    assert Rung({"text_noise": 0.2}).words == "Noise on the prompt (0.2). Not measured on this model."


def test_a_model_that_nobody_measured_has_stops_that_it_can_obey(studio):
    sprint, teacher = catalogue.get("tiny-sprint"), catalogue.get("tiny-sana")
    assert [r.fields for r in ladder(sprint, 4)] == list(variety.UNMEASURED)
    assert [r.fields for r in ladder(sprint, 1)] == [{"text_noise": 0.2}], "one step has no room for a base"
    assert [r.fields for r in ladder(teacher, 8)] == [{"text_noise": 0.2}], "a teacher has no base that paints"
    assert not variety.able(sprint, 4, {"adapter_first": 0.5}), "it is no LoRA"
    full = knob(sprint, 4)["rungs"][1]["fields"]
    assert full == variety.usual() | {"base_steps": 1}, "every cure's field is named, so that one stop undoes another"


def test_where_nothing_helps_the_knob_says_so(studio, monkeypatch):
    monkeypatch.setattr(variety, "table", lambda: [{"model": "tiny-sprint", "steps": 1, "fields": {}}])
    assert knob(catalogue.get("tiny-sprint"), 2) == {
        "rungs": [],
        "reason": "Nothing that was tried gives tiny-sprint more variety at 2 steps.",
        "note": "",
    }


def test_in_one_step_it_is_said_why_the_base_takes_no_part_and_what_can_be_done():
    def note(id, steps):
        return knob(catalogue.get(id), steps)["note"]

    why = "Its base can't take part in one step, as none would be left for {}; {}."
    assert note("toybox-hyper", 1) == why.format("toybox-hyper", "with 2 steps it can take the first")
    assert note("toybox-disback", 1) == why.format("toybox-disback", "it was made for one step alone")
    assert note("toybox-hyper", 2) == ""
    assert note("toybox-sd", 1) == "", "it has no base that paints"

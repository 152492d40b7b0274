"""What comes before the steps of a training says its name, how far it is and how long it takes."""

import json
import time

import numpy as np

from core.progress import lasted, size
from core.stage import heard, tell
from distill.data import Example, cache
from distill.report import Reporter
from distill.settings import TrainConfig


class Plain:
    """A source of grey pictures."""

    name = "plain"

    def __len__(self):
        return 120

    def __getitem__(self, index):
        return Example(np.full((8, 8, 3), index, np.uint8), ("grey",), {}, f"{index}")


def test_drawing_and_encoding_say_how_far_they_are_and_only_when_they_happen(tmp_path):
    seen_stages = []
    with heard(lambda *event: seen_stages.append(event)):
        for _ in range(2):  # the second time all of it is there
            cache.latents(Plain(), tmp_path, "key", lambda x: x[:, :1, :2, :2], say=lambda text: None)
    tell("nobody listens", 0, 1)
    stages = [("drawing plain", i, 120) for i in (0, 50, 100)] + [("encoding plain", i, 120) for i in (0, 50, 100)]
    assert seen_stages == stages


def test_a_stage_is_written_where_the_page_reads_with_the_time_that_is_left(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    report = Reporter(tmp_path / "runs/r", TrainConfig(steps=10))
    for at, stage, done in ((0, "drawing toys", 0), (0.2, "drawing toys", 50), (10, "drawing toys", 500), (11, "b", 0)):
        now[0] = 100 + at
        report.stage(stage, done, 2000)
    rows = [json.loads(line) for line in (tmp_path / "runs/r/events.jsonl").read_text().splitlines()]
    facts = [(r["stage"], r["step"], r["total"], r.get("seconds_left")) for r in rows]
    assert facts == [("drawing toys", 0, 2000, None), ("drawing toys", 500, 2000, 30.0), ("b", 0, 2000, None)]


def test_no_time_is_told_before_there_is_a_pace(tmp_path):
    report = Reporter(tmp_path / "runs/r", TrainConfig(steps=10, log_every=1))
    report.write(1, {"student/loss": 1.0})
    rows = [json.loads(line) for line in (tmp_path / "runs/r/events.jsonl").read_text().splitlines()]
    assert ["seconds_left" in r for r in rows if r["kind"] == "progress"] == [False]


def test_lengths_and_sizes_are_in_units_that_fit():
    assert [lasted(s) for s in (2.3, 81.8, 90, 9000)] == ["2.3 seconds", "82 seconds", "1.5 minutes", "2.5 hours"]
    assert [size(n) for n in (190_000, 392_200_000)] == ["0.19 MB", "0.39 GB"]

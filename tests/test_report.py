"""What a run tells while it goes on: its events, the means of what was logged, the time that is left."""

import json
from collections import Counter

import torch

from core import events
from distill.method import Player
from distill.mover import moves
from distill.report import Reporter
from distill.settings import TrainConfig


def test_what_a_step_logs_is_averaged_where_it_is_finite(tmp_path):
    values = [1.0, float("nan"), 3.0]
    report = Reporter(tmp_path / "runs/r", TrainConfig(log_every=3, steps=3))
    for step, value in enumerate(values):
        report.step(step + 1, {"loss": torch.tensor(value), "gone": torch.tensor(float("inf"))}, 1.0)
    rows = [json.loads(line) for line in (tmp_path / "runs/r/events.jsonl").read_text().splitlines()]
    assert [r["values"] for r in rows if r["kind"] == "metric"] == [{"loss": 2.0}]


def test_the_time_left_counts_whose_turns_are_to_come(tmp_path, capsys):
    """A student that moves every second step from step 20 on, four seconds then; a critic alone takes one."""
    report, net = Reporter(tmp_path / "runs/r", TrainConfig(log_every=10, steps=3640)), torch.nn.Linear(1, 1)
    players = {"student": Player(net, 1e-3, every=2, start=20), "critic": Player(net, 1e-3)}
    report.movers = [moves(name, p, 0.0, "adamw") for name, p in players.items()]
    for step in range(40):
        turns = [m.name for m in report.movers if m.turn(step)]
        logs = {f"{name}/loss": torch.tensor(0.0) for name in turns}
        report.step(step + 1, logs, 4.0 if "student" in turns else 1.0)
    rows = [json.loads(line) for line in (tmp_path / "runs/r/events.jsonl").read_text().splitlines()]
    left = {r["step"]: r["seconds_left"] for r in rows if r["kind"] == "progress"}
    assert left == {10: 3630, 20: 3620, 30: 1805 * 5, 40: 1800 * 5}
    warnings = [line for line in capsys.readouterr().err.splitlines() if "about" in line]
    assert warnings == [f"r: about {h} left at the pace so far" for h in ("60 minutes", "2.5 hours")]


def test_events_survive_a_torn_line(tmp_path):
    run = tmp_path / "runs" / "torn"
    log = events.Events(run)
    log.write("progress", stage="train", step=1, total=2)
    log.close()
    with (run / events.FILE).open("a") as f:
        f.write('{"time": 1, "kind": "metr')
    assert [e["step"] for e in events.lines(run)] == [1]
    again = events.Events(run)
    again.write("progress", stage="train", step=2, total=2)
    assert again.attempt == 2 and [e["step"] for e in events.lines(run)] == [1, 2]
    assert json.loads((run / events.FILE).read_text().splitlines()[0])["attempt"] == 1


def test_what_a_later_attempt_redoes_is_dropped(tmp_path):
    run = tmp_path / "runs" / "again"
    log = events.Events(run)
    for step in (10, 20, 30):
        log.write("metric", step=step, values={"student/loss": step / 10})
    log.close()
    log = events.Events(run)
    log.write("progress", stage="train", step=20, total=40, resumed_from=20)
    log.write("metric", step=30, values={"student/loss": 7.0})
    metrics = [(e["step"], e["values"]["student/loss"]) for e in events.read(run) if e["kind"] == "metric"]
    assert metrics == [(10, 1.0), (20, 2.0), (30, 7.0)]


def test_the_steps_to_come_are_counted_as_one_by_one(tmp_path):
    report, net = Reporter(tmp_path / "runs/r", TrainConfig(steps=97)), torch.nn.Linear(1, 1)
    turns = {"a": (2, 1, 0, 40), "b": (5, 0, 13, 1 << 60), "c": (1, 0, 30, 61)}  # every, phase, start, stop
    players = {k: Player(net, 1e-3, every=e, phase=p, start=a, stop=b) for k, (e, p, a, b) in turns.items()}
    report.movers = [moves(name, p, 0.0, "adamw") for name, p in players.items()]
    for step in (0, 7, 29, 60, 96, 97):
        plain = Counter(frozenset(m.name for m in report.movers if m.turn(s)) for s in range(step, 97))
        assert Counter({who: n for who, n in report.coming(step).items() if n}) == plain

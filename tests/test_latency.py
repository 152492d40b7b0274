"""The latency benchmark measures what it says, on models that are there."""

import json

import pytest
import torch

from benchmarks import latency
from tests import tiny


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path)))
    monkeypatch.setattr(latency, "BATCHES", (1, 2))


def test_flat_rows_and_a_table(tmp_path, capsys):
    out = tmp_path / "latency.json"
    for _ in range(2):
        assert latency.main(["--model", "tiny-sprint", "--repeats", "1", "--device", "cpu", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())
    found = {(r["measure"], r["batch"]): r for r in rows}
    assert len(found) == len(rows), "a second run replaces the rows of the first"
    assert all(not isinstance(v, dict | list) for r in rows for v in r.values())
    ms = {k: r["value"] for (k, _), r in found.items() if r["unit"] == "ms"}
    assert ms["bare sum"] == pytest.approx(ms["text encoder"] + ms["transformer"] + ms["decoder"])
    assert found["pipeline / generate", 1]["value"] == pytest.approx(ms["pipeline"] / ms["generate"])
    assert found["teacher / student, network", 1]["value"] == pytest.approx(
        ms["teacher, network"] / ms["student, network"]
    )
    bound = found["the same with a student that costs nothing", 1]["value"]
    assert bound > found["teacher / student, end to end", 1]["value"] > 1
    assert {b for m, b in found if m == "pictures a second"} == {1, 2}
    assert found["peak memory", 2]["value"] is None or 0.1 < found["peak memory", 2]["value"] < 100
    table = capsys.readouterr().out
    assert "| tiny-sprint |" in table and "≥ 1.3" in table and table.count("|\n") == 2 * (len(rows) + 2)


def test_contenders_take_turns():
    seen = []
    times = latency.rounds({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2, torch.device("cpu"))
    assert seen == ["a", "b"] * 3 and set(times) == {"a", "b"}


def test_a_model_that_is_not_there_is_one_sentence(capsys):
    assert latency.main(["--model", "nobody"]) == 2
    assert "unknown model 'nobody'; valid: " in capsys.readouterr().err

"""The latency benchmark measures what it says, on models that are there."""

import json

import pytest
import torch

from benchmarks import drawing, keystroke, latency, report
from models import catalogue, families, weights
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
    measured = {(r["measure"], r["batch"]): r for r in rows}
    assert len(measured) == len(rows), "a second run replaces the rows of the first"
    assert all(not isinstance(v, dict | list) for r in rows for v in r.values())
    ms = {k: r["value"] for (k, _), r in measured.items() if r["unit"] == "ms"}
    assert ms["bare sum"] == pytest.approx(ms["text encoder"] + ms["transformer"] + ms["decoder"])
    assert measured["pipeline / generate", 1]["value"] == pytest.approx(ms["pipeline"] / ms["generate"])
    assert measured["teacher / student, network", 1]["value"] == pytest.approx(
        ms["teacher, network"] / ms["student, network"]
    )
    bound = measured["upper bound (a network that takes no time)", 1]["value"]
    assert bound > measured["teacher / student, end to end", 1]["value"] > 1
    assert measured["teacher / student, network", 1]["value"] > 5, "40 calls against one"
    assert measured["teacher / student, network", 1]["target"] == "≥ 30"
    assert {b for m, b in measured if m == "pictures a second"} == {1, 2}
    assert measured["peak memory", 2]["value"] is None or 0.1 < measured["peak memory", 2]["value"] < 100
    table = capsys.readouterr().out
    assert "| tiny-sprint |" in table and "≥ 1.3" in table and table.count("|\n") == 2 * (len(rows) + 2)


def test_a_student_of_four_steps_stands_beside_its_teacher_at_its_own(tmp_path):
    """Nothing is promised there: how many times faster it should be is said for one step against twenty."""
    home = tiny.build_sd(tmp_path) / "models" / "tiny-hyper"
    manifest = json.loads((home / "manifest.json").read_text())
    manifest |= {"timesteps": {"4": manifest["timesteps"]["4"]}, "default_steps": 4}
    (home / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "latency.json"
    assert latency.main(["--model", "tiny-hyper", "--repeats", "1", "--device", "cpu", "--out", str(out)]) == 0
    measured = {r["measure"]: r for r in json.loads(out.read_text())}
    assert (
        measured["teacher / student, network"]["value"] > 1 and measured["teacher / student, network"]["target"] is None
    )
    assert measured["teacher / student, end to end"]["target"] is None
    assert {measured[way]["target"] for way in ("switch to a LoRA", "switch back to its base")} == {"≤ 100"}


def test_what_is_timed_as_a_switch_changes_the_weights_and_gives_them_back(tmp_path, monkeypatch):
    tiny.build_sd(tmp_path)
    student, digests = families.load(catalogue.get("tiny-hyper")), {}
    network, own = student.denoiser.network, weights.digest(student.denoiser.network)

    def once(works, repeats, device):
        for name, work in works.items():
            work()
            digests[name] = weights.digest(network)
        return dict.fromkeys(works, 1.0)

    monkeypatch.setattr(latency, "rounds", once)
    latency.switching(student, 1)
    assert digests["switch to a LoRA"] != own and digests["switch back to its base"] == own


def test_contenders_take_turns():
    seen = []
    times = latency.rounds({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2, torch.device("cpu"))
    assert seen == ["a", "b"] * 3 and set(times) == {"a", "b"}


def test_a_model_that_is_not_there_is_one_sentence(capsys):
    assert latency.main(["--model", "nobody"]) == 2
    assert "unknown model 'nobody'; valid: " in capsys.readouterr().err


def test_toys_drawn_a_second_are_a_row_beside_the_others(tmp_path, capsys):
    out = tmp_path / "latency.json"
    report.write(out, [{"model": "m", "measure": "toys drawn a second", "batch": 1, "device": "d", "threads": 1}])
    for _ in range(2):
        assert drawing.main(["--pictures", "3", "--out", str(out)]) == 0
    other, row = report.read(out)
    assert other["model"] == "m" and row["model"] is None
    assert 0.1 < row["value"] < 10_000 and row["target"] == "≥ 40"
    assert "| – |" in capsys.readouterr().out


@pytest.mark.parametrize("benchmark", [latency, keystroke])
def test_the_docs_show_what_was_measured(benchmark):
    name = benchmark.__name__.rpartition(".")[2]
    table = benchmark.table(report.read(report.RESULTS / f"{name}.json"))
    page = report.page(name)
    assert page is not None
    text = page.read_text(encoding="utf-8")
    assert report.insert(text, name, table) == text and table.count("\n") > 4
    assert (report.RESULTS / f"{name}.md").read_text(encoding="utf-8") == table

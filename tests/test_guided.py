"""Guidance in an adapter against guidance by two calls: the copy that it is compared with has the very same loss."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import guided, report
from distill.method import Rows
from tests import tiny


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A studio with tiny models, and a folder of two pictures."""
    studio = tiny.build_sd(tmp_path_factory.mktemp("studio"))
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("a red ball", (200, 30, 30)), ("a blue cube", (30, 30, 200))):
        Image.fromarray(np.full((128, 128, 3), colour, np.uint8)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(studio))
        yield str(folder)


def test_a_copy_learns_the_same_and_holds_more(pictures):
    adapter, copy = (guided.trainer(how, "tiny-sd", pictures, 2) for how in guided.HOW)
    losses = []
    for t in (adapter, copy):
        batch = t.scene.batch(0, 2, Rows(0, 0, 2))
        losses.append(t.method.loss("student", batch, Rows(0, 0, 2, stream=1)).loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0] > 0
    few, all_of_it = (sum(w.numel() for w in t.movers[0].weights.values()) for t in (adapter, copy))
    network = copy.scene.world.student
    assert few < all_of_it == sum(w.numel() for w in network.parameters())
    assert adapter.scene.world.teacher is None and copy.scene.world.teacher is not None
    before = [w.clone() for w in copy.scene.world.teacher.parameters()]
    copy.advance()
    assert all(torch.equal(a, b) for a, b in zip(before, copy.scene.world.teacher.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.slow
def test_figures_stand_beside_one_another_on_the_page(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    measured = {"steps": 4, "guidance": 3.0, "metric": "kind"}
    rows = [measured | {"model": "tiny-cfg", "value": 0.6}, measured | {"model": "tiny-sd", "value": 0.8}]
    rows += [measured | {"model": "tiny-cfg", "value": 0.1, "steps": 8}]
    report.write(tmp_path / "quality.json", rows)
    (tmp_path / "cfg_lora.md").write_text("before\n<!-- guided:start -->\n<!-- guided:end -->\nafter\n")
    command = ["--model", "tiny-cfg", "--repeats", "2", "--device", "cpu", "--batch", "2", "--dataset", pictures]
    assert guided.main([*command, "--docs", str(tmp_path)]) == 0, capsys.readouterr().err
    by_measure = {r["measure"]: r for r in report.read(tmp_path / "guided.json")}
    assert list(by_measure) == ["time per picture", "peak memory of training", "kind"]
    assert (by_measure["kind"]["cfg"], by_measure["kind"]["adapter"], by_measure["kind"]["ratio"]) == (80.0, 60.0, 0.75)
    spent = by_measure["time per picture"]
    assert spent["ratio"] == pytest.approx(spent["adapter"] / spent["cfg"], rel=1e-3) and spent["steps"] == 4
    held = by_measure["peak memory of training"]
    assert held["cfg"] is None or held["cfg"] > 0.1 and held["adapter"] > 0.1
    page = (tmp_path / "cfg_lora.md").read_text()
    assert (
        page.startswith("before\n")
        and page.endswith("after\n")
        and "| tiny-cfg | 4 | 3 | kind, % | 80 | 60 | 0.75 |" in page
    )


def test_who_folds_no_guidance_is_refused_in_one_sentence(pictures, capsys):
    assert guided.main(["--model", "tiny-hyper"]) == 2
    sentence = "tiny-hyper has no guidance folded into an adapter; valid: toybox-cfg-lora, tiny-cfg"
    assert sentence in capsys.readouterr().err

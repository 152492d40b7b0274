"""The trainings of `mini`: their settings are the methods' own, what was measured is left alone, tables say it."""

import pytest
import torch

from benchmarks import mini, report
from benchmarks.mixture import trainer
from core.settings import override
from distill import declared, features
from distill.settings import TrainConfig
from distill.trainer import reach


def teacher(id):
    module, own = declared.module("sft"), {k: v for k, v in mini.BASES[id][2].items() if "." not in k}
    return module.new(override(module.Config(), own), id.removeprefix("mini-"))


@pytest.mark.parametrize("page", mini.VARIANTS)
def test_every_setting_is_one_of_its_method(page):
    for method, base, settings in mini.VARIANTS[page].values():
        own = {k: v for k, v in settings.items() if not k.startswith("train.")}
        cfg = override(declared.module(method).Config(), own)
        if method == "scm_ladd":
            features.of(teacher(base), cfg.blocks)  # they are there
        loop = {k.removeprefix("train."): v for k, v in (mini.LOOP | settings).items() if k.startswith("train.")}
        assert override(TrainConfig(), loop).steps < 5000
        assert base in mini.BASES
        reach(trainer(method, int(settings["train.steps"]), batch_size=8, **own))  # every stage comes before the end


def test_a_mini_is_small():
    """One to three million parameters."""
    for id in mini.BASES:
        assert 1e6 < sum(w.numel() for w in teacher(id).network.parameters()) < 3.2e6, id


def test_what_was_measured_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    everything = list(mini.wanted(None, again=False))
    assert len(everything) == len(set(everything)) == sum(len(v) for v in mini.VARIANTS.values())
    figures = [{"frechet": 20.0 + i, "kind": 0.5, "vendi": 3.0} for i in range(3)]
    report.record(tmp_path / "mini.json", [mini.summary("msd", mini.FOUR, 1, figures)], mini.KEYS)
    assert ("msd", mini.FOUR) not in mini.wanted("msd", again=False)
    assert len(list(mini.wanted("msd", again=False))) == 2
    assert ("msd", mini.FOUR) in mini.wanted("msd", again=True)


def test_rows_are_means_over_trainings():
    figures = [{"frechet": 20.0 + i, "kind": 0.5 + 0.1 * i, "vendi": 3.0} for i in range(3)]
    row = mini.summary("msd", mini.FOUR, 1, figures)
    assert (row["frechet"], row["frechet_sd"], row["seeds"]) == (21.0, 1.0, 3)
    assert "| four students | 1 | 21 ± 1 | 60 ± 10 |" in mini.table([row])
    assert "| teacher | 25 | 20 | 50 |" in mini.table([mini.summary("msd", "teacher", 25, figures[:1])])


def raced(**distances: list[float]) -> list[report.Row]:
    """Rows of DMD and DisBack at the counts of updates, three seeds each, a step of one apart."""
    rows = []
    for i, n in enumerate(mini.COUNTS):
        for name, means in distances.items():
            figures = [
                {"frechet": mean + d, "kind": 0.5, "vendi": 3.0} for mean in means[i : i + 1] for d in (-1.0, 0.0, 1.0)
            ]
            rows += [mini.summary("disback", f"{name}, {n} steps", 1, figures)] if figures else []
    return rows


def test_disback_s_updates_to_where_dmd_was(tmp_path):
    """Straight between the counts that were measured, with a picture beside the table."""
    rows = raced(DMD=[60.0, 40.0, 30.0], DisBack=[50.0, 35.0, 25.0])
    assert mini.curve(rows, "DisBack") == [(350, 50.0, 1.0), (500, 35.0, 1.0), (700, 25.0, 1.0)]
    text = mini.shown("disback", rows, tmp_path)
    sentence = "Updates to a Fréchet distance of 40: DMD is there by 500; "
    assert f"{sentence}DisBack after about 450, straight" in text
    assert text.startswith(mini.table(rows)) and text == mini.shown("disback", rows[::-1], tmp_path)
    assert "![Fréchet distance against updates](disback.png)" in text
    assert (tmp_path / "disback.png").read_bytes().startswith(b"\x89PNG")
    early = mini.shown("disback", raced(DMD=[60.0, 40.0], DisBack=[30.0, 20.0]), tmp_path)
    assert "DisBack is there by 350, the fewest that were measured." in early
    wandering = mini.shown("disback", raced(DMD=[34.0, 35.0, 30.0], DisBack=[48.0, 34.0, 31.0]), tmp_path)
    assert "of 35: DMD is there by 350, the fewest that were measured; DisBack after about 489" in wandering
    never = mini.shown("disback", raced(DMD=[60.0, 40.0, 30.0], DisBack=[90.0, 80.0, 70.0]), tmp_path)
    assert "DisBack does not come there in 700." in never


def test_what_has_several_step_counts_is_drawn_against_them(tmp_path):
    figures = [[{"frechet": d + i, "kind": 0.5, "vendi": 3.0} for i in range(3)] for d in (60.0, 16.0, 30.0, 15.0)]
    names = list(mini.VARIANTS["tscd"])[:2]
    rows = [mini.summary("tscd", names[i // 2], (1, 4)[i % 2], rows) for i, rows in enumerate(figures)]
    text = mini.shown("tscd", rows, tmp_path)
    assert text == f"{mini.table(rows)}\n![Fréchet distance against steps of a picture](tscd.png)\n"
    assert (tmp_path / "tscd.png").read_bytes().startswith(b"\x89PNG")
    assert mini.shown("tscd", rows[:3], tmp_path) == mini.table(rows[:3])


def test_a_page_without_both_curves_has_its_table_alone(tmp_path):
    rows = raced(DMD=[60.0, 40.0, 30.0], DisBack=[50.0])
    assert mini.shown("disback", rows, tmp_path) == mini.table(rows) == mini.shown("msd", rows, tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_of_runs_differ():
    names = [mini.name(page, v, seed) for page in mini.VARIANTS for v in mini.VARIANTS[page] for seed in mini.SEEDS]
    assert len(set(names)) == len(names) and all(n.replace("-", "").isalnum() for n in names)


def test_students_astray_paint_for_others():
    from distill.methods import msd
    from models.families import toy2d

    torch.manual_seed(0)
    routed = msd.student(msd.Config(), toy2d.student())
    first = routed.members[0]
    mini.swap(routed)
    assert routed.members[-1] is first and routed.members[0] is not first

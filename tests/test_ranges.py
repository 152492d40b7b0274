"""What no training could use is refused in one sentence before a job is accepted, and by the command alike."""

import re
from dataclasses import replace

import pytest
from accelerate.state import AcceleratorState

from core import events
from core.fields import check
from core.paths import run_dir
from distill import train
from distill.declared import declared, methods
from distill.fitting import no_base
from distill.request import DistillRequest
from models import catalogue
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")


def test_every_setting_has_a_range_that_holds_its_default():
    for method in methods():
        for name, setting in declared(method).settings.items():
            option = setting.option
            check(name, setting.default, setting.kind, option)
            ranged = option.low is not None or option.high is not None
            free = setting.kind in (bool, str) or setting.choices
            assert ranged or free, f"{method} {name} takes any number"


WRONG = [
    ("dmd", "times=", "times must be a list of 1 to 16, not of 0"),
    ("dmd", "times=1.5,0.2", "times must be 0.001 to 1, not 1.5"),
    ("dmd", "times=0.2,0.8", "times must be falling, not 0.2, 0.8"),
    ("cfg_lora", "full=1", "full must be 1.01 to 30, not 1.0"),
    ("cfg_lora", "guidance=3", "guidance must be a list of 2, not of 1"),
    ("scm_ladd", "guidance=5,2", "guidance must be rising"),
    ("sft", "width=100", "width must be a multiple of 32, not 100"),
    ("sft", "channels=96,100", "channels must be a multiple of 32, not 100"),
    ("sft", "drop=7", "drop must be 0 to 1, not 7.0"),
    ("msd", "students=3", "students='3' must be one of 1, 2, 4, 8, 16"),
    ("msd", "width=100", "width must be 0.05 to 1, not 100.0"),
    ("sft", "lr=-1", "lr must be 0 to 1, not -1.0"),
    ("sft", "train.ema=2", r"ema must be 0 to 0.999999, not 2.0"),
    ("sft", "train.steps=0", "steps must be at least 1, not 0"),
    ("sft", "train.warmup=-1", "warmup must be at least 0, not -1"),
    ("tscd", "first=2", "first must be 0.001 to 1, not 2.0"),
]


@pytest.mark.parametrize(("method", "setting", "reason"), WRONG, ids=[w[1] for w in WRONG])
def test_a_value_out_of_its_range_is_refused(capsys, method, setting, reason):
    with pytest.raises(ValueError, match=reason):
        DistillRequest(method, dataset="mixture", set=(setting,))
    assert train.main([method, "--run", "wrong", "--dataset", "mixture", "--set", setting]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "must be" in error
    assert not run_dir("wrong").exists()


TOGETHER = [
    ("slider", "slider=mood", "unknown slider 'mood'; valid: background, count, pattern"),
    ("tscd", "segments=8,3", r"segments=\(8, 3\): each must divide the solver's grid of 40 steps"),
    ("tscd", "segments=8,1", r"adversarial=.*: give one weight for each of segments=\(8, 1\)"),
    ("tscd", "adversarial=0.1", r"adversarial=\(0.1,\): give one weight for each of segments"),
    ("tscd", "train.steps=500", "train.steps=500 ends before 1 segments, step 1500: set more steps"),
    ("tscd", "feedback_from=5000", "train.steps=2400 ends before feedback, step 5000"),
    ("disback", "nodes=3", r"alone=500: recording is cut into 3 equal parts \(nodes\)"),
    ("disback", "train.steps=900", "train.steps=900 ends before the teacher is the target, step 1700"),
    ("dmd", "train.steps=200", "train.steps=200 ends before its student's first turn, step 200"),
    ("msd", "adversarial_from=1000000", "ends before adversarial, step 1000000"),
    ("scm_ladd", "train.batch_size=1", "train.batch_size=1: this method needs 2 samples in a step"),
    ("scm_ladd", "train.accumulate=64", "needs 2 samples in each of 64 slices"),
    ("scm_ladd", "blocks=0,2,9", r"blocks=\[2, 9\]: tiny-sana has 2 blocks, 0 to 1"),
    ("sft", "train.accumulate=3", "train.batch_size=64 can't be cut into train.accumulate=3"),
    ("msd", "train.compile=true", "train.compile=true takes a student that is one network"),
]


@pytest.mark.parametrize(("method", "setting", "reason"), TOGETHER, ids=[" ".join(w[:2]) for w in TOGETHER])
def test_settings_that_do_not_fit_together_are_refused(capsys, method, setting, reason):
    base = "tiny-sana" if method == "scm_ladd" else "tiny-sd"
    with pytest.raises(ValueError, match=reason):
        DistillRequest(method, base=base, dataset="toys", set=(setting,))
    argv = [method, "--run", "wrong", "--base", base, "--dataset", "toys", "--set", setting]
    assert train.main(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(reason, error) and not run_dir("wrong").exists()


MISFITS = [
    (["autoencoder", "--dataset", "mixture"], "the mixture has no pictures, which autoencoder needs"),
    (["oracle", "--dataset", "toys", "--set", "train.compile=true"], "takes a student that is one network"),
    (["dmd", "--dataset", "mixture", "--base", "tiny-sd", "--start", "tiny-hyper"], "a training on latents"),
    (["msd", "--dataset", "toys", "--base", "tiny-sd", "--start", "tiny-hyper"], "this method trains several"),
    (["tscd", "--dataset", "toys", "--base", "tiny-sd", "--start", "tiny-hyper"], "an adapter of rank 4, .* rank 32"),
    (["dmd", "--dataset", "toys", "--base", "tiny-sd", "--start", "tiny-hyper"], "makes a whole network"),
    (
        ["feedback", "--dataset", "words", "--base", "tiny-sd"],
        "reads toys, and words has none; valid: toys, toys.emoji",
    ),
    (["sft", "--dataset", "mini", "--base", "large"], "pictures of mini are 128 × 128; a model of 256 × 256 needs"),
]


@pytest.mark.parametrize(("words", "reason"), MISFITS, ids=[f"{w[0][0]} {w[1][:20]}" for w in MISFITS])
def test_what_is_no_training_together_is_refused(studio, capsys, words, reason):
    """Method, base, start, data and settings, each of which alone is right."""
    if "large" in words:
        larger(studio)
    method, *given = words
    fields = {flag[2:]: value for flag, value in zip(given[::2], given[1::2], strict=True)}
    fields["set"] = [fields.pop("set")] if "set" in fields else []
    with pytest.raises(ValueError, match=reason):
        DistillRequest.from_dict({"method": method} | fields)
    assert train.main([method, "--run", "wrong", *given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(reason, error) and not run_dir("wrong").exists()


def larger(studio):
    """A model of this studio that paints 256 x 256."""
    home = studio / "models" / "large"
    tiny.unet(sample_size=16).save_pretrained(home / "unet")
    tiny.CONFIGS["DDIMScheduler"].save_pretrained(home / "scheduler")
    tiny.manifest("large", home, family="sd", base="tiny-kl", prediction="epsilon", scheduler="DDIMScheduler")


BASES = [
    ("scm_ladd", "tiny-sd", "scm_ladd takes a SANA .* as its base; tiny-sd is a Stable Diffusion"),
    ("dmd", "tiny-sana", "dmd takes a Stable Diffusion .* or an SDXL as its base; tiny-sana is a SANA$"),
    ("msd", "sdxl", "msd takes a Stable Diffusion .* as its base; sdxl is an SDXL"),
    ("sft", None, "sft takes an autoencoder .* as its base; name one with --base"),
    ("sft", "judge-a", "judge-a is a judge"),
    ("sft", "tiny-sprint", "tiny-sprint is a SANA-Sprint"),
    ("oracle", "tiny-sd", "oracle takes no base as its base; tiny-sd is"),
    ("dmd", "tiny-hyper", "tiny-hyper is an adapter, which can't be a training base"),
]


@pytest.mark.parametrize(("method", "base", "reason"), BASES)
def test_a_base_that_a_method_does_not_take_is_refused(capsys, method, base, reason):
    with pytest.raises(ValueError, match=reason):
        DistillRequest(method, base=base, dataset="toys")
    argv = [method, "--run", "wrong", "--dataset", "toys", *(["--base", base] if base else [])]
    assert train.main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_no_model_is_no_base():
    row = catalogue.get("tiny-sd")
    control = replace(row, manifest=replace(row.manifest, kind="control"))
    assert no_base("dmd", row, "toys") is None
    assert (no_base("dmd", control, "toys") or "").endswith("as its base; tiny-sd is of kind control")


def test_every_model_of_the_box_was_made_from_a_base_that_its_method_takes():
    """A method that the box has a model of takes the base of that model."""
    rows = [r for r in catalogue.rows().values() if r.folder is not None and r.id.startswith("toybox")]
    for row in rows:
        if row.manifest.method in methods() and row.manifest.base in catalogue.rows():
            assert no_base(row.manifest.method, catalogue.get(row.manifest.base), "toys") is None, row.id


@pytest.mark.parametrize("flag", [("--minutes", "-1"), ("--minutes", "0"), ("--until", "0"), ("--seed", "-1")])
def test_a_limit_that_is_none_is_refused(capsys, flag):
    argv = ["sft", "--run", "wrong", "--dataset", "mixture", *flag]
    assert train.main(argv) == 2
    assert f"{flag[0]} must be" in capsys.readouterr().err


def test_a_refused_command_leaves_no_trace_in_another_run(capsys, monkeypatch):
    """Of a job the run is its own, and there the page reads why."""
    quick = ["--dataset", "mixture", "--set", "train.steps=2", "--set", "train.batch_size=8"]
    AcceleratorState._reset_state(True)  # a process has one precision
    assert train.main(["sft", "--run", "mine", *quick]) == 0
    file = run_dir("mine") / events.FILE
    before = file.read_bytes()
    capsys.readouterr()
    for argv in (
        ["sft", "--run", "mine", *quick],
        ["sft", "--run", "mine", "--resume", "--set", "lr=-1"],
        ["oracle", "--run", "mine", "--resume"],
        ["sft", "--run", "misspelt", "--resume"],
        ["sft", "--run", "../x", *quick],
    ):
        assert train.main(argv) == 2 and capsys.readouterr().err.count("\n") == 1
    assert file.read_bytes() == before and not run_dir("misspelt").exists()
    monkeypatch.setenv(events.JOB, "mine")
    assert train.main(["sft", "--run", "mine", "--resume", "--set", "lr=-1"]) == 2
    assert events.lines(run_dir("mine"))[-1]["message"] == "lr must be 0 to 1, not -1.0"

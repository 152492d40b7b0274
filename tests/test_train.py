"""The trainer: settings, exact resume after kills, several processes, numbers that are not finite."""

import contextlib
import ctypes
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from core import checkpoint, events
from core.paths import ROOT
from core.settings import override
from core.stop import AT_ONCE, STOPPING
from distill.method import Player
from distill.mover import moves
from distill.publish import trained
from distill.settings import TrainConfig
from distill.train import main
from distill.trainer import Trainer

QUICK = ["--dataset", "mixture", "--set", "train.batch_size=32", "--set", "train.precision=fp32"]


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield tmp_path
    AcceleratorState._reset_state(True)  # a process has one precision; each test here is a process of its own


def spawn(run: str, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "distill.train", "sft", "--run", run, *QUICK, *more]
    return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE, text=True)


def weights(run: Path) -> dict:
    """Of the newest good checkpoint, as copies: what is loaded may be a map of the file."""
    newest, _ = checkpoint.newest(run)
    saved = checkpoint.load(newest).tensors
    return {player: {k: v.clone() for k, v in tensors.items()} for player, tensors in saved.items()}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        a[p].keys() == b[p].keys() and all(torch.equal(a[p][k], b[p][k]) for k in a[p]) for p in a
    )


def wait_for(path: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert path.exists(), f"{path.name} did not appear"


@pytest.mark.parametrize(("words", "sentence"), [
    (["sft", *QUICK, "--set", "lrr=1"], "unknown setting 'lrr'; valid: lr, layers, width"),
    (["sft", *QUICK, "--set", "lr=fast"], "lr='fast' must be a number"),
    (["sft", *QUICK, "--set", "train.steps=1.5"], "train.steps='1.5' must be a whole number"),
    (["sft", *QUICK, "--set", "train.accumulate=0"], "train.accumulate must be at least 1, not 0"),
    (["tscd", *QUICK, "--set", "segments=8,0"], "segments must be at least 1, not 0"),
    (["scm_ladd", *QUICK, "--set", "train.batch_size=1"],
     "train.batch_size=1: this method needs 2 samples in a step"),
    (["stf", *QUICK], "unknown method 'stf'; valid: autoencoder"),
    (["sft", *QUICK, "--resume"], "no run named 'a' to resume"),
    (["autoencoder", *QUICK], "the mixture has no pictures, which autoencoder needs; valid: toys, emoji"),
    (["sft", "--set", "train.precision=fp32"], "as its base; name one with --base"),
    (["msd", *QUICK, "--set", "train.steps=6000", "--set", "train.compile=true"],
     "train.compile=true takes a student that is one network"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(capsys, studio, words, sentence):
    assert main([*words, "--run", "a"]) == 2
    assert sentence in capsys.readouterr().err


def test_what_is_written_between_steps_is_no_part_of_their_pace(studio, monkeypatch):
    now = [0.0]

    def slow(seconds, work):
        def run(*args):
            now[0] += seconds
            return work(*args)

        return run

    monkeypatch.setattr("core.stop.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Trainer, "advance", slow(1.0, Trainer.advance))
    monkeypatch.setattr(checkpoint, "save", slow(500.0, checkpoint.save))
    often = [word for key in ("checkpoint", "log", "sample") for word in ("--set", f"train.{key}_every=5")]
    assert main(["sft", "--run", "r", *QUICK, "--set", "train.steps=20", *often]) == 0
    left = {e["step"]: e["seconds_left"] for e in events.read(studio / "runs/r") if "seconds_left" in e}
    assert left == {5: 15.0, 10: 10.0, 15: 5.0, 20: 0.0}


def test_the_command_of_a_resumed_run_remakes_it(studio):
    run, more = studio / "runs/r", ["--resume", "--set", "train.steps=6"]

    def command() -> str:
        return json.loads((run / "run.json").read_text())["command"]

    assert main(["sft", "--run", "r", *QUICK, "--set", "train.steps=4", "--set", "lr=0.002", "--until", "3"]) == 0
    assert main(["sft", "--run", "r", *more]) == 0
    first, second = command().split(" && ")
    assert first.endswith(" --set lr=0.002 --set train.steps=4 --set train.batch_size=32 --until 3")
    assert second == "python -m distill.train sft --run r --resume --set train.steps=6"
    assert main(["sft", "--run", "r", *more]) == 0
    assert command() == f"{first} && {second}", "nothing changed"
    made = weights(run)
    run.rename(studio / "runs/before")
    for line in (f"{first} --set train.precision=fp32", second):
        assert main(line.split()[3:]) == 0
    assert same(made, weights(run))


def test_parse_takes_every_kind_of_field():
    cfg = override(TrainConfig(), {"steps": "7", "clip_norm": "0.5", "precision": "bf16"})
    assert (cfg.steps, cfg.clip_norm, cfg.precision) == (7, 0.5, "bf16")
    with pytest.raises(ValueError, match="must be one of auto, fp32, bf16"):
        override(TrainConfig(), {"precision": "fp8"})
    with pytest.raises(ValueError, match="finite"):
        override(TrainConfig(), {"clip_norm": "nan"})


def test_killed_and_resumed_is_the_run_that_was_not(studio):
    steps = ["--set", "train.steps=400", "--set", "train.checkpoint_every=40", "--set", "train.sample_every=1000"]
    assert main(["sft", "--run", "whole", *QUICK, *steps]) == 0
    first = spawn("killed", *steps)
    wait_for(studio / "runs/killed/checkpoints/step-00000040")
    first.send_signal(signal.SIGKILL)
    first.wait()
    reached, _ = checkpoint.newest(studio / "runs/killed")
    assert reached.name < "step-00000400", "the kill came too late to test anything"
    assert main(["sft", "--run", "killed", *QUICK, "--resume"]) == 0
    assert same(weights(studio / "runs/whole"), weights(studio / "runs/killed"))
    resumed = [e for e in events.lines(studio / "runs/killed") if "resumed_from" in e]
    assert resumed and resumed[0]["resumed_from"] == int(reached.name[-8:])
    assert not list((studio / "runs/killed/checkpoints").glob(".*"))


def test_sigterm_checkpoints_and_leaves_with_143(studio):
    run = spawn("paused", "--set", "train.steps=1000000", "--set", "train.checkpoint_every=50")
    wait_for(studio / "runs/paused/checkpoints/step-00000050")
    run.send_signal(signal.SIGTERM)
    assert run.wait(20) == 143
    last = [e for e in events.read(studio / "runs/paused") if e["kind"] == "checkpoint"][-1]
    newest, faults = checkpoint.newest(studio / "runs/paused")
    assert last["path"] == str(newest.relative_to(studio / "runs/paused")) and not faults


def test_a_terminal_gets_its_cursor_back(studio):
    """The bar hides it; a pause by Ctrl+C, which no report is told of, shows it again."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "distill.train", "sft", "--run", "seen", *QUICK]
    command += ["--set", "train.steps=1000000", "--set", "train.checkpoint_every=50"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TERM": "xterm"}, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        shown = b""
        while b"trainable parameters" not in shown:
            shown += os.read(ours, 4096)
        run.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the end of a terminal
            while more := os.read(ours, 4096):
                shown += more
    os.close(ours)
    assert run.returncode == 130 and shown.count(STOPPING.strip()) + shown.count(AT_ONCE.strip()) == 1
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


def test_a_torn_newest_checkpoint_is_passed_over(studio):
    steps = ["--set", "train.steps=60", "--set", "train.checkpoint_every=20"]
    assert main(["sft", "--run", "torn", *QUICK, *steps]) == 0
    whole = weights(studio / "runs/torn")
    newest = checkpoint.folders(studio / "runs/torn")[0]
    data = bytearray((newest / "student.safetensors").read_bytes())
    data[-3] ^= 1
    (newest / "student.safetensors").write_bytes(data)
    restored, faults = checkpoint.newest(studio / "runs/torn")
    assert restored.name == "step-00000040" and "step-00000060: wrong sha256" in faults[0]
    assert main(["sft", "--run", "torn", *QUICK, "--resume"]) == 0
    assert same(whole, weights(studio / "runs/torn"))


@pytest.mark.parametrize("forgotten", ["optimizers", "ema", "step"])
def test_everything_that_a_checkpoint_holds_is_needed(studio, monkeypatch, forgotten):
    """Negative controls: a resume that loses one part must not end where the whole run ends."""
    steps = ["--set", "train.steps=60", "--set", "train.checkpoint_every=20"]
    assert main(["sft", "--run", "whole", *QUICK, *steps]) == 0
    assert main(["sft", "--run", "half", *QUICK, *steps]) == 0
    for late in checkpoint.folders(studio / "runs/half")[:1]:
        (late / "manifest.json").unlink()
    true_load = checkpoint.load

    def load(folder):
        saved = true_load(folder)
        if forgotten == "optimizers":
            saved.optimizers = {
                p: {k: v | {"state": {}} for k, v in own.items()} for p, own in saved.optimizers.items()
            }
        if forgotten == "ema":
            saved.tensors["student.ema"] = {k: torch.zeros_like(v) for k, v in saved.tensors["student.ema"].items()}
        if forgotten == "step":
            saved.step += 1
        return saved

    monkeypatch.setattr(checkpoint, "load", load)
    assert main(["sft", "--run", "half", *QUICK, "--resume"]) == 0
    monkeypatch.setattr(checkpoint, "load", true_load)
    assert not same(weights(studio / "runs/whole"), weights(studio / "runs/half"))


def gradients(run: Path) -> dict[str, torch.Tensor]:
    """What each player's turns saw: Adam's first moment."""
    newest, _ = checkpoint.newest(run)
    states = checkpoint.load(newest).optimizers
    adam = {p: own["adamw"]["state"] for p, own in states.items()}
    return {p: torch.cat([v["exp_avg"].flatten() for _, v in sorted(s.items())]) for p, s in adam.items()}


def test_two_processes_match_one(studio):
    """Of the heads the gradients alone: where one is none, Adam's steps blow up its rounding."""
    steps = ["--set", "train.steps=40", "--set", "lr=1e-3", "--set", "train.sample_every=100"]
    assert main(["scm_ladd", "--run", "one", *QUICK, *steps]) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command += ["-m", "--", "distill.train", "scm_ladd", "--run", "two", *QUICK, *steps]  # torchrun has a --run-path
    env = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = gradients(studio / "runs/one"), gradients(studio / "runs/two")
    assert one.keys() == {"student", "heads"}
    for player, g in one.items():
        assert g.norm() > 1e-4 and (g - two[player]).abs().max() < 1e-6, player
    one, two = weights(studio / "runs/one"), weights(studio / "runs/two")
    for name, w in one["student"].items():
        assert (w - two["student"][name]).abs().max() < 1e-6, name
        assert (one["student.ema"][name] - two["student.ema"][name]).abs().max() < 1e-6, name
    moved = max((w - one["student.ema"][name]).abs().max() for name, w in one["student"].items())
    assert moved > 1e-4, "they went far enough to part"


def test_accumulated_slices_are_the_batch(studio):
    steps = ["--set", "train.steps=20", "--set", "train.sample_every=100"]
    assert main(["sft", "--run", "one", *QUICK, *steps]) == 0
    assert main(["sft", "--run", "slices", *QUICK, *steps, "--set", "train.accumulate=4"]) == 0
    one, slices = weights(studio / "runs/one")["student"], weights(studio / "runs/slices")["student"]
    assert all(torch.allclose(one[k], slices[k], atol=1e-6) for k in one)


def test_muon_moves_matrices_and_filters_of_one_pixel(studio):
    """In place, and as large as AdamW's steps (Liu et al. 2025, Eq. 4: rms 0.2 of the rate); biases are AdamW's."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(64, 128, 1), torch.nn.Flatten(), torch.nn.Linear(128, 32))
    before = [w.detach().clone() for w in net.parameters()]
    made = moves("student", Player(net, 1e-2, ema=True), 0.0, "muon")
    net(torch.randn(16, 64, 1, 1)).square().mean().backward()
    made.update(rate=0.5, keep=0.9)
    moved = [(w - b).square().mean().sqrt().item() / 5e-3 for w, b in zip(net.parameters(), before, strict=True)]
    assert 0.05 < moved[0] < 0.35 and 0.05 < moved[2] < 0.35, "matrices"
    assert moved[1] == pytest.approx(1, abs=0.05) and moved[3] == pytest.approx(1, abs=0.05), "biases"
    for k, w in net.named_parameters():
        assert torch.allclose(made.ema[k] - w, (before[list(made.ema).index(k)] - w) * 0.9, atol=1e-6)
    made.forget_gradients()
    assert all(w.grad is None for w in net.parameters())


def test_muon_resumes_exactly(studio):
    steps = ["--set", "train.steps=30", "--set", "train.optimizer=muon", "--set", "train.sample_every=100"]
    assert main(["sft", "--run", "whole", *QUICK, *steps]) == 0
    assert main(["sft", "--run", "half", *QUICK, *steps, "--set", "train.checkpoint_every=20"]) == 0
    shutil.rmtree(checkpoint.folders(studio / "runs/half")[0])
    assert main(["sft", "--run", "half", *QUICK, "--resume"]) == 0
    assert same(weights(studio / "runs/whole"), weights(studio / "runs/half"))


ONE_SEGMENT = ["--set", "segments=1", "--set", "adversarial=0"]


def test_the_student_of_a_method_with_a_judge_is_published(studio):
    """It asks for labels, as the training of judges does, but what it makes is a student."""
    assert (
        main(["tscd", "--run", "rewarded", *QUICK, "--set", "train.steps=2", "--set", "feedback_from=0", *ONE_SEGMENT])
        == 0
    )
    made, average = trained(studio / "runs/rewarded").student, weights(studio / "runs/rewarded")["student.ema"]
    assert average, "nothing was learnt"
    assert all(torch.equal(dict(made.named_parameters())[k], w) for k, w in average.items())


def test_a_run_whose_base_has_other_latents_by_now_ends_there(studio, capsys):
    assert main(["sft", "--run", "r", *QUICK, "--set", "train.steps=2"]) == 0
    described = studio / "runs/r/run.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"latents": "0123"}))
    assert main(["sft", "--run", "r", *QUICK, "--resume", "--set", "train.steps=4"]) == 2
    assert "run 'r' was trained on other latents than" in capsys.readouterr().err
    with pytest.raises(ValueError, match="run 'r' was trained on other latents"):
        trained(studio / "runs/r")


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["sft", "scm_ladd", "lcm", "tscd", "dmd", "msd", "disback", "cfg_lora", "feedback"])
def test_a_training_takes_the_gpu(studio, method):
    """Whatever a method makes for itself moves there too, and a machine without one can publish what it made."""
    soon = {"msd": ["matching=2", "adversarial_from=4"], "dmd": ["alone=1"]}
    soon |= {"tscd": ["stage_steps=1", "score_from=1", "feedback_from=0"]}
    soon |= {"disback": ["alone=2", "nodes=2", "per_node=1"]}
    more = [word for setting in soon.get(method, []) for word in ("--set", setting)]
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    assert main([method, "--run", "there", *QUICK, "--set", "train.steps=8", *more]) == 0
    assert torch.cuda.max_memory_allocated() > before
    elsewhere = "import sys; from distill.publish import *; trained(Path(sys.argv[1]))"
    command = [sys.executable, "-c", elsewhere, str(studio / "runs/there")]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, check=True)


@pytest.mark.slow
def test_processes_stop_after_the_same_step(studio):
    """By `accelerate launch`: one is asked to, both leave, and what is written is whole."""
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=0"]
    command = [sys.executable, "-m", *launch, "-m", "distill.train", "sft", "--run", "two", *QUICK]
    command += ["--set", "train.steps=1000000"]
    command += ["--set", "train.checkpoint_every=1000000", "--minutes", "0.05"]
    env = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and "fp32, 2 processes, from step 0" in done.stderr, done.stderr[-2000:]
    newest, faults = checkpoint.newest(studio / "runs/two")
    assert newest is not None and not faults


def test_memory_that_was_freed_is_not_fetched_again(studio):
    """Counted in pages that the kernel had to hand out, for a block larger than any that glibc keeps by itself."""
    pages = """
import resource, sys, torch
from core.hardware import keep_memory
keep_memory() if sys.argv[1] == "kept" else None
for turn in range(60):  # an aligned block does not fit where the last one was, so the first dozen move
    if turn == 30:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(24 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults_of = {
        how: int(subprocess.run([sys.executable, "-c", pages, how], cwd=ROOT, capture_output=True, check=True).stdout)
        for how in ("kept", "given back")
    }
    glibc = hasattr(ctypes.CDLL(None), "mallopt")  # others are left as they are
    assert (faults_of["kept"] * 4 < faults_of["given back"]) == glibc, faults_of


def test_no_step_on_numbers_that_are_not_finite(studio, monkeypatch):
    from distill.methods import sft

    honest = sft.Method.loss

    def poisoned(self, player, batch, rng):
        out = honest(self, player, batch, rng)
        if batch.step == 5 or batch.step >= 20:
            out.loss = out.loss * float("nan")
        return out

    monkeypatch.setattr(sft.Method, "loss", poisoned)
    code = main(["sft", "--run", "nan", *QUICK, "--set", "train.steps=100", "--set", "train.checkpoint_every=10"])
    assert code == 65
    error = [e for e in events.read(studio / "runs/nan") if e["kind"] == "error"][-1]
    assert "not finite" in error["message"]
    saved = weights(studio / "runs/nan")
    assert all(torch.isfinite(w).all() for player in saved.values() for w in player.values())


def test_one_run_has_one_trainer(studio, capsys):
    first = spawn("busy", "--set", "train.steps=1000000", "--set", "train.checkpoint_every=2000")
    wait_for(studio / "runs/busy/tensorboard")  # written once the lock is held
    assert main(["sft", "--run", "busy", *QUICK, "--resume"]) == 2
    assert "is being trained by another process" in capsys.readouterr().err
    first.kill()
    first.wait()

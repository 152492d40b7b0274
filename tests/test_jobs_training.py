"""Real trainings as jobs: killed, damaged and resumed, they end bit for bit where an undisturbed one ends.

And the checkpoint writer killed at each of its steps, and on a full disk (T-TRN-03, T-TRN-06).
"""

import os
import shutil
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch

from core import checkpoint, events, files
from distill import train
from jobs import kinds, process
from jobs import store as stores
from jobs.job import State
from jobs.kinds import KINDS
from jobs.store import Store
from jobs.worker import Worker
from tests import small_disk
from tests.jobs_bench import QUICK, opened, until

SETTINGS = {"train.steps": "160", "train.batch_size": "32", "train.precision": "fp32", "train.checkpoint_every": "20"}
REQUEST = {"method": "sft", "dataset": "mixture", "train.sample_every": "1000", **SETTINGS}


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    monkeypatch.setattr(stores, "BACKOFF", 0.05)
    torch.set_num_threads(1)
    return tmp_path


def submit(store: Store, **changes: str):
    return store.submit("distill", kinds.request("distill", REQUEST | changes, {}).to_dict())


def tensors(run: Path) -> dict:
    newest, faults = checkpoint.newest(run)
    assert newest is not None and not faults
    return {f"{part}/{k}": v for part, of in checkpoint.load(newest).tensors.items() for k, v in of.items()}


def reached(store: Store, job_id: str, step: int, hand: Worker) -> None:
    until(lambda: (store.get(job_id).checkpoint_step or 0) >= step, hand.turn, 300)


def test_killed_damaged_and_resumed_it_ends_where_the_undisturbed_one_ends(studio):
    """T-TRN-02 and -04 as one job: SIGKILL, then a flipped bit in its newest checkpoint."""
    settings = [part for k, v in REQUEST.items() if "." in k for part in ("--set", f"{k}={v}")]
    assert train.main(["sft", "--run", "whole", "--dataset", "mixture", "--seed", "0", *settings]) == 0
    store = opened(studio)
    hand, job = Worker(store, QUICK, KINDS), submit(store)
    run = store.run(job.id)
    reached(store, job.id, 40, hand)
    pids = process.of_job(job.id)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    hand.attempts[0].child.wait()
    newest = checkpoint.folders(run)[0]
    weights = newest / "student.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 4
    weights.write_bytes(data)
    damaged = int(newest.name[-8:])
    until(lambda: store.get(job.id).attempt == 2 and store.get(job.id).resumed_from, hand.turn, 300)
    assert 0 < store.get(job.id).resumed_from < damaged
    assert f"passed over {newest.name}: wrong sha256" in (run / "log.txt").read_text()
    until(lambda: store.get(job.id).state is State.DONE, hand.turn, 300)
    ended = store.get(job.id)
    assert ended.outputs[0]["path"] == "checkpoints/step-00000160" and ended.attempt == 2
    whole, resumed = tensors(studio / "runs" / "whole"), tensors(run)
    assert whole.keys() == resumed.keys()
    assert [k for k in whole if not torch.equal(whole[k], resumed[k])] == []
    steps = [e["step"] for e in events.read(run) if e["kind"] == "checkpoint"]
    assert steps == sorted(set(steps))


def test_a_training_that_needs_too_much_memory(studio):
    store = opened(studio, failures=1)
    hand = Worker(store, QUICK.__class__(nice=0, poll=0.02, beat=0.2, memory_gb=4.0), KINDS)
    job = submit(store, **{"train.batch_size": "2000000000"})
    until(lambda: store.get(job.id).state is State.FAILED, hand.turn, 300)
    assert store.get(job.id).error == "memory ran out: a smaller batch or picture needs less"


def test_a_training_whose_minutes_are_over_is_done(studio):
    request = kinds.request("distill", REQUEST | {"train.steps": "1000000", "minutes": "0.05"}, {})
    argv = kinds.distill(request, kinds.Start(studio / "runs" / "timed"))
    assert train.main(argv[3:]) == 0
    (done,) = [e for e in events.read(studio / "runs" / "timed") if e["kind"] == "done"]
    assert 0 < done["step"] < 1_000_000
    assert (studio / "runs" / "timed" / done["outputs"][0] / "manifest.json").exists()


def saved(step: int) -> checkpoint.Saved:
    generator = torch.Generator().manual_seed(step)
    weights = {"w": torch.randn(64, 64, generator=generator)}
    return checkpoint.Saved(step, {"student": weights}, {"student": {"step": step}}, {"samples_seen": step})


def dies_at(run: Path, call: int) -> bool:
    """Save step 3 in a process that is killed at its `call`-th step towards the disk; False when it got through."""
    pid = os.fork()
    if pid:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL), "the child must reach its end or its step"
        return status != 0
    count = 0

    def counted(inner):
        def step(*args, **kwargs):
            nonlocal count
            count += 1
            if count == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return inner(*args, **kwargs)

        return step

    try:
        safetensors.torch.save_file, files.sync = counted(safetensors.torch.save_file), counted(files.sync)
        shutil.rmtree, Path.rename = counted(shutil.rmtree), counted(Path.rename)
        Path.write_text, torch.save = counted(Path.write_text), counted(torch.save)
        checkpoint.save(run, saved(3))
        os._exit(0)
    finally:
        os._exit(1)  # never back into the test runner


def test_a_run_keeps_as_many_checkpoints_as_it_was_told(tmp_path, monkeypatch):
    """So that one can go back to the best, not only to the last."""
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    settings = ["train.steps=5", "train.batch_size=8", "train.checkpoint_every=1", "train.keep=4"]
    settings += ["train.precision=fp32"]  # as this process has it already
    words = [word for s in settings for word in ("--set", s)]
    assert train.main(["sft", "--run", "r", "--dataset", "mixture", *words]) == 0
    assert [checkpoint.step_of(p) for p in checkpoint.folders(tmp_path / "runs/r")] == [5, 4, 3, 2]


def test_the_checkpoint_writer_killed_at_each_of_its_steps(tmp_path):
    """T-TRN-03: whichever step it is, a good checkpoint is there, and the next save clears away what was left."""
    call = 1
    while True:
        run = tmp_path / str(call)
        for step in (1, 2):
            checkpoint.save(run, saved(step))
        survived = not dies_at(run, call)
        newest, faults = checkpoint.newest(run)
        assert newest is not None and not faults
        step = checkpoint.load(newest).step
        assert step in (2, 3)
        assert torch.equal(checkpoint.load(newest).tensors["student"]["w"], saved(step).tensors["student"]["w"])
        checkpoint.save(run, saved(4))
        assert checkpoint.newest(run)[0].name == "step-00000004"
        assert len(list((run / "checkpoints").iterdir())) == checkpoint.KEEP
        if survived:
            break
        call += 1
    assert call > 10


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(tmp_path):
    """T-TRN-06: the older checkpoint stays good, the error is a sentence, and with space again it goes on."""
    out = small_disk.run(
        """
        import torch
        from core import checkpoint
        from core.events import trouble
        def saved(step, side):
            weights = {"w": torch.full((side, side), float(step))}
            return checkpoint.Saved(step, {"student": weights}, {}, {})
        checkpoint.save(disk, saved(1, 100))
        try:
            checkpoint.save(disk, saved(2, 2000))
        except BaseException as e:
            print(trouble(e))
        found, faults = checkpoint.newest(disk)
        print(found.name, faults)
        checkpoint.save(disk, saved(3, 100))
        print(checkpoint.newest(disk)[0].name, [p.name for p in (disk / "checkpoints").glob(".*")])
        """,
        tmp_path / "disk",
        "size=6m",
    )
    assert out.splitlines() == [
        "the disk is full: free some space, then resume",
        "step-00000001 []",
        "step-00000003 []",
    ]

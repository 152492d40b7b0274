"""A worker in this process, commands in theirs: how jobs end, well and badly. The commands are tests/standin.py's."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.events import KINDS as KINDS_OF_EVENTS
from core.events import read
from jobs import attempt, kinds, process, store
from jobs import worker as workers
from jobs.attempt import LOG, OLDER_LOG, Attempt, Settings, Tail, present
from jobs.job import Progress, State
from jobs.kinds import KINDS, Start
from tests.jobs_bench import QUICK, chain, opened, until, worker
from tests.standin import expected


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(store, "BACKOFF", 0.05)


@pytest.fixture
def jobs(tmp_path):
    return opened(tmp_path)


def finish(jobs, job, **settings):
    """Work until the job has ended, then that the next job still runs."""
    hand = worker(jobs, **settings)
    until(lambda: jobs.get(job.id).state in (State.DONE, State.FAILED, State.CANCELLED, State.PAUSED), hand.turn)
    assert hand.attempts == [] and process.of_job(job.id) == []
    ended = jobs.get(job.id)
    if ended.state is State.FAILED:
        after = chain(jobs, steps=1)
        until(lambda: jobs.get(after.id).state is State.DONE, worker(jobs).turn)
    return ended


def running(jobs, job, hand, step=1):
    until(lambda: (jobs.get(job.id).step or 0) >= step, hand.turn)


def result(jobs, job):
    return (jobs.run(job.id) / "result.txt").read_text()


def test_a_job_is_done_with_its_outputs_progress_and_log(jobs):
    job = finish(jobs, chain(jobs, steps=6, every=2))
    assert (job.state, job.attempt, job.error) == (State.DONE, 1, None)
    assert job.outputs == [{"path": "result.txt", "bytes": 64}]
    assert result(jobs, job) == expected(6)
    assert (job.stage, job.step, job.total, job.checkpoint_step, job.seconds_left) == ("links", 6, 6, 6, 0)
    assert job.bytes > 64 and job.ran > 0 and job.ended >= job.started >= job.created
    assert (jobs.run(job.id) / LOG).exists()


@pytest.mark.parametrize("wish", ["cancel", "pause"])
def test_it_stops_within_three_seconds_keeps_its_checkpoint_and_goes_on_from_there(jobs, wish):
    hand, job = worker(jobs), chain(jobs, steps=60, every=1000, ms=50)
    running(jobs, job, hand, 3)
    begun = time.monotonic()
    {"cancel": jobs.cancel, "pause": jobs.pause}[wish](job.id)
    lag = until(lambda: jobs.get(job.id).state is not State.RUNNING, hand.turn)
    assert time.monotonic() - begun - 3 * lag < 3
    stopped = jobs.get(job.id)
    assert stopped.state is {"cancel": State.CANCELLED, "pause": State.PAUSED}[wish]
    assert 3 <= stopped.checkpoint_step < 60 and not stopped.outputs
    jobs.resume(job.id)
    ended = finish(jobs, job)
    assert (ended.state, ended.attempt, ended.resumed_from) == (State.DONE, 2, stopped.checkpoint_step)
    assert result(jobs, job) == expected(60)


def test_cancel_of_a_command_that_does_not_listen_is_over_within_three_seconds(jobs):
    hand, job = worker(jobs), chain(jobs, "deaf", steps=1000, ms=50)
    running(jobs, job, hand)
    begun = time.monotonic()
    jobs.cancel(job.id)
    lag = until(lambda: jobs.get(job.id).state is State.CANCELLED, hand.turn)
    assert 2 < time.monotonic() - begun < 3 + 3 * lag
    assert process.of_job(job.id) == []


def test_cancel_between_claim_and_start(jobs):
    hand, job = worker(jobs), chain(jobs, steps=1000, ms=50)
    hand.turn()  # claimed and launched; the command is not Python yet
    jobs.cancel(job.id)
    until(lambda: jobs.get(job.id).state is State.CANCELLED, hand.turn)


@pytest.mark.parametrize("moment", ["launch", 2, 5, 7, "the end"])
def test_cancel_races_with_completion_and_one_of_them_wins(jobs, moment):
    """Cancels before the first of eight steps, between them, and when all is done but not seen yet."""
    hand, job = worker(jobs), chain(jobs, steps=8, ms=20)
    hand.turn()
    if moment == "the end":
        until(lambda: hand.attempts[0].child.poll() is not None)
    if isinstance(moment, int):
        until(lambda: (hand.attempts[0].progress.step or 0) >= moment, hand.attempts[0]._listen)
    try:
        jobs.cancel(job.id)
    except ValueError as e:
        assert "is done" in str(e)
    until(lambda: jobs.get(job.id).state is not State.RUNNING, hand.turn)
    ended = jobs.get(job.id)
    valid = {"launch": {State.CANCELLED}, "the end": {State.DONE}}
    assert ended.state in valid.get(moment, {State.DONE, State.CANCELLED})
    assert bool(ended.outputs) == (ended.state is State.DONE)


def test_a_worker_that_has_to_leave_hands_its_job_back(jobs):
    """T-JOB-16."""
    hand, job = worker(jobs), chain(jobs, steps=60, every=1000, ms=50)
    running(jobs, job, hand, 3)
    waiting = chain(jobs, steps=1)
    hand.stop()
    begun = time.monotonic()
    hand.work()
    assert time.monotonic() - begun < 10
    left = jobs.get(job.id)
    assert (left.state, left.failures, left.losses) == (State.QUEUED, 0, 0) and left.checkpoint_step >= 3
    assert jobs.get(waiting.id).state is State.QUEUED  # nothing new was begun
    worker(jobs).work(drain=True)
    assert result(jobs, job) == expected(60) and jobs.get(job.id).attempt == 2


def test_a_crash_is_tried_again_and_goes_on_from_the_checkpoint(jobs):
    job = finish(jobs, chain(jobs, "crash_once", steps=9, every=2))
    assert (job.state, job.attempt, job.resumed_from) == (State.DONE, 2, 4)
    assert result(jobs, job) == expected(9)


def test_a_job_that_always_crashes_fails_after_three_times(jobs):
    """T-JOB-07."""
    job = finish(jobs, chain(jobs, "crash", steps=9, every=100))
    assert (job.state, job.attempt) == (State.FAILED, 3)
    assert job.error == "it ended with status 1 and no error message; see the log (3 times in a row)"


@pytest.mark.parametrize("mode", ["faulty", "nan"])
def test_what_cannot_be_helped_is_not_tried_again(jobs, mode):
    job = finish(jobs, chain(jobs, mode))
    assert (job.state, job.attempt, job.error) == (State.FAILED, 1, "it cannot be done")


def test_out_of_memory_is_a_sentence_and_harms_nothing_else(jobs):
    job = finish(jobs, chain(jobs, "hoard", every=100), memory_gb=0.4)
    assert (job.state, job.attempt) == (State.FAILED, 3)
    assert "memory ran out: make the batch smaller" in job.error


def test_a_command_that_hangs_is_ended_and_tried_again(jobs):
    """T-JOB-08."""
    job = finish(jobs, chain(jobs, "silent", every=100), silence=0.4, stop_grace=0.2)
    assert (job.state, job.attempt) == (State.FAILED, 3)
    assert job.error.startswith("no output for 0.4 s")


def test_a_command_that_takes_too_long_fails(jobs):
    job = finish(jobs, chain(jobs, steps=1000, ms=20), hours=0.4 / 3600)
    assert (job.state, job.attempt) == (State.FAILED, 1)
    assert "longer than the 0.000111111 h that one attempt may take" in job.error


def test_a_job_that_fills_the_quota_fails_with_its_checkpoint_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(attempt, "MEASURE_SECONDS", 0.0)
    jobs = opened(tmp_path, quota_gb=2e-6)
    job = chain(jobs, steps=2000, every=1, ms=5)
    hand = worker(jobs)
    until(lambda: jobs.get(job.id).state is State.FAILED, hand.turn)
    ended = jobs.get(job.id)
    assert "GB allowed; delete some, then resume" in ended.error and ended.checkpoint_step > 0


@pytest.mark.parametrize(
    "mode, why",
    [
        ("mute", "it ended without saying that it was done"),
        ("unnamed", "it said that it was done but named no output"),
        ("absent", "its output nothing.txt is missing or empty"),
        ("outside", "its output ../../jobs.db lies outside its run folder"),
    ],
)
def test_a_command_that_leaves_well_but_without_its_outputs_is_not_done(jobs, mode, why):
    job = finish(jobs, chain(jobs, mode))
    assert (job.state, job.outputs) == (State.FAILED, [])
    assert job.error == f"{why} (3 times in a row)"


def test_a_done_that_an_earlier_attempt_said_does_not_count(jobs):
    """The command said `done`, then its worker died; the next attempt must say it again."""
    job = chain(jobs, "mute")
    run = jobs.run(job.id)
    (run / "events.jsonl").write_text('{"kind": "done", "attempt": 1, "outputs": ["job.json"]}\n')
    assert finish(jobs, job).state is State.FAILED


def test_a_line_that_a_kill_tore_apart_does_no_harm(jobs):
    job = finish(jobs, chain(jobs, "torn", steps=9, every=2))
    assert (job.state, job.attempt) == (State.DONE, 2)
    assert result(jobs, job) == expected(9)
    steps = [e["step"] for e in read(jobs.run(job.id)) if e["kind"] == "progress"]
    assert steps == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]


def test_helpers_of_a_command_end_with_it(jobs):
    job = finish(jobs, chain(jobs, "helper"))
    assert job.state is State.DONE  # `finish` has looked for processes of the job


def test_the_log_keeps_its_end_and_stays_small(jobs, monkeypatch):
    monkeypatch.setattr(attempt, "LOG_BYTES", 50_000)
    job = finish(jobs, chain(jobs, "chatty", steps=60, ms=20))
    run = jobs.run(job.id)
    assert job.state is State.DONE
    assert (run / OLDER_LOG).stat().st_size <= 50_000 and (run / LOG).stat().st_size <= 50_000


def test_one_command_at_a_time_on_each_device(jobs):
    hand = worker(jobs, devices=("cpu:0", "cpu:1"))
    several = [chain(jobs, steps=20, ms=10) for _ in range(5)]
    most = 0
    while any(jobs.get(j.id).state is not State.DONE for j in several):
        hand.turn()
        most = max(most, len(hand.attempts))
        assert len({a.job.device for a in hand.attempts}) == len(hand.attempts)
        time.sleep(0.01)
    assert most == 2


def test_a_card_is_named_in_the_environment_and_the_cpu_has_few_threads(jobs):
    hand = worker(jobs, devices=("cuda:1",))
    chain(jobs, steps=1)
    hand.turn()
    env = hand.attempts[0]._environment()
    assert (env["CUDA_VISIBLE_DEVICES"], env["OMP_NUM_THREADS"]) == ("1", str(os.cpu_count()))
    assert hand.attempts[0]._memory() is None
    until(lambda: not hand.attempts, hand.turn)
    hand = worker(jobs)
    chain(jobs, steps=1)
    hand.turn()
    assert (hand.attempts[0]._environment()["CUDA_VISIBLE_DEVICES"], QUICK.threads) == ("", 1)
    until(lambda: not hand.attempts, hand.turn)


def test_nothing_starts_on_a_disk_that_is_nearly_full_and_the_worker_says_so(tmp_path):
    jobs = opened(tmp_path, free_gb=1e9)
    hand, job = worker(jobs), chain(jobs)
    for _ in range(3):
        hand.turn()
    assert jobs.get(job.id).state is State.QUEUED
    assert "GB left, jobs start with 1e+09 GB" in jobs.workers(hand.dead)[0]["note"]
    jobs.limits = replace(jobs.limits, free_gb=0.0)
    until(lambda: jobs.get(job.id).state is State.DONE, hand.turn)
    assert jobs.workers(hand.dead)[0]["note"] == ""


class TestRequestsThatNoLongerHold:
    """Accepted once; by the time that they are started something is gone. Nothing is launched."""

    @pytest.fixture(autouse=True)
    def studio(self, tmp_path, monkeypatch):
        monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
        return tmp_path

    def failed(self, jobs, **fields):
        job = jobs.submit("distill", {"method": "sft", "dataset": "mixture"} | fields)
        hand = workers.Worker(jobs, QUICK, KINDS)
        hand.turn()
        ended = jobs.get(job.id)
        assert (ended.state, ended.attempt, hand.attempts) == (State.FAILED, 1, [])
        return ended.error

    def test_missing_model(self, jobs):
        assert "unknown base 'gone'; valid:" in self.failed(jobs, base="gone")

    def test_deleted_input(self, jobs, studio):
        (studio / "datasets" / "cats").mkdir(parents=True)
        request = kinds.request("distill", {"method": "oracle", "dataset": "cats"}, {})
        assert kinds.distill(request, Start(jobs.run("x")))[7] == str(studio / "datasets" / "cats")
        shutil.rmtree(studio / "datasets")
        assert "unknown dataset 'cats'; valid: toys" in self.failed(jobs, dataset="cats")

    def test_kind_of_another_version(self, jobs):
        job = jobs.submit("painting", {})
        workers.Worker(jobs, QUICK, KINDS).turn()
        assert jobs.get(job.id).error == "unknown kind 'painting'; valid: distill, threed"


def test_who_is_dead_and_who_may_not_be(jobs):
    """By pid and start time, in this boot and name space; where that can't be known, nobody is dead."""
    clock = jobs.clock
    code = (
        "import sys; from jobs import job, process; print(process.identity(job.Clock()), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    who = child.stdout.readline().strip()
    boot, space, pid, began = who.split("/")
    assert not process.dead(who, clock) and not process.dead(process.identity(clock), clock)
    assert process.dead("/".join((boot, space, pid, str(int(began) - 1))), clock)  # its number is another's now
    child.kill()
    until(lambda: process.dead(who, clock))  # a zombie: nobody has waited for it yet
    child.communicate()
    assert process.dead(who, clock)
    assert not process.dead("/".join(("another boot", space, pid, began)), clock)
    assert not process.dead("/".join((boot, "pid:[1]", pid, began)), clock)


def test_a_command_that_cannot_be_started_is_tried_again(jobs, monkeypatch):
    job = chain(jobs)
    jobs.run(job.id).mkdir(exist_ok=True)
    (jobs.run(job.id) / LOG).mkdir()  # its log can't be opened
    hand = worker(jobs)
    until(lambda: jobs.get(job.id).failures == 1, hand.turn)
    assert "could not be started: is a directory" in jobs.get(job.id).error
    (jobs.run(job.id) / LOG).rmdir()
    until(lambda: jobs.get(job.id).state is State.DONE, hand.turn)


def test_tail_reads_whole_lines_once(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "old"}\n')
    tail = Tail(path)
    with path.open("a") as f:
        f.write('{"kind": "a"}\nnot json\n[1]\n{"kind": 3}\n{"kind": "b", "st')
        f.flush()
        assert [e["kind"] for e in tail.read()] == ["a"]
        f.write('ep": 4}\n')
        f.flush()
        assert tail.read() == [{"kind": "b", "step": 4}]
        assert tail.read() == []


def test_a_line_without_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(attempt, "READ_BYTES", 1000)
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    path.write_text("x" * 5000 + '\n{"kind": "a"}\n')
    seen = []
    for _ in range(10):
        seen += tail.read()
    assert [e["kind"] for e in seen] == ["a"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from("stage step total seconds_left resumed_from message outputs path".split())


@example(events=[("progress", {"step": 2**70, "stage": "\ud800", "seconds_left": float("nan")})])
@example(events=[("checkpoint", {"step": True}), ("done", {"outputs": ["\ud800", 3]}), ("error", {"message": [1]})])
@given(events=st.lists(st.tuples(st.sampled_from(KINDS_OF_EVENTS), st.dictionaries(FIELDS, JSON)), max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_a_command_says_the_worker_lives(tmp_path, events):
    """Numbers beyond all bounds, halves of surrogate pairs, lists for texts: nothing of it reaches the table."""
    store = opened(tmp_path)
    job = store.claim("worker", "cpu") or store.claim("worker", f"cpu:{chain(store).seq}")
    heard = Attempt.__new__(Attempt)
    heard.store, heard.progress, heard.finish, heard.error = store, Progress(), None, None
    for kind, fields in events:
        (event,) = [e for raw in [json.dumps({"kind": kind} | fields).encode()] if (e := attempt._event(raw))]
        heard._hear(event)
    store.beat(job, heard.progress)
    outputs, fault = present(tmp_path, heard.finish)
    assert outputs or fault
    store.failed(job, heard.error or fault)
    assert store.get(job.id).state is State.FAILED
    store.close()


def test_outputs_are_all_there_or_none_counts(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "empty").write_text("")
    (tmp_path / "folder").mkdir()
    assert present(tmp_path, {"outputs": ["a"]}) == ([{"path": "a", "bytes": 1}], "")
    assert present(tmp_path, {"outputs": ["a", "empty"]})[0] == []
    assert present(tmp_path, {"outputs": ["folder"]})[0] == []
    assert present(tmp_path, {"outputs": "a"})[0] == []
    assert present(tmp_path, {"outputs": ["a\0"]}) == ([], "its output 'a\\x00' is no path")
    (tmp_path / "folder" / "b").write_text("xy")
    assert present(tmp_path, {"outputs": ["folder"]})[0] == [{"path": "folder", "bytes": 2}]


def test_defaults_keep_the_machine_usable():
    own = Settings()
    assert (own.devices, own.threads, own.nice) == (("cpu",), 1, 10)
    assert own.beat * 6 <= store.LEASE

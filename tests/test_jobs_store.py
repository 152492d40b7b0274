"""The table of jobs under a clock turned by hand: claims, fences, leases, order, limits, keeping."""

import itertools
import sqlite3
import threading

import pytest

from jobs import keep, store
from jobs.job import ENDED, MOVES, Progress, State, sources
from jobs.store import BACKOFF_CAP, LEASE, Fenced
from tests.jobs_bench import OUT, Hands, Never, chain, claimed, opened


def test_a_job_goes_from_queued_to_done(jobs):
    job = claimed(jobs)
    assert (job.state, job.attempt, job.started) == (State.RUNNING, 1, jobs.clock.wall())
    jobs.beat(job, Progress(stage="links", step=3, total=5, seconds_left=2.0))
    seen = jobs.get(job.id)
    assert (seen.stage, seen.step, seen.total, seen.seconds_left) == ("links", 3, 5, 2.0)
    assert jobs.done(job, OUT).state is State.DONE
    assert jobs.get(job.id).outputs == OUT


def test_nothing_is_done_by_absence(jobs):
    job = claimed(jobs)
    with pytest.raises(ValueError, match="no outputs"):
        jobs.done(job, [])
    with pytest.raises(sqlite3.IntegrityError):  # nor by another program that writes the table
        jobs.conn.execute("UPDATE jobs SET state = 'done' WHERE id = ?", (job.id,))
    assert jobs.get(job.id).state is State.RUNNING


@pytest.mark.parametrize("start, to", itertools.product(State, State))
def test_only_legal_moves_move(jobs, start, to):
    job = chain(jobs)
    claim = jobs.claim("worker", "cpu") if start is not State.QUEUED else None
    steps = {"paused": lambda: jobs.pause(job.id), "cancelled": lambda: jobs.cancel(job.id)}
    if start in (State.PAUSED, State.CANCELLED):
        steps[start]()
        jobs.stopped(claim)
    if start is State.DONE:
        jobs.done(claim, OUT)
    if start is State.FAILED:
        jobs.failed(claim, "why")
    assert jobs.get(job.id).state is start
    moved = jobs._move(job.id, to, outputs='[{"path": "x"}]', worker="worker")
    assert (moved is not None) == (to in MOVES[start]) == (start in sources(to))
    assert jobs.get(job.id).state is (to if moved else start)


def test_a_claim_is_granted_once_per_device_and_job(jobs):
    first, second = chain(jobs), chain(jobs)
    assert jobs.claim("a", "cpu").id == first.id
    assert jobs.claim("b", "cpu") is None  # the device is taken, whoever asks
    assert jobs.claim("b", "cpu:1").id == second.id
    assert jobs.claim("c", "cpu:2") is None


def test_threads_that_claim_at_once_share_the_jobs(tmp_path):
    total, granted, barrier = 40, [], threading.Barrier(6)
    first = opened(tmp_path, running_per_owner=100)
    for _ in range(total):
        chain(first, owner="local")

    def take(number: int) -> None:
        own = opened(tmp_path, running_per_owner=100)
        barrier.wait()
        while job := own.claim(f"w{number}", f"cpu:{number}"):
            granted.append((job.id, job.fence))
            own.done(job, OUT)

    threads = [threading.Thread(target=take, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(granted) == len({i for i, _ in granted}) == len({f for _, f in granted}) == total


def test_a_stalled_worker_is_fenced_off(jobs, hands):
    """T-JOB-04: the first worker sleeps through its lease, the second takes over, the first wakes up."""
    stale = claimed(jobs)
    hands.pass_(LEASE + 1)
    assert [j.state for j in jobs.sweep(Never())] == [State.QUEUED]
    fresh = jobs.claim("other", "cpu")
    assert fresh.id == stale.id and fresh.fence > stale.fence and fresh.attempt == 2
    before = jobs.get(fresh.id)
    late = [
        lambda: jobs.beat(stale, Progress(step=99)),
        lambda: jobs.wish(stale),
        lambda: jobs.done(stale, OUT),
        lambda: jobs.failed(stale, "late"),
        lambda: jobs.retry(stale, "late"),
        lambda: jobs.stopped(stale),
    ]
    for write in late:
        with pytest.raises(Fenced):
            write()
    assert jobs.get(fresh.id) == before
    assert jobs.done(fresh, OUT).state is State.DONE


def test_a_stalled_worker_is_fenced_off_before_anyone_else_claims(jobs, hands):
    stale = claimed(jobs)
    hands.pass_(LEASE + 1)
    jobs.sweep(Never())
    with pytest.raises(Fenced):
        jobs.done(stale, OUT)


def test_a_lease_that_is_renewed_is_kept(jobs, hands):
    job = claimed(jobs)
    for _ in range(5):
        hands.pass_(LEASE - 1)
        jobs.beat(job)
        assert jobs.sweep(Never()) == []


def test_a_heartbeat_between_look_and_take_keeps_the_job(jobs, hands):
    job = claimed(jobs)
    hands.pass_(LEASE + 1)
    row = jobs._rows("SELECT * FROM jobs")[0]
    jobs.beat(job)
    assert jobs._take(row) is None
    assert jobs.get(job.id).state is State.RUNNING


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 10 * 365 * 86400.0])
def test_a_wall_clock_that_jumps_steals_no_lease_and_keeps_none(jobs, hands, jump):
    """T-JOB-05."""
    job = claimed(jobs)
    hands.wall += jump
    assert jobs.sweep(Never()) == []
    jobs.beat(job)
    hands.pass_(LEASE - 1)
    assert jobs.sweep(Never()) == []
    hands.pass_(2)
    assert [j.id for j in jobs.sweep(Never())] == [job.id]


@pytest.mark.parametrize("jump", [0.0, 7200.0, -7200.0])
def test_after_a_reboot_leases_of_the_old_boot_run_out(tmp_path, hands, jump):
    job = claimed(opened(tmp_path, hands))
    after = Hands(hands.wall + 5 + jump, mono=3.0, boot="next boot")
    again = opened(tmp_path, after)
    if jump == 0:
        assert again.sweep(Never()) == []  # it may be another machine's
        after.pass_(LEASE)
    assert [j.id for j in again.sweep(Never())] == [job.id]


def test_a_dead_worker_is_not_waited_for(jobs):
    job = claimed(jobs)
    assert [j.id for j in jobs.sweep(lambda who: who == "worker")] == [job.id]


@pytest.mark.parametrize("jump", [0.0, -86400.0])
def test_back_off_is_waited_for_but_not_after_a_clock_jump(jobs, hands, jump):
    job = claimed(jobs)
    jobs.retry(job, "why")
    assert jobs.claim("worker", "cpu") is None
    hands.wall += jump or 2.1
    assert jobs.claim("worker", "cpu").id == job.id


def test_a_poison_job_fails_after_three_times_with_growing_waits(jobs, hands):
    """T-JOB-07."""
    job = claimed(jobs)
    waits = []
    while jobs.retry(job, "it broke").state is State.QUEUED:
        begun = hands.wall
        while (again := jobs.claim("worker", "cpu")) is None:
            hands.pass_(1)
        job = again
        waits.append(hands.wall - begun)
    assert waits == [2.0, 4.0]
    assert jobs.get(job.id).state is State.FAILED
    assert jobs.get(job.id).error == "it broke (3 times in a row)"
    chain(jobs)
    assert jobs.claim("worker", "cpu") is not None


def test_a_checkpoint_between_failures_counts_them_anew(jobs, hands):
    job = claimed(jobs)
    for step in range(8):
        assert jobs.retry(job, "it broke").state is State.QUEUED
        hands.pass_(BACKOFF_CAP)
        job = jobs.claim("worker", "cpu")
        jobs.beat(job, Progress(checkpoint_step=step, checkpoint_at=1.0))


def test_a_checkpoint_that_is_no_further_does_not_count(jobs, hands):
    job = claimed(jobs)
    states = []
    for _ in range(3):
        jobs.beat(job, Progress(checkpoint_step=7))
        states.append(jobs.retry(job, "it broke").state)
        hands.pass_(BACKOFF_CAP)
        job = jobs.claim("worker", "cpu") or job
    assert states == [State.QUEUED, State.QUEUED, State.FAILED]


def test_workers_that_vanish_again_and_again_end_a_job(jobs, hands):
    chain(jobs)
    seen = []
    for _ in range(10):
        hands.pass_(BACKOFF_CAP)
        job = jobs.claim("worker", "cpu")
        seen += [j.state for j in jobs.sweep(lambda who: True)]
    assert seen == [State.QUEUED] * 9 + [State.FAILED]
    assert "vanished 10 times" in jobs.get(job.id).error


def test_one_owner_cannot_keep_another_waiting(jobs):
    """T-DOS-03: twenty of one, then one of another; it is served second."""
    for _ in range(20):
        chain(jobs, owner="flood")
    late = chain(jobs, owner="late")
    order = []
    for _ in range(4):
        job = jobs.claim("worker", "cpu")
        order.append(job.owner)
        jobs.done(job, OUT)
    assert order == ["flood", "late", "flood", "flood"]
    assert jobs.get(late.id).state is State.DONE


def test_owners_take_turns(jobs):
    for owner in "aaabbbccc":
        chain(jobs, owner=owner)
    order = ""
    while job := jobs.claim("worker", "cpu"):
        order += job.owner
        jobs.done(job, OUT)
    assert order == "abcabcabc"


def test_priority_goes_first_and_then_the_order_of_submission(jobs):
    ids = [jobs.submit("chain", {"n": n}, priority=p).id for n, p in enumerate([0, 5, 0, 5, -3])]
    order = []
    while job := jobs.claim("worker", "cpu"):
        order.append(ids.index(job.id))
        jobs.done(job, OUT)
    assert order == [1, 3, 0, 2, 4]
    with pytest.raises(ValueError, match="-10 to 10, not 11"):
        jobs.submit("chain", {}, priority=11)


def test_limits_of_an_owner(tmp_path, hands):
    jobs = opened(tmp_path, hands, waiting_per_owner=3, running_per_owner=1)
    for _ in range(3):
        chain(jobs, owner="a")
    with pytest.raises(ValueError, match="3 jobs wait already"):
        chain(jobs, owner="a")
    chain(jobs, owner="b")
    assert jobs.claim("worker", "cpu:0").owner == "a"
    assert jobs.claim("worker", "cpu:1").owner == "b"
    assert jobs.claim("worker", "cpu:2") is None  # one at a time for each
    chain(jobs, owner="a")  # what runs does not wait


def test_the_quota_of_the_disk_refuses_new_jobs(tmp_path, hands):
    jobs = opened(tmp_path, hands, quota_gb=1e-3)
    job = claimed(jobs)
    jobs.beat(job, size=2_000_000)
    with pytest.raises(ValueError, match="0.0 GB of the 0.001 GB allowed; delete"):
        chain(jobs)
    jobs.done(job, OUT)
    keep.prune(jobs, days=-1, done=True)
    chain(jobs)


def test_the_same_key_twenty_times_at_once_is_one_job(tmp_path):
    """T-JOB-14."""
    opened(tmp_path)
    answers = []

    def ask() -> None:
        answers.append(opened(tmp_path).submit("chain", {"n": 1}, "me", key="k").id)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == 20 and len(set(answers)) == 1
    assert opened(tmp_path).submit("chain", {"n": 1}, "you", key="k").id not in answers


class TestAsking:
    def test_cancel_before_a_claim_ends_it_at_once(self, jobs):
        job = chain(jobs)
        assert jobs.cancel(job.id).state is State.CANCELLED
        assert jobs.claim("worker", "cpu") is None

    def test_cancel_of_a_running_job_is_a_wish_that_the_worker_sees(self, jobs):
        job = claimed(jobs)
        assert jobs.cancel(job.id).state is State.RUNNING
        assert jobs.wish(job) == jobs.beat(job) == "cancel"
        assert jobs.stopped(job).state is State.CANCELLED

    def test_cancel_twice_and_after_the_end(self, jobs):
        job = chain(jobs)
        assert jobs.cancel(job.id) == jobs.cancel(job.id)
        other = claimed(jobs)
        jobs.done(other, OUT)
        with pytest.raises(ValueError, match="is done: there is nothing to cancel"):
            jobs.cancel(other.id)
        with pytest.raises(ValueError, match="there is no job 'unknown'"):
            jobs.cancel("unknown")

    def test_completion_that_beats_a_cancel_is_kept(self, jobs):
        job = claimed(jobs)
        jobs.cancel(job.id)
        assert jobs.done(job, OUT).state is State.DONE
        assert jobs.get(job.id).wish is None

    def test_a_cancel_outdoes_a_pause(self, jobs):
        job = claimed(jobs)
        jobs.cancel(job.id)
        jobs.pause(job.id)
        assert jobs.wish(job) == "cancel"

    def test_a_cancelled_job_whose_worker_died_ends_cancelled(self, jobs):
        job = claimed(jobs)
        jobs.cancel(job.id)
        assert [j.state for j in jobs.sweep(lambda who: True)] == [State.CANCELLED]
        assert jobs.get(job.id).ended is not None

    def test_a_cancel_while_the_command_fails_ends_cancelled(self, jobs):
        job = claimed(jobs)
        jobs.cancel(job.id)
        assert jobs.retry(job, "it broke").state is State.CANCELLED

    def test_pause_and_resume(self, jobs):
        job = claimed(jobs)
        jobs.pause(job.id)
        assert jobs.stopped(job).state is State.PAUSED
        assert jobs.claim("worker", "cpu") is None
        assert jobs.resume(job.id).state is State.QUEUED
        assert jobs.claim("worker", "cpu").attempt == 2

    def test_resume_takes_a_pause_back_that_has_not_happened(self, jobs):
        job = claimed(jobs)
        jobs.pause(job.id)
        jobs.resume(job.id)
        assert jobs.wish(job) is None
        assert jobs.stopped(job).state is State.QUEUED  # it had left already: it goes on

    def test_what_failed_or_was_cancelled_may_be_resumed_and_what_is_done_may_not(self, jobs):
        job = claimed(jobs)
        jobs.failed(job, "why")
        again = jobs.resume(job.id)
        assert (again.state, again.error, again.ended) == (State.QUEUED, None, None)
        jobs.cancel(job.id)
        jobs.resume(job.id)
        jobs.done(jobs.claim("worker", "cpu"), OUT)
        with pytest.raises(ValueError, match="nothing to resume"):
            jobs.resume(job.id)


def test_every_query_of_a_worker_uses_an_index(jobs):
    """T-JOB-18: no walk over the history."""
    from jobs import schema

    values = dict.fromkeys("worker device boot mono until wall cap per_owner".split(), 0)
    plan = [r["detail"] for r in jobs.conn.execute("EXPLAIN QUERY PLAN " + schema.CLAIM, values)]
    assert plan and not [line for line in plan if line.startswith("SCAN") and "INDEX" not in line]


def test_ended_states_are_those_that_nothing_but_a_person_leaves():
    assert set(ENDED) == {s for s in State if MOVES[s] <= {State.QUEUED} and s not in (State.PAUSED, State.QUEUED)}
    assert store.LEASE >= 30

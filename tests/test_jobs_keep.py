"""What stays and what goes: pages of a history, short ids, deletion, retention, and a table that was lost."""

import pytest

from core.db import DatabaseUnusable
from jobs import files, keep
from jobs.job import State
from jobs.store import LEASE, Fenced
from tests.jobs_bench import OUT, Never, chain, claimed, opened


def test_pages_of_jobs_cover_all_of_them_newest_first(jobs):
    ids = [chain(jobs, owner="ab"[n % 2]).id for n in range(11)]
    for _ in range(4):
        jobs.done(jobs.claim("worker", "cpu"), OUT)
    seen, before = [], None
    while page := jobs.jobs(limit=3, before=before):
        seen += [j.id for j in page]
        before = page[-1].seq
    assert seen == ids[::-1]
    assert {j.state for j in jobs.jobs([State.DONE])} == {State.DONE}
    assert [j.owner for j in jobs.jobs(owner="b")] == ["b"] * 5
    assert jobs.counts() == {**dict.fromkeys(State, 0), State.QUEUED: 7, State.DONE: 4}


def test_ids_may_be_shortened(jobs):
    job = chain(jobs)
    assert jobs.find(job.id[:6]).id == job.id
    for _ in range(60):
        chain(jobs)
    with pytest.raises(ValueError, match="several jobs begin"):
        jobs.find(next(i for i in "abcdefgh" if sum(j.id[0] == i for j in jobs.jobs(limit=99)) > 1))
    with pytest.raises(ValueError, match="there is no job ''"):
        jobs.find("")


def test_prune_takes_old_failures_and_leaves_results(jobs, hands):
    kept = claimed(jobs)
    jobs.done(kept, OUT)
    old = claimed(jobs)
    jobs.failed(old, "why")
    (jobs.run(old.id) / "log.txt").write_text("x" * 100)
    hands.pass_(31 * 86400)
    young = claimed(jobs)
    jobs.failed(young, "why")
    assert keep.prune(jobs, days=30).jobs == 1
    assert {j.id for j in jobs.jobs()} == {kept.id, young.id}
    assert not jobs.run(old.id).exists()
    assert keep.prune(jobs, days=30, done=True).jobs == 1


def test_prune_to_a_size_takes_the_oldest_first(jobs, hands):
    ids = []
    for _ in range(4):
        hands.pass_(60)
        job = claimed(jobs)
        ids.append(job.id)
        jobs.beat(job, size=100_000_000)
        jobs.failed(job, "why")
    keep.prune(jobs, days=1000, to_gb=0.25)
    assert {j.id for j in jobs.jobs()} == set(ids[2:])


def test_a_running_job_is_not_deleted(jobs):
    job = claimed(jobs)
    with pytest.raises(ValueError, match="cancel it first"):
        keep.delete(jobs, job.id)
    jobs.failed(job, "why")
    keep.delete(jobs, job.id)
    with pytest.raises(ValueError, match="no job"):
        jobs.get(job.id)


@pytest.mark.parametrize("folder_gone", [True, False])
def test_a_kill_in_the_middle_of_deleting_is_made_good(jobs, folder_gone):
    job = chain(jobs)
    jobs.mark(job.id)
    if folder_gone:
        (jobs.run(job.id) / "job.json").unlink()
        jobs.run(job.id).rmdir()
    assert jobs.jobs() == [] and jobs.claim("worker", "cpu") is None
    assert keep.prune(jobs, days=30).jobs == 1
    assert not jobs.run(job.id).exists() and jobs.marked() == []


def test_a_lost_table_is_rebuilt_from_the_run_folders(tmp_path, hands):
    jobs = opened(tmp_path, hands)
    done, running, paused = claimed(jobs), None, None
    jobs.done(done, OUT)
    running, paused = claimed(jobs), chain(jobs)
    jobs.pause(paused.id)
    (jobs.run("foreign")).mkdir()
    (jobs.run("foreign") / files.COPY).write_text('{"id": "elsewhere"')
    (tmp_path / "jobs.db").unlink()
    states = {j.id: j.state for j in jobs.jobs()}  # the open store notices
    assert states == {done.id: State.DONE, running.id: State.QUEUED, paused.id: State.PAUSED}
    assert jobs.get(done.id).outputs == OUT
    with pytest.raises(Fenced):
        jobs.beat(running)
    assert jobs.claim("worker", "cpu").fence > running.fence


def test_a_newer_table_is_refused(tmp_path):
    opened(tmp_path).conn.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseUnusable, match="newer version"):
        opened(tmp_path)


def test_workers_are_listed_while_they_live(jobs, hands):
    jobs.present("a", ["cpu"], "waiting: the disk is full")
    jobs.present("b", ["cuda:0"])
    assert [w["id"] for w in jobs.workers(lambda who: who == "a")] == ["b"]
    assert jobs.workers(Never())[0]["note"] == "waiting: the disk is full"
    hands.pass_(3 * LEASE)
    assert jobs.workers(Never()) == []
    jobs.absent("b")

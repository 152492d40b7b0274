"""Deleting jobs with their files, and retention.

Deleting marks a job, then removes its folder, then its row. A kill in between leaves a marked job, which the next
`prune` deletes, and never a folder without a row.
"""

import shutil
from dataclasses import dataclass

from jobs import files
from jobs.job import ENDED, State
from jobs.store import Store


@dataclass(frozen=True)
class Pruned:
    jobs: int
    bytes: int


def delete(store: Store, job_id: str) -> int:
    """Delete a job and its run folder; returns the bytes that are freed. Raises ValueError while the job runs."""
    job = store.get(job_id)
    if not store.mark(job_id):
        raise ValueError(f"job {job_id} is {State.RUNNING}: cancel it first")
    return _remove(store, job.id)


def _remove(store: Store, job_id: str) -> int:
    folder = store.run(job_id)
    size = files.size(folder)
    if folder.exists():
        shutil.rmtree(folder)
    store.forget(job_id)
    return size


def prune(store: Store, days: float, done: bool = False, to_gb: float | None = None) -> Pruned:
    """Delete ended jobs that are older than `days`, then the oldest ended ones until at most `to_gb` are left.

    done: whether jobs that are done are deleted too. Deletions that a kill interrupted are finished, and run folders
    with a copy of their job but no row get their row back.
    """
    store.adopt()
    gone = [_remove(store, job_id) for job_id in store.marked()]
    states = ENDED if done else (State.FAILED, State.CANCELLED)
    old = store.clock.wall() - days * 86400
    gone += [delete(store, job_id) for job_id, ended in store.ended(states) if ended < old]
    if to_gb is not None:
        for job_id, _ in store.ended(states):
            if store.used() <= to_gb * 1e9:
                break
            gone.append(delete(store, job_id))
    return Pruned(len(gone), sum(gone))

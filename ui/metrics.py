"""Metrics for Prometheus: the page's own counts, and figures of the jobs table at the time of the request.

No label has a prompt, a person, a job or a path.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from core import db
from jobs import files, process
from jobs.job import State
from jobs.store import Store

PAGE = CollectorRegistry()
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
IN_LINE = Gauge("still_life_queue_depth", "Requests that are painted or wait for their turn.", registry=PAGE)
WAITED = Histogram("still_life_wait_seconds", "From asking for pictures to one's turn.", registry=PAGE, buckets=BUCKETS)
PAINTED = Histogram(
    "still_life_paint_seconds", "From one's turn to the last picture.", ["model"], registry=PAGE, buckets=BUCKETS
)
REFUSED = Counter("still_life_refused", "Requests that were turned away.", ["status"], registry=PAGE)


class Jobs(Collector):
    """The metrics of jobs. `store` opens the table; whether it can be opened is a metric too."""

    def __init__(self, store: Callable[[], Store]):
        self.store = store

    def collect(self) -> Iterator[Metric]:
        try:
            families, usable = list(_figures(self.store())), 1
        except db.DatabaseUnusable:
            families, usable = [], 0
        yield GaugeMetricFamily("still_life_jobs_usable", "1 where the table of jobs can be used.", usable)
        yield from families


def _figures(store: Store) -> Iterator[Metric]:
    totals, clock = store.totals(), store.clock
    states = GaugeMetricFamily("still_life_jobs", "Jobs by state; those that are queued wait.", labels=["state"])
    for state, count in store.counts().items():
        states.add_metric([state], count)
    yield states
    yield GaugeMetricFamily(
        "still_life_jobs_oldest_wait_seconds", "Since the job that waits longest was submitted.", store.oldest_wait()
    )
    alive = store.workers(lambda who: process.dead(who, clock))
    yield GaugeMetricFamily("still_life_job_workers", "Workers that are alive.", len(alive))
    saved = [j.checkpoint_at for j in store.jobs([State.RUNNING]) if j.checkpoint_at]
    age = max((clock.wall() - at for at in saved), default=0.0)
    yield GaugeMetricFamily("still_life_checkpoint_age_seconds", "Of running jobs: what a kill would cost.", age)
    waits = (int(totals["starts"]), totals["wait_seconds"])
    yield SummaryMetricFamily("still_life_job_wait_seconds", "From submitting to the first start.", *waits)
    writes = (int(totals["checkpoints"]), totals["checkpoint_seconds"])
    yield SummaryMetricFamily("still_life_checkpoint_seconds", "To write a checkpoint.", *writes)
    yield CounterMetricFamily("still_life_job_attempts", "Times that a job was started.", totals["attempts"])
    yield CounterMetricFamily("still_life_leases_lost", "Jobs whose worker vanished.", totals["leases_lost"])
    yield GaugeMetricFamily("still_life_runs_bytes", "Of all run folders, as last measured.", store.used())
    yield GaugeMetricFamily("still_life_disk_free_bytes", "Left on the studio's disk.", files.free(store.studio))


def exposition(jobs: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(PAGE) + generate_latest(jobs)

"""Jobs from the command line.

    python -m jobs submit KIND --set key=value …
    python -m jobs list | show ID | cancel ID | pause ID | resume ID | rerun ID [--set key=value …] | delete ID | prune

`distill` takes method, base, dataset, minutes, seed and the method's own settings, such as lr or train.steps:
`python -m jobs submit distill --set dataset=mixture --set train.steps=200` is a training of seconds.
An ID may be shortened. `--json` prints JSON, `--studio DIR` is the folder with the jobs.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from core import db
from core.paths import use_studio
from jobs import keep, kinds, process
from jobs.attempt import LOG
from jobs.job import Job, State
from jobs.store import Store

ACTIONS = ("show", "cancel", "pause", "resume", "rerun", "delete")
LOG_LINES = 20


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("jobs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument("--studio", type=Path, help="the studio folder")
    pairs = argparse.ArgumentParser(add_help=False)
    pairs.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a field or setting of the request"
    )
    pairs.add_argument("--priority", type=int, default=0, help="-10 to 10; higher goes first")
    sub = p.add_subparsers(dest="action", required=True)
    submit = sub.add_parser("submit", parents=[shared, pairs], help="queue a job")
    submit.add_argument("kind", help=f"one of {', '.join(kinds.KINDS)}")
    submit.add_argument("--owner", default="local")
    submit.add_argument("--key", help="the same key gives the same job, however often it is submitted")
    listed = sub.add_parser("list", parents=[shared], help="the newest first")
    listed.add_argument("--state", action="append", choices=[str(s) for s in State])
    listed.add_argument("--owner")
    listed.add_argument("--limit", type=int, default=20)
    for name in ACTIONS:
        one = sub.add_parser(name, parents=[shared, pairs] if name == "rerun" else [shared])
        one.add_argument("id")
    prune = sub.add_parser("prune", parents=[shared], help="delete old jobs and their files")
    prune.add_argument("--days", type=float, help="older than this (default: the studio's own limit)")
    prune.add_argument("--done", action="store_true", help="also delete jobs that are done")
    prune.add_argument("--to-gb", type=float, help="then delete the oldest, until at most this much is left")
    return p


def pairs(texts: list[str]) -> dict[str, str]:
    fields = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value, not {text!r}")
        fields[key] = value
    return fields


def submit(store: Store, args: argparse.Namespace) -> Job:
    request = kinds.request(args.kind, pairs(args.set), {})
    return store.submit(args.kind, request.to_dict(), args.owner, args.priority, args.key)


def rerun(store: Store, args: argparse.Namespace) -> Job:
    """A new job with the same request, changed by `--set`."""
    old = store.find(args.id)
    request = kinds.request(old.kind, pairs(args.set), old.request)
    return store.submit(old.kind, request.to_dict(), old.owner, args.priority, parent=old.id)


def missing(store: Store, job: Job) -> list[str]:
    """The outputs of a finished job that were removed since."""
    return [o["path"] for o in job.outputs if not (store.run(job.id) / o["path"]).exists()]


def line(job: Job) -> str:
    """A job in one line: id, state, progress, request and error."""
    far = f"{job.stage or ''} {job.step}/{job.total}" if job.total else ""
    if job.state is State.RUNNING and job.seconds_left is not None:
        far += f", {job.seconds_left / 60:.0f} min left"
    state = f"{job.state} ({'cancelling' if job.wish == 'cancel' else 'pausing'})" if job.wish else str(job.state)
    what = " ".join(f"{k}={v}" for k, v in job.request.items() if v not in (None, [], ""))
    return f"{job.id}  {state:10}  {far:24}  {job.kind} {what}" + (f"  [{job.error}]" if job.error else "")


def page(store: Store, job: Job) -> str:
    """Everything about a job, and the end of its log."""
    facts: dict = job.to_json() | {"run": str(store.run(job.id))}
    for name in ("created", "started", "ended", "checkpoint_at"):
        if facts[name]:
            facts[name] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(facts[name]))
    lines = [f"{name:16} {value}" for name, value in facts.items() if value not in (None, [], "")]
    lines += [f"{'missing':16} {name}" for name in missing(store, job)]
    log = store.run(job.id) / LOG
    if log.exists():
        lines += ["", *log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]]
    return "\n".join(lines)


def progress_of(store: Store, job: Job) -> str:
    clock = store.clock
    lonely = job.state is State.QUEUED and not store.workers(lambda who: process.dead(who, clock))
    return line(job) + ("\nno worker is there: start the app, or python -m jobs.worker" if lonely else "")


def act(store: Store, args: argparse.Namespace) -> tuple[object, str]:
    """Carry out a command; returns its result for `--json` and as text."""
    if args.action == "list":
        states = [State(s) for s in args.state or State]
        listed = store.jobs(states, args.owner, args.limit)
        return [j.to_json() for j in listed], "\n".join(map(line, listed)) or "no jobs"
    if args.action == "prune":
        days = store.limits.keep_days if args.days is None else args.days
        gone = keep.prune(store, days, args.done, args.to_gb)
        return {
            "jobs": gone.jobs,
            "bytes": gone.bytes,
        }, f"{gone.jobs} jobs, {gone.bytes / 1e6:.1f} MB deleted"
    if args.action in ("submit", "rerun"):
        job = (submit if args.action == "submit" else rerun)(store, args)
        return job.to_json(), progress_of(store, job)
    job = store.find(args.id)
    if args.action == "delete":
        size = keep.delete(store, job.id)
        return {"id": job.id, "bytes": size}, f"{job.id} deleted, {size / 1e6:.1f} MB"
    if args.action == "show":
        return job.to_json() | {"missing": missing(store, job)}, page(store, job)
    job = {"cancel": store.cancel, "pause": store.pause, "resume": store.resume}[args.action](job.id)
    return job.to_json(), progress_of(store, job)


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    try:
        data, text = act(Store(), args)
    except (ValueError, db.DatabaseUnusable) as e:
        print(
            json.dumps({"error": str(e)}) if args.json else f"jobs: {e}",
            file=sys.stdout if args.json else sys.stderr,
        )
        return 2
    print(json.dumps(data) if args.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

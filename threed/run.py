"""Text to NeRF to mesh.

    python -m threed.run "a red mushroom" --out mushroom.glb --preset draft --seed 0 [--mode hybrid] [--json]

The run's folder is named after its request. So the same command resumes a run that was ended in any way, and returns at
once where the run is done. After SIGTERM it writes a checkpoint and exits with status 143, after Ctrl+C with 130. Its
events are in events.jsonl (docs/architecture.md).
"""

import argparse
import fcntl
import hashlib
import json
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any, get_args, get_type_hints

from core import checkpoint
from core.events import FAULTY, NON_FINITE, Events, failed, trouble
from core.fields import options
from core.files import whole_file
from core.hardware import faster_precision, keep_memory
from core.paths import run_dir, use_studio
from core.stop import Stop
from models import catalogue, families
from threed import export
from threed.check import checklist
from threed.making import Making, NotFinite
from threed.preview import SEEDS, beside, sheet
from threed.prompts import backgrounds
from threed.request import ThreeDRequest
from threed.surface import Surface
from threed.teacher import Teacher
from threed.texture import skinned
from threed.trial import Trial

CHECKPOINT_SECONDS, SAMPLE_EVERY = 10.0, 4


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("threed.run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("prompt", help=options(ThreeDRequest)["prompt"].help)
    hints = get_type_hints(ThreeDRequest)
    for name, opt in options(ThreeDRequest).items():
        if name != "prompt":
            kind = next((k for k in get_args(hints[name]) if k is not type(None)), hints[name])
            p.add_argument("--" + name.replace("_", "-"), type=kind, default=argparse.SUPPRESS, help=opt.help)
    p.add_argument("--run", help="name of the run's folder in the studio; from the request, if left out")
    p.add_argument("--out", type=Path, help="another place to write the GLB to")
    p.add_argument("--json", action="store_true", help="one JSON object at the end, with all files")
    p.add_argument("--studio", help="the studio folder")
    return p


def name_of(request: ThreeDRequest) -> str:
    """A readable name that only this request has."""
    words = "-".join(re.findall(r"[a-z0-9]+", request.prompt.lower()))[:40].strip("-")
    return f"{words or 'thing'}-{hashlib.sha256(request.to_json().encode()).hexdigest()[:8]}"


def described(run: Path, request: ThreeDRequest) -> dict[str, Any]:
    """The run.json of a run that is resumed, or a new one. Raises ValueError where the folder has another request."""
    path = run / "run.json"
    if path.exists():
        facts = json.loads(path.read_text(encoding="utf-8"))
        if "threed" not in facts or ThreeDRequest.from_dict(facts["threed"]) != request:
            raise ValueError(f"run {run.name!r} makes something else; take another --run, or leave it out")
        return facts
    facts = {"threed": request.to_dict(), "precision": faster_precision()}
    with whole_file(path) as part:
        part.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts


def prepared(request: ThreeDRequest, precision: str) -> Making:
    """The run at step 0. Raises ValueError where the request can't be carried out."""
    row = catalogue.get(request.model)
    if reason := catalogue.available(row):
        raise ValueError(f"{row.id} can't run here. {reason}")
    grounds = backgrounds("" if request.picture else request.prompt)
    if not grounds:
        raise ValueError("no background can be told from all the colours of this prompt; name fewer colours")
    bf16 = precision == "bf16"
    return Making(request, Teacher(families.load(row), request.prompt, grounds, bf16), bf16, say)


def ended(name: str) -> checkpoint.Saved:
    """The last checkpoint of another run. Raises ValueError where there is none."""
    newest, _ = checkpoint.newest(run_dir(name))
    if newest is None:
        raise ValueError(f"there is nothing to go on from: run {name!r} is not in this studio, or has no checkpoint")
    return checkpoint.load(newest)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Report:
    """The reports of a run: events, and lines for people."""

    def __init__(self, run: Path, making: Making, resumed: bool):
        self.run, self.making, self.events = run, making, Events(run)
        self.kept, self.begun, self.first = float("-inf"), time.monotonic(), making.step
        self.progress(**({"resumed_from": making.step} if resumed else {}))

    def progress(self, **more: Any) -> None:
        m = self.making
        stage = m.where()[0]
        if m.step > self.first:
            pace = (time.monotonic() - self.begun) / m.cost(self.first, m.step)
            more["seconds_left"] = round(pace * m.cost(m.step, m.total), 1)
        self.events.write("progress", stage=stage, step=m.step, total=m.total, **more)

    def step(self, logs: dict[str, float]) -> None:
        self.events.write("metric", step=self.making.step, values={k: float(v) for k, v in logs.items()})
        self.progress()

    def sample(self) -> None:
        path = self.run / "samples" / f"step-{self.making.step:05d}.png"
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as part:
            sheet(self.making).save(part, "PNG")
        self.events.write("sample", step=self.making.step, path=str(path.relative_to(self.run)))

    def checkpoint(self) -> None:
        begun = time.monotonic()
        folder = checkpoint.save(self.run, self.making.saved())
        self.kept = time.monotonic()
        spent = round(self.kept - begun, 3)
        self.events.write("checkpoint", step=self.making.step, path=str(folder.relative_to(self.run)), seconds=spent)


def finish(run: Path, making: Making) -> list[str]:
    """The last step: texture and files. Returns the names of the files."""
    assert making.cut is not None and making.skin is not None, "the mesh comes first"
    thing, how = skinned(making.cut.mesh, making.request.texture, making.skin.paint)
    facts = checklist(making.cut, making.particles[making.best], Surface(thing.mesh))
    facts |= {
        "way": "cushion" if making.request.one_sided else "field",
        "charts": how,
        "seed": making.guide.seed,
        "best": making.best,
    }
    names = export.write(run / "object", thing, making.request, facts)
    with whole_file(run / "object" / "report.json") as part:
        part.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    if making.request.seeds > 1:
        with whole_file(run / "object" / SEEDS) as part:
            beside(making.particles).save(part, "PNG")
        names.append(SEEDS)
    Trial.of(making.particles[making.best]).write(run / "object")
    return [f"object/{name}" for name in (*names, "report.json")]


def loop(run: Path, making: Making, report: Report, stop: Stop) -> list[str] | None:
    """Run to the end, and return the names of the files; None after a stop. Either way a checkpoint is written."""
    stop.begin()
    while making.where()[0] not in ("export", "done"):
        report.step(making.advance())
        stage, _ = making.where()
        if making.step % SAMPLE_EVERY == 0 or stage == "export":
            report.sample()
        stopping = stop.now()
        if stopping or stage == "export" or time.monotonic() - report.kept > CHECKPOINT_SECONDS:
            report.checkpoint()
        if stopping:
            return None
    names = finish(run, making)
    making.step = making.total
    return names


def make(args: argparse.Namespace) -> int:
    fields = {k: v for k, v in vars(args).items() if k in options(ThreeDRequest)}
    request = ThreeDRequest(**fields)
    run = run_dir(args.run or name_of(request))
    args.run = run.name  # the run whose events get a fault
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"run {run.name!r} is being made by another process") from None
        return work(args, run, request)


def work(args: argparse.Namespace, run: Path, request: ThreeDRequest) -> int:
    stop = Stop()
    keep_memory()
    making = prepared(request, described(run, request)["precision"])
    newest, faults = checkpoint.newest(run)
    for sentence in faults:
        say(f"passed over {sentence}")
    if newest:
        making.restore(checkpoint.load(newest))
    elif request.start:
        making.go_on(ended(request.start))
    report = Report(run, making, resumed=newest is not None)
    if request.start and not newest:
        report.checkpoint()  # so that it can resume even if the other run is deleted
    names = loop(run, making, report, stop)
    if names is None:
        return stop.status
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / names[0], args.out)
    report.progress()
    report.events.write("done", step=making.step, outputs=names)
    facts = json.loads((run / "object" / "report.json").read_text())
    if args.json:
        print(json.dumps({"run": str(run), "outputs": names, "out": str(args.out or run / names[0])} | facts))
    else:
        print(f"{args.out or run / names[0]}  {facts['faces']:,} faces, watertight: {facts['watertight']}")
    return 0


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    try:
        return make(args)
    except NotFinite as e:
        message, status = str(e), NON_FINITE
    except ValueError as e:
        message, status = str(e), FAULTY
    except (MemoryError, OSError, RuntimeError) as e:
        message, status = trouble(e), 1
        if message is None:
            raise
    say(f"threed.run: {message}")
    if args.run:
        failed(run_dir(args.run), message)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The time of a picture beside its bounds: all contenders in turns, in one process, on the same weights.

    python -m benchmarks.latency [--model toybox-sprint] [--teacher toybox-sana] [--repeats 30] [--threads N]

The bare sum is text encoder, transformer and decoder by themselves; `generate` adds the loop; the pipeline is the one
of diffusers. The prompt cache is off, except in the row that says so. Figures are medians of rounds in which the
contenders take turns, so that other load affects all equally.
"""

import argparse
import itertools
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.report import RESULTS, Row, markdown, publish, record
from models import catalogue, families
from models.denoiser import ATTENTION, pick_device
from models.engine import Embeddings
from models.export import export
from models.families import Parts
from models.generate import Image, generate
from models.recipe import call
from models.request import DEFAULT_MODEL, ImageRequest

PROMPT = "a red mushroom on a blue background"
BATCHES = (1, 2, 4, 8, 16)
KEYS = ("model", "backend", "measure", "batch", "device", "threads")
Work = Callable[[], Any]


def rounds(contenders: dict[Any, Work], repeats: int, device: torch.device) -> dict[Any, float]:
    """The median milliseconds of each contender, after one untimed round."""
    spent: dict[Any, list[float]] = {name: [] for name in contenders}
    for k in range(repeats + 1):
        for name, work in contenders.items():
            start = now(device)
            work()
            if k:
                spent[name].append(now(device) - start)
    return {name: statistics.median(times) for name, times in spent.items()}


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() * 1000


def painting(parts: Parts, **fields) -> Work:
    request = ImageRequest(PROMPT, model=parts.row.id, **fields)
    return lambda: list(generate(parts, request))


def bare(parts: Parts) -> dict[str, Work]:
    """Each network by itself, on its inputs in `generate` for one picture."""
    pipeline, cond = parts.pipeline, parts.text([PROMPT])
    ids = pipeline.tokenizer([PROMPT], return_tensors="pt").to(parts.device)
    latent = torch.randn(1, *parts.latent, device=parts.device, dtype=parts.vae.dtype)
    cond = replace(cond, guidance=torch.ones(1, device=parts.device)) if parts.denoiser.takes_guidance else cond
    half = torch.full((1,), 0.5, device=parts.device)
    return {
        "text encoder": torch.no_grad()(lambda: pipeline.text_encoder(**ids)),
        "transformer": torch.no_grad()(lambda: parts.denoiser.predict(latent.float(), half, cond)),
        "decoder": torch.no_grad()(lambda: parts.vae.decode(latent, return_dict=False)),
    }


def stock(parts: Parts) -> Any:
    """The pipeline of diffusers, loaded from our export: the same weights, in torch alone.

    On another device than a CPU it is the pipeline of the parts. None for several students, which it can't route.
    """
    if parts.device.type != "cpu":
        return parts.pipeline
    if parts.denoiser.network is None:
        return None
    with TemporaryDirectory() as home:
        pipeline = type(parts.pipeline).from_pretrained(export(parts.row.id, Path(home)), dtype=parts.vae.dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pipeline_call(parts: Parts, pipeline: Any, steps: int) -> Work:
    """The pipeline's call for the same picture. SANA-Sprint's pipeline lacks the paper's four steps."""
    settings = call(parts.row, steps)
    return lambda: pipeline(PROMPT, generator=torch.Generator().manual_seed(0), **settings)


def one_picture(parts: Parts, repeats: int) -> dict[str, float]:
    """The milliseconds of one picture at the fewest steps, by each contender, and of its parts."""
    steps = min(parts.row.manifest.step_counts, default=1)
    remembering = replace(parts, text=Embeddings(parts.text, 8))
    ours = {"generate": painting(parts, steps=steps), "generate, prompt remembered": painting(remembering, steps=steps)}
    pipeline = stock(parts)
    theirs = {} if pipeline is None else {"pipeline": pipeline_call(parts, pipeline, steps)}
    times = rounds(bare(parts) | ours | theirs, repeats, parts.device)
    times["bare sum"] = times["text encoder"] + times["transformer"] + times["decoder"]
    return times


def peak_gib(device: torch.device, work: Work) -> float | None:
    """The peak memory of the work in GiB: of the GPU, or of the process where Linux reports it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) / 2**30
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not os.access(reset, os.W_OK):
        return None
    reset.write_text("5")
    work()
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def batches(parts: Parts, repeats: int) -> list[Row]:
    """Pictures in a second by batch size, each batch in one call of the network."""
    rows: list[Row] = []
    for n in BATCHES:
        wide = replace(parts, row=replace(parts.row, batch=n))
        work = painting(wide, num_images=n)
        ms = rounds({"generate": work}, max(3, repeats // n), parts.device)["generate"]
        rows += [
            {"measure": "pictures a second", "batch": n, "value": 1000 * n / ms, "unit": "1/s"},
            {"measure": "peak memory", "batch": n, "value": peak_gib(parts.device, work), "unit": "GiB"},
        ]
    return rows


def against_teacher(student: Parts, teacher: Parts, repeats: int) -> list[Row]:
    """The student at its fewest steps against the teacher at its own, with guidance: the time of the networks, of the
    whole, and the upper bound of the gain. Targets exist only for one step against twenty."""
    own, many = student.row.manifest, teacher.row.manifest.default_steps
    few = min(own.step_counts, default=own.default_steps)
    spent: dict[str, list[Image]] = {"student": [], "teacher": []}
    for k in range(repeats + 1):
        for name, parts, steps in (("student", student, few), ("teacher", teacher, many)):
            image = painting(parts, steps=steps)()[-1]
            spent[name] += [image] * bool(k)
    median = {(name, f): statistics.median(getattr(i, f) for i in images)
              for name, images in spent.items() for f in ("denoise_ms", "latency_ms")}  # fmt: skip
    around = median["student", "latency_ms"] - median["student", "denoise_ms"]
    rows = [{"measure": f"{name}, {part}", "value": median[name, f], "unit": "ms"}
            for name in spent for part, f in (("network", "denoise_ms"), ("end to end", "latency_ms"))]  # fmt: skip
    gains = {
        "teacher / student, network": median["teacher", "denoise_ms"] / median["student", "denoise_ms"],
        "teacher / student, end to end": median["teacher", "latency_ms"] / median["student", "latency_ms"],
        "upper bound (a network that takes no time)": median["teacher", "latency_ms"] / around,
    }
    targets = {"teacher / student, network": 30, "teacher / student, end to end": 10} if (few, many) == (1, 20) else {}
    return rows + [ratio(name, value, at_least=targets.get(name)) for name, value in gains.items()]


def switching(student: Parts, repeats: int) -> list[Row]:
    """A LoRA takes over the network that it shares with its base, gives it back, and gets strengths it never had."""
    shared, own = student.denoiser.adapters, student.denoiser.adapter
    strengths = itertools.count(1)
    turns = {"switch to a LoRA": lambda: shared.use((own, 1.0)), "switch back to its base": shared.use}
    turns |= {"another strength of a LoRA": lambda: shared.use((own, 1 / (1 + next(strengths))))}
    most = {"another strength of a LoRA": 30}
    times = rounds(turns, repeats, student.device)
    return [{"measure": n, "value": ms, "unit": "ms", "target": f"≤ {most.get(n, 100)}"} for n, ms in times.items()]


def ratio(name: str, value: float, at_least: float | None = None, at_most: float | None = None) -> Row:
    target = f"≥ {at_least:g}" if at_least else f"≤ {at_most:g}" if at_most else None
    return {"measure": name, "value": value, "unit": "×", "target": target}


def measure(student: Parts, teacher: Parts | None, repeats: int) -> list[Row]:
    one = one_picture(student, repeats)
    rows = [{"measure": name, "value": ms, "unit": "ms"} for name, ms in one.items()]
    rows.append(ratio("generate / bare sum", one["generate"] / one["bare sum"], at_most=1.15))
    if "pipeline" in one:
        rows.append(ratio("pipeline / generate", one["pipeline"] / one["generate"], at_least=1.3))
        name = "generate, prompt remembered"
        rows.append(ratio(f"pipeline / {name}", one["pipeline"] / one[name]))
    if teacher is not None:
        rows += against_teacher(student, teacher, max(3, repeats // 3))
    if student.row.manifest.kind == "lora":
        rows += switching(student, repeats)
    rows += batches(student, repeats)
    where = {
        "model": student.row.id,
        "device": torch.cuda.get_device_name() if student.device.type == "cuda" else platform.machine() + " CPU",
        "threads": torch.get_num_threads(),
        "dtype": str(student.vae.dtype).removeprefix("torch."),
        "torch": torch.__version__,
    }
    return [where | {"batch": 1, "target": None} | row for row in rows]


def table(rows: Sequence[Row]) -> str:
    """The tables: the rows of each model and machine together."""
    columns = ["model", "backend", "device", "threads", "measure", "batch", "value", "unit", "target"]
    return markdown(rows, columns)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        "benchmarks.latency", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("--model", default=DEFAULT_MODEL, help="an id of the catalogue")
    p.add_argument("--teacher", help="the model to compare with; by default its base")
    p.add_argument("--repeats", type=int, default=30)
    p.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    p.add_argument("--device", default="auto")
    p.add_argument("--attention", default="auto", help=", ".join(ATTENTION))
    p.add_argument("--backend", default="torch", help="torch or openvino")
    p.add_argument("--out", type=Path, default=RESULTS / "latency.json")
    args = p.parse_args(argv)
    try:
        if args.threads:
            torch.set_num_threads(args.threads)
        device = pick_device(args.device)
        row = catalogue.get(args.model)
        base = args.teacher or row.manifest.base
        painters = [r.id for r in catalogue.menu()]
        load = lambda id: families.load(catalogue.get(id), device, backend=args.backend, attention=args.attention)  # noqa: E731
        rows = measure(load(args.model), load(base) if base in painters else None, args.repeats)
    except ValueError as e:
        print(f"benchmarks.latency: {e}", file=sys.stderr)
        return 2
    rows = [{"backend": args.backend} | row for row in rows]
    all_rows = record(args.out, rows, KEYS)
    if args.out.parent == RESULTS:
        publish("latency", table(all_rows))
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

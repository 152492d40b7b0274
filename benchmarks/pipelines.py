"""`generate` beside the same pictures through diffusers' pipelines: one picture and eight, LoRAs fused and not.

    python -m benchmarks.pipelines [--models toybox-sprint:1 toybox-hyper:4 …] [--threads 1] [--repeats 15]

The pipelines are loaded from our exports, with the same weights, in torch. A LoRA is merged into their UNet, or loaded
beside it. Nobody caches an embedding, and all work in turns. `gain` is a pipeline's median divided by that of
`generate`, by torch, and by OpenVINO in both precisions. Rows go to results/pipelines.json.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks import report
from benchmarks.latency import PROMPT, painting, rounds, stock
from core.paths import use_studio
from models import catalogue, families, lora_import, openvino
from models.export import export
from models.families import Parts
from models.precision import HALF, SINGLE, precisions

KEYS = ("model", "steps", "pictures", "pipeline", "painter", "threads")
MODELS = ("toybox-sprint:1", "toybox-sprint:4", "toybox-hyper:1", "toybox-hyper:4")
AIMS = {1: 1.5, 8: 1.0}  # least gain of OpenVINO by the number of pictures
FUSED, BESIDE, WHOLE = "LoRA fused", "LoRA beside", "own weights"


def pipelines(parts: Parts) -> dict[str, Any]:
    """The pipelines of diffusers that paint this model's pictures."""
    if parts.row.manifest.kind != "lora":
        return {WHOLE: stock(parts)}
    with TemporaryDirectory() as home:
        base = export(parts.row.manifest.base or "", Path(home) / "base")
        beside = type(parts.pipeline).from_pretrained(base, dtype=torch.float32)
        file = Path(home) / "lora.safetensors"
        lora_import.take(parts.row.id, file, "diffusers")
        beside.load_lora_weights(home, weight_name=file.name)
    beside.scheduler = type(parts.scheduler).from_config(parts.scheduler.config)
    beside.set_progress_bar_config(disable=True)
    return {FUSED: stock(parts), BESIDE: beside}


def piped(parts: Parts, pipeline: Any, steps: int, n: int) -> Callable[[], Any]:
    settings = families.family(parts.row.manifest.family).call(parts.row, steps)

    def paint() -> Any:
        generators = [torch.Generator().manual_seed(k) for k in range(n)]
        return pipeline(PROMPT, num_images_per_prompt=n, generator=generators, **settings)

    return paint


def rows(id: str, steps: int, repeats: int) -> list[report.Row]:
    plain = families.load_all([id])[id]
    fast = families.load_all([id], backend="openvino")[id]
    ours = {("torch", SINGLE): plain, ("openvino", SINGLE): fast}
    if HALF in precisions():
        openvino.serve(fast, "openvino", HALF)
        ours["openvino", HALF] = fast
    theirs, out = pipelines(plain), []
    for n in AIMS:
        work: dict[Any, Callable[[], Any]] = {
            which: painting(parts, steps=steps, num_images=n, precision=which[1]) for which, parts in ours.items()
        }
        work |= {name: piped(plain, pipeline, steps, n) for name, pipeline in theirs.items()}
        times = rounds(work, max(3, repeats // n), plain.device)
        for name in theirs:
            for backend, precision in ours:
                ms = times[backend, precision]
                place = {"model": id, "steps": steps, "pictures": n, "pipeline": name}
                place |= {"painter": f"{backend} {precision}", "threads": torch.get_num_threads()}
                figures = {"pipeline_ms": times[name], "ms": ms, "gain": times[name] / ms}
                row = place | {k: float(f"{v:.3g}") for k, v in figures.items()}
                out.append(row | {"aim": AIMS[n] if backend == "openvino" else None})
    return out


def table(known: Sequence[report.Row]) -> str:
    columns = ("model", "steps", "threads", "pictures", "pipeline", "pipeline_ms", "painter", "ms", "gain", "aim")
    heads = (*columns[:5], "its ms", "generate by", "ms", "gain", "aim, at least")
    return report.markdown(known, columns, heads)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.pipelines", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(MODELS), help="MODEL:STEPS")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--repeats", type=int, default=15)
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    torch.set_num_threads(args.threads)
    try:
        for entry in args.models:
            id, _, steps = entry.partition(":")
            new = rows(id, int(steps or catalogue.get(id).manifest.default_steps), args.repeats)
            known = report.record(report.RESULTS / "pipelines.json", new, KEYS)
            report.publish("pipelines", table(known))
            print(table(new))
    except ValueError as e:
        print(f"benchmarks.pipelines: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

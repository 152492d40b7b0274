"""The savings and the cost of guidance folded into an adapter: a cfg_lora beside its teacher with guidance.

    python -m benchmarks.guided [--model toybox-cfg-lora] [--repeats 20]

Time: a picture of each at the same steps and guidance, in turns, in one process. Memory: the peak of a few training
steps, of cfg_lora and of the same loss with a whole copy of the network as student beside its frozen teacher, each in a
process of its own, on the CPU, in single precision. Quality: the figures of benchmarks.quality for both at those steps.
Rows go to results/guided.json, their table to docs/methods/cfg_lora.md.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from benchmarks import report
from benchmarks.ablations import DOCS
from benchmarks.latency import painting, peak_gib, rounds
from core import hardware
from core.paths import ROOT
from distill.method import needed
from distill.methods import cfg_lora
from distill.settings import TrainConfig
from distill.trainer import Trainer, prepare
from distill.world import SceneRequest
from models import catalogue, families
from models.denoiser import Cond, pick_device
from models.families import Parts
from models.guidance import guided

KEYS = ("model", "measure")
STEPS = 3  # training steps, after one that makes the optimiser's moments
QUALITY = {"kind": "kind", "colour": "colour", "emoji": "emoji"}  # shares, shown in per cent
QUALITY |= {"frechet": "Fréchet distance", "recall": "recall", "vendi": "Vendi"}
SHARES = ("kind", "colour", "emoji")
HOW = ("adapter", "copy")


class Copied(cfg_lora.Method):
    """The same loss with a whole network as student, which needs a second network as teacher."""

    needs = {"latents", "teacher"}

    def teacher(self, x_t: Tensor, t: Tensor, cond: Cond, w: float) -> Tensor:
        with torch.no_grad():
            return guided(needed(self.w.teacher), x_t, t, cond, self.w.null_like(cond), w)


def copied() -> ModuleType:
    """A module like a file of distill/methods. The base itself is trained; the world copies it for the teacher."""
    module = ModuleType("distill.methods.guided_copy")
    vars(module).update(Config=cfg_lora.Config, Method=Copied, student=lambda cfg, base: base)
    return module


def trainer(how: str, base: str, dataset: str, batch: int) -> Trainer:
    module = cfg_lora if how == "adapter" else copied()
    return prepare(
        SceneRequest(module, cfg_lora.Config(), catalogue.get(base), dataset, seed=0), TrainConfig(batch_size=batch)
    )


def training_gib(how: str, base: str, dataset: str, batch: int) -> float | None:
    """The peak memory of this process while it trains, in GiB; None where the system does not report it."""
    t = trainer(how, base, dataset, batch)
    with hardware.attention(t.processes.device):
        t.advance()
        return peak_gib(t.processes.device, lambda: [t.advance() for _ in range(STEPS)])


def apart(how: str, base: str, dataset: str, batch: int) -> float | None:
    """The same, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.guided", "--memory", how, "--model", base, "--dataset", dataset]
    out = subprocess.run([*command, "--batch", str(batch)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def figure(measure: str, unit: str, cfg: float | None, adapter: float | None) -> report.Row:
    """One row. `cfg`: the figure with guidance, or of training a copy. `ratio`: the adapter's figure over that one."""
    both = {"cfg": cfg, "adapter": adapter, "ratio": adapter / cfg if cfg and adapter is not None else None}
    return {"measure": measure, "unit": unit} | {k: None if v is None else float(f"{v:.5g}") for k, v in both.items()}


def time_figure(student: Parts, teacher: Parts, steps: int, guidance: float, repeats: int) -> report.Row:
    works = {p.row.id: painting(p, steps=steps, guidance=guidance) for p in (teacher, student)}
    ms = rounds(works, repeats, student.device)
    return figure("time per picture", "ms", ms[teacher.row.id], ms[student.row.id])


def quality_figures(rows: Sequence[report.Row], ids: tuple[str, str], steps: int, guidance: float) -> list[report.Row]:
    """The figures of (teacher, student), where one of them was measured at these steps and this guidance."""
    there = {(r["model"], r["metric"]): r["value"] for r in rows if (r["steps"], r["guidance"]) == (steps, guidance)}
    figures = []
    for metric, name in QUALITY.items():
        values = [there.get((id, metric)) for id in ids]
        if any(v is not None for v in values):
            scale = 100 if metric in SHARES else 1
            figures.append(figure(name, "%" if scale == 100 else "", *(v and scale * v for v in values)))
    return figures


def measure(args: argparse.Namespace) -> list[report.Row]:
    row = catalogue.get(args.model)
    if "full" not in (row.manifest.lora or {}):
        valid = [r.id for r in catalogue.menu() if "full" in (r.manifest.lora or {})]
        raise ValueError(f"{row.id} has no guidance folded into an adapter; valid: {', '.join(valid) or 'none yet'}")
    teacher, device = catalogue.get(row.manifest.base or ""), pick_device(args.device)
    steps, guidance = args.steps or row.manifest.default_steps, row.manifest.guidance.default
    student = families.load(row, device)  # on a network of its own, as a shared one would have the adapter's layers
    figures = [time_figure(student, families.load(teacher, device), steps, guidance, args.repeats)]
    training = teacher.id, args.dataset or row.manifest.dataset, args.batch
    figures.append(figure("peak memory of training", "GiB", apart("copy", *training), apart("adapter", *training)))
    measured = report.read(report.RESULTS / "quality.json")
    figures += quality_figures(measured, (teacher.id, row.id), steps, guidance)
    where = {"model": row.id, "teacher": teacher.id, "steps": steps, "guidance": guidance, "batch": args.batch}
    return [where | f for f in figures]


def table(rows: Sequence[report.Row]) -> str:
    """A line for each measure; for memory the first column is that of a whole copy."""
    lines = [r | {"measure": f"{r['measure']}{', ' if r['unit'] else ''}{r['unit']}"} for r in rows]
    columns = ["model", "steps", "guidance", "measure", "cfg", "adapter", "ratio"]
    heads = [*columns[:4], "teacher with guidance (memory: a whole copy)", "adapter", "adapter / other"]
    return report.markdown(lines, columns, heads)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("benchmarks.guided", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--model", default="toybox-cfg-lora", help="id of a cfg_lora")
    p.add_argument("--steps", type=int, help="denoising steps of both (default: the adapter's own)")
    p.add_argument("--repeats", type=int, default=20, help="number of pictures that are timed for each")
    p.add_argument("--batch", type=int, default=64, help="of the training whose memory is measured")
    p.add_argument("--dataset", help="data set of that training (default: the adapter's own)")
    p.add_argument("--device", default="auto", help="device that runs both")
    p.add_argument("--memory", choices=HOW, help="only print the memory of training --model so, in GiB")
    p.add_argument("--docs", type=Path, default=DOCS, help="folder of cfg_lora.md")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        if args.memory:
            hardware.keep_memory()  # as a training does
            print(json.dumps(training_gib(args.memory, args.model, args.dataset or "toys+emoji", args.batch)))
            return 0
        rows = report.record(report.RESULTS / "guided.json", measure(args), KEYS)
        page = args.docs / "cfg_lora.md"
        page.write_text(report.insert(page.read_text(encoding="utf-8"), "guided", table(rows)), encoding="utf-8")
    except (ValueError, FileNotFoundError) as e:
        print(f"benchmarks.guided: {e}", file=sys.stderr)
        return 2
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

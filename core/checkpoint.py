"""Checkpoints that a kill at any moment cannot spoil.

A checkpoint appears whole, on the disk (core/files.py), with a manifest of sha256 sums. The newest folder whose sums
are right is the one that counts; there is no "latest" file. Only reading and writing tensors imports torch.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.files import sha256, whole_folder

if TYPE_CHECKING:
    from torch import Tensor

KEEP = 2  # checkpoints, if a run doesn't say otherwise
FULL = 2**22  # bytes; with less free space, a failed write is taken for a full disk


@dataclass
class Saved:
    step: int  # steps done
    tensors: "dict[str, dict[str, Tensor]]"  # "student", "student.ema", "method": name -> tensor
    optimizers: dict  # torch's own state dicts, by player
    counters: dict[str, int]


@contextlib.contextmanager
def _full_disk_said(folder: Path) -> Iterator[None]:
    """Raises OSError on a full disk, as neither safetensors nor torch does; torch's message does not name it either."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, RuntimeError) as e:
        if "No space left" not in str(e) and shutil.disk_usage(folder).free > FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from e


def save(run: Path, state: Saved, keep: int = KEEP) -> Path:
    """Write `run/checkpoints/step-%08d`, and only then remove all but the newest `keep` checkpoints."""
    import torch
    from safetensors.torch import save_file

    home = run / "checkpoints"
    final = home / f"step-{state.step:08d}"
    with whole_folder(final, lasting=True) as part:
        with _full_disk_said(part):
            for name, tensors in state.tensors.items():
                save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, part / f"{name}.safetensors")
            torch.save(state.optimizers, part / "optimizers.pt")
        sums = {f.name: sha256(f) for f in sorted(part.iterdir())}
        manifest = {"step": state.step, "counters": state.counters, "torch": torch.__version__, "files": sums}
        (part / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for old in folders(run)[keep:]:
        shutil.rmtree(old)
    for stale in home.glob(".*"):  # of an attempt that was killed while it wrote; one process trains a run
        shutil.rmtree(stale, ignore_errors=True)
    return final


def folders(run: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    return sorted((run / "checkpoints").glob("step-*"), reverse=True)


def step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def check(folder: Path) -> str | None:
    """One sentence on what is wrong with a checkpoint; None when its sums are right."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        wrong = [n for n, s in manifest["files"].items() if sha256(folder / n) != s]
    except (OSError, ValueError, KeyError) as e:
        return f"{folder.name} cannot be read ({type(e).__name__})"
    return f"{folder.name}: wrong sha256 of {', '.join(wrong)}" if wrong else None


def newest(run: Path) -> tuple[Path | None, list[str]]:
    """The newest good checkpoint, and what was wrong with any newer one."""
    faults = []
    for folder in folders(run):
        fault = check(folder)
        if fault is None:
            return folder, faults
        faults.append(fault)
    return None, faults


def load(folder: Path) -> Saved:
    import torch
    from safetensors.torch import load_file

    manifest = json.loads((folder / "manifest.json").read_text())
    tensors = {f.name.removesuffix(".safetensors"): load_file(f) for f in folder.glob("*.safetensors")}
    optimizers = torch.load(folder / "optimizers.pt", map_location="cpu", weights_only=True)
    return Saved(manifest["step"], tensors, optimizers, manifest["counters"])

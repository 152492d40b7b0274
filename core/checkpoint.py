"""Checkpoints that a kill at any moment cannot spoil.

A checkpoint is written to a temporary folder, every file is fsynced, its manifest with sha256 sums comes last, then
one rename makes it real. The newest folder whose sums are right is the one that counts; there is no "latest" file.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

KEEP = 2  # checkpoints, if a run doesn't say otherwise
FULL = 2**22  # bytes; with less left on the disk, that is why writing failed


@dataclass
class Saved:
    step: int  # steps done
    tensors: dict[str, dict[str, Tensor]]  # "student", "student.ema", "method": name -> tensor
    optimizers: dict  # torch's own state dicts, by player
    counters: dict[str, int]


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _full_disk_said(folder: Path) -> Iterator[None]:
    """Neither safetensors nor torch raises OSError on a full disk; torch does not even name it."""
    try:
        yield
    except (SafetensorError, RuntimeError) as e:
        if "No space left" not in str(e) and shutil.disk_usage(folder).free > FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from e


def save(run: Path, state: Saved, keep: int = KEEP) -> Path:
    """Write `run/checkpoints/step-%08d`; older ones beyond the newest `keep` go only afterwards."""
    home = run / "checkpoints"
    tmp = home / f".tmp-{state.step}-{os.getpid()}"
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    with _full_disk_said(tmp):
        for name, tensors in state.tensors.items():
            save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, tmp / f"{name}.safetensors")
        torch.save(state.optimizers, tmp / "optimizers.pt")
    files = sorted(tmp.iterdir())
    sums = {f.name: sha256(f) for f in files}
    manifest = {"step": state.step, "counters": state.counters, "torch": torch.__version__, "files": sums}
    (tmp / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for f in [*files, tmp / "manifest.json", tmp]:
        _fsync(f)
    final = home / f"step-{state.step:08d}"
    shutil.rmtree(final, ignore_errors=True)
    tmp.rename(final)
    _fsync(home)
    for old in folders(run)[keep:]:
        shutil.rmtree(old)
    for stale in home.glob(".tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    return final


def folders(run: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    return sorted((run / "checkpoints").glob("step-*"), reverse=True)


def step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def check(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None when its sums are right."""
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
    manifest = json.loads((folder / "manifest.json").read_text())
    tensors = {f.name.removesuffix(".safetensors"): load_file(f) for f in folder.glob("*.safetensors")}
    optimizers = torch.load(folder / "optimizers.pt", map_location="cpu", weights_only=True)
    return Saved(manifest["step"], tensors, optimizers, manifest["counters"])

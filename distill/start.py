"""The start of a training from a published student's weights, instead of its base's.

A new run stores its start: the served weights and the words in `start/`, their history in run.json. So the run resumes
exactly and keeps its whole history, even if that model is deleted.
"""

import json
import shutil
from pathlib import Path

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file

from models import catalogue, lora, weights
from models.denoiser import Denoiser

FOLDER, WEIGHTS, WORDS = "start", "student.safetensors", "vocabulary.json"
NETWORKS = ("unet", "transformer")


def keep(row: catalogue.Row, run: Path) -> dict:
    """Copy the weights and words of a model into the run; returns the start's entry in run.json."""
    assert row.folder is not None, "`fitting.no_start` checked it"
    catalogue.verify(row)
    home, made = run / FOLDER, row.manifest
    shutil.rmtree(home, ignore_errors=True)  # left by an attempt that took no step
    home.mkdir(parents=True)
    save_file(read(row), home / WEIGHTS)
    if (row.folder / WORDS).is_file():
        shutil.copy(row.folder / WORDS, home)
    return {"id": row.id, "command": made.command, "samples_seen": made.samples_seen, "dataset": made.dataset}


def read(row: catalogue.Row) -> dict[str, torch.Tensor]:
    """The weights of a model by name, in fp32. An adapter's are scaled to alpha = rank, as in a training."""
    assert row.folder is not None, "`fitting.no_start` checked it"
    if row.manifest.kind == "lora":
        size = row.manifest.lora or {"rank": 1, "alpha": 1}
        tensors = {k.removeprefix("unet."): w.float() for k, w in load_file(lora.file(row)).items()}
        return {k: w * (size["alpha"] / size["rank"]) if "lora_B" in k else w for k, w in tensors.items()}
    files = [p for name in NETWORKS for p in sorted((row.folder / name).glob("*.safetensors"))]
    if len(files) != 1:
        raise ValueError(f"{row.id} has no network of its own in one file, so no training can start from it")
    weights.check(files[0])
    return {k: w.float() for k, w in load_file(files[0]).items()}


def words(run: Path) -> list[str]:
    """The words of the training of a run's start."""
    file = run / FOLDER / WORDS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def what(tensors: dict[str, torch.Tensor]) -> str:
    """A phrase for an error: an adapter with its rank, or a network with its parameters."""
    ranks = {len(w) for k, w in tensors.items() if "lora_A" in k}
    count = sum(w.numel() for w in tensors.values())
    return f"an adapter of rank {max(ranks)}" if ranks else f"a network of {count:,} parameters"


def give(student: Denoiser, run: Path) -> None:
    """Set the student to the stored weights. Raises ValueError where their shapes differ."""
    network, tensors = student.network, load_file(run / FOLDER / WEIGHTS)
    if network is None:
        raise ValueError("--start takes one network, and this method trains several; leave it out")
    adapter = bool(lora.layers(network))
    own = get_peft_model_state_dict(network) if adapter else network.state_dict()
    if {k: w.shape for k, w in tensors.items()} != {k: w.shape for k, w in own.items()}:
        raise ValueError(f"the start is {what(tensors)}, and this training makes {what(own)}")
    if adapter:
        set_peft_model_state_dict(network, tensors)
    else:
        network.load_state_dict(tensors)

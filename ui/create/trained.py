"""Sliders that somebody trains from two words on Create, and takes along as one file."""

import tempfile
from pathlib import Path
from typing import Any

from distill.fitting import no_base
from models import catalogue, sliders
from ui.desk import Desk
from ui.jobs.desk import JobsDesk, Visitor
from ui.wire import data_url, text

SETTINGS = {  # of a training that is usable in minutes on two cores
    "solver": "6",
    "train.steps": "120",
    "train.batch_size": "8",
    "train.warmup": "10",
    "train.ema": "0.95",
    "train.log_every": "5",
    "train.sample_every": "20",
    "train.checkpoint_every": "40",
}


def train_slider(jobs: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """Submit the training of a slider from one word to another, on the base of the model that paints."""
    words, model = text(data, "words", 81), catalogue.get(text(data, "model", 100))
    taken = [row.id for row in catalogue.chain(model) if no_base("slider", row, "toys") is None]
    fields = {"method": "slider", "base": taken[0] if taken else model.id, "dataset": "toys"}
    return {"id": jobs.submit("distill", fields | {"set": {"slider": words} | SETTINGS}, visitor).id}


def share_slider(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """A trained slider as one file, which "Add a LoRA file" takes on any other machine."""
    from models import lora_import  # brings torch and diffusers

    name = text(data, "name", 100)
    if name not in (own := sliders.own()):
        raise ValueError(f"{name!r} is no slider that was trained here; valid: {', '.join(own) or 'none yet'}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.safetensors"
        lora_import.take(name, file, "diffusers")
        return {"src": data_url(file.read_bytes(), "application/octet-stream"), "name": file.name}

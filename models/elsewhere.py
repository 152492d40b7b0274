"""Bases that are no id: a folder of diffusers, or a repository of the Hub.

A folder of this computer is known by a name, as what is trained on it travels, and its place is nobody's business: in
the studio's `bases/` that name is the folder itself or a link to it.
"""

import dataclasses
import re
from itertools import count
from math import prod
from pathlib import Path
from typing import Any

from core import paths
from models.content import header, json_object, pixels, weights
from models.hub import TEACHER, fetched, hub_rows
from models.manifest import Guidance, Row

PIPELINES = {  # pipelines that may be no id: the row of the Hub that each is like
    "StableDiffusionPipeline": "sd15",
    "StableDiffusionXLPipeline": "sdxl",
    "SanaPipeline": "sana-sprint-0.6b",
    "SanaSprintPipeline": "sana-sprint-0.6b",
}
NETWORKS = "transformer", "unet"  # a pipeline's denoiser lies in one of these folders
SANA = {"about": TEACHER, "scheduler": "DPMSolverMultistepScheduler", "timesteps": {}, "default_steps": 20}
SANA |= {"prediction": "flow", "guidance": Guidance("cfg", 4.5, (1.0, 20.0))}
SCHEDULE = {"prediction_type": "epsilon", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
NAME = re.compile(r"[^\W_][\w.-]{0,99}")  # of what is called by a name: no part, path or list
INDEX, MAIN = "model_index.json", "main"  # of a diffusers pipeline; the branch of the Hub


def place(name: str) -> Path | None:
    """The folder that a path or a base's name stands for, where there is a pipeline in it."""
    places = [Path(name)] + ([paths.bases() / name] if NAME.fullmatch(name) else [])
    return next((p.resolve() for p in places if (p / INDEX).is_file()), None)


def elsewhere(name: str) -> Row | None:
    """A pipeline that is no id, as a row like that of the Hub's with the same pipeline. A folder's id is its name, or
    where it is while it has none.

    None for a name that is no folder with a pipeline and can't be the Hub's; ValueError for what can't be used.
    """
    folder = place(name)
    if folder is None and not HUB_ID.fullmatch(name):
        return None
    where = name if folder is None else str(folder)
    id = name if folder is None else _names().get(folder, where)
    index, path = _config(where, INDEX)
    kind = str(index.get("_class_name"))
    if kind not in PIPELINES:
        raise ValueError(f"{short(id)} is a {kind}; valid: {', '.join(PIPELINES)}")
    alike = next(r for r in hub_rows() if r.id == PIPELINES[kind])
    if alike.manifest.prediction == "epsilon":
        _same_schedule(where)
    network = next((part for part in NETWORKS if part in index), None)
    if network is None:
        raise ValueError(f"{INDEX} of {short(id)} names no {' and no '.join(NETWORKS)}")
    configs = [_config(where, f"{part}/config.json")[1] for part in (network, "vae")]
    numbers = {part.name: _numbers(part) for part in path.parent.iterdir() if part.is_dir()}
    own = {"id": id, "licence": "not stated (read the model's page)", "parameters": numbers.get(network, 0)}
    return dataclasses.replace(
        alike,
        manifest=dataclasses.replace(alike.manifest, **own | (SANA if kind == "SanaPipeline" else {})),
        size=pixels(*configs),
        hub=where,
        revision=MAIN if folder is None else None,
        memory_gib=4 * sum(numbers.values()) / 2**30,  # half precision, and as much again to work with
        instruction="Gemma" in str(index.get("text_encoder")),
    )


def named(row: Row, taken: set[str], was: str | None = None) -> Row:
    """A folder's row under the name that it has, or will have once it is remembered: `was`, what a run calls it that
    goes on in another place, else its own or the next that is free. Any other row as it is."""
    if not in_folder(row):
        return row
    folder, names = Path(row.hub or ""), _names()
    own = re.sub(r"[^\w.-]|^[\W_]+", "", folder.name)[:90] or "base"
    free = next(n for i in count(1) if (n := own if i == 1 else f"{own}-{i}") not in {*taken, *names.values()})
    name = was if was and NAME.fullmatch(was) else names.get(folder, free)
    return dataclasses.replace(row, manifest=dataclasses.replace(row.manifest, id=name))


def remember(row: Row) -> None:
    """From now on the folder of this row is known by its id, in this studio."""
    link = paths.bases() / row.id
    if in_folder(row) and link.resolve() != Path(row.hub or ""):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(row.hub or "")


def _names() -> dict[Path, str]:
    """What the folders are called that this studio knows."""
    home = paths.bases()
    return {p.resolve(): p.name for p in sorted(home.iterdir())} if home.is_dir() else {}


def is_folder(name: str | None) -> bool:
    """Whether a base that is no id of the catalogue is a folder of this computer, there or not."""
    return name is not None and not HUB_ID.fullmatch(name)


def short(where: str) -> str:
    """Without the way to a folder: sentences reach visitors."""
    return Path(where).name if Path(where).is_absolute() else where


def _config(where: str, name: str) -> tuple[dict[str, Any], Path]:
    """A JSON file of a folder or of a repository, and where it lies. Raises ValueError where it isn't there."""
    from huggingface_hub import try_to_load_from_cache

    path = Path(where) / name
    if not path.is_file():
        if Path(where).is_dir():
            raise ValueError(f"{short(where)} lacks its {name}")
        cached = try_to_load_from_cache(where, name)
        path = Path(cached) if isinstance(cached, str) else fetched(where, name, MAIN, where)
    return json_object(path), path


def _same_schedule(where: str) -> None:
    """Raises ValueError for noise or a prediction other than Stable Diffusion's."""
    config, _ = _config(where, "scheduler/scheduler_config.json")
    for key, valid in SCHEDULE.items():
        if (value := config.get(key, valid)) != valid:
            raise ValueError(f"the scheduler of {short(where)} has {key} {value!r}; valid: {valid!r}")


def _numbers(folder: Path) -> int:
    """How many numbers the weights of a part hold, by the headers of its files."""
    return sum(prod(tensor["shape"]) for path in weights(folder) for tensor in header(path).values())


def in_folder(row: Row) -> bool:
    """Whether what stands in the place of the Hub is a folder of this computer."""
    return row.hub is not None and Path(row.hub).is_absolute()

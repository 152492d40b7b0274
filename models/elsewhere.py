"""Bases that have no id: a folder of diffusers, or a repository of the Hub.

A folder of this computer goes by a name, so that a model that is trained on it can be published without its path. In
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

PIPELINES = {  # pipeline classes that need no id: the Hub row that each is like
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
NAME = re.compile(r"[^\W_][\w.-]{0,99}")  # a plain name: no path and no list
INDEX, MAIN = "model_index.json", "main"  # of a diffusers pipeline; the branch of the Hub


def place(name: str) -> Path | None:
    """The folder that a path or a base's name stands for, where there is a pipeline in it."""
    places = [Path(name)] + ([paths.bases() / name] if NAME.fullmatch(name) else [])
    return next((p.resolve() for p in places if (p / INDEX).is_file()), None)


def elsewhere(name: str) -> Row | None:
    """A pipeline without an id, as a row: it copies the Hub row of the same pipeline class. The row's id is the
    folder's name, or its path while it has no name.

    Returns None for a name that is no folder with a pipeline and no possible name of the Hub. Raises ValueError for a
    pipeline that can't be used.
    """
    folder = place(name)
    if folder is None:
        _no_pipeline(Path(name))
        if not HUB_ID.fullmatch(name):
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
    """A folder's row under the name that it has, or gets by `remember`: `was` where a run that resumes elsewhere calls
    it so, else its own name or the next free one. Any other row is returned as it is."""
    if not in_folder(row):
        return row
    folder, names = Path(row.hub or ""), _names()
    own = re.sub(r"[^\w.-]|^[\W_]+", "", folder.name)[:90] or "base"
    free = next(n for i in count(1) if (n := own if i == 1 else f"{own}-{i}") not in {*taken, *names.values()})
    name = was if was and NAME.fullmatch(was) else names.get(folder, free)
    return dataclasses.replace(row, manifest=dataclasses.replace(row.manifest, id=name))


def remember(row: Row) -> None:
    """Give the folder of this row its id as its name in this studio."""
    link = paths.bases() / row.id
    if in_folder(row) and link.resolve() != Path(row.hub or ""):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(row.hub or "")


def _names() -> dict[Path, str]:
    """The name of each folder that this studio knows."""
    home = paths.bases()
    return {p.resolve(): p.name for p in sorted(home.iterdir())} if home.is_dir() else {}


def _no_pipeline(folder: Path) -> None:
    """Raises ValueError for a path to a folder: what is wrong with its weight files, or that it is no pipeline."""
    if len(folder.parts) > 1 and folder.is_dir():
        for path in weights(folder):
            header(path)
        raise ValueError(f"{folder} has no {INDEX}, so it is no pipeline of diffusers")


def is_folder(name: str | None) -> bool:
    """Whether a base without an id names a folder of this computer, whether it exists or not."""
    return name is not None and not HUB_ID.fullmatch(name)


def short(where: str) -> str:
    """The last part of a path, for sentences that visitors may read."""
    return Path(where).name if Path(where).is_absolute() else where


def _config(where: str, name: str) -> tuple[dict[str, Any], Path]:
    """A JSON file of a folder or a repository, and its path. Raises ValueError where it is missing."""
    path = local(where, name)
    if path is None:
        if Path(where).is_dir():
            raise ValueError(f"{short(where)} lacks its {name}")
        path = fetched(where, name, MAIN, where)
    return json_object(path), path


def local(where: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a folder or of a repository of the Hub, where it is on this machine."""
    from huggingface_hub import try_to_load_from_cache

    path = Path(where) / name
    if not path.is_file() and not Path(where).is_absolute():
        cached = try_to_load_from_cache(where, name, revision=revision)
        path = Path(cached) if isinstance(cached, str) else path
    return path if path.is_file() else None


def _same_schedule(where: str) -> None:
    """Raises ValueError for noise or a prediction other than Stable Diffusion's."""
    config, _ = _config(where, "scheduler/scheduler_config.json")
    for key, valid in SCHEDULE.items():
        if (value := config.get(key, valid)) != valid:
            raise ValueError(f"the scheduler of {short(where)} has {key} {value!r}; valid: {valid!r}")


def _numbers(folder: Path) -> int:
    """The count of parameters of a part, from the headers of its weight files."""
    return sum(prod(tensor["shape"]) for path in weights(folder) for tensor in header(path).values())


def in_folder(row: Row) -> bool:
    """Whether a row's pipeline is a folder of this computer, not a repository of the Hub."""
    return row.hub is not None and Path(row.hub).is_absolute()

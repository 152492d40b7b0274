"""What can be served: data only. An id is a family, a folder or a Hub id and revision, and what its manifest says.

A folder holds only what its id adds; `base` names the row that has the rest, down to the autoencoder. What a person
distils on may also be no id: a diffusers folder, or a repository of the Hub (`find`). No torch here.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from core.files import sha256
from core.machine import Machine, here
from core.paths import assets, studio
from models.content import header, json_object, shown, weights
from models.hub import TEACHER, hub_rows
from models.manifest import Guidance as Guidance  # who reads rows, reads these
from models.manifest import Manifest
from models.manifest import Row as Row

FILE = "manifest.json"
ANY_BASE = "STILL_LIFE_ANY_BASE"  # set by --any-base, for this process and those that it starts
LOADED = (".safetensors", ".json")  # what may be read from the folders of parts
HIDDEN = ("autoencoder", "judge", "enlarger")  # parts of others, and tools: not in the menu
INDEX, MAIN = "model_index.json", "main"  # of a diffusers pipeline; the branch of the Hub
UNPUBLISHED: ContextVar[dict[str, Row]] = ContextVar("unpublished", default={})  # noqa: B039  # nobody changes it
ID = re.compile(r"[^\W_][\w.-]{0,99}")  # no name of a part, a path or a list
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
HUB_SECONDS = 3.0  # for the Hub to answer, through whatever stands between
ON_CPU_GIB = 1.0  # a pipeline of the Hub or a folder that needs no more may run without a GPU
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


def use_any_base(wanted: bool) -> None:
    """LoRAs are loaded on whatever weights their base has here. Said by a flag, or by the environment."""
    if wanted:
        os.environ[ANY_BASE] = "1"


def _folders() -> list[Path]:
    """The box first: an id of the user's own can't shadow it."""
    homes = (assets() / "weights", studio() / "models")
    return [p for home in homes if home.is_dir() for p in sorted(home.iterdir()) if (p / FILE).is_file()]


def _scan() -> tuple[dict[str, Row], list[str]]:
    """Reads what changed since the last time; models are published and removed while the page is open."""
    stamps = tuple(stamp for p in _folders() if (stamp := _stamp(p)) is not None)
    return _read(stamps, bool(os.environ.get(ANY_BASE)))


def _stamp(folder: Path) -> tuple[Path, int, int] | None:
    try:
        found = (folder / FILE).stat()
    except OSError:  # it went between two looks
        return None
    return folder, found.st_mtime_ns, found.st_ino


@lru_cache(maxsize=4)
def _read(stamps: tuple[tuple[Path, int, int], ...], any_base: bool) -> tuple[dict[str, Row], list[str]]:
    found, problems = {}, []
    hub = {r.id: r for r in hub_rows()}
    for folder, *_ in stamps:
        try:
            manifest = Manifest.from_dict(json_object(folder / FILE))
            if manifest.id != folder.name:
                raise ValueError(f"its id is {manifest.id!r}, which must be the folder's name")
            if manifest.id in found or manifest.id in hub:
                raise ValueError(f"this id is taken by a model of the {'box' if manifest.id in found else 'Hub'}")
        except (OSError, ValueError) as e:
            problems.append(f"{folder.name}: {e}")
            continue
        found[manifest.id] = Row(manifest, folder=folder)
    for id, row in list(found.items()):
        if row.manifest.kind in HIDDEN:
            continue
        try:
            _same_latents(row, found | hub)
            if not any_base:
                _same_base(row, found | hub)
            found[id] = _sized(row, found | hub)
        except (OSError, ValueError) as e:
            problems.append(f"{id}: {e}")
            del found[id]
    box = assets() / "weights"
    own = sorted(found.values(), key=lambda r: (r.folder.parent != box, r.manifest.default_steps, r.id))
    return {r.id: r for r in own} | hub, problems


def _same_latents(row: Row, known: dict[str, Row]) -> None:
    """Raises ValueError for a model whose autoencoder has been trained on since."""
    for below in chain(row, known):
        if below.manifest.latents != row.manifest.latents:
            raise ValueError(f"it was trained on other latents than those of {below.id}; train and publish it anew")


def _same_base(row: Row, known: dict[str, Row]) -> None:
    """Raises ValueError for a LoRA that was made on other weights of its base."""
    m = row.manifest
    if m.base_sha256 and m.base_sha256 != denoiser_sha256(row, known):
        raise ValueError(
            f"it was made on other weights of {m.base} than those here; release {m.code} has both, "
            f"and --any-base loads it on these"
        )


def denoiser_sha256(row: Row, known: dict[str, Row] | None = None) -> str:
    """Of the network that paints, by the manifest that has it; empty for a pipeline of the Hub or a folder."""
    for r in chain(row, known):
        for name, digest in r.manifest.files.items():
            if name.startswith(("unet/", "transformer/")) and name.endswith(".safetensors"):
                return digest
    return ""


def _sized(row: Row, known: dict[str, Row]) -> Row:
    """With the size of its pictures. On a pipeline of the Hub it also takes prompts and batches as that does."""
    if (above := on_hub(row, known)) is not None:
        taken = ("size", "tokens", "instruction", "batch", "memory_gib")
        return dataclasses.replace(row, **{name: getattr(above, name) for name in taken})
    config = next((found for name in NETWORKS if (found := part(row, name, known)) is not None), None)
    vae = part(row, "vae", known)
    if config is None or vae is None:
        raise ValueError(f"neither it nor its base has {'an autoencoder' if vae is None else 'a denoiser'}")
    return dataclasses.replace(row, size=_pixels(*(folder / "config.json" for folder in (config, vae))))


def _pixels(denoiser: Path, vae: Path) -> int:
    """Latents on a side times what the autoencoder blows them up by, from the configurations of both."""
    side, config = json_object(denoiser).get("sample_size"), json_object(vae)
    blocks = config.get("encoder_block_out_channels") or config.get("block_out_channels")
    if not isinstance(side, int) or not isinstance(blocks, list):
        file, lacks = (vae, "block_out_channels") if isinstance(side, int) else (denoiser, "sample_size")
        raise ValueError(f"{shown(file)} says no {lacks}, so the size of its pictures is not known")
    return side * 2 ** (len(blocks) - 1)


def rows() -> dict[str, Row]:
    """Every id: the box, the user's own, the Hub's, in the order of the menu."""
    return _scan()[0] | UNPUBLISHED.get()


@contextlib.contextmanager
def unpublished(manifest: Manifest, folder: Path) -> Iterator[Row]:
    """Within, for this thread: a model that lies in this folder counts as any other, to be tried before it is one."""
    row = Row(manifest, folder=folder)
    row = row if manifest.kind in HIDDEN else _sized(row, rows() | {row.id: row})
    token = UNPUBLISHED.set({row.id: row})
    try:
        yield row
    finally:
        UNPUBLISHED.reset(token)


def broken() -> list[str]:
    """One sentence for each folder that can't be used."""
    return list(_scan()[1])


def menu() -> list[Row]:
    """The rows that paint."""
    return [r for r in rows().values() if r.manifest.kind not in HIDDEN]


def get(id: str) -> Row:
    """An id, or what a model that is served is built on. Raises ValueError naming the valid ids, or what is wrong."""
    known = rows()
    if id not in known:
        if any(r.manifest.base == id for r in known.values()) and (row := elsewhere(id)) is not None:
            return row
        if (why := next((said for said in broken() if said.startswith(f"{id}: ")), None)) is not None:
            raise ValueError(f"{why}; valid: {', '.join(known)}")
        raise ValueError(f"unknown model {id!r:.80}; valid: {', '.join(known)}")
    return known[id]


def find(name: str) -> Row:
    """The row of an id, of a diffusers folder or of `owner/name` on the Hub, for commands that a person types.

    What comes over HTTP goes through `get`, so that no visitor names paths or has anything fetched.
    """
    if name in rows():
        return get(name)
    if (row := elsewhere(name)) is not None:
        return row
    try:
        return get(name)
    except ValueError as e:
        raise ValueError(f"{e}, a diffusers folder (with its {INDEX}), or owner/name of the Hub") from None


def elsewhere(name: str) -> Row | None:
    """A pipeline that is no id, as a row like that of the Hub's with the same pipeline. Its id is where it is.

    None for a name that is no folder with a pipeline and can't be the Hub's; ValueError for what can't be used.
    """
    local = (Path(name) / INDEX).is_file()
    if not local and not HUB_ID.fullmatch(name):
        return None
    where = str(Path(name).resolve()) if local else name
    index, path = _config(where, INDEX)
    kind = str(index.get("_class_name"))
    if kind not in PIPELINES:
        raise ValueError(f"{name} is a {kind}; valid: {', '.join(PIPELINES)}")
    alike = next(r for r in hub_rows() if r.id == PIPELINES[kind])
    if alike.manifest.prediction == "epsilon":
        _same_schedule(where)
    network = next((part for part in NETWORKS if part in index), None)
    if network is None:
        raise ValueError(f"{INDEX} of {name} names no {' and no '.join(NETWORKS)}")
    configs = [_config(where, f"{part}/config.json")[1] for part in (network, "vae")]
    numbers = {folder.name: _numbers(folder) for folder in path.parent.iterdir() if folder.is_dir()}
    own = {"id": where, "licence": "not stated (read the model's page)", "parameters": numbers.get(network, 0)}
    return dataclasses.replace(
        alike,
        manifest=dataclasses.replace(alike.manifest, **own | (SANA if kind == "SanaPipeline" else {})),
        size=_pixels(*configs),
        hub=where,
        revision=None if local else MAIN,
        memory_gib=4 * sum(numbers.values()) / 2**30,  # half precision, and as much again to work with
        instruction="Gemma" in str(index.get("text_encoder")),
    )


def _config(where: str, name: str) -> tuple[dict[str, Any], Path]:
    """A JSON file of a folder or of a repository, and where it lies. Raises ValueError where it isn't there."""
    from huggingface_hub import try_to_load_from_cache

    path = Path(where) / name
    if not path.is_file():
        if Path(where).is_dir():
            raise ValueError(f"{where} lacks its {name}")
        found = try_to_load_from_cache(where, name)
        path = Path(found) if isinstance(found, str) else _fetched(where, name, MAIN, where)
    return json_object(path), path


def _same_schedule(where: str) -> None:
    """Raises ValueError for noise or a prediction other than Stable Diffusion's."""
    config, _ = _config(where, "scheduler/scheduler_config.json")
    for key, valid in SCHEDULE.items():
        if (said := config.get(key, valid)) != valid:
            raise ValueError(f"the scheduler of {where} has {key} {said!r}; valid: {valid!r}")


def _numbers(folder: Path) -> int:
    """How many numbers the weights of a part hold, by the headers of its files."""
    return sum(prod(tensor["shape"]) for path in weights(folder) for tensor in header(path).values())


def free(id: str, home: Path) -> None:
    """Raises ValueError where no model may be published as this id, into this folder."""
    if not ID.fullmatch(id):
        raise ValueError(
            f"{id!r:.80} is no name for a model: letters, digits, - _ and . make one, a letter or digit first"
        )
    row = rows().get(id)
    in_box = home.parent == assets() / "weights"
    if row is not None and (row.hub or not in_box and row.folder != home):
        raise ValueError(f"{id} is taken by a model of the {'Hub' if row.hub else 'box'}; choose another --id")


def in_parts(row: Row) -> str | None:
    """One sentence where it is no single network of its own, with which a training could go on."""
    what = "an adapter" if row.manifest.kind == "lora" else "several students" if row.routed else None
    return what and f"{row.id} is {what}, and no base for a training; its own: {row.manifest.base}."


def on_hub(row: Row, known: dict[str, Row] | None = None) -> Row | None:
    """The row of the Hub, or of a pipeline elsewhere, that it is or is built on."""
    return next((r for r in chain(row, known) if r.hub), None)


def chain(row: Row, known: dict[str, Row] | None = None) -> list[Row]:
    """The row, its base, the base of that, … Raises ValueError for a base that is missing or goes in circles."""
    known = rows() if known is None else known
    found = [row]
    while (base := found[-1].manifest.base) is not None:
        above = known.get(base) or elsewhere(base)
        if above is None:
            raise ValueError(f"its base {base!r} is not there; valid: {', '.join(known)}")
        if base in [r.id for r in found]:
            raise ValueError(f"its base {base!r} is built on itself")
        found.append(above)
    return found


def part(row: Row, name: str, known: dict[str, Row] | None = None) -> Path | None:
    """The folder of a part (`transformer`, `vae`, `scheduler`, …): the nearest along the chain."""
    folders = [r.folder / name for r in chain(row, known) if r.folder is not None]
    return next((f for f in folders if f.is_dir()), None)


def verify(row: Row) -> None:
    """Compare every file along the chain with its sha256. Raises ValueError naming the first that differs, or that
    would be loaded but is not in the manifest."""
    for r in chain(row):
        home = r.folder or Path()
        for name, digest in r.manifest.files.items():
            path = home / name
            if not path.is_file():
                raise ValueError(f"{r.id} lacks its file {name}; fetch it again")
            if sha256(path) != digest:
                raise ValueError(f"{name} of {r.id} is damaged: its sha256 is not the manifest's; fetch it again")
        for path in sorted(home.glob("*/*") if r.folder else ()):
            name = path.relative_to(home).as_posix()
            if path.suffix in LOADED and name not in r.manifest.files:
                raise ValueError(f"{name} of {r.id} is not in its manifest, so it is not served")


def cached(row: Row) -> bool:
    """Whether a Hub row, and its base, are in the local Hub cache. A folder is here anyway."""
    from huggingface_hub import try_to_load_from_cache

    def here(r: Row) -> bool:
        if in_folder(r):
            return True

        def held(file: str) -> bool:
            return isinstance(try_to_load_from_cache(r.hub or "", file, revision=r.revision), str)

        if r.file:
            return held(r.file)
        return held(INDEX) and any(held(f"{name}/config.json") for name in NETWORKS)

    return all(here(r) for r in chain(row) if r.hub)


def in_folder(row: Row) -> bool:
    """Whether what stands in the place of the Hub is a folder of this computer."""
    return row.hub is not None and Path(row.hub).is_absolute()


def hub_file(row: Row) -> Path:
    """The one file of a Hub row, from the local cache or the Hub."""
    return _fetched(row.hub or "", row.file or "", row.revision, row.id)


def _fetched(hub: str, file: str, revision: str | None, id: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    local = not reachable()
    try:
        return Path(hf_hub_download(hub, file, revision=revision, local_files_only=local))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        where = "the local Hub cache, and the Hub can't be reached" if local else "the Hub"
        raise ValueError(f"{file} of {id} is not in {where}") from None


def reachable() -> bool:
    """Whether the Hub answers within a few seconds, asked the way the download goes: through the proxy and with the
    certificates of the environment.
    """
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.is_offline_mode():
        return False
    try:
        return get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS).status_code < 500
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False


def available(row: Row, machine: Machine | None = None) -> str | None:
    """None, or one sentence why this row can't run here."""
    above = on_hub(row)
    if above is None:
        return None
    machine = here() if machine is None else machine
    needed = max(row.memory_gib, above.memory_gib)
    if machine.gpu is None and needed > ON_CPU_GIB:
        return "It needs an NVIDIA GPU, and there is none here."
    if machine.gpu is not None and machine.gpu_gib < needed:
        return f"It needs about {needed:g} GiB of GPU memory, and {machine.gpu} has {machine.gpu_gib:.0f}."
    if not cached(row) and not reachable():
        return "It isn't in the local Hub cache, and the Hub can't be reached from here."
    return None

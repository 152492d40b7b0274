"""The catalogue of models that can be served: rows of data. A row has an id, a manifest, and a folder or a Hub id.

A folder holds only what its model adds; `base` names the row that has the rest, down to the autoencoder. A training may
also use a base without an id: a diffusers folder, or a repository of the Hub (`find`). No torch here.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from core.files import sha256
from core.machine import Machine, here
from core.paths import assets, studio
from models.content import json_object, pixels
from models.elsewhere import INDEX as INDEX  # passed on, for readers of rows
from models.elsewhere import NAME, NETWORKS, elsewhere, in_folder, local, short
from models.hub import hub_rows, reachable
from models.manifest import CAMERA, CONTROLS, Manifest
from models.manifest import Guidance as Guidance
from models.manifest import Row as Row

FILE = "manifest.json"
ANY_BASE = "STILL_LIFE_ANY_BASE"  # set by --any-base, for this process and those that it starts
LOADED = (".safetensors", ".json")  # what may be read from the folders of parts
ALONE = ("autoencoder", "judge", "enlarger")  # kinds without a base
HIDDEN = ("slider", "control", *ALONE)  # kinds that are parts of other models, or tools: not in the menu
UNPUBLISHED: ContextVar[dict[str, Row]] = ContextVar("unpublished", default={})  # noqa: B039  # nobody changes it
ON_CPU_GIB = 1.0  # a pipeline of the Hub or a folder that needs no more may run without a GPU


def use_any_base(wanted: bool) -> None:
    """Load LoRAs even where their base has other weights than those that they were made on."""
    if wanted:
        os.environ[ANY_BASE] = "1"


def _folders() -> list[Path]:
    """Folders with a manifest, those of the box first, so that a person's own id can't shadow one of them."""
    homes = (assets() / "weights", studio() / "models")
    return [p for home in homes if home.is_dir() for p in sorted(home.iterdir()) if (p / FILE).is_file()]


def _scan() -> tuple[dict[str, Row], list[str]]:
    """The rows and the problems, read again where a folder changed: models come and go while the page is open."""
    stamps = tuple(stamp for p in _folders() if (stamp := _stamp(p)) is not None)
    return _read(stamps, bool(os.environ.get(ANY_BASE)))


def _stamp(folder: Path) -> tuple[Path, int, int] | None:
    try:
        stat = (folder / FILE).stat()
    except OSError:  # it was removed since it was listed
        return None
    return folder, stat.st_mtime_ns, stat.st_ino


@lru_cache(maxsize=4)
def _read(stamps: tuple[tuple[Path, int, int], ...], any_base: bool) -> tuple[dict[str, Row], list[str]]:
    valid, problems = {}, []
    hub = {r.id: r for r in hub_rows()}
    for folder, *_ in stamps:
        try:
            manifest = Manifest.from_dict(json_object(folder / FILE))
            if manifest.id != folder.name:
                raise ValueError(f"its id is {manifest.id!r}, which must be the folder's name")
            if manifest.id in valid or manifest.id in hub:
                raise ValueError(f"this id is taken by a model of the {'box' if manifest.id in valid else 'Hub'}")
        except (OSError, ValueError) as e:
            problems.append(f"{folder.name}: {e}")
            continue
        valid[manifest.id] = Row(manifest, folder=folder)
    for id, row in list(valid.items()):
        if row.manifest.kind in ALONE:
            continue
        try:
            _same_latents(row, valid | hub)
            if not any_base:
                _same_base(row, valid | hub)
            valid[id] = _sized(row, valid | hub)
        except (OSError, ValueError) as e:
            problems.append(f"{id}: {e}")
            del valid[id]
    box = assets() / "weights"
    own = sorted(valid.values(), key=lambda r: (r.folder.parent != box, r.manifest.default_steps, r.id))
    return {r.id: r for r in own} | hub, problems


def _same_latents(row: Row, known: dict[str, Row]) -> None:
    """Raises ValueError for a model whose autoencoder has been trained on since."""
    for below in chain(row, known):
        if below.manifest.latents != row.manifest.latents:
            raise ValueError(f"it was trained on other latents than those of {below.id}; train and publish it anew")


def _same_base(row: Row, known: dict[str, Row]) -> None:
    """Raises ValueError for a LoRA or a control that was made on other weights of its base."""
    m = row.manifest
    if m.base_sha256 and m.base_sha256 != denoiser_sha256(row, known):
        raise ValueError(
            f"it was made on other weights of {m.base} than those here; release {m.code} has both, "
            f"and --any-base loads it on these"
        )


def denoiser_sha256(row: Row, known: dict[str, Row] | None = None) -> str:
    """The sha256 of the denoiser's weights, from the manifest that lists them. Empty for a pipeline of the Hub or of
    a folder."""
    for r in chain(row, known):
        for name, digest in r.manifest.files.items():
            if name.startswith(("unet/", "transformer/")) and name.endswith(".safetensors"):
                return digest
    return ""


def _sized(row: Row, known: dict[str, Row]) -> Row:
    """The row with the size of its pictures and, on a pipeline of the Hub, with that pipeline's limits."""
    if (above := on_hub(row, known)) is not None:
        taken = ("size", "tokens", "instruction", "batch", "memory_gib")
        return dataclasses.replace(row, **{name: getattr(above, name) for name in taken})
    config = next((folder for name in NETWORKS if (folder := part(row, name, known)) is not None), None)
    vae = part(row, "vae", known)
    if config is None or vae is None:
        raise ValueError(f"neither it nor its base has {'an autoencoder' if vae is None else 'a denoiser'}")
    return dataclasses.replace(row, size=pixels(*(folder / "config.json" for folder in (config, vae))))


def rows() -> dict[str, Row]:
    """All rows by id, in the order of the menu: the box, the person's own, the Hub's."""
    return _scan()[0] | UNPUBLISHED.get()


@contextlib.contextmanager
def unpublished(manifest: Manifest, folder: Path) -> Iterator[Row]:
    """Within, in this thread: the model in this folder is a row, so that it can be tried before it is published."""
    row = Row(manifest, folder=folder)
    row = row if manifest.kind in ALONE else _sized(row, rows() | {row.id: row})
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
    """The row of an id, or of a base that a served model is built on. Raises ValueError that names the valid ids, or
    what is wrong with the model."""
    known = rows()
    if id not in known:
        if any(r.manifest.base == id for r in known.values()) and (row := elsewhere(id)) is not None:
            return row
        if (why := next((problem for problem in broken() if problem.startswith(f"{id}: ")), None)) is not None:
            raise ValueError(f"{why}; valid: {', '.join(known)}")
        raise ValueError(f"unknown model {id!r:.80}; valid: {', '.join(known)}")
    return known[id]


def find(name: str) -> Row:
    """The row of an id, of a diffusers folder or of `owner/name` on the Hub, for commands that a person types.

    HTTP requests go through `get` instead, so that no visitor can name paths or start a download.
    """
    if name in rows():
        return get(name)
    if (row := elsewhere(name)) is not None:
        return row
    try:
        return get(name)
    except ValueError as e:
        raise ValueError(f"{e}, a diffusers folder (with its {INDEX}), or owner/name of the Hub") from None


def free(id: str, home: Path) -> None:
    """Raises ValueError unless a model may be published with this id, in this folder."""
    if not NAME.fullmatch(id):
        raise ValueError(
            f"{id!r:.80} is no valid name for a model: letters, digits, - _ and . make one, a letter or digit first"
        )
    row = rows().get(id)
    in_box = home.parent == assets() / "weights"
    if row is not None and (row.hub or not in_box and row.folder != home):
        raise ValueError(f"{id} is taken by a model of the {'Hub' if row.hub else 'box'}; choose another --id")


def in_parts(row: Row) -> str | None:
    """One sentence where the row can't be a training base, as it is no single whole network."""
    what = "an adapter" if row.manifest.kind == "lora" else "several students" if row.routed else None
    return what and f"{row.id} is {what}, which can't be a training base; use its base {row.manifest.base}."


def home_of(row: Row) -> str:
    """The id of the model whose network it uses: its own, or a LoRA's base."""
    return (row.manifest.kind == "lora" and row.manifest.base) or row.id


def controls(row: Row, kind: str | None = None) -> list[Row]:
    """The controls of this row's network that read `kind`, or any. A LoRA takes those of its base."""
    own = [r for r in rows().values() if r.manifest.kind == "control" and r.manifest.base == home_of(row)]
    return [r for r in own if kind is None or kind in (r.manifest.controls or CONTROLS)]


def has_camera(row: Row) -> bool:
    """Whether this model has a camera input."""
    return CAMERA in row.manifest.files


def on_hub(row: Row, known: dict[str, Row] | None = None) -> Row | None:
    """The Hub row, or the pipeline elsewhere, that this row is or is built on; else None."""
    return next((r for r in chain(row, known) if r.hub), None)


def chain(row: Row, known: dict[str, Row] | None = None) -> list[Row]:
    """The row, its base, that one's base, … Raises ValueError where a base is missing or built on itself."""
    known = rows() if known is None else known
    links = [row]
    while (base := links[-1].manifest.base) is not None:
        above = known.get(base) or elsewhere(base)
        if above is None:
            raise ValueError(f"its base {short(base)!r} is not there; valid: {', '.join(known)}")
        if base in [r.id for r in links]:
            raise ValueError(f"its base {base!r} is built on itself")
        links.append(above)
    return links


def part(row: Row, name: str, known: dict[str, Row] | None = None) -> Path | None:
    """The folder of a part (`transformer`, `vae`, `scheduler`, …): the first along the chain that has it."""
    folders = [r.folder / name for r in chain(row, known) if r.folder is not None]
    return next((f for f in folders if f.is_dir()), None)


def network_config(row: Row) -> dict | None:
    """Of the network that paints; None where it is not on this machine."""
    for r in chain(row):
        for name in NETWORKS:
            if (file := local(r.hub or str(r.folder), f"{name}/config.json", r.revision)) is not None:
                return json_object(file)
    return None


def verify(row: Row) -> None:
    """Compare every file along the chain with its sha256. Raises ValueError that names the first file that differs,
    or that is not in the manifest and would be loaded."""
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
    """Whether a row and its bases are on this machine: in a folder, or in the local Hub cache."""

    def here(r: Row) -> bool:
        if in_folder(r):
            return True

        def held(file: str) -> bool:
            return local(r.hub or "", file, r.revision) is not None

        if r.file:
            return held(r.file)
        return held(INDEX) and any(held(f"{name}/config.json") for name in NETWORKS)

    return all(here(r) for r in chain(row) if r.hub)


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

"""What can be served: data only. An id is a family, a folder or a Hub id and revision, and what its manifest says.

A folder holds only what its id adds; `base` names the row that has the rest, down to the autoencoder. No torch here.
"""

import dataclasses
import hashlib
import json
import socket
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlparse

from models.hub import hub_rows
from models.machine import Machine, here
from models.manifest import Guidance as Guidance  # who reads rows, reads these
from models.manifest import Manifest, Row
from models.paths import assets, studio

FILE = "manifest.json"
LOADED = (".safetensors", ".json")  # what may be read from the folders of parts
HIDDEN = ("autoencoder", "judge")  # parts of others, and tools: not in the menu


def _folders() -> list[Path]:
    """The box first: an id of the user's own can't shadow it."""
    homes = (assets() / "weights", studio() / "models")
    return [p for home in homes if home.is_dir() for p in sorted(home.iterdir()) if (p / FILE).is_file()]


def _scan() -> tuple[dict[str, Row], list[str]]:
    """Reads what changed since the last time; models are published and removed while the page is open."""
    return _read(tuple(stamp for p in _folders() if (stamp := _stamp(p)) is not None))


def _stamp(folder: Path) -> tuple[Path, int, int] | None:
    try:
        found = (folder / FILE).stat()
    except OSError:  # it went between two looks
        return None
    return folder, found.st_mtime_ns, found.st_ino


@lru_cache(maxsize=4)
def _read(stamps: tuple[tuple[Path, int, int], ...]) -> tuple[dict[str, Row], list[str]]:
    found, problems = {}, []
    for folder, *_ in stamps:
        try:
            manifest = Manifest.from_dict(json.loads((folder / FILE).read_text(encoding="utf-8")))
            if manifest.id != folder.name:
                raise ValueError(f"its id is {manifest.id!r}, which must be the folder's name")
            if manifest.id in found:
                raise ValueError("this id is taken by a model of the box")
        except (OSError, ValueError) as e:
            problems.append(f"{folder.name}: {e}")
            continue
        found[manifest.id] = Row(manifest, folder=folder)
    hub = {r.id: r for r in hub_rows()}
    for id, row in list(found.items()):
        if row.manifest.kind in HIDDEN:
            continue
        try:
            _same_latents(row, found | hub)
            found[id] = dataclasses.replace(row, size=_pixels(row, found | hub))
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


def _pixels(row: Row, known: dict[str, Row]) -> int:
    """Latents on a side times what the autoencoder blows them up by; a LoRA on a model of the Hub paints as large."""
    if (above := next((r for r in chain(row, known) if r.hub), None)) is not None:
        return above.size
    config, vae = part(row, "transformer", known) or part(row, "unet", known), part(row, "vae", known)
    if config is None or vae is None:
        raise ValueError(f"neither it nor its base has {'an autoencoder' if vae is None else 'a denoiser'}")
    latent = json.loads((config / "config.json").read_text())["sample_size"]
    blocks = json.loads((vae / "config.json").read_text())
    return latent * 2 ** (len(blocks.get("encoder_block_out_channels") or blocks["block_out_channels"]) - 1)


def rows() -> dict[str, Row]:
    """Every id: the box, the user's own, the Hub's, in the order of the menu."""
    return dict(_scan()[0])


def broken() -> list[str]:
    """One sentence for each folder that can't be used."""
    return list(_scan()[1])


def menu() -> list[Row]:
    """The rows that paint."""
    return [r for r in rows().values() if r.manifest.kind not in HIDDEN]


def get(id: str) -> Row:
    """Raises ValueError naming the valid ids, or what is wrong with this one."""
    known = rows()
    if id not in known:
        if (why := next((said for said in broken() if said.startswith(f"{id}: ")), None)) is not None:
            raise ValueError(f"{why}; valid: {', '.join(known)}")
        raise ValueError(f"unknown model {id!r:.80}; valid: {', '.join(known)}")
    return known[id]


def chain(row: Row, known: dict[str, Row] | None = None) -> list[Row]:
    """The row, its base, the base of that, … Raises ValueError for a base that is missing or goes in circles."""
    known = rows() if known is None else known
    found = [row]
    while (base := found[-1].manifest.base) is not None:
        if base not in known:
            raise ValueError(f"its base {base!r} is not there; valid: {', '.join(known)}")
        if base in [r.id for r in found]:
            raise ValueError(f"its base {base!r} is built on itself")
        found.append(known[base])
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


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def cached(row: Row) -> bool:
    """Whether a Hub row, and its base, are in the local Hub cache."""
    from huggingface_hub import try_to_load_from_cache

    def here(r: Row) -> bool:
        denoiser = "transformer" if r.manifest.family == "sana" else "unet"
        wanted = [r.file] if r.file else ["model_index.json", f"{denoiser}/config.json"]
        return all(isinstance(try_to_load_from_cache(r.hub or "", f, revision=r.revision), str) for f in wanted)

    return all(here(r) for r in chain(row) if r.hub)


def hub_file(row: Row) -> Path:
    """The one file of a Hub row, from the local cache or the Hub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    local = not reachable()
    try:
        return Path(hf_hub_download(row.hub or "", row.file or "", revision=row.revision, local_files_only=local))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        where = "the local Hub cache, and the Hub can't be reached" if local else "the Hub"
        raise ValueError(f"{row.file} of {row.id} is not in {where}") from None


def reachable() -> bool:
    """Whether the Hub answers, within a second."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return False
    url = urlparse(constants.ENDPOINT)
    try:
        socket.create_connection((url.hostname, url.port or 443), timeout=1).close()
    except OSError:
        return False
    return True


def available(row: Row, machine: Machine | None = None) -> str | None:
    """None, or one sentence why this row can't run here."""
    above = next((r for r in chain(row) if r.hub), None)
    if above is None:
        return None
    machine = here() if machine is None else machine
    if machine.gpu is None:
        return "It needs an NVIDIA GPU, and there is none here."
    needed = max(row.memory_gib, above.memory_gib)
    if machine.gpu_gib < needed:
        return f"It needs {needed:g} GiB of GPU memory, and {machine.gpu} has {machine.gpu_gib:.0f}."
    if not cached(row) and not reachable():
        return "It isn't in the local Hub cache, and the Hub can't be reached from here."
    return None

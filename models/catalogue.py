"""What can be served: data only. An id is a family, a folder or a Hub id and revision, and what its manifest says.

A folder holds only what its id adds; `base` names the row that has the rest, down to the autoencoder. No torch here.
"""

import dataclasses
import hashlib
import json
import socket
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlparse

from models.machine import Machine, here
from models.paths import assets, studio

FILE = "manifest.json"
KINDS = ("model", "lora", "autoencoder", "judge")
LOADED = (".safetensors", ".json")  # what may be read from the folders of parts
HIDDEN = ("autoencoder", "judge")  # parts of others, and tools: not in the menu
SPRINT_STEPS = {"1": [1.5708], "2": [1.5683, 1.3], "4": [1.5683, 1.3, 1.1, 0.6]}  # SANA-Sprint, Table 7, radians
NVIDIA = "NSCL v2-custom or NVIDIA Open Model License (read the model's page); text encoder under the Gemma terms"


@dataclass(frozen=True)
class Guidance:
    """`cfg`: two calls, combined. `embedded`: an input of the network. `none`: fixed."""

    kind: Literal["none", "cfg", "embedded"] = "none"
    default: float = 1.0
    range: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says, key for key."""

    id: str
    family: str  # a file of models/families/
    base: str | None
    kind: str  # one of KINDS
    method: str
    dataset: str
    command: str
    code: str
    seed: int
    samples_seen: int
    scheduler: str | None  # a class of diffusers
    timesteps: dict[str, list[float]]  # by step count, in the scheduler's own unit, from noise, no closing zero
    default_steps: int
    guidance: Guidance
    prediction: str | None
    lora: dict[str, Any] | None
    licence: str
    files: dict[str, str]  # path in the folder -> sha256
    parameters: int
    quality: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def step_counts(self) -> list[int]:
        """Step counts the model takes; empty means any."""
        return sorted(int(k) for k in self.timesteps)

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, data: Any) -> "Manifest":
        """Raises ValueError naming the first key that is missing, unknown or of the wrong type."""
        data = _typed(cls, data, "the manifest")
        guidance = _typed(Guidance, data["guidance"], "guidance")
        made = cls(**data | {"guidance": Guidance(guidance["kind"], guidance["default"], tuple(guidance["range"]))})
        if made.kind not in KINDS:
            raise ValueError(f"kind {made.kind!r}; valid: {', '.join(KINDS)}")
        if made.guidance.kind not in ("none", "cfg", "embedded"):
            raise ValueError(f"guidance kind {made.guidance.kind!r}; valid: none, cfg, embedded")
        if any(not k.isdigit() or len(v) != int(k) for k, v in made.timesteps.items()):
            raise ValueError("timesteps must list as many times as its key says, such as {'2': [1.5683, 1.3]}")
        return made


def _typed(cls: type, data: Any, what: str) -> dict[str, Any]:
    """The JSON object, with the keys and outer types of a dataclass."""
    if not isinstance(data, dict):
        raise ValueError(f"{what} must be a JSON object")
    hints = get_type_hints(cls)
    required = [f.name for f in dataclasses.fields(cls) if f.default_factory is dataclasses.MISSING]
    for key in data:
        if key not in hints:
            raise ValueError(f"unknown key {key!r}; valid: {', '.join(hints)}")
    for key in required:
        if key not in data:
            raise ValueError(f"key {key!r} is missing")
    for key, value in data.items():
        if not isinstance(value, _json_types(hints[key])) or isinstance(value, bool):
            raise ValueError(f"key {key!r} holds {value!r:.60}, which is of the wrong type")
    return data


def _json_types(hint: Any) -> tuple[type, ...]:
    origin = get_origin(hint)
    if origin is UnionType:
        return tuple(t for h in get_args(hint) for t in _json_types(h))
    if origin is Literal:
        return (str,)
    kind = origin or hint
    return {float: (int, float), tuple: (list,), Guidance: (dict,), NoneType: (NoneType,)}.get(kind, (kind,))


@dataclass(frozen=True)
class Row:
    """One id. `batch`: how many pictures its denoiser takes at once."""

    manifest: Manifest
    size: int = 0  # pixels on a side; 0 for what paints nothing
    folder: Path | None = None
    hub: str | None = None
    revision: str | None = None
    memory_gib: float = 0.0  # of a GPU, to run at half precision
    tokens: int = 32  # of a prompt
    instruction: bool = False  # whether prompts follow the pipeline's own long instruction
    batch: int = 4

    @property
    def id(self) -> str:
        return self.manifest.id


def _hub_sprint(name: str, parameters: int, memory_gib: float) -> Row:
    manifest = Manifest(
        id=f"sana-sprint-{name.lower()}",
        family="sana",
        base=None,
        kind="model",
        method="scm_ladd",
        dataset="not published",
        command="not made here",
        code="not made here",
        seed=0,
        samples_seen=0,
        scheduler="SCMScheduler",
        timesteps=SPRINT_STEPS,
        default_steps=2,
        guidance=Guidance("embedded", 4.5, (1.0, 10.0)),
        prediction="trigflow",
        lora=None,
        licence=NVIDIA,
        files={},
        parameters=parameters,
    )
    hub = f"Efficient-Large-Model/Sana_Sprint_{name}_1024px_diffusers"
    # No commit hash could be looked up when this row was written, so it follows the branch.
    return Row(manifest, 1024, None, hub, "main", memory_gib, tokens=300, instruction=True, batch=1)


def hub_rows() -> list[Row]:
    """Memory: two bytes for each parameter of denoiser, 2.6 billion of Gemma 2 and autoencoder, and room to work."""
    return [_hub_sprint("0.6B", 600_000_000, 10.0), _hub_sprint("1.6B", 1_600_000_000, 12.0)]


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
    for id, row in list(found.items()):
        if row.manifest.kind in HIDDEN:
            continue
        try:
            found[id] = dataclasses.replace(row, size=_pixels(row, found))
        except (OSError, ValueError) as e:
            problems.append(f"{id}: {e}")
            del found[id]
    box = assets() / "weights"
    own = sorted(found.values(), key=lambda r: (r.folder.parent != box, r.manifest.default_steps, r.id))
    return {r.id: r for r in [*own, *hub_rows()]}, problems


def _pixels(row: Row, known: dict[str, Row]) -> int:
    """Latents on a side times what the autoencoder blows them up by."""
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
    """Raises ValueError naming the valid ids."""
    known = rows()
    if id not in known:
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
    """Whether a Hub row is in the local Hub cache."""
    from huggingface_hub import try_to_load_from_cache

    wanted = ("model_index.json", "transformer/config.json")
    hub = row.hub or ""
    return all(isinstance(try_to_load_from_cache(hub, f, revision=row.revision), str) for f in wanted)


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
    if row.hub is None:
        return None
    machine = here() if machine is None else machine
    if machine.gpu is None:
        return "It needs an NVIDIA GPU, and there is none here."
    if machine.gpu_gib < row.memory_gib:
        return f"It needs {row.memory_gib:g} GiB of GPU memory, and {machine.gpu} has {machine.gpu_gib:.0f}."
    if not cached(row) and not reachable():
        return "It isn't in the local Hub cache, and the Hub can't be reached from here."
    return None

"""What is known of a model: the manifest in its folder, and the row of the catalogue around it. No torch here."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

KINDS = ("model", "lora", "autoencoder", "judge")


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
    eta: float = field(default_factory=float)  # of DDIM and TCD: how much of each step is fresh noise
    latents: str = field(default_factory=str)  # which they are: a hash of the encoder that makes them

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
    memory_gib: float = 0.0  # of a GPU, to run at half precision; estimated
    tokens: int = 32  # of a prompt
    instruction: bool = False  # whether prompts follow the pipeline's own long instruction
    batch: int = 4
    file: str | None = None  # in the Hub's repository, where that is not a whole pipeline

    @property
    def id(self) -> str:
        return self.manifest.id

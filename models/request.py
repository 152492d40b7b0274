"""Requests: frozen, validated by the same rules for page, HTTP, command line and jobs, and exact through JSON.

A request is a frozen dataclass that inherits `Request`; each field is an `option(default, help, …)` (core/fields.py).
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, get_args, get_type_hints

from core.fields import between, check, keyed, option, options, short
from models import catalogue, sliders, stack
from models.enlarge import ENLARGER, ENLARGERS, FACTORS
from models.even import EVEN, completed, needs
from models.manifest import CONTROLS
from models.painters import Painter, base_of, must_fit, parse
from models.precision import SINGLE, precisions
from models.prompt import reading, spelt
from models.views import Camera
from models.vocabulary import knows

SEEDS = 2**31
DEFAULT_MODEL = "toybox-sprint"
PROMPT = 2000  # characters
ANGLES = {"azimuth": 0.0, "elevation": 20.0, "turn": 0.0}  # of the camera, as models without one have them
AROUND: dict[str, Any] = {"low": -180, "high": 180, "step": 5, "unit": "°"}
JSON_LIMIT = 100_000  # characters
STYLES = {
    "none": "{prompt}",
    "studio": "{prompt} on a white background",
    "night": "{prompt} on a black background",
    "sky": "{prompt} on a blue background",
    "meadow": "{prompt} on a green background",
    "candy": "{prompt} on a pink background",
    "from above": "{prompt}, seen from above",
}


@dataclass(frozen=True)
class Request:
    """Base class of requests: it validates itself when it is made, and goes through JSON unchanged."""

    def __post_init__(self) -> None:
        hints, opts = get_type_hints(type(self)), options(type(self))
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        for name in self._order():
            if getattr(self, name) is None and type(None) not in get_args(hints[name]):
                own = defaults[name] in (None, dataclasses.MISSING)
                object.__setattr__(self, name, self._fill(name) if own else defaults[name])
            object.__setattr__(self, name, check(name, getattr(self, name), hints[name], opts[name]))
        self._validate()

    def _order(self) -> list[str]:
        """Field names, in the order of filling: a field comes after those that its value depends on."""
        return [f.name for f in dataclasses.fields(self)]

    def _fill(self, name: str) -> Any:
        """The value of a field that was left out. Raises ValueError where the field is required."""
        raise ValueError(f"{name} is missing")

    def _validate(self) -> None:
        """Check the rules between fields; each field alone is valid already. Raises ValueError."""

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        return cls(**keyed(cls, data, "a request"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        if len(text) > JSON_LIMIT:
            raise ValueError(f"a request of {len(text):,} characters is too long; at most {JSON_LIMIT:,}")
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError("the request is not valid JSON") from None
        return cls.from_dict(data)


@dataclass(frozen=True)
class ImageRequest(Request):
    """Everything that affects the pictures. Steps, guidance and size default to the model's own."""

    prompt: str = option(
        "", "What you want to see. {red|blue} picks one per picture.", longest=PROMPT, required=True, lines=2
    )
    negative: str = option(
        "", "What the picture should not show, for models with classifier-free guidance.", longest=PROMPT
    )
    model: str = option(
        DEFAULT_MODEL, "The model that makes the picture.", choices=lambda: [r.id for r in catalogue.menu()]
    )
    steps: int = option(None, "Denoising steps for each picture.", low=1, high=100, step=1)
    guidance: float = option(None, "How closely the prompt is followed.", low=0, high=30, step=0.1)
    seed: int = option(0, "The same seed gives the same picture.", low=0, high=SEEDS - 1, step=1)
    num_images: int = option(1, "Number of pictures; each has the next seed.", low=1, high=16, step=1)
    width: int = option(None, "Width of the picture, fixed by the model.", low=32, high=4096, step=32, unit="pixels")
    height: int = option(None, "Height of the picture, fixed by the model.", low=32, high=4096, step=32, unit="pixels")
    style: str = option("none", "Words added to the prompt.", choices=lambda: list(STYLES))
    variation_seed: int = option(0, "Seed of the variation; each picture adds one.", low=0, high=SEEDS - 1, step=1)
    variation: float = option(0.0, "Variation strength; 0 is the seed's own picture.", low=0, high=1, step=0.01)
    painters: str = option(
        "", "Models for some of the steps, from 0: toybox-sd:0-1@3 takes two, at guidance 3.", longest=PROMPT
    )
    start: str = option("", "Sha256 of the stored step to continue from.", longest=64)
    start_step: int = option(0, "Index of the stored step.", low=0, high=99, step=1)
    image: str = option("", "A picture to start from: a file, or the sha256 of a kept one.", longest=64)
    strength: float = option(0.6, "Share of noise added to that picture at the start.", low=0.05, high=1, step=0.05)
    mask: str = option("", "Mask of the part to repaint: white in this picture, grey half.", longest=64)
    only_masked: bool = option(False, "Repaint only the masked part, enlarged, and put it back.")
    control: str = option("", "A drawing to follow: a file, or the sha256 of a kept one.", longest=64)
    control_kind: str = option("sketch", "What that drawing says.", choices=lambda: list(CONTROLS))
    control_strength: float = option(1.0, "How closely it is followed; 0 not at all.", low=0, high=2, step=0.05)
    azimuth: float = option(
        ANGLES["azimuth"], "Angle of the camera around the thing, for a model with a camera.", **AROUND
    )
    elevation: float = option(
        ANGLES["elevation"], "Angle of that camera above the ground.", low=0, high=75, step=5, unit="°"
    )
    turn: float = option(ANGLES["turn"], "Angle between two pictures: 40 and nine pictures go all around.", **AROUND)
    base_steps: int = option(0, "First steps that the base model takes, for variety.", low=0, high=100, step=1)
    base_guidance: float = option(1.0, "Guidance of those steps; 1 has none.", low=0, high=30, step=0.1)
    skip_steps: int = option(0, "Steps skipped at the start; the next one begins with noise.", low=0, high=99, step=1)
    pink: float = option(0.0, "Weight added to the low frequencies of the noise.", low=0, high=1, step=0.05)
    text_noise: float = option(
        0.0, "Noise on the prompt embedding, in its standard deviations.", low=0, high=2, step=0.05
    )
    text_noise_seed: int = option(0, "Seed of that noise.", low=0, high=SEEDS - 1, step=1)
    cads: float = option(0.0, "Noise on the prompt embedding that fades over the steps.", low=0, high=1, step=0.05)
    adapter_first: float = option(
        1.0, "Strength of a LoRA model's adapter in its first step; 1 is as trained.", low=0, high=1.5, step=0.05
    )
    loras: str = option(
        "", "LoRAs that act as well: my-style:0.8, other:1@detail; phases: structure, detail, all.", longest=PROMPT
    )
    sliders: str = option(
        "", "Sliders and their units: size:1.5, warmth:-1@detail; or two words: plain/striped:2.", longest=PROMPT
    )
    unlike: str = option("", "Sha256 of stored pictures to be different from.", longest=64)
    unlike_by: float = option(0.8, "Distance from each of them, in deviations of a latent.", low=0, high=2, step=0.05)
    precision: str = option(
        SINGLE, "Number format of the networks; bf16 is faster, and its picture a little different.", choices=precisions
    )
    even: str = option("nothing", "What the prompt leaves open and words spread.", choices=lambda: list(EVEN))
    enlarge: int = option(1, "Enlargement: 1, 2 or 4 times.", low=1, high=4, step=1)
    enlarger: str = option(ENLARGER, "The model that enlarges.", choices=lambda: ENLARGERS)

    def _order(self) -> list[str]:
        names = super()._order()
        return ["prompt", "model", *(n for n in names if n not in ("prompt", "model"))]

    @cached_property
    def row(self) -> catalogue.Row:
        """The row of its model, looked up once and passed on with the request."""
        return catalogue.get(self.model)

    def _fill(self, name: str) -> Any:
        row = self.row
        own = {"steps": row.manifest.default_steps, "guidance": row.manifest.guidance.default}
        return own.get(name, row.size)

    def _validate(self) -> None:
        row = self.row
        if (self.width, self.height) != (row.size, row.size):
            raise ValueError(f"{self.model} paints {row.size} x {row.size} pixels, not {self.width} x {self.height}")
        valid = row.manifest.step_counts
        if valid and self.steps not in valid:
            raise ValueError(f"{self.model} takes {_any_of(valid)} steps, not {self.steps}")
        guidance = row.manifest.guidance
        low, high = guidance.range
        if not low <= self.guidance <= high:
            raise ValueError(f"guidance of {self.model} must be {between(low, high)}, not {self.guidance:g}")
        others = self.others()
        must_fit(others, row, self.steps)
        kinds = {guidance.kind, *(catalogue.get(p.model).manifest.guidance.kind for p in others)}
        if self.negative.strip() and "cfg" not in kinds:
            raise ValueError(f"{self.model} takes no negative prompt, as its guidance is built in; leave it empty")
        stored = {
            "start": "a stored step",
            "unlike": "stored pictures",
            "image": "a kept picture",
            "mask": "a kept picture",
            "control": "a kept picture",
        }
        for name, what in stored.items():
            if not re.fullmatch(r"([0-9a-f]{64})?", value := getattr(self, name)):
                raise ValueError(f"{name} must be the 64 hexadecimal digits of {what}, not {short(value)}")
        if self.start_step >= (self.steps if self.start else 1):
            raise ValueError(f"start_step must be 0 to {self.steps - 1 if self.start else 0}, not {self.start_step}")
        self._variety(row)
        self._picture_in()
        for id in self.models() if self.loras or self.sliders else ():
            stack.loras(self.loras, catalogue.get(id))
            sliders.chosen(self.sliders, catalogue.get(id))
        if (word := needs(self.even)) and not knows(row, word):
            valid = ", ".join(which for which in EVEN if not needs(which))
            raise ValueError(f"{self.model} was trained on no words for {word} tones; valid for even: {valid}")
        if self.control:
            self._steered()
        self._seen_from()
        if self.enlarge not in FACTORS:
            raise ValueError(f"enlarge must be {_any_of(FACTORS)}, not {self.enlarge}")
        if self.enlarge > 1 and catalogue.on_hub(row) is not None:
            raise ValueError(f"{self.model} paints {row.size} x {row.size} pixels, and enlarge must be 1 for it")

    def _picture_in(self) -> None:
        """Raises ValueError where mask or only_masked lack their picture, or where two fields set the run's start."""
        if self.mask and not self.image:
            raise ValueError("mask says what to paint anew of a picture; give it as image")
        if self.only_masked and not self.mask:
            raise ValueError("only_masked needs a mask")
        if self.image and (self.start or self.skip_steps):
            raise ValueError(f"image and {'start' if self.start else 'skip_steps'} both say where the run begins")

    def _steered(self) -> None:
        """Raises ValueError where one of the painters has no control, or none for this kind of drawing."""
        for row in map(catalogue.get, self.models()):
            able = [r.id for r in catalogue.menu() if catalogue.controls(r)]
            if not (own := catalogue.controls(row)):
                raise ValueError(
                    f"{row.id} has no control, so it follows no drawing; valid: {', '.join(able) or 'no model'}"
                )
            if not catalogue.controls(row, self.control_kind):
                valid = dict.fromkeys(kind for r in own for kind in r.manifest.controls)
                raise ValueError(f"{row.id} has no control for {self.control_kind}; valid: {', '.join(valid)}")

    def _seen_from(self) -> None:
        """Raises ValueError where the model has no camera, and one of its angles was set."""
        angles = [n for n in ANGLES if getattr(self, n) != ANGLES[n]]
        if angles and not catalogue.has_camera(self.row):
            able = ", ".join(r.id for r in catalogue.menu() if catalogue.has_camera(r)) or "none"
            usual = f"{ANGLES[angles[0]]:g}"
            raise ValueError(f"{self.model} has no camera, so {angles[0]} must be {usual}; models with one: {able}")

    def _variety(self, row: catalogue.Row) -> None:
        """Raises ValueError for a cure for variety that this model can't have."""
        if self.skip_steps >= self.steps:
            raise ValueError(f"skip_steps must be 0 to {self.steps - 1}, not {self.skip_steps}: one step must be left")
        left = self.steps - (self.start_step or self.skip_steps)
        if self.unlike and left < 2:
            raise ValueError(f"unlike needs at least 2 steps, as nothing mends what it moves in the last; not {left}")
        if self.skip_steps and self.start:
            raise ValueError("skip_steps and start both say where the run begins; give one of them")
        if self.adapter_first != 1 and row.manifest.kind != "lora":
            raise ValueError(f"{self.model} is no LoRA, so adapter_first must be 1, not {self.adapter_first:g}")

    def others(self) -> list[Painter]:
        """The models that take some of the steps."""
        named = parse(self.painters)
        if not self.base_steps:
            return named
        return [Painter(base_of(catalogue.get(self.model)), range(self.base_steps), self.base_guidance), *named]

    def models(self) -> list[str]:
        """The ids of all models that paint."""
        return list(dict.fromkeys([self.model, *(p.model for p in self.others())]))

    def seeds(self) -> list[int]:
        """The seed of each picture. Variations of one picture share its seed, and so do views of one thing."""
        return [self.seed if self.variation or self.turn else (self.seed + k) % SEEDS for k in range(self.num_images)]

    def cameras(self) -> list[Camera]:
        """The camera of each picture, for models with a camera."""
        return [Camera(self._azimuth(k), self.elevation) for k in range(self.num_images)]

    def _azimuth(self, k: int) -> float:
        return (self.azimuth + k * self.turn + 180) % 360 - 180 if self.turn else self.azimuth

    def single(self, k: int) -> "ImageRequest":
        """The request for picture k alone."""
        return self.some(k, 1)

    def some(self, first: int, count: int) -> "ImageRequest":
        """The request for `count` of the pictures, from number `first` on."""
        neighbour = (self.variation_seed + first) % SEEDS if self.variation else 0
        part = copy(self)  # valid as the whole request is, so nothing is looked up again
        seed, azimuth = self.seeds()[first], self._azimuth(first)
        vars(part).update(seed=seed, num_images=count, variation_seed=neighbour, azimuth=azimuth)
        return part

    def as_painted(self) -> "ImageRequest":
        """The request for the same pictures before they are enlarged."""
        part = copy(self)
        vars(part).update(enlarge=1, enlarger=ENLARGER)
        return part

    def texts(self) -> list[str]:
        """The text that the encoder reads for each picture: wildcards are chosen, emoji become names, the style and
        words for open attributes (models/even.py) are added."""
        salts = [(self.variation_seed + k) % SEEDS if self.variation else s for k, s in enumerate(self.seeds())]
        return [completed(reading(self.prompt, salt, STYLES[self.style]).text, salt, self.even) for salt in salts]

    def negative_text(self) -> str:
        """The negative prompt as the text encoder reads it."""
        return spelt(self.negative)


def text_of(fields: dict[str, Any]) -> str:
    """The text that the encoder read for one picture, from the fields of its request. The model may be gone."""
    salt = fields["variation_seed"] if fields.get("variation") else fields["seed"]
    text = reading(fields["prompt"], salt, STYLES.get(fields.get("style", "none"), "{prompt}")).text
    return completed(text, salt, fields.get("even", "nothing"))


def _any_of(numbers: Sequence[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} or {last}" if most else last

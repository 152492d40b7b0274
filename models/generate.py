"""Paints the pictures of a request, by one loop for all families.

    python -m models.generate "a red mushroom" --model toybox-sprint --steps 1 --seed 7 --num-images 4 --out out.png

`generate(parts, request)` is an iterator of events, which previews and visualisers read; to stop, close it. Two models
in one run, and a start from a stored step, are fields of the request. The diffusers pipeline encodes prompts and
decodes latents, and its scheduler steps; the loop itself is `walk` of models/samplers.py.
"""

import argparse
import json
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import acos, sin
from pathlib import Path
from typing import Any, get_type_hints

import torch
from PIL.Image import Image as Picture
from PIL.Image import new as new_picture
from torch import Tensor

from core.fields import options
from core.paths import use_studio
from models import camera, catalogue, directions, diversity, enlarge, families, inputs, openvino, sliders, stack, stored
from models.denoiser import ATTENTION, Cond, pick_device
from models.families import Parts
from models.guidance import Turn
from models.img2img import Edit
from models.picture import BACKEND, png_bytes
from models.precision import SINGLE, Precise, computing
from models.prompt import notes
from models.request import SEEDS, ImageRequest
from models.samplers import Step, walk
from models.schedule import Schedule, add_noise
from models.steer import Steer
from models.stepping import SchedulerSteps, Stepper, stepper
from models.stored import Stored


@dataclass(frozen=True)
class Image:
    """The event of a finished picture."""

    index: int
    picture: Picture
    seed: int
    steps: int
    calls: int  # calls of the networks for this picture's batch
    latency_ms: float  # work on this request so far, without the time that the reader of the events took
    text_ms: float  # of which: encoding prompts
    denoise_ms: float  # denoising, so far
    decode_ms: float  # decoding latents, so far
    enlarge_ms: float  # enlarging, so far
    text: str  # the text that the encoder read
    backend: str  # the back end: torch, openvino or both
    route: int | None = None  # index of the student that took the last step, where there are several


Event = Step | Image


@dataclass
class Clock:
    """Milliseconds by kind of work. It waits for the GPU, so that each kind is charged with its own work."""

    device: torch.device
    spent: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("text", "denoise", "decode", "enlarge"), 0.0)
    )
    _since: float = 0.0

    def start(self) -> None:
        self._since = self._now()

    def stop(self, kind: str) -> None:
        self.spent[kind] += self._now() - self._since

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() * 1000


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Spherical interpolation between two noises, which keeps the norm of noise (Shoemake 1985)."""
    cos = torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).clamp(-1, 1).item()
    angle = acos(cos)
    if sin(angle) < 1e-4:
        return torch.lerp(a, b, share)
    return (sin((1 - share) * angle) * a + sin(share * angle) * b) / sin(angle)


def noise(parts: Parts, request: ImageRequest, k: int) -> tuple[Tensor, torch.Generator]:
    """The starting noise of picture k, [1, C, h, w], and its generator, for later noise. Drawn on the CPU, so that a
    seed gives the same numbers on every device."""
    generator = torch.Generator().manual_seed(request.seeds()[k])
    x = torch.randn((1, *parts.latent), generator=generator)
    if request.variation:
        other = torch.Generator().manual_seed((request.variation_seed + k) % SEEDS)
        x = slerp(x, torch.randn(x.shape, generator=other), request.variation)
    return diversity.pink(x, request.pink).to(parts.device), generator


def decode(parts: Parts, latents: Tensor) -> list[Picture | None]:
    """The pictures of latents [B, C, h, w], in one call; None for one with NaN or infinite values."""
    z = latents.to(parts.vae_dtype) / parts.vae.config.scaling_factor
    pixels = parts.vae.decode(z, return_dict=False)[0].float()  # [B, 3, H, W]
    whole = torch.isfinite(pixels).flatten(1).all(1)
    pictures = parts.pipeline.image_processor.postprocess(pixels.nan_to_num(), output_type="pil")
    return [picture if fine else None for picture, fine in zip(pictures, whole.tolist(), strict=True)]


def encode(parts: Parts, request: ImageRequest, texts: list[str], null: bool) -> tuple[Cond, Cond | None]:
    """The prompt embeddings of all pictures, each different prompt encoded once, and with `null` the negative one. The
    negative prompt has no camera."""
    different = list(dict.fromkeys(texts))
    index = torch.tensor([different.index(t) for t in texts], device=parts.device)
    cond = camera.told(parts.row, parts.text(different).map(lambda v: v[index]), request.cameras())
    if not null:
        return cond, None
    negative = parts.text([request.negative_text()]).map(lambda v: v.expand(len(texts), *v.shape[1:]))
    return cond, camera.told(parts.row, negative, [None] * len(texts))


def rows(cond: Cond, which: range) -> Cond:
    return cond.map(lambda v: v[which.start : which.stop])


def turn(parts: Parts, guidance: float) -> Turn:
    """The turn of a model: its network, with guidance of the kind that its manifest names."""
    guidable = parts.row.manifest.guidance.kind == "cfg" or parts.denoiser.takes_guidance
    return Turn(parts.denoiser, guidance if guidable else None, parts.row.id)


@dataclass(frozen=True)
class Run:
    """Everything that the batches of a request share."""

    request: ImageRequest
    crew: Mapping[str, Parts]  # the request's model and its other painters, by id
    turns: list[Turn]  # one for each step
    texts: list[str]
    start: Stored | None
    others: Tensor | None  # latents to keep away from, [K, C, h, w]
    edit: Edit | None
    steer: Steer | None
    clock: Clock

    @classmethod
    def of(cls, request: ImageRequest, crew: Mapping[str, Parts]) -> "Run":
        loras = stack.loras(request.loras, request.row)
        crew = {
            id: families.wear(crew[id], [*loras, *sliders.loras(request.sliders, crew[id].row)])
            for id in request.models()
        }
        turns = [turn(crew[request.model], request.guidance)] * request.steps
        for painter in request.others():
            for i in painter.steps:
                turns[i] = turn(crew[painter.model], painter.guidance)
        first = request.skip_steps
        if request.adapter_first != 1 and turns[first].painter == request.model:
            turns[first] = replace(turns[first], net=crew[request.model].denoiser.weakened(request.adapter_first))
        if request.sliders:
            along = {id: directions.along(request.sliders, parts.row, parts.text) for id, parts in crew.items()}
            turns = [replace(turn, prompts=(partial(directions.moved, along[turn.painter]),)) for turn in turns]
        start = stored.load(request.start) if request.start else None
        others = stored.kept(request.unlike, catalogue.chain(request.row)[-1].id) if request.unlike else None
        edit = Edit.of(crew[request.model], request)
        if edit is not None:
            turns = [replace(turn, after=(edit.kept,)) for turn in turns]
        steers = {id: steer for id, parts in crew.items() if (steer := Steer.of(parts, request))}
        if steers:
            turns = [replace(turn, net=steers[turn.painter].beside(turn.net)) for turn in turns]
        if request.precision != SINGLE:
            turns = [replace(turn, net=Precise(turn.net, request.precision)) for turn in turns]
        clock = Clock(crew[request.model].device)
        return cls(request, crew, turns, request.texts(), start, others, edit, steers.get(request.model), clock)

    @property
    def parts(self) -> Parts:
        return self.crew[self.request.model]


@torch.no_grad()
def generate(
    parts: Parts, request: ImageRequest, others: Mapping[str, Parts] | None = None
) -> Generator[Event, None, None]:
    """The events of a request, batch by batch: a `Step` for each step, an `Image` for each picture.

    `others`: the parts of the request's other painters, by id. Raises ValueError where a picture has NaN or infinite
    values, after the other pictures of its batch.
    """
    if request.enlarge > 1 and (reason := enlarge.missing(request.enlarger)):
        raise ValueError(reason)
    if request.precision != SINGLE and parts.device.type != "cpu":
        raise ValueError(f"precision {request.precision} is for a CPU, and {request.model} runs on {parts.device}")
    run = Run.of(request, {**(others or {}), request.model: parts})
    run.clock.start()
    cond, null = encode(run.parts, request, run.texts, any(t.needs_null for t in run.turns))
    if run.steer is not None:
        cond, null = run.steer.conditioned(cond), null and run.steer.conditioned(null)
    run.clock.stop("text")
    for first in range(0, request.num_images, parts.row.batch):
        which = range(first, min(first + parts.row.batch, request.num_images))
        yield from _batch(run, which, rows(cond, which), None if null is None else rows(null, which))


def _batch(run: Run, which: range, cond: Cond, null: Cond | None) -> Generator[Event, None, None]:
    parts, request, clock = run.parts, run.request, run.clock
    clock.start()
    (steps, x), calls = begin(run, which), 0
    turns, cond = varied(run, which, cond)
    for step in walk(steps, x, turns, cond, null, request.start_step or request.skip_steps):
        x, calls = step.x_s, calls + step.turn.calls
        clock.stop("denoise")
        yield replace(step, first=which.start)
        clock.start()
    clock.stop("denoise")
    clock.start()
    with computing(request.precision):
        pictures = decode(parts, x)
    clock.stop("decode")
    lost, routes = [], run.crew[run.turns[-1].painter].denoiser.route(cond)
    for row, (k, picture) in enumerate(zip(which, pictures, strict=True)):
        if picture is None:
            lost.append(str(request.seeds()[k]))
            continue
        picture = picture if run.edit is None else run.edit.whole(picture)
        backend = picture.info[BACKEND] = openvino.painter(parts)
        clock.start()
        picture = enlarge.enlarged(picture, request.enlarge, request.enlarger)
        clock.stop("enlarge")
        spent = clock.spent
        times = (sum(spent.values()), spent["text"], spent["denoise"], spent["decode"], spent["enlarge"])
        one = (k, picture, request.seeds()[k], request.steps, calls, *times, run.texts[k])
        yield Image(*one, backend, routes and routes[row])
    if lost:  # after the others of the batch
        raise ValueError(f"{parts.row.id} produced NaN or infinite values for seed {', '.join(lost)}; try another")


def varied(run: Run, which: range, cond: Cond) -> tuple[list[Turn], Cond]:
    """The turns and prompt embeddings of some pictures, with the request's cures for variety (models/diversity.py)."""
    request, turns = run.request, run.turns
    if run.others is not None:  # all but the last, as no later step would mend what is pushed there
        away = partial(diversity.shielded, others=run.others, radius=request.unlike_by)
        turns = [*(replace(turn, after=(away, *turn.after)) for turn in turns[:-1]), turns[-1]]
    if not request.text_noise and not request.cads:
        return turns, cond
    seeds = [request.seeds()[k] for k in which]
    generators = diversity.text_generators(seeds, request.text_noise_seed)
    if request.text_noise:
        cond = diversity.noisy(cond, diversity.drawn(cond, generators), request.text_noise)
    if not request.cads:
        return turns, cond
    fading = [diversity.drawn(cond, generators) for _ in turns]  # of every step, so that a start in the middle fits

    def prompt(noise: Tensor, cond: Cond, _: Schedule, t: Tensor) -> Cond:
        return diversity.annealed(cond, noise, request.cads, float(t[0]))

    pairs = zip(turns, fading, strict=True)
    return [replace(turn, prompts=(*turn.prompts, partial(prompt, noise))) for turn, noise in pairs], cond


def begin(run: Run, which: range) -> tuple[Stepper, Tensor]:
    """The stepper of some pictures, and their first x_t: noise, a picture with noise, or a stored step."""
    parts, start, i, edit = run.parts, run.start, run.request.start_step, run.edit
    drawn = [noise(parts, run.request, k) for k in which]
    generators = [generator for _, generator in drawn]
    steps = steps_of(parts, run.request.steps, generators)
    if edit is not None and edit.strength < 1:
        nearer, x = edit.steps(steps, generators), torch.cat([x for x, _ in drawn])
        t = torch.full((len(x),), nearer.times[0], device=x.device)
        return nearer, add_noise(nearer.schedule, edit.z, x, t)
    if start is None:
        x = torch.cat([x for x, _ in drawn]) * steps.initial
        steps.resume(run.request.skip_steps, x, ())
        return steps, x
    if start.x_t.shape[1:] != parts.latent or abs(steps.times[i] - start.t) > 1e-6:
        raise ValueError(f"the stored step is no step {i} of {run.request.steps} steps of {parts.row.id}")
    x, *past = (v.to(parts.device).expand(len(which), *parts.latent) for v in (start.x_t, *start.past))
    steps.resume(i, x, past)
    return steps, x


def steps_of(parts: Parts, steps: int, generators: Sequence[torch.Generator]) -> SchedulerSteps:
    """The steps of the model's own scheduler, at the model's own timesteps."""
    manifest = parts.row.manifest
    table = manifest.timesteps.get(str(steps))
    return stepper(parts.scheduler, steps, table, parts.device, manifest.eta, generators)


def grid(pictures: Sequence[Picture]) -> Picture:
    """The pictures side by side, without gaps or empty cells, as near to a square as their number allows."""
    n = len(pictures)
    columns = next(c for c in range(1, n + 1) if c * c >= n and n % c == 0)
    width, height = pictures[0].size
    sheet = new_picture("RGB", (columns * width, n // columns * height))
    for k, one in enumerate(pictures):
        sheet.paste(one, (k % columns * width, k // columns * height))
    return sheet


def parser() -> argparse.ArgumentParser:
    """The command's flags: one for each field of the request, with the field's help, and its own."""
    p = argparse.ArgumentParser("models.generate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("prompt", nargs="?", help=options(ImageRequest)["prompt"].help)
    hints = get_type_hints(ImageRequest)
    for name, opt in options(ImageRequest).items():
        if name != "prompt":
            flag = "--" + name.replace("_", "-")
            kind: dict[str, Any] = {"action": "store_true"} if hints[name] is bool else {"type": hints[name]}
            p.add_argument(flag, default=argparse.SUPPRESS, help=opt.help, **kind)
    p.add_argument("--out", type=Path, default=Path("out.png"), help="several: out-0.png, … and their grid out.png")
    p.add_argument("--list", action="store_true", help="list the models, and why some can't run here")
    p.add_argument("--json", action="store_true", help="one JSON object a picture, or a model")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--attention", default="auto", help=", ".join(ATTENTION))
    p.add_argument("--backend", default="torch", help=f"{', '.join(openvino.BACKENDS)}; pays for many pictures")
    p.add_argument("--studio", help="the studio folder")
    p.add_argument("--any-base", action="store_true", help="also load a LoRA on other weights than it was made on")
    return p


def tell_catalogue(as_json: bool) -> None:
    for row in catalogue.menu():
        reason = catalogue.available(row)
        if as_json:
            where = {"size": row.size, "hub": row.hub, "revision": row.revision}
            print(json.dumps(row.manifest.to_dict() | where | {"reason": reason}))
        else:
            steps = ", ".join(map(str, row.manifest.step_counts)) or "any"
            print(f"{row.id:24} {row.size:5} px  steps {steps:10}  {row.manifest.licence[:24]:24}  {reason or 'ready'}")
    for sentence in catalogue.broken():
        print(f"left out: {sentence}", file=sys.stderr)


def paint(args: argparse.Namespace) -> None:
    """Write each picture when it is done, and print a line about it."""
    if args.prompt is None:
        raise ValueError('say what you want to see, such as: python -m models.generate "a red mushroom"')
    if args.out.suffix.lower() != ".png":
        raise ValueError(f"--out {args.out} must end in .png")
    fields = {k: v for k, v in vars(args).items() if k in options(ImageRequest)}
    fields |= {name: inputs.named(fields[name], name) for name in inputs.FIELDS if name in fields}
    request = ImageRequest(**fields)
    for id in request.models():
        if reason := catalogue.available(catalogue.get(id)):
            raise ValueError(f"{id} can't run here. {reason}")
    how = {"attention": args.attention, "backend": args.backend, "precision": request.precision}
    loaded = families.load_all(request.models(), pick_device(args.device), **how)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    comments = [note.sentence for note in notes(request.prompt)]
    print(*comments, sep="\n", end="\n" if comments else "", file=sys.stderr)
    done = []
    for event in generate(loaded[request.model], request, loaded):
        if not isinstance(event, Image):
            continue
        many = request.num_images > 1
        path = args.out.with_name(f"{args.out.stem}-{event.index}.png") if many else args.out
        path.write_bytes(png_bytes(event.picture, request.single(event.index)))
        done.append(event.picture)
        facts = {"path": str(path), "model": request.model, "steps": event.steps, "seed": event.seed}
        facts |= {"backend": event.backend}
        facts |= {"calls": event.calls, "latency_ms": round(event.latency_ms, 2)}
        facts |= {} if event.route is None else {"route": event.route}
        facts |= {"text": event.text, "notes": comments}
        print(json.dumps(facts) if args.json else f"{path}  seed {event.seed}  {event.latency_ms:.0f} ms")
    if len(done) > 1:
        args.out.write_bytes(png_bytes(grid(done), request))


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    catalogue.use_any_base(args.any_base)
    try:
        if args.list:
            tell_catalogue(args.json)
        else:
            paint(args)
    except (ValueError, OSError) as e:
        print(f"models.generate: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

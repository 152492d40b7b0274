"""generate(parts, request) -> iterator of events: the one loop for every family.

    python -m models.generate "a red mushroom" --model toybox-sprint --steps 1 --seed 7 --num-images 4 --out out.png

Prompt encoding and decoding are the diffusers pipeline's, stepping its schedulers'; only the loop is ours. Previews,
visualisers, hybrids of two models and branches from a step are readers or arguments of it. To stop, close the iterator.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from math import acos, log, sin
from pathlib import Path
from typing import get_type_hints

import torch
from PIL.Image import Image as Picture
from PIL.Image import new as new_picture
from torch import Tensor
from transformers.utils import logging

from core.fields import options
from core.paths import use_studio
from models import catalogue, families
from models.denoiser import ATTENTION, Cond, Denoiser, cat, on_schedule, pick_device
from models.families import Parts
from models.picture import png_bytes
from models.prompt import notes
from models.request import SEEDS, ImageRequest
from models.schedule import Schedule
from models.stepping import Stepper, stepper

Choose = Callable[[int, float], Denoiser]  # (step, t) -> who denoises it


@dataclass(frozen=True)
class Step:
    """Once per step of a batch, before x_t moves on. Tensors stay on the model's device."""

    i: int
    t: float  # in [0, 1], noise at 1
    log_snr: float
    x_t: Tensor  # [B, C, h, w], in the run's own schedule: unit variance for TrigFlow
    x0: Tensor  # what the model thinks the pictures will be, [B, C, h, w]
    first: int = 0  # row 0 is this picture of the request


@dataclass(frozen=True)
class Image:
    """Once per finished picture."""

    index: int
    picture: Picture
    seed: int
    steps: int
    calls: int  # of the network, for the batch that this picture was in
    latency_ms: float  # work on this request until now, without what the reader of the events did in between
    text_ms: float  # of that: the prompts
    denoise_ms: float  # the loops so far
    decode_ms: float  # latents to pictures so far
    text: str  # what the encoder read
    route: int | None = None  # which of several students painted it


Event = Step | Image


@dataclass(frozen=True)
class Start:
    """A run that begins at step i from a stored x_t. `x0` is step i - 1's, for schedulers that look back."""

    i: int
    x_t: Tensor  # [num_images, C, h, w]
    x0: Tensor | None = None

    @classmethod
    def at(cls, steps: Sequence[Step], i: int) -> "Start":
        """From the events of an earlier run of one batch."""
        return cls(i, steps[i].x_t, steps[i - 1].x0 if i else None)

    def rows(self, which: slice) -> "Start":
        return Start(self.i, self.x_t[which], None if self.x0 is None else self.x0[which])


@dataclass
class Clock:
    """Milliseconds by kind of work. A GPU is waited for, or its work would be billed to whoever asks next."""

    device: torch.device
    spent: dict[str, float] = field(default_factory=lambda: {"text": 0.0, "denoise": 0.0, "decode": 0.0})
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
    """Noise between two noises, on the arc, so that its norm stays that of noise (Shoemake 1985)."""
    cos = torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).clamp(-1, 1).item()
    angle = acos(cos)
    if sin(angle) < 1e-4:
        return torch.lerp(a, b, share)
    return (sin((1 - share) * angle) * a + sin(share * angle) * b) / sin(angle)


def noise(parts: Parts, request: ImageRequest, k: int) -> tuple[Tensor, torch.Generator]:
    """Picture k's noise [1, C, h, w] and the generator that goes on from there. Drawn on the CPU: equal everywhere."""
    generator = torch.Generator().manual_seed(request.seeds()[k])
    x = torch.randn((1, *parts.latent), generator=generator)
    if request.variation:
        other = torch.Generator().manual_seed((request.variation_seed + k) % SEEDS)
        x = slerp(x, torch.randn(x.shape, generator=other), request.variation)
    return x.to(parts.device), generator


def log_snr(schedule: Schedule, t: float) -> float:
    """log(alpha^2 / sigma^2), kept finite: at pure noise it is about -27.6."""
    at = torch.tensor([t], dtype=torch.float64)
    alpha, sigma = schedule.alpha(at).item(), schedule.sigma(at).item()
    return 2 * (log(max(alpha, 1e-6)) - log(max(sigma, 1e-6)))


def padded(cond: Cond, length: int) -> Cond:
    """As many tokens as `length`; those added don't count."""
    more = length - cond.tokens.shape[1]
    pad = torch.nn.functional.pad
    return replace(cond, tokens=pad(cond.tokens, (0, 0, 0, more)), mask=pad(cond.mask, (0, more)))


def predict(net: Denoiser, stepper: Stepper, x_t: Tensor, t: float, cond: Cond, null: Cond | None, w: float):
    """x0 under guidance w, and how many calls it took. Two prompts go through the network as one batch."""
    time = torch.full((len(x_t),), t, device=x_t.device)
    ask = on_schedule(net, stepper.schedule)
    if net.takes_guidance:
        return ask(x_t, time, replace(cond, guidance=torch.full_like(time, w))).float(), 1
    if null is None or w <= 1:
        return ask(x_t, time, cond).float(), 1
    length = max(cond.tokens.shape[1], null.tokens.shape[1])
    both = cat(padded(null, length), padded(cond, length))
    hidden, asked = ask(torch.cat([x_t, x_t]), time.repeat(2), both).float().chunk(2)
    return hidden + w * (asked - hidden), 2


def decode(parts: Parts, latents: Tensor) -> Picture:
    """One picture from latents [1, C, h, w]. Raises FloatingPointError where the numbers are none."""
    z = latents.to(next(parts.vae.parameters()).dtype) / parts.vae.config.scaling_factor
    pixels = parts.vae.decode(z, return_dict=False)[0]  # [1, 3, H, W]
    if not torch.isfinite(pixels).all():
        raise FloatingPointError
    return parts.pipeline.image_processor.postprocess(pixels, output_type="pil")[0]


def encode(parts: Parts, request: ImageRequest, texts: list[str]) -> tuple[Cond, Cond | None]:
    """The prompts of every picture, each different one encoded once, and the negative one where two prompts guide."""
    different = list(dict.fromkeys(texts))
    index = torch.tensor([different.index(t) for t in texts], device=parts.device)
    cond = parts.text(different).map(lambda v: v[index])
    if request.guidance <= 1 or parts.row.manifest.guidance.kind != "cfg":
        return cond, None
    return cond, parts.text([request.negative_text()]).map(lambda v: v.expand(len(texts), *v.shape[1:]))


@torch.no_grad()
def generate(
    parts: Parts, request: ImageRequest, choose: Choose | None = None, start: Start | None = None
) -> Generator[Event, None, None]:
    """Steps and pictures, batch by batch.

    choose: who denoises step i at time t; the model's own denoiser where it is None.
    start: begin in the middle; the generators are wound to where they were then.
    """
    clock, texts = Clock(parts.device), request.texts()
    clock.start()
    cond, null = encode(parts, request, texts)
    clock.stop("text")
    for first in range(0, request.num_images, parts.row.batch):
        which = slice(first, min(first + parts.row.batch, request.num_images))
        rows = (cond.map(lambda v, w=which: v[w]), null and null.map(lambda v, w=which: v[w]))
        yield from _batch(parts, request, which, rows, choose, start and start.rows(which), clock, texts)


def _batch(parts, request, which, rows, choose, start, clock, texts) -> Generator[Event, None, None]:
    clock.start()
    cond, null = rows
    table = parts.row.manifest.timesteps.get(str(request.steps))
    steps = stepper(parts.scheduler, request.steps, table, parts.device, parts.row.manifest.eta)
    drawn = [noise(parts, request, k) for k in range(which.start, which.stop)]
    x, generators = torch.cat([n for n, _ in drawn]) * steps.initial, [g for _, g in drawn]
    begin, calls = 0, 0
    if start is not None:
        x, begin = start.x_t.to(parts.device), start.i
        steps.resume(begin, start.x0)
        for g in generators * (begin if steps.draws else 0):
            torch.randn((1, *parts.latent), generator=g)
    for i in range(begin, len(steps.times)):
        t = steps.times[i]
        net = parts.denoiser if choose is None else choose(i, t)
        x0, cost = predict(net, steps, x, t, cond, null, request.guidance)
        calls += cost
        clock.stop("denoise")
        yield Step(i, t, log_snr(steps.schedule, t), x, x0, which.start)
        clock.start()
        x = steps.step(i, x, x0, generators)
    clock.stop("denoise")
    lost, routes = [], parts.denoiser.route(cond)
    for row, k in enumerate(range(which.start, which.stop)):
        clock.start()
        try:
            picture = decode(parts, x[row : row + 1])
        except FloatingPointError:
            lost.append(str(request.seeds()[k]))
            continue
        finally:
            clock.stop("decode")
        spent = clock.spent
        times = (sum(spent.values()), spent["text"], spent["denoise"], spent["decode"])
        yield Image(k, picture, request.seeds()[k], request.steps, calls, *times, texts[k], routes and routes[row])
    if lost:  # after the others of the batch
        raise ValueError(f"{parts.row.id} gave numbers that are no picture for seed {', '.join(lost)}; try another")


def grid(pictures: Sequence[Picture]) -> Picture:
    """Side by side without gaps or empty cells, as near to a square as that allows."""
    n = len(pictures)
    columns = next(c for c in range(1, n + 1) if c * c >= n and n % c == 0)
    width, height = pictures[0].size
    sheet = new_picture("RGB", (columns * width, n // columns * height))
    for k, one in enumerate(pictures):
        sheet.paste(one, (k % columns * width, k // columns * height))
    return sheet


def parser() -> argparse.ArgumentParser:
    """An option for every field of the request, with its own help."""
    p = argparse.ArgumentParser("models.generate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("prompt", nargs="?", help=options(ImageRequest)["prompt"].help)
    hints = get_type_hints(ImageRequest)
    for name, opt in options(ImageRequest).items():
        if name != "prompt":
            flag = "--" + name.replace("_", "-")
            p.add_argument(flag, type=hints[name], default=argparse.SUPPRESS, help=opt.help)
    p.add_argument("--out", type=Path, default=Path("out.png"), help="several: out-0.png, … and their grid out.png")
    p.add_argument("--list", action="store_true", help="print what can paint, and why what can't")
    p.add_argument("--json", action="store_true", help="one JSON object a picture, or a model")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--attention", default="auto", help=", ".join(ATTENTION))
    p.add_argument("--studio", help="the folder of what you made")
    p.add_argument("--any-base", action="store_true", help="load a LoRA on other weights than it was made on, too")
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
    """Write the pictures, one after the other as they are done, and tell of each."""
    if args.prompt is None:
        raise ValueError('say what you want to see, such as: python -m models.generate "a red mushroom"')
    if args.out.suffix.lower() != ".png":
        raise ValueError(f"--out {args.out} must end in .png")
    fields = {k: v for k, v in vars(args).items() if k in options(ImageRequest)}
    request = ImageRequest(**fields)
    row = catalogue.get(request.model)
    if reason := catalogue.available(row):
        raise ValueError(f"{row.id} can't run here. {reason}")
    parts = families.load(row, pick_device(args.device), attention=args.attention)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    comments = [note.sentence for note in notes(request.prompt)]
    print(*comments, sep="\n", end="\n" if comments else "", file=sys.stderr)
    done = []
    for event in generate(parts, request):
        if not isinstance(event, Image):
            continue
        many = request.num_images > 1
        path = args.out.with_name(f"{args.out.stem}-{event.index}.png") if many else args.out
        path.write_bytes(png_bytes(event.picture, request.single(event.index)))
        done.append(event.picture)
        said = {"path": str(path), "model": request.model, "steps": event.steps, "seed": event.seed}
        said |= {"calls": event.calls, "latency_ms": round(event.latency_ms, 2)}
        said |= {} if event.route is None else {"route": event.route}
        said |= {"text": event.text, "notes": comments}
        print(json.dumps(said) if args.json else f"{path}  seed {event.seed}  {event.latency_ms:.0f} ms")
    if len(done) > 1:
        args.out.write_bytes(png_bytes(grid(done), request))


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    use_studio(args.studio)
    catalogue.use_any_base(args.any_base)
    logging.disable_progress_bar()
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

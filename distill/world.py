"""Builds the `World` and the batches of a training: the student, the frozen teacher and the data."""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from core.paths import cache as cache_dir
from core.stage import tell
from distill import features, reward, start
from distill.data import SIDE, Source, cache, often, sources, texts
from distill.data.steered import drawn as by_hand
from distill.draws import Drawn, Draws, rows_of, wording
from distill.method import Batch, Rows, World, needed, sent
from distill.mix import EACH, Domains
from evals import labels as judge_labels
from evals.judges import Judge
from evals.judges import load as load_judge
from models import catalogue, learnt, realesrgan, text, weights
from models.catalogue import Row
from models.denoiser import Cond
from models.families import Parts, toy2d
from models.vocabulary import WORD


@dataclass(frozen=True)
class Scene:
    """A world and its data. `batch(step, rows, rng)` is a pure function; `rng` draws on the CPU."""

    world: World
    batch: Callable[[int, int, Rows], Batch]
    judged: Callable[[Tensor, Batch], dict[str, float]] | None = None  # share of right pictures, by attribute
    beside: Sequence[nn.Module] = ()  # other networks in memory: encoders, decoders and a judge
    words: Callable[[], list[str]] | None = None  # the words of its captions, the commonest first
    domains: Callable[[], Domains] | None = None  # of its pictures; counted where they are wanted


def pixels(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Pictures uint8 [B, H, W, 3] as [B, 3, H, W] in [-1, 1]."""
    return sent(torch.from_numpy(np.array(pictures)), device).permute(0, 3, 1, 2).float() / 127.5 - 1


def side(base: Row | None) -> int:
    """The pixels on a side of the training pictures for this base."""
    return (base.size if base else 0) or SIDE


@dataclass(frozen=True)
class SceneRequest:
    """Everything that a scene is built from."""

    module: ModuleType  # of the method
    cfg: object
    base: Row | None
    dataset: str
    seed: int
    skip_bad: bool = False
    samples: int = 0  # samples of the whole training; 0 where it is not known
    start: Path | None = None  # the run folder that holds the student's starting weights

    @property
    def method(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    @property
    def needs(self) -> set[str]:
        """The `needs` of the method and of its settings."""
        also = getattr(self.module, "also_needs", None)
        return self.module.Method.needs | (also(self.cfg) if also else set())


def images(a: SceneRequest) -> list[Source]:
    """The pictures of a training. A method may choose its own of a data set."""
    options: dict[str, Any] = {"skip_bad": a.skip_bad, "side": side(a.base)}
    own = getattr(a.module, "sources", None)
    return sources(a.dataset, **options) if own is None else own(a.dataset, a.cfg, **options)


def pixel_scene(a: SceneRequest, device: torch.device) -> Scene:
    """The scene of a method on pictures, with labels where the method needs them. Raises ValueError."""
    if "enlarged" in a.needs and (reason := realesrgan.missing()):
        raise ValueError(reason)
    parts = [cache.draw(s, cache_dir()) for s in images(a)]
    draws = Draws(parts)
    heads = {}
    if "labels" in a.needs:
        heads = judge_labels.classes((row for part in parts for row in part.attributes), a.module.reads(a.cfg))
    vae = load(a.base, device).vae if a.base else None
    student = a.module.student(a.cfg, heads or vae).to(device)
    enlarged = teacher_answers(a, parts) if "enlarged" in a.needs else {}

    def batch(step: int, n: int, rng: Rows) -> Batch:
        drawn = draws(n, rng)
        arrays, captions, truth = rows_of(drawn)
        labels = {k: sent(v, device) for k, v in judge_labels.batch(truth, heads).items()}
        large = large_of(drawn, enlarged, device) if enlarged else None
        return Batch(step, pixels=pixels(arrays, device), enlarged=large, labels=labels, captions=captions)

    return Scene(World(student=student, base=a.base), batch)


def teacher_answers(a: SceneRequest, parts: list[cache.Cached]) -> dict[str, cache.Cached]:
    """Every picture enlarged by Real-ESRGAN, by the name of its source. They are computed once and cached."""
    chosen = images(a)
    made = [cache.answers(s, cache_dir(), realesrgan.NAME, "enlarging", realesrgan.enlarge) for s in chosen]
    return {part.name: large for part, large in zip(parts, made, strict=True)}


def large_of(
    drawn: list[tuple[cache.Cached, int, float]], enlarged: dict[str, cache.Cached], device: torch.device
) -> Tensor:
    """The enlarged pictures of the drawn rows, uint8 [B, 3, 4H, 4W]; bytes, as a method may need a part of each."""
    rows = np.stack([enlarged[part.name][i] for part, i, _ in drawn])
    return sent(torch.from_numpy(rows), device).permute(0, 3, 1, 2)


class Latents:
    """The base's autoencoder: pictures to latents of the scale that denoisers take, and back."""

    def __init__(self, parts: Parts, device: torch.device):
        self.vae, self.device = parts.vae.eval().requires_grad_(False), device
        self.family = import_module(f"models.families.{parts.row.manifest.family}")
        self.key = weights.digest(self.vae.encoder)  # so that the cache never mixes the latents of two autoencoders

    @torch.no_grad()
    def encode(self, pictures: np.ndarray) -> np.ndarray:
        return self.family.encode(self.vae, pixels(pictures, self.device)).float().cpu().numpy()

    def show(self, z: Tensor) -> Tensor:
        return self.vae.decode(z / self.vae.config.scaling_factor).sample

    def of(self, sources: list[Source]) -> list[cache.Cached]:
        return [cache.latents(s, cache_dir(), self.key, self.encode) for s in sources]


def networks(a: SceneRequest, parts: Parts, device: torch.device) -> tuple[Any, Any]:
    """The student, and the frozen teacher where the method needs one: a copy of the base."""
    teacher = copy.deepcopy(parts.denoiser).eval().requires_grad_(False) if "teacher" in a.needs else None
    if parts.denoiser is not None:
        parts.denoiser.requires_grad_(True)  # `add_lora` freezes it again
    if parts.denoiser is None and hasattr(a.module, "new"):
        student = a.module.new(a.cfg, parts.row.manifest.family)
    else:
        student = a.module.student(a.cfg, parts.denoiser)
    if a.start:
        start.give(student.to(device), a.start)
    return student.to(device), teacher


def words_of(parts: Sequence[cache.Cached]) -> list[str]:
    """All words of the captions, the commonest first."""
    captions = (c for part in parts for row in part.captions for c in row)
    counts = Counter(word for text in captions for word in WORD.findall(text.lower()))
    return sorted(counts, key=lambda word: (-counts[word], word))


def student_alone(a: SceneRequest, device: torch.device) -> Any:
    """The student without its data, which may be gone when it is published; None where building it needs the data."""
    if a.dataset == "mixture" or "labels" in a.needs:
        return None
    parts = load(a.base, device) if a.base else None
    if "pixels" in a.needs:
        return a.module.student(a.cfg, parts and parts.vae).to(device)
    assert parts is not None, "it was trained on latents"
    return networks(a, parts, device)[0]


def latent_scene(a: SceneRequest, device: torch.device) -> Scene:
    """The scene of a method on latents of the base's autoencoder, with embedded captions."""
    base = needed(a.base)
    chosen = images(a)
    tell(f"loading {base.id}", 0, 1)
    parts = load(base, device)
    student, teacher = networks(a, parts, device)
    coder = Latents(parts, device)
    cached = coder.of(chosen)
    draws, say = Draws(cached, getattr(a.module, "often", often)), speaker(a, parts, chosen, cached)
    reader = judge_named("judge-a").to(device) if a.needs & {"judge", "look"} else None  # it reports nothing
    steer = steering(a, chosen, device) if "control" in a.needs else None

    def batch(step: int, n: int, rng: Rows) -> Batch:
        return shown(step, draws(n, rng), rng)

    def shown(step: int, drawn: Drawn, rng: Rows) -> Batch:
        arrays, captions, truth = rows_of(drawn)
        x0 = sent(torch.from_numpy(arrays), device).float()
        classes = reward.wanted(captions, truth, reader.classes) if reader and "judge" in a.needs else {}
        labels = {k: sent(v, device) for k, v in classes.items()}
        cond = say(drawn)
        cond = steer(cond, drawn, rng) if steer else cond
        return Batch(step, x0=x0, cond=cond, captions=captions, labels=labels, truth=truth)

    judge = reward.reward(reader, lambda z: coder.show(z).float()) if reader else None
    look = (lambda z: reader.features(coder.show(z).float())) if reader else None
    seen = (lambda blocks: features.of(needed(teacher), blocks)) if "features" in a.needs else None
    prompts = parts.text(some_captions(cached)) if "prompts" in a.needs else None
    null = parts.text([""])
    beside = [m for m in (*parts.pipeline.components.values(), reader) if isinstance(m, nn.Module)]

    def see(pictures: np.ndarray) -> Tensor:
        return sent(torch.from_numpy(coder.encode(pictures)), device)

    def spot(captions: list[str], word: str) -> Tensor:
        return learnt.spot(captions, word, parts.pipeline.tokenizer, base.tokens)

    own = {"encode": parts.text, "show": coder.show, "see": see, "spot": spot}
    world = World(student, teacher, null, judge=judge, look=look, features=seen, prompts=prompts, base=a.base, **own)

    def domains() -> Domains:
        known = draws.domains()
        prior, rows = torch.tensor(list(known.values())), EACH * len(known)
        return Domains(
            tuple(known), prior, lambda r: draws.share(r.tolist()), lambda: shown(0, draws.some(EACH), Rows(0, 0, rows))
        )

    return Scene(world, batch, reported(cached), beside, lambda: words_of(cached), domains)


def steering(a: SceneRequest, chosen: list[Source], device: torch.device) -> Callable[..., Cond]:
    """A function that adds the control of each drawn row to the condition."""
    drawer = by_hand.Steering([cache.draw(s, cache_dir()) for s in chosen], a.module.shares(a.cfg))

    def steer(cond: Cond, rows: list[tuple[cache.Cached, int, float]], rng: Rows) -> Cond:
        control, kinds = drawer(rows, rng)
        return replace(cond, control=sent(control, device), control_kind=sent(kinds, device))

    return steer


def toys_in(cached: list[cache.Cached]) -> bool:
    return any("kind" in row for part in cached for row in part.attributes[:1])


def reported(cached: list[cache.Cached]) -> Callable[[Tensor, Batch], dict[str, float]] | None:
    """The readings of judge-b, which never gives rewards, in samples of toys; None where judge-b or toys are
    missing."""
    return reward.judged(judge_named("judge-b")) if toys_in(cached) and "judge-b" in catalogue.rows() else None


def speaker(
    a: SceneRequest, parts: Parts, chosen: list[Source], cached: list[cache.Cached]
) -> Callable[[list[tuple[cache.Cached, int, float]]], Cond]:
    """A function that gives the embedded captions of drawn rows. Where the training draws at least a third as many
    captions as there are, all are encoded beforehand: batches of captions of similar length take a third of the time.

    Only embeddings of the box's own encoder are cached, as those of a large one would fill the disk.
    """
    of_hub = any(r.hub for r in catalogue.chain(parts.row))
    if of_hub or 3 * a.samples <= sum(len(row) for part in cached for row in part.captions):
        return lambda drawn: parts.text(rows_of(drawn)[1])
    key = f"{parts.row.manifest.family}-{text.PINNED['model.safetensors'][:10]}-{parts.row.tokens}"
    homes = [cache.folder(source, cache_dir()) for source in chosen]
    kept = {p.name: texts.texts(p, home, key, parts.text) for p, home in zip(cached, homes, strict=True)}

    def say(drawn: list[tuple[cache.Cached, int, float]]) -> Cond:
        encoded = [kept[part.name](i, wording(part, i, e)) for part, i, e in drawn]
        return texts.cond(encoded, parts.device)

    return say


def judge_named(id: str) -> Judge:
    row = catalogue.get(id)
    catalogue.verify(row)
    assert row.folder is not None
    return load_judge(row.folder)


def some_captions(parts: list[cache.Cached], n: int = 4000) -> list[str]:
    """At most about n captions of the training set, evenly from all its parts, each of another row."""
    return [
        c
        for part in parts
        for i in torch.linspace(0, len(part) - 1, min(len(part), n // len(parts))).long().tolist()
        for c in part.captions[i][:1]
    ]


def scatter(x: Tensor, truth: toy2d.Mixture, size: int = 256, reach: float = 2.5) -> Tensor:
    """A plot of points [B, 2] with axes and the mixture's components, as one picture [1, 3, size, size] in [-1, 1]."""
    picture = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(picture)

    def place(v: float, up: bool = False) -> float:
        return (1 - v / reach if up else 1 + v / reach) / 2 * size

    for line in ((0, size / 2, size, size / 2), (size / 2, 0, size / 2, size)):
        pen.line(line, "#cccccc")
    for v in (-2, -1, 1, 2):
        pen.text((place(v), size / 2 + 3), str(v), "#999999", anchor="mt")
        pen.text((size / 2 + 4, place(v, up=True)), str(v), "#999999", anchor="lm")
    r = 2 * truth.std / reach / 2 * size  # two standard deviations, which hold 86 % of a component
    for a, b in truth.means.tolist():
        pen.ellipse((place(a) - r, place(b, True) - r, place(a) + r, place(b, True) + r), outline="#d9a066")
    for a, b in x.cpu().clamp(-reach, reach).tolist():
        pen.ellipse((place(a) - 2, place(b, True) - 2, place(a) + 2, place(b, True) + 2), fill="#2a241d")
    pen.text((5, 4), f"{len(x)} points; circles: the mixture", "#756a5d")
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 127.5 - 1


def mixture_scene(a: SceneRequest, device: torch.device) -> Scene:
    """The scene of the 2-D Gaussian mixture, whose denoiser is known. Students start from a net that was trained a
    little."""
    teacher = toy2d.Mixture.ring()
    k = len(teacher.means)
    net = features.pretrained_toy(toy2d.student(k, seed=a.seed), teacher)

    shares: list[Tensor] = []  # of the components, where they are not equal

    def batch(step: int, n: int, rng: Rows) -> Batch:
        equal = rng.randint(0, k, n) if not shares else torch.bucketize(rng.rand(n), shares[-1].cumsum(0)[:-1])
        return points(step, equal, rng)

    def points(step: int, component: Tensor, rng: Rows) -> Batch:
        x0 = teacher.means[component] + teacher.std * rng.randn(len(component), 2)
        cond = (toy2d.controlled if "control" in a.needs else toy2d.labels)(component, k)
        captions = [str(c) for c in component.tolist()]
        return Batch(step, x0=x0.to(device), cond=cond.map(lambda v: v.to(device)), captions=captions)

    each = torch.arange(k).repeat_interleave(EACH)
    names, prior = tuple(f"component {c}" for c in range(k)), torch.full((k,), 1 / k)
    domains = Domains(names, prior, shares.append, lambda: points(0, each, Rows(0, 0, len(each))))
    null = toy2d.labels(torch.tensor([-1]), k).map(lambda v: v.to(device))
    frozen = copy.deepcopy(net).to(device).requires_grad_(False)
    student = a.module.student(a.cfg, net).to(device)
    every = toy2d.labels(torch.arange(1000) % k, k).map(lambda v: v.to(device))

    def judge(x0: Tensor, batch: Batch) -> Tensor:
        """The log posterior [B] of the prompt's component."""
        return teacher.posterior(x0).log_softmax(1).gather(1, needed(batch.cond).tokens[:, 0].argmax(1)[:, None])[:, 0]

    seen = lambda _: features.of(frozen, ())  # noqa: E731
    shown = {"encode": partial(toy2d.named, num=k), "show": partial(scatter, truth=teacher), "spot": toy2d.spot}
    world = World(student, teacher, null, judge=judge, look=lambda x0: x0, features=seen, prompts=every, **shown)
    return Scene(world, batch, domains=lambda: domains)


def check_latents(facts: dict, base: Row | None) -> None:
    """Raises ValueError for a run whose base has other latents now. `facts`: its run.json."""
    run, id, latents = facts["run"], facts["base"], base.manifest.latents if base else ""
    if facts.get("latents", "") != latents:
        raise ValueError(f"run {run!r} was trained on other latents than {id} has now; train it anew")


def load(base: Row, device: torch.device) -> Parts:
    return import_module(f"models.families.{base.manifest.family}").load(base, device, torch.float32)


def build(a: SceneRequest, device: torch.device) -> Scene:
    """The scene of a training that `distill/fitting.py` has checked."""
    if a.dataset == "mixture":
        return mixture_scene(a, device)
    return (pixel_scene if "pixels" in a.needs else latent_scene)(a, device)

"""Builds what a method asks for: the student, the frozen teacher, the data. Nothing else knows where these come from."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from distill import features
from distill.data import PICTURES, Source, cache, sources
from distill.method import Batch, Rows, World
from evals import labels as judge_labels
from models import catalogue
from models.families import Parts, sana, toy2d
from models.paths import cache as cache_dir


@dataclass(frozen=True)
class Scene:
    """A world, and its data: `batch(step, rows, rng)`, a function of its arguments."""

    world: World
    batch: Callable[[int, int, Rows], Batch]


def pixels(pictures: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Draws:
    """Rows of cached sources in fixed proportions, with replacement."""

    def __init__(self, parts: list[cache.Cached], weights: list[float]):
        self.parts, self.edges = parts, torch.tensor(weights).cumsum(0) / sum(weights)

    def __call__(self, n: int, rng: Rows) -> list[tuple[cache.Cached, int, float]]:
        """(source, index, a uniform number to choose a caption by) for each row."""
        which, where, extra = rng.rand(n).cpu(), rng.rand(n).cpu(), rng.rand(n).cpu()
        out = []
        for w, u, e in zip(which.tolist(), where.tolist(), extra.tolist(), strict=True):
            part = self.parts[int((w > self.edges[:-1]).sum())]
            out.append((part, min(int(u * len(part)), len(part) - 1), e))
        return out


def rows_of(draws: list[tuple[cache.Cached, int, float]]) -> tuple[np.ndarray, list[str], list[dict]]:
    arrays = np.stack([part[i] for part, i, _ in draws])
    captions = [c[int(e * len(c))] for part, i, e in draws for c in [part.captions[i]]]
    return arrays, captions, [part.attributes[i] for part, i, _ in draws]


def images(names: str, method: str) -> list[Source]:
    """The sources of a training on pictures; an autoencoder and the judges hold pictures out, not wordings."""
    return sources(names, toys=PICTURES, hold="pictures" if method == "autoencoder" else "wordings")


def pixel_scene(module: ModuleType, cfg: object, base: str | None, dataset: str, device: torch.device) -> Scene:
    """Pictures, with the truth about each where the method asks for labels."""
    parts = [cache.draw(s, cache_dir()) for s in images(dataset, module.__name__.rpartition(".")[2])]
    draws = Draws(parts, [1.0] * len(parts))
    heads = {}
    if "labels" in module.Method.needs:
        heads = judge_labels.classes((a for part in parts for a in part.attributes), module.reads(cfg))
    student = module.student(cfg, heads) if heads else module.student(cfg, load(base, device).vae if base else None)

    def batch(step: int, n: int, rng: Rows) -> Batch:
        arrays, captions, truth = rows_of(draws(n, rng))
        labels = {k: v.to(device) for k, v in judge_labels.batch(truth, heads).items()}
        return Batch(step, pixels=pixels(arrays).to(device), labels=labels, captions=captions)

    return Scene(World(student=student.to(device)), batch)


def latent_scene(module: ModuleType, cfg: object, base: str | None, dataset: str, device: torch.device) -> Scene:
    """Latents of the base's autoencoder, and captions through its text encoder."""
    if base is None:
        raise ValueError(f"{module.__name__.rpartition('.')[2]} works on latents: give the model that has the autoencoder with --base")
    parts = load(base, device)
    vae = parts.vae.eval().requires_grad_(False)

    @torch.no_grad()
    def encode(pictures: np.ndarray) -> np.ndarray:
        return sana.encode(vae, pixels(pictures).to(device)).float().cpu().numpy()

    @torch.no_grad()
    def show(z: Tensor) -> Tensor:
        return vae.decode(z).sample

    key = weights_key(vae)
    cached = [cache.latents(s, cache_dir(), key, encode) for s in sources(dataset)]
    draws = Draws(cached, [1.0] * len(cached))

    def batch(step: int, n: int, rng: Rows) -> Batch:
        arrays, captions, _ = rows_of(draws(n, rng))
        x0 = torch.from_numpy(arrays.astype(np.float32)).to(device)
        return Batch(step, x0=x0, cond=parts.text(captions), captions=captions)

    student = module.student(cfg, parts.denoiser).to(device)
    world = {"student": student, "null": parts.text([""]), "show": show}
    if "teacher" in module.Method.needs:
        world["teacher"] = copy.deepcopy(parts.denoiser).eval().requires_grad_(False)
    if "features" in module.Method.needs:
        world["features"] = lambda blocks: features.of(world["teacher"], blocks)
    return Scene(World(**world), batch)


def scatter(x: Tensor, size: int = 128, reach: float = 2.5) -> Tensor:
    """Points [B, 2] as one picture [1, 3, size, size]."""
    picture = torch.ones(1, 3, size, size)
    at = ((x.cpu() / reach + 1) / 2 * size).long().clamp(0, size - 1)
    picture[0, :, size - 1 - at[:, 1], at[:, 0]] = -1
    return picture


def mixture_scene(module: ModuleType, cfg: object, seed: int, device: torch.device) -> Scene:
    """The 2-D Gaussian mixture, whose denoiser is known exactly; students start from a net that has learnt it a little."""
    teacher = toy2d.Mixture.ring()
    k = len(teacher.means)
    net = features.pretrained_toy(toy2d.student(k, seed=seed), teacher)

    def batch(step: int, n: int, rng: Rows) -> Batch:
        component = rng.randint(0, k, n).cpu()
        x0 = teacher.means[component] + teacher.std * rng.randn(n, 2).cpu()
        return Batch(step, x0=x0.to(device), cond=toy2d.labels(component, k).map(lambda v: v.to(device)))

    null = toy2d.labels(torch.tensor([-1]), k).map(lambda v: v.to(device))
    frozen = copy.deepcopy(net).requires_grad_(False)
    student = module.student(cfg, net).to(device)
    world = World(student, teacher, null, features=lambda _: features.of(frozen, ()), show=scatter)
    return Scene(world, batch)


def weights_key(module: nn.Module) -> str:
    """A hash of the weights: latents of one autoencoder are never taken for another's."""
    h = hashlib.sha256()
    for _, w in sorted(module.encoder.state_dict().items()):
        h.update(w.float().cpu().numpy().tobytes())
    return h.hexdigest()


def load(base: str, device: torch.device) -> Parts:
    row = catalogue.get(base)
    return import_module(f"models.families.{row.manifest.family}").load(row, device, torch.float32)


def build(module: ModuleType, cfg: object, base: str | None, dataset: str, seed: int, device: torch.device) -> Scene:
    """Raises ValueError where the data set and the method do not go together."""
    if dataset == "mixture":
        if "pixels" in module.Method.needs:
            raise ValueError("the mixture has two numbers a sample and no pictures; valid for this method: toys, emoji, a folder")
        return mixture_scene(module, cfg, seed, device)
    if "pixels" in module.Method.needs:
        return pixel_scene(module, cfg, base, dataset, device)
    return latent_scene(module, cfg, base, dataset, device)

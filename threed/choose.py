"""Choosing the best of several fields, without the judge that reports figures."""

import re

import torch
from torch import Tensor

from evals.judges import SIZE
from evals.judges import load as load_judge
from models import catalogue
from models.schedule import add_noise
from threed.fit import Particle, draws
from threed.guidance import SCALE, Ask
from threed.mesh import ring
from threed.request import ThreeDRequest
from threed.rounds import rendered
from threed.teacher import Teacher

JUDGE = "judge-a"
T = 0.3  # time at which the teacher repaints a render


@torch.no_grad()
def quality(one: Particle, teacher: Teacher, request: ThreeDRequest) -> float:
    """The share of views that judge-a reads as the prompt's kind, less the change when the teacher repaints them.

    Both count, as bad shapes may fool the judge. Where the judge does not know the kind, the teacher alone counts.
    """
    views = ring()
    grounds = [teacher.grounds[k % len(teacher.grounds)] for k in range(len(views))]
    pictures = rendered(one, views, grounds, SIZE)
    z = teacher.encode(pictures)
    noise = torch.randn(z.shape, generator=draws(request.seed, "choose"))
    t = torch.full((len(z),), T)
    x0 = Ask(teacher, views, grounds, SCALE["pool"], 0)(add_noise(teacher.schedule, z, noise, t), t)
    return kind_share(pictures, request.prompt) - float((x0 - z).square().mean().sqrt())


def kind_share(pictures: Tensor, prompt: str) -> float:
    """The share of pictures with the prompt's kind; 0 where the judge does not know it, or is missing."""
    row = catalogue.rows().get(JUDGE)
    if row is None or row.folder is None:
        return 0.0
    judge = load_judge(row.folder)
    words = set(re.findall(r"[a-z]+", prompt.lower()))
    named = [i for i, kind in enumerate(judge.classes["kind"]) if kind in words or f"{kind}s" in words]
    if not named:
        return 0.0
    _, read = judge.read(pictures * 2 - 1)
    return float((read["kind"] == named[0]).float().mean())

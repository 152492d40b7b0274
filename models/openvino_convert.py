"""Converts the networks of a model for OpenVINO, from their plain torch modules, into the studio's cache.

    python -m models.openvino_convert ID

The inputs of each network are recorded while one picture is painted. Tracing holds the interpreter for seconds, so the
page runs this command in another process (models/openvino.py).
"""

import argparse
import inspect
import json
import os
import sys
from typing import Any

import torch
from torch import Tensor, nn

from core.files import whole_folder
from core.paths import use_studio
from models import catalogue, families
from models.generate import generate
from models.openvino import INPUTS, NETWORK, Answers, Inputs, digests, folder, library, missing, networks
from models.request import ImageRequest


def seen(parts: Any) -> dict[str, Inputs]:
    """The inputs of each network's call for one picture."""
    examples: dict[str, Inputs] = {}
    hooks = []
    for name, module in networks(parts).items():
        answers = Answers(module, tuple)

        def look(_: Any, args: tuple, named: dict, name: str = name, answers: Answers = answers) -> None:
            inputs = answers.inputs(args, named)
            assert inputs is not None, f"the {name} is called with tensors alone"
            examples.setdefault(name, inputs)

        hooks.append(module.register_forward_pre_hook(look, with_kwargs=True))
    list(generate(parts, ImageRequest("a red mushroom on a blue background", model=parts.row.id)))
    for hook in hooks:
        hook.remove()
    return examples


class Tensors(nn.Module):
    """A module that takes its inputs by position and returns one tensor."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.module, self.names = module, names
        self.more = {"return_dict": False} if "return_dict" in inspect.signature(module.forward).parameters else {}

    def forward(self, *inputs: Tensor) -> Tensor:
        out = self.module(**dict(zip(self.names, inputs, strict=True)), **self.more)
        return out if isinstance(out, Tensor) else out[0]


def shape(x: Tensor) -> list[int]:
    """The input's shape, with any batch and, for integer tensors and embeddings of words, any length."""
    free = 2 if x.ndim in (2, 3) else 1
    return [-1] * min(free, x.ndim) + list(x.shape[free:])


@torch.no_grad()
def convert(parts: Any) -> None:
    """Convert the networks of a model that are not in the cache."""
    openvino = library()
    made = {name: folder(name, digest) for name, digest in digests(parts.row).items()}
    wanted = {name: m for name, m in networks(parts).items() if not made[name].is_dir()}
    inputs = seen(parts) if wanted else {}  # leaves the adapter in the weights
    for name, module in wanted.items():
        given = inputs[name]
        shapes = [openvino.PartialShape(shape(v)) for v in given.values()]
        plain = Tensors(module, tuple(given)).eval()
        model = openvino.convert_model(plain, example_input=tuple(given.values()), input=shapes)
        examples = {k: [str(v.dtype).removeprefix("torch."), v.tolist()] for k, v in given.items()}
        with whole_folder(made[name]) as part:
            openvino.serialize(model, part / NETWORK)
            (part / INPUTS).write_text(json.dumps(examples))


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        "models.openvino_convert", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("id", help="a model of the box or the studio")
    args = p.parse_args(argv)
    use_studio()
    os.nice(10)
    try:
        if reason := missing():
            raise ValueError(reason)
        convert(families.load(catalogue.get(args.id)))
    except ValueError as e:
        print(f"models.openvino_convert: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

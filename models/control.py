"""A control: a branch beside a UNet that reads a drawing (ControlNet, Zhang et al. 2023), of diffusers' own class.

The branch is trained on the base and acts unchanged on every LoRA of the base. One branch serves all of `CONTROLS`; a
token added to the time embedding says which. Two departures from the paper's copy of the encoder keep it below 8 MB at
half precision and 40 % of the UNet's time: it has no attention at the first resolution, and few channels read the
drawing. Its outputs are zero at first. The last layer that reads the drawing isn't zero at first, as two layers of
zeros in a row would learn late.
"""

from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ControlNetModel
from torch import Tensor, nn

from models.denoiser import Cond
from models.manifest import CONTROLS

FOLDER = "controlnet"
STEM = (8, 16, 32, 64, 96)  # channels of the layers that read the drawing; each after the first halves its side
LAYOUT = torch.channels_last  # memory layout in these layers; a quarter of the time on a CPU
CELLS = 10  # areas of colour along a side
COPIED = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "attention_head_dim")
COPIED += ("norm_num_groups", "flip_sin_to_cos", "freq_shift", "act_fn", "norm_eps", "use_linear_projection")


def areas(pictures: Tensor, cells: int = CELLS) -> Tensor:
    """Pictures [B, 3, H, W] as `cells` × `cells` areas of their mean colours, with soft borders."""
    return F.interpolate(F.adaptive_avg_pool2d(pictures, cells), pictures.shape[2:], mode="bilinear")


class Control(nn.Module):
    """Computes a UNet's additional arguments: residuals for its skip features and its middle block."""

    NETWORK, EXPORTS = ControlNetModel, True  # its class in files; whether a pipeline of diffusers takes it

    def __init__(self, network: ControlNetModel):
        super().__init__()
        self.network = network
        network.controlnet_cond_embedding.to(memory_format=LAYOUT)

    def forward(
        self, x: Tensor, timestep: Tensor, tokens: Tensor, cond: Cond, strength: float, more: dict[str, Any]
    ) -> dict[str, Any]:
        """`more`: what the UNet is called with beside, such as SDXL's sizes."""
        assert cond.control is not None, "whoever calls has looked"
        kind = {"class_labels": cond.control_kind} if self.network.config["num_class_embeds"] else {}
        down, mid = self.network(
            x,
            timestep,
            tokens,
            controlnet_cond=cond.control.to(x.dtype).contiguous(memory_format=LAYOUT),
            conditioning_scale=strength,
            return_dict=False,
            **kind,
            **more,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}


def plain(control: Control, kind: str) -> ControlNetModel:
    """A ControlNet of one kind, as diffusers' pipelines take it: the kind's token is added to the time's bias."""
    config = {k: v for k, v in control.network.config.items() if k != "_use_default_values"}
    made: Any = ControlNetModel.from_config(config | {"num_class_embeds": None})
    weights = dict(control.network.state_dict())
    token = weights.pop("class_embedding.weight")[CONTROLS.index(kind)]
    weights["time_embedding.linear_2.bias"] = weights["time_embedding.linear_2.bias"] + token
    made.load_state_dict(weights)
    return made


def awaken(drawing: Any, kinds: nn.Embedding) -> None:
    """Begin the layers that read the drawing, and the tokens of its kinds, with an effect: the outputs are zero at
    first, and two layers of zeros in a row would learn late."""
    last = drawing.conv_out
    nn.init.normal_(last.weight, std=1 / isqrt(last.weight[0].numel()))
    nn.init.normal_(kinds.weight, std=0.02)


def new(unet: Any, stem: tuple[int, ...] = STEM) -> Control:
    """An untrained branch for a UNet2DConditionModel. Layers that match the encoder's start as copies of them."""
    config = {name: unet.config[name] for name in COPIED}
    types = ["DownBlock2D", *unet.config["down_block_types"][1:]]
    network: Any = ControlNetModel(
        **config,
        down_block_types=tuple(types),
        conditioning_embedding_out_channels=stem,
        num_class_embeds=len(CONTROLS),
    )
    own, theirs = network.state_dict(), unet.state_dict()
    own |= {k: w for k, w in theirs.items() if k in own and w.shape == own[k].shape}
    network.load_state_dict(own)
    awaken(network.controlnet_cond_embedding, network.class_embedding)
    return Control(network)

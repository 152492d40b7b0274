"""Weights laid out once as oneDNN wants them. Torch on a CPU otherwise does so in every call, which one picture feels.

The operators are those that torch's own compiler puts in place of a frozen layer, and the numbers are those of the
plain layer to about 1e-6. In single precision, without gradients; anything else takes the plain way. The parameters
stay as they are, and a layer whose weight was changed in place or replaced is laid out anew.
"""

from typing import Any

import torch
from torch import Tensor, nn

SMALL = 64_000_000  # parameters; the second layout is as large as the weights, so a quarter of a GiB at most
OPS: Any = torch.ops.mkldnn
C: Any = torch._C
PLAIN = "none", [], ""  # no activation behind the layer


def pack(network: nn.Module) -> None:
    """Its linear layers and ungrouped convolutions, from now on."""
    small = sum(p.numel() for p in network.parameters()) <= SMALL
    if not hasattr(OPS, "_linear_pointwise") or not small:
        return
    for layer in network.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = Linear
        elif type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros":
            layer.__class__ = Conv2d


def fits(layer: nn.Module, x: Tensor) -> bool:
    plain = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    return not plain and x.device.type == "cpu" and x.dtype == layer.weight.dtype == torch.float32


def state(weight: Tensor) -> tuple[int, int]:
    """Changes when the weight does."""
    return weight.data_ptr(), weight._version


class Linear(nn.Linear):
    laid: tuple | None = None  # (what for, laid out, the weight, so that no other takes its address)

    def forward(self, input: Tensor) -> Tensor:
        if not fits(self, input):
            return super().forward(input)
        key, laid = state(self.weight), self.laid
        if laid is None or laid[0] != key:
            ordered = OPS._reorder_linear_weight(self.weight, None)
            laid = self.laid = key, ordered, self.weight.detach()
        return OPS._linear_pointwise(input, laid[1], self.bias, *PLAIN)


class Conv2d(nn.Conv2d):
    """Laid out for one shape of input: without knowing it, oneDNN falls back to a kernel that is ten times as slow."""

    laid: tuple | None = None  # as above

    def forward(self, input: Tensor) -> Tensor:
        if not fits(self, input):
            return super().forward(input)
        shape = self.padding, self.stride, self.dilation, self.groups
        key, laid = (*state(self.weight), input.shape), self.laid
        if laid is None or laid[0] != key:
            ordered = C._nn.mkldnn_reorder_conv2d_weight(self.weight.to_mkldnn(), *shape, input.shape)
            laid = self.laid = key, ordered, self.weight.detach()
        return OPS._convolution_pointwise(input, laid[1], self.bias, *shape, *PLAIN)

"""A control of a SANA: a branch that reads a drawing beside the transformer, for teachers and for Sprint students.

SANA-Sprint's ControlNet (Chen et al. 2025, Sec. 4.4) was not released, and diffusers' `SanaControlNetModel` has neither
QK-norm nor a guidance input. So this branch has copies of the network's own first blocks, whatever norm those have,
and uses the network's embeddings of latents, time, guidance and prompt. Its outputs are zero at first.
"""

from typing import Any

import torch.nn.functional as F
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from diffusers.models.transformers.sana_transformer import SanaTransformerBlock
from torch import Tensor, nn

from models.control import LAYOUT, STEM, awaken
from models.denoiser import Cond
from models.manifest import CONTROLS

BLOCKS = 3  # of the network, that the branch copies: three of the box's eight are 7.2 MB at half precision
COPIED = ("num_attention_heads", "attention_head_dim", "num_cross_attention_heads", "cross_attention_head_dim")
COPIED += ("cross_attention_dim", "attention_bias", "mlp_ratio", "norm_elementwise_affine", "norm_eps", "qk_norm")


class SanaControlNetwork(ModelMixin, ConfigMixin):
    """The weights of a branch: layers that read the drawing, a token for each kind of it, blocks, and their outputs."""

    @register_to_config
    def __init__(
        self,
        num_layers: int = BLOCKS,
        num_attention_heads: int = 8,
        attention_head_dim: int = 32,
        num_cross_attention_heads: int = 8,
        cross_attention_head_dim: int = 32,
        cross_attention_dim: int = 256,
        attention_bias: bool = False,
        mlp_ratio: float = 2.5,
        norm_elementwise_affine: bool = False,
        norm_eps: float = 1e-6,
        qk_norm: str | None = None,
        conditioning_embedding_out_channels: tuple[int, ...] = STEM,
        num_class_embeds: int = len(CONTROLS),
    ):
        super().__init__()
        width = num_attention_heads * attention_head_dim
        self.drawing = ControlNetConditioningEmbedding(width, block_out_channels=conditioning_embedding_out_channels)
        self.kind = nn.Embedding(num_class_embeds, width)
        self.blocks = nn.ModuleList(
            SanaTransformerBlock(
                width,
                num_attention_heads,
                attention_head_dim,
                num_cross_attention_heads=num_cross_attention_heads,
                cross_attention_head_dim=cross_attention_head_dim,
                cross_attention_dim=cross_attention_dim,
                attention_bias=attention_bias,
                norm_elementwise_affine=norm_elementwise_affine,
                norm_eps=norm_eps,
                mlp_ratio=mlp_ratio,
                qk_norm=qk_norm,
            )
            for _ in range(num_layers)
        )
        self.outputs = nn.ModuleList(nn.Linear(width, width) for _ in range(num_layers))
        outputs: Any = self.outputs
        for layer in outputs:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


class SanaControl(nn.Module):
    """Computes a SanaTransformer2DModel's additional argument: what is added to the outputs of its first blocks."""

    NETWORK, EXPORTS = SanaControlNetwork, False

    def __init__(self, network: SanaControlNetwork):
        super().__init__()
        self.network: Any = network
        network.drawing.to(memory_format=LAYOUT)

    def forward(
        self, base: Any, x: Tensor, time: Tensor, guidance: Tensor | None, tokens: Tensor, cond: Cond, strength: float
    ) -> dict[str, Any]:
        """`base`: the transformer, whose call has these latents x [B, C, h, w], times, guidance and tokens."""
        assert cond.control is not None and cond.control_kind is not None, "whoever calls has looked"
        own, (height, width) = self.network, x.shape[2:]
        given = {"batch_size": len(x)} if guidance is None else {"guidance": guidance}
        times, _ = base.time_embed(time, hidden_dtype=x.dtype, **given)
        tokens = base.caption_norm(base.caption_projection(tokens))
        mask = (1 - cond.mask.to(x.dtype))[:, None] * -10_000.0
        lines = own.drawing(cond.control.to(x.dtype).contiguous(memory_format=LAYOUT))
        lines = F.adaptive_avg_pool2d(lines, (height, width)).flatten(2).mT
        h = base.patch_embed(x) + lines + own.kind(cond.control_kind)[:, None]
        residuals = []
        for block, output in zip(own.blocks, own.outputs, strict=True):
            h = block(h, None, tokens, mask, times, height, width)
            residuals.append(output(h) * strength)
        return {"controlnet_block_samples": tuple(residuals)}


def new(transformer: Any, blocks: int = BLOCKS) -> SanaControl:
    """An untrained branch for a SanaTransformer2DModel, with copies of its first blocks."""
    blocks = min(blocks, len(transformer.transformer_blocks) - 1)  # nothing is added to the first block's output
    made: Any = SanaControlNetwork(num_layers=blocks, **{name: transformer.config[name] for name in COPIED})
    for k, own in enumerate(made.blocks):
        own.load_state_dict(transformer.transformer_blocks[k].state_dict())
    awaken(made.drawing, made.kind)
    return SanaControl(made)

"""Each distiller takes steps on a tiny network of the class that it serves: a UNet by eps, a SANA by flow."""

import copy
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from core.settings import override
from distill import declared, features
from distill.method import Batch, Begins, Keeps, Rows, World
from distill.methods import msd, sft
from distill.mover import moves
from models.denoiser import Cond, Denoiser, TrigFlow
from models.families import toy2d
from models.families.sd import UNetDenoiser
from models.families.sdxl import SDXLDenoiser

B = 4
PLAYERS = {
    "lcm": {"rank": "4"},
    "tscd": {"rank": "4", "stage_steps": "1", "adversarial": "0,0.1,0.1,0.1", "feedback_from": "1", "score_from": "1"},
    "dmd": {"times": "1,0.5", "alone": "0", "blocks": "0,1"},
    "disback": {"alone": "4", "nodes": "2", "per_node": "1", "blocks": "0,1"},
    "msd": {"students": "2", "matching": "2", "adversarial_from": "3", "ratio": "1", "solver": "2", "blocks": "0,1"},
    "cfg_lora": {"rank": "4"},
    "camera": {"rank": "4"},
    "feedback": {"rank": "4", "times": "1,0.5"},
    "slider": {"rank": "4"},
    "slider_space": {"rank": "4", "pictures": "33", "solver": "2"},
}


def unet() -> Denoiser:
    torch.manual_seed(0)
    return UNetDenoiser(
        UNet2DConditionModel(
            sample_size=8,
            in_channels=16,
            out_channels=16,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=384,
            attention_head_dim=8,
            norm_num_groups=8,
        )
    )


def sana() -> Denoiser:
    torch.manual_seed(0)
    return sft.new(sft.Config(layers=2, width=64), "sana")


def world(method: str, teacher: Denoiser, cfg) -> World:
    module = declared.module(method)
    student, frozen = module.student(cfg, copy.deepcopy(teacher)), teacher.requires_grad_(False)
    rows = torch.Generator().manual_seed(1)
    prompts = Cond(torch.randn(64, 5, 384, generator=rows), torch.ones(64, 5, dtype=torch.bool))
    null = Cond(torch.zeros(1, 2, 384), torch.ones(1, 2, dtype=torch.bool))
    return World(
        student,
        frozen,
        null,
        judge=lambda x0, batch: -x0.square().flatten(1).mean(1),
        look=lambda x0: x0.flatten(1),
        features=lambda blocks: features.of(frozen, blocks),
        prompts=prompts,
        encode=lambda texts: prompts.map(lambda v: v[: len(texts)]),
    )


def sprint() -> Denoiser:
    return TrigFlow(sana())


CASES = [*((method, unet, own) for method, own in PLAYERS.items()), ("feedback", sana, {"rank": "0"})]
CASES += [("feedback", sprint, PLAYERS["feedback"]), ("slider", sana, PLAYERS["slider"])]


@pytest.mark.parametrize(("method", "network", "own"), CASES, ids=lambda case: getattr(case, "__name__", str(case)[:8]))
def test_every_player_moves_and_the_teacher_does_not(method, network, own):
    module = declared.module(method)
    cfg = override(module.Config(), own)
    w = world(method, network(), cfg)
    teacher: Any = w.teacher
    before = copy.deepcopy(teacher.state_dict())
    made: Any = module.Method(w, cfg)
    movers = [moves(name, p, 0.0, "adamw") for name, p in made.players.items()]
    started = {m.name: {k: v.detach().clone() for k, v in m.weights.items()} for m in movers}
    for step in range(6):
        for mover in movers:
            if step == mover.first and isinstance(made, Begins):
                made.begin(mover.name)
            if not mover.turn(step):
                continue
            for other in movers:
                for parameter in other.weights.values():
                    parameter.requires_grad_(other is mover)
            for parameter in mover.weights.values():
                parameter.requires_grad_(True)
            cond = Cond(torch.randn(B, 5, 384), torch.ones(B, 5, dtype=torch.bool))
            out = made.loss(mover.name, Batch(step, x0=torch.randn(B, 16, 8, 8), cond=cond), Rows(0, step, B))
            out.loss.backward()
            assert torch.isfinite(out.loss)
            mover.update(1.0, 0.9)
            mover.forget_gradients()
    for mover in movers:
        assert any(not torch.equal(v, started[mover.name][k]) for k, v in mover.weights.items()), mover.name
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())
    assert isinstance(made, Keeps) == (method == "disback")
    if isinstance(made, Keeps):
        assert made.keeps == sum(w.numel() * w.element_size() for w in made.state_dict().values()) > 0


@pytest.mark.parametrize("method", ["lcm", "tscd", "dmd", "disback", "msd", "cfg_lora", "camera"])
def test_a_base_whose_students_nothing_serves_is_refused_at_once(method):
    module = declared.module(method)
    with pytest.raises(ValueError, match="distils a Stable Diffusion UNet; give one with --base"):
        module.student(module.Config(), sana())
    with pytest.raises(ValueError, match="--base"):
        module.student(module.Config(), None)


def test_prompts_are_sent_to_students_of_a_stable_diffusion_alone():
    with pytest.raises(ValueError, match="this base is an SDXL"):
        msd.student(msd.Config(), SDXLDenoiser(unet().network))


def test_students_of_a_part_are_smaller():
    for base in (unet(), toy2d.student()):
        small = base.smaller(0.5)
        assert sum(p.numel() for p in small.parameters()) < 0.5 * sum(p.numel() for p in base.parameters())


def test_a_small_unet_begins_as_a_part_of_the_base():
    base = unet()
    same, half = (base.smaller(width).network.state_dict() for width in (1.0, 0.5))
    whole: Any = base.network.state_dict()
    assert all(torch.equal(same[k], w) for k, w in whole.items())
    assert torch.equal(half["conv_in.weight"], whole["conv_in.weight"][::2])
    assert torch.equal(half["conv_norm_out.bias"], whole["conv_norm_out.bias"][::2])
    query = "mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight"
    heads, of_base = (w[query].unflatten(0, (8, -1)) for w in (half, whole))
    torch.testing.assert_close(heads, of_base[:, ::2, ::2] * 2**0.5)

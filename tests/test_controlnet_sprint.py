"""Controls of a SANA and of its Sprint student: the branch, its training and distillation, pictures that follow."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.mixture import TEACHER, N, few_steps, trainer
from core.settings import override
from distill import declared
from distill.method import Batch, Rows, World
from distill.methods import controlnet, controlnet_sprint
from models import catalogue, export, families, generate, inputs, recipe, sana_control, steer
from models.control import FOLDER
from models.denoiser import Cond, TrigFlow
from models.families import toy2d
from models.families.sana import SanaDenoiser
from models.manifest import CONTROLS
from models.request import ImageRequest
from tests import tiny
from tests.test_steer import circle, png


def build_controls(studio):
    """Controls of tiny-sana and tiny-sprint that have an effect, each another one."""
    for seed, base in enumerate(("tiny-sana", "tiny-sprint")):
        home = studio / "models" / f"{base}-control"
        row = catalogue.get(base)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            branch = sana_control.new(families.load(row).denoiser.network)
            for layer in branch.network.outputs:
                nn.init.normal_(layer.weight, std=0.3)
        branch.network.save_pretrained(home / FOLDER)
        sha = catalogue.denoiser_sha256(row)
        tiny.manifest(home.name, home, family="sana", base=base, kind="control", base_sha256=sha)
    return studio


STUDIO = [tiny.build, build_controls]
MODELS = {"tiny-sana": 3, "tiny-sprint": 2}


@pytest.fixture(scope="module")
def loaded(studio):
    return families.load_all(MODELS)


@pytest.fixture(scope="module")
def drawing(studio):
    return inputs.keep(png(circle()))


def steered(n: int) -> Cond:
    """Prompts with padding, guidance, and a control of each kind."""
    mask = torch.tensor([[True, True, True, False]]).repeat(n, 1)
    more = {"control": torch.rand(n, 3, 128, 128), "control_kind": torch.arange(n) % len(CONTROLS)}
    return Cond(torch.randn(n, 4, 384), mask, guidance=torch.full((n,), 3.5), **more)


def sprint() -> TrigFlow:
    torch.manual_seed(0)
    return TrigFlow(SanaDenoiser(tiny.transformer()).with_guidance())


@pytest.mark.parametrize("few", [False, True])
def test_untrained_it_is_no_control_bit_for_bit(few):
    torch.manual_seed(0)
    base = sprint() if few else SanaDenoiser(tiny.transformer())
    made = base.requires_grad_(False).with_control()
    x, t, cond = torch.randn(4, 16, 8, 8), torch.tensor([0.2, 0.5, 0.8, 1.0]), steered(4)
    cond = cond if few else replace(cond, guidance=None)
    bare = replace(cond, control=None, control_kind=None)
    with torch.no_grad():
        assert torch.equal(made(x, t, cond), made(x, t, bare))
        nn.init.normal_(made.control.network.outputs[0].weight)
        assert not torch.equal(made(x, t, cond), made(x, t, bare))
        other = replace(cond, control_kind=cond.control_kind.roll(1))
        assert not torch.equal(made(x, t, cond), made(x, t, other))


def test_the_branch_sees_what_the_network_sees():
    """As blocks of the network: with the drawing silenced, its hidden states are those of the first blocks."""
    net = sprint().flow.network
    branch = sana_control.new(net)
    for part in (branch.network.drawing.conv_out, branch.network.kind):
        for w in part.parameters():
            nn.init.zeros_(w)
    nn.init.eye_(branch.network.outputs[0].weight)
    states = []
    net.transformer_blocks[0].register_forward_hook(lambda _, __, out: states.append(out))
    cond, x, t = steered(3), torch.randn(3, 16, 8, 8), torch.tensor([0.3, 0.6, 0.9])
    with torch.no_grad():
        given = branch(net, x, t, cond.guidance, cond.tokens, cond, 1.0)["controlnet_block_samples"]
        net(x, cond.tokens, t, guidance=cond.guidance, encoder_attention_mask=cond.mask)
    assert len(given) == 1 and torch.allclose(given[0], states[0], atol=1e-6)


def test_its_base_is_untouched_and_every_part_of_it_learns():
    """In the second step, as the outputs begin at zero and pass no gradient in the first."""
    torch.manual_seed(0)
    student = controlnet.student(controlnet.Config(), SanaDenoiser(tiny.transformer()))
    before = {k: w.clone() for k, w in student.network.state_dict().items()}
    cond = replace(steered(4), guidance=None)
    method = controlnet.Method(World(student, null=cond), controlnet.Config(drop=0.0))
    moving = {k: w for k, w in student.named_parameters() if w.requires_grad}
    assert {id(w) for w in moving.values()} == {id(w) for w in student.control.parameters()}
    optimiser = torch.optim.SGD(moving.values(), 0.1)
    for step in range(2):
        optimiser.zero_grad()
        method.loss("student", Batch(step, x0=torch.randn(4, 16, 8, 8), cond=cond), Rows(0, step, 4)).loss.backward()
        optimiser.step()
    assert all(torch.equal(w, before[k]) for k, w in student.network.state_dict().items())
    assert [k for k, w in moving.items() if w.grad is None or not w.grad.any()] == []


class Named:
    """The exact teacher of the mixture under a control: it knows the Gaussian that the control names."""

    prediction, schedule = "flow", toy2d.Flow()

    def predict(self, x_t, t, cond):
        return TEACHER.predict(x_t, t, replace(cond, tokens=cond.control[:, None]))


def obeyed(student) -> float:
    """Share of one-step samples in the mode that the control names, where the prompt says nothing."""
    modes = torch.arange(N) % len(TEACHER.means)
    cond = replace(toy2d.controlled(modes, len(TEACHER.means)), guidance=torch.ones(N))
    return float((TEACHER.posterior(few_steps(student, 1, cond)).argmax(1) == modes).float().mean())


@pytest.fixture(scope="module")
def few():
    """A small Sprint student of the mixture."""
    t = trainer("scm_ladd", 200, adversarial="0", warmup="50", guidance="1,1")
    while t.step < t.cfg.steps:
        t.advance()
    return t.scene.world.student.requires_grad_(False)


def begun(method: str, world: World, **own: str):
    """A method with these settings."""
    module = declared.module(method)
    return module.Method(world, override(module.Config(), own))


def distilled(few, teacher, steps: int = 180) -> float:
    """How well the student follows a control that learnt from this teacher's."""
    student, k = copy.deepcopy(few).with_control(), len(TEACHER.means)
    world = World(student, null=toy2d.labels(torch.tensor([-1]), k))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controlnet_sprint, "teacher", lambda id: TrigFlow(teacher))
        method = begun("controlnet_sprint", world, guidance="1,1", warmup="50")
    optimiser = torch.optim.Adam([w for w in student.parameters() if w.requires_grad], 3e-3)
    assert obeyed(student) < 0.25
    for step in range(steps):
        rng = Rows(0, step, 256)
        modes = rng.randint(0, k, 256)
        batch = Batch(step, x0=TEACHER.means[modes] + TEACHER.std * rng.randn(256, 2), cond=toy2d.controlled(modes, k))
        optimiser.zero_grad()
        method.loss("student", batch, rng).loss.backward()
        optimiser.step()
    return obeyed(student)


def test_distilled_it_is_obeyed_in_one_step(few):
    assert distilled(few, Named()) > 0.9


def test_from_a_teacher_without_its_control_it_is_not(few):
    assert distilled(few, TEACHER) < 0.4


def test_distillation_begins_as_the_teachers_branch(studio):
    base = families.load(catalogue.get("tiny-sprint")).denoiser.requires_grad_(True)
    made = controlnet_sprint.student(controlnet_sprint.Config(teacher="tiny-sana-control"), base)
    own = steer.load(catalogue.get("tiny-sana-control"), torch.device("cpu"), torch.float32).state_dict()
    assert all(torch.equal(w, own[k]) for k, w in made.control.state_dict().items())
    assert {id(w) for w in made.parameters() if w.requires_grad} == {id(w) for w in made.control.parameters()}
    taught = controlnet_sprint.teacher("tiny-sana-control")
    assert taught.control is not None and not any(w.requires_grad for w in taught.parameters())
    with pytest.raises(ValueError, match="tiny-sana is no control of a SANA; valid: .*tiny-sana-control"):
        controlnet_sprint.teacher("tiny-sana")


def ask(model, **more):
    return ImageRequest("a red ball", model=model, steps=MODELS[model], seed=4, **more)


def paint(loaded, request):
    events = generate.generate(loaded[request.model], request, loaded)
    return next(np.asarray(e.picture, int) for e in events if isinstance(e, generate.Image))


@pytest.mark.parametrize("model", MODELS)
def test_pictures_follow_it(loaded, drawing, model):
    before = paint(loaded, ask(model))
    one, half = (paint(loaded, ask(model, control=drawing, control_strength=s)) for s in (1, 0.5))
    assert 0 < np.abs(half - before).mean() < np.abs(one - before).mean()
    assert np.array_equal(paint(loaded, ask(model, control=drawing, control_strength=0)), before)
    assert np.array_equal(paint(loaded, ask(model)), before)


def test_each_painter_of_a_run_has_its_own_control(loaded, drawing):
    run = generate.Run.of(ask("tiny-sprint", control=drawing, base_steps=1), loaded)
    first, second = (dict(turn.net.control.named_parameters())["network.kind.weight"] for turn in run.turns)
    assert [turn.painter for turn in run.turns] == ["tiny-sana", "tiny-sprint"]
    for weight, id in ((first, "tiny-sana-control"), (second, "tiny-sprint-control")):
        own = steer.load(catalogue.get(id), torch.device("cpu"), torch.float32)
        assert torch.equal(weight, own.network.kind.weight)
    assert not torch.equal(first, second)


def test_diffusers_has_no_place_for_it(studio, tmp_path):
    with pytest.raises(ValueError, match="no pipeline of diffusers takes a control of tiny-sprint"):
        export.export("tiny-sprint-control", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "No pipeline" in recipe.section(catalogue.get("tiny-sprint-control"))

"""What a model thinks at every step: x0 in each scheduler's own space, lanes side by side, curves, sheets and files."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, SCMScheduler
from PIL import Image, ImageFont

from models import families, strips, trajectory
from models.generate import generate
from models.guidance import Turn
from models.lanes import Choice, Lane, product, runs, varied
from models.request import ImageRequest
from models.samplers import Step
from models.schedule import VP, Flow, Trig, add_noise, from_x0, to_x0
from models.stepping import STEPPERS, FlowSteps, stepper
from models.trajectory import Seen, collect, columns, commitment, decided, latents, look, spread
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture(scope="module")
def crew(studio):
    return families.load_all(["tiny-sd", "tiny-hyper", "tiny-sana", "tiny-sprint"])


def ask(model="tiny-hyper", **fields):
    return ImageRequest(**({"prompt": "a red mushroom", "model": model, "seed": 7} | fields))


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


SCHEDULERS = tiny.CONFIGS | {
    "SCMScheduler": SCMScheduler(),
    "DPMSolverMultistepScheduler": DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.5
    ),
    "FlowMatchEulerDiscreteScheduler": FlowMatchEulerDiscreteScheduler(shift=1.5),
}


def own_x0(scheduler, i, at, sample, answer):
    """x0 as diffusers' own step has it, from a sample in that scheduler's space and the network's answer."""
    name = type(scheduler).__name__
    if name == "DPMSolverMultistepScheduler":
        scheduler._init_step_index(at)
        return scheduler.convert_model_output(answer, sample=sample)
    if name == "TCDScheduler":  # with eta 1 it goes to timestep 0, on the line through x0 and the noise
        out = scheduler.step(answer, at, sample, eta=1.0).pred_noised_sample
        (a, b), (a_s, b_s) = [
            (c**0.5, (1 - c) ** 0.5) for c in (scheduler.alphas_cumprod[at], scheduler.alphas_cumprod[0])
        ]
        return (out - b_s / b * sample) / (a_s - b_s / b * a)
    out = scheduler.step(answer, at, sample)
    if name == "FlowMatchEulerDiscreteScheduler":  # a straight line, whose end is x0
        now, later = scheduler.sigmas[i], scheduler.sigmas[i + 1]
        return sample + (out.prev_sample - sample) * now / (now - later)
    return out.denoised if name == "LCMScheduler" else out.pred_original_sample


@pytest.mark.parametrize("name", STEPPERS)
def test_x0_is_what_the_scheduler_makes_of_the_same_answer(name):
    """The network's answer is put into diffusers' own step, in that scheduler's own space; every scheduler that the
    catalogue may name."""
    run = stepper(SCHEDULERS[name], 4, None, torch.device("cpu"), generators=[torch.Generator().manual_seed(0)])
    trig, flow = name == "SCMScheduler", isinstance(run, FlowSteps)
    kind, i = ("trigflow" if trig else "flow" if flow else "epsilon"), 1
    t, x_t, answer = torch.tensor([run.times[i]]), numbers(1, 4, 8, 8), numbers(1, 4, 8, 8, seed=1)
    x0 = to_x0(kind, run.schedule, x_t, answer, t)
    scale = run.scales[i] if name == "EulerDiscreteScheduler" else run.sigma if trig else 1.0
    run._from(i)
    at = run.angles[i] if trig else run.scheduler.timesteps[i]
    theirs = own_x0(run.scheduler, i, at, x_t * scale, answer * (run.sigma if trig else 1.0))
    theirs = theirs / (run.sigma if trig else 1.0)
    assert torch.allclose(x0, theirs, atol=2e-3 * theirs.abs().max())
    if name == "EulerDiscreteScheduler":
        wrong = to_x0(kind, run.schedule, x_t * scale, answer, t)
        assert (wrong - theirs).abs().max() > 1, "its samples are no x_t: the formula of x_t must not fit them"


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow", "trigflow", "sample"])
def test_every_prediction_gives_back_the_x0_that_it_was_made_of(kind):
    schedule = Flow() if kind == "flow" else tiny_schedule(kind)
    x0, eps, t = numbers(3, 4, 8, 8), numbers(3, 4, 8, 8, seed=1), torch.tensor([0.1, 0.5, 0.95])
    x_t = add_noise(schedule, x0, eps, t)
    assert torch.allclose(to_x0(kind, schedule, x_t, from_x0(kind, schedule, x_t, x0, t), t), x0, atol=1e-3)


def tiny_schedule(kind):
    return Trig() if kind == "trigflow" else VP()


def test_views_are_parts_of_one_equation(crew):
    """x_t = alpha x0 + sigma noise, and guidance mixes the two halves."""
    request = ask("tiny-sd", steps=8, guidance=3.0)
    seen = list(look([Lane(request, "")], crew))[3]
    step, t = seen.step, torch.tensor([seen.step.t])
    x0, noise = latents(seen, "x0"), latents(seen, "noise")
    assert torch.allclose(add_noise(step.schedule, x0, noise, t), latents(seen, "x_t"), atol=1e-4)
    with_prompt, without = (
        latents(seen, view, trajectory.prompts(crew["tiny-sd"], request, step, view == "unconditional"))
        for view in ("conditional", "unconditional")
    )
    assert torch.allclose(without + 3.0 * (with_prompt - without), x0, atol=1e-4)
    assert (with_prompt - without).abs().max() > 1e-3
    assert torch.equal(latents(seen, "change"), x0 - seen.before.x0)
    with pytest.raises(ValueError, match="valid: x0, x_t, noise, change, conditional, unconditional"):
        latents(seen, "x1")


def test_a_lanes_steps_are_those_of_generate(crew):
    request = ask(num_images=2, steps=4, base_steps=1)
    theirs = [e for e in generate(crew["tiny-hyper"], request, crew) if isinstance(e, Step)]
    ours = [seen.step for seen in look([Lane(request, "")], crew)]
    assert [s.painter for s in ours] == ["tiny-sd"] + ["tiny-hyper"] * 3
    assert all(torch.equal(a.x0, b.x0) for a, b in zip(ours, theirs, strict=True))


def test_lanes_vary_one_field_and_seeds_that_follow_are_one_batch():
    assert runs([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 1), (9, 2)]
    choices = product(ask("tiny-hyper"), [("tiny-hyper", 4)], varied("base_steps", [0, 1.0]), [5, 6])
    assert [(lane.request.base_steps, lane.request.seeds()) for lane in choices] == [(0, [5, 6]), (1, [5, 6])]
    assert choices[1].label == "tiny-hyper, base steps 1"
    models = product(ask("tiny-hyper"), [("tiny-hyper", None), ("tiny-sd", None)], [Choice("", {})], [5])
    assert [(lane.request.model, lane.request.steps) for lane in models] == [("tiny-hyper", 1), ("tiny-sd", 8)]


def test_lanes_vary_a_slider_and_what_stands_at_0_is_no_slider(crew):
    """The direction moves x0 of every step, each way, and its middle is the picture without it."""
    for name in ("size", "plain/striped"):
        lanes = product(ask(steps=4), [("tiny-hyper", 4)], varied(name, [-2, 0, 1.5]), [5])
        assert [lane.request.sliders for lane in lanes] == [f"{name}:-2", "", f"{name}:1.5"]
        assert lanes[0].label == f"tiny-hyper, {name} -2"
    low, middle, high = (run.whole() for run in collect(lanes, crew))
    plain = collect([Lane(ask(steps=4, seed=5), "")], crew)[0].whole()
    assert all(torch.equal(a.x0, b.x0) for a, b in zip(middle, plain, strict=True))
    assert not any(torch.equal(a.x0, b.x0) for a, b in zip(low, high, strict=True))
    with pytest.raises(ValueError, match="'weight' can't be varied; valid: guidance, .*, size, .*two words such as"):
        varied("weight", [1])


def test_columns_stand_at_equal_noise():
    long, short = [-5.0, -4, -3, -2, -1, 0, 1, 2], [-5.0, -2.2, 1.1]
    assert columns([long, short]) == [list(range(8)), [0, 3, 6]]
    assert columns([short, [-5.0, -5.0, -5.0]]) == [[0, 1, 2], [0, 1, 2]], "no step is lost, none overtakes another"


def steps_of(x0s: list[torch.Tensor]) -> list[Step]:
    times = torch.linspace(1, 0.1, len(x0s)).tolist()
    nothing = Turn(SimpleNamespace())
    return [Step(i, t, Flow(), x, x, x0s[-1], nothing) for i, (t, x) in enumerate(zip(times, x0s, strict=True))]


def test_commitment_is_how_much_of_the_final_picture_is_there():
    final = numbers(2, 4, 8, 8)
    mean = final.mean(0, keepdim=True).expand_as(final)
    curve = commitment(steps_of([mean, (mean + final) / 2, final]))
    assert curve.value == pytest.approx([0, 0.75, 1], abs=1e-5)
    assert decided(curve) == pytest.approx(0.45 + 0.45 * (0.9 - 0.75) / 0.25)
    assert decided(commitment(steps_of([final, final]))) == 0


def test_spread_is_the_distance_between_pictures():
    a = torch.zeros(1, 4, 8, 8)
    apart, together = torch.cat([a, a + 1, a + 1]), torch.cat([a, a, a])
    curve = spread(steps_of([apart, together]))
    assert curve.value == pytest.approx([2 / 3, 0]) and curve.error[0] > 0 == curve.error[1]
    assert spread(steps_of([a])) is None


def test_batches_of_a_lane_are_joined(crew):
    request = ask(num_images=6, steps=4)
    assert crew["tiny-hyper"].row.batch < 6, "or there is one batch"
    steps = collect([Lane(request, "")], crew)[0].whole()
    assert [len(s.x0) for s in steps] == [6] * 4
    alone = collect([Lane(request.single(5), "")], crew)[0].whole()
    assert torch.allclose(steps[2].x0[5:], alone[2].x0, atol=1e-4)


def test_command_line(studio, tmp_path, capsys):
    out = tmp_path / "sheet" / "grid.png"
    command = ["a red mushroom", "--models", "tiny-sd,tiny-hyper", "--steps", "8,4", "--seeds", "1,2"]
    assert trajectory.main([*command, "--out", str(out), "--json", "--raw", str(tmp_path / "raw")]) == 0
    cells = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(cells) == 2 * (8 + 4) and set(cells[0]) == {"model", "seed", "step", "t", "log_snr", "path"}
    assert [c["step"] for c in cells if c["model"] == "tiny-hyper" and c["seed"] == 2] == [0, 1, 2, 3]
    assert all(Image.open(c["path"]).size == (128, 128) for c in cells[:3])
    assert Image.open(out).width > 8 * 128
    schedule = json.loads((tmp_path / "raw" / "schedule.json").read_text())
    with np.load(tmp_path / "raw" / "lane-1.npz") as arrays:
        assert arrays["x0"].shape[:2] == (4, 2) and len(schedule[1]["steps"]) == 4
        first = schedule[1]["steps"][0]
        assert first["alpha"] ** 2 + first["sigma"] ** 2 == pytest.approx(1, abs=1e-4)


def test_an_animation_has_a_frame_for_each_column(studio, tmp_path):
    command = ["a red mushroom", "--models", "tiny-hyper", "--steps", "4", "--out"]
    for suffix in (".gif", ".webp"):
        assert trajectory.main([*command, str(tmp_path / f"steps{suffix}")]) == 0
        assert Image.open(tmp_path / f"steps{suffix}").n_frames == 4
    assert trajectory.main([*command, str(tmp_path / "steps.mp4")]) == 0
    with av.open(tmp_path / "steps.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) == 4 + 1, "the last is written twice"


def test_labels_of_an_animation_stand_apart():
    cell, font = Image.new("RGB", (32, 32), "red"), ImageFont.load_default(13)
    rows = [strips.Row(f"toybox-hyper, plain/striped -2, seed {n}", {0: cell}) for n in range(3)]
    [frame] = strips.frames(rows, ["log-SNR"])
    label = font.getlength("toybox-hyper, plain/striped -2")
    assert frame.width > 3 * label
    reds = np.asarray(frame)[:, :, 1].min(0) == 0
    assert reds.sum() == 3 * 32, "each cell is whole"
    ink = (np.asarray(frame)[60:].min((0, 2)) < 120) & ~reds
    gaps = np.diff(np.flatnonzero(ink)).max()
    assert gaps >= 2 * strips.GAP, "there is paper between two labels"


def test_without_av_an_mp4_is_refused_before_anything_is_painted(studio, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert trajectory.main(["a ball", "--models", "tiny-nobody", "--out", str(tmp_path / "steps.mp4")]) == 2
    assert "an MP4 needs the package av" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--steps", "4,4"], "--steps has 2 numbers for 1 models"),
        (["--out", "a.bmp"], "must end in .png, .gif, .webp, .mp4"),
        (["--models", "tiny-nobody"], "unknown model"),
        (["--vary", "base_steps=9"], "can't paint step"),
        (["--vary", "weight=1,2"], "'weight' can't be varied; valid: guidance"),
    ],
)
def test_mistakes_are_one_sentence(studio, capsys, more, sentence):
    assert trajectory.main(["a ball", "--models", "tiny-hyper", *more]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_a_seen_step_of_no_lane_before_changes_from_its_noise(crew):
    seen = next(iter(look([Lane(ask(steps=4), "")], crew)))
    assert seen.before is None
    assert torch.equal(latents(seen, "change"), seen.step.x0 - seen.step.x_t)
    assert torch.equal(latents(replace(seen, before=seen.step), "change"), torch.zeros_like(seen.step.x0))
    assert isinstance(seen, Seen)

"""The distillers learn the 2-D mixture, plausible bugs don't; each leaves its teacher alone and comes back exactly.

Thresholds: sliced Wasserstein distance to the truth at one step, set once from three seeds of the honest method and of
each bug. Before training it is 0.16; another sample of the truth is at 0.011.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.mixture import COND, NOISE, TEACHER, N, few_steps, learn, trainer
from core import checkpoint
from distill import students
from distill.method import Batch
from distill.methods import cfg_lora, disback, lcm, tscd
from distill.trainer import reach
from distill.world import SceneRequest
from models.adapt import scaled, without
from models.guidance import guided
from models.score import vsd_direction

ONE = {"guidance": "1"}
LCM = ("lcm", 600, {"rank": "0", "lr": "1e-3"} | ONE)
TSCD = ("tscd", 800, {"rank": "0", "lr": "1e-3", "stage_steps": "200", "adversarial": "0,0,0,0"} | ONE)
RATES = {"lr": "5e-4", "fake_lr": "1e-3"}
DMD = ("dmd", 1500, RATES | {"adversarial": "0", "times": "1.0"} | ONE)
DISBACK = ("disback", 1800, {"times": "1.0", "alone": "250", "per_node": "150"} | RATES | ONE)
MSD = (
    "msd",
    1600,
    {"lr": "1e-3", "fake_lr": "2e-3", "times": "1.0", "matching": "600", "adversarial": "0", "solver": "8"} | ONE,
)


def run(recipe, seed: int = 0, **changes: str):
    return trainer(*recipe[:2], seed, **recipe[2] | changes)


METHODS = (LCM, TSCD, DMD, DISBACK, MSD)


@pytest.mark.parametrize("recipe", METHODS, ids=lambda recipe: recipe[0])
def test_it_learns(recipe):
    before, after = learn(run(recipe))
    assert before > 0.12 and after < 0.065, (before, after)


honest_direction, honest_denoising = vsd_direction, students.denoising


def blind(denoiser, x_t, t, cond, null, scale):
    """A teacher that is asked for its neighbour's prompt."""
    return guided(denoiser, x_t, t, cond.map(lambda v: v.roll(1, 0)), null, scale)


def on_data(net, x0, cond, rng, t_min=0.02):
    return honest_denoising(net, TEACHER.sample(cond, torch.Generator().manual_seed(0)), cond, rng, t_min)


BUGS = {
    "lcm, another's prompt": (LCM, lcm, "guided", blind),
    "lcm, the teacher doesn't move": (LCM, lcm, "ddim", lambda schedule, x, answer, t, r: x),
    "tscd, another's prompt": (TSCD, tscd, "guided", blind),
    "tscd, nothing to jump": (TSCD, tscd, "times", lambda n, u, k, g: (n / g, (n - 1) / g, (n - 1) / g)),
    "dmd, direction flipped": (DMD, students, "vsd_direction", lambda *args: -honest_direction(*args)),
    "dmd, fake on data": (DMD, students, "denoising", on_data),
    "dmd, no fake": (DMD, students, "vsd_direction", lambda x, teacher, fake: honest_direction(x, teacher, x)),
    "disback, first target for good": (DISBACK, disback.Method, "which", lambda self, step: 3),
    "msd, another's prompt": (MSD, students, "guided", blind),
}


@pytest.mark.parametrize("bug", BUGS)
def test_with_a_bug_it_does_not(monkeypatch, bug):
    recipe, where, name, wrong = BUGS[bug]
    monkeypatch.setattr(where, name, wrong)
    _, after = learn(run(recipe))
    assert after > 0.075, after


ALONE = {"rank": "0", "segments": "1", "adversarial": "0"} | ONE
PARTS = {  # of a loss that is silent but for it; of tscd, then of dmd
    "score": ("tscd", 600, ALONE | {"lr": "1e-4", "critic_lr": "2e-3", "score_from": "0", "ratio": "1"}),
    "adversarial": ("tscd", 150, ALONE | {"lr": "5e-5", "critic_lr": "1e-2"}),
    "adversarial of dmd": ("dmd", 300, DMD[2] | {"lr": "5e-5", "fake_lr": "1e-2", "alone": "0", "ratio": "2"}),
}


def by_one_part(monkeypatch, part: str, weight: float) -> tuple[float, float]:
    silent = lambda x: 0 * x.flatten(1)[:, 0]  # noqa: E731
    method, steps, own = PARTS[part]
    monkeypatch.setattr(tscd.Method, "consistency", lambda self, batch, *_: silent(batch.x0))
    if part != "score":
        monkeypatch.setattr(students, "matching", lambda x, *_: (silent(x), x.new_zeros(())))
    name, steps = part.partition(" ")[0], steps if weight > 0 else steps // 3  # the wrong way is soon a long one
    t = trainer(method, steps, **own | {name: "1"})
    t.method.cfg = replace(t.method.cfg, **{name: (weight,) if part == "adversarial" else weight})  # none is below 0
    return learn(t)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_pulls_the_right_way(monkeypatch, part):
    before, after = by_one_part(monkeypatch, part, 1.0)
    assert before > 0.12 and after < 0.08, (before, after)
    with monkeypatch.context() as flipped:
        assert by_one_part(flipped, part, -1.0)[1] > 0.2


def test_segments_end_where_the_one_of_the_neighbour_starts():
    n = torch.arange(1, 41)
    for segments in (8, 4, 2, 1):
        t, r, last = tscd.times(n, torch.ones(40), segments, 40)
        start = (r * segments + 1e-6).floor() / segments
        assert torch.allclose(t, n / 40) and torch.allclose(r, (n - 1) / 40) and torch.allclose(last, start)
        assert torch.equal(tscd.times(n, torch.zeros(40), segments, 40)[2], r), "or nothing is left to jump"
    assert tscd.times(torch.tensor([15]), torch.tensor([0.5]), 4, 40)[2].item() == pytest.approx(0.3)


def test_a_judge_is_asked_for_only_where_it_rewards():
    before = tscd.Config(feedback_from=10**9)  # as runs of before have it
    for config, judged in ((tscd.Config(), False), (tscd.Config(feedback_from=5), True), (before, False)):
        assert ("judge" in SceneRequest(tscd, config, None, "mixture", 0).needs) == judged


@pytest.mark.parametrize(
    ("recipe", "short", "what"),
    [(TSCD, {}, "1 segments"), (TSCD, {"score_from": "7000"}, "score"), (DISBACK, {}, "teacher"), (MSD, {}, "student")],
)
def test_a_training_that_ends_before_a_stage_begins_is_refused(recipe, short, what):
    t = trainer(recipe[0], 500, **recipe[2] | short)
    with pytest.raises(ValueError, match=f"train.steps=500 ends before .*{what}"):
        reach(t)
    reach(run(recipe))


def test_the_reward_of_hyper_ends(monkeypatch):
    seen = []
    monkeypatch.setattr(students, "hinged", lambda judge, x, batch, limit: seen.append(batch.step) or 0 * x[:, 0])
    t = run(TSCD, feedback_from="2", feedback_steps="3")
    for _ in range(8):
        t.advance()
    assert seen == [2, 3, 4]


REWARD = {"tscd": ALONE | {"feedback": "1", "feedback_from": "0", "feedback_steps": "300"}}
REWARD["feedback"] = {"rank": "0", "keep": "0"}


def obedience(method: str) -> tuple[float, float]:
    """Of a model that doesn't hear its prompt, before and after feedback."""
    t = trainer(method, 300, lr="2e-3", **REWARD[method])
    nn.init.zeros_(t.scene.world.student.network.prompt.weight)  # it doesn't hear its prompt
    judge, before = t.scene.world.judge, few_steps(t.scene.world.student, 1, COND)
    learn(t)
    after, batch = few_steps(t.scene.world.student, 1, COND), Batch(0, x0=NOISE, cond=COND)
    return float(judge(before, batch).exp().mean()), float(judge(after, batch).exp().mean())


@pytest.mark.parametrize("method", REWARD)
def test_feedback_teaches_a_blind_model_to_obey(monkeypatch, method):
    monkeypatch.setattr(tscd.Method, "consistency", lambda self, batch, *_: 0 * batch.x0[:, 0])
    before, after = obedience(method)
    assert before < 0.2 and after > 0.9


@pytest.mark.parametrize("method", REWARD)
def test_feedback_flipped_does_not(monkeypatch, method):
    monkeypatch.setattr(tscd.Method, "consistency", lambda self, batch, *_: 0 * batch.x0[:, 0])
    monkeypatch.setattr("distill.students.hinged", lambda judge, x0, batch, _: judge(x0, batch))
    assert obedience(method)[1] < 0.2


def test_a_picture_that_satisfies_the_judge_is_left_alone():
    judge = trainer("feedback", 1, rank="0").scene.world.judge
    satisfied = Batch(0, x0=TEACHER.means, cond=COND.map(lambda v: v[:8]))
    assert students.hinged(judge, TEACHER.means, satisfied, -0.1).sum() == 0


def folded() -> list[float]:
    """How far a trained adapter is from the guided answer at w = 2 and 3, as a share of the way without it."""
    t = trainer("cfg_lora", 1200, lr="3e-3", guidance="1,3", full="3")
    net, null = t.scene.world.student, t.scene.world.null_like(COND)
    learn(t)
    x_t, time, left = NOISE, torch.full((N,), 0.7), []
    for w in (1.0, 2.0, 3.0):
        with torch.no_grad(), without(net):
            wanted, plain = guided(net, x_t, time, COND, null, w), net(x_t, time, COND)
        with torch.no_grad(), scaled(net, cfg_lora.strength(w, 3.0)):
            got = net(x_t, time, COND)
        if w == 1:
            assert torch.equal(got, plain), "at guidance 1 the adapter is off, bit for bit"
        else:
            left.append(float((got - wanted).norm() / (plain - wanted).norm()))
    return left


def test_guidance_folds_into_an_adapter_that_keeps_its_slider():
    assert max(folded()) < 0.35


def test_guidance_the_wrong_way_does_not(monkeypatch):
    monkeypatch.setattr(cfg_lora, "guided", lambda net, x, t, c, null, w: guided(net, x, t, c, null, 2 - w))
    assert min(folded()) > 1


def test_guidance_whatever_was_asked_for_does_not(monkeypatch):
    honest = cfg_lora.Method.teacher
    monkeypatch.setattr(cfg_lora.Method, "teacher", lambda self, x, t, cond, w: honest(self, x, t, cond, 2.0))
    assert max(folded()) > 0.35


ADAPTED = (
    *(LCM, TSCD, ("cfg_lora", 12, {}), ("feedback", 12, {})),
    ("dmd", 12, DMD[2] | {"alone": "0"}),
    ("disback", 12, DISBACK[2] | {"alone": "5", "per_node": "1", "ratio": "2"}),
)


@pytest.mark.parametrize("recipe", ADAPTED, ids=lambda recipe: recipe[0])
def test_an_adapter_leaves_its_base_alone(recipe):
    t = run(recipe, rank="4")
    net = t.scene.world.student
    before = {k: v.clone() for k, v in net.state_dict().items()}
    while t.step < 12:
        t.advance()
    moved = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert moved and all("lora" in k for k in moved)
    assert {k for k, p in net.named_parameters() if "lora" not in k and p.requires_grad} == set()


@pytest.mark.parametrize("recipe", [*METHODS, ("cfg_lora", 1, {}), ("feedback", 1, {})], ids=lambda recipe: recipe[0])
def test_it_resumes_exactly(recipe, tmp_path):
    """Over every change of stage: an interrupted training is, bit for bit, the one that was not."""
    short = {
        "tscd": {"stage_steps": "2", "adversarial": "0,0,0.1,0.1", "feedback_from": "5", "score_from": "5"},
        "dmd": {"alone": "2", "ratio": "2", "adversarial": "0.1"},
        "disback": {"alone": "5", "per_node": "1", "ratio": "2"},
        "msd": {"matching": "4", "adversarial": "0.1", "adversarial_from": "6", "ratio": "2"},
    }.get(recipe[0], {})
    whole, cut = run(recipe, **short), run(recipe, **short)
    for _ in range(10):
        whole.advance()
    for _ in range(6):
        cut.advance()
    checkpoint.save(tmp_path, cut.saved())
    again = run(recipe, **short)
    again.restore(checkpoint.load(checkpoint.newest(tmp_path)[0]))
    for _ in range(4):
        again.advance()
    first, second = whole.saved().tensors, again.saved().tensors
    assert first.keys() == second.keys()
    for player, tensors in first.items():
        for name, w in tensors.items():
            assert torch.equal(w, second[player][name]), (player, name)

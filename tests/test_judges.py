"""Judges read pictures: they learn, survive being saved, and the truth that they are taught is well defined."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.mixture import trainer
from core import events
from distill import reward, world
from distill.data.toys import Toys
from distill.method import Batch, Rows, World
from distill.methods import autoencoder, enlarge, oracle, personal, slider
from distill.report import Reporter
from evals import judges, labels
from models.palette import COLOURS

HEADS = {"kind": ["left", "right"], "colour": ["blue", "green", "red"]}
RGB = {"red": (0.7, -0.6, -0.6), "green": (-0.6, 0.5, -0.6), "blue": (-0.6, -0.4, 0.7)}


def squares(n: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """A coloured square on the left or right of grey; the colour of one in four is not told."""
    rng = torch.Generator().manual_seed(seed)
    side, colour = torch.randint(2, (n,), generator=rng), torch.randint(3, (n,), generator=rng)
    x = torch.full((n, 3, 128, 128), 0.1)
    for i in range(n):
        left = 20 + 56 * int(side[i]) + int(torch.randint(-8, 9, (), generator=rng))
        x[i, :, 50:82, left : left + 32] = torch.tensor(RGB[HEADS["colour"][int(colour[i])]])[:, None, None]
    known = torch.rand(n, generator=rng) < 0.75
    return x, {"kind": side, "colour": torch.where(known, colour, labels.NOT_APPLICABLE)}


def trained(arch: str, augment: float, steps: int) -> tuple[judges.Judge, list[dict[str, Tensor]]]:
    torch.manual_seed(0)
    cfg = oracle.Config(arch=arch, lr=1e-3, augment=augment)
    method = oracle.Method(World(student=oracle.student(cfg, HEADS)), cfg)
    player = method.players["judge"]
    optimizer = torch.optim.AdamW(player.module.parameters(), lr=player.lr)
    logs = []
    for step in range(steps):
        x, truth = squares(8, seed=step)
        out = method.loss("judge", Batch(step, pixels=x, labels=truth), Rows(0, step, 8))
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        logs.append(out.logs)
    return method.judge, logs


@pytest.mark.parametrize("arch", judges.BODIES)
def test_a_judge_learns_coloured_squares(arch):
    judge, logs = trained(arch, augment=0.0, steps=32)  # mirrored pictures have no left
    x, truth = squares(48, seed=1000)
    features, answers = judge.read(x)
    assert features.shape == (48, judges.FEATURES)
    for head in HEADS:
        applies = truth[head] >= 0
        assert (answers[head] == truth[head])[applies].float().mean() > 0.9, head
    assert logs[-1]["colour"] > logs[0]["colour"]


def test_pictures_as_bytes_or_numbers_read_alike_and_other_sizes_are_an_error():
    torch.manual_seed(0)
    judge = judges.Judge("a", HEADS)
    x = torch.randint(256, (3, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert torch.allclose(judge.features(x), judge.features(x.float() / 127.5 - 1), atol=1e-6)
    assert torch.allclose(judge.read(x, chunk=2)[0], judge.features(x), atol=1e-5)
    with pytest.raises(ValueError, match=r"\[B, 3, 128, 128\], not \[1, 3, 64, 64\]"):
        judge.features(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="unknown architecture 'c'; valid: a, b, emoji"):
        judges.Judge("c", HEADS)


@pytest.mark.parametrize("arch", judges.BODIES)
def test_round_trip_through_files(arch, tmp_path):
    torch.manual_seed(0)
    judge = judges.Judge(arch, HEADS)
    judge.save(tmp_path)
    again = judges.load(tmp_path)
    x, _ = squares(4, seed=0)
    assert again.config == judge.config and not again.training
    for head, logits in judge(x).items():
        assert torch.allclose(again(x)[head], logits, atol=2e-2), head
    assert 0.8e6 < sum(w.numel() for w in judge.parameters()) < 2e6
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 4e6


def test_a_checkpoint_of_another_judge_is_an_error(tmp_path):
    judges.Judge("a", HEADS).save(tmp_path)
    (tmp_path / "config.json").write_text('{"arch": "b", "heads": {"kind": ["left", "right"]}}')
    with pytest.raises(RuntimeError, match="Missing key"):
        judges.load(tmp_path)


def test_the_cosine_head_ignores_the_length_of_features():
    torch.manual_seed(0)
    head = judges.Cosine(8, 5)
    x = torch.randn(3, 8)
    assert torch.allclose(head(x), head(7 * x), atol=1e-5)
    assert torch.allclose(head(head.weight).diagonal(), torch.full((5,), judges.COSINE_SCALE), atol=1e-4)


def test_slices_of_a_batch_add_up_to_the_batch():
    """Gradients are averaged over slices and processes, whatever share of each has a colour."""
    torch.manual_seed(0)
    cfg = oracle.Config(augment=1.0)
    method = oracle.Method(World(student=oracle.student(cfg, HEADS)), cfg)
    x, truth = squares(8, seed=0)
    truth["colour"] = torch.tensor([-1, -1, -1, 0, 1, 2, 0, 1])

    def loss(start: int, stop: int) -> float:
        part = {k: v[start:stop] for k, v in truth.items()}
        batch = Batch(0, pixels=x[start:stop], labels=part)
        return method.loss("judge", batch, Rows(0, 0, 8, start)).loss.item()

    assert loss(0, 8) == pytest.approx((loss(0, 4) + loss(4, 8)) / 2, abs=1e-5)


def test_what_does_not_apply_teaches_nothing():
    cfg = oracle.Config(augment=0)
    method = oracle.Method(World(student=oracle.student(cfg, HEADS)), cfg)
    x, truth = squares(4, seed=0)
    truth["colour"] = torch.full((4,), labels.NOT_APPLICABLE)
    out = method.loss("judge", Batch(0, pixels=x, labels=truth), Rows(0, 0, 4))
    out.loss.backward()
    assert not method.judge.heads["colour"].weight.grad.any()
    assert method.judge.heads["kind"].weight.grad.any()
    assert out.logs["colour"].isnan() and 0 <= out.logs["kind"] <= 1


def test_augmentation_changes_pictures_but_not_the_colour_they_have():
    """Every colour that toys have stays nearest to itself, whatever is done to it."""
    palette = torch.tensor(list(COLOURS.values())) / 127.5 - 1  # [12, 3]
    x = palette[:, :, None, None].repeat(6, 1, 16, 16)
    y = oracle.degraded(x, 1.0, Rows(0, 0, len(x)))
    assert y.min() >= -1 and y.max() <= 1
    assert 0.01 < (x - y).abs().mean() < 0.1
    assert torch.equal(torch.cdist(y.mean((2, 3)), palette).argmin(1), torch.arange(12).repeat(6))


def test_compression_keeps_the_mean_and_coarse_steps_lose_detail():
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    basis = oracle.cosine_basis(x.device)
    assert torch.allclose(basis @ basis.T, torch.eye(8), atol=1e-6)
    assert torch.allclose(oracle.compressed(x, torch.zeros(2)), x, atol=1e-3)
    fine, coarse = ((oracle.compressed(x, torch.full((2,), s)) - x).abs().mean() for s in (0.01, 0.1))
    assert 0 < fine < coarse / 3
    flat = torch.full((1, 3, 16, 16), 0.25)
    assert torch.allclose(oracle.compressed(flat, torch.tensor([0.05])), flat, atol=0.025 / 8 + 1e-6)


def test_moving_and_tinting_by_nothing_change_nothing():
    x, _ = squares(4, seed=0)
    none, one = torch.zeros(4), torch.ones(4)
    assert torch.allclose(oracle.moved(x, none, Rows(0, 0, 4)), x, atol=1e-4)
    assert torch.allclose(oracle.tinted(x, none, one), x, atol=1e-5)
    grey = torch.full((4, 3, 8, 8), 0.3)
    assert torch.allclose(oracle.tinted(grey, 2 * one, one), grey, atol=1e-5)


def test_tinting_turns_hues_and_keeps_light():
    x = torch.tensor([RGB["red"], RGB["green"]])[:, :, None, None].expand(2, 3, 4, 4)
    angles = torch.tensor([0.3, -1.0])
    y = oracle.tinted(x, angles, torch.tensor([1.0, 0.5]))
    assert torch.allclose(y.mean(1), x.mean(1), atol=1e-5)
    before, after = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    cos = torch.cosine_similarity(before, after, dim=1)
    assert torch.allclose(cos, angles.cos()[:, None, None].expand_as(cos), atol=1e-5)
    assert torch.allclose(after[1].norm(), 0.5 * before[1].norm(), atol=1e-5)
    third = oracle.tinted(x[:1], torch.tensor([2 * torch.pi / 3]), torch.ones(1))
    assert torch.allclose(third, x[:1].roll(1, dims=1), atol=1e-5)  # red to green to blue to red


def test_moving_shifts_pictures_each_in_its_own_way_and_by_its_own_strength():
    x = torch.ones(8, 3, 128, 128)
    x[:, :, 48:80, 48:80] = -1
    strength = torch.tensor([1.0, 0.2]).repeat(4)
    dark = (oracle.moved(x, strength, Rows(0, 0, 8)).mean(1) < 0).float()
    places = torch.stack([(dark.sum(1) * torch.arange(128)).sum(1), (dark.sum(2) * torch.arange(128)).sum(1)], 1)
    away = places / dark.sum((1, 2))[:, None] - 63.5  # of its centre from the middle, [8, 2]
    assert away[0::2].abs().max() > 6
    assert 0 < away[1::2].abs().max() < 3


def test_in_a_mirror_the_first_thing_is_the_second():
    x, _ = squares(40, seed=0)
    relation, kind, kind2 = torch.arange(40) % 2, torch.arange(40), 100 + torch.arange(40)
    pair = {"kind": kind, "kind2": kind2, "colour": kind, "colour2": kind2, "pattern": kind, "pattern2": kind2}
    y, truth = oracle.mirrored(x, {"relation": relation, **pair}, 1, Rows(0, 0, 40))
    flipped = (y == x.flip(3)).flatten(1).all(1)
    assert torch.equal(y[~flipped], x[~flipped]) and 10 < flipped.sum() < 30
    swapped = flipped & (relation == 1)
    for name in labels.PAIRED:
        assert torch.equal(truth[name], torch.where(swapped, kind2, kind))
        assert torch.equal(truth[name + "2"], torch.where(swapped, kind, kind2))


def test_what_was_made_unreadable_is_not_asked():
    """Where hues were turned nothing is asked of colours, where the picture went far nothing of its size and view."""
    heads = {"colour": ["red", "teal"], "view": ["front", "back"], "kind": ["ball"], "size": ["big", "small"]}
    cfg = oracle.Config(augment=1.0)
    method = oracle.Method(World(student=oracle.student(cfg, heads)), cfg)
    x = torch.tensor(RGB["red"])[None, :, None, None].repeat(64, 1, 16, 16)
    zero = torch.zeros(64, dtype=torch.int64)
    shown, augmented = method.augment(x, dict.fromkeys(heads, zero), Rows(0, 0, 64))
    red = (shown.mean((2, 3)) - x.mean((2, 3))).norm(dim=1) < 0.4
    assert red[augmented["colour"] == 0].all() and not red[augmented["colour"] == -1].all()
    assert torch.equal(augmented["size"], augmented["view"]) and torch.equal(augmented["kind"], zero)
    for head in ("colour", "view"):
        assert 10 < (augmented[head] == -1).sum() < 35, head
    assert not torch.equal(augmented["colour"], augmented["view"])


THING = {"kind": "ball", "colour": "red", "pattern": "plain", "size": "big", "count": 1, "relation": None}
THING |= {"view": "front"}
PAIR = THING | {"relation": "right of", "count": 2, "size": None}
PAIR |= {"kind2": "cube", "colour2": "blue", "pattern2": "dotted"}


def test_every_picture_has_one_reading():
    """A ball right of a cube is a cube left of a ball; a ball's front is its back."""
    swapped = {**PAIR, "relation": "left of", "kind": "cube", "colour": "blue", "pattern": "dotted"}
    swapped |= {"kind2": "ball", "colour2": "red", "pattern2": "plain"}
    assert labels.legible(PAIR) == labels.legible(swapped) == swapped
    assert labels.legible({**PAIR, "relation": "on"})["kind"] == "ball"
    assert labels.legible(THING)["relation"] == "none"
    assert "relation" not in labels.legible({"emoji": "fox"})
    assert labels.legible({**THING, "faced": False})["view"] is None
    assert labels.legible({**THING, "faced": False, "view": "overhead"})["view"] == "overhead"
    assert labels.legible({**THING, "faced": True})["view"] == "front"
    assert PAIR["relation"] == "right of"  # untouched


def test_labels_are_indices_into_the_heads():
    reads = ("kind", "colour", "kind2", "count", "relation", "size", "emoji")
    heads = labels.classes([THING, PAIR], reads)
    assert heads == {
        "kind": ["ball", "cube"],
        "colour": ["blue", "red"],
        "kind2": ["ball", "cube"],
        "count": ["1", "2"],
        "relation": ["left of", "none"],
        "size": ["big"],
    }
    answers = labels.batch([THING, PAIR], heads)
    assert {k: v.tolist() for k, v in answers.items()} == {
        "kind": [0, 1],
        "colour": [1, 0],
        "kind2": [-1, 0],
        "count": [0, 1],
        "relation": [1, 0],
        "size": [0, -1],
    }
    assert answers["kind"].dtype == torch.int64
    with pytest.raises(ValueError, match="kind 'teapot' is not among what this judge reads: ball, cube"):
        labels.batch([{**THING, "kind": "teapot"}], heads)


def test_samples_are_judged_by_what_their_captions_say():
    """Real renders show it, renders of other captions do not; of what no caption names nothing is asked."""
    source, read = Toys(7, "held_out", 24), reward.judged(world.judge_named("judge-b"))
    examples = [source[i] for i in range(24)]
    batch = Batch(0, captions=[e.captions[1] for e in examples], truth=[e.attributes for e in examples])
    pictures = torch.stack([torch.from_numpy(e.picture.copy()).permute(2, 0, 1) / 127.5 - 1 for e in examples])
    right, wrong = read(pictures, batch), read(pictures.roll(1, 0), batch)
    assert right["kind"] > 0.8 and right["colour"] > 0.8 and max(wrong.values()) < 0.4
    silent = replace(batch, captions=["a thing"] * 24)
    assert set(read(pictures, silent)) == {"kind"}
    assert read(pictures, replace(batch, truth=[{"emoji": "fox"}] * 24)) == {}


def test_what_the_judge_reads_in_samples_goes_to_the_page(tmp_path, monkeypatch):
    t, pictures = trainer("sft", 1, batch_size=8), torch.zeros(8, 3, 16, 16)
    monkeypatch.setattr(t.method, "preview", lambda batch: pictures, raising=False)
    seen = lambda shown, batch: {"kind": 0.75} if shown is pictures and len(batch) == 8 else {}  # noqa: E731
    t.scene = replace(t.scene, judged=seen)
    drawn = t.draw()
    assert drawn is not None
    Reporter(tmp_path, t.cfg).sample(t.step, *drawn)
    metric, sample = events.read(tmp_path)
    assert (metric["kind"], metric["values"]) == ("metric", {"student/right_kind": 0.75})
    assert sample["path"] == "samples/step-00000000.png" and (tmp_path / sample["path"]).exists()


def test_strips_are_no_pictures_of_captions_so_nobody_judges_them(monkeypatch):
    """A slider draws its prompts at five strengths, an autoencoder two rows: their numbers are not the batch's."""
    t = trainer("sft", 1, batch_size=8)
    monkeypatch.setattr(t.method, "preview", lambda batch: torch.zeros(20, 3, 16, 16), raising=False)
    t.scene = replace(t.scene, judged=lambda pictures, batch: {"kind": float(len(pictures) == len(batch))})
    monkeypatch.setattr(t.method, "strips", True, raising=False)
    drawn = t.draw()
    assert drawn is not None and drawn[1] == {}
    assert all(m.Method.strips for m in (autoencoder, enlarge, personal, slider))

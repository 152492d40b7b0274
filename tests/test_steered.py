"""What steers a picture lies where the picture says, moves with it, and is drawn by a bad hand that a seed decides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import binary_dilation

from distill.data import Example, cache
from distill.data.folder import Folder
from distill.data.steered import Steered, detected, drawn, exact, moved
from distill.data.steered.__main__ import sheet
from distill.data.steered.lines import CHANNELS, Lines
from distill.data.toys import Toys
from distill.data.toys.render import look
from distill.method import Rows
from models.manifest import CONTROLS

N = 12


@pytest.fixture(scope="module")
def toys():
    return Toys(size=N)


@pytest.fixture(scope="module")
def examples(toys):
    return [Steered(toys)[i] for i in range(N)]


@pytest.fixture(scope="module")
def conditions(examples):
    return drawn.floats([e.conditions for e in examples]), drawn.floats([e.picture for e in examples])


def near(line: np.ndarray, pixels: int) -> np.ndarray:
    return binary_dilation(line, np.ones((2 * pixels + 1, 2 * pixels + 1), bool))


def test_exact_lines_lie_where_the_picture_changes(toys):
    """The outline is the rim of what is no ground, edges hold it and more, depth is known where there is something."""
    shown = 0
    for i in range(N):
        lines, picture = exact.lines(toys.scene(i)), toys[i].picture
        thing, known = np.abs(picture - detected.ground(picture)).max(-1) > detected.AWAY, lines.depth > 0
        outline, rim = lines.outline > 0, known & near(~known, 1)
        assert (near(outline, 2) | ~rim).mean() > 0.995, "every rim has its line"
        assert not (outline & ~near(known, 2)).any(), "no line lies outside"
        assert (lines.edges >= lines.outline).all()
        overlap = (thing & known).sum() / (thing | known).sum()
        shown += overlap > 0.95  # white on white is not told apart
    assert shown > 0.7 * N


def test_depth_is_larger_where_it_is_nearer(toys):
    seen = look(toys.scene(0))
    far = seen.depth[::2, ::2]
    there = np.isfinite(far)
    depth = exact.lines(toys.scene(0)).depth[there].astype(float)
    assert np.corrcoef(depth, far[there])[0, 1] < -0.95 and depth.min() > 0


def test_creases_are_lines_and_smooth_surfaces_have_none():
    """A cube has three inner edges, a ball none."""
    scenes = [Toys(size=400).scene(i) for i in range(400)]
    inner = {}
    for kind in ("cube", "ball"):
        scene = next(s for s in scenes if s.count == 1 and s.things[0].kind == kind and s.things[0].pattern == "plain")
        lines = exact.lines(scene)
        inner[kind] = int(((lines.edges > 0) & ~near(lines.outline > 0, 2)).sum())
    assert inner["ball"] == 0 and inner["cube"] > 40, inner


def test_picture_and_lines_are_moved_alike():
    """Something drawn into both is in one place afterwards, anywhere and at any size."""
    picture = np.full((128, 128, 3), 240, np.uint8)
    picture[40:90, 30:100] = 20
    lines = detected.lines(picture)
    places = set()
    for seed in range(20):
        example, after = moved(Example(picture, ("a",), {}, "k"), lines, np.full(3, 240.0), np.random.default_rng(seed))
        dark, line = example.picture.min(-1) < 130, after.outline > 100
        (top, left), (bottom, right) = np.argwhere(dark).min(0), np.argwhere(dark).max(0)
        (a, b), (c, d) = np.argwhere(line).min(0), np.argwhere(line).max(0)
        assert max(abs(top - a), abs(left - b), abs(bottom - c), abs(right - d)) <= 1
        places.add((int(top), int(left)))
        assert line.max() and 0.3 * 70 - 2 <= right - left <= 70
    assert len(places) > 15


def test_a_folder_has_lines_but_no_depth_and_busy_pictures_stay_where_they_are(tmp_path: Path):
    rng = np.random.default_rng(0)
    for name, array in {"busy": rng.integers(0, 255, (128, 128, 3)), "plain": np.full((128, 128, 3), 200)}.items():
        array = array.astype(np.uint8)
        array[50:80, 50:80] = 10
        Image.fromarray(array).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"a {name} thing")
    source = Folder(tmp_path)
    for example, plain in ((Steered(source)[i], source[i]) for i in range(2)):
        assert example.conditions[..., 2].max() == 0 and example.conditions[..., 1].any()
        assert "busy" not in example.captions[0] or np.array_equal(example.picture, plain.picture)


def test_they_are_kept_beside_the_pictures(toys, examples, tmp_path):
    first = cache.draw(Steered(toys), tmp_path)
    assert all(np.array_equal(first.conditions[0][i], examples[i].conditions) for i in range(N))
    (kept,) = tmp_path.glob("*/conditions-*.npy")
    kept.write_bytes(kept.read_bytes()[:200])
    again = cache.draw(Steered(toys), tmp_path)
    assert np.array_equal(again.conditions[0], np.stack([e.conditions for e in examples])), "a torn file is made again"
    latents = cache.latents(Steered(toys), tmp_path, "k", lambda x: np.zeros((len(x), 16, 8, 8)))
    assert len(latents.conditions[0]) == N


def test_a_sketch_is_wobbly_has_gaps_and_pens_of_several_widths(conditions):
    """Compared with the exact line: some of it is missing, what is there is near it, and widths differ."""
    edges = conditions[0][:, 1:2]
    sketches = [drawn.sketch(edges, edges, Rows(0, step, N)) for step in range(8)]
    exact_lines = edges[:, 0].numpy() > 0
    reach, kept, width = [], [], []
    for lines in sketches:
        for k in range(N):
            ink = lines[k, 0].numpy() > 0.3
            reach.append((ink & ~near(exact_lines[k], 12)).sum() / max(ink.sum(), 1))
            kept.append((near(ink, 4) & exact_lines[k]).sum() / exact_lines[k].sum())
            width.append(ink.sum() / exact_lines[k].sum())
    assert max(reach) < 0.02 and np.min(kept) < 0.8 < np.median(kept), (max(reach), np.min(kept), np.median(kept))
    assert np.quantile(width, 0.9) > 2.5 * np.quantile(width, 0.1)
    assert all(s.min() >= 0 and s.max() <= 1 for s in sketches)


def test_each_sample_has_its_own_numbers_in_any_process(conditions):
    """Two processes of half the batch draw what one draws of the whole."""
    lines, pictures = conditions
    kinds = torch.arange(N) % len(CONTROLS)
    whole = drawn.control_input(lines, pictures, kinds, Rows(3, 5, N))
    half = N // 2
    parts = [
        drawn.control_input(lines[s : s + half], pictures[s : s + half], kinds[s : s + half], Rows(3, 5, N, s))
        for s in (0, half)
    ]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, drawn.control_input(lines, pictures, kinds, Rows(3, 6, N)))


def test_kinds_come_as_often_as_their_shares_and_only_where_they_are_known():
    known = torch.ones(4000, len(CONTROLS), dtype=torch.bool)
    known[2000:, CONTROLS.index("depth")] = False
    kinds = drawn.chosen(known, (0.5, 0.2, 0.3, 0.0), Rows(0, 0, 4000))
    share = torch.stack([(kinds[:2000] == k).float().mean() for k in range(4)])
    assert (share - torch.tensor([0.5, 0.2, 0.3, 0.0])).abs().max() < 0.04
    assert not (kinds[2000:] == CONTROLS.index("depth")).any()


def test_pictures_without_depth_are_never_steered_by_it(toys, tmp_path):
    part = cache.draw(Steered(toys), tmp_path)
    flat = np.array(part.conditions[0])
    flat[::2, ..., CHANNELS.index("depth")] = 0
    part = replace(part, conditions=(flat,))
    steering = drawn.Steering([part], (0.0, 0.1, 0.9, 0.0))
    control, kinds = steering([(part, i, 0.0) for i in range(N)] * 20, Rows(0, 0, 20 * N))
    depth = (kinds == CONTROLS.index("depth")).reshape(20, N)
    assert not depth[:, ::2].any() and depth[:, 1::2].float().mean() > 0.8 and control.flatten(1).any(1).all()


def test_a_sheet_to_look_at(tmp_path):
    assert sheet("toys", 3).shape == (7 * 128, 3 * 128, 3)


def test_lines_stay_a_pixel_wide_when_they_shrink():
    line = np.zeros((128, 128), np.uint8)
    line[:, 60] = 255
    small = Lines(line, line, line).moved(40, 10, 20)
    assert small.outline[30].max() > 200 and (small.outline > 100).any(0).sum() == 1

"""Text to 3D without a teacher's errors: where the pictures are true renders, the mesh is the thing that they show."""

from dataclasses import replace

import manifold3d
import numpy as np
import pytest
import torch
import trimesh

from benchmarks.shapes import f_score, visible
from distill.data.toys.bake import solid
from distill.data.toys.captions import KIND_WORDS
from distill.data.toys.render import render
from distill.data.toys.scene import SCALE, Scene, Thing
from models import views
from models.palette import BACKGROUNDS
from models.views import Camera
from threed import pool as pools
from threed import render as renders
from threed.cushion import REACH, inflated
from threed.field import BOUND, Grid, occupied, sampled
from threed.fit import Particle, draws, fit
from threed.mesh import NoSurface, cut, largest, simplified, surface
from threed.prompts import TOYS, backgrounds, bare, completed, has_views
from threed.render import march, matrices, through
from threed.request import ThreeDRequest
from threed.rounds import cameras
from threed.surface import Skinned, Surface, looked_up
from threed.texture import bake, squares, unwrapped

KIND, VIEWS, ROUNDS = "teapot", 32, 6
SIZE = 0.97 * SCALE["big"]  # of a big thing without jitter


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    corners = solid(KIND).triangles.reshape(-1, 3) * SIZE
    return visible(trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), process=False))


@pytest.fixture(scope="module")
def photographs() -> tuple[torch.Tensor, torch.Tensor, list[Camera]]:
    """True renders, their backgrounds, and where they were taken from."""
    rng = np.random.default_rng(0)
    places = [camera for _ in range(VIEWS // 8) for camera in cameras(8, rng)]
    names = [("black", "green", "pink", "yellow", "purple")[k % 5] for k in range(VIEWS)]
    pixels = np.stack([render(Scene((Thing(KIND, "red"),), n, c)) for n, c in zip(names, places, strict=True)])
    colours = torch.tensor([BACKGROUNDS[n] for n in names]) / 255
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, colours, places


def fitted(photographs) -> Particle:
    pixels, colours, places = photographs
    one = Particle.new()
    one.keep(pools.cut_out(pixels, colours, matrices(places), silhouette=True))
    for k in range(ROUNDS):
        fit(one, k / ROUNDS, 16, 16 * k, draws(0, "rays", k))
    return one


@pytest.fixture(scope="module")
def made(photographs) -> Particle:
    return fitted(photographs)


def score(one: Particle, truth: np.ndarray) -> float:
    try:
        return f_score(visible(cut(one.field, one.cells, 8000).mesh), truth)
    except NoSurface:
        return 0.0


def test_of_true_renders_the_mesh_is_the_thing(made, truth):
    """Nothing is aligned: it stands where the thing stands and looks where it looks."""
    mesh = cut(made.field, made.cells, 8000).mesh
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0 and len(mesh.faces) <= 8000
    assert f_score(visible(mesh), truth) >= 0.95


def mirrored(camera: Camera) -> np.ndarray:
    return views.camera_matrix(replace(camera, azimuth=-camera.azimuth))


def transposed(camera: Camera) -> np.ndarray:
    matrix = views.camera_matrix(camera)
    matrix[:3, :3] = matrix[:3, :3].T
    return matrix


@pytest.mark.parametrize("bug", [mirrored, transposed])
def test_a_camera_that_is_wrong_shows(photographs, truth, monkeypatch, bug):
    monkeypatch.setattr(renders, "camera_matrix", bug)
    assert score(fitted(photographs), truth) < 0.85


def test_rays_go_through_the_pixels_that_the_camera_law_says():
    camera, size = Camera(33.0, 21.0, 4.2), 8
    row, column = (x.flatten() for x in torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
    rays = through(matrices([camera]).expand(size**2, 4, 4), row, column, size)
    way = torch.from_numpy(views.ray_directions(camera, size)).reshape(-1, 3).float()
    assert torch.allclose(rays.way, way / way.norm(dim=-1, keepdim=True), atol=1e-5)
    assert torch.allclose(rays.origin[0], torch.from_numpy(views.position(camera)).float(), atol=1e-5)


def test_light_along_a_ray_is_that_of_a_solid_ball():
    """Where nothing is the background shows; a dense ball hides it, and is met at its surface."""

    class Ball:
        def density(self, points):
            return (points.norm(dim=-1) < 0.5) * 400.0

        def __call__(self, points):
            return self.density(points), torch.full((len(points), 3), 0.25)

    rays = renders.Rays(torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.9, 4.0]]), torch.tensor([[0.0, 0.0, -1.0]] * 2))
    seen = march(Ball(), rays, torch.ones(32, 32, 32, dtype=torch.bool), samples=256)
    assert torch.allclose(seen.opacity, torch.tensor([1.0, 0.0]), atol=1e-4)
    assert torch.allclose(
        seen.on(torch.tensor([1.0, 0.0, 0.0])), torch.tensor([[0.25] * 3, [1.0, 0.0, 0.0]]), atol=1e-3
    )
    assert abs(float(seen.depth[0]) - 3.5) < 0.02


def test_empty_cells_are_passed_over_without_a_change():
    field, every = Grid(16), torch.ones(32, 32, 32, dtype=torch.bool)
    rays = through(
        matrices([Camera(20.0, 20.0)]).expand(400, 4, 4), torch.arange(400) // 20, torch.arange(400) % 20, 20
    )
    with torch.no_grad():
        all_, few = (march(field, rays, cells) for cells in (every, occupied(field, 2, least=1e-4)))
    assert torch.allclose(all_.opacity, few.opacity, atol=1e-3)
    assert 0 < occupied(field, 0).float().mean() < 0.5


def test_a_finer_grid_is_the_same_field():
    field = Grid(16)
    torch.nn.init.normal_(field.values, generator=torch.Generator().manual_seed(0))
    points = torch.rand(500, 3) - 0.5
    fine = field.refined(31)  # every node of 16 is one of 31
    assert torch.allclose(field.density(points), fine.density(points), atol=1e-4)


def test_what_looks_like_the_background_counts_as_a_hole_or_as_outside():
    """A pale window is enclosed: its cover is not believed. What hangs together with the frame is the background."""
    ground = torch.tensor([[0.9, 0.9, 0.9]])
    pixels = torch.full((1, 3, 16, 16), 0.91)
    pixels[:, 0, 4:12, 4:12], pixels[:, 1:, 4:12, 4:12] = 0.8, 0.1
    pixels[:, :, 7:9, 7:9] = 0.88
    piece = pools.cut_out(pixels, ground, torch.eye(4)[None], silhouette=True)
    assert torch.equal(piece.pixels[0, :, 0, 0], ground[0])
    assert piece.cover[0, 5, 5] == 1 and piece.cover[0, 0, 0] == 0
    assert piece.trust[0, 7, 7] == 0 and piece.trust[0, 5, 5] == 1 and piece.trust[0, 0, 0] == 1


def test_of_several_parts_the_largest_is_kept_closed_and_small():
    far = torch.linspace(-BOUND, BOUND, 48)
    z, y, x = torch.meshgrid(far, far, far, indexing="ij")
    big, small = (
        10 - 20 * (x - c).square().add(y.square()).add(z.square()).sqrt() / r for c, r in ((-0.3, 1.0), (0.8, 0.2))
    )
    mesh = simplified(largest(surface(torch.maximum(big, small).clamp_min(0), 1.0)), 2000)
    assert mesh.is_watertight and mesh.volume > 0 and mesh.body_count == 1 and len(mesh.faces) <= 2000
    assert abs(mesh.center_mass[0] + 0.3) < 0.02
    with pytest.raises(NoSurface, match="no surface at threshold 99"):
        surface(torch.maximum(big, small), 99.0)


def test_what_is_hollow_is_filled():
    far = torch.linspace(-BOUND, BOUND, 40)
    z, y, x = torch.meshgrid(far, far, far, indexing="ij")
    radius = (x.square() + y.square() + z.square()).sqrt()
    hollow = surface(10 - 40 * (radius - 0.6).abs(), 1.0)
    mesh = simplified(largest(hollow), 2000)
    assert mesh.is_watertight and mesh.euler_number == 2
    raw = manifold3d.Mesh(np.asarray(hollow.vertices, np.float32), np.asarray(hollow.faces, np.uint32))
    assert simplified(manifold3d.Manifold(raw), 2000).euler_number == 2, "one that was left by simplifying"
    assert abs(float(mesh.volume) - 4 / 3 * np.pi * (0.6 + 0.225) ** 3) < 0.06


def test_a_field_that_reaches_the_border_is_closed_there():
    mesh = surface(torch.full((16, 16, 16), 5.0), 1.0)
    assert mesh.is_watertight and mesh.volume > 0


@pytest.mark.parametrize("charts", ["xatlas", "squares"])
def test_colours_come_back_from_the_picture_that_is_laid_on_it(charts):
    mesh = trimesh.creation.icosphere(3)
    uv, how = unwrapped(mesh, 512) if charts == "xatlas" else (squares(len(mesh.faces), 512), "squares")
    assert how == charts and uv.min() >= 0 and uv.max() <= 1

    def paint(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
        return points / 2 + 0.5

    thing = Skinned(mesh, uv, bake(mesh, uv, 512, paint))
    hits = Surface(mesh).seen(Camera(40.0, 10.0), 64)
    place = (uv[hits.face] * hits.corner[..., None]).sum(1)
    off = np.abs(looked_up(thing.image, place) / 255 - (Surface(mesh).points(hits) / 2 + 0.5))
    assert np.median(off) < 0.01 and np.quantile(off, 0.99) < 0.06


def test_xatlas_that_takes_too_long_is_done_without():
    mesh = trimesh.creation.icosphere(2)
    uv, how = unwrapped(mesh, 256, seconds=0.01)
    assert how == "squares" and uv.shape == (len(mesh.faces), 3, 2)


def test_prompts_are_completed_and_backgrounds_can_be_told_from_the_thing():
    assert completed("a red mug", "yellow", "side") == "a big plain red mug on a yellow background, side view"
    assert (
        completed("a striped blue teapot, seen from above", "pink", None)
        == "a striped blue teapot on a pink background"
    )
    assert bare("an orange egg on a white background") == "an orange egg"
    assert {b.name for b in backgrounds("a white hat")} == {"black"}
    assert has_views("two toadstools") and not has_views("a fox")
    words = {word for names in KIND_WORDS.values() for pair in names for word in pair[:1]}
    assert {w.split()[-1] for w in words} <= TOYS


def test_density_is_sampled_as_z_y_x():
    field = Grid(16)
    field.values.data[0, 0, :, :, 12:] = 9.0  # the last axis is x
    dense = sampled(field, 16)
    assert (dense[..., 13:] > 50).all() and dense[0, 0, 0] < 1


def test_a_picture_is_inflated_round_in_front_and_closed_behind():
    """A disc with a pale eye becomes a lens: its hole is filled, its front is the picture, its back has no eye."""
    far = torch.linspace(-1, 1, 128)
    inside = (far[None].square() + far[:, None].square()).sqrt() < 0.6
    pixels = torch.full((1, 3, 128, 128), 0.9)
    pixels[0, :, inside] = torch.tensor([0.9, 0.2, 0.1])[:, None]
    pixels[0, :, 50:60, 40:50] = 0.9  # of the background's own colour, upper left
    piece = pools.cut_out(pixels, torch.full((1, 3), 0.9), torch.eye(4)[None], silhouette=True)
    field = inflated(piece)
    mesh = cut(field, occupied(field, 1), 8000).mesh
    wide, tall, deep = np.ptp(mesh.vertices, axis=0)
    assert mesh.is_watertight and mesh.euler_number == 2
    assert abs(wide - 1.2 * REACH) < 0.12 and abs(wide - tall) < 0.05 and 0.8 < deep < 1.1
    eye = torch.tensor([[(45 / 64 - 1) * REACH, (1 - 55 / 64) * REACH, z] for z in (0.3, -0.3)])
    front, back = field(eye)[1][:, 1]
    assert front > 0.7 and back < 0.5
    with pytest.raises(ValueError, match="shows nothing"):
        inflated(pools.cut_out(torch.full_like(pixels, 0.9), torch.full((1, 3), 0.9), torch.eye(4)[None], True))


def test_toys_have_the_teacher_that_turns_and_all_else_the_one_that_knows_it():
    assert ThreeDRequest("a blue mug").model == "toybox-sd-views" and ThreeDRequest("a fox").model == "toybox-sd"
    assert ThreeDRequest("a blue mug", model="toybox-sd").model == "toybox-sd"

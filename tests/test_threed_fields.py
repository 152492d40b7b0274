"""Every kind of field begins as the same cone, is fitted to true renders, and is the same after it was saved."""

import copy

import pytest
import torch

from benchmarks.shapes import f_score, visible
from tests.test_threed import photographs, truth  # noqa: F401 (fixtures)
from threed import fields, pool
from threed.field import Grid, nodes, sampled
from threed.fit import Particle, draws, fit
from threed.mesh import cut
from threed.render import matrices

ROUNDS = 8
OTHERS = [kind for kind in fields.FIELDS if kind != "grid"]


@pytest.mark.parametrize("kind", OTHERS)
def test_it_begins_as_the_grid_does(kind):
    field, points = fields.new(kind, 16), nodes(16).reshape(-1, 3)
    density, colour = field(points)
    theirs, grey = Grid(16)(points)
    assert torch.allclose(density, theirs, atol=1e-4) and torch.allclose(colour, grey)
    assert torch.equal(field.density(points), density)
    again = fields.new(kind, 16)
    assert all(torch.equal(a, b) for a, b in zip(field.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("kind", OTHERS)
def test_a_few_steps_bring_it_nearer(kind, photographs):  # noqa: F811
    pixels, colours, places = photographs
    one = Particle.new(kind=kind)
    one.keep(pool.cut_out(pixels, colours, matrices(places), silhouette=True))
    first, last = (fit(one, 0.2, 3, 0, draws(0, "rays", k)) for k in range(2))
    assert last < 0.9 * first and one.finite


@pytest.fixture(scope="module", params=["triplane", pytest.param("hash", marks=pytest.mark.slow)])
def made(request, photographs):  # noqa: F811
    pixels, colours, places = photographs
    one = Particle.new(kind=request.param)
    one.keep(pool.cut_out(pixels, colours, matrices(places), silhouette=True))
    for k in range(ROUNDS):
        fit(one, k / ROUNDS, 16, 16 * k, draws(0, "rays", k))
    return one


def test_of_true_renders_the_mesh_is_the_thing(made, truth):  # noqa: F811
    mesh = cut(made.field, made.cells, 8000).mesh
    assert mesh.is_watertight and f_score(visible(mesh), truth) > 0.8


def test_saved_and_taken_up_it_goes_on_alike(made):
    """Bit for bit, its optimiser too; a finer one has the same densities."""
    kept = copy.deepcopy(made.field.state_dict() | {"cells": made.cells})
    other = Particle.of(fields.saved(kept), made.cells, made.pool)
    other.adam.load_state_dict(copy.deepcopy(made.adam.state_dict()))
    one = made.copy()
    for each in (one, other):
        fit(each, 0.9, 3, 0, draws(0, "more"))
    assert type(other.field) is type(made.field) and other.field.side == made.field.side
    assert all(torch.equal(a, b) for a, b in zip(one.field.parameters(), other.field.parameters(), strict=True))
    finer = made.field.refined(2 * made.field.side)
    before, after = sampled(made.field, 24), sampled(finer, 24)
    assert finer.side == 2 * made.field.side and (before - after).abs().median() < 0.05 * before.max()
    assert made.field.logits(8).shape == (1, 3, 8, 8, 8)

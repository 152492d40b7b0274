"""The 27 kinds of toys, each a list of (paint, solid).

Paint is "body" (the toy's colour, with its pattern), "plain" (its colour without the pattern), "shade" (a deeper shade
of it) or a fixed detail of the palette. Toys face +z. Their size here does not matter, as `bake` fits them into a ball.
"""

from collections.abc import Callable

import numpy as np
from trimesh import Trimesh

from distill.data.toys.shapes import ball, block, disc, lathe, move, stretch, torus, tube, turn

Parts = list[tuple[str, Trimesh]]


def make_ball() -> Parts:
    return [("body", ball(1, detail=4))]


def make_cube() -> Parts:
    return [("body", block((1, 1, 1), edge=0.07))]


def make_cone() -> Parts:
    return [("body", lathe([(0, 0), (0.72, 0), (0.78, 0.03), (0.77, 0.08), (0.06, 1.5), (0.03, 1.54), (0, 1.55)]))]


def make_cylinder() -> Parts:
    return [("body", disc(0.55, 1.25, 0.06))]


def make_ring() -> Parts:
    return [("body", torus(0.7, 0.24))]


def make_pyramid() -> Parts:
    return [("body", block((1.5, 1.3, 1.5), edge=0.06, top=(0.04, 0.04)))]


def make_egg() -> Parts:
    egg = ball(0.72, detail=4)
    y = egg.vertices[:, 1]
    egg.vertices[:, [0, 2]] *= (1 - 0.22 * y / 0.72 * (y > 0) - 0.04 * y)[:, None]
    return [("body", stretch(egg, (1, 1.32, 1)))]


def make_mug() -> Parts:
    profile = [(0, 0), (0.46, 0), (0.52, 0.04), (0.54, 0.12), (0.54, 1.06), (0.53, 1.1), (0.49, 1.1), (0.47, 1.06)]
    handle = tube([(0.5, 0.86, 0), (0.8, 0.92, 0), (0.98, 0.6, 0), (0.84, 0.26, 0), (0.5, 0.26, 0)], 0.085)
    inside = lathe([(0.47, 1.06), (0.46, 0.2), (0.38, 0.12), (0, 0.12)])
    return [("body", lathe(profile)), ("plain", handle), ("cream", inside)]


def make_bottle() -> Parts:
    profile = [(0, 0), (0.36, 0), (0.43, 0.03), (0.43, 0.1), (0.43, 0.95), (0.42, 1.12), (0.2, 1.3), (0.16, 1.4)]
    neck = [(0.16, 1.4), (0.16, 1.68), (0.2, 1.68), (0.2, 1.78), (0, 1.78)]
    return [
        ("body", lathe(profile, soft=1)),
        ("plain", lathe(neck)),
        ("wood", disc(0.15, 0.26, 0.04, at=(0, 1.84, 0))),
    ]


def make_teapot() -> Parts:
    body = lathe([(0, 0), (0.42, 0), (0.5, 0.05), (0.78, 0.4), (0.74, 0.72), (0.44, 0.98), (0.36, 0.98)], soft=2)
    lid = lathe([(0.42, 0.94), (0.42, 1.0), (0.3, 1.08), (0, 1.12)], soft=1)
    spout = tube([(-0.5, 0.4, 0), (-0.88, 0.42, 0), (-0.96, 0.78, 0), (-1.2, 0.92, 0)], [0.2, 0.16, 0.1, 0.085])
    handle = tube([(0.56, 0.8, 0), (1.06, 0.98, 0), (1.16, 0.46, 0), (0.62, 0.26, 0)], 0.085)
    return [
        ("body", body),
        ("plain", lid),
        ("plain", spout),
        ("plain", handle),
        ("shade", ball(0.12, (0, 1.18, 0), detail=2)),
    ]


def make_house() -> Parts:
    roof = block((1.62, 0.68, 1.5), (0, 1.2, 0), edge=0.05, top=(0.06, 1))
    panes = [("pale", block((0.28, 0.28, 0.06), (x, 0.58, 0.61), edge=0.03)) for x in (-0.38, 0.38)]
    sides = [("pale", block((0.06, 0.28, 0.3), (x, 0.52, 0), edge=0.03)) for x in (-0.66, 0.66)]
    return [
        ("body", block((1.3, 0.95, 1.2), (0, 0.47, 0), edge=0.04)),
        ("shade", roof),
        ("shade", block((0.2, 0.5, 0.2), (0.42, 1.42, -0.2), edge=0.03)),
        ("wood", block((0.28, 0.54, 0.06), (0, 0.29, 0.61), edge=0.03)),
        *panes,
        *sides,
    ]


def make_tree() -> Parts:
    tiers = [(0.78, 0.34, 0.62), (0.62, 0.74, 0.58), (0.44, 1.1, 0.58)]
    crown = [
        ("body", lathe([(0, y), (r * 0.94, y), (r, y + 0.05), (r * 0.93, y + 0.11), (0.05, y + h), (0, y + h)], soft=1))
        for r, y, h in tiers
    ]
    return [("wood", lathe([(0, -0.1), (0.2, -0.1), (0.16, 0.1), (0.15, 0.5)])), *crown]


def make_mushroom() -> Parts:
    cap = lathe([(0.0, 0.8), (0.66, 0.7), (0.84, 0.74), (0.82, 1.06), (0.48, 1.42), (0, 1.46)], soft=2)
    stem = lathe([(0, 0), (0.32, 0), (0.4, 0.08), (0.3, 0.4), (0.25, 0.84)], soft=1)
    return [("body", cap), ("cream", stem)]


def make_car() -> Parts:
    wheels = []
    for x in (-0.5, 0.5):
        for z in (-0.62, 0.62):
            wheels.append(("dark", move(turn(disc(0.27, 0.22, 0.06), "z", 90), (x, 0.27, z))))
            wheels.append(("metal", move(turn(disc(0.12, 0.26, 0.03), "z", 90), (x, 0.27, z))))
    cabin = block((0.86, 0.46, 1.05), (0, 0.9, -0.12), edge=0.1, top=(0.84, 0.72))
    glass = [
        ("pale", block((0.9, 0.26, 0.34), (0, 0.88, 0.13), edge=0.04, top=(0.88, 0.72))),
        ("pale", block((0.9, 0.26, 0.34), (0, 0.88, -0.37), edge=0.04, top=(0.88, 0.72))),
        ("pale", block((0.62, 0.26, 1.0), (0, 0.88, -0.12), edge=0.04, top=(0.86, 0.84))),
    ]
    lamps = [("glow", ball(0.1, (x, 0.54, 1.07), (1, 1, 0.6), detail=2)) for x in (-0.33, 0.33)]
    rear = [("carrot", ball(0.07, (x, 0.56, -1.08), (1, 1, 0.6), detail=2)) for x in (-0.36, 0.36)]
    bumper = [("metal", block((0.94, 0.1, 0.08), (0, 0.33, z), edge=0.04)) for z in (-1.1, 1.1)]
    hull = block((1.0, 0.46, 2.2), (0, 0.5, 0), edge=0.16)
    return [("body", hull), ("plain", cabin), *glass, *wheels, *lamps, *rear, *bumper]


def make_boat() -> Parts:
    hull = block((0.98, 0.52, 2.0), (0, 0.25, 0), edge=0.1, top=(1.22, 1.1))
    z = hull.vertices[:, 2]
    pinch = 1 - 0.82 * (z > 0) * (abs(z) / 1.12) ** 2.2 - 0.25 * (z < 0) * (abs(z) / 1.12) ** 3
    hull.vertices[:, 0] *= pinch
    hull.vertices[:, 1] += 0.14 * (z / 1.1) ** 2 * (hull.vertices[:, 1] > 0.2)
    sail = block((0.07, 1.36, 0.96), (0, 1.3, -0.44), edge=0.03, top=(0.6, 0.06))
    sail.vertices[:, 2] += (sail.vertices[:, 1] - 0.62) * 0.335
    sail.vertices[:, 0] += 0.34 * np.sin(np.clip((0.1 - sail.vertices[:, 2]) / 1.05, 0, 1) * 2.2) - 0.02
    jib = block((0.06, 1.08, 0.66), (0, 1.16, 0.46), edge=0.03, top=(0.6, 0.06))
    jib.vertices[:, 2] -= (jib.vertices[:, 1] - 0.62) * 0.26
    jib.vertices[:, 0] += 0.26 * np.sin(np.clip((0.84 - jib.vertices[:, 2]) / 0.7, 0, 1) * 2.2)
    return [
        ("body", hull),
        ("wood", tube([(0, 0.4, 0.1), (0, 2.06, 0.1)], 0.045, soft=0)),
        ("plain", sail),
        ("cream", jib),
    ]


def make_rocket() -> Parts:
    body = lathe([(0, 0.2), (0.3, 0.2), (0.36, 0.3), (0.46, 0.8), (0.42, 1.3), (0.3, 1.62)], soft=2)
    nose = lathe([(0.3, 1.6), (0.27, 1.7), (0.14, 1.98), (0, 2.12)], soft=1)
    fins = []
    for k in range(4):
        fin = block((0.5, 0.62, 0.1), (0.52, 0.3, 0), edge=0.05, top=(0.5, 1))
        fin.vertices[:, 1] -= (fin.vertices[:, 0] - 0.3) * 0.6
        fin.vertices[:, 0] -= 0.08
        fins.append(("shade", turn(fin, "y", 45 + 90 * k)))
    window = [
        ("metal", move(turn(disc(0.19, 0.1, 0.04), "x", 90), (0, 1.12, 0.42))),
        ("pale", move(turn(disc(0.13, 0.12, 0.04), "x", 90), (0, 1.12, 0.43))),
    ]
    return [("body", body), ("shade", nose), ("dark", lathe([(0, 0.08), (0.26, 0.08), (0.2, 0.26)])), *fins, *window]


def make_aeroplane() -> Parts:
    hull = ball(0.36, (0, 0, 0), (1, 1, 3.1), detail=4)
    back = hull.vertices[:, 2] < 0
    hull.vertices[back, 1] += 0.16 * (hull.vertices[back, 2] / 1.1) ** 2
    wings = block((2.5, 0.09, 0.56), (0, 0.02, 0.1), edge=0.045)
    wings.vertices[:, 2] -= abs(wings.vertices[:, 0]) * 0.22
    wings.vertices[:, 2] = (wings.vertices[:, 2] - 0.0) * (1 - 0.2 * abs(wings.vertices[:, 0]) / 1.25)
    tail = block((1.0, 0.08, 0.34), (0, 0.2, -0.92), edge=0.04)
    fin = block((0.08, 0.56, 0.4), (0, 0.46, -0.94), edge=0.04, top=(1, 0.6))
    fin.vertices[:, 2] -= (fin.vertices[:, 1] - 0.2) * 0.3
    blades = block((0.1, 0.86, 0.06), (0, 0, 1.16), edge=0.03)
    glass = ball(0.25, (0, 0.24, 0.36), (0.9, 0.75, 1.5))
    return [
        ("body", hull),
        ("body", wings),
        ("shade", tail),
        ("shade", fin),
        ("pale", glass),
        ("dark", blades),
        ("cream", ball(0.14, (0, 0, 1.1), (1, 1, 1), detail=2)),
    ]


def make_chair() -> Parts:
    legs = [("body", block((0.15, 0.72, 0.15), (x, 0.36, z), edge=0.05)) for x in (-0.4, 0.4) for z in (-0.4, 0.4)]
    posts = [("body", block((0.13, 0.95, 0.13), (x, 1.2, -0.42), edge=0.05)) for x in (-0.41, 0.41)]
    slats = [("body", block((0.86, 0.2, 0.1), (0, y, -0.42), edge=0.05)) for y in (1.2, 1.56)]
    return [("body", block((1.02, 0.16, 1.02), (0, 0.74, 0), edge=0.06)), *legs, *posts, *slats]


def make_table() -> Parts:
    legs = [("plain", block((0.17, 0.86, 0.17), (x, 0.43, z), edge=0.05)) for x in (-0.72, 0.72) for z in (-0.42, 0.42)]
    return [
        ("body", block((1.86, 0.17, 1.24), (0, 0.92, 0), edge=0.06)),
        ("plain", block((1.5, 0.14, 0.9), (0, 0.8, 0), edge=0.03)),
        *legs,
    ]


def make_sofa() -> Parts:
    arms = [("body", block((0.3, 0.62, 0.94), (x, 0.46, 0), edge=0.13)) for x in (-0.98, 0.98)]
    seats = [("body", block((0.84, 0.26, 0.76), (x, 0.48, 0.1), edge=0.1)) for x in (-0.42, 0.42)]
    backs = [("body", block((0.84, 0.66, 0.26), (x, 0.78, -0.3), edge=0.11)) for x in (-0.42, 0.42)]
    feet = [("wood", block((0.12, 0.2, 0.12), (x, 0.06, z), edge=0.04)) for x in (-0.95, 0.95) for z in (-0.34, 0.34)]
    return [
        ("plain", block((2.1, 0.3, 0.9), (0, 0.28, 0), edge=0.08)),
        ("body", block((2.1, 0.86, 0.2), (0, 0.6, -0.42), edge=0.1)),
        *arms,
        *seats,
        *backs,
        *feet,
    ]


def make_lamp() -> Parts:
    shade = lathe([(0.66, 0.98), (0.7, 0.98), (0.4, 1.66), (0.36, 1.66)])
    inside = lathe([(0.36, 1.65), (0.66, 0.985)])
    return [
        ("body", shade),
        ("glow", inside),
        ("glow", ball(0.17, (0, 1.2, 0), detail=2)),
        ("wood", lathe([(0.05, 0.1), (0.18, 0.24), (0.22, 0.4), (0.08, 0.62), (0.05, 0.7), (0.05, 1.2)], soft=2)),
        ("wood", disc(0.36, 0.12, 0.05, at=(0, 0.06, 0))),
    ]


def make_hat() -> Parts:
    brim = lathe([(0, 0.02), (0.7, -0.02), (1.12, 0.08), (1.14, 0.13), (0.74, 0.06), (0.5, 0.1)], soft=1)
    crown = lathe([(0.6, 0.06), (0.58, 0.3), (0.52, 0.72), (0.36, 0.84), (0, 0.74)], soft=1)
    band = lathe([(0.6, 0.1), (0.625, 0.12), (0.605, 0.28), (0.57, 0.3)])
    return [("plain", brim), ("body", crown), ("dark", band)]


def make_key() -> Parts:
    bow = stretch(torus(0.36, 0.13), (1, 1, 1))
    shaft = tube([(0, -0.45, 0), (0, -1.7, 0)], 0.115, soft=0)
    bits = [
        block((0.4, 0.16, 0.16), (0.24, -1.3, 0), edge=0.05),
        block((0.32, 0.16, 0.16), (0.2, -1.62, 0), edge=0.05),
    ]
    collar = turn(torus(0.12, 0.06), "x", 90)
    return [("body", bow), ("body", shaft), *[("body", b) for b in bits], ("body", move(collar, (0, -0.55, 0)))]


def make_snowman() -> Parts:
    coals = [("ink", ball(0.055, (0, y, z), detail=2)) for y, z in ((0.86, 0.43), (1.06, 0.46), (1.24, 0.42))]
    eyes = [("ink", ball(0.06, (x, 1.7, 0.31), detail=2)) for x in (-0.13, 0.13)]
    nose = move(turn(lathe([(0.075, 0), (0.05, 0.16), (0, 0.36)]), "x", 90), (0, 1.59, 0.33))
    arms = [("wood", tube([(s * 0.4, 1.16, 0), (s * 0.72, 1.3, 0.06), (s * 0.94, 1.52, 0.1)], 0.04)) for s in (-1, 1)]
    hat = [
        ("dark", disc(0.36, 0.06, 0.03, at=(0, 1.92, 0))),
        ("dark", disc(0.24, 0.36, 0.04, at=(0, 2.1, 0))),
    ]
    return [
        ("body", ball(0.62, (0, 0.5, 0), (1, 0.92, 1))),
        ("body", ball(0.47, (0, 1.12, 0))),
        ("body", ball(0.35, (0, 1.64, 0))),
        ("carrot", nose),
        *coals,
        *eyes,
        *arms,
        *hat,
    ]


def make_robot() -> Parts:
    eyes = [("glow", move(turn(disc(0.13, 0.1, 0.04), "x", 90), (x, 1.62, 0.36))) for x in (-0.2, 0.2)]
    pupils = [("ink", ball(0.055, (x, 1.62, 0.41), detail=2)) for x in (-0.2, 0.2)]
    arms = [("metal", tube([(s * 0.5, 1.04, 0), (s * 0.74, 0.94, 0), (s * 0.78, 0.56, 0.1)], 0.09)) for s in (-1, 1)]
    hands = [("plain", ball(0.15, (s * 0.78, 0.48, 0.12), detail=2)) for s in (-1, 1)]
    legs = [("metal", tube([(s * 0.24, 0.4, 0), (s * 0.24, 0.1, 0)], 0.1, soft=0)) for s in (-1, 1)]
    feet = [("plain", block((0.34, 0.18, 0.46), (s * 0.25, 0.0, 0.06), edge=0.08)) for s in (-1, 1)]
    panel = [("pale", block((0.44, 0.28, 0.06), (0, 0.88, 0.34), edge=0.03))]
    antenna = [
        ("metal", tube([(0, 1.9, 0), (0, 2.14, 0)], 0.035, soft=0)),
        ("glow", ball(0.09, (0, 2.18, 0), detail=2)),
    ]
    head = block((0.86, 0.66, 0.7), (0, 1.6, 0), edge=0.12)
    mouth = [("dark", block((0.34, 0.07, 0.06), (0, 1.42, 0.34), edge=0.03))]
    chest = block((0.92, 0.86, 0.64), (0, 0.78, 0), edge=0.1)
    ears = [("metal", move(turn(disc(0.11, 0.1, 0.03), "z", 90), (s * 0.46, 1.6, 0))) for s in (-1, 1)]
    return [
        ("body", chest), ("plain", head), *eyes, *pupils, *arms, *hands, *legs, *feet, *panel, *antenna, *mouth, *ears
    ]  # fmt: skip


def make_bird() -> Parts:
    body = ball(0.62, (0, 0.62, 0), (0.92, 0.9, 1.12), detail=4)
    tail = turn(block((0.34, 0.1, 0.62), (0, 0, 0), edge=0.05), "x", 24)
    wings = [("shade", move(turn(ball(0.4, by=(0.22, 0.66, 1.15)), "x", 14), (s * 0.55, 0.64, -0.1))) for s in (-1, 1)]
    eyes = [("ink", ball(0.07, (s * 0.24, 1.3, 0.68), detail=2)) for s in (-1, 1)]
    beak = move(turn(lathe([(0.13, 0), (0.1, 0.1), (0, 0.34)]), "x", 90), (0, 1.16, 0.76))
    legs = [("carrot", tube([(s * 0.2, 0.2, 0.02), (s * 0.2, -0.12, 0.02)], 0.05, soft=0)) for s in (-1, 1)]
    feet = [("carrot", block((0.22, 0.06, 0.32), (s * 0.2, -0.14, 0.1), edge=0.03)) for s in (-1, 1)]
    return [
        ("body", body),
        ("body", ball(0.42, (0, 1.18, 0.42))),
        ("cream", ball(0.5, (0, 0.52, 0.24), (0.84, 0.82, 1.02))),
        ("shade", move(tail, (0, 0.82, -0.86))),
        ("carrot", beak),
        *wings,
        *eyes,
        *legs,
        *feet,
    ]


def make_fish() -> Parts:
    body = ball(0.62, (0, 0, 0.1), (0.58, 0.86, 1.32), detail=4)
    tail = []
    for s in (-1, 1):
        lobe = ball(0.32, by=(0.22, 0.62, 1.3))
        tail.append(("shade", move(turn(lobe, "x", s * 42), (0, s * 0.26, -0.96))))
    top = move(turn(ball(0.34, by=(0.2, 0.8, 1.3)), "x", 16), (0, 0.5, 0.0))
    under = move(turn(ball(0.2, by=(0.24, 0.9, 1.2)), "x", -30), (0, -0.52, 0.06))
    sides = [("shade", move(turn(turn(ball(0.22, by=(0.22, 0.7, 1.3)), "x", 30), "y", s * -28), (s * 0.38, -0.12, 0.1)))
             for s in (-1, 1)]  # fmt: skip
    eyes = [("snow", ball(0.135, (s * 0.235, 0.13, 0.62), (0.7, 1, 1), detail=2)) for s in (-1, 1)]
    pupils = [("ink", ball(0.075, (s * 0.305, 0.13, 0.66), (0.6, 1, 1), detail=2)) for s in (-1, 1)]
    return [("body", body), *tail, ("shade", top), ("shade", under), *sides, *eyes, *pupils]


MAKERS = (
    make_ball, make_cube, make_cone, make_cylinder, make_ring, make_pyramid, make_egg, make_mug, make_bottle,
    make_teapot, make_house, make_tree, make_mushroom, make_car, make_boat, make_rocket, make_aeroplane, make_chair,
    make_table, make_sofa, make_lamp, make_hat, make_key, make_snowman, make_robot, make_bird, make_fish,
)  # fmt: skip
KINDS: dict[str, Callable[[], Parts]] = {make.__name__.removeprefix("make_"): make for make in MAKERS}
# Share of the frame's ball that a toy spans, for kinds that would look too big beside the others at 1.
FILL = {"ball": 0.84, "cube": 0.98, "egg": 0.92, "ring": 0.92, "cylinder": 0.95}
# Toys whose front, sides and back look different.
FACED = frozenset({"house", "car", "boat", "aeroplane", "chair", "sofa", "snowman", "robot", "bird", "fish", "rocket"})
# Toys that are longer than wide; pictures show them from the side more often.
LONG = frozenset({"car", "boat", "aeroplane", "bird", "fish"})
# Toys that are too thin to be recognised edge-on.
FLAT = frozenset({"key", "ring"})
# The direction across the stripes, with the number of stripes in a unit as its length; upwards and 3.4 for other kinds.
STRIPES = {
    "cube": (2.2, 2.2, 2.2),
    "pyramid": (0, 4.2, 0),
    "ring": (2.6, 2.6, 0),
    "teapot": (0, 5.2, 0),
    "house": (0, 4.6, 0),
    "hat": (0, 4.6, 0),
    "table": (4.2, 0, 0),
    "sofa": (4.6, 0, 0),
    "chair": (3.6, 1.0, 0),
    "car": (0, 0, 3.4),
    "boat": (0, 0, 3.4),
    "aeroplane": (0, 0, 4.2),
    "bird": (0, 1.2, 3.2),
    "fish": (0, 0.8, 3.6),
}
# Surfaces that things can stand on, in the solid's own units: (height, half width, half depth).
STANDS = {
    "cube": (0.5, 0.46, 0.46),
    "cylinder": (0.625, 0.5, 0.5),
    "table": (1.005, 0.88, 0.58),
    "chair": (0.82, 0.46, 0.4),
    "sofa": (0.61, 0.8, 0.3),
}

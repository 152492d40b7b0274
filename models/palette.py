"""The colours of toys, their backgrounds and their fixed details, as sRGB triples of 0 to 255.

The colours were tuned by eye to look well together under a warm lamp; they come from no standard.
"""

COLOURS = {
    "red": (214, 52, 48),
    "orange": (240, 132, 40),
    "yellow": (248, 204, 56),
    "green": (84, 168, 76),
    "teal": (28, 158, 156),
    "blue": (52, 100, 206),
    "purple": (132, 76, 186),
    "pink": (242, 132, 172),
    "brown": (122, 76, 48),
    "white": (242, 240, 236),
    "grey": (136, 138, 144),
    "black": (46, 46, 52),
}
BACKGROUNDS = {
    "white": (250, 249, 246),
    "grey": (194, 196, 200),
    "black": (26, 26, 30),
    "blue": (178, 206, 238),
    "green": (190, 222, 180),
    "pink": (250, 206, 216),
    "yellow": (252, 234, 166),
    "purple": (212, 198, 236),
}
DETAILS = {
    "dark": (62, 60, 68),
    "ink": (30, 30, 36),
    "pale": (206, 230, 242),
    "wood": (158, 112, 70),
    "cream": (250, 240, 220),
    "snow": (250, 250, 248),
    "metal": (178, 184, 194),
    "carrot": (244, 146, 44),
    "glow": (255, 226, 140),
}
# Pairs of a toy's colour and a background that are not drawn, as the toy could not be seen.
UNSEEN = frozenset({("black", "black")})


def shade(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """A deeper shade of a toy's own colour, for roofs and fins."""
    r, g, b = colour
    return int(r * 0.72), int(g * 0.70), int(b * 0.74)


def marking(colour: str) -> tuple[int, int, int]:
    """The colour of stripes and dots: cream, but slate on white."""
    return (92, 98, 116) if colour == "white" else (252, 244, 228)

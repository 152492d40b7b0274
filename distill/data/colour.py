"""The colour of a drawing, where one colour word is true of most of its pixels."""

import numpy as np
from PIL import Image

SEEN = 128  # least alpha of a pixel that is part of the drawing
MOST = 0.62  # least share of the drawing that its colour covers
GREY, PALE, DARK = (
    0.2,
    0.86,
    0.46,
)  # saturation below which a pixel is grey; value above which a grey is white, and below which it is black
HUES = ((12, "red"), (34, "orange"), (66, "yellow"), (165, "green"), (192, "teal"), (252, "blue"), (292, "purple"),
        (334, "pink"), (361, "red"))  # fmt: skip
NAMES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "white", "grey", "black")


def named(pixels: np.ndarray) -> np.ndarray:
    """The colour word of each pixel, as an index into `NAMES`: uint8 [N, 3] -> int [N]."""
    rgb = pixels.astype(float) / 255
    high, low = rgb.max(1), rgb.min(1)
    spread = np.maximum(high - low, 1e-6)
    r, g, b = rgb.T
    hue = (
        np.where(high == r, (g - b) / spread % 6, np.where(high == g, (b - r) / spread + 2, (r - g) / spread + 4)) * 60
    )
    edges, words = zip(*HUES, strict=True)
    indices = np.array([NAMES.index(w) for w in words])[np.searchsorted(edges, hue, side="right")]
    saturation = spread / np.maximum(high, 1e-6)
    reddish = (hue < 12) | (hue > 350)
    indices[(hue < 44) & ((high < 0.66) | ((hue > 14) & (saturation < 0.64)))] = NAMES.index("brown")
    indices[reddish & (saturation < 0.5) & (high > 0.8)] = NAMES.index("pink")
    plain = saturation < GREY
    indices[plain & (high > PALE)] = NAMES.index("white")
    indices[plain & (high <= PALE)] = NAMES.index("grey")
    indices[(high < DARK) & (saturation < 0.5)] = NAMES.index("black")
    return indices


def colour_of(drawing: Image.Image) -> str | None:
    """The colour word for most of an RGBA drawing; None where no word covers enough. Yellow and orange are
    counted together, as gold is both."""
    pixels = np.asarray(drawing.resize((48, 48))).reshape(-1, 4)
    seen = pixels[pixels[:, 3] >= SEEN, :3]
    counts = np.bincount(named(seen), minlength=len(NAMES))
    best = int(counts.argmax())
    gold = [NAMES.index("yellow"), NAMES.index("orange")]
    covered = counts[gold].sum() if best in gold else counts[best]
    return NAMES[best] if covered >= MOST * len(seen) else None

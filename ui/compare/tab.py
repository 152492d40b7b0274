"""Compare: one prompt and seed across chosen models, side by side, with time and size (ui/js/compare.js)."""

from ui.create.tab import part
from ui.desk import Desk


class Compare:
    """Builds the page inside the current Blocks."""

    def __init__(self, desk: Desk):
        part("compare", "compare-part", desk.serve("paint", "stop", "models"))

"""Compare: one prompt and seed across chosen models, side by side, with time and size (compare.js)."""

from typing import Any

from ui import menu, pictures
from ui.desk import Desk
from ui.painting import large, paint, stop
from ui.part import part
from ui.tab import Tab


def build(desk: Desk) -> None:
    shown = desk.serve_painting(paint, large, pictures.favourite, pictures.download, pictures.full)
    part("compare", "compare-part", [*shown, *desk.serve(stop, models, pictures.remove)])


def models(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The models that can be compared, with steps, size on disk, and the reason where one can't run here."""
    return {"models": menu.compared(desk.place)}


TAB = Tab("Compare", "compare", build, scripts=("sheet", "compare"), styles=("compare",), takes_words=True)

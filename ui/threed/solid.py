"""The server function behind "Make it solid": a picture of Create becomes a job that inflates it."""

from typing import Any

from core import inputs
from models.request import text_of
from ui.desk import Desk
from ui.jobs.desk import JobsDesk, Served, Visitor


def solid_of(desk: Desk) -> Served:
    """Of a desk, whose pictures it takes."""

    def solid(jobs: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        png, made = desk.png(data)
        request = {"prompt": text_of(made), "preset": "draft", "picture": inputs.keep(png, "png")}
        return {"id": jobs.submit("threed", request, visitor).id}

    return solid

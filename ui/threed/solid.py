"""The server function of "Make it solid": it submits a job that inflates a picture of Create."""

from typing import Any

from core import inputs
from models.request import text_of
from ui.desk import Desk
from ui.jobs.desk import JobsDesk, Served, Visitor


def solid_of(desk: Desk) -> Served:
    """The function for the pictures of this desk."""

    def solid(jobs: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        png, made = desk.png(data)
        request = {"prompt": text_of(made), "preset": "draft", "picture": inputs.keep(png, "png")}
        return {"id": jobs.submit("threed", request, visitor).id}

    return solid

"""The button "More different from these": it stores the latents of a wall, from which the next pictures keep away
(SPELL)."""

from typing import Any

from models import catalogue
from models.request import ImageRequest
from ui.desk import Desk
from ui.wire import text

MOST = 64  # most stored pictures


def unlike(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Store the pictures of `requests` with those of `unlike`, for the model that paints next; returns their hash."""
    import torch

    from models import families, stored

    requests, model = data.get("requests"), text(data, "model", 200)
    if not isinstance(requests, list) or not 1 <= len(requests) <= 16:
        raise ValueError("requests must be a list of 1 to 16 requests, each of one picture")
    desk.refuse(model)
    pictures = [desk.picture(ImageRequest.from_dict(one), data).convert("RGB") for one in requests]
    coder = catalogue.chain(catalogue.get(model))[-1].id
    with desk.turns.engine.crew([model]) as crew:
        latents = families.latents(crew[model], pictures)
    if before := text(data, "unlike", 64):
        latents = torch.cat([stored.kept(before, coder), latents])[-MOST:]
    return {"unlike": stored.keep(latents, coder), "count": len(latents)}

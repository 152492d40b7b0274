"""The checklist of a finished thing."""

from typing import Any

import numpy as np

from models.views import Camera
from threed.fit import Particle
from threed.mesh import Cut, ring
from threed.render import picture
from threed.surface import Surface

SIZE = 96
FOGGY, SOLID = (0.03, 0.6), 0.6


def checklist(cut: Cut, one: Particle, surface: Surface) -> dict[str, Any]:
    """Facts about the mesh, and its agreement with the field that it was cut out of."""
    mesh, pairs = cut.mesh, [opacities(one, surface, camera) for camera in ring()]
    nerf, solid = (np.stack(x) for x in zip(*pairs, strict=True))
    hidden = nerf > 0.5
    return {
        "watertight": bool(mesh.is_watertight),
        "faces": len(mesh.faces),
        "tunnels": 1 - mesh.euler_number // 2,
        "volume": round(float(mesh.volume), 4),
        "threshold": round(cut.threshold, 3),
        "silhouettes": round(float((hidden & solid).sum() / max((hidden | solid).sum(), 1)), 4),
        "fog": round(float(((nerf > FOGGY[0]) & (nerf < FOGGY[1])).sum() / max((nerf > SOLID).sum(), 1)), 4),
    }


def opacities(one: Particle, surface: Surface, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The opacity of the field, and whether a ray hits the mesh, [SIZE, SIZE] each."""
    return picture(one.field, camera, SIZE, one.cells)[1].numpy(), surface.silhouette(camera, SIZE)

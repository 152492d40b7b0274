"""The server function of the threshold slider of a finished thing: the bare surface at another threshold."""

import base64
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from core.files import LRU
from ui.jobs.desk import JobsDesk, Visitor

if TYPE_CHECKING:
    from threed.trial import Trial

HELD = 4  # densities of things in the cache, 1.5 MB each
LOW, HIGH = 0.6, 30.0  # thresholds that can be tried

_trials: "LRU[str, Trial]" = LRU(HELD)
_lock = threading.Lock()


def trial(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """The mesh at a threshold as arrays in base64, and the agreement of its silhouettes with the field's."""
    from threed.trial import Trial

    job, threshold = desk.own(data.get("id"), visitor), data.get("threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not LOW <= threshold <= HIGH:
        raise ValueError(f"threshold must be a number from {LOW} to {HIGH}")
    with _lock:
        if (kept := _trials.get(job.id)) is None:
            _trials.put(job.id, kept := Trial.read(desk.store.run(job.id) / "object"))
        mesh = kept.cut(threshold)
    arrays = {
        "positions": np.asarray(mesh.vertices, np.float32),
        "normals": np.asarray(mesh.vertex_normals, np.float32),
        "corners": np.asarray(mesh.faces, np.uint32),
    }
    return {k: base64.b64encode(v.tobytes()).decode() for k, v in arrays.items()} | {
        "faces": len(mesh.faces),
        "closed": bool(mesh.is_watertight),
        "agreement": kept.agrees(threshold),
    }

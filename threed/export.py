"""The files of a finished thing; each carries its request."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from trimesh.visual import ColorVisuals

from core import animation
from core.files import whole_file
from models.picture import XMP, XMP_KEY
from models.views import Camera
from threed.glb import glb
from threed.request import ThreeDRequest
from threed.surface import Skinned, Surface

NAME = "object"
MILLIMETRES = 50.0  # of a unit: a thing is about ten centimetres tall
FRAMES, SIDE, SECONDS, ELEVATION = 36, 192, 3.0, 18.0  # of the turntable
PAPER = (0.98, 0.976, 0.965)  # its background


def png(image: np.ndarray) -> bytes:
    """The texture as a PNG, with the IPTC's mark for AI."""
    info, out = PngInfo(), io.BytesIO()
    info.add_itxt(XMP_KEY, XMP)
    Image.fromarray(image).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def turntable(thing: Skinned, frames: int = FRAMES, side: int = SIDE) -> list[Image.Image]:
    """The frames of one turn around the thing, from the front."""
    surface = Surface(thing.mesh)
    cameras = [Camera(360 * k / frames, ELEVATION, 4.3) for k in range(frames)]
    pictures = [thing.picture(surface, camera, side, PAPER) for camera in cameras]
    return [Image.fromarray((p.permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)) for p in pictures]


def animations(thing: Skinned) -> dict[str, bytes]:
    """The turntable as every kind that can be written here, by the name of its file."""
    frames = turntable(thing)
    times = [int(1000 * SECONDS / len(frames))] * len(frames)
    kinds = [kind for kind in animation.KINDS if not animation.missing(kind)]
    return {f"turntable.{kind}": animation.animated(frames, kind, times) for kind in kinds}


def vertex_colours(thing: Skinned) -> np.ndarray:
    """The colour of each vertex, uint8 [V, 4]: the texture at its first corner."""
    faces, side = np.asarray(thing.mesh.faces).reshape(-1), len(thing.image)
    _, first = np.unique(faces, return_index=True)
    x, y = (thing.uv.reshape(-1, 2)[first] * side).astype(int).clip(0, side - 1).T
    colours = thing.image[side - 1 - y, x]
    return np.concatenate([colours, np.full((len(colours), 1), 255, np.uint8)], 1)


def obj_zip(thing: Skinned, image: bytes) -> bytes:
    """A ZIP of OBJ, MTL and texture in one folder, as other programs expect them."""
    mesh, uv = thing.mesh, thing.uv.reshape(-1, 2)
    lines = [f"mtllib {NAME}.mtl", f"usemtl {NAME}"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in np.asarray(mesh.vertices)]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in np.asarray(mesh.vertex_normals)]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv]
    for k, face in enumerate(np.asarray(mesh.faces) + 1):
        lines.append("f " + " ".join(f"{v}/{3 * k + c + 1}/{v}" for c, v in enumerate(face)))
    look = f"newmtl {NAME}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {NAME}.png\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in ((f"{NAME}.obj", "\n".join(lines)), (f"{NAME}.mtl", look), (f"{NAME}.png", image)):
            z.writestr(zipfile.ZipInfo(name), data)  # without a date, so that equal things give equal files
    return out.getvalue()


def write(folder: Path, thing: Skinned, request: ThreeDRequest, facts: dict[str, Any]) -> list[str]:
    """Write every format; each file appears whole or not at all. Returns the names, the GLB first."""
    folder.mkdir(parents=True, exist_ok=True)
    image = png(thing.image)
    extras = {"request": request.to_dict(), "made": facts, "digitalSourceType": "trainedAlgorithmicMedia"}
    bare = trimesh.Trimesh(thing.mesh.vertices, thing.mesh.faces, process=False)
    solid = bare.copy()
    solid.apply_scale(MILLIMETRES)
    bare.visual = ColorVisuals(bare, vertex_colors=vertex_colours(thing))
    made: dict[str, Any] = {
        f"{NAME}.glb": glb(thing, image, extras, request.prompt[:80]),
        f"{NAME}.zip": obj_zip(thing, image),
        f"{NAME}.ply": bare.export(file_type="ply"),
        f"{NAME}.stl": solid.export(file_type="stl"),
        **animations(thing),
    }
    for name, data in made.items():
        with whole_file(folder / name, lasting=True) as part:
            part.write_bytes(data)
    return list(made)

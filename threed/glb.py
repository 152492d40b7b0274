"""A textured mesh as one GLB file (glTF 2.0): +Y up, +Z front, unlit, with its request in `asset.extras`.

The file is written here, so that the texture keeps its own metadata and viewers get two facts: the light is in the
colours, and the texture does not repeat.
"""

import json
import struct
from typing import Any

import numpy as np

from threed.surface import Skinned

FLOAT, UINT = 5126, 5125
CLAMP, LINEAR = 33071, 9729


def _padded(data: bytes, fill: bytes) -> bytes:
    return data + fill * (-len(data) % 4)


class _Blob:
    """The binary chunk, with the views and accessors into it."""

    def __init__(self):
        self.data, self.views, self.accessors = b"", [], []

    def view(self, data: bytes) -> int:
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        self.data += _padded(data, b"\0")
        return len(self.views) - 1

    def array(self, values: np.ndarray, kind: str, bounds: bool = False) -> int:
        component = UINT if values.dtype == np.uint32 else FLOAT
        made: dict[str, Any] = {"bufferView": self.view(values.tobytes()), "componentType": component}
        made |= {"count": len(values), "type": kind}
        made |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()} if bounds else {}
        self.accessors.append(made)
        return len(self.accessors) - 1


def glb(thing: Skinned, png: bytes, extras: dict[str, Any], name: str) -> bytes:
    """The bytes of the file. Corners with the same vertex and texture coordinates are merged; normals are smooth."""
    faces = np.asarray(thing.mesh.faces)
    corner = np.concatenate([faces.reshape(-1, 1), thing.uv.reshape(-1, 2)], 1)
    unique, index = np.unique(corner.round(7), axis=0, return_inverse=True)
    vertex = unique[:, 0].astype(int)
    uv = np.stack([unique[:, 1], 1 - unique[:, 2]], 1)  # glTF's origin is the upper left
    blob = _Blob()
    attributes = {
        "POSITION": blob.array(np.asarray(thing.mesh.vertices, np.float32)[vertex], "VEC3", bounds=True),
        "NORMAL": blob.array(np.asarray(thing.mesh.vertex_normals, np.float32)[vertex], "VEC3"),
        "TEXCOORD_0": blob.array(uv.astype(np.float32), "VEC2"),
    }
    indices = blob.array(index.reshape(-1).astype(np.uint32), "SCALAR")
    image = blob.view(png)
    look = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.9}
    tree = {
        "asset": {"version": "2.0", "generator": "Still Life", "extras": extras},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [{"name": name, "pbrMetallicRoughness": look, "extensions": {"KHR_materials_unlit": {}}}],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [{"magFilter": LINEAR, "minFilter": LINEAR, "wrapS": CLAMP, "wrapT": CLAMP}],
        "images": [{"bufferView": image, "mimeType": "image/png"}],
        "accessors": blob.accessors,
        "bufferViews": blob.views,
        "buffers": [{"byteLength": len(blob.data)}],
    }
    head = _padded(json.dumps(tree).encode(), b" ")
    chunks = struct.pack("<I4s", len(head), b"JSON") + head + struct.pack("<I4s", len(blob.data), b"BIN\0") + blob.data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def extras(data: bytes) -> dict[str, Any]:
    """The request in a GLB of ours. Raises ValueError for any other file."""
    if data[:4] != b"glTF" or data[16:20] != b"JSON":
        raise ValueError("this is no GLB file")
    (length,) = struct.unpack("<I", data[12:16])
    extras_ = json.loads(data[20 : 20 + length]).get("asset", {}).get("extras")
    if not isinstance(extras_, dict) or "request" not in extras_:
        raise ValueError("the GLB carries no settings: it wasn't made here, or they were stripped on the way")
    return extras_

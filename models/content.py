"""Checks of model files before a library parses them: every fault is one sentence with the file's name.

No torch here.
"""

import json
import re
from pathlib import Path
from typing import Any

HEADER_BYTES = 8_000_000  # far above any model of ours, far below what takes seconds to read
POINTER = b"version https://git-lfs"


def shown(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _fetched(path: Path, first: bytes) -> None:
    if not first:
        raise ValueError(f"{shown(path)} is empty; fetch it again")
    if first.startswith(POINTER):
        raise ValueError(
            f"{shown(path)} is only git-lfs's pointer to the file: `git lfs pull` in its folder fetches it"
        )


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ValueError where there is none, OSError where the file can't be read."""
    raw = path.read_bytes()
    _fetched(path, raw)
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise ValueError(f"{shown(path)} is damaged: it is no JSON") from None
    if not isinstance(data, dict):
        raise ValueError(f"{shown(path)} must be a JSON object")
    return data


def header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: its tensors by name. Raises ValueError."""
    with path.open("rb") as f:
        start = f.read(len(POINTER))
        _fetched(path, start)
        size = int.from_bytes(start[:8], "little")
        if start[8:9] != b"{" or size > HEADER_BYTES:
            raise ValueError(f"{shown(path)} is no safetensors file, so it is not opened")
        f.seek(8)
        raw = f.read(size)
    try:
        tensors = json.loads(raw)
        tensors.pop("__metadata__", None)
        end = 8 + size + max((t["data_offsets"][1] for t in tensors.values()), default=0)
        assert all(isinstance(n, int) for t in tensors.values() for n in t["shape"])
    except (AssertionError, ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError):
        raise ValueError(f"{shown(path)} is damaged: its header can't be read") from None
    if (has := path.stat().st_size) < end:
        raise ValueError(f"{shown(path)} is cut short: {has:,} of {end:,} bytes; fetch it again")
    return tensors


def variant(folder: Path) -> str | None:
    """The precision in the names of a part's files (`….fp16.safetensors`); None where a file has a plain name."""
    names = [path.name for path in sorted(folder.glob("*.safetensors"))]
    precisions = [match[1] for name in names if (match := re.fullmatch(r"[^.]+\.([^.-]+).*\.safetensors", name))]
    return precisions[0] if precisions and len(precisions) == len(names) else None


def weights(folder: Path) -> list[Path]:
    """The weight files of a part: those with plain names, or those of its one precision."""
    mark = variant(folder)
    files = sorted(folder.glob("*.safetensors"))
    return [p for p in files if (f".{mark}" in p.name if mark else "." not in p.stem)]


def pixels(denoiser: Path, vae: Path) -> int:
    """Pixels on a side: the latents on a side times the autoencoder's factor, from the two configurations."""
    side, config = json_object(denoiser).get("sample_size"), json_object(vae)
    blocks = config.get("encoder_block_out_channels") or config.get("block_out_channels")
    if not isinstance(side, int) or not isinstance(blocks, list):
        file, lacks = (vae, "block_out_channels") if isinstance(side, int) else (denoiser, "sample_size")
        raise ValueError(f"{shown(file)} has no {lacks}, so the size of its pictures is unknown")
    return side * 2 ** (len(blocks) - 1)

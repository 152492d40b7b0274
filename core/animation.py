"""Frames as the bytes of an animation: GIF, WebP, or MP4 (H.264) where the package `av` is installed."""

import io
from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from PIL.Image import Image as Picture

KINDS = ("gif", "webp", "mp4")
LAST_MS = 40
NO_MP4 = "an MP4 needs the package av, which is not installed: pip install -r requirements.txt"


def missing(kind: str) -> str | None:
    """The reason why this kind can't be written here."""
    return NO_MP4 if kind == "mp4" and find_spec("av") is None else None


def animated(frames: Sequence[Picture], kind: str, times: Sequence[int], **options: Any) -> bytes:
    """The file of one of KINDS. `times`: how long each frame stands, in milliseconds; `options`: Pillow's, for GIF and
    WebP. Raises ValueError where it can't be written here."""
    if reason := missing(kind):
        raise ValueError(reason)
    out = io.BytesIO()
    if kind == "mp4":
        _mp4(out, frames, times)
    else:
        frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=list(times), loop=0, **options)
    return out.getvalue()


def _mp4(out: io.BytesIO, frames: Sequence[Picture], times: Sequence[int]) -> None:
    """H.264 in 4:2:0, which every browser, phone and slide program plays, so an odd last row or column is left out. The
    last frame is written again for the last LAST_MS, as a frame stands until the next one. No frame is predicted from a
    later one, or the film would say that it is shorter than it is."""
    av, clock, at = import_module("av"), Fraction(1, 1000), 0
    with av.open(out, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=1000 // LAST_MS, options={"crf": "16", "bf": "0"})
        stream.width, stream.height = (side // 2 * 2 for side in frames[0].size)
        stream.pix_fmt, stream.time_base, stream.codec_context.time_base = "yuv420p", clock, clock
        for picture, stands in zip([*frames, frames[-1]], [*times[:-1], times[-1] - LAST_MS, LAST_MS], strict=True):
            even = picture.convert("RGB").crop((0, 0, stream.width, stream.height))
            frame = av.VideoFrame.from_image(even)
            frame.pts, frame.time_base, at = at, clock, at + stands
            film.mux(stream.encode(frame))
        film.mux(stream.encode())

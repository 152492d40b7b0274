"""Animations as bytes: each frame stands its time in each kind, MP4 too, and without `av` there is a sentence."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from core.animation import KINDS, animated

TIMES = [160, 320, 1600]
COLOURS = [(200, 40, 40), (40, 160, 40), (40, 40, 200)]
FRAMES = [Image.new("RGB", (33, 21), colour) for colour in COLOURS]


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_each_frame_stands_its_time(kind):
    film = Image.open(io.BytesIO(animated(FRAMES, kind, TIMES)))
    times = []
    for n in range(film.n_frames):
        film.seek(n)
        film.load()
        times.append(film.info["duration"])
    assert (film.format.lower(), times, film.info["loop"]) == (kind, TIMES, 0)


def test_a_film_plays_everywhere_and_ends_when_the_last_frame_has_stood_its_time():
    import av

    with av.open(io.BytesIO(animated(FRAMES, "mp4", TIMES))) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (32, 20), "both are even, as 4:2:0 needs"
        assert float(stream.duration * stream.time_base) == pytest.approx(sum(TIMES) / 1000)
        seen = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24").mean((0, 1))) for f in film.decode(stream)]
    assert [at for at, _ in seen] == pytest.approx([0, 0.16, 0.48, 2.04])
    for (_, colour), expected in zip(seen, [*COLOURS, COLOURS[-1]], strict=True):
        assert np.abs(colour - expected).max() < 8


def test_without_the_package_an_mp4_is_refused_in_a_sentence_and_the_others_are_written(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match="an MP4 needs the package av, which is not installed: pip install"):
        animated(FRAMES, "mp4", TIMES)
    assert all(animated(FRAMES, kind, TIMES) for kind in KINDS if kind != "mp4")

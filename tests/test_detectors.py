"""Lines of pictures for a control: where they are, at the picture's size, and what can't run says what it lacks."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models import detectors
from models.manifest import CONTROLS


@pytest.fixture
def disk():
    picture = Image.new("RGB", (320, 240), "#f0f0f0")
    ImageDraw.Draw(picture).ellipse((90, 60, 210, 180), fill="#402010")
    return picture


@pytest.mark.parametrize("name", ["canny", "lineart"])
def test_lines_are_dark_where_the_thing_ends(disk, name):
    lines = detectors.detect(disk, name)
    ink = np.asarray(lines) < 128
    assert lines.size == disk.size and 0.005 < ink.mean() < 0.2
    y, x = np.nonzero(ink)
    away = np.abs(np.hypot(x - 150, y - 120) - 60)
    assert np.quantile(away, 0.9) < 12 and not ink[:40].any()


def test_what_has_no_checkpoint_here_says_so(disk, monkeypatch, tmp_path, capsys):
    with pytest.raises(ValueError, match="hed needs ControlNetHED.pth: .*; valid without it: canny, lineart"):
        detectors.detect(disk, "hed")
    with pytest.raises(ValueError, match="unknown detector 'dog'; valid: canny, lineart, "):
        detectors.detect(disk, "dog")
    disk.save(tmp_path / "disk.png")
    assert detectors.main([str(tmp_path / "disk.png"), "--out", str(tmp_path / "lines.png")]) == 0
    assert Image.open(tmp_path / "lines.png").size == disk.size
    assert detectors.main([str(tmp_path / "none.png")]) == 2 and "is no file" in capsys.readouterr().err
    assert detectors.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in detectors.DETECTORS) and listed.count("ready") == 2


def test_every_detector_is_a_class_of_the_library():
    import controlnet_aux

    for one in detectors.DETECTORS.values():
        assert hasattr(getattr(controlnet_aux, one.name), "from_pretrained") == bool(one.file), one
        assert one.kind in CONTROLS

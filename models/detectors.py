"""Maps of pictures for a control: lines or depth, by the detectors of controlnet-aux.

    python -m models.detectors photo.png --detector canny --out lines.png

Two of them need no checkpoint. The others are offered where their file is in the local cache of the Hub. A map is a
picture like any drawing: it can be drawn on, and `--control` takes it.
"""

import argparse
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import ImageFilter, ImageOps
from PIL.Image import Image as Picture

from models.inputs import flat
from models.upload import upload

ANNOTATORS = "lllyasviel/Annotators"
SIDE = 512  # pixels of the shorter side at which a map is computed
THICK = 5  # pixels of a line then: thinner ones vanish at 128


@dataclass(frozen=True)
class Detector:
    """A class of controlnet-aux. `file`: its checkpoint in `ANNOTATORS`; empty where it needs none."""

    about: str
    kind: str  # of control (`manifest.CONTROLS`)
    name: str
    file: str = ""


DETECTORS: Mapping[str, Detector] = {
    "canny": Detector("Canny's edges", "edges", "CannyDetector"),
    "lineart": Detector("lines where it is darker than around", "sketch", "LineartStandardDetector"),
    "lineart-fine": Detector("a drawing's lines", "sketch", "LineartDetector", "sk_model.pth"),
    "lineart-anime": Detector("an anime drawing's lines", "sketch", "LineartAnimeDetector", "netG.pth"),
    "hed": Detector("soft edges", "sketch", "HEDdetector", "ControlNetHED.pth"),
    "pidinet": Detector("soft edges, faster", "sketch", "PidiNetDetector", "table5_pidinet.pth"),
    "mlsd": Detector("straight lines", "edges", "MLSDdetector", "mlsd_large_512_fp32.pth"),
    "midas": Detector("depth", "depth", "MidasDetector", "dpt_hybrid-midas-501f0c75.pt"),
    "zoe": Detector("depth in metres", "depth", "ZoeDetector", "ZoeD_M12_N.pt"),
}


def missing(name: str) -> str | None:
    """One sentence where this detector can't run here."""
    from huggingface_hub import try_to_load_from_cache

    file = DETECTORS[name].file
    if file and not isinstance(try_to_load_from_cache(ANNOTATORS, file), str):
        return f"{name} needs {file}: hf download {ANNOTATORS} {file}"
    return None


def ready() -> list[str]:
    """The detectors that can run here."""
    return [name for name in DETECTORS if missing(name) is None]


def detect(picture: Picture, name: str) -> Picture:
    """The map of a picture, at its size: lines are dark on light; in a depth map light is near.

    Raises ValueError for an unknown detector, and for one whose checkpoint is not here.
    """
    if name not in DETECTORS:
        raise ValueError(f"unknown detector {name!r:.40}; valid: {', '.join(DETECTORS)}")
    if reason := missing(name):
        raise ValueError(f"{reason}; valid without it: {', '.join(ready())}")
    own = DETECTORS[name]
    seen = _made(own)(flat(picture), detect_resolution=SIDE).convert("L").resize(picture.size)
    return seen if own.kind == "depth" else ImageOps.invert(ImageOps.autocontrast(_thickened(seen, own)))


def _thickened(lines: Picture, own: Detector) -> Picture:
    """Lines one pixel wide, made as wide as a pen's."""
    return lines.filter(ImageFilter.MaxFilter(THICK)) if own.kind == "edges" else lines


def _made(own: Detector) -> Any:
    with warnings.catch_warnings():  # of its own parts, on import: mediapipe is not here, timm has moved
        warnings.simplefilter("ignore")
        kind = getattr(import_module("controlnet_aux"), own.name)
    return kind.from_pretrained(ANNOTATORS, filename=own.file) if own.file else kind()


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("models.detectors", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("picture", type=Path, nargs="?")
    names = "\n".join(f"{name}: {one.about} ({one.kind})" for name, one in DETECTORS.items())
    p.add_argument("--detector", default="canny", help=names)
    p.add_argument("--out", type=Path, default=Path("lines.png"))
    p.add_argument("--list", action="store_true", help="list the detectors, and what is missing")
    args = p.parse_args(argv)
    try:
        for name, one in DETECTORS.items() if args.list else ():
            print(f"{name:14} {one.kind:8} {missing(name) or 'ready'}")
        if not args.list:
            if args.picture is None or not args.picture.is_file():
                raise ValueError(f"{args.picture or 'nothing'} is no file; name a picture")
            detect(ImageOps.exif_transpose(upload(args.picture)), args.detector).save(args.out)
    except ValueError as e:
        print(f"models.detectors: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

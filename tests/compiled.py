"""A studio of tiny models whose networks OpenVINO has converted already."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import catalogue, families, openvino_convert
from tests import tiny


def converted(home: Path, *ids: str) -> Iterator[Path]:
    """The studio in `home`, in place until the iterator goes on."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.build(home)
        patch.setenv("STILL_LIFE_STUDIO", str(tiny.build_sd(home)))
        for id in ids:  # as the process apart does, which would import torch for each
            openvino_convert.convert(families.load(catalogue.get(id)))
        yield home

"""Choices of settings that depend on what is on this machine. No torch at import."""

from distill.data import NAMES
from models.catalogue import rows


def replays() -> tuple[str, ...]:
    return NAMES


def one_step() -> tuple[str, ...]:
    """The students of one step in the catalogue; "" is none."""
    trained = (row for row in rows().values() if row.manifest.kind == "lora" and row.folder is not None)
    return "", *(row.id for row in trained if "1" in row.manifest.timesteps)

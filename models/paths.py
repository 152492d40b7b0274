"""Where things are: what ships with the project, and the studio folder that holds what a person makes."""

import os
import re
from pathlib import Path

VARIABLE = "STILL_LIFE_STUDIO"  # set by --studio
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def root() -> Path:
    return Path(__file__).resolve().parent.parent


def assets() -> Path:
    return root() / "assets"


def studio() -> Path:
    """pictures/, gallery.db, jobs.db, runs/, models/, cache/; not made here."""
    return Path(os.environ.get(VARIABLE) or root() / "studio").expanduser().resolve()


def named(name: str) -> str:
    """The name, if it can be a folder's and no path. Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use up to 100 letters, digits, '.', '_' and '-', starting with a letter or digit")
    return name


def run_dir(name: str) -> Path:
    return studio() / "runs" / named(name)


def cache() -> Path:
    return studio() / "cache"

"""Where things live: the studio folder holds everything that a person makes, assets/ what the repository ships.

The studio is `$STILL_LIFE_STUDIO`, else `studio/` beside app.py; a `--studio` flag sets that variable.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def studio() -> Path:
    return Path(os.environ.get("STILL_LIFE_STUDIO") or ROOT / "studio").expanduser().resolve()


def assets() -> Path:
    return ROOT / "assets"


def cache() -> Path:
    """What can be made again: emoji, rendered toys, embeddings."""
    return studio() / "cache"


def run_dir(name: str) -> Path:
    """The folder of one run; a name is one plain folder name, so that nothing leaves the studio."""
    if not name or name != Path(name).name or name.startswith(".") or not name.isprintable():
        raise ValueError(f"{name!r} is no name for a run: letters, digits, - and _ make one")
    return studio() / "runs" / name

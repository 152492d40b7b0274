"""Where things live: the studio folder holds everything that a person makes, assets/ what the repository ships.

The studio is `$STILL_LIFE_STUDIO`, else `studio/` beside app.py. A command settles it once, by `use_studio`.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUDIO = "STILL_LIFE_STUDIO"  # in the environment, of commands that this one starts too


def use_studio(folder: str | Path | None = None) -> Path:
    """Set the studio of this process and of all that it starts: `folder`, else the one that is set already.

    The path is absolute from then on, so that a command that runs in another folder means the same studio.
    """
    home = Path(folder).expanduser().resolve() if folder else studio()
    os.environ[STUDIO] = str(home)
    return home


def studio() -> Path:
    return Path(os.environ.get(STUDIO) or ROOT / "studio").expanduser().resolve()


def datasets() -> Path:
    """A person's own pictures, one folder a set."""
    return studio() / "datasets"


def bases() -> Path:
    """Folders of diffusers that something here was trained on, by name, or links to them."""
    return studio() / "bases"


def assets() -> Path:
    return ROOT / "assets"


def cache() -> Path:
    """What can be made again: emoji, rendered toys, embeddings."""
    return studio() / "cache"


def run_dir(name: str) -> Path:
    """The folder of one run; a name is one plain folder name, so that nothing leaves the studio."""
    if not name or name != Path(name).name or name.startswith(".") or not name.isprintable():
        raise ValueError(f"{name!r} is no valid name for a run: letters, digits, - and _ make one")
    return studio() / "runs" / name

"""The page's temporary files: uploads, pictures under the A | B slider, archives; in a folder of the studio's cache.

Gradio's own default is one folder for all users of a computer, which belongs to whoever came first. Here it is private,
and made again whenever a cleaner has removed it.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

from core.paths import cache

FOLDER = "GRADIO_TEMP_DIR"  # in the environment: where gradio puts its files
LEFT_SECONDS = 24 * 3600  # files of a server that was killed are removed when they are older


def settle() -> Path:
    """Before the page is built, as its components look then. A folder that somebody chose in the environment stays."""
    sweep()
    os.environ[FOLDER] = str(folder())
    return folder()


def folder() -> Path:
    """The folder, made where it is not there. Raises OSError."""
    path = Path(os.environ.get(FOLDER) or cache() / "page")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def fresh() -> Path:
    """A new empty folder in it."""
    return Path(tempfile.mkdtemp(dir=folder()))


def sweep() -> None:
    """Removes what a server that was killed left behind."""
    for left in folder().iterdir():
        if time.time() - left.lstat().st_mtime > LEFT_SECONDS:
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()

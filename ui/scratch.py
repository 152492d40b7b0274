"""The page's temporary files (uploads, pictures under the A | B slider, archives), in a folder of the studio's cache.

Gradio's default is one folder for all users of a computer, which belongs to the first of them. This one is private, and
is made again whenever it was removed.
"""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from core.files import writable
from core.paths import cache

FOLDER = "GRADIO_TEMP_DIR"  # in the environment: the folder of gradio's files
LEFT_SECONDS = 24 * 3600  # age at which files of a killed server are removed


def settle() -> Path:
    """Set the folder. To be called before gradio is imported, which reads it. A folder that is set in the environment
    stays. Raises ValueError where no file can be made there."""
    path = _place()
    try:
        writable(folder())
    except OSError as e:
        raise ValueError(
            f"temporary files can't be kept in {path} ({e.strerror}): remove it, or name another folder by ${FOLDER}"
        ) from None
    os.environ[FOLDER] = str(path)
    sweep()
    return path


def folder() -> Path:
    """The folder, made where it is missing. Raises OSError."""
    path = _place()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _place() -> Path:
    return Path(os.environ.get(FOLDER) or cache() / "page").absolute()


def fresh() -> Path:
    """A new empty folder in it."""
    return Path(tempfile.mkdtemp(dir=folder()))


def sweep() -> None:
    """Remove old files of killed servers. Those of another user, or that another server removes now, are left."""
    for left in folder().iterdir():
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()

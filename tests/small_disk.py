"""Runs a piece of Python where `disk` is a folder on a file system of a few megabytes, in a mount namespace of its own.

The piece gets `disk` (Path), `fill()` and `empty()`. Needs Linux; no rights beyond an ordinary user's.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEFORE = """
import os, sys
from pathlib import Path
disk = Path(sys.argv[1])

def fill():
    with (disk / "filler").open("wb", buffering=0) as f:
        for size in (1 << 16, 512, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass

def empty():
    (disk / "filler").unlink()

"""


def run(code: str, mount: Path, options: str, timeout: float = 120) -> str:
    """What it prints. options: of a tmpfs, such as size=8m or nr_inodes=40; `ro` makes it read-only at the end."""
    mount.mkdir(exist_ok=True)
    shell = f'mount -t tmpfs -o {options} none "$1" && exec "$0" -c "$2" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", shell]
    script = BEFORE + textwrap.dedent(code)
    done = subprocess.run(
        [*command, sys.executable, str(mount), script], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

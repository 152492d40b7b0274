"""Publishes the repository as a Hugging Face Space: the files of HEAD, without uncommitted changes and history.

    python -m models.space USER/NAME [--dry-run]

A Space refuses plain git pushes with binaries; `upload_folder` sends them as large files. --dry-run lists the files and
their sizes, and needs no network.
"""

import argparse
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from core.paths import ROOT

MAX_FILE, MAX_ALL = 30_000_000, 1_000_000_000  # bytes: this project's limit for a file; a free Space's disk
NOT_SENT = (".gitattributes",)  # the Hub has its own, which lists the large files
NEEDED = ("README.md", "app.py", "requirements.txt")


def checked_name(space: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", space, re.ASCII):
        raise ValueError(f"{space!r} is not the name of a Space: user/name, such as make space SPACE=ada/still-life")
    return space


def git(root: Path, *args: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(root), *args], check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise ValueError("git is not installed, and what is published is the committed tip") from None
    except subprocess.CalledProcessError as e:
        raise ValueError(f"git {args[0]} failed: {e.stderr.decode(errors='replace').strip()}") from None


def tip(root: Path, into: Path) -> list[tuple[str, int]]:
    """The files of HEAD, written into a folder: (path, bytes), by path."""
    with tarfile.open(fileobj=io.BytesIO(git(root, "archive", "HEAD"))) as tar:
        tar.extractall(into, filter="data")
    paths = (p for p in into.rglob("*") if p.is_file() and p.name not in NOT_SENT)
    return sorted((str(p.relative_to(into)), p.stat().st_size) for p in paths)


def check(files: list[tuple[str, int]], folder: Path) -> None:
    """Raises ValueError with the first fault that a Space would refuse or fail on."""
    names = dict(files)
    for name in NEEDED:
        if name not in names:
            raise ValueError(f"{name} is not committed, and a Space can't start without it")
    text = (folder / "README.md").read_text(encoding="utf-8")
    if not text.startswith("---\n") or "\nsdk: gradio\n" not in text.split("---\n")[1]:
        raise ValueError("README.md must begin with a Space's front matter that says sdk: gradio")
    for name, size in files:
        if size > MAX_FILE:
            raise ValueError(f"{name} has {size / 1e6:.0f} MB, more than {MAX_FILE / 1e6:.0f}")
    if sum(names.values()) > MAX_ALL:
        raise ValueError(f"{sum(names.values()) / 1e6:.0f} MB in all, more than {MAX_ALL / 1e6:.0f}")


def upload(space: str, folder: Path, message: str) -> str:
    """Create the Space where there is none, and replace its files by the folder's. Returns its address."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    api = HfApi()
    try:
        address = api.create_repo(space, repo_type="space", space_sdk="gradio", exist_ok=True)
        api.upload_folder(
            repo_id=space,
            repo_type="space",
            folder_path=folder,
            commit_message=message,
            ignore_patterns=list(NOT_SENT),
            delete_patterns=["*"],
        )
    except LocalTokenNotFoundError:
        raise ValueError("no Hugging Face token on this machine: hf auth login") from None
    except (httpx2.HTTPError, OSError) as e:
        raise ValueError(f"the Hub did not take it: {str(e).splitlines()[0]}") from None
    return str(address)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    p = argparse.ArgumentParser("models.space", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("space", nargs="?", default="", metavar="USER/NAME")
    p.add_argument("--dry-run", action="store_true", help="list files and sizes, send nothing")
    args = p.parse_args(argv)
    try:
        if args.space or not args.dry_run:
            checked_name(args.space)
        commit = git(root, "rev-parse", "--short", "HEAD").decode().strip()
        with tempfile.TemporaryDirectory() as tmp:
            files = tip(root, Path(tmp))
            check(files, Path(tmp))
            if git(root, "status", "--porcelain"):
                print("models.space: changes that are not committed stay here", file=sys.stderr)
            if args.dry_run:
                for name, size in files:
                    print(f"{size:>12,}  {name}")
                print(f"{sum(s for _, s in files):>12,}  bytes in {len(files):,} files of {commit}")
            else:
                print(upload(args.space, Path(tmp), f"Still Life {commit}"))
    except ValueError as e:
        print(f"models.space: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

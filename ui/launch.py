"""The flags of the app and the settings of its server, which is open to other machines only where flags say so."""

import argparse
import atexit
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from core.files import writable
from core.paths import studio, use_studio
from ui import PORT, address
from ui.place import Place

MOST_PORTS = 65535


@dataclass(frozen=True)
class Settings:
    """The settings of the server. `names`: host names that it accepts besides this machine's own; None for any."""

    host: str = "127.0.0.1"
    port: int | None = None
    logins: tuple[tuple[str, str], ...] = ()  # names and passwords; empty: no login
    share: bool = False
    names: frozenset[str] | None = frozenset()
    root_path: str = ""
    framed: bool = False
    warm: bool = True  # load models for the first visitor


class Flags(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, without the list of all flags before it."""
        self.exit(2, f"{message} (--help has all flags)\n")


def flags() -> argparse.ArgumentParser:
    parser = Flags("app.py", description="Still Life: pictures as you type.")
    parser.add_argument("--host", help="address to listen on (127.0.0.1; on a Space 0.0.0.0)")
    parser.add_argument(
        "--port", type=_port, default=PORT, help="port (7860, or the next that is free); 0: any that is free"
    )
    parser.add_argument("--studio", help="folder for pictures, runs and own models (studio/ beside app.py)")
    parser.add_argument(
        "--any-base", action="store_true", help="also load LoRAs on other weights than they were made on"
    )
    parser.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1")
    parser.add_argument("--attention", default="auto", choices=["auto", "sdpa", "xformers"])
    parser.add_argument(
        "--backend",
        default="auto",
        choices=["auto", "torch", "openvino"],
        help="what computes on a CPU; auto: torch until OpenVINO is ready, then whichever is quicker here",
    )
    parser.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="NAME:PASSWORD",
        help="ask for a login; may be repeated; or set $STILL_LIFE_AUTH, which ps does not show",
    )
    parser.add_argument("--open-to-everyone", action="store_true", help="let others reach the page without a login")
    parser.add_argument(
        "--no-worker", action="store_true", help="run no jobs in this process; python -m jobs.worker runs them"
    )
    parser.add_argument("--log-prompts", action="store_true", help="log what people typed, not a digest of it")
    parser.add_argument("--share", action="store_true", help="a public link through gradio's tunnel; needs a login")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        type=_name,
        metavar="NAME",
        help="also answer to this host name, which a proxy passes on (docs/serving.md); may be repeated",
    )
    parser.add_argument(
        "--root-path", default="", type=_root, metavar="/PATH", help="path under which a proxy serves the page"
    )
    return parser


def settings(args: argparse.Namespace, place: Place) -> Settings:
    """The settings of these flags. Exits with one sentence where they would open the page by accident, or where they
    need something that this machine does not have."""
    _check_hardware(args.device, args.attention)
    host = args.host or ("0.0.0.0" if place.shared else "127.0.0.1")
    secret = os.environ.pop("STILL_LIFE_AUTH", None)
    logins = tuple(map(_login, args.auth or ([secret] if secret else [])))
    others = [] if _loopback(host) else [host]
    others += [name for name in args.allow_host if not address.is_loopback(name)]
    if args.share and not logins:
        raise SystemExit("--share puts the page on the internet: give it a login with --auth NAME:PASSWORD")
    if others and not logins and not place.shared and not args.open_to_everyone:
        raise SystemExit(
            f"{others[0]} is reachable by others: give the page a login with --auth NAME:PASSWORD, or say "
            "--open-to-everyone"
        )
    anybody = args.share or (not _loopback(host) and not args.allow_host)
    return Settings(
        host=host,
        port=args.port,
        logins=logins,
        share=args.share,
        names=None if anybody else frozenset(args.allow_host),
        root_path=args.root_path,
        framed=place.shared,
    )


def settle_studio(folder: str | None) -> Path:
    """Set the studio of this process and of all that it starts, and make its folder. Exits with one sentence where
    nothing can be written there.
    """
    home = use_studio(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
        writable(home)
    except (FileExistsError, NotADirectoryError):
        raise SystemExit(f"the studio {home} is a file, not a folder: choose another with --studio") from None
    except OSError as e:
        raise SystemExit(
            f"nothing can be kept in the studio {home} ({e.strerror}): choose another with --studio"
        ) from None
    return studio()


def leave() -> NoReturn:
    """End the process with status 0, now that everything is stopped. The interpreter's own end aborts the process where
    a thread is still inside torch, as one is that loads a model."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST_PORTS:
        raise argparse.ArgumentTypeError(f"{text!a} is no port; valid: 1 to {MOST_PORTS}, or 0 for any that is free")
    return int(text)


def _name(text: str) -> str:
    """A host name, checked: without scheme and port."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?", text):
        raise argparse.ArgumentTypeError(f"{text!a} is no host name: studio.example, without https:// and port")
    return address.bare(text).lower()


def _root(text: str) -> str:
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise argparse.ArgumentTypeError(f"{text!a} is no path: /still, as the proxy shows it")
    return path


def _loopback(host: str) -> bool:
    """Whether a host is a loopback address. Raises SystemExit for an unknown host."""
    if address.is_loopback(host):
        return True
    try:
        return all(address.is_loopback(number) for _, number in address.addresses(host))
    except ValueError as e:
        raise SystemExit(str(e)) from None


def _check_hardware(device: str, attention: str) -> None:
    """Check device and attention before the first picture. The defaults are not checked, as importing torch takes
    seconds."""
    if device in ("auto", "cpu") and attention != "xformers":
        return
    from models.denoiser import check_attention, pick_device

    try:
        check_attention(attention, pick_device(device))
    except ValueError as e:
        raise SystemExit(str(e)) from None


def _login(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise SystemExit("a login is NAME:PASSWORD, neither of them empty")
    return name, password

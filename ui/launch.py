"""Flags of the app and what they mean for the server: closed by default, open only when somebody says so."""

import argparse
import os
from typing import Any

from gradio import Blocks
from starlette.middleware import Middleware

from core.paths import use_studio
from ui import style
from ui.desk import Desk
from ui.guard import LOOPBACK, UPLOAD_BYTES, Guard
from ui.health import Health
from ui.place import Place


def flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("app.py", description="Still Life: pictures as you type.")
    parser.add_argument("--host", help="address to listen on (127.0.0.1; on a Space 0.0.0.0)")
    parser.add_argument("--port", type=int, help="port (7860, or the next that is free)")
    parser.add_argument("--studio", help="folder for pictures, runs and own models (studio/ beside app.py)")
    parser.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda, cuda:1")
    parser.add_argument("--attention", default="auto", choices=["auto", "sdpa", "xformers"])
    parser.add_argument(
        "--auth",
        metavar="NAME:PASSWORD",
        help="ask for a login; or set $STILL_LIFE_AUTH, which ps does not show",
    )
    parser.add_argument("--open-to-everyone", action="store_true", help="listen beyond this machine without a login")
    parser.add_argument("--no-worker", action="store_true", help="run no jobs: python -m jobs.worker does, or nobody")
    parser.add_argument("--log-prompts", action="store_true", help="log what people typed, not a digest of it")
    parser.add_argument("--share", action="store_true", help="a public link through gradio's tunnel; needs a login")
    return parser


def settings(args: argparse.Namespace, place: Place) -> dict[str, Any]:
    """Arguments of `Blocks.launch`. Exits with one sentence where the flags would open the page by accident, or ask for
    what this machine has not.
    """
    _check_hardware(args.device, args.attention)
    use_studio(args.studio)
    host = args.host or ("0.0.0.0" if place.shared else "127.0.0.1")
    auth = _login(args.auth or os.environ.pop("STILL_LIFE_AUTH", None))
    loopback = host in LOOPBACK
    if args.share and auth is None:
        raise SystemExit("--share puts the page on the internet: give it a login with --auth NAME:PASSWORD")
    if not loopback and auth is None and not place.shared and not args.open_to_everyone:
        raise SystemExit(
            f"{host} is reachable by others: give the page a login with --auth NAME:PASSWORD, or say --open-to-everyone"
        )
    guard = Middleware(Guard, loopback=loopback and not args.share, framed=place.shared)
    return {
        "server_name": host,
        "server_port": args.port,
        "auth": auth,
        "share": args.share,
        "max_file_size": UPLOAD_BYTES,
        "allowed_paths": [],
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "strict_cors": True,
        "state_session_capacity": 200,
        "ssr_mode": False,
        "footer_links": ["api"],  # hidden, but what the page's own button presses
        "app_kwargs": {"middleware": [guard], "docs_url": None, "redoc_url": None},
        "favicon_path": str(style.HERE / "icon.png"),
        "theme": style.theme(),
        "css": style.css(),
        "head": style.head(),
    }


def start(demo: Blocks, settings: dict[str, Any], desk: Desk) -> None:
    """Serve until somebody stops it."""
    settings["app_kwargs"]["routes"] = Health(desk).routes()
    try:
        demo.launch(**settings)
    except OSError as e:
        if "empty port" not in str(e):
            raise
        asked = settings["server_port"]
        taken = "every port from 7860 to 7959 is" if asked is None else f"port {asked} is"
        raise SystemExit(f"{taken} taken: choose another with --port") from None


def _check_hardware(device: str, attention: str) -> None:
    """Now, not at the first picture. What every machine has is not asked, as torch takes seconds to import."""
    if device in ("auto", "cpu") and attention != "xformers":
        return
    from models.denoiser import check_attention, pick_device

    try:
        check_attention(attention, pick_device(device))
    except ValueError as e:
        raise SystemExit(str(e)) from None


def _login(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise SystemExit("a login is NAME:PASSWORD, neither of them empty")
    return name, password

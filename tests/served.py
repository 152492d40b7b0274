"""A page of tiny models with the launch profile of app.py, served from this process for tests that attack or watch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import tiny
from ui import address, shell
from ui.desk import Desk
from ui.launch import Settings
from ui.place import Place
from ui.serve import Server


@dataclass
class Page:
    desk: Desk
    demo: gr.Blocks
    site: str  # its address
    http: httpx.Client

    def figures(self) -> dict[str, float]:
        """Name and labels -> value."""
        families = text_string_to_metric_families(self.http.get("metrics").text)
        return {s.name + "".join(s.labels.values()): s.value for family in families for s in family.samples}


@contextlib.contextmanager
def serving(place: Place | None = None, **settings: Any) -> Iterator[tuple[str, Desk, gr.Blocks]]:
    """The studio of the environment, served on a free port: (address, desk, blocks)."""
    desk = Desk(place or Place())
    demo = shell.build(desk)
    chosen = Settings(**{"port": 0, "warm": False, **settings})
    with Server(demo, desk, chosen, address.listen(chosen.host, chosen.port)).in_thread() as site:
        yield site, desk, demo


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(tiny.build(folder)))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "served"))
        with serving() as (site, desk, demo), httpx.Client(base_url=site, timeout=60) as http:
            yield Page(desk, demo, site, http)

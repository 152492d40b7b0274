"""A page of tiny models with the launch profile of app.py, served from this process for tests that attack or watch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import tiny
from ui import launch, shell
from ui.desk import Desk
from ui.place import Place


@dataclass
class Page:
    desk: Desk
    demo: gr.Blocks
    site: str  # its address
    http: httpx.Client

    def figures(self) -> dict[str, float]:
        """Name and labels -> value."""
        found = text_string_to_metric_families(self.http.get("metrics").text)
        return {s.name + "".join(s.labels.values()): s.value for family in found for s in family.samples}


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(tiny.build(folder)))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "served"))
        desk = Desk(Place())
        demo = shell.build(desk)
        settings = launch.settings(launch.flags().parse_args([]), Place())
        launch.start(demo, settings | {"prevent_thread_lock": True, "quiet": True}, desk)
        with httpx.Client(base_url=demo.local_url, timeout=60) as http:
            yield Page(desk, demo, demo.local_url, http)
        demo.close()
        desk.gallery.close()

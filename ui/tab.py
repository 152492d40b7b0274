"""The description of a tab, and the list of tabs.

A new tab is a folder with a `tab.py` that has one `TAB`, and one word in NAMES. Header, routes, scripts, style sheets
and the refusals of a Space are made from these.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ui.desk import Desk

HERE = Path(__file__).parent
# Folders of ui/ in the header's order; the first is the front page.
NAMES = ("create", "draw", "compare", "inspect", "threed", "distill", "jobs")


@dataclass(frozen=True)
class Tab:
    """A tab. `name`: its text in the header. `path`: its folder in ui/ and its address (the first tab is the front
    page). `build`: draws the page inside the current Blocks. `scripts`, `styles`: files of the folder without their
    suffix, in order; every page has all of them, so that a script may draw parts of another tab. `act`: the act that a
    place may refuse to visitors ("start a training", Place.refusal); None: everybody may open the tab. `takes_words`:
    whether its address takes a prompt and a seed, and links from Create pass them on.
    """

    name: str
    path: str
    build: "Callable[[Desk], object]"
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    act: str | None = None
    takes_words: bool = False

    def sources(self, suffix: str) -> list[str]:
        """The text of its scripts (".js") or style sheets (".css")."""
        names = self.scripts if suffix == ".js" else self.styles
        return [(HERE / self.path / f"{name}{suffix}").read_text(encoding="utf-8") for name in names]


@cache
def tabs() -> tuple[Tab, ...]:
    return tuple(import_module(f"ui.{name}.tab").TAB for name in NAMES)

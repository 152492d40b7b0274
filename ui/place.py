"""The place where the app runs, and the rights of its visitors.

On one's own machine everybody who reaches the page is its owner. On a Hugging Face Space people share one machine and
mostly one ephemeral disk. There each browser has its own gallery, and jobs, which would slow others down, are refused
in a sentence.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from core.paths import STUDIO, use_studio

SPACE_STORAGE = Path("/data")


@dataclass(frozen=True)
class Place:
    """`space`: the Space's name, or None on one's own machine. `lasting`: whether pictures survive a restart. `login`:
    whether people log in.
    """

    space: str | None = None
    lasting: bool = True
    login: bool = False

    @property
    def shared(self) -> bool:
        return self.space is not None

    def refusal(self, act: str) -> str | None:
        """One sentence where visitors may not do an act, such as "start a training" or "add models"; else None."""
        if not self.shared:
            return None
        return f"Visitors of a Space can't {act}; duplicate the Space or run it at home."

    def banner(self) -> str | None:
        """The sentence for visitors of a Space; None elsewhere."""
        if not self.shared:
            return None
        if self.lasting:
            return "A shared demo: your gallery belongs to this browser, and nobody else sees it."
        return (
            "A shared demo on an ephemeral disk: your gallery belongs to this browser and is gone when the Space "
            "restarts. Download what you want to keep."
        )


def here() -> Place:
    """The place that the environment describes."""
    space = os.environ.get("SPACE_ID")
    return Place(space=space, lasting=space is None or _storage())


def settle() -> Place:
    """`here()`. On a Space with storage it also sets the studio there, unless the environment names another folder."""
    place = here()
    if place.shared and place.lasting:
        use_studio(os.environ.get(STUDIO) or SPACE_STORAGE)
    return place


def _storage() -> bool:
    return SPACE_STORAGE.is_dir() and os.access(SPACE_STORAGE, os.W_OK)

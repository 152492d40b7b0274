"""The server function behind the prompt: what the model doesn't read of it as it was typed, and what it does know."""

from dataclasses import asdict
from typing import Any

from models import catalogue
from models.request import STYLES
from ui.desk import Desk
from ui.wire import text

TRIES, WILD = 4, "a {red|teal} rocket"  # examples under the prompt, and one that shows what braces do


def words(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Words of a prompt that the model was never trained on with near ones that it was; notes; and what it knows."""
    id = text(data, "model", 200)
    catalogue.get(id)
    known = desk.turns.engine.words(id)
    line = text(data, "prompt", 2000)
    facts = known.tell(line, style=STYLES.get(text(data, "style", 200), STYLES["none"]))
    tries = [*known.prompts()[:TRIES], *([] if known.unknown(WILD) else [WILD])]
    notes = [asdict(note) for note in facts["notes"]]
    return facts | {"notes": notes, "tries": tries, "knows": known.chips()}

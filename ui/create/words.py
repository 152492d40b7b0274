"""The server function behind the prompt: what the model doesn't know of it, and what it does know."""

from typing import Any

from models import catalogue
from ui.desk import Desk
from ui.wire import text

TRIES, WILD = 4, "a {red|teal} rocket"  # examples under the prompt, and one that shows what braces do


def words(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Words of a prompt that the model was never trained on with near ones that it was; and what it knows."""
    id = text(data, "model", 200)
    catalogue.get(id)
    known = desk.turns.engine.words(id)
    unknown = known.tell(text(data, "prompt", 2000))
    tries = [*known.prompts()[:TRIES], *([] if known.unknown(WILD) else [WILD])]
    return {
        "unknown": [{"word": word, "near": near} for word, near in unknown.items()],
        "tries": tries,
        "knows": known.chips(),
    }

"""The server function behind the prompt: the parts that the model does not read as typed, and the words that it
knows."""

from dataclasses import asdict
from typing import Any

from models import catalogue, stack
from models.request import STYLES
from ui.create.picker import drawn_once
from ui.desk import Desk
from ui.wire import text

PLAIN = ("colours", "looks", "places", "words")  # groups of words that have no picture in the picker
TRIES, WILD = 4, "a {red|teal} rocket"  # number of examples under the prompt, and one that shows braces


def words(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The words of a prompt that the model was never trained on, with near known ones; notes; and known words."""
    id = text(data, "model", 200)
    catalogue.get(id)
    known = desk.turns.engine.words(id)
    line = text(data, "prompt", 2000)
    facts = known.tell(line, style=STYLES.get(text(data, "style", 200), STYLES["none"]))
    tries = [*known.prompts()[:TRIES], *([] if known.unknown(WILD) else [WILD])]
    brought = stack.words(text(data, "loras", 1000))
    facts["unknown"] = [one for one in facts["unknown"] if one["word"] not in brought]
    notes = [asdict(note) for note in facts["notes"]]
    if known.known is not None and (name := drawn_once(line)):
        notes.append(
            {
                "sentence": f"It was shown one drawing of “{name}”: seeds change the background, and little else.",
                "marks": [],
            }
        )
    knows = {group: words for group, words in known.chips().items() if group in PLAIN}
    return facts | {"notes": notes, "tries": tries, "knows": knows}

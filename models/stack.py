"""The LoRAs and sliders of a request: which are active beside its model, how strongly, and at which steps.

    NAME:STRENGTH, NAME:STRENGTH@PHASE, …     phases: structure (the noisy steps), detail (the others), all

A LoRA that was trained on a base can be used on every model that was distilled from it, and the other way round: their
layers have the same shapes.
"""

import math
import re
from dataclasses import dataclass

from models import catalogue
from models.catalogue import Row

PHASES = ("all", "structure", "detail")
ENTRY = re.compile(r"([^\s:@,]+)(?:\s*:\s*([^\s:@,]+))?(?:\s*@\s*([^\s:@,]+))?")
STRONGEST = 4.0  # of a LoRA; beyond it pictures are noise
MOST = 8
STRUCTURE = -2.7  # log-SNR up to which a step decides where things are: of a student's four steps the first two


@dataclass(frozen=True)
class Entry:
    """An adapter or a slider, how strongly it acts, and at which steps."""

    name: str
    strength: float
    phase: str = "all"

    def at(self, log_snr: float) -> bool:
        """Whether it acts at a step of this noise."""
        return self.phase == "all" or (self.phase == "structure") == (log_snr <= STRUCTURE)


def parse(text: str, field: str, strongest: float) -> list[Entry]:
    """Raises ValueError for what is no such list."""
    entries = [_entry(one.strip(), field, strongest) for one in text.split(",")] if text.strip() else []
    names = [one.name for one in entries]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{field} names {twice!r:.80} twice; give it one strength")
    if len(entries) > MOST:
        raise ValueError(f"{field} names {len(entries)}; at most {MOST} act at once")
    return entries


def _entry(text: str, field: str, strongest: float) -> Entry:
    match = ENTRY.fullmatch(text)
    if match is None:
        raise ValueError(f"{field} has {text!r:.80}; each entry must be NAME:STRENGTH or NAME:STRENGTH@PHASE")
    name, strength, phase = match.groups()
    try:
        number = 1.0 if strength is None else float(strength)
    except ValueError:
        number = math.nan
    if not abs(number) <= strongest:
        raise ValueError(
            f"the strength of {name:.80} in {field} must be {-strongest:g} to {strongest:g}, not {strength}"
        )
    if phase is not None and phase not in PHASES:
        raise ValueError(f"the phase of {name:.80} in {field} is {phase!r:.40}; valid: {', '.join(PHASES)}")
    return Entry(name, number, phase or "all")


def loras(text: str, row: Row) -> list[Entry]:
    """The LoRAs that act on this model. Raises ValueError for one that is not there, or was made for another base."""
    entries = parse(text, "loras", STRONGEST)
    if entries and row.routed:
        raise ValueError(f"{row.id} is several students of other shapes than their teacher's, and takes no LoRAs")
    known = catalogue.rows() if entries else {}
    for entry in entries:
        other = known.get(entry.name)
        if other is None or not fits(other, row, known):
            what = "is not there" if other is None else _why(other)
            valid = ", ".join(able(row))
            raise ValueError(
                f"the LoRA {entry.name:.80} {what}, so {row.id} can't take it; valid: {valid or 'none yet'}"
            )
    return entries


def words(text: str) -> set[str]:
    """The words that the LoRAs of a list bring (models/learnt.py)."""
    known = catalogue.rows() if text else {}
    rows = (known.get(entry.name) for entry in parse(text, "loras", STRONGEST))
    return {row.manifest.lora["word"] for row in rows if row and row.manifest.lora and "word" in row.manifest.lora}


def able(row: Row) -> list[str]:
    """The LoRAs that can act on this model, its own adapter left out."""
    known = catalogue.rows()
    return [r.id for r in known.values() if r.id != row.id and fits(r, row, known)]


def fits(lora: Row, row: Row, known: dict[str, Row], kind: str = "lora") -> bool:
    """Whether a row of this kind was made on the model, or on one that the model was made from, or that was made from
    the model."""
    if lora.manifest.kind != kind or row.routed or lora.manifest.family != row.manifest.family:
        return False
    own = {r.id for r in catalogue.chain(row, known) if r.manifest.kind not in catalogue.HIDDEN}
    return any(r.id in own for r in catalogue.chain(lora, known)[1:])


def _why(row: Row) -> str:
    return f"was made on {row.manifest.base}" if row.manifest.kind == "lora" else "is a model of its own and no LoRA"

"""A thing of one's own, from the Distill page: pictures and a word become a data set of the studio and a training."""

import base64
import binascii
import re
import shutil
from typing import Any

from core import paths
from core.files import whole_folder
from distill.data import missing
from models import catalogue, upload
from ui.jobs.desk import JobsDesk, Visitor
from ui.wire import text

WORD = re.compile(r"[a-z][a-z0-9-]{1,30}")
FEWEST, MOST = 5, 20  # pictures
LONGEST = 100_000  # characters of a picture
SETTINGS = {  # of a training that takes about ten minutes on two cores
    "train.steps": "300",
    "train.batch_size": "16",
    "train.warmup": "10",
    "train.ema": "0.97",
    "train.log_every": "10",
    "train.sample_every": "30",
    "train.checkpoint_every": "60",
}


def personal_start(desk: JobsDesk, data: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """Submit the training of a word for the thing in these pictures, on a base. The samples show a student beside."""
    desk.refuse("distill")
    word, noun, base = text(data, "word", 40), text(data, "noun", 40).strip().lower(), text(data, "base", 100)
    if not WORD.fullmatch(word):
        raise ValueError(f"the name {word!r} must be one word of small letters, digits and dashes, such as bobo")
    pictures = [_picture(one, k) for k, one in enumerate(_listed(data), 1)]
    settings = SETTINGS | {"word": word, "noun": noun, "beside": _student(base)}
    settings |= {"replay": "toys" if missing("emoji") else "toys+emoji"} | data.get("set", {})
    home = paths.datasets() / word
    if home.exists() or word in _words():
        raise ValueError(f"there is a {word} already; take another name")
    with whole_folder(home) as part:
        for k, picture in enumerate(pictures):
            picture.save(part / f"{k:02d}.png")
            (part / f"{k:02d}.txt").write_text(f"a {word}\n{word}\na picture of a {word}\n", encoding="utf-8")
    try:
        fields = {"method": "personal", "base": base, "dataset": word, "set": {k: v for k, v in settings.items() if v}}
        return {"id": desk.submit("distill", fields, visitor).id}
    except ValueError:
        shutil.rmtree(home)
        raise


def _words() -> set[str]:
    """The words that adapters here bring."""
    rows = catalogue.rows().values()
    return {row.manifest.lora["word"] for row in rows if row.manifest.lora and "word" in row.manifest.lora}


def _listed(data: dict[str, Any]) -> list[Any]:
    listed = data.get("pictures")
    if not isinstance(listed, list) or not FEWEST <= len(listed) <= MOST:
        count = len(listed) if isinstance(listed, list) else 0
        raise ValueError(f"{FEWEST} to {MOST} pictures of the thing are needed, not {count}")
    return listed


def _picture(one: Any, number: int) -> Any:
    """A picture from a data URL."""
    try:
        data = base64.b64decode(str(one)[:LONGEST].partition(",")[2], validate=True)
        return upload.upload(data).convert("RGB")
    except (ValueError, binascii.Error) as e:
        raise ValueError(f"picture {number} can't be used: {e}") from None


def _student(base: str) -> str:
    """The first student of one step of this base; "" where there is none."""
    students = (row for row in catalogue.menu() if row.manifest.base == base and row.manifest.kind == "lora")
    return next((row.id for row in students if "1" in row.manifest.timesteps), "")

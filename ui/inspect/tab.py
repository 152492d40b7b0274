"""The Inspect page: the predicted picture of models at every step, side by side at equal noise (inspect.js)."""

import io
import threading
import zipfile
from pathlib import Path
from typing import Any

from core import animation
from core.files import LRU
from models.request import ImageRequest
from ui import menu
from ui.desk import Desk
from ui.inspect.looking import Looking
from ui.part import part
from ui.tab import Tab
from ui.wire import data_url, number, text, token

WAIT = 0.6  # seconds that a call waits for the next cell
GRIDS: LRU[str, Looking] = LRU(16)  # the grid of each page
BEGINNING = threading.Lock()  # of two grids of one page, the one that is not kept is stopped
KINDS = {"png": "png", "gif": "gif", "webp": "webp", "mp4": "video/mp4"}  # of exports, and their media types


def build(desk: Desk) -> None:
    painting = desk.serve_painting(look, look_more, look_view, look_export, branch, looked_at)  # torch may be loaded
    part("inspect", "inspect-part", [*painting, *desk.serve(look_stop)])


def looked_at(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The choices of the form: models, views with their descriptions, what can be varied with its usual values, and
    the reasons why kinds of exports can't be written here."""
    missing = {kind: reason for kind in KINDS if (reason := animation.missing(kind))}
    return {"models": menu.compared(desk.place), "views": views(), "fields": axes(), "missing": missing}


def axes() -> dict[str, dict[str, Any]]:
    """What can be varied, by name."""
    from models import sliders
    from models.lanes import SLID, VARIED
    from models.request import options

    known = options(ImageRequest)
    fields = {name: (known[name].help, values, "") for name, values in VARIED.items()}
    fields |= {
        name: (f"{one.low} – {one.high}", SLID, "Sliders") for name, one in (sliders.box() | sliders.own()).items()
    }
    return {n: {"help": h, "values": ", ".join(map(str, v)), "group": g} for n, (h, v, g) in fields.items()}


def views() -> dict[str, str]:
    from models.trajectory import VIEWS

    return VIEWS


def look(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Start a grid, and stop the page's old one. Returns the first cells."""
    from models.lanes import Choice, product, varied

    view = chosen_view(data)
    request = ImageRequest.from_dict({"prompt": text(data, "prompt", 2000)})
    models = data.get("models")
    if not isinstance(models, list) or not models or not all(isinstance(m, dict) for m in models):
        raise ValueError("choose at least one model")
    for m in models:
        desk.refuse(text(m, "id", 200))
    pairs = [(text(m, "id", 200), number(m, "steps", 1, 100)) for m in models]
    field, values = text(data, "field", 90), data.get("values")
    if field and not (isinstance(values, list) and values and all(isinstance(v, int | float) for v in values)):
        raise ValueError(f"give values of {field} with commas, such as 0, 1")
    first, count = number(data, "seed", 0, 2**31 - 1), number(data, "seeds", 1, 8)
    choices = varied(field, values) if field and values else [Choice("", {})]
    lanes = product(request, pairs, choices, range(first, first + count))
    with BEGINNING:
        stop_page(data)
        GRIDS.put(token(data, "tab"), Looking(desk.turns.engine, lanes, view))
    return look_more(desk, data | {"after": 0})


def look_more(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The cells from number `after` on, as soon as there are any."""
    return grid(data).news(number(data, "after", 0, 100_000), WAIT)


def look_view(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The same steps in another view; the cells follow as news."""
    grid(data).show(chosen_view(data))
    return look_more(desk, data)


def look_stop(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    stop_page(data)
    return {}


def branch(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """Add a row that goes on from a cell's x_t, with `changes`: another model, guidance, prompt or seed."""
    from models import stored
    from models.lanes import Lane

    looking = grid(data)
    lane, picture, i = (number(data, name, 0, 100_000) for name in ("lane", "picture", "step"))
    request, step = looking.step(lane, picture, i)
    changes = data.get("changes") or {}
    if not isinstance(changes, dict):
        raise ValueError("changes are an object of fields")
    valid = ("model", "guidance", "prompt", "seed")
    if unknown := [k for k in changes if k not in valid]:
        raise ValueError(f"a branch can't change {unknown[0]}; valid: {', '.join(valid)}")
    if "model" in changes:
        desk.refuse(text(changes, "model", 200))
    grown = stored.branch(step, request, picture)
    parent = {"lane": lane, "picture": picture, "step": i}
    return {"lane": looking.add(Lane(stored.onward(grown, changes), label(request, i, changes)), parent)}


def label(request: ImageRequest, i: int, changes: dict[str, Any]) -> str:
    what = ", ".join(f"{k} {str(v)[:24]}" for k, v in changes.items()) or "unchanged"
    return f"from step {i + 1}: {what}"


def look_export(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
    """The grid as a picture, as an animation or, with its numbers, as a ZIP: a data URL with a file name."""
    import tempfile

    from models import strips
    from models.trajectory import draw, save_raw

    looking, kind = grid(data), text(data, "kind", 8)
    done = [run for run in looking.runs if run.steps]
    if not done:
        raise ValueError("there is nothing to export yet; press Look first")
    with tempfile.TemporaryDirectory() as home:
        if kind == "raw":
            save_raw(Path(home) / "raw", done)
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
                for path in sorted((Path(home) / "raw").iterdir()):
                    z.write(path, path.name)
            return {"src": data_url(out.getvalue(), "application/zip"), "name": "still-life-steps.zip"}
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; valid: {', '.join(KINDS)}, raw")
        with looking.engine.crew({id for run in done for id in run.lane.request.models()}) as crew:
            rows, heads, _ = draw(done, crew, looking.view)
        path = Path(home) / f"steps.{kind}"
        strips.write(path, rows, heads)
        return {"src": data_url(path.read_bytes(), KINDS[kind]), "name": f"still-life-steps.{kind}"}


def chosen_view(data: dict[str, Any]) -> str:
    view = text(data, "view", 40) or "x0"
    if view not in (valid := views()):
        raise ValueError(f"unknown view {view!r}; valid: {', '.join(valid)}")
    return view


def grid(data: dict[str, Any]) -> Looking:
    looking = GRIDS.get(token(data, "tab"))
    if looking is None:
        raise ValueError("this page has no grid; press Look")
    return looking


def stop_page(data: dict[str, Any]) -> None:
    if (old := GRIDS.get(token(data, "tab"))) is not None:
        old.stop()


SCRIPTS = ("plot", "branches", "large", "inspect")
TAB = Tab("Inspect", "inspect", build, scripts=SCRIPTS, styles=("inspect",), takes_words=True)

"""The models as the page shows them: choices and ranges, notes, and reasons why one can't run."""

from typing import Any, get_type_hints

from models import catalogue, realesrgan, variety
from models.catalogue import Row
from models.enlarge import ENLARGER, MOST, TEACHER
from models.painters import base_of
from models.request import ImageRequest
from models.restore import fitted
from ui.place import Place

LIVE_PARAMETERS = 60e6  # a larger model is too slow on a CPU to paint at every keystroke
ANY_STEPS = (4, 8, 20, 40)  # choices for a model that takes any step count
JUDGED = ("kind", "colour", "emoji")  # the quality figures in a note


def model(id: str) -> dict[str, Any]:
    """The data of one model for the form."""
    row = catalogue.get(id)
    guidance = row.manifest.guidance
    steps = row.manifest.step_counts or sorted({*ANY_STEPS, row.manifest.default_steps})
    return {
        "id": row.id,
        "note": note(row),
        "steps": steps,
        "variety": {str(n): variety.knob(row, n) for n in steps},
        "guidance": guidance.range,
        "negative_reason": None
        if guidance.kind == "cfg"
        else f"{row.id} has none: its guidance is part of the network.",
        "guidance_reason": None if guidance.range[0] < guidance.range[1] else f"{row.id} was distilled at one value.",
        "live": row.manifest.parameters <= LIVE_PARAMETERS or catalogue.here().gpu is not None,
    }


def enlarge(row: Row) -> int:
    """The default enlargement of a model's pictures; 1 for models of the Hub, whose pictures are large."""
    return 1 if catalogue.on_hub(row) is not None else MOST


def enlargers() -> list[dict[str, Any]]:
    """The enlargers for the close-up, with the reason where one can't run here."""
    return [
        {"id": ENLARGER, "label": "crisp", "reason": None},
        {"id": TEACHER, "label": "by Real-ESRGAN", "reason": realesrgan.missing()},
    ]


def refusal(row: catalogue.Row, place: Place) -> str | None:
    """One sentence where visitors of this place can't paint with a model, else None."""
    if reason := catalogue.available(row):
        return reason
    return place.refusal("fetch large models") if catalogue.on_hub(row) and not catalogue.cached(row) else None


def rows(place: Place) -> list[dict[str, Any]]:
    """The menu: every model, with the reason where it can't be chosen."""
    return [{"id": row.id, "note": note(row), "reason": refusal(row, place)} for row in catalogue.menu()]


def described(place: Place) -> list[dict[str, Any]]:
    """The menu for programs, with the settings that each model takes."""
    keys = ("note", "steps", "guidance")
    return [row | {k: v for k, v in model(row["id"]).items() if k in keys} for row in rows(place)]


def compared(place: Place) -> list[dict[str, Any]]:
    """The menu of the Compare page, with step counts and the size of each model without its base."""
    out = []
    for row in rows(place):
        model_row = catalogue.get(row["id"])
        steps = model(row["id"])["steps"]
        facts = {"steps": steps, "default_steps": model_row.manifest.default_steps, "size": size(model_row)}
        facts |= {"follows": bool(catalogue.controls(model_row))}  # lines, by a control
        out.append(row | facts | {"hybrid": hybrid(model_row, steps)})
    return out


def hybrid(row: Row, steps: list[int]) -> dict[str, Any] | None:
    """The base that can take a student's first step, and the step count of that run; None where there is none."""
    several = [n for n in steps if n > 1]
    if not several or not variety.based(row):
        return None
    own = row.manifest.default_steps
    return {"base": base_of(row), "steps": own if own > 1 else next((n for n in several if n == 4), several[0])}


def size(row: Row) -> str:
    """The size of its own files, such as "18 MB"; a model of the Hub has one only after its download."""
    if row.folder is None:
        return "on the Hub"
    total = sum((row.folder / name).stat().st_size for name in row.manifest.files)
    return f"{total / 1e6:.3g} MB"


def note(row: Row) -> str:
    """One line from the manifest: method, size, quality, time of a picture and licence."""
    manifest = row.manifest
    data = f"trained on {manifest.dataset}" if row.hub is None else f"from the Hub, {row.hub}"
    facts = [f"{count(manifest.parameters)} parameters, {row.size} × {row.size} pixels, {data}", worth(row)]
    made = (manifest.about or manifest.method).removesuffix(".")
    return ". ".join([made, *filter(None, facts), manifest.licence]) + "."


def worth(row: Row) -> str:
    """The share of right pictures, in per cent, and the time of one, at its default steps; "" if not measured."""
    quality = row.manifest.quality.get(str(row.manifest.default_steps), {})
    right = ", ".join(f"{name} {100 * quality[name]:.0f} %" for name in JUDGED if name in quality)
    figures = [f"Right: {right}"] if right else []
    return "; ".join(figures + ([f"{quality['ms']:,.0f} ms a picture"] if "ms" in quality else []))


def count(n: int) -> str:
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if n >= unit:
            return f"{n / unit:.3g} {name}"
    return f"{n:,}"


def switch(request: ImageRequest, fields: dict[str, Any]) -> ImageRequest:
    """The request with another model, which sets steps, guidance and sizes to its own."""
    fields = request.to_dict() | {k: v for k, v in fields.items() if v is not None}
    kept = {k: v for k, v in fields.items() if k not in ("steps", "guidance", "width", "height")}
    if catalogue.get(fields["model"]).manifest.guidance.kind != "cfg":
        kept["negative"] = ""
    if not catalogue.controls(catalogue.get(fields["model"])):
        kept["control"] = ""
    return ImageRequest.from_dict(kept | {"enlarge": enlarge(catalogue.get(fields["model"]))})


def arriving(start: ImageRequest, fields: dict[str, Any]) -> tuple[ImageRequest, str]:
    """The request that a page opens with, from a link or from the browser's memory: every valid field, and sentences on
    those that were left out. Where the model no longer exists, all other fields still count.
    """
    if not fields:
        return start, ""
    given: dict[str, Any] = {"prompt": start.prompt, "model": start.model}
    wrong = []
    for name, value in fields.items():
        try:
            given |= {} if value in ("", None) else {name: _value(name, value)}
        except ValueError as e:
            wrong.append(str(e))
    row = catalogue.rows().get(given["model"])
    given.setdefault("enlarge", enlarge(row) if row else MOST)
    try:
        restored = fitted(given)
    except ValueError as e:
        wrong.append(str(e))
        restored = fitted(given | {"prompt": start.prompt})
    return restored.request, " ".join([*wrong, *restored.notes])


def _value(name: str, value: Any) -> Any:
    """A field's value for a request; in a link it is text."""
    kind = get_type_hints(ImageRequest).get(name)
    if kind is None:
        raise ValueError(f"{name[:40]!a} in the link is no setting.")
    if not isinstance(value, str) or kind not in (int, float):
        return value
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name} in the link must be a {'whole ' if kind is int else ''}number") from None

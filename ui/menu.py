"""The models as the page shows them: choices and ranges, notes, and reasons why one can't run."""

from typing import Any, get_type_hints

from models import catalogue, realesrgan, sliders, stack, variety
from models.catalogue import Row
from models.enlarge import ENLARGER, MOST, TEACHER
from models.even import EVEN, needs
from models.painters import base_of, related
from models.request import ANGLES, ImageRequest
from models.restore import fitted
from models.vocabulary import knows
from ui.place import Place

LIVE_PARAMETERS = 60e6  # a larger model is too slow on a CPU to paint at every keystroke
ANY_STEPS = (4, 8, 20, 40)  # choices for a model that takes any step count
DRAFT_STEPS = 2  # the most steps of a draft
JUDGED = ("kind", "colour", "emoji")  # the quality figures in a note


def model(id: str) -> dict[str, Any]:
    """The data of one model for the form."""
    row = catalogue.get(id)
    guidance = row.manifest.guidance
    steps = row.manifest.step_counts or sorted({*ANY_STEPS, row.manifest.default_steps})
    return {
        "id": row.id,
        "says": plainly(row),
        "details": details(row),
        "steps": steps,
        "variety": {str(n): variety.knob(row, n) for n in steps},
        "sliders": beside(row),
        "loras": stack.able(row),
        "able": able(row),
        "guidance": guidance.range,
        "negative": guidance.kind == "cfg",
        "camera": catalogue.has_camera(row),
        "draft": draft(row),
        "live": row.manifest.parameters <= LIVE_PARAMETERS or catalogue.here().gpu is not None,
    }


def able(row: Row) -> dict[str, list[str]]:
    """The choices that this model can take, of the fields whose choices depend on it."""
    return {"even": [which for which in EVEN if not (word := needs(which)) or knows(row, word)]}


def draft(row: Row) -> dict[str, Any] | None:
    """Which student paints while one types for a base model of many steps, and its steps; None where there is none."""
    if row.manifest.step_counts:
        return None
    students = [r for r in catalogue.menu() if r.manifest.base == row.id and catalogue.available(r) is None]
    quick = [(r, n) for r in students for n in r.manifest.step_counts if n <= DRAFT_STEPS]
    worth = {(r.id, n): r.manifest.quality.get(str(n), {}).get("kind", 0.0) for r, n in quick}
    return {"model": (best := max(worth, key=worth.__getitem__))[0], "steps": best[1]} if worth else None


def beside(row: Row) -> list[dict[str, Any]]:
    """The sliders that this model can use: the words of their ends, whether it is a trained LoRA that acts, and the
    range in which they work."""
    out = []
    own = sliders.own()
    for name, slider in (sliders.box() | own).items():
        try:
            here = slider.on(row)
        except ValueError:  # this model can't use it
            continue
        ends = {"low": slider.low, "high": slider.high, "trained": here.by == "lora", "own": name in own}
        out.append({"name": name, **ends, "from": here.low, "to": here.high})
    return out


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
    """The menu: every model, what people choose it for, and the reason where it can't be chosen."""
    facts = [(row, {"good_for": row.manifest.good_for, "note": note(row)}) for row in catalogue.menu()]
    return [{"id": row.id, **says, "reason": refusal(row, place)} for row, says in facts]


def described(place: Place) -> list[dict[str, Any]]:
    """The menu for programs, with the settings that each model takes."""
    keys = ("steps", "guidance")
    return [row | {k: v for k, v in model(row["id"]).items() if k in keys} for row in rows(place)]


def compared(place: Place) -> list[dict[str, Any]]:
    """The menu of the Compare and Inspect pages, with step counts, whether others will do, and the size of each model
    without its base."""
    out, others = [], catalogue.menu()
    for row in rows(place):
        model_row = catalogue.get(row["id"])
        steps = model(row["id"])["steps"]
        facts = {"steps": steps, "any": not model_row.manifest.step_counts}
        facts |= {"default_steps": model_row.manifest.default_steps, "size": size(model_row)}
        facts |= {"guidance": model_row.manifest.guidance.range, "enlarge": enlarge(model_row)}
        facts |= {"follows": bool(catalogue.controls(model_row))}  # lines, by a control
        facts |= {"sliders": beside(model_row)}
        facts |= {"kin": [r.id for r in others if related(r, model_row)]}  # they can go on from its steps
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


def plainly(row: Row) -> str:
    """What a model is like, in words: its steps, its pace on this page, and how often it is right."""
    steps = row.manifest.default_steps
    quality = row.manifest.quality.get(str(steps), {})
    pace = ""
    if ms := quality.get("ms"):
        each = round(1000 / ms)
        pace = f", about {each} pictures a second" if each > 1 else f", about {ms / 1000:.1f} seconds a picture"
    counted = "One step" if steps == 1 else f"{steps} steps"
    sentences = [f"{counted}{pace}. {row.size} × {row.size} pixels before they are enlarged."]
    if "kind" in quality:
        sentences.append(
            f"Gets the thing right {_of_ten(quality['kind'])}, and its colour {_of_ten(quality['colour'])}."
        )
    return " ".join(sentences)


def _of_ten(share: float) -> str:
    return "nearly always" if share >= 0.95 else f"{int(10 * share + 0.5)} times in 10"


def details(row: Row) -> str:
    """The same in the words of the field, and which settings the model hasn't."""
    guidance = row.manifest.guidance
    lacks = []
    if guidance.kind != "cfg":
        lacks.append("no negative prompt, as its guidance is part of the network")
    if guidance.range[0] == guidance.range[1]:
        lacks.append("no choice of guidance, as it was distilled at one value")
    return " ".join([note(row), *([f"It has {'; '.join(lacks)}."] if lacks else [])])


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
    """The request with another model, which sets steps, guidance and sizes to its own. A choice that it can't take
    becomes the nearest that it can, which is its last."""
    fields = request.to_dict() | {k: v for k, v in fields.items() if v is not None}
    kept = {k: v for k, v in fields.items() if k not in ("steps", "guidance", "width", "height")}
    if catalogue.get(fields["model"]).manifest.guidance.kind != "cfg":
        kept["negative"] = ""
    if not catalogue.controls(catalogue.get(fields["model"])):
        kept["control"] = ""
    if not catalogue.has_camera(catalogue.get(fields["model"])):
        kept |= ANGLES
    nearest = {n: valid[-1] for n, valid in able(catalogue.get(fields["model"])).items() if kept[n] not in valid}
    return ImageRequest.from_dict(kept | nearest | {"enlarge": enlarge(catalogue.get(fields["model"]))})


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

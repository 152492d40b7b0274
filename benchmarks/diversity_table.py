"""Writes the tables of docs/methods/diversity.md from results/diversity.json, results/named.json and
results/commitment.json, and the stops of the slider Variety, assets/variety.json.

    python -m benchmarks.diversity_table
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import report
from benchmarks.report import Row, markdown, number
from core.paths import assets
from models import catalogue, painters
from models.variety import CURES

PAGE = report.ROOT / "docs" / "methods" / "diversity.md"
STUDY, NAMED = report.RESULTS / "diversity.json", report.RESULTS / "named.json"
DECIDED = report.RESULTS / "commitment.json"
HEADS = ("background", "colour", "pattern", "size", "view")
KEEP = 0.9  # least share of its own right pictures at any stop of the slider
GAIN = 0.03  # least relative gain of variety from stop to stop, about the deviation of a sampling seed
STOPS = 4
AIM = 0.97  # of the base's variety and of its own kinds
NONE = ("none", 0)
Cell = dict[str, Row]  # {metric: row}
Cells = dict[tuple[str, int], dict[tuple[str, float], Cell]]  # {(model, steps): {(cure, strength): ...}}


def cells(rows: Sequence[Row]) -> Cells:
    out: Cells = {}
    for row in rows:
        cure = row["cure"], row["strength"]
        out.setdefault((row["model"], row["steps"]), {}).setdefault(cure, {})[row["metric"]] = row
    return out


def value(cell: Mapping[str, Row], metric: str) -> float | None:
    return cell[metric]["value"] if metric in cell else None


def ratio(cell: Mapping[str, Row], other: Mapping[str, Row], metric: str) -> float | None:
    a, b = value(cell, metric), value(other, metric)
    return None if a is None or not b else a / b


def bases(study: Cells) -> dict[str, Cell]:
    """The figures of each base at guidance 1."""
    named = {id.removesuffix(", guidance 1"): by for (id, _), by in study.items() if id.endswith(", guidance 1")}
    return {id: by[NONE] for id, by in named.items()}


def base_of(study: Cells, model: str) -> Cell:
    """The figures of a student's base at guidance 1."""
    return bases(study)[painters.base_of(catalogue.get(model))]


def served(study: Cells, model: str) -> Cell:
    """The figures of the same base at its default guidance."""
    base = painters.base_of(catalogue.get(model))
    return next(by[NONE] for (id, _), by in study.items() if id == base)


def students(study: Cells) -> list[tuple[str, int]]:
    return [at for at in study if at[1] and "guidance" not in at[0] and at[0] not in bases(study)]


def price(cell: Cell, own: Cell) -> float | None:
    """The time relative to the student's own: of one picture, in turns, where measured; else of the study's batches."""
    return value(cell, "time") if "time" in cell else ratio(cell, own, "walk")


def per_cent(share: float | None) -> str:
    return report.MISSING if share is None else f"{100 * share:.0f}"


def spread(cell: Cell, metric: str) -> str:
    """A figure with its standard deviation over sampling seeds."""
    if metric not in cell:
        return report.MISSING
    row = cell[metric]
    return number(row["value"]) + (f" ± {number(row['sd'], 2)}" if row["sd"] is not None else "")


def line(name: str, strength: float, cell: Cell, own: Cell, base: Cell | None) -> dict[str, Any]:
    return {
        "cure": name,
        "strength": number(strength) if strength else "",
        "Vendi": spread(cell, "vendi_right"),
        "of the base": per_cent(ratio(cell, base, "vendi_right") if base else None),
        "all": number(value(cell, "vendi")),
        "apart": number(value(cell, "apart_right")),
        "kind": per_cent(value(cell, "kind")),
        "colour": per_cent(value(cell, "colour")),
        "right": per_cent(value(cell, "right")),
        "Fréchet": number(value(cell, "frechet")),
        "recall": number(value(cell, "recall"), 2),
        "calls": number(value(cell, "calls"), 2),
        "time": per_cent(price(cell, own)),
    }


def by_student(study: Cells) -> str:
    out = []
    for at in students(study):
        own, base = study[at][NONE], base_of(study, at[0])
        lines = [line(*cure, cell, own, base) for cure, cell in study[at].items()]
        out.append(f"**{at[0]}, {at[1]} step{'s' * (at[1] > 1)}**\n\n{markdown(lines, list(lines[0]))}")
    return "\n".join(out)


def beside(study: Cells) -> str:
    """The figures of bases and of real pictures, to which the shares are relative."""
    lines = []
    for (model, steps), by in study.items():
        if not steps or "guidance" in model or model in bases(study):
            shown = line(model, 0, by[NONE], by[NONE], None)
            lines.append({k: v for k, v in shown.items() if k not in ("strength", "of the base", "time")})
    return markdown(lines, list(lines[0]), ["painter", *list(lines[0])[1:]])


def claims(study: Cells) -> str:
    """The variety of right pictures in per cent of the base's at guidance 1, by whose step decides."""
    shown = {
        "alone": NONE,
        "base first, 1": ("base_steps", 1),
        "2": ("base_steps", 2),
        "3": ("base_steps", 3),
        "base last": ("base_last", 1),
        "first step left out": ("skip_steps", 1),
    }
    lines = []
    for model, steps in students(study):
        by, base = study[model, steps], base_of(study, model)
        if steps < 2:
            continue
        part = {head: _both(by[cure], by[NONE], base) if cure in by else report.MISSING for head, cure in shown.items()}
        lines.append({"student": model, "steps": str(steps)} | part)
    return markdown(lines, list(lines[0]))


def _both(cell: Cell, own: Cell, base: Cell) -> str:
    return f"{per_cent(ratio(cell, base, 'vendi_right'))} ({per_cent(ratio(cell, own, 'right'))})"


def best(study: Cells) -> str:
    """The cure of each student that keeps AIM of its own kinds and gives most variety, with its price."""
    lines = []
    for at in students(study):
        own, base = study[at][NONE], base_of(study, at[0])
        able = [(cure, cell) for cure, cell in study[at].items() if cure[0] not in ("none", "base_last")]
        able = [(cure, cell) for cure, cell in able if (ratio(cell, own, "kind") or 0) >= AIM]
        gain = [(ratio(cell, own, "vendi_right") or 0, cure, cell) for cure, cell in able]
        top = max(gain, key=lambda each: each[0], default=None)
        lines.append(
            {
                "student": at[0],
                "steps": str(at[1]),
                "alone, % of its base": per_cent(ratio(own, base, "vendi_right")),
                "of its base as served": per_cent(ratio(own, served(study, at[0]), "vendi_right")),
                "best cure": "none" if top is None or top[0] <= 1 + GAIN else " ".join(map(_plain, top[1])),
                "with it": report.MISSING if top is None else per_cent(ratio(top[2], base, "vendi_right")),
                "kinds, % of its own": report.MISSING if top is None else per_cent(ratio(top[2], own, "kind")),
                "time, % of its own": report.MISSING if top is None else per_cent(price(top[2], own)),
            }
        )
    return markdown(lines, list(lines[0]))


def _plain(part: str | float) -> str:
    return part if isinstance(part, str) else number(part)


def law(study: Cells) -> str:
    """The values of open attributes in right pictures: effective number, share of the commonest, distance."""
    lines = []
    for (model, steps), by in study.items():
        for cure in (NONE, ("base_steps", 1), ("even", 1)):
            if cure not in by:
                continue
            cell, name = by[cure], {"none": "", "base_steps": ", base first", "even": ", Even"}[cure[0]]
            at = f", {steps} step{'s' * (steps > 1)}" if (model, steps) in students(study) else ""
            parts = {head: _open(cell, head) for head in HEADS}
            lines.append({"painter": f"{model}{at}{name}"} | parts)
    return markdown(lines, ["painter", *HEADS])


def _open(cell: Cell, head: str) -> str:
    if f"{head}_number" not in cell:
        return report.MISSING
    number_of, common, off = (value(cell, f"{head}_{what}") for what in ("number", "commonest", "off"))
    return f"{number(number_of, 2)} · {per_cent(common)} % · {number(off, 2)}"


def naming(rows: Sequence[Row]) -> str:
    metrics = ("kind", "colour", "relation", "binding", "backgrounds")
    lines: dict[tuple, dict[str, str]] = {}
    for row in rows:
        place = row["model"], row["steps"], row["end"]
        facts = {"model": row["model"], "steps": str(row["steps"]), "end of the prompt": row["end"]}
        shown = number if row["metric"] == "backgrounds" else lambda v: f"{100 * v:.1f}"
        cell = f"{shown(row['value'])} ± {shown(row['sd'])}" if row["sd"] is not None else shown(row["value"])
        lines.setdefault(place, facts)[row["metric"]] = cell
    heads = ["model", "steps", "end of the prompt", *metrics]
    return markdown(list(lines.values()), heads)


def commitment(rows: Sequence[Row]) -> str:
    """When pictures are decided: per cent, with the band."""
    heads = [f"{what} {where}" for what in ("latents", "features", "kind") for where in ("at a tenth", "decided")]
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["metric"] in heads:
            value, low, high = (f"{100 * row[key]:.0f}" for key in ("value", "low", "high"))
            line = lines.setdefault(row["model"], {"model": row["model"], "steps": str(row["steps"])})
            line[row["metric"]] = f"{value} ({low} to {high})"
    return markdown(list(lines.values()), ["model", "steps", *heads])


def fields_of(cure: tuple[str, float]) -> dict[str, Any] | None:
    """The request's fields of a cure that the slider may use; None for other cures. The strength is that of the cure
    that is named last."""
    *before, last = cure[0].split(" and ")
    fields = dict.fromkeys(before, 1.0) | {last: cure[1]}
    if not fields.keys() <= set(CURES) - {"base_guidance"}:
        return None
    return {name: int(v) if name in ("base_steps", "skip_steps") else v for name, v in fields.items()}


def ladders(study: Cells) -> list[Row]:
    """The stops of the slider: of the cures that keep KEEP of the right pictures, those that no other beats in both
    figures, weakest first. A student without any has one entry without fields."""
    out: list[Row] = []
    for model, steps in students(study):
        own, stops = study[model, steps][NONE], []
        for cure, cell in study[model, steps].items():
            fields = fields_of(cure)
            gain, right, time = ratio(cell, own, "vendi_right"), ratio(cell, own, "right"), price(cell, own)
            if fields and gain and right and time and gain > 1 + GAIN and right >= KEEP:
                facts = {"variety": round(gain, 3), "right": round(right, 3), "time": round(time, 3)}
                stops.append({"model": model, "steps": steps, "fields": fields} | facts)
        front = [a for a in stops if not any(_beats(b, a) for b in stops)]
        front.sort(key=lambda a: a["variety"])
        out += _apart(front) or [{"model": model, "steps": steps, "fields": {}}]
    return out


def _beats(b: Row, a: Row) -> bool:
    better = b["variety"] >= a["variety"] and b["right"] >= a["right"]
    return better and (b["variety"], b["right"]) != (a["variety"], a["right"])


def _apart(front: list[Row]) -> list[Row]:
    """At most STOPS of them, each with enough gain over the one before, at about equal distances of variety; the last
    is the most varied."""
    kept: list[Row] = []
    for rung in front:
        if not kept or rung["variety"] > kept[-1]["variety"] + GAIN:
            kept.append(rung)
    if len(kept) <= STOPS:
        return kept
    low, high = kept[0]["variety"], kept[-1]["variety"]
    aims = [low + (high - low) * i / (STOPS - 1) for i in range(STOPS)]
    near = [min(kept, key=lambda rung: abs(rung["variety"] - aim)) for aim in aims]  # noqa: B023
    return [rung for n, rung in enumerate(near) if rung not in near[:n]]


def tables() -> dict[str, str]:
    study = cells(report.read(STUDY))
    named = report.read(NAMED)
    made = {f.__name__: f(study) for f in (best, claims, by_student, beside, law)}
    return made | {"naming": naming(named), "commitment": commitment(report.read(DECIDED))}


def page(text: str) -> str:
    for name, table in tables().items():
        text = report.insert(text, name, table)
    return text


def knob() -> str:
    lines = ",\n".join(json.dumps(entry) for entry in ladders(cells(report.read(STUDY))))
    return f"[\n{lines}\n]\n"


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    (assets() / "variety.json").write_text(knob(), encoding="utf-8")


if __name__ == "__main__":
    main()

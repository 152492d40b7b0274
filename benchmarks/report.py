"""Flat rows of figures: JSON files, Markdown tables, and the tables between markers in README and docs.

A row is one flat JSON object. A benchmark that runs again replaces the rows that have its keys and leaves the others.
"""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from core.files import whole_file

Row = dict[str, Any]  # text, numbers, None, as JSON has them
RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")  # with places for tables, each in one of them
MISSING = "–"


def read(path: Path) -> list[Row]:
    """The rows of a results file; empty where there is no file yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write one row on each line, so that diffs are readable. The file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    with whole_file(path) as part:
        part.write_text(f"[\n{lines}\n]\n" if rows else "[]\n", encoding="utf-8")


def merge(old: Iterable[Row], new: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """The old rows, with new ones in place of those with the same keys, and all other new ones at the end."""

    def key(row: Row) -> tuple:
        return tuple(row.get(k) for k in keys)

    fresh = {key(row): row for row in new}
    kept = [fresh.pop(key(row), row) for row in old]
    return kept + list(fresh.values())


def record(path: Path, new: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """Merge rows into a results file; returns all of its rows."""
    rows = merge(read(path), new, keys)
    write(path, rows)
    return rows


def over_seeds(values: Sequence[float], n: int) -> Row:
    """What a row says of one figure at several sampling seeds: the mean, its deviation (None for one seed), and `n`."""
    sd = float(f"{statistics.stdev(values):.3g}") if len(values) > 1 else None
    return {"value": float(f"{statistics.fmean(values):.4g}"), "sd": sd, "n": n}


def number(value: str | int | float | None, digits: int = 3) -> str:
    """A figure for a table: significant digits, separated thousands, a dash where it was not measured."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def markdown(rows: Sequence[dict], columns: Sequence[str], heads: Sequence[str] | None = None) -> str:
    """A table of these keys of the rows. Columns of numbers are aligned to the right."""
    cells = [[number(row.get(c)) for c in columns] for row in rows]
    right = [all(not isinstance(row.get(c), str) for row in rows) for c in columns]
    lines = [list(heads or columns), ["---:" if r else "---" for r in right], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def insert(text: str, name: str, table: str) -> str:
    """The text with the table between `<!-- name:start -->` and `<!-- name:end -->`."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, opened, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"there is no place for the table: {start} and then {end} must stand in the text")
    return f"{before}{start}\n{table}{end}{after}"


def page(name: str) -> Path | None:
    """The page that has a place for the table."""
    return next((p for p in PAGES if p.exists() and f"<!-- {name}:start -->" in p.read_text(encoding="utf-8")), None)


def publish(name: str, table: str) -> None:
    """Write a table beside the results, and into the page that has a place for it."""
    (RESULTS / f"{name}.md").write_text(table, encoding="utf-8")
    if (doc := page(name)) is not None:
        doc.write_text(insert(doc.read_text(encoding="utf-8"), name, table), encoding="utf-8")

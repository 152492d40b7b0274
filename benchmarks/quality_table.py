"""The rows of results/quality.json as Markdown: generators first, then autoencoders and judges."""

from collections.abc import Sequence

from benchmarks.report import Row, markdown, number
from benchmarks.scoring import DISTANCES, SHARES

PLACE = ("model", "steps", "guidance")
PSNR = ("psnr_toys", "psnr_emoji")
NAMES = {"frechet": "Fréchet", "kernel": "kernel", "psnr_toys": "toys, dB", "psnr_emoji": "emoji, dB",
         "nearest_emoji": "nearest emoji", "first": "of them nature, food"}  # fmt: skip


def cell(row: Row | None, field: str = "value") -> str | None:
    """A share in per cent, anything else to three digits; with its deviation where it has one."""
    if row is None or row[field] is None:
        return None
    share = row["metric"] in SHARES or row["kind"] == "judge"
    shown = [row[field]] + ([row["sd"]] if field == "value" and row["sd"] is not None else [])
    return " ± ".join(f"{100 * v:.1f}" if share else number(v) for v in shown)


def grouped(rows: Sequence[Row], kind: str) -> dict[tuple, dict[str, Row]]:
    """{(model, steps, guidance): {metric: row}} of one kind."""
    found: dict[tuple, dict[str, Row]] = {}
    for row in rows:
        if row["kind"] == kind:
            found.setdefault(tuple(row[k] for k in PLACE), {})[row["metric"]] = row
    return found


def present(groups: dict[tuple, dict[str, Row]], metrics: Sequence[str]) -> list[str]:
    return [m for m in metrics if any(m in rows for rows in groups.values())]


def bound(groups: dict[tuple, dict[str, Row]], metrics: Sequence[str], field: str, name: str) -> dict:
    """A line of ceilings or floors: those of the newest rows of each metric."""
    newest = {m: rows[m] for rows in groups.values() for m in metrics if m in rows}
    return {"model": name, "steps": None, "guidance": None} | {m: cell(r, field) for m, r in newest.items()}


def generators(groups: dict[tuple, dict[str, Row]], metrics: Sequence[str], bounds: dict[str, str]) -> str:
    lines = [
        dict(zip(PLACE, place, strict=True)) | {m: cell(rows.get(m)) for m in metrics} for place, rows in groups.items()
    ]
    lines += [bound(groups, metrics, field, name) for field, name in bounds.items()]
    return markdown(lines, [*PLACE, *metrics], [*PLACE, *(NAMES.get(m, m) for m in metrics)])


def plain(groups: dict[tuple, dict[str, Row]], metrics: Sequence[str], bounds: dict[str, str]) -> str:
    lines = [{"model": place[0]} | {m: cell(rows.get(m)) for m in metrics} for place, rows in groups.items()]
    lines += [bound(groups, metrics, field, name) for field, name in bounds.items()]
    return markdown(lines, ["model", *metrics], ["model", *(NAMES.get(m, m) for m in metrics)])


def tables(rows: Sequence[Row]) -> str:
    """Everything that was measured; a kind of row that is not there has no table."""
    out = []
    painters = grouped(rows, "model") | grouped(rows, "lora")
    if painters:
        n = max(r["n"] for rows in painters.values() for r in rows.values())
        bounds = {"ceiling": "*real pictures*", "floor": "*shuffled captions*"}
        title = f"Right, in per cent of what the captions name (N up to {n:,}, mean ± deviation over sampling seeds):\n"
        out += [title, generators(painters, present(painters, SHARES), bounds)]
        if shown := present(painters, DISTANCES):
            out += ["Distance from real pictures, and variety, in features of the judge:\n"]
            out += [generators(painters, shown, {"ceiling": "*real pictures*"})]
    if coders := grouped(rows, "autoencoder"):
        out += ["Held-out pictures through the autoencoder, and what the judge still reads in them, in per cent:\n"]
        out += [plain(coders, present(coders, [*PSNR, *SHARES]), {"ceiling": "*real pictures*"})]
    if readers := grouped(rows, "judge"):
        heads = list(dict.fromkeys(m for rows in readers.values() for m in rows))
        out += ["Judges on held-out real pictures, in per cent right:\n", plain(readers, heads, {})]
    return "\n".join(out)

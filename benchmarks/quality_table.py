"""The tables of results/quality.json in Markdown: generators first, then autoencoders and judges."""

from collections.abc import Iterator, Sequence

from benchmarks.report import Row, markdown, number
from benchmarks.scoring import DISTANCES, SHARES
from models import catalogue

PLACE = ("model", "steps", "guidance")
PSNR = ("psnr_toys", "psnr_emoji")
COSTS = ("ms", "memory", "parameters")
BESIDE = (*SHARES, "frechet", "recall", "vendi", "backgrounds", "ms")  # shown in per cent of the teacher's
FEW = 0.6  # share of the teacher's recall below which a sentence says that variety is lost
NAMES = {"frechet": "Fréchet", "kernel": "kernel", "psnr_toys": "toys, dB", "psnr_emoji": "emoji, dB",
         "nearest_emoji": "nearest emoji", "first": "of them nature, food", "memory": "peak GiB",
         "parameters": "parameters, M"}  # fmt: skip
Groups = dict[tuple, dict[str, Row]]  # {(model, steps, guidance): {metric: row}}

RIGHT = "Right, in per cent of what the captions name (mean ± deviation over sampling seeds):\n"
APART = """Distance from real pictures, and variety, in features of the judge (vendi: mean of prompts, sixteen pictures
of each). Then what one picture takes, on the computer that measured it: milliseconds through `generate` with a cold
prompt cache, and the peak memory of the process; its own parameters in millions (+: of a LoRA, on those of its base):
"""
TAUGHT = "Students, in per cent of their teacher's figures at its own steps (of Fréchet and ms, less is better):\n"
HEADLINE = {  # (model, steps): what it is best at, of the columns here and in docs/results.md
    ("toybox-sprint", 1): "the default: quick, guidance can be set",
    ("toybox-hyper", 1): "the most varied in one step",
    ("toybox-disback", 1): "the best emoji in one step",
    ("toybox-hyper", 2): "near its teacher at a ninth of its time",
    ("toybox-dmd2", 4): "near its teacher, little varied",
    ("toybox-lcm", 4): "toys, of the quick ones",
    ("toybox-sana", 20): "the teacher of toybox-sprint",
    ("toybox-sd", 25): "the best pictures, the slowest",
}
SHOWN = {"kind": "right kind, %", "emoji": "right emoji, %", "vendi": "variety", "ms": "ms a picture"}
CODED = "Held-out pictures through the autoencoder, and what the judge still reads in them, in per cent:\n"


def cell(row: Row | None, field: str = "value") -> str | None:
    """A share in per cent, other figures to three digits, with the standard deviation where there is one."""
    if row is None or row[field] is None:
        return None
    share = row["metric"] in SHARES or row["kind"] == "judge"
    shown = [row[field]] + ([row["sd"]] if field == "value" and row["sd"] is not None else [])
    plus = "+ " if row["metric"] == "parameters" and row["kind"] == "lora" else ""
    return plus + " ± ".join(f"{100 * v:.1f}" if share else number(v) for v in shown)


def grouped(rows: Sequence[Row], *kinds: str) -> Groups:
    groups: Groups = {}
    for row in rows:
        if row["kind"] in kinds:
            groups.setdefault(tuple(row[k] for k in PLACE), {})[row["metric"]] = row
    return groups


def counted(groups: Groups) -> Groups:
    """The groups with the number of parameters from the manifests of models that are here."""
    known, out = catalogue.rows(), {}
    for place, rows in groups.items():
        row = known.get(place[0])
        size = None if row is None else float(f"{row.manifest.parameters / 1e6:.3g}")
        figure = {"metric": "parameters", "value": size, "sd": None, "ceiling": None, "floor": None}
        out[place] = rows | {"parameters": figure | {"kind": next(iter(rows.values()))["kind"]}}
    return out


def present(groups: Groups, metrics: Sequence[str]) -> list[str]:
    return [m for m in metrics if any(m in rows for rows in groups.values())]


def bound(groups: Groups, metrics: Sequence[str], field: str, name: str) -> dict:
    """A line of ceilings or floors: the last one that was measured for each metric."""
    last = {m: rows[m] for rows in groups.values() for m in metrics if m in rows and rows[m][field] is not None}
    return {"model": name, "steps": None, "guidance": None} | {m: cell(r, field) for m, r in last.items()}


def heading(groups: Groups, metrics: Sequence[str]) -> dict:
    """A line with the largest number of pictures behind the figure of a sampling seed."""
    counts = {
        m: max((rows[m]["n"] for rows in groups.values() if "n" in rows.get(m, {})), default=None) for m in metrics
    }
    return {"model": "*pictures*", "steps": None, "guidance": None} | {m: str(n) for m, n in counts.items() if n}


def generators(groups: Groups, metrics: Sequence[str], bounds: dict[str, str]) -> str:
    lines = [
        dict(zip(PLACE, place, strict=True)) | {m: cell(rows.get(m)) for m in metrics} for place, rows in groups.items()
    ]
    lines += [bound(groups, metrics, field, name) for field, name in bounds.items()]
    lines.append(heading(groups, [m for m in metrics if m not in COSTS]))
    return markdown(lines, [*PLACE, *metrics], [*PLACE, *(NAMES.get(m, m) for m in metrics)])


def plain(groups: Groups, metrics: Sequence[str], bounds: dict[str, str]) -> str:
    lines = [{"model": place[0]} | {m: cell(rows.get(m)) for m in metrics} for place, rows in groups.items()]
    lines += [bound(groups, metrics, field, name) for field, name in bounds.items()]
    return markdown(lines, ["model", *metrics], ["model", *(NAMES.get(m, m) for m in metrics)])


def share(rows: dict[str, Row], metric: str) -> float | None:
    """A figure relative to the teacher's; None where either is not known."""
    row = rows.get(metric)
    return row["value"] / row["teacher"] if row is not None and row["teacher"] else None


def beside_teachers(groups: Groups) -> str:
    """The table of students in per cent of their teachers' figures; "" without any."""
    known, lines = catalogue.rows(), []
    for place, rows in groups.items():
        shares = {m: round(100 * s) for m in BESIDE if (s := share(rows, m)) is not None}
        if shares:
            base = known[place[0]].manifest.base if place[0] in known else None
            lines.append(dict(zip(PLACE, place, strict=True)) | {"teacher": base} | shares)
    shown = [m for m in BESIDE if any(m in line for line in lines)]
    heads = [*PLACE, "teacher", *(NAMES.get(m, m) for m in shown)]
    return markdown(lines, [*PLACE, "teacher", *shown], heads) if lines else ""


def poorer(groups: Groups) -> Iterator[str]:
    """One sentence for each student with much less variety than its teacher."""
    for (model, steps, _), rows in groups.items():
        kept = share(rows, "recall")
        if kept is not None and kept < FEW:
            at = f"{steps} step{'' if steps == 1 else 's'}"
            sentence = (
                f"{model} at {at} keeps {100 * kept:.0f} % of its teacher's recall: it paints less of the variety.\n"
            )
            yield sentence


def of_generators(painters: Groups) -> list[str]:
    bounds = {"ceiling": "*real pictures*", "floor": "*shuffled captions*"}
    out = [RIGHT, generators(painters, present(painters, SHARES), bounds)]
    if present(painters, DISTANCES):
        sized = counted(painters)
        bounds = {"ceiling": "*real pictures*", "floor": "*backgrounds alone*"}
        out += [APART, generators(sized, present(sized, [*DISTANCES, *COSTS]), bounds)]
    if beside := beside_teachers(painters):
        out += [TAUGHT, beside]
    return [*out, *poorer(painters)]


def tables(rows: Sequence[Row]) -> str:
    """All tables; a kind of rows without any has none."""
    out = []
    if painters := grouped(rows, "model", "lora"):
        out += of_generators(painters)
    if coders := grouped(rows, "autoencoder"):
        bounds = {"ceiling": "*real pictures*", "floor": "*one mean colour; shuffled captions*"}
        out += [CODED, plain(coders, present(coders, [*PSNR, *SHARES]), bounds)]
    if readers := grouped(rows, "judge"):
        heads = list(dict.fromkeys(m for rows in readers.values() for m in rows))
        out += ["Judges on held-out real pictures, in per cent right:\n", plain(readers, heads, {})]
    return "\n".join(out)


def headline(rows: Sequence[Row]) -> str:
    """The headline table: one row for each recommended model and step count, and one for real pictures."""
    places = {place[:2]: cells for place, cells in grouped(rows, "model", "lora").items()}
    lines, cells = [], {}
    for (model, steps), best in HEADLINE.items():
        cells = places[model, steps]
        shown = {m: number(100 * cells[m]["value"] if m in SHARES else cells[m]["value"]) for m in SHOWN}
        lines.append({"model": model, "steps": steps, "best at": best} | shown)
    top = {m: cells[m]["ceiling"] for m in SHOWN}
    shown = {m: number(None if c is None else 100 * c if m in SHARES else c) for m, c in top.items()}
    lines.append({"model": "*real pictures*", "steps": "–", "best at": ""} | shown)
    columns = ["model", "steps", "best at", *SHOWN]
    return markdown(lines, columns, [SHOWN.get(c, c) for c in columns])

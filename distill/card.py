"""The model card, in the Hub's format, and the plot of the training curve beside it.

    python -m distill.card

rewrites the section "In diffusers" in the card of each model of the box.
"""

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from core import events
from models import catalogue, recipe
from models.catalogue import Manifest

PICTURES = {
    "toys": "toy scenes that this project draws",
    "mini": "toy scenes of one thing each, which this project draws",
    "emoji": "Fluent Emoji (MIT License, Microsoft)",
    "words": "Fluent Emoji (MIT License, Microsoft)",
    "pairs": "pairs of both",
    "painted": "pictures that the models of this project painted",
    "noto": "Noto Emoji (Apache License 2.0, Google)",
}
WORDS = "Its vocabulary is `vocabulary.json`; it knows no other words.\n"


def curve(run: Path, out: Path) -> None:
    """Plot every loss of the run against its steps."""
    series: dict[str, list[tuple[int, float]]] = {}
    for e in events.read(run):
        if e["kind"] == "metric":
            for k, v in e["values"].items():
                if k.endswith("/loss"):
                    series.setdefault(k, []).append((e["step"], v))
    fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    for name, points in series.items():
        x, y = np.array(points).T
        width = max(1, len(y) // 50)
        smooth = np.convolve(y, np.ones(width) / width, "valid")
        ax.plot(x[width - 1 :], smooth, label=name)
    ax.set(xlabel="step", ylabel="loss")
    ax.spines[["top", "right"]].set_visible(False)
    if series:
        ax.legend(frameon=False)
    fig.savefig(out, dpi=90)
    plt.close(fig)


def learnt_from(dataset: str) -> str:
    """One sentence on the origin of the training pictures."""
    if dataset == "mixture":
        return "Trained on points of a mixture of Gaussians, not on pictures."
    folder = "a folder of the person who trained it; ask them for the licence"
    origins = dict.fromkeys(PICTURES.get(part, folder) for part in dataset.split("+"))
    return f"Training pictures: {', and '.join(origins)}."


def renewed(text: str, lines: str) -> str:
    """A card with new lines for diffusers."""
    kept = re.sub(r"## In diffusers\n.*(?=!\[training curve\])", "", text, flags=re.S)
    return kept.replace("![training curve]", f"{lines}\n![training curve]" if lines else "![training curve]", 1)


def card(m: Manifest, facts: dict, lines: str = "") -> str:
    """The text of the card. `facts`: the run.json of the run. `lines`: the section "In diffusers"."""
    base = f"base_model: {m.base}\n" if m.base else ""
    commands = m.command.replace(" && ", "\n")
    rows = facts["config"] | {f"train.{k}": v for k, v in facts["train"].items()}
    settings = "\n".join(f"| {k} | {v} |" for k, v in rows.items())
    about = (WORDS if "vocabulary.json" in m.files else "") + learnt_from(m.dataset)
    data = f"`{m.dataset}`"
    if (start := facts.get("start")) and start["dataset"] != m.dataset:
        about += f" Before, as {start['id']}: {learnt_from(start['dataset'])}"
        data = f"`{start['dataset']}`, then {data}"
    return f"""---
license: {m.licence.lower()}
library_name: diffusers
{base}tags: [still-life, {m.method}, {m.family}]
---

# {m.id}

{m.about} {m.parameters:,} parameters.
Data: {data}, {m.samples_seen:,} samples seen.

Made by these commands:

```
{commands}
```

{lines}
![training curve](curve.png)

{about}
The project's `docs/results.md` has its measured quality.

| setting | value |
| --- | --- |
{settings}
"""


def main() -> None:
    for row in catalogue.rows().values():
        if row.folder is not None and row.folder.parent.name == "weights":
            file = row.folder / "README.md"
            file.write_text(renewed(file.read_text(encoding="utf-8"), recipe.section(row)), encoding="utf-8")


if __name__ == "__main__":
    main()

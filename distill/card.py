"""The model card, in the Hub's format, and the picture of the training curve beside it."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from models import events
from models.catalogue import Manifest

BLURBS = {
    "autoencoder": "An autoencoder: 128 x 128 pictures to 8 x 8 x 16 latents and back.",
    "sft": "Trained on toy scenes and emoji: the teacher of students of few steps.",
    "scm_ladd": "A one-step SANA-Sprint student: continuous-time consistency with latent adversarial distillation.",
    "tscd": "Hyper-SD: one LoRA for 1, 2, 4 and 8 steps, by trajectory-segmented consistency.",
    "lcm": "A latent consistency LoRA: the baseline that the other students are compared with.",
    "dmd": "DMD2: distribution matching with two time scales and a discriminator.",
    "msd": "Multi-student distillation: small students, each for a part of the prompts, and the router between them.",
    "disback": "DisBack: distribution matching that walks back from bad pictures to the teacher.",
    "cfg_lora": "A LoRA that has guidance folded in: one call a step where the teacher takes two.",
    "oracle": "A judge: reads what is in a picture. It measures generators; it paints nothing.",
}


def curve(run: Path, out: Path) -> None:
    """Every loss of the run against its steps."""
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


def card(m: Manifest, facts: dict) -> str:
    base = f"base_model: {m.base}\n" if m.base else ""
    commands = m.command.replace(" && ", "\n")
    settings = "\n".join(f"| {k} | {v} |" for k, v in (facts["config"] | facts["train"]).items())
    return f"""---
license: {m.licence.lower()}
library_name: diffusers
{base}tags: [still-life, {m.method}, {m.family}]
---

# {m.id}

{BLURBS.get(m.method, m.method)} {m.parameters:,} parameters.
Data: `{m.dataset}`, {m.samples_seen:,} samples seen.

Made by, and remade with:

```
{commands}
```

![training curve](curve.png)

It knows the words of `vocabulary.json` and no others. Pictures that it learnt from: toy scenes that this project draws,
and Fluent emoji (MIT, Microsoft). What it is worth is measured in the project's README.

| setting | value |
| --- | --- |
{settings}
"""

"""The code on a model's card: lines of plain diffusers that give the same pictures as Still Life."""

from typing import Any

from models import catalogue, families, learnt
from models.catalogue import Row
from models.lora_files import FILE

PROMPT, SEED = "a red mushroom", 0
SPRINT = "SCMScheduler"
TABLE = """\
table = {table}  # the pipeline has no schedule of its own for so many steps
spaced = pipe.scheduler.set_timesteps
pipe.scheduler.set_timesteps = lambda n, device=None, **_: spaced(n, table, device, None, None)
"""
CAMERA = """\
The camera is in `camera.safetensors`. Plain diffusers passes over it and paints the thing from any side; in Still Life
`python -m models.generate` turns it.
"""
WORD = """\
The vector of the word "{word}" is an entry in the metadata of `lora.safetensors`. Plain diffusers passes over it: there
the word means what it meant before to the encoder, and its thing is painted less surely than in Still Life.
"""
CONTROL = """\
## In diffusers

White lines on black; likewise `edges`, `depth` (light is near) and `colours` (soft areas, ten on a side).

```python
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from diffusers.utils import load_image

# python -m models.export {id} CONTROL; python -m models.export {base} BASE
branch = ControlNetModel.from_pretrained("{home}/sketch")
pipe = StableDiffusionControlNetPipeline.from_pretrained("BASE", controlnet=branch)
image = pipe("{prompt}", image=load_image("lines.png"), guidance_scale=3.0).images[0]
```
"""


def counts(row: Row) -> list[int]:
    """The step counts that a card shows."""
    return row.manifest.step_counts or [row.manifest.default_steps]


def call(row: Row, steps: int) -> dict[str, Any]:
    """The arguments of the pipeline's call that give the pictures of Still Life."""
    return families.family(row.manifest.family).call(row, steps)


def painting(row: Row, steps: int) -> str:
    """The lines that paint a picture in so many steps with `pipe`."""
    table = row.manifest.timesteps.get(str(steps), [])
    before = TABLE.format(table=[*table, 0.0]) if row.manifest.scheduler == SPRINT and len(table) > 2 else ""
    arguments = {"generator": f"torch.Generator().manual_seed({SEED})"}
    arguments |= {k: repr(v) for k, v in call(row, steps).items()}
    lines = "".join(f"    {k}={v},\n" for k, v in arguments.items())
    return f'{before}image = pipe(\n    "{PROMPT}",\n{lines}).images[0]\n'


def loading(row: Row, home: str | None = None) -> str:
    """The lines that make `pipe`. `home`: the complete folder that `models.export` wrote; None for the model's own."""
    m = row.manifest
    name = families.family(m.family).pipeline_class(row).__name__
    if home is not None or m.kind != "lora":
        made = "" if home is not None else f"  # a folder that this writes: python -m models.export {row.id} FOLDER"
        return f"""import torch
from diffusers import {name}

pipe = {name}.from_pretrained("{home or "FOLDER"}"){made}
"""
    base = catalogue.get(m.base or "")
    where = base.hub if base.hub and not catalogue.in_folder(base) else "BASE"
    made = "" if where != "BASE" else f"  # a folder that this writes: python -m models.export {base.id} BASE"
    adapter, full = row.id.replace(".", "-"), (m.lora or {}).get("full")
    strength = 1.0 if full is None else (m.guidance.default - 1) / (full - 1)
    why = "" if full is None else f"  # guidance {m.guidance.default:g}: (guidance - 1) / ({full:g} - 1)"
    own = row.folder is not None and (row.folder / "scheduler").is_dir()
    scheduler = f'from_pretrained("{row.id}", subfolder="scheduler")' if own else "from_config(pipe.scheduler.config)"
    imported = ", ".join(sorted([str(m.scheduler), name]))
    return f"""import torch
from diffusers import {imported}

pipe = {name}.from_pretrained("{where}"){made}
pipe.load_lora_weights("{row.id}", weight_name="lora.safetensors", adapter_name="{adapter}")  # this folder
pipe.set_adapters("{adapter}", {strength!r}){why}
pipe.scheduler = {m.scheduler}.{scheduler}
"""


def section(row: Row, home: str | None = None) -> str:
    """The card's section "In diffusers": loading, then painting at each step count."""
    if row.manifest.kind == "control":
        if not families.family(row.manifest.family).CONTROL.EXPORTS:
            return "## In diffusers\n\nNo pipeline has a place for this control.\n"
        return CONTROL.format(id=row.id, base=row.manifest.base, home=home or "CONTROL", prompt=PROMPT)
    if row.manifest.kind not in ("model", "lora"):
        return ""
    if row.routed:
        return "## In diffusers\n\nNo pipeline sends each prompt to the right one of several students.\n"
    parts = [f"## In diffusers\n\n```python\n{loading(row, home)}```\n"]
    if "word" in (row.manifest.lora or {}) and row.folder and (word := learnt.read(row.folder / FILE)) is not None:
        parts.append(WORD.format(word=word.name))
    if catalogue.has_camera(row):
        parts.append(CAMERA)
    for steps in counts(row):
        many = f"{steps} step" + ("" if steps == 1 else "s")
        parts.append(f"In {many}:\n\n```python\n{painting(row, steps)}```\n")
    return "\n".join(parts)

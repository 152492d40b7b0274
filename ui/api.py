"""The named HTTP endpoints, for programs. The page documents them at /endpoints.

`/generate` takes the fields of ImageRequest by name, `/models` lists the models, `/restore` reads a picture's request,
`/input` stores a picture to start from.
"""

import dataclasses
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import gradio as gr
from gradio.context import LocalContext

from core.fields import options
from models import inputs
from models.request import ImageRequest
from ui import menu, painting, pictures
from ui.desk import Desk
from ui.wire import spoken


def publish(desk: Desk) -> None:
    """Declare the endpoints inside the current Blocks."""
    gr.api(_generate(desk), api_name="generate", concurrency_limit=8)
    gr.api(_models(desk), api_name="models", queue=False)
    file, out = gr.File(visible=False, file_types=["image"]), gr.JSON(visible=False)
    gr.Button(visible=False).click(_restore(desk), file, out, api_name="restore", queue=False)
    gr.Button(visible=False).click(_input, file, out, api_name="input", queue=False)


def _models(desk: Desk):
    def models() -> list[dict]:
        """The models: id, a note, valid step counts, the range of guidance, and why one can't run here."""
        return menu.described(desk.place)

    return models


def _restore(desk: Desk):
    def restore(picture: str) -> dict[str, Any]:
        """The request in a picture that was made here; POST it to /generate for the same picture again. Where a part of
        it can't be painted here, `notes` has sentences on what was left out."""
        if not picture:
            raise gr.Error("picture is missing; upload a PNG that was made here", print_exception=False)
        restored = spoken(pictures.carried)(desk, picture)
        return restored.fields | ({"notes": list(restored.notes)} if restored.notes else {})

    return restore


def _input(picture: str) -> dict[str, str]:
    """Store a picture for `image` or `mask` of /generate. Returns its `sha256`, which those fields take."""
    if not picture:
        raise gr.Error("picture is missing; upload a PNG, JPEG or WebP", print_exception=False)
    return {"sha256": spoken(inputs.keep)(Path(picture))}


def _generate(desk: Desk):
    """A function whose signature is ImageRequest's, so that the endpoint names, types and documents every field."""
    fields = dataclasses.fields(ImageRequest)
    hints = get_type_hints(ImageRequest)

    def generate(caller: gr.Request, *values: Any) -> list[dict]:
        request = {f.name: v for f, v in zip(fields, values, strict=True)}
        return spoken(painting.generate)(desk, request, caller.session_hash or LocalContext.event_id.get() or "")

    kinds = {f.name: hints[f.name] | None if f.default is None else hints[f.name] for f in fields}
    parameters = [
        inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=f.default, annotation=kinds[n])
        for n, f in zip(kinds, fields, strict=True)
    ]
    own = inspect.Parameter("caller", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    generate.__signature__ = inspect.Signature([own, *parameters], return_annotation=list[dict])
    generate.__annotations__ = {"caller": gr.Request, **kinds, "return": list[dict]}
    notes = "; ".join(f"{name}: {option.help.rstrip('.')}" for name, option in options(ImageRequest).items())
    generate.__doc__ = (
        "Paint. Returns one object for each picture: `picture` (a PNG as a data URL, with its settings inside), "
        "`request` (for this picture alone), `seed`, `steps`, `calls` of the network, `latency_ms`, `text` (the prompt "
        f"as the text encoder read it), `notes` (sentences on parts of the prompt without effect). {notes}"
    )
    return generate

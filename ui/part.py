"""A part of the page that a script draws."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr


def part(
    name: str,
    elem_id: str,
    server: Sequence[Callable] = (),
    events: Sequence[str] = (),
    value: Any = None,
    **more: Any,
) -> gr.HTML:
    """An element that `still.parts.<name>(element, {trigger, props, server, watch, events})` draws. `server`: the
    functions that it may call.

    No text of a person goes through the template, which would run it as HTML; scripts insert text as text.
    """
    script = f"still.parts.{name}(element, {{ trigger, props, server, watch, events: {json.dumps(list(events))} }});"
    return gr.HTML(
        value,
        html_template="<div></div>",
        js_on_load=script,
        server_functions=list(server),
        elem_id=elem_id,
        apply_default_css=False,
        **more,
    )

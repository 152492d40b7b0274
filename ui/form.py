"""The fields of a frozen request as widgets, and the values of widgets as a request.

Each field of a request is an `option` (core/fields.py), whose metadata choose the widget. A new field has its place
over HTTP, on the command line and in a picture's metadata by its name alone.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from core.fields import Option, options
from models.request import Request
from ui.part import part

MOST_STOPS = 2000  # a number with more steps than this gets a text field, not a slider
Widget = gr.Checkbox | gr.HTML | gr.Number | gr.Radio | gr.Slider | gr.Textbox
Draw = Callable[..., Widget]
R = TypeVar("R", bound=Request)


def widget(name: str, kind: type, option: Option, value: Any, **more: Any) -> Widget:
    """The widget that a field's type and metadata ask for."""
    shared = {"value": value, "label": more.pop("label", name.replace("_", " ").capitalize()), **more}
    if option.unit:
        shared["label"] += f" ({option.unit})"
    if kind is bool:
        return gr.Checkbox(**shared)
    if option.choices is not None:
        chosen = {"name": name, "label": shared.pop("label"), "choices": list(option.choices())}
        return part("choice", events=("input",), data=chosen, **shared)
    if kind is str:
        return gr.Textbox(lines=option.lines, max_length=option.longest, **shared)
    low, high, step = option.low, option.high, option.step
    if low is not None and high is not None and step is not None and (high - low) / step <= MOST_STOPS:
        return gr.Slider(low, high, step=step, **shared)
    return gr.Number(minimum=low, maximum=high, precision=0 if kind is int else None, **shared)


class Form(Generic[R]):
    """Widgets of some fields of one request class, in the order in which they are added.

    form = Form(ImageRequest(prompt="a fox")); form.add("seed"); …; form.read(inputs) -> {"seed": 7, …}
    """

    def __init__(self, start: R):
        self.start = start
        self.widgets: dict[str, Widget] = {}
        self._options = options(type(start))
        self._kinds = {k: _plain(v) for k, v in get_type_hints(type(start)).items()}

    def add(self, name: str, draw: Draw | None = None, **more: Any) -> Widget:
        """Draw the widget of one field here. `draw(value=, label=, elem_id=, **more)` may make another widget."""
        assert name in self._options, f"{name!r} is no field; valid: {', '.join(self._options)}"
        more.setdefault("elem_id", f"field-{name}")
        value = getattr(self.start, name)
        if draw is None:
            made = widget(name, self._kinds[name], self._options[name], value, **more)
        else:
            made = draw(value=value, **more)
        self.widgets[name] = made
        return made

    @property
    def inputs(self) -> set[Block]:
        return set(self.widgets.values())

    def read(self, data: dict[Component, Any]) -> dict[str, Any]:
        """The values by field name, from the data that gradio gives a handler whose inputs are a set. Whole numbers
        stay whole."""
        out = {}
        for name, made in self.widgets.items():
            value = data[made]
            if self._kinds[name] is int and isinstance(value, float) and value.is_integer():
                value = int(value)
            out[name] = value
        return out

    def show(self, request: R) -> dict[Component, Any]:
        """The values of every widget, in the form that a handler returns."""
        return {made: getattr(request, name) for name, made in self.widgets.items()}


def _plain(kind: Any) -> type:
    """The type without None: `int | None` gives int."""
    inner = [k for k in get_args(kind) if k is not type(None)]
    return inner[0] if inner and type(None) in get_args(kind) else kind

"""The Create page: the prompt, the wall of pictures, their cost, the settings, the gallery.

The page's scripts get pictures from server functions (ui/painting.py, ui/pictures.py). Settings go through gradio's
widgets and events. Python sends messages to the scripts through one invisible component, `messages`.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.context import Context

from models import catalogue, variety
from models.enlarge import FACTORS, MOST
from models.precision import HALF, SINGLE, precisions
from models.request import SEEDS, ImageRequest
from models.restore import Restored, fitted, kept
from ui import menu, pictures, wall
from ui.create import beside
from ui.create.picker import picker, sheet
from ui.create.trained import share_slider, train_slider
from ui.create.unlike import unlike
from ui.create.words import words
from ui.desk import Desk
from ui.form import Form
from ui.painting import large, paint, stop, where
from ui.part import part
from ui.tab import Tab
from ui.threed.solid import solid_of
from ui.wire import refusing

SEED = {"precision": 0, "minimum": 0, "maximum": SEEDS - 1}
WALLS = (1, 4, 9, 16)
PRIVATE = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
GRADIO = ("view", "lang")  # gradio's own parameters of an address
METADATA = "A PNG made here carries its settings: drop it on the page to restore them."
GUIDANCE, NEGATIVE = "Guidance: how closely to follow the words", "Negative prompt: what to leave out"
TURNED = {  # the fields of a model with a camera, and their labels
    "azimuth": "Seen from, around it",
    "elevation": "Seen from, above the ground",
    "turn": "From one picture to the next",
}
ENDPOINTS = '<a href="./endpoints">What programs can call</a>'
HTTP = "Programs can use it over HTTP: /generate takes these settings by name, beside /models and /restore."


def segments(choices: Sequence[int], **more: Any) -> gr.Radio:
    return gr.Radio(list(choices), elem_classes="sl-seg", **more)


def span(model: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the guidance slider. For a model with one value it is hidden, as gradio refuses a range 1 to 1."""
    low, high = model["guidance"]
    return {"minimum": low, "maximum": high if low < high else low + 1, "visible": low < high or "hidden"}


def sizes(request: ImageRequest) -> dict[str, Any]:
    """Arguments of the choice of size: the sizes to which a model's pictures can be enlarged; hidden without any."""
    factors = FACTORS if menu.enlarge(request.row) > 1 else (1,)
    choices = [(f"{request.width * factor} px", factor) for factor in factors]
    return {"choices": choices, "label": "Size", "visible": len(choices) > 1 or "hidden"}


def formats() -> dict[str, Any]:
    """Arguments of the choice of precision; hidden where this processor has one alone."""
    named = {SINGLE: "32 bit", HALF: "16 bit, faster"}
    choices = [(named[name], name) for name in precisions()]
    return {"choices": choices, "label": "Precision", "visible": len(choices) > 1 or "hidden"}


class Create:
    """Builds the page inside the current Blocks."""

    def __init__(self, desk: Desk):
        self.desk = desk
        self.count = itertools.count(1)
        self.form = Form(wall.start())
        self.messages = part(
            "messages", "messages", events=("restore", "compare", "seeds", "zip"), value=self.message(self.form.start)
        )
        with gr.Column(elem_id="create"):
            part(
                "prompt",
                "prompt-part",
                [*desk.serve_painting(words, picker), *desk.serve(sheet)],
                elem_classes="sl-wide",
            )
            served = desk.serve_painting(paint, large, pictures.favourite, pictures.download, pictures.full)
            served += map(desk.patient, desk.jobs.bind(solid_of(desk)))
            shown = wall.first() | {"enlargers": menu.enlargers()}
            part("wall", "wall-part", [*served, *desk.serve(stop, where)], data=shown)
            with gr.Column(elem_id="settings"):
                self._settings(menu.model(self.form.start.model))
            part(
                "gallery",
                "gallery-part",
                desk.serve(pictures.gallery_page, pictures.remove),
                data={"banner": desk.place.banner()},
                elem_classes="sl-wide",
            )
        self._comparison()
        self._events()

    def _settings(self, model: dict[str, Any]) -> None:
        add = self.form.add
        with gr.Column(elem_classes="sl-card"):
            add("model", lambda **k: part("menu", events=("input",), **k))
            part("about", "model-note", data=model)
            part("reasons", "model-reasons")
        with gr.Column(elem_classes="sl-card"):
            add("steps", lambda **k: segments(model["steps"], label="Steps", **k))
            add("guidance", lambda **k: gr.Slider(**span(model), step=0.1, label=GUIDANCE, buttons=[], **k))
            add("negative", label=NEGATIVE, visible=model["negative"] or "hidden")
            for name, label in TURNED.items():
                add(name, label=label, visible=model["camera"] or "hidden", buttons=[])
            seen = model["camera"] or "hidden"
            self.around = gr.Button("All around", visible=seen, elem_id="around", elem_classes="sl-quiet")
        with gr.Column(elem_classes="sl-card"):
            with gr.Row(elem_classes="sl-row"):
                add("seed", lambda **k: gr.Number(**SEED, label="Seed", **k))
                self.lock = gr.Button("Keep seed", elem_id="lock", elem_classes="sl-quiet")
                self.roll = gr.Button("Roll", elem_id="roll", elem_classes="sl-quiet")
            add("num_images", lambda **k: segments(WALLS, label="Pictures", **k))
            add("enlarge", lambda **k: gr.Radio(**sizes(self.form.start), elem_classes="sl-seg", **k))
            add("precision", lambda **k: gr.Radio(**formats(), elem_classes="sl-seg", **k))
            add("variation", label="Variation strength", visible="hidden", buttons=[])
            add(
                "variation_seed",
                lambda **k: gr.Number(**SEED, label="Variation seed", visible="hidden", **k),
            )
        with gr.Column(elem_classes="sl-card"):
            part("variety", "variety-part", self.desk.serve_painting(unlike), data=variety.usual())
        with gr.Column(elem_classes="sl-card"):
            made = self.desk.jobs.bind(train_slider)
            part("sliders", "sliders-part", [*made, *self.desk.serve_painting(share_slider)])
            self.lora = gr.UploadButton(
                "Add a LoRA file…", elem_id="lora-file", elem_classes="sl-quiet", file_types=[".safetensors"]
            )
        with gr.Column(elem_classes="sl-card sl-inline"):
            add("even", label="Spread what is open")
            add("style")
        with gr.Column(elem_classes="sl-card"), gr.Accordion("Wildcards, metadata, HTTP", open=False):
            part("note", "hint-wildcards", value="{red|blue} in the prompt picks one for each picture.")
            part("note", "hint-metadata", value=METADATA)
            part("note", "hint-http", value=HTTP)
            gr.HTML(ENDPOINTS, elem_id="endpoints", apply_default_css=False)
        types = [".png", ".jpg", ".jpeg", ".webp"]
        with gr.Column(elem_id="restore-part"):
            self.upload = gr.UploadButton("Open a picture…", elem_id="restore", visible="hidden", file_types=types)
        self.archive = gr.DownloadButton("Download all", elem_id="archive", visible="hidden")

    def _comparison(self) -> None:
        with gr.Column(visible=False, elem_id="compare") as self.sheet, gr.Column(elem_classes="sl-sheet"):
            self.slider = gr.ImageSlider(
                label="A | B",
                show_label=False,
                format="png",
                interactive=False,
                elem_id="compare-pair",
                buttons=["fullscreen"],
            )
            self.slider_note = part("note", "slider-note")
            self.close = gr.Button("Close (Esc)", elem_id="compare-close", elem_classes="sl-quiet")

    def _events(self) -> None:
        widgets = {n: w for n, w in self.form.widgets.items() if n != "model"}
        gr.on(
            [w.input for w in widgets.values()],
            None,
            list(widgets.values()),
            js=f"(...v) => {{ still.form({json.dumps(list(widgets))}, v); }}",
            trigger_mode="always_last",
            api_visibility="private",
        )
        shown = [*self.form.widgets.values(), self.around, self.messages]
        live = {**PRIVATE, "trigger_mode": "always_last"}
        self.form.widgets["model"].input(refusing(self.switch, self.says), self.form.inputs, shown, **live)
        self.messages.restore(
            refusing(self.restore, self.says), self.messages, shown, js="() => still.restoring", **live
        )
        dropped = [self.upload, self.form.widgets["num_images"]]
        self.upload.upload(refusing(self.dropped, self.says), dropped, shown, **PRIVATE)
        brought = [self.lora, self.form.widgets["model"]]
        self.lora.upload(refusing(self.bring, self.says), brought, self.messages, **PRIVATE)
        page = Context.root_block
        assert page is not None
        page.load(self.arrive, self.messages, shown, js="() => still.memory.came", **PRIVATE)
        seeds = [self.form.widgets[name] for name in ("seed", "variation_seed", "variation")]
        self.roll.click(None, None, seeds, js="() => still.roll()", api_visibility="private")
        turned = [self.form.widgets[name] for name in ("num_images", "turn")]
        self.around.click(None, None, turned, js="() => still.around()", api_visibility="private")
        self.messages.seeds(None, None, seeds, js="() => still.seeds()", api_visibility="private")
        self.lock.click(None, js="() => { still.lock(); }", api_visibility="private")
        compared = [self.sheet, self.slider, self.slider_note, self.messages]
        self.messages.compare(refusing(self.compare, self.says), None, compared, **PRIVATE)
        self.close.click(lambda: gr.Column(visible=False), None, self.sheet, **PRIVATE)
        zipped = self.messages.zip(refusing(self.zip, self.says), None, [self.archive, self.messages], **PRIVATE)
        zipped.then(None, js="() => { still.press('#archive'); }", api_visibility="private")

    def message(self, request: ImageRequest | None = None, **more: Any) -> dict[str, Any]:
        """The next message of `messages`. It is numbered, so that the same words twice are two messages."""
        if request is not None:
            more |= {"request": request.to_dict(), "model": menu.model(request.model)}
        return {"number": next(self.count), **more}

    def says(self, sentence: str) -> dict[Component, Any]:
        """The answer of a handler to a mistake: the sentence, with all widgets unchanged."""
        return {self.messages: self.message(says=sentence, kind="error")}

    def switch(self, data: dict[Component, Any]) -> dict[Component, Any]:
        """The form after another model was chosen: its steps, guidance and notes."""
        request = menu.switch(self.form.start, self.form.read(data))
        # The prompt stays the script's, which has newer keystrokes than any message from here.
        message = self.message(request, paint=True, switched=True)
        del message["request"]["prompt"]
        return self.show(request) | {self.messages: message}

    def show(self, request: ImageRequest) -> dict[Component, Any]:
        """Every widget, set to a request and to the range of its model."""
        model = menu.model(request.model)
        form = self.form.widgets
        steps, seen = sorted({*model["steps"], request.steps}), model["camera"] or "hidden"
        return self.form.show(request) | {
            form["steps"]: gr.Radio(choices=steps, value=request.steps),
            form["guidance"]: gr.Slider(**span(model), value=request.guidance),
            form["negative"]: gr.Textbox(value=request.negative, visible=model["negative"] or "hidden"),
            **{form[name]: gr.Slider(value=getattr(request, name), visible=seen) for name in TURNED},
            self.around: gr.Button(visible=seen),
            form["variation"]: gr.Slider(value=request.variation, visible=bool(request.variation) or "hidden"),
            form["enlarge"]: gr.Radio(**sizes(request), value=request.enlarge),
            form["num_images"]: gr.Radio(choices=sorted({*WALLS, request.num_images}), value=request.num_images),
        }

    def restore(self, restoring: Any) -> dict[Component, Any]:
        """The form with a picture's settings. The answer has their number, as a newer request may be on its way."""
        data = restoring if isinstance(restoring, dict) else {}
        answer = self._restored(fitted(kept(data.get("request"))))
        answer[self.messages]["restore"] = data.get("number")
        return answer

    def dropped(self, path: str, num_images: Any) -> dict[Component, Any]:
        """The form after a picture was dropped on the page: all of its settings but the number of pictures."""
        restored = pictures.carried(self.desk, path)
        many = {"num_images": num_images} if num_images in WALLS else {}
        return self._restored(replace(restored, fields=restored.fields | many), "Restored from the picture.")

    def bring(self, path: str, model: str) -> dict[Component, Any]:
        """A LoRA from a file becomes one of the studio's, on the model's base."""
        id = beside.bring(self.desk.place, Path(path), model)
        slider = catalogue.get(id).manifest.kind == "slider"
        says = f"{id} is in the list of {'sliders' if slider else 'LoRAs'}."
        return {self.messages: self.message(model=menu.model(model), menu=menu.rows(self.desk.place), says=says)}

    def arrive(self, came: Any, request: gr.Request) -> dict[Component, Any]:
        """The form when the page opens: the models that can run here, and the settings of the link or of this
        browser."""
        linked = {k: v for k, v in dict(request.query_params).items() if not k.startswith("__") and k not in GRADIO}
        wanted, left_out = menu.arriving(wall.start(), came if isinstance(came, dict) else linked)
        more = {"says": left_out, "kind": "error"} if left_out else {}
        usual = {f.name: f.default for f in fields(ImageRequest) if isinstance(f.default, str | int | float)}
        rows = {"menu": self.menu(), "usual": usual | {"enlarge": MOST}}
        return self.show(wanted) | {self.messages: self.message(wanted, paint=True, arrival=True, **rows, **more)}

    def menu(self) -> list[dict[str, Any]]:
        return [row | {"sample": wall.sample(row["id"])} for row in menu.rows(self.desk.place)]

    def _restored(self, restored: Restored, says: str = "") -> dict[Component, Any]:
        """The form with a restored request, which may have an empty prompt, and sentences on what was left out."""
        prompt = restored.fields["prompt"]
        request = ImageRequest.from_dict(restored.fields | {"prompt": prompt or "nothing"})
        message = self.message(request, says=" ".join(filter(None, (says, *restored.notes))), paint=bool(prompt))
        message["request"]["prompt"] = prompt
        return self.show(request) | {self.messages: message}

    def compare(self, event: gr.EventData) -> dict[Block, Any]:
        """Two pictures under the slider A | B."""
        data = _data(event)
        (a, title_a), (b, title_b) = pictures.pair(self.desk, data.get("a"), data.get("b"), data)
        note = f"Left, A: {title_a}. Right, B: {title_b}."
        return {self.sheet: gr.Column(visible=True), self.slider: (a, b), self.slider_note: note}

    def zip(self, event: gr.EventData) -> dict[Component, Any]:
        """All pictures that the gallery shows, as one ZIP."""
        return {self.archive: gr.DownloadButton(value=str(pictures.archive(self.desk, _data(event))))}


def _data(event: gr.EventData) -> dict[str, Any]:
    """The data that a script sent with an event."""
    return event._data if isinstance(event._data, dict) else {}


TAB = Tab(
    "Create",
    "create",
    Create,
    scripts=tuple(
        "painter memory picker offers prompt enlarge kept sheet wall closeup gallery keys variety sets sliders".split()
    ),
    styles=("variety", "picker", "touch", "sliders"),
)

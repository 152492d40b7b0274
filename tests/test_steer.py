"""A drawing steers a run: on the base and unchanged on its LoRAs; strength 0 is none; mistakes are one sentence."""

import inspect
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from PIL import Image as Pictures
from PIL import ImageDraw

from models import catalogue, control, export, families, generate, inputs, openvino, steer
from models.families import sd
from models.manifest import CONTROLS
from models.picture import png_bytes, read
from models.request import ImageRequest
from tests import tiny
from ui import api, menu
from ui.desk import Desk

STUDIO = [tiny.build, tiny.build_sd, tiny.build_control]
pytestmark = pytest.mark.usefixtures("studio")
MODELS = {"tiny-sd": 3, "tiny-hyper": 1, "tiny-cfg": 2}


@pytest.fixture(scope="module")
def loaded(studio):
    return families.load_all(MODELS)


def png(picture) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def circle(ink="black", paper="white", mode="RGB", at=(30, 20, 90, 100)):
    drawing = Pictures.new(mode, (128, 128), paper)
    ImageDraw.Draw(drawing).ellipse(at, outline=ink, width=5)
    return drawing


@pytest.fixture(scope="module")
def drawing(studio):
    return inputs.keep(png(circle()))


def ask(model, **more):
    return ImageRequest(**({"prompt": "a red ball", "model": model, "steps": MODELS.get(model, 1), "seed": 4} | more))


def paint(loaded, request):
    events = generate.generate(loaded[request.model], request, loaded)
    return [np.asarray(e.picture, int) for e in events if isinstance(e, generate.Image)]


@pytest.mark.parametrize("model", MODELS)
def test_it_acts_on_the_base_and_on_its_loras(loaded, drawing, model):
    """More with more strength, otherwise for another drawing or another kind; and the model is what it was after."""
    before = paint(loaded, ask(model))[0]
    one, half = (paint(loaded, ask(model, control=drawing, control_strength=s))[0] for s in (1, 0.5))
    assert 0 < np.abs(half - before).mean() < np.abs(one - before).mean()
    other = inputs.keep(png(circle(at=(80, 80, 120, 120))))
    for more in ({"control": other}, {"control_kind": "edges"}):
        assert not np.array_equal(paint(loaded, ask(model, **{"control": drawing} | more))[0], one)
    assert np.array_equal(paint(loaded, ask(model))[0], before)


@pytest.mark.parametrize("model", MODELS)
def test_strength_0_is_the_run_without_it_bit_for_bit(loaded, drawing, model):
    plain, none = ask(model, num_images=2), ask(model, num_images=2, control=drawing, control_strength=0)
    assert np.array_equal(paint(loaded, plain), paint(loaded, none))


def test_every_painter_of_a_run_is_steered(loaded, drawing):
    """The base takes the first step of a student's run and follows the drawing there too."""
    steered = {"control": drawing, "steps": 4, "base_steps": 1}
    request = ask("tiny-hyper", **steered)
    run = generate.Run.of(request, loaded)
    assert all(turn.net.control is not None for turn in run.turns)
    assert {turn.painter for turn in run.turns} == {"tiny-sd", "tiny-hyper"}
    assert paint(loaded, request)


@pytest.mark.parametrize(("ink", "paper"), [("white", "black"), ("#dddddd", "#202040"), ("#404040", "#ffffff")])
def test_light_on_dark_is_turned_by_its_border(ink, paper):
    right, other = (steer.shown(p, "sketch", 128) for p in (circle(), circle(ink, paper)))
    assert right.max() == 1 and right[0, :, 0, 0].max() == 0
    assert (right - other).abs().max() < 0.02


def test_what_a_control_is_told():
    """Sketches and edges as ink, depth as it is, colours as soft areas of colour."""
    picture = circle("red", "#8080ff")
    assert set(CONTROLS) == {"sketch", "edges", "depth", "colours"}
    assert torch.equal(steer.shown(picture, "sketch", 64), steer.shown(picture, "edges", 64))
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    assert torch.equal(steer.shown(picture, "depth", 128)[0, 1], torch.from_numpy(grey))
    areas = steer.shown(picture, "colours", 128)
    assert areas.shape == (1, 3, 128, 128) and (areas[..., 1:] - areas[..., :-1]).abs().max() < 0.1


def blank(colour, mode="RGB", size=(128, 128)):
    return png(Pictures.new(mode, size, colour))


@pytest.mark.parametrize("data", [
    blank("white"), blank("black"), blank((0, 0, 0, 0), "RGBA"), blank("grey", size=(1, 1)),
], ids=["white", "black", "transparent", "one pixel"])  # fmt: skip
def test_a_drawing_without_a_line_is_one_sentence(loaded, data):
    with pytest.raises(ValueError, match="the drawing has no line; draw one, dark on light or light on dark"):
        paint(loaded, ask("tiny-hyper", control=inputs.keep(data)))


def test_mistakes_are_one_sentence(loaded, drawing, studio):
    with pytest.raises(ValueError, match="tiny-sprint has no control, so it follows no drawing; valid: ") as e:
        ask("tiny-sprint", control=drawing)
    assert all(name in str(e.value) for name in MODELS) and "tiny-sana" not in str(e.value)
    with pytest.raises(ValueError, match="control_strength must be 0 to 2, not 2.5"):
        ask("tiny-sd", control=drawing, control_strength=2.5)
    with pytest.raises(ValueError, match="unknown control_kind 'scrawl'; valid: sketch, edges, depth, colours"):
        ask("tiny-sd", control=drawing, control_kind="scrawl")
    with pytest.raises(ValueError, match="control must be the 64 hexadecimal digits of a kept picture"):
        ask("tiny-sd", control="mug.png")
    gone = "0" * 64
    with pytest.raises(ValueError, match="the drawing 000000000000… that this request names is no longer"):
        paint(loaded, ask("tiny-sd", control=gone))


def test_a_png_restores_it_and_says_when_the_drawing_is_gone(loaded, studio):
    digest = inputs.keep(png(circle(at=(10, 10, 60, 60))))
    request = ask("tiny-hyper", control=digest, control_kind="edges", control_strength=0.75)
    picture = Pictures.fromarray(paint(loaded, request)[0].astype(np.uint8))
    kept = png_bytes(picture, request)
    assert read(io.BytesIO(kept)).fields == request.to_dict()
    inputs.forget(digest)
    assert inputs.missing(request.to_dict()) == "Its control is no longer in the studio's inputs/."


def test_on_the_command_line(studio, tmp_path, capsys):
    circle().save(tmp_path / "mug.png")
    line = ["a mug", "--model", "tiny-hyper", "--control", str(tmp_path / "mug.png"), "--control-kind", "sketch"]
    assert generate.main([*line, "--control-strength", "0.5", "--out", str(tmp_path / "a.png"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    fields = read(Path(facts["path"])).fields
    assert (fields["control_strength"], fields["control_kind"]) == (0.5, "sketch") and inputs.there(fields["control"])


def test_torch_answers_where_a_control_acts(studio, drawing):
    """A compiled network has no place for what a control adds."""
    parts = families.load(catalogue.get("tiny-hyper"))
    network = parts.denoiser.network
    network.forward = answers = openvino.Answers(network, lambda: None)
    answers.compiled[None] = openvino.Compiled(None, (), {1: True, openvino.WALL: True})
    assert paint({"tiny-hyper": parts}, ask("tiny-hyper", control=drawing)) and answers.by == "torch"


def test_on_another_base_it_is_refused(studio):
    home = studio / "models" / "other-control"
    branch = steer.load(catalogue.get("tiny-control"), torch.device("cpu"), torch.float32)
    branch.network.save_pretrained(home / control.FOLDER)
    tiny.manifest("other-control", home, family="sd", base="tiny-sd", kind="control", base_sha256="0" * 64)
    assert any("other-control: it was made on other weights of tiny-sd" in s for s in catalogue.broken())
    with pytest.raises(ValueError, match="made on other weights of tiny-sd"):
        catalogue.get("other-control")


@pytest.mark.parametrize("kind", ["sketch", "depth"])
def test_exported_it_paints_the_same_in_diffusers(studio, loaded, tmp_path, kind):
    """Each kind is a folder of the plain class: its token is in the time's bias."""
    home = export.export("tiny-control", tmp_path / "out")
    assert {p.name for p in home.iterdir()} == {*CONTROLS, "README.md"}
    white = circle("white", "black")
    request = ask("tiny-sd", control=inputs.keep(png(white)), control_kind=kind, control_strength=0.7, guidance=3.0)
    ours = paint(loaded, request)[0]
    own = {k: v for k, v in loaded["tiny-sd"].pipeline.components.items() if k != "image_encoder"}
    branch = ControlNetModel.from_pretrained(home / kind)
    pipe = StableDiffusionControlNetPipeline(**own, controlnet=branch, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    arguments = sd.call(loaded["tiny-sd"].row, request.steps) | {"controlnet_conditioning_scale": 0.7}
    theirs = pipe("a red ball", image=white, generator=torch.Generator().manual_seed(4), **arguments).images[0]
    assert np.abs(ours - np.asarray(theirs, int)).max() <= 2


def test_another_model_on_the_page_follows_only_if_it_can(drawing):
    before = ask("tiny-hyper", control=drawing)
    assert menu.switch(before, {"model": "tiny-cfg"}).control == drawing
    assert menu.switch(before, {"model": "tiny-sprint"}).control == ""


def test_over_http_by_the_names_of_its_fields():
    """The endpoint has every field of a request."""
    names = inspect.signature(api._generate(Desk.__new__(Desk))).parameters
    assert {"control", "control_kind", "control_strength"} <= names.keys()

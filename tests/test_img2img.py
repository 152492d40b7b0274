"""Pictures in: strength is continuous on every model of the box, a mask keeps pixels, and a PNG brings it all back."""

import io
from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from PIL import ImageDraw
from scipy.stats import spearmanr

from models import families, generate, img2img, inputs
from models.picture import png_bytes, read
from models.request import ImageRequest
from models.schedule import VP, Flow, Trig, angle, time_at
from tests import tiny
from ui.draw.tab import picture as drawn

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")
BOX = {"toybox-sprint": 1, "toybox-hyper": 2, "toybox-dmd2": 4, "toybox-sd": 6}


@pytest.fixture(scope="module")
def box(studio):
    return families.load_all(BOX)


def png(picture):
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def paint(parts, request):
    events = list(generate.generate(parts, request))
    return [np.asarray(e.picture, dtype=int) for e in events if isinstance(e, generate.Image)]


@pytest.fixture(scope="module")
def ball(box):
    """A picture to begin with: its hash, and its pixels."""
    pixels = paint(box["toybox-dmd2"], ImageRequest("a red ball on a blue background", model="toybox-dmd2", seed=1))[0]
    return inputs.keep(png(Pictures.fromarray(pixels.astype(np.uint8)))), pixels


@pytest.fixture(scope="module")
def hole(studio):
    """A mask of 128 pixels: a soft disk of a quarter of the side, above the middle."""
    mask = Pictures.new("L", (128, 128), 0)
    ImageDraw.Draw(mask).ellipse((44, 20, 76, 52), fill=255)
    return inputs.keep(png(mask)), np.asarray(mask) > 0


def ask(model, image, **more):
    fields = {"prompt": "a green cactus", "model": model, "steps": BOX[model], "image": image, "seed": 5} | more
    return ImageRequest(**fields)


@pytest.mark.parametrize("model", BOX)
def test_distance_grows_with_strength(box, ball, model):
    """In steps of a twentieth of the angle: nothing is rounded to a step of the scheduler."""
    image, pixels = ball
    strengths = [0.05 + 0.1 * k for k in range(10)]
    requests = [ask(model, image, strength=s, num_images=2) for s in strengths]
    off = [np.mean([np.abs(p - pixels).mean() for p in paint(box[model], r)]) for r in requests]
    assert spearmanr(strengths, off)[0] >= 0.95 and off[0] < 8 < off[-1], off


@pytest.mark.parametrize("model", ["toybox-sprint", "toybox-hyper"])
def test_at_full_strength_the_picture_does_not_matter(box, ball, model):
    plain, full = ask(model, ""), ask(model, ball[0], strength=1)
    assert np.array_equal(paint(box[model], plain)[0], paint(box[model], full)[0])


@pytest.mark.parametrize("only_masked", [False, True])
@pytest.mark.parametrize("model", BOX)
def test_what_the_mask_keeps_is_unchanged_bit_for_bit(box, ball, hole, model, only_masked):
    (image, pixels), (mask, inside) = ball, hole
    request = ask(model, image, mask=mask, strength=0.9, only_masked=only_masked, num_images=2)
    for painted in paint(box[model], request):
        assert np.array_equal(painted[~inside], pixels[~inside])
        assert np.abs(painted[inside] - pixels[inside]).mean() > 5


def test_the_kept_part_is_in_every_x0(box, ball, hole):
    """So that the network sees what it paints beside."""
    request = ask("toybox-dmd2", ball[0], mask=hole[0], strength=0.9)
    edit = img2img.Edit.of(box["toybox-dmd2"], request)
    assert edit is not None and edit.m is not None
    outside = (edit.m == 0).expand_as(edit.z)
    assert 0.5 < outside.float().mean() < 1
    events = list(generate.generate(box["toybox-dmd2"], request))
    assert all(torch.equal(e.x0[outside], edit.z[outside]) for e in events if isinstance(e, generate.Step))


def test_only_masked_paints_a_small_place_in_full(box, ball, hole):
    """The part that the network paints is a square around the mask, inside the picture."""
    request = ask("toybox-dmd2", ball[0], mask=hole[0], only_masked=True)
    edit = img2img.Edit.of(box["toybox-dmd2"], request)
    assert edit is not None and edit.box == (35, 11, 85, 61)
    corner = Pictures.new("L", (128, 128), 0)
    corner.paste(255, (0, 120, 6, 128))
    assert img2img.around(corner) == (0, 96, 32, 128), "at least 32 pixels, and not beyond the edge"
    assert img2img.around(Pictures.new("L", (128, 128), 0)) is None


def test_a_png_restores_it_and_says_what_is_gone(box, ball, hole, studio):
    request = ask("toybox-hyper", ball[0], mask=hole[0], strength=0.35, only_masked=True)
    painted = paint(box["toybox-hyper"], request)[0]
    file = png_bytes(Pictures.fromarray(painted.astype(np.uint8)), request)
    again = read(file)
    assert again.request == request and again.notes == ()
    assert np.array_equal(paint(box["toybox-hyper"], again.request)[0], painted)
    kept = inputs.path(hole[0])
    data = kept.read_bytes()
    kept.unlink()
    assert read(file).notes == ("Its mask is no longer in the studio's inputs/.",)
    with pytest.raises(ValueError, match=f"the mask {hole[0][:12]}… that this request names is no longer in"):
        paint(box["toybox-hyper"], request)
    kept.write_bytes(data[:-8] + b"12345678")
    with pytest.raises(ValueError, match="is damaged: its sha256 is not its name"):
        paint(box["toybox-hyper"], request)
    kept.write_bytes(data)


@pytest.mark.parametrize("schedule", [VP(), Flow(), Trig()])
def test_angle_and_time_are_inverse(schedule):
    for t in (0.002, 0.1, 0.25, 0.4999, 0.5, 0.77, 0.999, 1.0):
        theta = angle(schedule, t)
        assert 0 < theta <= pi / 2 and time_at(schedule, theta) == pytest.approx(t, abs=1e-6)
    assert [angle(Trig(), 0.5), angle(Flow(), 0.5)] == pytest.approx([pi / 4, pi / 4])


def test_mistakes_are_one_sentence(box, ball, studio):
    image, _ = ball
    for fields, sentence in [
        ({"mask": image, "image": ""}, "mask says what to paint anew of a picture; give it as image"),
        ({"only_masked": True}, "only_masked needs a mask"),
        ({"strength": 0.0}, "strength must be 0.05 to 1, not 0"),
        ({"image": "mug.png"}, "image must be the 64 hexadecimal digits of a kept picture, not 'mug.png'"),
        ({"start": image}, "image and start both say where the run begins"),
        ({"skip_steps": 1}, "image and skip_steps both say where the run begins"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            ask("toybox-dmd2", **({"image": image} | fields))
    small = inputs.keep(png(Pictures.new("L", (64, 128), 255)))
    with pytest.raises(ValueError, match="the mask has 64 x 128 pixels and its picture 128 x 128; both must have one"):
        paint(box["toybox-dmd2"], ask("toybox-dmd2", image, mask=small))
    with pytest.raises(ValueError, match="this is no picture that can be read"):
        inputs.keep(b"not a picture")
    with pytest.raises(ValueError, match="far too many pixels; at most 25 megapixels are read"):
        inputs.keep(png(Pictures.new("1", (20_000, 20_000))))
    with pytest.raises(ValueError, match="the drawing must be a data URL of a PNG, WebP or JPEG"):
        drawn("data:image/svg+xml;base64,PHN2Zy8+")
    with pytest.raises(ValueError, match="the drawing must be a data URL of a PNG, WebP or JPEG"):
        drawn("data:image/png;base64,%%%")


def test_of_an_animation_the_first_picture_is_taken(box, studio):
    out, frames = io.BytesIO(), [Pictures.new("RGB", (128, 128), colour) for colour in ("blue", "red")]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    request = ask("toybox-sprint", inputs.keep(out.getvalue()), strength=0.05)
    red, _, blue = paint(box["toybox-sprint"], request)[0].mean((0, 1))
    assert blue > 200 and red < 60


@pytest.mark.parametrize("mode, size", [("RGBA", (128, 128)), ("L", (1, 1)), ("RGB", (640, 200)), ("P", (90, 300))])
def test_any_picture_will_do(box, mode, size):
    """Transparent, grey, tiny, wide and tall ones are fitted into the model's square."""
    image = inputs.keep(png(Pictures.new(mode, size, 0)))
    painted = paint(box["toybox-sprint"], ask("toybox-sprint", image, strength=0.05))[0]
    assert painted.shape == (128, 128, 3)
    assert painted.mean() > 200 if mode == "RGBA" else painted.mean() < 60, "what is transparent lies on white"


def test_the_base_may_take_the_first_step_of_such_a_run(box, ball):
    request = ask("toybox-dmd2", ball[0], strength=0.7, base_steps=1)
    steps = [e for e in generate.generate(box["toybox-dmd2"], request, box) if isinstance(e, generate.Step)]
    assert [s.painter for s in steps] == ["toybox-sd", *["toybox-dmd2"] * 3]
    events = generate.generate(box["toybox-dmd2"], replace(request, base_steps=0))
    plain = [e for e in events if isinstance(e, generate.Step)]
    assert torch.equal(plain[0].x_t, steps[0].x_t) and not torch.equal(plain[0].x0, steps[0].x0)


def test_on_the_command_line_files_are_named(tmp_path, capsys, studio):
    Pictures.new("RGB", (128, 128), "blue").save(tmp_path / "in.png")
    out = tmp_path / "out.png"
    words = ["a red ball", "--model", "tiny-sprint", "--image", str(tmp_path / "in.png"), "--strength", "0.4"]
    assert generate.main([*words, "--out", str(out), "--studio", str(studio)]) == 0
    request = read(out).request
    assert request.strength == 0.4 and inputs.load(request.image).getpixel((0, 0)) == (0, 0, 255)
    assert generate.main(["a red ball", "--image", "nowhere.png", "--out", str(out), "--studio", str(studio)]) == 2
    assert "image nowhere.png is no file" in capsys.readouterr().err

"""A picture carries its request and gives it back; whatever else somebody drops on the page is one sentence."""

import io
import json
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from models import picture
from models.request import ImageRequest
from tests import tiny

STUDIO = [tiny.build]
pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture
def noise():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "tiny-sprint", "steps": 2, "seed": 2**31 - 1, "style": "night", "num_images": 1},
        {"model": "tiny-sana", "negative": "日本 'quotes' \"and\" \\ 🦊", "guidance": 1.1, "steps": 33},
        {"model": "tiny-sprint", "variation": 0.123456789, "variation_seed": 9, "num_images": 4},
        {"model": "tiny-sprint", "steps": 4, "painters": "tiny-sana:0-1@2.5, tiny-sprint:2"},
        {"model": "tiny-sprint", "steps": 4, "start": "0a" * 32, "start_step": 3},
    ],
)
def test_request_survives_a_png(tmp_path, noise, fields):
    request = ImageRequest("a {red|blue} 🍄, Steps: 99\nsecond line: é", **fields)
    data = picture.png_bytes(noise, request)
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, tmp_path / "a.png", io.BytesIO(data)):
        assert picture.read(source).request == request
    assert np.array_equal(np.asarray(picture.open_png(data)), np.asarray(noise))


def test_other_tools_can_read_it(noise):
    request = ImageRequest("a {red|red} ball", model="tiny-sana", negative="a cube", steps=9, seed=5, style="night")
    info = picture.open_png(picture.png_bytes(noise, request)).info
    lines = info["parameters"].splitlines()
    assert lines[:2] == ["a red ball on a black background", "Negative prompt: a cube"]
    assert lines[2].startswith("Steps: 9, Sampler: DPMSolverMultistepScheduler, CFG scale: 3, Seed: 5, Size: 128x128")
    assert json.loads(info["still-life"])["prompt"] == "a {red|red} ball"


def test_it_says_that_it_is_synthetic(noise):
    """The IPTC's digital source type, where XMP readers look for it."""
    data = picture.png_bytes(noise, ImageRequest("a ball", model="tiny-sprint"))
    with Image.open(io.BytesIO(data)) as opened:
        tree = ElementTree.fromstring(opened.info["XML:com.adobe.xmp"].encode())
    facts = [
        v for e in tree.iter() for k, v in e.attrib.items() if k.endswith("Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    ]
    assert facts == ["http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"]


def test_a_larger_picture_is_labelled(noise):
    request = ImageRequest("a ball", model="tiny-sprint")
    plain = picture.png_bytes(noise, request)
    data, *sizes = picture.enlarged(plain, 4)
    assert sizes == [(128, 128), (512, 512)] and picture.open_png(data).size == (512, 512)
    assert picture.resized(data) == "resized to 512 x 512 from 128 x 128: no detail was added"
    assert picture.resized(plain) is None
    assert picture.read(data).request == request
    assert picture.open_png(data).info["parameters"] == picture.open_png(plain).info["parameters"]


def test_thumbnails_fit(noise):
    wide = Image.new("RGBA", (400, 100), (255, 0, 0, 128))
    with Image.open(io.BytesIO(picture.thumbnail(wide, 64))) as small:
        assert small.size == (64, 16) and small.format == "WEBP"


def a1111(text):
    info = PngInfo()
    info.add_text("parameters", text)
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def test_text_of_other_tools():
    text = (
        "a fox, (masterpiece:1.2)\nin snow\nNegative prompt: blurry, ugly\nSteps: 20, Sampler: Euler a, CFG scale: 7, "
    )
    text += "Seed: 4294967295, Size: 512x768, Model hash: abc, Model: sd_xl, Version: v1.9"
    read = picture.read(a1111(text))
    assert (read.request.prompt, read.request.seed) == ("a fox, (masterpiece:1.2)\nin snow", 2**31 - 1)
    assert read.request.model == "toybox-sprint" and read.notes == (
        "Seeds end at 2,147,483,647: for its 4294967295 stands 2147483647.",
        "Its model 'sd_xl' is not here, so toybox-sprint paints.",
        "Negative prompt, steps, guidance, size left out, as toybox-sprint can't take them.",
    )
    own = picture.read(a1111("a fox\nNegative prompt: blurry\nSteps: 12, CFG scale: 2.5, Seed: 3, Model: tiny-sana"))
    r = own.request
    assert (r.model, r.steps, r.guidance, r.negative, r.seed) == ("tiny-sana", 12, 2.5, "blurry", 3)
    assert own.notes == ()


TEXT = "a 日本 fox\nNegative prompt: blurry\nSteps: 20, Seed: 11"
EXIF = {
    "unicode, big": b"UNICODE\0" + TEXT.encode("utf-16-be"),
    "unicode, little": b"UNICODE\0" + TEXT.encode("utf-16-le"),
    "unicode, marked": b"UNICODE\0" + TEXT.encode("utf-16"),
    "unicode that is utf-8": b"UNICODE\0" + TEXT.encode(),
    "ascii that is utf-8": b"ASCII\0\0\0" + TEXT.encode(),
    "jis": b"JIS\0\0\0\0\0" + TEXT.encode("iso2022_jp"),
    "undefined": bytes(8) + TEXT.encode(),
    "no code": TEXT.encode(),
}


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("comment", EXIF.values(), ids=EXIF)
@pytest.mark.parametrize("endian", ["<", ">"])
def test_text_of_other_tools_in_exif(comment, kind, endian):
    exif = Image.Exif()
    exif.endian = endian
    exif.get_ifd(picture.EXIF_IFD)[picture.USER_COMMENT] = comment
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, kind, exif=exif)
    request = picture.read(out.getvalue()).request
    assert (request.prompt, request.seed) == ("a 日本 fox", 11)


def test_an_empty_prompt_is_empty():
    read = picture.read(a1111("Negative prompt: blurry\nSteps: 20, Seed: 5"))
    assert read.fields["prompt"] == "" and read.fields["seed"] == 5 and "Its prompt is empty." in read.notes


def test_a_seed_that_is_too_large_is_told():
    read = picture.read(a1111("a red fox\nSteps: 4, Seed: 6687881544318117707, CFG scale: 3"))
    seed = 6687881544318117707 % 2**31
    assert read.request.seed == seed != 0
    assert read.notes == (f"Seeds end at 2,147,483,647: for its 6687881544318117707 stands {seed}.",)


def test_a_large_workflow_beside_the_text_is_no_damage():
    data = a1111("a fox\nSteps: 4, Seed: 5")
    packed = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"0" * 3_000_000))
    assert picture.read(data[:33] + packed + data[33:]).request.seed == 5


def test_a_picture_outlives_its_model(noise):
    """It is kept and enlarged as it is; what is painted from it is told apart."""
    request = ImageRequest("a red cat", model="tiny-sana", steps=40, seed=3, negative="dog").to_dict()
    gone = request | {"model": "my-chin"}
    data = picture._png(noise, {picture.JSON_KEY: json.dumps(gone), picture.TEXT_KEY: "a red cat\nSteps: 40, Seed: 3"})
    assert picture.own(data) == gone and picture.own(picture.enlarged(data, 2)[0]) == gone
    read = picture.read(data)
    assert (read.request.prompt, read.request.seed, read.request.model) == ("a red cat", 3, "toybox-sprint")
    assert read.notes == (
        "Its model 'my-chin' is not here, so toybox-sprint paints.",
        "Negative prompt, steps left out, as toybox-sprint can't take them.",
    )
    with pytest.raises(ValueError, match="prompt must be text"):
        picture.own(picture._png(noise, {picture.JSON_KEY: json.dumps(gone | {"prompt": 3})}))


@pytest.mark.parametrize(
    "data, sentence",
    [
        (huge(12_000, 10_000), "120 megapixels; at most 25"),
        (huge(60_000, 60_000), "far too many pixels"),
        (b"", "no picture"),
        (b"hello" * 100, "no picture"),
        (b"GIF89a" + b"\0" * 100, "no picture"),
        (huge(100, 100), "damaged or cut short"),
    ],
    ids=["120 megapixels", "bomb", "empty", "text", "gif", "no pixels"],
)
def test_uploads_that_are_no_use_are_one_sentence(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        picture.read(data)


def test_faults_of_files(tmp_path, noise):
    data = picture.png_bytes(noise, ImageRequest("a ball", model="tiny-sprint"))
    with pytest.raises(ValueError, match="damaged or cut short"):
        picture.read(data[: len(data) // 2])
    with pytest.raises(ValueError, match="carries no settings"):
        picture.read(a1111("just a comment"))
    with pytest.raises(ValueError, match="can't be read: No such file"):
        picture.read(tmp_path / "none.png")
    with pytest.raises(ValueError, match="64"):
        picture.read(b"\0" * (65 * 2**20))
    bomb = PngInfo()
    bomb.add_text("still-life", "x" * 3_000_000, zip=True)
    out = io.BytesIO()
    noise.save(out, "PNG", pnginfo=bomb)
    with pytest.raises(ValueError):
        picture.read(out.getvalue())


def test_a_request_in_a_picture_is_validated(noise):
    forged = PngInfo()
    forged.add_itxt("still-life", json.dumps({"prompt": "a ball", "model": "tiny-sprint", "steps": 1e9}))
    out = io.BytesIO()
    noise.save(out, "PNG", pnginfo=forged)
    assert picture.read(out.getvalue()).notes == ("Steps left out, as tiny-sprint can't take it.",)

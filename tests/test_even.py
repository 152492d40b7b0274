"""What a prompt leaves open, spread by words: what is open, how often each value comes, and where the words go."""

import json
from collections import Counter
from itertools import combinations
from math import log

import pytest

from distill.data.toys import prompt, sample_scene
from models.even import LAW, chosen, completed, left_open
from models.prompt import TONES
from models.request import ImageRequest, text_of
from tests import tiny

STUDIO = [tiny.build]


@pytest.mark.parametrize(
    "prompt, heads",
    [
        ("a mug", ["background", "colour", "pattern", "size", "view"]),
        ("a red mug", ["background", "pattern", "size", "view"]),
        ("an orange teapot from above", ["background", "pattern", "size"]),
        ("a small striped house on a blue background", ["colour", "view"]),
        ("a mug on white", ["colour", "pattern", "size", "view"]),
        ("a fox", ["background"]),
        ("two blue cubes", ["background"]),
        ("a red ball on a cube", ["background"]),
        ("a fox in front of a house", ["background"]),
        ("a car against a black backdrop, front view", ["colour", "pattern", "size"]),
    ],
)
def test_what_a_prompt_leaves_open(prompt, heads):
    assert left_open(prompt, "everything") == heads
    assert left_open(prompt, "background") == [h for h in heads if h == "background"]
    assert left_open(prompt, "nothing") == []


def test_words_go_where_captions_have_them():
    prompts = {completed("a red mug", seed, "everything") for seed in range(60)}
    assert "a small dotted red mug on a white background, front view" in prompts or len(prompts) > 30
    for seed in range(60):
        values, text = chosen("an egg", seed, "everything"), completed("an egg", seed, "everything")
        pattern = "" if values["pattern"] == "plain" else f"{values['pattern']} "
        assert text.startswith(
            f"a {values['size']} {pattern}{values['colour']} egg on a {values['background']} background, "
        )
    assert completed("a small mug with stripes, from above", 3, "background").startswith(
        "a small mug with stripes on a "
    )
    assert completed("a mug", 3, "nothing") == "a mug"


def test_any_eight_neighbouring_seeds_show_all_eight_backgrounds():
    for first in (0, 5, 1003, 2**31 - 9):
        assert len({chosen("a fox", seed, "background")["background"] for seed in range(first, first + 8)}) == 8


def test_values_come_as_often_as_the_law_has_them_and_are_not_tied():
    rows = [chosen("a mug", seed, "everything") for seed in range(4800)]
    for head, law in LAW.items():
        seen = Counter(row[head] for row in rows)
        off = sum(abs(seen[value] / len(rows) - share) for value, share in law.items()) / 2
        assert off < 0.02, (head, seen)
    for a, b in combinations(LAW, 2):
        both, left, right = (Counter(map(f, rows)) for f in (lambda r: (r[a], r[b]), lambda r: r[a], lambda r: r[b]))  # noqa: B023
        tie = sum(n / 4800 * log(n * 4800 / (left[x] * right[y])) for (x, y), n in both.items())
        assert tie < 0.04, (a, b, tie)
    assert not any(row["colour"] == row["background"] == "black" for row in rows)


def test_the_law_is_that_of_the_world():
    """Of real scenes with one thing: what they show, and what captions leave open of them."""
    import numpy as np

    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, "one") for _ in range(3000)]
    for head in ("background", "pattern", "size"):
        seen = Counter(scene.named()[head] for scene in scenes)
        assert all(abs(seen[value] / 3000 - share) < 0.03 for value, share in LAW[head].items()), head
    for scene in scenes[:300]:
        named = [name for name in LAW if rng.random() < 0.5]
        expected = set(LAW) - set(named)
        assert set(left_open(prompt(scene, named, rng), "everything")) == expected, prompt(scene, named)


def test_a_request_keeps_it_and_each_picture_says_what_was_chosen():
    request = ImageRequest("a mug", seed=11, num_images=8, even="background")
    texts = request.texts()
    assert len(set(texts)) == 8 and all(t.startswith("a mug on a ") for t in texts)
    one = request.single(3)
    assert one.texts() == [texts[3]] == [text_of(one.to_dict())] and ImageRequest.from_json(one.to_json()) == one
    night = ImageRequest("a mug", even="background", style="night")
    assert night.texts() == ["a mug on a black background"], "the style has named it"
    with pytest.raises(ValueError, match="valid: nothing, background, everything"):
        ImageRequest("a mug", even="all")


@pytest.mark.parametrize(
    "prompt, seen",
    [
        ("a chef", "a chef with {} skin"),
        ("a woman with red hair on a blue background", "a woman with red hair and {} skin on a blue background"),
        ("an astronaut, from above", "an astronaut with {} skin, from above"),
        ("a dancer in front of a house", "a dancer with {} skin in front of a house"),
        ("a chef with dark skin", None),
        ("a dark-skinned chef", None),
        ("a chef and a pilot", None),  # each may have a tone of their own
        ("a fox", None),
        ("two women holding hands", None),
    ],
)
def test_skin_tones_are_open_where_one_person_is_named_without_one(prompt, seen):
    assert ("skin" in left_open(prompt, "everything and skin")) == (seen is not None)
    assert "skin" not in left_open(prompt, "everything")
    for seed in range(5) if seen else ():
        text = completed(prompt, seed, "everything and skin")
        before, after = seen.split("{}")
        tone = chosen(prompt, seed, "everything and skin")["skin"]
        assert text.startswith(f"{before}{tone}{after.partition(',')[0]}"), text


def test_a_round_of_five_people_has_the_five_tones_each_as_often_before_any_background():
    which = "everything and skin"
    for first in range(0, 100, 5):
        assert {chosen("a chef", seed, which)["skin"] for seed in range(first, first + 5)} == set(TONES.values())
    rows = [chosen("a chef", seed, which) for seed in range(4000)]
    both = Counter((row["skin"], row["background"]) for row in rows)
    assert len(both) == 40 and max(both.values()) < 1.5 * min(both.values())


def test_only_a_model_that_has_words_for_tones_spreads_them(studio):
    """The tiny vocabulary has none; with the words of `words` it has."""
    fields = {"model": "tiny-sprint", "steps": 2, "num_images": 5, "seed": 10, "even": "everything and skin"}
    with pytest.raises(
        ValueError, match="tiny-sprint was trained on no words for skin tones; valid for even: nothing, back"
    ):
        ImageRequest("👩‍🍳", **fields)
    file = studio / "models" / "tiny-sprint" / "vocabulary.json"
    file.write_text(json.dumps([*tiny.WORDS, "a chef with medium-dark skin"]))
    request = ImageRequest("👩‍🍳 on a blue background", **fields)
    assert sorted(request.texts()) == sorted(
        f"woman cook with {tone} skin on a blue background" for tone in TONES.values()
    )
    assert request.single(2).texts() == [request.texts()[2]] == [text_of(request.single(2).to_dict())]
    assert ImageRequest("👩🏿‍🍳", **fields).texts()[0].startswith("woman cook with dark skin on a ")

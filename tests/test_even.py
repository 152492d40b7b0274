"""What a prompt leaves open, spread by words: what is open, how often each value comes, and where the words go."""

from collections import Counter
from itertools import combinations
from math import log

import pytest

from distill.data.toys import prompt, sample_scene
from models.even import LAW, chosen, completed, left_open
from models.request import ImageRequest, text_of


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

"""Requests: what is wrong is one sentence, what is right survives JSON exactly, wildcards are a pure function."""

import dataclasses
import json
import math
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from core.fields import option, options
from models.prompt import expand
from models.request import PROMPT, SEEDS, STYLES, ImageRequest, Request
from tests import tiny

STUDIO = [tiny.build]
pytestmark = pytest.mark.usefixtures("studio")

SPRINT = {"prompt": "a red ball", "model": "tiny-sprint"}


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n\t"}, "prompt is empty"),
        ({"prompt": "x" * 100_000}, "prompt has 100,000 characters; at most 2,000"),
        ({"prompt": "a\0b"}, "prompt holds a NUL"),
        ({"prompt": "a \ud83e"}, "half of a surrogate pair"),
        ({"prompt": None}, "prompt is empty"),
        ({"prompt": ["a"]}, "prompt must be text"),
        ({"model": "nobody"}, "unknown model 'nobody'; valid: .*tiny-sprint.*sana-sprint-1.6b"),
        ({"model": "tiny-dcae"}, "unknown model 'tiny-dcae'; valid: "),
        ({"model": "x" * 150}, "unknown model .*valid: "),
        ({"style": "gothic"}, "unknown style 'gothic'; valid: none, studio"),
        ({"steps": 3}, "tiny-sprint takes 1, 2 or 4 steps, not 3"),
        ({"steps": 0}, "steps must be 1 to 100, not 0"),
        ({"steps": 1.0}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number, not True"),
        ({"guidance": math.nan}, "guidance must be a number, not nan"),
        ({"guidance": math.inf}, "guidance must be a number, not inf"),
        ({"guidance": 1.5}, "guidance of tiny-sprint must be 2 to 5, not 1.5"),
        ({"guidance": "4"}, "guidance must be a number, not '4'"),
        ({"seed": -1}, "seed must be 0 to 2147483647"),
        ({"seed": 2**31}, "seed must be 0 to 2147483647"),
        ({"seed": 10**400}, "seed must be 0 to 2147483647"),
        ({"guidance": 10**400}, "guidance must be"),
        ({"num_images": 17}, "num_images must be 1 to 16"),
        ({"width": 256}, "tiny-sprint paints 128 x 128 pixels, not 256 x 128"),
        ({"variation": 1.01}, "variation must be 0 to 1"),
        ({"negative": "cube"}, "takes no negative prompt"),
    ],
)
def test_mistakes_are_one_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence) as e:
        ImageRequest(**(SPRINT | fields))
    error = str(e.value)
    assert len(error) < 330 and "\n" not in error and error.encode()


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "not valid JSON"),
        ("[" * 5_000, "not valid JSON"),
        ("[]", "a request is a JSON object"),
        ('{"prompt": "a", "colour": "red"}', "unknown field 'colour'; valid: prompt, negative, model"),
        ('{"prompt": "a ball", "model": "tiny-sprint", "guidance": NaN}', "guidance must be a number"),
        (json.dumps({"prompt": "a" * 200_000}), "too long"),
    ],
)
def test_json_mistakes_are_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        ImageRequest.from_json(text)


def test_what_is_left_out_is_the_models_own():
    sprint, teacher = ImageRequest(**SPRINT), ImageRequest("a ball", model="tiny-sana")
    assert (sprint.steps, sprint.guidance, sprint.width, sprint.height) == (1, 3.5, 128, 128)
    assert (teacher.steps, teacher.guidance) == (20, 3.0)
    assert isinstance(ImageRequest(**SPRINT, guidance=4).guidance, float)
    large = ImageRequest("a ball", model="sana-sprint-0.6b")
    assert (large.width, large.steps, large.guidance) == (1024, 2, 4.5)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"painters": "tiny-sana"}, "painters has 'tiny-sana'; each entry must be MODEL:FIRST-LAST@GUIDANCE"),
        ({"painters": "tiny-sana:0,"}, "painters has ''; each entry"),
        ({"painters": "nobody:0"}, "unknown model 'nobody'; valid: "),
        ({"painters": "toybox-sd:0"}, "toybox-sd can't paint steps of tiny-sprint; valid: tiny-sana"),
        ({"painters": "tiny-dcae:0"}, "tiny-dcae can't paint steps"),
        ({"painters": "tiny-sana:1-4"}, "tiny-sana can't paint step 4: 4 steps are 0 to 3"),
        ({"painters": "tiny-sana:2-1"}, "whose last step comes before its first"),
        ({"painters": "tiny-sana:0-2, tiny-sprint:2"}, "painters names two models for step 2"),
        ({"painters": "tiny-sana:0@9"}, "guidance of tiny-sana must be 1 to 8, not 9"),
        ({"start": "../../etc"}, "start must be the 64 hexadecimal digits"),
        ({"start": "a" * 64, "start_step": 4}, "start_step must be 0 to 3, not 4"),
        ({"start_step": 1}, "start_step must be 0 to 0, not 1"),
    ],
)
def test_mistakes_in_who_paints_and_where_it_starts_are_one_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        ImageRequest(**SPRINT, steps=4, **fields)


def test_other_models_may_take_steps():
    request = ImageRequest(**SPRINT, steps=4, painters="tiny-sana:0-1, tiny-sprint:3@2.5", negative="a cube")
    assert [(p.model, list(p.steps), p.guidance) for p in request.others()] == [
        ("tiny-sana", [0, 1], 3.0),
        ("tiny-sprint", [3], 2.5),
    ]
    with pytest.raises(ValueError, match="tiny-sprint takes no negative prompt"):
        dataclasses.replace(request, painters="")


def test_a_request_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ImageRequest(**SPRINT).seed = 3


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@tries(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    prompt=text.filter(str.strip),
    negative=text,
    steps=st.integers(1, 100),
    guidance=st.floats(1, 8),
    seed=st.integers(0, SEEDS - 1),
    num_images=st.integers(1, 16),
    style=st.sampled_from(sorted(STYLES)),
    variation=st.floats(0, 1),
)
def test_json_round_trip_is_exact(**fields):
    request = ImageRequest(model="tiny-sana", **fields)
    again = ImageRequest.from_json(request.to_json())
    assert again == request and again.to_json() == request.to_json()
    assert [f.texts() for f in map(request.single, range(request.num_images))] == [[t] for t in request.texts()]


def test_singles_make_up_the_whole():
    many = ImageRequest(**SPRINT, seed=SEEDS - 2, num_images=4)
    assert many.seeds() == [SEEDS - 2, SEEDS - 1, 0, 1]
    assert [many.single(k).seed for k in range(4)] == many.seeds()
    near = ImageRequest(**SPRINT, seed=5, num_images=3, variation=0.2, variation_seed=SEEDS - 1)
    assert near.seeds() == [5, 5, 5]
    assert [near.single(k).variation_seed for k in range(3)] == [SEEDS - 1, 0, 1]


def test_wildcards_are_a_function_of_the_seed():
    prompt = "a {red|blue|green} {ball|{big|small} cube}"
    drawn = [expand(prompt, s) for s in range(300)]
    assert drawn == [expand(prompt, s) for s in range(300)]
    counts = Counter(drawn)
    assert len(counts) == 9 and min(counts.values()) > 5
    assert expand("a {red|blue} ball", 1) == "a blue ball", "this must not change: pictures would"


@pytest.mark.parametrize("plain", ["a {red} ball", "a {red|blue ball", "a red}|{ ball", "{}", "|", "a | b"])
def test_other_braces_stay(plain):
    assert expand(plain, 0) == plain


def test_wildcards_are_quick_and_never_longer():
    for hostile in ("{a|b}" * 400, "{" * 999 + "a|b" + "}" * 998, "{|" * 660 + "}" * 660, "|" * PROMPT):
        assert len(expand(hostile, 0)) <= len(hostile)
    assert expand("{a|}{|b}", 3).strip() in ("", "a", "b", "ab")


def test_styles_put_words_around():
    styled = ImageRequest("a {x|x} {prompt}", model="tiny-sprint", style="night")
    assert styled.texts() == ["a x {prompt} on a black background"]
    assert all(t.count("{prompt}") == 1 for t in STYLES.values()) and STYLES["none"] == "{prompt}"


def test_other_requests_use_the_same_validator():
    """Every kind of field that a request may have."""

    @dataclass(frozen=True)
    class Other(Request):
        name: str = option("", "A name.", required=True, longest=5)
        big: bool = option(False, "Whether.")
        size: float | None = option(None, "How large.", low=0, high=2, unit="metres")
        tags: tuple[int, ...] = option((), "Which.", low=0, high=9)

    whole = Other("ab", True, 1, [1, 2])
    assert whole == Other("ab", True, 1.0, (1, 2)) == Other.from_json(whole.to_json())
    assert Other("ab").size is None and options(Other)["size"].unit == "metres"
    for fields, sentence in [
        ({"big": 1}, "big must be true or false, not 1"),
        ({"size": 3}, "size must be 0 to 2 metres, not 3"),
        ({"tags": [1, 10]}, "tags must be 0 to 9, not 10"),
        ({"tags": 3}, "tags must be a list"),
        ({"name": "abcdef"}, "name has 6 characters; at most 5"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            Other(**({"name": "ab"} | fields))

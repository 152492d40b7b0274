"""What a small model knows, and what it says of words that it does not."""

import pytest

from models import catalogue, text
from models.engine import Engine
from models.words import PROMPTS, Words, vectors, vocabulary
from tests import tiny

KNOWN = "a ball cube mushroom house dog cat piano car red green cherry box polka dot striped on the".split()


@pytest.fixture(scope="module")
def look_up():
    home = text.find()
    return vectors(text.load_tokenizer(home), text.load_encoder(home))


@pytest.fixture(scope="module")
def words(look_up):
    return Words(KNOWN, look_up)


def test_unknown_words_in_order_and_once(words):
    assert words.unknown("A red Mushroom, a dragon; the DRAGON and 3 elves!") == ["dragon", "elves"]
    assert words.unknown("two {red|crimson} cubes, cherries, boxes and a polka-dot dog's house") == ["two", "crimson"]
    assert words.unknown("") == words.unknown("?! {|} 42") == []


@pytest.mark.parametrize(
    "word, near",
    [("musroom", "mushroom"), ("puppy", "dog"), ("kitten", "cat"), ("automobile", "car"), ("violin", "piano")],
)
def test_near_words(words, word, near):
    found = words.near(word)
    assert near in found[:2] and len(found) == 3 and not {"a", "on", "the"} & set(found)


def test_the_whole_is_told_at_once_but_not_without_end(words):
    told = words.tell("a wizzard on a red musroom " + " ".join(f"qq{c}x" for c in "abcdefghij"))
    assert list(told)[:2] == ["wizzard", "musroom"] and len(told) == 8
    assert told["musroom"][0] == "mushroom"


def test_a_model_of_a_whole_language_knows_everything(look_up):
    words = Words(None, look_up)
    assert words.unknown("a wizard") == [] and words.near("wizard") == [] and words.prompts() == list(PROMPTS)


def test_suggestions_are_known(words):
    assert words.prompts() == ["a red mushroom"]
    assert words.chips()["colours"] == ["red", "green"] and "places" not in words.chips()


def test_vocabulary_comes_from_the_nearest_that_has_one(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path)))
    assert vocabulary(catalogue.get("tiny-sprint")) == tiny.WORDS
    assert vocabulary(catalogue.get("tiny-sana")) is None
    (tmp_path / "models" / "tiny-dcae" / "vocabulary.json").write_text('["to the left of", "Ball"]')
    assert vocabulary(catalogue.get("tiny-sana")) == ["ball", "left", "of", "the", "to"]
    engine = Engine("cpu")
    assert engine.words("tiny-sprint").unknown("a red dragon") == ["dragon"]
    assert engine.words("tiny-sprint") is engine.words("tiny-sprint")
    assert engine.words("sana-sprint-0.6b").unknown("a red dragon") == []

"""What a small model knows, and what it says of words that it does not."""

import pytest
from PIL import Image

from distill import publish
from models import catalogue, text
from models.engine import Engine
from models.words import GROUPS, PROMPTS, Words, vectors, vocabulary
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


def test_people_and_signs_are_suggested_by_models_that_learnt_them(look_up):
    box = vocabulary(catalogue.get("toybox-sd"))
    assert box is not None
    fit = Words([*box, "chef", "thumb", "checkmark"], look_up)
    assert not {"people", "hands", "signs"} & set(Words(box, look_up).chips())
    assert [fit.chips()[group] for group in ("people", "hands", "signs")] == [["chef"], ["thumb"], ["checkmark"]]
    assert set(fit.prompts()) - set(Words(box, look_up).prompts()) == {"a chef", "a thumbs up"}


def test_a_model_that_knows_few_of_the_usual_words_shows_its_own_commonest(look_up):
    own = [f"{a}{b}o" for a in "nmlkjhgfdb" for b in "zyxuoiea"]
    few = Words(["the", "red", *own, "cat"], look_up).chips()
    assert few["colours"] == ["red"] and few["animals"] == ["cat"]
    assert few["words"] == own[:60], "in its own order, without what stands in a group or says little"
    many = [word for words in GROUPS.values() for word in words]
    assert "words" in Words([*many[:23], "zebra"], look_up).chips()
    assert "words" not in Words([*many[:24], "zebra"], look_up).chips()
    assert "words" not in Words(None, look_up).chips()


def test_a_vocabulary_is_written_with_the_commonest_words_first(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path / "studio"))
    root = tmp_path / "mine"
    root.mkdir()
    for i in range(12):
        Image.new("RGB", (128, 128), (20 * i, 0, 0)).save(root / f"{i}.png")
        (root / f"{i}.txt").write_text("a zebra by a tree\nA zebra")
    assert publish.vocabulary(str(root), skip_bad=False) == ["a", "zebra", "by", "tree"]


def test_vocabulary_comes_from_the_nearest_that_has_one(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path)))
    assert vocabulary(catalogue.get("tiny-sprint")) == tiny.WORDS
    assert vocabulary(catalogue.get("tiny-sana")) is None
    (tmp_path / "models" / "tiny-dcae" / "vocabulary.json").write_text('["to the left of", "Ball"]')
    assert vocabulary(catalogue.get("tiny-sana")) == ["to", "the", "left", "of", "ball"]
    engine = Engine("cpu")
    assert engine.words("tiny-sprint").unknown("a red dragon") == ["dragon"]
    assert engine.words("tiny-sprint") is engine.words("tiny-sprint")
    assert engine.words("sana-sprint-0.6b").unknown("a red dragon") == []

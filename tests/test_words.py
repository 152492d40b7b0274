"""What a small model knows, and what it says of words that it does not."""

from dataclasses import replace

import pytest
from PIL import Image

from distill import world
from distill.data import cache
from distill.data.folder import Folder
from models import catalogue, text
from models.engine import Engine
from models.prompt import spelt
from models.vocabulary import vocabulary
from models.words import GROUPS, PROMPTS, Vectors, Window, Words, slips
from tests import test_hub_sd, tiny

KNOWN = "a ball cube mushroom house dog cat piano car red green cherry box polka dot striped on the".split()


@pytest.fixture(scope="module")
def look_up():
    home = text.find()
    return Vectors(text.load_tokenizer(home), text.load_encoder(home))


@pytest.fixture(scope="module")
def words(look_up):
    return Words(KNOWN, look_up)


@pytest.fixture(scope="module")
def box(look_up):
    """What the models of the box know, with their window of 32 tokens."""
    row = catalogue.get("toybox-sprint")
    return Words(vocabulary(row), look_up, Window.of(row))


def test_unknown_words_in_order_and_once(words):
    assert list(words.unknown("A red Mushroom, a dragon; the DRAGON and 3 elves!")) == ["dragon", "elves"]
    assert list(words.unknown("two {red|crimson} cubes, cherries, boxes and a polka-dot dog’s house")) == [
        "two",
        "crimson",
    ]
    assert words.unknown("") == words.unknown("?! {|} 42") == {}


def test_words_are_known_however_their_letters_are_composed(look_up):
    words = Words(["piñata", "it's"], look_up)
    assert words.unknown("PIN\u0303ATA pinata it’s") == {}


def test_words_of_an_emoji_are_told_with_the_emoji(words):
    assert words.unknown("a 🐶, a 🎹 and a 🦖") == {"face": "🐶", "musical": "🎹", "keyboard": "🎹", "t-rex": "🦖"}


MEASURED = {  # with the vocabulary of the box; those of the second part are what people were once told
    **{"musroom": "mushroom", "mushrom": "mushroom", "appel": "apple", "elefant": "elephant", "aple": "apple"},
    **{"robott": "robot", "teapt": "teapot", "strawbery": "strawberry", "dinosuar": "dinosaur", "gitar": "guitar"},
    **{"baloon": "balloon", "umbrela": "umbrella", "catt": "cat", "bycicle": "bicycle"},
    **{"infant": "baby", "huge": "big", "canine": "dog", "kid": "baby", "queen": "king", "jet": "plane"},
    **{"photo": "picture", "wizard": "magic", "gigantic": "large", "knight": "king", "woman": "women", "seven": "four"},
    **dict.fromkeys("asdfghjkl qwerty roter xyzzy lorem foo rot ipsum cyberpunk".split()),
}
SILLY = {"seven": "sven", "woman": "womans", "knight": "night", "eight": "weight", "huge": "hug", "wizard": "lizard"}


def test_only_what_may_have_been_meant_is_suggested(box):
    near = {word: box.near(word) for word in MEASURED}
    assert {word: (nearest or [None])[0] for word, nearest in near.items()} == MEASURED
    assert all(silly not in box.near(word) for word, silly in SILLY.items())


def test_slips_of_the_pen():
    assert [slips(a, b, 2) for a, b in (("appel", "apple"), ("cat", "catt"), ("cat", "cut"), ("cat", "dog"))] == [
        1,
        1,
        1,
        3,
    ]
    assert slips("", "abcd", 2) == 3 and slips("abc", "abc", 1) == 0


@pytest.mark.parametrize("typed", ["赤いリンゴ", "красная груша", "हिन्दी", "تفاحة حمراء", "ไทย"])
def test_letters_that_a_model_has_no_word_in_are_said_to_be_unread(box, typed):
    answer = box.tell(f"a fox, {typed}")
    (note,) = answer["notes"]
    assert answer["unknown"] == [] and note.marks == tuple(typed.split())
    assert (
        note.sentence
        == f"This model was trained on words in Latin letters only; it can't read {', '.join(note.marks)}."
    )
    assert box.foreign("赤") and not box.foreign("élan") and not Words(None, box.look_up).foreign("赤")


def test_what_is_beyond_the_tokens_is_told(box):
    long = "a red 🍐 {and|and} a blue cube beside it " * 4
    answer = box.tell(long)
    assert "crossed out" in answer["notes"][-1].sentence
    kept = box.window.tokenizer(long.replace("🍐", "pear").replace("{and|and}", "and")).input_ids[: 32 - 1]
    assert box.window.tokenizer.decode(kept[-1:]).strip() == spelt(long[: answer["read"]]).rstrip("{ ").split()[-1]
    assert box.tell("a red pear")["read"] is None
    short = " ".join(["red"] * 30)
    assert box.tell(short)["read"] is None and box.tell(short + " red")["read"] == len(short) + 1
    styled = box.tell(short, style="{prompt} at night")
    assert styled["read"] == len(short), "the style's words alone are cut off"


def test_a_model_of_the_hub_says_what_it_does_not_read(tmp_path):
    """A tiny pipeline with CLIP's tokenizer. Two of its tokens are marks; an instruction takes two more."""
    test_hub_sd.sd15(tmp_path / "tokenizer").save_pretrained(tmp_path / "sd")
    row = catalogue.elsewhere(str(tmp_path / "sd"))
    window, letters = Window.of(row), " ".join("abcdefghijklmnop")
    assert window.tokens == 16 and window.end("abc") == 3 and window.end(letters) == 2 * 14
    assert Window.of(replace(row, tokens=10, instruction=True)).end(letters) == 2 * 6
    assert Window.of(catalogue.get("sana-sprint-0.6b")) is None, "nothing of it is here"


def test_near_words(words):
    near = {w: words.near(w)[0] for w in ("musroom", "puppy", "kitten", "automobile", "violin")}
    assert near == {"musroom": "mushroom", "puppy": "dog", "kitten": "cat", "automobile": "car", "violin": "piano"}
    assert words.near("xyzzy") == []


def test_the_whole_is_told_at_once_but_not_without_end(words):
    unknown = words.tell("a wizzard on a red musroom " + " ".join(f"qq{c}x" for c in "abcdefghij"))["unknown"]
    assert [u["word"] for u in unknown[:2]] == ["wizzard", "musroom"] and len(unknown) == 8
    assert unknown[1] == {"word": "musroom", "typed": "musroom", "near": ["mushroom"]}


def test_a_model_of_a_whole_language_knows_everything(look_up):
    words = Words(None, look_up)
    assert words.unknown("a wizard") == {} and words.near("wizard") == [] and words.prompts() == list(PROMPTS)


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
    assert world.words_of([cache.draw(Folder(root), tmp_path / "cache")]) == ["a", "zebra", "by", "tree"]


def test_vocabulary_comes_from_the_nearest_that_has_one(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path)))
    assert vocabulary(catalogue.get("tiny-sprint")) == tiny.WORDS
    assert vocabulary(catalogue.get("tiny-sana")) is None
    (tmp_path / "models" / "tiny-dcae" / "vocabulary.json").write_text('["to the left of", "Ball"]')
    assert vocabulary(catalogue.get("tiny-sana")) == ["to", "the", "left", "of", "ball"]
    engine = Engine("cpu")
    assert engine.words("tiny-sprint").unknown("a red dragon") == {"dragon": "dragon"}
    assert engine.words("tiny-sprint") is engine.words("tiny-sprint")
    assert engine.words("sana-sprint-0.6b").unknown("a red dragon") == {}

"""What is read of a prompt, and what is said of the parts that do nothing."""

import json

import pytest

from core.paths import assets
from distill.data import emoji_words
from distill.data.emoji_fetch import TONES as CAPTION_TONES
from models import prompt
from models.prompt import TONES, names, notes, reading, spelt
from models.request import ImageRequest
from models.vocabulary import WORD

BOX = json.loads((assets() / "weights" / "toybox-sprint" / "vocabulary.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("🍐", "pear"),
        ("a 🍕on a blue background", "a pizza on a blue background"),
        ("🦊🍎, two🍐s", "fox and red apple, two pear s"),
        ("❤️ ❤", "red heart and red heart"),
        ("👋🏽", "waving hand with medium skin"),
        ("👩🏿‍🌾", "woman farmer with dark skin"),
        ("👩🏻‍🤝‍👨🏿", "man and woman holding hands with light and dark skin"),
        ("👩‍🦰🏻", "woman with red hair and light skin"),
        ("🐻‍🔥", "bear and fire"),
        ("1️⃣ of 1, #1", "keycap 1 of 1, #1"),
        ("🇯🇵", "japan flag"),
        ("{🍐|🍐}s", "pear s"),
    ],
)
def test_emoji_are_read_as_their_names(typed, read):
    assert reading(typed).text == read
    assert ImageRequest(typed, style="night", model="toybox-sprint").texts() == [f"{read} on a black background"]
    assert ImageRequest("a fox", negative=typed, model="toybox-sana").negative_text() == spelt(typed)


@pytest.mark.parametrize(
    "typed", ["a red mushroom, 3 balls #2 *", "©™‼", "قطة حمراء", "赤いリンゴ", " a  b\n", "→ ½", ""]
)
def test_a_text_without_emoji_is_the_same_text(typed):
    """Whatever was typed before emoji were read gives the pictures that it gave."""
    assert reading(typed, 7).text == typed and spelt(typed) == typed


def test_every_character_that_is_read_knows_where_it_was_typed():
    read = reading("a {small|small} 👩🏿‍🌾 with 🍐", 3, "{prompt} at night")
    typed = "a {small|small} 👩🏿‍🌾 with 🍐"
    assert read.text == "a small woman farmer with dark skin with pear at night" and len(read.places) == len(read.text)
    assert typed[read.places[2]] == "s", "inside the braces"
    assert {typed[read.places[read.text.index(word)]] for word in ("woman", "farmer", "dark")} == {"👩"}
    assert typed[read.places[read.text.index("pear")]] == "🍐" and read.places[-1] == len(typed)


def test_the_names_are_those_of_the_captions():
    """So that an emoji is read in the words that the network was trained on. `distill.data.emoji_table` writes them."""
    assert set(emoji_words.RENAMED).isdisjoint(names().values()), "a name was changed since the table was written"
    assert {f"{code:x}": tone for code, tone in TONES.items()} == CAPTION_TONES
    for name in ("baby", "man with red hair"):
        assert all(prompt.with_tones(name, [t]) == emoji_words.toned(name, t, 0.9) for t in TONES.values())
    picked = "🍐 🦊 🍕 🤖 🚀 🏠 🌵 🎂 🐼 🦄 🍄 🐙 🫖 🎩 🔑 😶 🙈 🪅".split()
    assert all(set(WORD.findall(spelt(one))) <= set(BOX) for one in picked)
    assert not any(c in name for name in names().values() for c in "{}|()<>")


@pytest.mark.parametrize(
    ("typed", "words", "marked"),
    [
        ("🍐 and 🦊", "🍐 is read as pear, 🦊 as fox.", ()),
        ("a \U0001faff", "No name is known for \U0001faff, so it is not read.", ("\U0001faff",)),
        ("a {red|teal rocket", "{ has no partner", ("{",)),
        ("a red|teal} rocket", "} has no partner", ("}",)),
        ("a {red} rocket", "{red} has no | in it", ("{red}",)),
        ("a (red:1.2) ball", "Weights do nothing here: (red:1.2) is read", ("(red:1.2)",)),
        ("a <lora:x:0.4> ((ball))", "Weights do nothing", ("<lora:x:0.4>", "((ball))")),
        ("a cat without a tail", "“without” does nothing here", ("without",)),
        ("It's not a dog, don't paint it", "“not” and “don't” do nothing here", ("not", "don't")),
    ],
)
def test_what_does_nothing_is_said(typed, words, marked):
    (note,) = notes(typed)
    assert note.sentence.startswith(words) and note.sentence.endswith(".") and note.marks == marked


@pytest.mark.parametrize(
    "typed", ["a {red|{dark|light} teal} rocket (small)", "a face without mouth, a snowman without snow", "3: 4", "no"]
)
def test_what_is_read_as_meant_is_no_note(typed):
    assert notes(typed) == []


def test_long_prompts_of_emoji_and_braces_are_quick():
    for hostile in ("🍐" * 2000, "👩🏿‍" * 660, "{🍐|" * 600, "1️⃣" * 660):
        assert len(reading(hostile).places) and isinstance(notes(hostile), list)

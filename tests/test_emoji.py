"""Emoji: a made-up cache in the fetched layout; things alone, every one in people's words, and two in one picture."""

import hashlib
import json
import os
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image, ImageDraw

from distill.data import emoji, emoji_fetch, emoji_words, sources
from distill.data.colour import colour_of
from distill.data.emoji import Emoji
from distill.data.emoji_nouns import ALSO, SIGNS
from distill.data.pairs import CELL, CORNERS, FILL, Pairs
from distill.data.toys.captions import COLOUR_WORDS
from distill.data.words import Words, colour_in
from models.palette import BACKGROUNDS

NAMES = ["Fox", "Owl", "Grapes", "Man: Red Hair", "Hourglass", "Unicorn", "Bread", "Statue of Liberty"]
NAMES += [f"Thing {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]


def raw_names() -> dict:
    """@emoji-mart/data in miniature, with signs, and what must stay out: a flag, a clock face, a sign of letters."""
    people = {"Man: Red Hair": [{"unified": "1f468"}, {"unified": "1f468-1f3ff"}, {"unified": "1f468-1f3fb"}]}
    people["Woman Cook"] = [{"unified": "1f469"}, {"unified": "1f469-1f3fd"}]
    out = {}
    for i, name in enumerate([*NAMES, "Warning", "Flag: Chad", "Two O’clock", "Spade Suit", "Ok Button", "Woman Cook"]):
        code = "2660-fe0f" if name == "Spade Suit" else f"{0x1F000 + i:x}"
        out[name] = {"name": name, "keywords": ["animal", "face"], "skins": people.get(name, [{"unified": code}])}
    return {"emojis": out}


def raw_groups() -> list[dict]:
    odd = {"Man: Red Hair": ("People & Body", "person"), "Warning": ("Symbols", "x"), "Flag: Chad": ("Flags", "x")}
    odd |= {"Ok Button": ("Symbols", "alphanum"), "Woman Cook": ("People & Body", "person-role")}
    rows = []
    for i, e in enumerate(raw_names()["emojis"].values()):
        category, subcategory = odd.get(e["name"], ("Objects", "tool"))
        alias = e["name"].lower().replace(": ", "_").replace(" ", "_") + "_face"
        rows.append({"unified": e["skins"][0]["unified"].upper(), "category": category, "subcategory": subcategory,
                     "short_names": [alias], "sort_order": i})  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("emoji")
    (home / "fluent").mkdir()
    (home / "noto").mkdir()
    codes = {s["unified"] for e in raw_names()["emojis"].values() for s in e["skins"]}
    rows = emoji_fetch.index(raw_names(), raw_groups(), codes, codes)
    for n, code in enumerate(sorted(p["codepoint"] for row in rows for p in row["pictures"])):
        picture = Image.new("RGBA", (256, 256))
        ImageDraw.Draw(picture).ellipse((40, 60, 200, 180), fill=(200, 7 * n % 256, 40, 255))
        picture.save(home / "fluent" / f"{code}.webp", lossless=True)
        picture.resize((64, 64)).save(home / "noto" / f"{code}.png")
    facts = {"packages": emoji_fetch.current(), "emoji": rows}
    (home / "index.json").write_text(json.dumps(facts))
    return home


def test_things_are_one_set_and_people_and_signs_join_them_in_another(folder):
    things, words = ({e.row["name"] for e in source(folder=folder).emoji} for source in (Emoji, Words))
    assert {"fox", "statue of liberty"} <= things and len(things) == len(NAMES) - 1
    assert words - things == {"man with red hair", "woman cook", "warning sign", "spade suit"}
    assert emoji_fetch.ready(folder)


def test_the_set_of_before_is_the_same_to_the_last_word(folder):
    """Runs and caches of `toys+emoji` go on: what `Words` can do changes nothing in what `Emoji` says and shows."""
    digest = hashlib.sha256()
    for split in ("train", "held_out"):
        source = Emoji(split, 60, folder=folder)
        for example in (source[i] for i in range(60)):
            digest.update(repr((example.captions, sorted(example.attributes.items()))).encode())
    assert digest.hexdigest()[:16] == "7b6d41a42c512138"
    assert Emoji(folder=folder).signature[:7] == ("emoji", 3, "train", 0, False, "wordings", "fluent")


def test_an_example_is_a_function_of_seed_and_index(folder):
    a, b = Emoji(folder=folder, seed=3), Emoji(folder=folder, seed=3, size=50)
    for i in (0, 7, 49):
        assert np.array_equal(a[i].picture, b[i].picture)
        assert (a[i].captions, a[i].attributes, a[i].key) == (b[i].captions, b[i].attributes, b[i].key)
    assert a.signature == b.signature != Emoji(folder=folder, seed=4).signature
    other = Emoji(folder=folder, seed=4)
    assert any(a[i].captions != other[i].captions for i in range(20))
    with pytest.raises(IndexError):
        b[50]


def test_every_emoji_comes_once_before_any_comes_again(folder):
    source = Emoji(folder=folder)
    n = len(source.emoji)
    for turn in range(3):
        assert len({source[i].attributes["emoji"] for i in range(turn * n, turn * n + n)}) == n


@pytest.mark.parametrize("hold", ["wordings", "pictures"])
def test_the_picture_fills_the_frame_on_its_background(folder, hold):
    source = Emoji(folder=folder, hold=hold)
    whites = 0
    for i in range(120):
        example = source[i]
        assert example.picture.shape == (128, 128, 3) and example.picture.dtype == np.uint8
        background = BACKGROUNDS[example.attributes["background"]]
        whites += example.attributes["background"] == "white"
        assert tuple(example.picture[0, 0]) == background
        inside = (np.abs(example.picture.astype(int) - background).max(-1) > 24).nonzero()
        across = max(np.ptp(axis) + 1 for axis in inside)
        assert 0.83 * 128 <= across <= 0.94 * 128
    assert 40 <= whites <= 80


@pytest.mark.parametrize(("hold", "looks"), [("wordings", 1), ("pictures", 4)])
def test_a_generator_meets_an_emoji_in_one_place_an_autoencoder_in_many(folder, hold, looks):
    source, met = Emoji(folder=folder, hold=hold), defaultdict(list)
    for example in map(source.__getitem__, range(len(source))):
        met[example.key, example.attributes["background"]].append(example.picture.tobytes())
    assert max(map(len, met.values())) >= 4, "or nothing was met again"
    most = max(len(set(pictures)) for pictures in met.values())
    assert most == looks if hold == "wordings" else most >= looks


def test_a_transparent_edge_brings_no_colour_of_its_own(tmp_path):
    picture = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    ImageDraw.Draw(picture).ellipse((10, 10, 190, 190), fill=(255, 255, 255, 255))
    picture.save(tmp_path / "white.png")
    out = emoji.compose(tmp_path / "white.png", (250, 249, 246), 0.9, (0.0, 0.0))
    assert out.min() >= 240  # a dark rim would show where black transparent pixels were blended


def test_evaluation_sees_other_wordings_and_backgrounds(folder):
    train, held = Emoji(folder=folder, size=700), Emoji("held_out", folder=folder, size=150)
    assert {e.row["name"] for e in train.emoji} == {e.row["name"] for e in held.emoji}
    seen = {(x.attributes["emoji"], x.attributes["background"]) for x in (train[i] for i in range(700))}
    captions = {c for i in range(700) for c in train[i].captions}
    for example in (held[i] for i in range(150)):
        assert (example.attributes["emoji"], example.attributes["background"]) not in seen
        assert not captions & set(example.captions)


def test_an_autoencoder_holds_out_a_tenth_of_the_pictures(folder):
    train, held = (Emoji(split, folder=folder, hold="pictures") for split in ("train", "held_out"))
    keys = [{d.key for e in s.emoji for d in e.drawings} for s in (train, held)]
    assert not keys[0] & keys[1] and keys[1]
    numbers = (i * 2654435761 % 2**32 for i in range(5000))
    assert sum(emoji.picture_split(f"{n:08x}") == "held_out" for n in numbers) == pytest.approx(500, abs=80)


@pytest.mark.parametrize(("noun", "expected"), [
    ("fox", "a fox"), ("owl", "an owl"), ("hourglass", "an hourglass"), ("unicorn", "a unicorn"), ("ewe", "a ewe"),
    ("grapes", "grapes"), ("octopus", "an octopus"), ("bread", "bread"), ("mount fuji", "mount fuji"),
    ("statue of liberty", "the statue of liberty"), ("face holding back tears", "a face holding back tears"),
    ("one-piece swimsuit", "a one-piece swimsuit"), ("skis", "skis"), ("x-ray", "an x-ray"),
    ("cup with straws", "a cup with straws"),
])  # fmt: skip
def test_articles(noun, expected):
    assert emoji_words.with_article(noun) == expected


@pytest.mark.parametrize(("noun", "several"), [
    ("fox", "foxes"), ("owl", "owls"), ("cherry", "cherries"), ("monkey", "monkeys"), ("policeman", "policemen"),
    ("human", "humans"), ("old person", "old people"), ("maple leaf", "maple leaves"), ("woman chef", "women chefs"),
    ("grapes", None), ("bread", None), ("man with a beard", None), ("person running", None), ("thumbs up", None),
])  # fmt: skip
def test_plurals(noun, several):
    assert emoji_words.plural(noun) == several


def test_adjectives_stand_after_the_article():
    nouns = [emoji_words.with_article(noun, "orange") for noun in ("fox", "owl", "grapes", "statue of liberty")]
    assert nouns == ["an orange fox", "an orange owl", "orange grapes", "the orange statue of liberty"]
    assert emoji_words.say("{ns}", "fox", ["x"], "blue", 1, "red") == "red foxes on blue"


def test_no_noun_stands_for_two_emoji():
    nouns_of_all = [noun for nouns in (*ALSO.values(), *SIGNS.values()) for noun in nouns]
    assert sorted(nouns_of_all) == sorted(set(nouns_of_all)) and not set(nouns_of_all) & set(ALSO)


def test_a_trade_has_the_names_that_people_give_it():
    row = {"name": "woman cook", "aliases": [], "subgroup": "person-role", "keywords": []}
    assert emoji_words.more_nouns(row) == ("woman cook", "female cook", "woman chef")
    other = row | {"name": "woman wearing turban"}
    assert emoji_words.more_nouns(other) == ("woman wearing turban",)


def test_what_one_set_holds_out_the_other_does_not_train(folder):
    for entry in Words(folder=folder).emoji:
        trained, held = emoji_words.more_wordings(entry.row)
        assert not set(trained) & set(held) and set(emoji_words.wordings(entry.row)[1]) <= set(held)
    train, held = Words(folder=folder, size=700), Words("held_out", folder=folder, size=150)
    captions = {c for i in range(700) for c in train[i].captions}
    assert not any(captions & set(held[i].captions) for i in range(150))


def test_captions_are_lower_case_and_in_order(folder):
    source = Words(folder=folder)
    for caption in (caption for i in range(300) for caption in source[i].captions):
        assert caption == caption.lower() == " ".join(caption.split()) and not {"{", "None"} & set(caption.split())


def test_every_skin_tone_is_said_and_the_plain_name_is_the_yellow_drawing(folder):
    source, met = Words(folder=folder, size=1200), set()
    for example in (source[i] for i in range(1200)):
        tone = example.attributes["tone"]
        met.add(tone)
        for caption in example.captions:
            tones = [t for t in ("dark", "light", "medium") if f"{t} skin" in caption or f"{t}-skinned" in caption]
            assert tones == ([tone] if tone else [])
    assert met == {None, "dark", "light", "medium"}


def disc(colour, other=None):
    picture = Image.new("RGBA", (100, 100), (0, 0, 255, 0))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((10, 10, 90, 90), fill=(*colour, 255))
    if other:
        draw.pieslice((10, 10, 90, 90), 0, 180, fill=(*other, 255))
    return picture


@pytest.mark.parametrize(("picture", "colour"), [
    (disc((214, 40, 60)), "red"), (disc((250, 200, 60)), "yellow"), (disc((240, 132, 40)), "orange"),
    (disc((225, 165, 105)), "brown"), (disc((60, 190, 110)), "green"), (disc((40, 130, 230)), "blue"),
    (disc((130, 70, 200)), "purple"), (disc((240, 80, 180)), "pink"), (disc((235, 228, 245)), "white"),
    (disc((150, 145, 160)), "grey"), (disc((60, 52, 72)), "black"), (disc((214, 40, 60), (60, 190, 110)), None),
])  # fmt: skip
def test_the_colour_is_that_of_most_of_what_is_seen(picture, colour):
    assert colour_of(picture) == colour


def test_a_colour_that_is_said_is_the_drawing_s(folder):
    source, coloured = Words(folder=folder), 0
    for example in (source[i] for i in range(300)):
        behind = {example.attributes["background"]}
        entry = next(e for e in source.emoji if e.row["name"] == example.attributes["emoji"])
        seen = colour_in(entry.drawings[0].path)
        for caption in example.captions:
            words = set(caption.replace("-", " ").split()) & (set(BACKGROUNDS) | {"orange", "red", "brown"}) - behind
            assert words <= {seen} or entry.row["group"] == "people"
            coloured += words == {seen} and entry.row["group"] != "people"
    assert coloured > 30


def alone(path, colour):
    drawing, frame = emoji.scaled(path, FILL), Image.new("RGB", (CELL, CELL), colour)
    x, y = ((CELL - side) // 2 for side in drawing.size)
    frame.paste(drawing, (x, y), drawing)
    return np.asarray(frame)


def test_emoji_in_pairs_stand_where_the_truth_says(folder):
    source, places = Pairs(folder=folder), set()
    drawings = {e.row["name"]: [d.path for d in e.drawings] for e in source.emoji}
    for example in (source[i] for i in range(1, 200, 2)):
        truth = example.attributes
        places.add(truth["place"])
        for name, (x, y) in zip((truth["first"], truth["second"]), CORNERS[truth["place"]], strict=True):
            cell, colour = example.picture[y : y + CELL, x : x + CELL], BACKGROUNDS[truth["background"]]
            assert any(np.array_equal(cell, alone(path, colour)) for path in drawings[name])
            assert truth["background"] != emoji_words.held_out_background(name, emoji.COLOURED)
        assert truth["first"] != truth["second"]
    assert places == {"left of", "above"}


def test_captions_of_pairs_name_both_in_their_places(folder):
    source, turns = Pairs(folder=folder), 0
    rows = {e.row["name"]: e.row for e in source.emoji}
    for example in (source[i] for i in range(1, 200, 2)):
        truth = example.attributes
        first, second = (emoji_words.more_nouns(rows[truth[k]]) for k in ("first", "second"))
        for caption in example.captions:
            turned = any(f" {word} " in caption for word in ("right of", "to the right of", "below", "under"))
            before, after = (second, first) if turned else (first, second)
            named = [(a, b) for a in before for b in after if a in caption and b in caption]
            assert any(caption.index(a) < caption.rindex(b) for a, b in named), caption
            turns += turned
    assert turns > 80


def test_pairs_of_toys_name_both_colours_and_nothing_false(folder):
    source = Pairs(folder=folder)
    for example in (source[i] for i in range(0, 24, 2)):
        scene = example.attributes
        for caption in example.captions:
            words = set(caption.replace(",", " ").split())
            for colour in (scene["colour"], scene["colour2"]):
                assert words & set(COLOUR_WORDS[colour]), caption
            if words & {"and", "next", "beside"}:
                left = scene["colour"] if scene["relation"] == "left of" else scene["colour2"]
                assert caption.split()[1] == left


def test_held_out_pairs_were_never_trained(folder):
    def pairs(split):
        truths = (Pairs(split, 400, folder=folder)[i].attributes for i in range(1, 400, 2))
        return {(t["first"], t["place"], t["second"]) for t in truths}

    assert not pairs("train") & pairs("held_out")


def test_a_data_set_is_named_by_its_parts(folder, monkeypatch):
    monkeypatch.setattr(emoji, "home", lambda: folder)
    assert [s.name for s in sources("toys+words+pairs")] == ["toys", "words", "pairs"]
    words, noto = sources("words+noto")
    assert isinstance(words, Words) and isinstance(noto, Words) and words.signature != noto.signature
    assert {e.row["name"] for e in words.emoji} == {e.row["name"] for e in noto.emoji}
    assert not any(isinstance(source, Words) for source in sources("emoji+noto"))
    with pytest.raises(ValueError, match="toys.words.pairs"):
        sources("toys+nothing")


def test_noto_is_another_drawing_of_the_same_thing(folder):
    fluent, noto = Emoji(folder=folder), Emoji(folder=folder, look="noto")
    assert noto[3].attributes == fluent[3].attributes and noto[3].key != fluent[3].key
    assert noto.signature != fluent.signature


def test_without_the_emoji_one_sentence_says_how_to_get_them(tmp_path, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError, match="make data"):
        Emoji(folder=tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    assert emoji.main([]) == 2
    assert "npm is not installed" in capsys.readouterr().err
    assert not list((tmp_path / "cache").iterdir())


def fake_npm(bin_folder, archive) -> None:
    script = bin_folder / "npm"
    script.write_text(f'#!/bin/sh\ncp {archive} "$4/x.tgz"\n')
    script.chmod(0o755)


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "evil.tgz").write_bytes(b"not what was pinned")
    fake_npm(tmp_path / "bin", tmp_path / "evil.tgz")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(RuntimeError, match="not the pinned"):
        emoji_fetch.fetch(tmp_path / "cache" / "emoji", say=lambda text: None)
    assert not (tmp_path / "cache" / "emoji").exists()

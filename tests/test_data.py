"""Pictures with captions that this project didn't draw: emoji (a made-up cache in the fetched layout) and folders."""

import json
import os
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image, ImageDraw

from distill import publish
from distill.data import emoji, emoji_fetch, emoji_words
from distill.data.emoji import Emoji
from distill.data.folder import Folder
from distill.data.toys.palette import BACKGROUNDS

NAMES = ["Fox", "Owl", "Grapes", "Man: Red Hair", "Hourglass", "Unicorn", "Bread", "Statue of Liberty"]
NAMES += [f"Thing {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]


def raw_names() -> dict:
    """@emoji-mart/data in miniature, with what must stay out: a symbol, a flag, a clock face, a card suit."""
    people = {"Man: Red Hair": [{"unified": "1f468"}, {"unified": "1f468-1f3ff"}, {"unified": "1f468-1f3fb"}]}
    out = {}
    for i, name in enumerate([*NAMES, "Warning", "Flag: Chad", "Two O’clock", "Spade Suit"]):
        code = "2660-fe0f" if name == "Spade Suit" else f"{0x1F000 + i:x}"
        out[name] = {"name": name, "keywords": ["animal", "face"], "skins": people.get(name, [{"unified": code}])}
    return {"emojis": out}


def raw_groups() -> list[dict]:
    odd = {"Man: Red Hair": ("People & Body", "person"), "Warning": ("Symbols", "x"), "Flag: Chad": ("Flags", "x")}
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


def test_only_pictures_of_things_are_kept(folder):
    names = {e.row["name"] for e in Emoji(folder=folder, people=True).emoji}
    assert {"fox", "man with red hair", "statue of liberty"} <= names
    assert not names & {"warning", "flag with chad", "two o'clock", "spade suit"}
    assert len(names) == len(NAMES)
    assert "man with red hair" not in {e.row["name"] for e in Emoji(folder=folder).emoji}
    assert emoji_fetch.ready(folder)


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
    said = {c for i in range(700) for c in train[i].captions}
    for example in (held[i] for i in range(150)):
        assert (example.attributes["emoji"], example.attributes["background"]) not in seen
        assert not said & set(example.captions)


def test_an_autoencoder_holds_out_a_tenth_of_the_pictures(folder):
    train, held = (Emoji(split, folder=folder, hold="pictures") for split in ("train", "held_out"))
    keys = [{d.key for e in s.emoji for d in e.drawings} for s in (train, held)]
    assert not keys[0] & keys[1] and keys[1]
    numbers = (i * 2654435761 % 2**32 for i in range(5000))
    assert sum(emoji.picture_split(f"{n:08x}") == "held_out" for n in numbers) == pytest.approx(500, abs=80)


@pytest.mark.parametrize(("noun", "said"), [
    ("fox", "a fox"), ("owl", "an owl"), ("hourglass", "an hourglass"), ("unicorn", "a unicorn"), ("ewe", "a ewe"),
    ("grapes", "grapes"), ("octopus", "an octopus"), ("bread", "bread"), ("mount fuji", "mount fuji"),
    ("statue of liberty", "the statue of liberty"), ("face holding back tears", "a face holding back tears"),
    ("one-piece swimsuit", "a one-piece swimsuit"), ("skis", "skis"), ("x-ray", "an x-ray"),
    ("cup with straws", "a cup with straws"),
])  # fmt: skip
def test_articles(noun, said):
    assert emoji_words.with_article(noun) == said


def test_captions_are_lower_case_and_within_the_vocabulary(folder):
    source = Emoji(folder=folder, people=True)
    known = set(source.vocabulary())
    for i in range(300):
        for caption in source[i].captions:
            assert caption == caption.lower() and "{" not in caption and "  " not in caption
            words = {part.strip(".,()") for part in caption.split()}
            assert words <= known
    tones = {source[i].attributes["tone"] for i in range(300)}
    assert tones == {None, "dark", "light"}


def test_a_skin_tone_is_said_of_the_right_picture(folder):
    source = Emoji(folder=folder, people=True, size=600)
    for example in (source[i] for i in range(600)):
        for caption in example.captions:
            for tone in ("dark", "light"):
                assert f"{tone} skin" not in caption or example.attributes["tone"] == tone


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


def picture(path, size=(160, 200), mode="RGB", colour=(200, 30, 40)):
    Image.new(mode, size, colour).save(path)
    return path


def good_folder(root, n=40):
    root.mkdir()
    for i in range(n):
        picture(root / f"{i:02d}.png", colour=(5 * i, 30, 40))
        (root / f"{i:02d}.txt").write_text(f"a red thing {i}\n\n something else {i} \n")
    return root


def test_a_folder_with_text_files(tmp_path):
    root = good_folder(tmp_path / "mine")
    train, held = Folder(root, few=1), Folder(root, "held_out", few=1)
    assert len(train) + len(held) == 40 and 1 <= len(held) <= 10
    assert not {r.key for r in train.rows} & {r.key for r in held.rows}
    example = train[0]
    assert example.picture.shape == (128, 128, 3)
    assert example.captions[0].startswith("a red thing") and example.captions[1].startswith("something else")


def test_the_split_follows_the_content_not_the_name(tmp_path):
    root = good_folder(tmp_path / "mine")
    before = {r.key for r in Folder(root, "held_out", few=1).rows}
    for i, path in enumerate(sorted(root.glob("*.png"))):
        path.rename(root / f"other{i}.png")
        path.with_suffix(".txt").rename(root / f"other{i}.txt")
    assert {r.key for r in Folder(root, "held_out", few=1).rows} == before


def test_a_folder_with_metadata(tmp_path):
    root = tmp_path / "mine"
    (root / "sub").mkdir(parents=True)
    lines = []
    for i in range(20):
        picture(root / "sub" / f"{i}.jpg", colour=(i * 12, 0, 0))
        lines.append({"file_name": f"sub/{i}.jpg", "text": ["one", "two"] if i else "one"})
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    rows = Folder(root).rows
    assert len(rows) == 20 and {r.captions for r in rows} == {("one",), ("one", "two")}
    picture(root / "sub" / "unnamed.jpg")
    with pytest.raises(ValueError, match=r"1 of 21 pictures .*\n  sub/unnamed.jpg: its caption unnamed.txt is missing"):
        Folder(root)
    (root / "metadata.jsonl").write_text((root / "metadata.jsonl").read_text() + "\n{torn")
    with pytest.raises(ValueError, match=r"1 of 21 pictures .*\n  metadata.jsonl line 21: needs"):
        Folder(root)
    lines = [line | {"file_name": str(root / line["file_name"])} for line in lines]
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (root / "sub" / "unnamed.txt").write_text("found")
    assert ("found",) in {r.captions for r in Folder(root).rows}


def test_see_through_pictures_lie_on_white_and_the_middle_is_kept(tmp_path):
    root = tmp_path / "mine"
    root.mkdir()
    wide = Image.new("RGBA", (400, 200), (0, 0, 0, 0))
    ImageDraw.Draw(wide).rectangle((150, 50, 249, 149), fill=(0, 0, 255, 255))
    for i in range(12):  # enough that some fall into training
        wide.putpixel((i, 0), (i, 0, 0, 255))
        wide.save(root / f"{i}.png")
        (root / f"{i}.txt").write_text("a blue square")
    out = Folder(root)[0].picture
    assert tuple(out[2, 2]) == (255, 255, 255) and tuple(out[64, 64]) == (0, 0, 255)
    assert (out[64, :, 0] < 128).sum() == pytest.approx(64, abs=2)
    large = Folder(root, side=192)
    assert large[0].picture.shape == (192, 192, 3) and large.signature != Folder(root).signature
    with pytest.raises(ValueError, match="400 × 200 pixels, smaller than 201 × 201"):
        Folder(root, side=201)


def spoil(root, outside) -> None:
    """One of each kind of bad file."""
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (root / "cut.png").write_bytes((root / "00.png").read_bytes()[:-30])
    picture(root / "small.png", (127, 400))
    picture(root / "bomb.png", (10000, 8000), "1", 0)
    for name in ("broken", "cut", "small", "bomb", "link"):
        (root / f"{name}.txt").write_text("a caption")
    picture(root / "silent.png")
    picture(root / "blank.png")
    (root / "blank.txt").write_text(" \n")
    picture(outside)
    (root / "link.png").symlink_to(outside)


def test_bad_files_are_all_named_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path / "studio"))
    root = good_folder(tmp_path / "mine", 30)
    spoil(root, tmp_path / "secret.png")
    with pytest.raises(ValueError) as error:
        Folder(root)
    text = str(error.value)
    reasons = {"broken": "no picture", "cut": "damaged", "small": "smaller than", "bomb": "megapixels",
               "silent": "silent.txt is missing", "blank": "caption is empty", "link": "out of the folder"}  # fmt: skip
    for name, reason in reasons.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{name}.png"))
        assert reason in line
    assert text.startswith("7 of 37 pictures")
    kept = Folder(root, skip_bad=True)
    said = capsys.readouterr().err
    assert said.startswith(f"left out 7 of 37 pictures in {root}: blank.png: its caption is empty, and 6 more")
    assert said.count("\n") == 1
    assert "caption" not in publish.vocabulary(str(root), skip_bad=True), "which only bad files have"
    assert len(publish.some_pictures(str(root), 5, skip_bad=True)) == 5
    assert len(kept.bad) == 7 and len(kept) == 30


@pytest.mark.parametrize(("line", "reason"), [
    ('{"file_name": "../x.png", "text": "a"}', "out of the folder"),
    ('{"file_name": "gone.png", "text": "a"}', "is missing"),
    ('{"file_name": "a.png"}', "needs a JSON object"), ("not json", "needs a JSON object"), ("[1]", "needs a JSON"),
    ('{"file_name": "a.png", "text": 3}', "neither a line"), ('{"file_name": 3, "text": "a"}', "needs a JSON object"),
])  # fmt: skip
def test_bad_metadata_is_named(tmp_path, line, reason):
    root = tmp_path / "mine"
    root.mkdir()
    picture(root / "a.png")
    picture(tmp_path / "x.png")
    (root / "metadata.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=reason):
        Folder(root)


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    with pytest.raises(ValueError, match="metadata.jsonl"):
        Folder(tmp_path)
    with pytest.raises(ValueError, match="not a folder"):
        Folder(tmp_path / "none")

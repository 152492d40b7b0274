"""Pictures with captions that this project didn't draw: a person's folders. Emoji are in test_emoji.py."""

import json

import pytest
from PIL import Image, ImageDraw

from distill import world
from distill.data import cache
from distill.data.folder import Folder
from distill.methods import autoencoder
from distill.serve import Trained


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
    warning = capsys.readouterr().err
    assert warning.startswith(f"left out 7 of 37 pictures in {root}: blank.png: its caption is empty, and 6 more")
    assert warning.count("\n") == 1
    assert "caption" not in world.words_of([cache.draw(kept, tmp_path / "cache")]), "which only bad files have"
    left = Trained({"dataset": str(root), "skip_bad": True}, None, None, None)
    assert len(autoencoder.some_pictures(left, 5)) == 5
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

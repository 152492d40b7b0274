"""Folders as people's computers, archivers, cameras and tools leave them; each case was somebody's bug report."""

import csv
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from distill.data.folder import Folder, content_split
from distill.data.pictures import load
from models.request import ImageRequest

SIDE = 160


def ramp(white: int) -> np.ndarray:
    """Black on the left, white on the right."""
    return np.tile(np.linspace(0, white, SIDE).round().astype(np.uint16), (SIDE, 1))


def captioned(path, text="a red cat"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIDE, SIDE), (200, 40, len(path.name))).save(path)
    if text:
        path.with_suffix(".txt").write_text(text)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def names(folder: Folder) -> list[str]:
    return [row.path.name for row in folder.rows]


def tagged(bits=None, photometric=None):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for key, value in ((258, bits), (262, photometric)):
        if value is not None:
            tags[key] = value
    return tags


def test_deep_grey_is_scaled_not_cut(tmp_path):
    """16 bits were read as white squares: every value above 255 was."""
    Image.fromarray(ramp(65535)).save(tmp_path / "a.png")
    Image.fromarray(ramp(65535)).save(tmp_path / "b.tif")
    Image.fromarray(ramp(65535)).save(tmp_path / "negative.tif", tiffinfo=tagged(photometric=0))
    for name in ("a.png", "b.tif"):
        row = load(tmp_path / name)[64, :, 0].astype(int)
        assert row.mean() == pytest.approx(127, abs=1.5) and row[0] < 3 and row[-1] > 252 and (np.diff(row) >= 0).all()
    assert load(tmp_path / "negative.tif")[64, 0, 0] > 252, "white is zero, it says"


def test_twelve_bits_are_white_at_4095(tmp_path):
    values = ramp(4095)
    packed = np.empty((SIDE, SIDE // 2, 3), np.uint8)  # two numbers in three bytes
    first, second = values[:, ::2], values[:, 1::2]
    packed[..., 0], packed[..., 1] = first >> 4, (first & 15) << 4 | second >> 8
    packed[..., 2] = second & 255
    data = packed.tobytes()
    entries = [(256, 3, SIDE), (257, 3, SIDE), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 134), (277, 3, 1)]
    entries += [(278, 3, SIDE), (279, 4, len(data))]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    head += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + bytes(4)
    (tmp_path / "a.tif").write_bytes(head.ljust(134, b"\0") + data)
    assert load(tmp_path / "a.tif")[64, -1, 0] > 252


@pytest.mark.parametrize(("mode", "reason"), [("F", "32 bits"), ("I", "32 bits"), ("LAB", "Lab colours")])
def test_numbers_without_a_known_white_are_named(tmp_path, mode, reason):
    Image.new(mode, (SIDE, SIDE)).save(tmp_path / "a.tif")
    (tmp_path / "a.txt").write_text("a ramp")
    with pytest.raises(ValueError, match=rf"a.tif: it holds .*{reason}.*8 or 16 bits"):
        Folder(tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_other_mode_keeps_its_brightness(tmp_path, mode):
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    picture.paste("black", (0, 0, SIDE, SIDE // 2))
    picture.convert(mode).save(tmp_path / f"a.{dict(CMYK='tif', YCbCr='jpg').get(mode, 'png')}")
    out = load(next(tmp_path.glob("a.*")))
    assert out[:50].max() < 5 and out[-50:].min() > 250


LITTER = [
    ".DS_Store", "._cat.png", "__MACOSX/._cat.png", "@eaDir/cat.png/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/cat.png",
    "$RECYCLE.BIN/cat.png", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/cat.png", "cat.png~", "~$cat.png",
    ".cat.png.swp", "cat.CR2", "cat.xmp", "lost+found/cat.png", "README.txt",
]  # fmt: skip


def test_what_nobody_put_there_is_left_out(tmp_path, capsys):
    captioned(tmp_path / "cat.png")
    for name in LITTER:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X")
    (tmp_path / "album.png").mkdir()
    assert names(Folder(tmp_path)) == ["cat.png"]
    assert capsys.readouterr().err == ""


def test_a_kind_of_picture_that_is_not_read_is_named(tmp_path):
    captioned(tmp_path / "cat.png")
    (tmp_path / "dog.HEIC").write_bytes(b"ftypheic")
    (tmp_path / "dog.txt").write_text("a dog")
    with pytest.raises(ValueError, match=r"dog.HEIC: .heic is not read; valid: .avif"):
        Folder(tmp_path)


def test_suffixes_may_be_capitals(tmp_path):
    captioned(tmp_path / "UPPER.PNG", "").with_suffix(".TXT").write_text("a red cat")
    assert Folder(tmp_path)[0].captions == ("a red cat",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_windows_marks_is_read(tmp_path, encoding):
    captioned(tmp_path / "a.png", "").with_suffix(".txt").write_text("eine Kätzin", encoding=encoding)
    captioned(tmp_path / "sub" / "b.png", "")
    line = json.dumps({"file_name": "sub\\b.png", "text": "a cat"})
    (tmp_path / "metadata.jsonl").write_text(f"{line}\r\n", encoding=encoding)
    assert sorted(row.captions for row in Folder(tmp_path).rows) == [("a cat",), ("eine Kätzin",)]


def test_a_table_of_captions_and_metadata_in_folders_below(tmp_path):
    for name in ("train/a.png", "train/b.png", "test/c.png"):
        captioned(tmp_path / name, "")
    with (tmp_path / "train" / "metadata.csv").open("w", newline="", encoding="utf-8-sig") as f:
        csv.writer(f).writerows([("file_name", "text"), ("a.png", 'a "red" cat,\nand a mat'), ("b.png", "a dog")])
    (tmp_path / "test" / "Metadata.JSONL").write_text(json.dumps({"file_name": "c.png", "text": "a fox"}))
    captions = {row.path.name: row.captions for row in Folder(tmp_path).rows}
    assert captions == {"a.png": ('a "red" cat, and a mat',), "b.png": ("a dog",), "c.png": ("a fox",)}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("metadata.csv", "file,caption\na.png,a cat\n", r"metadata.csv line 2: needs .*`text`; it has file, caption"),
        ("metadata.csv", "file_name;text\na.png;a cat\n", r"needs comma-parted columns .*; it has file_name;text"),
        ("metadata.csv", 'file_name,text\na.png,"a cat\n', r"metadata.csv line \d: needs"),
        ("metadata.csv", "file_name,text\na.png\n", r"line 2: needs .*; it has file_name"),
        ("sub/metadata.jsonl", '{"file_name": "a.png", "caption": "a"}', r"sub/metadata.jsonl line 1: .* it has file_"),
        ("metadata.parquet", "PAR1", r"metadata.parquet: is not read; save it as metadata.jsonl or metadata.csv"),
    ],
)
def test_a_metadata_file_that_is_wrong_says_what_would_be_read(tmp_path, name, text, reason):
    captioned(tmp_path / "a.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=reason):
        Folder(tmp_path)


def test_packed_text_and_large_profiles_in_a_sound_picture_are_no_damage(tmp_path):
    data = captioned(tmp_path / "a.png").read_bytes()
    packed = zlib.compress(b"0" * 3_000_000)
    texts = chunk(b"zTXt", b"workflow\0\0" + packed) + chunk(b"iCCP", b"wide\0\0" + packed)
    (tmp_path / "a.png").write_bytes(data[:33] + texts + data[33:])
    assert len(Folder(tmp_path)) == 1


def test_of_few_pictures_none_is_held_out_and_of_many_it_is_said(tmp_path, capsys):
    """One picture in ten has a hash that fell to the held-out side: a folder of one was `no picture with a caption`."""
    for n in range(60):
        path = captioned(tmp_path / "one" / f"{n}.png")
        Image.new("RGB", (SIDE, SIDE), (n, 0, 0)).save(path)
    every = Folder(tmp_path / "one", few=1).rows + Folder(tmp_path / "one", "held_out", few=1).rows
    assert f"held out {len(every) - len(Folder(tmp_path / 'one'))} of 60 pictures" in capsys.readouterr().err
    unlucky = next(row.path for row in every if content_split(row.key) == "held_out")
    (tmp_path / "few").mkdir()
    for path in (unlucky, unlucky.with_suffix(".txt")):
        path.rename(tmp_path / "few" / path.name)
    capsys.readouterr()
    assert len(Folder(tmp_path / "few")) == 1 and len(Folder(tmp_path / "few", "held_out")) == 0
    assert capsys.readouterr().err == ""


def test_emoji_of_captions_are_read_as_those_of_prompts(tmp_path):
    captioned(tmp_path / "a.png", "").with_suffix(".txt").write_text("a 🍐 on a table", encoding="utf-8")
    assert Folder(tmp_path)[0].captions == ("a pear on a table",)
    assert ImageRequest("a 🍐 on a table", model="toybox-sana").texts() == ["a pear on a table"]

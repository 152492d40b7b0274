"""Bases and models as people's disks have them: each fault is one sentence with the file's name."""

import json
import shutil

import pytest
import torch

from distill import train
from models import catalogue, content, families, weights
from tests import tiny
from tests.test_hub_sd import sd15

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 17170760\n"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    sd15(folder / "made").save_pretrained(folder / "sd")
    return folder / "sd"


@pytest.fixture
def base(pipeline, tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path / "studio"))
    shutil.copytree(pipeline, tmp_path / "sd")
    return tmp_path / "sd"


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
FAULTS = {
    "a pointer of git-lfs": (WEIGHTS, lambda raw: POINTER.encode(), "git-lfs's pointer"),
    "of the text encoder": ("text_encoder/model.safetensors", lambda raw: POINTER.encode(), "git-lfs's pointer"),
    "an empty file": (WEIGHTS, lambda raw: b"", "is empty"),
    "no weights": (WEIGHTS, lambda raw: b"<!doctype html>" * 9, "is no safetensors file"),
    "cut short": (WEIGHTS, lambda raw: raw[:-1000], "is cut short"),
    "a torn header": (WEIGHTS, lambda raw: raw[:8] + b"{]" + raw[10:], "its header can't be read"),
    "an odd header": (WEIGHTS, lambda raw: (9).to_bytes(8, "little") + b'{"a": []}', "its header can't be read"),
    "no JSON": ("model_index.json", lambda raw: b"{", "is no JSON"),
    "no object": ("model_index.json", lambda raw: b"[1]", "must be a JSON object"),
    "an index that is a pointer": ("model_index.json", lambda raw: POINTER.encode(), "git-lfs's pointer"),
    "an empty configuration": ("unet/config.json", lambda raw: b"", "is empty"),
    "no size": ("unet/config.json", lambda raw: b"{}", "has no sample_size"),
    "no blocks": ("vae/config.json", lambda raw: b"{}", "has no block_out_channels"),
    "no schedule": ("scheduler/scheduler_config.json", lambda raw: b"\xff", "is no JSON"),
}


@pytest.mark.parametrize(("name", "spoil", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_base_that_is_not_whole_is_one_sentence_with_the_file(base, capsys, name, spoil, reason):
    path = base / name
    path.write_bytes(spoil(path.read_bytes()))
    assert train.main(["sft", "--run", "x", "--base", str(base), "--dataset", "toys"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"sd/{name}" in error and reason in error, error


@pytest.mark.parametrize(("text", "reason"), [(POINTER, "git-lfs's pointer"), (None, "has no model_index.json")])
def test_a_folder_without_an_index_is_one_sentence(tmp_path, monkeypatch, capsys, text, reason):
    """A path, also one that could be owner/name of the Hub: nothing is fetched."""
    (tmp_path / "models" / "sd").mkdir(parents=True)
    if text:
        (tmp_path / "models" / "sd" / "diffusion_pytorch_model.safetensors").write_text(text)
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path / "models" / "sd"), "models/sd"):
        assert train.main(["sft", "--run", "x", "--base", name, "--dataset", "toys"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "models/sd" in error and reason in error, error


def test_a_base_of_half_precision_names_is_read(base):
    plain = families.load(catalogue.find(str(base))).pipeline.unet
    for path in base.glob("*/*.safetensors"):
        path.rename(path.with_name(f"{path.stem}.fp16.safetensors"))
    assert content.variant(base / "unet") == "fp16"
    row = catalogue.find(str(base))
    assert row.manifest.parameters == sum(w.numel() for w in plain.parameters())
    parts = families.load(row, dtype=torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), parts.pipeline.unet.parameters(), strict=True))
    (base / WEIGHTS).write_bytes((base / "unet" / "diffusion_pytorch_model.fp16.safetensors").read_bytes())
    assert content.variant(base / "unet") is None, "the plain one is read where there is one"
    assert catalogue.find(str(base)).manifest.parameters == row.manifest.parameters


def test_an_id_can_be_any_word_of_torch(tmp_path, monkeypatch):
    """Adapters are named among torch's modules, where `keys` was a KeyError and a dot another name."""
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    home, ids = tiny.build_sd(tmp_path) / "models", ["keys", "forward", "weight", "lora", "default", "a.b", "a·b", "0"]
    facts = json.loads((home / "tiny-hyper" / "manifest.json").read_text())
    for id in ids:
        shutil.copytree(home / "tiny-hyper", home / id)
        (home / id / "manifest.json").write_text(json.dumps(facts | {"id": id}))
    base = families.load(catalogue.get("tiny-sd"))
    loaded = [families.load(catalogue.get(id), base=base) for id in ids]
    assert len({parts.denoiser.adapter for parts in loaded}) == len(ids)


def test_an_id_of_the_hub_or_the_box_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    home = tiny.build(tmp_path) / "models"
    shutil.copytree(home / "tiny-sana", home / "sd15")
    facts = json.loads((home / "sd15" / "manifest.json").read_text())
    (home / "sd15" / "manifest.json").write_text(json.dumps(facts | {"id": "sd15"}))
    assert catalogue.get("sd15").hub and "sd15: this id is taken by a model of the Hub" in catalogue.broken()
    for id, reason in (
        ("sd15", "of the Hub"),
        ("toybox-sana", "of the box"),
        ("a b", "no valid name"),
        ("../x", "no valid name"),
    ):
        with pytest.raises(ValueError, match=reason):
            catalogue.free(id, home / id)
    catalogue.free("tiny-sana", home / "tiny-sana")  # published again


def test_a_model_whose_file_is_empty_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    file = tiny.build(tmp_path) / "models" / "tiny-sana" / "transformer" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="tiny-sana/transformer/diffusion_pytorch_model.safetensors is empty"):
        weights.check(file)

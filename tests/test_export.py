"""What is exported is a folder that plain diffusers loads and that paints the same picture."""

from functools import partial

import numpy as np
import pytest
import torch
from diffusers import SanaPipeline, SanaSprintPipeline

from core.files import sha256
from models import catalogue, families
from models.export import main
from models.generate import generate
from models.recipe import call
from models.request import ImageRequest
from tests import tiny

STUDIO = [partial(tiny.build, half=True)]
pytestmark = pytest.mark.usefixtures("studio")


@pytest.mark.parametrize("id, pipeline", [("tiny-sana", SanaPipeline), ("tiny-sprint", SanaSprintPipeline)])
def test_plain_diffusers_paints_the_same_picture(tmp_path, id, pipeline, capsys):
    home = tmp_path / "exported"
    assert main([id, str(home)]) == 0
    loaded = pipeline.from_pretrained(home)
    loaded.set_progress_bar_config(disable=True)
    row = catalogue.get(id)
    steps, generator = 1 if id == "tiny-sprint" else 4, torch.Generator().manual_seed(3)
    theirs = np.asarray(loaded("a red mushroom", generator=generator, **call(row, steps)).images[0], dtype=int)
    request = ImageRequest("a red mushroom", model=id, seed=3, steps=steps)
    events = list(generate(families.load(row), request))
    mine = np.asarray(events[-1].picture, dtype=int)
    assert np.abs(mine - theirs).max() <= 1 and mine.std() > 5
    assert f"{pipeline.__name__}.from_pretrained" in (home / "README.md").read_text()
    assert not [p for p in home.rglob("*") if p.suffix in (".bin", ".pt", ".ckpt", ".pkl")]
    for name in ("transformer", "vae"):
        file = f"{name}/diffusion_pytorch_model.safetensors"
        assert sha256(home / file) == sha256(catalogue.part(row, name).parent / file)


def test_an_export_replaces_nothing(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    for args, sentence in [
        (["tiny-sprint", str(tmp_path)], "is there already"),
        (["tiny-dcae", str(tmp_path / "new")], "paints nothing"),
        (["nobody", str(tmp_path / "new")], "unknown model 'nobody'; valid: "),
    ]:
        assert main(args) == 2
        assert sentence in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]

"""Students of a Stable Diffusion: published as adapters or as several networks, served as they were trained."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill import declared
from distill.serve import Trained
from models import catalogue, families
from models.export import main
from models.families.sd import UNetDenoiser
from models.generate import generate
from models.generate import main as generate_main
from models.route import Routed, Router
from tests import tiny
from tests.test_sd import PROMPT, ask
from ui import painting
from ui.desk import Desk
from ui.place import Place

STUDIO = [tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture(scope="module")
def base(studio):
    return families.load(catalogue.get("tiny-sd"))


SCHEDULERS = dict.fromkeys(("lcm", "dmd", "disback"), "LCMScheduler") | {"tscd": "TCDScheduler"}
SCHEDULERS |= dict.fromkeys(("cfg_lora", "feedback"), "DDIMScheduler")


@pytest.mark.parametrize("method", SCHEDULERS)
def test_a_student_is_published_as_its_adapter_alone_and_answers_as_it_did(studio, tmp_path, monkeypatch, base, method):
    torch.manual_seed(0)
    module = declared.module(method)
    home = tmp_path / "models" / "mine"
    student = tiny.adapted(UNetDenoiser(copy.deepcopy(base.denoiser.network)))
    was = copy.deepcopy(student)
    manifest = module.serve(Trained({}, module.Config(), catalogue.get("tiny-sd"), student), home)
    assert sorted(p.name for p in home.iterdir()) == ["lora.safetensors", "scheduler"]
    assert manifest["kind"] == "lora" and manifest["lora"] | {"full": 5.0} == {"rank": 4, "alpha": 8, "full": 5.0}
    tiny.manifest("mine", home, base="tiny-sd", **manifest)
    for name in ("tiny-kl", "tiny-sd"):
        (tmp_path / "models" / name).symlink_to(studio / "models" / name)
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    assert catalogue.broken() == []
    parts = families.load(catalogue.get("mine"))
    assert type(parts.scheduler).__name__ == SCHEDULERS[method]
    events = list(generate(parts, ask("mine")))
    assert np.asarray(events[-1].picture).std() > 5 and len(events) == parts.row.manifest.default_steps + 1
    x, t, cond = torch.randn(2, 16, 8, 8), torch.tensor([0.9, 0.3]), parts.text([PROMPT] * 2)
    with torch.no_grad():
        for name, w in was.network.named_parameters():
            w.copy_(w.half() if "lora" in name else w)  # as in the file
        guided = replace(cond, guidance=torch.full((2,), 5.0))  # at which an adapter of cfg_lora is itself
        served, trained, without = (d.predict(x, t, guided) for d in (parts.denoiser, was, base.denoiser))
    assert (served - trained).abs().max() < 1e-5 < 0.01 < (trained - without).abs().max()


@pytest.fixture(scope="module")
def several(studio):
    """Four students, published as a run's are: each paints its own noise."""
    torch.manual_seed(5)
    prompts = families.load(catalogue.get("tiny-sd")).text([f"{a} {b}" for a in tiny.WORDS for b in tiny.WORDS])
    routed = Routed(Router.fit(prompts, 4), [UNetDenoiser(tiny.unet()) for _ in range(4)])
    home = studio / "models" / "tiny-msd"
    module = declared.module("msd")
    manifest = module.serve(Trained({}, module.Config(), catalogue.get("tiny-sd"), routed), home)
    tiny.manifest("tiny-msd", home, base="tiny-kl", method="msd", **manifest)
    return routed


def test_each_prompt_is_painted_by_its_own_student_alone(several):
    """And a student is read when its first prompt comes, not before."""
    parts = families.load(catalogue.get("tiny-msd"))
    texts = [f"{a} {b}" for a in tiny.WORDS[:4] for b in tiny.WORDS[4:]]
    painted = {}
    for text in texts:
        events = list(generate(parts, ask("tiny-msd", prompt=text, steps=1, seed=3, guidance=1.0)))
        painted[text] = events[-1].route, events[0].x0
    assert {route for route, _ in painted.values()} > {0}
    assert parts.denoiser.route(parts.text(texts)) == several.route(parts.text(texts))
    there = {i for i, m in enumerate(parts.denoiser.members) if m.network is not None}
    assert there == {0} | {route for route, _ in painted.values()}
    for text, (route, x0) in painted.items():
        x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(3))
        t = torch.tensor([(catalogue.get("tiny-msd").manifest.timesteps["1"][0] + 1) / 1000])
        alone = several.members[route].float()(x, t, parts.text([text]))
        assert torch.allclose(x0, alone, atol=2e-2 * alone.abs().max().item()), text


def test_the_page_http_and_json_say_which_student_painted(several, tmp_path, capsys):
    """And nothing of the kind for a model that is one."""
    parts = families.load(catalogue.get("tiny-msd"))
    texts = [f"{a} {b}" for a in tiny.WORDS for b in tiny.WORDS]
    text, route = next((t, r) for t, r in zip(texts, parts.denoiser.route(parts.text(texts)), strict=True) if r)
    requests = [ask(model, prompt=text, steps=1, guidance=1.0).to_dict() for model in ("tiny-msd", "tiny-sd")]
    desk = Desk(Place())
    try:
        tab = {"tab": "a" * 32, "owner": "b" * 32, "first": 0, "count": 1}
        [paint] = desk.serve(painting.paint)
        [one], [other] = (paint(tab | {"request": r, "ticket": i})["pictures"] for i, r in enumerate(requests, 1))
        assert one["route"] == route and "route" not in other
        assert [painting.generate(desk, r, "me")[0]["route"] for r in requests] == [route, None]
    finally:
        desk.gallery.close()
    command = [text, "--steps", "1", "--guidance", "1", "--out", str(tmp_path / "a.png"), "--json", "--device", "cpu"]
    rows = []
    for model in ("tiny-msd", "tiny-sd"):
        assert generate_main([*command, "--model", model]) == 0
        rows.append(json.loads(capsys.readouterr().out))
    assert rows[0]["route"] == route and "route" not in rows[1]


def test_students_are_no_pipeline_of_diffusers(several, tmp_path, capsys):
    assert main(["tiny-msd", str(tmp_path / "out")]) == 2
    assert "several students with a router, which no diffusers pipeline supports" in capsys.readouterr().err


def test_one_step_of_hyper_is_told_the_time_that_it_was_trained_to_be_told(studio, tmp_path):
    student = tiny.adapted(UNetDenoiser(tiny.unet()))
    module = declared.module("tscd")
    manifest = module.serve(Trained({}, module.Config(first=0.7), catalogue.get("tiny-sd"), student), tmp_path)
    assert manifest["timesteps"]["1"] == [699] and manifest["timesteps"]["2"] == [999, 499]

"""Stable Diffusion: the loop against plain pipelines, LoRAs that share their base, files that plain diffusers reads."""

import builtins
import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from benchmarks.painting import paint
from core.paths import assets
from distill.methods import autoencoder
from distill.methods.autoencoder import fold, isometry
from distill.publish import history
from distill.serve import Trained
from distill.world import check_latents
from models import adapters, catalogue, families, lora
from models.engine import Engine
from models.export import main
from models.families import sd
from models.families.sd import UNetDenoiser
from models.generate import Image, generate, turn
from models.guidance import Turn
from models.recipe import call
from models.request import ImageRequest
from models.samplers import Step
from models.schedule import VP
from models.stored import branch
from tests import tiny

STUDIO = [tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")

PROMPT = "a red mushroom on a blue ball"


@pytest.fixture(scope="module")
def base(studio):
    return families.load(catalogue.get("tiny-sd"))


def ask(model="tiny-sd", **fields):
    return ImageRequest(**({"prompt": PROMPT, "model": model, "seed": 7} | fields))


def latents(parts, request):
    """x0 and the picture at the end of the loop."""
    events = list(generate(parts, request))
    return [e for e in events if isinstance(e, Step)], np.asarray(events[-1].picture, dtype=int)


def with_scheduler(parts, name, timesteps=None, eta=0.0):
    scheduler = copy.deepcopy(tiny.CONFIGS[name])
    pipeline = copy.copy(parts.pipeline)
    pipeline.scheduler = scheduler
    manifest = replace(parts.row.manifest, scheduler=name, timesteps=timesteps or {}, eta=eta)
    return replace(parts, row=replace(parts.row, manifest=manifest), scheduler=scheduler, pipeline=pipeline)


@pytest.mark.parametrize("guidance, negative", [(3.0, ""), (4.5, "a cube"), (1.0, "")])
@pytest.mark.parametrize(
    "name, timesteps, eta",
    [
        ("DDIMScheduler", None, 0.0),
        ("DDIMScheduler", None, 0.5),
        ("EulerDiscreteScheduler", None, 0.0),
        ("EulerDiscreteScheduler", [999, 749, 499, 249], 0.0),
        ("LCMScheduler", [999, 749, 499, 249], 0.0),
        ("TCDScheduler", None, 0.3),
        ("TCDScheduler", [999, 759, 499, 259], 0.0),
    ],
)
def test_the_loop_is_the_pipeline(base, monkeypatch, name, timesteps, eta, guidance, negative):
    parts = with_scheduler(base, name, timesteps and {"4": timesteps}, eta)
    ends = []
    decoded = parts.vae.decode
    monkeypatch.setattr(parts.vae, "decode", lambda z, **more: ends.append(z) or decoded(z, **more))
    list(generate(parts, ask(steps=4, guidance=guidance, negative=negative)))
    theirs = parts.pipeline(
        PROMPT,
        negative_prompt=negative,
        guidance_scale=guidance,
        eta=eta,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
        height=128,
        width=128,
        **({"timesteps": timesteps} if timesteps else {"num_inference_steps": 4}),
    ).images
    assert theirs.std() > 0.3
    assert (ends[0] - theirs).abs().max() < 1e-4 * max(1, theirs.abs().max())


@pytest.mark.parametrize("name, eta", [("TCDScheduler", 0.3), ("EulerDiscreteScheduler", 0.0), ("LCMScheduler", 0.0)])
def test_many_prompts_are_painted_as_generate_paints_them(base, name, eta):
    """With the manifest's eta, and noise as strong as the scheduler begins with: what is measured is what is served."""
    parts = with_scheduler(base, name, {"4": [999, 759, 499, 259]}, eta)
    prompts, seeds = [PROMPT, "a blue cube"], [7, 8]
    many = paint(parts, prompts, seeds, 4, 3.0).permute(0, 2, 3, 1).numpy().astype(int)
    for prompt, seed, picture in zip(prompts, seeds, many, strict=True):
        one = latents(parts, ask(prompt=prompt, seed=seed, steps=4, guidance=3.0))[1]
        assert np.abs(one - picture).max() <= 1 and picture.std() > 5


def test_ddim_takes_no_timesteps_but_its_own(base):
    parts = with_scheduler(base, "DDIMScheduler", {"2": [999, 499], "4": [999, 600, 300, 100]})
    assert [s.t for s in latents(parts, ask(steps=2))[0]] == pytest.approx([1.0, 0.5])
    with pytest.raises(ValueError, match=r"takes its own timesteps, \[999, 749, 499, 249\], not \[999, 600"):
        latents(parts, ask(steps=4))


@pytest.mark.parametrize("name, eta", [("TCDScheduler", 0.5), ("LCMScheduler", 0.0), ("EulerDiscreteScheduler", 0.0)])
def test_a_run_goes_on_from_a_stored_step(base, name, eta):
    parts = with_scheduler(base, name, eta=eta)
    request = ask(steps=4, seed=8)
    steps, alone = latents(parts, request)
    assert np.array_equal(latents(parts, branch(steps[2], request, 0))[1], alone)
    whole = latents(parts, ask(steps=4, num_images=2))[1]
    assert np.abs(whole - alone).max() <= 1, "a picture of a batch is its seed's"


def test_a_base_takes_a_step_of_its_adapters_run_as_it_takes_its_own(studio):
    """The adapter is out of the weights for that step, and the guidance is the base's: bit for bit; then it is back."""
    crew = families.load_all(["tiny-hyper", "tiny-sd"])
    hyper, base = crew["tiny-hyper"], crew["tiny-sd"]
    assert hyper.denoiser.network is base.denoiser.network
    request = ask("tiny-hyper", steps=4, painters="tiny-sd:0@3.0, tiny-sd:2@1.0")
    events = list(generate(hyper, request, crew))
    steps = [e for e in events if isinstance(e, Step)]
    assert [s.painter for s in steps] == ["tiny-sd", "tiny-hyper"] * 2 and events[-1].calls == 5
    manifest = hyper.row.manifest
    own = with_scheduler(base, "TCDScheduler", manifest.timesteps, manifest.eta)
    mine = latents(own, ask(steps=4, guidance=3.0))[0][0]
    assert torch.equal(mine.x_t, steps[0].x_t) and torch.equal(mine.x0, steps[0].x0)
    alone = latents(hyper, ask("tiny-hyper", steps=4))[0]
    assert not torch.equal(alone[0].x0, steps[0].x0)
    assert turn(base, 3.0).calls == 2 and turn(hyper, 3.0).calls == 1, "no empty prompt is asked of a student"
    plain = Turn(base.denoiser).x0(VP(), steps[2].x_t, torch.tensor([steps[2].t]), base.text([PROMPT]), None)
    student = Turn(hyper.denoiser).x0(VP(), steps[1].x_t, torch.tensor([steps[1].t]), base.text([PROMPT]), None)
    assert torch.equal(plain, steps[2].x0) and torch.equal(student, steps[1].x0)


def test_prompts_are_padded_to_the_model_and_cut_there(base):
    cond = base.text(["a ball", "ball " * 100])
    assert cond.tokens.shape == (2, 32, 384) and cond.mask.all()
    alone, _ = base.pipeline.encode_prompt("a ball", torch.device("cpu"), 1, False)
    assert torch.allclose(cond.tokens[:1], alone, atol=1e-5)


def predict(parts, guidance=None):
    g = torch.Generator().manual_seed(0)
    x, t, cond = torch.randn(2, 16, 8, 8, generator=g), torch.tensor([0.9, 0.3]), parts.text([PROMPT] * 2)
    with torch.no_grad():
        w = None if guidance is None else torch.full((2,), guidance)
        return parts.denoiser.predict(x, t, replace(cond, guidance=w))


def test_loras_share_the_network_and_leave_it_alone(studio):
    base = families.load(catalogue.get("tiny-sd"))
    before = predict(base)
    hyper, cfg = (families.load(catalogue.get(id), base=base) for id in ("tiny-hyper", "tiny-cfg"))
    assert hyper.pipeline.unet is cfg.pipeline.unet is base.pipeline.unet and hyper.vae is base.vae
    assert torch.equal(predict(base), before), "the base is what it was"
    strong = predict(hyper)
    assert (strong - before).abs().max() > 0.01
    assert torch.equal(predict(cfg, 1.0), before), "at guidance 1 the adapter is scaled to 0"
    half, full = predict(cfg, 3.0), predict(cfg, 5.0)
    assert (half - before).abs().max() > 1e-3 and (full - half).abs().max() > 1e-3
    assert torch.equal(predict(hyper), strong) and torch.equal(predict(base), before)
    again = families.load(catalogue.get("tiny-hyper"), base=base)
    assert torch.equal(predict(again), strong), "published anew, it takes the place of the old one"


def test_a_lora_comes_back_from_the_file_by_the_loader_of_diffusers(studio, base, tmp_path):
    """Attention, convolutions and feed-forward layers, alpha other than rank."""
    made = tiny.adapted(UNetDenoiser(tiny.unet()))
    torch.nn.init.normal_(made.network.conv_out.weight)
    lora.save(made.network, "default", tmp_path)
    plain = copy.deepcopy(made.network)
    adapted = lora.layers(plain)
    kinds = {n.rsplit(".", 1)[-1] for n, m in plain.named_modules() if m in adapted}
    assert {"to_q", "conv1", "proj", "time_emb_proj"} <= kinds
    fresh = tiny.unet()
    own = {k.replace(".base_layer", ""): v for k, v in plain.state_dict().items() if "lora_" not in k}
    fresh.load_state_dict(own)
    pipeline = StableDiffusionPipeline(**base.pipeline.components | {"unet": fresh}, requires_safety_checker=False)
    pipeline.load_lora_weights(tmp_path, weight_name=lora.FILE)
    g = torch.Generator().manual_seed(0)
    x, tokens = torch.randn(1, 16, 8, 8, generator=g), torch.randn(1, 32, 384, generator=g)
    with torch.no_grad():
        a, b = (n(x, 500, tokens, return_dict=False)[0] for n in (made.network, fresh))
        pipeline.set_adapters(pipeline.get_active_adapters(), [0.0])
        off = fresh(x, 500, tokens, return_dict=False)[0]
        pipeline.unload_lora_weights()
        base_alone = fresh(x, 500, tokens, return_dict=False)[0]
    assert (a - b).abs().max() < 1e-5 < 0.01 < (a - off).abs().max()
    assert torch.equal(off, base_alone), "scaled to 0"


def test_a_lora_file_that_lost_something_is_refused(studio, base):
    row = catalogue.get("tiny-hyper")
    path = row.folder / lora.FILE
    kept = path.read_bytes()
    tensors = load_file(path)
    name = next(k for k in tensors if "lora_A" in k)
    tensors["unet.nowhere.lora_A.weight"] = tensors[name].clone()
    save_file(tensors, path)
    try:
        with pytest.raises(ValueError, match="damaged"):
            families.load(row, base=base)
        with pytest.raises(ValueError, match="tiny-hyper/lora.safetensors has unet.nowhere.lora_A.weight without"):
            sd.load(row, base=families.load(catalogue.get("tiny-sd")))
    finally:
        path.write_bytes(kept)


def test_the_engine_keeps_one_network_for_base_and_loras(studio):
    engine = Engine("cpu")
    for name in ("tiny-hyper", "tiny-sd", "tiny-cfg", "tiny-hyper"):
        ended = [e for e in engine.generate(ask(name)) if isinstance(e, Image)][-1]
        assert ended.picture.size == (128, 128)
    assert set(engine.loaded()) == {"tiny-sd", "tiny-hyper", "tiny-cfg"}
    assert len({id(p.denoiser.network) for _, p in engine._held.items()}) == 1
    assert list(engine._queues) == ["tiny-sd"], "models that share a network share its queue"
    alone = latents(families.load(catalogue.get("tiny-hyper")), ask("tiny-hyper"))[1]
    assert np.abs(alone - np.asarray(ended.picture, dtype=int)).max() <= 1
    engine.budget = 0
    engine._make_room(catalogue.get("tiny-sd"))
    assert engine.loaded() == [], "who shares a network goes together"


def test_the_lora_that_acts_is_part_of_the_weights(studio):
    """Beside them it would double the time of a step."""
    base = families.load(catalogue.get("tiny-sd"))
    hyper = families.load(catalogue.get("tiny-hyper"), base=base)
    merged, found = predict(hyper), lora.layers(base.pipeline.unet)
    assert found and all(layer.disable_adapters for layer in found), "none is asked beside the weights"
    base.pipeline.unet._hf_hook = None  # as where weights are moved around each call
    hyper.denoiser.adapters.part()
    beside = predict(hyper)
    assert not any(layer.disable_adapters for layer in found)
    hyper.denoiser.adapters.part()
    assert 0 < (merged - beside).abs().max() < 1e-5


def test_an_adapter_that_comes_back_is_not_merged_again(studio, monkeypatch):
    """The weights with it are remembered, as far as they fit; a version that was forgotten is merged anew."""
    base = families.load(catalogue.get("tiny-sd"))
    hyper = families.load(catalogue.get("tiny-hyper"), base=base)
    merges = []
    for kind in {type(layer) for layer in lora.layers(base.pipeline.unet)}:
        honest = kind.get_delta_weight
        monkeypatch.setattr(
            kind, "get_delta_weight", lambda self, name, honest=honest: merges.append(1) or honest(self, name)
        )
    first, plain = predict(hyper), predict(base)
    count = len(merges)
    assert count and torch.equal(predict(hyper), first) and torch.equal(predict(base), plain)
    weaker = replace(hyper, denoiser=hyper.denoiser.weakened(0.5))
    assert not torch.equal(predict(weaker), first) and len(merges) == count, "another strength is one sum"
    assert torch.equal(predict(hyper), first) and len(merges) == count
    monkeypatch.setattr(adapters, "REMEMBERED", 0)
    assert not torch.equal(predict(replace(hyper, denoiser=hyper.denoiser.weakened(0.25))), first)
    once = len(merges)
    assert torch.equal(predict(hyper), first) and len(merges) == once + count


def test_switching_between_models_of_one_base_reads_no_file_and_gives_the_base_its_weights_back(studio, monkeypatch):
    engine, names = Engine("cpu"), ("tiny-hyper", "tiny-cfg", "tiny-sd")
    first = [list(engine.generate(ask(name, steps=1)))[-1].picture for name in names]
    network = engine._held.get("tiny-sd").denoiser.network
    before = {name: w.data_ptr() for name, w in network.named_parameters()}

    def refuse(*args, **kwargs):
        raise AssertionError(f"switching reads {args[:1]}")

    with monkeypatch.context() as patch:
        for place, name in ((builtins, "open"), (io, "open"), (families, "load"), (lora, "safe_open")):
            patch.setattr(place, name, refuse)
        again = [list(engine.generate(ask(name, steps=1)))[-1].picture for name in names]
    assert [a.tobytes() for a in again] == [a.tobytes() for a in first] and len({a.tobytes() for a in again}) == 3
    assert {name: w.data_ptr() for name, w in network.named_parameters()} == before


@pytest.mark.parametrize("id", ["tiny-sd", "tiny-hyper", "tiny-cfg"])
def test_plain_diffusers_paints_what_is_exported(tmp_path, id, capsys):
    home = tmp_path / "exported"
    assert main([id, str(home)]) == 0, capsys.readouterr().err
    loaded = StableDiffusionPipeline.from_pretrained(home, safety_checker=None)
    loaded.set_progress_bar_config(disable=True)
    row = catalogue.get(id)
    theirs = loaded(PROMPT, generator=torch.Generator().manual_seed(7), **call(row, 4)).images[0]
    mine = latents(families.load(row), ask(id, steps=4))[1]
    assert np.abs(mine - np.asarray(theirs, dtype=int)).max() <= 1 and mine.std() > 5
    assert "StableDiffusionPipeline.from_pretrained" in (home / "README.md").read_text()


def worth(vae, z: torch.Tensor) -> torch.Tensor:
    """What the pictures change by, for a small change of each channel [C] of the latents."""
    base, step, found = vae.decode(z).sample, 0.05 * torch.randn(z[:, 0].shape), []
    for c in range(z.shape[1]):
        moved = z.clone()
        moved[:, c] += step
        found.append((vae.decode(moved).sample - base).square().mean().sqrt())
    return torch.stack(found)


def spread(x: torch.Tensor) -> float:
    return float(x.std() / x.mean())


@pytest.mark.parametrize("kind", ["dc", "kl"])
def test_folding_leaves_pictures_alone_and_sizes_channels_by_their_worth(studio, kind):
    """Every channel of dc costs alike; in kl what costs more is larger, and half of the way is gone."""
    torch.manual_seed(0)
    vae = (autoencoder.student(autoencoder.Config(width=4), None) if kind == "dc" else tiny.kl()).eval()
    last = vae.encoder.conv_out
    x = torch.rand(8, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        last.weight[:16] *= torch.linspace(0.5, 2, 16)[:, None, None, None]
        before = vae.decode(autoencoder.encode(vae, x)).sample
        scale = isometry(vae, x)
        assert scale.max() > 1.1 * scale.min(), "nothing to fold"
        fold(vae, scale)
        after = autoencoder.encode(vae, x)
        assert after.square().mean().item() == pytest.approx(1, abs=0.01)
        assert torch.allclose(isometry(vae, x), torch.ones(16), atol=0.02)
        assert torch.allclose(vae.decode(after).sample, before, atol=1e-4)
        cost, deviation = worth(vae, after), after.square().mean((0, 2, 3)).sqrt()
        assert spread(cost if kind == "dc" else cost / deviation) < 0.05
        assert spread(deviation) > 0.1
        if kind == "kl":
            assert torch.allclose(vae.encode(x).latent_dist.sample(), after, atol=1e-5), "its latents have no noise"


def test_a_model_that_was_trained_further_tells_its_whole_past(studio):
    facts = {"method": "sft", "base": "tiny-sd", "run": "more", "command": "python -m distill.train sft --run more"}
    facts |= {"dataset": "toys", "train": {"steps": 4}}
    run = Trained(facts, None, catalogue.get("tiny-sd"), None, samples=64, step=4)
    whole = facts["command"] + " && python -m distill.publish more --id "
    more = history("tiny-sd", run, studio, alone=False)
    assert more["base"] == "tiny-kl" and more["samples_seen"] == 64
    assert more["command"] == "tests/tiny.py && " + whole + "tiny-sd"
    other = history("other", run, studio, alone=False)
    assert other == more | {"base": "tiny-sd", "command": whole + "other"}
    assert history("other", run, assets() / "weights" / "other", False)["command"] == whole + "other --box"
    assert history("new", replace(run, facts=facts | {"base": None}, base=None), studio, False)["base"] is None
    coder = replace(run, facts=facts | {"base": "tiny-kl"}, base=catalogue.get("tiny-kl"))
    sharper = history("my-kl", coder, studio, alone=True)
    early = history("other", replace(run, step=3), studio, alone=False)["command"]
    assert early == f"{facts['command']} --until 3 && python -m distill.publish more --id other"
    assert sharper["base"] is None and sharper["command"] == "tests/tiny.py && " + whole + "my-kl", "it has a past"
    with pytest.raises(ValueError, match="run 'more' was trained on other latents than tiny-sd has now; train it anew"):
        check_latents(facts | {"latents": "0123"}, catalogue.get("tiny-sd"))

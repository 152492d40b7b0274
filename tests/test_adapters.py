"""LoRAs as a set: any number act at once, each as strong and as long as one likes, and leave no trace."""

import json

import numpy as np
import pytest
import torch

from models import catalogue, families, generate, lora_files, lora_import, picture
from models.engine import Engine
from models.generate import Image
from models.guidance import Turn
from models.lora_files import Pair
from models.request import ImageRequest
from models.samplers import Step
from models.schedule import VP
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")
PROMPT = "a red mushroom on a blue ball"
TARGETS = ("to_q", "to_v", "conv1", "proj_in", "timestep_embedder.linear_1")
LORAS = {"one": "tiny-sd", "two": "tiny-sd", "flow": "tiny-sana", "angle": "tiny-sprint"}  # by base


def made(network, seed):
    g, pairs = torch.Generator().manual_seed(seed), {}
    for name, layer in lora_files.places(network).items():
        if name.endswith(TARGETS):
            out, inner, *kernel = lora_files.size(layer)
            down = torch.randn((3, inner, *kernel), generator=g) / 3
            pairs[name] = Pair(down, torch.randn((out, 3, *[1] * len(kernel)), generator=g) / 3, 2.0)
    return pairs


@pytest.fixture(scope="module", autouse=True)
def loras(studio, tmp_path_factory):
    """By id, what was imported: their pairs."""
    out = {}
    for seed, (id, base) in enumerate(LORAS.items()):
        path = tmp_path_factory.mktemp("files") / "a.safetensors"
        out[id] = made(families.load(catalogue.get(base)).denoiser.network, seed)
        lora_files.write(out[id], path, "kohya")
        lora_import.bring(path, base, id)
    return out


def ask(model="tiny-hyper", **fields):
    return ImageRequest(**({"prompt": PROMPT, "model": model, "seed": 7} | fields))


def run(parts, **fields):
    """x0 of every step, and the picture."""
    events = list(generate.generate(parts, ask(parts.row.id, **fields)))
    (ended,) = (e for e in events if isinstance(e, Image))
    return [e for e in events if isinstance(e, Step)], np.asarray(ended.picture, dtype=int)


def weights(parts):
    places = lora_files.places(parts.denoiser.network)
    return {name: layer.get_parameter("weight").detach().clone() for name, layer in places.items()}


def test_two_at_once_are_the_sum_of_their_deltas_and_the_base_comes_back_bit_for_bit(loras):
    base = families.load(catalogue.get("tiny-sd"))
    before, plain = weights(base), run(base, steps=2)[1]
    _, both = run(base, steps=2, loras="one:0.8, two:-0.5")
    moved = weights(base)
    deltas = {n: 0.8 * pair.delta() - 0.5 * loras["two"][n].delta() for n, pair in loras["one"].items()}
    assert deltas and set(deltas) < set(before)
    for name, weight in before.items():
        torch.testing.assert_close(moved[name], weight + deltas.get(name, 0.0), rtol=0, atol=1e-6)
    _, other = run(base, steps=2, loras="two:-0.5, one:0.8")
    assert np.array_equal(both, other) and np.abs(both - plain).max() > 8, "in whatever order they are named"
    assert np.array_equal(run(base, steps=2)[1], plain)
    assert all(torch.equal(weight, before[name]) for name, weight in weights(base).items())


def test_beside_weights_that_have_no_room_they_act_alike(studio):
    inside, beside = (families.load_all(["tiny-hyper"])["tiny-hyper"] for _ in range(2))
    beside.denoiser.network._hf_hook = None  # as where weights are moved around each call
    steps, others = run(inside, steps=4, loras="one:0.8, two:0.5")[0], run(beside, steps=4, loras="one:0.8, two:0.5")[0]
    assert 0 < (steps[0].x0 - others[0].x0).abs().max() < 1e-4
    assert not torch.equal(steps[0].x0, run(inside, steps=4)[0][0].x0)


def test_a_phase_says_at_which_steps_one_acts(studio):
    parts = families.load(catalogue.get("tiny-hyper"))
    plain = parts.denoiser
    for phase, steps in (("structure", {0, 1}), ("detail", {2, 3}), ("all", {0, 1, 2, 3})):
        acts = set()
        for step in run(parts, steps=4, loras=f"one:1@{phase}")[0]:
            x0 = Turn(plain).x0(VP(), step.x_t, torch.tensor([step.t]), parts.text([PROMPT]), None)
            acts |= set() if torch.equal(x0, step.x0) else {step.i}
        assert acts == steps, phase


@pytest.mark.parametrize(("id", "model"), [("flow", "tiny-sprint"), ("angle", "tiny-sana")])
def test_what_was_trained_on_a_sana_acts_on_its_student_and_back(loras, id, model):
    """The guidance embedder is no obstacle: one layer has another name."""
    parts = families.load(catalogue.get(model))
    before, plain = weights(parts), run(parts, steps=2)[1]
    _, moved = run(parts, steps=2, loras=f"{id}:0.5")
    inside = weights(parts)
    names = {parts.denoiser.named(n): pair for n, pair in loras[id].items()}
    assert any("timestep_embedder" in n for n in names) and set(names) <= set(before) != set(loras[id])
    for name, weight in before.items():
        delta = 0.5 * names[name].delta() if name in names else 0.0
        torch.testing.assert_close(inside[name], weight + delta, rtol=0, atol=1e-6)
    assert np.abs(moved - plain).max() > 8 and np.array_equal(run(parts, steps=2)[1], plain)


def test_a_lora_on_a_sana_is_a_model_too(studio):
    parts = families.load_all(["flow", "tiny-sana"])
    assert parts["flow"].denoiser.network is parts["tiny-sana"].denoiser.network
    assert np.array_equal(run(parts["flow"], steps=2)[1], run(parts["tiny-sana"], steps=2, loras="flow:1")[1])


def test_the_engine_serves_them_and_the_picture_says_so(studio):
    engine, request = Engine("cpu"), ask(loras="one:0.8, two:0.5@detail", steps=4)
    ended = [e for e in engine.generate(request) if isinstance(e, Image)][-1]
    png = picture.png_bytes(ended.picture, request)
    assert picture.read(png).request == request
    assert "LoRAs: one:0.8; two:0.5@detail," in picture.open_png(png).info["parameters"]
    assert engine.loaded() == ["tiny-sd", "tiny-hyper"], "they are no models of their own there"


def test_openvino_has_no_network_for_a_set_so_torch_paints_at_once(studio, tmp_path, capsys):
    out = ["--out", str(tmp_path / "a.png"), "--json", "--backend", "openvino", "--model", "tiny-sprint"]
    assert generate.main([PROMPT, *out]) == 0 and generate.main([PROMPT, *out, "--loras", "flow:0.5"]) == 0
    backends = [json.loads(line)["backend"] for line in capsys.readouterr().out.splitlines()]
    assert backends == ["openvino", "openvino and torch"], "the text encoder and the decoder are what they were"


WRONG = {
    "one:1e9": "the strength of one in loras must be -4 to 4, not 1e9",
    "one:nan": "the strength of one in loras must be -4 to 4, not nan",
    "one:much": "the strength of one in loras must be -4 to 4, not much",
    "one:1, one:2": "loras names 'one' twice; give it one strength",
    "one:1@late": "the phase of one in loras is 'late'; valid: all, structure, detail",
    "one:1:2": "loras has 'one:1:2'; each entry must be NAME:STRENGTH or NAME:STRENGTH@PHASE",
    "flow:1": "the LoRA flow was made on tiny-sana, so tiny-hyper can't take it; valid: tiny-cfg, one, two",
    "tiny-sd:1": "the LoRA tiny-sd is a model of its own and no LoRA, so tiny-hyper",
    "none:1": "the LoRA none is not there, so tiny-hyper can't take it",
    ", ".join(f"a{k}" for k in range(9)): "loras names 9; at most 8 act at once",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_one_sentence(text):
    with pytest.raises(ValueError) as e:
        ask(loras=text)
    assert str(e.value).startswith(WRONG[text]) and str(e.value).count("\n") == 0

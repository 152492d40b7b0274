"""LoRAs from elsewhere: every layout is read and written without loss, and what does not fit is one sentence."""

import json
import os

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from core.paths import assets
from models import catalogue, families, lora, lora_files
from models.lora_files import FILE, LAYOUTS, Pair
from tests import tiny
from ui.create import beside
from ui.place import Place

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture(scope="module")
def unet(studio):
    return families.load(catalogue.get("tiny-sd")).pipeline.unet


def made(unet, rank=3, alpha=5.0, seed=0):
    """A LoRA on linear layers and on convolutions, of ranks that differ."""
    g, pairs = torch.Generator().manual_seed(seed), {}
    wanted = ("to_q", "to_out.0", "conv1", "proj_in", "ff.net.2")
    for name, layer in unet.named_modules():
        if name.endswith(wanted) and hasattr(layer, "weight"):
            out, inner, *kernel = layer.weight.shape
            r = rank + len(pairs) % 2
            down = torch.randn((r, inner, *kernel), generator=g) / 9
            pairs[name] = Pair(down, torch.randn((out, r, *[1] * len(kernel)), generator=g) / 9, alpha)
    return pairs


def deltas(pairs):
    return {module: pair.delta() for module, pair in pairs.items()}


def equal(a, b):
    assert a.keys() == b.keys()
    for module in a:
        torch.testing.assert_close(a[module], b[module], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_round_trip_through_each_layout_keeps_every_delta(unet, tmp_path, layout):
    pairs = made(unet)
    assert len({p.rank for p in pairs.values()}) == 2 and {p.down.ndim for p in pairs.values()} == {2, 4}
    lora_files.write(pairs, tmp_path / "a.safetensors", layout)
    again = lora_files.fitted(lora_files.read(tmp_path / "a.safetensors"), unet, "tiny-sd")
    equal(deltas(again), deltas(pairs))
    assert {m: p.alpha for m, p in again.items()} == pytest.approx(dict.fromkeys(pairs, 5.0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_diffusers_makes_of_the_file_is_the_same(unet, tmp_path, layout):
    """Its own loader, or peft's, as the reference."""
    pairs = made(unet, seed=1)
    lora_files.write(pairs, tmp_path / "a.safetensors", layout)
    pipeline = families.load(catalogue.get("tiny-sd")).pipeline
    before = {n: m.weight.detach().clone() for n, m in pipeline.unet.named_modules() if n in pairs}
    if layout == "peft":
        told = json.loads((tmp_path / "adapter_config.json").read_text())
        network = inject_adapter_in_model(LoraConfig(**told), pipeline.unet)
        set_peft_model_state_dict(network, load_file(tmp_path / "a.safetensors"))
        for layer in lora.layers(network):
            layer.merge()
    else:
        pipeline.load_lora_weights(tmp_path, weight_name="a.safetensors", adapter_name="one")
        pipeline.fuse_lora(adapter_names=["one"])
    after = {n: m.weight for n, m in pipeline.unet.named_modules() if n.endswith(".base_layer")}
    moved = {n: after[f"{n}.base_layer"] - before[n] for n in pairs}
    for module, delta in deltas(pairs).items():
        torch.testing.assert_close(moved[module], delta, rtol=1e-4, atol=1e-5)


def test_a_lora_of_the_box_goes_out_and_comes_back(studio, tmp_path, capsys):
    out = tmp_path / "kohya.safetensors"
    assert lora.main(["export", "toybox-hyper", "--layout", "kohya", "--out", str(out)]) == 0
    with safe_open(out, "pt") as f:
        assert all(key.startswith("lora_unet_") for key in f.keys())  # noqa: SIM118
    assert lora.main(["import", str(out), "--base", "toybox-sd", "--id", "my-hyper", "--licence", "CC0"]) == 0
    assert "my-hyper: rank" in capsys.readouterr().out
    row = catalogue.get("my-hyper")
    assert (row.manifest.base, row.manifest.kind, row.manifest.licence) == ("toybox-sd", "lora", "CC0")
    assert row.manifest.scheduler == catalogue.get("toybox-sd").manifest.scheduler
    own = lora_files.read(assets() / "weights" / "toybox-hyper" / FILE)
    equal(deltas(lora_files.read(studio / "models" / "my-hyper" / FILE)), deltas(own))


def put(path, tensors):
    save_file(tensors, path)
    return path


def test_mistakes_are_one_sentence(unet, tmp_path, studio):
    pairs, path = made(unet), tmp_path / "a.safetensors"
    first = next(iter(pairs))
    lora_files.write(pairs, path, "kohya")
    good = load_file(path)
    bad = {
        "also changes a text encoder (lora_te_x.lora_down.weight": good
        | {"lora_te_x.lora_down.weight": torch.zeros(1)},
        "belong to no pair of a LoRA: lora_unet_x.hada_w1_a": good | {"lora_unet_x.hada_w1_a": torch.zeros(1)},
        "is a DoRA (lora_unet_x.dora_scale)": good | {"lora_unet_x.dora_scale": torch.zeros(1)},
        "without": {k: v for k, v in good.items() if not k.endswith("lora_up.weight")},
        "is no LoRA: it has no pairs of matrices, but w": {"w": torch.zeros(2)},
        "holds numbers that are not finite": {k: torch.full_like(v, torch.nan) for k, v in good.items()},
    }
    for sentence, tensors in bad.items():
        with pytest.raises(ValueError) as e:
            lora_files.read(put(path, tensors))
        assert sentence in str(e.value) and "\n" not in str(e.value)
    path.write_bytes(b"PK\x03\x04 a pickle")
    with pytest.raises(ValueError, match="is no safetensors file, so it is not opened"):
        lora_files.read(path)
    with pytest.raises(ValueError, match="tiny-sd has no layer for 1 of its 1: somewhere.to_q"):
        lora_files.fitted({"somewhere.to_q": pairs[first]}, unet, "tiny-sd")
    wide = Pair(torch.zeros(2, 768), torch.zeros(32, 2))
    key = next(n for n, _ in unet.named_modules() if n.endswith("attn2.to_k"))
    with pytest.raises(ValueError, match=r"it does not fit tiny-sd: .* its prompts are those of Stable Diffusion 1.x"):
        lora_files.fitted({key: wide}, unet, "tiny-sd")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--base", "tiny-sd", "--id", "Bad Id"], "must be small letters"),
        (["--base", "tiny-sd", "--id", "tiny-hyper"], "there is a model tiny-hyper already"),
        (["--base", "tiny-hyper", "--id", "new"], "tiny-hyper takes no LoRA from a file; valid: "),
        (["--base", "nobody", "--id", "new"], "unknown model 'nobody'"),
    ],
)
def test_mistakes_of_the_command(unet, tmp_path, capsys, more, sentence):
    lora_files.write(made(unet), tmp_path / "a.safetensors")
    assert lora.main(["import", str(tmp_path / "a.safetensors"), *more]) == 2
    assert sentence in capsys.readouterr().err


def test_what_is_refused_leaves_nothing(unet, tmp_path, studio, capsys):
    before = sorted(p.name for p in (studio / "models").iterdir())
    lora_files.write({"down_blocks.9.to_q": Pair(torch.zeros(2, 8), torch.zeros(8, 2))}, tmp_path / "a.safetensors")
    assert lora.main(["import", str(tmp_path / "a.safetensors"), "--base", "tiny-sd", "--id", "new"]) == 2
    assert "has no layer for 1 of its 1: down_blocks.9.to_q" in capsys.readouterr().err
    assert sorted(p.name for p in (studio / "models").iterdir()) == before


WRONG = {
    "no weights": (lambda path: path.write_bytes(b"none of it"), "a.safetensors"),
    "half a gigabyte": (lambda path: os.truncate(path, 500 * 2**20), "has 500 MiB; a LoRA has at most 400"),
    "another kind": (lambda path: save_file({"x": torch.zeros(2)}, path), "is no LoRA: it has no pairs of matrices"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_is_dropped_on_the_page_and_is_no_lora_is_one_sentence(tmp_path, what):
    make, sentence = WRONG[what]
    (path := tmp_path / "a.safetensors").touch()
    make(path)
    with pytest.raises(ValueError, match=sentence) as e:
        beside.bring(Place(), path, "tiny-sd")
    assert "\n" not in str(e.value)


def test_a_file_that_is_dropped_on_the_page_gets_a_name_that_is_free(unet, tmp_path):
    lora_files.write(made(unet, seed=7), path := tmp_path / "My Style!.safetensors", "kohya")
    assert [beside.bring(Place(), path, model) for model in ("tiny-sd", "tiny-hyper")] == ["my-style", "my-style-2"]
    assert {catalogue.get(id).manifest.base for id in ("my-style", "my-style-2")} == {"tiny-sd"}
    with pytest.raises(
        ValueError, match="^Visitors of a Space can't add models; duplicate the Space or run it at home"
    ):
        beside.bring(Place(space="a/b"), path, "tiny-sd")

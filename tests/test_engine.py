"""Several visitors, one engine: nothing is mixed, nobody overtakes, memory is bounded, a gone visitor blocks nobody."""

import threading
import time

import numpy as np
import pytest
import torch

from models import catalogue, denoiser, openvino
from models.denoiser import pick_device, set_attention
from models.engine import Embeddings, Engine, Waiting, cost
from models.families import sana
from models.generate import Image, Step
from models.picture import png_bytes
from models.request import ImageRequest
from tests import tiny

STUDIO = [tiny.build]
pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture(scope="module")
def engine(studio):
    return Engine("cpu", patience=1.0)


def ask(**fields):
    return ImageRequest(**({"prompt": "a red ball", "model": "tiny-sprint"} | fields))


def pictures(events):
    return [np.asarray(e.picture, dtype=int) for e in events if isinstance(e, Image)]


def test_visitors_at_once_get_their_own_pictures_one_generation_at_a_time(engine):
    """Eight threads; a hook in the network sees every overlap."""
    requests = [ask(prompt=f"a {c} ball", seed=s, steps=2) for c in ("red", "blue") for s in range(4)]
    expected = [pictures(engine.generate(r))[0] for r in requests]
    busy, overlaps, got = [0], [], [None] * len(requests)

    def enter(*_):
        busy[0] += 1
        overlaps.append(busy[0])
        time.sleep(0.002)

    def leave(*_):
        busy[0] -= 1

    network = engine._held.get("tiny-sprint").pipeline.transformer
    hooks = [network.register_forward_pre_hook(enter), network.register_forward_hook(leave)]

    def visit(k):
        got[k] = pictures(engine.generate(requests[k]))[0]

    threads = [threading.Thread(target=visit, args=(k,)) for k in range(len(requests))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    for h in hooks:
        h.remove()
    assert max(overlaps) == 1 and 2 <= len(overlaps) <= 16, "those that wait meanwhile are painted together"
    for a, b in zip(got, expected, strict=True):
        assert np.abs(a - b).max() <= 1
    assert engine.waiting("tiny-sprint") == 0


def test_places_in_the_line(engine):
    first, second, third = engine.generate(ask(steps=2)), engine.generate(ask()), engine.generate(ask())
    assert isinstance(next(first), Step)
    assert next(second) == Waiting(1) and next(third) == Waiting(2)
    assert engine.waiting("tiny-sprint") == 3
    list(first)
    second.close()
    assert [type(e) for e in third] == [Step, Image]
    assert engine.waiting("tiny-sprint") == 0


def test_another_model_is_not_waited_for(engine):
    held = engine.generate(ask(steps=2))
    next(held)
    assert len(pictures(engine.generate(ask(model="tiny-sana", steps=2)))) == 1
    held.close()


def test_a_reader_who_is_gone_loses_the_turn(engine):
    gone = engine.generate(ask(steps=2))
    next(gone)
    assert len(pictures(engine.generate(ask()))) == 1
    with pytest.raises(ValueError, match="the client stopped reading"):
        next(gone)
    slow = engine.generate(ask(steps=2))
    next(slow)
    time.sleep(0.4)
    assert len(pictures(slow)) == 1, "with nobody waiting there is no hurry"


def test_a_run_of_two_networks_waits_for_both_and_keeps_others_off_both(engine):
    """All lines are joined at once, so two such runs cannot each wait for the other."""
    alone = pictures(engine.generate(ask(steps=2, painters="tiny-sana:0")))[0]
    held = engine.generate(ask(model="tiny-sana", steps=2))
    next(held)
    both = engine.generate(ask(steps=2, painters="tiny-sana:0"))
    assert next(both) == Waiting(1) and next(engine.generate(ask(steps=2))) == Waiting(1)
    held.close()
    assert np.array_equal(pictures(both)[0], alone)
    assert {engine.waiting(id) for id in ("tiny-sana", "tiny-sprint")} == {0}


def test_a_failure_gives_way(engine, monkeypatch):
    def fail(*args):
        raise RuntimeError("broken denoiser")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="broken denoiser"):
        patch.setattr(sana.SanaDenoiser, "predict", fail)
        list(engine.generate(ask()))
    assert len(pictures(engine.generate(ask()))) == 1


def test_least_recently_used_goes(studio, monkeypatch):
    size = max(cost(catalogue.get(i)) for i in ("tiny-sprint", "tiny-sana"))
    small = Engine("cpu", memory_gib=size * 1.5)
    list(small.generate(ask()))
    small.warm("tiny-sana")
    assert small.loaded() == ["tiny-sana"]
    running = small.generate(ask(model="tiny-sana", steps=2))
    next(running)
    small.warm("tiny-sprint")
    assert small.loaded() == ["tiny-sana", "tiny-sprint"], "what is in use stays"
    large = Engine("cpu", memory_gib=size * 3)
    for id in ("tiny-sana", "tiny-sprint", "tiny-sana"):
        large.warm(id)
    assert large.loaded() == ["tiny-sprint", "tiny-sana"]
    monkeypatch.setattr(openvino, "missing", lambda: "it is not asked to compile")
    compiling = Engine("cpu", memory_gib=size * 3, backend="auto")
    for id in ("tiny-sana", "tiny-sprint"):
        compiling.warm(id)
    assert compiling.loaded() == ["tiny-sprint"], "each network is there twice"


def test_a_model_published_anew_is_loaded_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tiny.build(tmp_path)))
    engine = Engine("cpu")
    before = pictures(engine.generate(ask()))[0]
    folder = tmp_path / "models" / "tiny-sprint"
    old = catalogue.get("tiny-sprint").manifest
    network = tiny.SanaTransformer2DModel.from_pretrained(folder / "transformer")
    torch.nn.init.normal_(network.proj_out.weight)
    network.save_pretrained(folder / "transformer")
    tiny.manifest("tiny-sprint", folder, **{k: v for k, v in vars(old).items() if k not in ("id", "files")})
    assert np.abs(pictures(engine.generate(ask()))[0] - before).max() > 3


def test_prompts_are_remembered_and_forgotten(engine):
    encoded = []
    parts = engine._held.get("tiny-sprint")
    plain = parts.text.encode

    def encode(texts):
        encoded.append(list(texts))
        return plain(texts)

    memory = Embeddings(encode, size=2)
    a = memory(["A red ball", "a cube on a table"])
    b = memory(["a cube on a table", "a red ball ", "a red ball"])
    assert encoded == [["a red ball", "a cube on a table"]]
    assert torch.equal(a.tokens[0], b.tokens[1]) and torch.equal(a.mask[[1, 0, 0]], b.mask)
    memory(["a tree"])
    memory(["a red ball"])
    assert encoded[1:] == [["a tree"]]
    memory(["a cube on a table"])
    assert encoded[2:] == [["a cube on a table"]]


def test_memory_of_prompts_changes_nothing(engine, studio):
    without = Engine("cpu", embeddings=0)
    request = ask(prompt="a {red|blue} cube on a table", num_images=3)
    list(engine.generate(request))
    for a, b in zip(pictures(engine.generate(request)), pictures(without.generate(request)), strict=True):
        assert np.abs(a - b).max() <= 1


def test_what_is_not_here_is_one_sentence(engine):
    with pytest.raises(ValueError, match="unknown model 'x'; valid: "):
        list(engine.generate(type("R", (), {"model": "x", "models": lambda self: ["x"]})()))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="needs an NVIDIA GPU"):
            list(engine.generate(ImageRequest("a ball", model="sana-sprint-0.6b")))
        assert engine.waiting("sana-sprint-0.6b") == 0
        with pytest.raises(ValueError, match="valid: auto, cpu"):
            pick_device("cuda")
    with pytest.raises(ValueError, match="valid: auto, sdpa, xformers"):
        Engine("cpu", attention="flash")
    with pytest.raises(ValueError, match="CUDA only; valid on this device: auto, sdpa"):
        list(Engine("cpu", attention="xformers").generate(ask()))


def test_xformers_where_it_is_asked_for_on_cuda(monkeypatch):
    """Nothing here touches the device: which kernels there are is decided before."""
    cuda = torch.device("cuda")
    monkeypatch.setattr(denoiser, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="xformers is not installed; valid without it: auto, sdpa"):
        set_attention(tiny.transformer(), "xformers", cuda)
    monkeypatch.setattr(denoiser, "find_spec", lambda name: object())
    assert "xformers does not apply: SANA" in (set_attention(tiny.transformer(), "xformers", cuda, sana.LINEAR) or "")


@pytest.mark.gpu
def test_attention_on_a_gpu():
    network = tiny.transformer().cuda()
    assert set_attention(network, "sdpa", torch.device("cuda")) is None
    try:
        note = set_attention(network, "xformers", torch.device("cuda"), sana.LINEAR)
    except ValueError as e:
        assert "not installed" in str(e)
    else:
        assert "does not apply" in note


def test_a_keystroke_looks_for_its_model_few_times(engine, monkeypatch):
    """Each look reads the folder of every model: the request finds its row once and hands it on."""
    fields = {"prompt": "a blue cube", "model": "tiny-sprint", "num_images": 4}
    list(engine.generate(ImageRequest.from_dict(fields)))
    looks, scan = [], catalogue._scan
    monkeypatch.setattr(catalogue, "_scan", lambda: looks.append(1) or scan())
    request = ImageRequest.from_dict(fields)
    images = [event for event in engine.generate(request.some(1, 2)) if isinstance(event, Image)]
    assert len([png_bytes(event.picture, request.single(1 + event.index)) for event in images]) == 2
    assert len(looks) <= 4, "the menu, the row, the queue, and whether it changed meanwhile"

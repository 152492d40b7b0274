"""Half precision on a CPU: nearly the same pictures, by both back ends, and only where the processor has it."""

from functools import partial

import numpy as np
import pytest
import torch

from core.machine import Processor
from models import catalogue, families, openvino, precision
from models.engine import Engine
from models.generate import Image, generate
from models.request import ImageRequest
from models.restore import fitted
from tests.compiled import converted

MODEL = "tiny-sprint"
ABLE = Processor("a", frozenset({"avx512_bf16"}))


@pytest.fixture(scope="module", autouse=True)
def studio(tmp_path_factory):
    yield from converted(tmp_path_factory.mktemp("studio"), MODEL, "tiny-sd")


@pytest.fixture(autouse=True)
def able(monkeypatch):
    """Every processor computes bfloat16, most of them slowly."""
    monkeypatch.setattr(precision, "processor", lambda: ABLE)


def painted(parts, **fields) -> list[Image]:
    request = ImageRequest("a red ball", model=parts.row.id, num_images=2, **fields)
    return [e for e in generate(parts, request) if isinstance(e, Image)]


def decibels(a: list[Image], b: list[Image]) -> float:
    apart = np.stack([np.asarray(x.picture, float) - np.asarray(y.picture, float) for x, y in zip(a, b, strict=True)])
    return 20 * np.log10(255 / np.sqrt((apart**2).mean() + 1e-9))


@pytest.mark.parametrize("id", [MODEL, "tiny-sd"])
def test_pictures_are_nearly_those_of_single_precision(id):
    plain = families.load(catalogue.get(id))
    single, half = painted(plain), painted(plain, precision="bf16")
    assert 30 < decibels(half, single) < 70  # so little that the eye does not see it, and not nothing
    assert painted(plain)[0].picture.tobytes() == single[0].picture.tobytes()  # nothing of it is left


def test_openvino_computes_it_by_networks_of_its_own():
    row = catalogue.get(MODEL)
    single, fast = families.load(row), families.load(row, backend="openvino", precision="bf16")
    ours = painted(fast, precision="bf16")
    assert {e.backend for e in ours} == {"openvino"}
    assert decibels(ours, painted(single)) > 30
    assert {e.backend for e in painted(fast)} == {"openvino and torch"}  # prompts alone are encoded by either


def test_torch_answers_until_they_are_compiled():
    engine = Engine("cpu", backend="auto")
    request = ImageRequest("a red ball", model=MODEL, precision="bf16")
    run = lambda: [e for e in engine.generate(request) if isinstance(e, Image)]  # noqa: E731
    first = run()
    openvino.settled()
    with engine.crew([MODEL]) as crew:
        made = crew[MODEL].vae.decoder.forward.compiled
        assert {which for _, which in made} == {"f32", "bf16"}
        for compiled in made.values():
            compiled.faster = dict.fromkeys(compiled.faster, True)
    second = run()
    assert second[0].backend.startswith("openvino") and decibels(first, second) > 30


def test_embeddings_are_the_same_in_both(monkeypatch):
    """They are cached by their text alone."""
    engine = Engine("cpu")
    with engine.crew([MODEL]) as crew:
        before = crew[MODEL].text(["a red ball"]).tokens
        list(generate(crew[MODEL], ImageRequest("a blue cube", model=MODEL, precision="bf16")))
        after = partial(crew[MODEL].text, ["a blue cube"])().tokens
    assert before.dtype == after.dtype == torch.float32


def test_a_processor_without_it_refuses_and_a_picture_is_restored_without_it(monkeypatch):
    monkeypatch.setattr(precision, "processor", lambda: Processor("b", frozenset({"avx2"})))
    with pytest.raises(ValueError, match="precision must be f32|valid: f32"):
        ImageRequest("a red ball", model=MODEL, precision="bf16")
    restored = fitted({"prompt": "a red ball", "model": MODEL, "precision": "bf16"})
    assert restored.fields["precision"] == "f32" and "recision left out" in " ".join(restored.notes)


def test_torch_computes_calls_with_more_than_tensors():
    """A control gives a network a tuple of residuals; the call is left to torch, in this precision too."""
    answers = openvino.Answers(torch.nn.Bilinear(2, 2, 2), tuple)
    x = torch.ones(1, 2, dtype=torch.bfloat16)
    with torch.no_grad(), precision.computing("bf16"):
        assert answers.inputs((x, (x, x)), {}) is None
        both = answers.inputs((x, x), {})
    assert both is not None and {v.dtype for v in both.values()} == {torch.float32}

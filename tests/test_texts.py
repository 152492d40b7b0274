"""What trainings read of captions, and how often they meet a picture."""

import numpy as np
import pytest
import torch

from distill.data import cache, often, texts
from distill.draws import Draws
from distill.method import Rows
from models import catalogue, families
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]

CAPTIONS = [["a red cube", "a cube"], ["two big yellow ducks on a pale blue background, from the side"], ["", "red"]]


def part(captions, attributes=None) -> cache.Cached:
    arrays = [np.arange(len(captions))]
    return cache.Cached("toys", arrays, captions, attributes or [{} for _ in captions])


@pytest.mark.parametrize("id", ["tiny-sana", "tiny-sd"])
def test_kept_captions_are_what_the_encoder_says(studio, tmp_path, id):
    """The states of the padding too, where the network sees them."""
    encode = families.load(catalogue.get(id)).text
    kept = texts.texts(part(CAPTIONS), tmp_path, "k", encode)
    kept_states = texts.cond([kept(i, k) for i, row in enumerate(CAPTIONS) for k in range(len(row))])
    true = encode([c for row in CAPTIONS for c in row])
    assert torch.equal(kept_states.mask, true.mask)
    assert torch.allclose(kept_states.tokens, (true.tokens * true.mask[..., None]).half().float(), atol=2e-3)


def test_captions_are_encoded_once_and_again_only_where_there_are_more(studio, tmp_path):
    encoded, encode = [], families.load(catalogue.get("tiny-sana")).text

    def counting(captions):
        encoded.extend(captions)
        return encode(captions)

    first = texts.texts(part(CAPTIONS[:2]), tmp_path, "k", counting)
    again = texts.texts(part(CAPTIONS[:2]), tmp_path, "k", counting)
    assert len(encoded) == 3 and np.array_equal(first(1, 0), again(1, 0))
    more = texts.texts(part(CAPTIONS), tmp_path, "k", counting)
    assert len(encoded) == 8 and len(more(2, 0)) == 2, "begin and end"


def test_a_row_is_drawn_as_often_as_it_weighs():
    plain = part(CAPTIONS, [{"group": "nature"}, {"group": "objects"}, {"relation": "on"}])
    draws = Draws([plain, part(CAPTIONS)], often)(9000, Rows(0, 0, 9000))
    drawn = [i for source, i, _ in draws if source is plain]
    assert 4300 < len(drawn) < 4700
    counts = np.bincount(drawn, minlength=3) / len(drawn)
    assert np.allclose(counts, [5 / 8.5, 1 / 8.5, 2.5 / 8.5], atol=0.03)
    others = np.bincount([i for source, i, _ in draws if source is not plain]) / (9000 - len(drawn))
    assert np.allclose(others, 1 / 3, atol=0.03)

"""Models that are loaded at the same time by several threads, as when a visitor chooses one while the page warms up."""

import threading

import pytest

from models import catalogue, families, weights
from tests import tiny

STUDIO = [tiny.build, tiny.build_sd]
pytestmark = pytest.mark.usefixtures("studio")

ROUNDS = 4


def test_networks_built_at_once_are_those_built_alone():
    """The libraries change torch for all threads meanwhile: adapters came out without their weights, silently."""
    ids = ("tiny-hyper", "tiny-sprint")
    expected = {id: weights.digest(network(families.load(catalogue.get(id)))) for id in ids}
    digests: dict[str, set[str]] = {id: set() for id in ids}

    def load(id: str) -> None:
        for _ in range(ROUNDS):
            digests[id].add(weights.digest(network(families.load(catalogue.get(id)))))

    threads = [threading.Thread(target=load, args=(id,)) for id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == {id: {digest} for id, digest in expected.items()}


def network(parts):
    return parts.denoiser.network

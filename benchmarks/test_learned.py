"""Exact search of learned codes, which repeat: a supervised method maps a class to few codes."""

import numpy as np
import pytest

from benchmarks.peers import World, check_top_k
from pyhash import SHOH
from pyhash.datasets import load_emoji

_N_BITS, _K, _SPLIT, _VIEWS = 64, 10, "pair", ("image_deep", "text")


@pytest.fixture(scope="module")
def learned():
    """Return the codes of the built-in data, learned as a stream, and of the texts of its queries."""
    data = load_emoji()
    model = SHOH(n_bits=_N_BITS, hierarchy=data.hierarchy, seed=0)
    parts = []
    for chunk in data.chunks(2000, 0, split=_SPLIT, views=_VIEWS):
        model.partial_fit(chunk.views, chunk.labels)
        parts.append(model.codes_)
    texts = data.views["text"][data.split(_SPLIT)[1]]
    return np.concatenate(parts), model.encode(texts, modality="text")


def test_learned_top_k(compare, run, learned):
    codes, queries = learned
    database = np.resize(codes, (run.sized(1_000_000), codes.shape[1]))
    queries = queries[: run.sized(200)]
    world = World(database, _N_BITS)
    peers, ours = world.peers(queries, _K), world.ours(queries, _K)
    check_top_k(world, queries, ours.run(queries), peers)
    case = {"codes": len(database), "queries": len(queries), "bits": _N_BITS, "k": _K}
    notes = {"distinct": len(np.unique(database, axis=0)), "learned": len(codes)}
    compare(ours, peers, table="learned", case=case, notes=notes)

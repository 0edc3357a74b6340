"""Recall against time of approximate indexes, and the time of exact search; one thread, 64 bits, the 10 nearest.

A hit counts if it is as near as the true 10th. Indexes of other libraries come from .benchmarks/indexes, where
``make bench-indexes`` puts them; what is missing there is left out.
"""

import pytest

from benchmarks.approximate import KINDS, N_BITS, NEEDED
from benchmarks.layout_pair import N_QUERIES, LayoutPairs

_K = 10
_SETS = sorted({(data, n) for _, data, n in NEEDED}, key=lambda of: (of[1], of[0]))


@pytest.fixture(scope="module")
def worlds(run):
    """The codes of one set at a time: our indexes, and the searches of others by their settings."""
    pairs, held = LayoutPairs(run), {}

    def get(data, n):
        if (data, n) not in held:
            held.clear()
            pair = pairs.get(data, n // 10 if run.quick else n, N_BITS)
            others = {}
            for kind in KINDS.values():
                others.update(_searches(kind, kind.build(pair.codes) if run.quick else kind.kept(data, pair.codes)))
            held[data, n] = pair, others
        return held[data, n]

    return get


def _searches(kind, index):
    """Yield names and functions of queries, for each setting; none if there is no index."""
    for value in kind.values if index is not None else ():
        yield f"{kind.name}, {kind.setting} {value}", lambda queries, v=value: kind.search(index, queries, _K, v)


@pytest.mark.large
@pytest.mark.parametrize("at_once", [1, N_QUERIES])
@pytest.mark.parametrize(("data", "n"), _SETS)
def test_recall_against_time(compare, worlds, data, n, at_once):
    pair, others = worlds(data, n)
    if not others:
        pytest.skip("there are no indexes of other libraries: make bench-indexes builds them")
    pair.choose()
    pair.check(at_once, _search)
    queries = pair.queries[:N_QUERIES]
    kth = _search(pair.scan, queries).distances[:, -1:]
    recall = {name: float((search(queries) <= kth).mean()) for name, search in others.items()}
    compare(
        pair.contestant(at_once, lambda given: _search(pair.chosen, given)),
        {name: pair.contestant(at_once, search) for name, search in others.items()},
        table="curves",
        case={"codes": len(pair.codes), "queries": at_once, "bits": N_BITS, "k": _K, "data": data},
        light=True,
        notes={"recall": {"ours": 1.0, **recall}, **pair.notes()},
    )


def _search(index, queries):
    return index.search(queries, _K, n_threads=1)

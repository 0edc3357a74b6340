"""Points of the charts: throughput by bits, by number of codes, by batch; and the limits of the machine."""

import pytest

from benchmarks.peers import Worlds, check_top_k

_K = 10
_BYTES = 80_000_000  # of all codes, so that one query reads them from memory


@pytest.fixture(scope="module")
def worlds(run):
    return Worlds(run)


def test_roofline(run):
    run.probe_roofline()
    assert run.roofline["bytes_per_second"] > 0
    assert run.roofline["words_per_second"] > 0


def measure(compare, worlds, table, n, n_queries, n_bits, *, usearch=False):
    world, queries = worlds.get(n, n_queries, n_bits, "uniform")
    peers, ours = world.peers(queries, _K, usearch=usearch), world.ours(queries, _K)
    check_top_k(world, queries, ours.run(queries), peers)
    case = {"codes": len(world.database), "queries": len(queries), "bits": n_bits, "k": _K}
    compare(ours, peers, table=table, case=case, light=True, notes=world.notes())


@pytest.mark.parametrize("n_bits", [32, 64, 128, 256, 512])
def test_one_query_by_bits(compare, worlds, n_bits):
    measure(compare, worlds, "by_bits", _BYTES * 8 // n_bits, 1, n_bits)


@pytest.mark.parametrize("n", [1000, 10_000, 100_000, 1_000_000, 10_000_000])
def test_by_number_of_codes(compare, worlds, n):
    measure(compare, worlds, "by_codes", n, 100, 64, usearch=n <= 100_000)


@pytest.mark.parametrize("n_queries", [1, 2, 4, 8, 16, 32, 64])
def test_by_batch(compare, worlds, n_queries):
    measure(compare, worlds, "by_batch", 10_000_000, n_queries, 64)

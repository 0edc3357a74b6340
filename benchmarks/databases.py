"""Searches and syncs of tables in databases, beside CodeIndex: a table in Markdown for docs/howto/vector-databases.md.

Run ``python -m benchmarks.databases 200000 5000000`` in a checkout, on a quiet machine; it needs the extra ``[test]``.
Each search is for the 10 nearest codes of one query, exact, with as many threads as each engine takes by itself. Times
are medians of the wall clock, after one search that is not timed; the engines take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pyhash import CodeIndex, interop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

N_BITS = 64
K = 10
N_SEARCHES = 21
N_CHANGED = 1000


def seconds_of(call, *arguments, **options):
    begin = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - begin


def measure(n, databases, folder):
    """Return for each engine: seconds of a search, of the first sync, of one after a small change, of one in full."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (n + N_CHANGED, N_BITS // 8), dtype=np.uint8)
    index = CodeIndex(N_BITS)
    index.add(codes[:n])
    index.save(folder)
    syncs = {name: [seconds_of(interop.sync, index, each.table())] for name, each in databases.items()}
    index.remove(np.arange(N_CHANGED))
    index.add(codes[n:])
    index.commit()
    for name, each in databases.items():
        syncs[name].append(seconds_of(interop.sync, index, each.table()))
        syncs[name].append(seconds_of(interop.sync, index, each.table(), full=True))
    queries = rng.integers(0, 256, (N_SEARCHES + 1, N_BITS // 8), dtype=np.uint8)
    for name, each in databases.items():
        check(index, name, each, queries[0])
    times = {name: [] for name in ("CodeIndex", *databases)}
    for query in queries[1:]:
        times["CodeIndex"].append(seconds_of(index.search, query[None], K))
        for name, each in databases.items():
            times[name].append(seconds_of(each.search, query, K, N_BITS))
    return {name: [statistics.median(seconds), *syncs.get(name, [])] for name, seconds in times.items()}


def check(index, name, database, query):
    """Raise if the database finds other distances than the index."""
    found = [distance for _, distance in database.search(query, K, N_BITS)]
    expected = index.search(query[None], K).distances[0].tolist()
    if found != expected:
        raise AssertionError(f"{name} finds {found}, CodeIndex {expected}")


def main():
    import databases
    from postgres_server import postgres_server

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="+", help="numbers of codes")
    sizes = parser.parse_args().n
    print("| codes | engine | search | first sync | sync of 2,000 changes | full comparison |")
    print("| -- | -- | -- | -- | -- | -- |")
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder, postgres_server() as where:
            opened = {
                "DuckDB": databases.DuckDB(f"{folder}/items.duckdb"),
                "PostgreSQL": databases.Postgres(where),
                "LanceDB": databases.Lance(f"{folder}/items.lancedb"),
            }
            for name, (search, *syncs) in measure(n, opened, f"{folder}/index").items():
                seconds = [f"{each:.2g} s" for each in syncs] or ["", "", ""]
                milliseconds = f"{float(f'{1e3 * search:.3g}'):,g} ms"
                print(f"| {n:,} | {name} | {milliseconds} | {' | '.join(seconds)} |", flush=True)
            for each in opened.values():
                each.close()


if __name__ == "__main__":
    main()

"""The same codes in an index that chooses its layout and in one that scans, and how the two are timed."""

from itertools import cycle

import numpy as np

from benchmarks.code_sets import make_codes
from benchmarks.timing import Contestant
from pyhash import CodeIndex

N_QUERIES = 192
_SCANNED = 6  # queries one at a time: a scan takes the same time for each


class LayoutPair:
    """Two indexes of the same codes.

    A search is a function of an index and `queries`: packed codes, or what takes their place. Each call gets other
    queries than the one before, so that no part of a table is in a cache because it was read for the same query.
    """

    def __init__(self, data, n, n_bits, layout="auto"):
        self.codes, self.queries = make_codes(data, n, 1000, n_bits)
        options = {} if n_bits == 64 else {"layout_bytes_per_code": 170}
        self.chosen, self.scan = CodeIndex(n_bits, layout=layout, **options), CodeIndex(n_bits, layout="scan")
        for index in (self.chosen, self.scan):
            index.add(self.codes)

    def choose(self):
        """Search for the 10 nearest until the index has built its tables, or does not wait to have searched more.

        An index builds tables once its scans have taken longer than that takes.
        """
        for start in cycle(range(len(self.queries))):
            self.chosen.search(self.queries[start : start + 1], 10, n_threads=1)
            (segment,) = self.chosen.stats()["layouts"]
            if segment["layout"] == "multi-index" or "so far" not in segment["reason"]:
                break

    @property
    def layout(self):
        (segment,) = self.chosen.stats()["layouts"]
        return segment["layout"]

    def notes(self):
        """Return the layout and its memory."""
        tables = self.chosen.stats()["layout_bytes"]["tables"]
        return {"layout": self.layout, "bytes a code": tables / len(self.codes)}

    def check(self, at_once, search):
        """Check that both find the same codes."""
        queries = self.queries[:N_QUERIES]
        expected = search(self.scan, queries)
        found = [search(self.chosen, part) for part in np.split(queries, N_QUERIES // at_once)]
        np.testing.assert_array_equal(np.concatenate([hits.ids for hits in found]), expected.ids)
        np.testing.assert_array_equal(np.concatenate([hits.distances for hits in found]), expected.distances)

    def contestant(self, at_once, call, *, few=False):
        """Return a contestant that calls a function with `at_once` queries; its times are those of one call.

        With `few`, it makes fewer calls a round.
        """
        calls = np.split(self.queries[:N_QUERIES], N_QUERIES // at_once)
        n_calls = max(1, _SCANNED // at_once) if few else len(calls)
        rounds = cycle(np.split(np.arange(len(calls)), len(calls) // n_calls))
        return Contestant(
            lambda given: [call(queries) for queries in given],
            lambda: [calls[number] for number in next(rounds)],
            share=n_calls,
        )

    def contestants(self, at_once, search):
        """Return the index that chooses, and the one that scans."""
        return (
            self.contestant(at_once, lambda queries: search(self.chosen, queries)),
            self.contestant(at_once, lambda queries: search(self.scan, queries), few=len(self.codes) > 100_000),
        )


class LayoutPairs:
    """Pairs by their codes, one in memory at a time: with its layouts, one of ten million codes takes a GiB."""

    def __init__(self, run):
        self._run, self._key, self._held = run, None, None

    def get(self, data, n, n_bits, layout="auto"):
        """Return a pair, smaller in a quick run."""
        key = (data, self._run.sized(n), n_bits, layout)
        if key != self._key:
            self._held = None
            self._key, self._held = key, LayoutPair(*key)
        return self._held

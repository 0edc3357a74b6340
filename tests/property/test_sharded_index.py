"""An index in shards beside one index: whatever happens, they hold and find the same."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pyhash import CodeIndex, codes
from pyhash.distributed import ShardedIndex


class LivingShards(RuleBasedStateMachine):
    """Every call is made to both; what one refuses the other refuses with the same words."""

    ids = st.lists(st.integers(-20, 40), max_size=12, unique=True)
    seeds = st.integers(0, 2**32)

    @initialize(n_bits=st.sampled_from([1, 16, 65]), n_shards=st.sampled_from([1, 2, 7]), seed=seeds)
    def begin(self, n_bits, n_shards, seed):
        self.n_bits, self.rng = n_bits, np.random.default_rng(seed)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.index, self.one = ShardedIndex(self.path / "shards", n_bits=n_bits, n_shards=n_shards), CodeIndex(n_bits)
        self.one.save(self.path / "one")

    def rows(self, n):
        """Few distinct ones, so that there are ties everywhere; with equal and opposite ones."""
        signs = np.where(self.rng.random((n, self.n_bits)) < 0.1, 1, -1)
        signs[: self.rng.integers(0, n + 1)] *= self.rng.choice([-1, 1])
        return codes.pack(signs) if n else np.zeros((0, (self.n_bits + 7) // 8), np.uint8)

    def both(self, method, *arguments, **options):
        """Calls a method of each; returns both results, None where both raise."""
        try:
            expected = getattr(self.one, method)(*arguments, **options)
        except (KeyError, ValueError) as error:
            with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"):
                getattr(self.index, method)(*arguments, **options)
            return None
        return getattr(self.index, method)(*arguments, **options), expected

    def alike(self, method, *arguments, **options):
        results = self.both(method, *arguments, **options)
        if results is not None:
            for name in vars(results[1]):
                np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))

    @rule(ids=ids | st.none(), n=st.integers(0, 12))
    def add(self, ids, n):
        self.both("add", self.rows(n if ids is None else len(ids)), ids)

    @rule(ids=ids)
    def upsert(self, ids):
        self.both("upsert", self.rows(len(ids)), ids)

    @rule(ids=ids, known=st.booleans())
    def remove(self, ids, known):
        self.both("remove", self.one.ids[: len(ids)] if known else ids)

    @rule()
    def compact(self):
        self.both("compact")

    @rule()
    def commit(self):
        self.both("commit")

    @rule(mmap=st.booleans())
    def reopen(self, mmap):
        """Changes that were not committed are gone."""
        self.index.close()
        self.one.close()
        self.index = ShardedIndex(self.path / "shards", mmap=mmap)
        self.one = CodeIndex.open(self.path / "one", mmap=mmap)
        self.index.verify()

    @rule(shard=st.integers(0, 6))
    def lose(self, shard):
        """As where a worker ends: the shard is opened anew, and changed as it was."""
        self.index._placement.give_up({shard} & set(range(self.index.n_shards)))

    @rule(k=st.integers(1, 60), ties=st.sampled_from(["id", "all"]), n=st.integers(0, 20), some=st.none() | ids)
    def search(self, k, ties, n, some):
        options = {"ties": ties, "allowed": some}
        self.alike("search", self.rows(n), k, **options)
        projections = np.round(self.rng.standard_normal((n, self.n_bits)), 1)
        self.alike("search_weighted", projections, k, **options)
        self.alike("search_weighted", projections, radius=self.n_bits / 4, **options)

    @rule(radius=st.integers(0, 70), fraction=st.sampled_from([0, 0.5, 1]))
    def search_some(self, radius, fraction):
        mask = self.rng.random(len(self.one)) < fraction
        self.alike("search_radius", self.rows(3), radius, allowed=mask)
        self.alike("search", self.rows(3), len(mask) + 1, allowed=mask)

    @rule(ids=ids)
    def reconstruct(self, ids):
        results = self.both("reconstruct", ids)
        if results is not None:
            np.testing.assert_array_equal(*results)

    @invariant()
    def they_hold_the_same(self):
        assert len(self.index) == len(self.one)
        np.testing.assert_array_equal(self.index.ids, self.one.ids)
        np.testing.assert_array_equal(self.index.codes, self.one.codes)
        blocks = list(self.index.blocks(7))
        assert [number for ids, _ in blocks for number in ids.tolist()] == self.one.ids.tolist()

    def teardown(self):
        if hasattr(self, "index"):
            self.index.close()
            self.one.close()
            self.folder.cleanup()


TestLivingShards = LivingShards.TestCase
TestLivingShards.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)

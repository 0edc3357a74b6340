"""Sums over samples: those of parts add up to those of all, for everything that models keep."""

import dataclasses

import numpy as np
import pytest

from pyhash.methods.lemon import EmbeddingSums, PairSums
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.feature_sums import FeatureSums, LayerSums, UnlabelledSums
from pyhash.methods.parts.instance_bits import InstanceSums
from pyhash.methods.parts.sums import Sums
from pyhash.methods.seoch import ConceptSums
from pyhash.methods.shoh import Centers

N, D, R, C = 30, 5, 4, 3


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    L = np.eye(C)[rng.integers(0, C, size=N)]
    return rng.standard_normal((N, D)), rng.choice([-1.0, 1.0], size=(N, R)), L, rng.standard_normal((N, R))


def features_of(X, B, L, V, sums=None):
    rows = FeatureRows("image", X, None)
    sums = sums or FeatureSums.empty(D, R, C)
    return sums.add(rows, rows.add_gram(sums.XX), B, L)


def unlabelled_of(X, B, L, V, sums=None):
    return (sums or UnlabelledSums.empty(D)).add(FeatureRows("image", X, None), B[:, 0] > 0, None)


def pairs_of(X, B, L, V, sums=None):
    return (sums or PairSums.empty(R, C)).add(L, L, B)


def embedding_of(X, B, L, V, sums=None):
    sums = sums or EmbeddingSums.empty(R, C, record=True)
    return dataclasses.replace(sums.add(L, L, V, B), pairs=sums.pairs.add(L, L, B))


def layers_of(X, B, L, V, sums=None):
    return (sums or LayerSums.empty(D, [2, C])).add(FeatureRows("image", X, None), [L[:, :2], L])


def instances_of(X, B, L, V, sums=None):
    views = {"image": FeatureRows("image", X, None)}
    return (sums or InstanceSums.empty(C, R, R, views)).add(V, L).add_bits(B, views)


EVERY = [features_of, unlabelled_of, layers_of, pairs_of, embedding_of, instances_of]


def values(sums):
    found = []
    for value in vars(sums).values():
        if isinstance(value, Sums):
            found += values(value)
        elif isinstance(value, list | dict):
            found += value if isinstance(value, list) else value.values()
        else:
            found.append(np.asarray(value))
    return found


@pytest.mark.parametrize("sums_of", EVERY)
def test_sums_of_parts_add_up_to_those_of_all(sums_of, rows):
    first, last = ([array[part] for array in rows] for part in (slice(0, 11), slice(11, N)))
    whole = sums_of(*last, sums=sums_of(*first))
    for together in (sums_of(*first).plus(sums_of(*last)), whole.plus(whole).minus(whole)):
        for found, expected in zip(values(together), values(whole), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    rest = whole.minus(sums_of(*last))
    for found, expected in zip(values(rest), values(sums_of(*first)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sums_of", EVERY)
def test_scaled_sums_are_those_of_samples_that_weigh_less(sums_of, rows):
    whole = sums_of(*rows)
    for found, expected in zip(values(whole.scaled(0.25)), values(whole), strict=True):
        np.testing.assert_array_equal(found, 0.25 * expected)


def test_fields_that_are_no_sums_stay():
    ones = {name: np.ones(2) for name in ("BB", "LB", "LL", "Q", "P")}
    concepts = ConceptSums(**ones, U={"image": np.ones(2)})
    twice = concepts.plus(concepts)
    assert twice.U is concepts.U
    np.testing.assert_array_equal(twice.BB, [2, 2])
    np.testing.assert_array_equal(twice.Q, [1, 1])


def test_lists_and_dicts_of_sums_are_added_entry_by_entry():
    one = np.ones((2, 2))
    centers = Centers([one], [one, 2 * one], [one], [3.0], [1.0], 0.5)
    twice = centers.plus(centers)
    np.testing.assert_array_equal(twice.D[1], 4 * one)
    assert twice.squares == [6.0]
    assert (twice.alpha, twice.mu) == ([1.0], 0.5)
    instances = InstanceSums(one, one, {"image": one, "text": 2 * one})
    np.testing.assert_array_equal(instances.plus(instances).B["text"], 4 * one)


def test_what_one_part_does_not_know_the_whole_does_not_know(rows):
    sums = features_of(*rows)
    unknown = dataclasses.replace(sums, X=None, counts=None)
    for whole in (sums.plus(unknown), unknown.plus(sums), unknown.scaled(0.5)):
        assert whole.X is None
        assert whole.counts is None
        assert whole.XX is not None

"""Instance bits: the space of the first chunk, bits by the definition, and what they retrieve."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import instance_bits as reference
from scipy.sparse import csr_array

from pyhash.methods.parts import instance_bits
from pyhash.methods.parts.feature_maps import UnitLength
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.instance_bits import InstanceSpace, InstanceSums, join_projections, learn_instance_bits
from pyhash.methods.parts.state import Chunk

pytestmark = pytest.mark.usefixtures("one_blas_thread")


def things(rng, n, kinds=("dense", "sparse"), d=6, noise=0.3):
    """Views of n things: dense rows and bags of words, of the same few numbers behind them."""
    behind = rng.standard_normal((n, 4))
    mixing = np.random.default_rng(5)  # the same in every chunk
    views = {}
    for m, kind in enumerate(kinds):
        x = behind @ mixing.standard_normal((4, d + m)) + noise * rng.standard_normal((n, d + m))
        views[f"m{m}"] = x if kind == "dense" else csr_array((x > 0.8) * np.ones_like(x))
    return views


def mapped(views):
    """Rows as a method sees them: bags of words have length 1."""
    return {
        name: FeatureRows(name, x, UnitLength().fit(x) if not isinstance(x, np.ndarray) else None)
        for name, x in views.items()
    }


def chunk_of(views, L=None):
    rows = mapped(views)
    grams = {name: X.add_gram(np.zeros((X.shape[1], X.shape[1]))) for name, X in rows.items()}
    return Chunk(views=rows, labels=[L], sums_before={}, XX=grams, label_sets_before=None)


def dense(rows):
    blocks = {name: [X for _, X in of_modality.blocks()] for name, of_modality in rows.items()}
    return {
        name: np.vstack([X.toarray() if not isinstance(X, np.ndarray) else X for X in parts])
        for name, parts in blocks.items()
    }


def labels_of(rng, n, c, several):
    if not several:
        return np.eye(c)[rng.integers(0, c, n)]
    L = (rng.random((n, c)) < 0.4).astype(float)
    L[~L.any(axis=1), 0] = 1
    return L


@given(
    kinds=st.sampled_from(
        [("dense",), ("sparse",), ("dense", "sparse"), ("dense", "dense", "sparse"), ("sparse", "sparse")]
    ),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    n_bits=st.sampled_from([1, 2, 7, 20]),
    n_classes=st.integers(1, 5),
    several=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_bits_are_those_of_the_definition(kinds, sizes, n_bits, n_classes, several, seed):
    rng = np.random.default_rng(seed)
    first = things(rng, 1 + sizes[0], kinds)
    space = InstanceSpace.fit(chunk_of(first), n_bits, rng)
    k = len(space.rotation)
    sums, expected_sums = (
        InstanceSums.empty(n_classes, k, n_bits, first),
        (np.zeros((n_classes, k)), np.zeros(n_classes)),
    )
    all_bits = []
    for views in (first, *(things(rng, n, kinds) for n in sizes[1:])):
        rows = mapped(views)
        L = labels_of(rng, len(next(iter(dense(rows).values()))), n_classes, several)
        sums, B = learn_instance_bits(space, sums, rows, L)
        expected, expected_sums = reference.bits(dense(rows), space, expected_sums, L)
        assert B.dtype == np.int8
        assert B.shape == (len(L), n_bits)
        # Rounding may turn a projection of nearly 0.
        assert (expected != B).mean() <= 0.01
        all_bits.append(B)
    np.testing.assert_allclose(sums.V, expected_sums[0], atol=1e-8)
    np.testing.assert_array_equal(sums.counts, expected_sums[1])
    for of_modality in sums.B.values():
        np.testing.assert_array_equal(of_modality, np.vstack(all_bits).sum(axis=0))


def test_directions_are_canonical(rng):
    views = things(rng, 200)
    rows = mapped(views)
    space = InstanceSpace.fit(chunk_of(views), 12, rng)
    X, Y = dense(rows).values()
    correlations, left, right = reference.canonical_pair(
        X, Y, instance_bits._DENSE_RIDGE, instance_bits._SPARSE_RIDGE, 6
    )
    for name, W, data in (("m0", left, X), ("m1", right, Y)):
        expected = W * correlations**2 * np.sqrt(2)  # parts of length 1 each, in the place of both together
        found = space.directions[name]
        found = found * np.sign((found * expected).sum(axis=0))
        np.testing.assert_allclose(found, expected, atol=1e-9)
        np.testing.assert_allclose(space.offsets[name], data.mean(axis=0) @ space.directions[name], atol=1e-12)


@pytest.mark.parametrize("n_bits", [1, 6, 7, 40])
def test_columns_of_the_rotation_are_orthonormal_in_groups(rng, n_bits):
    R = InstanceSpace.fit(chunk_of(things(rng, 60)), n_bits, rng).rotation
    assert R.shape == (6, n_bits)
    for first in range(0, n_bits, 6):
        group = R[:, first : first + 6]
        np.testing.assert_allclose(group.T @ group, np.eye(group.shape[1]), atol=1e-12)


def test_the_same_seed_gives_the_same_space():
    views = things(np.random.default_rng(1), 50)
    one, two = (InstanceSpace.fit(chunk_of(views), 9, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.rotation, two.rotation)
    for name in views:
        np.testing.assert_array_equal(one.directions[name], two.directions[name])
    assert list(one.word_signs) == ["m1"]
    np.testing.assert_array_equal(one.word_signs["m1"], two.word_signs["m1"])


def test_columns_that_a_map_adds_later_do_not_count(rng):
    views = things(rng, 80, ("dense", "dense"))
    space = InstanceSpace.fit(chunk_of(views), 8, rng)
    wider = {name: np.hstack([x, rng.standard_normal((80, 3))]) for name, x in views.items()}
    np.testing.assert_allclose(space.embed(mapped(wider)), space.embed(mapped(views)), atol=1e-12)


def test_a_modality_alone_has_an_embedding_near_that_of_both(rng):
    views = things(rng, 300, noise=0.05)
    space = InstanceSpace.fit(chunk_of(views), 8, rng)
    whole = space.embed(mapped(views))
    for name in views:
        part = space.embed(mapped({name: views[name]}))
        assert (part * whole).sum(axis=1).mean() > 0.8


@pytest.mark.parametrize("n", [2, 3])
def test_fewer_rows_than_directions(rng, n):
    views = things(rng, n)
    space = InstanceSpace.fit(chunk_of(views), 5, rng)
    assert len(space.rotation) == n - 1
    _, B = learn_instance_bits(
        space, InstanceSums.empty(2, n - 1, 5, views), mapped(views), np.eye(2)[np.zeros(n, int)]
    )
    assert B.shape == (n, 5)


def test_one_row_is_refused(rng):
    with pytest.raises(ValueError, match=r"^views must have at least 2 rows in the first chunk.*, got 1$"):
        InstanceSpace.fit(chunk_of(things(rng, 1)), 5, rng)


def test_equal_rows_give_finite_bits(rng):
    views = {name: x[[0] * 5] for name, x in things(rng, 5).items()}
    space = InstanceSpace.fit(chunk_of(views), 5, rng)
    assert not space.embed(mapped(views)).any()  # nothing tells them apart
    _, B = learn_instance_bits(
        space, InstanceSums.empty(1, len(space.rotation), 5, views), mapped(views), np.ones((5, 1))
    )
    assert (B[0] == B).all()


def test_the_only_rows_of_a_class_keep_their_directions(rng):
    V = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    L = np.eye(4)
    np.testing.assert_allclose(InstanceSums.empty(4, 4, 1, []).add(V, L).without_class_means(V, L), V, atol=1e-12)
    alike = np.repeat(V[:1], 7, axis=0)
    sums = InstanceSums.empty(1, 4, 1, []).add(alike, np.ones((7, 1)))
    np.testing.assert_allclose(sums.without_class_means(alike, np.ones((7, 1))), alike, atol=1e-12)


def test_sums_of_parts_are_those_of_all(rng):
    V, L, B = rng.standard_normal((20, 3)), labels_of(rng, 20, 4, True), rng.choice(np.array([-1, 1], np.int8), (20, 5))
    x, present = rng.standard_normal((20, 6)), rng.random(20) < 0.5

    def rows(part):
        return {"m0": FeatureRows("m0", x[part], None), "m1": FeatureRows("m1", x[part], None, 0, present[part])}

    whole = InstanceSums.empty(4, 3, 5, ["m0", "m1"]).add(V, L).add_bits(B, rows(slice(None)))
    np.testing.assert_array_equal(whole.B["m0"], B.sum(axis=0))
    np.testing.assert_array_equal(whole.B["m1"], B[present].sum(axis=0))
    parts = InstanceSums.empty(2, 3, 5, ["m0", "m1"]).widened(4)
    for part in (slice(0, 7), slice(7, 20)):
        parts = parts.add(V[part], L[part]).add_bits(B[part], rows(part))
    np.testing.assert_allclose(parts.V, whole.V, atol=1e-12)
    np.testing.assert_allclose(parts.counts, whole.counts, atol=1e-12)
    np.testing.assert_equal(parts.B, whole.B)


# --- one code of class bits and instance bits ---


@given(
    n=st.integers(0, 5),
    r_c=st.integers(1, 9),
    r_i=st.integers(1, 90),
    focus=st.sampled_from([1e-6, 0.02, 0.3, 50.0]),
    size=st.sampled_from([0.0, 1e-3, 0.5, 4.0]),
    seed=st.integers(0, 2**32),
)
def test_joined_projections_weigh_by_focus_and_stay_below_1(n, r_c, r_i, focus, size, seed):
    rng = np.random.default_rng(seed)
    f, g = size * rng.standard_normal((n, r_c)), rng.standard_normal((n, r_i))
    joined = join_projections(f, g, focus)
    expected = np.hstack([f, focus * np.sqrt(40 / r_i) * g])
    assert joined.shape == expected.shape
    assert (np.abs(joined) <= 1).all()
    for row, right in zip(joined, expected, strict=True):
        largest = np.abs(right).max()
        np.testing.assert_allclose(row, right if largest <= 1 else right / largest, rtol=1e-12)
    np.testing.assert_array_equal(joined > 0, expected > 0)


# --- files ---


class Stored:
    """The arrays of a file."""

    def __init__(self, arrays):
        self.arrays = arrays

    def array(self, name, dtype, shape):
        found = self.arrays[name]
        fits = found.ndim == len(shape) and all(a in (None, b) for a, b in zip(shape, found.shape, strict=True))
        if found.dtype != dtype or not fits:
            raise ValueError(f"{name} is of {found.dtype}, {found.shape}")
        return found


def stored_space(rng):
    views = things(rng, 40)
    space = InstanceSpace.fit(chunk_of(views), 10, rng)
    sums, _ = learn_instance_bits(
        space, InstanceSums.empty(3, 6, 10, views), mapped(views), labels_of(rng, 40, 3, False)
    )
    arrays = {}
    fields = space.store(arrays)
    sums.store(arrays)
    return space, sums, views, fields, arrays


def test_a_file_keeps_space_and_sums(rng):
    space, sums, views, fields, arrays = stored_space(rng)
    again = InstanceSpace.restore(json.loads(json.dumps(fields)), Stored(arrays), {"m0": 8, "m1": 7})
    sums_again = InstanceSums.restore(Stored(arrays), 3, 6, 10, ["m0", "m1"])
    L = labels_of(rng, 40, 3, False)
    for one, two in zip(
        learn_instance_bits(space, sums, mapped(views), L),
        learn_instance_bits(again, sums_again, mapped(views), L),
        strict=True,
    ):
        np.testing.assert_equal(
            vars(one) if isinstance(one, InstanceSums) else one, vars(two) if isinstance(two, InstanceSums) else two
        )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("instance.rotation", lambda a: a[:, 1:]),
        ("instance.rotation", lambda a: a[:0]),
        ("instance.rotation", lambda a: a[1:]),
        ("instance.directions.0", lambda a: a[1:]),
        ("instance.directions.1", lambda a: a[:, 1:]),
        ("instance.offsets.1", lambda a: a.astype(np.float32)),
        ("instance.words.1", lambda a: a[1:]),
        ("instance.words.1", lambda a: a * np.int8(2)),
        ("instance.words.1", lambda a: a.astype(np.int16)),
        ("instance.sum.V", lambda a: a[1:]),
        ("instance.sum.counts", lambda a: a[1:]),
        ("instance.sum.B.1", lambda a: a[1:]),
    ],
)
def test_a_damaged_file_is_refused(rng, name, change):
    *_, fields, arrays = stored_space(rng)
    arrays[name] = change(arrays[name])

    def restore():
        InstanceSpace.restore(fields, Stored(arrays), {"m0": 8, "m1": 7})
        InstanceSums.restore(Stored(arrays), 3, 6, 10, ["m0", "m1"])

    with pytest.raises(ValueError, match="instance"):
        restore()


@pytest.mark.parametrize(
    "change",
    [
        {"n_bits": 0},
        {"n_bits": 11},
        {"widths": {"m0": 9, "m1": 7}},
        {"widths": {"m0": 6}},
        {"widths": {"m1": 7, "m0": 6}},
        {"words": ["m2"]},
    ],
)
def test_a_header_that_disagrees_is_refused(rng, change):
    *_, fields, arrays = stored_space(rng)
    with pytest.raises(ValueError, match=r"n_bits|instance|widths"):
        InstanceSpace.restore({**fields, **change}, Stored(arrays), {"m0": 8, "m1": 7})

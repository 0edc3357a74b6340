import numpy as np
import pytest
import scipy.linalg
from reference import scm as reference_scm
from scipy.sparse import csr_array
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from pyhash.methods import CCAITQ, LSH, PCAITQ, CCASign, FeatureSign, PCASign, SCMSeq
from pyhash.methods.parts.orthonormal import nearest_rotation

pytestmark = pytest.mark.usefixtures("one_blas_thread")


def related(rng, n=200, widths=(7, 5, 6), shared=4):
    """Views of a few shared directions, of different strength, with noise."""
    hidden = rng.standard_normal((n, shared)) * np.linspace(2, 0.7, shared)
    return {
        f"m{m}": hidden @ rng.standard_normal((shared, d)) + rng.standard_normal((n, d)) + m
        for m, d in enumerate(widths)
    }


def centred(X):
    return X - X.mean(axis=0)


def unit_columns(W):
    return W / np.linalg.norm(W, axis=0)


def assert_same_up_to_signs(A, B, atol):
    """Columns equal, each up to its sign."""
    turn = np.sign(np.sum(A * B, axis=0))
    np.testing.assert_allclose(A * turn, B, atol=atol)


# --- canonical correlations ---


def test_canonical_directions_of_two_modalities_are_those_of_sklearn(rng):
    views = related(rng, widths=(7, 5))
    model = CCASign(3, ridge=1e-10).fit(views)
    oracle = CCA(n_components=3, scale=False, max_iter=10_000, tol=1e-12).fit(views["m0"], views["m1"])
    for name, scores in zip(views, oracle.transform(views["m0"], views["m1"]), strict=True):
        ours = model.project(views[name], modality=name).astype(float)
        assert_same_up_to_signs(unit_columns(ours), unit_columns(scores), atol=1e-4)


def test_canonical_directions_of_any_number_solve_their_eigenproblem(rng):
    views, ridge = related(rng), 0.3
    X = [centred(x) for x in views.values()]
    C = np.block([[x.T @ y / 200 * (x is not y) for y in X] for x in X])
    D = scipy.linalg.block_diag(
        *(x.T @ x / 200 + ridge * np.mean(np.diag(x.T @ x / 200)) * np.eye(x.shape[1]) for x in X)
    )
    values, vectors = np.linalg.eig(np.linalg.inv(D) @ C)
    expected = vectors.real[:, np.argsort(-values.real)[:4]]
    model = CCASign(4, ridge=ridge).fit(views)
    W = np.vstack([model._state.own[name] for name in views])
    assert_same_up_to_signs(unit_columns(W), unit_columns(expected), atol=1e-9)
    sparse = CCASign(4, ridge=ridge).fit({name: csr_array(x) for name, x in views.items()})
    np.testing.assert_allclose(np.vstack([sparse._state.own[name] for name in views]), W, atol=1e-9)


def test_modalities_agree_on_signs_of_canonical_correlations(rng):
    """Each direction is one over all modalities: their projections correlate, never the other way round."""
    views = related(rng)
    model = CCASign(4).fit(views)
    first, second, third = (model.project(x, modality=name) for name, x in views.items())
    for other in (second, third):
        assert (np.sum(centred(first) * centred(other), axis=0) > 0).all()


def test_one_modality_is_whitened(rng):
    X = related(rng)["m0"]
    model = CCASign(7, ridge=1e-12).fit({"x": X})
    projections = model.project(X, modality="x").astype(float)
    np.testing.assert_allclose(projections.T @ projections / 200, np.eye(7), atol=1e-4)


def test_cca_itq_rotates_all_modalities_alike(rng):
    views = related(rng)
    sign, itq = CCASign(4).fit(views), CCAITQ(4, seed=3).fit(views)
    rotation = np.linalg.lstsq(sign._state.own["m0"], itq._state.own["m0"], rcond=None)[0]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(4), atol=1e-9)
    for name in views:
        np.testing.assert_allclose(sign._state.own[name] @ rotation, itq._state.own[name], atol=1e-9)
    total = sum(x @ sign._state.own[name] for name, x in ((name, centred(x)) for name, x in views.items()))
    for other in (np.eye(4), nearest_rotation(rng.standard_normal((4, 4)))):
        assert loss(total @ rotation) < loss(total @ other)


def loss(V):
    """Return the loss that iterative quantization lowers."""
    return np.sum((np.where(V > 0, 1, -1) - V) ** 2)


# --- one modality ---


def test_principal_directions_are_those_of_sklearn(rng):
    views = related(rng)
    model = PCASign(5).fit(views)
    for name, X in views.items():
        expected = PCA(5).fit_transform(X)
        assert_same_up_to_signs(model.project(X, modality=name).astype(float), expected, atol=1e-4)
    sparse = PCASign(5).fit({name: csr_array(x) for name, x in views.items()})
    np.testing.assert_allclose(sparse._state.own["m0"], model._state.own["m0"], atol=1e-9)


def test_pca_itq_rotates_principal_components_towards_signs(rng):
    X = related(rng)["m0"]
    sign, itq = PCASign(5).fit({"x": X}), PCAITQ(5).fit({"x": X})
    rotation = sign._state.own["x"].T @ itq._state.own["x"]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(5), atol=1e-9)
    assert loss(itq.project(X, modality="x")) < loss(sign.project(X, modality="x"))


def test_feature_signs_are_those_of_the_features_that_vary_most(rng):
    X = rng.standard_normal((100, 6)) * [1, 5, 0.1, 3, 2, 0.2] + [0, 100, 1e4, 0, 7, 0]
    model = FeatureSign(3).fit({"x": X})
    chosen = [1, 3, 4]
    np.testing.assert_allclose(model.project(X, modality="x"), centred(X)[:, chosen], rtol=1e-4, atol=1e-4)
    raw = FeatureSign(3, feature_maps={"x": None}).fit({"x": csr_array(X)})
    np.testing.assert_allclose(raw.project(X, modality="x"), X[:, [1, 2, 4]], rtol=1e-6)


def test_random_hyperplanes_keep_angles(rng):
    """The expected part of bits in which two vectors differ is their angle over pi."""
    X = centred(rng.standard_normal((40, 5)))
    signs = np.sign(LSH(4000, seed=1).fit({"x": X}).project(X, modality="x").astype(float))
    differing = (1 - signs @ signs.T / 4000) / 2
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(differing, np.arccos(np.clip(unit @ unit.T, -1, 1)) / np.pi, atol=0.04)


def test_modalities_get_hyperplanes_of_their_own(rng):
    X = rng.standard_normal((40, 5))
    model = LSH(16).fit({"x": X, "y": X})
    assert np.abs(model._state.own["x"] - model._state.own["y"]).max() > 0.1


# --- SCM-seq ---


def labels_of(views):
    """Several a row, related to the views."""
    first = next(iter(views.values()))
    L = (first[:, :4] > first[:, :4].mean(axis=0) + 0.5).astype(float)
    L[~L.any(axis=1), 0] = 1
    return L


@pytest.mark.parametrize("widths", [(7, 5), (5, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_scm_is_the_loop_over_bits_of_its_equations(widths, seed):
    views = related(np.random.default_rng(seed), widths=widths)
    L = labels_of(views)
    X, T = (centred(x) for x in views.values())
    expected = reference_scm.directions(X, T, L, 6, 1e-6)
    model = SCMSeq(6).fit(views, L)
    turns = []
    for features, W, name in zip((X, T), expected, views, strict=True):
        found = model._state.own[name]
        turns.append(np.sign(np.sum(found * W, axis=0)))
        np.testing.assert_allclose(unit_columns(found) * turns[-1], unit_columns(W), atol=1e-6)
        projections = model.project(views[name], modality=name)
        np.testing.assert_array_equal(projections > 0, features @ (W * turns[-1]) > 0)
    np.testing.assert_array_equal(*turns)  # a bit is turned in both modalities or in none


@pytest.mark.parametrize("widths", [(6,), (7, 5), (7, 5, 6)])
def test_scm_of_any_number_of_modalities_takes_the_top_of_all_pairs(rng, widths):
    views = related(rng, widths=widths)
    L = labels_of(views)
    expected = reference_scm.directions_of_any_number([centred(x) for x in views.values()], L, 5, 1e-6)
    model = SCMSeq(5).fit(views, L)
    for name, W in zip(views, expected, strict=True):
        assert_same_up_to_signs(unit_columns(model._state.own[name]), unit_columns(W), atol=1e-6)


def test_scm_counts_modalities_alike(rng):
    """In whatever order they come: each pair counts."""
    views = related(rng)
    labels = (views["m0"][:, 0] > 0).astype(int)
    model, other = SCMSeq(5).fit(views, labels), SCMSeq(5).fit(dict(reversed(views.items())), labels)
    for name in views:
        assert_same_up_to_signs(model._state.own[name], other._state.own[name], atol=1e-8)

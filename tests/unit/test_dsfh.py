import numpy as np
import pytest
from reference.descent import cosines
from sklearn.cluster import KMeans

from pyhash.methods import DSFH, Centering, dsfh, make_method
from pyhash.methods.dsfh import factor_of_similarity

pytestmark = pytest.mark.usefixtures("one_blas_thread")


def learned(L, name="dsfh", **parameters):
    """Codes of labelled features."""
    features = np.random.default_rng(1).standard_normal((len(L), 30))
    parameters = {"feature_maps": {"image": Centering()}, "n_iter": 3, **parameters}
    return make_method(name, n_bits=8, parameters=parameters).fit({"image": features}, L).codes_


# --- the similarity ---


@pytest.fixture
def labels(rng):
    L = (rng.random((120, 6)) < 0.35).astype(float)
    L[~L.any(axis=1), 0] = 1
    return L


def clusters_of(L, n_clusters, seed=0, normalization="unit"):
    settings = DSFH(n_clusters=n_clusters, normalization=normalization)._settings([])
    factor = factor_of_similarity(settings, L, np.random.default_rng(seed)).toarray()
    return factor[:, : L.shape[1]], factor[:, L.shape[1] :]


@pytest.mark.parametrize("n_clusters", [1, 2, 7, 20])
@pytest.mark.parametrize("seed", range(3))
def test_clusters_partition_label_sets(labels, n_clusters, seed):
    _, C = clusters_of(labels, n_clusters, seed)
    assert np.isin(C, [0, 1]).all()
    np.testing.assert_array_equal(C.sum(axis=1), 1)
    assert 1 <= C.shape[1] <= n_clusters
    assert C.any(axis=0).all()
    equal = (labels[:, None] == labels[None]).all(axis=2)
    assert ((C @ C.T)[equal] == 1).all()  # equal label rows share a cluster
    again = clusters_of(labels, n_clusters, seed)[1]
    np.testing.assert_array_equal(again, C)


@pytest.mark.parametrize("more", [0, 1, 300])
def test_as_many_clusters_as_label_sets_are_one_for_each(labels, more):
    distinct = len(np.unique(labels, axis=0))
    _, C = clusters_of(labels, distinct + more)
    assert C.shape[1] == distinct
    np.testing.assert_array_equal(C @ C.T, (labels[:, None] == labels[None]).all(axis=2))


def test_clusters_are_about_as_tight_as_those_of_sklearn(labels):
    Y, C = clusters_of(labels, 6)
    within = sum(np.sum((Y[C[:, k] == 1] - Y[C[:, k] == 1].mean(axis=0)) ** 2) for k in range(C.shape[1]))
    assert within < 1.3 * KMeans(6, n_init=5, random_state=0).fit(Y).inertia_


def test_the_similarity_counts_cosines_or_shared_labels(labels):
    Y, _ = clusters_of(labels, 5)
    np.testing.assert_allclose(Y @ Y.T, cosines(labels, labels), atol=1e-12)
    raw, none = clusters_of(labels, 0, normalization="none")
    np.testing.assert_array_equal(raw, labels)
    assert none.shape == (120, 0)


@pytest.mark.parametrize("gamma", [0.1, 1.0, 9.0])
def test_gamma_weighs_the_clusters(labels, gamma):
    """Eq. 3."""
    Y, C = clusters_of(labels, 5)
    factor = factor_of_similarity(
        DSFH(n_clusters=5, gamma=gamma)._settings([]), labels, np.random.default_rng(0)
    ).toarray()
    np.testing.assert_allclose(factor @ factor.T, Y @ Y.T + gamma * C @ C.T, atol=1e-12)


# --- variants ---


def test_the_variant_of_clusters_alone_sees_no_shared_labels(labels):
    """With as many clusters as label sets, any labels with the same sets give the same codes."""
    _, sets = np.unique(labels, axis=0, return_inverse=True)
    one_label_each = np.eye(sets.max() + 1)[sets.reshape(-1)]
    of_clusters = learned(labels, "dsfh/clusters-only")
    np.testing.assert_array_equal(of_clusters, learned(one_label_each, "dsfh/clusters-only"))
    assert (learned(labels) != learned(one_label_each)).any()


def test_the_variant_of_labels_alone_has_no_clusters(labels):
    of_labels = learned(labels, "dsfh/labels-only")
    np.testing.assert_array_equal(of_labels, learned(labels, gamma=0))
    np.testing.assert_array_equal(of_labels, learned(labels, "dsfh/labels-only", gamma=7.0))
    assert (of_labels != learned(labels)).any()


def test_alpha_of_0_lets_the_features_alone_shape_the_embedding(labels, monkeypatch):
    """H_m is the best for K_m W_m: it depends on S no more. B is the sign of S sum H_m still."""
    seen, update_H = [], dsfh.update_H

    def noted(KW, *others):
        seen.append((KW, update_H(KW, *others)))
        return seen[-1][1]

    monkeypatch.setattr(dsfh, "update_H", noted)
    learned(labels, alpha=0)
    assert len(seen) == 3
    for KW, H in seen:
        left, _, right = np.linalg.svd(KW - KW.mean(axis=0), full_matrices=False)
        np.testing.assert_allclose(H, np.sqrt(len(KW)) * left @ right, atol=1e-6)


@pytest.mark.parametrize("nothing", [{"n_clusters": 0}, {"gamma": 0.0}])
def test_some_similarity_must_be_left(labels, nothing):
    with pytest.raises(ValueError, match="n_clusters and gamma must be > 0 where instance_level is False"):
        DSFH(8, instance_level=False, **nothing).fit({"image": labels}, labels)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"gamma": -1.0}, ValueError, "gamma must be a finite number >= 0, got -1"),
        ({"alpha": -1e-9}, ValueError, "alpha must be a finite number >= 0, got -1e-09"),
        ({"instance_level": 1}, TypeError, "instance_level must be a bool, got 1"),
    ],
)
def test_parameters_out_of_range(labels, parameters, error, message):
    with pytest.raises(error, match=message):
        DSFH(8, **parameters).fit({"image": labels}, labels)

import numpy as np
import pytest

from pyhash.codes import unpack
from pyhash.methods import SEOCH, make_method, seoch
from pyhash.methods.parts.label_sets import LabelSets

pytestmark = pytest.mark.usefixtures("one_blas_thread")

R = 8


@pytest.fixture
def data(rng):
    """Two chunks of related views and labels."""
    L = (rng.random((80, 6)) < 0.35).astype(float)
    L[~L.any(axis=1), 0] = 1
    views = {name: L @ rng.standard_normal((6, d)) + rng.standard_normal((80, d)) for name, d in (("a", 9), ("b", 12))}
    return [({name: x[rows] for name, x in views.items()}, L[rows]) for rows in (slice(0, 50), slice(50, 80))]


def learned(data, name="seoch", **parameters):
    """A model that learned the chunks, and the codes of all rows."""
    model, codes = make_method(name, n_bits=R, parameters={"n_concepts": 5, **parameters}), []
    for views, L in data:
        codes.append(model.partial_fit(views, L).codes_)
    return model, np.concatenate(codes)


# --- variants: what each leaves out ---


def test_without_labels_only_which_samples_share_one_counts(data):
    """Labels in another order share as before; Q and P, which map them, tell nothing."""
    permuted = [(views, L[:, ::-1]) for views, L in data]
    np.testing.assert_array_equal(learned(data, "seoch/no-labels")[1], learned(permuted, "seoch/no-labels")[1])
    assert (learned(data)[1] != learned(permuted)[1]).any()


def test_without_labels_and_similarity_no_label_counts(data):
    other = [(views, 1 - L + np.eye(6)[0] * L.all(axis=1, keepdims=True)) for views, L in data]
    parameters = {"lambda_1": 0.0, "beta": 0.0}
    codes = learned(data, **parameters)[1]
    np.testing.assert_array_equal(codes, learned(other, **parameters)[1])
    assert len(np.unique(codes, axis=0)) > 1


def test_without_features_codes_do_not_depend_on_them(data, rng):
    noise = [({name: rng.standard_normal(x.shape) for name, x in views.items()}, L) for views, L in data]
    model, codes = learned(data, "seoch/no-features")
    np.testing.assert_array_equal(codes, learned(noise, "seoch/no-features")[1])
    assert (learned(data)[1] != learned(noise)[1]).any()
    # Queries are encoded all the same, by ridge regression with alpha.
    B = unpack(codes, R).astype(float)
    X = np.concatenate([views["a"] for views, _ in data])
    W = np.linalg.solve(X.T @ X + 0.8 * np.eye(9), X.T @ B)
    np.testing.assert_allclose(model.project(X, modality="a"), X @ W, atol=1e-5)


def test_one_modality_may_have_no_weight(data, rng):
    noise = [({**views, "b": rng.standard_normal(views["b"].shape)}, L) for views, L in data]
    weights = {"lambda_m": {"a": 1.0, "b": 0.0}}
    np.testing.assert_array_equal(learned(data, **weights)[1], learned(noise, **weights)[1])


def test_without_similarity_earlier_codes_do_not_pull(data, monkeypatch):
    expected = learned(data, "seoch/no-similarity")[1]
    similar = LabelSets.codes_of_similar
    monkeypatch.setattr(LabelSets, "codes_of_similar", lambda *arguments: -7 * similar(*arguments))
    np.testing.assert_array_equal(learned(data, "seoch/no-similarity")[1], expected)
    assert (learned(data, lambda_1=0.0)[1] != expected).any()


@pytest.mark.parametrize("solver", ["relaxed", "signed", "dcc"])
@pytest.mark.parametrize("n_concepts", [2, 20])
def test_the_labels_alone_give_codes(data, solver, n_concepts):
    """Also where fewer concepts than bits, or fewer classes, leave the system of equations singular."""
    codes = learned(data, lambda_m=0.0, beta=0.0, solver=solver, n_concepts=n_concepts)[1]
    assert len(np.unique(codes, axis=0)) > 1


def test_restart_draws_concepts_and_projections_at_every_chunk(data, monkeypatch):
    drawn, start = [], seoch.random_start

    def noted(*arguments):
        drawn.append(start(*arguments))
        return drawn[-1]

    monkeypatch.setattr(seoch, "random_start", noted)
    began = []
    problem = seoch.problem_of_B
    monkeypatch.setattr(seoch, "problem_of_B", lambda *arguments: began.append(arguments[2:4]) or problem(*arguments))
    learned(data, "seoch/paper", n_iter=2)
    assert len(drawn) == 3  # one when the model begins, and one a chunk
    for (Q, P, U), (used_Q, used_P) in zip(drawn[1:], began[::2], strict=True):
        np.testing.assert_array_equal(used_Q, Q)
        np.testing.assert_array_equal(used_P, P)
        assert all((of_modality != 0).all() for of_modality in U.values())
    assert (drawn[1][0] != drawn[2][0]).all()
    drawn.clear()
    learned(data)
    assert len(drawn) == 1


def test_some_term_must_tell_the_first_codes(data):
    views, L = data[0]
    with pytest.raises(ValueError, match=r"lambda_1 and lambda_m must not all be 0: nothing else determines"):
        SEOCH(R, lambda_1=0, lambda_m={"a": 0, "b": 0}).partial_fit(views, L)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"alpha": 0}, ValueError, "alpha must be a finite number > 0, got 0.0: without a ridge"),
        ({"lambda_1": -1}, ValueError, "lambda_1 must be a finite number >= 0, got -1"),
        ({"lambda_m": {"a": 1, "b": -1}}, ValueError, r"lambda_m\['b'\] must be a finite number >= 0, got -1"),
        ({"restart": 1}, TypeError, "restart must be a bool, got 1"),
        ({"solver": "exact"}, ValueError, "solver must be one of"),
    ],
)
def test_parameters_out_of_range(data, parameters, error, message):
    views, L = data[0]
    with pytest.raises(error, match=message):
        SEOCH(R, **parameters).partial_fit(views, L)

"""Feature maps, and methods that learn one modality, as transformers of scikit-learn."""

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from pyhash import NotFittedError, codes, load
from pyhash.methods import (
    LSH,
    PCAITQ,
    Centering,
    FeatureMap,
    FeatureSign,
    PCASign,
    RBFAnchors,
    Standardizing,
    UnitLength,
)
from pyhash.methods.unimodal import UnimodalMethod

pytestmark = pytest.mark.usefixtures("one_blas_thread")

MAPS = [Centering(), Standardizing(), UnitLength(), RBFAnchors(5), RBFAnchors(5, width="mean_distance", centered=True)]
# One bit, where bits are directions: some checks have a single feature.
METHODS = [LSH(16), PCASign(1), PCAITQ(1, n_iter=3), FeatureSign(1)]
ALL = [*MAPS, *METHODS]

WRONG_TYPES = "what is not of a real dtype is a TypeError everywhere in pyhash"
FAILURES = {
    "check_complex_data": WRONG_TYPES,
    "check_dtype_object": WRONG_TYPES,
    "check_estimators_nan_inf": "messages show values as numpy prints them, nan instead of NaN",
}
FAILURES_OF_METHODS = {
    **FAILURES,
    "check_fit_score_takes_y": "the second argument of fit is called labels, as that of every method",
}
# Not among those of check_estimator.
FURTHER_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_n_features_in",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.fixture(params=ALL, ids=repr)
def estimator(request):
    return clone(request.param)


@pytest.fixture(params=METHODS, ids=repr)
def method(request):
    return clone(request.param)


@pytest.fixture
def X(rng):
    return rng.standard_normal((40, 4)) + np.arange(4)


def frame(X, names="abcd"):
    return pd.DataFrame(X, columns=list(names), index=np.arange(len(X)) + 100)


def test_every_map_and_every_method_of_one_modality_is_checked():
    assert {type(each) for each in MAPS} == set(FeatureMap.__subclasses__()) & set(map(type, ALL))
    assert {type(each) for each in METHODS} == set(UnimodalMethod.__subclasses__())


def test_the_checks_of_scikit_learn_pass(estimator):
    expected = FAILURES if isinstance(estimator, FeatureMap) else FAILURES_OF_METHODS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not inherit from `sklearn.base.BaseEstimator`")
        results = check_estimator(estimator, expected_failed_checks=expected, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] == "xfail"}
    assert failed == expected.keys()  # none of them passes
    assert sum(result["status"] == "passed" for result in results) >= 40


@pytest.mark.parametrize("check", FURTHER_CHECKS)
def test_further_checks_of_scikit_learn_pass(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(estimator_checks, check)(type(estimator).__name__, estimator)


def test_scikit_learn_is_loaded_for_its_tags_alone():
    code = """
import sys
import numpy as np
from pyhash import LSH, Centering
X = np.eye(3)
Centering().fit_transform(X), LSH(8).set_output(transform="default").fit_transform(X)
print("sklearn" in sys.modules)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False"]


# --- what an array alone is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, csr_array, frame, np.ndarray.tolist])
def test_an_array_alone_is_one_modality(method, X, form):
    labels = np.arange(len(X))  # ignored
    alone = clone(method).fit(form(X), labels)
    named = clone(method).fit({"x": X})
    assert alone.modalities_ == {"x": 4}
    assert alone.n_features_in_ == named.n_features_in_ == 4
    np.testing.assert_array_equal(alone.codes_, named.codes_)
    assert alone.fingerprint == named.fingerprint


def test_bits_are_those_of_the_codes(method, X, rng):
    X[3] = -X[2]
    unseen = np.vstack([X[:5], -X[:1], np.zeros((1, 4)), 1e6 * rng.standard_normal((3, 4))])
    model = clone(method).fit({"image": X})  # any name
    bits = model.transform(unseen)
    assert bits.dtype == np.uint8
    assert bits.shape == (10, model.n_bits)
    packed = model.encode(unseen, modality="image")
    np.testing.assert_array_equal(codes.pack(bits), packed)
    np.testing.assert_array_equal(codes.unpack(packed, model.n_bits) > 0, bits == 1)


def test_several_modalities_have_no_transform(method, X):
    model = method.fit({"image": X, "text": X})
    check_is_fitted(model)
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(ValueError, match=r"one modality, and this \w+ learned 'image', 'text': call encode"):
        model.transform(X)
    assert model.fit(X).transform(X).shape == (40, model.n_bits)


def test_errors_leave_a_method_unchanged(method, X):
    model = method.fit(frame(X))
    before = model.codes_
    for wrong, error, message in (
        (X[:, 0], ValueError, r"X must have shape \(n, n_features\), got \(40,\)"),
        (X[:, :0], ValueError, "X must have columns, got 0"),
        (X[:0], ValueError, "views must have at least one row, got none"),
        (5, TypeError, "views must be a mapping of modality names to features, got int"),
        ("rows", TypeError, "X must be an array of rows, got str"),
    ):
        with pytest.raises(error, match=message):
            model.fit(wrong)
        assert model.codes_ is before
        assert list(model.feature_names_in_) == list("abcd")


def test_before_fit(estimator, X):
    for ask in (estimator.transform, lambda X: estimator.get_feature_names_out()):
        with pytest.raises(NotFittedError, match=f"this {type(estimator).__name__} has not been fitted yet"):
            ask(X)
    assert not hasattr(estimator, "n_features_in_")
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(estimator)


# --- names and forms of outputs ---------------------------------------------------------------------------------------


def test_names_of_columns(X):
    given = frame(X)
    for each in (Centering(), Standardizing(), UnitLength()):
        assert list(clone(each).fit(given).get_feature_names_out()) == list("abcd")
        assert list(clone(each).fit(X).get_feature_names_out()) == ["x0", "x1", "x2", "x3"]
        assert list(clone(each).fit(X).get_feature_names_out(list("efgh"))) == list("efgh")
    assert list(RBFAnchors(2).fit(given).get_feature_names_out()) == ["rbfanchors0", "rbfanchors1"]
    assert list(LSH(3).fit(given).get_feature_names_out()) == ["lsh0", "lsh1", "lsh2"]


def test_columns_of_other_names_are_refused(estimator, X):
    estimator.fit(frame(X))
    with pytest.raises(ValueError, match="Feature names unseen at fit time:\n- e\nFeature names seen at fit time"):
        estimator.transform(frame(X, "abce"))
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        estimator.transform(frame(X, "abdc"))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        estimator.transform(X)
    estimator.fit(X)
    assert not hasattr(estimator, "feature_names_in_")
    with pytest.raises(ValueError, match=r"X has 3 features, but \w+ is expecting 4 features as input"):
        estimator.transform(X[:, :3])
    with pytest.warns(UserWarning, match=r"X has feature names, but \w+ was fitted without"):
        estimator.transform(frame(X))


def test_data_frames_come_out(estimator, X):
    plain = estimator.fit(X).transform(X)
    given = frame(X)
    made = clone(estimator).set_output(transform="pandas").fit_transform(given)
    assert isinstance(made, pd.DataFrame)
    assert list(made.index) == list(given.index)
    np.testing.assert_array_equal(made.to_numpy(), plain)
    made = (
        clone(estimator)
        .set_output(transform="polars")
        .fit(pl.DataFrame(X, list("abcd")))
        .transform(pl.DataFrame(X, list("abcd")))
    )
    assert isinstance(made, pl.DataFrame)
    np.testing.assert_array_equal(made.to_numpy(), plain)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(estimator.transform(X), pd.DataFrame)
        assert isinstance(clone(estimator).set_output(transform="default").fit_transform(X), np.ndarray)
    kept = clone(estimator.set_output(transform="pandas")).set_output()
    assert isinstance(kept.fit_transform(X), pd.DataFrame)
    with pytest.raises(ValueError, match="transform must be one of 'default', 'pandas', 'polars', got 'numpy'"):
        estimator.set_output(transform="numpy")


def test_sparse_rows_are_no_data_frame(X):
    unit = UnitLength().fit(csr_array(X)).set_output(transform="pandas")
    with pytest.raises(ValueError, match="X must be dense for pandas output, which has no sparse columns"):
        unit.transform(csr_array(X))


def test_a_loaded_model_transforms(method, X, tmp_path):
    model = method.fit(frame(X))
    model.save(tmp_path / "model")
    twin = load(tmp_path / "model")
    assert twin.n_features_in_ == 4
    np.testing.assert_array_equal(twin.transform(X), model.transform(frame(X)))


# --- scikit-learn's own estimators around them ------------------------------------------------------------------------


@pytest.fixture
def classes(rng):
    """Rows of four classes, and their labels."""
    y = np.arange(200) % 4
    return 3 * np.eye(6)[y] + rng.standard_normal((200, 6)), y


def test_a_pipeline_learns_and_is_searched_over(classes):
    X, y = classes
    pipeline = make_pipeline(StandardScaler(), RBFAnchors(40, centered=True), PCAITQ(16), LogisticRegression())
    grid = {"rbfanchors__n_anchors": [20, 60], "pcaitq__n_bits": [2, 12]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X[:150], y[:150])
    assert search.best_params_["pcaitq__n_bits"] == 12
    assert search.score(X[150:], y[150:]) > 0.7
    best = search.best_estimator_
    for twin in (copy.deepcopy(best), pickle.loads(pickle.dumps(best))):
        np.testing.assert_array_equal(twin.predict_proba(X), best.predict_proba(X))
    assert "RBFAnchors" in repr(best)


def test_columns_have_maps_of_their_own(X):
    given = frame(X)
    columns = ColumnTransformer([("left", LSH(8), ["a", "b"]), ("right", UnitLength(), ["c", "d"])])
    made = columns.set_output(transform="pandas").fit_transform(given)
    assert list(made.columns[:2]) == ["left__lsh0", "left__lsh1"]
    assert list(made.columns[8:]) == ["right__c", "right__d"]
    np.testing.assert_array_equal(made.to_numpy()[:, :8], LSH(8).fit_transform(X[:, :2]))
    np.testing.assert_allclose(made.to_numpy()[:, 8:], UnitLength().fit_transform(X[:, 2:]), rtol=1e-15)

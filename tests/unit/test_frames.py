import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import coo_array, csr_array, issparse

import pyhash
from pyhash._inputs.checks import as_array, as_rows
from pyhash.datasets import make_hierarchical, make_multilabel
from pyhash.evaluation import mean_average_precision


def pandas_frame(array):
    """With an index that is not the order of the rows, and repeated names of columns."""
    return pd.DataFrame(array, index=np.arange(len(array))[::-1], columns=["f"] * array.shape[1])


def polars_frame(array):
    return pl.DataFrame(array, schema=[f"f{j}" for j in range(array.shape[1])], orient="row")


def sparse_frame(array):
    return pandas_frame(array).astype(pd.SparseDtype(array.dtype, array.dtype.type(0)))


def pandas_series(array):
    return pd.Series(array, index=np.arange(len(array))[::-1])


def polars_series(array):
    return pl.Series(array)


FRAMES = pytest.mark.parametrize("frame", [pandas_frame, polars_frame, sparse_frame])


@FRAMES
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.uint8, np.bool_])
def test_rows_go_by_position_and_keep_their_dtype(frame, dtype, rng):
    array = (rng.standard_normal((7, 3)) * 3).astype(dtype)
    rows = as_rows("X", frame(array))
    assert isinstance(rows, csr_array if frame is sparse_frame else np.ndarray)
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows.toarray() if frame is sparse_frame else rows, array)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2, 0], "b": [0.5, 0, 4]}),
        pd.DataFrame({"a": [1, 2, 0], "b": pd.array([0.5, 0, 4], dtype="Float32")}),
        pd.DataFrame({"a": pd.array([1, 2, 0], dtype="int8[pyarrow]"), "b": pd.arrays.SparseArray([0.5, 0, 4])}),
        pd.DataFrame({"a": pd.arrays.SparseArray([1, 2, 0]), "b": pd.arrays.SparseArray([0.5, 0, 4], fill_value=0)}),
        pl.DataFrame({"a": [1, 2, 0], "b": [0.5, 0, 4]}),
    ],
)
def test_mixed_columns_become_float64(frame):
    rows = as_rows("X", frame)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows.toarray() if isinstance(rows, csr_array) else rows, [[1, 0.5], [2, 0], [0, 4]])


def test_sparse_columns_of_numbers_and_truth_values():
    columns = {"a": [True, False], "b": [0.5, 0.0], "c": [0, 3]}
    frame = pd.DataFrame({k: pd.arrays.SparseArray(v, fill_value=type(v[0])(0)) for k, v in columns.items()})
    rows = as_rows("X", frame)
    assert isinstance(rows, csr_array)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows.toarray(), [[1, 0.5, 0], [0, 0, 3]])


@pytest.mark.parametrize("dtype", ["int64", "Int64", "int64[pyarrow]", "Sparse[int]", "boolean"])
def test_series_of_every_kind(dtype):
    values = as_array("labels", pd.Series([1, 0, 1], dtype=dtype))
    assert values.dtype == (np.bool_ if dtype == "boolean" else np.int64)
    assert values.tolist() == [1, 0, 1]
    assert as_array("labels", pl.Series([3, 0], dtype=pl.UInt16)).dtype == np.uint16


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (
            pd.DataFrame({"a": [1], "b": ["x"], "c": ["y"]}),
            TypeError,
            r"X must hold real .* dtype (str|object) in column 'b'",
        ),
        (pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}), TypeError, "got dtype datetime64.* in column 't'"),
        (pd.DataFrame({"a": [1 + 1j]}), TypeError, "X must hold real numbers, got dtype complex128 in column 'a'"),
        (
            pd.Series(["x", "y"], dtype="category"),
            TypeError,
            r"got dtype category; \.cat\.codes of it are class indices",
        ),
        (
            pd.DataFrame({"a": pd.array([1, None, None], dtype="Int64")}),
            ValueError,
            "X must have no missing values, got one in row 1 in column 'a'",
        ),
        (
            pd.Series([1.5, None], dtype="double[pyarrow]"),
            ValueError,
            "X must have no missing values, got one in row 1$",
        ),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0.0])}), ValueError, "fill value is 0, got nan in column 'a'"),
        (pd.DataFrame({"a": pd.arrays.SparseArray(["x"])}), TypeError, "X must hold real .* in column 'a'"),
        (pl.DataFrame({"a": [1], "b": ["x"]}), TypeError, "X must hold real numbers, got dtype String in column 'b'"),
        (pl.DataFrame({"a": [[1, 2]]}), TypeError, r"X must hold real numbers, got dtype List\(Int64\) in column 'a'"),
        (pl.DataFrame({"a": [Decimal(1)]}), TypeError, "X must hold real numbers, got dtype Decimal"),
        (pl.DataFrame({"a": [1, None]}), ValueError, "X must have no missing values, got one in row 1 in column 'a'"),
        (pl.Series([None, 1.5]), ValueError, "X must have no missing values, got one in row 0$"),
        (
            pl.DataFrame({"a": [1]}).lazy(),
            TypeError,
            r"X must be a DataFrame, got a LazyFrame; call \.collect\(\) on it",
        ),
    ],
)
def test_columns_that_are_no_numbers_are_refused(frame, error, message):
    with pytest.raises(error, match=message):
        as_rows("X", frame)


@pytest.mark.parametrize("frame", [pandas_frame, polars_frame])
def test_nan_is_refused_with_its_place(frame):
    array = np.ones((6, 2))
    array[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"views\['x'\] must be finite, got nan in row 4, column 1"):
        pyhash.SHOH(8).partial_fit({"x": frame(array)}, np.zeros(6, int))


def test_sparse_columns_are_no_dense_array():
    with pytest.raises(TypeError, match=r"X must be a dense array, got sparse columns; call \.sparse\.to_dense\(\)"):
        as_array("X", sparse_frame(np.eye(3)))


@FRAMES
@pytest.mark.parametrize("series", [pandas_series, polars_series])
def test_learning_from_frames(frame, series):
    data = make_hierarchical(300, n_features={"image": 6, "text": 9}, seed=4)
    image, text = data.views["image"], (data.views["text"] > 0.5).astype(np.float32)
    fine = data.labels["level2"]
    plain = pyhash.SHOH(16, hierarchy=data.hierarchy).partial_fit({"image": image, "text": text}, fine)
    model = pyhash.SHOH(16, hierarchy=data.hierarchy)
    model.partial_fit({"image": frame(image), "text": frame(text)}, series(fine))
    np.testing.assert_array_equal(model.codes_, plain.codes_)
    for name, x in (("image", image), ("text", text)):
        # A sparse product may add in another order.
        np.testing.assert_allclose(
            model.project(frame(x), modality=name), plain.project(x, modality=name), rtol=1e-5, atol=1e-5
        )
    model.partial_fit({"image": frame(image[:50]), "text": frame(text[:50])}, series(fine[:50]))
    assert model.codes_.shape == (50, 2)
    with pytest.raises(ValueError, match=r"X must have shape \(n, 6\), got \(300, 9\)"):
        model.project(frame(text), modality="image")


@FRAMES
def test_label_matrices_as_frames(frame):
    data = make_multilabel(200, n_classes=12, mean_labels=1.2, n_features={"a": 4, "b": 3}, seed=1)
    labels = data.labels["classes"]
    plain = pyhash.SHOH(8).fit(data.views, labels, progress=False)
    model = pyhash.SHOH(8).fit(data.views, frame(labels), progress=False)
    np.testing.assert_array_equal(model.codes_, plain.codes_)
    codes = model.codes_
    expected = mean_average_precision(codes[:20], codes, labels[:20], labels)
    of_frames = mean_average_precision(codes[:20], codes, frame(labels[:20]), frame(labels))
    assert 0 < of_frames.value < 1
    assert of_frames.value == expected.value


@pytest.mark.parametrize(("frame", "series"), [(pandas_frame, pandas_series), (polars_frame, polars_series)])
def test_codes_projections_and_classes_as_frames(frame, series):
    data = make_hierarchical(200, n_features={"a": 4}, seed=1)
    fine = data.labels["level2"]
    model = pyhash.SHOH(16).fit(data.views, fine, progress=False)
    codes, projections = model.codes_, model.project(data.views["a"], modality="a")
    for queries, metric in ((codes, "hamming"), (projections, "weighted_hamming")):
        expected = mean_average_precision(queries[:30], codes, fine[:30], fine, metric=metric)
        of_frames = mean_average_precision(
            frame(queries[:30]), frame(codes), series(fine[:30]), series(fine), metric=metric
        )
        assert of_frames.value == expected.value
    index = pyhash.CodeIndex(16)
    ids = np.arange(200) * 3
    index.add(frame(codes), ids=series(ids))
    np.testing.assert_array_equal(index.search(frame(codes[:5]), k=1).distances, np.zeros((5, 1)))
    assert set(index.ids) == set(ids)


@pytest.mark.parametrize("form", [csr_array, coo_array, sparse_frame])
def test_a_metric_function_takes_sparse_features(form, rng):
    features = rng.random((40, 6)) * (rng.random((40, 6)) < 0.5)
    kinds = rng.integers(0, 3, 40)

    def dot(queries, database):
        products = queries @ database.T
        return -(products.toarray() if issparse(products) else products)

    expected = mean_average_precision(features[:9], features, kinds[:9], kinds, metric=dot)
    found = mean_average_precision(form(features[:9]), form(features), kinds[:9], kinds, metric=dot)
    assert found.value == pytest.approx(expected.value)


def test_neither_library_is_imported_for_arrays():
    code = (
        "import sys, numpy as np, pyhash; pyhash.SHOH(8).fit({'a': np.eye(4)}, [0, 1, 0, 1], progress=False); "
        "print([m for m in ('pandas', 'polars') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


# --- tensors of torch ---


def tensors(array):
    """The same values in forms that ``numpy.asarray`` refuses, by name."""
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(array)
    return {
        "needs a gradient": tensor.clone().requires_grad_(),
        "bfloat16": tensor.bfloat16(),
        "both": tensor.bfloat16().requires_grad_(),
        "a result": tensor.clone().requires_grad_() * 1,
        "list of rows": list(tensor.clone().requires_grad_()),
        "view": torch.stack([tensor, tensor], dim=-1)[..., 1],
    }


def test_tensors_are_taken_as_arrays():
    array = np.arange(12, dtype=np.float32).reshape(4, 3)  # exact in bfloat16
    for name, tensor in tensors(array).items():
        for convert in (as_array, as_rows):
            converted = convert("x", tensor)
            assert converted.dtype == np.float32, name
            np.testing.assert_array_equal(converted, array)
    torch = pytest.importorskip("torch")
    assert as_array("x", torch.tensor([1, 2])).dtype == np.int64
    assert as_array("x", torch.tensor([1.0], dtype=torch.float64)).dtype == np.float64


def test_tensors_within_lists_are_taken_wherever_they_are():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(4.0).requires_grad_()
    expected = [[0, 0, 0, 0], [0, 1, 2, 3]]
    for value in ([[0.0] * 4, tensor], ([0.0] * 4, [*tensor]), [[0.0] * 4, [0.0, *tensor[1:].bfloat16()]]):
        np.testing.assert_array_equal(as_array("x", value), expected)
    np.testing.assert_array_equal(as_array("x", [[[*tensor]], [[*tensor]]]), [[expected[1]]] * 2)
    with pytest.raises(TypeError, match="x must be a dense tensor, got one of layout"):
        as_array("x", [[0.0], torch.eye(2).to_sparse()])


def test_tensors_that_no_array_can_be_made_of_are_refused_by_name():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x must be a dense tensor, got one of layout torch.sparse_coo; call"):
        as_array("x", torch.eye(2).to_sparse())
    with pytest.raises(TypeError, match=r"x must be a tensor of values that numpy has, got torch\.float32"):
        as_array("x", torch.ones(2, device="meta"))


def test_tensors_go_through_a_model_the_search_and_the_score():
    torch = pytest.importorskip("torch")
    data = make_hierarchical(60, n_classes=(2, 4), n_features={"image": 8, "text": 8})
    rounded = {name: torch.from_numpy(x).bfloat16() for name, x in data.views.items()}
    labels = data.labels["level2"]
    expected = pyhash.LEMON(8).fit({name: x.float().numpy() for name, x in rounded.items()}, labels)
    model = pyhash.LEMON(8).fit({name: x.requires_grad_() for name, x in rounded.items()}, torch.from_numpy(labels))
    np.testing.assert_array_equal(model.codes_, expected.codes_)
    projections = torch.from_numpy(model.project(rounded["text"], modality="text")).requires_grad_()
    packed = pyhash.codes.pack(projections)
    np.testing.assert_array_equal(packed, model.encode(rounded["text"], modality="text"))
    hits = pyhash.search.weighted_top_k(projections, torch.from_numpy(np.array(model.codes_)), 3)
    assert hits.ids.shape == (60, 3)
    score = mean_average_precision(
        projections, torch.from_numpy(np.array(model.codes_)), torch.from_numpy(labels), labels,
        metric="weighted_hamming", n_bits=8,
    )  # fmt: skip
    assert score.value > 0.5

"""Encoders of shallow methods as ONNX files, run by onnxruntime."""

import functools
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.sparse import csr_array
from sklearn.preprocessing import StandardScaler

import pyhash
from pyhash import BOCH, LEMON, LSH, SHOH, NotFittedError, codes
from pyhash.datasets import make_hierarchical, make_multilabel
from pyhash.deep.base import DeepMethod
from pyhash.methods import FeatureMap, RBFAnchors, Standardizing, UnitLength
from pyhash.methods.parts import onnx_graph
from pyhash.methods.parts.encoder_trial import EncoderTrial
from pyhash.methods.registry import METHODS, method_class

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(360, n_classes=(3, 6), n_features={"image": 24, "text": 30}, seed=2)
LABELS = DATA.labels["level2"]
LEARNED, UNSEEN = slice(240), slice(240, None)
PARAMETERS = {
    "shoh": {"hierarchy": DATA.hierarchy},
    "seoch": {"n_concepts": 8},
    "dsfh": {"n_iter": 5},
    "cca-itq": {"n_iter": 10},
    "pca-itq": {"n_iter": 10},
}
SHALLOW = {name: method_class(name) for name in METHODS if not issubclass(method_class(name), DeepMethod)}
SUPERVISED = [name for name, method in SHALLOW.items() if method.is_supervised]
MAPS = [
    None,
    pyhash.Centering(),
    Standardizing(),
    UnitLength(),
    RBFAnchors(40),
    RBFAnchors(40, width="mean_distance", centered=True),
    RBFAnchors(40, width=3.0),
]
# The fraction of rows with equal codes: the others have expected codes that are zero within rounding.
LEAST_EQUAL = {"bits": 1, "posterior": 0.99, "bayes": 1}
# Whether bits are equal is asked where projections are farther from 0 than rounding moves them.
ROUNDING = {"bits": 1e-7, "posterior": 1e-3}


@functools.cache
def fitted(name, n_bits=20, encoder="bits"):
    method, parameters = SHALLOW[name], dict(PARAMETERS.get(name, {}))
    if method.is_supervised:
        parameters["encoder"] = encoder
    views = {name: x[LEARNED] for name, x in DATA.views.items()}
    return method(n_bits, **parameters).fit(views, *([LABELS[LEARNED]] if method.is_supervised else []))


def extremes(X):
    """Rows not learned, and such as no data has: zeros, a single feature, opposite ones, very large and small ones."""
    d = X.shape[1]
    rows = [X, np.zeros((2, d)), np.eye(d)[:3], -X[:3], 1e4 * X[:3], 1e-30 * X[:3], np.full((1, d), 7.5)]
    return np.concatenate(rows).astype(np.float32)


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def run(session, x):
    """Outputs by name."""
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x}), strict=True))


def equal_rows(model, path, modality, *samples, dtype=np.float32):
    """Return the fraction of rows with equal codes; for each sample of rows, the file gives what the model gives."""
    model.export_onnx(path, modality=modality, dtype=np.dtype(dtype).name)
    session = session_of(path)
    return min(_equal_rows(model, session, modality, x, dtype) for x in samples)


def _equal_rows(model, session, modality, x, dtype):
    found = run(session, x.astype(dtype))
    expected, packed = model.project(x, modality=modality), model.encode(x, modality=modality)
    assert list(found) == ["projections", "codes"]
    assert found["projections"].dtype == np.float32
    assert found["codes"].dtype == np.uint8
    assert found["codes"].shape == packed.shape
    np.testing.assert_array_equal(found["codes"], codes.pack(found["projections"]))  # of its own, to the last bit
    is_equal = (found["codes"] == packed).all(axis=1)
    tolerance = 2e-3 if model.encoders_[modality] == "posterior" else 1e-5 * np.abs(expected).max(initial=1)
    np.testing.assert_allclose(found["projections"][is_equal], expected[is_equal], rtol=2e-4, atol=tolerance)
    if model.encoders_[modality] in ROUNDING:
        bits, expected_bits = (codes.unpack(each, expected.shape[1]) for each in (found["codes"], packed))
        largest = np.abs(expected).max(axis=1, keepdims=True, initial=0)
        clear = np.abs(expected) > ROUNDING[model.encoders_[modality]] * largest
        np.testing.assert_array_equal(bits[clear], expected_bits[clear])
    return is_equal.mean() if len(x) else 1.0


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("name", SHALLOW)
def test_every_method_has_the_codes_of_its_file(name, modality, tmp_path):
    model = fitted(name)
    x = extremes(DATA.views[modality][UNSEEN])
    assert equal_rows(model, tmp_path / "encoder.onnx", modality, x, x[:0], x[:1]) == 1


@pytest.mark.parametrize("encoder", ["posterior", "bayes"])
@pytest.mark.parametrize("name", SUPERVISED)
def test_every_encoder_has_the_codes_of_its_file(name, encoder, tmp_path):
    model, X = fitted(name, 13, encoder), DATA.views["image"]
    samples = extremes(X[UNSEEN]), X[:0], X[:1]
    assert equal_rows(model, tmp_path / "encoder.onnx", "image", *samples) >= LEAST_EQUAL[encoder]


@pytest.mark.parametrize("feature_map", MAPS, ids=repr)
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_every_map_is_in_the_file(feature_map, form, tmp_path):
    X = DATA.views["text"] * (np.random.default_rng(0).random(DATA.views["text"].shape) < 0.3)
    model = LEMON(20, feature_maps={"text": feature_map}).fit({"text": form(X[LEARNED])}, LABELS[LEARNED])
    assert equal_rows(model, tmp_path / "encoder.onnx", "text", extremes(X[UNSEEN])) == 1


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes"])
def test_a_map_that_grew_and_naive_bayes_are_in_the_file(form, encoder, tmp_path):
    counts = np.random.default_rng(0).poisson(np.clip(DATA.views["text"] + 1, 0.05, None)).astype(float)
    model = BOCH(24, decay=0.1, encoder=encoder)
    for chunk in (slice(80), slice(80, 160), slice(160, 240)):
        model.partial_fit({"image": DATA.views["image"][chunk], "text": form(counts[chunk])}, LABELS[chunk])
    for modality, X in (("image", DATA.views["image"]), ("text", counts)):
        assert equal_rows(model, tmp_path / "a.onnx", modality, extremes(X[UNSEEN])) >= LEAST_EQUAL[encoder]
    if encoder == "bayes" and form is csr_array:
        assert model._state.label_posterior("text")._scores.share > 0  # of naive Bayes


@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes"])
@pytest.mark.parametrize("focus", [0.02, 5.0])
def test_instance_bits_are_in_the_file(encoder, focus, tmp_path):
    views = {name: x[LEARNED] for name, x in DATA.views.items()}
    model = BOCH(24, class_bits=10, encoder=encoder, focus=focus).fit(views, LABELS[LEARNED], chunk_size=120)
    x = extremes(DATA.views["text"][UNSEEN])
    assert equal_rows(model, tmp_path / "encoder.onnx", "text", x) >= LEAST_EQUAL[encoder]


@pytest.mark.parametrize("encoder", ["posterior", "bayes"])
@pytest.mark.parametrize("method", [BOCH, LEMON, SHOH])
@pytest.mark.parametrize("n_bits", [1, 33])
def test_codes_of_many_label_sets_are_in_the_file(method, encoder, n_bits, tmp_path):
    data = make_multilabel(400, n_classes=7, n_features={"a": 20}, seed=1)
    L = next(iter(data.labels.values()))
    model = method(n_bits, encoder=encoder).fit({"a": data.views["a"][:300]}, L[:300])
    assert len(model._state.label_sets.counts) > 30
    assert equal_rows(model, tmp_path / "encoder.onnx", "a", extremes(data.views["a"][300:])) >= LEAST_EQUAL[encoder]


@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes"])
def test_one_class_has_one_code(encoder, tmp_path):
    X = DATA.views["image"]
    model = BOCH(9, encoder=encoder).fit({"image": X[LEARNED]}, np.zeros(240, int))
    assert equal_rows(model, tmp_path / "encoder.onnx", "image", X[UNSEEN]) == 1


@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes"])
def test_a_file_holds_the_encoder_that_auto_chose(encoder, tmp_path, monkeypatch):
    model = fitted("lemon", 16, "auto")
    monkeypatch.setattr(EncoderTrial, "choice", lambda self, *modalities: encoder)
    assert equal_rows(model, tmp_path / "encoder.onnx", "text", DATA.views["text"][UNSEEN]) >= LEAST_EQUAL[encoder]
    assert properties_of(tmp_path / "encoder.onnx")["pyhash.encoder"] == encoder


def test_rows_of_float64_keep_their_values(tmp_path):
    X = DATA.views["text"].astype(np.float64) * 1e-9 + 1  # which float32 rounds to 1 and little else
    model = LSH(20).fit({"text": X})
    assert equal_rows(model, tmp_path / "encoder.onnx", "text", X, dtype=np.float64) == 1
    model.export_onnx(tmp_path / "encoder.onnx", modality="text")
    rounded = run(session_of(tmp_path / "encoder.onnx"), X.astype(np.float32))["codes"]
    np.testing.assert_array_equal(rounded, model.encode(X.astype(np.float32), modality="text"))


# --- what a file says, and what is refused ----------------------------------------------------------------------------


def properties_of(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def shape_of(value):
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_param or dim.dim_value for dim in dims]


@pytest.mark.parametrize("encoder", ["bits", "bayes"])
def test_a_file_says_what_it_is(encoder, tmp_path):
    path, model = tmp_path / "encoder.onnx", fitted("boch", 20, encoder)
    model.export_onnx(str(path), modality="text")
    assert list(tmp_path.iterdir()) == [path]
    exported = onnx.load(path)
    onnx.checker.check_model(exported, full_check=True)
    assert properties_of(path) == {
        "pyhash.version": pyhash.__version__,
        "pyhash.class": "BOCH",
        "pyhash.modality": "text",
        "pyhash.n_bits": "20",
        "pyhash.encoder": encoder,
        "pyhash.fingerprint": model.fingerprint,
    }
    assert {value.name: shape_of(value) for value in [*exported.graph.input, *exported.graph.output]} == {
        "x": ["n", 30],
        "projections": ["n", 20],
        "codes": ["n", 3],
    }
    first = path.read_bytes()
    model.export_onnx(path, modality="text")
    assert path.read_bytes() == first


def test_what_cannot_be_exported_writes_nothing(tmp_path, monkeypatch):
    path, model = tmp_path / "encoder.onnx", fitted("lemon")
    views = {"text": DATA.views["text"][LEARNED]}
    mapped = LEMON(8, feature_maps={"text": StandardScaler()}).fit(views, LABELS[LEARNED])

    class Doubled(FeatureMap):
        def _fit(self, rows):
            pass

        def _transform(self, rows):
            return 2 * rows

    own = LEMON(8, feature_maps={"text": Doubled()}).fit(views, LABELS[LEARNED])
    calls = [
        (lambda: model.export_onnx(path, modality="audio"), ValueError, "modality must be one of 'image', 'text'"),
        (lambda: model.export_onnx(path, modality="text", dtype="float16"), ValueError, "dtype must be one of"),
        (lambda: LEMON(8).export_onnx(path, modality="text"), NotFittedError, "has not learned anything yet"),
        (lambda: mapped.export_onnx(path, modality="text"), TypeError, "ONNX file, got a StandardScaler; map the"),
        (lambda: own.export_onnx(path, modality="text"), TypeError, "a Doubled has no form in ONNX"),
    ]
    for call, error, message in calls:
        with pytest.raises(error, match=message):
            call()
    monkeypatch.setattr(onnx_graph, "_MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="an ONNX file must hold less than 2 GiB, this encoder has"):
        model.export_onnx(path, modality="text")
    assert not list(tmp_path.iterdir())


def test_without_onnx_an_error_names_the_extra(tmp_path):
    code = f"""
import sys
sys.modules["onnx"] = None  # as where it is not installed
import pyhash
try:
    pyhash.LSH(8).fit([[1.0, 2.0], [3.0, 1.0]]).export_onnx({str(tmp_path / "a.onnx")!r}, modality="x")
except ImportError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.strip() == f'writing {tmp_path / "a.onnx"} needs onnx: pip install "pyhash-crossmodal[onnx]"'

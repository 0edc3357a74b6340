"""Learning on a cluster gives the codes of one machine, and its sums, whatever the blocks and the workers."""

import itertools

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

import pyhash
from pyhash import distributed
from pyhash.datasets import make_hierarchical

N, CHUNK = 1100, 200


@pytest.fixture(autouse=True)
def threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def make_views(labels, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(labels.max() + 1, 20))
    image = centers[labels] + rng.normal(size=(len(labels), 20))
    words = rng.poisson(0.2, (len(labels), 30)) + np.eye(labels.max() + 1, 30, dtype=int)[labels]
    return {"image": image, "text": sp.csr_array(words.astype(np.float64))}


LABELS = np.random.default_rng(5).integers(0, 6, N)
VIEWS = make_views(LABELS)
SEVERAL = np.eye(6)[LABELS] + np.eye(6)[np.roll(LABELS, 3)] > 0
TREE = make_hierarchical(N, n_classes=(2, 6), seed=3)
LAYERS = list(TREE.labels.values())
KERNEL = {"image": pyhash.RBFAnchors(60, centered=True), "text": pyhash.UnitLength()}

# By name: the method and its labels.
METHODS = {
    "lemon": (lambda: pyhash.LEMON(16, record=True), LABELS),
    "lemon, kernel and posterior": (lambda: pyhash.LEMON(16, encoder="posterior", feature_maps=KERNEL), SEVERAL),
    "lemon, names": (lambda: pyhash.LEMON(16), np.array(list("abcdef"))[LABELS]),
    "shoh, hierarchy": (lambda: pyhash.SHOH(16, hierarchy=TREE.hierarchy, record=True), LAYERS),
    "shoh, bayes": (lambda: pyhash.SHOH(16, encoder="bayes", n_iter=2), LABELS),
    "lemon, decay": (lambda: pyhash.LEMON(16, decay=0.2), LABELS),
    "shoh, decay": (lambda: pyhash.SHOH(16, hierarchy=TREE.hierarchy, decay=0.1, encoder="bayes"), LAYERS),
    "boch, decay": (lambda: pyhash.BOCH(16, feature_maps=KERNEL, decay=0.1), LABELS),
    "boch": (lambda: pyhash.BOCH(16, feature_maps=KERNEL), LABELS),
    "boch, several labels": (lambda: pyhash.BOCH(16, feature_maps=KERNEL, record=True), SEVERAL),
}


def in_blocks(x, sizes):
    """Return rows as a dask array of blocks, sparse where they are."""
    if not sp.issparse(x):
        return da.from_array(x, chunks=(sizes, *[-1] * (x.ndim - 1)))
    return da.from_array(x.toarray(), chunks=(sizes, -1)).map_blocks(sp.csr_array)


def lazy(views, sizes):
    return {name: in_blocks(x, sizes) for name, x in views.items()}


def learn(model, labels=LABELS, views=VIEWS, sizes=(N,), chunk_size=CHUNK):
    """Return a model learned from rows in blocks."""
    return distributed.fit(model, lazy(views, sizes), labels, chunk_size=chunk_size)


def projections(model):
    return {name: model._weights(model._state, name) for name in model.modalities_}


def assert_same(found, expected, *, exactly=False):
    np.testing.assert_array_equal(found.codes_, expected.codes_)
    assert found.fingerprint == expected.fingerprint
    assert found.n_samples_seen_ == expected.n_samples_seen_
    for name, W in projections(expected).items():
        difference = np.abs(projections(found)[name] - W).max()
        assert difference <= (0 if exactly else 1e-10 * np.abs(W).max()), name


@pytest.mark.parametrize("name", METHODS)
def test_codes_and_projections_are_those_of_one_machine(name):
    make, labels = METHODS[name]
    expected = make().fit(VIEWS, labels, chunk_size=CHUNK)
    first = None
    for sizes in [(N,), (CHUNK,) * 5 + (100,), (1, 0, 350, N - 351)]:
        model = make()
        found = learn(model, labels, sizes=sizes)
        assert found is model
        assert_same(found, expected)
        first = first or found
        assert_same(found, first, exactly=True)  # however the rows are divided
    if first.record:
        assert found.history_ == expected.history_
    np.testing.assert_equal(found.classes_, expected.classes_)


@pytest.mark.parametrize("name", METHODS)
def test_a_single_chunk_is_learned_as_on_one_machine(name):
    make, labels = METHODS[name]
    expected = make().fit(VIEWS, labels, chunk_size=None)
    found = learn(make(), labels, sizes=(300, N - 300), chunk_size=N)
    assert_same(found, expected)
    for modality, calibration in expected.calibration_.items():
        assert found.calibration_[modality] == pytest.approx(calibration, rel=1e-9)


@pytest.mark.parametrize("name", ["lemon", "shoh, hierarchy", "boch", "boch, several labels"])
def test_a_model_goes_on_and_is_saved(name, tmp_path):
    make, labels = METHODS[name]
    rows = slice(0, 150)
    more = [layer[rows] for layer in labels] if isinstance(labels, list) else labels[rows]
    found = learn(make(), labels)
    found.save(tmp_path / "model.npz")
    loaded = pyhash.load(tmp_path / "model.npz")
    some = {modality: x[rows] for modality, x in VIEWS.items()}
    expected = make().fit(VIEWS, labels, chunk_size=CHUNK).partial_fit(some, more)
    for model in (found, loaded):
        model.partial_fit(some, more)
        np.testing.assert_array_equal(model.codes_, expected.codes_)
        assert model.n_samples_seen_ == N + 150


def test_what_a_model_learned_before_is_replaced():
    make, labels = METHODS["boch"]
    model = make().fit(VIEWS, np.roll(labels, 1), chunk_size=CHUNK)
    learn(model, labels)
    assert_same(model, make().fit(VIEWS, labels, chunk_size=CHUNK))


@pytest.mark.parametrize("labels", [LABELS, SEVERAL, np.array(list("abcdef"))[LABELS].astype(object)])
def test_labels_may_be_dask_arrays(labels):
    expected = distributed.fit(pyhash.LEMON(8), lazy(VIEWS, (N,)), labels)
    found = distributed.fit(pyhash.LEMON(8), lazy(VIEWS, (400, N - 400)), in_blocks(labels, (N - 50, 50)))
    assert_same(found, expected, exactly=True)


def test_labels_by_layer_may_be_dask_arrays():
    make, labels = METHODS["shoh, hierarchy"]
    lazy_labels = [da.from_array(np.asarray(layer), chunks=100) for layer in labels]
    expected = make().fit(VIEWS, labels, chunk_size=CHUNK)
    assert_same(learn(make(), lazy_labels), expected)


def test_rows_that_know_a_coarse_class_only():
    coarse, fine = (np.array(layer) for layer in LAYERS)
    fine[::3] = -1
    for encoder in ("bits", "bayes"):
        make = METHODS["shoh, hierarchy"][0]
        expected = make().set_params(encoder=encoder).fit(VIEWS, [coarse, fine], chunk_size=CHUNK)
        found = learn(make().set_params(encoder=encoder), [coarse, fine])
        assert_same(found, expected)
        assert {name: sums.n for name, sums in found._state.unlabelled.items()} == {
            name: sums.n for name, sums in expected._state.unlabelled.items()
        }


# --- rows that lack a modality ---


@pytest.mark.parametrize("name", ["lemon", "shoh, hierarchy", "boch"])
def test_rows_may_lack_modalities(name):
    make, labels = METHODS[name]
    rng = np.random.default_rng(0)
    present = {"text": rng.random(N) < 0.5, "image": np.ones(N, dtype=bool)}
    present["image"][~present["text"]] = True
    present["image"][present["text"]] = rng.random(present["text"].sum()) < 0.6
    present["text"][CHUNK : 2 * CHUNK] = False  # a chunk without any
    present["image"][CHUNK : 2 * CHUNK] = True
    views = {"image": VIEWS["image"].copy(), "text": VIEWS["text"]}
    views["image"][~present["image"]] = np.nan  # never looked at
    expected = make().fit(views, labels, present=present, chunk_size=CHUNK)
    lazy_present = {"text": present["text"], "image": da.from_array(present["image"], chunks=500)}
    found = distributed.fit(make(), lazy(views, (650, 450)), labels, present=lazy_present, chunk_size=CHUNK)
    assert_same(found, expected)
    for modality, sums in expected._state.sums.items():
        np.testing.assert_array_equal(found._state.sums[modality].counts, sums.counts)


# --- maps that grow ---


def growing(**options):
    return {"image": pyhash.RBFAnchors(50, grow=30, seed=1, **options), "text": pyhash.RBFAnchors(40, grow=10)}


@pytest.mark.parametrize("max_anchors", [None, 50, 100, 110])
def test_maps_take_on_the_anchors_of_one_machine_first(max_anchors):
    maps = growing(max_anchors=max_anchors, centered=True)
    expected = pyhash.BOCH(16, feature_maps=maps).fit(VIEWS, LABELS, chunk_size=CHUNK)
    found = learn(pyhash.BOCH(16, feature_maps=maps))
    np.testing.assert_array_equal(found.codes_, expected.codes_)
    for name, feature_map in expected._state.maps.items():
        of_found = found._state.maps[name]
        for attribute in ("anchors_", "mean_", "_joined"):
            of_one, of_other = getattr(feature_map, attribute), getattr(of_found, attribute)
            if sp.issparse(of_one):
                of_one, of_other = of_one.toarray(), of_other.toarray()
            np.testing.assert_array_equal(of_other, of_one)
        # Every row is mapped to all anchors: the sums of one machine are completed from fewer.
        whole = of_found.transform(VIEWS[name])
        np.testing.assert_allclose(found._state.sums[name].XX, whole.T @ whole, atol=1e-9)
        assert not np.allclose(expected._state.sums[name].XX, whole.T @ whole, atol=1e-9) or max_anchors == 50


def test_a_map_that_has_grown_retrieves_as_well():
    maps = growing(max_anchors=110, centered=True)
    queries, labels = make_views(LABELS, seed=9)["image"][:300], LABELS[:300]
    scores = []
    for how in (lambda model: model.fit(VIEWS, LABELS, chunk_size=CHUNK), learn):
        model = how(pyhash.BOCH(16, feature_maps=maps))
        found = model.encode(queries, modality="image")
        scores.append(pyhash.evaluation.mean_average_precision(found, model.codes_, labels, LABELS).value)
    assert scores[1] >= scores[0] - 0.02


def test_a_map_goes_on_growing_after_a_fit_on_a_cluster():
    maps = growing(max_anchors=300)
    expected = pyhash.BOCH(16, feature_maps=maps).fit(VIEWS, LABELS, chunk_size=CHUNK)
    found = learn(pyhash.BOCH(16, feature_maps=maps))
    for model in (expected, found):
        model.partial_fit(make_views(LABELS, seed=4), LABELS)
    np.testing.assert_array_equal(found._state.maps["image"].anchors_, expected._state.maps["image"].anchors_)


def test_maps_of_others_are_fitted_once_on_the_first_chunk():
    sklearn = pytest.importorskip("sklearn.preprocessing")
    maps = {"image": sklearn.StandardScaler()}
    views = {"image": VIEWS["image"]}
    expected = pyhash.LEMON(16, feature_maps=maps).fit(views, LABELS, chunk_size=CHUNK)
    assert_same(learn(pyhash.LEMON(16, feature_maps=maps), views=views), expected)


# --- calibration ---


def test_the_rows_held_back_for_calibration_are_no_anchors_and_spread_over_the_stream():
    from pyhash.distributed.held_back import rows_held_back
    from pyhash.distributed.map_pass import FittedMaps

    settings = pyhash.BOCH(8)._settings(["image"])
    labels = [sp.csr_array(np.eye(3)[[0, 1, 2] * 400] > 0)]
    anchors = {"image": np.arange(0, 6000, 2)}
    held = rows_held_back(settings, [labels] * 5, FittedMaps(None, anchors))
    assert len(held) == len(set(held.tolist())) == 500
    assert (held % 2 == 1).all()
    assert len(np.unique(held // 1200)) == 5


def test_with_decay_rows_of_the_last_chunk_are_held_back():
    found = learn(pyhash.BOCH(16, decay=0.1, feature_maps=KERNEL))
    assert all(calibration["n_rows"] == (N % CHUNK) // 5 for calibration in found.calibration_.values())


def test_calibration_predicts_rows_that_are_not_in_the_sums():
    found = learn(METHODS["boch"][0]())
    for calibration in found.calibration_.values():
        assert calibration["n_rows"] == N // 5
        assert 0.3 < calibration["precision"] < 1  # rows of the sums themselves would be predicted better
    labels = np.random.default_rng(0).integers(0, 6, N)  # nothing can be predicted
    found = learn(METHODS["boch"][0](), labels)
    assert all(calibration["precision"] < 0.5 for calibration in found.calibration_.values())


# --- chunks that functions load ---


def loaders(views, labels, sizes, present=None):
    bounds = np.cumsum([0, *sizes])
    chunks = []
    for start, stop in itertools.pairwise(bounds.tolist()):
        of_views = {name: x[start:stop] for name, x in views.items()}
        item = (of_views, labels[start:stop]) + (() if present is None else (present(start, stop),))
        chunks.append(lambda item=item: item)
    return chunks


@pytest.mark.parametrize("name", ["lemon", "boch", "boch, several labels", "lemon, names"])
def test_functions_load_the_chunks(name):
    make, labels = METHODS[name]
    sizes = (300, 1 if name == "boch" else 30, 400, 370)
    expected, codes = make(), []
    for load in loaders(VIEWS, labels, sizes):
        codes.append(expected.partial_fit(*load()).codes_)
    found = distributed.fit(make(), loaders(VIEWS, labels, sizes))
    np.testing.assert_array_equal(found.codes_, np.concatenate(codes))
    for modality, W in projections(expected).items():
        np.testing.assert_allclose(projections(found)[modality], W, atol=1e-10 * np.abs(W).max())


def test_classes_that_only_later_chunks_show():
    order = np.argsort(LABELS, kind="stable")
    views = {name: x[order] for name, x in VIEWS.items()}
    for labels in (LABELS[order], np.array(list("abcdef"))[LABELS[order]]):
        found = distributed.fit(pyhash.BOCH(16, feature_maps=KERNEL), loaders(views, labels, (200, 300, 600)))
        codes = []
        model = pyhash.BOCH(16, feature_maps=KERNEL)
        for load in loaders(views, labels, (200, 300, 600)):
            codes.append(model.partial_fit(*load()).codes_)
        np.testing.assert_array_equal(found.codes_, np.concatenate(codes))
        assert list(found.classes_) == list(model.classes_)


def test_functions_may_leave_out_views_and_rows():
    rng = np.random.default_rng(0)
    marks = rng.random(N) < 0.5

    def present(start, stop):
        return {"text": marks[start:stop]}

    chunks = loaders(VIEWS, LABELS, (400, 300, 400), present)
    without = lambda: ({"image": VIEWS["image"][400:700], "text": None}, LABELS[400:700])  # noqa: E731
    chunks[1] = without
    expected = pyhash.LEMON(16)
    for load in chunks:
        views, labels, *rest = load()
        expected.partial_fit(views, labels, present=rest[0] if rest else None)
    found = distributed.fit(pyhash.LEMON(16), chunks)
    for modality, W in projections(expected).items():
        np.testing.assert_allclose(projections(found)[modality], W, atol=1e-10 * np.abs(W).max())


# --- memory ---


def test_features_do_not_come_to_the_client(monkeypatch):
    """The results that tasks give the client are far smaller than the features."""
    from pyhash.distributed import cluster

    taken = []
    compute = cluster.compute

    def measured(tasks, client):
        import pickle

        found = compute(tasks, client)
        taken.append(len(pickle.dumps(found)))
        return found

    for module in ("learning", "map_pass", "chunk_sources"):
        monkeypatch.setattr(f"pyhash.distributed.{module}.compute", measured)
    n, d = 20_000, 50
    rows = da.random.default_rng(0).standard_normal((n, d), chunks=(3000, -1))
    labels = np.arange(n) % 5
    distributed.fit(pyhash.LEMON(16), {"image": rows}, labels)
    assert len(taken) == 2
    assert sum(taken) < 0.1 * 8 * n * d


def test_tasks_take_few_rows():
    """Blocks are cut where they are, so that a task holds the rows of its chunks alone."""
    from pyhash.distributed.chunk_sources import make_source

    rows = da.zeros((400_000, 64), chunks=(50_000, -1))
    source = make_source({"image": rows}, np.zeros(400_000, dtype=int), None, 2000, None)
    assert source.chunks_per_task == 3
    assert source.n_rows == [2000] * 200
    (chunk,) = dask.compute(source.rows(range(7, 8)))[0]
    assert chunk.views["image"].shape == (2000, 64)


# --- refusals ---


def refused(error, message, model=None, views=None, labels=LABELS, **options):
    model = model or pyhash.LEMON(16)
    before = dict(model.__dict__)
    with pytest.raises(error, match=message):
        distributed.fit(model, lazy(VIEWS, (N,)) if views is None else views, labels, **options)
    assert model.__dict__ == before


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (pyhash.SEOCH(8), "SEOCH learns them from features too"),
        (pyhash.BOCH(16, class_bits=8), "instance bits are made of features, so class_bits must be None or 16"),
        (pyhash.BOCH(16, noise="auto"), "features tell which labels are wrong, so noise must be None"),
        (pyhash.BOCH(16, noise=0.1), "noise must be None"),
        (pyhash.LEMON(16, encoder="auto"), "encoder must not be 'auto' on a cluster"),
    ],
    ids=["seoch", "instance bits", "auto noise", "noise", "auto encoder"],
)
def test_methods_whose_codes_need_features_are_refused(model, message):
    refused(ValueError, message, model)


@pytest.mark.parametrize("model", [pyhash.CCAITQ(8), pyhash.DSFH(8), "lemon", None.__class__])
def test_methods_that_learn_no_stream_are_refused(model):
    with pytest.raises(TypeError, match="model must be a method that learns a stream, got"):
        distributed.fit(model, lazy(VIEWS, (N,)), LABELS)


def test_what_views_must_be():
    refused(TypeError, r"views must be a mapping .* or a list of functions .* got ndarray", views=VIEWS["image"])
    refused(TypeError, "views must be a mapping", views=[1, 2], labels=None)
    refused(ValueError, "views must hold at least one modality, got none", views={})
    refused(ValueError, "views must hold at least one function, got none", views=[], labels=None)
    refused(TypeError, "views must have names of type str, got 1", views={1: in_blocks(VIEWS["image"], (N,))})
    refused(
        TypeError, r"views\['image'\] must be a dask array, got ndarray; dask.array", views={"image": VIEWS["image"]}
    )
    short = {"image": in_blocks(VIEWS["image"], (N,)), "text": in_blocks(VIEWS["text"][:-1], (N - 1,))}
    refused(ValueError, "views must have equally many rows, 'image' has 1100, 'text' has 1099", views=short)
    flat = {"image": in_blocks(LABELS, (N,))}
    refused(ValueError, r"views\['image'\] must have shape \(n, n_features\), got \(1100,\)", views=flat)
    refused(ValueError, "views must have at least one row", views={"image": da.zeros((0, 3))}, labels=LABELS[:0])
    unknown = lazy(VIEWS, (N,))
    unknown["image"] = unknown["image"][unknown["image"][:, 0] > -99]
    refused(ValueError, r"views\['image'\] must have blocks of known sizes", views=unknown)
    words = {"image": da.from_array(np.full((N, 2), "a"), chunks=100)}
    refused(TypeError, r"views\['image'\] must hold real numbers", views=words)


@pytest.mark.parametrize("row", [3, 777])
@pytest.mark.parametrize("feature_map", [None, pyhash.RBFAnchors(20)])
def test_an_error_names_the_row(row, feature_map):
    bad = VIEWS["image"].copy()
    bad[row, 2] = np.inf
    model = pyhash.LEMON(16, feature_maps={"image": feature_map})
    message = rf"views\['image'\] must be finite, got inf in row {row}, column 2"
    refused(ValueError, message, model, {"image": in_blocks(bad, (300, 800))}, chunk_size=CHUNK)


def test_what_labels_must_be():
    refused(TypeError, "labels must be given with dask arrays", labels=None)
    refused(ValueError, "labels must have 1100 rows, as the views have", labels=LABELS[:-1])
    labels = LABELS.copy()
    labels[[900, 901]] = -1
    refused(ValueError, "labels must give every row a label, none in rows 900, 901", labels=labels)
    names = np.array(list("abcdef"))[LABELS].astype(object)
    names[1000] = None
    refused(ValueError, "labels must give every row a label, none in row 1000", labels=names)
    refused(ValueError, "labels must be class indices", pyhash.LEMON(16, n_classes=3))
    refused(TypeError, "labels must be None where views are functions", views=[lambda: (VIEWS, LABELS)])


def test_what_other_arguments_must_be():
    refused(ValueError, "chunk_size must be an integer >= 1, got 0", chunk_size=0)
    refused(TypeError, "chunk_size must be an integer", chunk_size=None)
    refused(TypeError, "client must be a dask.distributed.Client or None, got str", client="127.0.0.1")
    refused(TypeError, "present must be a mapping", present=LABELS > 0)
    refused(ValueError, "present must give every row a modality", present={m: np.zeros(N, bool) for m in VIEWS})
    nobody = {"text": np.arange(N) >= CHUNK}
    refused(
        ValueError, r"views\['text'\] must have a row with a label in the first chunk", present=nobody, chunk_size=CHUNK
    )
    refused(ValueError, "n_bits must be", pyhash.LEMON(0))


def test_what_functions_must_return():
    good = lambda: (VIEWS, LABELS)  # noqa: E731

    def case(error, message, second):
        refused(error, message, views=[good, second], labels=None)

    case(TypeError, r"what views\[1\]\(\) returns must be \(views, labels\) or .* got dict", lambda: VIEWS)
    case(ValueError, r"what views\[1\]\(\) returns: views must have equally many rows", lambda: (
        {"image": VIEWS["image"][:5], "text": VIEWS["text"]}, LABELS[:5]
    ))  # fmt: skip
    case(ValueError, "views must be 'image', 'text' as learned before, 'text' is missing", lambda: (
        {"image": VIEWS["image"]}, LABELS
    ))  # fmt: skip
    case(ValueError, r"must have shape \(n, 20\), got \(1100, 7\)", lambda: (
        {"image": VIEWS["image"][:, :7], "text": VIEWS["text"]}, LABELS
    ))  # fmt: skip
    case(ValueError, "labels must have 1100 rows", lambda: (VIEWS, LABELS[:9]))
    calls = itertools.count()

    def changing():
        n = 50 - next(calls)
        return {name: x[:n] for name, x in VIEWS.items()}, LABELS[:n]

    case(ValueError, r"views\[1\]\(\) must return the same rows each time, got 49 where it had 50", changing)

    def missing():
        raise FileNotFoundError("chunk-17.npz")

    case(FileNotFoundError, "chunk-17.npz", missing)


def test_rows_are_forgotten_without_numbers_since_all_were_mapped_to_all_anchors():
    maps = growing(max_anchors=110)
    found = learn(pyhash.BOCH(16, feature_maps=maps))
    part = slice(300, 500)
    kept = np.setdiff1d(np.arange(N), np.arange(N)[part])
    found.forget({name: x[part] for name, x in VIEWS.items()}, LABELS[part])
    for name, feature_map in found._state.maps.items():
        mapped = feature_map.transform(VIEWS[name][kept])
        np.testing.assert_allclose(found._state.sums[name].XX, mapped.T @ mapped, atol=1e-8)
    assert found.n_samples_seen_ == N - 200

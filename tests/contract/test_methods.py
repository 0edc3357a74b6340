"""What every method promises; a new method joins by its line in the registry and in CASES."""

import copy

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix
from sklearn.base import clone

from pyhash import NotFittedError, load
from pyhash.datasets import make_hierarchical
from pyhash.methods import SHOH
from pyhash.methods.base import OnlineMethod
from pyhash.methods.registry import METHODS

DATA = make_hierarchical(120, n_classes=(3, 6), n_features={"image": 9, "text": 14, "audio": 5}, seed=2)
LABELS = DATA.labels["level2"]
CASES = {"SHOH": lambda **parameters: SHOH(hierarchy=DATA.hierarchy, **{"n_bits": 20, **parameters})}
ONLINE = [name for name in CASES if issubclass(METHODS[name], OnlineMethod)]


def test_every_method_has_a_case():
    assert CASES.keys() == METHODS.keys()


@pytest.fixture(params=CASES)
def make(request):
    return CASES[request.param]


@pytest.fixture(params=ONLINE)
def make_online(request):
    return CASES[request.param]


def rows(views, chosen):
    return {name: x[chosen] for name, x in views.items()}


def everything(model):
    """All that a user can see of a model."""
    seen = {
        "params": repr(model.get_params()),
        "codes": model._codes if model._codes is None else model._codes.tobytes(),
    }
    for name, X in DATA.views.items():
        try:
            seen[name] = model.project(X, modality=name).tobytes()
        except NotFittedError:
            seen[name] = None
    return seen


def test_shapes_and_dtypes(make):
    model = make()
    assert model.fit(DATA.views, LABELS) is model
    assert (model.codes_.shape, model.codes_.dtype) == ((120, 3), np.uint8)
    assert (model.codes_[:, -1] >> 4 == 0).all()
    assert model.modalities_ == {"image": 9, "text": 14, "audio": 5}
    for name, X in DATA.views.items():
        projections = model.project(X[:7], modality=name)
        assert (projections.shape, projections.dtype) == ((7, 20), np.float32)
        packed = model.encode(X[:7], modality=name)
        np.testing.assert_array_equal(packed, np.packbits(projections > 0, axis=1, bitorder="little"))
        assert model.encode(X[:0], modality=name).shape == (0, 3)


@pytest.mark.parametrize("n_bits", [1, 7, 8, 65, 300])
def test_any_length(make, n_bits):
    model = make(n_bits=n_bits).fit(DATA.views, LABELS)
    assert model.codes_.shape == (120, (n_bits + 7) // 8)
    assert model.encode(DATA.views["text"], modality="text").shape == (120, (n_bits + 7) // 8)


@pytest.mark.parametrize("names", [["text"], ["audio", "image"]])
def test_any_number_of_modalities(make, names):
    model = make().fit({name: DATA.views[name] for name in names}, LABELS)
    assert list(model.modalities_) == names
    assert model.encode(DATA.views[names[0]], modality=names[0]).shape == (120, 3)


def test_it_learns(make):
    """Samples of a class get nearer codes than samples of different classes, across modalities."""
    model = make().fit(DATA.views, LABELS)
    image = np.sign(model.project(DATA.views["image"], modality="image"))
    text = np.sign(model.project(DATA.views["text"], modality="text"))
    distance = (20 - image @ text.T) / 2
    same = LABELS[:, None] == LABELS[None]
    assert distance[same].mean() < distance[~same].mean() - 3


def test_the_same_seed_gives_the_same_codes(make):
    assert everything(make(seed=5).fit(DATA.views, LABELS)) == everything(make(seed=5).fit(DATA.views, LABELS))
    assert (
        make(seed=5).fit(DATA.views, LABELS).codes_.tobytes() != make(seed=6).fit(DATA.views, LABELS).codes_.tobytes()
    )


def test_fitting_again_starts_anew(make):
    model = make().fit(DATA.views, LABELS)
    before = everything(model)
    assert everything(model.fit(DATA.views, LABELS)) == before


def test_threads_and_levels_do_not_matter(make, cpu_level):
    codes = {make(n_threads=n).fit(DATA.views, LABELS).codes_.tobytes() for n in (1, 2, 4)}
    assert len(codes) == 1


@pytest.mark.parametrize("form", [csr_array, csr_matrix, coo_array, np.asfortranarray, lambda x: x.astype(np.float64)])
def test_features_in_every_form(make, form):
    expected = make().fit(DATA.views, LABELS)
    model = make().fit({name: form(x) for name, x in DATA.views.items()}, LABELS)
    np.testing.assert_array_equal(model.codes_, expected.codes_)
    for name, X in DATA.views.items():
        np.testing.assert_allclose(
            model.project(form(X), modality=name), expected.project(X, modality=name), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool, np.float16])
def test_features_of_every_dtype(make, dtype):
    views = {name: np.abs(10 * x).astype(dtype) for name, x in DATA.views.items()}
    expected = make().fit({name: x.astype(float) for name, x in views.items()}, LABELS)
    np.testing.assert_array_equal(make().fit(views, LABELS).codes_, expected.codes_)


def test_codes_cannot_be_changed_from_outside(make):
    with pytest.raises(ValueError, match="read-only"):
        make().fit(DATA.views, LABELS).codes_[:] = 0


def test_projections_that_overflow_name_their_rows(make):
    X = DATA.views["text"].astype(np.float64)
    X[[4, 9]] *= 1e60
    model = make().fit(DATA.views, LABELS)
    for call in (model.project, model.encode):
        with pytest.raises(ValueError, match="X must give projections that float32 can hold, rows 4, 9 of it"):
            call(X, modality="text")


def test_input_is_not_changed(make):
    views, labels = copy.deepcopy(DATA.views), LABELS.copy()
    make().fit(views, labels).project(views["text"], modality="text")
    for name, x in DATA.views.items():
        np.testing.assert_array_equal(views[name], x)
    np.testing.assert_array_equal(labels, LABELS)


def test_parameters_are_kept_untouched(make):
    model = make()
    for name, value in model.get_params().items():
        assert getattr(model, name) is value
    assert model.set_params(n_bits=9) is model
    assert model.get_params()["n_bits"] == 9
    with pytest.raises(ValueError, match=f"{type(model).__name__} has no parameter 'bits'; it has n_bits"):
        model.set_params(bits=3, n_bits=4)
    assert model.n_bits == 9


def test_sklearn_can_clone_it(make):
    model = make(n_bits=12).fit(DATA.views, LABELS)
    twin = clone(model)
    assert twin.get_params().keys() == model.get_params().keys()
    assert everything(twin.fit(DATA.views, LABELS)) == everything(model)


def test_repr_names_what_was_chosen(make):
    assert "n_bits=20" in repr(make())
    assert len(repr(make())) < 400


def test_save_and_load(make, tmp_path):
    model = make().fit(DATA.views, LABELS)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is type(model)
    assert again.get_params().keys() == model.get_params().keys()
    assert again.n_bits == 20
    for name, X in DATA.views.items():
        np.testing.assert_array_equal(again.project(X, modality=name), model.project(X, modality=name))
    with pytest.raises(NotFittedError, match="codes_ are those of the last fit or partial_fit"):
        again.codes_  # noqa: B018
    again.save(tmp_path / "again")
    third = load(tmp_path / "again")
    np.testing.assert_array_equal(third.encode(X, modality=name), model.encode(X, modality=name))


def test_before_fitting(make, tmp_path):
    model = make()
    for call in (
        lambda: model.encode(DATA.views["text"], modality="text"),
        lambda: model.project(DATA.views["text"], modality="text"),
        lambda: model.save(tmp_path / "model"),
        lambda: model.codes_,
        lambda: model.modalities_,
        lambda: model.fingerprint,
    ):
        with pytest.raises(NotFittedError):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m: m.project(DATA.views["text"], modality="txt"),
            ValueError,
            "modality must be one of 'image', 'text', 'audio', got 'txt'",
        ),
        (
            lambda m: m.encode(DATA.views["text"], modality="image"),
            ValueError,
            r"X must have shape \(n, 9\), got \(120, 14\)",
        ),
        (lambda m: m.encode(DATA.views["text"][0], modality="text"), ValueError, r"one sample is x\[None, :\]"),
        (
            lambda m: m.encode(np.full((3, 14), np.nan), modality="text"),
            ValueError,
            "X must be finite, got nan in row 0, column 0",
        ),
        (
            lambda m: m.encode(csr_array(np.full((3, 14), np.inf)), modality="text"),
            ValueError,
            "X must be finite, got inf in row 0",
        ),
        (lambda m: m.encode([["a"] * 14], modality="text"), TypeError, "X must hold real numbers"),
        (
            lambda m: m.encode(np.ones((2, 14), complex), modality="text"),
            TypeError,
            "X must hold real numbers, got dtype complex128",
        ),
    ],
)
def test_wrong_queries(make, call, error, message):
    with pytest.raises(error, match=message):
        call(make().fit(DATA.views, LABELS))


def spoiled(name, row, value):
    x = DATA.views[name].copy()
    x[row] = value
    return {**DATA.views, name: x}


WRONG_CHUNKS = [
    ([1, 2], LABELS, TypeError, "views must be a mapping of modality names to features, got list"),
    ({}, LABELS, ValueError, "views must hold at least one modality, got none"),
    ({0: DATA.views["text"]}, LABELS, TypeError, "views must have names of type str, got 0"),
    (
        {**DATA.views, "text": DATA.views["text"][:5]},
        LABELS,
        ValueError,
        "views must have equally many rows, 'image' has 120, 'text' has 5",
    ),
    ({**DATA.views, "text": DATA.views["text"][:, 0]}, LABELS, ValueError, r"views\['text'\] must have shape"),
    (spoiled("text", 3, np.nan), LABELS, ValueError, r"views\['text'\] must be finite, got nan in row 3, column 0"),
    (
        {**DATA.views, "text": csr_array(spoiled("text", 3, np.inf)["text"])},
        LABELS,
        ValueError,
        r"views\['text'\] must be finite, got inf in row 3",
    ),
    (rows(DATA.views, slice(0)), LABELS[:0], ValueError, "views must have at least one row, got none"),
    (DATA.views, LABELS[:-1], ValueError, r"labels must have 120 rows, as the views have, got shape \(119,\)"),
    (DATA.views, LABELS.astype(float), TypeError, "labels must be class indices of an integer dtype, got float64"),
    (
        DATA.views,
        np.zeros((120, 6)),
        ValueError,
        "labels must give every row a label, none in rows 0, 1, 2, 3, 4 and 115 more",
    ),
    (DATA.views, None, TypeError, "labels must be given: SHOH learns from them"),
]


@pytest.mark.parametrize(("views", "labels", "error", "message"), WRONG_CHUNKS)
@pytest.mark.parametrize("fitted", [False, True])
def test_a_call_that_raises_changes_nothing(make, fitted, views, labels, error, message):
    model = make()
    if fitted:
        model.fit(DATA.views, LABELS)
    before = everything(model)
    with pytest.raises(error, match=message):
        model.fit(views, labels)
    assert everything(model) == before


def test_a_fingerprint_is_of_seed_and_data(make, tmp_path):
    fingerprint = make(seed=5).fit(DATA.views, LABELS).fingerprint
    assert len(fingerprint) == 32
    assert int(fingerprint, 16) >= 0
    assert make(seed=5).fit(DATA.views, LABELS).fingerprint == fingerprint
    others = {
        make(seed=6).fit(DATA.views, LABELS).fingerprint,
        make(seed=5, n_bits=21).fit(DATA.views, LABELS).fingerprint,
        make(seed=5).fit(rows(DATA.views, slice(1, None)), LABELS[1:]).fingerprint,
        make(seed=5).fit({name: DATA.views[name] for name in ("image", "text")}, LABELS).fingerprint,
        make(seed=5).fit(DATA.views, LABELS[::-1]).fingerprint,
    }
    assert len(others - {fingerprint}) == 5


def test_a_fingerprint_stays_in_a_file(make, tmp_path):
    model = make().fit(DATA.views, LABELS)
    model.save(tmp_path / "a")
    again = load(tmp_path / "a")
    assert again.fingerprint == model.fingerprint
    again.save(tmp_path / "b")
    assert load(tmp_path / "b").fingerprint == model.fingerprint
    assert copy.deepcopy(model).fingerprint == model.fingerprint


def test_fitting_anew_makes_another_model(make):
    model = make().fit(DATA.views, LABELS)
    before = model.fingerprint
    model.fit(rows(DATA.views, slice(60)), LABELS[:60])
    assert model.fingerprint != before
    with pytest.raises(NotFittedError):
        clone(model).fingerprint  # noqa: B018 - a property that raises


# --- online methods ---


def test_a_fingerprint_stays_as_a_stream_goes_on(make_online, tmp_path):
    model = make_online().partial_fit(rows(DATA.views, slice(50)), LABELS[:50])
    fingerprint = model.fingerprint
    model.save(tmp_path / "model")
    assert model.partial_fit(rows(DATA.views, slice(50, None)), LABELS[50:]).fingerprint == fingerprint
    again = load(tmp_path / "model")
    assert again.partial_fit(rows(DATA.views, slice(50, None)), LABELS[50:]).fingerprint == fingerprint
    with pytest.raises(ValueError, match="views must"):
        again.partial_fit({}, LABELS)
    assert again.fingerprint == fingerprint


@pytest.mark.parametrize(("views", "labels", "error", "message"), WRONG_CHUNKS)
@pytest.mark.parametrize("fitted", [False, True])
def test_a_wrong_chunk_changes_nothing(make_online, fitted, views, labels, error, message):
    model = make_online()
    if fitted:
        model.partial_fit(DATA.views, LABELS)
        if isinstance(views, dict) and views.keys() != DATA.views.keys():
            error, message = (ValueError, "views must") if all(isinstance(k, str) for k in views) else (error, message)
    before = everything(model)
    with pytest.raises(error, match=message):
        model.partial_fit(views, labels)
    assert everything(model) == before
    twin = make_online()
    if fitted:
        twin.partial_fit(DATA.views, LABELS)
    assert everything(model.partial_fit(DATA.views, LABELS)) == everything(twin.partial_fit(DATA.views, LABELS))


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"text": DATA.views["text"]}, "views must be 'image', 'text', 'audio' as learned before, 'image' is missing"),
        ({**DATA.views, "smell": DATA.views["text"]}, "as learned before, 'smell' is unknown"),
        ({**DATA.views, "audio": DATA.views["text"]}, r"views\['audio'\] must have shape \(n, 5\), got \(120, 14\)"),
    ],
)
def test_modalities_stay_as_learned(make_online, views, message):
    model = make_online().partial_fit(DATA.views, LABELS)
    before = everything(model)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(views, LABELS)
    assert everything(model) == before


def test_an_interrupt_changes_nothing(make_online, monkeypatch):
    model = make_online().partial_fit(DATA.views, LABELS)
    before = everything(model)
    learn = type(model)._learn

    def interrupted(self, *arguments):
        learn(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model), "_learn", interrupted)
    for call in (model.partial_fit, model.fit):
        with pytest.raises(KeyboardInterrupt):
            call(DATA.views, LABELS)
    monkeypatch.undo()
    assert everything(model) == before


def test_one_chunk_is_fit(make_online):
    chunk = make_online().partial_fit(DATA.views, LABELS)
    assert everything(make_online().fit(DATA.views, LABELS, chunk_size=None)) == everything(chunk)
    assert everything(make_online().fit(DATA.views, LABELS, chunk_size=120)) == everything(chunk)


@pytest.mark.parametrize("chunk_size", [1, 50, 120, 10**6])
def test_fit_is_a_stream_of_chunks(make_online, chunk_size):
    whole = make_online().fit(DATA.views, LABELS, chunk_size=chunk_size)
    stream, codes = make_online(), []
    for start in range(0, 120, chunk_size):
        chunk = slice(start, start + chunk_size)
        codes.append(stream.partial_fit(rows(DATA.views, chunk), LABELS[chunk]).codes_)
    np.testing.assert_array_equal(whole.codes_, np.concatenate(codes))
    for name, X in DATA.views.items():
        np.testing.assert_array_equal(whole.project(X, modality=name), stream.project(X, modality=name))


def test_rows_are_numbered_through_the_data(make_online):
    with pytest.raises(ValueError, match=r"views\['text'\] must be finite, got nan in row 77"):
        make_online().fit(spoiled("text", 77, np.nan), LABELS, chunk_size=50)


def test_views_may_come_in_any_order(make_online):
    model = make_online().partial_fit(DATA.views, LABELS)
    twin = make_online().partial_fit(DATA.views, LABELS)
    backwards = dict(reversed(DATA.views.items()))
    assert everything(model.partial_fit(backwards, LABELS)) == everything(twin.partial_fit(DATA.views, LABELS))


def test_progress_is_shown_when_asked_for(make_online, capsys):
    make_online().fit(DATA.views, LABELS, chunk_size=60, progress=True)
    assert "2/2" in capsys.readouterr().err
    make_online().fit(DATA.views, LABELS, chunk_size=60)  # stderr is no terminal here
    make_online().fit(DATA.views, LABELS, chunk_size=60, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("chunk_size", "error"), [(0, ValueError), (2.5, TypeError)])
def test_wrong_chunk_size(make_online, chunk_size, error):
    with pytest.raises(error, match="chunk_size must be an integer >= 1"):
        make_online().fit(DATA.views, LABELS, chunk_size=chunk_size)

"""Models of parts of the data that are merged, and rows that are forgotten: the sums are those of the rows left."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

import pyhash
from pyhash import (
    BOCH,
    DCH,
    LEMON,
    SEOCH,
    SHOH,
    Centering,
    CodeIndex,
    NotFittedError,
    RBFAnchors,
    Standardizing,
    UnitLength,
    merge,
)

pytestmark = pytest.mark.usefixtures("one_blas_thread")

N, C = 480, 6
VIEWS = ("image", "text", "sound")
GROWING = {"image": RBFAnchors(30, grow=15, max_anchors=90, centered=True), "sound": RBFAnchors(10, grow=10)}
FIXED = {"image": RBFAnchors(40, centered=True), "sound": Standardizing()}
AS_THEY_ARE = dict.fromkeys(VIEWS)


class Stream:
    """Rows of three modalities, of which some lack one."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.labels = rng.integers(0, C, size=N)
        one_hot = np.eye(C)[self.labels]
        words = rng.random((N, 30)) < 0.05 + 0.4 * np.kron(one_hot, np.ones(5))
        self.views = {
            "image": one_hot @ rng.standard_normal((C, 8)) + 0.6 * rng.standard_normal((N, 8)),
            "text": csr_array(words.astype(float)),
            "sound": one_hot @ rng.standard_normal((C, 4)) + rng.standard_normal((N, 4)),
        }
        self.present = {"text": rng.random(N) < 0.6, "sound": rng.random(N) < 0.8}

    def views_of(self, rows):
        return {name: x[rows] for name, x in self.views.items()}

    def learn(self, model, rows, size=120):
        rows = np.asarray(rows)
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            present = {name: mark[chunk] for name, mark in self.present.items()}
            model.partial_fit(self.views_of(chunk), self.labels[chunk], present=present)
        return model

    def forget(self, model, rows, ids=None):
        present = {name: mark[rows] for name, mark in self.present.items()}
        return model.forget(self.views_of(rows), self.labels[rows], ids=ids, present=present)


@pytest.fixture(scope="module")
def stream():
    return Stream()


def bare(maps=FIXED, **parameters):
    return BOCH(32, feature_maps=maps, **parameters)


def assert_sums_are(model, expected, rtol=1e-9):
    """The sums are those of another model, as far as they go beyond rounding."""
    assert model.n_samples_seen_ == expected.n_samples_seen_
    for name, sums in expected._state.sums.items():
        for field, of_rows in vars(sums).items():
            found = getattr(model._state.sums[name], field)
            # Sums of a centered column may all be rounding: they are as large as its values are.
            assert_allclose(found, of_rows, rtol=0, atol=rtol * max(1.0, np.abs(of_rows).max()), err_msg=field)
    for field in ("sets", "counts", "code_sums"):
        assert_array_equal(getattr(model._state.label_sets, field), getattr(expected._state.label_sets, field))


def assert_answers_are(model, expected, stream):
    """Codes and rankings of queries are those of another model, with each encoder under one calibration."""
    index = CodeIndex(32)
    index.add(stream.learn(bare(), np.arange(N), N).codes_)
    model, expected = copy.copy(model), copy.copy(expected)
    model._state = model._state.updated(calibrations=expected._state.calibrations)
    for encoder in ("bits", "posterior", "bayes"):
        model.encoder = expected.encoder = encoder
        for modality in VIEWS:
            found, other = (of.project(stream.views[modality], modality=modality) for of in (model, expected))
            assert_array_equal(pyhash.codes.pack(found), pyhash.codes.pack(other))
            assert_array_equal(index.search_weighted(found, 20).ids, index.search_weighted(other, 20).ids)


# --- forgetting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maps", [FIXED, AS_THEY_ARE, GROWING], ids=["fixed", "none", "growing"])
@pytest.mark.parametrize("is_saved", [False, True])
def test_a_model_that_forgets_what_it_learned_last_is_the_one_before(stream, maps, is_saved, tmp_path):
    before = stream.learn(bare(maps), np.arange(240))
    model = stream.learn(copy.copy(before), np.arange(240, N))
    if is_saved:
        model.save(tmp_path / "model.npz")
        model = pyhash.load(tmp_path / "model.npz")
    stream.forget(model, np.arange(240, N), ids=np.arange(240, N))
    assert_sums_are(model, before)
    assert_answers_are(model, before, stream)


def test_rows_are_forgotten_in_any_order(stream):
    base = stream.learn(bare(), np.arange(60))
    rows = np.random.default_rng(1).permutation(N)
    model = stream.learn(base.emptied(), rows)
    stream.forget(model, rows[:100][::-1])
    stream.forget(model, rows[100:150])
    expected = stream.learn(base.emptied(), rows[150:])
    assert model.n_samples_seen_ == N - 150
    for name, sums in expected._state.sums.items():
        assert_allclose(model._state.sums[name].XX, sums.XX, atol=1e-9)
        assert_allclose(model._state.sums[name].XL, sums.XL, atol=1e-9)
    assert_answers_are(model, expected, stream)


def test_a_model_that_forgets_everything_learns_again(stream):
    model = stream.learn(bare(encoder="bits"), np.arange(120))
    stream.forget(model, np.arange(120))
    assert model.n_samples_seen_ == 0
    for sums in model._state.sums.values():
        for of_rows in vars(sums).values():
            assert not of_rows.any()
    with pytest.raises(pyhash.NotFittedError, match=r"^this BOCH has no rows learned: call partial_fit first$"):
        model.encode(stream.views["image"], modality="image")
    model.encoder = "bayes"
    again = stream.learn(copy.copy(model), np.arange(200, 400))
    assert_sums_are(again, stream.learn(model.emptied(), np.arange(200, 400)))
    assert again.encode(stream.views["image"], modality="image").shape == (N, 4)


def test_a_class_that_is_forgotten_is_not_answered(stream):
    empty = stream.learn(bare(), np.arange(120)).emptied()
    model = stream.learn(copy.copy(empty), np.arange(N))
    stream.forget(model, np.flatnonzero(stream.labels == 2))
    expected = stream.learn(copy.copy(empty), np.flatnonzero(stream.labels != 2))
    assert_answers_are(model, expected, stream)
    assert not model._state.sums["image"].XL[:, 2].any()


def test_labels_by_name_are_forgotten_by_name(stream):
    names = np.array(["cat", "dog", "eel", "fox", "gnu", "hen"], dtype=object)[stream.labels]
    model = bare().partial_fit(stream.views, names)
    model.forget(stream.views_of(slice(100, N)), names[100:])
    assert model.n_samples_seen_ == 100
    with pytest.raises(ValueError, match="'owl'"):
        model.forget(stream.views_of(slice(0, 1)), ["owl"])


def test_rows_with_wrong_labels_are_forgotten_by_the_labels_they_were_learned_with(stream):
    rng = np.random.default_rng(2)
    given = np.where(rng.random(N) < 0.15, rng.integers(0, C, size=N), stream.labels)
    model = bare(noise=0.15)
    model.partial_fit(stream.views_of(slice(0, 240)), given[:240])
    before = copy.copy(model)
    model.partial_fit(stream.views_of(slice(240, N)), given[240:])
    learned = given[240:].copy()
    relabelled = model.relabelled_
    assert len(relabelled["row"]) > 10
    learned[relabelled["row"]] = relabelled["taken"]
    model.forget(stream.views_of(slice(240, N)), learned)
    assert_sums_are(model, before)


def test_anchors_that_are_forgotten_are_taken_out(stream):
    model = stream.learn(bare(FIXED), np.arange(240))
    gone = model._state.origins["image"].anchors[5:15]
    kept = np.delete(model._state.maps["image"].anchors_, np.arange(5, 15), axis=0)
    stream.forget(model, gone, ids=gone)
    assert_array_equal(model._state.maps["image"].anchors_, kept)
    assert model._state.n_mapped["image"] == 30
    expected = stream.learn(model.emptied(), np.setdiff1d(np.arange(240), gone))
    assert_sums_are(model, expected)
    assert_answers_are(model, expected, stream)
    stream.learn(model, np.arange(240, N))
    assert model.n_samples_seen_ == N - 10


def test_without_ids_anchors_stay(stream):
    model = stream.learn(bare(FIXED), np.arange(240))
    stream.forget(model, np.arange(100))
    assert model._state.n_mapped["image"] == 40


def test_a_model_grows_after_it_forgot(stream, tmp_path):
    model = stream.learn(bare(GROWING), np.arange(240))
    gone = np.arange(40, 200)
    stream.forget(model, gone, ids=gone)
    model.save(tmp_path / "model.npz")
    for other in (model, pyhash.load(tmp_path / "model.npz")):
        stream.learn(other, np.arange(240, N))
        assert len(other._state.origins["image"].anchors) == other._state.n_mapped["image"]
        assert other._state.origins["image"].n_rows == N
    assert_sums_are(other, model)
    assert_answers_are(other, model, stream)


# --- what cannot be forgotten -----------------------------------------------------------------------------------------


def refused(model, message, views, labels, error=ValueError, **options):
    state = model._state
    with pytest.raises(error, match=message):
        model.forget(views, labels, **options)
    assert model._state is state


def test_more_rows_than_were_learned_are_refused(stream):
    model = bare().partial_fit(stream.views_of(slice(0, 60)), stream.labels[:60], present={"text": np.arange(60) < 30})
    of_class = np.flatnonzero(stream.labels == stream.labels[0])[:50]
    n = np.count_nonzero(stream.labels[:60] == stream.labels[0])
    message = rf"^labels must be those of rows that were learned: {n} rows have the labels \[\d\], got 50 to take away$"
    refused(model, message, stream.views_of(of_class), stream.labels[of_class])
    refused(model, "^labels must be .*class", stream.views_of([0]), [99])
    refused(model, "modality 'text'", stream.views_of(slice(0, 60)), stream.labels[:60])
    absent = bare().partial_fit(stream.views_of(slice(0, 60)), np.where(stream.labels[:60] == 3, 2, stream.labels[:60]))
    refused(
        absent,
        r"^labels must be those of rows that were learned, no row has those of row 0$",
        stream.views_of([0]),
        [3],
    )


def test_rows_without_labels_were_never_learned(stream):
    model = bare().partial_fit(stream.views, stream.labels)
    message = r"^labels must be those of rows that were learned, no row has those of row 1$"
    refused(model, message, stream.views_of([0, 1]), [stream.labels[0], -1])


def test_a_chunk_that_lacked_a_modality_is_forgotten_without_it(stream):
    before = bare().partial_fit(stream.views_of(slice(0, 300)), stream.labels[:300])
    model = copy.copy(before)
    views = {**stream.views_of(slice(300, N)), "text": None}
    model.partial_fit(views, stream.labels[300:]).forget(views, stream.labels[300:])
    assert_sums_are(model, before)


def test_ids_that_do_not_fit_are_refused(stream):
    model = stream.learn(bare(GROWING), np.arange(240))
    views, labels = stream.views_of([0, 1]), stream.labels[:2]
    refused(model, r"^ids must be given: the map of 'image' grew, and what a row added depends on how", views, labels)
    refused(model, r"^ids must be numbers of the 240 rows learned, got 240$", views, labels, ids=[0, 240])
    refused(model, r"^ids must be unique", views, labels, ids=[1, 1])
    refused(model, r"^ids must have shape \(2,\)", views, labels, ids=[1])
    refused(model, r"^ids must be numbers of rows, from 0, got -1$", views, labels, ids=[0, -1])
    refused(model, r"^ids must be integers", views, labels, ids=[0.5, 1.0], error=TypeError)
    fixed = stream.learn(bare(FIXED), np.arange(60))
    refused(
        fixed,
        r"^ids must leave rows that are anchors of the map of 'image', all 40 go$",
        stream.views_of(slice(0, 60)),
        stream.labels[:60],
        ids=np.arange(60),
        present={name: mark[:60] for name, mark in stream.present.items()},
    )


def test_a_row_is_forgotten_once(stream):
    """Also after a file, and rows left can be forgotten without ids where the map did not grow."""
    model = stream.learn(BOCH(16, feature_maps=FIXED | {"text": UnitLength()}), range(240))
    is_anchor = np.isin(np.arange(240), model._state.origins["image"].anchors)
    rows = np.flatnonzero(~is_anchor)[:7]
    call = (stream.views_of(rows), stream.labels[rows])
    present = {name: mark[rows] for name, mark in stream.present.items()}
    model.forget(*call, ids=rows, present=present)
    before = model._state
    with pytest.raises(ValueError, match=rf"^ids must be of rows that are not forgotten yet, got {rows[0]}$"):
        model.forget(*call, ids=rows, present=present)
    assert model._state is before
    assert before.origins["image"].n_rows == 240
    others = np.flatnonzero(~is_anchor)[7:9]
    present = {name: mark[others] for name, mark in stream.present.items()}
    model.forget(stream.views_of(others), stream.labels[others], present=present)
    assert model.n_samples_seen_ == 231


def test_rows_that_forgotten_anchors_completed_cannot_be_forgotten(stream):
    model = stream.learn(bare({**GROWING, "sound": None}), np.arange(240))
    first = model._state.origins["image"].anchors[:1]
    stream.forget(model, first, ids=first)
    other = np.setdiff1d(np.arange(120), [*first, *model._state.origins["image"].anchors])[:1]
    message = r"^ids must be of rows that can still be forgotten, got \d+: the map of 'image' has lost anchors"
    refused(model, message, stream.views_of(other), stream.labels[other], ids=other)
    stream.forget(model, np.arange(200, 240), ids=np.arange(200, 240))


def test_a_model_of_an_earlier_version_does_not_know_when_its_map_grew(stream):
    model = stream.learn(bare({**GROWING, "sound": None}), np.arange(240))
    model._state = model._state.updated(origins={})
    refused(model, "does not know how many anchors there were", stream.views_of([0]), stream.labels[:1], ids=[0])
    fixed = stream.learn(bare({**FIXED, "sound": None}), np.arange(240))
    fixed._state = fixed._state.updated(origins={})
    stream.forget(fixed, np.arange(10))
    assert fixed.n_samples_seen_ == 230


# --- merging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maps", [FIXED, AS_THEY_ARE, GROWING], ids=["fixed", "none", "growing"])
@pytest.mark.parametrize("is_saved", [False, True])
def test_four_parts_are_one_stream(stream, maps, is_saved, tmp_path):
    base = stream.learn(bare(maps), np.arange(160), 80)
    empty = base.emptied()
    if is_saved:
        empty.save(tmp_path / "empty.npz")
    parts = []
    for start in range(160, N, 80):
        part = pyhash.load(tmp_path / "empty.npz") if is_saved else copy.copy(empty)
        parts.append(stream.learn(part, np.arange(start, start + 80)))
        if is_saved:
            parts[-1].save(tmp_path / "part.npz")
            parts[-1] = pyhash.load(tmp_path / "part.npz")
    one = stream.learn(copy.copy(empty), np.arange(160, N), 80)
    merged = merge(parts)
    assert_sums_are(merged, one)
    assert_answers_are(merged, one, stream)
    assert_sums_are(parts[0] + parts[1] + parts[2] + parts[3], merged, 1e-15)
    assert {model.fingerprint for model in (merged, one, base, *parts)} == {base.fingerprint}
    whole = merge([base, *parts])
    assert whole.n_samples_seen_ == N
    if maps is not GROWING:
        assert_sums_are(whole, stream.learn(copy.copy(base), np.arange(160, N), 80))
    # The parts are as they were.
    assert [part.n_samples_seen_ for part in parts] == [80] * 4


def test_models_of_raw_features_are_merged_without_a_common_beginning(stream):
    parts = [stream.learn(bare(AS_THEY_ARE, encoder="bits"), np.arange(start, N, 2), N) for start in (0, 1)]
    merged = merge(parts)
    assert merged.fingerprint == parts[0].fingerprint
    assert_sums_are(merged, stream.learn(copy.copy(parts[0]), np.arange(1, N, 2), N))


def test_rows_of_a_merged_model_are_forgotten_by_their_numbers_in_the_order_of_the_models(stream):
    base = stream.learn(bare(GROWING), np.arange(240))
    parts = [stream.learn(base.emptied(), rows) for rows in (np.arange(240, 300), np.arange(300, N))]
    merged = merge([base, *parts])
    stream.forget(merged, np.arange(300, N), ids=np.arange(300, N))
    assert_sums_are(merged, base + parts[0])
    other = merge([parts[1], base, parts[0]])
    stream.forget(other, np.arange(120, 240), ids=180 + np.arange(120, 240))
    assert other._state.maps["image"].is_same_as(stream.learn(bare(GROWING), np.arange(120))._state.maps["image"])


def test_a_merged_model_grows_if_one_of_its_parts_does(stream):
    base = stream.learn(bare(GROWING), np.arange(240))
    part = stream.learn(base.emptied(), np.arange(240, 300))
    for both in (base + part, part + base):
        stream.learn(both, np.arange(300, 420))
        assert both._state.n_mapped["image"] == 60
    stream.learn(part, np.arange(300, 420))
    assert part._state.n_mapped["image"] == 45


def test_new_classes_of_parts_are_those_of_the_whole(stream):
    early = np.flatnonzero(stream.labels < 3)
    base = stream.learn(bare(), early[:120])
    rows = np.arange(200, N)
    parts = [stream.learn(base.emptied(), some) for some in (early[120:], rows)]
    for order in (parts, parts[::-1]):
        assert_answers_are(merge(order), stream.learn(base.emptied(), np.concatenate([early[120:], rows])), stream)


def test_classes_by_name_must_be_numbered_alike(stream):
    names = np.array(["cat", "dog", "eel", "fox", "gnu", "hen"], dtype=object)
    image = {"image": stream.views["image"][:4]}
    base = BOCH(32, feature_maps={"image": None}).partial_fit(image, names[[0, 1, 0, 1]])
    a = base.emptied().partial_fit(image, names[[0, 1, 2, 3]])
    b = base.emptied().partial_fit(image, names[[0, 1, 1, 2]])
    assert list((b + a).classes_) == list((a + b).classes_) == ["cat", "dog", "eel", "fox"]
    c = base.emptied().partial_fit(image, names[[3, 1, 1, 2]])
    with pytest.raises(
        ValueError, match=r"^models must number their classes alike, class 2 is 'eel' in models\[0\] and"
    ):
        merge([a, c])
    by_index = BOCH(32, feature_maps={"image": None}).partial_fit(image, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"^models must all have labels by name or all class indices"):
        merge([a, by_index])


def test_calibrations_of_parts_are_added(stream):
    base = stream.learn(bare(), np.arange(120))
    parts = [stream.learn(base.emptied(), rows) for rows in (np.arange(120, 300), np.arange(300, N))]
    found = merge(parts).calibration_
    for name in ("image", "text"):
        first, second = (part._state.calibrations[name] for part in parts)
        assert found[name]["n_rows"] == first.n_rows + second.n_rows
        both = merge(parts)._state.calibrations[name]
        assert_array_equal(both.precisions, first.precisions + second.precisions)
        assert_array_equal(both.losses, first.losses + second.losses)


def test_calibrations_without_a_common_candidate_are_those_of_more_rows(stream):
    base = stream.learn(bare(), np.arange(120))
    parts = [stream.learn(base.emptied(), rows) for rows in (np.arange(120, 300), np.arange(300, N))]
    for part, kept in zip(parts, ([0], [1]), strict=True):
        of = part._state.calibrations["text"]
        of.precisions[np.setdiff1d(np.arange(len(of.precisions)), kept)] = -np.inf
    for order in (parts, parts[::-1]):
        ridge = merge(order).calibration_["text"]["ridge"]
        assert ridge == max(parts, key=lambda part: part.calibration_["text"]["n_rows"]).calibration_["text"]["ridge"]


def test_calibrations_among_other_candidates_are_refused(stream):
    """Candidates for raw features depend on their scale in the first chunk."""
    views = {"image": stream.views["image"]}
    parts = [BOCH(32, feature_maps={"image": None}).fit({"image": s * views["image"]}, stream.labels) for s in (1, 3)]
    with pytest.raises(ValueError, match=r"^models must have calibrated label scores among the same candidates"):
        merge(parts)
    a = parts[0].emptied().partial_fit(views, stream.labels)
    assert a._state.calibrations["image"].ridges == parts[0]._state.calibrations["image"].ridges
    assert merge([parts[0], a]).n_samples_seen_ == 2 * N


# --- what cannot be merged --------------------------------------------------------------------------------------------

TOGETHER = "cannot be merged or emptied, and cannot forget rows"
REASONS = {
    LEMON: "the codes of rows depend on the rows learned before them",
    SHOH: "the centers of the classes, and with them the codes of rows, depend on the rows learned before",
    SEOCH: "the codes of rows depend on the rows learned before them",
}


@pytest.mark.parametrize("method", REASONS)
def test_methods_whose_codes_depend_on_other_rows_are_refused_with_the_reason(method):
    X = np.random.default_rng(0).standard_normal((20, 4))
    views, labels = {"image": X, "text": X}, np.eye(2)[np.arange(20) % 2]
    model = method(8).partial_fit(views, labels)
    state, message = model._state, rf"^this {method.__name__} {TOGETHER}: {REASONS[method]}"
    for refused_call in (
        lambda: model.forget(views, labels),
        lambda: model.emptied(),
        lambda: model + model,
        lambda: merge([model]),
        lambda: method(8).emptied(),
    ):
        with pytest.raises(TypeError, match=message):
            refused_call()
    assert model._state is state


def several_labels(views, labels):
    return BOCH(16).partial_fit(views, np.eye(4)[labels] + np.eye(4)[(labels + 1) % 4])


def instance_bits(views, labels):
    return BOCH(16, class_bits=8).partial_fit(views, labels)


def encoder_auto(views, labels):
    return BOCH(16, encoder="auto").partial_fit(views, labels)


def decaying(views, labels):
    return BOCH(16, decay=0.1).partial_fit(views, labels)


def decayed(views, labels):
    model = decaying(views, labels).partial_fit(views, labels)
    model.decay = 0.0
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (several_labels, "the codes of rows with several labels, which are those of LEMON, depend on the rows before"),
        (instance_bits, "instance bits depend on the means that the classes had when a row was learned"),
        (decaying, "with decay, what a row adds depends on the chunks learned after it"),
        (decayed, "with decay, what a row adds depends on the chunks learned after it"),
        (encoder_auto, "encoder='auto' keeps a sample of the rows, which has no sums to add or take away"),
    ],
)
def test_settings_with_which_sums_do_not_add_up_are_refused_with_the_reason(make, reason):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    views = {"image": rng.standard_normal((40, 5)), "text": rng.standard_normal((40, 6))}
    model = make(views, labels)
    message = f"^this BOCH {TOGETHER}: {reason}"
    refused(model, message, views, labels)
    for refused_call in (lambda: model.emptied(), lambda: model + model, lambda: merge([model])):
        with pytest.raises(ValueError, match=message):
            refused_call()


def test_models_that_do_not_fit_together_are_refused(stream):
    model = stream.learn(bare(), np.arange(120))
    rows, labels = stream.views_of(slice(0, 120)), stream.labels[:120]
    others = {
        r"^models must have the same parameters, models\[0\] has seed=0 and models\[1\] seed=1$": bare(seed=1),
        r"^models must have the same parameters, models\[0\] has noise=None and models\[1\] noise=0.1": bare(noise=0.1),
        r"^models must have the same feature maps, that of 'sound' differs in models\[0\] and models": bare(
            {**FIXED, "sound": Centering()}
        ),
    }
    for message, other in others.items():
        with pytest.raises(ValueError, match=message):
            merge([model, other.partial_fit(rows, labels)])
    apart = stream.learn(bare(), np.arange(120, 240))
    with pytest.raises(ValueError, match=r"^models must have the same feature maps, that of 'image' differs"):
        model + apart
    with pytest.raises(ValueError, match=r"^models must have the same modalities"):
        model + bare({"image": FIXED["image"]}).partial_fit({"image": rows["image"]}, labels)
    with pytest.raises(ValueError, match=r"^models must hold at least one model, got none$"):
        merge([])
    with pytest.raises(TypeError, match=r"^models must hold models, got int as models\[1\]$"):
        merge([model, 3])
    with pytest.raises(TypeError, match=r"^models must be of one class, got BOCH and LEMON$"):
        merge([model, LEMON(32)])
    offline = DCH(8).fit({"image": rows["image"]}, labels)
    with pytest.raises(TypeError, match=r"got DCH as .* learns whole data in one call, and keeps no sums to add$"):
        merge([offline, offline])
    with pytest.raises(TypeError, match=r"^models must be"):
        merge(model)
    with pytest.raises(TypeError):
        model + 3
    with pytest.raises(pyhash.NotFittedError):
        merge([model, bare()])


class Halving:
    """A map of a user."""

    def fit(self, X):
        return self

    def transform(self, X):
        return X / 2


def test_maps_that_are_not_of_the_library_must_be_one_object(stream):
    image, maps = stream.views["image"], {"image": Halving()}
    base = BOCH(32, feature_maps=maps).partial_fit({"image": image[:100]}, stream.labels[:100])
    part = base.emptied().partial_fit({"image": image[100:]}, stream.labels[100:])
    assert (base + part).n_samples_seen_ == N
    twin = BOCH(32, feature_maps=maps).partial_fit({"image": image[:100]}, stream.labels[:100])
    with pytest.raises(ValueError, match=r"^models must have the same feature maps"):
        base + twin


# --- emptied models ---------------------------------------------------------------------------------------------------


def test_an_emptied_model_has_the_maps_and_learned_nothing(stream, tmp_path):
    base = stream.learn(bare(GROWING), np.arange(240))
    base.emptied().save(tmp_path / "empty.npz")
    for model in (base.emptied(), pyhash.load(tmp_path / "empty.npz")):
        assert model.n_samples_seen_ == 0
        assert model.fingerprint == base.fingerprint
        assert_array_equal(model.classes_, base.classes_)
        for name, feature_map in base._state.maps.items():
            assert feature_map.is_same_as(model._state.maps[name])
        with pytest.raises(pyhash.NotFittedError, match="has no rows learned"):
            model.encode(stream.views["image"], modality="image")
        with pytest.raises(pyhash.NotFittedError, match="has no rows learned"):
            _ = model.encoders_
        with pytest.raises(pyhash.NotFittedError):
            _ = model.codes_
        assert model._state.calibrations.keys() == base._state.calibrations.keys()
    assert base.n_samples_seen_ == 240


def test_an_emptied_model_wants_a_label_in_its_first_chunk(stream):
    model = stream.learn(BOCH(16, feature_maps=FIXED), range(240)).emptied()
    with pytest.raises(ValueError, match=r"^labels must give some row of the first chunk a label, none has one$"):
        model.partial_fit({"image": stream.views["image"][:9], "text": None, "sound": None}, np.full(9, -1))
    assert model.n_samples_seen_ == 0


def test_an_emptied_model_calibrates_with_its_first_chunk(stream):
    base = stream.learn(bare(), np.arange(120))
    part = stream.learn(base.emptied(), np.arange(120, 320), 200)
    assert all(found["n_rows"] > 0 for found in part.calibration_.values())


def test_the_seed_of_class_codes_stays_in_an_emptied_model(stream, tmp_path):
    empty = stream.learn(bare(), np.arange(120)).emptied()
    empty.save(tmp_path / "empty.npz")
    for model in (empty, pyhash.load(tmp_path / "empty.npz")):
        model.seed = 1
        with pytest.raises(ValueError, match=r"^seed must stay as it was"):
            stream.learn(model, np.arange(120))


def test_an_emptied_model_tries_encoders_with_its_first_chunk(stream):
    part = stream.learn(bare(), np.arange(120)).emptied()
    part.encoder = "auto"
    stream.learn(part, np.arange(120, N), 200)
    assert set(part.encoders_.values()) <= {"bits", "posterior", "bayes"}
    assert part._state.n_mapped["image"] == 40


def test_wide_kernels_are_forgotten_far_below_their_ridge(rng):
    """Products of many kernel columns are computed in float32."""
    X, labels = rng.standard_normal((600, 6)), np.arange(600) % C
    maps = {"image": RBFAnchors(260, centered=True)}
    base = BOCH(32, feature_maps=maps, encoder="bits").partial_fit({"image": X[:300]}, labels[:300])
    model = base.emptied().partial_fit({"image": X}, labels)
    gone = rng.permutation(600)[:450]
    model.forget({"image": X[gone]}, labels[gone])
    rest = np.setdiff1d(np.arange(600), gone)
    expected = base.emptied().partial_fit({"image": X[rest]}, labels[rest])
    assert_allclose(model._state.sums["image"].XX, expected._state.sums["image"].XX, atol=1e-4)
    assert_allclose(model._state.sums["image"].XL, expected._state.sums["image"].XL, atol=1e-9)


def test_bags_of_words_are_merged_as_they_are(stream):
    model = BOCH(32).partial_fit({"text": stream.views["text"][:200]}, stream.labels[:200])
    assert isinstance(model._state.maps["text"], UnitLength)
    part = BOCH(32).partial_fit({"text": stream.views["text"][200:]}, stream.labels[200:])
    assert_sums_are(model + part, model.partial_fit({"text": stream.views["text"][200:]}, stream.labels[200:]))


@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes"])
def test_a_part_may_begin_with_rows_that_all_lack_a_modality(stream, encoder):
    part = stream.learn(bare(encoder=encoder), np.arange(240)).emptied()
    views = stream.views_of(np.arange(120))
    part.partial_fit({**views, "text": None}, stream.labels[:120])
    with pytest.raises(NotFittedError, match="no rows with the modality 'text'"):
        part.project(views["text"], modality="text")
    with pytest.raises(NotFittedError, match="no rows with the modality 'text'"):
        part.encode_fused(views)
    stream.learn(part, np.arange(120, 360))
    expected = stream.learn(part.emptied(), np.arange(120, 360))
    found, other = (model.encode(stream.views["text"][360:], modality="text") for model in (part, expected))
    # The shares of the classes differ a little, and so do calibrations.
    assert (found == other).mean() > (0.4 if encoder == "bayes" else 0.9)


def test_noisy_labels_are_judged_by_the_modalities_learned(stream):
    part = stream.learn(bare(noise=0.1), np.arange(240)).emptied()
    part.partial_fit({**stream.views_of(np.arange(120)), "text": None}, stream.labels[:120])
    before = copy.copy(part)
    rows = np.arange(120, 240)
    part.partial_fit(stream.views_of(rows), stream.labels[rows])
    without = {**stream.views_of(rows), "text": None}
    expected = before.partial_fit(without, stream.labels[rows]).relabelled_
    assert len(expected["row"]) > 0
    for field, values in part.relabelled_.items():
        assert_array_equal(values, expected[field])

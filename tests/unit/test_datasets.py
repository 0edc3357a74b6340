import numpy as np
import pytest

from pyhash.datasets import Dataset, load_npz, make_drifting, make_hierarchical, make_multilabel, save_npz


def test_emoji_has_the_documented_shapes(emoji):
    assert len(emoji) == 9150
    assert {name: view.shape for name, view in emoji.views.items()} == {
        "image_deep": (9150, 256),
        "image_gist": (9150, 512),
        "text": (9150, 2443),
        "text_deep": (9150, 256),
    }
    assert (len(emoji.label_names["level1"]), len(emoji.label_names["level2"])) == (8, 87)
    assert emoji.labels["keywords"].shape == (9150, 80)
    assert (emoji.labels["keywords"].sum(axis=1) > 0).sum() == 6690
    assert {name: int(split.sum()) for name, split in emoji.splits.items()} == {"pair": 903, "emoji": 888}
    assert [len(v) for v in emoji.items.values()] == [9150] * 5


def test_emoji_features_are_decoded(emoji):
    deep = emoji.views["image_deep"]
    assert deep.dtype == np.float32
    # The first byte is 16, between limits -0.32324412 and 0.3504144.
    assert deep[0, 0] == pytest.approx(16 / 255 * (0.3504144 + 0.32324412) - 0.32324412, abs=1e-7)
    assert (emoji.views["image_gist"] >= 0).all()
    text = emoji.views["text_deep"]
    assert text.dtype == np.float32
    # The first byte is 238, between limits -0.31487682 and 0.3541426.
    assert text[0, 0] == pytest.approx(238 / 255 * (0.3541426 + 0.31487682) - 0.31487682, abs=1e-7)


def test_equal_texts_of_emoji_have_equal_embeddings(emoji):
    _, first, same = np.unique(emoji.items["text"], return_index=True, return_inverse=True)
    assert len(first) < len(emoji)
    deep = emoji.views["text_deep"]
    np.testing.assert_allclose(deep, deep[first][same], atol=0.003)  # the step of a byte
    assert len(np.unique(deep[first], axis=0)) == len(first)


def test_emoji_words_are_the_columns_of_the_text_view(emoji):
    for row in (0, 1234, 9149):
        words = {emoji.vocabulary[column] for column in emoji.views["text"][[row]].indices}
        assert words
        assert words <= set(emoji.items["text"][row].split())
    assert set(emoji.views["text"].data) == {1.0}


def test_emoji_labels_agree_with_the_hierarchy(emoji):
    np.testing.assert_array_equal(emoji.hierarchy[0][emoji.labels["level2"]], emoji.labels["level1"])


def test_the_emoji_split_holds_emoji_back(emoji):
    database, queries = emoji.split("emoji")
    of = emoji.items["emoji_id"]
    assert not set(of[database]) & set(of[queries])
    database, queries = emoji.split("pair")
    assert np.isin(of[queries], of[database]).mean() > 0.95
    assert len(database) + len(queries) == 9150


def test_chunks_cover_the_split_once(emoji):
    chunks = list(emoji.chunks(1000, seed=3, split="pair", views=["text"], labels="keywords"))
    rows = np.concatenate([chunk.rows for chunk in chunks])
    np.testing.assert_array_equal(np.sort(rows), emoji.split("pair")[0])
    assert [len(chunk.rows) for chunk in chunks] == [1000] * 8 + [247]
    for chunk in chunks[:2]:
        assert list(chunk.views) == ["text"]
        assert (chunk.views["text"] != emoji.views["text"][chunk.rows]).nnz == 0
        np.testing.assert_array_equal(chunk.labels, emoji.labels["keywords"][chunk.rows])
    again = [chunk.rows.tolist() for chunk in emoji.chunks(1000, seed=3, split="pair")]
    assert again == [chunk.rows.tolist() for chunk in chunks]
    assert [chunk.rows.tolist() for chunk in emoji.chunks(1000, seed=4, split="pair")] != again
    everything = np.concatenate([chunk.rows for chunk in emoji.chunks(5000)])
    np.testing.assert_array_equal(np.sort(everything), np.arange(9150))


def test_views_of_chunks_may_be_an_iterator():
    chunks = make_hierarchical(100).chunks(50, views=iter(["text"]))
    assert [list(chunk.views) for chunk in chunks] == [["text"], ["text"]]


def test_chunks_carry_the_hierarchy(emoji):
    chunk = next(emoji.chunks(10))
    assert len(chunk.labels) == 2
    np.testing.assert_array_equal(chunk.labels[1], emoji.labels["level2"][chunk.rows])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: d.chunks(0), ValueError, "size must be an integer >= 1, got 0"),
        (lambda d: d.chunks(10, seed=-1), ValueError, "seed must be an integer >= 0, got -1"),
        (lambda d: d.chunks(10, split="half"), ValueError, "split must be one of 'pair', 'emoji', got 'half'"),
        (lambda d: d.split("half"), ValueError, "name must be one of 'pair', 'emoji', got 'half'"),
        (
            lambda d: d.chunks(10, views=["sound"]),
            ValueError,
            "views must be one of 'image_deep', 'image_gist', 'text', 'text_deep', got",
        ),
        (lambda d: d.chunks(10, views=5), TypeError, "views must be a sequence of names, got 5"),
        (lambda d: d.select([1], views=5), TypeError, "views must be a sequence of names, got 5"),
        (lambda d: d.select([1], views=np.array(3)), TypeError, r"views must be a sequence of names, got array\(3\)"),
        (lambda d: d.select([1], views="text"), TypeError, "views must be a sequence of names, got 'text'"),
        (lambda d: d.chunks(10, labels="level3"), ValueError, "labels must be one of 'hierarchy', 'level1', 'level2'"),
        (lambda d: make_hierarchical(0), ValueError, "n_samples must be an integer from 1 to 4294967296, got 0"),
        (
            lambda d: make_hierarchical(5, n_classes=(4, 3)),
            ValueError,
            r"n_classes must not shrink from coarse to fine",
        ),
        (lambda d: make_hierarchical(5, n_classes=()), ValueError, "n_classes must hold at least one layer, got none"),
        (lambda d: make_hierarchical(5, n_features={}), ValueError, "n_features must hold at least one modality"),
        (lambda d: make_multilabel(5, n_features={1: 5}), TypeError, "n_features must have names of type str, got 1"),
        (lambda d: make_hierarchical(2**70), ValueError, "n_samples must be an integer from 1 to 4294967296, got"),
        (lambda d: make_multilabel(2**62), ValueError, "n_samples must be an integer from 1 to 4294967296, got"),
        (
            lambda d: make_hierarchical(5, n_classes=(2, 2**70)),
            ValueError,
            r"n_classes\[1\] must be an integer from 1 to 16777216, got",
        ),
        (
            lambda d: make_multilabel(5, n_classes=2**70),
            ValueError,
            "n_classes must be an integer from 1 to 16777216, got",
        ),
        (
            lambda d: make_multilabel(5, n_features={"a": 2**70}),
            ValueError,
            r"n_features\['a'\] must be an integer from 1 to 16777216, got",
        ),
        (lambda d: make_multilabel(5, noise=1e308), ValueError, r"noise must be at most 1e\+30, got 1e\+308"),
        (lambda d: make_hierarchical(5, noise=-1), ValueError, "noise must be a finite number >= 0, got -1"),
        (
            lambda d: make_hierarchical(5, query_fraction=1.0),
            ValueError,
            r"query_fraction must be in \[0, 1\), got 1.0",
        ),
        (lambda d: make_hierarchical(5, n_features={"x": 0}), ValueError, r"n_features\['x'\] must be an integer"),
        (lambda d: make_drifting(5, turn=-1), ValueError, "turn must be a finite number >= 0, got -1"),
        (lambda d: make_drifting(5, query_fraction=1), ValueError, r"query_fraction must be in \[0, 1\), got 1"),
        (
            lambda d: make_multilabel(5, n_classes=2, mean_labels=3),
            ValueError,
            "mean_labels must be at most n_classes=2",
        ),
    ],
)
def test_wrong_arguments(emoji, call, error, message):
    with pytest.raises(error, match=message):
        call(emoji)


@pytest.mark.parametrize("n_classes", [(1,), (2, 2), (3, 5, 40)])
def test_hierarchical(n_classes):
    data = make_hierarchical(500, n_classes=n_classes, n_features={"a": 3, "b": 7}, query_fraction=0.2, seed=1)
    assert [view.shape for view in data.views.values()] == [(500, 3), (500, 7)]
    assert [len(parents) for parents in data.hierarchy] == list(n_classes[1:])
    for k, parents in enumerate(data.hierarchy):
        assert set(parents) == set(range(n_classes[k]))
        np.testing.assert_array_equal(parents[data.labels[data.layers[k + 1]]], data.labels[data.layers[k]])
    assert data.splits["random"].sum() == 100
    twin = make_hierarchical(500, n_classes=n_classes, n_features={"a": 3, "b": 7}, query_fraction=0.2, seed=1)
    np.testing.assert_array_equal(twin.views["b"], data.views["b"])
    other = make_hierarchical(500, n_classes=n_classes, n_features={"a": 3, "b": 7}, seed=2)
    assert (other.views["b"] != data.views["b"]).any()


def test_the_greatest_noise_gives_features_that_float32_holds():
    for make in (make_hierarchical, make_multilabel):
        assert all(np.isfinite(view).all() for view in make(500, noise=1e30).views.values())


def test_multilabel():
    data = make_multilabel(4000, n_classes=24, mean_labels=3.0, seed=1)
    labels = data.labels["classes"]
    assert labels.any(axis=1).all()
    assert 2.8 < labels.sum(axis=1).mean() < 3.3
    counts = labels.sum(axis=0)
    assert counts.argmax() < counts.argmin()
    from pyhash import SHOH

    chunk = next(data.chunks(200))
    assert SHOH(8).partial_fit(chunk.views, chunk.labels).codes_.shape == (200, 1)


def dataset(**changed):
    parts = {
        "name": "mine",
        "views": {"image": np.ones((4, 2)), "text": np.ones((4, 3))},
        "labels": {"of": np.array([0, 1, 0, 1])},
        "label_names": {},
        "hierarchy": [],
        "layers": (),
        "splits": {"query": np.array([True, False, False, False])},
    }
    return Dataset(**{**parts, **changed})


def test_a_data_set_converts_its_parts_to_arrays():
    import pandas as pd
    import polars as pl
    from scipy.sparse import coo_array, csr_array

    data = dataset(
        views={"image": pd.DataFrame(np.eye(4), index=[3, 2, 1, 0]), "text": coo_array(np.eye(4)), "sound": [[1]] * 4},
        labels={"of": pl.Series([0, 1, 0, 1]), "several": csr_array(np.eye(4, dtype=int))},
        splits={"query": [True, False, False, True]},
    )  # fmt: skip
    chunk = data.select(np.array([2, 0]), labels="several")
    np.testing.assert_array_equal(chunk.views["image"], np.eye(4)[[2, 0]])
    assert isinstance(chunk.views["text"], csr_array)
    np.testing.assert_array_equal(chunk.views["text"].toarray(), np.eye(4)[[2, 0]])
    np.testing.assert_array_equal(chunk.labels, np.eye(4)[[2, 0]])
    assert [rows.tolist() for rows in data.split("query")] == [[1, 2], [0, 3]]


@pytest.mark.parametrize("of", [np.arange(4), list("abab"), np.array(list("abab"))])
def test_instances_name_the_thing_of_a_row(of, tmp_path):
    data = dataset(layers=("of",), items={"of": of, "file": np.arange(4)}, instances="of")
    np.testing.assert_array_equal(data.instance_ids, of)
    assert dataset(items={"of": of}).instance_ids is None
    save_npz(tmp_path / "a.npz", data)
    read = load_npz(tmp_path / "a.npz")
    assert read.instances == "of"
    np.testing.assert_array_equal(read.instance_ids, of)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"views": {"image": np.ones((5, 2))}}, ValueError, r"equally many rows, got views\['image'\] has 5, labels"),
        ({"items": {"name": np.array(["a"])}}, ValueError, r"items\['name'\] has 1"),
        (
            {"views": {"image": np.ones(4)}},
            ValueError,
            r"views\['image'\] must have shape \(n, n_features\), got \(4,\)",
        ),
        ({"views": {}}, ValueError, "views must hold at least one entry, got none"),
        ({"views": np.ones((4, 2))}, TypeError, "views must be a mapping by name, got ndarray"),
        ({"labels": {}}, ValueError, "labels must hold at least one entry, got none"),
        ({"labels": {"of": np.ones((4, 1, 1))}}, ValueError, r"labels\['of'\] must have shape \(n,\) or"),
        ({"splits": {"query": np.ones(4)}}, ValueError, r"splits\['query'\] must be boolean \(n,\), True for queries"),
        ({"layers": ("other",)}, ValueError, r"layers must name one kind .* got \['other'\] where labels are \['of'\]"),
        ({"layers": [5]}, TypeError, "layers must be names of labels, got 5"),
        ({"layers": [["of"]]}, TypeError, r"layers must be names of labels, got \['of'\]"),
        ({"hierarchy": [np.array([0.5])]}, TypeError, r"hierarchy\[0\] must be class indices"),
        ({"instances": "of"}, ValueError, r"instances must be a key of items, got 'of' where they are \[\]"),
        ({"items": {"of": list("abab")}, "instances": ["of"]}, ValueError, r"got \['of'\] where they are \['of'\]"),
        ({"items": {"of": np.ones(4)}, "instances": "of"}, TypeError, r"items\['of'\] must be integers or strings"),
        ({"vocabulary": None}, TypeError, "vocabulary must be a list of str, got None"),
        ({"vocabulary": ["a", 5]}, TypeError, "vocabulary must be a list of str, got 5 in it"),
        ({"name": 5}, TypeError, "name must be a string, got 5"),
        ({"views": {5: np.ones((4, 2))}}, TypeError, "views must have names of type str, got 5"),
        ({"labels": {5: np.arange(4)}}, TypeError, "labels must have names of type str, got 5"),
        ({"splits": {5: np.ones(4, bool)}}, TypeError, "splits must have names of type str, got 5"),
        ({"views": {"x": np.full((4, 2), "a")}}, TypeError, r"views\['x'\] must hold real numbers, got dtype <U1"),
        ({"views": {"x": np.full((4, 2), 1j)}}, TypeError, r"views\['x'\] must hold real numbers, got dtype complex"),
        ({"labels": {"of": np.ones(4)}}, TypeError, r"labels\['of'\] must be class indices of an integer dtype"),
        ({"labels": {"of": ["a"] * 4}}, TypeError, r"labels\['of'\] must be class indices of an integer dtype"),
        (
            {"labels": {"of": [0, -1, 1, 2]}},
            ValueError,
            r"labels\['of'\] must be class indices from 0 .* got -1 in row",
        ),
        ({"labels": {"of": np.full((4, 2), 2)}}, ValueError, r"labels\['of'\] must hold only 0 and 1, wrong in rows 0"),
        ({"label_names": None}, TypeError, "label_names must be a mapping by name, got NoneType"),
        ({"label_names": {"of": 5}}, TypeError, r"label_names\['of'\] must be a list of str, got 5"),
        ({"label_names": {"of": "ab"}}, TypeError, r"label_names\['of'\] must be a list of str, got 'ab'"),
        ({"label_names": {"of": ["a", 1]}}, TypeError, r"label_names\['of'\] must be a list of str, got 1 in it"),
        ({"label_names": {"of": ["a"]}}, ValueError, r"label_names\['of'\] must have a name for each of the 2 classes"),
        (
            {"labels": {"of": np.eye(4)}, "label_names": {"of": list("abcde")}},
            ValueError,
            r"label_names\['of'\] must have a name for each of the 4 classes, got 5",
        ),
        (
            {"layers": ("of",), "hierarchy": [np.array([0, 0])]},
            ValueError,
            r"got \['of'\] where .* the hierarchy has 1 pairs",
        ),
    ],
)
def test_a_data_set_whose_parts_do_not_fit_is_refused(changed, error, message):
    with pytest.raises(error, match=message):
        dataset(**changed)


@pytest.mark.parametrize("n_classes", [5, None, 2.5])
def test_layers_of_a_hierarchy_must_be_a_sequence(n_classes):
    with pytest.raises(TypeError, match="n_classes must be a sequence of integers, one for each layer, got "):
        make_hierarchical(n_classes=n_classes)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([1000], IndexError, "rows must be from -100 to 99 for the 100 rows of the data set, got 1000"),
        (np.array([0, -101]), IndexError, "rows must be from -100 to 99 for the 100 rows of the data set, got -101"),
        (np.ones(100, dtype=bool), TypeError, r"rows must be integers, got bool; numpy.flatnonzero\(mask\)"),
        ([0.5], TypeError, "rows must be integers, got float64"),
        ([[1]], ValueError, r"rows must have shape \(n,\), got \(1, 1\)"),
        (3, ValueError, r"rows must have shape \(n,\), got \(\)"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows, error, message):
    with pytest.raises(error, match=message):
        make_hierarchical(100).select(rows)


def test_rows_may_be_a_list_and_count_from_the_end():
    data = make_hierarchical(100)
    chunk = data.select([-1, 3])
    np.testing.assert_array_equal(chunk.views["text"], data.views["text"][[-1, 3]])
    assert len(data.select([]).rows) == 0


def test_a_drifting_stream_turns_evenly():
    """Without noise, class means of the first and the last rows are opposite after half a turn, equal after a whole."""
    for turn, factor in [(180.0, -1.0), (360.0, 1.0), (0.0, 1.0)]:
        data = make_drifting(4001, n_classes=3, turn=turn, noise=0.0, seed=4)
        classes, X = data.labels["classes"], data.views["image"]
        ends = [np.flatnonzero(classes == c)[[0, -1]] for c in range(3)]
        for first, last in ends:
            np.testing.assert_allclose(X[last], factor * X[first], atol=0.15)
        if turn == 180.0:  # a right angle in the middle
            middle = [rows[np.argmin(np.abs(rows - 2000))] for rows in (np.flatnonzero(classes == c) for c in range(3))]
            assert all(np.abs(X[m] - X[f]).max() > 0.5 for m, (f, _) in zip(middle, ends, strict=True))
    np.testing.assert_array_equal(np.flatnonzero(make_drifting(50).splits["latest"]), np.arange(45, 50))

import builtins
import dataclasses
import struct
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix, csr_array, issparse

import pyhash
from pyhash.datasets import Dataset, load_mat, load_npz, make_hierarchical, make_multilabel, published_split, save_npz

N = 12


@pytest.fixture
def arrays(rng):
    """Image and text features and 0/1 labels of N samples."""
    labels = np.eye(3)[np.arange(N) % 3]
    labels[::4, 0] = 1
    return rng.standard_normal((N, 5)), (rng.random((N, 7)) < 0.4).astype(np.float64), labels


def write_hdf5(path, variables, texts=()):
    """A file as MATLAB 7.3 writes it: arrays transposed, classes as attributes, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            if issparse(value):
                stored = csc_matrix(value)
                group = file.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("double")
                group.attrs["MATLAB_sparse"] = np.uint64(stored.shape[0])
                if stored.nnz:
                    group["data"], group["ir"] = stored.data, stored.indices.astype(np.uint64)
                group["jc"] = stored.indptr.astype(np.uint64)
            elif isinstance(value, list):
                cells = file.create_dataset(name, (1, len(value)), dtype=h5py.ref_dtype)
                cells.attrs["MATLAB_class"] = np.bytes_("cell")
                for i, text in enumerate(value):
                    cells[0, i] = write_cell(file, f"#refs#/{name}{i}", text).ref
            elif isinstance(value, dict):
                file.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")
            else:
                file[name] = np.asarray(value).T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def write_cell(file, name, text):
    if isinstance(text, (int, float)):
        file[name] = np.array([[text]])
        file[name].attrs["MATLAB_class"] = np.bytes_("double")
    elif text == "":
        file[name] = np.array([0, 0], dtype=np.uint64)
        file[name].attrs.update({"MATLAB_class": np.bytes_("char"), "MATLAB_empty": np.uint8(1)})
    else:
        units = np.frombuffer(text.encode("utf-16-le"), dtype=np.uint16)
        file[name] = units[:, None]
        file[name].attrs["MATLAB_class"] = np.bytes_("char")
    return file[name]


def write_classic(path, variables):
    cells = {name: np.array(v, dtype=object)[:, None] for name, v in variables.items() if isinstance(v, list)}
    savemat(path, {**variables, **cells}, do_compression=True)


@pytest.fixture(params=[write_classic, write_hdf5], ids=["v7", "v7.3"])
def write(request):
    return request.param


def dense(view):
    return view.toarray() if issparse(view) else view


# --- layouts ----------------------------------------------------------------------------------------------------------


def hierarchical(affiliation):
    affiliation = np.asarray(affiliation)
    fine = np.eye(affiliation.shape[1])[np.arange(N) % affiliation.shape[1]]
    return np.hstack([(fine @ affiliation.T > 0).astype(float), fine])


def test_shoh(tmp_path, write, arrays):
    image, text, _ = arrays
    affiliation = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    label = hierarchical(affiliation)
    write(tmp_path / "FashionVC.mat", {"Gist": image, "Tag": csc_matrix(text), "Label": label, "A1_2": affiliation})
    data = load_mat(tmp_path / "FashionVC.mat")
    assert repr(data) == "Dataset('FashionVC', 12 rows; views: image 5, text 7; labels: level1, level2)"
    np.testing.assert_array_equal(data.views["image"], image)
    assert isinstance(data.views["text"], csr_array)
    np.testing.assert_array_equal(data.views["text"].toarray(), text)
    np.testing.assert_array_equal(data.labels["level1"], label[:, :2])
    np.testing.assert_array_equal(data.labels["level2"], label[:, 2:])
    np.testing.assert_array_equal(data.hierarchy[0], [0, 0, 1, 1])
    assert data.layers == ("level1", "level2")
    chunk = next(data.chunks(10))
    assert pyhash.SHOH(8, hierarchy=data.hierarchy).partial_fit(chunk.views, chunk.labels).codes_.shape == (10, 1)


def test_shoh_with_several_parents(tmp_path, write, arrays):
    affiliation = np.array([[1, 1, 0, 0], [0, 1, 1, 1]])
    variables = {"gist": arrays[0], "tag": arrays[1], "label": hierarchical(affiliation), "a1_2": affiliation}
    write(tmp_path / "a.mat", variables)
    data = load_mat(tmp_path / "a.mat", "shoh")
    np.testing.assert_array_equal(data.hierarchy[0], affiliation)
    chunk = next(data.chunks(10))
    pyhash.SHOH(8, hierarchy=data.hierarchy).partial_fit(chunk.views, chunk.labels)


def test_shoh_with_fine_classes_as_rows(tmp_path, write, arrays):
    affiliation = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    variables = {"Gist": arrays[0], "Tag": arrays[1], "Label": hierarchical(affiliation), "A1_2": affiliation.T}
    write(tmp_path / "a.mat", variables)
    data = load_mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(data.hierarchy[0], [0, 0, 1, 1])
    assert data.labels["level1"].shape == (N, 2)


A1_2 = np.array([[1, 1, 0], [0, 0, 1]])
A2_3 = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]])
THREE_LAYERS = np.hstack([np.eye(5)[np.arange(N) % 5] @ A2_3.T @ A1_2.T, hierarchical(A2_3)])


@pytest.mark.parametrize("turned", [[], ["A1_2"], ["A2_3"], ["A1_2", "A2_3"]], ids=str)
def test_shoh_with_three_layers(tmp_path, write, arrays, turned):
    affiliations = {name: A.T if name in turned else A for name, A in (("A1_2", A1_2), ("A2_3", csc_matrix(A2_3)))}
    write(tmp_path / "a.mat", {"Gist": arrays[0], "Tag": arrays[1], "Label": THREE_LAYERS, **affiliations})
    data = load_mat(tmp_path / "a.mat")
    assert data.layers == ("level1", "level2", "level3")
    np.testing.assert_array_equal(data.hierarchy[0], [0, 0, 1])
    np.testing.assert_array_equal(data.hierarchy[1], [0, 0, 1, 2, 2])
    np.testing.assert_array_equal(np.hstack([data.labels[layer] for layer in data.layers]), THREE_LAYERS)
    chunk = next(data.chunks(10))
    assert len(pyhash.SHOH(8, hierarchy=data.hierarchy).partial_fit(chunk.views, chunk.labels).centers_) == 3


def test_dcmh(tmp_path, write, arrays):
    image, text, labels = arrays
    names = [f"im{i}.jpg" for i in range(N)]
    write(
        tmp_path / "a.mat", {"IAll": np.ones((N, 3, 2, 2)), "XAll": image, "YAll": text, "LAll": labels, "FAll": names}
    )
    data = load_mat(tmp_path / "a.mat")
    assert list(data.views) == ["image", "text"]
    np.testing.assert_array_equal(data.views["image"], image)
    np.testing.assert_array_equal(data.labels["classes"], labels)
    assert data.labels["classes"].dtype == np.uint8
    assert data.items["file"].tolist() == names


def test_dcmh_with_deep_features(tmp_path, write, arrays):
    image, text, labels = arrays
    deep = image @ np.ones((5, 9))
    write(tmp_path / "a.mat", {"IAll": image, "YAll": text, "LAll": labels, "FAll": deep})
    data = load_mat(tmp_path / "a.mat")
    assert list(data.views) == ["image", "image_deep", "text"]
    np.testing.assert_array_equal(data.views["image_deep"], deep)
    write(tmp_path / "b.mat", {"XAll": image, "IAll": image[:, :2], "YAll": text, "LAll": labels})
    assert load_mat(tmp_path / "b.mat").views["image_raw"].shape == (N, 2)


def test_a_folder_is_read_as_one_file(tmp_path, write, arrays):
    for name, array in zip(("XAll", "YAll", "LAll"), arrays, strict=True):
        write(tmp_path / f"flickr-{name.lower()}.mat", {name: array})
    data = load_mat(tmp_path)
    assert data.name == tmp_path.stem
    np.testing.assert_array_equal(data.views["text"], arrays[1])
    write(tmp_path / "again.mat", {"XAll": arrays[0]})
    with pytest.raises(ValueError, match="must have each variable once, XAll is in several files"):
        load_mat(tmp_path)


def parts(arrays, **rows):
    return {f"{a}_{part}": array[at] for part, at in rows.items() for a, array in zip("ITL", arrays, strict=True)}


def test_train_and_test(tmp_path, write, arrays):
    write(tmp_path / "a.mat", parts(arrays, tr=slice(0, 8), te=slice(8, N)))
    for layout in (None, "tr-te", "tr-te-db"):
        data = load_mat(tmp_path / "a.mat", layout)
        np.testing.assert_array_equal(data.views["image"], arrays[0])
        np.testing.assert_array_equal(data.labels["classes"], arrays[2])
        assert data.items["role"].tolist() == ["train"] * 8 + ["query"] * 4
        np.testing.assert_array_equal(data.split("published")[1], np.arange(8, N))


@pytest.mark.parametrize("as_stored", [np.asarray, csc_matrix], ids=["dense", "sparse"])
def test_train_rows_of_the_database_appear_once(tmp_path, write, arrays, as_stored):
    # The published row order: training rows are somewhere within the database.
    variables = parts(arrays, tr=[5, 2], te=slice(8, N), db=slice(0, 8))
    write(tmp_path / "a.mat", {name: as_stored(v) for name, v in variables.items()})
    data = load_mat(tmp_path / "a.mat")
    for view, array in zip(("image", "text"), arrays, strict=False):
        np.testing.assert_array_equal(dense(data.views[view]), array)
    roles = ["database"] * 8
    roles[2] = roles[5] = "train"
    assert data.items["role"].tolist() == roles + ["query"] * 4
    np.testing.assert_array_equal(data.split("published")[0], np.arange(8))
    # The database is ignored where the layout says so.
    assert len(load_mat(tmp_path / "a.mat", "tr-te")) == 6


def test_train_rows_beside_the_database(tmp_path, write, arrays):
    write(tmp_path / "a.mat", parts(arrays, tr=[0, 1, 1, 6], te=slice(8, N), db=[1, 2, 3]))
    data = load_mat(tmp_path / "a.mat")
    # Row 1 is in the database once, so only one of the two is matched.
    np.testing.assert_array_equal(data.views["image"], arrays[0][[1, 2, 3, 0, 1, 6, 8, 9, 10, 11]])
    assert data.items["role"].tolist() == ["train", "database", "database"] + ["train only"] * 3 + ["query"] * 4


def test_columns_as_samples(tmp_path, write, arrays):
    variables = parts(arrays, tr=slice(0, 5), te=slice(5, N))
    write(tmp_path / "a.mat", {name: array.T for name, array in variables.items()})
    data = load_mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(data.views["image"], arrays[0])
    np.testing.assert_array_equal(data.labels["classes"], arrays[2])
    # A column each: many samples of one feature rather than one sample of many.
    write(tmp_path / "d.mat", {"X": arrays[0][:, :1], "L": np.arange(N)[:, None] % 3})
    assert len(load_mat(tmp_path / "d.mat", names={"a": "X", "labels": "L"})) == N
    # One matrix the other way round, and one that is square.
    square = np.arange(N * N).reshape(N, N)
    write(tmp_path / "b.mat", {"X": square, "Y": arrays[1], "L": arrays[2]})
    data = load_mat(tmp_path / "b.mat", names={"a": "X", "b": "Y", "labels": "L"})
    np.testing.assert_array_equal(data.views["a"], square)
    write(tmp_path / "c.mat", {"X": csc_matrix(arrays[0].T), "L": arrays[2]})
    data = load_mat(tmp_path / "c.mat", names={"a": "X", "labels": "L"})
    assert isinstance(data.views["a"], csr_array)
    np.testing.assert_array_equal(data.views["a"].toarray(), arrays[0])


CAPTIONS = ["A cat, a dog", "The DOG runs", "cat", "", "a bird", *["the"] * (N - 5)]


def test_captions(tmp_path, write, arrays):
    index = [f"images/{i}.jpg" for i in range(N)]
    write(tmp_path / "a.mat", {"index": index, "caption": CAPTIONS, "category": arrays[2]})
    for name, variables in (
        ("index", {"index": index}),
        ("caption", {"caption": CAPTIONS}),
        ("label", {"category": arrays[2]}),
    ):
        (tmp_path / "trio").mkdir(exist_ok=True)
        write(tmp_path / "trio" / f"{name}.mat", variables)
    for path in (tmp_path / "a.mat", tmp_path / "trio"):
        data = load_mat(path)
        assert list(data.views) == ["text"]
        assert data.vocabulary == ["a", "cat", "dog", "the"]
        np.testing.assert_array_equal(
            data.views["text"].toarray()[:5], [[2, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
        )
        assert data.items["caption"].tolist() == CAPTIONS
        assert data.items["index"].tolist() == index
        np.testing.assert_array_equal(data.labels["classes"], arrays[2])


def test_captions_as_counts_and_index_as_features(tmp_path, write, arrays):
    image, text, labels = arrays
    write(tmp_path / "a.mat", {"index": image, "caption": csc_matrix(text), "label": labels})
    data = load_mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(data.views["image"], image)
    np.testing.assert_array_equal(data.views["text"].toarray(), text)
    write(tmp_path / "b.mat", {"index": np.arange(N)[None, :], "caption": CAPTIONS, "label": labels.T})
    data = load_mat(tmp_path / "b.mat")
    assert data.items["index"].tolist() == list(range(N))
    np.testing.assert_array_equal(data.labels["classes"], labels)


def test_several_captions_of_a_sample(tmp_path):
    cells = np.empty((3, 1), dtype=object)
    cells[:, 0] = [np.array(["a cat", "a dog  "]), np.array([["dog"], ["bird"]], dtype=object), "cat"]
    savemat(tmp_path / "a.mat", {"index": np.array(["x", "yy", "z"]), "caption": cells, "label": np.eye(3)[:, :2]})
    data = load_mat(tmp_path / "a.mat")
    assert data.items["caption"].tolist() == ["a cat a dog", "dog bird", "cat"]
    assert data.items["index"].tolist() == ["x", "yy", "z"]
    assert data.vocabulary == ["cat", "dog"]


def test_files_of_version_4_and_of_others_than_matlab(tmp_path, arrays):
    image, text, labels = arrays
    savemat(tmp_path / "a.mat", {"XAll": image, "YAll": text, "LAll": labels}, format="4")
    with h5py.File(tmp_path / "b.mat", "w") as file:  # no MATLAB classes, and samples are rows
        file["XAll"], file["YAll"], file["LAll"] = image, text, labels
        file["words"] = ["a", "b"]
        file.create_group("more")
    for name in ("a.mat", "b.mat"):
        data = load_mat(tmp_path / name)
        np.testing.assert_array_equal(data.views["image"], image)
        np.testing.assert_array_equal(data.views["text"], text)
        np.testing.assert_array_equal(data.labels["classes"], labels)
    with pytest.raises(ValueError, match=r"more \(\) group, which is not read, words \(2,\) object, which is not read"):
        load_mat(tmp_path / "b.mat", "shoh")


def test_sparse_matrices_of_version_4(tmp_path, arrays):
    image, text, labels = arrays
    savemat(tmp_path / "a.mat", {"X": image, "T": csc_matrix(text), "L": labels}, format="4")
    data = load_mat(tmp_path / "a.mat", names={"image": "X", "text": "T", "labels": "L"})
    np.testing.assert_array_equal(data.views["text"].toarray(), text)


def test_names_match_whatever_the_case_unless_several_do(tmp_path, arrays):
    savemat(tmp_path / "a.mat", {"X": arrays[0], "x": arrays[0] + 1, "L": arrays[2]})
    for name, shift in (("X", 0), ("x", 1)):
        data = load_mat(tmp_path / "a.mat", names={"image": name, "labels": "l"})
        np.testing.assert_array_equal(data.views["image"], arrays[0] + shift)
    savemat(tmp_path / "b.mat", {"xx": arrays[0], "xX": arrays[0], "L": arrays[2]})
    with pytest.raises(ValueError, match=r"names\['image'\] is 'XX', which .* does not have"):
        load_mat(tmp_path / "b.mat", names={"image": "XX", "labels": "l"})


@pytest.mark.parametrize("shape", [(N, 1), (1, N)])
def test_class_numbers_become_indices(tmp_path, write, arrays, shape):
    numbers = np.array([3, 1, 7] * 4).reshape(shape)
    write(tmp_path / "a.mat", {"X": arrays[0], "L": numbers})
    data = load_mat(tmp_path / "a.mat", names={"image": "x", "labels": "l"})
    assert data.labels["classes"].tolist() == [1, 0, 2] * 4
    assert data.labels["classes"].dtype == np.int64
    assert data.label_names["classes"] == ["1", "3", "7"]


def test_a_sparse_matrix_without_values(tmp_path, write, arrays):
    write(tmp_path / "a.mat", {"X": csc_matrix((N, 4)), "Y": arrays[0], "L": arrays[2]})
    data = load_mat(tmp_path / "a.mat", names={"x": "X", "y": "Y", "labels": "L"})
    assert data.views["x"].shape == (N, 4)
    assert data.views["x"].nnz == 0


# --- what is refused --------------------------------------------------------------------------------------------------


def test_an_unknown_layout_lists_the_variables(tmp_path, write, arrays):
    write(tmp_path / "a.mat", {"X1": arrays[0], "X2": csc_matrix(arrays[1]), "meta": {"a": 1}, "words": ["a"] * N})
    with pytest.raises(ValueError, match="has none of the layouts 'shoh', 'dcmh', 'tr-te-db', 'tr-te', 'cap") as raised:
        load_mat(tmp_path / "a.mat")
    for shown in ("X1 (12, 5)", "X2 (12, 7) sparse", " struct, which is not read", "words", "names={'image': 'X1', "):
        assert shown in str(raised.value)


FEATURES = np.arange(60.0).reshape(N, 5)
LABELS = np.eye(3)[np.arange(N) % 3]
NAMES = {"image": "X", "labels": "L"}


@pytest.mark.parametrize(
    ("variables", "arguments", "message"),
    [
        ({"L": -LABELS}, {"names": NAMES}, "names\\['image'\\] is 'X', which .* does not have; it has L \\(12, 3\\)"),
        ({"X": FEATURES, "L": 2 * LABELS - 1}, {"names": NAMES}, "L must hold only 0 and 1, got -1 in rows .* L > 0"),
        ({"X": FEATURES, "L": 2 * LABELS}, {"names": NAMES}, "a.mat: L must hold only 0 and 1, got 2 in rows 0, 1, 2"),
        (
            {"X": FEATURES, "L": LABELS * np.nan},
            {"names": NAMES},
            "L must not hold NaN or infinity, got some in rows 0",
        ),
        (
            {"X": FEATURES, "L": FEATURES[:, :1] / 4},
            {"names": NAMES},
            "L must be class numbers >= 0, got 1.25 in rows 1",
        ),
        ({"X": FEATURES, "L": -FEATURES[:, :1]}, {"names": NAMES}, "L must be class numbers >= 0, got -5 in rows 1, 2"),
        (
            {"X": FEATURES, "L": LABELS[:4]},
            {"names": NAMES},
            r"must have the number of samples in common, got X \(12, 5\)",
        ),
        ({"X": np.eye(6), "L": np.eye(6)}, {"names": NAMES}, "cannot tell whether samples are rows or columns of X"),
        ({"X": ["a"] * N, "L": LABELS}, {"names": NAMES}, "X must be a matrix of numbers, got texts"),
        ({"X": {"a": 1}, "L": LABELS}, {"names": NAMES}, "X must be a matrix of numbers, got struct"),
        (
            {"X": np.ones((N, 2, 2)), "L": LABELS},
            {"names": NAMES},
            r"X must be a matrix of .* raw pictures are not read",
        ),
        ({"X": FEATURES}, {"layout": "mine"}, "layout must be one of 'shoh', 'dcmh', .* got 'mine'"),
        ({"Gist": FEATURES, "Tag": FEATURES}, {"layout": "shoh"}, "has no Label, A1_2 for layout 'shoh'; it has Gist"),
        ({"X": FEATURES}, {"layout": "shoh", "names": NAMES}, "layout must be None where names are given, got 'shoh'"),
        ({"X": FEATURES}, {"names": {"image": "X"}}, "names must hold 'labels' and at least one view, got 'image'"),
        ({"X": FEATURES}, {"names": {"labels": "X"}}, "names must hold 'labels' and at least one view, got 'labels'"),
        (
            {"Gist": FEATURES, "Tag": FEATURES, "Label": LABELS, "A1_2": np.eye(3)},
            {},
            r"Label must have 6 columns, as many as A1_2 has classes of both levels, got shape \(12, 3\)",
        ),
        (
            {"Gist": FEATURES, "Tag": FEATURES, "Label": LABELS, "A1_2": np.array([[1, 0]])},
            {},
            "A1_2 must give every class of level 2 a parent, class 1 has none",
        ),
        (
            {"Gist": FEATURES, "Tag": FEATURES, "Label": THREE_LAYERS, "A1_2": A1_2, "A3_4": A2_3},
            {},
            "has A3_4, but no A2_3; it has",
        ),
        (
            {"Gist": FEATURES, "Tag": FEATURES, "Label": THREE_LAYERS, "A1_2": A1_2, "A2_3": A2_3[:2]},
            {},
            r"A2_3 must have 3 rows, the classes of level 2, got shape \(2, 5\)",
        ),
        (
            {"Gist": FEATURES, "Tag": FEATURES, "Label": THREE_LAYERS, "A1_2": A1_2, "A2_3": 0 * A2_3},
            {},
            "A2_3 must give every class of level 3 a parent, class 0 has none",
        ),
        (
            {"Gist": FEATURES, "Tag": FEATURES, "Label": THREE_LAYERS[:, 1:], "A1_2": A1_2, "A2_3": A2_3},
            {},
            r"Label must have 10 columns, as many as A1_2, A2_3 have classes of all levels, got shape \(12, 9\)",
        ),
        (
            {"Gist": FEATURES, "Tag": FEATURES, "Label": LABELS, "A1_2": np.array([[1, 2]])},
            {},
            "A1_2 must hold only 0 and 1, got 2 in row 0",
        ),
        (
            {"IAll": np.ones((N, 3, 2, 2)), "YAll": FEATURES, "LAll": LABELS},
            {},
            r"must have image features, XAll or FAll .* got IAll \(12, 3, 2, 2\): raw pictures are not read",
        ),
        (
            {"XAll": FEATURES, "YAll": FEATURES, "LAll": LABELS, "FAll": ["a.jpg"] * 3},
            {},
            "file must have 12 values, one a sample, got 3",
        ),
        (
            {**parts((FEATURES, FEATURES, LABELS), tr=slice(0, 5), te=slice(5, N)), "I_db": FEATURES},
            {},
            "a.mat has no T_db; it has",
        ),
        ({"index": ["a"] * 4, "caption": ["b"] * N, "label": LABELS}, {}, "texts must be equally many, got caption 12"),
        (
            {"index": ["a"] * 4, "caption": ["b"] * 4, "label": LABELS},
            {},
            r"arrays must have the number of samples in common, got label \(12, 3\)",
        ),
        (
            {"index": ["a"] * N, "caption": [f"w{i}" for i in range(N)], "label": LABELS},
            {},
            "caption must have a word that occurs in 2 texts, got none in 12 texts",
        ),
        (
            {"index": ["a"] * N, "caption": [1.5] * N, "label": LABELS},
            {},
            "caption must be a cell of texts, got a cell",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, write, variables, arguments, message):
    write(tmp_path / "a.mat", variables)
    with pytest.raises(ValueError, match=message):
        load_mat(tmp_path / "a.mat", **arguments)


def test_names_must_be_names(tmp_path):
    savemat(tmp_path / "a.mat", {"X": FEATURES})
    for names in (["X"], {"image": 3, "labels": "L"}):
        with pytest.raises(TypeError, match="names must be a mapping of views and 'labels' to names of arrays, got"):
            load_mat(tmp_path / "a.mat", names=names)


def test_damaged_files(tmp_path, write):
    path = tmp_path / "a.mat"
    noise = np.random.default_rng(0).standard_normal((N, 500))
    write(path, {"X": noise, "L": LABELS})
    whole = path.read_bytes()
    load_mat(path, names=NAMES)
    for cut in (0, 100, 200, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"a\.mat is not a whole MATLAB file: ."):
            load_mat(path, names=NAMES)
    path.write_text("These are not the bytes that you are looking for. " * 20)
    with pytest.raises(ValueError, match=r"a\.mat is not a whole MATLAB file: ."):
        load_mat(path, names=NAMES)


def test_a_damaged_sparse_matrix(tmp_path):
    write_hdf5(tmp_path / "a.mat", {"X": csc_matrix(FEATURES), "L": LABELS})
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        file["X/ir"][3] = 99
    with pytest.raises(ValueError, match=r"a\.mat is not a whole MATLAB file: ."):
        load_mat(tmp_path / "a.mat", names=NAMES)


# scipy's own check takes starts of rows or columns that rise and end in 0; its products then read beyond the arrays.
RISING = np.array([0, 1, 2, 32771000, 0])


def test_a_damaged_sparse_matrix_of_version_7_3_whose_columns_end_in_0(tmp_path):
    write_hdf5(tmp_path / "a.mat", {"X": csc_matrix(np.eye(4)), "L": np.eye(4)})
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        file["X/jc"][:] = RISING
    with pytest.raises(
        ValueError, match=r"a\.mat is not a whole MATLAB file: indptr must start with 0 and must not decr"
    ):
        load_mat(tmp_path / "a.mat", names=NAMES)


@pytest.mark.parametrize("matrix", [np.eye(4), np.zeros((4, 4))], ids=["entries", "empty"])
def test_a_damaged_sparse_matrix_of_version_7_3_with_endless_rows(tmp_path, matrix):
    write_hdf5(tmp_path / "a.mat", {"X": csc_matrix(matrix), "L": np.eye(4)})
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        file["X"].attrs["MATLAB_sparse"] = np.uint64(1 << 50)
    with pytest.raises(ValueError, match=r"a\.mat is not a whole MATLAB file: a sparse matrix has 1125899906842624 "):
        load_mat(tmp_path / "a.mat", names=NAMES)


def test_a_damaged_sparse_matrix_of_version_5_whose_columns_end_in_0(tmp_path):
    savemat(tmp_path / "a.mat", {"X": csc_matrix(np.eye(4)), "L": np.eye(4)})
    content = (tmp_path / "a.mat").read_bytes()
    whole, spoiled = (starts.astype("<i4").tobytes() for starts in (np.arange(5), RISING))
    assert content.count(whole) == 1
    (tmp_path / "a.mat").write_bytes(content.replace(whole, spoiled))
    with pytest.raises(
        ValueError, match=r"a\.mat is not a whole MATLAB file: indptr must start with 0 and must not decr"
    ):
        load_mat(tmp_path / "a.mat", names=NAMES)


def test_a_damaged_sparse_matrix_in_npz_whose_rows_end_in_0(tmp_path):
    stored = {"data": np.ones(0), "indices": np.zeros(0, np.int32), "indptr": RISING, "shape": np.array([4, 4])}
    np.savez(tmp_path / "a.npz", labels=np.eye(4), **{f"views.a.{part}": array for part, array in stored.items()})
    with pytest.raises(
        ValueError, match=r"views\.a is not a sparse matrix by rows: indptr must start with 0 and must not"
    ):
        load_npz(tmp_path / "a.npz")


def test_headers_of_version_4_that_ask_for_endless_memory(tmp_path):
    """Of a matrix of 2^20 x 2^20 numbers, and of a sparse one with 2^40 rows."""
    dense = struct.pack("<5i", 0, 1 << 20, 1 << 20, 0, 2) + b"X\0"
    entries = np.array([[1, 1, 1], [2, 2, 1], [1 << 40, 3, 0]], dtype=float)
    sparse = struct.pack("<5i", 2, 3, 3, 0, 2) + b"X\0" + entries.tobytes(order="F")
    for content, message in ((dense, ""), (sparse, "1099511627776 rows")):
        (tmp_path / "a.mat").write_bytes(struct.pack("<5i", 0, 1, 1, 0, 2) + b"L\0" + bytes(8) + content)
        with pytest.raises(ValueError, match=rf"a\.mat is not a whole MATLAB file: .+{message}"):
            load_mat(tmp_path / "a.mat", names=NAMES)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_mat(tmp_path / "none.mat")
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"must be a \.mat file or a folder of them, got a folder without any"):
        load_mat(tmp_path)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    write_hdf5(tmp_path / "a.mat", {"X": FEATURES, "L": LABELS})
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'pyhash-crossmodal\[mat\]'"):
        load_mat(tmp_path / "a.mat", names=NAMES)


# --- .npz -------------------------------------------------------------------------------------------------------------


def equal(one, other):
    for field in dataclasses.fields(Dataset):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, dict):
            assert list(a) == list(b), field.name
            a, b = list(a.values()), list(b.values())
        if field.name in ("views", "labels", "splits", "items", "hierarchy"):
            assert len(a) == len(b)
            for x, y in zip(a, b, strict=True):
                assert type(x) is type(y)
                assert x.dtype == y.dtype
                np.testing.assert_array_equal(dense(x), dense(y))
        else:
            assert a == b, field.name


@pytest.mark.parametrize(
    "make", [lambda: make_hierarchical(50, n_classes=(2, 3, 9)), lambda: make_multilabel(30)], ids=["classes", "sets"]
)
def test_npz_round_trip(tmp_path, make):
    data = make()
    save_npz(tmp_path / "a.npz", data)
    equal(load_npz(tmp_path / "a.npz"), data)


def test_npz_keeps_the_emoji(tmp_path, emoji):
    save_npz(tmp_path / "a.npz", emoji)
    equal(load_npz(tmp_path / "a.npz"), emoji)
    first = (tmp_path / "a.npz").read_bytes()
    save_npz(tmp_path / "a.npz", emoji)
    assert (tmp_path / "a.npz").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_npz_by_hand(tmp_path):
    sparse = csr_array(FEATURES)
    np.savez(
        tmp_path / "mine.npz",
        **{f"views.text.{part}": getattr(sparse, part) for part in ("data", "indices", "indptr", "shape")},
        **{"views.image": FEATURES},
        labels=LABELS.astype(bool),
        query=np.arange(N) > 9,
    )
    data = load_npz(tmp_path / "mine.npz")
    assert repr(data) == "Dataset('mine', 12 rows; views: text 5, image 5; labels: classes)"  # the order of the file
    np.testing.assert_array_equal(data.views["text"].toarray(), FEATURES)
    np.testing.assert_array_equal(data.split("query")[1], [10, 11])
    assert (data.layers, data.label_names) == (("classes",), {"classes": ["class.0", "class.1", "class.2"]})


def test_npz_with_names(tmp_path):
    sparse = csr_array(FEATURES)
    stored = {f"Y.{part}": getattr(sparse, part) for part in ("data", "indices", "indptr", "shape")}
    np.savez(tmp_path / "mine.npz", X=FEATURES.T, L=np.array([4, 2] * 6), **stored)
    data = load_npz(tmp_path / "mine.npz", names={"image": "X", "text": "Y", "labels": "L"})
    np.testing.assert_array_equal(data.views["image"], FEATURES)
    np.testing.assert_array_equal(data.views["text"].toarray(), FEATURES)
    assert data.labels["classes"].tolist() == [1, 0] * 6


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"X": FEATURES, "L": LABELS}, r"must have arrays views.NAME and labels .* got X \(12, 5\), L \(12, 3\)\. Say"),
        ({"views.a": FEATURES}, "must have arrays views.NAME and labels or labels.NAME, got views.a"),
        ({"views.a": FEATURES, "labels": LABELS[:4]}, "equally many rows in all arrays, views.a has 12, labels has 4"),
        ({"views.a": FEATURES, "labels": 2 * LABELS}, "labels must hold only 0 and 1, wrong in rows 0, 1"),
        (
            {"views.a": FEATURES, "labels": np.arange(N) / 1},
            "labels must be class indices of an integer dtype, got float",
        ),
        ({"views.a": FEATURES, "labels": LABELS, "query": np.arange(N)}, r"query must be boolean \(n,\), got int64"),
        ({"views.a": np.array(["x"] * N), "labels": LABELS}, "views.a must be a matrix of numbers, got texts"),
        (
            {"views.a": FEATURES, "labels": LABELS, "hierarchy.0": np.zeros(3, int)},
            "one kind of labels for each of the 2",
        ),
        (
            {"views.a": FEATURES, "labels": LABELS, "hierarchy.1": np.zeros(3, int)},
            "number its hierarchy hierarchy.0, got",
        ),
        (
            {f"views.a.{part}": np.array([3, 1]) for part in ("data", "indices", "indptr", "shape")}
            | {"labels": LABELS},
            "views.a is not a sparse matrix by rows",
        ),
        (
            {"views.a.data": np.ones(1), "views.a.indices": np.array([9]), "views.a.indptr": np.array([0, 1])}
            | {"views.a.shape": np.array([1, 5]), "labels": np.zeros(1, dtype=np.int64)},
            "views.a is not a sparse matrix by rows",
        ),
    ],
)
def test_npz_that_is_refused(tmp_path, stored, message):
    np.savez(tmp_path / "a.npz", **stored)
    with pytest.raises(ValueError, match=message):
        load_npz(tmp_path / "a.npz")


def test_a_number_is_no_matrix(tmp_path):
    np.savez(tmp_path / "a.npz", X=3.0, L=LABELS)
    with pytest.raises(ValueError, match="X must be a matrix, got a single number"):
        load_npz(tmp_path / "a.npz", names=NAMES)


def test_npz_never_unpickles(tmp_path):
    np.savez(tmp_path / "a.npz", **{"views.a": np.array([{}, []], dtype=object)})
    with pytest.raises(ValueError, match=r"a\.npz is not a whole \.npz file of arrays: it holds Python objects"):
        load_npz(tmp_path / "a.npz")
    data = make_multilabel(5)
    data.items["things"] = np.array([{}] * 5, dtype=object)
    with pytest.raises(TypeError, match=r"numbers and texts, got Python objects in items\.things"):
        save_npz(tmp_path / "b.npz", data)
    assert not (tmp_path / "b.npz").exists()


def test_damaged_npz(tmp_path):
    path = tmp_path / "a.npz"
    save_npz(path, make_multilabel(50))
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:1000], whole[:-30], whole[:2000] + b"!" + whole[2001:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz is not a whole \.npz file of arrays: ."):
            load_npz(path)
    path.write_bytes(b"text that is longer than a header")
    with pytest.raises(ValueError, match="it is no zip archive"):
        load_npz(path)
    with open(path, "wb") as file:
        np.save(file, FEATURES)
    with pytest.raises(ValueError, match="it is a single array"):
        load_npz(path)


def test_save_npz_checks_what_it_gets(tmp_path):
    with pytest.raises(TypeError, match="dataset must be a Dataset, got dict"):
        save_npz(tmp_path / "a.npz", {})
    data = make_multilabel(5, n_features={"image.data": 3})
    with pytest.raises(
        ValueError, match=r"views whose names do not end in data, indices, indptr, shape, got 'image\.data'"
    ):
        save_npz(tmp_path / "a.npz", data)


@pytest.mark.parametrize("kind", ["views", "labels", "splits", "items", "label_names"])
@pytest.mark.parametrize("name", ["", "a\0b", "half \ud800"])
def test_save_npz_refuses_names_that_a_file_cannot_hold(tmp_path, kind, name):
    data = make_multilabel(5)
    entry = {"items": np.arange(5), "label_names": ["a"]}.get(kind)
    entry = next(iter(getattr(data, kind).values())) if entry is None else entry
    data = replace(data, **{kind: {**getattr(data, kind), name: entry}})
    with pytest.raises(ValueError, match=f"dataset must have {kind} with names that a file can hold, got "):
        save_npz(tmp_path / "a.npz", data)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["views", "labels", "splits", "items", "label_names"])
@pytest.mark.parametrize("as_stored", [np.asarray, csr_array], ids=["dense", "sparse"])
def test_save_npz_refuses_the_only_name_if_it_is_empty(tmp_path, kind, as_stored):
    data = make_multilabel(5)
    entries = {"items": [np.arange(5)]}.get(kind, list(getattr(data, kind).values()))
    entry = as_stored(entries[0]) if kind == "views" else entries[0]
    layers = ("",) if kind == "labels" else data.layers
    with pytest.raises(ValueError, match=f"dataset must have {kind} with names that a file can hold, got ''"):
        save_npz(tmp_path / "a.npz", replace(data, layers=layers, **{kind: {"": entry}}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.b", "ä b", "labels", "x.npy", "a/b", "indptr.x"])
def test_any_other_names_are_kept(tmp_path, name):
    data = make_multilabel(5)
    view, labels, mask = (next(iter(group.values())) for group in (data.views, data.labels, data.splits))
    data = replace(data, views={name: view}, labels={name: labels}, splits={name: mask}, items={name: mask},
                   label_names={name: ["c"] * 24}, layers=(name,))  # fmt: skip
    save_npz(tmp_path / "a.npz", data)
    again = load_npz(tmp_path / "a.npz")
    for kind in ("views", "labels", "splits", "items", "label_names"):
        assert list(getattr(again, kind)) == [name]


def test_what_load_npz_refuses_save_npz_does_not_write(tmp_path):
    data = replace(make_multilabel(5), labels={"classes": np.zeros(5, int)})
    data.labels["classes"][:] = -1  # after the data set has checked them
    with pytest.raises(ValueError, match=r"labels\.classes must be class indices"):
        save_npz(tmp_path / "a.npz", data)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_save_npz_does_not_write_features_that_are_not_finite(tmp_path, form):
    view = np.ones((5, 2))
    view[3, 1] = np.nan
    data = replace(make_multilabel(5), views={"x": form(view)})
    with pytest.raises(ValueError, match=r"views\['x'\] must be finite, got nan in row 3"):
        save_npz(tmp_path / "a.npz", data)
    assert not list(tmp_path.iterdir())


def test_load_npz_names_the_file_whose_names_of_classes_do_not_fit(tmp_path):
    np.savez(path := tmp_path / "a.npz", **{"views.x": np.eye(3), "labels.l": np.arange(3), "label_names.l": ["a"]})
    with pytest.raises(ValueError, match=r"a\.npz: label_names\['l'\] must have a name for each of the 3 classes"):
        load_npz(path)


# --- published splits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "n", "n_queries"),
    [
        ("mirflickr", 20015, 2000),
        ("mirflickr", 16738, 2000),
        ("nus-wide", 3000, 1867),
        ("nus-wide-2100", 3000, 2100),
        ("iapr-tc12", 20000, 2000),
        ("fashionvc", 19862, 2000),
        ("ssense", 15696, 2000),
        (7, 100, 7),
    ],
)
def test_published_split(preset, n, n_queries):
    data = make_multilabel(n, n_features={"a": 1})
    split = published_split(data, preset, seed=3)
    name = preset if isinstance(preset, str) else "random"
    database, queries = split.split(name)
    assert (len(database), len(queries)) == (n - n_queries, n_queries)
    assert list(data.splits) == ["random"]
    assert set(split.splits) == {"random", name}
    assert data.splits["random"] is not split.splits[name]
    assert split.views is data.views
    np.testing.assert_array_equal(published_split(data, preset, seed=3).splits[name], split.splits[name])
    assert (published_split(data, preset, seed=4).splits[name] != split.splits[name]).any()
    assert (published_split(data, preset, seed=3, name="mine").splits["mine"] == split.splits[name]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("mirflickr",), ValueError, "dataset must have more than 2000 rows for preset 'mirflickr', got 50"),
        ((50,), ValueError, "dataset must have more than 50 rows for preset 50, got 50"),
        (("flickr",), ValueError, "preset must be one of 'mirflickr', 'nus-wide', .* got 'flickr'"),
        ((0,), ValueError, "preset must be an integer >= 1, got 0"),
        ((0.5,), TypeError, "preset must be an integer >= 1, got 0.5"),
    ],
)
def test_published_split_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        published_split(make_multilabel(50), *arguments)


def test_published_split_checks_the_rest():
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        published_split(make_multilabel(50), 5, seed=-1)
    with pytest.raises(TypeError, match="name must be a string, got 3"):
        published_split(make_multilabel(50), 5, name=3)
    with pytest.raises(TypeError, match="dataset must be a Dataset, got str"):
        published_split("mirflickr", 5)

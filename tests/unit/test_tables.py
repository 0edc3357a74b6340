import io
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pyhash
from pyhash import StreamChunk, StreamFolder
from pyhash.datasets import load_npz, load_table, open_table, save_npz

N = 23


def picture_bytes(value=0, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def rows(rng):
    """A table with a column of every kind."""
    features = rng.standard_normal((N, 6)).astype(np.float32)
    return pa.table(
        {
            "clip": pa.FixedSizeListArray.from_arrays(features.ravel(), 6),
            "ragged_type": pa.array(features.tolist(), pa.list_(pa.float64())),
            "caption": [f"a picture of thing {i}" for i in range(N)],
            "picture": [picture_bytes(i) for i in range(N)],
            "category": [("cat", "dog", "owl")[i % 3] for i in range(N)],
            "tags": [["red", "blue"][: i % 3] for i in range(N)],
            "price": pa.array([float(i) for i in range(N)]),
            "query": [i % 5 == 0 for i in range(N)],
            "when": pa.array([i * 1000 for i in range(N)], pa.timestamp("ms")),
        }
    )


KINDS = {
    "clip": "features",
    "ragged_type": "features",
    "caption": "text",
    "picture": "image",
    "category": "label",
    "tags": "labels",
    "price": "number",
    "query": "number",
    "when": "other",
}


def joined(table, size, columns=None):
    """All rows of a table, read in chunks of a size, as Python's lists."""
    parts = list(table.chunks(size, columns))
    assert all(len(next(iter(part.values()))) == size for part in parts[:-1])
    return {name: [value for part in parts for value in np_list(part[name])] for name in parts[0]}


def np_list(values):
    return values.tolist() if isinstance(values, np.ndarray) else values


def write(rows, folder, form):
    path = folder / f"rows.{form}"
    if form == "parquet":
        pq.write_table(rows, path, row_group_size=7)
    elif form == "feather":
        pyarrow.feather.write_feather(rows, path, chunksize=5)
    elif form == "arrow":
        with pa.ipc.new_file(path, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=4)
    elif form == "arrows":
        with pa.ipc.new_stream(path, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=4)
    else:
        path = folder / "shards"
        path.mkdir()
        pq.write_table(rows.slice(0, 9), path / "train-00000-of-00002.parquet")
        pq.write_table(rows.slice(9), path / "train-00001-of-00002.parquet")
    return path


FORMS = ["parquet", "feather", "arrow", "arrows", "shards"]


@pytest.mark.parametrize("form", FORMS)
def test_files_give_the_rows_whatever_the_size_of_chunks(form, rows, tmp_path):
    table = open_table(write(rows, tmp_path, form))
    assert table.columns == KINDS
    assert table.n_rows == (None if form == "arrows" else N)
    expected = joined(open_table(rows), N)
    assert len(expected["clip"]) == N
    for size in (1, 4, 8, N, 100):
        assert joined(table, size) == expected
    later = [part["caption"] for part in table.chunks(5, ["caption"], start=11)]
    assert [text for part in later for text in part] == expected["caption"][11:]
    assert [len(part) for part in later] == [5, 5, 2]
    assert list(table.chunks(5, start=N)) == []


def test_values_of_every_kind(rows):
    (values,) = open_table(rows).chunks(N)
    assert values["clip"].dtype == np.float32
    assert values["clip"].shape == (N, 6)
    np.testing.assert_array_equal(values["clip"], values["ragged_type"])
    assert values["caption"][1] == "a picture of thing 1"
    assert values["picture"][1] == picture_bytes(1)
    assert values["category"].tolist()[:3] == ["cat", "dog", "owl"]
    assert values["tags"][:3] == [[], ["red"], ["red", "blue"]]
    assert values["price"].tolist()[:2] == [0.0, 1.0]
    assert values["query"].dtype == np.bool_


def test_columns_are_chosen_by_name(rows):
    table = open_table(rows, columns=["price", "clip"])
    assert list(table.columns) == ["price", "clip"]
    assert list(next(table.chunks(3, ["clip"]))) == ["clip"]
    with pytest.raises(ValueError, match=r"columns must be one of 'price', 'clip', got 'caption'"):
        table.chunks(3, ["caption"])
    with pytest.raises(TypeError, match=r"columns must be a sequence of names, got 'clip'"):
        table.chunks(3, "clip")
    with pytest.raises(ValueError, match=r"columns must be one of .*, got 'colour'"):
        open_table(rows, columns=["colour"])


def test_kinds_can_be_given(rows):
    table = open_table(rows, kinds={"caption": "label", "price": "features", "category": "text"})
    (values,) = table.chunks(N)
    assert values["price"].shape == (N, 1)
    assert values["caption"].dtype == object
    assert values["category"][0] == "cat"
    with pytest.raises(ValueError, match=r"kinds\['price'\] must be one of 'features', .*, got 'picture'"):
        open_table(rows, kinds={"price": "picture"})
    with pytest.raises(ValueError, match=r"kinds must be one of .*, got 'cost'"):
        open_table(rows, kinds={"cost": "number"})


@pytest.mark.parametrize("outer", [lambda kind: pa.list_(kind), lambda kind: pa.list_(kind, 2), pa.large_list])
def test_lists_in_lists_are_flattened(outer):
    kind = outer(pa.list_(pa.float32(), 3))
    values = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    table = open_table(pa.table({"x": pa.array(values.tolist(), kind)}))
    np.testing.assert_array_equal(np.concatenate([part["x"] for part in table.chunks(3)]), values.reshape(4, 6))


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.bool_()])
def test_numbers_of_every_type_are_features(kind):
    values = np.array([[0, 1], [1, 0], [1, 1]])
    array = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()).cast(pa.int32()).cast(kind), 2)
    (read,) = open_table(pa.table({"x": array})).chunks(9)
    np.testing.assert_array_equal(read["x"], values)
    assert read["x"].dtype == np.float32
    assert read["x"].flags.writeable


def test_fixed_shape_tensors_are_flattened():
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    table = open_table(pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(values)}))
    np.testing.assert_array_equal(next(table.chunks(3))["x"], values.reshape(3, 4))


def test_lists_of_integers_of_several_lengths_are_labels():
    columns = open_table(pa.table({"a": [[1, 2], [3]], "b": [[1, 2], [3, 4]], "c": [["x"], ["y"]]})).columns
    assert columns == {"a": "labels", "b": "features", "c": "labels"}


BAD = [
    (pa.array([[1.0, 2.0]] * 6 + [None]), ValueError, "no missing values, got one in row 6"),
    (pa.array([[1.0, 2.0]] * 6 + [[1.0, None]]), ValueError, "no missing values, got one in row 6"),
    (pa.array([[1.0, 2.0]] * 6 + [[1.0]]), ValueError, "lists of one length, got 2 values in (row 4|earlier).* row 6"),
    (pa.array([[1.0, 2.0]] * 4 + [[1.0]] * 2), ValueError, "one length, got 2 values in earlier rows and 1 in row 4"),
    (pa.array([[1.0, 2.0]] * 6 + [[1.0, np.nan]]), ValueError, "be finite, got nan in row 6, column 1"),
    (pa.array([[1.0, 2.0]] * 6 + [[-np.inf, 0.0]]), ValueError, "be finite, got -inf in row 6, column 0"),
    (pa.array([[1.0, 2.0]] * 6 + [[1.0, 1e300]]), ValueError, "float32 can hold, got 1e.300 in row 6"),
    (pa.array([[[1.0], [2.0]]] * 6 + [[[1.0], [2.0, 3.0]]]), ValueError, "got 1 values in row 4 and 2 in row 6"),
    (pa.array([[]] * 3, pa.list_(pa.float32())), ValueError, "at least one number, got an empty one in row 0"),
]


@pytest.mark.parametrize(("array", "error", "message"), BAD)
def test_what_is_wrong_with_features_is_told_by_column_and_row(array, error, message, tmp_path):
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"x": array}), path)
    with pytest.raises(error, match=f"bad.parquet: column 'x' must .*{message}"):
        list(open_table(path).chunks(4))


WRONG = [
    ([1, 2], "text", TypeError, "must hold strings to be text, got int64"),
    ([1.5], "image", TypeError, "must hold paths or bytes of files to be images, got double"),
    ([1.5], "label", TypeError, "strings or integers to be one label a row, got double"),
    ([1.5], "labels", TypeError, "lists of strings or integers to be labels, got double"),
    (["a"], "features", TypeError, "numbers or lists of numbers to be features, got string"),
    (["a"], "number", TypeError, "must hold numbers, got string"),
    ([2**60 + 1, None], "number", ValueError, "numbers that float64 can hold where some are missing"),
    (pa.array([2**64 - 1, 1], pa.uint64()), "label", ValueError, "labels that int64 can hold"),
]


@pytest.mark.parametrize(("values", "kind", "error", "message"), WRONG)
def test_other_values_that_are_wrong(values, kind, error, message):
    table = open_table(pa.table({"x": values}), kinds={"x": kind} if kind else None)
    with pytest.raises(error, match=f"Table: column 'x' .*{message}"):
        list(table.chunks(4))


def test_missing_texts_and_pictures_are_none():
    png = b"\x89PNG\r\n\x1a\n"
    table = open_table(pa.table({"text": [None, "a"], "image": [png, None]}))
    assert list(table.chunks(4)) == [{"text": [None, "a"], "image": [png, None]}]


def test_missing_labels_and_numbers_are_kept():
    table = open_table(
        pa.table({"label": ["a", None, "b"], "tags": [["x"], None, []], "n": [1, None, 3], "class": [1, None, 2]})
    )
    (values,) = table.chunks(3)
    assert values["label"].tolist() == ["a", None, "b"]
    assert values["tags"] == [["x"], [], []]
    np.testing.assert_array_equal(values["n"], [1, np.nan, 3])
    assert values["class"].tolist() == [1, None, 2]


def test_duplicate_columns(tmp_path):
    rows = pa.table([[1, 2], [3, 4]], names=["x", "x"])
    path = tmp_path / "x.parquet"
    pq.write_table(rows, path)
    (tmp_path / "x.csv").write_text("x,y,x\n1,2,3\n")
    for source in (rows, path, tmp_path / "x.csv"):
        with pytest.raises(ValueError, match=r"must have columns with different names, got 'x' more than once"):
            open_table(source)


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrows"])
def test_empty_tables(form, rows, tmp_path):
    table = open_table(write(rows.slice(0, 0), tmp_path, form))
    assert table.columns["clip"] == "features"
    assert list(table.chunks(5)) == []
    with pytest.raises(ValueError, match=r"must have rows, got none"):
        load_table(table)


def test_damaged_and_foreign_files(tmp_path, rows):
    whole = write(rows, tmp_path, "parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.parquet is not a whole Parquet file"):
        open_table(tmp_path / "cut.parquet")
    damaged = bytearray(whole)
    damaged[200:1200] = bytes(1000)
    (tmp_path / "damaged.parquet").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"damaged.parquet"):
        list(open_table(tmp_path / "damaged.parquet").chunks(5))
    (tmp_path / "text.arrow").write_text("hello, this is text")
    with pytest.raises(ValueError, match=r"text.arrow is not a whole Arrow file"):
        open_table(tmp_path / "text.arrow")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty.csv is not a whole CSV file"):
        open_table(tmp_path / "empty.csv")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(ValueError, match=r"Row #3: Expected 2 columns, got 3"):
        open_table(tmp_path / "ragged.csv")
    (tmp_path / "latin.csv").write_bytes(b"a,b\n1,caf\xe9\n")
    with pytest.raises(ValueError, match=r"latin.csv is not a whole CSV file.*UTF8"):
        open_table(tmp_path / "latin.csv")


@pytest.mark.parametrize("form", ["arrow", "arrows"])
def test_offsets_beyond_the_end_of_a_file(form, tmp_path):
    """Arrow reads them without a check."""
    path = tmp_path / f"x.{form}"
    rows = pa.table({"text": ["one", "two", "three"]})
    with (pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream)(path, rows.schema) as writer:
        writer.write_table(rows)
    offsets = np.array([0, 3, 6, 11], np.int32).tobytes()
    whole = path.read_bytes()
    assert whole.count(offsets) == 1
    path.write_bytes(whole.replace(offsets, np.array([0, 3, 6, 1 << 30], np.int32).tobytes()))
    with pytest.raises(ValueError, match=rf"x.{form} is not a whole Arrow file"):
        list(open_table(path).chunks(2))


def test_what_is_no_table(tmp_path, rows):
    for missing in ("a.parquet", "a.arrow", "a.csv", "a"):
        with pytest.raises(FileNotFoundError, match=missing):
            open_table(tmp_path / missing)
    with pytest.raises(ValueError, match=r"must hold .parquet files, or pictures with one .csv file, got neither"):
        open_table(tmp_path)
    save_npz(tmp_path / "x.npz", pyhash.datasets.make_multilabel(10))
    with pytest.raises(ValueError, match=r"load_npz reads .npz files"):
        open_table(tmp_path / "x.npz")
    with pytest.raises(TypeError, match=r"source must be a path, .*, got int"):
        open_table(3)
    pq.write_table(rows, tmp_path / "a.parquet")
    pq.write_table(rows.drop_columns(["price"]), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"same columns, got b.parquet that differs from a.parquet in 'price'"):
        open_table(tmp_path)


def test_readers_are_read_once(rows):
    table = open_table(pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=6)))
    assert table.n_rows is None
    assert joined(table, 4) == joined(open_table(rows), 4)
    with pytest.raises(ValueError, match=r"can be read once"):
        list(table.chunks(4))
    with pytest.raises(TypeError, match=r"is a stream"):
        len(table)


def test_data_frames_of_polars(rows):
    import polars

    table = open_table(polars.from_arrow(rows.select(["clip", "caption", "tags"])))
    assert table.columns == {"clip": "features", "caption": "text", "tags": "labels"}
    assert len(table) == N
    assert joined(table, 4)["tags"] == joined(open_table(rows), 4)["tags"]


# --- CSV and pictures -------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    names = ["a.png", "b.jpg", "sub/c.png"]
    for i, name in enumerate(names):
        (folder / name).write_bytes(picture_bytes(i, "JPEG" if name.endswith("jpg") else "PNG"))
    lines = [
        "photo,caption,label,n,score",
        *(f'{name},"one, {i}",k{i % 2},{i},{i / 2}' for i, name in enumerate(names)),
    ]
    (folder / "list.csv").write_text("\n".join(lines))
    return folder


def test_a_folder_of_pictures_with_a_csv(pictures):
    table = open_table(pictures)
    kinds = {"photo": "image", "caption": "text", "label": "label", "n": "number", "score": "number"}
    assert table.columns == kinds
    assert table.title == "photos"
    assert open_table(pictures / "list.csv").columns == kinds
    (values,) = table.chunks(5)
    assert values["photo"][2] == str(pictures / "sub" / "c.png")
    assert values["caption"] == ["one, 0", "one, 1", "one, 2"]
    assert values["n"].dtype == np.int64
    assert values["score"].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("gone.png", FileNotFoundError, "row 3: 'gone.png' does not exist"),
        ("../outside.png", ValueError, "row 3: '../outside.png' leads out of the folder"),
        ("sub/../../outside.png", ValueError, "row 3: .* leads out of the folder"),
        ("/etc/passwd", ValueError, "row 3: '/etc/passwd' leads out of the folder"),
        ("", ValueError, "row 3: '' is no path of a file"),
        ("sub", FileNotFoundError, "row 3: 'sub' does not exist"),
    ],
)
def test_paths_of_pictures_that_are_wrong(pictures, name, error, message):
    (pictures.parent / "outside.png").write_bytes(picture_bytes())
    text = (pictures / "list.csv").read_text().replace("photo", "file_name")
    (pictures / "list.csv").write_text(f"{text}\n{name},x,k0,1,1\n")
    with pytest.raises(error, match=f"column 'file_name' must hold paths of pictures, got {message}"):
        open_table(pictures)


def test_many_wrong_paths_are_counted(pictures):
    text = (pictures / "list.csv").read_text().replace("photo", "file_name")
    (pictures / "list.csv").write_text(text + "".join(f"\nno{i}.png,x,k0,1,1" for i in range(8)))
    with pytest.raises(FileNotFoundError, match=r"row 3: 'no0.png' .*row 7: 'no4.png' does not exist, and 3 more"):
        open_table(pictures)


def test_a_picture_that_vanishes_is_told_when_it_is_read(pictures):
    table = open_table(pictures)
    (pictures / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"column 'photo' .* row 1: 'b.jpg' does not exist"):
        list(table.chunks(5))


def test_a_folder_needs_pictures_and_one_csv(pictures):
    (pictures / "other.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match=r"got the files list.csv, other.csv, of which none is metadata.csv"):
        open_table(pictures)
    (pictures / "list.csv").rename(pictures / "metadata.csv")
    assert open_table(pictures).columns["photo"] == "image"
    (pictures / "metadata.csv").unlink()
    with pytest.raises(ValueError, match=r"must have a column 'file_name', or one whose values are files"):
        open_table(pictures)


def test_types_of_csv_columns_are_those_of_all_rows(tmp_path):
    path = tmp_path / "late.csv"
    body = "".join(f"{i},{i},{i},,text {i}\n" for i in range(120_000))
    path.write_text("i,f,s,empty,t\n" + body + '1,2.5,word,,"two\nlines"\n7,,,,\n')
    table = open_table(path)
    assert table.columns == {"i": "number", "f": "number", "s": "text", "empty": "text", "t": "text"}
    assert len(table) == 120_002
    *_, last = table.chunks(50_000)
    assert last["i"].dtype == np.int64
    assert last["f"][-2] == 2.5
    assert np.isnan(last["f"][-1])
    assert last["s"][-2:] == ["word", ""]
    assert last["t"][-2:] == ["two\nlines", ""]


def test_labels_in_csv(tmp_path):
    path = tmp_path / "tags.tsv"
    path.write_text("labels\tcategory\tx\ncat;dog\ta\t1\n\tb\t2\nowl | cat\t\t3\n")
    table = open_table(path)
    assert table.columns == {"labels": "labels", "category": "label", "x": "number"}
    (values,) = table.chunks(3)
    assert values["labels"] == [["cat", "dog"], [], ["owl", "cat"]]
    assert values["category"].tolist() == ["a", "b", None]


# --- Hugging Face -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hugging_face():
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "clip": datasets.Sequence(datasets.Value("float32"), length=3),
            "grid": datasets.Array2D((2, 2), "float32"),
            "label": datasets.ClassLabel(names=["owl", "cat"]),
            "several": datasets.Sequence(datasets.ClassLabel(names=["x", "y", "z"])),
            "text": datasets.Value("string"),
        }
    )
    rows = {
        "image": [{"bytes": picture_bytes(i), "path": None} for i in range(10)],
        "clip": [[i, 1.0, 2.0] for i in range(10)],
        "grid": [[[i, 1], [2, 3]] for i in range(10)],
        "label": [i % 2 for i in range(9)] + [-1],
        "several": [[0, 2][: i % 3] for i in range(10)],
        "text": [f"text {i}" for i in range(10)],
    }
    return datasets.Dataset.from_dict(rows, features=features)


def check_hugging_face(table, order):
    assert table.columns == {
        "image": "image",
        "clip": "features",
        "grid": "features",
        "label": "label",
        "several": "labels",
        "text": "text",
    }
    assert table.class_names == {"label": ["owl", "cat"], "several": ["x", "y", "z"]}
    read = joined(table, 4)
    assert read["image"] == [picture_bytes(i) for i in order]
    assert read["clip"] == [[i, 1.0, 2.0] for i in order]
    assert read["grid"] == [[i, 1.0, 2.0, 3.0] for i in order]
    assert read["label"] == [None if i == 9 else ("owl", "cat")[i % 2] for i in order]
    assert read["several"] == [["x", "z"][: i % 3] for i in order]
    assert read["text"] == [f"text {i}" for i in order]


def test_datasets_of_hugging_face(hugging_face, tmp_path):
    check_hugging_face(open_table(hugging_face), range(10))
    check_hugging_face(open_table(hugging_face.select([3, 1, 2])), [3, 1, 2])
    check_hugging_face(open_table(hugging_face.select(range(9, -1, -1)).select(range(4, 10))), range(5, -1, -1))
    assert len(open_table(hugging_face)) == 10
    stream = open_table(hugging_face.to_iterable_dataset(num_shards=2))
    assert stream.n_rows is None
    check_hugging_face(stream, range(10))
    for table in (stream, open_table(hugging_face)):
        assert next(table.chunks(4, ["text"], start=7))["text"] == ["text 7", "text 8", "text 9"]
        assert list(table.chunks(4, ["text"], start=10)) == []
    hugging_face.to_parquet(tmp_path / "shard.parquet")
    check_hugging_face(open_table(tmp_path / "shard.parquet"), range(10))


def test_a_dictionary_of_splits_is_refused(hugging_face):
    import datasets

    both = datasets.DatasetDict({"train": hugging_face, "test": hugging_face})
    with pytest.raises(
        TypeError, match=r"must be one split, got a DatasetDict of 'train', 'test'; take source\[split\]"
    ):
        open_table(both)
    check_hugging_face(open_table(both["test"]), range(10))


def test_streams_of_hugging_face_without_features(hugging_face):
    import datasets

    def generate():
        for i in range(250):
            yield {"x": [i, 1], "label": "ab"[i % 2]}

    table = open_table(datasets.IterableDataset.from_generator(generate))
    assert table.columns == {"x": "features", "label": "label"}
    assert joined(table, 60)["x"] == [[i, 1] for i in range(250)]
    with pytest.raises(ValueError, match=r"must have rows or features"):
        open_table(datasets.IterableDataset.from_generator(lambda: iter(())))


def test_paths_of_hugging_face_pictures(hugging_face, tmp_path):
    import datasets

    path = tmp_path / "a.png"
    path.write_bytes(picture_bytes())
    made = datasets.Dataset.from_dict({"image": [str(path), str(path)]}).cast_column("image", datasets.Image())
    assert joined(open_table(made), 2)["image"] == [str(path)] * 2
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"column 'image' .*row 0: '.*a.png' does not exist"):
        list(open_table(made).chunks(2))


# --- streams and data sets --------------------------------------------------------------------------------------------


# A pool must live longer than whatever was allocated from it.
POOLS = []


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrows"])
def test_memory_is_that_of_a_chunk(form, tmp_path):
    """A file of one row group, 40 times as large as what may be held of it at once."""
    n, d, size = 80_000, 128, 500
    path = tmp_path / f"big.{form}"
    values = pa.array(np.random.default_rng(0).standard_normal(n * d, dtype=np.float32))
    rows = pa.table({"x": pa.FixedSizeListArray.from_arrays(values, d), "label": np.arange(n) % 5})
    if form == "parquet":
        pq.write_table(rows, path, row_group_size=n, use_dictionary=False, compression="none")
    else:
        with (pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream)(path, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=n if form == "arrow" else 2000)
    del values, rows
    limit = path.stat().st_size // 4
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        n_read = sum(len(chunk.labels) for chunk in open_table(path).stream(size, views={"a": "x"}, labels="label"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)
    assert n_read == n
    assert pool.max_memory() + peak < limit


def test_chunks_learn_and_go_on(rows, tmp_path):
    path = write(rows, tmp_path, "parquet")
    table = open_table(path)
    views = {"image": "clip", "text": "ragged_type"}

    def source(offset):
        for chunk in table.stream(6, views=views, labels="category", start=offset or 0):
            yield StreamChunk(chunk.views, chunk.labels, offset=int(chunk.rows[-1]) + 1)

    with StreamFolder(tmp_path / "stream", pyhash.LEMON(n_bits=8)) as stream:
        stream.run(lambda offset: list(source(offset))[:2])
        assert stream.offset == 12
    with StreamFolder(tmp_path / "stream", pyhash.LEMON(n_bits=8)) as stream:
        stream.run(source)
        assert len(stream.index) == N
        assert set(stream.model.classes_) == {"cat", "dog", "owl"}


def test_streams_of_several_labels(rows):
    chunks = list(open_table(rows).stream(10, views={"image": "clip"}, labels="tags"))
    assert chunks[1].rows.tolist() == list(range(10, 20))
    assert chunks[0].labels.tolist()[:3] == [frozenset(), {"red"}, {"red", "blue"}]
    model = pyhash.LEMON(n_bits=8)
    for chunk in chunks:
        model = model.partial_fit(chunk.views, chunk.labels)
    assert set(model.classes_) == {"red", "blue"}
    assert next(open_table(rows).stream(10, views={"image": "clip"})).labels == []
    with pytest.raises(
        ValueError, match=r"views\['text'\] must be a column of features, got 'caption' of text; pyhash"
    ):
        open_table(rows).stream(10, views={"text": "caption"}, labels="tags")
    assert next(open_table(rows).stream(2, views={"image": "clip"}, labels="caption")).labels.tolist() == [
        "a picture of thing 0",
        "a picture of thing 1",
    ]
    with pytest.raises(ValueError, match=r"labels must be a column of label or .* or number, got 'when' of other"):
        open_table(rows).stream(10, views={"image": "clip"}, labels="when")


def test_a_table_as_a_data_set(rows, tmp_path):
    data = load_table(
        write(rows, tmp_path, "parquet"), names={"image": "clip", "text": "caption", "labels": "category"}
    )
    assert data.name == "rows"
    assert data.views["image"].shape == (N, 6)
    assert data.vocabulary == ["a", "of", "picture", "thing"]
    assert data.views["text"].shape == (N, 4)
    assert data.label_names == {"classes": ["cat", "dog", "owl"]}
    assert data.labels["classes"].tolist()[:4] == [0, 1, 2, 0]
    assert data.splits["query"].sum() == 5
    assert sorted(data.items) == ["caption", "price"]
    save_npz(tmp_path / "back.npz", data)
    assert (load_npz(tmp_path / "back.npz").items["caption"] == data.items["caption"]).all()


def test_texts_that_are_large_as_an_array_are_no_items():
    texts = ["a b", "a b", "x " * (1 << 19)] * 22  # 277 MB as an array of equal widths, a third of it in use
    rows = pa.table({"x": [[1.0]] * 66, "label": ["k"] * 66, "long": texts, "short": ["s"] * 66})
    assert list(load_table(rows).items) == ["short"]


def test_a_table_as_a_data_set_by_default(rows):
    data = load_table(rows.drop_columns(["ragged_type"]))
    assert {name: view.shape[1] for name, view in data.views.items()} == {"clip": 6, "caption": 4}
    assert list(data.labels) == ["category", "tags"]
    assert data.labels["tags"].tolist()[:3] == [[0, 0], [0, 1], [1, 1]]
    assert data.label_names["tags"] == ["blue", "red"]


def test_labels_of_class_numbers_and_of_vectors(hugging_face):
    data = load_table(hugging_face.select(range(9)), names={"image": "clip", "labels": "label"})
    assert data.label_names["classes"] == ["owl", "cat"]
    assert data.labels["classes"].tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match=r"column 'label' must have a label in each row, got none in row 9"):
        load_table(hugging_face, names={"image": "clip", "labels": "label"})
    numbers = pa.table({"x": [[1.0], [2.0], [3.0]], "label": [7, 3, 7], "hot": [[0, 1], [1, 1], [0, 0]]})
    data = load_table(numbers, names={"x": "x", "labels": "label"})
    assert data.labels["classes"].tolist() == [1, 0, 1]
    assert data.label_names["classes"] == ["3", "7"]
    assert load_table(numbers, names={"x": "x", "labels": "hot"}).labels["classes"].tolist() == [[0, 1], [1, 1], [0, 0]]
    with pytest.raises(ValueError, match=r"column 'x' must hold only 0 and 1, wrong in rows 1, 2; labels are"):
        load_table(numbers, names={"x": "hot", "labels": "x"})


def test_what_is_missing_for_a_data_set(rows):
    with pytest.raises(ValueError, match=r"must have a column of labels, got clip .features.*--names image=X1"):
        load_table(rows.select(["clip", "price"]))
    with pytest.raises(ValueError, match=r"must have a column of features, got category"):
        load_table(rows.select(["category"]))
    with pytest.raises(
        ValueError, match=r"names\['image'\] must be a column of features or text, got 'picture' of image"
    ):
        load_table(rows, names={"image": "picture", "labels": "category"})
    with pytest.raises(ValueError, match=r"names\['image'\] is 'photo', which Table does not have; it has clip"):
        load_table(rows, names={"image": "photo", "labels": "category"})
    with pytest.raises(ValueError, match=r"names must hold 'labels' and at least one view"):
        load_table(rows, names={"image": "clip"})


def test_pyarrow_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'pyhash-crossmodal\[arrow\]'"):
        open_table(tmp_path / "a.parquet")

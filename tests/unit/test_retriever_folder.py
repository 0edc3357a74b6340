"""The folder of a Retriever: saved, opened, committed, damaged."""

import os
import shutil

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash import IndexLockedError, ModelFormatError, NotFittedError, Retriever
from pyhash._files.checked_json import checked_json, read_checked_json
from pyhash.encoders import CallableEncoder

pa = pytest.importorskip("pyarrow")

TEXTS = ["red apple", "green apple", "grey cat", "black cat", "red cherry", "white cat"]
LABELS = ["fruit", "fruit", "cat", "cat", "fruit", "cat"]


def lengths(texts):
    return np.array([[len(text), text.count("e"), 1.0] for text in texts])


def length_encoder(version="1"):
    return CallableEncoder(lengths, kind="text", name="lengths", version=version)


def make(method="boch", **encoders):
    retriever = Retriever({"text": "bag-of-words", **encoders}, method, 16)
    retriever.learn(dict.fromkeys(retriever.modalities, TEXTS * 3), LABELS * 3)
    retriever.add({"text": TEXTS}, payload={"words": TEXTS, "picture": [b"\x00" * i for i in range(6)]})
    return retriever


def answers(retriever):
    return (
        [results.ids.tolist() for results in retriever.search_many({"text": ["apple", "grey", "black cat"]}, k=10)],
        retriever.index.ids.tolist(),
        retriever.payload.to_pylist(),
        [result.modalities for result in retriever.search(text="cat", k=10)],
    )


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def folder(tmp_path):
    with make() as retriever:
        retriever.save(tmp_path / "r")
    return tmp_path / "r"


@pytest.mark.parametrize("mmap", [False, True])
def test_a_folder_gives_back_the_same(tmp_path, mmap):
    retriever = make(shape=length_encoder())
    retriever.add({"shape": ["abc"], "text": [None]}, ids=[40])
    before = answers(retriever)
    retriever.save(tmp_path / "r")
    opened = Retriever.open(tmp_path / "r", read_only=True, mmap=mmap)
    assert answers(opened) == before
    assert opened.modalities == ("text", "shape")
    assert opened.n_bits == 16
    assert opened.encoders["text"].vocabulary_ == retriever.encoders["text"].vocabulary_
    assert np.array_equal(opened.model.project(lengths(["x"]), modality="shape"), retriever.project({"shape": ["x"]}))


def test_commits_go_on(folder):
    for turn in range(5):
        with Retriever.open(folder) as retriever:
            retriever.add({"text": [f"cat {turn}", "apple"]}, payload={"words": [f"cat {turn}", None]})
            retriever.remove([turn])
            retriever.partial_learn({"text": ["blue plum"]}, ["fruit"])
            expected = answers(retriever)
            retriever.commit()
            assert answers(retriever) == expected
        assert answers(Retriever.open(folder, read_only=True)) == expected
    assert "plum" in Retriever.open(folder, read_only=True).encoders["text"].vocabulary_
    names = [name.partition("-")[0] for name in os.listdir(folder)]
    assert sorted(set(names)) == ["encoder", "index", "items", "model", "payload", "retriever.json"]
    assert names.count("model") == names.count("items") == names.count("encoder") == 1
    assert names.count("payload") <= 4


def test_what_is_not_committed_is_not_there(folder):
    with Retriever.open(folder) as retriever:
        before = answers(retriever)
        retriever.add({"text": ["red cat"]})
    assert answers(Retriever.open(folder, read_only=True)) == before


def test_a_commit_writes_what_is_new_alone(folder):
    before = set(os.listdir(folder))
    with Retriever.open(folder) as retriever:
        retriever.commit()
        assert set(os.listdir(folder)) == before
        retriever.add({"text": ["a cat"]})
        retriever.commit()
    new = set(os.listdir(folder)) - before
    assert [name.partition("-")[0] for name in new] == ["items"]


def test_one_writer_at_a_time_and_readers_beside(folder):
    with Retriever.open(folder) as writer:
        with pytest.raises(IndexLockedError):
            Retriever.open(folder)
        reader = Retriever.open(folder, read_only=True)
        writer.remove([0])
        writer.commit()
        assert len(reader) == 6
        assert reader.search(text="apple", k=1)[0].payload["words"] == "red apple"
        for call in (lambda: reader.add({"text": ["x"]}), lambda: reader.remove([1]), reader.commit):
            with pytest.raises(ValueError, match="read-only"):
                call()
    with pytest.raises(ValueError, match="closed"):
        writer.commit()
    assert len(Retriever.open(folder, read_only=True)) == 5


def test_save_needs_a_new_folder_and_goes_there(folder, tmp_path):
    with Retriever.open(folder, read_only=True) as retriever:
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "keep.txt").touch()
        with pytest.raises(FileExistsError, match=r"keep\.txt"):
            retriever.save(tmp_path / "other")
        with pytest.raises(FileExistsError, match=r"retriever\.json"):
            make().save(folder)
        retriever.save(tmp_path / "copy")
        retriever.remove([1, 2])
        retriever.save(tmp_path / "copy")
    assert len(Retriever.open(folder, read_only=True)) == 6
    assert len(Retriever.open(tmp_path / "copy", read_only=True)) == 4
    shutil.rmtree(folder)
    assert Retriever.open(tmp_path / "copy", read_only=True).search(text="grey cat", k=1)[0].id in (3, 5)


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    retriever = make()
    before = answers(retriever)
    monkeypatch.setattr("pyhash.retriever.retriever_files.write_items", _fail)
    with pytest.raises(OSError, match="no space"):
        retriever.save(tmp_path / "r")
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    retriever.save(tmp_path / "r")
    assert answers(Retriever.open(tmp_path / "r", read_only=True)) == before == answers(retriever)


def _fail(*_):
    raise OSError("no space left")


def test_encoders_of_the_user_are_given_again(tmp_path):
    make(shape=length_encoder()).save(tmp_path / "r")
    opened = Retriever.open(tmp_path / "r", read_only=True)
    assert len(opened.search(text="cat", k=3)) == 3  # the other is not needed
    with pytest.raises(ValueError, match=r"'lengths' of 'shape' cannot be made by its name: .*encoders="):
        opened.search(shape="cat")
    given = Retriever.open(tmp_path / "r", read_only=True, encoders={"shape": length_encoder("2")})
    assert len(given.search(shape="cat", k=3)) == 3
    with pytest.raises(ValueError, match="'sound'"):
        Retriever.open(tmp_path / "r", read_only=True, encoders={"sound": length_encoder()})
    with pytest.raises(ValueError, match="must be an encoder"):
        Retriever.open(tmp_path / "r", read_only=True, encoders={"text": None})


def test_an_encoder_of_another_version_is_refused(folder, monkeypatch):
    monkeypatch.setattr("pyhash.encoders.BagOfWords.version", "2")
    opened = Retriever.open(folder, read_only=True)
    with pytest.raises(ValueError, match=r"must be of version '1, .*installed one is '2'.*encoders="):
        opened.search(text="cat")
    assert len(opened.search(like=0, k=3)) == 3


def test_features_and_no_payload_need_no_pyarrow(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    X, labels = np.eye(4)[np.arange(40) % 4], np.arange(40) % 4
    retriever = Retriever({"x": None}, "lemon", 8).learn({"x": X}, labels, add=True)
    retriever.save(tmp_path / "r")
    opened = Retriever.open(tmp_path / "r", read_only=True)
    assert [result.payload for result in opened.search(x=X[0], k=2)] == [{}, {}]
    assert len(opened.search(x=csr_array(X[:1]), k=2)) == 2
    for call in (lambda: retriever.add({"x": X[:1]}, payload={"a": [1]}), lambda: retriever.payload):
        with pytest.raises(ImportError, match=r"pyhash-crossmodal\[arrow\]"):
            call()


def test_nothing_is_saved_before_it_is_learned(tmp_path):
    with pytest.raises(NotFittedError):
        Retriever({"text": "bag-of-words"}).save(tmp_path / "r")
    assert os.listdir(tmp_path) == []


EVALUATION = {
    "rows": 6,
    "labels": "class",
    "directions": {
        "text": {
            "plain": {"map": 0.5, "curve": {"recall": [0.5, 1], "precision": [1.0, 0.5]}},
            "weighted": {"map": np.float64(0.625), "mrr": 1},
        }
    },
    "rounds": [{"n_seen": 3, "text": 0.25}],
}


def test_an_evaluation_is_of_the_model_that_it_was_made_of(folder):
    with Retriever.open(folder) as retriever:
        assert retriever.evaluation is None
        retriever.write_evaluation(EVALUATION)
        assert retriever.evaluation == EVALUATION
        assert Retriever.open(folder, read_only=True).evaluation == EVALUATION
        retriever.add({"text": ["a cat"]})
        retriever.commit()
        assert retriever.evaluation == EVALUATION
        retriever.save(folder.with_name("copy"))
        assert retriever.evaluation == EVALUATION
        retriever.partial_learn({"text": ["a cat"]}, ["cat"])
        assert retriever.evaluation is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "rows"),
        ({"labels": 3}, "labels"),
        ({"more": 1}, "'more'"),
        ({"directions": {"text": {"best": {}}}}, "'best'"),
        ({"directions": {"text": {"plain": {"map": 1.5}}}}, "from 0 to 1"),
        ({"directions": {"text": {"plain": {"map": float("nan")}}}}, "from 0 to 1"),
        ({"directions": {"text": {"plain": {"curve": {"recall": [1]}}}}}, "precision"),
        ({"directions": {"text": {"plain": {"curve": {"recall": [1], "precision": []}}}}}, "as many"),
        ({"rounds": [{"text": 0.5}]}, "n_seen"),
        ({"rounds": 3}, "list"),
    ],
    ids=str,
)
def test_evaluations_are_checked(folder, change, message):
    with Retriever.open(folder) as retriever:
        with pytest.raises((TypeError, ValueError), match=message):
            retriever.write_evaluation({**EVALUATION, **change})
        assert not (folder / "evaluation.json").exists()


def files_of(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def test_damage_is_told(folder):
    before = answers(Retriever.open(folder, read_only=True))
    for name in files_of(folder):
        whole = (folder / name).read_bytes()
        damaged = {"missing": None, "cut": whole[: len(whole) // 2], "empty": b""}
        for position in np.random.default_rng(0).integers(0, len(whole), 8):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << position % 8
            damaged[f"bit of byte {position}"] = bytes(flipped)
        for content in damaged.values():
            (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
            with pytest.raises(ModelFormatError):
                Retriever.open(folder, read_only=True).index.verify()
        (folder / name).write_bytes(whole)
    assert answers(Retriever.open(folder, read_only=True)) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "../model-00000001.npz"}, "model must name"),
        ({"items": "/etc/passwd"}, "items must name"),
        ({"generation": 0}, "generation"),
        ({"n_bits": 32}, "does not fit"),
        ({"encoders": []}, "modalities"),
        (
            {"encoders": [{"modality": "text", "name": "os.system", "version": "1", "kind": "text", "by_name": 1}]},
            "bool",
        ),
        ({"payload": []}, "does not name"),
        ({"next_part": 1}, "next_part"),
    ],
    ids=str,
)
def test_a_manifest_that_is_wrong_is_told(folder, change, message):
    path = folder / "retriever.json"
    fields = read_checked_json(path, "pyhash-retriever", 1, "a manifest", dict)
    path.write_bytes(checked_json("pyhash-retriever", 1, {**fields, **change}))
    with pytest.raises(ModelFormatError, match=message):
        Retriever.open(folder, read_only=True)


def test_names_of_a_folder_run_no_code(folder):
    path = folder / "retriever.json"
    fields = read_checked_json(path, "pyhash-retriever", 1, "a manifest", dict)
    fields["encoders"][0].update(name="os:system", file=None)
    path.write_bytes(checked_json("pyhash-retriever", 1, fields))
    opened = Retriever.open(folder, read_only=True)
    with pytest.raises(ValueError, match="os:system"):
        opened.search(text="cat")


@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")
def test_networks_of_ones_own_are_given_to_open(tmp_path):
    torch = pytest.importorskip("torch")
    from pyhash.deep import SDCH, TrainingOptions

    rng = np.random.default_rng(0)
    kinds = np.arange(24) % 2
    items = {
        "a": np.float32(rng.normal(size=(24, 6)) + kinds[:, None]),
        "b": np.float32(kinds[:, None] + np.eye(24, 4)),
    }
    options = TrainingOptions(epochs=1, batch_size=8, validation_fraction=0.0)
    method = SDCH(8, training=options, backbones={"a": torch.nn.Linear(6, 5)})
    with Retriever({"a": None, "b": None}, method, 8).learn(items, kinds, add=True) as retriever:
        retriever.save(tmp_path / "r")
        ids = retriever.search(a=items["a"][0], k=5).ids.tolist()
    with pytest.raises(TypeError, match="backbones"):
        Retriever.open(tmp_path / "r")
    with Retriever.open(tmp_path / "r", backbones={"a": torch.nn.Linear(6, 5)}) as again:
        assert again.search(a=items["a"][0], k=5).ids.tolist() == ids

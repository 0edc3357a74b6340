import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix

from pyhash import LEMON, SHOH, codes, evaluation
from pyhash.comparison import Comparison, compare, refits
from pyhash.comparison.charts import _Charts
from pyhash.comparison.identity import describe, versions
from pyhash.comparison.result_lines import open_results
from pyhash.comparison.table import mean_and_spread
from pyhash.datasets import make_hierarchical, make_multilabel, published_split
from pyhash.deep import DHSL, SDCH, TrainingOptions
from pyhash.evaluation import Protocol
from pyhash.methods import CCAITQ, LSH, RBFAnchors
from pyhash.plotting import save_figure

SIZES = {"image": 10, "text": 12}

# What the key of a record was a hash of before version 0.2.
OLD_IDENTITY = (
    "method", "class", "n_bits", "seed", "parameters", "data", "labels", "layers", "split", "views", "directions",
    "database", "weights", "learn_fraction", "chunk_size", "protocols", "top_n", "instances", "pyhash",
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return make_hierarchical(150, n_classes=(2, 5), n_features=SIZES)


@pytest.fixture(scope="module")
def result(data):
    return compare(data, ["shoh", "cca-itq"], bits=[4, 8], seeds=2, chunk_size=60, top_n=[1, 10, 10_000])


@pytest.fixture
def count(monkeypatch):
    """The combinations that were run."""
    from pyhash.comparison import comparison

    ran, run = [], comparison.run_trial

    def counted(experiment, model, labels, identity, notice):
        ran.append((identity["method"], identity["n_bits"], identity["seed"]))
        return run(experiment, model, labels, identity, notice)

    monkeypatch.setattr(comparison, "run_trial", counted)
    return ran


def scores(record, kind="map"):
    return {entry["direction"]: entry[kind] for entry in record["scores"]}


def test_every_combination_once(result):
    assert repr(result) == "Comparison(8 records: shoh, cca-itq; 4, 8 bits; 2 seeds)"
    assert [(r["method"], r["n_bits"], r["seed"]) for r in result.records] == [
        (method, n_bits, seed) for method in ("shoh", "cca-itq") for n_bits in (4, 8) for seed in (0, 1)
    ]
    assert len({record["key"] for record in result.records}) == 8
    assert json.loads(json.dumps(result.records, allow_nan=False)) == result.records


def test_what_a_record_holds(result):
    record = result.records[0]
    assert record["class"] == "SHOH"
    assert record["parameters"]["n_iter"] == 7
    assert record["parameters"]["hierarchy"] is not None
    assert record["labels"] == "level2"
    assert (record["bytes_per_item"], record["float_bytes_per_item"]) == (1, 16)
    assert record["data"] | {"fingerprint": ""} == {
        "name": "hierarchical", "fingerprint": "", "n_database": 135, "n_queries": 15, "n_unlabelled": 0,
        "n_learned": 135,
    }  # fmt: skip
    assert {"pyhash", "numpy", "scipy", "python", "platform", "cpu_level"} == set(record["versions"]) - {"torch"}
    assert record["train_seconds"] > 0
    assert set(record["encode_seconds"]) == {"image", "text"}
    memory = record["memory"]
    assert memory["before"] is None or 0 < memory["before"] <= memory["peak"]
    for entry in record["scores"]:
        assert set(entry["precision_at"]) == {"1", "10"}
        curve = entry["precision_recall"]
        assert len(curve["rank"]) == len(curve["precision"]) == len(curve["recall"]) == 135
        assert curve["recall"][-1] == 1
    assert np.shape(record["class_distances"]["distances"]["learned"]) == (5, 5)
    assert len(record["class_distances"]["groups"]) == 5


def test_scores_are_those_of_the_model(data):
    """Compute the scores again without compare."""
    result = compare(data, ["lemon"], bits=[8], seeds=[3], chunk_size=50, labels="level1")
    database, queries = data.split("random")
    model = LEMON(n_bits=8, seed=3)
    order, packed = np.random.default_rng(3).permutation(database), []
    for start in range(0, len(order), 50):
        rows = order[start : start + 50]
        model.partial_fit({name: view[rows] for name, view in data.views.items()}, data.labels["level1"][rows])
        packed.append(model.codes_)
    learned = np.concatenate(packed)[np.argsort(order)]
    labels = data.labels["level1"]
    sides = labels[queries], labels[database]
    for query, other in (("image", "text"), ("text", "image")):
        projections = model.project(data.views[query][queries], modality=query)
        plain = evaluation.mean_average_precision(codes.pack(projections), learned, *sides, n_bits=8, protocol="shoh")
        weighted = evaluation.mean_average_precision(
            projections, learned, *sides, metric="weighted_hamming", protocol="shoh"
        )
        reals = model.project(data.views[other][database], modality=other).astype(float)
        cosine = -(projections @ reals.T) / np.linalg.norm(reals, axis=1)
        as_float = evaluation.mean_average_precision(cosine, None, *sides, metric="precomputed", protocol="shoh")
        (record,) = result.records
        direction = f"{query}->{other}"
        assert scores(record)[direction] == plain.value
        assert scores(record, "map_weighted")[direction] == weighted.value
        assert scores(record, "map_float")[direction] == pytest.approx(as_float.value, abs=1e-6)
        assert record["rounds"][-1]["map"][direction] == plain.value
        curve = evaluation.precision_recall_curve(codes.pack(projections), learned, *sides, n_bits=8, protocol="shoh")
        kept = next(entry for entry in record["scores"] if entry["direction"] == direction)["precision_recall"]
        np.testing.assert_allclose(kept["precision"], curve.precision, atol=1e-6)


@pytest.mark.parametrize("form", ["pandas", "polars", "sparse columns", "coo_array", "csr_matrix", "lists"])
def test_features_of_any_form_give_the_same_scores(data, form):
    import pandas as pd
    import polars as pl

    image = data.views["image"]
    views = {
        "pandas": lambda: pd.DataFrame(image, index=np.arange(len(image))[::-1]),
        "polars": lambda: pl.DataFrame(image),
        "sparse columns": lambda: pd.DataFrame(image).astype(pd.SparseDtype(image.dtype, 0)),
        "coo_array": lambda: coo_array(image),
        "csr_matrix": lambda: csr_matrix(image),
        "lists": lambda: image.tolist(),
    }
    labels = {name: pd.Series(kinds) for name, kinds in data.labels.items()}
    splits = {"random": data.splits["random"].tolist()}
    other = replace(data, views={**data.views, "image": views[form]()}, labels=labels, splits=splits)
    found, expected = (compare(any_form, ["cca-itq"], bits=[8]).records[0] for any_form in (other, data))
    for direction, score in scores(expected).items():
        assert scores(found)[direction] == pytest.approx(score, abs=0.01)


def test_rounds_of_online_methods(result):
    online, offline = result.records[0], result.records[4]
    assert [entry["n_seen"] for entry in online["rounds"]] == [60, 120, 135]
    assert all(set(entry["map"]) == {"image->text", "text->image"} for entry in online["rounds"])
    assert [entry["n_seen"] for entry in offline["rounds"]] == [60, 120, 135]
    for record in (online, offline):
        last = record["rounds"][-1]
        assert (last["map"], last["map_weighted"]) == (scores(record), scores(record, "map_weighted"))
    learned = [sum(entry["train_seconds"] for entry in record["rounds"]) for record in (online, offline)]
    solved = [record["rounds"][-1]["solve_seconds"] for record in (online, offline)]
    assert online["train_seconds"] == learned[0] + solved[0]
    assert offline["train_seconds"] == offline["rounds"][-1]["train_seconds"] + solved[1] < learned[1]


class Counted(CCAITQ):
    """A method that learns whole data, and counts its fits."""

    fits: list = []  # noqa: RUF012 - of all models

    def fit(self, views, labels=None):
        self.fits.append(len(views["image"]))
        return super().fit(views, labels)


def counted(n_bits, seed):
    return Counted(n_bits=n_bits, seed=seed)


@pytest.fixture
def fits():
    """Numbers of rows of each fit of a Counted."""
    Counted.fits.clear()
    return Counted.fits


def test_whole_data_is_learned_again_after_each_round(data, fits):
    """The scores of each round are those of a method that learned the rows so far; the last are the final ones."""
    (record,) = compare(data, {"whole": counted}, bits=[8], seeds=[2], chunk_size=50).records
    assert fits == [50, 100, 135]
    database, queries = data.split("random")
    order, labels = np.random.default_rng(2).permutation(database), data.labels["level2"]
    for entry in record["rounds"]:
        seen = order[: entry["n_seen"]]
        model = CCAITQ(n_bits=8, seed=2).fit({name: view[seen] for name, view in data.views.items()})
        ranked = np.argsort(seen)
        for kind, rows, metric in (
            ("map", model.encode(data.views["image"][queries], modality="image"), "hamming"),
            ("map_weighted", model.project(data.views["image"][queries], modality="image"), "weighted_hamming"),
        ):
            expected = evaluation.mean_average_precision(
                rows, model.codes_[ranked], labels[queries], labels[seen[ranked]], metric=metric, n_bits=8,
                protocol="shoh",
            )  # fmt: skip
            assert entry[kind]["image->text"] == expected.value


class Deep(Counted):
    """A method that counts as deep."""

    is_deep = True


@pytest.mark.parametrize(
    ("rounds", "online", "whole", "deep"),
    [
        ("shallow", True, True, False),
        ("online", True, False, False),
        ("all", True, True, True),
        ("none", False, False, False),
    ],
)
@pytest.mark.slow("methods are refitted after every round")
def test_methods_whose_rounds_are_scored(data, tmp_path, fits, rounds, online, whole, deep):
    methods = {
        "online": lambda n, s: LEMON(n_bits=n, seed=s),
        "whole": counted,
        "deep": lambda n, s: Deep(n_bits=n, seed=s),
    }
    result = compare(data, methods, bits=[8], chunk_size=50, rounds=rounds)
    by_method = {record["method"]: record for record in result.records}
    assert [record["scored_by_round"] for record in by_method.values()] == [online, whole, deep]
    for name, scored in (("online", online), ("whole", whole), ("deep", deep)):
        found = by_method[name]["rounds"]
        assert [entry["n_seen"] for entry in found] == ([50, 100, 135] if scored or name == "online" else [135])
        for kind in ("map", "map_weighted"):
            assert [entry[kind] is not None for entry in found] == [scored] * len(found)
    assert len(fits) == (3 if whole else 1) + (3 if deep else 1)
    # Only the rounds differ.
    other = compare(data, methods, bits=[8], chunk_size=50, rounds="none" if rounds == "all" else "all")
    assert [record["scores"] for record in other.records] == [record["scores"] for record in result.records]
    charts = dict(_Charts(result.records, "shoh").drawn())
    assert ("map_by_round.image-to-text" in charts) == online
    shown = [text.get_text() for text in charts["training_time_by_round"].get_legend().get_texts()]
    assert shown == ["online", *(["whole"] if whole else []), *(["deep"] if deep else [])]


def test_other_rounds_run_only_the_methods_that_they_concern(data, tmp_path, count):
    def run(rounds):
        return compare(data, ["lemon", "cca-itq"], bits=[8], out=tmp_path, chunk_size=50, rounds=rounds).n_reused

    assert [run(rounds) for rounds in ("shallow", "online", "all", "none", "none")] == [0, 1, 2, 1, 2]
    assert count == [("lemon", 8, 0), ("cca-itq", 8, 0), ("cca-itq", 8, 0), ("lemon", 8, 0)]


def test_rounds_that_are_too_short_for_a_method_are_left_out(data):
    (record,) = compare(data, ["pca-sign+rbf"], bits=[64], chunk_size=30).records  # as many features as rows
    assert [entry["n_seen"] for entry in record["rounds"]] == [90, 120, 135]


def test_what_is_interrupted_between_rounds_is_run_again_whole(data, tmp_path, fits, monkeypatch):
    whole = compare(data, {"online": lambda n, s: LEMON(n), "whole": counted}, bits=[8], chunk_size=50)
    fit = Counted.fit

    def interrupted(self, views, labels=None):
        if len(views["image"]) == 100:
            raise KeyboardInterrupt
        return fit(self, views, labels)

    with monkeypatch.context() as patch:
        patch.setattr(Counted, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare(data, {"online": lambda n, s: LEMON(n), "whole": counted}, bits=[8], chunk_size=50, out=tmp_path)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1
    fits.clear()
    resumed = compare(data, {"online": lambda n, s: LEMON(n), "whole": counted}, bits=[8], chunk_size=50, out=tmp_path)
    assert (resumed.n_reused, fits) == (1, [50, 100, 135])
    for one, other in zip(whole.records, resumed.records, strict=True):
        assert one["scores"] == other["scores"]
        assert [entry["map_weighted"] for entry in one["rounds"]] == [
            entry["map_weighted"] for entry in other["rounds"]
        ]


@pytest.mark.slow("five comparisons with refits")
def test_one_line_where_refits_take_long(data, capsys, monkeypatch):
    def run(**choices):
        compare(data, ["lsh", "pca-sign"], bits=[4, 8], **{"chunk_size": 50, **choices})
        return capsys.readouterr().err

    assert run() == ""
    monkeypatch.setattr(refits, "_LONG_SECONDS", 0.0)
    lines = run().splitlines()
    assert [line.split(" ")[0] for line in lines] == ["LSH", "PCASign"]
    assert re.fullmatch(
        r"LSH learns whole data: 2 more fits, for mAP by round, take about \d+ seconds for each length and seed; "
        r"rounds='online', or --rounds online, leaves them out",
        lines[0],
    )
    assert run(progress=False) == ""
    assert run(rounds="online") == run(chunk_size=200) == ""


def test_the_time_of_refits_is_estimated_from_the_first(capsys):
    assert refits.estimate_seconds([10, 20, 30], [2.0]) == 6.0
    assert refits.estimate_seconds([10, 20, 30], [2.0, 5.0]) == 2 + 5 + 8
    assert refits.estimate_seconds([10, 20, 30], [2.0, 1.0]) == 4.0
    assert refits.estimate_seconds([10, 20], [2.0, 7.0]) == 9.0
    notice = refits.RefitNotice()
    notice.update("Slow", [10, 20, 30], [50.0, 100.0])
    notice.update("Slow", [10, 20, 30], [50.0, 100.0, 150.0])
    assert "about 5 minutes for each length and seed" in capsys.readouterr().err.strip()


@pytest.mark.parametrize("method", ["shoh", "seoch", "batch"])
def test_training_time_is_what_a_round_costs_when_its_model_is_used(data, method):
    (record,) = compare(data, [method], bits=[8], chunk_size=50).records
    ax = dict(_Charts([record], "shoh").drawn())["training_time_by_round"]
    costs = [entry["train_seconds"] + entry["solve_seconds"] for entry in record["rounds"]]
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), np.cumsum(costs))
    assert ax.get_ylabel() == "Seconds of learning and solving, all rounds so far"


def test_records_of_earlier_versions_are_drawn_and_described(data, result):
    new = ("relevance", "remainder", "scored_by_round", "swept", "training")
    records = [{key: value for key, value in record.items() if key not in new} for record in result.records]
    for record in records:
        record["rounds"] = [{k: v for k, v in entry.items() if k != "map_weighted"} for entry in record["rounds"]]
    old = Comparison(records)
    assert old.describe() == result.describe()
    assert old.table() == result.table()
    drawn, expected = ({name for name, _ in _Charts(r, "shoh").drawn()} for r in (records, result.records))
    assert expected - drawn == {f"map_weighted_by_round.{name}" for name in ("image-to-text", "text-to-image")}


def test_results_of_earlier_versions_are_read_and_not_reused(data, tmp_path, count):
    compare(data, ["lsh"], bits=[4], out=tmp_path)
    path = tmp_path / "results.jsonl"
    record = json.loads(path.read_text())
    for name in ("relevance", "remainder", "scored_by_round"):
        del record[name]
    fields = {name: value for name, value in record.items() if name in OLD_IDENTITY}
    record["key"] = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
    path.write_text(json.dumps(record) + "\n")
    assert compare(data, ["lsh"], bits=[4], out=tmp_path).n_reused == 0
    assert len(path.read_text().splitlines()) == 2


def test_encoded_database(data):
    (record,) = compare(data, ["cca-itq"], bits=[8], database="encoded").records
    database, queries = data.split("random")
    order = np.random.default_rng(0).permutation(database)
    model = CCAITQ(n_bits=8, seed=0).fit({name: view[order] for name, view in data.views.items()})
    labels = data.labels["level2"]
    expected = evaluation.mean_average_precision(
        model.encode(data.views["image"][queries], modality="image"),
        model.encode(data.views["text"][database], modality="text"),
        labels[queries],
        labels[database],
        n_bits=8,
        protocol="shoh",
    )
    assert scores(record)["image->text"] == expected.value
    assert set(record["class_distances"]["distances"]) == {"text", "image"}


def test_every_direction():
    data = make_multilabel(120, n_classes=4, n_features={"a": 6, "b": 7, "c": 8})
    (record,) = compare(data, ["lemon"], bits=[4]).records
    assert set(scores(record)) == {"a->b", "a->c", "b->a", "b->c", "c->a", "c->b"}
    assert scores(record)["a->b"] == scores(record)["a->c"]  # learned codes are of all modalities
    (record,) = compare(data, ["lemon"], bits=[4], views=["b"]).records
    assert set(scores(record)) == {"b->b"}
    (record,) = compare(data, ["lemon"], bits=[4], directions=[("a", "a"), ("c", "a")]).records
    assert set(scores(record)) == {"a->a", "c->a"}


@pytest.fixture(scope="module")
def three():
    return make_multilabel(160, n_classes=4, n_features={"a": 6, "b": 7, "c+d": 8})


def learned(data, rows, n_bits=8, seed=0):
    """A model that has learned the rows in the order of a comparison."""
    order = np.random.default_rng(seed).permutation(rows)
    return LEMON(n_bits, seed=seed).partial_fit(
        {name: view[order] for name, view in data.views.items()}, data.labels["classes"][order]
    )


def test_queries_of_several_modalities(three):
    directions = [("a+b", "c+d"), ("b+c+d", "a"), ("c+d", "a")]
    with pytest.raises(ValueError, match="directions must be one of 'a', 'b', 'c\\+d', got 'c'"):
        compare(three, ["lemon"], bits=[8], directions=directions)  # the name of a view that has a plus is no list
    directions[1] = ("b+a", "a")
    weights = {"b": 0.25, "c+d": 3.0}
    (record,) = compare(three, ["lemon"], bits=[8], directions=directions, weights=weights).records
    assert (record["weights"], record["directions"]) == (weights, [list(pair) for pair in directions])
    assert set(record["encode_seconds"]) == {"a+b", "b+a", "c+d"}
    database, queries = three.split("random")
    model, labels = learned(three, database), three.labels["classes"]
    codes_of = model.codes_[np.argsort(np.random.default_rng(0).permutation(database))]
    views = {name: three.views[name][queries] for name in ("a", "b")}
    for kind, rows in (
        ("map", model.encode_fused(views, weights={"b": 0.25})),
        ("map_weighted", model.project_fused(views, weights={"b": 0.25})),
    ):
        expected = evaluation.mean_average_precision(
            rows, codes_of, labels[queries], labels[database], n_bits=8, protocol="shoh",
            metric="hamming" if kind == "map" else "weighted_hamming",
        )  # fmt: skip
        assert scores(record, kind)["a+b->c+d"] == expected.value
    assert "weights b 0.25, c+d 3" in compare(three, ["lemon"], bits=[8], weights=weights).describe()


def test_a_database_of_fused_codes(three):
    (record,) = compare(three, ["lemon"], bits=[8], database="fused", weights={"a": 0.5}).records
    database, queries = three.split("random")
    model, labels = learned(three, database), three.labels["classes"]
    fused = model.project_fused({name: view[database] for name, view in three.views.items()}, weights={"a": 0.5})
    query = model.project(three.views["a"][queries], modality="a")
    expected = evaluation.mean_average_precision(
        codes.pack(query), codes.pack(fused), labels[queries], labels[database], n_bits=8, protocol="shoh"
    )
    assert scores(record)["a->b"] == scores(record)["a->c+d"] == expected.value
    assert record["rounds"][-1]["map"]["a->b"] == expected.value
    cosine = -(query.astype(float) @ fused.T.astype(float)) / np.linalg.norm(fused.astype(float), axis=1)
    as_float = evaluation.mean_average_precision(
        cosine, None, labels[queries], labels[database], metric="precomputed", protocol="shoh"
    )
    assert scores(record, "map_float")["a->b"] == pytest.approx(as_float.value, abs=1e-6)
    assert set(record["class_distances"]["distances"]) == {"fused"}


@pytest.mark.parametrize("database", ["encoded", "fused"])
def test_a_database_that_is_not_learned(three, database):
    result = compare(three, ["lemon"], bits=[8], database=database, learn_fraction=0.25, chunk_size=20)
    (record,) = result.records
    assert (record["data"]["n_learned"], record["data"]["n_database"]) == (36, 108)
    assert [entry["n_seen"] for entry in record["rounds"]] == [20, 36]
    assert "(36 rows to learn, 108 others to search, 16 queries)" in result.describe()
    rows, queries = three.split("random")
    drawn = np.random.default_rng(0).permutation(rows)
    known, searched = np.sort(drawn[:36]), np.sort(drawn[36:])
    order, model, labels = np.random.default_rng(0).permutation(known), LEMON(8), three.labels["classes"]
    for part in (order[:20], order[20:]):
        model.partial_fit({name: view[part] for name, view in three.views.items()}, labels[part])
    views = {name: view[searched] for name, view in three.views.items()}
    expected = evaluation.mean_average_precision(
        model.encode(three.views["a"][queries], modality="a"),
        model.encode(views["b"], modality="b") if database == "encoded" else model.encode_fused(views),
        labels[queries], labels[searched], n_bits=8, protocol="shoh",
    )  # fmt: skip
    assert scores(record)["a->b"] == record["rounds"][-1]["map"]["a->b"] == expected.value


def test_a_part_of_the_rows_is_learned_and_all_are_searched(three):
    result = compare(three, ["lemon"], bits=[8], database="encoded", learn_rows=36, chunk_size=20)
    (record,) = result.records
    assert [entry["n_seen"] for entry in record["rounds"]] == [20, 36]
    assert "(36 of 144 rows to learn, all to search, 16 queries)" in result.describe()
    rows, queries = three.split("random")
    known = np.sort(np.random.default_rng(0).permutation(rows)[:36])
    order, model, labels = np.random.default_rng(0).permutation(known), LEMON(8), three.labels["classes"]
    for part in (order[:20], order[20:]):
        model.partial_fit({name: view[part] for name, view in three.views.items()}, labels[part])
    sides = (model.encode(three.views[name][side], modality=name) for name, side in (("a", queries), ("b", rows)))
    expected = evaluation.mean_average_precision(*sides, labels[queries], labels[rows], n_bits=8, protocol="shoh")
    assert scores(record)["a->b"] == record["rounds"][-1]["map"]["a->b"] == expected.value


def test_all_rows_may_be_named_as_those_to_learn(three):
    whole, named = (compare(three, ["lsh"], bits=[4], learn_rows=n).records[0] for n in (None, 144))
    assert whole["key"] == named["key"]


def test_the_rows_to_learn_do_not_depend_on_the_seed(three):
    first, second = compare(three, ["lsh"], bits=[4], database="encoded", learn_fraction=0.5, seeds=2).records
    assert first["data"] == second["data"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"learn_fraction": 0.5}, ValueError, "learn_fraction must be 1 with database 'learned', got 0.5"),
        ({"learn_fraction": 0, "database": "fused"}, ValueError, "learn_fraction must be a finite number > 0, got 0"),
        ({"learn_fraction": 1.5, "database": "fused"}, ValueError, "learn_fraction must be at most 1, got 1.5"),
        ({"learn_fraction": "all"}, TypeError, "learn_fraction must be a finite number > 0, got 'all'"),
        ({"learn_rows": 143}, ValueError, "learn_rows must be 144 with database 'learned', got 143"),
        ({"learn_rows": 145, "database": "fused"}, ValueError, "learn_rows must be at most the 144 rows of the data"),
        ({"learn_rows": 0, "database": "fused"}, ValueError, "learn_rows must be an integer >= 1, got 0"),
        ({"learn_rows": 2.0}, TypeError, "learn_rows must be an integer >= 1, got 2.0"),
        ({"learn_rows": 9, "learn_fraction": 0.5, "database": "fused"}, ValueError, "learn_rows must be None with a"),
        ({"weights": {"e": 1}}, ValueError, "weights must be one of 'a', 'b', 'c\\+d', got 'e'"),
        ({"weights": {"a": 0}}, ValueError, r"weights\['a'\] must be a finite number > 0, got 0"),
        ({"weights": {"a": "1"}}, TypeError, r"weights\['a'\] must be a finite number > 0, got '1'"),
        ({"weights": [1, 2]}, TypeError, "weights must be a mapping of modalities to numbers, got list"),
        ({"directions": [("a+a", "b")]}, ValueError, r"directions must name each modality .* once, got 'a\+a'"),
        ({"directions": [("a+", "b")]}, ValueError, "directions must be one of 'a', 'b', 'c\\+d', got ''"),
        ({"directions": [(5, "b")]}, ValueError, "directions must be one of 'a', 'b', 'c\\+d', got 5"),
        ({"directions": [("a", "a+b")]}, ValueError, "directions must be one of 'a', 'b', 'c\\+d', got 'a\\+b'"),
    ],
)
def test_what_cannot_be_fused_or_left_out(three, arguments, error, message):
    with pytest.raises(error, match=message):
        compare(three, ["lsh"], bits=[4], **arguments)


def test_a_fraction_leaves_a_row_on_each_side(three):
    few = replace(three, splits={"random": np.arange(160) >= 3})
    (record,) = compare(few, ["lsh"], bits=[4], database="encoded", learn_fraction=0.01).records
    assert (record["data"]["n_learned"], record["data"]["n_database"]) == (1, 2)


def test_a_mapping_of_factories(data):
    made = []

    def mine(n_bits, seed):
        made.append((n_bits, seed))
        return LEMON(n_bits=n_bits, seed=seed, beta=1.0, feature_maps={"image": RBFAnchors(5)})

    result = compare(data, {"mine": mine, "deep hierarchy": lambda n, s: SHOH(n, hierarchy=data.hierarchy)}, bits=[4])
    assert (4, 0) in made
    parameters = result.records[0]["parameters"]
    assert parameters["beta"] == 1.0
    assert parameters["feature_maps"]["image"]["class"] == "RBFAnchors"
    assert [record["method"] for record in result.records] == ["mine", "deep hierarchy"]


def test_a_model_that_has_learned_does_not_go_on(data):
    model = LEMON(4)
    with pytest.raises(ValueError, match=r"methods\['mine'\] must return a new model.*has learned 135 rows"):
        compare(data, {"mine": lambda n, s: model}, bits=[4], seeds=2)


def test_the_table_has_the_mean_and_the_spread(result):
    lines = result.table().splitlines()
    assert len(lines) == 2 + 4
    assert lines[0].split(" | ")[3:] == [
        "image->text", "image->text weighted", "text->image", "text->image weighted |",
    ]  # fmt: skip
    a, b = (scores(record)["text->image"] for record in result.records[:2])
    mean, spread = (a + b) / 2, abs(a - b) / 2**0.5
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:3] == ["shoh", "4", "1"]
    assert cells[5] == f"{mean:.3f} ± {spread:.3f}"
    assert "mean ± sample standard deviation of 2 seeds" in result.describe()
    assert "full list, denominator hits, empty queries zero, ties id" in result.describe()
    with pytest.raises(ValueError, match="protocol must be one of 'shoh', got 'mine'"):
        result.table("mine")


def test_no_name_breaks_the_table(data):
    result = compare(data, {"a|b\nc": lambda n, s: CCAITQ(n_bits=n, seed=s)}, bits=[4])
    assert len(result.table().splitlines()) == 3
    assert result.table().splitlines()[2].startswith("| a\\|b c | 4 | 1 | ")


def test_mean_and_spread():
    assert mean_and_spread([0.1, 0.2, 0.3]) == "0.200 ± 0.100"
    assert mean_and_spread([0.25]) == "0.250"
    assert mean_and_spread([0.25, None]) == "-"


def test_several_protocols(data):
    strict = Protocol(cutoff=5, denominator="min", ties="expected")
    result = compare(data, ["lemon"], bits=[4], protocols=["shoh", strict], top_n=[3, 9])
    assert result.protocols == ["shoh", strict.describe()]
    by_protocol = {entry["protocol"]: entry for entry in result.records[0]["scores"]}
    assert set(by_protocol[strict.describe()]["precision_at"]) == {"3"}
    assert by_protocol["shoh"]["map"] != by_protocol[strict.describe()]["map"]
    assert result.table(strict.describe()) != result.table()


def test_rows_without_labels_are_left_out():
    data = make_multilabel(120, n_classes=4, n_features=SIZES)
    labels = data.labels["classes"].copy()
    database, queries = data.split("random")
    labels[database[:7]] = 0
    labels[queries[:2]] = 0
    result = compare(replace(data, labels={"classes": labels}), ["lemon"], bits=[4])
    assert result.records[0]["data"] | {"name": "", "fingerprint": ""} == {
        "name": "", "fingerprint": "", "n_database": 101, "n_queries": 10, "n_unlabelled": 9,
        "n_learned": 101,
    }  # fmt: skip
    assert "9 without labels left out" in result.describe()


def test_labels_choose_the_hierarchy(data):
    coarse = compare(data, ["shoh"], bits=[4], labels="level1").records[0]
    assert coarse["parameters"]["hierarchy"] is None
    for labels in ("level2", "hierarchy", None):
        record = compare(data, ["shoh"], bits=[4], labels=labels).records[0]
        assert record["labels"] == "level2"
        assert record["parameters"]["hierarchy"] == [data.hierarchy[0].tolist()]


def test_labels_to_learn_apart_from_those_of_relevance(data):
    """The concatenation of two layers, one-hot, learned chunk by chunk; scored by the finest."""
    result = compare(data, ["lemon"], bits=[8], labels="level1+level2", chunk_size=50)
    (record,) = result.records
    assert (record["labels"], record["relevance"], record["layers"]) == ("level1+level2", "level2", [])
    assert ", level2 relevance, learned from level1+level2, split random" in result.describe()
    database, queries = data.split("random")
    order, model, packed = np.random.default_rng(0).permutation(database), LEMON(8), []
    both = np.hstack([np.eye(2)[data.labels["level1"]], np.eye(5)[data.labels["level2"]]])
    for start in range(0, len(order), 50):
        rows = order[start : start + 50]
        model.partial_fit({name: view[rows] for name, view in data.views.items()}, both[rows])
        packed.append(model.codes_)
    expected = evaluation.mean_average_precision(
        model.encode(data.views["image"][queries], modality="image"),
        np.concatenate(packed)[np.argsort(order)],
        data.labels["level2"][queries], data.labels["level2"][database], n_bits=8, protocol="shoh",
    )  # fmt: skip
    assert scores(record)["image->text"] == expected.value
    assert np.shape(record["class_distances"]["distances"]["learned"]) == (5, 5)  # of relevance
    assert record["class_distances"]["groups"] == data.hierarchy[0].tolist()


def test_relevance_may_be_coarser_than_what_is_learned(data):
    fine, coarse = (compare(data, ["shoh"], bits=[8], relevance=name).records[0] for name in ("hierarchy", "level1"))
    assert (coarse["labels"], coarse["relevance"], fine["relevance"]) == ("level2", "level1", "level2")
    assert coarse["parameters"]["hierarchy"] == fine["parameters"]["hierarchy"] is not None
    assert np.shape(coarse["class_distances"]["distances"]["learned"]) == (2, 2)
    assert coarse["class_distances"]["groups"] is None
    assert scores(coarse)["image->text"] > scores(fine)["image->text"]
    # The same codes, other labels.
    database, queries = data.split("random")
    order = np.random.default_rng(0).permutation(database)
    model = SHOH(8, hierarchy=data.hierarchy).partial_fit(
        {name: view[order] for name, view in data.views.items()}, [data.labels[name][order] for name in data.layers]
    )
    expected = evaluation.mean_average_precision(
        model.encode(data.views["text"][queries], modality="text"), model.codes_[np.argsort(order)],
        data.labels["level1"][queries], data.labels["level1"][database], n_bits=8, protocol="shoh",
    )  # fmt: skip
    assert scores(coarse)["text->image"] == expected.value


def test_one_method_learns_other_labels_than_the_rest(data, tmp_path, count):
    methods = ["shoh", "lemon", "lemon@level1+level2", "shoh@level1+level2", "lsh@level1"]
    result = compare(data, methods, bits=[8], out=tmp_path)
    assert [record["labels"] for record in result.records] == [
        "level2", "level2", "level1+level2", "level1+level2", "level1"
    ]  # fmt: skip
    assert {record["relevance"] for record in result.records} == {"level2"}
    by_method = {record["method"]: record for record in result.records}
    assert by_method["shoh"]["parameters"]["hierarchy"] is not None
    assert by_method["shoh@level1+level2"]["parameters"]["hierarchy"] is None  # the flat derivative of SHOH
    assert (
        "level2 relevance, learned from level2 (shoh, lemon) and level1+level2 (lemon@level1+level2, "
        "shoh@level1+level2) and level1 (lsh@level1), split random" in result.describe()
    )
    assert "| lemon@level1+level2 | 8 |" in result.table()
    # The same as a comparison whose methods all learn these labels, but for the name.
    (alone,) = compare(data, ["lemon"], bits=[8], labels="level1+level2").records
    assert alone["scores"] == by_method["lemon@level1+level2"]["scores"]
    assert alone["data"] == by_method["lemon@level1+level2"]["data"]
    assert len({record["key"] for record in [*result.records, alone]}) == 6
    # Methods of other labels change no key of the rest.
    assert compare(data, ["lemon", "lemon@level2"], bits=[8], out=tmp_path).n_reused == 1


def test_a_sweep_of_a_method_that_learns_other_labels(data):
    method = "shoh@level1+level2"
    result = compare(data, sweep={method: {"eta": [1, 10]}}, parameters={method: {"n_iter": 3}}, bits=[8])
    assert [record["method"] for record in result.records] == [f"{method}[eta=1]", f"{method}[eta=10]"]
    assert {record["labels"] for record in result.records} == {"level1+level2"}
    assert result.records[0]["parameters"]["hierarchy"] is None
    assert result.records[0]["parameters"]["n_iter"] == 3


def test_names_of_functions_say_nothing_of_labels(data):
    (record,) = compare(data, {"mine@home": lambda n, s: LSH(n_bits=n)}, bits=[4]).records
    assert (record["method"], record["labels"]) == ("mine@home", "level2")


def test_a_kind_of_labels_whose_name_has_a_plus(data):
    data = replace(data, labels={**data.labels, "level1+level2": data.labels["level1"]})
    (record,) = compare(data, ["lsh"], bits=[4], labels="level1+level2").records
    assert (record["labels"], record["relevance"]) == ("level1+level2", "level1+level2")


def test_rows_without_labels_to_learn_or_of_relevance_are_left_out():
    data = make_multilabel(120, n_classes=4, n_features=SIZES)
    database, queries = data.split("random")
    tags, more = data.labels["classes"].copy(), data.labels["classes"].copy()
    tags[database[:7]] = 0
    more[database[5:9]] = 0
    more[queries[:2]] = 0
    data = replace(data, labels={"classes": data.labels["classes"], "tags": tags, "more": more}, label_names={})

    def n_unlabelled(methods=("lsh",), **choices):
        return compare(data, methods, bits=[4], **choices).records[0]["data"]["n_unlabelled"]

    assert n_unlabelled() == 0
    assert n_unlabelled(labels="tags") == 7
    assert n_unlabelled(labels="tags", relevance="more") == 11
    assert n_unlabelled(labels="tags+more", relevance="classes") == 2  # those with labels of neither kind
    assert n_unlabelled(relevance="more") == 6
    # All methods get the same rows.
    records = compare(data, ["lsh", "lemon@tags"], bits=[4]).records
    assert [record["data"]["n_learned"] for record in records] == [101, 101]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"labels": "level1+level3"},
            ValueError,
            "labels must be one of 'hierarchy', 'level1', 'level2', got 'level3'",
        ),
        ({"labels": "level1+"}, ValueError, "labels must be one of 'hierarchy', 'level1', 'level2', got ''"),
        ({"labels": "level2+hierarchy"}, ValueError, "labels must name each kind of labels once, got 'level2.hier"),
        ({"labels": 2}, TypeError, r"labels must be names of labels joined by '\+', got int"),
        ({"relevance": "level3"}, ValueError, "relevance must be one of 'hierarchy', 'level1', 'level2', got 'level3'"),
        ({"relevance": "level1+level2"}, ValueError, "relevance must be one of .*, got 'level1.level2'"),
        ({"relevance": ["level1"]}, TypeError, "relevance must be the name of one kind of labels, got list"),
        ({"methods": ["lsh@level3"]}, ValueError, "the labels of 'lsh@level3' must be one of 'hierarchy', 'level1'"),
        ({"methods": ["lsh@"]}, ValueError, "the labels of 'lsh@' must be one of 'hierarchy', .* got ''"),
        ({"methods": ["lhs@level1"]}, ValueError, r"got 'lhs'; did you mean 'lsh'\?"),
        ({"rounds": "some"}, ValueError, "rounds must be one of 'shallow', 'online', 'all', 'none', got 'some'"),
        ({"remainder": "drop"}, ValueError, "remainder must be one of 'keep', 'merge', got 'drop'"),
    ],
)
def test_labels_and_remainders_that_are_not_there(data, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        compare(**{"data": data, "methods": ["lsh"], "bits": [4], "out": tmp_path / "out", **arguments})
    assert not (tmp_path / "out").exists()


def test_joined_labels_without_the_finest_layer_need_relevance():
    data = make_multilabel(50, n_classes=4, n_features=SIZES)
    data = replace(data, labels={**data.labels, "tags": data.labels["classes"]})
    with pytest.raises(ValueError, match=r"relevance must name one kind .* got labels 'classes\+tags'"):
        compare(data, ["lsh"], bits=[4], labels="classes+tags")
    assert compare(data, ["lsh"], bits=[4], labels="classes+tags", relevance="tags").records[0]["relevance"] == "tags"


def test_a_short_last_chunk_is_joined_to_the_one_before(data):
    result = compare(data, ["lemon"], bits=[4], chunk_size=60, remainder="merge")
    assert [entry["n_seen"] for entry in result.records[0]["rounds"]] == [60, 135]
    assert "chunks of 60, a shorter last one joined to the one before; protocol" in result.describe()


def test_a_first_chunk_that_lacks_classes():
    data = make_hierarchical(60, n_classes=(9,), n_features=SIZES)
    (record,) = compare(data, ["lemon"], bits=[4], chunk_size=3).records
    assert len(record["rounds"]) == 18


def test_data_without_a_split(data):
    bare = replace(data, splits={})
    (record,) = compare(bare, ["lemon"], bits=[4]).records
    assert (record["split"], record["data"]["n_queries"]) == ("random", 15)
    named = replace(data, splits={"mine": data.splits["random"]})
    assert compare(named, ["lemon"], bits=[4]).records[0]["split"] == "mine"
    assert compare(named, ["lemon"], bits=[4], split="random").records[0]["split"] == "random"


# --- the same thing ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def things(data):
    """Rows that show things; a third of the queries show something that no other row shows."""
    names = np.array([f"thing {n % 40}" for n in range(len(data))])
    alone = np.flatnonzero(data.splits["random"])[::3]
    names[alone] = [f"alone {n}" for n in alone]
    return replace(data, items={"of": names}, instances="of")


def test_instance_scores_are_those_of_the_codes(things):
    """Compute the scores again without compare; queries without their thing are left out, whatever the protocol."""
    protocols = ["shoh", Protocol(ties="expected", cutoff=7, denominator="min")]
    (record,) = compare(things, ["cca-itq"], bits=[8], database="encoded", protocols=protocols).records
    database, queries = things.split("random")
    order = np.random.default_rng(0).permutation(database)
    model = CCAITQ(n_bits=8, seed=0).fit({name: view[order] for name, view in things.views.items()})
    projections = model.project(things.views["image"][queries], modality="image")
    encoded = model.encode(things.views["text"][database], modality="text")
    ids = things.items["of"]
    in_database = np.isin(ids[queries], ids[database])
    assert record["instances"] == {"name": "of", "n_queries": int(in_database.sum())}
    assert 0 < in_database.sum() < len(queries)
    for given, protocol, top_n in zip(
        record["protocols"], (Protocol(), protocols[1]), ([1, 5, 10], [1, 5]), strict=True
    ):
        entry = next(e for e in record["scores"] if (e["protocol"], e["direction"]) == (given, "image->text"))
        for metric, rows in (("hamming", codes.pack(projections)), ("weighted_hamming", projections)):
            expected = evaluation.instance_retrieval(
                rows[in_database], encoded, ids[queries][in_database], ids[database], top_n=top_n, metric=metric,
                n_bits=8, protocol=protocol,
            )  # fmt: skip
            found = entry["instances"][metric]
            assert found["map"] == pytest.approx(expected.map)
            assert found["mrr"] == pytest.approx(expected.mrr)
            assert found["hit_rate"] == pytest.approx(dict(zip(map(str, top_n), expected.hit_rate, strict=True)))
            assert found["recall"] == pytest.approx(dict(zip(map(str, top_n), expected.recall, strict=True)))


def test_the_table_of_instances(things):
    result = compare(things, ["lsh", "cca-itq"], bits=[8], seeds=2, protocols=["shoh", Protocol(cutoff=5)])
    assert result.has_instances
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in result.table(of="instances").splitlines()
    ]
    assert lines[0] == ["method", "bits", "distance"] + [
        f"{direction} {score}"
        for direction in ("image->text", "text->image")
        for score in ("mAP", "hit@1", "hit@10", "MRR")
    ]
    assert [line[:3] for line in lines[2:]] == [
        [method, "8", distance] for method in ("lsh", "cca-itq") for distance in ("plain", "weighted")
    ]
    runs = [next(e for e in r["scores"] if e["direction"] == "text->image") for r in result.records[2:]]
    values = [run["instances"]["weighted_hamming"]["hit_rate"]["10"] for run in runs]
    assert lines[-1][9] == mean_and_spread(values)
    assert "of the 10 of 15 queries for which the database has one" in result.describe(of="instances")
    cut = result.protocols[1]
    assert result.table(cut, of="instances").splitlines()[2].split(" | ")[5] == "-"  # hit@10 with cutoff 5
    with pytest.raises(ValueError, match="of must be one of 'labels', 'instances', got 'things'"):
        result.table(of="things")


def test_no_query_shows_a_thing_of_the_database(data, result):
    lonely = replace(data, items={"of": np.arange(len(data))}, instances="of")
    compared = compare(lonely, ["lsh"], bits=[4])
    assert not compared.has_instances
    assert compared.records[0]["instances"] == {"name": "of", "n_queries": 0}
    assert compared.records[0]["scores"][0]["instances"] is None
    assert compared.describe(of="instances").startswith("No item of the database has the of of a query")
    assert " - |" in compared.table(of="instances").splitlines()[2]
    assert not result.has_instances
    assert result.describe(of="instances") == "hierarchical does not say which thing a row shows."


def test_other_things_are_run(things, tmp_path, count):
    compare(things, ["lsh"], bits=[4], out=tmp_path)
    assert compare(things, ["lsh"], bits=[4], out=tmp_path).n_reused == 1
    other = replace(things, items={"of": np.roll(things.items["of"], 1)})
    assert compare(other, ["lsh"], bits=[4], out=tmp_path).n_reused == 0
    assert compare(replace(things, instances=None), ["lsh"], bits=[4], out=tmp_path).n_reused == 0


# --- results in a folder ----------------------------------------------------------------------------------------------


def test_what_is_done_is_not_run_again(data, tmp_path, count):
    out = tmp_path / "deep" / "out"
    first = compare(data, ["lemon"], bits=[4], seeds=2, out=out)
    assert (count, first.n_reused) == ([("lemon", 4, 0), ("lemon", 4, 1)], 0)
    again = compare(data, ["lemon", "lsh"], bits=[4, 8], seeds=2, out=out, n_threads=1)
    assert again.n_reused == 2
    assert ("lemon", 4, 0) not in count[2:]
    assert len(count) == 8
    assert again.records[:2] == first.records
    lines = (out / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines[:2]] == [record["key"] for record in first.records]
    assert len(lines) == 8


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": "level1"},
        {"labels": "level1+level2"},
        {"relevance": "level1"},
        {"chunk_size": 50},
        {"remainder": "merge"},
        {"rounds": "none"},
        {"database": "encoded"},
        {"database": "fused"},
        {"database": "encoded", "learn_fraction": 0.5},
        {"weights": {"text": 0.5}},
        {"directions": [("image+text", "text")]},
        {"views": ["text", "image"]},
        {"protocols": [Protocol(ties="best")]},
        {"split": "other"},
        {"seeds": [7]},
    ],
)
def test_other_choices_are_run(data, tmp_path, count, changed):
    data = replace(data, splits={**data.splits, "other": np.roll(data.splits["random"], 1)})
    compare(data, ["lsh"], bits=[4], out=tmp_path)
    assert compare(data, ["lsh"], bits=[4], out=tmp_path, **changed).n_reused == 0
    assert len(count) == 2


def test_protocols_in_another_order_are_run(data, tmp_path, count):
    """The scores of the rounds are those of the first protocol."""
    given = {"methods": ["lsh"], "bits": [4], "out": tmp_path}
    compare(data, **given, protocols=["shoh", Protocol(cutoff=5)])
    swapped = compare(data, **given, protocols=[Protocol(cutoff=5), "shoh"])
    assert (swapped.n_reused, len(count)) == (0, 2)
    record = swapped.records[0]
    assert record["rounds"][-1]["map"]["image->text"] == record["scores"][0]["map"] != record["scores"][2]["map"]


def test_a_parameter_of_the_wrong_type(data, tmp_path):
    with pytest.raises(
        TypeError, match=r"^lemon\[alpha=x\], 4 bits, seed 0: alpha must be a finite number >= 0, got 'x'"
    ):
        compare(data, sweep={"lemon": {"alpha": [1, "x"]}}, bits=[4], out=tmp_path)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1


def test_other_parameters_and_other_data_are_run(data, tmp_path, count):
    for beta in (1.0, 2.0, 1.0):
        result = compare(data, {"mine": lambda n, s, beta=beta: LEMON(n, beta=beta)}, bits=[4], out=tmp_path)
        assert result.records[0]["parameters"]["beta"] == beta
    assert len(count) == 2
    image = data.views["image"].copy()
    image[0, 0] += 1
    result = compare(
        replace(data, views={**data.views, "image": image}), {"mine": lambda n, s: LEMON(n, beta=1.0)}, bits=[4],
        out=tmp_path,
    )  # fmt: skip
    assert result.n_reused == 0


def test_a_line_that_is_not_whole_is_dropped(data, tmp_path, count):
    compare(data, ["lsh"], bits=[4], seeds=2, out=tmp_path)
    path = tmp_path / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    result = compare(data, ["lsh"], bits=[4], seeds=2, out=tmp_path)
    assert (result.n_reused, result.n_dropped) == (1, 1)
    assert count[2:] == [("lsh", 4, 1)]
    assert [json.loads(line)["seed"] for line in path.read_text().splitlines()] == [0, 1]


def test_a_file_of_something_else(data, tmp_path):
    (tmp_path / "results.jsonl").write_text('{"key": "x", "scores": []}\n[1]\n')
    with pytest.raises(ValueError, match=r"results.jsonl must hold a record in every line, line 2 is not one"):
        compare(data, ["lsh"], bits=[4], out=tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        compare(data, ["lsh"], bits=[4], out=tmp_path / "file")


def test_one_writer_at_a_time(data, tmp_path):
    with open_results(tmp_path):
        code = f"from pyhash.comparison.result_lines import open_results\nwith open_results({str(tmp_path)!r}): pass"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode == 1
        assert "must have one writer at a time, another comparison writes to it" in other.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ["feature-sign", "pca-sign", "pca-itq", "cca-sign", "cca-itq"])
def test_more_bits_than_features_are_refused_before_the_first_run(data, name, count):
    with pytest.raises(
        ValueError, match=f"^{name}, 64 bits, seed 0: n_bits must be at most 10, the features of 'image'"
    ):
        compare(data, ["lsh", name], bits=[8, 64])
    with pytest.raises(ValueError, match=f"^{name}.rbf, 136 bits, seed 0: n_bits must be at most 135, the features of"):
        compare(data, [f"{name}+rbf"], bits=[64, 136])  # as many anchors as rows to learn
    assert count == []


def test_what_a_method_refuses_names_the_combination(data, tmp_path, count):
    class FirstColumns:
        """A map whose width is not known before it is fitted."""

        def fit(self, X):
            return self

        def transform(self, X):
            return X[:, :3]

    methods = {
        "lsh": lambda n_bits, seed: LSH(n_bits, seed=seed),
        "narrow": lambda n_bits, seed: CCAITQ(n_bits, feature_maps={"image": FirstColumns()}),
    }
    with pytest.raises(ValueError, match=r"narrow, 8 bits, seed 0: n_bits must be at most 3, the features of 'image'"):
        compare(data, methods, bits=[8], out=tmp_path)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1


def test_progress(data, capsys, monkeypatch):
    compare(data, ["lsh"], bits=[4], progress=True)
    assert capsys.readouterr().err == "1 of 1: lsh, 4 bits, seed 0\n"  # not a terminal
    compare(data, ["lsh"], bits=[4])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    compare(data, ["lsh"], bits=[4])
    assert "lsh, 4 bits, seed 0: 100%" in capsys.readouterr().err
    compare(data, ["lsh"], bits=[4], progress=False)
    assert capsys.readouterr().err == ""


# --- wrong arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": ["lemmon"]}, ValueError, r"got 'lemmon'; did you mean 'lemon'\?"),
        ({"methods": []}, ValueError, "methods must name at least one, got none"),
        ({"methods": {"mine": 3}}, TypeError, "methods must be names, or functions by name, got 3 for 'mine'"),
        ({"methods": {"mine": lambda n, s: None}}, TypeError, r"methods\['mine'\] must return a HashingMethod"),
        ({"methods": {"mine": lambda n, s: LEMON(9)}}, ValueError, r"must return a method of 4 bits.*got 9"),
        ({"labels": "level3"}, ValueError, "labels must be one of 'hierarchy', 'level1', 'level2', got 'level3'"),
        ({"split": "pair"}, ValueError, "split must be one of 'random', got 'pair'"),
        ({"views": ["sound"]}, ValueError, "views must be one of 'image', 'text', got 'sound'"),
        ({"views": "image"}, TypeError, "views must be a sequence of names, got 'image'"),
        ({"views": 3}, TypeError, "views must be a sequence of names, got 3"),
        ({"views": np.array(3)}, TypeError, r"views must be a sequence of names, got array\(3\)"),
        ({"views": ["text", "text"]}, ValueError, "views must name at least one view and each once, got text, text"),
        ({"directions": ["image"]}, ValueError, "directions must be pairs"),
        ({"directions": [("image", "sound")]}, ValueError, "directions must be one of 'image', 'text', got 'sound'"),
        ({"directions": []}, ValueError, "directions must hold at least one pair"),
        ({"database": "both"}, ValueError, "database must be one of 'learned', 'encoded', 'fused', got 'both'"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be an integer >= 1, got 0"),
        ({"protocols": ["mine"]}, ValueError, "protocols must be one of 'shoh', got 'mine'"),
        ({"protocols": [3]}, TypeError, "protocols must be a Protocol or the name of a preset, got int"),
        ({"protocols": []}, ValueError, "protocols must name at least one, got none"),
        ({"bits": []}, ValueError, "bits must hold at least one length, got none"),
        ({"bits": [0]}, ValueError, "bits must be an integer from 1 to 1048576, got 0"),
        ({"bits": 16}, TypeError, "bits must be a sequence of integers, got 16"),
        ({"bits": "16"}, TypeError, "bits must be a sequence of integers, got '16'"),
        ({"seeds": "12"}, TypeError, "seeds must be a sequence of integers, got '12'"),
        (
            {"methods": None},
            TypeError,
            "methods must be a sequence of names, or a mapping of names to functions, got No",
        ),
        ({"methods": [LEMON(4)]}, TypeError, r"methods must be names, or functions by name, got LEMON\(n_bits=4\)"),
        ({"methods": {"mine": LEMON}}, TypeError, r"methods\['mine'\] must take \(n_bits, seed\): .*positional"),
        ({"top_n": 5}, TypeError, "top_n must be a sequence of integers, got 5"),
        ({"directions": 3}, TypeError, r"directions must be a sequence of pairs \(query modality, database modality\)"),
        ({"directions": [3]}, ValueError, r"directions must be pairs \(query modality, database modality\), got 3"),
        ({"protocols": None}, TypeError, "protocols must be a sequence of protocols, got None"),
        ({"seeds": 0}, ValueError, "seeds must be an integer >= 1, got 0"),
        ({"seeds": []}, ValueError, "seeds must hold at least one, got none"),
        ({"top_n": [0]}, ValueError, "top_n must be an integer >= 1, got 0"),
        ({"n_threads": 0}, ValueError, "n_threads"),
        ({"data": 3}, TypeError, "data must be a Dataset, got int"),
    ],
)
def test_wrong_arguments(data, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        compare(**{"data": data, "methods": ["lsh"], "bits": [4], "out": tmp_path / "out", **arguments})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sparse", [False, True])
def test_values_that_no_method_takes_are_named_before_anything_is_learned(data, tmp_path, sparse):
    image = data.views["image"].copy()
    image[3, 2] = np.nan
    wrong = replace(data, views={**data.views, "image": csr_array(image) if sparse else image})
    with pytest.raises(ValueError, match=r"views\['image'\] must be finite, got nan in row 3"):
        compare(wrong, ["lsh"], bits=[4], out=tmp_path / "out")
    wrong = replace(data, labels={"level1": data.labels["level1"], "level2": data.labels["level2"].copy()})
    wrong.labels["level2"][7] = -1  # after the data set has checked them
    with pytest.raises(ValueError, match=r"labels\['level2'\] must be class indices from 0 to \d+, got -1 in row 7"):
        compare(wrong, ["lsh"], bits=[4], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_few_rows_for_a_split(data):
    rows = {name: view[:1] for name, view in data.views.items()}
    one = replace(data, views=rows, labels={"of": np.array([0])}, splits={}, items={}, hierarchy=[], layers=())
    with pytest.raises(ValueError, match="data must have at least 2 rows, one to learn from and one to query, got 1"):
        compare(one, ["lsh"], bits=[4])


def test_labels_without_a_hierarchy():
    data = make_multilabel(50, n_classes=4, n_features=SIZES)
    with pytest.raises(ValueError, match="labels must be among 'classes': 'multilabel' has no hierarchy"):
        compare(data, ["lsh"], labels="hierarchy")


# --- parameters and charts --------------------------------------------------------------------------------------------


def test_parameters_as_json():
    array = np.arange(2000)
    described = describe(
        {"a": np.float32(0.5), "b": (1, None), "c": np.eye(2), "d": array, "e": RBFAnchors(3), "f": object()}
    )
    assert json.loads(json.dumps(described)) == described
    assert described["a"] == 0.5
    assert described["c"] == [[1.0, 0.0], [0.0, 1.0]]
    assert described["d"]["shape"] == [2000]
    assert describe(array)["sha256"] != describe(array + 1)["sha256"]
    assert described["e"]["n_anchors"] == 3
    assert described["f"] == "<object object>"  # the same in every process


@pytest.mark.slow("draws many charts")
def test_charts(result, tmp_path):
    names = result.save_charts(tmp_path / "charts")
    assert set(names) == {file.name for file in (tmp_path / "charts").iterdir()}
    by_direction = ("map_by_bits", "map_by_bytes", "map_by_round", "map_weighted_by_round")
    by_length = ("precision_recall", "precision_at")
    assert set(names) == {
        *(
            f"{name}.{direction}.{n_bits}_bits.png"
            for name in by_length
            for direction in ("image-to-text", "text-to-image")
            for n_bits in (4, 8)
        ),
        *(f"{name}.{direction}.png" for name in by_direction for direction in ("image-to-text", "text-to-image")),
        "training_time_by_round.png",
        "class_distances.shoh.png",
        "class_distances.cca-itq.png",
    }
    for file in (tmp_path / "charts").iterdir():
        assert file.read_bytes().startswith(b"\x89PNG")


def test_charts_of_encoded_codes_and_of_scores_that_are_missing(data, tmp_path):
    """No query has a relevant item; all are skipped."""
    labels = np.where(data.splits["random"], 1, 0)
    lonely = replace(data, labels={"of": labels}, label_names={}, hierarchy=[], layers=("of",))
    result = compare(lonely, {"a/b": lambda n, s: LEMON(n)}, bits=[4], database="encoded", protocols=[Protocol()])
    assert [entry["map"] for entry in result.records[0]["scores"]] == [None, None]
    assert "| - |" in result.table()
    names = result.save_charts(tmp_path)
    assert "class_distances.a_b.text.png" in names
    scored = ("map_by", "precision")
    assert [name for name in names if name.startswith(scored)] == []


@pytest.mark.slow("draws all charts of several methods")
def test_methods_whose_names_make_one_file_name_have_a_chart_each(data, tmp_path):
    def lsh(n, s):
        return LSH(n_bits=n, seed=s)

    names = compare(data, {"a/b": lsh, "a b": lsh}, bits=[4]).save_charts(tmp_path)
    assert [name for name in names if name.startswith("class")] == [
        "class_distances.a_b.png",
        "class_distances.a_b.2.png",
    ]
    assert set(names) == {file.name for file in tmp_path.iterdir()}


@pytest.mark.slow("a comparison of many methods")
def test_a_legend_of_many_methods_lies_beside_the_chart(data):
    result = compare(data, ["lsh", "pca-sign", "pca-itq", "cca-sign", "cca-itq", "feature-sign"], bits=[4])
    charts = dict(_Charts(result.records, "shoh").drawn())
    for name in (
        "map_by_bits.image-to-text",
        "map_by_bytes.image-to-text",
        "precision_recall.image-to-text.4_bits",
        "precision_at.image-to-text.4_bits",
    ):
        ax = charts[name]
        ax.figure.canvas.draw()
        assert ax.get_legend().get_window_extent().x0 > ax.get_window_extent().x1
        assert ax.get_title().startswith("hierarchical, level2, split random\nimage->text")
    ax = charts["map_by_bytes.image-to-text"]
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "best as float, not binarized"
    assert charts["map_by_bits.image-to-text"].get_title().endswith("\nprotocol shoh")


def test_charts_need_matplotlib(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pyhash-crossmodal\[plot\]"):
        result.save_charts(tmp_path / "charts")
    assert not (tmp_path / "charts").exists()


# --- methods that are trained by epochs -------------------------------------------------------------------------------


class Trained(LSH):
    """A method that keeps a history, as deep methods do."""

    history_ = [  # noqa: RUF012 - a method of two lines
        {
            "epoch": 1,
            "losses": {"triplet": np.float32(2.0), "quantization": float("inf")},
            "loss": float("nan"),
            "validation": None,
            "learning_rates": {"main": 1e-3},
            "seconds": 0.25,
        },
        {
            "epoch": 2,
            "losses": {"triplet": 1.0, "quantization": 0.5},
            "loss": 1.5,
            "validation": {"image->text": 0.25, "text->image": float("nan")},
            "learning_rates": {"main": 5e-4},
            "seconds": 0.5,
        },
    ]


def trained(n, s):
    return Trained(n_bits=n, seed=s)


@pytest.fixture(scope="module")
def with_training(data):
    methods = {"deep/one": trained, "lsh": lambda n, s: LSH(n_bits=n, seed=s)}
    return compare(data, methods, bits=[4, 8], seeds=2)


def test_records_keep_how_a_method_was_trained(with_training):
    assert with_training.records[0]["training"] == [
        {
            "epoch": 1,
            "losses": {"triplet": 2.0, "quantization": None},
            "loss": None,
            "validation": None,
            "learning_rates": {"main": 1e-3},
            "seconds": 0.25,
        },
        {
            "epoch": 2,
            "losses": {"triplet": 1.0, "quantization": 0.5},
            "loss": 1.5,
            "validation": {"image->text": 0.25, "text->image": None},
            "learning_rates": {"main": 5e-4},
            "seconds": 0.5,
        },
    ]
    assert [record["training"] for record in with_training.records[4:]] == [None] * 4
    records = with_training.records
    assert json.loads(json.dumps(records, allow_nan=False)) == records


def test_training_is_drawn_for_methods_that_keep_it(with_training, tmp_path):
    """The chart shows the first seed at the greatest length."""
    records = [
        {**record, "training": record["training"] and [{**record["training"][1], "loss": 10.0 * n + 1}]}
        for n, record in enumerate(with_training.records)
    ]
    assert [(r["n_bits"], r["seed"]) for r in records[:4]] == [(4, 0), (4, 1), (8, 0), (8, 1)]
    charts = dict(_Charts(records, "shoh").drawn())
    assert [name for name in charts if name.startswith("training_curves")] == ["training_curves.deep_one"]
    ax = charts["training_curves.deep_one"]
    save_figure(ax, tmp_path / "chart.png")
    assert ax.get_lines()[0].get_ydata().tolist() == [21.0]
    assert ax.get_title() == "hierarchical, level2, split random\ndeep/one, 8 bits"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["total", "triplet", "quantization", "mAP image->text", "mAP text->image"]


def test_records_of_older_versions_are_drawn_without_training(with_training):
    records = [{k: v for k, v in record.items() if k != "training"} for record in with_training.records]
    names = [name for name, _ in _Charts(records, "shoh").drawn()]
    assert [name for name in names if name.startswith("training_curves")] == []
    assert "class_distances.deep_one" in names


@pytest.mark.slow("a comparison of every method that iterates")
def test_records_keep_what_a_method_recorded_of_its_optimisation(data, tmp_path):
    parameters = {"lemon": {"n_iter": 2, "record": True}}
    result = compare(data, ["lemon", "seoch"], parameters=parameters, bits=[4, 8], chunk_size=30)
    first, plain = result.records[0], result.records[2]
    histories = [record["optimisation"] for record in result.records]
    assert plain["optimisation"] is first["training"] is None
    n_chunks = len(first["rounds"])
    assert [(entry["chunk"], entry["iteration"]) for entry in histories[0]] == [
        (chunk, number) for chunk in range(1, n_chunks + 1) for number in (1, 2)
    ]
    assert [name for name in result.save_charts(tmp_path) if "convergence" in name] == ["convergence.lemon.png"]
    charts = dict(_Charts(result.records, "shoh").drawn())
    line = charts["convergence.lemon"].get_lines()[0]
    shown = line.get_ydata()[np.isfinite(line.get_ydata())]
    assert shown.tolist() == [entry["objective"] for entry in histories[1]]  # of the greatest length
    assert charts["convergence.lemon"].get_title() == "hierarchical, level2, split random\nlemon, 8 bits"
    older = [{k: v for k, v in record.items() if k != "optimisation"} for record in result.records]
    assert not any("convergence" in name for name, _ in _Charts(older, "shoh").drawn())


def test_torch_is_among_the_versions_only_where_it_is_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert "torch" not in versions()
    assert "torch" not in sys.modules
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.13.0+cpu"))
    assert versions()["torch"] == "2.13.0+cpu"
    monkeypatch.setitem(sys.modules, "torch", None)  # may not be imported
    assert "torch" not in versions()


@pytest.mark.slow("networks are trained four times")
def test_deep_methods_are_compared_as_all_others(tmp_path):
    def deep(method, **parameters):
        training = TrainingOptions(epochs=2)
        return lambda n_bits, seed: method(n_bits, seed=seed, hidden=[16], training=training, **parameters)

    data = published_split(make_multilabel(200), 20, name="random")
    methods = {"dhsl": deep(DHSL, variant="full", selector_hidden=[8, 8]), "sdch": deep(SDCH, encoder="posterior")}
    result = compare(data, methods, bits=[8], database="encoded", out=tmp_path, progress=False)
    rows = np.random.default_rng(0).permutation(data.split("random")[0])  # as for every method
    for record in result.records:
        model = methods[record["method"]](8, 0)
        model.fit({name: x[rows] for name, x in data.views.items()}, data.labels["classes"][rows])
        learned, expected = (
            [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]
            for history in (record["training"], model.history_)
        )
        assert learned == expected
        assert record["encoders"] == model.encoders_
        assert record["rounds"][0]["map"] is None
        assert all(0 < score["map"] <= 1 for score in record["scores"])
    assert {"training_curves.dhsl.png", "training_curves.sdch.png"} <= set(result.save_charts(tmp_path / "charts"))
    again = compare(data, methods, bits=[8], database="encoded", out=tmp_path, progress=False)
    assert again.n_reused == 2


def test_a_sweep_runs_every_combination_beside_the_methods(data, count):
    sweep = {
        "lemon": {"alpha": [1, 100.0], "beta": [2]},
        "shoh": [{"eta": [0.5]}, {"init": ["random"], "alpha": [[0.2, 0.8]]}],
    }
    parameters = {"lemon": {"gamma": 3.0, "beta": 1.0}}
    result = compare(data, ["lemon"], sweep=sweep, parameters=parameters, bits=[4], chunk_size=60)
    names = [
        "lemon",
        "lemon[alpha=1,beta=2]",
        "lemon[alpha=100,beta=2]",
        "shoh[eta=0.5]",
        "shoh[init=random,alpha=0.2/0.8]",
    ]
    assert [record["method"] for record in result.records] == names
    chosen = [[record["parameters"].get(name) for name in ("alpha", "beta", "gamma")] for record in result.records[:3]]
    assert chosen == [[1e4, 1.0, 3.0], [1, 2, 3.0], [100.0, 2, 3.0]]
    assert result.records[4]["parameters"]["init"] == "random"
    assert result.records[4]["parameters"]["hierarchy"] is not None
    assert [record["swept"] for record in result.records[:3:2]] == [
        None, {"method": "lemon", "values": {"alpha": 100.0, "beta": 2}}
    ]  # fmt: skip
    assert "| lemon[alpha=100,beta=2] | 4 |" in result.table()
    assert len(count) == 5


def test_a_combination_of_a_sweep_scores_as_the_method_with_these_parameters(data):
    swept = compare(data, sweep={"lemon": {"xi": [1e4]}}, bits=[4], chunk_size=60)
    alone = compare(data, {"mine": lambda n_bits, seed: LEMON(n_bits, xi=1e4, seed=seed)}, bits=[4], chunk_size=60)
    assert scores(swept.records[0]) == scores(alone.records[0])
    assert scores(swept.records[0]) != scores(compare(data, ["lemon"], bits=[4], chunk_size=60).records[0])


def test_a_sweep_of_a_function(data):
    result = compare(
        data, {"mine": lambda n_bits, seed: LEMON(n_bits, seed=seed)}, sweep={"mine": {"beta": [3.0]}}, bits=[4]
    )
    assert [record["parameters"]["beta"] for record in result.records] == [1e4, 3.0]


def test_a_sweep_resumes(data, count, tmp_path):
    choices = {"bits": [4], "out": tmp_path, "chunk_size": 60}
    compare(data, sweep={"lemon": {"alpha": [1, 10]}}, **choices)
    result = compare(data, sweep={"lemon": {"alpha": [10, 100]}}, **choices)
    assert result.n_reused == 1
    assert [name for name, *_ in count] == ["lemon[alpha=1]", "lemon[alpha=10]", "lemon[alpha=100]"]
    assert result.records[0]["swept"]["values"] == {"alpha": 10}


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"sweep": {"lemon": {"alfa": [1]}}}, ValueError, "must be among those of lemon, n_classes, alpha, beta, "),
        ({"sweep": {"lemmon": {"alpha": [1]}}}, ValueError, "sweep must begin with one of"),
        ({"sweep": {"lemon": {}}}, ValueError, "sweep['lemon'] must name at least one parameter, got none"),
        ({"sweep": {"lemon": {"alpha": []}}}, ValueError, "sweep['lemon']['alpha'] must hold at least one value"),
        ({"sweep": {"lemon": {"alpha": [1, 1.0]}}}, ValueError, "must hold each value once, got 1 2 times"),
        ({"sweep": {"lemon": 3}}, TypeError, "sweep['lemon'] must be a sequence of mappings, got 3"),
        ({"sweep": {"lemon": [3]}}, TypeError, "sweep['lemon'] must be a mapping of parameters to values, or several"),
        ({"sweep": {"lemon": {"alpha": 3}}}, TypeError, "sweep['lemon']['alpha'] must be a sequence of values, got 3"),
        ({"sweep": ["lemon"]}, TypeError, "sweep must be a mapping of methods to values by parameter, got list"),
        ({"sweep": {3: {"alpha": [1]}}}, TypeError, "sweep must be by name of a method, got 3"),
        ({"parameters": {"lsh": {"alpha": 1}}}, ValueError, "parameters must be among those of lsh, "),
        ({"parameters": {"dsfh": {"alpha": 1}}}, ValueError, "methods that are compared, lsh; got 'dsfh'"),
        ({"parameters": {"lsh": 1}}, TypeError, "parameters['lsh'] must be a mapping of names to values, got int"),
        ({"parameters": ["lsh"]}, TypeError, "parameters must be a mapping of methods to parameters, got list"),
        ({"sweep": {"mine": {"alfa": [1]}}, "methods": {"mine": LEMON}}, TypeError, "methods['mine'] must take"),
    ],
)
def test_sweeps_that_are_refused_before_any_work(data, count, choices, error, message):
    with pytest.raises(error) as raised:
        compare(data, **{"methods": ["lsh"], **choices})
    assert message in str(raised.value)
    assert count == []


@pytest.mark.slow("a grid of runs, and a chart for each direction and length")
def test_charts_of_sweeps_show_the_values(data, tmp_path):
    sweep = {
        "lemon": [
            {"alpha": [100, 1]},
            {"alpha": [1, 10], "beta": [2, 3]},
            {"beta": [1], "xi": [1, 10]},
        ]
    }
    result = compare(data, ["lsh"], sweep=sweep, bits=[4, 8], seeds=2, rounds="none")
    names = result.save_charts(tmp_path)
    assert [name for name in names if name.startswith("sensitivity")] == [
        "sensitivity.lemon.alpha.image-to-text.png",
        "sensitivity.lemon.alpha.text-to-image.png",
        "sensitivity.lemon.alpha-beta.image-to-text.4_bits.png",
        "sensitivity.lemon.alpha-beta.image-to-text.8_bits.png",
        "sensitivity.lemon.alpha-beta.text-to-image.4_bits.png",
        "sensitivity.lemon.alpha-beta.text-to-image.8_bits.png",
        "sensitivity.lemon.xi.image-to-text.png",
        "sensitivity.lemon.xi.text-to-image.png",
    ]
    drawn = dict(_Charts(result.records, "shoh").drawn())
    lines = drawn["sensitivity.lemon.alpha.text-to-image"].get_lines()
    assert [line.get_label() for line in lines] == ["4 bits", "8 bits"]
    assert lines[1].get_xdata().tolist() == [1, 100]
    runs = [r for r in result.records if (r["method"], r["n_bits"]) == ("lemon[alpha=100]", 8)]
    assert lines[1].get_ydata()[1] == pytest.approx(np.mean([scores(run)["text->image"] for run in runs]))
    assert drawn["map_by_bits.text-to-image"].get_legend_handles_labels()[1] == ["lsh"]


@pytest.mark.slow("a grid of runs")
def test_a_sweep_of_three_parameters_has_no_chart(data):
    sweep = {"lemon": {"alpha": [1, 5], "beta": [1, 5], "gamma": [1, 5]}}
    result = compare(data, sweep=sweep, bits=[4], rounds="none")
    assert [name for name, _ in _Charts(result.records, "shoh").drawn() if name.startswith("sensitivity")] == []


def test_a_sweep_of_a_method_that_learns_labels_of_its_own(data):
    result = compare(data, sweep={"lemon": {"beta": [3]}, "lemon@level1": {"beta": [3]}}, bits=[4])
    assert [record["labels"] for record in result.records] == ["level2", "level1"]
    alone = compare(
        data,
        {"mine": lambda n_bits, seed: LEMON(n_bits, beta=3, seed=seed)},
        labels="level1",
        relevance="level2",
        bits=[4],
    )
    assert scores(result.records[1]) == scores(alone.records[0])

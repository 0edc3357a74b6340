"""Metrics beside mAP, scores of queries, and tables with intervals and marks."""

import json
import re

import numpy as np
import pytest

from pyhash import codes, evaluation
from pyhash.comparison import Comparison, compare
from pyhash.comparison.intervals import Estimate, estimate
from pyhash.datasets import make_hierarchical, make_multilabel
from pyhash.evaluation import Protocol
from pyhash.methods import CCAITQ

METRICS = ["ndcg", "ndcg@5", "mrr", "recall@10", "precision@10"]
CUT = Protocol(cutoff=20, denominator="relevant", ties="expected")


@pytest.fixture(scope="module")
def data():
    return make_hierarchical(150, n_classes=(2, 5), n_features={"image": 10, "text": 12})


@pytest.fixture(scope="module")
def result(data):
    return compare(data, ["cca-itq", "lsh"], bits=[4, 8], seeds=2, metrics=METRICS, protocols=["shoh", CUT])


def cells(table):
    """Return the cells of each row of a table, without the titles."""
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def test_metrics_are_those_of_the_codes(data, result):
    database, queries = data.split("random")
    assert result.metrics == ["map", *METRICS]
    record = result.records[1]
    model = CCAITQ(n_bits=4, seed=1)
    model.fit({name: view[database] for name, view in data.views.items()}, data.labels["level2"][database])
    projections = model.project(data.views["text"][queries], modality="text")
    layers = [[data.labels[layer][rows] for layer in data.layers] for rows in (queries, database)]
    fine = [each[-1] for each in layers]
    for distance, rows in (("hamming", codes.pack(projections)), ("weighted_hamming", projections)):
        for name, protocol in (("shoh", Protocol.preset("shoh")), (CUT.describe(), CUT)):
            sides, kept = (rows, model.codes_), {"metric": distance, "n_bits": 4, "protocol": protocol}
            top = Protocol(cutoff=5, empty_queries=protocol.empty_queries, ties=protocol.ties)
            expected = {
                "map": evaluation.mean_average_precision(*sides, *fine, **kept),
                "ndcg": evaluation.ndcg(*sides, *layers, grades="layers", **kept),
                "ndcg@5": evaluation.ndcg(*sides, *layers, grades="layers", **{**kept, "protocol": top}),
                "mrr": evaluation.mean_reciprocal_rank(*sides, *fine, **kept),
            }
            (score,) = (
                each for each in record["scores"] if (each["protocol"], each["direction"]) == (name, "text->image")
            )
            for metric, found in expected.items():
                if metric != "map":
                    assert score["metrics"][metric][distance] == pytest.approx(found.value, abs=1e-12)
                of_queries = result.query_scores.mean_of_runs([record], name, "text->image", metric, distance)
                np.testing.assert_allclose(of_queries, found.per_query, atol=1e-12)
            recall = evaluation.recall_at(*sides, *fine, top_n=10, **kept)
            precision = evaluation.precision_at(*sides, *fine, top_n=10, **kept)
            assert score["metrics"]["recall@10"][distance] == pytest.approx(recall.values[0])
            assert score["metrics"]["precision@10"][distance] == pytest.approx(precision.values[0])


def test_tables_of_metrics(result):
    assert result.table(metric="map") == result.table()
    for metric, title in (("ndcg@5", "nDCG@5 (linear gains of layers shared) of"), ("recall@10", "recall@10 of")):
        assert result.describe(metric=metric).startswith(title)
        means = [
            np.mean([run["scores"][0]["metrics"][metric]["hamming"] for run in result.records[start : start + 2]])
            for start in (0, 2, 4, 6)
        ]
        assert [row[3].split(" ")[0] for row in cells(result.table(metric=metric))] == [f"{mean:.3f}" for mean in means]
    with pytest.raises(ValueError, match=r"metric must be one of 'map', 'ndcg', .* got 'ndcg@7'"):
        result.table(metric="ndcg@7")
    with pytest.raises(ValueError, match="metric must be 'map' with of='instances', got 'mrr'"):
        result.describe(of="instances", metric="mrr")
    with pytest.raises(ValueError, match="intervals must be False with of='instances', got True"):
        result.table(of="instances", intervals=True)
    with pytest.raises(TypeError, match="intervals must be"):
        result.table(intervals="yes")


def test_grades_depend_on_relevance(data):
    def described(data, **choices):
        result = compare(data, ["lsh"], bits=[4], metrics="ndcg", rounds="none", **choices)
        return result.records[0]["grades"], result.describe(metric="ndcg")

    assert described(data, labels="level1")[0] == "binary"
    grades, text = described(make_multilabel(60))
    assert grades == "labels"
    assert text.startswith("nDCG (linear gains of labels shared) of multilabel")


def test_intervals_and_marks_are_those_of_the_scores(result):
    """Each cell has the interval of the mean over seeds; methods of one length are compared by pairs."""
    rows = cells(result.table(intervals=True))
    plain = cells(result.table())
    for number, (row, without) in enumerate(zip(rows, plain, strict=True)):
        assert row[:3] == without[:3]
        runs = result.records[2 * number : 2 * number + 2]
        other = result.records[(2 * number + 4) % 8 : (2 * number + 4) % 8 + 2]
        for column, distance in ((3, "hamming"), (4, "weighted_hamming")):
            scores, others = (
                result.query_scores.mean_of_runs(each, "shoh", "image->text", "map", distance) for each in (runs, other)
            )
            interval = evaluation.confidence_interval(scores)
            value = f"{without[column]}"
            test = evaluation.paired_test(scores, others)
            if test.difference > 0:
                expected = f"**{value}** [{interval.low:.3f}, {interval.high:.3f}]"
            else:
                expected = f"{value} [{interval.low:.3f}, {interval.high:.3f}]{' ↓' * (test.p_value < 0.05)}"
            assert row[column] == expected
            assert interval.value == pytest.approx(float(value.split(" ")[0]), abs=6e-4)
    assert any("↓" in cell for row in rows for cell in row)
    text = result.describe(intervals=True)
    assert text.startswith(result.describe())
    assert "95 % intervals by bootstrap over the queries, of the mean over seeds" in text


def test_families_of_scores(rng):
    good, far = rng.random(60), rng.random(60) - 2
    found = estimate([{"a": good, "b": good - 0.001 * rng.random(60), "c": far}, {"d": far}])
    assert (found["a"].rank, found["c"].rank, found["d"].rank) == ("best", "lower", None)
    assert found["b"].rank == "lower"  # small, but of every query
    assert found["c"].interval == found["d"].interval
    same = estimate([{"a": good, "b": rng.permutation(good)}])
    assert {each.rank for each in same.values()} == {"best", None}


def test_scores_of_different_queries_are_not_compared():
    one, other = np.array([0.1, 0.9, np.nan, 0.5]), np.array([0.1, np.nan, 0.8, 0.5])
    found = estimate([{"a": one, "b": other}])
    assert (found["a"].rank, found["b"].rank) == (None, None)
    interval = evaluation.confidence_interval(one)
    assert found["a"].interval == pytest.approx((interval.low, interval.high))
    empty = np.full(4, np.nan)
    assert estimate([{"a": empty, "b": empty}]) == {"a": Estimate(None), "b": Estimate(None)}


def test_equal_methods_differ_rarely():
    """Eight methods of one distribution: all pairs are corrected for, although the best is chosen by its score."""
    rng = np.random.default_rng(3)
    marked = 0
    for _ in range(20):
        scores = rng.random((40, 8))
        marked += any(each.rank == "lower" for each in estimate([dict(enumerate(scores.T))]).values())
    assert marked <= 3  # 1 is expected


def test_query_scores_are_in_files_beside_the_results(data, tmp_path):
    def run(**choices):
        return compare(data, ["cca-itq", "lsh"], bits=[8], rounds="none", **choices)

    kept, other = run(out=tmp_path, metrics=["mrr"]), run(metrics=["mrr"])
    files = sorted(path.name for path in (tmp_path / "queries").iterdir())
    assert files == sorted(f"{record['key']}.npy" for record in kept.records)
    tables = [each.table(metric="mrr", intervals=True) for each in (kept, other)]
    assert tables[0] == tables[1]
    again = run(out=tmp_path, metrics=["mrr"])
    assert again.n_reused == 2
    assert again.table(metric="mrr", intervals=True) == tables[0]
    assert run(out=tmp_path).n_reused == 0  # other metrics
    # What is missing or damaged is named, where intervals are asked for.
    path = tmp_path / "queries" / f"{kept.records[1]['key']}.npy"
    for content, message in (
        (None, r"intervals must have the scores of each query, lsh, 8 bits, seed 0 has none: .*\.npy is missing"),
        (b"nonsense", r"\.npy must hold the scores of each query of lsh, 8 bits, seed 0"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        broken = run(out=tmp_path, metrics=["mrr"])
        assert broken.n_reused == 2
        assert broken.table() == kept.table()
        with pytest.raises(ValueError, match=message):
            broken.table(intervals=True)
    np.save(path, np.zeros((1, 2, 2, 2, 3)))
    with pytest.raises(ValueError, match=re.escape("float64 of shape (1, 2, 2, 2, 15)")):
        run(out=tmp_path, metrics=["mrr"]).table(intervals=True)


def test_an_interrupted_run_leaves_no_line_without_its_scores(data, tmp_path, monkeypatch):
    from pyhash.comparison.query_scores import QueryScores

    def interrupted(self, key, scores):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(QueryScores, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare(data, ["lsh"], bits=[8], out=tmp_path)
    assert not (tmp_path / "results.jsonl").exists()
    assert compare(data, ["lsh"], bits=[8], out=tmp_path).n_reused == 0


def test_records_of_earlier_versions_have_no_intervals(result):
    records = json.loads(json.dumps(result.records))
    for record in records:
        del record["metrics"], record["grades"]
        for score in record["scores"]:
            del score["metrics"]
    old = Comparison(records)
    assert old.metrics == ["map"]
    assert old.table() == result.table()
    assert old.describe() == result.describe()
    with pytest.raises(
        ValueError, match="intervals must have the scores of each query, cca-itq, 4 bits, seed 0 has none"
    ):
        old.table(intervals=True)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (["map@5"], ValueError, "metrics must be among 'map', 'mrr', 'ndcg', or with a number N .* got 'map@5'"),
        (["recall"], ValueError, "metrics must be among .* got 'recall'"),
        (["ndcg@"], ValueError, "metrics must be among .* got 'ndcg@'"),
        (["ndcg@-1"], ValueError, "metrics must be among .* got 'ndcg@-1'"),
        (["ndcg@0"], ValueError, "metrics must be an integer >= 1, got 0"),
        (["ndcg@" + "9" * 5000], ValueError, "metrics must be among"),
        (["recall@136"], ValueError, "metrics must have an N up to 135, the size of the database .* got 'recall@136'"),
        ([3], TypeError, "metrics must be names such as 'ndcg@10', got 3"),
        (3, TypeError, "metrics must be a sequence of names, got 3"),
    ],
)
def test_wrong_metrics(data, metrics, error, message):
    with pytest.raises(error, match=message):
        compare(data, ["lsh"], bits=[4], metrics=metrics)


def test_a_number_above_the_cutoff(data):
    with pytest.raises(ValueError, match=r"metrics must have an N up to 20, .* got 'ndcg@21'"):
        compare(data, ["lsh"], bits=[4], metrics=["ndcg@21"], protocols=[CUT])

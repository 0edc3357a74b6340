"""Files for trec_eval, and scores against those of trec_eval and ranx."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pyhash import codes, search
from pyhash.evaluation import (
    Protocol,
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg,
    precision_at,
    recall_at,
    write_qrels,
    write_run,
)

N_BITS, K = 6, 10
METRICS = ("map", "ndcg", "ndcg_cut_10", "map_cut_10", "recip_rank", "P_10", "recall_10")
# All relevant items divide the sum, as in trec_eval.
FULL, TOP = (Protocol(cutoff=cutoff, denominator="relevant") for cutoff in (None, K))


@pytest.fixture(scope="module")
def sides():
    """Rankings with many ties, of hierarchical labels; the last query has nothing relevant."""
    rng = np.random.default_rng(0)
    queries, database = (codes.pack(rng.choice([-1, 1], size=(n, N_BITS))) for n in (9, 120))
    fine = rng.integers(0, 6, 129)
    fine[8] = 7
    layers = [fine // 2, fine]
    return queries, database, [layer[:9] for layer in layers], [layer[9:] for layer in layers]


@pytest.fixture(scope="module")
def expected(sides):
    """The scores of pyhash, by the names of trec_eval: of grades by layers, relevant from grade 1."""
    queries, database, query_layers, layers = sides
    coarse = queries, database, query_layers[0], layers[0]
    graded = queries, database, query_layers, layers
    kept = {"n_bits": N_BITS, "protocol": FULL}
    return {
        "map": mean_average_precision(*coarse, **kept).per_query,
        "map_cut_10": mean_average_precision(*coarse, n_bits=N_BITS, protocol=TOP).per_query,
        "ndcg": ndcg(*graded, grades="layers", **kept).per_query,
        "ndcg_cut_10": ndcg(*graded, grades="layers", n_bits=N_BITS, protocol=TOP).per_query,
        "recip_rank": mean_reciprocal_rank(*coarse, **kept).per_query,
        "P_10": precision_at(*coarse, top_n=K, **kept).per_query[:, 0],
        "recall_10": recall_at(*coarse, top_n=K, **kept).per_query[:, 0],
    }


@pytest.fixture(scope="module")
def files(sides, tmp_path_factory):
    """The run and the qrels as dictionaries, read back by trec_eval's reader."""
    import pytrec_eval

    queries, database, query_layers, layers = sides
    folder = tmp_path_factory.mktemp("trec")
    hits = search.hamming_top_k(queries, database, len(database))
    query_ids = [f"q{i}" for i in range(9)]
    write_run(folder / "run", query_ids, hits)
    write_qrels(folder / "qrels", query_ids, np.arange(len(database)), query_layers, layers, grades="layers")
    with open(folder / "run") as run, open(folder / "qrels") as qrels:
        return pytrec_eval.parse_run(run), pytrec_eval.parse_qrel(qrels)


def test_scores_are_those_of_trec_eval(files, expected):
    import pytrec_eval

    run, qrels = files
    found = pytrec_eval.RelevanceEvaluator(qrels, set(METRICS)).evaluate(run)
    assert sorted(found) == [f"q{i}" for i in range(8)]  # the last query has nothing relevant
    for name in METRICS:
        of_queries = [found[f"q{i}"][name] for i in range(8)]
        np.testing.assert_allclose(expected[name], [*of_queries, np.nan], atol=1e-12)
        assert 0 < np.mean(of_queries) < 1


RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
qrels, run, metrics = json.load(sys.stdin)
found = evaluate(Qrels(qrels), Run(run), metrics, return_mean=False)
json.dump({name: scores.tolist() for name, scores in found.items()}, sys.stdout)
"""


@pytest.mark.slow("ranx takes seconds to load")
def test_scores_are_those_of_ranx(files, sides, expected):
    run, qrels = files
    exponential = ndcg(*sides, grades="layers", gain="exponential", n_bits=N_BITS, protocol=TOP).per_query
    names = {
        "map": "map", "ndcg": "ndcg", "ndcg@10": "ndcg_cut_10", "map@10": "map_cut_10", "mrr": "recip_rank",
        "precision@10": "P_10", "recall@10": "recall_10",
    }  # fmt: skip
    ours = {theirs: expected[name] for theirs, name in names.items()} | {"ndcg_burges@10": exponential}
    # In a process of its own without compilation, which takes more than a minute.
    answer = subprocess.run(
        [sys.executable, "-c", RANX], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True, text=True,
        input=json.dumps([qrels, {query: run[query] for query in qrels}, list(ours)]), stdout=subprocess.PIPE,
    )  # fmt: skip
    found = json.loads(answer.stdout)
    for name, scores in ours.items():
        np.testing.assert_allclose(scores[:8], found[name], atol=1e-9)


def test_ties_keep_the_order_of_ids(tmp_path):
    """Equal distances, and ids whose order as text is another: trec_eval sorts equal scores by descending text."""
    import pytrec_eval

    database = np.zeros((12, 1), np.uint8)
    write_run(tmp_path / "run", [7], search.hamming_top_k(database[:1], database, 12), tag="mine")
    lines = [line.split(" ") for line in (tmp_path / "run").read_text().splitlines()]
    assert [line[2] for line in lines] == [str(i) for i in range(12)]
    assert lines[0] == ["7", "Q0", "0", "1", "12", "mine"]
    assert lines[-1] == ["7", "Q0", "11", "12", "1", "mine"]
    with open(tmp_path / "run") as file:
        run = pytrec_eval.parse_run(file)
    for item in range(12):
        found = pytrec_eval.RelevanceEvaluator({"7": {str(item): 1}}, {"recip_rank"}).evaluate(run)
        assert found["7"]["recip_rank"] == pytest.approx(1 / (item + 1))


def test_every_form_of_hits(tmp_path):
    database = codes.pack([[1, 1], [1, -1], [-1, -1]])
    lists = search.hamming_radius(database[:2], database, 1)
    write_run(tmp_path / "lists", ["a", "b"], lists)
    assert (tmp_path / "lists").read_text() == (
        "a Q0 0 1 2 pyhash\na Q0 1 2 1 pyhash\nb Q0 1 1 3 pyhash\nb Q0 0 2 2 pyhash\nb Q0 2 3 1 pyhash\n"
    )
    for form in (list, np.array):
        write_run(tmp_path / "table", [1], form([["x1", "\u4e16"]]))
        assert (tmp_path / "table").read_text() == "1 Q0 x1 1 2 pyhash\n1 Q0 \u4e16 2 1 pyhash\n"
    write_run(tmp_path / "none", [], np.empty((0, 5), int))
    write_run(tmp_path / "none", [1], np.empty((1, 0), int))
    assert (tmp_path / "none").read_text() == ""


def test_grades_of_shared_labels(tmp_path):
    write_qrels(tmp_path / "q", [5], ["x", "y", "z"], [[1, 1, 0]], [[1, 1, 1], [0, 0, 1], [0, 1, 0]], grades="labels")
    assert (tmp_path / "q").read_text() == "5 0 x 2\n5 0 z 1\n"
    write_qrels(tmp_path / "q", [5, 6], [1, 2], [0, 9], [0, 1])
    assert (tmp_path / "q").read_text() == "5 0 1 1\n"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda path: write_run(path, [1, 1], [[1], [2]]), ValueError, "query_ids must be different, got 1 2 times"),
        (lambda path: write_run(path, [1, 2], [[1]]), ValueError, "query_ids must have 1 ids, one for each query"),
        (lambda path: write_run(path, [1], [1, 2]), ValueError, r"or have shape \(n_queries, k\), got \(2,\)"),
        (lambda path: write_run(path, [4], [[1, 1]]), ValueError, "hits of query 4 must be different, got 1 2 times"),
        (lambda path: write_run(path, [1], [[1.5]]), TypeError, "hits must be integers or strings, got float64"),
        (lambda path: write_run(path, ["a b"], [[1]]), ValueError, "query_ids must not be empty or contain white"),
        (lambda path: write_run(path, [""], [[1]]), ValueError, "query_ids must not be empty or contain white"),
        (lambda path: write_run(path, [1], [[1]], tag="a\tb"), ValueError, "tag must not be empty or contain white"),
        (lambda path: write_run(path, [1], [[1]], tag=5), TypeError, "tag must be a string, got int"),
        (lambda path: write_qrels(path, [1], [1], [0, 0], [1]), ValueError, "query_ids must have 2 ids, one for each"),
        (lambda path: write_qrels(path, [1], [1, 1], [0], [1, 1]), ValueError, "database_ids must be different"),
        (lambda path: write_qrels(path, [1], [1], [0], [1], grades="x"), ValueError, "grades must be one of"),
    ],
)
def test_wrong_input_leaves_the_file(tmp_path, call, error, message):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error, match=message):
        call(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]

"""Files for trec_eval and the tools that read its formats: runs, which are rankings, and qrels, which are relevance."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import as_array
from pyhash._inputs.ids import check_instance_ids
from pyhash.evaluation.grades import GradeBy, grade_labels
from pyhash.evaluation.relevance import unpack_relevance

if TYPE_CHECKING:
    from pyhash.search.hits import HitLists, Hits

# trec_eval reads scores as float32, which holds every integer up to this one.
_MAX_HITS = 1 << 24
_PAIRS_PER_BLOCK = 1 << 22


def write_run(
    path: str | os.PathLike[str], query_ids: ArrayLike, hits: Hits | HitLists | ArrayLike, *, tag: str = "pyhash"
) -> None:
    """Write rankings as a run file for trec_eval.

    A line ``query_id Q0 item_id rank score tag`` for each hit, in order of rank, from 1.

    Parameters
    ----------
    path : path-like
        A file that is there is replaced.
    query_ids : array_like of shape (n_queries,)
        Integers or strings, all different.
    hits : Hits, HitLists, or array_like of shape (n_queries, k)
        Results of a search, or the ids of the items found, integers or strings, nearest first.
    tag : str
        Name of the run.

    Raises
    ------
    TypeError
        If ids are neither integers nor strings, or `path` is not a path, or `tag` not a string.
    ValueError
        If query_ids has another length than `hits`, or names a query or, within one query, an item twice.
    ValueError
        If a string id or the tag is empty or contains white space.
    ValueError
        If `hits` is an array that is not two-dimensional, or has more than 2 ** 24 hits of a query.
    OSError
        If the file cannot be written. What was there stays.

    Notes
    -----
    trec_eval ignores the rank. It sorts by descending score, and items of equal score by descending id as text. So that
    its order is that of the hits, ties by id included, the score is not a distance but falls by 1 from rank to rank:
    ``number of hits of the query + 1 - rank``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from pyhash import codes, search
    >>> database = codes.pack([[1, 1, 1], [-1, -1, -1], [1, 1, -1]])
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.run"
    >>> write_run(path, ["q1"], search.hamming_top_k(codes.pack([[1, 1, 1]]), database, 2))
    >>> print(path.read_text(), end="")
    q1 Q0 0 1 2 pyhash
    q1 Q0 2 2 1 pyhash
    """
    from pyhash._files.atomic import atomic_file  # the metrics load without these
    from pyhash.search.hits import HitLists, Hits, as_lists

    queries = _check_unique("query_ids", query_ids)
    if not isinstance(tag, str):
        raise TypeError(f"tag must be a string, got {type(tag).__name__}")
    _check_words("tag", [tag])
    if isinstance(hits, (Hits, HitLists)):
        lists = as_lists(hits) if isinstance(hits, Hits) else hits
        items, offsets = lists.ids, lists.offsets
    else:
        table = as_array("hits", hits)
        if table.ndim != 2:
            raise ValueError(f"hits must be results of a search, or have shape (n_queries, k), got {table.shape}")
        items, offsets = check_instance_ids("hits", table.ravel()), np.arange(len(table) + 1) * table.shape[1]
    if len(queries) != len(offsets) - 1:
        raise ValueError(f"query_ids must have {len(offsets) - 1} ids, one for each query of hits, got {len(queries)}")
    if np.diff(offsets).max(initial=0) > _MAX_HITS:
        raise ValueError(f"hits must be at most {_MAX_HITS} for each query, got {np.diff(offsets).max()}")
    of_queries = [items[start:stop] for start, stop in pairwise(offsets)]
    for query, found in zip(queries, of_queries, strict=True):
        _check_unique(f"hits of query {query}", found)
    with atomic_file(path) as file:
        for query, found in zip(queries, of_queries, strict=True):
            n = len(found)
            lines = (f"{query} Q0 {item} {rank} {n + 1 - rank} {tag}\n" for rank, item in enumerate(found, start=1))
            file.write("".join(lines).encode())


def write_qrels(
    path: str | os.PathLike[str],
    query_ids: ArrayLike,
    database_ids: ArrayLike,
    query_labels: Any,
    database_labels: Any,
    *,
    grades: GradeBy = "binary",
) -> None:
    """Write which items are relevant to which queries as a qrels file for trec_eval.

    A line ``query_id 0 item_id grade`` for each pair of grade 1 or higher.

    Parameters
    ----------
    path : path-like
        A file that is there is replaced.
    query_ids, database_ids : array_like of shape (n,)
        Integers or strings, all different. The ids of items are those of the run.
    query_labels, database_labels, grades
        As for ``ndcg``.

    Raises
    ------
    TypeError, ValueError
        As ``ndcg`` for labels and grades.
    TypeError
        If ids are neither integers nor strings, or `path` is not a path.
    ValueError
        If ids differ in number from the labels, an id is there twice, is empty or contains white space.
    OSError
        If the file cannot be written. What was there stays.

    Notes
    -----
    A pair that is not in the file counts as not relevant. A query without a relevant item is not in the file, and
    trec_eval leaves it out of its means, as ``empty_queries="skip"`` does.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.qrels"
    >>> write_qrels(path, ["q1"], [0, 1, 2], [[3], [7]], [[3, 4, 3], [7, 8, 9]], grades="layers")
    >>> print(path.read_text(), end="")
    q1 0 0 2
    q1 0 2 1
    """
    from pyhash._files.atomic import atomic_file

    queries, items = _check_unique("query_ids", query_ids), _check_unique("database_ids", database_ids)
    graded = grade_labels(query_labels, database_labels, grades)
    for name, ids, n in (("query_ids", queries, graded.n_queries), ("database_ids", items, graded.n_database)):
        if len(ids) != n:
            raise ValueError(f"{name} must have {n} ids, one for each row of labels, got {len(ids)}")
    size = max(1, _PAIRS_PER_BLOCK // max(1, len(items)))
    with atomic_file(path) as file:
        for start in range(0, len(queries), size):
            stop = min(start + size, len(queries))
            grade = np.zeros((stop - start, len(items)), dtype=np.int64)
            for block in graded.levels(start, stop):
                grade += unpack_relevance(block, len(items))
            rows, columns = np.nonzero(grade)
            found = zip(queries[start + rows], items[columns], grade[rows, columns], strict=True)
            file.write("".join(f"{query} 0 {item} {value}\n" for query, item, value in found).encode())


def _check_unique(name: str, ids: ArrayLike) -> NDArray[Any]:
    """Return ids as int64 or strings; raise if one is there twice, or is not a word."""
    checked = check_instance_ids(name, ids)
    if checked.dtype.kind == "U":
        _check_words(name, checked.tolist())
    distinct, counts = np.unique(checked, return_counts=True)
    if len(distinct) < len(checked):
        raise ValueError(f"{name} must be different, got {distinct[np.argmax(counts)]} {counts.max()} times")
    return checked


def _check_words(name: str, words: list[str]) -> None:
    """Raise for a word that is empty or would be read as several."""
    for word in words:
        if word.split() != [word] or "\0" in word:
            raise ValueError(f"{name} must not be empty or contain white space, got {word!r}")

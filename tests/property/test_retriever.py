"""A Retriever under any changes is a dict of items and a plain index."""

import os
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhash import LEMON, CodeIndex, Retriever

pytest.importorskip("pyarrow")

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
VIEWS = {name: np.eye(3)[LABELS] + 0.3 * RNG.normal(size=(60, 3)) for name in ("a", "b")}
MODEL = LEMON(n_bits=8).fit(VIEWS, LABELS)
COLORS = ["red", "green", None]

IDS = st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True)
CHANGES = st.one_of(
    st.tuples(st.just("add"), IDS, st.sampled_from([(), ("color",), ("n",), ("color", "tags")])),
    st.tuples(st.just("remove"), IDS, st.none()),
    st.tuples(st.sampled_from(["commit", "reopen", "lose"]), st.none(), st.none()),
)


def payload_of(columns, ids):
    of = {"color": lambda i: COLORS[i % 3], "n": lambda i: i, "tags": lambda i: [str(i % 4)] * (i % 3)}
    return {name: [of[name](i) for i in ids] for name in columns}


def item(name, i):
    return None if i % 5 == {"a": 1, "b": 2}[name] else VIEWS[name][i]


@settings(max_examples=15, deadline=None)
@given(changes=st.lists(CHANGES, max_size=14), seed=st.integers(0, 9))
def test_it_is_a_dict_of_items_and_an_index(changes, seed):
    table, saved = {}, {}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        retriever = Retriever({"a": None, "b": None}, MODEL)
        retriever.save(f"{folder}/r")
        for change, ids, columns in changes:
            if change == "add":
                items = {name: [item(name, i) for i in ids] for name in ("a", "b")}
                payload = payload_of(columns, ids)
                if table.keys() & set(ids):
                    with pytest.raises(ValueError, match="ids must be new"):
                        retriever.add(items, ids, payload or None)
                else:
                    assert retriever.add(items, ids, payload or None).tolist() == ids
                    table |= {i: {name: payload[name][row] for name in columns} for row, i in enumerate(ids)}
            elif change == "remove":
                if set(ids) <= table.keys():
                    retriever.remove(ids)
                    table = {i: values for i, values in table.items() if i not in ids}
                else:
                    with pytest.raises(KeyError):
                        retriever.remove(ids)
            elif change == "commit":
                retriever.commit()
                saved = dict(table)
            else:
                if change == "reopen":
                    retriever.commit()
                    saved = dict(table)
                retriever.close()
                retriever, table = Retriever.open(f"{folder}/r"), dict(saved)
            check(retriever, table, seed)
        retriever.close()


def check(retriever, table, seed):
    assert retriever.index.ids.tolist() == sorted(table)
    stored = [
        {name: value for name, value in row.items() if value is not None} for row in retriever.payload.to_pylist()
    ]
    wanted = [{name: value for name, value in table[i].items() if value is not None} for i in sorted(table)]
    assert stored == (wanted if retriever.payload.num_columns else [])
    index = CodeIndex(8)
    for i in table:
        views = {name: item(name, i) for name in ("a", "b")}
        index.add(MODEL.encode_fused({name: x[None] for name, x in views.items() if x is not None}), [i])
    query = VIEWS["a"][40 + seed]
    projections = MODEL.project(query[None], modality="a")
    filters = {}
    columns = retriever.payload.column_names
    filters |= {"color": (["red"], {"color": "red"})} if "color" in columns else {}
    filters |= {"tags": (["1"], {"tags": ["1", "9"]})} if "tags" in columns else {}
    filters |= {"n": (None, {"n": None})} if "n" in columns else {}
    for name, (values, where) in filters.items():
        allowed = [i for i, row in table.items() if fits(row.get(name), values)]
        found = retriever.search(a=query, k=5, where=where)
        assert found.ids.tolist() == index.search_weighted(projections, 5, allowed=allowed).ids[0].tolist()
    found = retriever.search(a=query, k=50)
    hits = index.search_weighted(projections, 50)
    assert found.ids.tolist() == hits.ids[0].tolist()
    assert found.distances.tolist() == hits.distances[0].tolist()
    for result in found:
        assert {name: value for name, value in result.payload.items() if value is not None} == {
            name: value for name, value in table[result.id].items() if value is not None
        }
        assert result.modalities == tuple(name for name in ("a", "b") if item(name, result.id) is not None)


def fits(value, values):
    if values is None:
        return value is None
    return any(each in values for each in value) if isinstance(value, list) else value in values

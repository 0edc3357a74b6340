"""Retriever: items in, answers out, in memory."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import pyhash
from pyhash import BOCH, LEMON, CodeIndex, NotFittedError, Retriever
from pyhash.encoders import BagOfWords, CallableEncoder

pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
WORDS = {"red": ["cherry", "tomato", "blood"], "green": ["leaf", "grass"], "blue": ["sky", "sea"]}


def mean_colors(pictures):
    return np.array([np.asarray(picture).mean(axis=(0, 1)) for picture in pictures])


def colors(version="1"):
    return CallableEncoder(mean_colors, kind="image", name="mean-colors", version=version)


def picture(color, rng):
    return np.clip(np.array(COLORS[color]) + rng.integers(-40, 40, (4, 4, 3)), 0, 255).astype(np.uint8)


def rows(n, seed=0):
    """Pictures and texts of colours, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(COLORS), n)
    texts = [f"{label} {rng.choice(WORDS[label])}" for label in labels]
    return {"image": [picture(label, rng) for label in labels], "text": texts}, labels.tolist()


def make(method="boch", **options):
    return Retriever({"image": colors(), "text": "bag-of-words"}, method, **{"n_bits": 16, **options})


@pytest.fixture(scope="module")
def learned():
    items, labels = rows(90)
    retriever = make().learn(items, labels, add=True, payload={"color": labels, "words": items["text"]})
    return retriever, items, labels


def test_it_does_what_the_parts_do(learned):
    retriever, items, labels = learned
    bag = BagOfWords().partial_fit(items["text"])
    views = {"image": colors().encode(items["image"]), "text": bag.encode(items["text"])}
    model = BOCH(n_bits=16).fit(views, labels)
    index = CodeIndex(16, model=model)
    index.add(model.codes_)
    assert np.array_equal(retriever.index.codes, index.codes)
    assert retriever.model.fingerprint == model.fingerprint
    for query, projections in (
        ({"text": "sky"}, model.project(bag.encode(["sky"]), modality="text")),
        ({"image": items["image"][3]}, model.project(views["image"][3:4], modality="image")),
        (
            {"image": items["image"][3], "text": "sea"},
            model.project_fused({"image": views["image"][3:4], "text": bag.encode(["sea"])}),
        ),
    ):
        hits = index.search_weighted(projections, 7)
        found = retriever.search(k=7, **query)
        assert np.array_equal(found.ids, hits.ids[0])
        assert np.array_equal(found.distances, hits.distances[0])
        plain = index.search(pyhash.codes.pack(projections), 7)
        found = retriever.search(k=7, weighted=False, **query)
        assert np.array_equal(found.ids, plain.ids[0])
        assert np.array_equal(found.distances, plain.distances[0])


def test_results_show_the_payload(learned):
    retriever, items, labels = learned
    found = retriever.search(text="blue sea", k=3)
    assert len(found) == 3
    for rank, result in enumerate(found, start=1):
        assert result.rank == rank
        assert result.payload == {"color": labels[result.id], "words": items["text"][result.id]}
        assert result.payload["color"] == "blue"
        assert result.modalities == ("image", "text")
    assert found[-1] == found[2]
    assert [result.id for result in found[1:]] == found.ids[1:].tolist()
    assert "id" in repr(found)


@pytest.mark.parametrize(
    "where",
    [
        {"color": "red"},
        {"color": ["red", "green"]},
        {"color": "red", "words": "red blood"},
        {"color": None},
        {},
        pc.field("color") == "green",
        (pc.field("color") == "green") & (pc.field("words") != "green leaf"),
    ],
    ids=str,
)
def test_a_filter_counts_before_k(learned, where):
    retriever = learned[0]
    table = retriever.payload
    if isinstance(where, dict):
        keep = np.ones(90, dtype=bool)
        for name, values in where.items():
            values = values if isinstance(values, list) else [values]
            keep &= [value in values for value in table[name].to_pylist()]
    else:
        filtered = table.append_column("row", pa.array(np.arange(90))).filter(where)
        keep = np.isin(np.arange(90), filtered["row"].to_pylist())
    projections = retriever.project({"text": ["blue"]})
    expected = retriever.index.search_weighted(projections, 20, allowed=keep)
    assert np.array_equal(retriever.search(text="blue", k=20, where=where).ids, expected.ids[0])


def test_a_frame_of_nothing_has_the_columns(learned):
    pytest.importorskip("pandas")
    retriever, _, _ = learned
    nothing = retriever.search(text="blue", where={"color": "no colour"}).to_frame("pandas")
    assert nothing.columns.tolist() == retriever.search(text="blue").to_frame("pandas").columns.tolist()
    assert len(nothing) == 0


def test_like_an_item_is_without_itself(learned):
    retriever, _, labels = learned
    code = retriever.index.reconstruct([5])
    every = retriever.index.search(code, 90).ids[0]
    for k in (1, 4, 89, 90, 200):
        assert np.array_equal(retriever.search(like=5, k=k).ids, every[every != 5][:k])
    of_color = retriever.search(like=5, k=90, where={"color": labels[5]}).ids
    assert set(of_color) == {i for i, label in enumerate(labels) if label == labels[5]} - {5}
    with pytest.raises(KeyError, match="1000"):
        retriever.search(like=1000)


def test_many_queries_may_lack_modalities(learned):
    retriever, items, _ = learned
    queries = {"image": [items["image"][0], None, items["image"][2]], "text": ["red", "sea", None]}
    found = retriever.search_many(queries, k=5)
    one_by_one = [
        retriever.search(image=items["image"][0], text="red", k=5),
        retriever.search(text="sea", k=5),
        retriever.search(image=items["image"][2], k=5),
    ]
    assert [results.ids.tolist() for results in found] == [results.ids.tolist() for results in one_by_one]


def test_items_may_lack_modalities_row_by_row():
    items, labels = rows(40)
    retriever = make("lemon").learn(items, labels)
    some = {
        "image": [None if i % 3 == 1 else x for i, x in enumerate(items["image"])],
        "text": [None if i % 3 == 2 else x for i, x in enumerate(items["text"])],
    }
    codes = retriever.encode(some)
    whole = retriever.encode(items)
    by_image, by_text = (retriever.encode({name: items[name]}) for name in ("image", "text"))
    assert np.array_equal(codes[::3], whole[::3])
    assert np.array_equal(codes[1::3], by_text[1::3])
    assert np.array_equal(codes[2::3], by_image[2::3])
    ids = retriever.add(some)
    assert np.array_equal(retriever.index.reconstruct(ids), codes)
    assert {r.modalities for r in retriever.search(text="sea", k=40)} == {("image", "text"), ("image",), ("text",)}


def test_learning_takes_the_rows_that_have_a_modality():
    items, labels = rows(60)
    has = {"image": np.arange(60) % 5 != 1, "text": np.arange(60) % 5 != 2}
    some = {name: [x if there else None for x, there in zip(items[name], has[name], strict=True)] for name in items}
    retriever = make("lemon").learn(some, labels, chunk_size=25)
    bag = BagOfWords().partial_fit([text for text in some["text"] if text])
    model = LEMON(n_bits=16)
    views = {"image": colors().encode(items["image"]), "text": bag.encode(items["text"])}
    for chunk in (slice(0, 25), slice(25, 50), slice(50, 60)):
        model.partial_fit(
            {name: x[chunk] for name, x in views.items()},
            labels[chunk],
            present={name: of[chunk] for name, of in has.items()},
        )
    assert np.array_equal(retriever.encode(items), model.encode_fused(views))


def test_chunks_are_encoded_one_at_a_time():
    sizes = []

    def count(texts):
        sizes.append(len(texts))
        return np.array([[len(text), 1.0] for text in texts])

    encoder = CallableEncoder(count, kind="text", name="lengths", version="1")
    texts = ["a" * (1 + i % 5) for i in range(100)]
    Retriever({"text": encoder}, "lemon", 8, batch_size=64).learn(
        {"text": texts}, [i % 2 for i in range(100)], chunk_size=40
    )
    assert sizes == [40, 40, 20]


def test_features_may_come_as_they_are():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 80)
    X, S = np.eye(3)[labels] + 0.1 * rng.normal(size=(80, 3)), csr_array(np.eye(3)[labels])
    retriever = Retriever({"dense": None, "sparse": None}, LEMON(n_bits=8)).learn({"dense": X, "sparse": S}, labels)
    ids = retriever.add({"dense": [None, *X[1:]], "sparse": S})
    assert len(ids) == 80
    assert np.array_equal(retriever.search(dense=X[0], k=3).ids, retriever.search(dense=X[:1], k=3).ids)
    assert len(retriever.search(sparse=S[[0]], k=3)) == 3


def test_ids_and_removal():
    items, labels = rows(30)
    retriever = make().learn(items, labels)
    assert retriever.add({"text": ["sky", "leaf"]}, ids=[7, 3], payload={"n": [1, 2]}).tolist() == [7, 3]
    assert retriever.add({"text": ["sea"]}, payload={"m": ["x"]}).tolist() == [8]
    assert retriever.payload.to_pylist() == [{"n": 2, "m": None}, {"n": 1, "m": None}, {"n": None, "m": "x"}]
    retriever.remove([7])
    retriever.add({"text": ["grass"]}, ids=[7])
    assert retriever.index.ids.tolist() == [3, 7, 8]
    assert retriever.payload["n"].to_pylist() == [2, None, None]
    with pytest.raises(KeyError, match="9"):
        retriever.remove([3, 9])
    assert len(retriever) == 3


def state_of(retriever):
    catalogue = retriever._catalogue
    return (
        retriever._model,
        retriever._encoders,
        retriever.index.codes.tobytes(),
        retriever.index.ids.tolist(),
        retriever.index.fingerprint,
        catalogue.table().to_pylist(),
        None if retriever.model is None else retriever.encoders["text"].vocabulary_,
    )


def failing_calls():
    items, labels = rows(6, seed=1)
    texts = {"text": ["sky", "sea"]}
    return {
        "an id that is there": (lambda r: r.add(texts, ids=[3, 100]), ValueError, "ids must be new, 3"),
        "ids twice": (lambda r: r.add(texts, ids=[99, 99]), ValueError, "ids must be unique"),
        "another type of a column": (lambda r: r.add(texts, payload={"color": [1, 2]}), TypeError, "'color'"),
        "too few values": (lambda r: r.add(texts, payload={"color": ["x"]}), ValueError, "'color'"),
        "mixed values": (lambda r: r.add(texts, payload={"new": [1, "a"]}), TypeError, "'new'"),
        "an unknown modality": (lambda r: r.add({"sound": ["x"]}), ValueError, "'sound'"),
        "rows of unequal number": (
            lambda r: r.add({"text": ["x"], "image": items["image"]}), ValueError, "equally many",
        ),
        "a row of nothing": (lambda r: r.add({"text": ["sky", None]}), ValueError, "row 1"),
        "no rows": (lambda r: r.add({"text": []}), ValueError, "at least one row"),
        "one text": (lambda r: r.add({"text": "sky"}), TypeError, "sequence"),
        "not a text": (lambda r: r.add({"text": ["sky", 3]}), TypeError, "str"),
        "not a picture": (lambda r: r.add({"image": [np.zeros((2, 2, 2))]}), (TypeError, ValueError), "items"),
        "learning over items": (lambda r: r.learn(items, labels), ValueError, "must be empty"),
        "labels of a class that does not fit": (
            lambda r: r.partial_learn(items, [1] * 6, add=True), ValueError, "labels",
        ),
        "labels that are too few": (lambda r: r.partial_learn(items, labels[:3]), ValueError, "labels"),
        "learned rows with an id that is there": (
            lambda r: r.partial_learn(items, labels, add=True, ids=[1, 101, 102, 103, 104, 105]), ValueError, "ids",
        ),
        "ids of rows that are not added": (lambda r: r.partial_learn(items, labels, ids=range(6)), ValueError, "ids"),
        "words that nobody knows": (lambda r: r.search(text="xyzzy"), ValueError, "'xyzzy'"),
        "no query": (lambda r: r.search(), ValueError, "text=..."),
        "an unknown query": (lambda r: r.search(sound="x"), ValueError, "'sound'"),
        "like and a query": (lambda r: r.search(like=1, text="sky"), ValueError, "like"),
        "k of 0": (lambda r: r.search(text="sky", k=0), ValueError, "k must be"),
        "an unknown column": (lambda r: r.search(text="sky", where={"size": 1}), ValueError, "'size'"),
        "a value of another type": (lambda r: r.search(text="sky", where={"n": "x"}), ValueError, "'n'"),
        "no filter": (lambda r: r.search(text="sky", where="red"), TypeError, "where"),
        "an expression of another column": (
            lambda r: r.search(text="sky", where=pc.field("size") == 1), ValueError, "where",
        ),
        "a change of the index": (lambda r: r.index.add(r.index.codes), ValueError, "Retriever"),
        "commit in memory": (lambda r: r.commit(), ValueError, "save it"),
    }  # fmt: skip


@pytest.mark.parametrize("case", failing_calls())
def test_a_call_that_raises_changes_nothing(case):
    items, labels = rows(40)
    retriever = make().learn(items, labels, add=True, payload={"color": labels, "n": range(40)})
    before = state_of(retriever)
    call, error, message = failing_calls()[case]
    with pytest.raises(error, match=message):
        call(retriever)
    assert state_of(retriever) == before


def test_before_learning_there_is_nothing():
    retriever = make()
    assert retriever.model is None
    for call in (
        lambda: retriever.search(text="x"),
        lambda: retriever.add({"text": ["x"]}),
        lambda: retriever.save("x"),
    ):
        with pytest.raises(NotFittedError, match="learn first"):
            call()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"encoders": {}}, ValueError, "1 to 32"),
        ({"encoders": ["text"]}, TypeError, "mapping"),
        ({"encoders": {"text": 3}}, TypeError, r"encoders\['text'\]"),
        ({"encoders": {"where": None}}, ValueError, "'where'"),
        ({"encoders": {"text": "bag-of-wards"}}, ValueError, "bag-of-wards"),
        ({"method": "bach"}, ValueError, "boch"),
        ({"method": 3}, TypeError, "method"),
        ({"method": BOCH(16), "n_bits": 32}, ValueError, "n_bits must be 16"),
        ({"method": BOCH(16), "parameters": {}}, ValueError, "parameters"),
        ({"n_bits": 0}, ValueError, "n_bits"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
    ids=str,
)
def test_arguments_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        Retriever(**{"encoders": {"text": "bag-of-words"}, **options})

"""What notebooks show: well-formed, escaped, of limited size."""

import io
from html.parser import HTMLParser

import numpy as np
import pytest

import pyhash
from pyhash import _html
from pyhash.comparison import Comparison, compare
from pyhash.datasets import Dataset, make_multilabel
from pyhash.search import HitLists, Hits

EVIL = '<script>alert("x")</script>&\'"><img src=x onerror=y>'
_VOID = {"img", "br"}
_ALLOWED = {"div", "style", "p", "strong", "table", "caption", "thead", "tbody", "tr", "th", "td", "img"}
_ALLOWED |= {"details", "summary"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and that there are none but those that pyhash makes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.words, self.pictures, self.strong = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in _ALLOWED, tag
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.words.append(data)
            if self.open[-1] == "strong":
                self.strong.append(data)

    @property
    def text(self):
        return "\n".join(word for word in self.words if word.strip())


def shown(thing, limit=20_000):
    html = thing._repr_html_()
    assert len(html) < limit
    return Page(html)


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    image = np.eye(3)[labels] + 0.1 * rng.standard_normal((60, 3))
    return {"image": image, EVIL: np.eye(3)[labels]}, labels


def picture_bytes(form="PNG"):
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, form)
    return file.getvalue()


def test_a_model_before_and_after_learning(views):
    model = pyhash.LEMON(n_bits=8, alpha=7)
    before = shown(model)
    assert "has not learned anything yet" in before.text
    assert before.strong == ["LEMON", "n_bits", "8", "alpha", "7"]
    model.partial_fit(*views)
    after = shown(model)
    assert "bits: 8 · rows learned: 60 · classes: 3" in after.text
    assert EVIL in after.text
    model.set_params(encoder="none such", alpha=np.arange(10_000))
    assert "rows learned: 60" in shown(model).text


@pytest.mark.parametrize("name", ["shoh", "boch", "cca-itq", "lsh"])
def test_every_kind_of_method(name, views):
    model = pyhash.make_method(name, n_bits=2).fit(*views)
    text = shown(model).text
    assert "rows learned: 60" in text
    assert ("classes: 3" in text) == model.is_supervised


def test_a_deep_model(views):
    from pyhash.deep import DHSL, TrainingOptions

    training = TrainingOptions(epochs=1, validation_fraction=0.0)
    text = shown(DHSL(8, hidden=[4], training=training).fit(*views)).text
    assert "bits: 8 · rows learned: 60 · classes: 3" in text
    assert "TrainingOptions(epochs=1" in text


def test_hits():
    ids = np.arange(50 * 30, dtype=np.int64).reshape(50, 30)
    page = shown(Hits(ids, np.full((50, 30), 3, np.int32), (2,)))
    assert "Hits of 50 queries" in page.text
    assert "0 (3)" in page.words
    assert "9 (3)" in page.words
    assert "10 (3)" not in page.words
    assert "and 40 more" in page.words
    assert "not searched: shards 2" in page.words


def test_hit_lists_of_no_and_of_unequal_length():
    page = shown(HitLists(np.array([0, 0, 2]), np.array([5, 7]), np.array([0.25, 1.0])))
    assert [word for word in page.words if "(" in word] == ["by rank: id (distance)", "5 (0.25)", "7 (1)"]
    nothing = HitLists(np.array([0]), np.empty(0, np.int64), np.empty(0, np.int32))
    assert "HitLists of 0 queries" in shown(nothing).text


def test_a_data_set():
    data = Dataset(
        name=EVIL,
        views={f"view{i}": np.zeros((4, 2)) for i in range(30)},
        labels={EVIL: np.array([0, 1, 4, 1]), "several": np.ones((4, 3), dtype=int)},
        label_names={},
        hierarchy=[],
        layers=(),
        splits={"mine": np.array([True, False, False, False])},
        items={"file": np.array(["a", "b", "c", "d"])},
    )
    page = shown(data)
    assert f"Dataset {EVIL}" in page.text
    assert "and 20 more" in page.words
    start = page.words.index("mine")
    assert page.words[start : start + 3] == ["mine", "3", "1"]
    start = page.words.index(EVIL)
    assert page.words[start : start + 3] == [EVIL, "5", "one a row"]


def test_an_index(tmp_path):
    index = pyhash.CodeIndex(n_bits=8, model="0" * 32)
    index.add(np.arange(20, dtype=np.uint8)[:, None])
    index.save(tmp_path / "<b>")
    text = shown(index).text
    assert "bits: 8 · codes: 20 · removed, not yet rewritten: 0" in text
    assert f"model: {'0' * 32} · at: {tmp_path / '<b>'} · commit: 1" in text
    assert "bits: 3 · codes: 0" in shown(pyhash.CodeIndex(n_bits=3)).text


def test_a_comparison_and_its_frame():
    result = compare(make_multilabel(120), ["lsh"], sweep={"lemon": {"alpha": [1, 10]}}, bits=[8], metrics=["ndcg@10"])
    page = shown(result)
    assert "Comparison with 3 records" in page.text
    assert result.describe() in page.text
    assert [word for word in page.words if word in ("lsh", "lemon[alpha=1]", "lemon[alpha=10]")] == [
        record["method"] for record in result.records
    ]
    assert "Comparison with 0 records" in shown(Comparison([])).text
    pandas, polars = result.to_frame(library="pandas"), result.to_frame("shoh", library="polars")
    assert list(pandas.columns) == polars.columns
    assert list(pandas["method"]) == [record["method"] for record in result.records]
    assert polars["parameter.alpha"].to_list() == [None, 1, 10]
    scores = result.records[0]["scores"][0]
    assert pandas["image->text map weighted"][0] == scores["map_weighted"]
    assert pandas["image->text ndcg@10"][0] == scores["metrics"]["ndcg@10"]["hamming"]
    with pytest.raises(ValueError, match="protocol must be one of 'shoh', got 'x'"):
        result.to_frame("x")
    with pytest.raises(ValueError, match="library must be one of 'pandas', 'polars', got 'arrow'"):
        result.to_frame(library="arrow")


def test_a_frame_of_the_library_that_is_there(monkeypatch):
    import sys

    result = compare(make_multilabel(60), ["lsh"], bits=[4])
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert type(result.to_frame()).__module__.startswith("polars")
    with pytest.raises(ImportError, match="data frames need pandas: pip install pandas"):
        result.to_frame(library="pandas")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="data frames need pandas or polars: pip install pandas"):
        result.to_frame()


@pytest.fixture
def retriever():
    texts = [f"{colour} {i}" for i in range(20) for colour in ("red", "blue")]
    labels = ["red", "blue"] * 20
    retriever = pyhash.Retriever({"text": "bag-of-words", EVIL: None}, n_bits=8)
    return retriever.learn({"text": texts, EVIL: np.eye(2)[np.arange(40) % 2]}, labels)


def test_a_retriever(retriever):
    page = shown(retriever)
    assert "items: 0 · bits: 8" in page.text
    assert EVIL in page.words
    assert "Model BOCH" in page.words
    new = pyhash.Retriever({"text": "bag-of-words"}, method="lemon")
    assert "method lemon, has not learned anything yet" in shown(new).text


def test_results_show_their_payload_and_pictures(retriever):
    pictures = [picture_bytes(), picture_bytes("JPEG"), b"<svg onload=x>", b"\xff\xd8\xff" + bytes(1 << 18)]
    texts = ["red 1"] * 14
    payload = {
        "picture": pictures + [picture_bytes()] * 10,
        EVIL: [EVIL, "y" * 5000] * 7,
        "id": [["a", EVIL]] * 14,
        "none": [None] * 13 + [1],
    }
    ids = retriever.add({"text": texts}, payload=payload)
    results = retriever.search(text="red 1", k=14)
    retriever.remove(ids)
    assert results.ids.tolist() == list(range(14))
    page = shown(results)
    assert f"Results with {len(results)} items" in page.text
    assert [source.partition(";")[0] for source in page.pictures] == ["data:image/png", "data:image/jpeg"] + [
        "data:image/png"
    ] * 6
    assert "14 bytes" in page.words
    assert "262,147 bytes" in page.words
    assert "and 4 more" in page.words
    assert EVIL in page.words
    assert "y" * 200 + "…" in page.words
    pandas, polars = results.to_frame(), results.to_frame("polars")
    assert list(pandas.columns) == polars.columns
    assert list(pandas.columns) == ["rank", "id", "distance", "modalities", "picture", EVIL, "payload.id", "none"]
    assert polars["picture"][1] == pictures[1]
    assert polars["modalities"].to_list() == [["text"]] * 14


def test_results_with_many_columns_and_large_pictures(retriever):
    large = picture_bytes() + bytes(_html.MAX_PICTURE_BYTES - 1000)
    ids = retriever.add({"text": ["red 1"] * 3}, payload={f"column{i:02d}": [large] * 3 for i in range(30)})
    results = retriever.search(text="red 1", k=3)
    retriever.remove(ids)
    page = shown(results, _html.MAX_PICTURE_BYTES * _html.N_ROWS * 4 // 3 + 20_000)
    assert len(page.pictures) == _html.N_ROWS
    assert "column19" in page.words
    assert "column20" not in page.words
    assert "and 10 more columns" in page.words


def test_no_results(retriever):
    results = retriever.search(text="red")
    assert "Results with 0 items" in shown(results).text
    assert list(results.to_frame().columns) == ["rank", "id", "distance", "modalities"]


def test_text():
    assert _html.text(EVIL) == (
        "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#x27;&quot;&gt;&lt;img src=x onerror=y&gt;"
    )
    assert _html.text(_html.Html("<b>")) == "<b>"
    assert len(_html.text(list(range(10**6)))) == _html.MAX_TEXT + 1

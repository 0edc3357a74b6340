import numpy as np
import pytest

from pyhash import LEMON
from pyhash._inputs.chunks import cut
from pyhash.datasets import make_hierarchical


def sizes(n, size, remainder):
    parts = cut(n, size, remainder)
    assert np.array_equal(np.concatenate([np.arange(n)[part] for part in parts] or [np.arange(0)]), np.arange(n))
    return [part.stop - part.start for part in parts]


@pytest.mark.parametrize(
    ("n", "size", "kept", "merged"),
    [
        (18_015, 2000, [2000] * 9 + [15], [2000] * 8 + [2015]),  # MIRFlickr as the papers cut it
        (6, 3, [3, 3], [3, 3]),
        (4, 3, [3, 1], [4]),
        (2, 3, [2], [2]),
        (3, 3, [3], [3]),
        (3, 1, [1, 1, 1], [1, 1, 1]),
        (0, 3, [], []),
    ],
)
def test_a_short_last_chunk(n, size, kept, merged):
    assert sizes(n, size, "keep") == kept
    assert sizes(n, size, "merge") == merged


@pytest.fixture(scope="module")
def data():
    return make_hierarchical(70, n_classes=(2, 5), n_features={"image": 6, "text": 7})


def test_chunks_of_a_data_set(data):
    kept, merged = (list(data.chunks(30, seed=2, remainder=remainder)) for remainder in ("keep", "merge"))
    assert [len(chunk.rows) for chunk in kept] == [30, 30, 10]
    assert [len(chunk.rows) for chunk in merged] == [30, 40]
    assert np.array_equal(*(np.concatenate([chunk.rows for chunk in chunks]) for chunks in (kept, merged)))
    assert merged[1].views["text"].shape == (40, 7)
    with pytest.raises(ValueError, match="remainder must be one of 'keep', 'merge', got 'drop'"):
        data.chunks(30, remainder="drop")  # at the call


def test_fit_cuts_as_partial_fit_is_called(data):
    labels = data.labels["level2"]
    for remainder, ends in (("keep", [30, 60, 70]), ("merge", [30, 70])):
        whole = LEMON(8, seed=1).fit(data.views, labels, chunk_size=30, remainder=remainder)
        streamed, packed, start = LEMON(8, seed=1, n_classes=5), [], 0
        for end in ends:
            views = {name: view[start:end] for name, view in data.views.items()}
            packed.append(streamed.partial_fit(views, labels[start:end]).codes_)
            start = end
        assert np.array_equal(whole.codes_, np.concatenate(packed))
    before = whole.codes_
    with pytest.raises(ValueError, match="remainder must be one of 'keep', 'merge', got None"):
        whole.fit(data.views, labels, remainder=None)
    assert whole.codes_ is before

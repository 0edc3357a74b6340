"""Codes and scores of dask arrays are those of the local calls, to the last bit, whatever the blocks."""

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

import pyhash
from pyhash import codes, distributed, evaluation
from pyhash.distributed.row_pieces import aligned, cut_rows

N = 12_000


@pytest.fixture(scope="module", autouse=True)
def threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, N)
    image = np.eye(5, 12)[labels] + rng.standard_normal((N, 12))
    words = rng.poisson(0.1, (N, 40)) + np.eye(5, 40)[labels]
    return {"image": image, "text": sp.csr_array(words)}, labels


def fitted(data, encoder, **kwargs):
    views, labels = data
    model = pyhash.BOCH(24, encoder=encoder, feature_maps={"image": pyhash.RBFAnchors(60, centered=True)}, **kwargs)
    return model.fit({name: x[:2000] for name, x in views.items()}, labels[:2000])


BLOCKS = [(1, 8191, 1, N - 8193), (5000, 5000, 2000)]


@pytest.mark.parametrize("encoder", ["bits", "posterior", "bayes", "auto"])
@pytest.mark.parametrize("class_bits", [24, 16])
def test_codes_are_those_of_the_local_call(data, encoder, class_bits):
    model = fitted(data, encoder, class_bits=class_bits)
    x = data[0]["image"]
    expected = model.encode(x, modality="image")
    for sizes in BLOCKS:
        found = distributed.encode(model, da.from_array(x, chunks=(sizes, (5, 7))), modality="image")
        assert found.dtype == np.uint8
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found.compute(), expected)


def test_codes_of_sparse_blocks(data):
    model, x = fitted(data, "bayes"), data[0]["text"]
    dense = da.from_array(x.toarray(), chunks=((7000, 5000), -1))
    found = distributed.encode(model, dense.map_blocks(sp.csr_array), modality="text")
    np.testing.assert_array_equal(found.compute(), model.encode(x, modality="text"))


@pytest.mark.parametrize(
    "model", [pyhash.SHOH(16), pyhash.CCAITQ(8), pyhash.SEOCH(16)], ids=lambda model: type(model).__name__
)
def test_codes_of_other_methods(data, model):
    x = data[0]["image"]
    model.fit({"image": x[:500], "other": x[:500, ::-1]}, data[1][:500])
    found = distributed.encode(model, da.from_array(x[:3000], chunks=(700, -1)), modality="image")
    np.testing.assert_array_equal(found.compute(), model.encode(x[:3000], modality="image"))


def test_the_model_is_sent_without_what_only_learning_needs(data):
    from pyhash.distributed.encoding import _for_encoding

    model = fitted(data, "bayes")
    light = _for_encoding(model, "image")
    assert all(sums.XX.size == 0 for sums in light._state.sums.values())
    assert light._codes is None
    assert all(sums.XX.size > 0 for sums in model._state.sums.values())
    assert len(model.codes_) == 2000


def test_no_rows_have_no_codes(data):
    found = distributed.encode(fitted(data, "bits"), da.zeros((0, 12)), modality="image")
    assert found.compute().shape == (0, 3)


def test_what_encode_refuses(data):
    model = fitted(data, "bits")
    x = da.from_array(data[0]["image"], chunks=(5000, -1))
    with pytest.raises(TypeError, match="model must be a method of pyhash, got str"):
        distributed.encode("lemon", x, modality="image")
    with pytest.raises(pyhash.NotFittedError):
        distributed.encode(pyhash.LEMON(8), x, modality="image")
    with pytest.raises(ValueError, match="modality must be one of 'image', 'text', got 'sound'"):
        distributed.encode(model, x, modality="sound")
    with pytest.raises(TypeError, match=r"X must be a dask array, got ndarray; dask.array.from_array"):
        distributed.encode(model, data[0]["image"], modality="image")
    with pytest.raises(ValueError, match=r"X must have shape \(n, 12\), got \(12000, 5\)"):
        distributed.encode(model, x[:, :5], modality="image")
    with pytest.raises(ValueError, match=r"X must have shape \(n, 12\), got \(12000,\)"):
        distributed.encode(model, x[:, 0], modality="image")
    with pytest.raises(TypeError, match="X must hold real numbers, got dtype complex128"):
        distributed.encode(model, x * 1j, modality="image")
    with pytest.raises(ValueError, match=r"X must have blocks of known sizes.*call .compute_chunk_sizes\(\)"):
        distributed.encode(model, x[x[:, 0] > 0], modality="image")

    class Frame:
        def to_dask_array(self, lengths):
            raise AssertionError

    with pytest.raises(TypeError, match=r"X must be a dask array, got Frame; call .to_dask_array\(lengths=True\)"):
        distributed.encode(model, Frame(), modality="image")


def test_an_error_names_the_block(data):
    x = data[0]["image"].copy()
    x[9000, 3] = np.nan
    found = distributed.encode(fitted(data, "bits"), da.from_array(x, chunks=(5000, -1)), modality="image")
    message = r"in the block of rows 8192 to 11999 of X: X must be finite, got nan in row 808, column 3"
    with pytest.raises(ValueError, match=message):
        found.compute()


# --- scores ---


@pytest.fixture(scope="module")
def ranked():
    rng = np.random.default_rng(1)
    n_queries, n = 400, 900
    labels = rng.integers(0, 6, n_queries), rng.integers(0, 5, n)  # class 5 is in no item: its queries are empty
    return rng.choice([-1.0, 1.0], (n_queries, 20)), codes.pack(rng.choice([-1, 1], (n, 20))), *labels


@pytest.mark.parametrize("metric", ["hamming", "weighted_hamming"])
@pytest.mark.parametrize("protocol", ["shoh", evaluation.Protocol(cutoff=50, ties="expected")])
def test_scores_are_those_of_the_local_call(ranked, metric, protocol):
    queries, database, query_labels, database_labels = ranked
    queries = codes.pack(queries) if metric == "hamming" else queries + 0.1
    options = {"metric": metric, "n_bits": 20, "protocol": protocol}
    expected = evaluation.mean_average_precision(queries, database, query_labels, database_labels, **options)
    assert expected.n_empty > 0
    for sizes in [(400,), (1, 399), (100, 0, 300), (133, 134, 133)]:
        blocks = da.from_array(queries, chunks=(sizes, -1))
        for lazy in (False, True):
            others = [database, query_labels, database_labels]
            if lazy:
                others = [da.from_array(each, chunks=(70, *[-1] * (each.ndim - 1))) for each in others]
            found = distributed.mean_average_precision(blocks, *others, **options)
            assert found.value == expected.value
            np.testing.assert_array_equal(found.per_query, expected.per_query)
            assert (found.n_empty, found.protocol) == (expected.n_empty, expected.protocol)


def test_scores_of_label_matrices_and_of_distances(ranked):
    queries, database, query_labels, database_labels = ranked
    matrices = np.eye(6)[query_labels], sp.csr_array(np.eye(6)[database_labels])
    blocks = da.from_array(codes.pack(queries), chunks=(150, -1))
    expected = evaluation.mean_average_precision(codes.pack(queries), database, *matrices, n_bits=20)
    assert distributed.mean_average_precision(blocks, database, *matrices, n_bits=20).value == expected.value
    distances = np.random.default_rng(0).random((400, 900))
    found = distributed.mean_average_precision(
        da.from_array(distances, chunks=(99, 300)), None, query_labels, database_labels, metric="precomputed"
    )
    expected = evaluation.mean_average_precision(distances, None, query_labels, database_labels, metric="precomputed")
    assert found.value == expected.value


def test_what_scores_refuse(ranked):
    queries, database, query_labels, database_labels = ranked
    blocks = da.from_array(codes.pack(queries), chunks=(150, -1))
    score = distributed.mean_average_precision
    with pytest.raises(TypeError, match="queries must be a dask array, got ndarray"):
        score(queries, database, query_labels, database_labels)
    with pytest.raises(
        ValueError, match=r"query_labels must have 400 rows, as many as there are codes, got shape \(9,"
    ):
        score(blocks, database, query_labels[:9], database_labels)
    with pytest.raises(ValueError, match="database_labels must have 900 rows, as many as there are codes, got 9"):
        score(blocks, database, query_labels, database_labels[:9], n_bits=20)
    with pytest.raises(ValueError, match="query codes must have at least one row, got none"):
        score(blocks[:0], database, query_labels[:0], database_labels, n_bits=20)
    with pytest.raises(ValueError, match="metric must be 'hamming'"):
        score(blocks, database, query_labels, database_labels, metric="cosine")
    with pytest.raises(ValueError, match="protocol"):
        score(blocks, database, query_labels, database_labels, protocol="shot")
    with pytest.raises(TypeError, match=r"client must be a dask.distributed.Client or None, got str"):
        score(blocks, database, query_labels, database_labels, client="tcp://127.0.0.1:8786")
    with pytest.raises(ValueError, match=r"in the block of rows 150 to 299 of queries: .* zero padding bits"):
        score(
            da.concatenate([blocks[:150], blocks[150:300] | 255, blocks[300:]]),
            database,
            query_labels,
            database_labels,
            n_bits=20,
        )


# --- pieces of rows ---


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((100,), (100,)),
        ((40, 60), (40, 60)),
        ((45, 55), (50, 50)),
        ((1, 99), (10, 90)),
        ((95, 5), (100,)),
        ((3, 3, 3, 3), (10, 2)),
        ((10, 0, 10), (10, 10)),
        ((7,), (7,)),
    ],
)
def test_blocks_start_at_multiples(sizes, expected):
    assert aligned(sizes, 10) == expected


@pytest.mark.parametrize("of", [np.asarray, sp.csr_array])
def test_pieces_are_the_rows_between_their_bounds(of):
    x = np.random.default_rng(0).standard_normal((50, 6))
    rng = np.random.default_rng(1)
    for sizes in [(50,), (20, 30), (1, 0, 48, 1), (10, 10, 10, 10, 10)]:
        for columns in [(6,), (2, 4)]:
            array = da.from_array(x, chunks=(sizes, columns)).map_blocks(of)
            bounds = [0, *sorted(rng.integers(0, 51, 4)), 50, 50]
            pieces = dask.compute(cut_rows(array, bounds))[0]
            for start, stop, piece in zip(bounds, bounds[1:], pieces, strict=False):
                assert sp.issparse(piece) == (of is sp.csr_array)
                dense = piece.toarray() if sp.issparse(piece) else piece
                np.testing.assert_array_equal(dense, x[start:stop])

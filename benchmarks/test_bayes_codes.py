"""Bayes codes against the same steps in numpy, on one thread: classes with codes of signs."""

import numpy as np
import pytest

from benchmarks.timing import Contestant
from pyhash import _core


def numpy_weights(P, M, counts):
    T = P * counts**-0.3
    target = T / T.sum(axis=1, keepdims=True) @ M
    f = ahead = np.zeros_like(target)
    for k in range(60):
        Z = ahead @ M.T
        Z -= Z.max(axis=1, keepdims=True)
        np.exp(Z, out=Z)
        Z /= Z.sum(axis=1, keepdims=True)
        after = ahead - (Z @ M - target + 0.01 * ahead) / (0.75 * M.shape[1] + 0.01)
        ahead = after + k / (k + 3) * (after - f)
        f = after
    return f


def expected_precision(codes, p, M, counts):
    """Return the expected average precision of codes (a, r) of a query with posterior p (u,)."""
    order = np.argsort(-p, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(p[order]), 0.999) + 1]
    S = codes @ M.T
    levels = np.arange(-M.shape[1], M.shape[1] + 1)
    rows = np.stack([np.bincount((s - levels[0]).astype(int), counts, len(levels)) for s in S])
    nearer = rows.sum(axis=1, keepdims=True) - np.cumsum(rows, axis=1)
    at = (S[:, kept] - levels[0]).astype(int)
    n = counts[kept]
    b = np.take_along_axis(nearer, at, axis=1) + 0.5 * (np.take_along_axis(rows, at, axis=1) - n)
    return (1 - b / n * np.log((b + n + 0.5) / (b + 0.5))) @ p[kept]


def numpy_codes(P, M, counts):
    F = numpy_weights(P, M, counts)
    out = np.empty_like(F)
    for i, (p, f) in enumerate(zip(P, F, strict=True)):
        starts = np.where(np.stack([f, p @ M, M[p.argmax()]]) > 0, 1.0, -1.0)
        values = expected_precision(starts, p, M, counts)
        q, value = starts[values.argmax()], values.max()
        for _ in range(2):
            flips = np.where(np.eye(len(q), dtype=bool), -q, q)
            values = expected_precision(flips, p, M, counts)
            if values.max() <= value + 1e-6:
                break
            q, value = flips[values.argmax()], values.max()
        out[i] = q * np.maximum(q * f, 0.001 * np.abs(f).mean())
    return out


@pytest.mark.parametrize(("n_classes", "n_bits", "n"), [(87, 16, 200), (87, 64, 200), (87, 128, 200), (1000, 64, 50)])
@pytest.mark.parametrize("sharpness", [8, 15])
def test_bayes_codes(compare, run, n_classes, n_bits, n, sharpness):
    rng = np.random.default_rng(0)
    n = run.sized(n)
    scores = 0.25 * rng.standard_normal((n, n_classes))
    scores[np.arange(n), rng.integers(0, n_classes, n)] += 1
    P = np.exp(sharpness * scores)
    P /= P.sum(axis=1, keepdims=True)
    M = rng.choice([-1.0, 1.0], (n_classes, n_bits))
    counts = rng.integers(20, 200, n_classes).astype(float)
    P32, M32 = P.astype(np.float32), M.astype(np.float32)

    ours, theirs = _core.bayes_codes(P32, M32, counts, None, 1), numpy_codes(P, M, counts)
    assert np.mean((ours > 0) == (theirs > 0)) > 0.99  # they part where two codes are equally good
    np.testing.assert_allclose(np.median(np.abs(np.abs(ours) - np.abs(theirs))), 0, atol=1e-4)
    compare(
        Contestant(lambda _: _core.bayes_codes(P32, M32, counts, None, 1)),
        {"numpy": Contestant(lambda _: numpy_codes(P, M, counts))},
        table="bayes",
        case={"classes": n_classes, "queries": n, "bits": n_bits, "sharpness": sharpness, "threads": 1},
    )

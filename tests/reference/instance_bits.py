"""Instance bits row by row, from their definition."""

import numpy as np
import scipy.linalg


def canonical_pair(X, Y, ridge_x, ridge_y, k):
    """Canonical directions of two modalities and their correlations, as a generalised eigenproblem."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    n = len(X)
    C = np.block([[np.zeros((X.shape[1], X.shape[1])), X.T @ Y / n], [Y.T @ X / n, np.zeros((Y.shape[1], Y.shape[1]))]])
    of_each = [Z.T @ Z / n for Z in (X, Y)]
    D = scipy.linalg.block_diag(
        *(
            S + ridge * np.mean(np.diag(S)) * np.eye(len(S))
            for S, ridge in zip(of_each, (ridge_x, ridge_y), strict=True)
        )
    )
    values, vectors = scipy.linalg.eigh(C, D)
    return values[::-1][:k], vectors[: X.shape[1], ::-1][:, :k], vectors[X.shape[1] :, ::-1][:, :k]


def unit(v):
    length = np.sqrt(sum(x * x for x in v))
    return v / length if length > 0 else v


def bits(rows, space, classes_before, L):
    """Bits of rows of a chunk, (n, r): `rows` by modality, dense; `classes_before` the sum and count of each class."""
    V = []
    for i in range(len(L)):
        total = np.zeros(len(space.rotation))
        for name, X in rows.items():
            W = space.directions[name]
            total = total + unit(X[i, : len(W)] @ W - space.offsets[name])
        V.append(unit(total))
    sums, counts = (np.array(part, dtype=float) for part in classes_before)
    for v, labels in zip(V, L, strict=True):
        for c in np.flatnonzero(labels):
            sums[c] += v
            counts[c] += 1
    out = []
    for i, (v, labels) in enumerate(zip(V, L, strict=True)):
        mean = np.mean([sums[c] / (counts[c] + 1) for c in np.flatnonzero(labels)], axis=0)
        projected = unit(v - mean) @ space.rotation
        for name, signs in space.word_signs.items():
            projected = projected + 0.6 / np.sqrt(len(space.rotation)) * (rows[name][i] @ signs)
        out.append(np.where(projected > 0, 1, -1))
    return np.array(out), (sums, counts)

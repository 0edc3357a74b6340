"""Distances, computed bit by bit."""

import numpy as np


def hamming(queries, codes, n_bits):
    out = np.zeros((len(queries), len(codes)), dtype=int)
    for bit in range(n_bits):
        byte, place = divmod(bit, 8)
        q = (queries[:, byte] >> place) & 1
        c = (codes[:, byte] >> place) & 1
        out += q[:, None] != c[None, :]
    return out


def weighted(projections, codes):
    """Return SHOH's Eq. 32 and 33, summed as the library does: bits of a nibble, nibbles of a byte, bytes."""
    projections = np.asarray(projections, dtype=np.float64)
    out = np.zeros((len(projections), len(codes)))
    for byte in range(codes.shape[1]):
        of_byte = np.zeros_like(out)
        for first in (8 * byte, 8 * byte + 4):
            of_nibble = np.zeros_like(out)
            for bit in range(first, min(first + 4, projections.shape[1])):
                p = projections[:, bit]
                c = (codes[:, byte] >> (bit % 8)) & 1
                of_nibble += np.where((p > 0)[:, None] != (c == 1)[None, :], np.minimum(np.abs(p), 1)[:, None], 0.0)
            of_byte += of_nibble
        out += of_byte
    return out


def top_k(distances, k):
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)

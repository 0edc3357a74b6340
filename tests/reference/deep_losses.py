"""Losses of the deep methods, computed pair by pair and triplet by triplet from the papers' equations."""

import math

import numpy as np


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def sum_or_balanced(losses, similar, reduction):
    """Losses and similarities are lists, pair by pair."""
    if reduction == "sum":
        return math.fsum(losses)
    kinds = [[loss for loss, s in zip(losses, similar, strict=True) if s == kind] for kind in (0, 1)]
    means = [math.fsum(kind) / len(kind) for kind in kinds if kind]
    return sum(means) / len(means)


def pair_likelihood(F, G, S, reduction="sum"):
    losses, similar = [], []
    for i in range(len(F)):
        for j in range(len(G)):
            product = dot(F[i], G[j])
            losses.append(math.log(1 + math.exp(product)) - S[i][j] * product)
            similar.append(S[i][j])
    return sum_or_balanced(losses, similar, reduction)


def code_similarity(Z, S, reduction="sum"):
    losses, similar = [], []
    for i in range(len(Z)):
        for j in range(len(Z)):
            wanted = 1 if S[i][j] else -1
            losses.append((dot(Z[i], Z[j]) / len(Z[i]) - wanted) ** 2)
            similar.append(S[i][j])
    return sum_or_balanced(losses, similar, reduction)


def quantization(H, B=None, reduction="sum"):
    total = 0.0
    for i in range(len(H)):
        for bit in range(len(H[i])):
            sign = (1 if H[i][bit] > 0 else -1) if B is None else B[i][bit]
            total += (sign - H[i][bit]) ** 2
    return total / (1 if reduction == "sum" else len(H) * len(H[0]))


def independence(Z, reduction="sum", divisor="bits"):
    n, r = np.shape(Z)
    total = 0.0
    for a in range(r):
        for b in range(r):
            product = dot([z[a] for z in Z], [z[b] for z in Z]) / {"bits": r, "samples": n}[divisor]
            total += (product - (1 if a == b else 0)) ** 2
    return total / (1 if reduction == "sum" else r * r)


def balance(Z, form="norm"):
    n, r = np.shape(Z)
    if form == "norm":
        return sum(float(z[bit]) ** 2 for z in Z for bit in range(r)) / r
    return sum((sum(float(z[bit]) for z in Z) / n) ** 2 for bit in range(r)) / r


def relation(R, S, reduction="sum"):
    losses = [(R[i][j] - S[i][j]) ** 2 for i in range(len(R)) for j in range(len(R[0]))]
    return sum(losses) / (1 if reduction == "sum" else len(losses))


def row_sparsity(U):
    return sum(math.sqrt(dot(row, row)) for row in U)


def cosine(a, b):
    lengths = math.sqrt(dot(a, a)) * math.sqrt(dot(b, b))
    return dot(a, b) / lengths if lengths else 0.0


def ideal_dcg(rel):
    ranked = sorted((float(level) for level in rel), reverse=True)
    return sum((2**level - 1) / math.log2(1 + rank) for rank, level in enumerate(ranked, start=1))


def cosine_triplet(X, Y, rel, margin, reduction="sum", *, weighted=True):
    total = total_weight = 0.0
    for i in range(len(X)):
        for j in range(len(Y)):
            for k in range(len(Y)):
                if not (rel[i][j] > 0 and rel[i][j] > rel[i][k]):
                    continue
                weight = (2 ** float(rel[i][j]) - 2 ** float(rel[i][k])) / ideal_dcg(rel[i]) if weighted else 1.0
                total += weight * max(0.0, cosine(X[i], Y[k]) - cosine(X[i], Y[j]) + margin)
                total_weight += weight
    if reduction == "sum":
        return total
    return total / total_weight if total_weight else 0.0

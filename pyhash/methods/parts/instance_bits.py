"""Instance bits: the part of a code that tells things of one class apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_integer, is_sparse
from pyhash.codes import sign
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, Signs
from pyhash.methods.parts.canonical import canonical_correlations
from pyhash.methods.parts.descent import random_signs
from pyhash.methods.parts.orthonormal import random_rotation
from pyhash.methods.parts.sums import Sums

if TYPE_CHECKING:
    from pyhash._files.archive import Archive
    from pyhash.methods.parts.feature_rows import FeatureRows
    from pyhash.methods.parts.feature_sums import FeatureSums
    from pyhash.methods.parts.onnx_graph import Graph
    from pyhash.methods.parts.state import Chunk

MAX_DIRECTIONS = 256
# Ridges of the canonical correlations, in units of the mean variance of a feature.
_DENSE_RIDGE, _SPARSE_RIDGE = 0.03, 1.0
# Correlations below are rounding errors of rows that do not differ.
_LEAST_CORRELATION = 1e-6
# Weight of words as they are beside the canonical space.
_WORD_WEIGHT = 0.6
# The number of instance bits to which `focus` refers: as a whole, more of them weigh no more.
_FOCUS_BITS = 40


@dataclass(frozen=True)
class InstanceSpace:
    """Space in which the modalities of one thing meet, and the random projections that make bits of it.

    A row has in each modality the canonical variates ``e_m = rho^2 (x_m - mean) W_m``, rho the correlations; its
    embedding is ``unit(sum_m unit(e_m))``. The space is fixed by the first chunk. Later features of a map that grows do
    not enter it.
    """

    directions: dict[str, Matrix]  # by modality (d, k): W scaled by rho^2
    offsets: dict[str, NDArray[np.float64]]  # (k,): mean times directions
    rotation: Matrix  # (k, r): columns of length 1, orthogonal in groups of k
    word_signs: dict[str, Signs]  # by sparse modality (d, r): random signs

    @classmethod
    def fit(cls, chunk: Chunk, n_bits: int, rng: np.random.Generator) -> InstanceSpace:
        """Return the space of the first chunk of a stream, for `n_bits` instance bits.

        Correlations of two modalities are over the rows that have both.

        Raises
        ------
        ValueError
            If the chunk has a single row.
        ValueError
            If fewer than 2 rows have a modality, and another one if there are several.
        """
        if chunk.n < 2:
            raise ValueError("views must have at least 2 rows in the first chunk, to learn instance bits, got 1")
        for name, X in chunk.views.items():
            others = [of.present for other, of in chunk.views.items() if other != name] or [X.present]
            n = max(int(np.count_nonzero(X.present & other)) for other in others)
            if n < 2:
                also = " and another modality" if len(chunk.views) > 1 else ""
                raise ValueError(
                    f"present must give at least 2 rows of the first chunk {name!r}{also}, to learn instance bits, "
                    f"got {n}"
                )
        is_sparse_view = {name: is_sparse(next(X.blocks())[1]) for name, X in chunk.views.items()}
        widths = [X.shape[1] for X in chunk.views.values()]
        k = min(MAX_DIRECTIONS, chunk.n - 1, min(widths) if len(widths) <= 2 else sum(widths))
        means = {name: X.transposed_dot(X.present[:, None])[:, 0] / X.n_present for name, X in chunk.views.items()}
        ridges = {name: _SPARSE_RIDGE if sparse else _DENSE_RIDGE for name, sparse in is_sparse_view.items()}
        W, correlations = canonical_correlations(chunk.views, chunk.XX, k, ridges, means)
        scale = np.where(correlations > _LEAST_CORRELATION, correlations, 0.0) ** 2
        # In the order of a file's arrays, so that a model goes on from a file to the same bit.
        directions = {name: np.ascontiguousarray(of_modality * scale) for name, of_modality in W.items()}
        rotations = [random_rotation(k, rng) for _ in range(0, n_bits, k)]
        return cls(
            directions,
            {name: means[name] @ of_modality for name, of_modality in directions.items()},
            np.hstack(rotations)[:, :n_bits],
            {name: random_signs(rng, chunk.views[name].shape[1], n_bits) for name, sp in is_sparse_view.items() if sp},
        )

    def embed(self, views: Mapping[str, FeatureRows]) -> Matrix:
        """Return the embeddings (n, k) of rows, of length 1 or 0, from the modalities that each has."""
        total: Matrix = np.add.reduce(
            [_unit(X.dot(self.directions[name]) - self.offsets[name]) * X.present[:, None] for name, X in views.items()]
        )
        return _unit(total)

    def signs(self, views: Mapping[str, FeatureRows], V: Matrix) -> Signs:
        """Return the instance bits (n, r) of rows: the signs of ``V R + .6 sum_m x_m P_m`` over sparse modalities m.

        V are the embeddings of the rows, less what their classes share.
        """
        projected: Matrix = V @ self.rotation
        for name, P in self.word_signs.items():
            if name in views:
                # A bit of V has the size 1 / sqrt(k), and so have those of unit rows of words.
                projected += views[name].dot(P * (_WORD_WEIGHT / np.sqrt(len(self.rotation))))
        return sign(projected)

    def store(self, arrays: Arrays) -> Fields:
        """Return header fields of the space; its arrays go into `arrays`."""
        arrays["instance.rotation"] = self.rotation
        for m, (name, W) in enumerate(self.directions.items()):
            arrays |= {f"instance.directions.{m}": W, f"instance.offsets.{m}": self.offsets[name]}
            if name in self.word_signs:
                arrays[f"instance.words.{m}"] = self.word_signs[name]
        return {
            "n_bits": self.rotation.shape[1],
            "widths": {name: len(W) for name, W in self.directions.items()},
            "words": list(self.word_signs),
        }

    @classmethod
    def restore(cls, fields: Fields, archive: Archive, n_mapped: Mapping[str, int]) -> InstanceSpace:
        """Return the space of a file, every dtype and shape checked."""
        n_bits = check_integer("n_bits", fields["n_bits"], 1)
        rotation = archive.array("instance.rotation", np.float64, (None, n_bits))
        k = check_integer("the number of rows of instance.rotation", len(rotation), 1)
        widths, of_words = fields["widths"], fields["words"]
        if list(widths) != list(n_mapped) or not set(of_words) <= set(n_mapped):
            raise ValueError(
                f"instance bits must be of the modalities {list(n_mapped)}, got {list(widths)}, {of_words}"
            )
        directions, offsets, words = {}, {}, {}
        for m, (name, d) in enumerate(n_mapped.items()):
            width = check_integer(f"widths[{name!r}]", widths[name], 1, d)
            directions[name] = archive.array(f"instance.directions.{m}", np.float64, (width, k))
            offsets[name] = archive.array(f"instance.offsets.{m}", np.float64, (k,))
            if name in of_words:
                words[name] = archive.array(f"instance.words.{m}", np.int8, (width, n_bits))
                if (np.abs(words[name]) != 1).any():
                    raise ValueError(f"instance.words.{m} must hold only -1 and +1")
        return cls(directions, offsets, rotation, words)


@dataclass(frozen=True)
class InstanceSums(Sums):
    """Sums over all rows of embeddings V (n, k) and instance bits B (n, r)."""

    V: Matrix  # (c, k): embeddings of the rows of each class
    counts: NDArray[np.float64]  # (c,): rows of each class
    B: dict[str, NDArray[np.float64]]  # by modality (r,): bits of the rows that have it

    @classmethod
    def empty(cls, c: int, k: int, r: int, modalities: Iterable[str]) -> InstanceSums:
        """Return the sums of no rows."""
        return cls(np.zeros((c, k)), np.zeros(c), {name: np.zeros(r) for name in modalities})

    def add(self, V: Matrix, L: Matrix) -> InstanceSums:
        """Return the sums with more embeddings V (n, k) of rows with labels L (n, c)."""
        return replace(self, V=self.V + L.T @ V, counts=self.counts + L.sum(axis=0))

    def add_bits(self, B: Signs, views: Mapping[str, FeatureRows]) -> InstanceSums:
        """Return the sums with the instance bits B (n, r) of more rows, which have some of the modalities."""
        of_rows = {name: B[X.present].sum(axis=0, dtype=np.float64) for name, X in views.items()}
        return replace(self, B={name: old + of_rows.get(name, 0.0) for name, old in self.B.items()})

    def widened(self, n_classes: int) -> InstanceSums:
        """Return the sums with room for more classes."""
        n_new = n_classes - len(self.counts)
        return InstanceSums(np.pad(self.V, ((0, n_new), (0, 0))), np.pad(self.counts, (0, n_new)), self.B)

    def without_class_means(self, V: Matrix, L: Matrix) -> Matrix:
        """Return embeddings V (n, k) less the mean of their classes, scaled to length 1 again.

        Means are taken as if each class had one more row, at 0: the only row of a class keeps its direction.
        """
        means = self.V / (self.counts[:, None] + 1.0)
        return _unit(V - (L / L.sum(axis=1, keepdims=True)) @ means)

    def store(self, arrays: Arrays) -> None:
        """Put what a file keeps into `arrays`."""
        arrays |= {"instance.sum.V": self.V, "instance.sum.counts": self.counts}
        arrays |= {f"instance.sum.B.{m}": B for m, B in enumerate(self.B.values())}

    @classmethod
    def restore(cls, archive: Archive, c: int, k: int, r: int, modalities: Iterable[str]) -> InstanceSums:
        """Return the sums of a file, every dtype and shape checked; earlier files have one B for all modalities."""
        of_all = "instance.sum.B" in archive.arrays
        return cls(
            archive.array("instance.sum.V", np.float64, (c, k)),
            archive.array("instance.sum.counts", np.float64, (c,)),
            {
                name: archive.array("instance.sum.B" if of_all else f"instance.sum.B.{m}", np.float64, (r,))
                for m, name in enumerate(modalities)
            },
        )


def learn_instance_bits(
    space: InstanceSpace, sums: InstanceSums, views: Mapping[str, FeatureRows], L: Matrix
) -> tuple[InstanceSums, Signs]:
    """Return the sums with the rows of a chunk, of labels L (n, c), and the rows' instance bits (n, r)."""
    V = space.embed(views)
    sums = sums.add(V, L)
    B = space.signs(views, sums.without_class_means(V, L))
    return sums.add_bits(B, views), B


def instance_projection(sums: FeatureSums, B: NDArray[np.float64], ridge: float) -> tuple[Matrix, NDArray[np.float64]]:
    """Return W (d, r) and b (r,) of the ridge regression ``x W + b`` of instance bits, the last ones of all codes.

    `B` (r,) is the sum of these bits over the rows of the modality.
    """
    return sums.regression(sums.XB[:, -len(B) :], B).solve(ridge)


def join_projections(of_classes: Matrix, of_instances: Matrix, focus: float) -> Matrix:
    """Return projections of class bits (n, r_c) and of instance bits (n, r_i) as those of one code, (n, r_c + r_i).

    Instance bits weigh ``focus * sqrt(40 / r_i)`` times their projections. Rows with a weight above 1 are scaled such
    that the largest is 1.
    """
    weight = focus * np.sqrt(_FOCUS_BITS / of_instances.shape[1])
    joined = np.hstack([of_classes, weight * of_instances])
    joined /= np.maximum(np.abs(joined).max(axis=1, keepdims=True), 1.0)
    return joined


def join_in_graph(graph: Graph, of_classes: str, of_instances: str, focus: float, n_instance_bits: int) -> str:
    """Return ``join_projections`` of float64 values of a graph."""
    weight = focus * np.sqrt(_FOCUS_BITS / n_instance_bits)
    joined = graph.add("Concat", of_classes, graph.add("Mul", np.float64(weight), of_instances), axis=1)
    largest = graph.rows_max(graph.add("Abs", joined))
    return str(graph.add("Div", joined, graph.add("Max", largest, np.float64(1))))


def _unit(rows: Matrix) -> Matrix:
    """Return rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = rows / np.where(lengths > 0, lengths, 1.0)
    return scaled

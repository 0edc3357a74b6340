"""Which rows of a stream the anchors of a kernel map are, and how many anchors there were when rows were learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyhash.methods.parts.arrays import Arrays

if TYPE_CHECKING:
    from pyhash._files.archive import Archive

_UNKNOWN, _FORGOTTEN = -1, -2


@dataclass(frozen=True)
class Origins:
    """Origins of the columns of one modality's sums, whose map is ``RBFAnchors``.

    Rows are numbered from 0 in the order in which they were learned, rows that lack the modality too. Rows that were
    forgotten keep their numbers.
    """

    # (k, 2): of rows that follow each other, how many, and the anchors there were; -1: unknown, -2: rows forgotten
    runs: NDArray[np.int64]
    anchors: NDArray[np.int64]  # (d,): the row that each anchor is; -1 for none of these rows

    @classmethod
    def of_anchors(cls, anchors: NDArray[np.int64]) -> Origins:
        """Return the origins before any row was learned; `anchors` (d,) are the numbers of the first rows to come."""
        return cls(np.zeros((0, 2), dtype=np.int64), anchors)

    @property
    def n_rows(self) -> int:
        """Number of rows learned, those forgotten since included."""
        return int(self.runs[:, 0].sum())

    @property
    def widths(self) -> NDArray[np.int64]:
        """The number of anchors there were at each row (n_rows,); -1: not known any more, -2: the row is forgotten."""
        return np.repeat(self.runs[:, 1], self.runs[:, 0])

    @property
    def always_had_all(self) -> bool:
        """Whether all rows that are left were learned with all anchors there are now."""
        return bool(np.isin(self.runs[:, 1], [len(self.anchors), _FORGOTTEN]).all())

    def forgotten(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some rows that are forgotten already."""
        found: NDArray[np.int64] = rows[self.widths[rows] == _FORGOTTEN]
        return found

    def with_rows(self, n: int) -> Origins:
        """Return the origins after n more rows."""
        return replace(self, runs=_joined(np.concatenate([self.runs, [[n, len(self.anchors)]]])))

    def with_anchors(self, rows: NDArray[np.int64]) -> Origins:
        """Return the origins with more anchors, which are the given ones of the rows to come, counted from 0."""
        return replace(self, anchors=np.concatenate([self.anchors, self.n_rows + rows]))

    def of_other_rows(self) -> Origins:
        """Return the origins for other rows than these, of which none is learned yet."""
        return Origins.of_anchors(np.full_like(self.anchors, _UNKNOWN))

    def plus(self, other: Origins) -> Origins:
        """Return the origins for these rows and, after them, those of another stream with the same anchors."""
        of_other = np.where(other.anchors < 0, _UNKNOWN, other.anchors + self.n_rows)
        anchors = np.where(self.anchors < 0, of_other, self.anchors)
        return Origins(_joined(np.concatenate([self.runs, other.runs])), anchors)

    def without_rows(self, rows: NDArray[np.int64]) -> Origins:
        """Return the origins with some rows marked as forgotten."""
        widths = self.widths
        widths[rows] = _FORGOTTEN
        return replace(self, runs=_joined(np.stack([np.ones_like(widths), widths], axis=1)))

    def without_anchors(self, dropped: NDArray[np.bool_], last_growth: int) -> Origins:
        """Return the origins without the anchors that `dropped` (d,) marks; those from `last_growth` on joined last.

        Columns of anchors that joined after a row was learned were completed from the anchors before them. If one of
        these is dropped, what the row added cannot be told any more.
        """
        counts, widths = self.runs.T
        is_lost = (widths >= 0) & (widths <= last_growth) & dropped[:last_growth].any()
        left = np.where(widths >= 0, np.concatenate([[0], np.cumsum(~dropped)])[widths], widths)
        runs = np.stack([counts, np.where(is_lost, _UNKNOWN, left)], axis=1)
        return Origins(_joined(runs), self.anchors[~dropped])

    def store(self, prefix: str, arrays: Arrays) -> None:
        """Put what a file keeps into `arrays`, under names that begin with `prefix`."""
        arrays |= {f"{prefix}runs": self.runs, f"{prefix}anchors": self.anchors}

    @classmethod
    def restore(cls, prefix: str, archive: Archive, n_anchors: int) -> Origins:
        """Return the origins of a file; raise if their parts do not fit together."""
        runs = archive.array(f"{prefix}runs", np.int64, (None, 2))
        anchors = archive.array(f"{prefix}anchors", np.int64, (n_anchors,))
        origins = cls(runs, anchors)
        if (runs[:, 0] < 1).any() or (runs[:, 1] < _FORGOTTEN).any() or (runs[:, 1] > n_anchors).any():
            raise ValueError(f"{prefix}runs must hold numbers of rows and of at most {n_anchors} anchors, got {runs}")
        if (anchors < _UNKNOWN).any() or (anchors >= max(1, origins.n_rows)).any():
            raise ValueError(f"{prefix}anchors must be numbers of the {origins.n_rows} rows learned, or -1")
        return origins


def _joined(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return runs with neighbours of equal widths as one, and without empty ones."""
    runs = runs[runs[:, 0] > 0]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(runs[:, 1]) != 0])[: len(runs)])
    if len(starts) == 0:
        return runs
    return np.stack([np.add.reduceat(runs[:, 0], starts), runs[starts, 1]], axis=1)

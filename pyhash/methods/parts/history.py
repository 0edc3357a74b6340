"""History of the optimisation: the objective after each iteration, and the mAP on rows that are not learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_integer
from pyhash.codes import pack
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix

if TYPE_CHECKING:
    from pyhash._files.archive import Archive
    from pyhash.methods.parts.unmapped_rows import UnmappedRows


@dataclass(frozen=True)
class Iteration:
    """One iteration of the optimisation of a chunk."""

    chunk: int  # number of the chunk, from 1
    number: int  # and of the iteration in it, from 1
    terms: Mapping[str, float]  # of the objective, weighted
    validation: Mapping[str, float] | None  # mAP by direction

    def describe(self) -> dict[str, Any]:
        """Return the iteration as an entry of ``history_``."""
        return {
            "chunk": self.chunk,
            "iteration": self.number,
            "objective": math.fsum(self.terms.values()),
            "terms": dict(self.terms),
            "validation": None if self.validation is None else dict(self.validation),
        }


class Recorder:
    """The iterations of one chunk, as they end.

    ``score(B, own)`` gives the mAP on validation rows with the chunk at codes B.
    """

    def __init__(self, chunk: int, score: Callable[[NDArray[Any], Any], dict[str, float]] | None = None) -> None:
        self.iterations: list[Iteration] = []
        self._chunk = chunk
        self._score = score

    def add(self, B: NDArray[Any], terms: Mapping[str, float], own: Any) -> None:
        """Note the terms of the objective after an iteration that ended with codes B (n, n_bits).

        Raises
        ------
        FloatingPointError
            If a term is not finite.
        """
        terms = {name: float(value) for name, value in terms.items()}
        if not all(map(math.isfinite, terms.values())):
            raise FloatingPointError("the objective is too large to be recorded")
        scores = None if self._score is None else self._score(B, own)
        self.iterations.append(Iteration(self._chunk, len(self.iterations) + 1, terms, scores))


@dataclass
class Validation:
    """Rows that are not learned: after each iteration they query the codes learned in the same call so far."""

    rows: UnmappedRows  # some may lack a modality
    modalities: list[str]  # that the model learns
    known_labels: NDArray[np.bool_] | None  # (n_learned, c) of the rows to learn, for methods that do not know them
    codes: list[NDArray[np.uint8]] = field(default_factory=list)  # packed, of chunks that are learned
    code_labels: list[NDArray[np.bool_]] = field(default_factory=list)

    def score(self, projections: Mapping[str, Matrix], B: NDArray[Any], L: NDArray[Any]) -> dict[str, float]:
        """Return the plain mAP (full list) by direction.

        Parameters
        ----------
        projections : mapping of str to Matrix
            Projections (n, n_bits) of the rows, by modality; those of rows that lack it do not count.
        B, L : ndarray
            Signs (n_chunk, n_bits) and labels (n_chunk, c) of the chunk that is being learned.
        """
        from pyhash.evaluation.average_precision import mean_average_precision

        database = np.concatenate([*self.codes, pack(B)])
        labels = np.concatenate([*self.code_labels, L.astype(bool)])
        scores = {}
        for query, of_modality in projections.items():
            has = self.rows.has(query)
            found = mean_average_precision(
                pack(of_modality[has]),
                database,
                self.rows.labels[-1][has],
                labels,
                n_bits=B.shape[1],
                protocol="shoh",
            )
            # The learned codes stand for every modality.
            for searched in [name for name in self.modalities if name != query] or [query]:
                scores[f"{query}->{searched}"] = found.value
        return scores

    def add_codes(self, B: NDArray[Any], L: NDArray[Any]) -> None:
        """Add a chunk that is learned to the codes that are searched: signs (n, n_bits) and labels (n, c)."""
        self.codes.append(pack(B))
        self.code_labels.append(L.astype(bool))


def store_history(history: Sequence[Iteration], arrays: Arrays) -> Fields:
    """Return header fields of a history; its arrays go into `arrays`."""
    if not history:
        return {}
    terms = list(dict.fromkeys(name for iteration in history for name in iteration.terms))
    directions = list(dict.fromkeys(name for iteration in history for name in iteration.validation or {}))
    arrays |= {
        "history.numbers": np.array([(iteration.chunk, iteration.number) for iteration in history], dtype=np.int64),
        "history.terms": _table([iteration.terms for iteration in history], terms),
    }
    if directions:
        arrays["history.validation"] = _table([iteration.validation or {} for iteration in history], directions)
    return {"history": {"terms": terms, "directions": directions}}


def restore_history(fields: Fields, archive: Archive) -> tuple[Iteration, ...]:
    """Return what ``store_history`` stored; every dtype and shape is checked."""
    if "history" not in fields:
        return ()
    names, directions = _checked_names(fields["history"]["terms"]), _checked_names(fields["history"]["directions"])
    numbers = archive.array("history.numbers", np.int64, (None, 2))
    n = len(numbers)
    terms = archive.array("history.terms", np.float64, (n, len(names)))
    scores = archive.array("history.validation", np.float64, (n, len(directions))) if directions else np.zeros((n, 0))
    return tuple(
        Iteration(
            check_integer("the chunk of an iteration", chunk, 1),
            check_integer("the number of an iteration", number, 1),
            _known(names, terms[i]),
            _known(directions, scores[i]) or None,
        )
        for i, (chunk, number) in enumerate(numbers.tolist())
    )


def _table(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> Matrix:
    """Return values (n_rows, n_names); NaN where a row has none."""
    return np.array([[row.get(name, np.nan) for name in names] for row in rows], dtype=np.float64)


def _known(names: Sequence[str], values: Matrix) -> dict[str, float]:
    return {name: value for name, value in zip(names, values.tolist(), strict=True) if not math.isnan(value)}


def _checked_names(names: Any) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"the names in a history must be text, got {names!r}")
    return names

"""Charts of a comparison."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import count, product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.paths import check_path
from pyhash.comparison.records import (
    Record,
    Round,
    Score,
    ScoreKind,
    directions_of,
    relevance_of,
    runs_of,
    score_of,
    unique,
)
from pyhash.evaluation.class_centers import ClassDistances
from pyhash.evaluation.curves import PrecisionAt, PrecisionRecallCurve
from pyhash.evaluation.protocol import Protocol
from pyhash.plotting.bits import BitsDisplay
from pyhash.plotting.bytes_per_item import BytesPerItemDisplay
from pyhash.plotting.charts import legend_beside, require_matplotlib, save_figure
from pyhash.plotting.class_distance import ClassDistanceDisplay
from pyhash.plotting.convergence import ConvergenceDisplay
from pyhash.plotting.precision_at import PrecisionAtDisplay
from pyhash.plotting.precision_recall import PrecisionRecallDisplay
from pyhash.plotting.rounds import RoundsDisplay
from pyhash.plotting.sensitivity import SensitivityDisplay
from pyhash.plotting.training_curves import TrainingCurvesDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_N_COLORS = 10  # of matplotlib's default cycle
_LINE_STYLES = ("-", "--", ":", "-.")
_MAX_LEGEND_INSIDE = 5


def draw_comparison(records: Sequence[Record], protocol: str, directory: str | os.PathLike[str]) -> list[str]:
    """Draw every chart for which the records have data into a folder; return the names of the files."""
    require_matplotlib()
    folder = check_path("directory", directory)
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for stem, ax in _Charts(records, protocol).drawn():
        # Names of methods may differ only in characters that file names replace: number such files.
        number = next(n for n in count(1) if _numbered(stem, n) not in names)
        names.append(_numbered(stem, number))
        save_figure(ax, folder / names[-1])
    return names


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.png" if number == 1 else f"{stem}.{number}.png"


class _Charts:
    """Charts of one protocol; those of a single length show the longest codes, unless there is one for each length."""

    def __init__(self, records: Sequence[Record], protocol: str) -> None:
        self.records = records
        self.protocol = protocol
        # Combinations of sweeps have charts of their own: they would fill the others.
        self.methods = unique(record["method"] for record in records if not record.get("swept"))
        self.longest = max(record["n_bits"] for record in records)

    def drawn(self) -> Iterator[tuple[str, Axes]]:
        """Yield the name without suffix and the axes of one chart after another."""
        for direction in directions_of(self.records):
            for stem, title, ax in self._of_direction(direction):
                if ax is not None:
                    yield stem, self._finished(ax, title)
        ax = self._training_time()
        if ax is not None:
            yield "training_time_by_round", self._finished(ax, f"{self.longest} bits")
        yield from self._training_curves()
        yield from self._convergence()
        yield from self._class_distances()
        yield from self._sensitivities()

    def _of_direction(self, direction: str) -> Iterator[tuple[str, str, Axes | None]]:
        """Yield the name, the title and the axes of each chart of a direction."""
        name = _as_file_name(direction)
        yield f"map_by_bits.{name}", direction, self._bits(direction)
        yield f"map_by_bytes.{name}", direction, self._bytes(direction)
        for n_bits in sorted({record["n_bits"] for record in self.records}):
            of_length = f"{direction}, {n_bits} bits"
            yield f"precision_recall.{name}.{n_bits}_bits", of_length, self._precision_recall(direction, n_bits)
            yield f"precision_at.{name}.{n_bits}_bits", of_length, self._precision_at(direction, n_bits)
        if self.protocol == next(iter(self.records[0]["protocols"])):  # rounds are scored under no other
            longest = f"{direction}, {self.longest} bits"
            yield f"map_by_round.{name}", longest, self._rounds(direction, "map")
            yield f"map_weighted_by_round.{name}", f"{longest}, weighted", self._rounds(direction, "map_weighted")

    def _titled(self, ax: Axes, title: str) -> Axes:
        """Set a title with the data, the labels, the split and, for mAP, the protocol."""
        first = self.records[0]
        of = f"{first['data']['name']}, {relevance_of(first)}, split {first['split']}"
        protocol = f"\nprotocol {self.protocol}" if ax.get_ylabel() == "mAP" else ""
        ax.set_title(f"{of}\n{title}{protocol}", fontsize="medium")
        return ax

    def _finished(self, ax: Axes, title: str) -> Axes:
        """Set the title, and place a long legend beside the axes."""
        self._titled(ax, title)
        if len(ax.get_legend_handles_labels()[1]) > _MAX_LEGEND_INSIDE:
            legend_beside(ax)
        return ax

    def _style(self, method: str) -> dict[str, Any]:
        number = self.methods.index(method)
        return {"color": f"C{number % _N_COLORS}", "linestyle": _LINE_STYLES[number // _N_COLORS % len(_LINE_STYLES)]}

    def _lengths(self, method: str) -> list[int]:
        return sorted({record["n_bits"] for record in runs_of(self.records, method)})

    def _scores(self, method: str, n_bits: int, direction: str, kind: ScoreKind) -> list[float]:
        """Return the scores of all seeds; an empty list if one is missing."""
        found = [score_of(run, self.protocol, direction)[kind] for run in runs_of(self.records, method, n_bits)]
        known = [score for score in found if score is not None]
        return known if len(known) == len(found) else []

    def _bits(self, direction: str) -> Axes | None:
        ax = None
        for method in self.methods:
            by_length = {n_bits: self._scores(method, n_bits, direction, "map") for n_bits in self._lengths(method)}
            lengths = [n_bits for n_bits, scores in by_length.items() if scores]
            if lengths:
                runs = np.array([by_length[n_bits] for n_bits in lengths]).T
                ax = BitsDisplay.from_runs(lengths, runs, name=method, ax=ax, **self._style(method)).ax_
        return ax

    def _bytes(self, direction: str) -> Axes | None:
        """Draw mAP by bytes; the upper line is the best mAP of projections that are not binarized."""
        ax = None
        upper = max(
            (
                float(np.mean(scores))
                for method in self.methods
                for n_bits in self._lengths(method)
                if (scores := self._scores(method, n_bits, direction, "map_float"))
            ),
            default=None,
        )
        for method in self.methods:
            points = [
                (runs_of(self.records, method, n_bits)[0]["bytes_per_item"], float(np.mean(scores)))
                for n_bits in self._lengths(method)
                if (scores := self._scores(method, n_bits, direction, "map"))
            ]
            if points:
                sizes, means = zip(*points, strict=True)
                ax = BytesPerItemDisplay(sizes, means, name=method).plot(ax, **self._style(method)).ax_
        if ax is not None and upper is not None:
            # Drawn last, to be last in the legend.
            ax = BytesPerItemDisplay([], [], upper=upper, upper_name="best as float, not binarized").plot(ax).ax_
        return ax

    def _at(self, direction: str, n_bits: int) -> Iterator[tuple[str, list[Score]]]:
        for method in self.methods:
            runs = runs_of(self.records, method, n_bits)
            if runs:
                yield method, [score_of(run, self.protocol, direction) for run in runs]

    def _precision_recall(self, direction: str, n_bits: int) -> Axes | None:
        ax = None
        for method, runs in self._at(direction, n_bits):
            curves = [run["precision_recall"] for run in runs]
            precision, recall = (_mean([curve[key] for curve in curves]) for key in ("precision", "recall"))
            if np.isfinite(precision).all():
                ranks = np.array(curves[0]["rank"])
                curve = PrecisionRecallCurve(precision, recall, ranks, "rank", runs[0]["n_empty"], Protocol())
                ax = PrecisionRecallDisplay(curve, method).plot(ax, **self._style(method)).ax_
        return ax

    def _precision_at(self, direction: str, n_bits: int) -> Axes | None:
        ax = None
        for method, runs in self._at(direction, n_bits):
            top_n = np.array([int(n) for n in runs[0]["precision_at"]], dtype=np.int64)
            values = _mean([list(run["precision_at"].values()) for run in runs])
            if len(top_n) and np.isfinite(values).all():
                result = PrecisionAt(top_n, values, values[None], runs[0]["n_empty"], Protocol())
                ax = PrecisionAtDisplay(result, method).plot(ax, **self._style(method)).ax_
        return ax

    def _by_round(self) -> Iterator[tuple[str, list[list[Round]]]]:
        """Yield each method that learned in rounds or was scored after each, with the rounds of each seed."""
        for method in self.methods:
            rounds = [run["rounds"] for run in runs_of(self.records, method, self.longest)]
            if rounds and (len(rounds[0]) > 1 or rounds[0][0]["map"] is not None):
                yield method, rounds

    def _rounds(self, direction: str, kind: Literal["map", "map_weighted"]) -> Axes | None:
        ax = None
        for method, runs in self._by_round():
            # Scores are missing where rounds were not scored, weighted ones also in records of earlier versions.
            scores = _mean([[(entry.get(kind) or {}).get(direction) for entry in rounds] for rounds in runs])
            known = ~np.isnan(scores)
            if known.any():
                seen = np.array([entry["n_seen"] for entry in runs[0]])
                display = RoundsDisplay(seen[known].tolist(), scores[known].tolist(), method)
                ax = display.plot(ax, **self._style(method)).ax_
        return ax

    def _training_time(self) -> Axes | None:
        """Draw what all rounds so far cost when the model is used after each: learning, and solving the projections."""
        ax = None
        for method, runs in self._by_round():
            seen = [entry["n_seen"] for entry in runs[0]]
            costs = [[entry["train_seconds"] + entry["solve_seconds"] for entry in rounds] for rounds in runs]
            seconds = np.cumsum(_mean(costs)).tolist()
            display = RoundsDisplay(seen, seconds, method, "Seconds of learning and solving, all rounds so far")
            ax = display.plot(ax, **self._style(method)).ax_
        return ax

    def _first_runs(self) -> Iterator[tuple[str, Record]]:
        """Yield each method that has the longest codes, with its record of the first seed."""
        for method in self.methods:
            runs = runs_of(self.records, method, self.longest)
            if runs:
                yield method, runs[0]

    def _training_curves(self) -> Iterator[tuple[str, Axes]]:
        for method, run in self._first_runs():
            history = run.get("training")  # missing in records of version 0.1
            if history:
                ax = TrainingCurvesDisplay.from_history(history).ax_
                yield f"training_curves.{_as_file_name(method)}", self._titled(ax, f"{method}, {self.longest} bits")

    def _convergence(self) -> Iterator[tuple[str, Axes]]:
        for method, run in self._first_runs():
            history = run.get("optimisation")  # missing in records of version 0.1
            if history:
                ax = ConvergenceDisplay.from_history(history).ax_
                yield f"convergence.{_as_file_name(method)}", self._titled(ax, f"{method}, {self.longest} bits")

    def _class_distances(self) -> Iterator[tuple[str, Axes]]:
        for method, run in self._first_runs():
            kept = run["class_distances"]
            if kept is None:
                continue
            for modality, distances in kept["distances"].items():
                matrix = np.array(distances, dtype=np.float64)
                counts = np.isfinite(np.diag(matrix)).astype(np.int64)
                centers = np.zeros((len(matrix), run["bytes_per_item"]), dtype=np.uint8)  # not drawn
                result = ClassDistances(matrix, centers, counts, run["n_bits"])
                names = kept["class_names"] if len(kept["class_names"]) == len(matrix) else None
                title = f"{method}, {run['n_bits']} bits" + ("" if modality == "learned" else f", {modality}")
                display = ClassDistanceDisplay(result, names, groups=kept["groups"], name=title)
                # One scale for all methods: unrelated codes differ in half of their bits.
                drawn = display.plot(vmax=max(run["n_bits"] / 2, 1))
                part = "" if modality == "learned" else f".{modality}"
                yield f"class_distances.{_as_file_name(method + part)}", drawn.ax_

    def _sensitivities(self) -> Iterator[tuple[str, Axes]]:
        """Draw sweeps of one parameter, with a line for each length, and of two, with a map for each length."""
        swept = [record for record in self.records if record.get("swept")]
        sweeps = unique(
            (fields["method"], tuple(fields["values"])) for record in swept if (fields := record["swept"]) is not None
        )
        for (method, parameters), direction in product(sweeps, directions_of(self.records)):
            varied = self._varied(method, parameters)
            stem = "sensitivity." + _as_file_name(f"{method}.{'-'.join(varied)}.{direction}")
            ax = None
            for n_bits in sorted({record["n_bits"] for record in swept}) if len(varied) <= 2 else ():
                ax = SensitivityDisplay.from_records(
                    self.records,
                    method,
                    direction,
                    n_bits=n_bits,
                    parameters=parameters,
                    protocol=self.protocol,
                    name=f"{n_bits} bits",
                    ax=ax if len(varied) == 1 else None,
                ).ax_
                if len(varied) == 2:
                    title = f"{method}, {direction}, {n_bits} bits\nprotocol {self.protocol}"
                    yield f"{stem}.{n_bits}_bits", self._titled(ax, title)
            if ax is not None and len(varied) == 1:
                yield stem, self._finished(ax, f"{method}, {direction}")

    def _varied(self, method: str, parameters: tuple[str, ...]) -> list[str]:
        """Return the parameters of a sweep that have several values, or all if none has."""
        of_sweep = [
            fields["values"]
            for record in self.records
            if (fields := record.get("swept")) and (fields["method"], tuple(fields["values"])) == (method, parameters)
        ]
        varied = [name for name in parameters if any(values[name] != of_sweep[0][name] for values in of_sweep)]
        return varied or list(parameters)


def _mean(rows: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    """Return the mean over seeds; NaN where a value is missing."""
    mean: NDArray[np.float64] = np.array(rows, dtype=np.float64).mean(axis=0)
    return mean


def _as_file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name.replace("->", "-to-"))

"""Rows of texts, pictures and features in tables: Parquet, Arrow, CSV, a folder of pictures, standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_choice
from pyhash._inputs.ids import MAX_ID
from pyhash.cli.columns import Columns
from pyhash.cli.dataset_rows import payload_values
from pyhash.cli.rows import Rows, RowSource
from pyhash.cli.small_pictures import small_pictures
from pyhash.cli.standard_input import STANDARD_INPUT
from pyhash.datasets import Table, open_table
from pyhash.datasets.table_columns import LABEL_NAMES

# Between several labels in one text.
_SEPARATORS = (",", ";", "|")
_SHOWN = ("text", "label", "labels", "number")
_SCANNED_ROWS = 50_000


class TableRows(RowSource):
    """Rows of a table.

    `modalities` are those of a folder and what their items are; None: those that the table has. `known` are the names
    that the folder keeps, for those that are not given. Else, labels are the one column of labels among `known_labels`,
    None: among all.
    """

    def __init__(
        self,
        source: Any,
        *,
        views: Mapping[str, str] | None,
        labels: str | None,
        ids: str | None,
        payload: Sequence[str] | None,
        pictures: bool,
        modalities: Mapping[str, str] | None,
        known: Columns,
        known_labels: Sequence[str] | None,
    ) -> None:
        table = open_table(source)
        self.name = table.name if isinstance(source, Path) else STANDARD_INPUT
        self.n_rows = table.n_rows
        columns = tuple(table.columns)
        for option, name in (("--labels", labels), ("--ids", ids)):
            if name is not None:
                check_choice(option, name, columns)
        if labels is None and known.labels in columns and (known_labels is None or known.labels in known_labels):
            labels = known.labels
        elif labels is None:
            found = [name for name, kind in table.columns.items() if kind in ("label", "labels")]
            found = [name for name in found if known_labels is None or name in known_labels]
            if len(found) > 1:  # such as lists of words beside the column named label
                found = [name for name in found if name.lower() in LABEL_NAMES]
            labels = found[0] if len(found) == 1 and found[0] not in (views or {}).values() else None
        taken = {name for name in (labels, ids) if name is not None}
        if views is not None:
            self._views = {modality: check_choice("--view", name, columns) for modality, name in views.items()}
        elif modalities is not None:
            self._views = _columns_of(self.name, table, modalities, known, taken)
        else:
            self._views = _all_columns(table, taken)
        kinds = {
            name: kind
            for modality, name in self._views.items()
            if (kind := _item_kind(table, name, (modalities or {}).get(modality))) != table.columns[name]
        }
        if labels is not None and table.columns[labels] == "number":
            kinds[labels] = "label"
        self._table = open_table(source, kinds=kinds) if kinds else table
        self.kinds = {modality: self._table.columns[name] for modality, name in self._views.items()}
        self.columns = Columns(self._views, labels, ids)
        self._several = labels is not None and _has_several(self._table, labels)
        self._ids = ids
        self._folder = None if not isinstance(source, Path) else source if source.is_dir() else source.parent
        self._pictures = [modality for modality, kind in self.kinds.items() if kind == "image"] if pictures else []
        shown = [name for name, kind in self._table.columns.items() if kind in (*_SHOWN, "image") and name != ids]
        self._payload = shown if payload is None else [check_choice("--payload", name, columns) for name in payload]

    def chunks(self, size: int) -> Iterator[Rows]:
        """Yield the rows in order."""
        read = [*self._views.values(), *(name for name in (self.columns.labels, self._ids) if name), *self._payload]
        start = 0
        for values in self._table.chunks(size, list(dict.fromkeys(read))):
            items = {modality: self._items(modality, values[name]) for modality, name in self._views.items()}
            self._check_items(items, start)
            start += len(next(iter(items.values())))
            labels = None if self.columns.labels is None else self._labels(values[self.columns.labels])
            payload: dict[str, Any] = {}
            for modality in self._pictures:
                column = self._views[modality]
                payload[modality] = small_pictures(items[modality], f"{self.name}: column {column!r}")
            for name in self._payload:
                is_image = self._table.columns[name] == "image"
                # The name of a modality is that of its small pictures.
                shown = name if name not in self._pictures else f"{name}_path" if is_image else f"{name}_column"
                if name == self.columns.labels and labels is not None:
                    payload[shown] = payload_values(labels)
                elif not is_image:
                    payload[shown] = _with_nulls(values[name])
                elif not any(isinstance(item, bytes) for item in values[name]):
                    payload[shown] = [path if path is None else self._shown_path(path) for path in values[name]]
            yield Rows(
                items,
                labels,
                None if self._ids is None else self._checked_ids(values[self._ids]),
                payload,
            )

    def _items(self, modality: str, values: Any) -> Any:
        """Return items, None where they are missing; a text without a character is none."""
        return [text or None for text in values] if self.kinds[modality] == "text" else values

    def _check_items(self, items: Mapping[str, Any], start: int) -> None:
        """Raise if a row has no item at all; the first row has the number `start`."""
        if all(isinstance(values, list) for values in items.values()):
            for i, row in enumerate(zip(*items.values(), strict=True), start):
                if all(item is None for item in row):
                    raise ValueError(f"{self.name} must have {' or '.join(items)} in each row, got none in row {i}")

    def _labels(self, values: Any) -> NDArray[np.object_]:
        kind = self._table.columns[self.columns.labels or ""]
        rows = values.tolist() if isinstance(values, np.ndarray) and kind != "features" else values
        labels = np.empty(len(rows), dtype=object)
        for i, value in enumerate(rows):
            if kind == "features":
                labels[i] = frozenset(np.flatnonzero(value).tolist()) or None
            elif kind == "labels":
                labels[i] = frozenset(value) or None
            elif self._several:
                labels[i] = frozenset(label_parts(value)) or None
            else:
                labels[i] = None if value == "" else value
        return labels

    def _checked_ids(self, values: Any) -> NDArray[np.int64]:
        ids = np.asarray(values)
        if ids.dtype.kind not in "iu":
            raise ValueError(f"--ids must name a column of integers, got {self._ids!r} of {ids.dtype} in {self.name}")
        if ids.size and int(ids.max()) > MAX_ID:
            raise ValueError(f"--ids must name integers that fit int64, got {ids.max()} in {self.name}")
        return ids.astype(np.int64)

    def _shown_path(self, path: str) -> str:
        """Return the path of a picture as the table has it."""
        return path if self._folder is None else os.path.relpath(path, self._folder)


def _all_columns(table: Table, taken: set[str]) -> dict[str, str]:
    """Return the columns to learn from by modality: pictures, texts and features."""
    found = {
        kind: [name for name, of in table.columns.items() if of == kind and name not in taken]
        for kind in ("image", "text", "features")
    }
    views = {}
    for kind in ("image", "text"):
        if len(found[kind]) > 1:
            example = ",".join(f"{each}={found[each][0]}" for each in ("image", "text") if found[each])
            raise ValueError(
                f"{table.name} has several columns of {kind} ({', '.join(found[kind])}): name all modalities to learn, "
                f"such as --view {example}"
            )
        if found[kind]:
            views[kind] = found[kind][0]
    views |= {name: name for name in found["features"]}
    if not views:
        raise ValueError(f"{table.name} must have a column of pictures, texts or features, got {_described(table)}")
    return views


def _columns_of(
    name: str, table: Table, modalities: Mapping[str, str], known: Columns, taken: set[str]
) -> dict[str, str]:
    """Return the columns of a folder's modalities: known ones, of the same name, or the only one of that kind."""
    views = {}
    for modality, kind in modalities.items():
        of_kind = [name for name, of in table.columns.items() if of == kind and name not in taken]
        if known.views.get(modality) in table.columns:
            views[modality] = known.views[modality]
        elif modality in table.columns:
            views[modality] = modality
        elif len(of_kind) == 1 and sum(other == kind for other in modalities.values()) == 1:
            views[modality] = of_kind[0]
    if not views:
        wanted = ", ".join(f"{modality} ({kind})" for modality, kind in modalities.items())
        raise ValueError(
            f"{name} must have a column of one of the modalities {wanted}, got {_described(table)}; name it, "
            f"such as --view {next(iter(modalities))}=COLUMN"
        )
    return views


def _item_kind(table: Table, name: str, wanted: str | None) -> str:
    """Return what the items of a column are: what the folder's modality wants, or the kind that the table tells."""
    kind = table.columns[name]
    if wanted is not None:
        return wanted
    if kind in ("label", "labels"):
        return "text"
    if kind not in ("image", "text", "features"):
        raise ValueError(f"--view must name columns of pictures, texts or features, got {name!r} of {kind}")
    return kind


def _has_several(table: Table, labels: str) -> bool:
    """Return whether a column of strings has several labels in a row."""
    kind = table.columns[labels]
    if kind == "labels" or kind == "features":
        return True
    if kind not in ("text", "label"):
        raise ValueError(f"--labels must name a column of labels, got {labels!r} of {kind}")
    if labels in table.class_names:
        return False
    return any(
        isinstance(value, str) and any(mark in value for mark in _SEPARATORS)
        for values in table.chunks(_SCANNED_ROWS, [labels])
        for value in values[labels]
    )


def _with_nulls(values: Any) -> Any:
    """Return values with None in place of NaN, which JSON does not have."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or not np.isnan(values).any():
        return values
    return [None if np.isnan(value) else float(value) for value in values]


def label_parts(text: str | None) -> list[str]:
    """Return the labels in a text, between commas, semicolons or bars."""
    for mark in _SEPARATORS[1:]:
        text = (text or "").replace(mark, _SEPARATORS[0])
    return [part.strip() for part in (text or "").split(_SEPARATORS[0]) if part.strip()]


def _described(table: Table) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in table.columns.items())

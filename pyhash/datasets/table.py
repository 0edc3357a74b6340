"""Tables of Parquet, Arrow, CSV and Hugging Face's `datasets`, read in chunks of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_choice, check_integer, listed
from pyhash.datasets.dataset import Chunk
from pyhash.datasets.table_columns import (
    KINDS,
    SAMPLE_ROWS,
    Column,
    Kind,
    column_of,
    column_values,
    declared_features,
)
from pyhash.datasets.table_pictures import check_pictures
from pyhash.datasets.table_sources import Source, source_of

_READ_ROWS = 4096  # at a time, at most
_FILE_NAME = "file_name"


class Table:
    """Rows of named columns that are read in chunks; made by ``open_table``.

    Attributes
    ----------
    name : str
        Of the file or object, for messages.
    title : str
        Of the data: the file's name without its ending.
    columns : dict of str to str
        Kind of each column, in order.
    class_names : dict of str to list of str
        Names of the classes of columns whose labels are stored as class numbers.
    n_rows : int or None
        None if it is known only when all rows have been read.
    """

    def __init__(self, source: Source, columns: Mapping[str, Column]) -> None:
        self._source = source
        self._columns = columns
        self.name = source.name
        self.title = source.title
        self.n_rows = source.n_rows
        self.columns: dict[str, Kind] = {name: column.kind for name, column in columns.items()}
        self.class_names = {
            name: list(column.class_names) for name, column in columns.items() if column.class_names is not None
        }

    def __len__(self) -> int:
        if self.n_rows is None:
            raise TypeError(f"{self.name} is a stream: its rows are counted by reading them")
        return self.n_rows

    def __repr__(self) -> str:
        rows = "rows not counted" if self.n_rows is None else f"{self.n_rows} rows"
        columns = ", ".join(f"{name} ({kind})" for name, kind in self.columns.items())
        return f"Table({self.name!r}, {rows}; {columns})"

    def chunks(self, size: int, columns: Sequence[str] | None = None, *, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the rows in order, `size` at a time, as values by column.

        Parameters
        ----------
        size : int
            Rows of a chunk, at least 1; the last may have fewer. Memory grows with it, not with the table.
        columns : sequence of str, optional
            Columns to read; by default all.
        start : int
            First row to read.

        Yields
        ------
        dict of str to values
            By the kind of the column:

            - "features": (n, d) float32, lists in lists flattened,
            - "text": list of str, None where it is missing,
            - "image": list of paths (str) or of the bytes of files, None where it is missing,
            - "label": int64 (n,), or objects (n,) of names, None where it is missing,
            - "labels": list of lists of names or numbers,
            - "number": (n,), NaN where it is missing,
            - "other": list of Python's values.

        Raises
        ------
        TypeError
            If `size` or `start` is not an integer, or `columns` not a sequence of names.
        ValueError
            If `size` < 1 or `start` < 0.
        ValueError
            If there is no such column.
        TypeError, ValueError, FileNotFoundError
            While reading, if features are missing, of unequal length or not finite, a picture does not exist, or a
            column is not what its kind says. The message names the column and the row, counted from 0.

        Examples
        --------
        >>> import pyarrow
        >>> rows = pyarrow.table({"caption": ["a cat", "a dog", "two dogs"], "clip": [[0.5, 1], [2, 3], [4, 5]]})
        >>> table = open_table(rows)
        >>> for chunk in table.chunks(2):
        ...     print(chunk["caption"], chunk["clip"].shape)
        ['a cat', 'a dog'] (2, 2)
        ['two dogs'] (1, 2)
        """
        size = check_integer("size", size, 1)
        start = check_integer("start", start, 0)
        names = list(self.columns) if columns is None else self._check_columns("columns", columns)
        return self._chunks(size, {name: self._columns[name] for name in names}, start)

    def stream(
        self, size: int, *, views: Mapping[str, str], labels: str | None = None, start: int = 0
    ) -> Iterator[Chunk]:
        """Yield the rows as chunks to learn from: views of features, and labels.

        Parameters
        ----------
        size : int
            Rows of a chunk, at least 1; the last may have fewer.
        views : mapping of str to str
            Column of features of each modality.
        labels : str, optional
            Column of labels: "label", "labels", or "features" for 0/1 vectors. Each value of a column of "text" or
            "number" is a label too. By default there are none, and `labels` of a chunk is empty.
        start : int
            First row to read: that after the last row of the last chunk, to go on.

        Yields
        ------
        Chunk
            `rows`, `views` and `labels`, as ``partial_fit`` of a method takes them.

        Raises
        ------
        TypeError
            If `views` is not a mapping of names, or another argument of the wrong type.
        ValueError
            If there is no such column, or it does not hold features, or labels.
        TypeError, ValueError
            While reading, as for ``chunks``.

        Examples
        --------
        >>> import pyarrow, pyhash
        >>> table = open_table(pyarrow.table({"clip": [[0.0, 1], [2, 3], [4, 5]], "label": ["cat", "dog", "dog"]}))
        >>> model = pyhash.LEMON(n_bits=8)
        >>> for chunk in table.stream(2, views={"image": "clip"}, labels="label"):
        ...     model = model.partial_fit(chunk.views, chunk.labels)
        >>> model.classes_.tolist()
        ['cat', 'dog']
        """
        size = check_integer("size", size, 1)
        start = check_integer("start", start, 0)
        if not isinstance(views, Mapping) or not all(isinstance(s, str) for pair in views.items() for s in pair):
            raise TypeError(f"views must be a mapping of modalities to names of columns, got {views!r}")
        for modality, column in views.items():
            self._check_kind(f"views[{modality!r}]", column, ("features",))
        columns = dict(self._columns)
        if labels is not None:
            self._check_kind("labels", labels, ("label", "labels", "features", "text", "number"))
            if self.columns[labels] in ("text", "number"):
                columns[labels] = replace(columns[labels], kind="label")
        read = list(dict.fromkeys([*views.values(), *([] if labels is None else [labels])]))
        if not read:
            raise ValueError("views must hold at least one modality where there are no labels, got none")
        return self._stream(size, dict(views), labels, {name: columns[name] for name in read}, start)

    def _stream(
        self, size: int, views: dict[str, str], labels: str | None, columns: dict[str, Column], start: int
    ) -> Iterator[Chunk]:
        for values in self._chunks(size, columns, start):
            n = len(next(iter(values.values())))
            rows = np.arange(start, start + n)
            chosen: Any = [] if labels is None else _label_rows(columns[labels].kind, values[labels])
            yield Chunk(rows, {modality: values[column] for modality, column in views.items()}, chosen)
            start += n

    def _chunks(self, size: int, columns: dict[str, Column], start: int) -> Iterator[dict[str, Any]]:
        widths: dict[str, int] = {}
        for batch in _regrouped(self._source.batches(list(columns), min(size, _READ_ROWS), start), size):
            values = {}
            for name, column in columns.items():
                where = f"{self.name}: column {name!r}"
                array = _one_array(batch.column(name))
                values[name] = column_values(where, column, array, start, self._source.folder)
                if column.kind == "features":
                    width = values[name].shape[1]
                    if widths.setdefault(name, width) != width:
                        raise ValueError(
                            f"{where} must hold lists of one length, got {widths[name]} values in earlier rows and "
                            f"{width} in row {start}"
                        )
            start += batch.num_rows
            yield values

    def _check_columns(self, argument: str, columns: Sequence[str]) -> list[str]:
        names = [check_choice(argument, name, tuple(self.columns)) for name in listed(argument, columns, "names")]
        if not names:
            raise ValueError(f"{argument} must hold at least one name, got none")
        return list(dict.fromkeys(names))

    def _check_kind(self, argument: str, column: str, kinds: tuple[str, ...]) -> None:
        kind = self.columns[check_choice(argument, column, tuple(self.columns))]
        if kind not in kinds:
            hint = "; pyhash.encoders makes features of texts and pictures" if kind in ("text", "image") else ""
            raise ValueError(f"{argument} must be a column of {' or '.join(kinds)}, got {column!r} of {kind}{hint}")


def open_table(source: Any, *, columns: Sequence[str] | None = None, kinds: Mapping[str, str] | None = None) -> Table:
    """Open a table to read its rows in chunks; needs pyarrow (extra ``[arrow]``).

    Parameters
    ----------
    source : path-like or object
        One of

        - a ``.parquet`` file, or a folder of them, which are read in the order of their names,
        - an Arrow IPC file or stream (``.arrow``, ``.feather``),
        - a ``.csv`` file with the names of columns in its first line (``.tsv``: between tabs),
        - a folder of pictures with one ``.csv`` file, or ``metadata.csv`` among several. Its column ``file_name``, or
          every column whose values are files there, has the pictures,
        - a Dataset or IterableDataset of Hugging Face's `datasets`: one split,
        - a Table or RecordBatchReader of pyarrow, or a data frame that gives an Arrow stream (polars, pandas >= 2.2).
    columns : sequence of str, optional
        Columns to open; by default all.
    kinds : mapping of str to str, optional
        Kinds of columns, where they are not what they seem: {"class_id": "label", "caption": "label"}.

    Returns
    -------
    Table

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If there is no such file, or a picture that a folder's CSV file names does not exist.
    TypeError
        If `source` is none of these, or `columns` or `kinds` are not names.
    ValueError
        If a file is damaged, or of another kind.
    ValueError
        If two columns have the same name, or there is no such column.
    ValueError
        If no column of a folder's CSV file names pictures, or a path leads out of the folder.

    Notes
    -----
    The kind of a column follows from its type: numbers in lists of one length are "features" (lists in lists are
    flattened), strings "text", lists of strings "labels", dictionaries and class numbers with names (ClassLabel of
    Hugging Face) "label", numbers "number". Strings that are all paths of files, bytes that start as pictures, and
    structs of bytes and path (Image of Hugging Face) are "image". Lists of integers are "features" if all of the first
    rows have one length, else "labels". Strings or integers in a column named label, labels, class or category are
    "label"; strings with ";" or "|" between several labels are "labels".

    Memory is bounded by the rows of a chunk, whatever the row groups of a Parquet file. A batch of an Arrow IPC file
    that is compressed is decompressed whole.

    Examples
    --------
    >>> import os, tempfile
    >>> import pyarrow
    >>> from pyarrow.parquet import write_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "pets.parquet")
    ...     write_table(pyarrow.table({"clip": [[0.5, 1], [2, 3]], "caption": ["a cat", "a dog"], "id": [7, 9]}), path)
    ...     table = open_table(path)
    ...     print(table.columns, len(table))
    {'clip': 'features', 'caption': 'text', 'id': 'number'} 2
    """
    opened = source_of(source)
    repeated = [name for name, n in Counter(opened.schema.names).items() if n > 1]
    if repeated:
        raise ValueError(f"{opened.name} must have columns with different names, got {repeated[0]!r} more than once")
    if not opened.schema.names:
        raise ValueError(f"{opened.name} must have columns, got none")
    given = _check_kinds(opened, kinds)
    declared = declared_features(opened.schema.metadata)
    sample = opened.sample(SAMPLE_ROWS)
    found = {}
    for i, name in enumerate(opened.schema.names):
        field = opened.schema.field(i)
        rows = _no_rows(field.type) if sample is None else sample.column(i).slice(0, SAMPLE_ROWS)
        kind = given.get(name)
        if opened.has_pictures and name == _FILE_NAME and kind is None:
            kind = "image"
        found[name] = column_of(field, declared.get(name), rows, opened.folder, kind)
    if opened.has_pictures:
        _check_pictures(opened, found)
    if columns is not None:
        chosen = [check_choice("columns", name, tuple(found)) for name in listed("columns", columns, "names")]
        found = {name: found[name] for name in chosen}
        if not found:
            raise ValueError("columns must hold at least one name, got none")
    return Table(opened, found)


def _label_rows(kind: str, values: Any) -> NDArray[Any]:
    """Return the labels of rows as methods take them: several of a row are a set."""
    if kind != "labels":
        return np.asarray(values)
    sets = np.empty(len(values), dtype=object)
    sets[:] = [frozenset(row) for row in values]
    return sets


def _check_kinds(source: Source, kinds: Mapping[str, str] | None) -> dict[str, str]:
    if kinds is None:
        return {}
    if not isinstance(kinds, Mapping):
        raise TypeError(f"kinds must be a mapping of names of columns to kinds, got {kinds!r}")
    names = tuple(source.schema.names)
    return {check_choice("kinds", name, names): check_choice(f"kinds[{name!r}]", kinds[name], KINDS) for name in kinds}


def _check_pictures(source: Source, columns: Mapping[str, Column]) -> None:
    """Raise unless a folder's table names pictures, which exist in the folder."""
    pictures = [name for name, column in columns.items() if column.kind == "image"]
    if not pictures and source.n_rows != 0:
        raise ValueError(
            f"{source.name} must have a column {_FILE_NAME!r}, or one whose values are files in {source.folder}, got "
            f"the columns {', '.join(map(repr, columns))}"
        )
    if source.folder is None:
        return
    for name in pictures:
        batches = source.batches([name], _READ_ROWS, 0)
        paths = (str(path) for batch in batches for path in batch.column(0).to_pylist())
        check_pictures(f"{source.name}: column {name!r}", paths, source.folder)


def _regrouped(batches: Iterable[Any], size: int) -> Iterator[Any]:
    """Yield tables of `size` rows each, the last of what is left, from batches of any sizes."""
    import pyarrow as pa

    held: list[Any] = []
    n_held = 0
    for batch in batches:
        taken = 0
        while taken < batch.num_rows:
            part = batch.slice(taken, min(size - n_held, batch.num_rows))
            held.append(part)
            taken += part.num_rows
            n_held += part.num_rows
            if n_held == size:
                yield pa.Table.from_batches(held)
                held, n_held = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _one_array(column: Any) -> Any:
    import pyarrow as pa

    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _no_rows(kind: Any) -> Any:
    import pyarrow as pa

    return pa.array([], type=getattr(kind, "storage_type", kind))

"""What tables are read from: each source gives a schema and batches of rows of Arrow."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pyhash._extras import require
from pyhash._inputs.paths import check_path

_PARQUET = (".parquet", ".pq")
_IPC = (".arrow", ".arrows", ".feather", ".ipc")
_CSV = {".csv": ",", ".tsv": "\t"}
_IPC_FILE = b"ARROW1"
_READ_BYTES = 1 << 20  # of a file at a time
_FOLDER_CSV = "metadata.csv"
_TAKEN = "a .parquet, .arrow, .feather or .csv file, a folder of .parquet files, or of pictures with a .csv file"


class Source(ABC):
    """Rows of named columns, read in order.

    Attributes
    ----------
    name : str
        For messages.
    title : str
        What a data set made from it is called.
    schema : pyarrow.Schema
    n_rows : int or None
        None if it is not known before all are read.
    folder : Path or None
        Where paths of pictures begin; None: they are taken as they are.
    has_pictures : bool
        Whether a column of paths of pictures is required.
    """

    name: str
    title: str
    schema: Any
    n_rows: int | None = None
    folder: Path | None = None
    has_pictures = False

    @abstractmethod
    def batches(self, columns: Sequence[str], size: int, start: int) -> Iterator[Any]:
        """Yield the rows from `start` on as record batches, read about `size` rows at a time."""

    def sample(self, size: int) -> Any:
        """Return about the first `size` rows of all columns as a record batch; None if there are no rows."""
        return next(self.batches(self.schema.names, size, 0), None)


def source_of(source: object) -> Source:
    """Return the source that reads `source`."""
    pa = require("pyarrow", "tables", "arrow")
    datasets = sys.modules.get("datasets")
    hugging_face = [getattr(datasets, name, None) for name in ("DatasetDict", "IterableDatasetDict")]
    if isinstance(source, tuple(kind for kind in hugging_face if kind is not None)):
        splits = ", ".join(map(repr, source))  # type: ignore[call-overload]
        raise TypeError(f"source must be one split, got a {type(source).__name__} of {splits}; take source[split]")
    hugging_face = [getattr(datasets, name, None) for name in ("Dataset", "IterableDataset")]
    if isinstance(source, tuple(kind for kind in hugging_face if kind is not None)):
        return _HuggingFaceSource(source)
    if hasattr(source, "__arrow_c_stream__"):
        return _StreamSource(pa, source)
    if isinstance(source, (str, Path)) or hasattr(source, "__fspath__"):
        return _source_of_path(check_path("source", source))
    raise TypeError(
        f"source must be a path, a Dataset or IterableDataset of Hugging Face, or a table of Arrow, got "
        f"{type(source).__name__}"
    )


def is_table_path(path: Path) -> bool:
    """Return whether a path is that of a table by its name, or of a folder that holds one."""
    if path.is_dir():
        return any(child.suffix.lower() in (*_PARQUET, *_CSV) for child in path.iterdir())
    return path.suffix.lower() in (*_PARQUET, *_IPC, *_CSV)


def _source_of_path(path: Path) -> Source:
    if path.is_dir():
        names = sorted(child.name for child in path.iterdir() if child.is_file() and not child.name.startswith("."))
        parquet = [path / name for name in names if name.lower().endswith(_PARQUET)]
        if parquet:
            return _ParquetSource(path, parquet)
        csv = [name for name in names if Path(name).suffix.lower() in _CSV]
        if len(csv) > 1 and _FOLDER_CSV in csv:
            csv = [_FOLDER_CSV]
        if len(csv) != 1:
            found = f"the files {', '.join(csv)}, of which none is {_FOLDER_CSV}" if csv else "neither"
            raise ValueError(f"{path} must hold .parquet files, or pictures with one .csv file, got {found}")
        return _CsvSource(path / csv[0], has_pictures=True)
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return _ParquetSource(path, [path])
    if suffix in _IPC:
        return _IpcSource(path)
    if suffix in _CSV:
        return _CsvSource(path, has_pictures=False)
    if not path.exists():
        raise FileNotFoundError(f"source must be a file or folder, got {path}, which does not exist")
    hint = f"; load_{suffix[1:]} reads {suffix} files" if suffix in (".npz", ".mat") else ""
    raise ValueError(f"source must be {_TAKEN}, got {path}{hint}")


@contextmanager
def _reading(path: Path, kind: str) -> Generator[None]:
    """Turn Arrow's errors of damaged files into one that names the file."""
    import pyarrow

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"source must be a file that exists, got {path}") from None
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is not a whole {kind} file: {error}") from error


class _ParquetSource(Source):
    """Parquet files, one after the other in the order of their names."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.name, self.title, self.folder = str(path), path.stem, files[0].parent
        self._files = files
        self._n_rows = []
        for file in files:
            with _reading(file, "Parquet"), self._open(file) as parquet:
                schema, n_rows = parquet.schema_arrow, parquet.metadata.num_rows
            self._n_rows.append(n_rows)
            if len(self._n_rows) == 1:
                self.schema = schema
            elif not schema.equals(self.schema):
                differing = [
                    name
                    for name in dict.fromkeys((*self.schema.names, *schema.names))
                    if schema.get_all_field_indices(name) != self.schema.get_all_field_indices(name)
                    or any(not schema.field(i).equals(self.schema.field(i)) for i in schema.get_all_field_indices(name))
                ]
                raise ValueError(
                    f"{path} must hold files with the same columns, got {file.name} that differs from "
                    f"{files[0].name} in {', '.join(map(repr, differing)) or 'the order of columns'}"
                )
        self.n_rows = sum(self._n_rows)

    def batches(self, columns: Sequence[str], size: int, start: int) -> Iterator[Any]:
        for path, n_rows in zip(self._files, self._n_rows, strict=True):
            if start >= n_rows:
                start -= n_rows
                continue
            with _reading(path, "Parquet"), self._open(path) as parquet:
                groups = list(range(parquet.num_row_groups))
                while groups and start >= parquet.metadata.row_group(groups[0]).num_rows:
                    start -= parquet.metadata.row_group(groups.pop(0)).num_rows
                read = parquet.iter_batches(batch_size=size, row_groups=groups, columns=list(columns))
                # The name "a" also reads a column named "a.b".
                yield from _from(start, (_checked(batch, columns) for batch in read))
                start = 0

    @staticmethod
    def _open(path: Path) -> Any:
        from pyarrow.parquet import ParquetFile

        # Pages are read as they are needed, not whole row groups.
        return ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False)


class _IpcSource(Source):
    """An Arrow IPC file, mapped into memory, or a stream of the same."""

    def __init__(self, path: Path) -> None:
        self.name, self.title, self.folder = str(path), path.stem, path.parent
        self._path = path
        with _reading(path, "Arrow"), open(path, "rb") as file:
            self._is_file = file.read(len(_IPC_FILE)) == _IPC_FILE
        with _reading(path, "Arrow"), self._open() as reader:
            self.schema = reader.schema
            if self._is_file:
                self.n_rows = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))

    def batches(self, columns: Sequence[str], size: int, start: int) -> Iterator[Any]:
        with _reading(self._path, "Arrow"), self._open(columns) as reader:
            read = map(reader.get_batch, range(reader.num_record_batches)) if self._is_file else iter(reader)
            yield from _from(start, (_checked(batch, columns) for batch in read))

    def _open(self, columns: Sequence[str] | None = None) -> Any:
        import pyarrow as pa

        options = pa.ipc.IpcReadOptions()
        if columns is not None:
            options.included_fields = [self.schema.get_field_index(name) for name in columns]
        source = pa.memory_map(str(self._path))
        return (pa.ipc.open_file if self._is_file else pa.ipc.open_stream)(source, options=options)


class _CsvSource(Source):
    """A CSV file, with the names of columns in its first line.

    It is read once when it is opened, for the number of rows and the types of columns: a column is of integers or
    numbers if all its values are, else of strings.
    """

    def __init__(self, path: Path, has_pictures: bool) -> None:
        self.name, self.folder, self.has_pictures = str(path), path.parent, has_pictures
        self.title = path.parent.name if has_pictures else path.stem
        self._path = path
        with _reading(path, "CSV"):
            self.schema = self._open({}).schema
        self._names = self.schema.names
        if len(set(self._names)) == len(self._names):
            self._infer()

    def _infer(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        types = dict.fromkeys(self._names, pa.int64())
        has_values = dict.fromkeys(self._names, False)
        n_rows = 0
        for batch in self._texts(self._names, _READ_BYTES):
            n_rows += batch.num_rows
            for name in self._names:
                values = batch.column(name)
                values = values.filter(pc.not_equal(values, ""))
                has_values[name] |= len(values) > 0
                while not _fits(values, types[name]):
                    types[name] = pa.float64() if types[name] == pa.int64() else pa.string()
        self.n_rows = n_rows
        self.schema = pa.schema([(name, types[name] if has_values[name] else pa.string()) for name in self._names])

    def batches(self, columns: Sequence[str], size: int, start: int) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.compute as pc

        schema = pa.schema([self.schema.field(name) for name in columns])
        for batch in _from(start, self._texts(columns, _READ_BYTES)):
            arrays = []
            for name in columns:
                values, kind = batch.column(name), self.schema.field(name).type
                if kind != pa.string():
                    values = pc.if_else(pc.equal(values, ""), None, values).cast(kind)
                arrays.append(values)
            yield pa.record_batch(arrays, schema=schema)

    def _texts(self, columns: Sequence[str], block: int) -> Iterator[Any]:
        import pyarrow as pa

        with _reading(self._path, "CSV"), self._open(dict.fromkeys(columns, pa.string()), block) as reader:
            yield from reader

    def _open(self, types: dict[str, Any], block: int = _READ_BYTES) -> Any:
        from pyarrow import csv

        return csv.open_csv(
            str(self._path),
            read_options=csv.ReadOptions(use_threads=False, block_size=block),
            parse_options=csv.ParseOptions(
                delimiter=_CSV[self._path.suffix.lower()], newlines_in_values=True, ignore_empty_lines=True
            ),
            convert_options=csv.ConvertOptions(
                column_types=types, include_columns=list(types), strings_can_be_null=False, check_utf8=True
            ),
        )


def _fits(values: Any, kind: Any) -> bool:
    """Return whether all strings read as values of a type."""
    import pyarrow

    try:
        values.cast(kind)
    except pyarrow.ArrowInvalid:
        return False
    return True


class _HuggingFaceSource(Source):
    """A Dataset or IterableDataset of Hugging Face's `datasets`, which is not imported."""

    def __init__(self, dataset: Any) -> None:
        self.title = str(getattr(dataset.info, "dataset_name", None) or dataset.info.builder_name or "table")
        self.name = f"{type(dataset).__name__} {self.title!r}"
        self._dataset = dataset.with_format("arrow")
        self.n_rows = len(dataset) if hasattr(dataset, "__len__") else None
        features = dataset.features
        if features is not None:
            self.schema = features.arrow_schema
        else:  # known only from rows
            first = next(iter(self._dataset.iter(batch_size=100)), None)
            if first is None:
                raise ValueError(f"{self.name} must have rows or features that say its columns, got neither")
            self.schema = first.schema

    def batches(self, columns: Sequence[str], size: int, start: int) -> Iterator[Any]:
        dataset = self._dataset.select_columns(list(columns))
        schema = self.schema.empty_table().select(columns).schema
        if self.n_rows is None:
            dataset = dataset.skip(start)
        elif start < self.n_rows:
            dataset = dataset.select(range(start, self.n_rows))
        else:
            return
        n_read = start
        for table in dataset.iter(batch_size=size):
            yield from _cast(self.name, table.select(columns), schema, n_read).to_batches()
            n_read += table.num_rows


class _StreamSource(Source):
    """An object that gives Arrow's batches: a Table, a data frame, or a RecordBatchReader, which is read once."""

    def __init__(self, pa: Any, source: Any) -> None:
        self.title = "table"
        self.name = type(source).__name__
        self._source = source
        self._once = isinstance(source, pa.RecordBatchReader)
        reader = source if self._once else pa.RecordBatchReader.from_stream(source)
        self.schema = reader.schema
        self.n_rows = len(source) if hasattr(source, "__len__") else None
        self._ahead: list[Any] = []  # of a reader
        self._is_read = False

    def batches(self, columns: Sequence[str], size: int, start: int) -> Iterator[Any]:
        import pyarrow as pa

        if not self._once:
            read = pa.RecordBatchReader.from_stream(self._source)
        elif self._is_read:
            raise ValueError(f"{self.name} can be read once, and was; make another table to read it again")
        else:
            self._is_read = True
            read = chain(self._ahead, self._source)
        yield from _from(start, (batch.select(columns) for batch in read))

    def sample(self, size: int) -> Any:
        if not self._once:
            return super().sample(size)
        self._ahead = list(islice(self._source, 1))
        return self._ahead[0] if self._ahead else None


def _checked(batch: Any, columns: Sequence[str]) -> Any:
    """Return columns of a batch; raise unless offsets and characters are those of a whole file.

    Arrow takes them from a file as they are, and would read beyond its end.
    """
    selected = batch.select(columns)
    selected.validate(full=True)
    return selected


def _from(start: int, batches: Iterable[Any]) -> Iterator[Any]:
    """Yield batches without their first `start` rows."""
    for batch in batches:
        if start < batch.num_rows:
            yield batch.slice(start)
        start = max(start - batch.num_rows, 0)


def _cast(name: str, table: Any, schema: Any, first_row: int) -> Any:
    """Return rows with the types of a schema."""
    import pyarrow

    if table.schema.equals(schema):
        return table
    try:
        return table.cast(schema)
    except (pyarrow.ArrowException, ValueError) as error:
        raise ValueError(
            f"{name} must have columns of one type, got another in rows from {first_row} on: {error}"
        ) from None

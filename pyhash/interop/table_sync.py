"""Tables of databases, kept equal to an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from pyhash._inputs.checks import check_bool
from pyhash.interop.code_table import BLOCK_ROWS, CodeTable, TableSession
from pyhash.interop.sync_state import SyncState
from pyhash.search.row_mask import bytes_of_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhash.interop.code_table import Ids, Rows

# What a row of the index asks for.
_NOTHING, _INSERT, _UPDATE = np.uint8(0), np.uint8(1), np.uint8(2)


class IndexSegment(Protocol):
    """A run of rows of an index: ids ascending, each in no other segment of the index unless it was removed there."""

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Packed codes (n, ceil(n_bits / 8))."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids (n,), ascending."""

    @property
    def alive(self) -> NDArray[np.uint8] | None:
        """Row mask of the rows that are left; None: all."""

    @property
    def key(self) -> str | None:
        """The same text whenever the same committed rows are read; None where they were never committed."""

    def rows_with(self, ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the row of each id, -1 where it is not among those left."""


class SegmentedIndex(Protocol):
    """An index that ``sync`` can read, such as ``CodeIndex``."""

    @property
    def n_bits(self) -> int:
        """Length of a code in bits."""

    @property
    def fingerprint(self) -> str | None:
        """Of the model that made the codes."""

    @property
    def segments(self) -> Sequence[IndexSegment]:
        """All rows, of one moment."""


class SyncResult(NamedTuple):
    """What ``sync`` did.

    Attributes
    ----------
    added, removed, changed : int
        Rows of the table; `changed` ones have got another code.
    n_compared : int
        Rows that were read from the table to find out.
    """

    added: int
    removed: int
    changed: int
    n_compared: int


def sync(index: SegmentedIndex, table: CodeTable, *, full: bool = False) -> SyncResult:
    """Make a table of a database equal to an index.

    The table is made where there is none. Rows whose ids are not in the index are removed from it. Beside it, a table
    ``pyhash_sync`` keeps which segments of the index it has, so that the next call sends and reads little: rows of
    segments that are still there are not looked at.

    Parameters
    ----------
    index : CodeIndex
        All that is in it counts, committed or not. Only segments that were committed are recognized by the next call.
    table : PostgresTable, DuckDBTable or LanceTable
    full : bool
        Whether to compare every row of the table, whatever is known of it: after others have changed rows.

    Returns
    -------
    SyncResult
        How many rows were ``added``, ``removed`` and ``changed``.

    Raises
    ------
    TypeError
        If `index` is not an index, `table` not a table, or `full` not a bool.
    ValueError
        If the table does not fit codes of ``index.n_bits``, or has an id twice.
    Exception
        What the database's own package raises.

    Notes
    -----
    PostgreSQL and DuckDB take all changes in one transaction: a sync that raises, or a process that dies, leaves the
    table as it was. LanceDB takes a few steps, each whole: until the next sync, which compares every row then, the
    table may be in between. In each of them a sync is right after any number of failed ones.

    Let S be the segments that the table has according to the state kept. Rows of the index outside S are looked up in
    the table by id, and rows of S that were removed since are removed. After that the table has every row of the index;
    so where it has as many rows as the index, they are equal. Only where it has more, because rows of segments that
    were merged since have been removed, all its ids are read. If more rows than half of the table are to be looked up,
    all are compared. Memory: one byte for each row of the index, and blocks of 65,536 rows.

    Examples
    --------
    >>> import duckdb
    >>> from pyhash import CodeIndex, codes, interop
    >>> index = CodeIndex(n_bits=3)
    >>> ids = index.add(codes.pack([[1, 1, 1], [1, -1, 1], [-1, -1, -1]]), ids=[5, 6, 7])
    >>> connection = duckdb.connect()
    >>> table = interop.DuckDBTable(connection, "items")
    >>> interop.sync(index, table)
    SyncResult(added=3, removed=0, changed=0, n_compared=0)
    >>> index.remove([6])
    >>> interop.sync(index, table)[:3]
    (0, 1, 0)
    >>> (word,) = interop.to_words(codes.pack([[1, 1, -1]]), n_bits=3)[0].tolist()
    >>> query = "SELECT id, bit_count(xor(code0, ?)) AS distance FROM items ORDER BY distance, id"
    >>> connection.execute(query, [word]).fetchall()
    [(5, 1), (7, 2)]
    """
    if not hasattr(index, "segments"):
        raise TypeError(f"index must be a CodeIndex, got {type(index).__name__}")
    if not isinstance(table, CodeTable):
        raise TypeError(f"table must be a PostgresTable, a DuckDBTable or a LanceTable, got {type(table).__name__}")
    full = check_bool("full", full)
    fingerprint, segments = index.fingerprint, tuple(index.segments)
    with table.session(index.n_bits) as session:
        text, mark = session.state(), session.mark()
        last = SyncState.of_text(text)
        if last is not None and last.mark != mark:
            last = None  # others replaced the table or changed it
        if last is not None and last.n_bits != index.n_bits:
            raise ValueError(f"table must hold codes of {index.n_bits} bits as index does, holds {last.n_bits} bits")
        comparison = _Comparison(segments)
        if full or last is None or not comparison.with_state(session, last):
            comparison.of_all(session)
        comparison.apply(session)
        masks = {s.key: None if s.alive is None else bytes_of_mask(s.alive, len(s.ids)) for s in segments if s.key}
        state = SyncState(index.n_bits, fingerprint, comparison.n_alive, session.mark(), masks).to_text()
        if state != text:
            session.set_state(state)
    return comparison.result()


class _Comparison:
    """Finds out what to add, remove and change, and does it."""

    def __init__(self, segments: Sequence[IndexSegment]) -> None:
        self._segments = segments
        self.n_alive = sum(int(np.count_nonzero(_is_alive(segment))) for segment in segments)
        self._tasks: list[NDArray[np.uint8]] = []
        self._removed: list[Ids] = []
        self._n_compared = 0

    def of_all(self, session: TableSession) -> None:
        """Compare with every row of the table."""
        self._tasks = [np.where(_is_alive(segment), _INSERT, _NOTHING) for segment in self._segments]
        with closing(session.rows()) as blocks:
            self._removed = [self._meet(block) for block in blocks]

    def with_state(self, session: TableSession, last: SyncState) -> bool:
        """Compare with what the state tells of the table; return whether that is cheaper than all, and enough."""
        self._tasks, self._removed = [], []
        for segment in self._segments:
            alive = _is_alive(segment)
            known = np.zeros_like(alive) if segment.key is None else last.mask_of(segment.key, len(alive))
            self._removed.append(self._not_in_index(segment.ids[known & ~alive]))
            self._tasks.append(np.where(alive & ~known, _INSERT, _NOTHING))
        if 2 * self._count(_INSERT) > last.n_rows:
            return False
        for ids, _ in self._blocks(_INSERT):
            with closing(session.rows_of(ids)) as blocks:
                for block in blocks:
                    self._meet(block)
        n_more = last.n_rows - self._n_removed() + self._count(_INSERT) - self.n_alive
        if n_more > 0:
            with closing(session.ids()) as id_blocks:
                self._removed = [self._not_in_index(ids) for ids in id_blocks]
            self._n_compared += last.n_rows
        return n_more >= 0

    def apply(self, session: TableSession) -> None:
        """Make the table equal to the index."""
        if self._n_removed():
            ids = np.concatenate(self._removed)
            session.delete(ids[begin : begin + BLOCK_ROWS] for begin in range(0, len(ids), BLOCK_ROWS))
        if self._count(_UPDATE):
            session.update(self._blocks(_UPDATE))
        if self._count(_INSERT):
            session.insert(self._blocks(_INSERT))

    def result(self) -> SyncResult:
        """Return the numbers of rows."""
        return SyncResult(self._count(_INSERT), self._n_removed(), self._count(_UPDATE), self._n_compared)

    def _meet(self, block: Rows) -> Ids:
        """Take note of rows that the table has; return the ids that the index does not have."""
        ids, codes = block
        self._n_compared += len(ids)
        unknown = np.ones(len(ids), dtype=np.bool_)
        for segment, tasks in zip(self._segments, self._tasks, strict=True):
            rows = segment.rows_with(ids)
            here = rows >= 0
            rows = rows[here]
            _refuse_repeated(ids[here], tasks[rows] != _INSERT)
            tasks[rows] = np.where(np.any(segment.codes[rows] != codes[here], axis=1), _UPDATE, _NOTHING)
            unknown &= ~here
        return ids[unknown]

    def _not_in_index(self, ids: Ids) -> Ids:
        unknown = np.ones(len(ids), dtype=np.bool_)
        for segment in self._segments:
            unknown &= segment.rows_with(ids) < 0
        return ids[unknown]

    def _n_removed(self) -> int:
        return sum(map(len, self._removed))

    def _count(self, task: np.uint8) -> int:
        return sum(int(np.count_nonzero(tasks == task)) for tasks in self._tasks)

    def _blocks(self, task: np.uint8) -> Iterator[Rows]:
        """Iterate over the rows with a task, as they are when a block is asked for."""
        for segment, tasks in zip(self._segments, self._tasks, strict=True):
            for begin in range(0, len(tasks), BLOCK_ROWS):
                rows = begin + np.flatnonzero(tasks[begin : begin + BLOCK_ROWS] == task)
                if len(rows):
                    yield segment.ids[rows], segment.codes[rows]


def _is_alive(segment: IndexSegment) -> NDArray[np.bool_]:
    """Return for each row whether it is left."""
    n = len(segment.ids)
    if segment.alive is None:
        return np.ones(n, dtype=np.bool_)
    return np.unpackbits(segment.alive, count=n, bitorder="little").view(np.bool_)


def _refuse_repeated(ids: Ids, met: NDArray[np.bool_]) -> None:
    """Raise if an id of the table was met before, or is in the block twice."""
    if met.any():
        raise ValueError(f"table must have each id in one row, has {ids[met][0]} in several")
    distinct, counts = np.unique(ids, return_counts=True)
    if len(distinct) < len(ids):
        raise ValueError(f"table must have each id in one row, has {distinct[counts > 1][0]} in {counts.max()}")

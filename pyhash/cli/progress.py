"""Progress on stderr, where it is a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm

from pyhash.cli.rows import Rows, RowSource


def rows_with_bar(what: str, source: RowSource, size: int) -> Iterator[Rows]:
    """Yield the rows of a source in chunks; a bar, called `what`, counts those that are done."""
    with tqdm(desc=what, unit="row", total=source.n_rows, disable=None, leave=False) as bar:
        for rows in source.chunks(size):
            yield rows
            bar.update(len(rows))

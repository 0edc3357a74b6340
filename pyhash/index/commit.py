"""The files that one commit writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyhash.errors import ModelFormatError
from pyhash.index.manifest import Manifest, StoredSegment, StoredTables, alive_name, segment_name, tables_name
from pyhash.index.segment_files import (
    SegmentContent,
    SegmentFiles,
    Tables,
    write_alive,
    write_codes,
    write_ids,
    write_tables,
)


class CommitFiles:
    """Writer of the files of the next commit.

    Parameters
    ----------
    path : Path
        The directory.
    last : Manifest
        Of the last commit.
    prepared : Manifest or None
        One that was prepared, and that the next commit replaces. Its numbers are not given again.
    check_lock : callable
        Raises where the directory is no longer locked; called before each file.

    Attributes
    ----------
    names : list of str
        Of the files, each before it is made.
    """

    def __init__(self, path: Path, last: Manifest, prepared: Manifest | None, check_lock: Callable[[], None]) -> None:
        self._path, self._check_lock = path, check_lock
        earlier = (last,) if prepared is None else (last, prepared)
        self._n_bits = last.n_bits
        self._generation = max(manifest.generation for manifest in earlier) + 1
        self._next_segment = max(manifest.next_segment for manifest in earlier)
        self._on_disk = [form for manifest in earlier for form in manifest.segments]
        self.names: list[str] = []

    def write(self, segments: Sequence[SegmentContent], fingerprint: str | None) -> Manifest:
        """Write what is new, and return the manifest that names it."""
        number = self._next_segment
        stored = []
        for segment in segments:
            form = self._stored_form(segment)
            if form is None:
                form = self._write_rows(segment, segment_name(number))
                number += 1
            stored.append(self._with_mask(self._with_tables(form, segment.tables), segment.alive))
        return Manifest(self._n_bits, fingerprint, self._generation, number, tuple(stored))

    def _stored_form(self, segment: SegmentContent) -> StoredSegment | None:
        """Return what is on disk of the segment already; its mask may be another."""
        given = segment.stored
        for form in self._on_disk:
            if given is not None and (form.name, form.n, form.codes_crc, form.ids_crc) == (
                given.name,
                len(segment.ids),
                given.codes_crc,
                given.ids_crc,
            ):
                return form
        return None

    def _write_rows(self, segment: SegmentContent, name: str) -> StoredSegment:
        form = StoredSegment(name, len(segment.ids), 0, 0)
        codes_crc = write_codes(self._new_file(form.codes_file), segment.codes, self._n_bits)
        ids_crc = write_ids(self._new_file(form.ids_file), segment.ids)
        return StoredSegment(name, form.n, codes_crc, ids_crc)

    def _with_mask(self, form: StoredSegment, alive: NDArray[np.uint8] | None) -> StoredSegment:
        """Return the form with the mask, which is written unless the form has it already."""
        if alive is None:
            return replace(form, alive=None, alive_crc=None)
        if self._has_mask(form, alive):
            return form
        name = alive_name(form.name, self._generation)
        crc = write_alive(self._new_file(name), alive, form.n)
        return replace(form, alive=name, alive_crc=crc)

    def _with_tables(self, form: StoredSegment, tables: Tables | None) -> StoredSegment:
        """Return the form with the tables, which are written unless the form has them already."""
        if tables is None or tables.are_stored_as(form.tables):
            return form
        name = tables_name(form.name, self._generation)
        crc = write_tables(self._new_file(name), tables.data)
        return replace(form, tables=StoredTables(name, tables.size, crc, tables.n_tables, tables.with_codes))

    def _has_mask(self, form: StoredSegment, alive: NDArray[np.uint8]) -> bool:
        # By content: equal crcs would only make it likely, and a removal must not be lost by bad luck.
        file = SegmentFiles.of(self._path, form, self._n_bits).alive
        if file is None:
            return False
        try:
            return np.array_equal(file.read(), alive)
        except (ModelFormatError, FileNotFoundError):
            return False  # a damaged mask is written anew

    def _new_file(self, name: str) -> Path:
        """Return the path of a file to write, which does not exist."""
        # Without the lock, a file of this name may be another writer's.
        self._check_lock()
        # With it, the file was never in a manifest: a writer that died left it.
        (self._path / name).unlink(missing_ok=True)
        self.names.append(name)
        return self._path / name

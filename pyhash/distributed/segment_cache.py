"""Segments that are open in this process: indexes of the same files share their memory and the layouts made of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TypeAlias
from weakref import WeakValueDictionary

from pyhash.errors import IndexChangedError
from pyhash.index.code_index import CodeIndex, index_of
from pyhash.index.directory import IndexDirectory
from pyhash.index.layout import AUTO
from pyhash.index.manifest import StoredSegment
from pyhash.index.segment import Segment
from pyhash.index.segment_files import SegmentFiles
from pyhash.index.segmented_codes import segments_of
from pyhash.search.row_mask import mask_of_bytes

_Key: TypeAlias = tuple[str, str, int, int, int, bool]

_lock = threading.Lock()
_segments: WeakValueDictionary[_Key, Segment] = WeakValueDictionary()


def open_shared(path: str, generation: int, *, mmap: bool) -> CodeIndex:
    """Return the index of a directory at a generation, as ``CodeIndex.open``, from segments that are open already."""
    with _lock:
        while True:
            directory = IndexDirectory.open(path, generation)
            try:
                index = index_of(directory, tuple(_load(directory, form, mmap=mmap) for form in directory.segments))
            except IndexChangedError:
                continue  # opening it again says that it has changed, or finds that its prepared files are published
            _share(path, index, mmap=mmap)
            return index


def share(path: str, index: CodeIndex, *, mmap: bool) -> None:
    """Let others share the segments of an index that is as its directory has it."""
    with _lock:
        _share(path, index, mmap=mmap)


def _share(path: str, index: CodeIndex, *, mmap: bool) -> None:
    for segment in segments_of(index):
        if segment.stored is not None:
            _segments[_key(path, segment.stored, mmap)] = segment


def _load(directory: IndexDirectory, form: StoredSegment, *, mmap: bool) -> Segment:
    known = _segments.get(_key(str(directory.path), form, mmap))
    if known is not None and known.stored == form:
        return known
    if known is not None and known.stored is not None and known.stored.tables == form.tables:  # with another mask
        mask = SegmentFiles.of(directory.path, form, directory.n_bits).alive
        try:
            alive = None if mask is None else mask_of_bytes(mask.read(), form.n)
        except FileNotFoundError:
            pass  # loading it whole says why
        else:
            return replace(known, alive=alive, n_alive=-1, stored=form)
    return Segment.of_stored(directory.load(form, mmap=mmap), form, AUTO, lean=mmap)


def _key(path: str, form: StoredSegment, mmap: bool) -> _Key:
    return path, form.name, form.n, form.codes_crc, form.ids_crc, mmap

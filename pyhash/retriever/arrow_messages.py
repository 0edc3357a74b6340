"""Tables in files of Arrow that hold their values as they are: none is compressed.

A compressed file of some kilobytes can fill the memory, and Arrow has no limit for what it decompresses.
"""

from __future__ import annotations

import struct
from typing import Any

from pyhash.retriever.payload_tables import arrow

_MAGIC = b"ARROW1\0\0"
# Kinds of messages, and places of fields, in Arrow's Message.fbs.
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_HEADER_TYPE, _HEADER, _DATA, _COMPRESSION = 1, 2, 1, 3


def read_plain_table(source: Any) -> Any:
    """Return the pyarrow.Table of a file, whose values stay in `source`.

    Raises
    ------
    ValueError
        If it is no file of Arrow, or is compressed.
    pyarrow.ArrowException
        If it is damaged.
    """
    pa = arrow()
    if source.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is no file of Arrow")
    # The messages are read in their order, as they were checked; the footer could name others.
    for message in pa.ipc.MessageReader.open_stream(source):
        if _is_compressed(message.metadata.to_pybytes()):
            raise ValueError("it is compressed")
    source.seek(len(_MAGIC))
    return pa.ipc.open_stream(source).read_all()


def _is_compressed(metadata: bytes) -> bool:
    """Return whether a message has compressed values, by its metadata, which Arrow has checked."""
    (message,) = struct.unpack_from("<I", metadata)
    kind = _field(metadata, message, _HEADER_TYPE)
    batch = _table(metadata, message, _HEADER)
    if kind is None or batch is None or metadata[kind] not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return False
    if metadata[kind] == _DICTIONARY_BATCH:
        batch = _table(metadata, batch, _DATA)
    return batch is not None and _field(metadata, batch, _COMPRESSION) is not None


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """Return the place of a field in a table of FlatBuffers, None where it has its default."""
    fields = table - struct.unpack_from("<i", buffer, table)[0]
    (size,) = struct.unpack_from("<H", buffer, fields)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", buffer, fields + at)[0] if at < size else 0
    return table + offset if offset else None


def _table(buffer: bytes, table: int, number: int) -> int | None:
    """Return the place of a table that a field of another one names."""
    at = _field(buffer, table, number)
    return None if at is None else at + struct.unpack_from("<I", buffer, at)[0]

"""Codes in the forms that other search engines take, and back: a module for each form. Tables kept equal to an index.

Bit l of a code is always bit l of what the engine holds, and padding bits are 0, so Hamming distances there are those
here. Which engine takes which form: docs/howto/vector-databases.md.
"""

from pyhash.interop.duckdb import DuckDBTable
from pyhash.interop.faiss import from_faiss_index, to_faiss_index
from pyhash.interop.lancedb import LanceTable
from pyhash.interop.milvus import from_milvus_bytes, to_milvus_bytes
from pyhash.interop.msb import from_msb_bytes, to_msb_bytes
from pyhash.interop.pgvector import from_bit_strings, from_pgvector_bytes, to_bit_strings, to_pgvector_bytes
from pyhash.interop.postgres import PostgresTable
from pyhash.interop.table_sync import SyncResult, sync
from pyhash.interop.words import from_words, to_words

__all__ = [
    "DuckDBTable",
    "LanceTable",
    "PostgresTable",
    "SyncResult",
    "from_bit_strings",
    "from_faiss_index",
    "from_milvus_bytes",
    "from_msb_bytes",
    "from_pgvector_bytes",
    "from_words",
    "sync",
    "to_bit_strings",
    "to_faiss_index",
    "to_milvus_bytes",
    "to_msb_bytes",
    "to_pgvector_bytes",
    "to_words",
]

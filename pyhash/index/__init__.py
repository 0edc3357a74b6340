"""The index of codes: exact search in memory and on disk."""

from pyhash.index.code_index import CodeIndex

__all__ = ["CodeIndex"]

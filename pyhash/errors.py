"""The exceptions of pyhash; wrong values and types of arguments raise ValueError and TypeError."""

from __future__ import annotations


class NotFittedError(ValueError, AttributeError):
    """A model that is not fitted was asked for what it learns."""


class ModelFormatError(ValueError):
    """A file is damaged, cut short, of another kind, or written by a newer version."""


class IndexLockedError(OSError):
    """Another writer holds the lock of an index directory."""


class IndexChangedError(RuntimeError):
    """An index directory has changed since it was opened, or its lock was lost; nothing was written."""


class ClusterError(RuntimeError):
    """A cluster lost its scheduler, or its workers died again and again; the model or index is as it was."""

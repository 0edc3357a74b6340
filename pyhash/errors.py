"""The errors that are pyhash's own; wrong values and types raise ValueError and TypeError as everywhere."""

from __future__ import annotations


class NotFittedError(ValueError, AttributeError):
    """A model was asked for what only training gives it."""


class ModelFormatError(ValueError):
    """A file is not what it should be: damaged, cut short, of another kind, or written by a newer version."""


class IndexLockedError(OSError):
    """Another writer holds the lock of an index directory."""


class IndexChangedError(RuntimeError):
    """Another writer has changed an index directory since it was opened."""

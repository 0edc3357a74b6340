"""An index that is committed together with other files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeAlias

from pyhash.index.code_index import CodeIndex
from pyhash.index.segment import Segments

Content: TypeAlias = tuple[Segments, "str | None"]


class OwnedIndex(CodeIndex):
    """An index that its owner commits together with the model, and nobody else does."""

    owner = "owner"  # as errors call it
    read_only = False

    @contextmanager
    def _changing(self) -> Iterator[None]:
        if self.read_only:
            raise ValueError(f"this index must not be changed: its {self.owner} was opened with read_only=True")
        with super()._changing():
            yield

    # --- for the owner ------------------------------------------------------------------------------------------------

    @property
    def content(self) -> Content:
        """All that the index holds now, for ``restore``; it never changes."""
        return self._segments, self._fingerprint

    def restore(self, content: Content) -> None:
        """Make the index hold what it held before, or what another one holds."""
        self._take(*content)

    def create(self, path: Path) -> None:
        """Write the index to a new directory, and lock it."""
        super().save(path)
        self.lock()

    def prepare_next(self) -> int:
        """Prepare the next generation, and return its number."""
        return super().prepare()

    def publish(self) -> None:
        """Commit what was prepared."""
        super().commit()

    def release(self) -> None:
        """Release the lock, and leave the disk."""
        super().close()

    # --- for nobody ---------------------------------------------------------------------------------------------------

    def commit(self) -> NoReturn:
        """Raise: the owner commits."""
        self._refuse(f"commit it with commit() of the {self.owner}")

    def prepare(self) -> NoReturn:
        """Raise: the owner commits."""
        self._refuse(f"commit it with commit() of the {self.owner}")

    def save(self, path: str | os.PathLike[str]) -> NoReturn:
        """Raise: the index stays with its owner."""
        self._refuse("save a copy, copy.copy(index)")

    def close(self) -> NoReturn:
        """Raise: the owner closes it."""
        self._refuse(f"close the {self.owner}")

    def _refuse(self, instead: str) -> NoReturn:
        raise ValueError(
            f"this index must stay with its {self.owner}, which keeps it in step with the model: {instead}"
        )

"""ShardedIndex: an index whose codes are in several directories, searched by the workers of a cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pyhash._inputs.checks import check_bool, check_integer, check_n_bits, is_iterable
from pyhash._inputs.paths import check_path
from pyhash.distributed.cluster import check_client
from pyhash.distributed.editable_shards import EditableShards
from pyhash.distributed.hosts import Hosts, ThisProcess, Workers
from pyhash.distributed.placement import Placement, Shard
from pyhash.distributed.shard_host import ShardSize
from pyhash.distributed.shards_directory import ShardsDirectory
from pyhash.distributed.shards_manifest import MAX_SHARDS, SHARDS_MANIFEST, ShardEntry
from pyhash.distributed.shared_lock import SharedLock
from pyhash.errors import IndexChangedError
from pyhash.index.fingerprint import fingerprint_of, refuse_other

if TYPE_CHECKING:
    from distributed import Client
    from typing_extensions import Self

_N_SHARDS = 8


class ShardedIndex(EditableShards):
    """Exact search over packed binary codes in several directories, by the workers of a cluster.

    Answers are those of one ``CodeIndex`` that holds all the codes, ties included, whatever the number of shards and
    workers. Each shard is a directory of ``CodeIndex``; the id decides the shard. The workers keep the shards open,
    with the layouts that make searches fast. Where a worker ends, others open its shards, with the changes that are not
    committed, and the call goes on.

    Parameters
    ----------
    folders : path-like, or sequence of path-like
        One folder, or several, such as those of several disks. The first holds the manifest; new shards are made in
        turn in all of them. All must be reached by the workers under the same paths.
    client : distributed.Client, optional
        The cluster whose workers open the shards. Without it this process opens them.
    n_bits : int, optional
        Length of a code in bits, to make an index where there is none.
    n_shards : int, optional
        The number of shards of a new index, 8 by default. It stays as it is: choose several times the number of workers
        that there may be.
    model : fitted model or str, optional
        The model that makes the codes, or its ``fingerprint``. Codes of another model are refused then.
    mmap : bool
        Whether workers map codes and ids from the files: see ``CodeIndex.open``.

    Raises
    ------
    TypeError
        If `folders` is neither a path nor a sequence of paths, or `client` not a client.
        If `n_bits` or `n_shards` is not an integer, or `mmap` not a bool.
        If `model` has no fingerprint.
    ValueError
        If there are no folders, or one is given twice.
        If ``n_bits < 1`` or ``n_shards < 1``, or the index that is there has others, or codes of another model.
    FileNotFoundError
        If there is no index, and `n_bits` is not given.
    FileExistsError
        If a new index would be made in a folder that holds something else.
    ModelFormatError
        If the manifest is damaged, or written by a newer version.
    OSError
        If the folders cannot be read, or written where the index is new.

    Notes
    -----
    Shards are opened at once. One that cannot be opened is tried again by each call that needs it.

    A commit makes all shards' changes visible by one rename. One writer at a time; any number of processes, each with
    a ``ShardedIndex`` of its own, may read. They see the commit at which they were opened: to follow a writer, open the
    index again, which is quick, because workers keep what has not changed.

    There is no ``prepare``, ``save`` and ``to_faiss``, as a ``CodeIndex`` has: docs/howto/scale-out.md says why.

    Examples
    --------
    >>> import tempfile
    >>> from pyhash import codes
    >>> from pyhash.distributed import ShardedIndex
    >>> folder = tempfile.TemporaryDirectory()
    >>> with ShardedIndex(f"{folder.name}/index", n_bits=4, n_shards=3) as index:
    ...     ids = index.add(codes.pack([[1, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]]))
    ...     index.commit()
    >>> index = ShardedIndex(f"{folder.name}/index")
    >>> hits = index.search(codes.pack([[1, 1, -1, -1]]), k=2)
    >>> hits.ids, hits.distances
    (array([[1, 0]]), array([[1, 2]], dtype=int32))
    >>> folder.cleanup()
    """

    def __init__(
        self,
        folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        client: Client | None = None,
        *,
        n_bits: int | None = None,
        n_shards: int | None = None,
        model: Any = None,
        mmap: bool = False,
    ) -> None:
        paths = _check_folders(folders)
        client = check_client(client)
        n_bits = None if n_bits is None else check_n_bits(n_bits)
        n_shards = None if n_shards is None else check_integer("n_shards", n_shards, 1, MAX_SHARDS)
        self._mmap = check_bool("mmap", mmap)
        self._directory = _directory_of(paths, n_bits, n_shards, model)
        self._fingerprint = self._directory.manifest.fingerprint
        self._gate = SharedLock()  # searches share it; a change has it alone
        self._hosts: Hosts | None = ThisProcess() if client is None else Workers(client)
        self._open_at_one_commit(self._hosts)

    def _open_at_one_commit(self, hosts: Hosts) -> None:
        """Open all shards that can be opened, at the last commit, also while a writer goes on."""
        while True:
            self._placement = self._placed(hosts)
            try:
                self._placement.open(range(self.n_shards))
                return
            except IndexChangedError:
                last = self._directory.read_again()
                if last == self._directory.manifest:
                    raise
                self._placement.close()
                self._directory.manifest, self._fingerprint = last, last.fingerprint

    def _placed(self, hosts: Hosts) -> Placement:
        entries = self._directory.manifest.shards
        shards = [
            Shard(number, str(self._directory.path_of(entry)), entry.generation, ShardSize(entry.n, entry.greatest_id))
            for number, entry in enumerate(entries)
        ]
        return Placement(hosts, shards, mmap=self._mmap)

    def __repr__(self) -> str:
        where = self._directory.folders[0]
        return f"ShardedIndex(n_bits={self.n_bits}) with {len(self)} codes in {self.n_shards} shards at {where}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ShardedIndex cannot be copied or sent to another process: open its folders there")

    # --- on disk ------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Make all changes since the last commit durable and visible, together, in all shards.

        Each shard prepares its next generation; then one manifest that names them replaces the last one. That is the
        moment of the commit: a process that dies before it leaves the last commit, one that dies after it the new one.

        Raises
        ------
        IndexLockedError
            If another writer holds the lock of the index or of a shard.
        IndexChangedError
            If another writer has committed, or the lock file or the folder was removed or replaced. Nothing is
            committed then.
        OSError
            If a folder cannot be written; the last commit is in place then.
        ClusterError
            If no worker answers, or workers end again and again while they open the same shard.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import codes
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     ids = index.add(codes.pack([[1, 1]]))
        ...     before = len(ShardedIndex(f"{folder}/index"))
        ...     index.commit()
        ...     print(before, len(ShardedIndex(f"{folder}/index")))
        0 1
        """
        with self._changing():
            shards = self._placement.shards
            changed = {shard.number: None for shard in shards if shard.changes}
            generations = self._ask_each("prepare", changed)
            entries = [
                ShardEntry(entry.name, generations.get(shard.number, shard.generation), *shard.size)
                for entry, shard in zip(self._directory.manifest.shards, shards, strict=True)
            ]
            last = self.generation
            try:
                self._directory.commit(entries, self._fingerprint)
            finally:
                if self.generation > last:  # also where something failed after the rename
                    self._placement.committed(generations)

    def verify(self) -> None:
        """Read every file of the last commit and check it against its checksum.

        Raises
        ------
        ModelFormatError
            If a file is missing or damaged; the message names it.
        IndexChangedError
            If another writer has committed since the index was opened.
        ClusterError
            If no worker answers.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder, ShardedIndex(f"{folder}/index", n_bits=2) as index:
        ...     index.verify()
        """
        with self._gate.shared():
            self._ask_each("verify", self._all())
            self._directory.check_unchanged()

    def close(self) -> None:
        """Release the locks, and let the workers close the shards: what was not committed is not written.

        The index cannot be used any more. Without this call, locks and shards are released with the object, or with the
        client.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash.distributed import ShardedIndex
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ShardedIndex(f"{folder}/index", n_bits=2).close()
        """
        with self._gate.alone():
            hosts, self._hosts = self._hosts, None
            try:
                if hosts is not None:
                    try:
                        self._placement.close()
                    finally:
                        hosts.close()
            finally:
                self._directory.unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_folders(folders: object) -> tuple[Path, ...]:
    if isinstance(folders, (str, bytes, os.PathLike)) or not is_iterable(folders):
        folders = [folders]
    paths = tuple(check_path("folders", folder).absolute() for folder in folders)
    if not paths:
        raise ValueError("folders must name at least one folder, got none")
    if len(set(paths)) < len(paths):
        raise ValueError(f"folders must be different, got {', '.join(map(str, paths))}")
    return paths


def _directory_of(folders: tuple[Path, ...], n_bits: int | None, n_shards: int | None, model: Any) -> ShardsDirectory:
    """Return the index of the folders; make it where there is none and `n_bits` is given."""
    try:
        directory = ShardsDirectory.open(folders)
    except FileNotFoundError:
        if n_bits is None:
            raise FileNotFoundError(
                f"{folders[0]} holds no sharded index, there is no {SHARDS_MANIFEST}: give n_bits to make one"
            ) from None
        fingerprint = None if model is None else fingerprint_of(model, n_bits)
        return ShardsDirectory.create(folders, n_bits, n_shards or _N_SHARDS, fingerprint)
    manifest = directory.manifest
    for name, given, there in (("n_bits", n_bits, manifest.n_bits), ("n_shards", n_shards, len(manifest.shards))):
        if given is not None and given != there:
            raise ValueError(f"{name} must be that of the index at {folders[0]}, {there}, got {given}")
    if model is not None and manifest.fingerprint is not None:
        refuse_other(fingerprint_of(model, manifest.n_bits), manifest.fingerprint)
    return directory

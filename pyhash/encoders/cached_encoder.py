"""Features kept on disk, by the content of the items they are of."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._extras import require
from pyhash._files.atomic import atomic_file
from pyhash._files.checked_json import checked_json
from pyhash._files.safetensors import read_tensor_file, write_tensor_file
from pyhash._inputs.checks import check_integer
from pyhash._inputs.paths import check_path
from pyhash.encoders.contract import Encoder, joined
from pyhash.encoders.items import listed_items
from pyhash.encoders.pictures import file_content, open_picture
from pyhash.encoders.progress_bar import progress_bar
from pyhash.errors import ModelFormatError

_KIND = "cached features"
_SUFFIX = ".safetensors"
_KEY_BYTES = 32
# A file is written when it has as many rows, or when the one before is so old: what a kill loses.
_MAX_ROWS = 4096
_MAX_SECONDS = 5.0


class CachedEncoder(Encoder):
    """An encoder that keeps features on disk, and encodes only what it has not met before.

    Features are kept by the name and version of the encoder and the content of each item: a text, the bytes of a file
    of a picture wherever it lies, or pixels. They are written while they are computed, every few seconds and also when
    an error or Ctrl-C ends the call, which can then be made again. Files appear whole; several processes can share a
    folder; files that are damaged are removed, and their features computed again. A folder can be deleted at any time.

    Parameters
    ----------
    encoder : Encoder
        One of dense features; a bag of words is quicker than reading from disk.
    folder : path-like
        Made where it is missing. Files are safetensors, which needs that package (extras ``[text]`` and ``[image]``).

    Examples
    --------
    >>> import tempfile
    >>> from pyhash.encoders import CachedEncoder, CallableEncoder
    >>> encoder = CallableEncoder(lambda texts: [[len(t)] for t in texts], kind="text", name="lengths", version="1")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cached = CachedEncoder(encoder, folder)
    ...     cached.encode(["canned", "food"])
    array([[6.],
           [4.]], dtype=float32)
    """

    def __init__(self, encoder: Encoder, folder: str | os.PathLike[str]) -> None:
        if not isinstance(encoder, Encoder):
            raise TypeError(f"encoder must be an Encoder, got {type(encoder).__name__}")
        if encoder.is_sparse:
            raise TypeError(f"encoder must be one of dense features, got {encoder.name!r}")
        self.encoder = encoder
        self.folder = check_path("folder", folder)
        self.kind = encoder.kind
        self.n_features = encoder.n_features
        self._places: dict[Path, dict[bytes, int]] = {}  # the rows of the features in each file

    @property
    def name(self) -> str:  # type: ignore[override]
        """That of the encoder."""
        return self.encoder.name

    @property
    def version(self) -> str:  # type: ignore[override]
        """That of the encoder."""
        return self.encoder.version

    def encode(self, items: Any, batch_size: int = 32, progress: bool | None = False) -> NDArray[np.float32]:
        """Return the features of items, those that are on disk from there; see ``Encoder.encode``.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        OSError
            If the folder cannot be read or written.
        """
        rows = listed_items(self.kind, items)
        batch_size = check_integer("batch_size", batch_size, 1)
        require("safetensors.numpy", "caches of features", self.kind)
        folder = self._opened_folder()
        keys = [self._keyed(item, f"items[{i}]", opened=False)[0] for i, item in enumerate(rows)]
        features = self._stored(set(keys))
        first = {key: position for position, key in reversed(list(enumerate(keys)))}
        missing = sorted(position for key, position in first.items() if key not in features)
        new = _NewFeatures(folder)
        with progress_bar(progress, self.name, len(first), len(first) - len(missing)) as bar:
            try:
                for start in range(0, len(missing), batch_size):
                    batch = missing[start : start + batch_size]
                    pictures = []
                    for position in batch:  # of a file that has changed since, what is read now counts
                        keys[position], item = self._keyed(rows[position], f"items[{position}]", opened=True)
                        pictures.append(item)
                    computed = self.encoder.encode(pictures, batch_size)
                    new.add([keys[position] for position in batch], computed)
                    features.update(zip([keys[position] for position in batch], computed, strict=True))
                    bar.update(len(batch))
            finally:
                new.commit()
        return self._together([features[key] for key in keys])

    def _encode_batch(self, items: list[Any]) -> Any:
        return self.encoder._encode_batch(items)

    def _keyed(self, item: Any, name: str, *, opened: bool) -> tuple[bytes, Any]:
        """Return the key of an item, and the item; a picture is opened from the very bytes that the key is of."""
        if self.kind == "text":
            return hashlib.sha256(b"text\0" + item.encode("utf-8", "surrogatepass")).digest(), item
        content = item
        if isinstance(item, (str, os.PathLike)):
            path = check_path(name, item)
            content, name = file_content(path, name), f"{name} ({path})"
        if isinstance(content, bytes):
            picture = open_picture(content, name) if opened else None
            return hashlib.sha256(b"file\0" + content).digest(), picture
        picture = open_picture(content, name)
        size = b"%d x %d\0" % picture.size
        return hashlib.sha256(b"pixels\0" + size + picture.tobytes()).digest(), picture

    def _opened_folder(self) -> Path:
        """Return the folder of this encoder, made where it is missing, and learn what is in its new files."""
        told = hashlib.sha256(f"{self.name}\0{self.version}\0{self.kind}".encode()).hexdigest()
        folder = self.folder / told[:32]
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "encoder.json").exists():
            about = {"name": self.name, "encoder_version": self.version, "kind": self.kind}
            with atomic_file(folder / "encoder.json") as file:
                file.write(checked_json("pyhash-features", 1, about))
        paths = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX and path.name[0] != ".")
        self._places = {path: self._places[path] if path in self._places else _places_in(path) for path in paths}
        return folder

    def _stored(self, keys: set[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the features that are on disk; files that are damaged are removed."""
        found: dict[bytes, NDArray[np.float32]] = {}
        for path, places in list(self._places.items()):
            wanted = places.keys() & (keys - found.keys())
            if places and not wanted:
                continue
            try:
                archive = read_tensor_file(path)
                with archive.taken_for("file of features"):
                    stored = archive.array("keys", np.uint8, (None, _KEY_BYTES))
                    values = archive.array("features", np.float32, (len(stored), None))
                    if archive.kind != _KIND or not all(stored[places[key]].tobytes() == key for key in wanted):
                        raise ValueError("its keys are others")
            except FileNotFoundError:  # another process has removed it
                del self._places[path]
            except ModelFormatError:
                path.unlink(missing_ok=True)
                del self._places[path]
            else:
                found.update((key, values[places[key]]) for key in wanted)
        return found

    def _together(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        widths = {len(row) for row in rows}
        if len(widths) > 1:
            raise ValueError(
                f"features of encoder {self.name!r} must have as many columns as those of its version "
                f"{self.version!r} in {self.folder}, got {sorted(widths)}"
            )
        result: NDArray[np.float32] = np.stack(rows) if rows else joined([], self.n_features, False)
        self.n_features = result.shape[1]
        return result


class _NewFeatures:
    """Features that are not on disk yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: list[bytes] = []
        self._values: list[NDArray[np.float32]] = []
        self._committed = time.monotonic()

    def add(self, keys: Iterable[bytes], values: NDArray[np.float32]) -> None:
        """Add the features of a batch; commit where they are many, or the last commit is long ago."""
        self._keys += keys
        self._values.append(values)
        if len(self._keys) >= _MAX_ROWS or time.monotonic() - self._committed >= _MAX_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write what there is as one file, named by what it holds: two processes write the same one, or two."""
        if self._keys:
            name = hashlib.sha256(b"".join(self._keys)).hexdigest()[:32]
            keys = np.frombuffer(b"".join(self._keys), np.uint8).reshape(-1, _KEY_BYTES)
            arrays: dict[str, NDArray[Any]] = {"keys": keys, "features": np.concatenate(self._values)}
            write_tensor_file(self._folder / f"{name}{_SUFFIX}", _KIND, {}, arrays)
        self._keys, self._values = [], []
        self._committed = time.monotonic()


def _places_in(path: Path) -> dict[bytes, int]:
    """Return the row of each key in a file, none where it cannot be read; its checksum is checked when rows are."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            keys = file.get_tensor("keys")
        return {key.tobytes(): row for row, key in enumerate(keys)}
    except (SafetensorError, FileNotFoundError, ValueError, TypeError):
        return {}

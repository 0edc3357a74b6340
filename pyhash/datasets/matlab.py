"""MATLAB files of every version: list the variables, read one of them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse
from pyhash._inputs.paths import check_path
from pyhash._inputs.sparse import checked_sparse
from pyhash.datasets.layouts import Source, Variable
from pyhash.datasets.mat5_structure import MAX_SPARSE_ROWS, UnreadableError, check_mat5_structure

_HDF5 = b"\x89HDF\r\n\x1a\n"
_NUMERIC = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
_TEXTS = {"char", "cell"}


class MatSource(Source):
    """A MATLAB file, or all MATLAB files of a folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = check_path("path", path)
        self.variables = {}
        self._files: dict[str, _MatFile] = {}
        paths = sorted(self.path.glob("*.mat")) if self.path.is_dir() else [self.path]
        if not paths:
            raise ValueError(f"{self.path} must be a .mat file or a folder of them, got a folder without any")
        for one in paths:
            file = _open(one)
            variables = file.variables()
            if self.path.is_dir() and len(variables) == 1 and one.stem in ("index", "caption", "label"):
                # In this layout the names of the files tell what they hold.
                [(file.only, variable)] = variables.items()
                variables = {one.stem: variable}
            for name, variable in variables.items():
                if name in self.variables:
                    raise ValueError(f"{self.path} must have each variable once, {name} is in several files")
                self.variables[name] = variable
                self._files[name] = file

    def read(self, name: str) -> Any:  # noqa: D102
        file = self._files[name]
        return file.read(file.only or name, self.variables[name].kind)


class _MatFile(ABC):
    """One file.

    `only` is the stored name of its variable if that is listed under the name of the file. `checks_sizes` is False if
    the headers of a damaged file may ask for memory without end.
    """

    only: str | None = None
    checks_sizes = True

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def variables(self) -> dict[str, Variable]: ...

    @abstractmethod
    def read(self, name: str, kind: str) -> Any: ...

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn any error that a damaged file causes in the block into a ValueError that names the file."""
        try:
            yield
        except UnreadableError as error:
            raise ValueError(f"{self.path}: {error}") from error
        except MemoryError as error:
            if self.checks_sizes:
                raise
            raise ValueError(
                f"{self.path} is not a whole MATLAB file: its headers ask for more memory than there is"
            ) from error
        except Exception as error:
            raise ValueError(f"{self.path} is not a whole MATLAB file: {error or type(error).__name__}") from error


def _open(path: Path) -> _MatFile:
    with open(path, "rb") as file:
        start = file.read(520)
    # Version 7.3 is HDF5 behind 512 bytes of MATLAB's own.
    if start.startswith(b"MATLAB 7.3 MAT-file") or _HDF5 in (start[:8], start[512:520]):
        try:
            import h5py  # noqa: F401
        except ImportError:
            raise ImportError(
                f"{path} is a MATLAB file of version 7.3, which h5py reads: pip install 'pyhash-crossmodal[mat]'"
            ) from None
        return _Hdf5File(path)
    return _ClassicFile(path)


class _ClassicFile(_MatFile):
    """A file of version 4 to 7, read by scipy."""

    def variables(self) -> dict[str, Variable]:
        from scipy.io import whosmat

        with open(self.path, "rb") as file, self._reading():
            self._check(file)
            listed = whosmat(file)
        return {
            name: Variable(
                "numbers" if kind in _NUMERIC else "texts" if kind in _TEXTS else kind, tuple(int(n) for n in shape)
            )
            for name, shape, kind in listed
        }

    def read(self, name: str, kind: str) -> Any:
        from scipy.io import loadmat

        with open(self.path, "rb") as file, self._reading():
            self._check(file, name)
            value = loadmat(file, variable_names=[name], chars_as_strings=True)[name]
            if is_sparse(value):  # a logical one is listed among the numbers
                return _by_rows(value)
            return _texts_of_rows(name, value, _classic_text) if kind == "texts" else value

    def _check(self, file: IO[bytes], name: str | None = None) -> None:
        """Raise for damaged files that crash the reader of scipy; its reader of version 4 is pure Python."""
        is_version_4 = 0 in file.read(4)
        self.checks_sizes = not is_version_4
        if not is_version_4:
            check_mat5_structure(file, name)
        file.seek(0)


def _by_rows(value: Any) -> Any:
    """Return a sparse matrix that scipy read, checked, by rows."""
    from scipy.sparse import csr_array

    if value.format == "csc":
        return csr_array(checked_sparse("csc", value.data, value.indices, value.indptr, value.shape))
    # That of version 4 is made of coordinates, which scipy checks.
    _check_n_rows(value.shape[0])
    return csr_array(value)


def _check_n_rows(n: int) -> None:
    """Raise if a sparse matrix by rows would take much memory for empty rows."""
    if n > MAX_SPARSE_ROWS:
        raise ValueError(f"a sparse matrix has {n} rows, more than {MAX_SPARSE_ROWS}")


def _classic_text(name: str, cell: Any) -> str:
    """Return the text of a cell: a string, lines of a char matrix, or a cell of strings."""
    if isinstance(cell, str):
        return cell.rstrip()
    if isinstance(cell, np.ndarray) and (cell.dtype.kind in "UO" or cell.size == 0):
        return " ".join(_classic_text(name, str(part) if cell.dtype.kind == "U" else part) for part in cell.flat)
    raise UnreadableError(f"{name} must be a cell of texts, got a cell with {type(cell).__name__} of {_dtype(cell)}")


class _Hdf5File(_MatFile):
    """A file of version 7.3, read by h5py; arrays are stored transposed."""

    def variables(self) -> dict[str, Variable]:
        import h5py

        with self._reading(), h5py.File(self.path, "r") as file:
            return {name: _describe_hdf5(entry) for name, entry in file.items() if not name.startswith("#")}

    def read(self, name: str, kind: str) -> Any:
        import h5py

        with self._reading(), h5py.File(self.path, "r") as file:
            entry = file[name]
            if kind == "sparse":
                return _read_sparse(entry)
            if kind == "texts":
                if _class_of(entry) == "char":
                    return _char_rows(entry)
                return _texts_of_rows(name, entry[()].T, lambda name, cell: _hdf5_text(name, file[cell]))
            return np.zeros(_shape_of(entry)) if _is_empty(entry) else entry[()].T


def _class_of(entry: Any) -> str:
    stored = entry.attrs.get("MATLAB_class", b"")
    return stored.decode() if isinstance(stored, bytes) else str(stored)


def _is_empty(entry: Any) -> bool:
    return bool(entry.attrs.get("MATLAB_empty", 0))


def _shape_of(entry: Any) -> tuple[int, ...]:
    # Of an empty array, the dataset holds the shape.
    return tuple(int(n) for n in (entry[()] if _is_empty(entry) else entry.shape[::-1]))


def _describe_hdf5(entry: Any) -> Variable:
    import h5py

    kind = _class_of(entry)
    if isinstance(entry, h5py.Group):
        if "MATLAB_sparse" in entry.attrs:
            return Variable("sparse", (int(entry.attrs["MATLAB_sparse"]), len(entry["jc"]) - 1))
        return Variable(kind or "group", ())
    if kind in _TEXTS:
        return Variable("texts", _shape_of(entry))
    # Files that others than MATLAB wrote lack the class.
    is_numeric = kind in _NUMERIC or (not kind and entry.dtype.kind in "biuf")
    return Variable("numbers" if is_numeric and entry.dtype.kind in "biuf" else kind or "object", _shape_of(entry))


def _read_sparse(group: Any) -> Any:
    from scipy.sparse import csr_array

    shape = (int(group.attrs["MATLAB_sparse"]), len(group["jc"]) - 1)
    _check_n_rows(shape[0])
    if "data" not in group:
        return csr_array(shape, dtype=np.float64)
    data, rows, starts = (group[part][()] for part in ("data", "ir", "jc"))
    return csr_array(checked_sparse("csc", data, rows, starts, shape))


def _char_rows(entry: Any) -> list[str]:
    """Return the rows of a char matrix, which is stored as UTF-16 code units."""
    if _is_empty(entry):
        return []
    units: NDArray[np.uint16] = np.atleast_2d(entry[()].T).astype("<u2")
    return [row.tobytes().decode("utf-16-le", errors="replace").rstrip() for row in units]


def _hdf5_text(name: str, entry: Any) -> str:
    kind = _class_of(entry)
    if _is_empty(entry):
        return ""
    if kind == "cell":
        return " ".join(_hdf5_text(name, entry.file[cell]) for cell in entry[()].T.flat)
    if kind != "char":
        raise UnreadableError(f"{name} must be a cell of texts, got a cell with {kind or type(entry).__name__}")
    return " ".join(_char_rows(entry))


# --- texts ------------------------------------------------------------------------------------------------------------


def _dtype(cell: Any) -> str:
    return str(getattr(cell, "dtype", "no dtype"))


def _texts_of_rows(name: str, cells: Any, text_of: Any) -> list[str]:
    """Return one text per sample, from a row, column or matrix of cells; several texts of a sample are joined."""
    if cells.dtype.kind == "U":
        return [str(text).rstrip() for text in cells.ravel()]
    rows = cells.reshape(-1, 1) if min(cells.shape, default=0) <= 1 else cells
    return [" ".join(text_of(name, cell) for cell in row) for row in rows]

"""The layouts of stored data sets, by the names of their arrays."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_choice, is_sparse
from pyhash.datasets.captions import bag_of_words
from pyhash.datasets.dataset import Dataset
from pyhash.datasets.orientation import by_rows
from pyhash.datasets.stored_labels import as_labels, check_binary, class_names

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


# For messages on files of other layouts; on the command line names are an option.
SAY_WHICH = (
    "Say which arrays are what: names={'image': 'X1', 'text': 'X2', 'labels': 'L'} in Python, "
    "--names image=X1,text=X2,labels=L for pyhash bench"
)


@dataclass(frozen=True)
class Variable:
    """Description of an array in a file, known before the array is read.

    `kind` is "numbers", "sparse", "texts", or for what is not read the file's own word for it.
    """

    kind: str
    shape: tuple[int, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether the array holds numbers, dense or sparse."""
        return self.kind in ("numbers", "sparse")


class Source(ABC):
    """Named arrays in a file or folder, each read on request."""

    path: Path
    variables: dict[str, Variable]

    @abstractmethod
    def read(self, name: str) -> Any:
        """Return a variable: an array, a csr_array, or texts as a list of str."""

    def find(self, *names: str) -> str | None:
        """Return the first of `names` that is a variable; ignore case if only one variable matches then."""
        for name in names:
            if name in self.variables:
                return name
            same = [stored for stored in self.variables if stored.lower() == name.lower()]
            if len(same) == 1:
                return same[0]
        return None

    def describe(self) -> str:
        """Return all variables with their shapes, for a message."""
        shown = []
        for name, variable in self.variables.items():
            note = "" if variable.kind == "numbers" else f" {variable.kind}"
            ignored = "" if variable.is_numeric or variable.kind == "texts" else ", which is not read"
            shown.append(f"{name} {variable.shape}{note}{ignored}")
        return ", ".join(shown) or "no arrays"

    def matrix(self, name: str) -> Features:
        """Return a variable as a matrix; raise unless it holds real numbers in at most two dimensions."""
        variable = self.variables[name]
        if not variable.is_numeric:
            raise ValueError(f"{self.path}: {name} must be a matrix of numbers, got {variable.kind}")
        if not variable.shape:
            raise ValueError(f"{self.path}: {name} must be a matrix, got a single number")
        if len(variable.shape) > 2:
            raise ValueError(
                f"{self.path}: {name} must be a matrix of features, got shape {variable.shape}: raw pictures are not "
                "read, save features of them as a matrix (n, n_features)"
            )
        matrix = self.read(name)
        if matrix.dtype.kind not in "biuf":
            raise ValueError(f"{self.path}: {name} must hold real numbers, got dtype {matrix.dtype}")
        return matrix[:, None] if matrix.ndim == 1 else matrix


def dataset_of(source: Source, layout: str | None, names: Mapping[str, str] | None) -> Dataset:
    """Return the data set of a source, by the given layout, the first that fits, or the user's names of arrays."""
    if names is not None:
        if layout is not None:
            raise ValueError(f"layout must be None where names are given, got {layout!r}")
        return _named(source, names)
    if layout is not None:
        wanted, build = _LAYOUTS[check_choice("layout", layout, tuple(_LAYOUTS))]
        missing = [" or ".join(aliases) for aliases in wanted if source.find(*aliases) is None]
        if missing:
            raise ValueError(
                f"{source.path} has no {', '.join(missing)} for layout {layout!r}; it has {source.describe()}"
            )
        return build(source)
    for wanted, build in _LAYOUTS.values():
        if all(source.find(*aliases) for aliases in wanted):
            return build(source)
    raise ValueError(
        f"{source.path} has none of the layouts {', '.join(map(repr, _LAYOUTS))}; it has {source.describe()}. "
        f"{SAY_WHICH}"
    )


# --- layouts ----------------------------------------------------------------------------------------------------------


def _named(source: Source, names: Mapping[str, str]) -> Dataset:
    if not isinstance(names, Mapping) or not all(isinstance(s, str) for pair in names.items() for s in pair):
        raise TypeError(f"names must be a mapping of views and 'labels' to names of arrays, got {names!r}")
    if "labels" not in names or len(names) < 2:
        raise ValueError(f"names must hold 'labels' and at least one view, got {', '.join(map(repr, names)) or 'none'}")
    found = {}
    for key, name in names.items():
        stored = source.find(name)
        if stored is None:
            raise ValueError(
                f"names[{key!r}] is {name!r}, which {source.path} does not have; it has {source.describe()}"
            )
        found[key] = stored
    rows = _aligned(source, [found])[0]
    return _of_classes(source, rows, found["labels"])


def _shoh(source: Source) -> Dataset:
    stored = _require(source, image="Gist", text="Tag", labels="Label")
    affiliations = _affiliations(source)
    rows = _aligned(source, [stored])[0]
    n_classes = [len(next(iter(affiliations.values()))), *(matrix.shape[1] for matrix in affiliations.values())]
    matrix, _ = as_labels(source.path, stored["labels"], rows.pop("labels"))
    if matrix.ndim != 2 or matrix.shape[1] != sum(n_classes):
        levels = f"{next(iter(affiliations))} has classes of both levels"
        if len(affiliations) > 1:
            levels = f"{', '.join(affiliations)} have classes of all levels"
        raise ValueError(
            f"{source.path}: {stored['labels']} must have {sum(n_classes)} columns, as many as {levels}, "
            f"got shape {matrix.shape}"
        )
    layers = tuple(f"level{k + 1}" for k in range(len(n_classes)))
    ends = np.cumsum(n_classes)
    return Dataset(
        name=source.path.stem,
        views=rows,
        labels={layer: matrix[:, end - c : end].copy() for layer, c, end in zip(layers, n_classes, ends, strict=True)},
        label_names={layer: class_names(c, layer) for layer, c in zip(layers, n_classes, strict=True)},
        hierarchy=[_parents(affiliation) for affiliation in affiliations.values()],
        layers=layers,
        splits={},
    )


def _affiliations(source: Source) -> dict[str, NDArray[Any]]:
    """Return the affiliations (c_k, c_{k+1}) of layout "shoh" by their names in the file: A1_2, A2_3, and so on."""
    affiliations: dict[str, NDArray[Any]] = {}
    n_parents = None
    for name in _names_of_affiliations(source):
        affiliation = source.matrix(name)
        affiliation = affiliation.toarray() if is_sparse(affiliation) else affiliation
        check_binary(source.path, name, affiliation)
        # Parents may be rows or columns. The first layer has no more classes than the second.
        if n_parents is None:
            is_turned = len(affiliation) > affiliation.shape[1]
        else:
            is_turned = len(affiliation) != n_parents and affiliation.shape[1] == n_parents
        affiliation = affiliation.T if is_turned else affiliation
        level = len(affiliations) + 2
        if n_parents is not None and len(affiliation) != n_parents:
            raise ValueError(
                f"{source.path}: {name} must have {n_parents} rows, the classes of level {level - 1}, "
                f"got shape {affiliation.shape}"
            )
        orphans = np.flatnonzero(~affiliation.any(axis=0))
        if orphans.size:
            raise ValueError(
                f"{source.path}: {name} must give every class of level {level} a parent, class {orphans[0]} has none"
            )
        affiliations[name] = affiliation
        n_parents = affiliation.shape[1]
    return affiliations


def _names_of_affiliations(source: Source) -> list[str]:
    names = [_require(source, affiliation="A1_2")["affiliation"]]
    while (name := source.find(_affiliation_below(len(names) + 1))) is not None:
        names.append(name)
    missing = _affiliation_below(len(names) + 1)
    for stored in source.variables:
        found = re.fullmatch(r"[Aa](\d{1,9})_(\d{1,9})", stored, re.ASCII)
        if found and int(found[2]) == int(found[1]) + 1 > len(names) + 1:
            raise ValueError(f"{source.path} has {stored}, but no {missing}; it has {source.describe()}")
    return names


def _affiliation_below(level: int) -> str:
    return f"A{level}_{level + 1}"


def _parents(affiliation: NDArray[Any]) -> NDArray[np.int64]:
    """Return the parent of each class, or the 0/1 matrix if a class has several."""
    is_tree = bool((affiliation.sum(axis=0) == 1).all())
    return affiliation.argmax(axis=0).astype(np.int64) if is_tree else affiliation.astype(np.int64)


def _dcmh(source: Source) -> Dataset:
    stored = _require(source, text="YAll", labels="LAll")
    items: dict[str, NDArray[Any]] = {}
    images = {"image": source.find("XAll"), "image_raw": source.find("IAll"), "image_deep": source.find("FAll")}
    deep = images["image_deep"]
    if deep is not None and source.variables[deep].kind == "texts":
        items["file"] = np.array(source.read(deep), dtype=np.str_)  # FAll of the published files holds file names
        del images["image_deep"]
    matrices = {
        key: name for key, name in images.items() if name is not None and len(source.variables[name].shape) <= 2
    }
    if not matrices:
        raw = next((name for name in images.values() if name is not None), None)
        shape = f"{raw} {source.variables[raw].shape}" if raw else "none"
        raise ValueError(
            f"{source.path} must have image features, XAll or FAll (n, n_features), got {shape}: "
            "raw pictures are not read"
        )
    if "image" not in matrices and "image_raw" in matrices:
        matrices = {"image": matrices.pop("image_raw")} | matrices
    stored = matrices | stored
    return _of_classes(source, _aligned(source, [stored])[0], stored["labels"], items=items)


def _train_and_test(source: Source) -> Dataset:
    return _parts(source, with_database=False)


def _train_test_and_database(source: Source) -> Dataset:
    return _parts(source, with_database=any(source.find(name) for name in ("I_db", "T_db", "L_db")))


def _parts(source: Source, *, with_database: bool) -> Dataset:
    suffixes = ["tr", "db", "te"] if with_database else ["tr", "te"]
    stored = [_require(source, image=f"I_{s}", text=f"T_{s}", labels=f"L_{s}") for s in suffixes]
    parts = _of_one_type(_aligned(source, stored))
    train, queries = parts[0], parts[-1]
    roles = ["train"] * _count(train)
    if with_database:
        database = parts[1]
        in_database, in_train = _match(train, database)
        left = np.flatnonzero(~in_database)
        parts = [database, {key: matrix[left] for key, matrix in train.items()}, queries]
        roles = ["train" if found else "database" for found in in_train] + ["train only"] * len(left)
    roles += ["query"] * _count(queries)
    rows = {key: _stacked([part[key] for part in parts]) for key in train}
    role = np.array(roles)
    return _of_classes(source, rows, stored[0]["labels"], items={"role": role}, splits={"published": role == "query"})


def _captions(source: Source) -> Dataset:
    stored = _require(source, labels=_LABELS, text=_CAPTIONS, index=("index",))
    items: dict[str, NDArray[Any]] = {}
    vocabulary: list[str] = []
    matrices = {"labels": stored["labels"]}
    texts: dict[str, list[str]] = {}
    if source.variables[stored["text"]].kind == "texts":
        texts["caption"] = source.read(stored["text"])
    else:
        matrices["text"] = stored["text"]
    index = source.variables[stored["index"]]
    if index.kind == "texts":
        texts["index"] = source.read(stored["index"])
    elif min(index.shape) > 1:
        matrices["image"] = stored["index"]
    # Texts have a single axis, samples. Their number tells which axis of the matrices is samples.
    n_texts = {len(column) for column in texts.values()}
    aligned = {key: source.matrix(name) for key, name in matrices.items()}
    if len(n_texts) == 1:
        n = n_texts.pop()
        aligned = {key: m.T if m.shape[0] != n and m.shape[1] == n else m for key, m in aligned.items()}
        n_texts = {n, *(m.shape[0] for m in aligned.values())}
        if len(n_texts) > 1:
            counts = [f"{name} {source.variables[name].shape}" for name in stored.values()]
            raise ValueError(
                f"{source.path}: arrays must have the number of samples in common, got {', '.join(counts)}"
            )
    elif texts:
        lengths = ", ".join(f"{stored['text' if k == 'caption' else k]} {len(v)}" for k, v in texts.items())
        raise ValueError(f"{source.path}: texts must be equally many, got {lengths}")
    else:
        aligned = by_rows(source.path, [aligned], [matrices])[0]
    n = aligned["labels"].shape[0]
    items |= {key: np.array(column, dtype=np.str_) for key, column in texts.items()}
    if index.is_numeric and "image" not in aligned:
        column = source.matrix(stored["index"])
        items["index"] = (column.toarray() if is_sparse(column) else column).ravel()
        if len(items["index"]) != n:
            raise ValueError(f"{source.path}: {stored['index']} must have {n} values, got {len(items['index'])}")
    views = {key: aligned[key] for key in ("image", "text") if key in aligned}
    if "caption" in texts:
        try:
            views["text"], vocabulary = bag_of_words(texts["caption"])
        except ValueError as error:
            raise ValueError(f"{source.path}: {stored['text']} {error}") from None
    return _of_classes(
        source, views | {"labels": aligned["labels"]}, stored["labels"], items=items, vocabulary=vocabulary
    )


_LABELS = ("label", "labels", "category")
_CAPTIONS = ("caption", "captions")

# In the order in which they are recognised.
_LAYOUTS: dict[str, tuple[tuple[tuple[str, ...], ...], Callable[[Source], Dataset]]] = {
    "shoh": ((("Gist",), ("Tag",), ("Label",), ("A1_2",)), _shoh),
    "dcmh": ((("XAll", "IAll", "FAll"), ("YAll",), ("LAll",)), _dcmh),
    "tr-te-db": (tuple((f"{a}_{b}",) for b in ("tr", "te") for a in "ITL"), _train_test_and_database),
    "tr-te": (tuple((f"{a}_{b}",) for b in ("tr", "te") for a in "ITL"), _train_and_test),
    "captions": ((("index",), _CAPTIONS, _LABELS), _captions),
}
LAYOUTS = tuple(_LAYOUTS)


# --- parts of them ----------------------------------------------------------------------------------------------------


def _require(source: Source, **wanted: str | tuple[str, ...]) -> dict[str, str]:
    """Return the stored names of the arrays of a layout."""
    stored = {}
    for key, aliases in wanted.items():
        names = (aliases,) if isinstance(aliases, str) else aliases
        name = source.find(*names)
        if name is None:
            raise ValueError(f"{source.path} has no {' or '.join(names)}; it has {source.describe()}")
        stored[key] = name
    return stored


def _aligned(source: Source, stored: Sequence[Mapping[str, str]]) -> list[dict[str, Features]]:
    """Return the matrices with samples as rows."""
    return by_rows(source.path, [{key: source.matrix(name) for key, name in part.items()} for part in stored], stored)


def _of_classes(
    source: Source,
    rows: dict[str, Features],
    stored_labels: str,
    *,
    items: dict[str, NDArray[Any]] | None = None,
    splits: dict[str, NDArray[np.bool_]] | None = None,
    vocabulary: list[str] | None = None,
) -> Dataset:
    """Return a data set with one kind of labels."""
    labels, names = as_labels(source.path, stored_labels, rows["labels"])
    items = items or {}
    for name, item in items.items():
        if len(item) != len(labels):
            raise ValueError(f"{source.path}: {name} must have {len(labels)} values, one a sample, got {len(item)}")
    return Dataset(
        name=source.path.stem,
        views={
            key: matrix if is_sparse(matrix) else np.ascontiguousarray(matrix)
            for key, matrix in _csr(rows).items()
            if key != "labels"
        },
        labels={"classes": labels},
        label_names={"classes": names},
        hierarchy=[],
        layers=("classes",),
        splits=splits or {},
        items=items,
        vocabulary=vocabulary or [],
    )


def _csr(rows: Mapping[str, Features]) -> dict[str, Features]:
    """Return sparse matrices as csr_array, which transposing makes csc_array."""
    out = {}
    for key, matrix in rows.items():
        if is_sparse(matrix):
            from scipy.sparse import csr_array

            matrix = csr_array(matrix)
            matrix.sum_duplicates()
        out[key] = matrix
    return out


def _count(part: Mapping[str, Features]) -> int:
    return int(part["labels"].shape[0])


def _of_one_type(parts: list[dict[str, Features]]) -> list[dict[str, Features]]:
    """Return the parts with each key dense or sparse throughout, and of one dtype: equal rows have equal bytes."""
    out: list[dict[str, Features]] = [{} for _ in parts]
    for key in parts[0]:
        dtype = np.result_type(*(part[key].dtype for part in parts))
        any_sparse = any(is_sparse(part[key]) for part in parts)
        for new, part in zip(out, parts, strict=True):
            if any_sparse:
                from scipy.sparse import csr_array

                new[key] = csr_array(part[key], dtype=dtype)
                new[key].sum_duplicates()
            else:
                new[key] = np.ascontiguousarray(part[key], dtype=dtype)
    return out


def _match(
    train: Mapping[str, Features], database: Mapping[str, Features]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which training rows are in the database, and which database rows they are; each row is matched once."""
    digests = [_digests(train), _digests(database)]
    both = Counter(digests[0]) & Counter(digests[1])
    found = []
    for part in digests:
        left = both.copy()
        matched = np.zeros(len(part), dtype=bool)
        for i, digest in enumerate(part):
            if left[digest] > 0:
                left[digest] -= 1
                matched[i] = True
        found.append(matched)
    return found[0], found[1]


def _digests(part: Mapping[str, Features]) -> list[bytes]:
    """Return a digest of each sample, which does not depend on its position."""
    digests = []
    for i in range(_count(part)):
        digest = blake2b(digest_size=16)
        for matrix in part.values():
            if is_sparse(matrix):
                row = slice(matrix.indptr[i], matrix.indptr[i + 1])
                digest.update(matrix.indices[row].astype(np.int64).tobytes())
                digest.update(matrix.data[row].tobytes())
            else:
                digest.update(matrix[i].tobytes())
        digests.append(digest.digest())
    return digests


def _stacked(matrices: Sequence[Features]) -> Features:
    if is_sparse(matrices[0]):
        from scipy.sparse import vstack

        return vstack(matrices, format="csr")
    return np.concatenate(matrices)

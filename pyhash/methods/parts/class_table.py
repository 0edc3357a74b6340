"""The classes that a model knows: how many in each layer, their labels by name, and their places in a hierarchy."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_bool, check_integer, listed
from pyhash._inputs.labels import MAX_CLASSES, name_rows
from pyhash._inputs.named_labels import (
    Label,
    check_label,
    is_missing,
    is_named,
    label_from_json,
    label_to_json,
    labels_of_entry,
)
from pyhash.methods.parts.arrays import Arrays, Fields
from pyhash.methods.parts.hierarchy import check_affiliation, check_affiliations, count_classes

if TYPE_CHECKING:
    from pyhash._files.archive import Archive
    from pyhash._inputs.checks import Features

Numbers = Mapping[Label, int]  # class indices by label, in their order


@dataclass(frozen=True)
class ClassTable:
    """The classes of each layer, coarse to fine: before the first chunk those of the parameters, then all so far.

    A table never changes; the methods that add classes return another.
    """

    sizes: tuple[int, ...] = (0,)  # number of classes of each layer; 0: no label was seen yet
    affiliations: tuple[NDArray[np.bool_], ...] = ()  # A^{k,k+1} of neighbouring layers
    given: tuple[int, ...] = ()  # number of classes of each layer that a hierarchy had at first; () without one
    numbers: tuple[Numbers, ...] | None = None  # of each layer; None where labels are class indices
    limit: int | None = None  # the most classes that a single layer may have: the parameter n_classes

    @classmethod
    def check(cls, hierarchy: object, n_classes: object) -> ClassTable:
        """Return the classes of the parameters `hierarchy` and `n_classes`, checked."""
        if not _is_hierarchy_by_name(hierarchy):
            affiliations = tuple(check_affiliations(hierarchy))
            sizes = (len(affiliations[0]), *(a.shape[1] for a in affiliations)) if affiliations else (0,)
            table = cls(sizes, affiliations, sizes if affiliations else ())
        else:
            table = _table_of_mappings(hierarchy)
        if n_classes is None:
            return table
        if table.affiliations:
            raise ValueError(f"n_classes must be None with a hierarchy, which has it, got {n_classes}")
        return replace(table, limit=check_integer("n_classes", n_classes, 1, MAX_CLASSES))

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.sizes)

    def labels(self) -> list[NDArray[Any]]:
        """Return the labels of the classes of each layer, coarse to fine, by class index."""
        if self.numbers is None:
            return [np.arange(size) for size in self.sizes]
        return [np.fromiter(numbers, dtype=object, count=len(numbers)) for numbers in self.numbers]

    # --- labels of rows -----------------------------------------------------------------------------------------------

    def with_labels(self, layers: list[Features]) -> tuple[ClassTable, list[Features]]:
        """Return the table with the classes that rows show, and their labels as class indices or a 0/1 matrix.

        Parameters
        ----------
        layers : list of ndarray or csr_array
            Labels of all layers or of the finest alone, as ``label_layers`` gives them. A single layer takes on new
            classes, up to the limit; a hierarchy does not.

        Raises
        ------
        ValueError
            If labels are by name where those before were class indices, or the other way round.
        ValueError
            If a label by name is not in the hierarchy, or beyond the limit.
        """
        layers = self._none_as_indices(layers)
        if self._are_named(layers):
            table = self._with_names(layers[0]) if self.n_layers == 1 else self
            return table, table.numbered(layers)
        if self.n_layers == 1:
            size = count_classes(layers[0], self.sizes[0]) if self.limit is None else max(self.limit, self.sizes[0])
            return replace(self, sizes=(size,)), layers
        return self, layers

    def numbered(self, layers: list[Features]) -> list[Features]:
        """Return labels of rows as class indices or a 0/1 matrix, classes that are not in the table being an error.

        Parameters
        ----------
        layers : list of ndarray or csr_array
            As for ``with_labels``.

        Returns
        -------
        list of ndarray or csr_array
            Rows without a label have the index -1, or an empty row.
        """
        layers = self._none_as_indices(layers)
        if not self._are_named(layers):
            return layers
        numbers = (self.numbers or ({},))[-len(layers) :]
        names = ["labels"] if len(layers) == 1 else [f"labels[{k}]" for k in range(len(layers))]
        return [
            _numbered(name, layer, of_layer, "; add_classes takes new ones" if self.affiliations else "")
            for name, layer, of_layer in zip(names, layers, numbers, strict=True)
        ]

    def _none_as_indices(self, layers: list[Features]) -> list[Features]:
        """Return layers, those of None in every row as indices -1 where labels are class indices."""
        if self.numbers is not None or self.sizes == (0,):
            return layers
        return [
            np.full(len(layer), -1) if is_named(layer) and all(map(is_missing, layer)) else layer for layer in layers
        ]

    def _are_named(self, layers: list[Features]) -> bool:
        """Return whether labels are by name; raise if those before were not, or the other way round."""
        named = [is_named(layer) for layer in layers]
        if len(set(named)) > 1:
            raise ValueError("labels must be by name in every layer or in none, as class indices are")
        if self.sizes == (0,):
            return named[0]
        if named[0] and self.numbers is None:
            example = next(entry for layer in layers for entry in layer if not is_missing(entry))
            raise ValueError(
                "labels must be class indices or a 0/1 matrix, as those before, got labels by name such as "
                f"{example!r}; a hierarchy of labels by name has mappings {{label: label of its parent}}"
            )
        if not named[0] and self.numbers is not None:
            got = "a matrix" if layers[0].ndim > 1 else f"an array of {layers[0].dtype}"
            raise ValueError(
                f"labels must be by name, as those before, got {got}; numbers by name are an array of objects, "
                "labels.astype(object)"
            )
        return named[0]

    def _with_names(self, layer: Features) -> ClassTable:
        """Return the table of a single layer with the labels of rows, numbered by their first appearance."""
        known = {} if self.numbers is None else self.numbers[0]
        numbers: dict[Label, int] | None = None  # copied only if there is a new one
        for row, label in _labels_of_rows("labels", layer):
            if label not in (known if numbers is None else numbers):
                numbers = dict(known) if numbers is None else numbers
                numbers[label] = len(numbers)
                if self.limit is not None and len(numbers) > self.limit:
                    raise ValueError(
                        f"labels must be of at most n_classes={self.limit} classes, got one more, {label!r}, "
                        f"in row {row}; n_classes=None takes as many as come"
                    )
        if numbers is None and self.numbers is not None:
            return self
        numbers = dict(known) if numbers is None else numbers
        return replace(self, sizes=(len(numbers),), numbers=(numbers,))

    # --- a model that goes on -----------------------------------------------------------------------------------------

    def check_continues(self, learned: ClassTable) -> None:
        """Raise ValueError unless a model that learned classes can go on with these, those of its parameters."""
        if not self.affiliations and not learned.affiliations:
            if self.limit is not None and self.limit < learned.sizes[0]:
                raise ValueError(
                    f"n_classes must be None or at least {learned.sizes[0]}, the classes learned, got {self.limit}"
                )
        elif not self._begins(learned):
            had, got = (list(of.given) if of.given else "one layer" for of in (learned, self))
            raise ValueError(
                f"hierarchy and n_classes must stay as they were, {had} classes by layer, got {got}; "
                "add_classes takes new ones"
            )

    def _begins(self, longer: ClassTable) -> bool:
        """Return whether another table began with these classes and their parents."""
        if self.given != longer.given or (self.numbers is None) != (longer.numbers is None):
            return False
        same_names = all(
            list(numbers) == list(of_longer)[: len(numbers)]
            for numbers, of_longer in zip(self.numbers or (), longer.numbers or (), strict=True)
        )
        return same_names and all(
            np.array_equal(A, of_longer[: len(A), : A.shape[1]])
            for A, of_longer in zip(self.affiliations, longer.affiliations, strict=True)
        )

    def continued(self, parameters: ClassTable) -> ClassTable:
        """Return the table under the limit of the parameters."""
        return replace(self, limit=parameters.limit)

    # --- classes that a user adds -------------------------------------------------------------------------------------

    def with_classes(self, layer: object, parents: Any) -> ClassTable:
        """Return the table with classes that a user adds to a layer, as ``SHOH.add_classes`` describes them."""
        k = check_integer("layer", layer, 1, self.n_layers) - 1
        numbers, size = self.numbers, self.sizes[k]
        if numbers is not None:
            by_label = _parents_by_label("parents", parents) if k else {key: [] for key in _new_labels(parents)}
            known = next((label for label in by_label if label in numbers[k]), None)
            if known is not None:
                raise ValueError(f"parents must be those of new classes, {known!r} is in layer {layer} already")
            of_layer = {**numbers[k], **{label: size + j for j, label in enumerate(by_label)}}
            affiliation = _affiliation_by_name("parents", by_label, numbers[k - 1] if k else {})
            numbers = (*numbers[:k], of_layer, *numbers[k + 1 :])
        elif k == 0:
            affiliation = np.zeros((0, check_integer("parents", parents, 1, MAX_CLASSES)), dtype=bool)
        elif isinstance(parents, Mapping):
            raise TypeError(
                "parents must be class indices or a 0/1 matrix where labels are class indices, got "
                f"{type(parents).__name__}"
            )
        else:
            affiliation = check_affiliation("parents", parents, self.sizes[k - 1], k)
        n_new = affiliation.shape[1]
        if self.limit is not None and size + n_new > self.limit:
            raise ValueError(f"n_classes must be None or at least {size + n_new} for {n_new} more, got {self.limit}")
        affiliations = list(self.affiliations)
        if k > 0:
            affiliations[k - 1] = np.hstack([affiliations[k - 1], affiliation])
        if k < len(affiliations):
            affiliations[k] = np.pad(affiliations[k], ((0, n_new), (0, 0)))
        sizes = (*self.sizes[:k], size + n_new, *self.sizes[k + 1 :])
        return replace(self, sizes=sizes, affiliations=tuple(affiliations), numbers=numbers)

    # --- files --------------------------------------------------------------------------------------------------------

    def store(self, arrays: Arrays) -> Fields:
        """Return header fields; the labels by name, as JSON, and the affiliations go into `arrays`."""
        for k, affiliation in enumerate(self.affiliations):
            arrays[f"classes.affiliation.{k}"] = affiliation
        if self.numbers is not None:
            text = json.dumps([[label_to_json(label) for label in numbers] for numbers in self.numbers])
            arrays["classes.labels"] = np.frombuffer(text.encode(), dtype=np.uint8)
        return {"sizes": list(self.sizes), "given": list(self.given), "named": self.numbers is not None}

    @classmethod
    def restore(cls, fields: Fields, archive: Archive) -> ClassTable:
        """Return what ``store`` stored; raise if its parts do not fit together."""
        sizes = tuple(check_integer("sizes", size, 1) for size in fields["sizes"])
        affiliations = tuple(
            archive.array(f"classes.affiliation.{k}", np.bool_, (a, b))
            for k, (a, b) in enumerate(itertools.pairwise(sizes))
        )
        numbers = None
        if check_bool("named", fields["named"]):
            text = archive.array("classes.labels", np.uint8, (None,)).tobytes()
            stored = json.loads(text)
            if not all(isinstance(of_layer, list) for of_layer in stored):
                raise ValueError("labels must be lists, one for each layer")
            labels = [[label_from_json(label) for label in of_layer] for of_layer in stored]
            numbers = tuple({label: i for i, label in enumerate(of_layer)} for of_layer in labels)
            if tuple(map(len, numbers)) != sizes or tuple(map(len, labels)) != sizes:
                raise ValueError(f"labels must be distinct, {sizes} by layer, got {tuple(map(len, numbers))}")
        given = tuple(check_integer("given", size, 1) for size in fields["given"])
        if len(given) != (len(sizes) if affiliations else 0) or any(np.greater(given, sizes[: len(given)])):
            raise ValueError(f"given must be at most {sizes}, the classes by layer, got {given}")
        return cls(sizes, affiliations, given, numbers)


def _labels_of_rows(name: str, layer: Features) -> Iterator[tuple[int, Label]]:
    """Iterate over the labels of rows, with the number of the row."""
    for row, entry in enumerate(layer.tolist()):
        if type(entry) is str or (type(entry) is int and entry.bit_length() < 64):  # most are, and need no check
            yield row, entry
        else:
            for label in labels_of_entry(name, entry, f"row {row}"):
                yield row, label


def _numbered(name: str, layer: Features, numbers: Numbers, hint: str) -> Features:
    """Return labels by name as class indices (n,), or as a sparse 0/1 matrix (n, c) where some row has several."""
    rows, classes = list[int](), list[int]()
    unknown: dict[int, Label] = {}
    for row, label in _labels_of_rows(name, layer):
        if label in numbers:
            rows.append(row)
            classes.append(numbers[label])
        else:
            unknown.setdefault(row, label)
    if unknown:
        row, label = next(iter(unknown.items()))
        raise ValueError(f"{name} must be of known classes, got {label!r} in {name_rows(np.array([*unknown]))}{hint}")
    if len(set(rows)) == len(rows):
        indices = np.full(len(layer), -1, dtype=np.int64)
        indices[rows] = classes
        return indices
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows), dtype=bool), (rows, classes)), shape=(len(layer), len(numbers)))


# --- classes and their parents ----------------------------------------------------------------------------------------


def _is_hierarchy_by_name(hierarchy: object) -> bool:
    return isinstance(hierarchy, Sequence) and any(isinstance(entry, Mapping) for entry in hierarchy)


def _table_of_mappings(hierarchy: Any) -> ClassTable:
    """Return the table of a hierarchy of mappings {label: label of its parent}, one for each pair of layers."""
    numbers: list[Numbers] = []
    affiliations = []
    for k, entry in enumerate(hierarchy):
        name = f"hierarchy[{k}]"
        parents = _parents_by_label(name, entry)
        if not numbers:
            numbers.append(_numbers_of(parent for of_label in parents.values() for parent in of_label))
        affiliations.append(_affiliation_by_name(name, parents, numbers[-1]))
        numbers.append(_numbers_of(parents))
    sizes = tuple(map(len, numbers))
    return ClassTable(sizes, tuple(affiliations), sizes, tuple(numbers))


def _numbers_of(labels: Iterable[Label]) -> Numbers:
    """Return labels numbered by their first appearance."""
    return {label: i for i, label in enumerate(dict.fromkeys(labels))}


def _new_labels(parents: object) -> list[Label]:
    """Return the labels of new classes of the coarsest layer, which have no parents."""
    items = listed("parents", parents, "labels")
    labels = [check_label("parents", label, f"item {i}") for i, label in enumerate(items)]
    if not labels:
        raise ValueError("parents must hold the label of at least one class, got none")
    return labels


def _parents_by_label(name: str, entry: object) -> dict[Label, list[Label]]:
    """Return the parents of each label of a mapping, checked; a class with several parents has a set of them."""
    if not isinstance(entry, Mapping):
        raise TypeError(
            f"{name} must be a mapping of labels to the labels of their parents, where classes have labels by name, "
            f"got {type(entry).__name__}"
        )
    if not entry:
        raise ValueError(f"{name} must name the parent of at least one class, got none")
    found = {}
    for label, parents in entry.items():
        of_label = labels_of_entry(name, parents, f"the parents of {label!r}")
        if is_missing(label) or not of_label:
            raise ValueError(f"{name} must give every class a label and a parent, got {{{label!r}: {parents!r}}}")
        found[check_label(name, label, "its keys")] = of_label
    return found


def _affiliation_by_name(name: str, parents: Mapping[Label, list[Label]], numbers: Numbers) -> NDArray[np.bool_]:
    """Return the affiliation (c, c_new) of new classes with those of the coarser layer, which `numbers` has."""
    affiliation = np.zeros((len(numbers), len(parents)), dtype=bool)
    for j, (label, of_label) in enumerate(parents.items()):
        for parent in of_label:
            if parent not in numbers:
                raise ValueError(
                    f"{name} must name parents that are classes of the layer above, got {parent!r} for {label!r}"
                )
            affiliation[numbers[parent], j] = True
    return affiliation


def store_hierarchy(hierarchy: Any) -> Any:
    """Return the parameter `hierarchy` for a file: mappings as JSON, anything else as it is."""
    if not _is_hierarchy_by_name(hierarchy):
        return hierarchy

    def stored(parents: Any) -> Any:
        if not isinstance(parents, (set, frozenset)):
            return label_to_json(parents)
        return {"set": [label_to_json(label) for label in labels_of_entry("hierarchy", parents, "the parents")]}

    return [{"parents": [[label_to_json(label), stored(of)] for label, of in entry.items()]} for entry in hierarchy]


def restore_hierarchy(stored: Any) -> Any:
    """Return the parameter that ``store_hierarchy`` stored."""
    if not _is_hierarchy_by_name(stored):
        return stored

    def restored(of: Any) -> Any:
        is_stored_set = isinstance(of, Mapping) and "set" in of
        return {label_from_json(label) for label in of["set"]} if is_stored_set else label_from_json(of)

    return [{label_from_json(label): restored(of) for label, of in entry["parents"]} for entry in stored]

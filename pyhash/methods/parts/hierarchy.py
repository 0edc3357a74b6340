"""A hierarchy of classes, and the labels of samples in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import is_sparse
from pyhash._inputs.frames import is_frame
from pyhash._inputs.labels import (
    check_class_indices,
    check_label_matrix,
    count_class_indices,
    is_class_indices,
    name_rows,
    one_hot,
)
from pyhash._inputs.named_labels import label_rows

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features


def check_affiliations(hierarchy: object) -> list[NDArray[np.bool_]]:
    """Return the affiliation matrices A^{k,k+1} (c_k, c_{k+1}) of a hierarchy as a user gives it, coarse to fine.

    Each entry is the parent of every class of the next layer, (c_{k+1},) integers, or a 0/1 matrix (c_k, c_{k+1}).
    """
    if hierarchy is None:
        return []
    if not isinstance(hierarchy, Sequence) or isinstance(hierarchy, (str, bytes)):
        raise TypeError(
            f"hierarchy must be a list with one entry for each pair of layers, got {type(hierarchy).__name__}"
        )
    affiliations: list[NDArray[np.bool_]] = []
    for k, entry in enumerate(hierarchy):
        n_parents = affiliations[-1].shape[1] if affiliations else None
        affiliations.append(check_affiliation(f"hierarchy[{k}]", entry, n_parents, k))
    return affiliations


def check_affiliation(name: str, entry: object, n_parents: int | None, k: int) -> NDArray[np.bool_]:
    """Return the affiliation matrix (c_k, c_new) of classes of layer k + 1, as ``check_affiliations`` describes one.

    `n_parents` is c_k, None where the entry itself says it.
    """
    if is_class_indices(name, entry):
        parents = check_class_indices(name, entry, n_parents)
        if parents.size == 0:
            raise ValueError(f"{name} must name the parent of at least one class, got none")
        n_parents = n_parents or count_class_indices(name, parents, hint=", give the 0/1 matrix")
        affiliation: NDArray[np.bool_] = one_hot(parents, n_parents).T
    else:
        affiliation = check_label_matrix(name, entry)
        if n_parents is not None and len(affiliation) != n_parents:
            raise ValueError(f"{name} must have {n_parents} rows, the classes of layer {k}, got {len(affiliation)}")
    orphans = np.flatnonzero(~affiliation.any(axis=0))
    if orphans.size:
        raise ValueError(f"{name} must give every class a parent, class {orphans[0]} of layer {k + 1} has none")
    return affiliation


def affiliations_with_finest(affiliations: Sequence[NDArray[np.bool_]]) -> list[NDArray[np.float64]]:
    """Return A^{k,K} (c_k, c_K) for each k < K, the product of the matrices from k on.

    In a tree it says which class of layer k each finest class descends from; elsewhere it counts the ways.
    """
    products: list[NDArray[np.float64]] = []
    for affiliation in reversed(affiliations):
        below = affiliation.astype(np.float64)
        products.insert(0, below @ products[0] if products else below)
    return products


def label_layers(labels: Any, n_layers: int, n: int) -> list[Features]:
    """Return labels of `n` rows as one array for each layer, or for the finest layer alone; values are not checked.

    Labels by name are arrays of objects, as ``label_rows`` gives them.
    A list or tuple of arrays has one entry for each layer, coarse to fine; anything else is the finest layer.
    """
    if _is_by_layer(labels, n_layers, n):
        if len(labels) != n_layers:
            raise ValueError(f"labels must have one entry for each of {n_layers} layers, got {len(labels)}")
        layers = [label_rows(f"labels[{k}]", entry) for k, entry in enumerate(labels)]
    else:
        layers = [label_rows("labels", labels)]
    for k, layer in enumerate(layers):
        if layer.ndim == 0 or layer.shape[0] != n:
            name = "labels" if len(layers) == 1 else f"labels[{k}]"
            raise ValueError(f"{name} must have {n} rows, as the views have, got shape {layer.shape}")
    return layers


def _is_by_layer(labels: Any, n_layers: int, n: int) -> bool:
    if not isinstance(labels, (list, tuple)) or len(labels) == 0:
        return False
    if is_sparse(labels[0]) or is_frame(labels[0]) or isinstance(labels[0], np.ndarray):
        return len(labels) == 1 or n_layers > 1
    # Lists within a list are layers, unless there are as many as rows: then they are the rows of a matrix.
    is_nested = isinstance(labels[0], (list, tuple))
    return is_nested and n_layers > 1 and (len(labels) == n_layers or len(labels) != n)


def count_classes(layer: Features, n_known: int = 0) -> int:
    """Return how many classes the labels of a single layer show, or how many are known."""
    if is_class_indices("labels", layer):
        hint = "; ids are labels by name in an array of objects, labels.astype(object)"
        classes = check_class_indices("labels", layer, hint=hint, allow_unknown=True)
        return max(n_known, count_class_indices("labels", classes, f", pass n_classes{hint}", n_known))
    return max(n_known, int(layer.shape[1])) if layer.ndim == 2 else n_known


def label_matrices(
    layers: list[Features],
    affiliations: Sequence[NDArray[np.bool_]],
    n_classes: Sequence[int],
    first_row: int,
    *,
    allow_unlabelled: bool = False,
) -> list[NDArray[np.float64]]:
    """Return L^1, ..., L^K (n, c_k) of a chunk, checked.

    Rows whose finer classes are unknown have -1, or a zero row, in these layers; then L^k has a zero row. With
    `allow_unlabelled`, so may rows in all layers.

    Raises
    ------
    ValueError
        If a row has no label, and must have one.
    ValueError
        If the labels of a row contradict the hierarchy.
    """
    n_layers = len(n_classes)
    hint = "; add_classes takes new ones" if affiliations else "; a larger n_classes, or None, makes room for more"
    if len(layers) < n_layers:
        hint = (
            "; rows whose finest class is unknown need labels of the coarser layers: a list of one array for each"
            f"{hint}"
        )
    names = ["labels"] if len(layers) == 1 else [f"labels[{k}]" for k in range(n_layers)]
    matrices = [
        _label_matrix(name, layer, c, first_row, hint, allow_unknown=allow_unlabelled or k > 0)
        for k, (name, layer, c) in enumerate(zip(names, layers, n_classes[-len(layers) :], strict=True))
    ]
    empty = np.flatnonzero(~matrices[0].any(axis=1))
    if empty.size and not allow_unlabelled:
        also = hint if affiliations else ""
        raise ValueError(f"{names[0]} must give every row a label, none in {name_rows(empty, first_row)}{also}")
    if len(layers) < n_layers:  # the finest alone: the others follow from it
        for affiliation in reversed(affiliations):
            matrices.insert(0, _parents_of(matrices[0], affiliation))
    for k, affiliation in enumerate(affiliations):
        is_known = matrices[k + 1].any(axis=1)
        wrong = np.flatnonzero(is_known & (matrices[k] != _parents_of(matrices[k + 1], affiliation)).any(axis=1))
        if wrong.size:
            raise ValueError(
                f"labels must agree with the hierarchy: in {name_rows(wrong, first_row)} those of layer {k} "
                f"are not the parents of those of layer {k + 1}"
            )
    return [matrix.astype(np.float64) for matrix in matrices]


def _label_matrix(
    name: str, layer: Features, n_classes: int, first_row: int, hint: str, *, allow_unknown: bool
) -> NDArray[np.bool_]:
    if is_class_indices(name, layer):
        classes = check_class_indices(name, layer, n_classes, first_row, hint, allow_unknown=allow_unknown)
        return one_hot(classes, n_classes)
    return check_label_matrix(name, layer, n_classes, first_row)


def _parents_of(matrix: NDArray[np.bool_], affiliation: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parents: NDArray[np.bool_] = matrix.astype(np.float32) @ affiliation.T.astype(np.float32) > 0
    return parents

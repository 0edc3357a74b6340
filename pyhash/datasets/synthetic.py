"""Seeded generators of cross-modal data, of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import MAX_WIDTH, check_integer, check_real, is_iterable
from pyhash._inputs.labels import MAX_CLASSES
from pyhash.datasets.dataset import Dataset

# So that no size of an array computed from it overflows.
_MAX_SAMPLES = 1 << 32
_MAX_NOISE = 1e30

_DEFAULT_FEATURES = {"image": 64, "text": 128}
_LATENT = 32  # dimensions of the latent space


def make_hierarchical(
    n_samples: int = 1000,
    *,
    n_classes: Sequence[int] = (4, 16),
    n_features: Mapping[str, int] | None = None,
    noise: float = 1.0,
    query_fraction: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """Generate samples of a hierarchy of classes with several modalities.

    Every class has a random direction in a latent space, close to that of its parent. A sample is the direction of its
    finest class plus noise. Every modality is a random linear projection of the samples plus its own noise.

    Parameters
    ----------
    n_samples : int
        From 1 to 2**32.
    n_classes : sequence of int
        Number of classes of each layer, coarse to fine, never decreasing; from 1 to 2**24.
    n_features : mapping of str to int, optional
        Width of each modality, from 1 to 2**24; by default ``{"image": 64, "text": 128}``.
    noise : float
        Standard deviation of the noise, in units of the distance of a class from its parent; at most 1e30.
    query_fraction : float
        Fraction of the rows that are queries in the split "random", in [0, 1).
    seed : int

    Returns
    -------
    Dataset
        float32 views; labels "level1", "level2", ... (class indices); split "random".

    Raises
    ------
    TypeError
        If a size is not an integer, or `n_classes` not a sequence of them.
    TypeError
        If `n_features` is not a mapping, or the name of a modality not a string.
    ValueError
        If a size is out of its range.
    ValueError
        If `n_classes` or `n_features` is empty.
    ValueError
        If a layer has fewer classes than the layer above.
    ValueError
        If `noise` or `seed` is out of its range, or `query_fraction` not in [0, 1).

    Examples
    --------
    >>> make_hierarchical(100, n_classes=(2, 6))
    Dataset('hierarchical', 100 rows; views: image 64, text 128; labels: level1, level2)
    """
    n_samples = check_integer("n_samples", n_samples, 1, _MAX_SAMPLES)
    if not is_iterable(n_classes):
        raise TypeError(f"n_classes must be a sequence of integers, one for each layer, got {n_classes!r}")
    sizes = [check_integer(f"n_classes[{k}]", c, 1, MAX_CLASSES) for k, c in enumerate(n_classes)]
    if not sizes:
        raise ValueError("n_classes must hold at least one layer, got none")
    if any(fine < coarse for coarse, fine in pairwise(sizes)):
        raise ValueError(f"n_classes must not shrink from coarse to fine, got {tuple(sizes)}")
    noise = _check_noise(noise)
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    directions = rng.standard_normal((sizes[0], _LATENT)) * 2
    parents = []
    for coarse, fine in pairwise(sizes):
        # Every class has a child before any has a second.
        parent = np.sort(np.concatenate([np.arange(coarse), rng.integers(0, coarse, fine - coarse)]))
        directions = directions[parent] + rng.standard_normal((fine, _LATENT))
        parents.append(parent)
    classes = [rng.integers(0, sizes[-1], n_samples)]
    for parent in reversed(parents):
        classes.insert(0, parent[classes[0]])
    samples = directions[classes[-1]] + noise * rng.standard_normal((n_samples, _LATENT))
    layers = tuple(f"level{k + 1}" for k in range(len(sizes)))
    return Dataset(
        name="hierarchical",
        views=_views(samples, n_features, noise, rng),
        labels=dict(zip(layers, classes, strict=True)),
        label_names={layer: [f"{layer}.{c}" for c in range(n)] for layer, n in zip(layers, sizes, strict=True)},
        hierarchy=parents,
        layers=layers,
        splits={"random": _queries(n_samples, query_fraction, rng)},
    )


def make_multilabel(
    n_samples: int = 1000,
    *,
    n_classes: int = 24,
    mean_labels: float = 3.0,
    n_features: Mapping[str, int] | None = None,
    noise: float = 1.0,
    query_fraction: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """Generate samples with several labels each and several modalities.

    Every class has a random direction in a latent space. A sample is the mean of the directions of its classes plus
    noise. The most frequent class is about ten times as frequent as the rarest.

    Parameters
    ----------
    n_samples : int
        From 1 to 2**32.
    n_classes : int
        From 1 to 2**24.
    mean_labels : float
        Mean number of labels of a sample, from 0 to `n_classes`. The actual mean is higher if this is near 0, since
        every sample has at least one label, and lower if it is near `n_classes`.
    n_features, noise, query_fraction, seed
        As for ``make_hierarchical``.

    Returns
    -------
    Dataset
        float32 views; labels "classes", a 0/1 matrix (n_samples, n_classes) uint8; split "random".

    Raises
    ------
    TypeError
        If a size is not an integer.
    TypeError
        If `n_features` is not a mapping, or the name of a modality not a string.
    ValueError
        If a number is out of its range.
    ValueError
        If `n_features` is empty.

    Examples
    --------
    >>> make_multilabel(100)
    Dataset('multilabel', 100 rows; views: image 64, text 128; labels: classes)
    """
    n_samples = check_integer("n_samples", n_samples, 1, _MAX_SAMPLES)
    n_classes = check_integer("n_classes", n_classes, 1, MAX_CLASSES)
    noise = _check_noise(noise)
    if check_real("mean_labels", mean_labels, 0.0) > n_classes:
        raise ValueError(f"mean_labels must be at most n_classes={n_classes}, got {mean_labels}")
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    frequency = np.geomspace(1.0, 0.1, n_classes)
    probability = np.minimum(frequency * mean_labels / frequency.sum(), 1.0)
    labels = (rng.random((n_samples, n_classes)) < probability).astype(np.uint8)
    bare = np.flatnonzero(~labels.any(axis=1))
    labels[bare, rng.integers(0, n_classes, len(bare))] = 1
    directions = 2 * rng.standard_normal((n_classes, _LATENT))
    samples = labels @ directions / labels.sum(axis=1, keepdims=True)
    samples += noise * rng.standard_normal((n_samples, _LATENT))
    return Dataset(
        name="multilabel",
        views=_views(samples, n_features, noise, rng),
        labels={"classes": labels},
        label_names={"classes": [f"class.{c}" for c in range(n_classes)]},
        hierarchy=[],
        layers=("classes",),
        splits={"random": _queries(n_samples, query_fraction, rng)},
    )


def make_drifting(
    n_samples: int = 1000,
    *,
    n_classes: int = 10,
    turn: float = 180.0,
    n_features: Mapping[str, int] | None = None,
    noise: float = 1.0,
    query_fraction: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """Generate a stream of samples whose features rotate, so that what was learned early becomes wrong.

    Every class has a random direction in a latent space. A sample is the direction of its class plus noise, rotated by
    an angle that grows evenly from the first row to the last. Every modality is a random linear projection of the
    samples plus its own noise. Rows are in the order of time: do not shuffle them.

    Parameters
    ----------
    n_samples : int
        From 1 to 2**32.
    n_classes : int
        From 1 to 2**24.
    turn : float
        Angle in degrees by which the features have turned at the last row, >= 0.
    n_features, noise, seed
        As for ``make_hierarchical``.
    query_fraction : float
        Fraction of the rows, the last ones, that are queries in the split "latest", in [0, 1).

    Returns
    -------
    Dataset
        float32 views; labels "classes" (class indices); split "latest".

    Raises
    ------
    TypeError
        If a size is not an integer.
    ValueError
        If a number is out of its range.
    ValueError
        If `n_features` is empty.

    Examples
    --------
    >>> make_drifting(100)
    Dataset('drifting', 100 rows; views: image 64, text 128; labels: classes)
    """
    n_samples = check_integer("n_samples", n_samples, 1, _MAX_SAMPLES)
    n_classes = check_integer("n_classes", n_classes, 1, MAX_CLASSES)
    angles = np.radians(check_real("turn", turn, 0.0)) * np.linspace(0.0, 1.0, n_samples)
    noise = _check_noise(noise)
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    directions = 2 * rng.standard_normal((n_classes, _LATENT))
    classes = rng.integers(0, n_classes, n_samples)
    samples = directions[classes] + noise * rng.standard_normal((n_samples, _LATENT))
    # The same angle in each of the planes of two neighbouring coordinates.
    x, y = samples[:, ::2], samples[:, 1::2]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    samples[:, ::2], samples[:, 1::2] = cos * x - sin * y, sin * x + cos * y
    views = _views(samples, n_features, noise, rng)
    is_query = np.arange(n_samples) >= n_samples - int(_check_query_fraction(query_fraction) * n_samples)
    return Dataset(
        name="drifting",
        views=views,
        labels={"classes": classes},
        label_names={"classes": [f"class.{c}" for c in range(n_classes)]},
        hierarchy=[],
        layers=("classes",),
        splits={"latest": is_query},
    )


def _check_noise(noise: float) -> float:
    """Return the noise; raise if float32 could not hold the features."""
    checked = check_real("noise", noise, 0.0)
    if checked > _MAX_NOISE:
        raise ValueError(f"noise must be at most {_MAX_NOISE:g}, got {checked:g}")
    return checked


def _views(
    samples: NDArray[np.float64], n_features: Mapping[str, int] | None, noise: float, rng: np.random.Generator
) -> dict[str, Any]:
    views = {}
    n_features = _DEFAULT_FEATURES if n_features is None else n_features
    if not isinstance(n_features, Mapping):
        raise TypeError(f"n_features must be a mapping of names to integers, got {n_features!r}")
    if not n_features:
        raise ValueError("n_features must hold at least one modality, got none")
    for name, width in n_features.items():
        if not isinstance(name, str):
            raise TypeError(f"n_features must have names of type str, got {name!r}")
        check_integer(f"n_features[{name!r}]", width, 1, MAX_WIDTH)
        linear = rng.standard_normal((samples.shape[1], width)) / np.sqrt(samples.shape[1])
        view = samples @ linear + 0.5 * noise * rng.standard_normal((len(samples), width))
        views[name] = view.astype(np.float32)
    return views


def _queries(n: int, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    is_query = np.zeros(n, dtype=bool)
    is_query[rng.permutation(n)[: int(_check_query_fraction(fraction) * n)]] = True
    return is_query


def _check_query_fraction(fraction: float) -> float:
    checked = check_real("query_fraction", fraction, 0.0)
    if checked >= 1:
        raise ValueError(f"query_fraction must be in [0, 1), got {fraction}")
    return checked

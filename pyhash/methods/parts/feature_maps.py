"""Feature maps: transform the features of a modality before learning."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import (
    as_rows,
    check_bool,
    check_features,
    check_integer,
    check_real,
    is_sparse,
    shape_of_features,
)
from pyhash._inputs.sparse import checked_sparse
from pyhash.methods.parts.growth import KernelFactor, complete_rows
from pyhash.methods.parts.parameters import Parameters
from pyhash.methods.parts.transformer import Transformer

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._files.archive import Archive
    from pyhash._inputs.checks import Features
    from pyhash.methods.parts.onnx_graph import Graph

__all__ = ["Centering", "FeatureMap", "RBFAnchors", "Standardizing", "UnitLength"]

# Rows that are converted or mapped at a time, so that the float64 copy of a block is small.
ROWS_PER_BLOCK = 8192
_NUMBERS_PER_BLOCK = 1 << 22
# The width of a kernel is measured on at most so many rows.
_ROWS_FOR_WIDTH = 20_000
_WIDTHS = ("half_mean_squared_distance", "mean_squared_distance", "mean_distance")


# The error of values whose sums or squares float64 cannot hold; the name of the argument is filled in.
TOO_LARGE = "{} must have squares that float64 can sum up, got values that are too large"


class _TooLargeError(ValueError):
    """Error of a map, which does not know what its rows are called."""


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Raise the error of values that are too large with the name of the rows."""
    try:
        yield
    except _TooLargeError:
        raise ValueError(TOO_LARGE.format(what)) from None


def row_blocks(n: int, width: int = 0) -> Iterator[slice]:
    """Return slices that cut n rows into blocks; smaller ones where each row needs `width` numbers at a time."""
    size = min(ROWS_PER_BLOCK, max(1, _NUMBERS_PER_BLOCK // max(1, width)))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def check_rows(name: str, rows: Features, first_row: int = 0, present: NDArray[np.bool_] | None = None) -> None:
    """Raise unless features are real and finite, in the rows that `present` (n,) marks; checks a block at a time."""
    for block in row_blocks(rows.shape[0]):
        of_block = rows[block]
        if present is not None and not present[block].all():
            of_block = _with_zeros(of_block, ~present[block])
        check_features(name, of_block, first_row + block.start)


def _with_zeros(rows: Features, where: NDArray[np.bool_]) -> Features:
    """Return a copy of rows with zeros in those that `where` (n,) marks."""
    copied = rows.copy()
    if is_sparse(copied):
        copied.data[np.repeat(where, np.diff(copied.indptr))] = 0
    else:
        copied[where] = 0
    return copied


class FeatureMap(Transformer, Parameters):
    """Base class of feature maps: fitted on the first chunk of a stream, applied to all later features.

    Every method takes ``feature_maps={modality: map}``. A map is one of this module, any object with scikit-learn's
    ``fit(X)`` and ``transform(X)``, or None to leave the features unchanged. Methods fit a copy: the object that was
    passed does not change. Maps are transformers of scikit-learn too, for its pipelines.

    Learned attributes end in an underscore. The file of a model stores them.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of the rows in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,), object
        Names of the columns; only where ``fit`` was given a data frame whose columns all have names of type str.

    Examples
    --------
    >>> import numpy as np
    >>> from pyhash import LEMON, Centering
    >>> X, labels = np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 3.0]]), [0, 1, 0]
    >>> model = LEMON(8, feature_maps={"image": Centering()}).fit({"image": X, "text": X}, labels)
    >>> model.encode(X, modality="image").shape
    (3, 1)
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the map to rows.

        Parameters
        ----------
        X : array_like or scipy.sparse of shape (n, n_features)
            n >= 1. Data frames count as arrays.
        y : object
            Ignored; scikit-learn passes it.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If X does not hold real numbers.
        ValueError
            If X is not finite, or its sums or squares are too large for float64.
        ValueError
            If X has no rows.
        TypeError, ValueError
            If a parameter is not one that the class describes.
        """
        rows = self._rows_to_fit(X)
        if rows.shape[0] == 0:
            raise ValueError("X must have at least one row, got none")
        check_rows("X", rows)
        with _naming("X"):
            self.fit_checked(rows)
        self._remember_names(X)
        return self

    def fit_checked(self, rows: Features) -> Self:
        """Fit the map to rows that were checked, whose columns have no names."""
        self._fit(rows)
        self.n_features_in_ = int(rows.shape[1])
        self._remember_names(rows)
        return self

    def transform(self, X: Any) -> Any:
        """Return the rows mapped.

        Parameters
        ----------
        X : array_like or scipy.sparse of shape (n, n_features)

        Returns
        -------
        ndarray or csr_array of shape (n, n_features_out), float64
            A data frame where ``set_output`` says so.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        TypeError
            If X does not hold real numbers.
        ValueError
            If X is not finite.
        ValueError
            If X has another number of columns than the rows in ``fit``, or columns of other names.
        ValueError
            If the output is sparse, and ``set_output`` asks for data frames.
        """
        rows = self._rows_to_transform(X)
        with _naming("X"):
            return self._as_output(X, self._transform(check_features("X", rows)))

    @property
    def _n_features_out(self) -> int:
        return int(self.n_features_in_)

    @abstractmethod
    def _fit(self, rows: Features) -> None:
        """Set the learned attributes from checked rows."""

    @abstractmethod
    def _transform(self, rows: Features) -> Features:
        """Return checked float64 rows mapped."""

    def in_graph(self, graph: Graph, x: str) -> str:
        """Return rows x (n, n_features) float64 of a graph mapped, as ``_transform``; raise TypeError if it cannot."""
        raise TypeError(f"a {type(self).__name__} has no form in ONNX")

    def width_of(self, n: int, n_features: int) -> int | None:
        """Return the number of columns that the map gives once fitted to `n` rows; None if only fitting tells."""
        return None

    @property
    def can_grow(self) -> bool:
        """Whether later chunks add columns to those of the fitted map."""
        return False

    def n_joining(self, n_columns: int, n: int) -> int:
        """Return how many columns n rows of a later chunk add to `n_columns`."""
        return 0

    def grown(self, rows: Features, chunk: int) -> tuple[Self, NDArray[np.float64]]:
        """Return this map with more columns, and the matrix C that completes sums of earlier rows.

        Called with the checked rows of chunks after the first, numbered from 1, while the map can grow. The new columns
        follow the old ones; earlier rows X have X C in them, C (n_old, n_new). This map is unchanged.
        """
        raise NotImplementedError

    def is_same_as(self, other: object) -> bool:
        """Return whether another fitted map maps rows exactly as this one."""
        if type(self) is not type(other) or self.n_features_in_ != other.n_features_in_:
            return False
        learned = other.learned()
        return all(np.array_equal(array, learned[name]) for name, array in self.learned().items())

    def learned(self) -> dict[str, NDArray[Any]]:
        """Return the learned attributes as arrays, by name."""
        return {}

    def restore(self, n_features: int, archive: Archive, prefix: str) -> None:
        """Set the learned attributes from the arrays of a file; their names begin with `prefix`."""
        self.n_features_in_ = n_features


class Centering(FeatureMap):
    """Map that subtracts the mean of the rows it was fitted to.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,), float64

    Examples
    --------
    >>> Centering().fit([[1.0, 2.0], [3.0, 6.0]]).transform([[1.0, 2.0]])
    array([[-1., -2.]])
    """

    _keeps_columns = True
    mean_: NDArray[np.float64]

    def __init__(self) -> None:
        pass

    def _fit(self, rows: Features) -> None:
        self.mean_ = _mean(rows)

    def _transform(self, rows: Features) -> Features:
        return _dense(rows) - self.mean_

    def in_graph(self, graph: Graph, x: str) -> str:  # noqa: D102
        return str(graph.add("Sub", x, self.mean_))

    def width_of(self, n: int, n_features: int) -> int | None:  # noqa: D102
        return n_features

    def learned(self) -> dict[str, NDArray[Any]]:  # noqa: D102
        return {"mean": self.mean_}

    def restore(self, n_features: int, archive: Archive, prefix: str) -> None:  # noqa: D102
        self.mean_ = archive.array(f"{prefix}mean", np.float64, (n_features,))
        super().restore(n_features, archive, prefix)


class Standardizing(FeatureMap):
    """Map to mean 0 and standard deviation 1, as measured on the rows it was fitted to.

    Constant columns become 0.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (n_features,), float64

    Examples
    --------
    >>> Standardizing().fit([[1.0, 5.0], [3.0, 5.0]]).transform([[5.0, 5.0]])
    array([[3., 0.]])
    """

    _keeps_columns = True
    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]

    def __init__(self) -> None:
        pass

    def _fit(self, rows: Features) -> None:
        self.mean_ = _mean(rows)
        squares = np.zeros_like(self.mean_)
        for block in row_blocks(rows.shape[0]):
            with np.errstate(over="ignore"):
                squares += ((_dense(check_features("X", rows[block], block.start)) - self.mean_) ** 2).sum(axis=0)
        scale = np.sqrt(_in_range(squares) / rows.shape[0])
        # A column that varies by no more than rounding errors is constant.
        self.scale_ = np.where(scale > 1e-12 * np.abs(self.mean_), scale, np.inf)

    def _transform(self, rows: Features) -> Features:
        return (_dense(rows) - self.mean_) / self.scale_

    def in_graph(self, graph: Graph, x: str) -> str:  # noqa: D102
        return str(graph.add("Div", graph.add("Sub", x, self.mean_), self.scale_))

    def width_of(self, n: int, n_features: int) -> int | None:  # noqa: D102
        return n_features

    def learned(self) -> dict[str, NDArray[Any]]:  # noqa: D102
        return {"mean": self.mean_, "scale": self.scale_}

    def restore(self, n_features: int, archive: Archive, prefix: str) -> None:  # noqa: D102
        self.mean_ = archive.array(f"{prefix}mean", np.float64, (n_features,))
        self.scale_ = archive.array(f"{prefix}scale", np.float64, (n_features,))
        super().restore(n_features, archive, prefix)


class UnitLength(FeatureMap):
    """Map that scales every row to Euclidean length 1.

    Rows of zeros stay zero. Sparse rows stay sparse.

    Examples
    --------
    >>> UnitLength().fit([[1.0, 0.0]]).transform([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """

    _keeps_columns = True

    def __init__(self) -> None:
        pass

    def _fit(self, rows: Features) -> None:
        pass

    def width_of(self, n: int, n_features: int) -> int | None:  # noqa: D102
        return n_features

    def _transform(self, rows: Features) -> Features:
        # By the largest value first: squares of very large or very small ones are out of float64's range.
        for scale in (_largest_values, _lengths):
            sizes = scale(rows)
            sizes[sizes == 0] = 1.0
            if is_sparse(rows):
                rows = rows.copy()
                rows.data /= np.repeat(sizes, np.diff(rows.indptr))
            else:
                rows = rows / sizes[:, None]
        return rows

    def in_graph(self, graph: Graph, x: str) -> str:  # noqa: D102
        for is_largest in (True, False):
            if is_largest:
                sizes = graph.rows_max(graph.add("Abs", x))
            else:
                sizes = graph.add("Sqrt", graph.rows_sum(graph.add("Mul", x, x)))
            is_zero = graph.add("Equal", sizes, np.float64(0))
            x = graph.add("Div", x, graph.add("Where", is_zero, np.float64(1), sizes))
        return x


class RBFAnchors(FeatureMap):
    """Map to radial basis functions around anchors: ``K[i, j] = exp(-||x_i - a_j||^2 / (2 sigma^2))``.

    Online methods can let the map grow with the stream: rows of later chunks become anchors too. The sums that a model
    keeps of earlier rows are then completed, as described in the notes.

    Parameters
    ----------
    n_anchors : int
        Rows drawn as anchors, without repetition, from those it is fitted to; all rows if there are fewer.
    grow : int
        Rows drawn as further anchors from every later chunk, until there are `max_anchors`; all rows if there are
        fewer. Offline methods learn a single chunk, so their maps never grow.
    max_anchors : int or None
        Number of anchors at which growth ends, at least `n_anchors`; None: no end. The memory of a model grows with the
        square of the number of anchors, and so does the cost of a chunk.
    width : {"half_mean_squared_distance", "mean_squared_distance", "mean_distance"} or float
        sigma: the root of half the mean squared distance of two rows, which is the root of the summed variances of the
        columns; the root of the mean squared distance of rows to anchors (BATCH); their mean distance (DSFH); or a
        number > 0. Distances to anchors are measured on at most 20,000 rows.
    centered : bool
        Whether to subtract from every column its mean over the rows it was fitted to.
    seed : int
        Seed of the choice of anchors.

    Attributes
    ----------
    anchors_ : ndarray or csr_array of shape (n, n_features), float64
        The n anchors so far, in the order in which they joined.
    width_ : float
        sigma; measured once, on the rows that the map is fitted to.
    mean_ : ndarray of shape (n,), float64
        Subtracted from the columns; zeros if `centered` is False.

    Notes
    -----
    When anchors B join anchors A, the kernel values of earlier rows x at B are predicted from those at A:
    ``k(x, B) = k(x, A) C``, ``C = (K_AA + 1e-6 n I)^{-1} K_AB``, where n is the number of anchors after the fit. This
    completes the sums of earlier rows: K'K, K'L and K'1 become ``[[G, G C], [C'G, C'G C]]``, ``[F; C'F]`` and
    ``[s; C's]``. Means of the columns are completed in the same way.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((200, 8))
    >>> K = RBFAnchors(50).fit(X).transform(X[:3])
    >>> K.shape, bool((K > 0).all() and (K <= 1).all())
    ((3, 50), True)
    """

    _drawn_rows: NDArray[np.int64]
    anchors_: Features
    width_: float
    mean_: NDArray[np.float64]
    _joined: tuple[int, ...]  # numbers of anchors after the fit and after each growth
    _factor: KernelFactor | None = None  # of the anchors, once they grew and while they may grow further

    def __init__(
        self,
        n_anchors: int = 1500,
        *,
        grow: int = 0,
        max_anchors: int | None = None,
        width: str | float = "half_mean_squared_distance",
        centered: bool = False,
        seed: int = 0,
    ) -> None:
        self.n_anchors = n_anchors
        self.grow = grow
        self.max_anchors = max_anchors
        self.width = width
        self.centered = centered
        self.seed = seed

    def _fit(self, rows: Features) -> None:
        n = rows.shape[0]
        rng = np.random.default_rng(check_integer("seed", self.seed, 0))
        n_anchors = min(check_integer("n_anchors", self.n_anchors, 1), n)
        self.n_joining(n_anchors, n)  # checks the parameters of growth
        width = self._check_width()
        check_bool("centered", self.centered)
        self._drawn_rows = np.sort(rng.choice(n, n_anchors, replace=False))
        anchors = check_features("X", rows[self._drawn_rows])
        if width == "half_mean_squared_distance":
            width = _deviation(rows)
        elif isinstance(width, str):
            measured = rows if n <= _ROWS_FOR_WIDTH else rows[np.sort(rng.choice(n, _ROWS_FOR_WIDTH, replace=False))]
            width = _measure_width(measured, anchors, width)
        self.anchors_, self.width_, self.mean_ = anchors, width, np.zeros(n_anchors)
        self._joined, self._factor = (n_anchors,), None
        if self.centered:
            total = np.zeros(n_anchors)
            for block in row_blocks(n):
                total += self._transform(check_features("X", rows[block], block.start)).sum(axis=0)
            self.mean_ = total / n

    def n_joining(self, n_columns: int, n: int) -> int:  # noqa: D102
        grow = check_integer("grow", self.grow, 0)
        if self.max_anchors is not None:
            at_least = check_integer("n_anchors", self.n_anchors, 1)
            if check_integer("max_anchors", self.max_anchors, 1) < at_least:
                raise ValueError(f"max_anchors must be None or >= n_anchors, {at_least}, got {self.max_anchors}")
            grow = min(grow, self.max_anchors - n_columns)
        return min(grow, n)

    @property
    def can_grow(self) -> bool:  # noqa: D102
        return self.n_joining(self.anchors_.shape[0], 1) > 0

    def grown(self, rows: Features, chunk: int) -> tuple[Self, NDArray[np.float64]]:  # noqa: D102
        n_old = self.anchors_.shape[0]
        n_new = self.n_joining(n_old, rows.shape[0])
        rng = np.random.default_rng([check_integer("seed", self.seed, 0), chunk])
        drawn = np.sort(rng.choice(rows.shape[0], n_new, replace=False))
        new = _in_form_of(self.anchors_, check_features("X", rows[drawn]))
        factor = self._factor or self._factor_again()
        half = factor.half_solved(self._kernel_of(self.anchors_, new))
        C = factor.completion(half)
        grown = copy.copy(self)
        grown.anchors_ = _stacked(self.anchors_, new)
        grown.mean_ = complete_rows(self.mean_, C)
        grown._drawn_rows = drawn
        grown._joined = (*self._joined, n_old + n_new)
        # A cache: files do not hold it.
        grown._factor = factor.extended(half, self._kernel_of(new, new)) if grown.can_grow else None
        return grown, C

    @property
    def drawn_rows(self) -> NDArray[np.int64]:
        """Numbers of the anchors that joined last, among the rows the map was fitted to or grew with; not in files."""
        return self._drawn_rows

    @property
    def joined(self) -> tuple[int, ...]:
        """Numbers of anchors there were: after the fit, and after each growth."""
        return self._joined

    def fixed(self) -> Self:
        """Return the map with all its anchors, which never grows."""
        fixed = copy.copy(self)
        fixed.grow, fixed.max_anchors, fixed._joined, fixed._factor = 0, None, (len(self.mean_),), None
        return fixed

    def first(self, n_anchors: int) -> Self:
        """Return the map as it was when there were so many anchors, one of ``joined``."""
        return self._of_anchors(np.arange(len(self.mean_)) < n_anchors)

    def without_anchors(self, dropped: NDArray[np.bool_]) -> Self:
        """Return the map without the anchors that `dropped` (n,) marks; one at least must stay."""
        return self._of_anchors(~dropped)

    def _of_anchors(self, kept: NDArray[np.bool_]) -> Self:
        some = copy.copy(self)
        some.anchors_, some.mean_ = self.anchors_[kept], self.mean_[kept]
        left = np.concatenate([[0], np.cumsum(kept)])[list(self._joined)]
        some._joined, some._factor = tuple(sorted({int(n) for n in left if n > 0})), None
        return some

    def completions(self, n_anchors: int) -> Iterator[NDArray[np.float64]]:
        """Iterate over the matrices C of the growths since there were so many anchors, as ``grown`` gave them."""
        for n_old, n in pairwise(self._joined):
            if n_old >= n_anchors:
                earlier, new = self.first(n_old), self.anchors_[n_old:n]
                factor = earlier._factor_again()
                yield factor.completion(factor.half_solved(self._kernel_of(earlier.anchors_, new)))

    def is_same_as(self, other: object) -> bool:  # noqa: D102
        return (
            isinstance(other, RBFAnchors)
            and self.width_ == other.width_
            and np.array_equal(self.mean_, other.mean_)
            and _are_equal(self.anchors_, other.anchors_)
        )

    def _factor_again(self) -> KernelFactor:
        """Return the factor of the anchors, computed in the steps in which they joined, so that it is the same."""
        first = self.anchors_[: self._joined[0]]
        factor = KernelFactor.of(self._kernel_of(first, first))
        for n_old, n in pairwise(self._joined):
            old, new = self.anchors_[:n_old], self.anchors_[n_old:n]
            factor = factor.extended(factor.half_solved(self._kernel_of(old, new)), self._kernel_of(new, new))
        return factor

    def _check_width(self) -> str | float:
        if isinstance(self.width, str):
            if self.width not in _WIDTHS:
                raise ValueError(f"width must be {', '.join(map(repr, _WIDTHS))} or a number, got {self.width!r}")
            return self.width
        return check_real("width", self.width, 0.0, exclusive=True)

    def _kernel_of(self, rows: Features, anchors: Features) -> NDArray[np.float64]:
        kernel = _squared_distances(rows, anchors)
        kernel *= -0.5 / self.width_**2
        np.exp(kernel, out=kernel)
        return kernel

    def _transform(self, rows: Features) -> Features:
        kernel = self._kernel_of(rows, self.anchors_)
        kernel -= self.mean_
        return kernel

    def in_graph(self, graph: Graph, x: str) -> str:  # noqa: D102
        anchors = _dense(self.anchors_)
        product = graph.add("MatMul", x, -2.0 * anchors.T)
        squares = graph.add("Add", product, graph.rows_sum(graph.add("Mul", x, x)))
        squares = graph.add("Max", graph.add("Add", squares, _squared_lengths(anchors)), np.float64(0))
        kernel = graph.add("Exp", graph.add("Mul", squares, np.float64(-0.5 / self.width_**2)))
        return str(graph.add("Sub", kernel, self.mean_))

    @property
    def _n_features_out(self) -> int:
        return len(self.mean_)

    def width_of(self, n: int, n_features: int) -> int | None:  # noqa: D102
        return min(check_integer("n_anchors", self.n_anchors, 1), n)

    def learned(self) -> dict[str, NDArray[Any]]:  # noqa: D102
        arrays: dict[str, NDArray[Any]] = {"mean": self.mean_, "width": np.float64(self.width_)}
        if self.grow:
            arrays["joined"] = np.array(self._joined, dtype=np.int64)
        if is_sparse(self.anchors_):
            parts = {"data": self.anchors_.data, "indices": self.anchors_.indices, "indptr": self.anchors_.indptr}
            return arrays | {f"anchors.{name}": np.asarray(part) for name, part in parts.items()}
        return arrays | {"anchors": self.anchors_}

    def restore(self, n_features: int, archive: Archive, prefix: str) -> None:  # noqa: D102
        self.mean_ = archive.array(f"{prefix}mean", np.float64, (None,))
        self.width_ = check_real("width", archive.array(f"{prefix}width", np.float64, ()).item(), 0.0, exclusive=True)
        shape = (len(self.mean_), n_features)
        self.n_joining(shape[0], 1)  # checks the parameters of growth
        self._joined = (shape[0],)
        if self.grow:
            joined = archive.array(f"{prefix}joined", np.int64, (None,))
            if len(joined) == 0 or joined[0] < 1 or (np.diff(joined) < 1).any() or joined[-1] != shape[0]:
                raise ValueError(f"{prefix}joined must increase to {shape[0]}, the number of anchors, got {joined}")
            self._joined = tuple(joined.tolist())
        if f"{prefix}anchors" in archive.arrays:
            self.anchors_ = archive.array(f"{prefix}anchors", np.float64, shape)
        else:
            data = archive.array(f"{prefix}anchors.data", np.float64, (None,))
            # scipy chooses the size of its integers by the platform and the array.
            size = archive.arrays[f"{prefix}anchors.indices"].dtype
            if size not in (np.int32, np.int64):
                raise ValueError(f"{prefix}anchors.indices must be int32 or int64, got {size}")
            indices = archive.array(f"{prefix}anchors.indices", size, (len(data),))
            indptr = archive.array(f"{prefix}anchors.indptr", size, (shape[0] + 1,))
            self.anchors_ = checked_sparse("csr", data, indices, indptr, shape)
        super().restore(n_features, archive, prefix)


MAPS: dict[str, type[FeatureMap]] = {
    "Centering": Centering,
    "RBFAnchors": RBFAnchors,
    "Standardizing": Standardizing,
    "UnitLength": UnitLength,
}


def check_feature_map(name: str, value: object) -> Any:
    """Return `value`; raise unless it is None or has ``fit`` and ``transform``."""
    if value is None or (callable(getattr(value, "fit", None)) and callable(getattr(value, "transform", None))):
        if isinstance(value, type):
            raise TypeError(f"{name} must be a map such as {value.__name__}(), got the class itself")
        return value
    raise TypeError(f"{name} must be None or have fit and transform, got {type(value).__name__}")


def check_feature_maps(value: object) -> dict[str, Any]:
    """Return the parameter feature_maps as a dict, checked."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"feature_maps must be a mapping of modality names to maps, got {type(value).__name__}")
    return {str(name): check_feature_map(f"feature_maps[{name!r}]", entry) for name, entry in value.items()}


def mapped_width(feature_map: Any, n: int, n_features: int) -> int | None:
    """Return the number of features after a map that will be fitted to `n` rows; None if only fitting tells."""
    if feature_map is None:
        return n_features
    return feature_map.width_of(n, n_features) if isinstance(feature_map, FeatureMap) else None


def fitted_copy(what: str, feature_map: Any, rows: Features) -> Any:
    """Return a copy of a map, fitted to rows; None for None. Errors call the rows `what`."""
    if feature_map is None:
        return None
    fitted = copy.deepcopy(feature_map)
    if not isinstance(fitted, FeatureMap):
        return fitted.fit(rows)
    with _naming(what):
        return fitted.fit_checked(rows)


def grown_copy(
    what: str, feature_map: Any, rows: Features, chunk: int, first_row: int = 0
) -> tuple[Any, NDArray[np.float64]] | None:
    """Return a map with more columns and the matrix C that completes sums, or None: see ``FeatureMap.grown``.

    Maps that are not pyhash's own never grow. Errors call the rows `what`.
    """
    if not isinstance(feature_map, FeatureMap) or not feature_map.can_grow:
        return None
    check_rows(what, rows, first_row)  # before some of them are drawn
    with _naming(what):
        return feature_map.grown(rows, chunk)


def apply_map(what: str, modality: str, feature_map: Any, rows: Features) -> Features:
    """Return checked float64 rows mapped; the output of maps that are not pyhash's own is checked.

    Errors call the rows `what`.
    """
    if feature_map is None:
        return rows
    if isinstance(feature_map, FeatureMap):
        with _naming(what):
            return feature_map._transform(rows)
    name = f"what feature_maps[{modality!r}] makes"
    mapped = as_rows(name, feature_map.transform(rows))
    n, _ = shape_of_features(name, mapped)
    if n != rows.shape[0]:
        raise ValueError(f"{name} must have as many rows as it is given, {rows.shape[0]}, got {n}")
    return check_features(name, mapped)


def map_in_graph(graph: Graph, modality: str, feature_map: Any, x: str) -> str:
    """Return rows x (n, n_features) float64 of a graph mapped."""
    if feature_map is None:
        return x
    if not isinstance(feature_map, FeatureMap):
        raise TypeError(
            f"feature_maps[{modality!r}] must be one of {', '.join(MAPS)} to be part of an ONNX file, "
            f"got a {type(feature_map).__name__}; map the features before the model sees them"
        )
    return feature_map.in_graph(graph, x)


def _mean(rows: Features) -> NDArray[np.float64]:
    total = np.zeros(rows.shape[1])
    for block in row_blocks(rows.shape[0]):
        with np.errstate(over="ignore", invalid="ignore"):
            total += np.asarray(check_features("X", rows[block], block.start).sum(axis=0)).ravel()
    mean: NDArray[np.float64] = _in_range(total) / rows.shape[0]
    return mean


def _dense(rows: Features) -> NDArray[np.float64]:
    dense: NDArray[np.float64] = rows.toarray() if is_sparse(rows) else rows
    return dense


def _in_range(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `sums`; raise if they are too large for float64."""
    if not np.isfinite(sums).all():
        raise _TooLargeError
    return sums


def _largest_values(rows: Features) -> NDArray[np.float64]:
    largest = abs(rows).max(axis=1)
    return np.asarray(largest.toarray() if is_sparse(largest) else largest, dtype=np.float64).ravel()


def _lengths(rows: Features) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(_squared_lengths(rows))
    return lengths


def _squared_lengths(rows: Features) -> NDArray[np.float64]:
    if is_sparse(rows):
        return np.asarray(rows.multiply(rows).sum(axis=1), dtype=np.float64).ravel()
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows)
    return squares


def _squared_distances(rows: Features, anchors: Features) -> NDArray[np.float64]:
    """Return squared Euclidean distances (n, n_anchors)."""
    with np.errstate(over="ignore", invalid="ignore"):
        product: NDArray[np.float64] = _dense(rows @ anchors.T)
        product *= -2
        product += _squared_lengths(rows)[:, None]
        product += _squared_lengths(anchors)
    np.maximum(product, 0, out=product)  # rounding makes some slightly negative
    return _in_range(product)


def _in_form_of(others: Features, rows: Features) -> Features:
    """Return rows dense or sparse as others are."""
    if not is_sparse(others):
        return _dense(rows)
    from scipy.sparse import csr_array

    return csr_array(rows)


def _are_equal(rows: Features, others: Features) -> bool:
    """Return whether rows are the same, in the same form."""
    if is_sparse(rows) != is_sparse(others) or rows.shape != others.shape:
        return False
    return np.array_equal(rows, others) if not is_sparse(rows) else abs(rows - others).nnz == 0


def _stacked(above: Features, below: Features) -> Features:
    if not is_sparse(above):
        return np.concatenate([above, below])
    from scipy.sparse import vstack

    return vstack([above, below], format="csr")


def _deviation(rows: Features) -> float:
    """Return the root of the summed variances of the columns; 1 if all rows are equal."""
    mean = _mean(rows)
    squares = deviations = 0.0
    for block in row_blocks(rows.shape[0]):
        checked = check_features("X", rows[block], block.start)
        with np.errstate(over="ignore", invalid="ignore"):
            squares += _squared_lengths(checked).sum()
            if is_sparse(checked):
                n_zero = checked.shape[0] - np.bincount(checked.indices, minlength=len(mean))
                deviations += ((checked.data - mean[checked.indices]) ** 2).sum() + n_zero @ mean**2
            else:
                deviations += _squared_lengths(checked - mean).sum()
    _in_range(np.array([squares, deviations]))
    return _width(deviations / rows.shape[0], squares / rows.shape[0])


def _measure_width(rows: Features, anchors: Features, rule: str) -> float:
    total = lengths = 0.0
    for block in row_blocks(rows.shape[0]):
        checked = check_features("X", rows[block], block.start)
        squares = _squared_distances(checked, anchors)
        total += float((np.sqrt(squares) if rule == "mean_distance" else squares).sum())
        lengths += float(_squared_lengths(checked).sum())
    mean = total / (rows.shape[0] * anchors.shape[0])
    return _width(mean**2 if rule == "mean_distance" else mean, lengths / rows.shape[0])


def _width(square: float, mean_square: float) -> float:
    """Return the root of a mean squared distance of rows of some mean squared length; 1 if it is a rounding error.

    Then all rows are equal, and any width will do.
    """
    return float(np.sqrt(square)) if square > 16 * np.finfo(np.float64).eps * mean_square else 1.0

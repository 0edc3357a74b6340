"""Estimators as transformers of scikit-learn, which is imported only where it asks for types of its own."""

from __future__ import annotations

import sys
import warnings
from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import as_array, as_rows, check_choice, is_sparse, shape_of_features
from pyhash._inputs.frames import is_frame
from pyhash.errors import NotFittedError

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

_FORMS = ("default", "pandas", "polars")
_MOST_SHOWN = 5


class Transformer(ABC):
    """What scikit-learn asks of estimators with ``fit(X, y=None)`` and ``transform(X)``, beside these two.

    A subclass has both, and makes them with ``_rows_to_fit``, ``_rows_to_transform`` and ``_as_output``. Messages about
    shapes and names have the words of scikit-learn, whose tools look for them.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of the rows in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,), object
        Names of the columns; only where ``fit`` was given a data frame whose columns all have names of type str.
    """

    n_features_in_: Any  # an int; some classes have a property
    feature_names_in_: NDArray[np.object_]
    # Whether each column of the output is the column of the input at the same place.
    _keeps_columns: ClassVar[bool] = False
    # dtypes that outputs share with inputs.
    _preserved_dtypes: ClassVar[tuple[str, ...]] = ("float64",)

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """Number of columns of the output, of a fitted estimator."""

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit the estimator to rows and return them transformed: ``fit(X, y).transform(X)``.

        Parameters
        ----------
        X, y
            As for ``fit``.

        Returns
        -------
        ndarray, csr_array or DataFrame
            As ``transform``.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As ``fit`` and ``transform``.
        """
        estimator: Any = self
        return estimator.fit(X, y).transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features : array_like of str of shape (n_features,), optional
            Names of the input's columns; by default ``feature_names_in_``, or "x0", "x1" and so on.

        Returns
        -------
        ndarray of shape (n_features_out,), object
            The names of the input's columns where each column stays at its place, else the name of the class in lower
            case and a number, such as "lsh0".

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If `input_features` are not as many as the columns in ``fit``, or not equal to their names.
        """
        self._check_fitted()
        names = self._names_in(input_features)
        if self._keeps_columns:
            return names
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._n_features_out)], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Any:
        """Set the form of what ``transform`` and ``fit_transform`` return.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            "default": arrays; "pandas" and "polars": data frames whose columns have the names of
            ``get_feature_names_out``; a pandas frame has the index of the input, if that has one. None: unchanged.
            Without a call it is the ``transform_output`` of scikit-learn's configuration.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `transform` is none of the choices listed.
        """
        if transform is not None:
            # The attribute that sklearn.base.clone copies beside the parameters.
            self._sklearn_output_config = {"transform": check_choice("transform", transform, _FORMS)}
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=list(self._preserved_dtypes)),
            input_tags=InputTags(sparse=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    # --- what subclasses use ------------------------------------------------------------------------------------------

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"this {type(self).__name__} has not been fitted yet: call fit first")

    def _rows_to_fit(self, X: Any) -> Features:
        """Return X as rows with at least one column; values are not checked."""
        rows = as_rows("X", X)
        if len(rows.shape) == 2 and rows.shape[1] == 0:
            raise ValueError(
                f"X must have columns, got 0 feature(s) (shape={rows.shape}) while a minimum of 1 is required."
            )
        shape_of_features("X", rows)
        return rows

    def _rows_to_transform(self, X: Any) -> Features:
        """Return X as rows with the columns of those in ``fit``; values are not checked."""
        self._check_fitted()
        self._compare_names(_column_names(X))
        rows = as_rows("X", X)
        if len(rows.shape) != 2:
            hint = " Reshape your data: one sample is x[None, :]." if len(rows.shape) == 1 else ""
            raise ValueError(f"X must have shape (n, {self.n_features_in_}), got {rows.shape}.{hint}")
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input"
            )
        return rows

    def _remember_names(self, X: Any) -> None:
        """Keep the names of the columns of X, or forget earlier ones."""
        names = _column_names(X)
        if names is not None:
            self.feature_names_in_ = names
        else:
            self.__dict__.pop("feature_names_in_", None)

    def _as_output(self, X: Any, transformed: Features) -> Any:
        """Return transformed rows of X in the form that ``set_output`` chose."""
        form = self.__dict__.get("_sklearn_output_config", {}).get("transform")
        if form is None:
            sklearn = sys.modules.get("sklearn")
            form = sklearn.get_config()["transform_output"] if hasattr(sklearn, "get_config") else "default"  # type: ignore[union-attr]
        if form == "default":
            return transformed
        if is_sparse(transformed):
            raise ValueError(
                f"X must be dense for {form} output, which has no sparse columns; call .toarray() on it, or "
                'set_output(transform="default")'
            )
        names = self.get_feature_names_out()
        if form == "polars":
            return import_module("polars").DataFrame(transformed, schema=names.tolist(), orient="row")
        index = X.index if is_frame(X) and hasattr(X, "index") else None
        return import_module("pandas").DataFrame(transformed, columns=names, index=index)

    # --- names --------------------------------------------------------------------------------------------------------

    def _names_in(self, given: Any) -> NDArray[np.object_]:
        """Return the names of the input's columns."""
        known = self.__dict__.get("feature_names_in_")
        if given is None:
            if known is not None:
                return np.array(known)
            return np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        names = as_array("input_features", given).astype(object)
        if known is not None and not np.array_equal(names, known):
            raise ValueError("input_features is not equal to feature_names_in_")
        if names.shape != (self.n_features_in_,):
            raise ValueError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got shape {names.shape}"
            )
        return names

    def _compare_names(self, names: NDArray[np.object_] | None) -> None:
        """Raise if columns are not those in ``fit``; warn if only one of the two has names."""
        known = self.__dict__.get("feature_names_in_")
        what = type(self).__name__
        if known is None and names is None:
            return
        if known is None:
            warnings.warn(f"X has feature names, but {what} was fitted without feature names", stacklevel=4)
        elif names is None:
            warnings.warn(
                f"X does not have valid feature names, but {what} was fitted with feature names", stacklevel=4
            )
        elif not np.array_equal(names, known):
            raise ValueError(_difference(known.tolist(), names.tolist()))


def _column_names(X: Any) -> NDArray[np.object_] | None:
    """Return the names of the columns of a data frame if all are of type str, else None."""
    if not is_frame(X) or type(X).__name__ == "LazyFrame" or not hasattr(X, "columns"):
        return None
    names = list(X.columns)
    return np.array(names, dtype=object) if names and all(isinstance(name, str) for name in names) else None


def _difference(known: list[str], names: list[str]) -> str:
    """Return the message of columns that are not those in ``fit``, in scikit-learn's words."""
    lines = ["The feature names should match those that were passed during fit."]
    unseen = sorted(set(names) - set(known))
    missing = sorted(set(known) - set(names))
    for what, listed in (("unseen at fit time", unseen), ("seen at fit time, yet now missing", missing)):
        if listed:
            shown = [*listed[:_MOST_SHOWN], *(["..."] if len(listed) > _MOST_SHOWN else [])]
            lines += [f"Feature names {what}:", *(f"- {name}" for name in shown)]
    if not unseen and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
    return "\n".join(lines) + "\n"

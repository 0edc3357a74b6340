"""Methods that learn each modality alone, and are transformers of scikit-learn where they learn one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._inputs.checks import is_iterable, is_sparse
from pyhash.methods.linear import SettingsT
from pyhash.methods.parts.transformer import Transformer
from pyhash.methods.projections import ProjectionMethod

if TYPE_CHECKING:
    from typing_extensions import Self

# The modality of rows that are given as an array alone.
ONLY_VIEW = "x"


class UnimodalMethod(ProjectionMethod[SettingsT], Transformer):
    """A method that learns each modality alone, without labels: codes of different modalities are unrelated."""

    is_supervised = False
    _preserved_dtypes = ()

    def fit(self, views: Any, labels: Any = None, *, validation: tuple[Any, ...] | None = None) -> Self:
        """Learn whole data from scratch.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features), or one such array
            Features of each modality, rows aligned; n >= 1. Data frames count as arrays. An array X, as scikit-learn
            passes it, is one modality: ``{"x": X}``.
        labels : array_like or scipy.sparse
            Needed for `validation` alone; else ignored.
        validation : (views, labels) or (views, labels, present), optional
            Rows that are not learned, in the same form, for ``history_``; only with ``record=True``.

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError
            If `views` is neither a mapping of str to arrays of real numbers nor such an array; the model is unchanged,
            as for every error.
        TypeError
            If a parameter that must be a number, a bool or a mapping is something else.
        ValueError
            If a parameter is out of the range that the class documents.
        ValueError
            If views have different numbers of rows, no rows, or values that are not finite.
        TypeError, ValueError
            If `validation` does not hold views and labels like those to learn, or is given without ``record=True``.
        """
        # A sparse array of keys is a Mapping too.
        is_mapping = isinstance(views, Mapping) and not is_sparse(views)
        is_array = not is_mapping and (is_iterable(views) or hasattr(views, "__array__"))
        mapping = {ONLY_VIEW: self._rows_to_fit(views)} if is_array else views
        super().fit(mapping, labels, validation=validation)
        self._remember_names(views)
        return self

    def transform(self, X: Any) -> Any:
        """Return the bits of the codes of rows; ``encode`` returns packed codes.

        Parameters
        ----------
        X : array_like or scipy.sparse of shape (n, n_features)
            Real and finite.

        Returns
        -------
        ndarray of shape (n, n_bits), uint8
            0 or 1, in the order of the bits of a code. A data frame where ``set_output`` says so.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        TypeError
            If X does not hold real numbers.
        ValueError
            If the model learned several modalities.
        ValueError
            If X has another number of columns than the rows in ``fit``, or columns of other names.
        ValueError
            If X has values that are not finite, or too large to be projected.
        """
        self._check_fitted()
        modality = self._only_modality()
        rows = self._rows_to_transform(X)
        codes = self.encode(rows, modality=modality)
        bits = np.unpackbits(codes, axis=1, count=self._n_features_out, bitorder="little")
        return self._as_output(X, bits)

    @property
    def n_features_in_(self) -> int:
        """Number of columns of the rows in ``fit``; only where one modality was learned."""
        n_features = {} if self._state is None else self._state.n_features
        if len(n_features) != 1:
            raise AttributeError(f"n_features_in_ is for a {type(self).__name__} that learned one modality")
        return next(iter(n_features.values()))

    @property
    def _n_features_out(self) -> int:
        return self._n_bits_of(self._fitted_state())

    def __sklearn_is_fitted__(self) -> bool:
        return self._state is not None

    def _only_modality(self) -> str:
        learned = list(self._fitted_state().n_features)
        if len(learned) != 1:
            raise ValueError(
                f"transform takes the rows of one modality, and this {type(self).__name__} learned "
                f"{', '.join(map(repr, learned))}: call encode(X, modality=...)"
            )
        return str(learned[0])

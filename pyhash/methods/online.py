"""Methods that learn a stream, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pyhash._inputs.checks import check_bool, check_integer
from pyhash._inputs.chunks import Remainder, check_remainder, cut
from pyhash.codes import pack
from pyhash.methods.contract import Views, check_views, n_rows_of
from pyhash.methods.linear import LinearMethod, SettingsT
from pyhash.methods.parts.state import Own, State

if TYPE_CHECKING:
    from typing_extensions import Self


class OnlineMethod(LinearMethod[SettingsT, Own]):
    """A method that learns chunk by chunk."""

    # A stream may have nearly as many label sets as samples.
    _always_keeps_label_sets = False

    def partial_fit(self, views: Views, labels: Any, *, validation: tuple[Views, Any] | None = None) -> Self:
        """Learn one chunk of a stream; a call that raises leaves the model unchanged.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. The first chunk fixes the modalities and their widths, and
            feature maps are fitted on it.
        labels : array_like or list of array_like
            Labels of the rows, as the class describes them.
        validation : (views, labels), optional
            Rows that are not learned, in the same form, for ``history_``; only with ``record=True``. After each
            iteration they query the codes of the chunk, by the encoder "bits".

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `views` is not a mapping of str to arrays of real numbers.
        TypeError
            If class indices are not integers, or a 0/1 matrix does not hold numbers.
        TypeError
            If a parameter that must be a number, a bool or a mapping is something else.
        ValueError
            If a parameter is out of the range that the class documents.
        ValueError
            If a parameter that must stay, such as `n_bits`, was changed since the chunks learned.
        ValueError
            If modalities, or their numbers of features, are not those of the chunks learned.
        ValueError
            If views have different numbers of rows, or values that are not finite.
        ValueError
            If a row has no label, or one of an unknown class.
        TypeError, ValueError
            If `validation` is not a pair of views and labels like those to learn, or given without ``record=True``.
        """
        state = self._state
        rows = check_views(views, {} if state is None else state.n_features)
        settings = self._settings(list(rows))
        if state is not None:
            self._check_unchanged(settings, state)
        settings, layers = self._with_labels(settings, state, labels, n_rows_of(rows))
        held = self._check_validation(settings, validation, rows, labels)
        state, signs = self._advance(settings, state, rows, layers, 0, held)
        self._take(state, pack(signs), self._fingerprint)
        return self

    def fit(
        self,
        views: Views,
        labels: Any = None,
        *,
        validation: tuple[Views, Any] | None = None,
        chunk_size: int | None = 2000,
        remainder: Remainder = "keep",
        progress: bool | None = None,
    ) -> Self:
        """Learn whole data from scratch, in chunks of consecutive rows.

        Parameters
        ----------
        views, labels
            As for ``partial_fit``. Rows sorted by class make poor chunks: shuffle them.
        validation : (views, labels), optional
            As for ``partial_fit``, but the codes of all rows so far are queried.
        chunk_size : int or None
            Rows of a chunk; None: all rows are one chunk.
        remainder : {"keep", "merge"}
            What becomes of a last chunk of fewer than `chunk_size` rows: "keep" learns it as it is, "merge" joins it to
            the chunk before.
        progress : bool, optional
            Whether to show a progress bar on stderr; by default where stderr is a terminal.

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError, ValueError
            As ``partial_fit``; the model is unchanged.
        TypeError
            If `progress` is not a bool.
        ValueError
            If chunk_size < 1, or `remainder` is none of the choices listed.
        """
        rows = check_views(views, {})
        n = n_rows_of(rows)
        settings = self._settings(list(rows))
        settings, layers = self._with_labels(settings, None, labels, n)
        size = n if chunk_size is None else check_integer("chunk_size", chunk_size, 1)
        if progress is not None:
            check_bool("progress", progress)
        held = self._check_validation(settings, validation, rows, labels)
        chunks = cut(n, size, check_remainder(remainder))
        state, packed = None, []
        for chunk in _with_progress(chunks, progress, type(self).__name__):
            of_views, of_layers = {name: x[chunk] for name, x in rows.items()}, [layer[chunk] for layer in layers]
            state, signs = self._advance(settings, state, of_views, of_layers, chunk.start, held)
            packed.append(pack(signs))
        self._take(cast("State[Own]", state), np.concatenate(packed), None)
        return self


def _with_progress(chunks: list[slice], progress: bool | None, name: str) -> Iterable[slice]:
    if progress is False:
        return chunks
    from tqdm import tqdm

    # tqdm takes None for "where stderr is a terminal".
    bar: Iterable[slice] = tqdm(chunks, desc=name, unit="chunk", disable=None if progress is None else not progress)
    return bar

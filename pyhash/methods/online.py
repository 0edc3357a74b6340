"""Methods that learn a stream, chunk by chunk."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_bool, check_integer, n_bytes_of
from pyhash._inputs.chunks import Remainder, check_remainder, cut
from pyhash._inputs.ids import check_ids
from pyhash.codes import pack
from pyhash.methods.contract import Views, check_views, n_features_of, n_rows_of
from pyhash.methods.linear import LinearMethod, SettingsT
from pyhash.methods.parts.additive import emptied, merged, without_rows
from pyhash.methods.parts.hierarchy import label_matrices
from pyhash.methods.parts.history import Validation
from pyhash.methods.parts.state import Own, State
from pyhash.methods.parts.unmapped_rows import UnmappedRows, check_present

if TYPE_CHECKING:
    from typing_extensions import Self

_NO_LABELS = "labels must give some row of the first chunk a label, none has one"


class OnlineMethod(LinearMethod[SettingsT, Own]):
    """A method that learns chunk by chunk."""

    # A stream may have nearly as many label sets as samples.
    _always_keeps_label_sets = False
    # Why sums over parts of a stream do not add up to a model of all; None where they do.
    _why_not_additive: ClassVar[str | None] = (
        "the codes of rows depend on the rows learned before them, so that those of models learned apart do not fit "
        "together"
    )

    def _why_codes_need_features(self, settings: SettingsT) -> str | None:
        """Return why the codes of rows depend on their features; None if they depend on labels alone."""
        return f"{type(self).__name__} learns them from features too"

    def partial_fit(
        self,
        views: Views,
        labels: Any,
        *,
        present: Mapping[str, Any] | None = None,
        validation: tuple[Any, ...] | None = None,
    ) -> Self:
        """Learn one chunk of a stream; a call that raises leaves the model unchanged.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. The first chunk fixes the modalities and their widths, and
            feature maps are fitted on it. In later ones a view may be None: no row has it.
        labels : array_like or list of array_like
            Labels of the rows, as the class describes them. Labels by name are strings, or other values in an array
            of objects or a list; several labels of a row are a set. Rows without a label (-1, None, an empty set, or a
            zero row of a matrix) are not learned; their codes are those of ``encode_fused`` after the chunk.
        present : mapping of str to array_like of shape (n,), bool, optional
            Which rows have a modality; those without an entry are in all rows. Every row must have one, and the first
            chunk a labelled row with each. Values of rows that lack a modality are not read, and may be NaN.
        validation : (views, labels) or (views, labels, present), optional
            Rows that are not learned, in the same form, all with labels, for ``history_``; only with ``record=True``.
            After each iteration they query the codes of the chunk, by the encoder "bits".

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
            If a label by name is not a str, int, float, bool, bytes, or a tuple of these, which files can keep.
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
            If a label is of a class beyond `n_classes` or a hierarchy, or no row of the first chunk has one.
        ValueError
            If labels are by name where those before were class indices, or the other way round.
        TypeError
            If `present` is not a mapping of str to bool arrays.
        ValueError
            If `present` has an array that is not of shape (n,), or is for a modality that is not in `views`.
        ValueError
            If a row has no modality, or a modality no labelled row in the first chunk.
        TypeError, ValueError
            If `validation` does not hold views and labels like those to learn, or is given without ``record=True``.
        """
        state = self._state
        checked = check_views(views, {} if state is None else state.n_features, may_lack=state is not None)
        n_features = n_features_of(checked) if state is None else state.n_features
        settings = self._settings(list(n_features))
        if state is not None:
            self._check_unchanged(settings, state)
        n = n_rows_of(checked)
        marks = check_present(present, views, n)
        settings, layers = self._with_labels(settings, state, labels, n)
        held = self._check_validation(settings, validation, n_features, labels, n)
        L = self._label_matrices(settings, layers, 0, allow_unlabelled=True)
        rows = UnmappedRows.of_chunk(checked, L, n, 0, marks)
        state, codes = self._learn_chunk(settings, state, rows, n_features, held)
        self._take(state, codes, self._fingerprint)
        return self

    def fit(
        self,
        views: Views,
        labels: Any = None,
        *,
        present: Mapping[str, Any] | None = None,
        validation: tuple[Any, ...] | None = None,
        chunk_size: int | None = 2000,
        remainder: Remainder = "keep",
        progress: bool | None = None,
    ) -> Self:
        """Learn whole data from scratch, in chunks of consecutive rows.

        Parameters
        ----------
        views, labels, present
            As for ``partial_fit``. Rows sorted by class make poor chunks: shuffle them.
        validation : tuple, optional
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
        checked = check_views(views, {})
        n, n_features = n_rows_of(checked), n_features_of(checked)
        settings = self._settings(list(n_features))
        marks = check_present(present, views, n)
        settings, layers = self._with_labels(settings, None, labels, n)
        size = n if chunk_size is None else check_integer("chunk_size", chunk_size, 1)
        if progress is not None:
            check_bool("progress", progress)
        held = self._check_validation(settings, validation, n_features, labels, n)
        chunks = cut(n, size, check_remainder(remainder))
        state: State[Own] | None = None
        packed = []
        for chunk in _with_progress(chunks, progress, type(self).__name__):
            of_layers = [layer[chunk] for layer in layers]
            L = self._label_matrices(settings, of_layers, chunk.start, allow_unlabelled=True)
            of_views, of_marks = ({name: x[chunk] for name, x in of.items()} for of in (checked, marks))
            rows = UnmappedRows.of_chunk(of_views, L, chunk.stop - chunk.start, chunk.start, of_marks)
            state, codes = self._learn_chunk(settings, state, rows, n_features, held)
            packed.append(codes)
        self._take(cast("State[Own]", state), np.concatenate(packed), None)
        return self

    def forget(
        self, views: Views, labels: Any, *, ids: ArrayLike | None = None, present: Mapping[str, Any] | None = None
    ) -> Self:
        """Take rows away from what was learned, exactly: the model is then that of the other rows.

        Only for methods whose codes do not depend on other rows: BOCH, where every row has one label and all bits are
        class bits. The rows are given as they were learned, since a model does not keep them; with `noise`, with the
        labels that they were learned with. Without `ids` and a kernel map it cannot tell that a row is forgotten
        already: to forget it twice makes the sums wrong, unless it is refused as more than was learned. Calibrations of
        label scores stay, which are sums over predictions, and so do feature maps, except anchors that are given by
        `ids`. A call that raises leaves the model unchanged.

        Parameters
        ----------
        views, labels, present
            As for ``partial_fit``, with values as when the rows were learned. Any rows, in any order.
        ids : array_like of int of shape (n,), optional
            Numbers of the rows in the order of learning, from 0; rows without labels are not counted, rows forgotten
            before are. They must be given where a kernel map grew, since what a row added depends on the number of
            anchors when it was learned. Anchors that are these rows are taken out of the maps. After that, rows learned
            before the map grew for the last time can be forgotten no more if such an anchor joined before them all:
            their values at later anchors were computed from it.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError
            If the method's codes depend on other rows, or as ``partial_fit``.
        ValueError
            If the model has codes that depend on other rows, or keeps more than sums over rows.
        ValueError
            If views or labels are not such as ``partial_fit`` takes.
        ValueError
            If fewer rows with such labels or modalities were learned.
        ValueError
            If `ids` are not distinct numbers of rows learned, one for each row.
        ValueError
            If `ids` are missing, or of rows that are forgotten already or can be forgotten no more.
        ValueError
            If all anchors of a map are among the rows.

        Examples
        --------
        >>> import numpy as np
        >>> from pyhash import BOCH
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 4, size=300)
        >>> image = np.eye(4)[labels] + 0.3 * rng.standard_normal((300, 4))
        >>> model = BOCH(n_bits=16).partial_fit({"image": image}, labels)
        >>> model.forget({"image": image[:50]}, labels[:50]).n_samples_seen_
        250
        """
        settings, state = self._additive_state()
        rows = check_views(views, state.n_features, may_lack=True)
        n = n_rows_of(rows)
        classes = state.classes
        layers = classes.numbered(self._layers_of(labels, n, classes.n_layers))
        L = label_matrices(layers, classes.affiliations, classes.sizes, 0, allow_unlabelled=True)
        unmapped = UnmappedRows.of_chunk(rows, L, n, 0, check_present(present, views, n))
        unmapped.check_values()
        numbers = None if ids is None else _check_row_numbers(ids, n)
        with self._computable():
            self._state = without_rows(state, unmapped, numbers, settings.ridge)
        return self

    def emptied(self) -> Self:
        """Return a model with the same parameters, maps and classes that has learned no rows.

        Parts of a stream that begin with the same emptied model have the same maps and one space of codes, so that
        ``pyhash.merge`` can join them. Its maps do not grow. Its fingerprint is that of this model.

        Returns
        -------
        model
            A new model; it can be saved and sent. It encodes once it has learned rows.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As ``pyhash.merge``.

        Examples
        --------
        >>> import numpy as np
        >>> from pyhash import BOCH
        >>> model = BOCH(n_bits=16).partial_fit({"image": np.eye(4)[[0, 1, 2, 3]]}, [0, 1, 2, 3])
        >>> model.emptied().n_samples_seen_
        0
        """
        _, state = self._additive_state()
        return self._with_state(emptied(state))

    def __add__(self, other: Self) -> Self:
        """Return one model of the rows of both; see ``pyhash.merge``."""
        if not isinstance(other, OnlineMethod):
            return NotImplemented
        return self._merged_with([other])

    def _merged_with(self, others: Iterable[Self]) -> Self:
        """Return one model of the rows of this one and others; see ``pyhash.merge``."""
        states, parameters = [self._additive_state()[1]], self.get_params()
        for i, model in enumerate(others, start=1):
            if type(model) is not type(self):
                raise TypeError(f"models must be of one class, got {type(self).__name__} and {type(model).__name__}")
            states.append(model._additive_state()[1])
            theirs = model.get_params()
            for name, value in parameters.items():
                # Fitted maps are compared in their place.
                if name != "feature_maps" and value != theirs[name]:
                    raise ValueError(
                        f"models must have the same parameters, models[0] has {name}={value!r} and models[{i}] "
                        f"{name}={theirs[name]!r}"
                    )
        return self._with_state(merged(states))

    def _additive_state(self) -> tuple[SettingsT, State[Own]]:
        """Return the checked parameters and the state of a model whose sums add up; raise for others."""
        if self._why_not_additive is not None:
            raise TypeError(self._refusal(self._why_not_additive))
        state = self._fitted_state()
        settings = self._settings(list(state.n_features))
        self._check_unchanged(settings, state)
        self._check_additive(settings, state)
        return settings, state

    def _check_additive(self, settings: SettingsT, state: State[Own]) -> None:
        """Raise ValueError if what was learned, or how, makes sums of parts another thing than those of all."""

    def _refusal(self, reason: str) -> str:
        return f"this {type(self).__name__} cannot be merged or emptied, and cannot forget rows: {reason}"

    def _with_state(self, state: State[Own]) -> Self:
        """Return a model with the parameters and the fingerprint of this one and another state."""
        model = copy.copy(self)
        model._state, model._codes = state, None
        return model

    def _learn_chunk(
        self,
        settings: SettingsT,
        state: State[Own] | None,
        rows: UnmappedRows,
        modalities: Collection[str],
        validation: Validation | None,
    ) -> tuple[State[Own], NDArray[np.uint8]]:
        """Return the state after a chunk of a stream of these modalities, and the packed codes of its rows.

        Rows without labels take no part in learning, and are encoded after it.
        """
        is_labelled = rows.labels[0].any(axis=1)
        if rows.present or not is_labelled.all():
            rows.check_values()  # before rows are taken out, so that errors name them by their number
        learned_rows = rows if is_labelled.all() else rows.take(np.flatnonzero(is_labelled))
        if state is None:
            check_first_rows(learned_rows, modalities)
        elif rows.present and not state.has_row_sums:
            raise ValueError(
                f"present must be None for this {type(self).__name__}: its file, of version 0.1, lacks the number of "
                "rows of each modality"
            )
        elif learned_rows.n == 0 and state.n_samples == 0:
            raise ValueError(_NO_LABELS)
        state, signs = self._advance(settings, state, learned_rows, validation)
        if learned_rows is rows:
            return state, pack(signs)
        codes = np.empty((rows.n, n_bytes_of(settings.n_bits)), dtype=np.uint8)
        codes[is_labelled] = pack(signs)
        unlabelled = np.flatnonzero(~is_labelled)
        codes[unlabelled] = self._encode_rows(state, rows.take(unlabelled))
        return state, codes

    def _encode_rows(self, state: State[Own], rows: UnmappedRows) -> NDArray[np.uint8]:
        """Return the packed codes of rows, each from the modalities that it has, as of ``encode_fused``."""
        codes = np.empty((rows.n, n_bytes_of(self._n_bits_of(state))), dtype=np.uint8)
        for names, chosen in rows.by_modalities():
            projections = self._project(
                state,
                {name: rows.views[name][chosen] for name in names},
                dict.fromkeys(names, 1.0),
                self._encoder_of_all(state, names),
                {name: f"views[{name!r}]" for name in names},
            )
            codes[chosen] = pack(projections)
        return codes


def _check_row_numbers(ids: ArrayLike, n: int) -> NDArray[np.int64]:
    numbers = check_ids(ids, n, unique=True, of="row")
    if numbers.min() < 0:
        raise ValueError(f"ids must be numbers of rows, from 0, got {numbers.min()}")
    return numbers


def check_first_rows(rows: UnmappedRows, modalities: Collection[str]) -> None:
    """Raise ValueError unless there are rows to learn from in the first chunk, some with each modality."""
    if rows.n == 0:
        raise ValueError(_NO_LABELS)
    for name in modalities:
        if name not in rows.views:
            raise ValueError(
                f"views[{name!r}] must have a row with a label in the first chunk, which the feature maps are fitted "
                "on, present has none"
            )


def _with_progress(chunks: list[slice], progress: bool | None, name: str) -> Iterable[slice]:
    if progress is False:
        return chunks
    from tqdm import tqdm

    # tqdm takes None for "where stderr is a terminal".
    bar: Iterable[slice] = tqdm(chunks, desc=name, unit="chunk", disable=None if progress is None else not progress)
    return bar

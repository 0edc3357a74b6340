"""The contract of all methods: learning, projections, codes, files."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._files.archive import Archive
from pyhash._inputs.checks import as_rows, check_choice, check_n_bits, check_real, shape_of_features
from pyhash._inputs.labels import name_rows
from pyhash.codes import pack
from pyhash.errors import NotFittedError
from pyhash.methods.parts.arrays import Arrays, Fields
from pyhash.methods.parts.calibration import Calibration
from pyhash.methods.parts.encoder_trial import ENCODERS, EncoderTrial
from pyhash.methods.parts.feature_maps import check_feature_maps
from pyhash.methods.parts.hierarchy import label_layers
from pyhash.methods.parts.parameters import Parameters, restore_parameter, store_parameter

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._inputs.checks import Features

Views = Mapping[str, Any]


class FittedState(Protocol):
    """State of a model that has learned; it is never changed, only replaced."""

    @property
    def n_features(self) -> dict[str, int]:
        """Number of features of each modality, as the user gives it."""

    @property
    def n_samples(self) -> int:
        """Number of rows learned."""

    @property
    def maps(self) -> dict[str, Any]:
        """Feature map of each modality, None for those without."""

    @property
    def trial(self) -> EncoderTrial | None:
        """Trial of the encoders, where one was made."""

    @property
    def calibrations(self) -> dict[str, Calibration]:
        """Calibrations of the encoder "bayes" by modality, where there are some."""


class HashingMethod(Parameters, ABC):
    """A model that gives every modality codes in one Hamming space.

    A subclass implements learning, projection, and the content of its files. The learned state is one object that is
    never changed, only replaced: a call that raises, or is interrupted, leaves the model unchanged.
    """

    n_bits: int
    feature_maps: Mapping[str, Any] | None
    is_supervised: ClassVar[bool] = True
    is_deep: ClassVar[bool] = False
    # The parameters that each variant sets, such as an ablation of the method's paper, by its name in ``make_method``.
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    _state: Any = None  # a FittedState; each subclass names its type
    _codes: NDArray[np.uint8] | None = None
    _fingerprint: str | None = None

    # --- what a subclass provides -------------------------------------------------------------------------------------

    @abstractmethod
    def fit(self, views: Views, labels: Any = None) -> Self:
        """Learn whole data from scratch.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of each modality, rows aligned; n >= 1. Data frames count as arrays.
        labels : array_like or scipy.sparse
            Class indices (n,), one class a row, or a 0/1 matrix (n, n_classes) with at least one label a row. Methods
            without labels ignore them.

        Returns
        -------
        self
            ``codes_`` holds the codes of all rows.

        Raises
        ------
        TypeError
            If `views` is not a mapping of str to arrays of real numbers; the model is unchanged, as for every error.
        TypeError
            If class indices are not integers, or a 0/1 matrix does not hold numbers.
        TypeError
            If a parameter that must be a number, a bool or a mapping is something else.
        ValueError
            If a parameter is out of the range that the class documents.
        ValueError
            If views have different numbers of rows, no rows, or values that are not finite.
        ValueError
            If a row has no label, or one of an unknown class.
        """

    def _query_rows(self, state: Any, modality: str, what: str, X: Any) -> Features:
        """Return rows of a modality as an array of its shape; values are not checked."""
        rows = as_rows(what, X)
        shape_of_features(what, rows, state.n_features[modality])
        return rows

    def _query_views(self, state: Any, what: str, views: Any) -> tuple[dict[str, str], dict[str, Features]]:
        """Return what errors call the rows of each modality, and these rows; errors call the views `what`."""
        if not isinstance(views, Mapping):
            raise TypeError(f"{what} must be a mapping of modality names to features, got {type(views).__name__}")
        if not views:
            raise ValueError(f"{what} must hold at least one modality, got none")
        for name in views:
            check_modality(state, name, what)
        names = {name: f"{what}[{name!r}]" for name in views}
        rows = {name: self._query_rows(state, name, names[name], views[name]) for name in views}
        check_equally_many(rows, what)
        return names, rows

    @abstractmethod
    def _project(
        self,
        state: Any,
        rows: Mapping[str, Features],
        weights: Mapping[str, float],
        encoder: str,
        names: Mapping[str, str],
    ) -> NDArray[np.float32]:
        """Return projections (n, n_bits) of rows of one or more modalities, which the weights weigh.

        The values of the rows are not checked yet; errors call them by `names`.
        """

    def _encode(self, state: Any, rows: Features, modality: str, encoder: str) -> NDArray[np.uint8]:
        """Return the codes of rows of one modality, whose values are not checked yet; errors call them X."""
        return pack(self._project(state, {modality: rows}, {modality: 1.0}, encoder, {modality: "X"}))

    @abstractmethod
    def _n_bits_of(self, state: Any) -> int:
        """Return the length of the learned codes."""

    def _n_classes_of(self, state: Any) -> tuple[int, ...]:
        """Return the number of classes of each layer, coarse to fine; empty for methods without labels."""
        return ()

    @abstractmethod
    def _to_file(self, state: Any) -> tuple[Fields, Arrays]:
        """Return the state as header fields and arrays."""

    @abstractmethod
    def _from_file(self, archive: Archive, backbones: Mapping[str, Any] | None) -> FittedState:
        """Return the state of a file, every dtype and shape checked."""

    def _stored_params(self) -> dict[str, Any]:
        """Return the parameters that a file keeps."""
        return self.get_params()

    @classmethod
    def _from_stored_params(cls, parameters: dict[str, Any]) -> Self:
        """Return an unfitted model with the parameters of a file."""
        return cls(**parameters)

    @staticmethod
    def _write(path: str | os.PathLike[str], kind: str, fields: Fields, arrays: Arrays) -> None:
        """Write a file, whole or not at all."""
        from pyhash._files.npz import write_archive

        write_archive(path, kind, fields, arrays)

    def _default_map(self, sparse: bool) -> Any:
        """Return the feature map of a modality, whose rows are sparse or not, for which the user names none."""

    # --- what every method has ----------------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        from pyhash.methods.parts.model_html import model_html

        state: FittedState | None = self._state
        if state is None:
            return model_html(self, {}, {})
        learned = {"bits": self._n_bits_of(state), "rows learned": f"{state.n_samples:,}"}
        if n_classes := self._n_classes_of(state):
            learned["classes"] = ", ".join(f"{n:,}" for n in n_classes)
        try:
            encoders = self.encoders_
        except (TypeError, ValueError):  # a parameter was set since, to what the next call will refuse
            encoders = {}
        modalities = {
            name: (n, "" if state.maps.get(name) is None else repr(state.maps[name]), encoders.get(name, ""))
            for name, n in state.n_features.items()
        }
        return model_html(self, learned, modalities)

    @property
    def codes_(self) -> NDArray[np.uint8]:
        """Packed codes (n, ceil(n_bits / 8)) uint8 of the rows of the last ``fit`` or ``partial_fit``; read-only."""
        if self._codes is None:
            raise NotFittedError(
                "codes_ are those of the last fit or partial_fit, and this model has made none (files do not keep them)"
            )
        return self._codes

    @property
    def fingerprint(self) -> str:
        """Identity of the model whose codes belong together: 32 hexadecimal digits.

        A hash of the class, the modalities and the codes of the first chunk, or of all data in ``fit``. It does not
        change when the model learns further or is saved.
        """
        self._fitted_state()
        if self._fingerprint is None:
            raise NotFittedError(f"this {type(self).__name__} has no fingerprint: call fit first")
        return self._fingerprint

    @property
    def modalities_(self) -> dict[str, int]:
        """The learned modalities with their numbers of features."""
        return dict(self._fitted_state().n_features)

    @property
    def n_samples_seen_(self) -> int:
        """Number of rows learned so far."""
        return int(self._fitted_state().n_samples)

    @property
    def encoders_(self) -> dict[str, str]:
        """Encoder of each modality: "bits", "posterior" or "bayes"; for ``encoder="auto"`` the one that was chosen."""
        state = self._fitted_state()
        encoder = self._encoder_in(state)
        return {modality: _chosen(encoder, state, modality) for modality in state.n_features}

    @property
    def calibration_(self) -> dict[str, dict[str, float]]:
        """What the encoder "bayes" chose for each modality, by predicting rows before it learned them.

        "ridge" xi, "share" a of naive Bayes, "temperature" tau and "exponent" rho, as in docs/methods.md; "precision"
        is the mean average precision with which the choice ranked the label sets of these rows, "loss" its mean
        negative log likelihood in nats, "n_rows" their number, older rows counting less. Empty where nothing was
        learned with the encoder "bayes" or "auto".
        """
        return {name: calibration.describe() for name, calibration in self._fitted_state().calibrations.items()}

    def project(self, X: ArrayLike, *, modality: str) -> NDArray[np.float32]:
        """Return the projections of samples of one modality: codes before the sign.

        Parameters
        ----------
        X : array_like or scipy.sparse of shape (n, n_features)
            Real and finite.
        modality : str
            One of the modalities learned.

        Returns
        -------
        ndarray of shape (n, n_bits), float32
            Under the encoder "posterior" the expected code, in [-1, 1]; under "bayes" the bits that retrieve best and
            their weights.

        Raises
        ------
        NotFittedError
            If nothing was learned yet, or no row with the modality.
        TypeError
            If X does not hold real numbers.
        ValueError
            If the modality is unknown.
        ValueError
            If X has another number of columns than the learned modality.
        ValueError
            If X has values that are not finite, or too large to be projected.
        """
        state = self._fitted_state()
        check_modality(state, modality)
        rows = {modality: self._query_rows(state, modality, "X", X)}
        return self._project(state, rows, {modality: 1.0}, self._encoder_of(modality), {modality: "X"})

    def encode(self, X: ArrayLike, *, modality: str) -> NDArray[np.uint8]:
        """Return the packed codes of samples of one modality: ``sgn(project(X))``.

        Parameters
        ----------
        X, modality
            As for ``project``.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), uint8

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As ``project``.
        """
        state = self._fitted_state()
        check_modality(state, modality)
        rows = self._query_rows(state, modality, "X", X)
        return self._encode(state, rows, modality, self._encoder_of(modality))

    def project_fused(self, views: Views, *, weights: Mapping[str, float] | None = None) -> NDArray[np.float32]:
        """Return one projection of each sample from several of its modalities.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of some of the modalities learned, at least one, rows aligned.
        weights : mapping of str to float, optional
            Weight of each modality, >= 0 and some above 0; by default 1. Modalities that are not independent of each
            other, such as two texts of one thing, want less than 1 each, for example 0.6.

        Returns
        -------
        ndarray of shape (n, n_bits), float32
            For the encoder "bits" the weighted sum of the projections. For "posterior" and "bayes" that of the product
            of the modalities' posteriors, ``P(u) ~ prod_m P_m(u)^{w_m}``. Encoder "auto" takes the one that did best in
            the trial over the modalities with a weight above 0.

        Raises
        ------
        NotFittedError
            If nothing was learned yet, or no row with one of the modalities.
        TypeError
            If `views` is not a mapping of str to arrays of real numbers.
        TypeError
            If `weights` is not a mapping of str to numbers.
        ValueError
            If a modality is unknown, or there is none.
        ValueError
            If views have different numbers of rows, or of columns than the learned modality.
        ValueError
            If views have values that are not finite, or too large to be projected.
        ValueError
            If a weight is for a modality that is not in `views`, or < 0, or all are 0.

        Examples
        --------
        >>> import numpy as np
        >>> from pyhash import LEMON
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 4, size=200)
        >>> views = {name: np.eye(4)[labels] + rng.standard_normal((200, 4)) for name in ("image", "text")}
        >>> model = LEMON(n_bits=16).partial_fit(views, labels)
        >>> model.project_fused(views, weights={"text": 0.5}).shape
        (200, 16)
        """
        state = self._fitted_state()
        names, rows = self._query_views(state, "views", views)
        weights = _fusion_weights(weights, list(rows))
        encoder = self._encoder_of_all(state, [name for name in rows if weights[name] > 0])
        return self._project(state, rows, weights, encoder, names)

    def encode_fused(self, views: Views, *, weights: Mapping[str, float] | None = None) -> NDArray[np.uint8]:
        """Return one packed code of each sample from several of its modalities: ``sgn(project_fused(views))``.

        Parameters
        ----------
        views, weights
            As for ``project_fused``.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), uint8

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As ``project_fused``.
        """
        return pack(self.project_fused(views, weights=weights))

    def check_n_features(self, n: int, n_features: Mapping[str, int]) -> None:
        """Raise ValueError if `n` rows of so many features, by modality, are known to be too few for `n_bits`.

        By default any number is enough. ``compare`` asks before the first run.
        """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and the learned state to a file, whole or not at all; ``pyhash.load`` reads it.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError
            If a feature map is not one of pyhash's: files hold no code.
        ValueError
            If a parameter is out of range, or does not fit what was learned.
        OSError
            If the file cannot be written; an existing file is unchanged.
        """
        state = self._fitted_state()
        self._check_continuity(state)
        fields, arrays = self._to_file(state)
        parameters = {name: store_parameter(name, value, arrays) for name, value in self._stored_params().items()}
        header = {"parameters": parameters, "state": fields, "fingerprint": self.fingerprint}
        self._write(path, type(self).__name__, header, arrays)

    @classmethod
    def from_archive(cls, archive: Archive, backbones: Mapping[str, Any] | None = None) -> Self:
        """Return the model of a file; see ``pyhash.load``."""
        with archive.taken_for(cls.__name__):
            parameters = {
                name: restore_parameter(stored, archive.arrays) for name, stored in archive.field("parameters").items()
            }
            model = cls._from_stored_params(parameters)
            model._state = model._from_file(archive, backbones)
            model._check_continuity(model._state)
            model._fingerprint = _check_fingerprint(archive.field("fingerprint"))
        return model

    # --- within -------------------------------------------------------------------------------------------------------

    def _fitted_state(self) -> Any:
        if self._state is None:
            raise NotFittedError(f"this {type(self).__name__} has not learned anything yet: call fit first")
        return self._state

    def _take(self, state: FittedState, codes: NDArray[np.uint8], fingerprint: str | None) -> None:
        codes.flags.writeable = False
        if fingerprint is None:
            fingerprint = _fingerprint_of_codes(type(self).__name__, state.n_features, codes)
        # One call, which no interrupt can divide as it could several assignments.
        self.__dict__.update(_state=state, _codes=codes, _fingerprint=fingerprint)

    def _layers_of(self, labels: Any, n: int, n_layers: int = 1) -> list[Features]:
        """Return labels as arrays of `n` rows, one a layer; none for methods without labels."""
        if not self.is_supervised:
            return []
        if labels is None:
            raise TypeError(f"labels must be given: {type(self).__name__} learns from them")
        return label_layers(labels, n_layers, n)

    def _encoder(self) -> str:
        if not self.is_supervised:
            return "bits"
        return check_choice("encoder", getattr(self, "encoder"), self._encoders())  # noqa: B009

    def _encoders(self) -> tuple[str, ...]:
        """Return the values that the parameter `encoder` may have."""
        return (*ENCODERS, "auto")

    def _encoder_in(self, state: Any) -> str:
        """Return the parameter `encoder`, where what was learned serves it."""
        return self._encoder()

    def _encoder_of(self, modality: str) -> str:
        state = self._fitted_state()
        return _chosen(self._encoder_in(state), state, modality)

    def _encoder_of_all(self, state: Any, modalities: Collection[str]) -> str:
        """Return the encoder of several modalities together."""
        encoder = self._encoder_in(state)
        if encoder != "auto":
            return encoder
        return "bits" if state.trial is None else state.trial.choice(*modalities)

    def _check_continuity(self, state: Any) -> None:
        """Raise an error if a parameter is invalid or does not fit what was learned."""
        self._check_length(check_n_bits(self.n_bits), state)

    def _check_length(self, n_bits: int, state: Any) -> None:
        learned = self._n_bits_of(state)
        if n_bits != learned:
            raise ValueError(f"n_bits must stay {learned} once chunks were learned, got {n_bits}")

    def _maps(self, modalities: Collection[str], sparse: Collection[str] = ()) -> dict[str, Any]:
        """Return the feature map of each modality, not fitted; `sparse` are those with sparse rows."""
        given = check_feature_maps(self.feature_maps)
        unknown = [name for name in given if name not in modalities]
        if unknown:
            raise ValueError(
                f"feature_maps must be for modalities of the views, {', '.join(map(repr, modalities))}, "
                f"got one for {unknown[0]!r}"
            )
        return {name: given[name] if name in given else self._default_map(name in sparse) for name in modalities}


def _chosen(encoder: str, state: FittedState, modality: str) -> str:
    """Return the encoder of a modality: for "auto" the one that did best in the trial."""
    if encoder != "auto":
        return encoder
    return "bits" if state.trial is None else state.trial.choice(modality)


def _fusion_weights(weights: object, modalities: list[str]) -> dict[str, float]:
    """Return the weight of each modality, 1 where none is given."""
    if weights is None:
        return dict.fromkeys(modalities, 1.0)
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights must be a mapping of modality names to numbers, got {type(weights).__name__}")
    for name in weights:
        check_choice("weights", name, tuple(modalities))
    found = {name: check_real(f"weights[{name!r}]", weights.get(name, 1.0), 0.0) for name in modalities}
    if not any(found.values()):
        raise ValueError("weights must have one above 0, all are 0")
    return found


def _fingerprint_of_codes(name: str, n_features: Mapping[str, int], codes: NDArray[np.uint8]) -> str:
    import hashlib

    digest = hashlib.sha256(json.dumps([name, dict(n_features), list(codes.shape)]).encode())
    digest.update(codes.tobytes())
    return digest.hexdigest()[:32]


def _check_fingerprint(fingerprint: object) -> str:
    if not isinstance(fingerprint, str) or re.fullmatch("[0-9a-f]{32}", fingerprint) is None:
        raise ValueError(f"fingerprint must be 32 hexadecimal digits, got {fingerprint!r}")
    return fingerprint


def check_views(views: object, n_features: Mapping[str, int], *, may_lack: bool = False) -> dict[str, Features]:
    """Return views in a form whose rows can be sliced; `n_features` are the learned modalities, empty before any.

    With `may_lack`, a view may be None: no row has this modality, and the result is without it.
    """
    if not isinstance(views, Mapping):
        raise TypeError(f"views must be a mapping of modality names to features, got {type(views).__name__}")
    if not views:
        raise ValueError("views must hold at least one modality, got none")
    for name in views:
        if not isinstance(name, str):
            raise TypeError(f"views must have names of type str, got {name!r}")
    if n_features:
        missing = [name for name in n_features if name not in views]
        unknown = [name for name in views if name not in n_features]
        if missing or unknown:
            hint = " (None where no row has it)" if may_lack else ""
            wrong = f"{missing[0]!r} is missing{hint}" if missing else f"{unknown[0]!r} is unknown"
            raise ValueError(f"views must be {', '.join(map(repr, n_features))} as learned before, {wrong}")
    names = [name for name in (n_features or views) if not (may_lack and views[name] is None)]
    if not names:
        raise ValueError("views must hold at least one modality, all are None")
    rows = {name: as_rows(f"views[{name!r}]", views[name]) for name in names}
    for name, x in rows.items():
        shape_of_features(f"views[{name!r}]", x, n_features.get(name))
    check_equally_many(rows)
    if n_rows_of(rows) == 0:
        raise ValueError("views must have at least one row, got none")
    return rows


def check_equally_many(rows: Mapping[str, Features], what: str = "views") -> None:
    """Raise ValueError unless all views have the same number of rows; errors call them `what`."""
    if len({x.shape[0] for x in rows.values()}) > 1:
        shown = ", ".join(f"{name!r} has {x.shape[0]}" for name, x in rows.items())
        raise ValueError(f"{what} must have equally many rows, {shown}")


def check_modality(state: FittedState, modality: object, what: str = "modality") -> None:
    """Refuse a modality that was not learned; errors call it `what`."""
    if not isinstance(modality, str):
        raise TypeError(f"{what} must be the name of a modality, got {modality!r}")
    if modality not in state.n_features:
        raise ValueError(f"{what} must be one of {', '.join(map(repr, state.n_features))}, got {modality!r}")


def refuse_overflow(
    projections: NDArray[np.float32], names: Mapping[str, str], first_row: int = 0
) -> NDArray[np.float32]:
    """Return projections; raise ValueError if some are not finite. Errors call the rows of modalities by `names`."""
    too_large = np.flatnonzero(~np.isfinite(projections).all(axis=1))
    if too_large.size:
        what = next(iter(names.values())) if len(names) == 1 else "views"
        raise ValueError(
            f"{what} must give projections that float32 can hold, got values that are too large in "
            f"{name_rows(too_large, first_row)}"
        )
    return projections


def weighted_sum(arrays: Mapping[str, NDArray[Any]], weights: Mapping[str, float]) -> NDArray[Any]:
    """Return the sum of arrays by modality, each times its weight; a single array of weight 1 as it is."""
    total: Any = None
    for name, array in arrays.items():
        weighted = array if weights[name] == 1 else weights[name] * array
        total = weighted if total is None else total + weighted
    return cast("NDArray[Any]", total)


def n_features_of(rows: Mapping[str, Features]) -> dict[str, int]:
    """Return the number of features of each view."""
    return {name: int(x.shape[1]) for name, x in rows.items()}


def n_rows_of(rows: Mapping[str, Features]) -> int:
    """Return the number of rows of views that have equally many."""
    return int(next(iter(rows.values())).shape[0])

"""BOCH: Bayes online class hashing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash.methods.lemon import LEMON, EmbeddingSums, LEMONSettings, learn_codes
from pyhash.methods.linear import OnlineMethod, Settings
from pyhash.methods.parts.arrays import Arrays, Fields, Signs
from pyhash.methods.parts.code_book import code_book
from pyhash.methods.parts.feature_maps import RBFAnchors, UnitLength
from pyhash.methods.parts.state import Chunk, State

if TYPE_CHECKING:
    from pyhash._files.archive import Archive

# The kernel of dense views: anchors of the first chunk, of each later one, and at most.
_N_ANCHORS, _GROW, _MAX_ANCHORS = 1500, 750, 3750


@dataclass(frozen=True)
class BOCHSettings(Settings):
    """The checked parameters of BOCH."""

    embedding: LEMONSettings  # of codes for several labels a row


class BOCH(OnlineMethod[BOCHSettings, EmbeddingSums | None]):
    """Bayes online class hashing: the recommended method.

    Every class has a code that does not depend on the data, far from those of the other classes; a row has the code of
    its class. All that is learned are sums over rows, from which label scores follow, calibrated on rows before they
    are learned. A query takes the code, and the weights of its bits, that retrieve best under the posterior over the
    classes.

    Parameters
    ----------
    n_bits : int
        Code length r in bits.
    n_classes : int or None
        Number of classes, for labels that are class indices; None: as many as labels have shown so far, more may come.
    xi : float or mapping of str to float
        Ridge of the projections of the encoder "bits", above 0, and of the scores of "posterior"; the encoder "bayes"
        chooses its own.
    feature_maps : mapping of str to feature map, or None
        Feature map of each modality. Without an entry, dense views have ``RBFAnchors(1500, grow=750,
        max_anchors=3750)`` and sparse ones ``UnitLength()``; for features as they are, give None as the map.
    encoder : {"bayes", "bits", "posterior", "auto"}
        Encoder of queries: "bayes" takes the code and the weights that retrieve best under the posterior over labels;
        "bits" takes the sign of each projection, "posterior" the expected code; "auto" the best of the three, tried on
        data not yet learned.
    seed : int
        Seed of all random choices, the codes of the classes among them: the same seed and chunks give the same codes.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed codes of the rows of the last ``fit`` or ``partial_fit``.
    modalities_ : dict of str to int
        The learned modalities with their numbers of features.
    n_samples_seen_ : int
        Number of rows learned so far.
    encoders_ : dict of str to str
        The encoder of each modality.
    calibration_ : dict of str to dict
        What was chosen for the label scores of each modality, and how well it predicted.

    Notes
    -----
    Labels are class indices (n,) or a 0/1 matrix (n, c), dense or sparse, with at least one label a row. Later chunks
    may show more classes. If a row of the first chunk has several labels, all rows have the codes of LEMON in place of
    class codes, and the classes stay those of the first chunk; if all have one, so must those of later chunks.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, size=400)
    >>> image = np.eye(4)[labels] + 0.3 * rng.standard_normal((400, 4))
    >>> model = BOCH(n_bits=16).partial_fit({"image": image}, labels)
    >>> codes = model.encode(image, modality="image")
    >>> codes.shape, float((codes == model.codes_).all(axis=1).mean()) > 0.8
    ((400, 2), True)
    """

    _always_keeps_label_sets = True

    def __init__(
        self,
        n_bits: int = 64,
        *,
        n_classes: int | None = None,
        xi: float | Mapping[str, float] = 0.1,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bayes",
        seed: int = 0,
    ) -> None:
        self.n_bits = n_bits
        self.n_classes = n_classes
        self.xi = xi
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.seed = seed

    def _default_map(self, sparse: bool) -> UnitLength | RBFAnchors:
        if sparse:
            return UnitLength()
        return RBFAnchors(_N_ANCHORS, grow=_GROW, max_anchors=_MAX_ANCHORS, seed=self.seed)

    def _check_parameters(self, shared: Settings, modalities: list[str]) -> BOCHSettings:
        return BOCHSettings(**vars(shared), embedding=LEMON()._check_parameters(shared, modalities))

    def _takes_new_classes(self, state: State[EmbeddingSums | None]) -> bool:
        return state.own is None

    def _learn(
        self, settings: BOCHSettings, own: EmbeddingSums | None, chunk: Chunk, rng: np.random.Generator
    ) -> tuple[EmbeddingSums | None, Signs]:
        L = chunk.finest
        has_several = bool((L.sum(axis=1) > 1).any())
        is_first = chunk.label_sets_before is None or len(chunk.label_sets_before.counts) == 0
        if is_first and has_several:
            own = EmbeddingSums.empty(settings.n_bits, L.shape[1])
        if own is not None:
            return learn_codes(settings.embedding, own, L, rng)
        if has_several:
            row = int(np.argmax(L.sum(axis=1) > 1))
            raise ValueError(
                f"labels must give every row one label, as those of the first chunk did, got {int(L[row].sum())} in "
                f"row {row} of the chunk"
            )
        return None, code_book(settings.n_bits, settings.seed).codes(L.shape[1])[L.argmax(axis=1)]

    def _own_to_file(self, own: EmbeddingSums | None) -> tuple[Fields, Arrays]:
        return {}, {} if own is None else own.to_arrays()

    def _own_from_file(self, archive: Archive, state: State[Any]) -> EmbeddingSums | None:
        return EmbeddingSums.from_archive(archive) if EmbeddingSums.is_in(archive) else None

"""State of a linear method: what all of them keep, and how a file keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_bool, check_features, check_integer, check_real
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix, pack_triangle, unpack_triangle
from pyhash.methods.parts.bayes_codes import BayesCodes, LabelPosterior
from pyhash.methods.parts.calibration import UNCALIBRATED, Calibration
from pyhash.methods.parts.class_table import ClassTable
from pyhash.methods.parts.encoder_trial import EncoderTrial
from pyhash.methods.parts.feature_maps import MAPS, FeatureMap, apply_map
from pyhash.methods.parts.feature_rows import FeatureRows
from pyhash.methods.parts.feature_sums import FeatureSums, LayerSums, UnlabelledSums
from pyhash.methods.parts.history import Iteration, Recorder, restore_history, store_history
from pyhash.methods.parts.label_scores import ScoreSolver
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.origins import Origins
from pyhash.methods.parts.parameters import restore_parameter, store_parameter
from pyhash.methods.parts.posterior import PosteriorEncoder
from pyhash.methods.parts.ridge import RidgeSolver, solve_ridge
from pyhash.methods.parts.sums import Sums

if TYPE_CHECKING:
    from pyhash._files.archive import Archive
    from pyhash._inputs.checks import Features

Own = TypeVar("Own")


@dataclass(frozen=True)
class Chunk:
    """Samples to learn from, checked and mapped, with the sums before them.

    Methods whose codes depend on labels alone learn them from a chunk without views too.
    """

    views: dict[str, FeatureRows]  # without the modalities that no sample has
    labels: list[Matrix]  # 0/1 (n, c_k) of each layer, coarse to fine; empty for methods without labels
    sums_before: dict[str, FeatureSums]
    XX: dict[str, Matrix]  # sum X'X with this chunk, of all modalities
    label_sets_before: LabelSets | None
    recorder: Recorder | None = None  # with record=True

    @property
    def n(self) -> int:
        """Number of samples in the chunk."""
        return next(iter(self.views.values())).shape[0] if self.views else len(self.labels[-1])

    @property
    def finest(self) -> Matrix:
        """Labels of the finest layer (n, c)."""
        return self.labels[-1]

    def cross_sum(self, modality: str, B: NDArray[Any]) -> Matrix:
        """Return the sum X'B with this chunk at the codes B."""
        before = self.sums_before[modality].XB
        return before + self.views[modality].transposed_dot(B) if modality in self.views else before

    def n_rows_with(self, modality: str) -> float | None:
        """Return how many samples, by weight, have a modality so far; None where a file of version 0.1 did not tell."""
        counts = self.sums_before[modality].counts
        if counts is None:
            return None
        return float(counts[0]) + (self.views[modality].n_present if modality in self.views else 0)

    def record(
        self, B: NDArray[Any], terms: Callable[[], Mapping[str, float]], own: Callable[[], Any] | None = None
    ) -> None:
        """Note the objective after an iteration; without ``record=True`` nothing is done, and nothing is called.

        Parameters
        ----------
        B : ndarray of shape (n, n_bits)
            Signs of the chunk as the iteration leaves them.
        terms : function
            Returns the terms of the objective by name, weighted.
        own : function, optional
            Returns what the method itself keeps as the iteration leaves it; only where projections depend on it.
        """
        if self.recorder is not None:
            self.recorder.add(B, terms(), None if own is None else own())


@dataclass(frozen=True)
class State(Generic[Own]):
    """All that a model keeps of its data: the size depends on features, label sets and bits, not on samples.

    ``own`` is what one method alone keeps. What follows the calibrations is solved from the rest when it is first
    needed.
    """

    n_features: dict[str, int]  # of each modality as the user gives it
    n_mapped: dict[str, int]  # and after its map
    maps: dict[str, Any]
    n_chunks: int
    n_samples: int
    sums: dict[str, FeatureSums]  # empty for methods without labels, as is the next
    ridge: dict[str, float]
    label_sets: LabelSets | None  # None where neither method nor encoder asks for it
    own: Own
    classes: ClassTable = field(default_factory=ClassTable)  # all so far
    trial: EncoderTrial | None = None
    # By modality, where label sets are kept and samples without a label in the finest layer came; else empty.
    unlabelled: dict[str, UnlabelledSums] = field(default_factory=dict)
    layers: dict[str, LayerSums] = field(default_factory=dict)  # by modality, where a method needs them; else empty
    # By modality with a kernel map, where rows can be forgotten; else empty.
    origins: dict[str, Origins] = field(default_factory=dict)
    history: tuple[Iteration, ...] = ()  # empty without record=True
    calibrations: dict[str, Calibration] = field(default_factory=dict)  # by modality; empty without Bayes codes
    projections: dict[str, Matrix] = field(default_factory=dict)  # by modality (n_mapped, n_bits)
    # Factored systems of the projections by modality, kept only while a chunk is validated: codes do not enter them.
    systems: dict[str, RidgeSolver] | None = None
    solvers: dict[str, ScoreSolver] = field(default_factory=dict)  # of label scores
    label_posteriors: dict[str, LabelPosterior] = field(default_factory=dict)
    bayes_codes: list[BayesCodes] = field(default_factory=list)  # at most one
    posteriors: dict[str, PosteriorEncoder] = field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        """Classes of the finest layer; only for methods with labels."""
        return int(next(iter(self.sums.values())).XL.shape[1])

    @property
    def has_row_sums(self) -> bool:
        """Whether sums of rows are kept, which Bayes codes need; files of version 0.1 lack them."""
        return all(sums.X is not None for sums in self.sums.values())

    def has_rows(self, modality: str) -> bool:
        """Return whether rows with a modality were learned; of some, none may be left, or have come yet."""
        if modality not in self.sums:  # of a method without labels, which keeps none
            return True
        counts = self.sums[modality].counts
        return counts is None or bool(counts[0] > 0)

    def mapped(self, modality: str, rows: Features) -> Features:
        """Return rows of a modality, which a user gave as ``views[modality]``, after its map."""
        name = f"views[{modality!r}]"
        return apply_map(name, modality, self.maps[modality], check_features(name, rows))

    def updated(self, **changes: Any) -> State[Own]:
        """Return the state with some fields replaced, and nothing solved yet."""
        solved: dict[str, Any] = {
            "projections": {},
            "solvers": {},
            "label_posteriors": {},
            "bayes_codes": [],
            "posteriors": {},
        }
        return replace(self, **{**solved, **changes})

    def grown(self, modality: str, feature_map: Any, C: Matrix) -> State[Own]:
        """Return the state with a map that has taken on columns, its sums completed by C (d, d_new)."""

        def completed(sums: Mapping[str, Any]) -> dict[str, Any]:
            return {name: of.completed(C) if name == modality else of for name, of in sums.items()}

        return self.updated(
            maps={**self.maps, modality: feature_map},
            n_mapped={**self.n_mapped, modality: sum(C.shape)},
            sums=completed(self.sums),
            layers=completed(self.layers),
            unlabelled=completed(self.unlabelled),
        )

    def labelled_sums(self, modality: str) -> FeatureSums:
        """Return the sums over the samples that have a label in the finest layer, except X'B."""
        sums = self.sums[modality]
        return sums.labelled(self.unlabelled[modality]) if self.unlabelled else sums

    def system(self, modality: str, G: Callable[[], Matrix]) -> RidgeSolver:
        """Return the solver of ``(G + xi I) W = F`` of a modality's projection."""
        systems = {} if self.systems is None else self.systems
        if modality not in systems:
            systems[modality] = RidgeSolver(G(), self.ridge[modality])
        return systems[modality]

    def solver(self, modality: str) -> ScoreSolver:
        """Return the solver of a modality's label scores."""
        if modality not in self.solvers:
            self.solvers[modality] = ScoreSolver(self.labelled_sums(modality))
        return self.solvers[modality]

    def posterior(self, modality: str) -> PosteriorEncoder:
        """Return the posterior encoder of a modality; only where the table of label sets is kept."""
        if modality not in self.posteriors:
            sums = self.labelled_sums(modality)
            weights = solve_ridge(sums.XX, sums.XL, self.ridge[modality])
            self.posteriors[modality] = PosteriorEncoder(weights, cast("LabelSets", self.label_sets))
        return self.posteriors[modality]

    def label_posterior(self, modality: str) -> LabelPosterior:
        """Return the posterior over label sets from features of a modality; only where the table of sets is kept."""
        if modality not in self.label_posteriors:
            calibration = self.calibrations.get(modality)
            choice = UNCALIBRATED if calibration is None else calibration.choice
            scores = self.solver(modality).scores(choice.ridge, choice.share)
            self.label_posteriors[modality] = LabelPosterior(scores, cast("LabelSets", self.label_sets), choice)
        return self.label_posteriors[modality]

    def scaled(self, factor: float) -> State[Own]:
        """Return the state with the samples so far weighted by a factor; what was solved from the sums is kept."""
        return replace(
            self,
            sums={name: sums.scaled(factor) for name, sums in self.sums.items()},
            layers={name: sums.scaled(factor) for name, sums in self.layers.items()},
            label_sets=None if self.label_sets is None else self.label_sets.scaled(factor),
            unlabelled={name: sums.scaled(factor) for name, sums in self.unlabelled.items()},
            own=self.own.scaled(factor) if isinstance(self.own, Sums) else self.own,
        )

    def widened(self, classes: ClassTable) -> State[Own]:
        """Return the state with room for more classes, except in what the method itself keeps."""
        n_classes = classes.sizes[-1]
        return replace(
            self,
            classes=classes,
            sums={name: sums.widened(n_classes) for name, sums in self.sums.items()},
            layers={name: layers.widened(classes.sizes) for name, layers in self.layers.items()},
            label_sets=None if self.label_sets is None else self.label_sets.widened(n_classes),
            trial=None if self.trial is None else self.trial.widened(n_classes),
            solvers={},
            posteriors={},
            label_posteriors={},
        )


def store_state(state: State[Any], n_bits: int, arrays: Arrays) -> Fields:
    """Return header fields of all but ``own``; its arrays go into `arrays`."""
    fields: Fields = {
        "n_bits": n_bits,
        "n_chunks": state.n_chunks,
        "n_samples": state.n_samples,
        "modalities": state.n_features,
        "mapped": state.n_mapped,
        "maps": store_maps(state.maps, arrays),
        "ridge": state.ridge,
    }
    for m, name in enumerate(state.n_features):
        if name in state.sums:
            sums = state.sums[name]
            arrays |= {f"XX.{m}": pack_triangle(sums.XX), f"XB.{m}": sums.XB, f"XL.{m}": sums.XL}
            if sums.X is not None and sums.counts is not None:
                arrays |= {f"X.{m}": sums.X, f"counts.{m}": sums.counts}
        if name in state.layers:
            layers = state.layers[name]
            arrays |= {f"class_sums.{m}.{k}": XL for k, XL in enumerate(layers.XL)}
            arrays |= {f"class_counts.{m}.{k}": counts for k, counts in enumerate(layers.counts)}
            fields["n_layers"] = len(layers.counts)
    if state.sums:
        fields |= {"n_classes": state.n_classes, "has_row_sums": state.has_row_sums}
        fields["classes"] = state.classes.store(arrays)
    if state.label_sets is not None:
        state.label_sets.store(arrays)
    for m, name in enumerate(state.n_features):
        if name in state.unlabelled:
            unlabelled = state.unlabelled[name]
            arrays |= {f"unlabelled.XX.{m}": pack_triangle(unlabelled.XX), f"unlabelled.X.{m}": unlabelled.X}
            fields.setdefault("n_unlabelled", {})[name] = unlabelled.n
        if name in state.origins:
            state.origins[name].store(f"origins.{m}.", arrays)
    fields["calibrations"] = store_calibrations(state.calibrations, state.n_features, arrays)
    if state.trial is not None:
        fields["trial"] = state.trial.store(arrays)
    return fields | store_history(state.history, arrays)


def restore_state(archive: Archive) -> State[Any]:
    """Return what ``store_state`` stored, without ``own``; every dtype and shape is checked."""
    fields = archive.field("state")
    r = check_integer("n_bits", fields["n_bits"], 1)
    n_features = {name: check_integer("n_features", d, 1) for name, d in fields["modalities"].items()}
    if not n_features:
        raise ValueError("it must have at least one modality")
    n_mapped = {name: check_integer("mapped", d, 1) for name, d in fields["mapped"].items()}
    ridge = {name: check_real("ridge", xi, 0.0, exclusive=True) for name, xi in fields["ridge"].items()}
    maps = restore_maps(fields["maps"], n_features, archive)
    _check_keys("mapped", n_mapped, n_features)
    for name, d in n_features.items():
        width = apply_map(f"the map of {name!r}", name, maps[name], np.zeros((1, d))).shape[1]
        if width != n_mapped[name]:
            raise ValueError(f"the map of {name!r} makes {width} features, the header says {n_mapped[name]}")
    sums: dict[str, FeatureSums] = {}
    label_sets, classes = None, ClassTable()
    c = None if fields.get("n_classes") is None else check_integer("n_classes", fields["n_classes"], 1)
    if c is not None:
        label_sets = LabelSets.restore(archive, c, r) if LabelSets.is_in(archive) else None
        has_row_sums = archive.version > 1 and check_bool("has_row_sums", fields["has_row_sums"])
        sums = {
            name: FeatureSums(
                _restore_gram(archive, f"XX.{m}", d),
                archive.array(f"XB.{m}", np.float64, (d, r)),
                archive.array(f"XL.{m}", np.float64, (d, c)),
                archive.array(f"X.{m}", np.float64, (d,)) if has_row_sums else None,
                archive.array(f"counts.{m}", np.float64, (1 + c,)) if has_row_sums else None,
            )
            for m, (name, d) in enumerate(n_mapped.items())
        }
        # Files of earlier versions have only the hierarchy of the parameters, if any.
        classes = ClassTable.restore(fields["classes"], archive) if "classes" in fields else ClassTable((c,))
        if classes.sizes[-1] != c:
            raise ValueError(f"the finest layer must have {c} classes, got {classes.sizes[-1]}")
    _check_keys("ridge", ridge, sums)
    unlabelled = {}
    if "n_unlabelled" in fields:
        stored = fields["n_unlabelled"]
        # Files of earlier versions have one number: every row had all modalities.
        n_rows = stored if isinstance(stored, dict) else dict.fromkeys(n_mapped, stored)
        _check_keys("n_unlabelled", n_rows, n_mapped)
        unlabelled = {
            name: UnlabelledSums(
                _restore_gram(archive, f"unlabelled.XX.{m}", d),
                archive.array(f"unlabelled.X.{m}", np.float64, (d,)),
                check_real("n_unlabelled", n_rows[name], 0.0),
            )
            for m, (name, d) in enumerate(n_mapped.items())
        }
    layers = {}
    if "n_layers" in fields:
        n_layers = check_integer("n_layers", fields["n_layers"], 1)
        layers = {name: _restore_layers(archive, m, d, n_layers) for m, (name, d) in enumerate(n_mapped.items())}
    origins = {
        name: Origins.restore(f"origins.{m}.", archive, d)
        for m, (name, d) in enumerate(n_mapped.items())
        if any(array.startswith(f"origins.{m}.") for array in archive.arrays)
    }
    trial = EncoderTrial.restore(fields["trial"], archive, r, c or 1) if "trial" in fields else None
    if trial is not None and trial.scores:
        _check_keys("scores", trial.scores, n_features)
    calibrations = restore_calibrations(fields["calibrations"] if archive.version > 1 else {}, n_features, archive)
    return State(
        n_features=n_features,
        n_mapped=n_mapped,
        maps=maps,
        n_chunks=check_integer("n_chunks", fields["n_chunks"], 0),
        n_samples=check_integer("n_samples", fields["n_samples"], 0),
        sums=sums,
        ridge=ridge,
        label_sets=label_sets,
        own=None,
        classes=classes,
        trial=trial,
        unlabelled=unlabelled,
        layers=layers,
        origins=origins,
        history=restore_history(fields, archive),
        calibrations=calibrations,
    )


def _restore_gram(archive: Archive, name: str, d: int) -> Matrix:
    if archive.version == 1:
        return archive.array(name, np.float64, (d, d))
    return unpack_triangle(archive.array(name, np.float64, (d * (d + 1) // 2,)), d)


def _restore_layers(archive: Archive, m: int, d: int, n_layers: int) -> LayerSums:
    """Return the sums by layer of the m-th modality; files of earlier versions have one count for all modalities."""
    of_modality = f"class_counts.{m}.0" in archive.arrays
    counts = [
        archive.array(f"class_counts.{m}.{k}" if of_modality else f"class_counts.{k}", np.float64, (None,))
        for k in range(n_layers)
    ]
    XL = [archive.array(f"class_sums.{m}.{k}", np.float64, (d, len(counts[k]))) for k in range(n_layers - 1)]
    return LayerSums(XL, counts)


def _check_keys(what: str, found: Mapping[str, Any], modalities: Mapping[str, Any]) -> None:
    if found.keys() != modalities.keys():
        raise ValueError(f"{what} must be of the modalities {list(modalities)}, got {list(found)}")


def store_calibrations(
    calibrations: Mapping[str, Calibration], modalities: Mapping[str, Any], arrays: Arrays
) -> Fields:
    """Return header fields of calibrations, of all modalities or none; their arrays go into `arrays`."""
    return {
        name: calibrations[name].store(f"calibration.{m}", arrays)
        for m, name in enumerate(modalities)
        if name in calibrations
    }


def restore_calibrations(
    stored: Mapping[str, Any], modalities: Mapping[str, Any], archive: Archive
) -> dict[str, Calibration]:
    """Return what ``store_calibrations`` stored, by modality."""
    _check_keys("calibrations", stored, modalities if stored else {})
    return {
        name: Calibration.restore(stored[name], f"calibration.{m}", archive)
        for m, name in enumerate(modalities)
        if name in stored
    }


def store_maps(maps: Mapping[str, Any], arrays: Arrays) -> Fields:
    """Return header fields of fitted maps; their arrays go into `arrays`."""
    return {
        name: _store_map(name, feature_map, f"map.{m}.", arrays)
        for m, (name, feature_map) in enumerate(maps.items())
        if feature_map is not None
    }


def restore_maps(stored: Mapping[str, Any], n_features: Mapping[str, int], archive: Archive) -> dict[str, Any]:
    """Return what ``store_maps`` stored, by modality; None for those without a map."""
    unknown = stored.keys() - n_features.keys()
    if unknown:
        raise ValueError(f"maps must be of the modalities {list(n_features)}, got {sorted(unknown)}")
    for m, name in enumerate(n_features):
        if name not in stored and any(array.startswith(f"map.{m}.") for array in archive.arrays):
            raise ValueError(f"maps must describe the map of {name!r}, of which there are arrays")
    return {
        name: _restore_map(stored[name], d, f"map.{m}.", archive) if name in stored else None
        for m, (name, d) in enumerate(n_features.items())
    }


def _store_map(modality: str, feature_map: Any, prefix: str, arrays: Arrays) -> Fields:
    if type(feature_map) not in MAPS.values():
        raise TypeError(
            f"feature_maps[{modality!r}] cannot be saved: it is a {type(feature_map).__name__}, and files hold only "
            f"{', '.join(MAPS)}; map the features before the model sees them"
        )
    learned = {name: np.asarray(array) for name, array in feature_map.learned().items()}
    arrays |= {prefix + name: array for name, array in learned.items()}
    parameters = {name: store_parameter(prefix + name, v, arrays) for name, v in feature_map.get_params().items()}
    return {"kind": type(feature_map).__name__, "parameters": parameters}


def _restore_map(stored: Mapping[str, Any], n_features: int, prefix: str, archive: Archive) -> FeatureMap:
    parameters = {name: restore_parameter(value, archive.arrays) for name, value in stored["parameters"].items()}
    feature_map = MAPS[stored["kind"]](**parameters)
    feature_map.restore(n_features, archive, prefix)
    return feature_map

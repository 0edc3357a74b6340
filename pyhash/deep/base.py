"""What the deep methods have in common: data, training, encoders and files, under the contract of all methods."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.utils.data import DataLoader

from pyhash._files.safetensors import write_tensor_file
from pyhash._inputs.checks import (
    as_rows,
    check_bool,
    check_choice,
    check_integer,
    check_n_bits,
    check_real,
    is_sparse,
    shape_of_features,
)
from pyhash.codes import pack, sign
from pyhash.deep.backbones import check_backbones, check_given, check_modalities, restore_backbones, store_backbones
from pyhash.deep.checkpoint import as_arrays, as_weights, load_weights, weights_of
from pyhash.deep.collapse import warn_of_collapse
from pyhash.deep.device import resolve_device
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import is_bag_of_words
from pyhash.deep.onnx_export import write_onnx
from pyhash.deep.progress_bar import progress_bar
from pyhash.deep.rows import ArrayRows, LoaderRows, TrainingRows, check_flat_views, query_inputs, rows_per_block
from pyhash.deep.training import Objective, Options, Outputs, Training, encode_rows, forked_rng, one_thread, set_seed
from pyhash.deep.validation import Validation
from pyhash.methods.contract import HashingMethod, Views, check_modality, n_rows_of, refuse_overflow
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix
from pyhash.methods.parts.encoder_trial import EncoderTrial
from pyhash.methods.parts.feature_maps import Standardizing, check_rows, fitted_copy, row_blocks
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.parameters import per_modality, restore_parameter, store_parameter
from pyhash.methods.parts.posterior import PosteriorEncoder
from pyhash.methods.parts.ridge import add_gram, solve_ridge
from pyhash.methods.parts.state import restore_maps, store_maps

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._files.archive import Archive
    from pyhash._inputs.checks import Features

# Rows whose values stand for all of them when a checkpoint is asked whether it is of this training.
_ROWS_IN_IDENTITY = 16


@dataclass(frozen=True)
class Plan:
    """What networks are made for: it fixes every shape."""

    n_bits: int
    n_classes: int
    shapes: dict[str, tuple[int, ...]]  # of a row of each modality, as the user gives it
    widths: dict[str, int]  # of a row after its feature map

    @property
    def n_features(self) -> dict[str, int]:
        """Of each modality as the user gives it."""
        return {name: int(np.prod(shape)) for name, shape in self.shapes.items()}


@dataclass(frozen=True)
class DeepState:
    """All that a trained model keeps."""

    plan: Plan
    settings: dict[str, Any]  # parameters that say what the networks are, as they were when they were trained
    maps: dict[str, Any]
    n_samples: int
    network: HashingNetwork
    label_weights: dict[str, Matrix]  # (k + 1, c): scores of the labels from features and 1
    label_sets: LabelSets
    history: list[dict[str, Any]]
    best_epoch: int
    trial: EncoderTrial | None = None
    posteriors: dict[str, PosteriorEncoder] = field(default_factory=dict)  # made when they are first needed

    @property
    def n_features(self) -> dict[str, int]:
        """Of each modality as the user gives it."""
        return self.plan.n_features


class DeepMethod(HashingMethod):
    """A method that trains networks.

    A subclass says what its networks are and what they lower; data, epochs, validation, encoders and files are here.
    """

    _state: DeepState | None = None

    # Constructor keywords that every deep method has.
    n_classes: int | None
    preset: str
    backbones: Mapping[str, Any] | None
    epochs: int | None
    batch_size: int | None
    optimizer: str | None
    decay: str | None
    validation_fraction: float
    patience: int | None
    max_grad_norm: float | None
    mixed_precision: bool
    device: str
    encoder: str
    xi: float | Mapping[str, float]
    seed: int

    # --- what a subclass provides -------------------------------------------------------------------------------------

    @abstractmethod
    def _presets(self) -> dict[str, dict[str, Any]]:
        """The values that parameters of None have, by the name of the preset."""

    @abstractmethod
    def _check_settings(self, chosen: dict[str, Any], modalities: list[str], device: torch.device) -> dict[str, Any]:
        """The method's own parameters, checked, by name: JSON that a network can be made of again."""

    @abstractmethod
    def _make_network(self, plan: Plan, settings: dict[str, Any], backbones: dict[str, nn.Module]) -> HashingNetwork:
        """Untrained networks; `backbones` are theirs to train."""

    @abstractmethod
    def _make_objective(
        self, network: HashingNetwork, settings: dict[str, Any], L: Matrix, device: torch.device
    ) -> Objective:
        """What is lowered; L (n, c) are the labels of all rows."""

    @abstractmethod
    def _advice(self) -> str:
        """What to change where codes have collapsed."""

    # --- what every deep method has -----------------------------------------------------------------------------------

    @property
    def history_(self) -> list[dict[str, Any]]:
        """What was measured in every epoch of training: a dict each.

        ``epoch`` (from 1), ``losses`` by term, as they add up to ``loss``, ``validation`` (mAP by direction, or None),
        ``learning_rates`` by group, ``seconds``.
        """
        return [dict(entry) for entry in self._learned().history]

    @property
    def best_epoch_(self) -> int:
        """The epoch whose weights were kept: the one of the best validation mAP; without validation the last."""
        return int(self._learned().best_epoch)

    def fit(
        self,
        views: Views | DataLoader[Any],
        labels: Any = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
    ) -> Self:
        """Trains on whole data from the start.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features), or torch DataLoader
            Features of each modality, rows aligned; n >= 1. Views with a backbone may have more axes, such as pictures
            (n, 3, h, w); of uint8 they are divided by 255. What is mapped from files (``numpy.memmap``) is read a batch
            at a time. A DataLoader's items are such mappings of a row each, or (mapping, label); its data set, worker
            processes and collate function are used, and rows are shuffled by `seed`.
        labels : array_like or scipy.sparse, optional
            Class indices (n,), or a 0/1 matrix (n, n_classes) with at least one label a row. May be left out where the
            items of a DataLoader have them.
        checkpoint : path-like, optional
            A file that is written after every epoch. Where it is there already, training goes on from it, with the same
            result as if it had never stopped.
        progress : bool, optional
            Whether to show a progress bar on stderr; by default where that is a terminal.

        Returns
        -------
        self
            ``codes_`` holds the fused codes of all rows: signs of the summed outputs of their modalities.

        Warns
        -----
        CollapseWarning
            If most rows end with the same few codes.

        Raises
        ------
        TypeError, ValueError
            If an argument or a parameter is not as it must be, the checkpoint is of another training, or the loss is no
            longer finite; the model is as it was before then.
        OSError, ModelFormatError
            If the checkpoint cannot be written or read.

        Notes
        -----
        On the CPU networks without a backbone are trained on one thread: a second one gains little, and loses much
        where others use the CPUs.
        """
        state, signs = self._learn(views, labels, checkpoint, progress)
        self._take(state, pack(signs), None)
        return self

    def encode_fused(self, views: Views) -> NDArray[np.uint8]:
        """Packed codes of samples of which all modalities are known: signs of their summed projections.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Of some or all modalities, rows aligned.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), uint8

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As ``project``.
        """
        if not isinstance(views, Mapping) or not views:
            raise TypeError(f"views must be a mapping of modality names to features, got {views!r}")
        projections = [self.project(X, modality=name) for name, X in views.items()]
        if len({len(rows) for rows in projections}) > 1:
            shown = ", ".join(f"{name!r} has {len(rows)}" for name, rows in zip(views, projections, strict=True))
            raise ValueError(f"views must have equally many rows, {shown}")
        return pack(np.add.reduce(projections))

    def project(self, X: ArrayLike, *, modality: str) -> NDArray[np.float32]:  # noqa: D102 - HashingMethod's
        state = self._learned()
        check_modality(state, modality)
        shape = state.plan.shapes[modality]
        if len(shape) > 1:
            rows = as_rows("X", X)
            if is_sparse(rows) or rows.shape[1:] != shape:
                raise ValueError(f"X must have shape (n, {', '.join(map(str, shape))}), got {rows.shape}")
            X = rows.reshape(len(rows), -1)
        return super().project(X, modality=modality)

    def export_onnx(self, path: str | os.PathLike[str], *, modality: str) -> None:
        """Writes the encoder of one modality to an ONNX file, which gives codes without pyhash and torch.

        It holds all that lies between features and codes: the feature map, the network with its backbone, and the
        encoder that the modality has now, see ``encoders_``. The file is written whole or not at all, and needs no
        other beside it. The model stays as it is.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.
        modality : str
            One of the modalities learned.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError
            If the feature map is not one of pyhash's: files hold no code.
        ValueError
            If the modality is unknown, or its network cannot be in such a file: a backbone has operations that ONNX
            does not have, or takes a single number of rows, or all weights together are larger than 2 GiB.
        ImportError
            If onnx is not installed.
        OSError
            If the file cannot be written; an existing one is then as it was.

        Notes
        -----
        The graph takes ``x`` (n, ...) float32, any number of rows of the shape that ``project`` takes, and gives

        - ``projections`` (n, n_bits) float32, as ``project``;
        - ``codes`` (n, ceil(n_bits / 8)) uint8, as ``encode``: packed, least significant bit first.

        Bags of words are dense there. Pictures of uint8 have to be divided by 255 before: ``project`` does so because
        it sees their dtype. Values that are not finite are not refused. The file's metadata are ``pyhash.version``,
        ``pyhash.class``, ``pyhash.modality``, ``pyhash.n_bits``, ``pyhash.encoder`` and ``pyhash.fingerprint``.
        """
        state = self._learned()
        check_modality(state, modality)
        encoder = self._encoder_of(modality)
        write_onnx(
            path,
            state.network,
            modality,
            state.plan.shapes[modality],
            state.plan.n_bits,
            state.maps[modality],
            self._posterior(state, modality) if encoder == "posterior" else None,
            {"class": type(self).__name__, "encoder": encoder, "fingerprint": self.fingerprint},
        )

    # --- learning -----------------------------------------------------------------------------------------------------

    def _learn(
        self,
        views: Any,
        labels: Any,
        checkpoint: str | os.PathLike[str] | None,
        progress: bool | None,
    ) -> tuple[DeepState, NDArray[np.int8]]:
        n_bits, encoder = check_n_bits(self.n_bits), self._encoder()
        device = resolve_device(self.device)
        if checkpoint is not None and not Path(checkpoint).parent.is_dir():
            raise FileNotFoundError(f"checkpoint must be in a folder that exists, got {os.fspath(checkpoint)!r}")
        backbones = check_backbones(self.backbones if "backbones" in self._parameter_names() else None)
        loaded, flat, shapes = _open_views(views, backbones)
        modalities = list(shapes)
        check_modalities(backbones, modalities)
        settings, options = self._settings(modalities, device)
        xi = per_modality("xi", self.xi, modalities, exclusive=True)
        maps = self._fitted_maps(modalities, flat, backbones)
        n = n_rows_of(flat) if loaded is None else loaded.n
        layers = self._layers_of(loaded.labels() if labels is None and loaded is not None else labels, n)
        L = self._label_matrices(layers, self._classes_of(layers), 0)[-1]
        held_out, trained = self._split(n, encoder)
        rows = ArrayRows(flat, shapes, maps, backbones) if loaded is None else loaded
        plan = Plan(n_bits, L.shape[1], rows.shapes, rows.widths)
        is_small = device.type == "cpu" and not backbones
        with forked_rng(device), one_thread() if is_small else nullcontext():
            set_seed(options.seed, 0, device)
            network = self._make_network(plan, settings, backbones).to(device)
            objective = self._make_objective(network, settings, L, device)
            validation = Validation.draw(L, held_out, trained, self._rng(1)) if len(held_out) else None
            training = Training(objective, rows, trained, validation, options)
            identity = "" if checkpoint is None else self._identity(plan, rows, L, network)
            with progress_bar(progress, type(self).__name__, options.epochs) as bar:
                done = training.run(checkpoint, identity, bar)
            features, outputs = encode_rows(network, rows, np.arange(n), device)
        signs = fused_signs(outputs)
        state = DeepState(
            plan=plan,
            settings=settings,
            maps=maps,
            n_samples=n,
            network=network,
            label_weights=label_weights(features, L, xi),
            label_sets=LabelSets.empty(plan.n_classes, n_bits).add(L, signs),
            history=done.history,
            best_epoch=done.best_epoch,
        )
        if encoder == "auto":
            trial = self._try_encoders(features, outputs, L, xi, held_out, trained)
            state = dataclasses.replace(state, trial=trial)
        packed = {name: pack(found) for name, found in outputs.items()}
        n_kinds = min(plan.n_classes, len(state.label_sets.counts))  # of several labels nearly every row may be one
        warn_of_collapse(packed, n_bits, n_kinds, self._advice())
        return state, signs

    def _settings(self, modalities: list[str], device: torch.device) -> tuple[dict[str, Any], Options]:
        """The method's own parameters and those of training, checked."""
        presets = self._presets()
        preset = presets[check_choice("preset", self.preset, tuple(presets))]
        chosen = {name: getattr(self, name) for name in self._parameter_names()}
        chosen |= {name: value for name, value in preset.items() if chosen[name] is None}
        options = Options(
            epochs=check_integer("epochs", chosen["epochs"], 1),
            batch_size=check_integer("batch_size", chosen["batch_size"], 2),
            optimizer=check_choice("optimizer", chosen["optimizer"], ("adam", "sgd")),
            decay=check_choice("decay", chosen["decay"], ("cosine", "none")),
            patience=None if self.patience is None else check_integer("patience", self.patience, 1),
            max_grad_norm=check_real("max_grad_norm", chosen["max_grad_norm"], 0.0),
            mixed_precision=check_bool("mixed_precision", self.mixed_precision),
            seed=check_integer("seed", self.seed, 0),
            device=device,
        )
        return self._check_settings(chosen, modalities, device), options

    def _fitted_maps(
        self, modalities: list[str], flat: dict[str, Features], pictures: Collection[str]
    ) -> dict[str, Any]:
        """Maps fitted on all rows; by default dense features are standardized, but for the paper's preset."""
        given = self._maps(modalities)
        if not flat:
            mapped = [name for name, feature_map in given.items() if feature_map is not None]
            if mapped:
                raise ValueError(f"feature_maps must be None where views are a DataLoader, got one for {mapped[0]!r}")
            return given
        maps = {}
        for name, rows in flat.items():
            chosen = given[name]
            if chosen is None and name not in (self.feature_maps or {}) and self.preset != "paper":
                chosen = None if name in pictures or is_bag_of_words(rows) else Standardizing()
            if chosen is not None:
                check_rows(f"views[{name!r}]", rows)  # before the map is fitted on them
            maps[name] = fitted_copy(chosen, rows)
        return maps

    def _split(self, n: int, encoder: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows held out for validation, and those trained on."""
        fraction = check_real("validation_fraction", self.validation_fraction, 0.0)
        if fraction >= 1:
            raise ValueError(f"validation_fraction must be a number from 0 to below 1, got {fraction:g}")
        if fraction == 0 and (encoder == "auto" or self.patience is not None):
            needs = "encoder 'auto'" if encoder == "auto" else "patience"
            raise ValueError(f"validation_fraction must be above 0 for {needs}, got 0")
        n_held = int(n * fraction)
        order = self._rng(0).permutation(n)
        return np.sort(order[:n_held]), np.sort(order[n_held:])

    def _identity(self, plan: Plan, rows: TrainingRows, L: Matrix, network: HashingNetwork) -> str:
        """What a checkpoint is of: parameters, data (its shapes, its labels, some of its rows), backbones and seed."""
        # Feature maps are in the rows that they gave; the name of one may be another in every process.
        left_out = ("device", "feature_maps")
        parameters = {name: repr(value) for name, value in self.get_params().items() if name not in left_out}
        digest = hashlib.sha256(json.dumps([type(self).__name__, parameters, repr(plan)]).encode())
        digest.update(L.tobytes())
        for backbone in network.backbones.values():
            for weights in weights_of(backbone).values():
                digest.update(weights.numpy().tobytes())
        some = np.unique(np.linspace(0, rows.n - 1, _ROWS_IN_IDENTITY).astype(np.int64))
        for inputs in rows.batches([some]):
            for x in inputs.values():
                for tensor in [x] if isinstance(x, torch.Tensor) else [x.columns, x.values]:
                    digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()[:32]

    def _try_encoders(
        self,
        features: Outputs,
        outputs: Outputs,
        L: Matrix,
        xi: dict[str, float],
        held_out: NDArray[np.int64],
        trained: NDArray[np.int64],
    ) -> EncoderTrial:
        """Both encoders on rows held out, which search those trained on."""
        signs = fused_signs({name: found[trained] for name, found in outputs.items()})
        weights = label_weights({name: found[trained] for name, found in features.items()}, L[trained], xi)
        sets = LabelSets.empty(L.shape[1], signs.shape[1]).add(L[trained], signs)

        def project(modality: str, encoder: str) -> NDArray[np.float32]:
            if encoder == "bits":
                return outputs[modality][held_out]
            return PosteriorEncoder(weights[modality], sets)(with_one(features[modality][held_out]))

        trial = EncoderTrial.empty(signs.shape[1], L.shape[1])
        queries = trial.with_samples(L[trained], signs, self._rng(2)).with_queries(L[held_out], list(outputs), project)
        return dataclasses.replace(trial, scores=queries.scores, n_queries=queries.n_queries)

    # --- encoding -----------------------------------------------------------------------------------------------------

    def _project(self, state: DeepState, rows: Features, modality: str, encoder: str) -> NDArray[np.float32]:
        n, _ = shape_of_features("X", rows, state.n_features[modality])
        out = np.empty((n, state.plan.n_bits), dtype=np.float32)
        if n == 0:
            return out
        posterior = self._posterior(state, modality) if encoder == "posterior" else None
        device, is_picture = next(state.network.parameters()).device, modality in state.network.backbones
        with torch.no_grad():
            size = rows_per_block([state.plan.shapes[modality]])
            for block, x in query_inputs(modality, rows, state.maps[modality], is_picture, size):
                features, outputs = (
                    part.float().cpu().numpy() for part in state.network.encode(modality, x.to(device))
                )
                out[block] = outputs if posterior is None else posterior(with_one(features))
        return refuse_overflow(out)

    @staticmethod
    def _posterior(state: DeepState, modality: str) -> PosteriorEncoder:
        if modality not in state.posteriors:
            state.posteriors[modality] = PosteriorEncoder(state.label_weights[modality], state.label_sets)
        return state.posteriors[modality]

    def _n_bits_of(self, state: DeepState) -> int:
        return state.plan.n_bits

    # --- files --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _write(path: str | os.PathLike[str], kind: str, fields: Fields, arrays: Arrays) -> None:
        write_tensor_file(path, kind, fields, arrays)

    def _stored_params(self) -> dict[str, Any]:
        parameters = {name: value for name, value in self.get_params().items() if name != "backbones"}
        return parameters | {"device": str(self.device)}

    def _to_file(self, state: DeepState) -> tuple[Fields, Arrays]:
        plan, arrays = state.plan, as_arrays("network.", weights_of(state.network))
        fields: Fields = {
            "plan": {
                "n_bits": plan.n_bits,
                "n_classes": plan.n_classes,
                "shapes": {name: list(shape) for name, shape in plan.shapes.items()},
                "widths": plan.widths,
            },
            "settings": {name: store_parameter(name, value, arrays) for name, value in state.settings.items()},
            "maps": store_maps(state.maps, arrays),
            "backbones": store_backbones(state.network.backbones),
            "n_samples": state.n_samples,
            "history": state.history,
            "best_epoch": state.best_epoch,
        }
        for m, name in enumerate(plan.shapes):
            arrays[f"V.{m}"] = state.label_weights[name]
        state.label_sets.store(arrays)
        if state.trial is not None:
            fields["trial"] = state.trial.store(arrays)
        return fields, arrays

    @classmethod
    def from_archive(cls, archive: Archive, backbones: Mapping[str, Any] | None = None) -> Self:  # noqa: D102
        with archive.taken_for(cls.__name__):
            stored = {
                name: {"kind": str(described["kind"]), "parameters": described["parameters"]}
                for name, described in archive.field("state")["backbones"].items()
            }
        check_given(stored, backbones)
        return super().from_archive(archive, backbones)

    def _from_file(self, archive: Archive, backbones: Mapping[str, Any] | None) -> DeepState:
        fields = archive.field("state")
        stored = fields["plan"]
        shapes = {
            str(name): tuple(check_integer("shapes", d, 1) for d in shape) for name, shape in stored["shapes"].items()
        }
        plan = Plan(
            n_bits=check_integer("n_bits", stored["n_bits"], 1),
            n_classes=check_integer("n_classes", stored["n_classes"], 1),
            shapes=shapes,
            widths={name: check_integer("widths", stored["widths"][name], 1) for name in shapes},
        )
        settings = {name: restore_parameter(value, archive.arrays) for name, value in fields["settings"].items()}
        modules = restore_backbones(fields["backbones"], backbones)
        try:
            device = resolve_device(self.device)
        except ValueError:  # trained where there is one that this machine lacks
            self.device = "auto"
            device = resolve_device(self.device)
        with forked_rng(torch.device("cpu")):
            network = self._make_network(plan, settings, modules)
        load_weights(network, as_weights("network.", archive.arrays))
        network.to(device).eval()
        if modules:
            self.backbones = modules
        label_sets = LabelSets.restore(archive, plan.n_classes, plan.n_bits)
        label_weights = {
            name: archive.array(f"V.{m}", np.float64, (None, plan.n_classes)) for m, name in enumerate(shapes)
        }
        return DeepState(
            plan=plan,
            settings=settings,
            maps=restore_maps(fields["maps"], plan.n_features, archive),
            n_samples=check_integer("n_samples", fields["n_samples"], 1),
            network=network,
            label_weights=label_weights,
            label_sets=label_sets,
            history=list(fields["history"]),
            best_epoch=check_integer("best_epoch", fields["best_epoch"], 0),
            trial=EncoderTrial.restore(fields["trial"], archive, plan.n_bits, plan.n_classes)
            if "trial" in fields
            else None,
        )


def _open_views(
    views: Any, backbones: Collection[str]
) -> tuple[LoaderRows | None, dict[str, Features], dict[str, tuple[int, ...]]]:
    """A DataLoader's rows, or arrays with a row of numbers for each sample; and the shapes of samples."""
    if isinstance(views, DataLoader):
        loaded = LoaderRows(views, backbones)
        return loaded, {}, loaded.shapes
    return None, *check_flat_views(views, backbones)


def fused_signs(outputs: Outputs) -> NDArray[np.int8]:
    """Signs (n, n_bits) of the sum of all modalities' outputs."""
    return sign(np.add.reduce(list(outputs.values())))


def label_weights(features: Outputs, L: Matrix, xi: Mapping[str, float]) -> dict[str, Matrix]:
    """Ridge weights (k + 1, c) of label scores from each modality's features and 1."""
    weights = {}
    for name, found in features.items():
        G, XL = np.zeros((found.shape[1] + 1,) * 2), np.zeros((found.shape[1] + 1, L.shape[1]))
        for block in row_blocks(len(found)):
            X = with_one(found[block]).astype(np.float64)
            G, XL = add_gram(G, X), XL + X.T @ L[block]
        weights[name] = solve_ridge(G, XL, xi[name])
    return weights


def with_one(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features and a column of 1."""
    return np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)

"""The base of deep methods: parameters, training, encoding and files under the contract of all methods."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from pyhash._files.safetensors import write_tensor_file
from pyhash._inputs.checks import check_choice, check_integer, check_n_bits
from pyhash._inputs.device import resolve_device
from pyhash._inputs.paths import check_path
from pyhash.codes import pack
from pyhash.deep.array_view import ArrayView, Transform, rows_of_shape
from pyhash.deep.backbones import check_backbones, check_given, check_modalities, set_trained
from pyhash.deep.callbacks import check_callbacks
from pyhash.deep.checkpoint import identity_of
from pyhash.deep.collapse import warn_of_collapse
from pyhash.deep.device import accelerator_on
from pyhash.deep.encoder_module import EncoderModule
from pyhash.deep.encoders import compare_encoders, label_weights, with_one
from pyhash.deep.loader_rows import LoaderRows
from pyhash.deep.memory import named_memory_errors
from pyhash.deep.model_file import restore_state, store_state
from pyhash.deep.networks.backbone import embedded_width
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import as_specified, map_tensors, to_device
from pyhash.deep.objective import Objective
from pyhash.deep.onnx_export import write_onnx
from pyhash.deep.outputs import FEATURES, OUTPUTS, fused_signs
from pyhash.deep.processes import check_same, encode_together, take_weights_of_main
from pyhash.deep.progress_bar import progress_bar
from pyhash.deep.rows import query_inputs, rows_per_block
from pyhash.deep.state import DeepState, Plan
from pyhash.deep.torch_state import forked_rng, one_thread, set_seed
from pyhash.deep.trackers import tracking
from pyhash.deep.training import Training
from pyhash.deep.training_options import OF_A_RUN, ResolvedOptions, TrainingOptions
from pyhash.deep.transforms import check_transforms
from pyhash.deep.validation import Validation, split_rows
from pyhash.deep.views import ArrayViews, fit_maps, open_values, open_views, rows_of
from pyhash.methods.contract import HashingMethod, Views, check_modality, n_rows_of, refuse_overflow, weighted_sum
from pyhash.methods.parts.arrays import Arrays, Fields, Matrix
from pyhash.methods.parts.calibration import Calibration
from pyhash.methods.parts.class_table import ClassTable
from pyhash.methods.parts.encoder_trial import EncoderTrial
from pyhash.methods.parts.feature_maps import check_feature_maps
from pyhash.methods.parts.hierarchy import label_matrices
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.parameters import per_modality
from pyhash.methods.parts.posterior import PosteriorEncoder

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash._files.archive import Archive
    from pyhash._inputs.checks import Features

# ``set_params(training__epochs=20)`` replaces one option, as scikit-learn names parameters within parameters.
_OPTION_PREFIX = "training__"


class DeepMethod(HashingMethod):
    """A method that trains networks on whole data.

    A subclass defines its networks and the loss that they minimize, and passes the parameters that all deep methods
    share to this constructor. A parameter of None has the value of the preset.

    Attributes
    ----------
    codes_ : ndarray of shape (n, ceil(n_bits / 8)), uint8
        Packed fused codes of the rows of the last ``fit``: signs of the sum of their modalities' outputs. ``encode``
        gives those of one modality.
    history_ : list of dict
        Measurements of every epoch.
    best_epoch_ : int
        The epoch whose weights were kept.
    modalities_ : dict of str to int
        The modalities learned, with their numbers of features.
    n_samples_seen_ : int
        Number of rows learned.
    encoders_ : dict of str to str
        The encoder of each modality.
    """

    # The values that parameters and training options of None have, by the name of the preset.
    is_deep = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]

    _state: DeepState | None = None

    def __init__(
        self,
        n_bits: int,
        *,
        preset: str,
        n_classes: int | None,
        backbones: Mapping[str, Any] | None,
        train_backbones: bool | str | Mapping[str, Any] | None,
        training: TrainingOptions | None,
        transform: Mapping[str, Any] | None,
        eval_transform: Mapping[str, Any] | None,
        feature_maps: Mapping[str, Any] | None,
        encoder: str,
        xi: float | Mapping[str, float],
        seed: int,
    ) -> None:
        self.n_bits = n_bits
        self.preset = preset
        self.n_classes = n_classes
        self.backbones = backbones
        self.train_backbones = train_backbones
        self.training = training
        self.transform = transform
        self.eval_transform = eval_transform
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.xi = xi
        self.seed = seed

    # --- what a subclass provides -------------------------------------------------------------------------------------

    @abstractmethod
    def _check_settings(self, chosen: dict[str, Any], modalities: list[str]) -> dict[str, Any]:
        """Return the method's own parameters, checked, by name: JSON that determines the networks."""

    @abstractmethod
    def _make_network(self, plan: Plan, settings: dict[str, Any], backbones: dict[str, nn.Module]) -> HashingNetwork:
        """Return untrained networks, which may train `backbones` in place."""

    @abstractmethod
    def _make_objective(
        self, network: HashingNetwork, settings: dict[str, Any], L: Matrix, device: torch.device
    ) -> Objective:
        """Return the objective of a training; L (n, c) are the labels of all rows."""

    @abstractmethod
    def _advice(self) -> str:
        """Return what to change where codes have collapsed."""

    # --- parameters ---------------------------------------------------------------------------------------------------

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name.

        Parameters
        ----------
        **parameters
            New values; ``training__epochs=20`` replaces one option of `training`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter or training option; none is set.
        TypeError
            If a training option has another type; none is set.
        ValueError
            If a training option is out of range; none is set.
        """
        options = {name: value for name, value in parameters.items() if name.startswith(_OPTION_PREFIX)}
        if options:
            parameters = {name: value for name, value in parameters.items() if name not in options}
            options = {name.removeprefix(_OPTION_PREFIX): value for name, value in options.items()}
            for name in options:
                if name not in TrainingOptions.names():
                    raise ValueError(f"training has no option {name!r}; it has {', '.join(TrainingOptions.names())}")
            training = _check_training(parameters.get("training", self.training))
            parameters["training"] = dataclasses.replace(training, **options)
        return super().set_params(**parameters)

    def _flat_params(self) -> dict[str, Any]:
        """Return the parameters by name, training options among them."""
        parameters = self.get_params()
        options = _check_training(parameters.pop("training"))
        return parameters | {name: getattr(options, name) for name in TrainingOptions.names()}

    def _settings(self, modalities: list[str], device: torch.device) -> tuple[dict[str, Any], ResolvedOptions]:
        """Return the method's own parameters and those of training, checked, with the preset's values for None."""
        preset = self.presets[check_choice("preset", self.preset, tuple(self.presets))]
        flat = self._flat_params()
        chosen = flat | {name: value for name, value in preset.items() if flat[name] is None}
        settings = self._check_settings(chosen, modalities)
        return settings, ResolvedOptions.of(flat, preset, device, check_integer("seed", self.seed, 0))

    def _backbone_rates(self, chosen: Mapping[str, Any]) -> dict[str, float]:
        """Return the learning rate of each backbone."""
        name = "backbone_learning_rate"
        return per_modality(name, chosen[name], list(self.backbones or {}), exclusive=True)

    # --- what every deep method has -----------------------------------------------------------------------------------

    @property
    def history_(self) -> list[dict[str, Any]]:
        """Measurements of every epoch of training, one dict each.

        ``epoch`` (from 1), ``losses`` by term, ``loss`` (their sum), ``validation`` (mAP by direction, or None),
        ``learning_rates`` by group, ``seconds``.
        """
        return [dict(entry) for entry in self._fitted_state().history]

    @property
    def best_epoch_(self) -> int:
        """The epoch whose weights were kept: the one with the best validation mAP; without validation the last."""
        return int(self._fitted_state().best_epoch)

    def fit(
        self,
        views: Views | DataLoader[Any],
        labels: Any = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        callbacks: Sequence[Any] | None = None,
    ) -> Self:
        """Train on whole data, from untrained networks.

        Parameters
        ----------
        views : mapping of str to array_like or scipy.sparse of shape (n, n_features), or torch DataLoader
            Features of each modality, rows aligned; n >= 1. A view with a backbone is what the backbone takes: an array
            (n, ...), or a dict of arrays, such as token ids and their mask. Floats become float32, pictures
            (n, c, h, w) of uint8 are divided by 255, all else stays as it is. A view with a transform may be a list of
            items. Arrays mapped from files (``numpy.memmap``) are read a batch at a time. Items of a DataLoader are
            mappings of modality to row, or (mapping, label). Its data set, workers, collate function and samplers are
            used; with torch's own samplers, `seed` determines the order of rows.
        labels : array_like or scipy.sparse, optional
            Class indices (n,), or a 0/1 matrix (n, n_classes) with at least one label a row. Optional where the items
            of a DataLoader hold labels.
        checkpoint : path-like, optional
            A file that is written after every epoch. If it exists, training continues from it, with the same result as
            if it had never stopped. It may continue on another device, and with more epochs: learning rates then follow
            the schedule of the longer training from where it continues.
        progress : bool, optional
            Whether to show a progress bar on stderr; by default if stderr is a terminal.
        callbacks : sequence of object, optional
            After every epoch ``callback.on_epoch_end(state)`` is called for each, with an `EpochState`.

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
        TypeError
            If `views` is neither a mapping of str to arrays of real numbers nor a DataLoader.
        TypeError
            If class indices are not integers, or a 0/1 matrix does not hold numbers.
        TypeError
            If `checkpoint` is not path-like, or `progress` not a bool.
        TypeError
            If a callback has no method ``on_epoch_end``.
        TypeError
            If a parameter that must be a number, a bool or a mapping is something else.
        ValueError
            If views differ in their numbers of rows, are empty, or hold values that are not finite.
        ValueError
            If there are not as many labels as rows, or a row has no label or one of an unknown class.
        ValueError
            If a parameter is out of the range, or none of the choices, that the class documents.
        ValueError
            If the checkpoint is of a training with other parameters, data or seed, or has run more epochs.
        ValueError
            If optimizer or schedule refuse their options, or the device has no such mixed precision.
        ValueError
            If the loss or outputs are no longer finite.
        ValueError
            If processes that train together have views or labels that differ.
        ModelFormatError
            If the checkpoint is damaged, or one of an older version.
        OSError
            If the checkpoint cannot be read or written.
        MemoryError
            If the memory of the machine or of the device does not suffice.

        Notes
        -----
        ``project`` and ``encode`` take of each modality what `views` hold of it. The items of a DataLoader are read
        once an epoch and once at the end; before that once if labels are in the items, and once if the method begins
        with codes of all rows.

        A call that raises leaves the model unchanged. On the CPU, networks without a backbone are trained on one
        thread: a second one gains little, and loses much where another process uses the CPU.

        Where a program runs in several processes, such as by ``accelerate launch``, they train together: each has a
        part of every batch, the loss compares the rows of all parts, and gradients are averaged. All of them call
        ``fit`` with the same data, begin with the weights that backbones have in the first one, and end with the same
        model; the first one writes the checkpoint, which all must be able to read, shows progress and calls callbacks.
        Losses are those of one process, but for two things: batch normalisation counts the rows of each part, and
        dropout draws other numbers.

        Rows are read once an epoch and once at the end, and once before by objectives that approach codes of all rows
        from the first epoch on. Codes of these, and of the rows that validation searches, are computed right after the
        step that learned a row, in eval mode; rows held out are read after the last step of the epoch.
        """
        checked = check_callbacks(callbacks)
        backbones = check_backbones(self.backbones)
        if self._state is not None and self.backbones is self._state.network.backbones:  # in use, hence in eval mode
            self._state.network.set_first_modes(backbones)
        transform = check_transforms("transform", self.transform)
        opened = open_views(views, backbones, transform, check_transforms("eval_transform", self.eval_transform))
        with closing(opened):
            state, signs = self._train(opened, labels, backbones, transform, checkpoint, progress, checked)
        self._take(state, pack(signs), None)
        return self

    def module(self, modality: str) -> EncoderModule:
        """Return the encoder of one modality as a module of torch.

        Parameters
        ----------
        modality : str
            One of the modalities learned.

        Returns
        -------
        torch.nn.Module
            A copy of the feature map, the network with its backbone, and the encoder that the modality has now, see
            ``encoders_``; on the CPU, in eval mode. It takes what ``project`` takes, as a tensor (n, ...) or a dict of
            tensors, without ``eval_transform``, and gives projections (n, n_bits) float32.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError
            If the feature map is not one of pyhash's.
        ValueError
            If the modality is unknown.
        ValueError
            If the encoder of the modality is "bayes".

        Notes
        -----
        Bags of words are dense there. Feature maps compute in float64. ``torch.compile``, ``torch.export`` and further
        training take the module as any other; the model stays unchanged.

        Examples
        --------
        >>> import torch
        >>> from pyhash.datasets import make_multilabel
        >>> from pyhash.deep import DHSL, TrainingOptions
        >>> data = make_multilabel(300)
        >>> model = DHSL(n_bits=16, hidden=[32, 16], training=TrainingOptions(epochs=2))
        >>> model = model.fit(data.views, data.labels["classes"])
        >>> module = model.module("text")
        >>> module(torch.as_tensor(data.views["text"])).shape
        torch.Size([300, 16])
        """
        state = self._fitted_state()
        check_modality(state, modality)
        encoder = self._encoder_of(modality)
        if encoder == "bayes":
            raise ValueError(
                f"encoder must be 'bits' or 'posterior' for a module or an ONNX file, got 'bayes' for {modality!r}, "
                "whose plain codes are found by a search; set one of the others before"
            )
        posterior = state.posterior(modality) if encoder == "posterior" else None
        return EncoderModule(
            state.maps[modality], state.network.only(modality), modality, state.plan.specs[modality], posterior
        ).eval()

    def export_onnx(self, path: str | os.PathLike[str], *, modality: str) -> None:
        """Write the encoder of one modality to an ONNX file, which computes codes without pyhash and torch.

        The file holds everything between features and codes: the feature map, the network with its backbone, and the
        encoder that the modality has now, see ``encoders_``, but no ``eval_transform``. It is written whole or not at
        all, and needs no other file. The model stays unchanged.

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
            If the modality is unknown.
        ValueError
            If the encoder of the modality is "bayes".
        ValueError
            If a backbone has operations that ONNX does not have, or takes only one number of rows.
        ValueError
            If the weights together are larger than 2 GiB.
        ImportError
            If onnx is not installed.
        OSError
            If the file cannot be written; an existing one stays unchanged.

        Notes
        -----
        The input is ``x`` (n, ...), any number of rows of the shape that ``project`` takes, or one input for each key
        of a dict. The outputs are

        - ``projections`` (n, n_bits) float32, as ``project``;
        - ``codes`` (n, ceil(n_bits / 8)) uint8, as ``encode``: packed, least significant bit first.

        Bags of words are dense there. Divide pictures of uint8 by 255 first: ``project`` does so because it sees their
        dtype. Values that are not finite raise no error. The file's metadata are ``pyhash.version``,
        ``pyhash.class``, ``pyhash.modality``, ``pyhash.n_bits``, ``pyhash.encoder`` and ``pyhash.fingerprint``.
        """
        state = self._fitted_state()
        module = self.module(modality)
        what = f"backbones[{modality!r}]" if modality in state.network.backbones else f"the network of {modality!r}"
        properties = {
            "class": type(self).__name__,
            "modality": modality,
            "encoder": self._encoder_of(modality),
            "fingerprint": self.fingerprint,
        }
        write_onnx(path, module, what, state.plan.specs[modality], state.plan.n_bits, properties)

    # --- learning -----------------------------------------------------------------------------------------------------

    def _train(
        self,
        opened: LoaderRows | ArrayViews,
        labels: Any,
        backbones: dict[str, nn.Module],
        transform: Mapping[str, Transform],
        checkpoint: str | os.PathLike[str] | None,
        progress: bool | None,
        callbacks: Sequence[Any],
    ) -> tuple[DeepState, NDArray[np.int8]]:
        """Return what was learned, and the fused signs (n, n_bits) of all rows."""
        n_bits, encoder = check_n_bits(self.n_bits), self._encoder()
        device = resolve_device(_check_training(self.training).device)
        if checkpoint is not None and not check_path("checkpoint", checkpoint).parent.is_dir():
            raise FileNotFoundError(f"checkpoint must be in a folder that exists, got {os.fspath(checkpoint)!r}")
        modalities = opened.modalities
        check_modalities("backbones", backbones, modalities)
        check_modalities("transform", transform, modalities)
        check_modalities("eval_transform", opened.eval_transform, modalities)
        set_trained(backbones, self.train_backbones)
        settings, options = self._settings(modalities, device)
        xi = per_modality("xi", self.xi, modalities, exclusive=True)
        if options.validation_fraction == 0 and (encoder == "auto" or options.patience is not None):
            needs = "encoder 'auto'" if encoder == "auto" else "patience"
            raise ValueError(f"validation_fraction must be above 0 for {needs}, got 0")
        # By default dense features are standardized, but not in the papers' presets.
        left_as_they_are = (
            modalities
            if self.preset != "default"
            else [*backbones, *transform, *opened.eval_transform, *check_feature_maps(self.feature_maps)]
        )
        maps = fit_maps(opened, self._maps(modalities), set(modalities) - set(left_as_they_are))
        if labels is None and isinstance(opened, LoaderRows):
            labels = opened.labels()
        layers = self._layers_of(labels, opened.n)
        classes, _ = ClassTable.check(None, self.n_classes).with_labels(layers)
        L = label_matrices(layers, (), classes.sizes, first_row=0)[-1]
        held_out, trained = split_rows(opened.n, options.validation_fraction, np.random.default_rng([options.seed, 0]))
        rows = rows_of(opened, maps, transform)
        widths = {name: embedded_width(name, module, rows.first[name]) for name, module in backbones.items()}
        plan = Plan(n_bits, L.shape[1], rows.specs, rows.widths | widths)
        if rows.batch_size is not None and _check_training(self.training).batch_size is None:
            options = dataclasses.replace(options, batch_size=rows.batch_size)
        is_small = device.type == "cpu" and not backbones
        with (
            named_memory_errors(options.batch_size, options.accumulation_steps),
            accelerator_on(device, options.mixed_precision, options.trackers, options.log_dir) as accelerator,
            tracking(accelerator, type(self).__name__, self._flat_params()),
            forked_rng(accelerator.device),
            one_thread() if is_small else nullcontext(),
        ):
            options = dataclasses.replace(options, device=accelerator.device)
            set_seed(options.seed, 0, options.device)
            check_same(accelerator, "views and labels", repr((opened.n, plan, hashlib.sha256(L.tobytes()).hexdigest())))
            network = self._make_network(plan, settings, backbones).to(options.device)
            take_weights_of_main(accelerator, network)
            objective = self._make_objective(network, settings, L, options.device)
            validation = (
                Validation.draw(L, held_out, trained, np.random.default_rng([options.seed, 1]))
                if len(held_out)
                else None
            )
            training = Training(objective, rows, trained, validation, options, accelerator, callbacks)
            identity = ""
            if checkpoint is not None:
                # A feature map shows in the rows; its repr may differ from one process to the next.
                left_out = ("device", "epochs", "feature_maps", "transform", "eval_transform", *OF_A_RUN)
                parameters = {name: value for name, value in self._flat_params().items() if name not in left_out}
                with forked_rng(options.device):  # a data set may draw some
                    identity = identity_of(type(self).__name__, parameters, plan, rows, L, network)
            with progress_bar(
                progress if accelerator.is_main_process else False, type(self).__name__, options.epochs
            ) as bar:
                done = training.run(checkpoint, identity, bar)
            features, outputs = encode_together(
                accelerator, network, rows, np.arange(opened.n), options.device, (FEATURES, OUTPUTS)
            )
        signs = fused_signs(outputs)
        label_sets = LabelSets.empty(plan.n_classes, n_bits).add(L, signs)
        calibrations: dict[str, Calibration] = {}
        trial: EncoderTrial | None = None
        if len(held_out) and encoder in ("bayes", "auto"):
            rng = np.random.default_rng([options.seed, 2])
            calibrations, trial = compare_encoders(features, outputs, L, xi, held_out, trained, rng)
        state = DeepState(
            plan=plan,
            settings=settings,
            maps=maps,
            n_samples=opened.n,
            network=network,
            label_weights=label_weights(features, L, xi),
            label_sets=label_sets,
            history=done.history,
            best_epoch=done.best_epoch,
            evaluated_by=list(opened.eval_transform),
            trial=trial if encoder == "auto" else None,
            calibrations=calibrations,
        )
        packed = {name: pack(found) for name, found in outputs.items()}
        warn_of_collapse(packed, n_bits, plan.n_classes, label_sets.counts, self._advice())
        return state, signs

    # --- encoding -----------------------------------------------------------------------------------------------------

    def _query_rows(self, state: DeepState, modality: str, what: str, X: Any) -> Features:
        transform = self._eval_transform_of(state, modality)
        has_backbone = modality in state.network.backbones
        if has_backbone or transform is not None:
            values = open_values(what, X, transform is not None)
        else:
            values = super()._query_rows(state, modality, what, rows_of_shape(what, X, state.plan.specs[modality]))
        view = ArrayView(what, modality, values, has_backbone, state.maps[modality], transform)
        if has_backbone and transform is None:
            # The shapes, before all values.
            empty = map_tensors(lambda x: x.new_empty((view.n, *x.shape[1:]), device="meta"), view.inputs(slice(0, 0)))
            as_specified(what, empty, state.plan.specs[modality])
        return view

    def _eval_transform_of(self, state: DeepState, modality: str) -> Transform | None:
        """Return what is applied to items of a modality before they are encoded."""
        transforms = check_transforms("eval_transform", self.eval_transform)
        if modality in state.evaluated_by and modality not in (self.eval_transform or {}):
            raise ValueError(
                f"eval_transform must name a function for {modality!r}, as in training, since files hold no code: "
                f"set_params(eval_transform={{{modality!r}: ...}}), or None for {modality!r} if its items are "
                "transformed already"
            )
        return transforms.get(modality)

    def _project(
        self,
        state: DeepState,
        rows: Mapping[str, Features],
        weights: Mapping[str, float],
        encoder: str,
        names: Mapping[str, str],
    ) -> NDArray[np.float32]:
        n = n_rows_of(rows)
        out = np.empty((n, state.plan.n_bits), dtype=np.float32)
        if n == 0:
            return out
        to_logits, to_codes = _posterior_of(state, encoder, list(rows))
        specs = state.plan.specs
        device, size = next(state.network.parameters()).device, rows_per_block([specs[name] for name in rows])
        inputs = [query_inputs(view, specs[name], size) for name, view in rows.items()]
        with torch.no_grad():
            for of_modalities in zip(*inputs, strict=True):
                found, block = {}, of_modalities[0][0]
                for name, (_, x) in zip(rows, of_modalities, strict=True):
                    features, outputs = (
                        part.float().cpu().numpy() for part in state.network.encode(name, to_device(x, device))
                    )
                    found[name] = outputs if encoder == "bits" else to_logits[name](features)
                    del x
                out[block] = to_codes(weighted_sum(found, weights))
                del of_modalities  # before the next block is converted
        return refuse_overflow(out, names)

    def _n_classes_of(self, state: DeepState) -> tuple[int, ...]:
        return (state.plan.n_classes,)

    def _n_bits_of(self, state: DeepState) -> int:
        return state.plan.n_bits

    # --- files --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _write(path: str | os.PathLike[str], kind: str, fields: Fields, arrays: Arrays) -> None:
        write_tensor_file(path, kind, fields, arrays)

    def _stored_params(self) -> dict[str, Any]:
        # Flat, as files have been since before there was `training`. Classes of a user's own are code, which files do
        # not hold.
        parameters = self._flat_params()
        for name in ("backbones", "transform", "eval_transform"):
            parameters.pop(name)
        for name in OF_A_RUN:
            del parameters[name]
        for name in ("optimizer", "scheduler"):
            if isinstance(parameters[name], type):
                parameters[name] = parameters[f"{name}_options"] = None
        for name in ("accumulation_steps", "optimizer_options", "scheduler", "scheduler_options"):
            if parameters[name] is None:  # earlier versions know no such option
                del parameters[name]
        return parameters | {"device": str(parameters["device"])}

    @classmethod
    def _from_stored_params(cls, parameters: dict[str, Any]) -> Self:
        if "decay" in parameters:  # its name before schedules of torch were taken
            parameters["scheduler"] = parameters.pop("decay")
        options = {name: parameters.pop(name) for name in TrainingOptions.names() if name in parameters}
        training = TrainingOptions(**options)
        return cls(**parameters, training=None if training == TrainingOptions() else training)

    def _to_file(self, state: DeepState) -> tuple[Fields, Arrays]:
        return store_state(state)

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
        state = restore_state(archive, backbones, self._make_network)
        training = _check_training(self.training)
        try:
            device = resolve_device(training.device)
        except ValueError:  # trained on one that this machine does not have
            self.training = dataclasses.replace(training, device="auto")
            device = resolve_device("auto")
        state.network.to(device)
        if state.network.backbones:
            self.backbones = state.network.backbones
        return state


def _posterior_of(
    state: DeepState, encoder: str, modalities: Sequence[str]
) -> tuple[dict[str, Callable[[Any], Any]], Callable[[Any], Any]]:
    """Return functions from features to logits of a posterior, by modality, and one from these to projections."""
    if encoder == "bits":
        return {}, lambda outputs: outputs
    if encoder == "bayes":
        return {name: state.label_posterior(name).logits for name in modalities}, state.to_codes()
    encoders = {name: state.posterior(name) for name in modalities}
    to_codes = next(iter(encoders.values())).expected_codes

    def logits_of(posterior: PosteriorEncoder) -> Callable[[Any], Any]:
        return lambda features: posterior.logits(with_one(features))

    return {name: logits_of(posterior) for name, posterior in encoders.items()}, to_codes


def _check_training(training: object) -> TrainingOptions:
    """Return the options, all unset for None."""
    if training is None:
        return TrainingOptions()
    if not isinstance(training, TrainingOptions):
        raise TypeError(f"training must be a TrainingOptions or None, got {training!r}")
    return training

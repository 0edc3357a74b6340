"""SDCH: cross-modal hashing with semantic deep embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from pyhash._inputs.checks import MAX_WIDTH, check_choice, check_integer, check_real
from pyhash.deep.base import DeepMethod
from pyhash.deep.losses import BalanceLoss, CodeSimilarityLoss, IndependenceLoss, PairLikelihoodLoss, QuantizationLoss
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.sdch_network import SDCHNetwork
from pyhash.deep.objective import Encoded, Objective
from pyhash.deep.outputs import Outputs
from pyhash.deep.rows import RowNumbers
from pyhash.deep.similarity import SharedLabels, pairs_of, sum_of
from pyhash.deep.state import Plan
from pyhash.deep.target_codes import TargetCodes
from pyhash.deep.training_options import TrainingOptions
from pyhash.deep.widths import check_widths
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.itq import itq_rotation

_ITQ_STEPS = 50

_PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "hidden": (1024,),
        "feature_width": 256,
        "gamma": 5.0,
        "beta_1": 0.1,
        "beta_2": 0.1,
        "beta_3": 0.1,
        "reduction": "balanced",
        "balance": "mean",
        "schedule": "joint",
        "start": "sign",
        "weights": "uniform",
        "batches": "paired",
        "updates": "joint",
        "learning_rate": 2e-3,
        "hash_learning_rate": 1e-2,
        "backbone_learning_rate": 2e-4,
        "epochs": 40,
        "batch_size": 128,
        "optimizer": "adam",
        "scheduler": "cosine",
        "max_grad_norm": 1.0,
    },
    "paper": {
        "hidden": (4096, 4096),
        "feature_width": 256,
        "gamma": 0.01,
        "beta_1": 1.0,
        "beta_2": 1.0,
        "beta_3": 0.1,
        "reduction": "sum",
        "balance": "norm",
        "schedule": "staged",
        "start": "itq",
        "weights": "normal",
        "batches": "unpaired",
        "updates": "alternating",
        "learning_rate": 1e-3,
        "hash_learning_rate": 1e-2,
        "backbone_learning_rate": 1e-4,
        "epochs": 50,
        "batch_size": 64,
        "optimizer": "adam",
        "scheduler": "none",
        "max_grad_norm": 0.0,
        "validation_fraction": 0.0,
    },
}


class SDCH(DeepMethod):
    """Cross-modal hashing with semantic deep embedding (Yan et al., Neurocomputing 2019).

    Networks of the modalities give features, whose inner products say who is similar; one layer that all modalities
    share gives codes of them. Both are trained at once, on precomputed features or end to end behind a backbone.

    Parameters
    ----------
    n_bits : int
        Length r of a code.
    preset : {"default", "paper"}
        The values of parameters that are None. "paper": as printed, the same for all its data sets; known to collapse
        where few pairs are similar.
    n_classes : int or None
        Number of classes where labels are class indices; by default as many as the labels show.
    hidden : sequence of int or None
        Widths of fc1, fc2, ... of modalities without a backbone; (1024,), paper (4096, 4096).
    feature_width : int or None
        Width k of the features, the outputs of fc3; 256.
    backbones : mapping of str to torch Module, or None
        Networks whose outputs take the place of fc1 and fc2, such as ``{"image": AlexNet()}``. Copies are trained.
    train_backbones : {None, True, False, "head"} or mapping of str to these
        What of backbones is trained: all (True), nothing, in eval mode (False), or their last module with weights, in
        the order of ``modules()`` ("head"); None: weights that require gradients, each module in the mode it is in.
    gamma : float or None
        Weight of the hash part; 5, paper 0.01.
    beta_1, beta_2, beta_3 : float or None
        Weights of quantization (0.1, paper 1), independence (0.1, paper 1) and balance (0.1).
    reduction : {"balanced", "sum"} or None
        Sums over pairs and entries as printed, or means, half of whose weight is on similar pairs; "balanced", paper
        "sum".
    balance : {"mean", "norm"} or None
        ``||1'Z / n||^2 / r``, which is 0 where bits are balanced, or ``||Z||^2 / r`` as printed; "mean", paper "norm".
    schedule : {"joint", "staged"} or None
        Whether all is trained from the first epoch, or the hash layer has a learning rate of 0 in the first and all
        else in the second; "joint", paper "staged".
    start : {"sign", "itq"} or None
        First codes B: the signs of Z, or of Z after centring and the rotation that iterative quantization finds;
        "staged" starts once more after its first epoch. "sign", paper "itq".
    weights : {"uniform", "normal"} or None
        First weights of all layers but backbones: torch's default, or normal with a standard deviation of 0.01, which
        the paper leaves open; "uniform", paper "normal".
    batches : {"paired", "unpaired"} or None
        Whether modalities of a batch have the same rows, or each draws its own; "paired", paper "unpaired".
    updates : {"joint", "alternating"} or None
        Whether a step changes all weights, or the hash layer's and then, after another forward pass, all others;
        "joint", paper "alternating".
    learning_rate, hash_learning_rate, backbone_learning_rate : float or None
        Of the features, the hash layer and backbones; 2e-3, 1e-2 and a tenth of the first, paper 1e-3, 1e-2 and 1e-4.
        That of backbones may be a mapping of modalities to rates.
    training : TrainingOptions or None
        Epochs, batches, optimizer, validation, device. Options of None: 40 epochs, batches of 128, "adam",
        scheduler "cosine", gradients clipped to 1, a tenth of the rows held out; paper 50, 64, "adam" (it names none),
        "none", not clipped, no rows held out.
    transform, eval_transform : mapping of str to callable, or None
        Functions of one item of a modality: for training, and for all else (validation, ``codes_``, ``encode``). Those
        of arrays take a row as a tensor. Files do not hold them: set `eval_transform` again after loading.
    feature_maps : mapping of str to feature map, or None
        Applied to the features of a modality first; None: not at all. By default dense features are standardized; bags
        of words, pictures, and all features in the paper's preset are not.
    encoder : {"bits", "posterior", "bayes", "auto"}
        How queries are encoded: by the signs of the outputs, by the code expected of their label sets, by the code and
        weights that retrieve best under the posterior over these sets, or by what is best on the rows held out. May
        change after training; "bayes" is calibrated only if it or "auto" was chosen before.
    xi : float or mapping of str to float
        Ridge of the label scores behind "posterior" and "bayes", for all modalities or for each.
    seed : int
        Seed of all random choices. On the CPU, with one version of torch (and, with a backbone, as many threads), the
        same seed and data give the same codes.

    Notes
    -----
    Labels are class indices (n,) or a 0/1 matrix (n, c), dense or sparse, with at least one label a row; s_ij is 1
    where two samples share a label, else 0. With features f and g of a pair of modalities, codes before the sign Z of
    all, and ``S = 2 s - 1``, ::

        L = sum_ij softplus(f_i . g_j) - s_ij f_i . g_j                                         (Eq. 4)
            + gamma (||Z Z' / r - S||^2 + beta_1 ||Z - B||^2 + beta_2 ||Z'Z / r - I||^2 + beta_3 balance)     (Eq. 7)

    and ``B = sgn(Z)`` once an epoch (Eq. 10), of outputs right after the step that learned each row. Any number of
    modalities: the first term is over all pairs of them.

    The default differs from the paper in

    - means, half of whose weight is on similar pairs, in place of sums; other weights; balance of column means;
    - a hidden layer less, of 1024;
    - first codes without iterative quantization, uniform first weights, all terms from the first epoch;
    - batches of pairs, one step for all weights;
    - Adam with cosine decay and clipped gradients; dense features standardized;
    - a tenth of the rows held out, and the weights of the epoch with the best mAP kept.

    Where the paper contradicts itself: S is +1 and -1; B starts by iterative quantization before the first epoch
    (Alg. 1) and again after it (Sec. 4.2); Table 1's strides of 0, and of 4 in the second layer, are misprints of 1
    (``AlexNet``).

    Variant in ``make_method``: "sdch/paper", the preset.

    References
    ----------
    Cheng Yan, Xiao Bai, Shuai Wang, Jun Zhou, Edwin R. Hancock: Cross-modal hashing with semantic deep embedding.
    Neurocomputing 337, 2019.

    Examples
    --------
    >>> from pyhash.datasets import make_multilabel
    >>> from pyhash.deep import SDCH, TrainingOptions
    >>> data = make_multilabel(300)
    >>> model = SDCH(n_bits=16, hidden=[32], feature_width=16, training=TrainingOptions(epochs=5))
    >>> model = model.fit(data.views, data.labels["classes"])
    >>> model.encode(data.views["text"], modality="text").shape
    (300, 2)
    >>> [sorted(epoch["losses"]) for epoch in model.history_][0]
    ['balance', 'features', 'independence', 'quantization', 'similarity']
    """

    presets = _PRESETS
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"preset": "paper"}}

    def __init__(
        self,
        n_bits: int = 32,
        *,
        preset: str = "default",
        n_classes: int | None = None,
        hidden: Sequence[int] | None = None,
        feature_width: int | None = None,
        backbones: Mapping[str, Any] | None = None,
        train_backbones: bool | str | Mapping[str, Any] | None = None,
        gamma: float | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        beta_3: float | None = None,
        reduction: str | None = None,
        balance: str | None = None,
        schedule: str | None = None,
        start: str | None = None,
        weights: str | None = None,
        batches: str | None = None,
        updates: str | None = None,
        learning_rate: float | None = None,
        hash_learning_rate: float | None = None,
        backbone_learning_rate: float | Mapping[str, float] | None = None,
        training: TrainingOptions | None = None,
        transform: Mapping[str, Any] | None = None,
        eval_transform: Mapping[str, Any] | None = None,
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        xi: float | Mapping[str, float] = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_bits,
            preset=preset,
            n_classes=n_classes,
            backbones=backbones,
            train_backbones=train_backbones,
            training=training,
            transform=transform,
            eval_transform=eval_transform,
            feature_maps=feature_maps,
            encoder=encoder,
            xi=xi,
            seed=seed,
        )
        self.hidden = hidden
        self.feature_width = feature_width
        self.gamma = gamma
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.reduction = reduction
        self.balance = balance
        self.schedule = schedule
        self.start = start
        self.weights = weights
        self.batches = batches
        self.updates = updates
        self.learning_rate = learning_rate
        self.hash_learning_rate = hash_learning_rate
        self.backbone_learning_rate = backbone_learning_rate

    def _check_settings(self, chosen: dict[str, Any], modalities: list[str]) -> dict[str, Any]:
        rates = ("learning_rate", "hash_learning_rate")
        return {
            "hidden": check_widths("hidden", chosen["hidden"]),
            "feature_width": check_integer("feature_width", chosen["feature_width"], 1, MAX_WIDTH),
            **{name: check_real(name, chosen[name], 0.0) for name in ("gamma", "beta_1", "beta_2", "beta_3")},
            "reduction": check_choice("reduction", chosen["reduction"], ("sum", "balanced")),
            "balance": check_choice("balance", chosen["balance"], ("norm", "mean")),
            "schedule": check_choice("schedule", chosen["schedule"], ("staged", "joint")),
            "start": check_choice("start", chosen["start"], ("itq", "sign")),
            "weights": check_choice("weights", chosen["weights"], ("uniform", "normal")),
            "batches": check_choice("batches", chosen["batches"], ("paired", "unpaired")),
            "updates": check_choice("updates", chosen["updates"], ("joint", "alternating")),
            **{name: check_real(name, chosen[name], 0.0, exclusive=True) for name in rates},
            "backbone_learning_rate": self._backbone_rates(chosen),
        }

    def _make_network(self, plan: Plan, settings: dict[str, Any], backbones: dict[str, nn.Module]) -> HashingNetwork:
        return SDCHNetwork(
            plan.n_bits,
            plan.widths,
            settings["hidden"],
            settings["feature_width"],
            backbones,
            is_normal=settings.get("weights") == "normal",  # files have it since version 0.4
        )

    def _make_objective(
        self, network: HashingNetwork, settings: dict[str, Any], L: Matrix, device: torch.device
    ) -> Objective:
        return SDCHObjective(cast("SDCHNetwork", network), settings, L, device, self.seed)

    def _advice(self) -> str:
        if self.preset == "paper":
            return "the paper's settings do so where few pairs are similar: use preset='default'"
        return "lower hash_learning_rate or beta_1, or set reduction='balanced' and schedule='joint'"


class SDCHObjective(Objective):
    """``L = L_f + gamma L_h`` (Eq. 8)."""

    uses_outputs = True

    def __init__(
        self, network: SDCHNetwork, settings: dict[str, Any], L: Matrix, device: torch.device, seed: int
    ) -> None:
        self.network: SDCHNetwork = network
        self.is_paired = settings["batches"] == "paired"
        self._settings = settings
        self._is_staged = settings["schedule"] == "staged"
        self._labels = SharedLabels(L, device)
        self._seed = seed
        self._codes = TargetCodes(network.modalities, len(L), network.hash_layer.out_features, device)
        mean = "sum" if settings["reduction"] == "sum" else "mean"
        self._of_features = PairLikelihoodLoss(settings["reduction"])
        self._of_similarity = CodeSimilarityLoss(settings["reduction"])
        self._of_signs = QuantizationLoss(mean)
        self._of_independence = IndependenceLoss(mean)
        self._of_balance = BalanceLoss(settings["balance"])

    def groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Return the groups: networks of features, the hash layer, and weights of backbones that require gradients."""
        network, settings = self.network, self._settings
        groups = {
            "features": ([*network.hidden.parameters(), *network.last.parameters()], settings["learning_rate"]),
            "hash": (list(network.hash_layer.parameters()), settings["hash_learning_rate"]),
        }
        return groups | network.backbone_groups(settings["backbone_learning_rate"])

    def turns(self, epoch: int) -> list[list[str]]:
        """Return the groups trained in an epoch, all at once, or the hash layer (Theta_h) before the others (Theta_f).

        "staged" trains the features alone in the first epoch, and the hash layer alone in the second.
        """
        groups = list(self.groups())
        of_hash, others = ["hash"], [name for name in groups if name != "hash"]
        if self._is_staged and epoch in (1, 2):
            return [others if epoch == 1 else of_hash]
        return [groups] if self._settings["updates"] == "joint" else [of_hash, others]

    def rates(self, epoch: int) -> dict[str, float]:
        """Return 0 for the groups that are not trained in an epoch."""
        trained = {name for turn in self.turns(epoch) for name in turn}
        return dict.fromkeys(self.groups().keys() - trained, 0.0)

    def begin_training(self, outputs: Callable[[], Outputs]) -> None:
        """Set the codes B of the first epoch."""
        self._set_codes(outputs(), first_epoch=1)

    def end_epoch(self, epoch: int, outputs: Outputs) -> None:
        """Set the codes B of the next epoch (Eq. 10)."""
        self._set_codes(outputs, first_epoch=epoch + 1)

    def _set_codes(self, Z: Outputs, first_epoch: int) -> None:
        # "staged" starts twice: the second epoch trains the hash layer, on features that are learned by then.
        if self._settings["start"] == "itq" and first_epoch <= (2 if self._is_staged else 1):
            everything = np.concatenate(list(Z.values())).astype(np.float64)
            mean = everything.mean(axis=0)
            R = itq_rotation(everything - mean, _ITQ_STEPS, np.random.default_rng([self._seed, 0, first_epoch]))
            Z = {name: ((Z_m - mean) @ R).astype(np.float32) for name, Z_m in Z.items()}
        self._codes.set(Z)

    def state(self) -> dict[str, Tensor]:
        """Return the codes B."""
        return self._codes.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take the codes B."""
        self._codes.restore(state)

    def losses(self, rows: Mapping[str, RowNumbers], encoded: Mapping[str, Encoded], epoch: int) -> dict[str, Tensor]:
        """Return the terms of L_f and of gamma L_h."""
        settings, gamma = self._settings, self._settings["gamma"]
        of_features = [
            self._of_features(encoded[a].features, encoded[b].features, self._labels.shared(rows[a], rows[b]))
            for a, b in pairs_of(list(encoded))
        ]
        Z = torch.cat([each.outputs for each in encoded.values()])
        B = torch.cat([self._codes.of(name, rows[name]) for name in encoded])
        everyone = np.concatenate([rows[name] for name in encoded])
        return {
            "features": sum_of(of_features),
            "similarity": gamma * self._of_similarity(Z, self._labels.shared(everyone, everyone)),
            "quantization": gamma * settings["beta_1"] * self._of_signs(Z, B),
            "independence": gamma * settings["beta_2"] * self._of_independence(Z),
            "balance": gamma * settings["beta_3"] * self._of_balance(Z),
        }

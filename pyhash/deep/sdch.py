"""SDCH: cross-modal hashing with semantic deep embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyhash.checks import check_choice, check_integer, check_real
from pyhash.codes import sign
from pyhash.deep.base import DeepMethod, Plan
from pyhash.deep.inputs import Input
from pyhash.deep.losses import BalanceLoss, CodeSimilarityLoss, IndependenceLoss, PairLikelihoodLoss, QuantizationLoss
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.sdch_network import SDCHNetwork
from pyhash.deep.similarity import SharedLabels, pairs_of, sum_of
from pyhash.deep.training import Objective, Outputs
from pyhash.deep.widths import check_widths
from pyhash.methods.itq import itq_rotation
from pyhash.methods.state import Matrix

_ITQ_STEPS = 50

_PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "hidden": (512,),
        "feature_width": 256,
        "gamma": 1.0,
        "beta_1": 0.1,
        "beta_2": 1.0,
        "beta_3": 0.1,
        "reduction": "balanced",
        "balance": "mean",
        "schedule": "joint",
        "start": "sign",
        "learning_rate": 1e-3,
        "hash_learning_rate": 1e-2,
        "backbone_learning_rate": 1e-4,
        "epochs": 30,
        "batch_size": 128,
        "optimizer": "adam",
        "decay": "cosine",
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
        "learning_rate": 1e-3,
        "hash_learning_rate": 1e-2,
        "backbone_learning_rate": 1e-4,
        "epochs": 50,
        "batch_size": 64,
        "optimizer": "adam",
        "decay": "none",
    },
}


class SDCH(DeepMethod):
    """DOC"""

    def __init__(
        self,
        n_bits: int = 32,
        *,
        preset: str = "default",
        n_classes: int | None = None,
        hidden: Sequence[int] | None = None,
        feature_width: int | None = None,
        backbones: Mapping[str, Any] | None = None,
        gamma: float | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        beta_3: float | None = None,
        reduction: str | None = None,
        balance: str | None = None,
        schedule: str | None = None,
        start: str | None = None,
        learning_rate: float | None = None,
        hash_learning_rate: float | None = None,
        backbone_learning_rate: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        optimizer: str | None = None,
        decay: str | None = None,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        max_grad_norm: float | None = None,
        mixed_precision: bool = False,
        device: str = "auto",
        feature_maps: Mapping[str, Any] | None = None,
        encoder: str = "bits",
        xi: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.n_bits = n_bits
        self.preset = preset
        self.n_classes = n_classes
        self.hidden = hidden
        self.feature_width = feature_width
        self.backbones = backbones
        self.gamma = gamma
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.reduction = reduction
        self.balance = balance
        self.schedule = schedule
        self.start = start
        self.learning_rate = learning_rate
        self.hash_learning_rate = hash_learning_rate
        self.backbone_learning_rate = backbone_learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.decay = decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.max_grad_norm = max_grad_norm
        self.mixed_precision = mixed_precision
        self.device = device
        self.feature_maps = feature_maps
        self.encoder = encoder
        self.xi = xi
        self.seed = seed

    def _presets(self) -> dict[str, dict[str, Any]]:
        return _PRESETS

    def _check_settings(self, chosen: dict[str, Any], modalities: list[str], device: torch.device) -> dict[str, Any]:
        rates = ("learning_rate", "hash_learning_rate", "backbone_learning_rate")
        return {
            "hidden": check_widths("hidden", chosen["hidden"]),
            "feature_width": check_integer("feature_width", chosen["feature_width"], 1),
            **{name: check_real(name, chosen[name], 0.0) for name in ("gamma", "beta_1", "beta_2", "beta_3")},
            "reduction": check_choice("reduction", chosen["reduction"], ("sum", "balanced")),
            "balance": check_choice("balance", chosen["balance"], ("norm", "mean")),
            "schedule": check_choice("schedule", chosen["schedule"], ("staged", "joint")),
            "start": check_choice("start", chosen["start"], ("itq", "sign")),
            **{name: check_real(name, chosen[name], 0.0, exclusive=True) for name in rates},
        }

    def _make_network(self, plan: Plan, settings: dict[str, Any], backbones: dict[str, nn.Module]) -> HashingNetwork:
        return SDCHNetwork(
            plan.n_bits, plan.widths, plan.shapes, settings["hidden"], settings["feature_width"], backbones
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

    def __init__(
        self, network: SDCHNetwork, settings: dict[str, Any], L: Matrix, device: torch.device, seed: int
    ) -> None:
        self.network: SDCHNetwork = network
        self._settings = settings
        self._shared = SharedLabels(L, device)
        self._device = device
        self._seed = seed
        self._targets: dict[str, Tensor] = {}  # B (n, r) of each modality
        self._stage = "joint"
        mean = "sum" if settings["reduction"] == "sum" else "mean"
        self._of_features = PairLikelihoodLoss(settings["reduction"])
        self._of_similarity = CodeSimilarityLoss(settings["reduction"])
        self._of_signs = QuantizationLoss(mean)
        self._of_independence = IndependenceLoss(mean)
        self._of_balance = BalanceLoss(settings["balance"])

    def groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """The networks of features, what backbones bring along, and the hash layer."""
        network, settings = self.network, self._settings
        groups = {
            "features": ([*network.hidden.parameters(), *network.last.parameters()], settings["learning_rate"]),
            "hash": (list(network.hash_layer.parameters()), settings["hash_learning_rate"]),
        }
        backbones = [p for module in network.backbones.values() for p in module.parameters() if p.requires_grad]
        if backbones:
            groups["backbones"] = (backbones, settings["backbone_learning_rate"])
        return groups

    def begin_epoch(self, epoch: int, outputs: Callable[[], Outputs]) -> None:
        """The stage of the schedule, and the codes B that outputs are drawn to (Eq. 10)."""
        staged = self._settings["schedule"] == "staged"
        self._stage = {1: "features", 2: "hash"}.get(epoch, "joint") if staged else "joint"
        if self._stage == "features":
            return  # which know no codes
        Z = outputs()
        first = 2 if staged else 1
        if self._settings["start"] == "itq" and epoch == first:
            everything = np.concatenate(list(Z.values())).astype(np.float64)
            R = itq_rotation(everything, _ITQ_STEPS, np.random.default_rng([self._seed, 0, epoch]))
            Z = {name: (Z_m @ R).astype(np.float32) for name, Z_m in Z.items()}
        self._targets = {name: torch.from_numpy(sign(Z_m)).to(self._device, torch.float32) for name, Z_m in Z.items()}

    def losses(self, rows: NDArray[np.int64], inputs: Mapping[str, Input]) -> dict[str, Tensor]:
        """Terms of L_f and of gamma L_h; of the stage's own alone before all are trained together."""
        similar = (self._shared(rows) > 0).float()
        with torch.set_grad_enabled(self._stage != "hash"):
            features = {name: self.network.features(name, x) for name, x in inputs.items()}
        terms = {}
        if self._stage != "hash":
            pairs = pairs_of(list(features))
            terms["features"] = sum_of([self._of_features(features[a], features[b], similar) for a, b in pairs])
        if self._stage != "features":
            terms |= self._hash_losses(rows, features, similar)
        return terms

    def _hash_losses(self, rows: NDArray[np.int64], features: dict[str, Tensor], similar: Tensor) -> dict[str, Tensor]:
        settings, numbers = self._settings, torch.from_numpy(rows).to(self._device)
        Z = torch.cat([self.network.hash_layer(f) for f in features.values()])
        B = torch.cat([self._targets[name][numbers] for name in features])
        gamma = settings["gamma"]
        return {
            "similarity": gamma * self._of_similarity(Z, similar.repeat(len(features), len(features))),
            "quantization": gamma * settings["beta_1"] * self._of_signs(Z, B),
            "independence": gamma * settings["beta_2"] * self._of_independence(Z),
            "balance": gamma * settings["beta_3"] * self._of_balance(Z),
        }

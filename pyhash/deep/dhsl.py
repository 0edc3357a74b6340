"""DHSL: deep hashing similarity learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyhash.checks import check_choice, check_integer, check_real
from pyhash.deep.base import DeepMethod, Plan
from pyhash.deep.inputs import Input
from pyhash.deep.losses import QuantizationLoss, RelationLoss, RowSparsityPenalty, WeightedCosineTripletLoss
from pyhash.deep.networks.dhsl_network import DHSLNetwork
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.similarity import SharedLabels, ordered_pairs_of, sum_of
from pyhash.deep.training import Objective
from pyhash.deep.widths import check_widths
from pyhash.methods.parameters import per_modality
from pyhash.methods.state import Matrix

# What Table 3 of the paper leaves out.
_VARIANTS = ("full", "DHSL1", "DHSL2", "DHSL3", "DHSL4")

_PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "selector_hidden": (64, 64),
        "dropout": 0.2,
        "relation_hidden": 256,
        "relation_rows": 48,
        "alpha": 1.0,
        "beta": 1e-6,
        "eta": 0.1,
        "phi": 0.01,
        "sigma": 0.1,
        "mu": 1.0,
        "margin": 0.3,
        "reduction": "mean",
        "learning_rate": 2e-3,
        "relation_learning_rate": 2e-3,
        "epochs": 60,
        "batch_size": 128,
        "optimizer": "adam",
        "decay": "cosine",
    },
    "paper": {
        "hidden": (8192, 2048),
        "selector_hidden": (512, 512),
        "dropout": 0.2,
        "relation_hidden": 256,
        "relation_rows": 128,
        "alpha": 1.0,
        "beta": 1.0,
        "eta": 0.1,
        "phi": 0.01,
        "sigma": 0.1,
        "mu": 1.0,
        "margin": 1e-5,
        "reduction": "sum",
        "learning_rate": 1e-4,
        "relation_learning_rate": 5e-4,
        "epochs": 120,
        "batch_size": 128,
        "optimizer": "sgd",
        "decay": "none",
    },
}
# The paper's widths, which take a GPU, and a sixteenth and an eighth of them.
_HIDDEN_ON_CPU, _HIDDEN_ON_GPU = (512, 256), (8192, 2048)


class DHSL(DeepMethod):
    """DOC"""

    def __init__(
        self,
        n_bits: int = 32,
        *,
        preset: str = "default",
        n_classes: int | None = None,
        variant: str = "full",
        hidden: Sequence[int] | None = None,
        selector_hidden: Sequence[int] | None = None,
        dropout: float | None = None,
        relation_hidden: int | None = None,
        relation_rows: int | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        eta: float | None = None,
        phi: float | None = None,
        sigma: float | None = None,
        mu: float | Mapping[str, float] | None = None,
        margin: float | None = None,
        reduction: str | None = None,
        learning_rate: float | None = None,
        relation_learning_rate: float | None = None,
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
        self.variant = variant
        self.hidden = hidden
        self.selector_hidden = selector_hidden
        self.dropout = dropout
        self.relation_hidden = relation_hidden
        self.relation_rows = relation_rows
        self.alpha = alpha
        self.beta = beta
        self.eta = eta
        self.phi = phi
        self.sigma = sigma
        self.mu = mu
        self.margin = margin
        self.reduction = reduction
        self.learning_rate = learning_rate
        self.relation_learning_rate = relation_learning_rate
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
        variant = check_choice("variant", chosen["variant"], _VARIANTS)
        hidden = chosen["hidden"] or (_HIDDEN_ON_CPU if device.type == "cpu" else _HIDDEN_ON_GPU)
        weights = ("alpha", "beta", "eta", "phi", "sigma", "margin")
        rates = ("learning_rate", "relation_learning_rate")
        dropout = check_real("dropout", chosen["dropout"], 0.0)
        if dropout >= 1:
            raise ValueError(f"dropout must be a number from 0 to below 1, got {dropout:g}")
        selector_hidden = check_widths("selector_hidden", chosen["selector_hidden"], 2)
        relation_hidden = check_integer("relation_hidden", chosen["relation_hidden"], 1)
        return {
            "variant": variant,
            "hidden": check_widths("hidden", hidden),
            "selector_hidden": None if variant == "DHSL2" else selector_hidden,
            "dropout": dropout,
            "relation_hidden": None if variant == "DHSL4" else relation_hidden,
            "relation_rows": check_integer("relation_rows", chosen["relation_rows"], 2),
            **{name: check_real(name, chosen[name], 0.0) for name in weights},
            "mu": per_modality("mu", chosen["mu"], modalities),
            "reduction": check_choice("reduction", chosen["reduction"], ("sum", "mean")),
            **{name: check_real(name, chosen[name], 0.0, exclusive=True) for name in rates},
        }

    def _make_network(self, plan: Plan, settings: dict[str, Any], backbones: dict[str, nn.Module]) -> HashingNetwork:
        return DHSLNetwork(
            plan.n_bits,
            plan.n_classes,
            plan.widths,
            settings["hidden"],
            settings["dropout"],
            settings["selector_hidden"],
            settings["sigma"],
            settings["relation_hidden"],
        )

    def _make_objective(
        self, network: HashingNetwork, settings: dict[str, Any], L: Matrix, device: torch.device
    ) -> Objective:
        return DHSLObjective(cast("DHSLNetwork", network), settings, L, device)

    def _advice(self) -> str:
        if self.preset == "paper":
            return "the paper's margin of 1e-5 does so: set margin=0.3, or use preset='default'"
        return "raise margin (0.2 to 0.5), or lower learning_rate"


class DHSLObjective(Objective):
    """``alpha L_tri + beta L_U + eta L_RN + phi L_q`` (Eq. 12)."""

    def __init__(self, network: DHSLNetwork, settings: dict[str, Any], L: Matrix, device: torch.device) -> None:
        self.network: DHSLNetwork = network
        self._settings = settings
        self._shared = SharedLabels(L, device)
        reduction = settings["reduction"]
        self._of_triplets = WeightedCosineTripletLoss(settings["margin"], reduction)
        self._of_relations = RelationLoss(reduction)
        self._of_signs = QuantizationLoss(reduction)
        self._of_selector = RowSparsityPenalty()

    def groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Main networks with their selectors, and the relation network."""
        network, settings = self.network, self._settings
        relation = [] if network.relation is None else list(network.relation.parameters())
        of_relation = {id(p) for p in relation}
        main = [p for p in network.parameters() if id(p) not in of_relation]
        groups = {"main": (main, settings["learning_rate"])}
        if relation:
            groups["relation"] = (relation, settings["relation_learning_rate"])
        return groups

    def losses(self, rows: NDArray[np.int64], inputs: Mapping[str, Input]) -> dict[str, Tensor]:
        """The four terms, but for those that the variant leaves out."""
        settings, shared = self._settings, self._shared(rows)
        H = {name: self.network(name, x) for name, x in inputs.items()}
        pairs = ordered_pairs_of(list(H))
        terms = {"triplets": settings["alpha"] * sum_of([self._of_triplets(H[a], H[b], shared) for a, b in pairs])}
        if settings["selector_hidden"] is not None and settings["variant"] != "DHSL1":
            penalties = [settings["mu"][name] * self._of_selector(self.network.selected(name)) for name in H]
            terms["selector"] = settings["beta"] * sum_of(penalties)
        if self.network.relation is not None:
            terms["relation"] = settings["eta"] * self._relation_loss(self.network.relation, H, shared)
        terms["quantization"] = settings["phi"] * sum_of([self._of_signs(H_m) for H_m in H.values()])
        return terms

    def _relation_loss(self, relation: nn.Module, H: dict[str, Tensor], shared: Tensor) -> Tensor:
        """Of every two modalities (Eq. 5) and, but in DHSL3, within each (Eq. 6), on the first rows of a batch."""
        n = self._settings["relation_rows"]
        similar = (shared[:n, :n] > 0).float()
        within = [] if self._settings["variant"] == "DHSL3" else [(name, name) for name in H]
        pairs = [*combinations(H, 2), *within]
        if not pairs:  # DHSL3 with a single modality
            return shared.new_zeros(())
        return sum_of([self._of_relations(relation(H[a][:n], H[b][:n]), similar) for a, b in pairs])

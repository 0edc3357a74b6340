"""DHSL: deep hashing similarity learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor, nn

from pyhash._inputs.checks import MAX_WIDTH, check_choice, check_fraction, check_integer, check_real
from pyhash.deep.base import DeepMethod
from pyhash.deep.losses import QuantizationLoss, RelationLoss, RowSparsityPenalty, WeightedCosineTripletLoss
from pyhash.deep.networks.dhsl_network import DHSLNetwork
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.objective import Encoded, Objective
from pyhash.deep.rows import RowNumbers
from pyhash.deep.similarity import SharedLabels, ordered_pairs_of, sum_of
from pyhash.deep.state import Plan
from pyhash.deep.training_options import TrainingOptions
from pyhash.deep.widths import check_widths
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.parameters import per_modality

# The ablations of the paper's Table 3.
_VARIANTS = ("full", "DHSL1", "DHSL2", "DHSL3", "DHSL4")

_PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "selector_hidden": (256, 256),
        "dropout": 0.1,
        "relation_hidden": 256,
        "relation_rows": 32,
        "alpha": 1.0,
        "beta": 1e-6,
        "eta": 0.1,
        "phi": 0.01,
        "sigma": 0.3,
        "mu": 1.0,
        "margin": 0.45,
        "reduction": "mean",
        "learning_rate": 2e-3,
        "relation_learning_rate": 2e-3,
        "backbone_learning_rate": 2e-4,
        "epochs": 60,
        "batch_size": 256,
        "optimizer": "adam",
        "decay": "cosine",
        "max_grad_norm": 0.0,
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
        "backbone_learning_rate": 1e-4,
        "epochs": 120,
        "batch_size": 128,
        "optimizer": "sgd",
        "decay": "none",
        "max_grad_norm": 0.0,
    },
}
# The paper's widths, which take a GPU, and an eighth and a quarter of them.
_HIDDEN_ON_CPU, _HIDDEN_ON_GPU = (1024, 512), (8192, 2048)


class DHSL(DeepMethod):
    """Deep hashing similarity learning (Ma et al., IEEE Access 2024).

    A network and a feature selector for each modality give codes before the sign; a triplet loss brings samples that
    share labels together, and a relation network that compares them helps.

    Parameters
    ----------
    n_bits : int
        Length r of a code.
    preset : {"default", "paper"}
        The values of parameters that are None. "paper": as printed for MIRFlickr; its margin is known to collapse where
        few pairs are similar.
    n_classes : int or None
        Number of classes where labels are class indices; by default as many as the labels show.
    variant : {"full", "DHSL1", "DHSL2", "DHSL3", "DHSL4"}
        The ablations of the paper's Table 3: without the penalty on the selector, without the selector, without
        relations within a modality, without the relation network.
    backbones : mapping of str to torch Module, or None
        Networks, by modality, whose outputs take the place of features. Copies are trained.
    train_backbones : {None, True, False, "head"} or mapping of str to these
        What of backbones is trained: all (True), nothing, in eval mode (False), or their last module with weights, in
        the order of ``modules()`` ("head"); None: weights that require gradients, each module in the mode it is in.
    hidden : sequence of int or None
        Widths of the main networks' layers but the last; on the CPU (1024, 512), on other devices, and in the paper,
        (8192, 2048).
    selector_hidden : pair of int or None
        Widths of the selector's first two layers; (256, 256), paper (512, 512), which it leaves open.
    dropout : float or None
        Part of the values that is dropped after each of these layers; 0.1, paper 0.2.
    relation_hidden : int or None
        Width of the relation network's first layer; 256.
    relation_rows : int or None
        Rows of a batch whose pairs the relation network sees; 32, paper 128, all of them.
    alpha, beta, eta, phi : float or None
        Weights of the triplets (1), the selector's penalty (1e-6, paper 1), the relations (0.1, paper 0.1) and
        quantization (0.01, paper 0.01; NUS-WIDE 0.15).
    sigma : float or None
        Weight of what the selector adds; 0.3, paper 0.1 (NUS-WIDE 0.01).
    mu : float or mapping of str to float, or None
        Weight of the penalty, one for all modalities or one for each; 1. In the paper ``{"image": 1, "text": 5}``
        (MIRFlickr), 3 (NUS-WIDE).
    margin : float or None
        By how much cosines of triplets must differ; 0.45, paper 1e-5.
    reduction : {"mean", "sum"} or None
        Weighted means over triplets and entries, or sums as printed; "mean", paper "sum".
    learning_rate, relation_learning_rate : float or None
        Of the main networks with their selectors, and of the relation network; 2e-3 for both, paper 1e-4 and 5e-4.
    backbone_learning_rate : float or mapping of str to float, or None
        Of backbones, of all or of each; 2e-4, paper 1e-4 (it has none).
    training : TrainingOptions or None
        Epochs, batches, optimizer, validation, device. Options of None: 60 epochs, batches of 256, "adam", decay
        "cosine", gradients not clipped; paper 120, 128, "sgd", "none", not clipped.
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
    Labels are class indices (n,) or a 0/1 matrix (n, c), dense or sparse, with at least one label a row. Where classes
    form a hierarchy, learn the finest: if coarse ones are labels too, they win. ``H_m = F_m + sigma M_m`` with the main
    network's F_m, which ends in tanh, and the selector's M_m; r_ij is the number of labels that two samples share.

        L = alpha L_tri + beta L_U + eta L_RN + phi L_q                                         (Eq. 12)
        L_tri = sum over i, j, k with r_ij > 0, r_ij > r_ik of
                (2^r_ij - 2^r_ik) / Z_i  max(0, cos(x_i, y_k) - cos(x_i, y_j) + margin)         (Eq. 8 to 11)
        L_U = sum_m mu_m ||U_m||_{2,1}                                                          (Eq. 1)
        L_RN = ||R^xy - S||^2 + ||R^xx - S||^2 + ||R^yy - S||^2                                 (Eq. 5 to 7)
        L_q = sum_m ||sgn(H_m) - H_m||^2                                                        (Eq. 3)

    with Z_i as the ideal DCG has it, U_m the first weight of a selector (a group for each input), R the relation
    network's answers, and S 1 where labels are shared, else 0. Eq. 6 prints S^YY beside R^XX. Any number of modalities:
    triplets of every ordered pair of them, relations of every pair. The selector's last layer has no bias, which would
    shift all codes alike.

    References
    ----------
    Ying Ma, Meng Wang, Guangyun Lu, Yajun Sun: Deep Hashing Similarity Learning for Cross-Modal Retrieval. IEEE Access
    12, 2024.

    Examples
    --------
    >>> from pyhash.datasets import make_multilabel
    >>> from pyhash.deep import DHSL, TrainingOptions
    >>> data = make_multilabel(300)
    >>> model = DHSL(n_bits=16, hidden=[32, 16], training=TrainingOptions(epochs=5))
    >>> model = model.fit(data.views, data.labels["classes"])
    >>> model.encode(data.views["text"], modality="text").shape
    (300, 2)
    >>> [sorted(epoch["losses"]) for epoch in model.history_][0]
    ['quantization', 'relation', 'selector', 'triplets']
    """

    presets = _PRESETS

    def __init__(
        self,
        n_bits: int = 32,
        *,
        preset: str = "default",
        n_classes: int | None = None,
        variant: str = "full",
        backbones: Mapping[str, Any] | None = None,
        train_backbones: bool | str | Mapping[str, Any] | None = None,
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
        self.backbone_learning_rate = backbone_learning_rate

    def _check_settings(self, chosen: dict[str, Any], modalities: list[str], device: torch.device) -> dict[str, Any]:
        variant = check_choice("variant", chosen["variant"], _VARIANTS)
        hidden = chosen["hidden"]
        if hidden is None:
            hidden = _HIDDEN_ON_CPU if device.type == "cpu" else _HIDDEN_ON_GPU
        weights = ("alpha", "beta", "eta", "phi", "sigma", "margin")
        rates = ("learning_rate", "relation_learning_rate")
        selector_hidden = check_widths("selector_hidden", chosen["selector_hidden"], 2)
        relation_hidden = check_integer("relation_hidden", chosen["relation_hidden"], 1, MAX_WIDTH)
        return {
            "variant": variant,
            "hidden": check_widths("hidden", hidden),
            "selector_hidden": None if variant == "DHSL2" else selector_hidden,
            "dropout": check_fraction("dropout", chosen["dropout"]),
            "relation_hidden": None if variant == "DHSL4" else relation_hidden,
            "relation_rows": check_integer("relation_rows", chosen["relation_rows"], 2),
            **{name: check_real(name, chosen[name], 0.0) for name in weights},
            "mu": per_modality("mu", chosen["mu"], modalities),
            "reduction": check_choice("reduction", chosen["reduction"], ("sum", "mean")),
            **{name: check_real(name, chosen[name], 0.0, exclusive=True) for name in rates},
            "backbone_learning_rate": self._backbone_rates(chosen),
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
            backbones,
        )

    def _make_objective(
        self, network: HashingNetwork, settings: dict[str, Any], L: Matrix, device: torch.device
    ) -> Objective:
        return DHSLObjective(cast("DHSLNetwork", network), settings, L, device)

    def _advice(self) -> str:
        if self.preset == "paper":
            return "the paper's margin of 1e-5 does so: set margin=0.45, or use preset='default'"
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
        """Return the groups: main networks with their selectors, and the relation network."""
        network, settings = self.network, self._settings
        relation = [] if network.relation is None else list(network.relation.parameters())
        others = {id(p) for p in [*relation, *(p for each in network.backbones.values() for p in each.parameters())]}
        main = [p for p in network.parameters() if id(p) not in others]
        groups = {"main": (main, settings["learning_rate"])}
        if relation:
            groups["relation"] = (relation, settings["relation_learning_rate"])
        return groups | network.backbone_groups(settings["backbone_learning_rate"])

    def losses(self, rows: Mapping[str, RowNumbers], encoded: Mapping[str, Encoded], epoch: int) -> dict[str, Tensor]:
        """Return the four terms, without those that the variant leaves out."""
        settings, shared = self._settings, self._shared(next(iter(rows.values())))
        H = {name: each.outputs for name, each in encoded.items()}
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
        """Return the loss of relations between modalities (Eq. 5) and, except in DHSL3, within each (Eq. 6)."""
        n = self._settings["relation_rows"]
        similar = (shared[:n, :n] > 0).float()
        within = [] if self._settings["variant"] == "DHSL3" else [(name, name) for name in H]
        pairs = [*combinations(H, 2), *within]
        if not pairs:  # DHSL3 with a single modality
            return shared.new_zeros(())
        return sum_of([self._of_relations(relation(H[a][:n], H[b][:n]), similar) for a, b in pairs])

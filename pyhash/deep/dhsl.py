"""DHSL: deep hashing similarity learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyhash._inputs.checks import MAX_WIDTH, check_bool, check_choice, check_fraction, check_integer, check_real
from pyhash.deep.base import DeepMethod
from pyhash.deep.losses import QuantizationLoss, RelationLoss, RowSparsityPenalty, WeightedCosineTripletLoss
from pyhash.deep.networks.dhsl_network import DHSLNetwork
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.objective import Encoded, Objective
from pyhash.deep.outputs import Outputs
from pyhash.deep.rows import RowNumbers
from pyhash.deep.similarity import SharedLabels, ordered_pairs_of, sum_of
from pyhash.deep.state import DeepState, Plan
from pyhash.deep.target_codes import TargetCodes
from pyhash.deep.training_options import TrainingOptions
from pyhash.deep.widths import check_widths
from pyhash.methods.contract import Views
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.parameters import per_modality

# The ablations of the paper's Table 3.
_VARIANTS = ("full", "DHSL1", "DHSL2", "DHSL3", "DHSL4")

_DEFAULT: dict[str, Any] = {
    "variant": "DHSL2",
    "hidden": (1024, 512),
    "hash_norm": False,
    "selector_hidden": (256, 256),
    "dropout": 0.1,
    "relation": "shared",
    "relation_hidden": 256,
    "relation_rows": 32,
    "alpha": 1.0,
    "beta": 1e-6,
    "eta": 0.1,
    "phi": 0.01,
    "sigma": 0.3,
    "mu": 1.0,
    "margin": 0.45,
    "signs": "step",
    "reduction": "mean",
    "learning_rate": 2e-3,
    "relation_learning_rate": 2e-3,
    "backbone_learning_rate": 2e-4,
    "epochs": 60,
    "batch_size": 256,
    "optimizer": "adam",
    "scheduler": "cosine",
    "max_grad_norm": 0.0,
}
# Sec. IV-B of the paper, where it names a value.
_PAPER: dict[str, Any] = {
    "variant": "full",
    "hidden": (8192, 2048),
    "hash_norm": True,
    "selector_hidden": (512, 512),
    "dropout": 0.2,
    "relation": "equal",
    "relation_hidden": 256,
    "relation_rows": 128,
    "alpha": 1.0,
    "beta": 1.0,
    "eta": 0.1,
    "phi": 0.01,
    "sigma": 0.1,
    "mu": (1.0, 5.0),
    "margin": 1e-5,
    "signs": "epoch",
    "reduction": "sum",
    "learning_rate": 1e-4,
    "relation_learning_rate": 5e-4,
    "backbone_learning_rate": 1e-4,
    "epochs": 120,
    "batch_size": 128,
    "optimizer": "sgd",
    "scheduler": "none",
    "max_grad_norm": 0.0,
    "validation_fraction": 0.0,
}
_PRESETS = {
    "default": _DEFAULT,
    "paper": _PAPER,
    "paper-nus-wide": _PAPER | {"phi": 0.15, "sigma": 0.01, "mu": (3.0, 3.0)},
}
# With both data sets the paper has these at 16 bits.
_PAPER_MU_OF_16_BITS = (4.0, 5.0)
# Pairs of samples whose relations are computed at once.
_PAIRS_AT_ONCE = 2**16


class DHSL(DeepMethod):
    """Deep hashing similarity learning (Ma et al., IEEE Access 2024).

    A network, and in the paper a feature selector, for each modality give codes before the sign; a triplet loss brings
    samples that share labels together, and a relation network that compares them helps.

    Parameters
    ----------
    n_bits : int
        Length r of a code.
    preset : {"default", "paper", "paper-nus-wide"}
        The values of parameters that are None. "paper": as printed for MIRFlickr25K, "paper-nus-wide": for NUS-WIDE.
    n_classes : int or None
        Number of classes where labels are class indices; by default as many as the labels show.
    variant : {"full", "DHSL1", "DHSL2", "DHSL3", "DHSL4"} or None
        "full", or one of the ablations of the paper's Table 3: without the penalty on the selector, without the
        selector, without relations within a modality, without the relation network. "DHSL2", paper "full".
    backbones : mapping of str to torch Module, or None
        Networks, by modality, whose outputs take the place of features. Copies are trained.
    train_backbones : {None, True, False, "head"} or mapping of str to these
        What of backbones is trained: all (True), nothing, in eval mode (False), or their last module with weights, in
        the order of ``modules()`` ("head"); None: weights that require gradients, each module in the mode it is in.
    hidden : sequence of int or None
        Widths of the main networks' layers but the last; (1024, 512), paper (8192, 2048).
    hash_norm : bool or None
        Whether the last layer has batch normalization as well, before its tanh; False, paper True.
    selector_hidden : pair of int or None
        Widths of the selector's first two layers; (256, 256), paper (512, 512), which it leaves open.
    dropout : float or None
        Part of the values that is dropped after each hidden layer; 0.1, paper 0.2.
    relation : {"shared", "equal"} or None
        The pairs whose relation is 1: samples that share a label, or those whose labels are all the same (Eq. 4);
        "shared", paper "equal".
    relation_hidden : int or None
        Width of the relation network's first layer; 256.
    relation_rows : int or None
        Rows of a batch whose pairs the relation network sees; 32, paper 128, all of them.
    alpha, beta, eta, phi : float or None
        Weights of the triplets (1), the selector's penalty (1e-6, paper 1), the relations (0.1, paper 0.1) and
        quantization (0.01, paper 0.01, NUS-WIDE 0.15).
    sigma : float or None
        Weight of what the selector adds; 0.3, paper 0.1, NUS-WIDE 0.01.
    mu : float, sequence of float or mapping of str to float, or None
        Weight of the penalty: one for all modalities, or one for each in the order of the views, or by name; 1. Paper:
        1 for images and 5 for texts, NUS-WIDE 3 for both, and at 16 bits 4 and 5 for either data set. The
        modality "image" has the weight of images, or the first one not called "text"; all others that of texts.
    margin : float or None
        By how much cosines of triplets must differ; 0.45, paper 1e-5.
    signs : {"step", "epoch"} or None
        The codes B that outputs approach: their own signs at every step, or in a whole epoch those of the epoch before,
        right after the step that learned each row; "step", paper "epoch".
    reduction : {"mean", "sum"} or None
        Weighted means over triplets and entries, or sums as printed; "mean", paper "sum".
    learning_rate, relation_learning_rate : float or None
        Of the main networks with their selectors, and of the relation network; 2e-3 for both, paper 1e-4 and 5e-4.
    backbone_learning_rate : float or mapping of str to float, or None
        Of backbones, of all or of each; 2e-4, paper 1e-4 (it has none).
    training : TrainingOptions or None
        Epochs, batches, optimizer, validation, device. Options of None: 60 epochs, batches of 256, "adam",
        scheduler "cosine", gradients not clipped, a tenth of the rows held out; paper 120, 128, "sgd", "none", not
        clipped, no rows held out.
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
    network's F_m, which ends in tanh, and the selector's M_m; r_ij is the number of labels that two samples share. ::

        L = alpha L_tri + beta L_U + eta L_RN + phi L_q                                         (Eq. 12)
        L_tri = sum over i, j, k with r_ij > 0, r_ij > r_ik of
                (2^r_ij - 2^r_ik) / Z_i  max(0, cos(x_i, y_k) - cos(x_i, y_j) + margin)         (Eq. 8 to 11)
        L_U = sum_m mu_m ||U_m||_{2,1}                                                          (Eq. 1)
        L_RN = ||R^xy - S||^2 + ||R^xx - S||^2 + ||R^yy - S||^2                                 (Eq. 5 to 7)
        L_q = sum_m ||B_m - H_m||^2                                                             (Eq. 3)

    with Z_i as the ideal DCG has it, U_m the first weight of a selector (a group for each input), R the relation
    network's answers (``relation_matrix`` gives them), S as `relation` says, and ``B_m = sgn(H_m)``. Any number of
    modalities: triplets of every ordered pair of them, relations of every pair.

    The default differs from the paper in

    - means in place of sums, and a margin of 0.45: the paper's costs nothing once near-equal outputs are in order;
    - widths for a CPU, no batch normalization of the last layer, less dropout;
    - relations of samples that share a label, of 32 rows of a batch; B at every step;
    - no selector ("DHSL2"), which gained nothing where it was tried; its penalty of 1e-6 switches no input off;
    - Adam with cosine decay, larger learning rates and batches; dense features standardized;
    - a tenth of the rows held out, and the weights of the epoch with the best mAP kept.

    Where the paper leaves a choice open: triplets are those with r_ij > 0 and r_ij > r_ik; S^YY beside R^XX in Eq. 6 is
    S^XX; the penalty is on the selector's first layer, whose last has no bias, which would shift all codes alike; the
    relation network is 2r -> `relation_hidden` -> n_classes -> 1 with ReLU between and a sigmoid at the end.

    Variants in ``make_method``: "dhsl/no-penalty" (DHSL1), "dhsl/no-selector" (DHSL2), "dhsl/no-relations-within"
    (DHSL3), "dhsl/no-relation-network" (DHSL4), "dhsl/full"; "dhsl/paper" and "dhsl/paper-nus-wide" are the presets.

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
    ['quantization', 'relation', 'triplets']
    """

    presets = _PRESETS
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "full": {"variant": "full"},
        "no-penalty": {"variant": "DHSL1"},
        "no-selector": {"variant": "DHSL2"},
        "no-relations-within": {"variant": "DHSL3"},
        "no-relation-network": {"variant": "DHSL4"},
        "paper": {"preset": "paper"},
        "paper-nus-wide": {"preset": "paper-nus-wide"},
    }

    def __init__(
        self,
        n_bits: int = 32,
        *,
        preset: str = "default",
        n_classes: int | None = None,
        variant: str | None = None,
        backbones: Mapping[str, Any] | None = None,
        train_backbones: bool | str | Mapping[str, Any] | None = None,
        hidden: Sequence[int] | None = None,
        hash_norm: bool | None = None,
        selector_hidden: Sequence[int] | None = None,
        dropout: float | None = None,
        relation: str | None = None,
        relation_hidden: int | None = None,
        relation_rows: int | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        eta: float | None = None,
        phi: float | None = None,
        sigma: float | None = None,
        mu: float | Sequence[float] | Mapping[str, float] | None = None,
        margin: float | None = None,
        signs: str | None = None,
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
        self.hash_norm = hash_norm
        self.selector_hidden = selector_hidden
        self.dropout = dropout
        self.relation = relation
        self.relation_hidden = relation_hidden
        self.relation_rows = relation_rows
        self.alpha = alpha
        self.beta = beta
        self.eta = eta
        self.phi = phi
        self.sigma = sigma
        self.mu = mu
        self.margin = margin
        self.signs = signs
        self.reduction = reduction
        self.learning_rate = learning_rate
        self.relation_learning_rate = relation_learning_rate
        self.backbone_learning_rate = backbone_learning_rate

    def relation_matrix(self, rows: Views, columns: Views | None = None) -> NDArray[np.float32]:
        """Return the hash similarity matrix R: what the relation network says of pairs of samples.

        Parameters
        ----------
        rows : mapping of str to array_like or scipy.sparse of shape (n, n_features)
            Features of some of the modalities learned, at least one, rows aligned.
        columns : mapping of str to array_like or scipy.sparse of shape (m, n_features), optional
            Likewise, also of other modalities; by default the same as `rows`.

        Returns
        -------
        ndarray of shape (n, m), float32
            For one modality each, their relations R^ab, from 0 to 1. For several their sum over all learned pairs of
            one of `rows` and one of `columns`, such as ``R = R^xx + R^yy + R^xy`` for two (Sec. III-C), where every
            pair counts once: as it was learned, if `rows` and `columns` have both.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError
            If `rows` or `columns` is not a mapping of str to arrays of real numbers.
        ValueError
            If a modality is unknown, or there is none.
        ValueError
            If views have different numbers of rows, or of columns than the learned modality.
        ValueError
            If views have values that are not finite, or too large to be projected.
        ValueError
            If the variant learned has no relation network, or no relations of these modalities.

        Examples
        --------
        >>> from pyhash.datasets import make_multilabel
        >>> from pyhash.deep import DHSL, TrainingOptions
        >>> data = make_multilabel(300)
        >>> model = DHSL(n_bits=16, hidden=[32, 16], training=TrainingOptions(epochs=5))
        >>> model = model.fit(data.views, data.labels["classes"])
        >>> pictures, texts = ({name: data.views[name][:4]} for name in ("image", "text"))
        >>> R = model.relation_matrix(pictures, texts)
        >>> R.shape, bool((R >= 0).all() and (R <= 1).all())
        ((4, 4), True)
        """
        state = self._fitted_state()
        network, variant = cast("DHSLNetwork", state.network), state.settings["variant"]
        if network.relation is None:
            raise ValueError(f"variant must have a relation network, {variant!r} was learned without")
        of_rows = self._outputs(state, "rows", rows)
        of_columns = of_rows if columns is None else self._outputs(state, "columns", columns)
        total: Any = None
        for a, b in relations_of(network.modalities, variant):
            if a in of_rows and b in of_columns:
                R = _relations(network.relation, of_rows[a], of_columns[b])
            elif b in of_rows and a in of_columns:
                R = _relations(network.relation, of_columns[a], of_rows[b]).T
            else:
                continue
            total = R if total is None else total + R
        if total is None:
            raise ValueError(
                f"rows and columns must be of different modalities, {variant!r} learned no other relations"
            )
        return np.ascontiguousarray(total.numpy())

    def _outputs(self, state: DeepState, what: str, views: Any) -> dict[str, Tensor]:
        """Return the outputs H (n, n_bits) of each modality of `views`; errors call them `what`."""
        names, rows = self._query_views(state, what, views)
        return {
            name: torch.from_numpy(self._project(state, {name: x}, {name: 1.0}, "bits", {name: names[name]}))
            for name, x in rows.items()
        }

    def _check_settings(self, chosen: dict[str, Any], modalities: list[str]) -> dict[str, Any]:
        variant = check_choice("variant", chosen["variant"], _VARIANTS)
        weights = ("alpha", "beta", "eta", "phi", "sigma", "margin")
        rates = ("learning_rate", "relation_learning_rate")
        selector_hidden = check_widths("selector_hidden", chosen["selector_hidden"], 2)
        relation_hidden = check_integer("relation_hidden", chosen["relation_hidden"], 1, MAX_WIDTH)
        return {
            "variant": variant,
            "hidden": check_widths("hidden", chosen["hidden"]),
            "hash_norm": check_bool("hash_norm", chosen["hash_norm"]),
            "selector_hidden": None if variant == "DHSL2" else selector_hidden,
            "dropout": check_fraction("dropout", chosen["dropout"]),
            "relation": check_choice("relation", chosen["relation"], ("shared", "equal")),
            "relation_hidden": None if variant == "DHSL4" else relation_hidden,
            "relation_rows": check_integer("relation_rows", chosen["relation_rows"], 2),
            **{name: check_real(name, chosen[name], 0.0) for name in weights},
            "mu": self._mu(chosen["mu"], modalities),
            "signs": check_choice("signs", chosen["signs"], ("step", "epoch")),
            "reduction": check_choice("reduction", chosen["reduction"], ("sum", "mean")),
            **{name: check_real(name, chosen[name], 0.0, exclusive=True) for name in rates},
            "backbone_learning_rate": self._backbone_rates(chosen),
        }

    def _mu(self, mu: Any, modalities: list[str]) -> dict[str, float]:
        """Return the weight of the penalty of each modality."""
        if not isinstance(mu, Sequence) or isinstance(mu, (str, bytes)):
            return per_modality("mu", mu, modalities)
        if self.mu is None:  # the paper's, of images and of texts
            of_images, of_texts = _PAPER_MU_OF_16_BITS if self.n_bits == 16 else mu
            others = (name for name in modalities if name != "text")
            images = "image" if "image" in modalities else next(others, None)
            return {name: of_images if name == images else of_texts for name in modalities}
        if len(mu) != len(modalities):
            raise ValueError(f"mu must be {len(modalities)} numbers, one for each modality, got {len(mu)}")
        return {name: check_real(f"mu[{m}]", mu[m], 0.0) for m, name in enumerate(modalities)}

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
            hash_norm=settings.get("hash_norm", False),  # files have it since version 0.4
        )

    def _make_objective(
        self, network: HashingNetwork, settings: dict[str, Any], L: Matrix, device: torch.device
    ) -> Objective:
        return DHSLObjective(cast("DHSLNetwork", network), settings, L, device)

    def _advice(self) -> str:
        if self.preset != "default" and self.margin is None:
            return "the paper's margin of 1e-5 lets nearly equal outputs cost nothing: set margin=0.45"
        return "raise margin (0.2 to 0.5), or lower learning_rate"


class DHSLObjective(Objective):
    """``alpha L_tri + beta L_U + eta L_RN + phi L_q`` (Eq. 12)."""

    def __init__(self, network: DHSLNetwork, settings: dict[str, Any], L: Matrix, device: torch.device) -> None:
        self.network: DHSLNetwork = network
        self._settings = settings
        self._labels = SharedLabels(L, device)
        self.uses_outputs = settings["signs"] == "epoch"
        self._codes = TargetCodes(network.modalities, len(L), network.n_bits, device)
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

    def begin_training(self, outputs: Callable[[], Outputs]) -> None:
        """Set the codes B that outputs approach in the first epoch."""
        self._codes.set(outputs())

    def end_epoch(self, epoch: int, outputs: Outputs) -> None:
        """Set the codes B of the next epoch."""
        self._codes.set(outputs)

    def state(self) -> dict[str, Tensor]:
        """Return the codes B, if they are set once an epoch."""
        return self._codes.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take the codes B."""
        if self.uses_outputs:
            self._codes.restore(state)
        else:
            super().restore(state)

    def losses(self, rows: Mapping[str, RowNumbers], encoded: Mapping[str, Encoded], epoch: int) -> dict[str, Tensor]:
        """Return the four terms, without those that the variant leaves out."""
        settings, numbers = self._settings, next(iter(rows.values()))  # the same of all modalities
        H = {name: each.outputs for name, each in encoded.items()}
        n_shared = self._labels.counts(numbers, numbers)
        pairs = ordered_pairs_of(list(H))
        terms = {"triplets": settings["alpha"] * sum_of([self._of_triplets(H[a], H[b], n_shared) for a, b in pairs])}
        if settings["selector_hidden"] is not None and settings["variant"] != "DHSL1":
            penalties = [settings["mu"][name] * self._of_selector(self.network.selected(name)) for name in H]
            terms["selector"] = settings["beta"] * sum_of(penalties)
        if self.network.relation is not None:
            terms["relation"] = settings["eta"] * self._relation_loss(self.network.relation, H, numbers)
        distances = [
            self._of_signs(H_m, self._codes.of(name, numbers) if self.uses_outputs else None) for name, H_m in H.items()
        ]
        terms["quantization"] = settings["phi"] * sum_of(distances)
        return terms

    def _relation_loss(self, relation: nn.Module, H: dict[str, Tensor], rows: RowNumbers) -> Tensor:
        """Return the loss of relations between modalities (Eq. 5) and, except in DHSL3, within each (Eq. 6)."""
        n = self._settings["relation_rows"]
        target = self._labels.equal if self._settings["relation"] == "equal" else self._labels.shared
        S = target(rows[:n], rows[:n])
        pairs = relations_of(list(H), self._settings["variant"])
        if not pairs:  # DHSL3 with a single modality
            return S.new_zeros(())
        return sum_of([self._of_relations(relation(H[a][:n], H[b][:n]), S) for a, b in pairs])


def _relations(relation: nn.Module, rows: Tensor, columns: Tensor) -> Tensor:
    """Return relations (n, m) on the CPU, computed block by block: a pair takes as much memory as the hidden layer."""
    device = next(relation.parameters()).device
    size = max(1, _PAIRS_AT_ONCE // max(1, len(columns)))
    with torch.no_grad():
        found = [relation(block.to(device), columns.to(device)).cpu() for block in torch.split(rows, size)]
    return torch.cat(found)


def relations_of(modalities: list[str], variant: str) -> list[tuple[str, str]]:
    """Return the pairs of modalities whose relations are learned: different ones and, except in DHSL3, equal ones."""
    return [*combinations(modalities, 2), *([] if variant == "DHSL3" else [(name, name) for name in modalities])]

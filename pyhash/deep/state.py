"""State of a deep method after training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pyhash.deep.encoders import label_posterior
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import InputSpec, n_features_of
from pyhash.methods.parts.arrays import Matrix
from pyhash.methods.parts.bayes_codes import BayesCodes, LabelPosterior
from pyhash.methods.parts.calibration import Calibration
from pyhash.methods.parts.encoder_trial import EncoderTrial
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.posterior import PosteriorEncoder


@dataclass(frozen=True)
class Plan:
    """The sizes that determine the shapes of all weights."""

    n_bits: int
    n_classes: int
    specs: dict[str, InputSpec]  # of each modality, as the user gives it
    widths: dict[str, int]  # of what the method's layers take: a row after its feature map, or the backbone's features

    @property
    def n_features(self) -> dict[str, int]:
        """Number of features of each modality, as the user gives it."""
        return {name: n_features_of(spec) for name, spec in self.specs.items()}


@dataclass(frozen=True)
class DeepState:
    """The networks and all that encodes with them; never changed, only replaced."""

    plan: Plan
    settings: dict[str, Any]  # the method's own parameters at the time of training
    maps: dict[str, Any]  # fitted feature maps by modality
    n_samples: int
    network: HashingNetwork
    label_weights: dict[str, Matrix]  # (feature_width + 1, c): label scores from features and 1
    label_sets: LabelSets
    history: list[dict[str, Any]]
    best_epoch: int
    evaluated_by: list[str]  # modalities whose items an ``eval_transform`` changed
    trial: EncoderTrial | None = None
    calibrations: dict[str, Calibration] = field(default_factory=dict)  # by modality; empty without Bayes codes
    # What follows is made from the rest when it is first needed.
    posteriors: dict[str, PosteriorEncoder] = field(default_factory=dict)
    label_posteriors: dict[str, LabelPosterior] = field(default_factory=dict)
    bayes_codes: list[BayesCodes] = field(default_factory=list)  # at most one

    @property
    def n_features(self) -> dict[str, int]:
        """Number of features of each modality, as the user gives it."""
        return self.plan.n_features

    def posterior(self, modality: str) -> PosteriorEncoder:
        """Return the posterior encoder of a modality, made when it is first needed."""
        if modality not in self.posteriors:
            self.posteriors[modality] = PosteriorEncoder(self.label_weights[modality], self.label_sets)
        return self.posteriors[modality]

    def label_posterior(self, modality: str) -> LabelPosterior:
        """Return the posterior over label sets from features of a modality, made when it is first needed."""
        if modality not in self.label_posteriors:
            self.label_posteriors[modality] = label_posterior(
                self.label_weights[modality], self.label_sets, self.calibrations.get(modality)
            )
        return self.label_posteriors[modality]

    def to_codes(self) -> BayesCodes:
        """Return what makes codes of posteriors over label sets, made when it is first needed."""
        if not self.bayes_codes:
            self.bayes_codes.append(BayesCodes(self.label_sets, self.plan.n_bits))
        return self.bayes_codes[0]

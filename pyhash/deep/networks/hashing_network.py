"""The interface of trained networks: features of every modality, and outputs computed from them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from pyhash.deep.networks.backbone import embedded

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash.deep.networks.inputs import FeatureInput, Input


class HashingNetwork(nn.Module, ABC):
    """The networks of all modalities.

    A subclass keeps what it has for each modality in a ``ModuleDict``, by the names of ``names``.

    Attributes
    ----------
    feature_width : int
        Width k of the features.
    modalities : list of str
        In the order of the views.
    names : dict of str to str
        The name of each modality in a ``ModuleDict``, whose names may hold no dot.
    backbones : dict of str to Module
        By modality, at most one each; part of the networks. In training mode each of their modules is in the mode that
        it had when the networks were made.
    """

    # Modules that only the training needs.
    only_in_training: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, feature_width: int, modalities: Sequence[str], backbones: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.feature_width = feature_width
        self.modalities = list(modalities)
        self.names = {name: f"m{m}" for m, name in enumerate(modalities)}
        self.backbones = dict(backbones or {})
        self._backbones = nn.ModuleList(self.backbones.values())
        self._stay_in_eval = {
            (backbone, name)
            for backbone, module in self.backbones.items()
            for name, each in module.named_modules()
            if not each.training
        }
        # Asked once: a turn of the training freezes groups for a while.
        self._trained = {
            (backbone, name)
            for backbone, module in self.backbones.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }

    @abstractmethod
    def encode(self, modality: str, x: Input) -> tuple[Tensor, Tensor]:
        """Return features (n, k) and outputs (n, n_bits) of rows of a modality; codes are the signs of the outputs."""

    def forward(self, modality: str, x: Input) -> Tensor:
        """Return the outputs (n, n_bits)."""
        return self.encode(modality, x)[1]

    def behind_backbone(self, modality: str, x: Input) -> FeatureInput:
        """Return what the layers of the method take: the features, or those (n, d) that the backbone makes of x."""
        if modality in self.backbones:
            return embedded(self.backbones[modality], x)
        if isinstance(x, dict):
            raise TypeError(f"{modality!r} must have a backbone to take a dict")
        return x

    def train(self, mode: bool = True) -> Self:
        """Set the mode; modules of backbones that were in eval mode stay in it."""
        super().train(mode)
        if mode:
            self.set_first_modes(self.backbones)
        return self

    def set_first_modes(self, backbones: Mapping[str, nn.Module]) -> None:
        """Set each module of backbones, or of copies of them, to the mode that it had when the networks were made."""
        for backbone, module in backbones.items():
            for name, each in module.named_modules():
                each.training = (backbone, name) not in self._stay_in_eval

    def backbone_groups(self, rates: Mapping[str, float]) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Return groups of the optimizer: weights of backbones that required gradients when the networks were made.

        `rates` are the learning rates by modality. Where they are equal, there is one group, "backbones"; else one for
        each. A module that is the backbone of several modalities is in the group of the first.
        """
        found: dict[str, tuple[list[nn.Parameter], float]] = {}
        seen: set[nn.Parameter] = set()
        is_one = len(set(rates.values())) == 1
        for backbone, module in self.backbones.items():
            new = [p for name, p in module.named_parameters() if (backbone, name) in self._trained and p not in seen]
            seen |= set(new)
            group = "backbones" if is_one else f"backbones.{backbone}"
            if new:
                found[group] = ([*found[group][0], *new] if group in found else new, rates[backbone])
        return found

    def only(self, modality: str) -> Self:
        """Return a copy, on the CPU and in eval mode, without what other modalities or the training alone need."""
        name = self.names[modality]
        dicts = [each for each in self.children() if isinstance(each, nn.ModuleDict)]
        left_out = [part for each in dicts for key, part in each.items() if key != name]
        left_out += [part for other, part in self.backbones.items() if other != modality]
        left_out += [part for part in (getattr(self, name) for name in self.only_in_training) if part is not None]
        kept = {id(module) for each in dicts if name in each for module in each[name].modules()}
        if modality in self.backbones:
            kept |= {id(module) for module in self.backbones[modality].modules()}
        copied = copy.deepcopy(self, {id(part): nn.Identity() for part in left_out if id(part) not in kept})
        return copied.cpu().eval()

"""The interface between a method and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import Input
from pyhash.deep.outputs import Outputs


class Objective(ABC):
    """The loss that a method minimizes, and the networks that it trains.

    Attributes
    ----------
    network : HashingNetwork
    """

    network: HashingNetwork

    @abstractmethod
    def groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Return the parameters and the learning rate of each group."""

    @abstractmethod
    def losses(self, rows: NDArray[np.int64], inputs: Mapping[str, Input]) -> dict[str, Tensor]:
        """Return the weighted terms of a batch's loss, which is their sum; `rows` are the numbers of its rows."""

    def begin_epoch(self, epoch: int, outputs: Callable[[], Outputs]) -> None:  # noqa: B027 - most have nothing to do
        """Prepare an epoch, counted from 1; ``outputs()`` computes the outputs of all rows."""

"""The interface between a method and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.outputs import Outputs
from pyhash.deep.rows import RowNumbers


class Encoded(NamedTuple):
    """What the networks give for the rows of a batch of one modality, float32."""

    features: Tensor  # (b, k)
    outputs: Tensor  # (b, n_bits)


class Objective(ABC):
    """The loss that a method minimizes, and the networks that it trains.

    Attributes
    ----------
    network : HashingNetwork
    is_paired : bool
        Whether all modalities of a batch have the same rows; else each modality draws its own.
    uses_outputs : bool
        Whether it takes the outputs of all rows, before training and after every epoch.
    """

    network: HashingNetwork
    is_paired: bool = True
    uses_outputs: bool = False

    @abstractmethod
    def groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Return the parameters and the learning rate of each group."""

    def turns(self, epoch: int) -> Sequence[Sequence[str]]:
        """Return the groups that are changed for a batch, turn by turn; by default all at once.

        Every turn is a forward pass and a step of the optimizer. The parameters of the other groups are frozen in it,
        and modules all of whose parameters are frozen are in eval mode. Epochs count from 1.
        """
        return [list(self.groups())]

    def rates(self, epoch: int) -> Mapping[str, float]:
        """Return factors of the learning rates of groups in an epoch, 1 where a group is not named."""
        return {}

    def begin_training(self, outputs: Callable[[], Outputs]) -> None:  # noqa: B027 - most have nothing to do
        """Prepare the first epoch; ``outputs()`` reads all rows and computes their outputs (n, n_bits)."""

    def end_epoch(self, epoch: int, outputs: Outputs) -> None:  # noqa: B027
        """Take the outputs (n, n_bits) of all rows, computed right after the step that learned each row.

        Rows held out have those at the end of the epoch. Called after every epoch if `uses_outputs`.
        """

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps beside the weights, such as codes that outputs approach."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take what ``state`` returned, on the CPU; raise a ValueError if it does not fit."""
        if state:
            raise ValueError(f"its objective must keep nothing, got {', '.join(state)}")

    @abstractmethod
    def losses(self, rows: Mapping[str, RowNumbers], encoded: Mapping[str, Encoded], epoch: int) -> dict[str, Tensor]:
        """Return the weighted terms of a batch's loss, which is their sum.

        `rows` are the numbers of the batch's rows by modality, `encoded` what the networks give for them in training
        mode: the whole batch, also where several processes share it. Called in float32, outside autocast.
        """

"""AlexNet: the image network of SDCH."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from pyhash._inputs.checks import check_bool, check_fraction, check_integer, check_real
from pyhash._inputs.paths import check_path
from pyhash.errors import ModelFormatError

if TYPE_CHECKING:
    from typing_extensions import Self

# Our layers, and where torchvision's state dict keeps their weights.
_CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
_IN_TORCHVISION = {
    **dict(zip(_CONVOLUTIONS, ("features.0", "features.3", "features.6", "features.8", "features.10"), strict=True)),
    "fc1": "classifier.1",
    "fc2": "classifier.4",
}
_KINDS = ("weight", "bias")
_CLASSES_OF_TORCHVISION = ("classifier.6.weight", "classifier.6.bias")
_NORMALIZATION_OF_TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# The map that fc1 reads, of a side of 6, whatever the picture's.
_SIDE = 6


class AlexNet(nn.Module):
    """The first seven layers of AlexNet (Krizhevsky et al., 2012), as SDCH has them for images (Table 1).

    Five convolutions and two fully connected layers, each with a ReLU. What makes features of SDCH's width of these,
    its img-fc3, is not among them.

    Parameters
    ----------
    channels : sequence of five int
        Filters of each convolution.
    width : int
        Outputs of each fully connected layer.
    local_response : bool
        Whether the first two convolutions are followed by local response normalisation.
    padding : int
        Zeros around the picture, 0 to 10: 0 in the paper, 2 in torchvision's AlexNet.
    dropout : float
        Share of inputs of each fully connected layer that training drops, in [0, 1).
    normalization : pair of three floats each, or None
        Mean and standard deviation of each colour, by which pictures are centred and scaled; by default they stay as
        they are.

    Attributes
    ----------
    conv1, conv2, conv3, conv4, conv5 : torch.nn.Conv2d
        The convolutions.
    fc1, fc2 : torch.nn.Linear
        The fully connected layers.
    least_size : int
        Height and width that pictures must at least have: 67 without padding.

    Raises
    ------
    TypeError
        If a parameter has another type.
    ValueError
        If a parameter is out of range.

    Notes
    -----
    Table 1 prints a stride of 4 for conv2 and of 0 for conv3 to conv5. Both are misprints of 1: only then do pictures
    of 227 x 227 reach fc1 as the 6 x 6 x 256 inputs that it takes in any trained AlexNet. Pictures of other sizes are
    brought to 6 x 6 by averages (or repetitions) after the last pool, which changes nothing at 227.

    A convolution is followed by ReLU, local response normalisation and pool, in this order. With the constants of
    AlexNet, the output a_i of filter i becomes ::

        a_i / (2 + 1e-4 m_i)^0.75

    where m_i is the mean of a_j^2 over the five filters around i, and those beyond the ends count as zeros. (The
    formula in print has the sum, the code with which AlexNet was trained divides it by five.) As in Table 1, and unlike
    in the original, no convolution is split in groups.

    References
    ----------
    The SDCH paper, Section 3.2 and Table 1. Alex Krizhevsky, Ilya Sutskever, Geoffrey E. Hinton: ImageNet
    Classification with Deep Convolutional Neural Networks. NIPS 2012.

    Examples
    --------
    >>> import torch
    >>> network = AlexNet(channels=(8, 8, 8, 8, 8), width=32).eval()
    >>> network(torch.rand(2, 3, 227, 227)).shape
    torch.Size([2, 32])
    >>> network.fc1.in_features == 6 * 6 * 8, network.least_size
    (True, 67)
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        *,
        channels: Sequence[int] = (96, 256, 384, 384, 256),
        width: int = 4096,
        local_response: bool = True,
        padding: int = 0,
        dropout: float = 0.5,
        normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.channels = _check_channels(channels)
        self.width = check_integer("width", width, 1)
        self.local_response = check_bool("local_response", local_response)
        self.padding = check_integer("padding", padding, 0, 10)
        self.dropout = check_fraction("dropout", dropout)
        self.normalization = _check_normalization(normalization)
        if self.normalization is not None:
            # Parameters, not weights: they come from the constructor, hence are not in the state dict.
            for name, values in zip(("mean", "std"), self.normalization, strict=True):
                self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)

        first, second, third, fourth, fifth = self.channels
        self.conv1 = nn.Conv2d(3, first, 11, stride=4, padding=self.padding)
        self.conv2 = nn.Conv2d(first, second, 5, padding=2)
        self.conv3 = nn.Conv2d(second, third, 3, padding=1)
        self.conv4 = nn.Conv2d(third, fourth, 3, padding=1)
        self.conv5 = nn.Conv2d(fourth, fifth, 3, padding=1)
        self.fc1 = nn.Linear(fifth * _SIDE * _SIDE, self.width)
        self.fc2 = nn.Linear(self.width, self.width)

    @property
    def least_size(self) -> int:
        """Height and width that pictures must at least have."""
        # The last pool takes 3 x 3 at least, so the one before it 7 x 7, the first 15 x 15, conv1 67 x 67.
        return 67 - 2 * self.padding

    @classmethod
    def from_torchvision(cls, path: str | os.PathLike[str], *, local_response: bool = False) -> Self:
        """Return the network with the weights that torchvision publishes for its AlexNet, from a file.

        Nothing is downloaded, and no code that a file holds is run. The network has torchvision's padding and
        normalisation, and the widths of the file.

        Parameters
        ----------
        path : path-like
            A state dict: of safetensors if the name ends in .safetensors, else as ``torch.save`` writes it. Its
            layer of classes, ``classifier.6``, is not used and may be missing.
        local_response : bool
            As in the constructor; these weights were learned without.

        Returns
        -------
        AlexNet
            In training mode, as any new module: call ``eval()`` before taking features.

        Raises
        ------
        ModelFormatError
            If the file is not such a state dict; the message names the wrong keys.
        OSError
            If the file cannot be read.
        ImportError
            If the file is one of safetensors, and safetensors is not installed.

        Examples
        --------
        >>> import pathlib, tempfile, torch
        >>> network = AlexNet(channels=(4, 6, 8, 6, 6), width=32)
        >>> places = {"conv1": "features.0", "conv2": "features.3", "conv3": "features.6", "conv4": "features.8"}
        >>> places |= {"conv5": "features.10", "fc1": "classifier.1", "fc2": "classifier.4"}
        >>> weights = {}
        >>> for name, tensor in network.state_dict().items():
        ...     layer, kind = name.split(".")
        ...     weights[f"{places[layer]}.{kind}"] = tensor
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "alexnet.pth"
        ...     torch.save(weights, path)
        ...     again = AlexNet.from_torchvision(path)
        >>> again.channels, again.width, again.padding
        ((4, 6, 8, 6, 6), 32, 2)
        """
        path = check_path("path", path)
        weights = _weights_from_torchvision(path, _read_state_dict(path))
        network = cls(
            channels=[_n_outputs(weights, layer) for layer in _CONVOLUTIONS],
            width=_n_outputs(weights, "fc1"),
            local_response=local_response,
            padding=2,
            normalization=_NORMALIZATION_OF_TORCHVISION,
        )
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:  # keys that are missing or too many, shapes that do not fit
            message = str(error)
            for layer, place in _IN_TORCHVISION.items():
                message = message.replace(f"{layer}.", f"{place}.")
            raise ModelFormatError(f"{path} is not a state dict of torchvision's AlexNet: {message}") from error
        return network

    def get_params(self) -> dict[str, Any]:
        """Return the constructor's parameters by name, as plain numbers and tuples.

        Returns
        -------
        dict
        """
        return {
            "channels": self.channels,
            "width": self.width,
            "local_response": self.local_response,
            "padding": self.padding,
            "dropout": self.dropout,
            "normalization": self.normalization,
        }

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return features of pictures.

        Parameters
        ----------
        pictures : Tensor of shape (n, 3, height, width), floating
            Red, green and blue in [0, 1]; taken to the dtype of the weights.

        Returns
        -------
        Tensor of shape (n, width)
            Not negative: the last step is a ReLU.

        Raises
        ------
        TypeError
            If the pictures are not a floating tensor.
        ValueError
            If the pictures have another shape.
        ValueError
            If the pictures are smaller than ``least_size``.
        """
        x = _check_pictures(pictures, self.least_size).to(self.conv1.weight.dtype)
        if self.normalization is not None:
            x = (x - self.mean) / self.std
        x = _pool(self._respond(functional.relu(self.conv1(x))))
        x = _pool(self._respond(functional.relu(self.conv2(x))))
        x = functional.relu(self.conv3(x))
        x = functional.relu(self.conv4(x))
        x = _pool(functional.relu(self.conv5(x)))
        x = functional.adaptive_avg_pool2d(x, (_SIDE, _SIDE)).flatten(1)
        for layer in (self.fc1, self.fc2):
            x = functional.relu(layer(functional.dropout(x, self.dropout, self.training)))
        return x

    def _respond(self, x: torch.Tensor) -> torch.Tensor:
        """Apply local response normalisation, if the network has it."""
        return functional.local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=2.0) if self.local_response else x


def _pool(x: torch.Tensor) -> torch.Tensor:
    """Apply the pool of Table 1: it overlaps, with kernel 3 and stride 2."""
    return functional.max_pool2d(x, kernel_size=3, stride=2)


def _check_channels(channels: object) -> tuple[int, ...]:
    """Return five numbers of filters."""
    if isinstance(channels, (str, bytes)) or not isinstance(channels, Sequence):
        raise TypeError(f"channels must be five integers, got {channels!r}")
    if len(channels) != 5:
        raise ValueError(f"channels must be five integers, got {len(channels)}")
    return tuple(check_integer(f"channels[{i}]", number, 1) for i, number in enumerate(channels))


def _check_normalization(normalization: object) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return None, or mean (>= 0) and standard deviation (> 0) of three colours."""
    if normalization is None:
        return None
    limits = "normalization must be None or a pair (mean, std) of three numbers each"
    if not isinstance(normalization, Sequence) or not all(
        isinstance(values, Sequence) and not isinstance(values, (str, bytes)) for values in normalization
    ):
        raise TypeError(f"{limits}, got {normalization!r}")
    if len(normalization) != 2 or any(len(values) != 3 for values in normalization):
        raise ValueError(f"{limits}, got {normalization!r}")
    mean, std = (
        tuple(check_real(f"normalization[{i}][{j}]", value, 0.0, exclusive=i == 1) for j, value in enumerate(values))
        for i, values in enumerate(normalization)
    )
    return mean, std


def _check_pictures(pictures: object, least_size: int) -> torch.Tensor:
    """Return pictures that are (n, 3, height, width), floating and large enough; raise for others."""
    if not isinstance(pictures, torch.Tensor):
        raise TypeError(f"pictures must be a floating tensor, got {type(pictures).__name__}")
    if not pictures.is_floating_point():
        raise TypeError(f"pictures must be a floating tensor with values in [0, 1], got dtype {pictures.dtype}")
    shape = tuple(pictures.shape)
    if len(shape) != 4 or shape[1] != 3:
        hint = "; one picture is picture[None]" if len(shape) == 3 and shape[0] == 3 else ""
        raise ValueError(f"pictures must have shape (n, 3, height, width), got {shape}{hint}")
    if min(shape[2:]) < least_size:
        raise ValueError(f"pictures must be at least {least_size} x {least_size}, got {shape[2]} x {shape[3]}")
    return pictures


def _read_state_dict(path: Path) -> Mapping[Any, Any]:
    """Return the content of a file of torch.save or safetensors, without running code of it."""
    is_safetensors = path.suffix == ".safetensors"
    if is_safetensors:
        try:
            from safetensors.torch import load
        except ImportError:
            raise ImportError(f'reading {path} needs safetensors: pip install "pyhash-crossmodal[deep]"') from None
    with open(path, "rb") as file:
        try:
            stored = load(file.read()) if is_safetensors else torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged files fail in many ways: zip, text, header, memory
            # Without torch's own message, which advises to let a file run its code.
            raise ModelFormatError(
                f"{path} is not a whole state dict: damaged, or it holds more than tensors ({type(error).__name__})"
            ) from None
    if not isinstance(stored, Mapping):
        raise ModelFormatError(f"{path} must hold a state dict, got {type(stored).__name__}")
    return stored


def _weights_from_torchvision(path: Path, stored: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """Return the weights, checked, under our names; others under the names that they have."""
    ours = {f"{place}.{kind}": f"{layer}.{kind}" for layer, place in _IN_TORCHVISION.items() for kind in _KINDS}
    weights = {}
    for key, tensor in stored.items():
        if key in _CLASSES_OF_TORCHVISION:
            continue
        # A file can also hold tensors that are sparse, or without values ("meta").
        is_dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and not tensor.is_meta
        if not is_dense or not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise ModelFormatError(f"{path}: {key!r} must be a dense tensor of finite floating values")
        weights[ours.get(key, str(key))] = tensor
    return weights


def _n_outputs(weights: Mapping[str, torch.Tensor], layer: str) -> int:
    """Return the outputs of a layer by its bias; 1 where there is none, which fits no weights."""
    bias = weights.get(f"{layer}.bias")
    return 1 if bias is None else max(1, bias.numel())

"""The encoder of one modality as a module of torch: from what the user has to projections."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyhash._inputs.checks import is_sparse
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import Input, InputSpec, TensorSpec, is_picture
from pyhash.methods.parts.feature_maps import MAPS, Centering, RBFAnchors, Standardizing, UnitLength
from pyhash.methods.parts.posterior import PosteriorEncoder


class EncoderModule(nn.Module):
    """Projections (n, n_bits) float32 of rows of one modality.

    Parameters
    ----------
    feature_map : feature map or None
        Fitted.
    network : HashingNetwork
        The networks of the modality, which become part of the module.
    modality : str
    spec : InputSpec
        What the rows are.
    posterior : PosteriorEncoder or None
        Without, projections are the outputs of the network.
    """

    def __init__(
        self,
        feature_map: Any,
        network: HashingNetwork,
        modality: str,
        spec: InputSpec,
        posterior: PosteriorEncoder | None,
    ) -> None:
        super().__init__()
        self.feature_map = _map_module(modality, feature_map)
        self.network = network
        self.expected_codes = None if posterior is None else _ExpectedCodes(posterior)
        self._modality = modality
        self._spec = spec

    def forward(self, x: Any) -> Tensor:
        """Return the projections of a tensor (n, ...), or of a dict of tensors."""
        features, outputs = self.network.encode(self._modality, self._mapped(_as_trained(x, self._spec)))
        return outputs.float() if self.expected_codes is None else self.expected_codes(features.float())

    def _mapped(self, x: Input) -> Input:
        if isinstance(x, Tensor):
            has_backbone = self._modality in self.network.backbones
            if self.feature_map is not None:
                mapped: Tensor = self.feature_map(x.flatten(1)).float()
                return mapped.reshape(x.shape) if has_backbone else mapped
            if not has_backbone:
                return x.flatten(1)
        return x


def _as_trained(x: Any, spec: InputSpec) -> Input:
    """Return inputs with the dtypes of training; pictures of 8 bits are scaled to [0, 1]."""
    if not isinstance(spec, TensorSpec):
        return {name: _as_trained(x[name], part) for name, part in spec.items()}
    tensor: Tensor = x
    if tensor.dtype == torch.uint8 and is_picture(tensor.shape):
        return tensor.float() / 255
    return tensor.to(spec.dtype)


# --- feature maps, in float64 as they are elsewhere -------------------------------------------------------------------


class _AffineMap(nn.Module):
    """Centering, and with a scale Standardizing."""

    mean: Tensor
    scale: Tensor | None

    def __init__(self, mean: NDArray[np.float64], scale: NDArray[np.float64] | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", None if scale is None else torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        centered = x.double() - self.mean
        return centered if self.scale is None else centered / self.scale


class _UnitLengthMap(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        # Squares of float32 are within float64's range, so rows need not be scaled by their largest value first.
        x = x.double()
        lengths = (x * x).sum(dim=1, keepdim=True).sqrt()
        return x / torch.where(lengths == 0, torch.ones_like(lengths), lengths)


class _RBFMap(nn.Module):
    anchors: Tensor
    squares: Tensor
    mean: Tensor

    def __init__(self, fitted: RBFAnchors) -> None:
        super().__init__()
        anchors: Any = fitted.anchors_
        self.register_buffer("anchors", torch.tensor(anchors.toarray() if is_sparse(anchors) else anchors).T)
        self.register_buffer("squares", (self.anchors * self.anchors).sum(dim=0))
        self.register_buffer("mean", torch.tensor(fitted.mean_))
        self._factor = -0.5 / fitted.width_**2

    def forward(self, x: Tensor) -> Tensor:
        x = x.double()
        distances = (x * x).sum(dim=1, keepdim=True) + self.squares - 2 * (x @ self.anchors)
        kernel = (self._factor * distances.relu()).exp()  # rounding makes some slightly negative
        return kernel - self.mean


def _map_module(modality: str, feature_map: Any) -> nn.Module | None:
    kind = type(feature_map)
    if feature_map is None:
        return None
    if kind is Centering:
        return _AffineMap(feature_map.mean_)
    if kind is Standardizing:
        return _AffineMap(feature_map.mean_, feature_map.scale_)
    if kind is UnitLength:
        return _UnitLengthMap()
    if kind is RBFAnchors:
        return _RBFMap(feature_map)
    raise TypeError(
        f"feature_maps[{modality!r}] must be one of {', '.join(MAPS)} to be part of a module, "
        f"got a {kind.__name__}; map the features before the model sees them"
    )


# --- the encoder "posterior" ------------------------------------------------------------------------------------------


class _ExpectedCodes(nn.Module):
    """A ``PosteriorEncoder`` on features without their column of 1."""

    weight: Tensor
    intercept: Tensor
    sets: Tensor | None
    bias: Tensor
    mean_codes: Tensor

    def __init__(self, posterior: PosteriorEncoder) -> None:
        super().__init__()
        # float64 whatever the features: which of both is needed cannot be asked in a graph.
        first, *rest = (torch.tensor(factor) for factor in posterior.factors[np.float64])
        self.register_buffer("weight", first[:-1])
        self.register_buffer("intercept", first[-1])
        self.register_buffer("sets", rest[0] if rest else None)
        self.register_buffer("bias", torch.tensor(posterior.bias))
        self.register_buffer("mean_codes", torch.tensor(posterior.mean_codes))

    def forward(self, features: Tensor) -> Tensor:
        logits = features.double() @ self.weight + self.intercept
        if self.sets is not None:
            logits = logits @ self.sets
        expected: Tensor = torch.softmax(logits.float() + self.bias, dim=1) @ self.mean_codes
        return expected

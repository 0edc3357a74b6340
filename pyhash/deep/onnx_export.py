"""Encoders as ONNX files: from a modality's features as the user has them to packed codes."""

from __future__ import annotations

import copy
import inspect
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

import pyhash
from pyhash._files.atomic import atomic_file
from pyhash._inputs.checks import is_sparse, n_bytes_of
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.methods.parts.feature_maps import MAPS, Centering, RBFAnchors, Standardizing, UnitLength
from pyhash.methods.parts.posterior import PosteriorEncoder

# The newest that the exporter of torch 2.2 has.
_OPSET = 17
# Rows that are traced, and those that the trace is tried on: another number, and neither is 1, which may broadcast.
_ROWS_TRACED, _ROWS_TRIED = 2, 3


def write_onnx(
    path: str | os.PathLike[str],
    network: HashingNetwork,
    modality: str,
    shape: tuple[int, ...],
    n_bits: int,
    feature_map: Any,
    posterior: PosteriorEncoder | None,
    properties: Mapping[str, str],
) -> None:
    """Write the encoder of a modality, atomically; `shape` is that of a row as the user gives it.

    Without `posterior` projections are the outputs of the network. Metadata are `properties` and what is known here of
    the version, the modality and its codes, with the prefix "pyhash.". Raises TypeError for a map that is not pyhash's,
    ValueError for a backbone that does not fit in such a file, and ImportError if onnx is not installed.
    """
    mapped = _map_module(modality, feature_map)
    try:
        import onnx
    except ImportError:
        raise ImportError(f'writing {path} needs onnx: pip install "pyhash-crossmodal[onnx]"') from None
    # A copy: a trace leaves marks, and the network may be on another device.
    encoder = _Encoder(mapped, copy.deepcopy(network).cpu(), modality, posterior, n_bits).eval()
    what = f"backbones[{modality!r}]" if modality in network.backbones else f"the network of {modality!r}"
    model = onnx.load_from_string(_exported(encoder, what, shape))
    known = {"version": pyhash.__version__, "modality": modality, "n_bits": str(n_bits)}
    onnx.helper.set_model_props(model, {f"pyhash.{name}": value for name, value in {**known, **properties}.items()})
    content = model.SerializeToString()
    with atomic_file(path) as file:
        file.write(content)


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


def _map_module(modality: str, feature_map: Any) -> nn.Module:
    kind = type(feature_map)
    if feature_map is None:
        return nn.Identity()
    if kind is Centering:
        return _AffineMap(feature_map.mean_)
    if kind is Standardizing:
        return _AffineMap(feature_map.mean_, feature_map.scale_)
    if kind is UnitLength:
        return _UnitLengthMap()
    if kind is RBFAnchors:
        return _RBFMap(feature_map)
    raise TypeError(
        f"feature_maps[{modality!r}] must be one of {', '.join(MAPS)} for an ONNX file, which holds no other code, "
        f"got a {kind.__name__}; map the features before the model sees them"
    )


# --- encoding ---------------------------------------------------------------------------------------------------------


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


class _Encoder(nn.Module):
    """Projections (n, n_bits) float32 and packed codes (n, ceil(n_bits / 8)) uint8 of rows as the user has them."""

    powers: Tensor

    def __init__(
        self,
        mapped: nn.Module,
        network: HashingNetwork,
        modality: str,
        posterior: PosteriorEncoder | None,
        n_bits: int,
    ) -> None:
        super().__init__()
        self._mapped = mapped
        self._network = network
        self._modality = modality
        self._expected = None if posterior is None else _ExpectedCodes(posterior)
        # Bits times this are bytes: in float32 exact, and a product that every runtime has.
        bits, powers = torch.arange(n_bits), torch.zeros(n_bits, n_bytes_of(n_bits))
        powers[bits, bits // 8] = 2.0 ** (bits % 8)
        self.register_buffer("powers", powers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, outputs = self._network.encode(self._modality, self._mapped(x.flatten(1)).float())
        projections = outputs.float() if self._expected is None else self._expected(features.float())
        return projections, ((projections > 0).float() @ self.powers).to(torch.uint8)


class _AdaptivePoolsAsProducts(TorchFunctionMode):
    """A mode in which adaptive averages are products with constant matrices.

    ONNX has no such operation, and torch exports it only where sizes divide each other and are still known.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.adaptive_avg_pool2d:
            return self._pool(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    @staticmethod
    def _pool(input: Tensor, output_size: Any) -> Tensor:
        height, width = (int(size) for size in input.shape[-2:])
        wanted = output_size if isinstance(output_size, Sequence) else (output_size, output_size)
        rows, columns = (_averages(n, n if m is None else int(m)) for n, m in zip((height, width), wanted, strict=True))
        return rows.to(input) @ input @ columns.to(input).T


def _averages(n: int, n_bins: int) -> Tensor:
    """Return the matrix (n_bins, n) of means over adaptive pooling's bins of n values; bins may overlap."""
    bins = torch.zeros(n_bins, n)
    for i in range(n_bins):
        begin, end = i * n // n_bins, -(-(i + 1) * n // n_bins)
        bins[i, begin:end] = 1 / (end - begin)
    return bins


# --- the export -------------------------------------------------------------------------------------------------------


def _exported(encoder: nn.Module, what: str, shape: tuple[int, ...]) -> bytes:
    """Return an ONNX model for any number of rows; `what` names the network in errors.

    By torch's exporter of traces: every version has it, and it takes a fraction of the other's time.
    """
    # Before torch 2.5 there was no other to choose.
    chosen: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    rng = torch.Generator().manual_seed(0)
    few, more = (torch.rand((n, *shape), generator=rng) for n in (_ROWS_TRACED, _ROWS_TRIED))
    names, content = ("x", "projections", "codes"), io.BytesIO()
    with torch.no_grad(), _without_torch_warnings():
        try:
            with _AdaptivePoolsAsProducts():
                traced: Any = torch.jit.trace(encoder, (few,), check_trace=False)  # type: ignore[no-untyped-call]
            _check_trace(traced, encoder, what, more)
            with _AdaptivePoolsAsProducts():
                torch.onnx.export(
                    encoder,
                    (few,),
                    content,  # type: ignore[arg-type]  # what every version takes, and none says
                    input_names=names[:1],
                    output_names=names[1:],
                    dynamic_axes={name: {0: "n"} for name in names},
                    opset_version=_OPSET,
                    **chosen,
                )
        except RuntimeError as error:  # such as an operation that ONNX does not have
            raise ValueError(f"{what} must be one that an ONNX file can hold: {_first_line(error)}") from error
    return content.getvalue()


def _check_trace(traced: nn.Module, encoder: nn.Module, what: str, rows: Tensor) -> None:
    """Raise a ValueError if a trace holds the number of rows, or something that depends on values, as a constant."""
    expected, _ = encoder(rows)
    try:
        found, _ = traced(rows)
        reason = None if torch.allclose(found, expected, rtol=1e-4, atol=1e-4) else "its trace gives other projections"
    except RuntimeError as error:
        reason = _first_line(error)
    if reason is not None:
        raise ValueError(
            f"{what} must do the same for any number of rows and any values, and ask for their number by x.shape[0] "
            f"instead of len(x): {reason}"
        )


def _first_line(error: Exception) -> str:
    """Return the first line of an error of torch, without its position in graph and sources."""
    said = str(error).partition("[Caused by")[0]
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)


@contextmanager
def _without_torch_warnings() -> Iterator[None]:
    """Silence torch's warnings of its own exporter, and of what ``_check_trace`` checks, within the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        for message in (".*TorchScript-based ONNX export", ".*torch.jit.trace"):
            warnings.filterwarnings("ignore", message)
        warnings.filterwarnings("ignore", module=r"torch\.(onnx|jit)\.")
        yield

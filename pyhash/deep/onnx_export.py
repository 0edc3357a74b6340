"""Encoders as ONNX files: from a modality's features as the user has them to packed codes."""

from __future__ import annotations

import inspect
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pyhash._files.onnx_file import import_onnx, write_model
from pyhash._inputs.checks import n_bytes_of
from pyhash.deep.encoder_module import EncoderModule
from pyhash.deep.networks.inputs import Input, InputSpec, TensorSpec

# The newest that the exporter of torch 2.2 has.
_OPSET = 17
# Rows that are traced, and those that the trace is tried on: another number, and neither is 1, which may broadcast.
_ROWS_TRACED, _ROWS_TRIED = 2, 3
_OUTPUTS = ("projections", "codes")


def write_onnx(
    path: str | os.PathLike[str],
    encoder: EncoderModule,
    what: str,
    spec: InputSpec,
    n_bits: int,
    properties: Mapping[str, str],
) -> None:
    """Write an encoder, atomically; `what` names its network in errors, `spec` is of its inputs.

    Metadata are `properties`, the version and the length of codes, with the prefix "pyhash.". Raises ValueError for a
    backbone that does not fit in such a file, and ImportError if onnx is not installed.
    """
    onnx = import_onnx(path)
    model = onnx.load_from_string(_exported(_WithCodes(encoder, spec, n_bits).eval(), what, _named(spec)))
    write_model(path, model, {"n_bits": str(n_bits), **properties})


class _WithCodes(nn.Module):
    """Projections (n, n_bits) float32 and packed codes (n, ceil(n_bits / 8)) uint8, of tensors one after another."""

    powers: Tensor

    def __init__(self, encoder: EncoderModule, spec: InputSpec, n_bits: int) -> None:
        super().__init__()
        self._encoder = encoder
        self._spec = spec
        # Bits times this are bytes: in float32 exact, and a product that every runtime has.
        bits, powers = torch.arange(n_bits), torch.zeros(n_bits, n_bytes_of(n_bits))
        powers[bits, bits // 8] = 2.0 ** (bits % 8)
        self.register_buffer("powers", powers)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        projections = self._encoder(_structured(iter(tensors), self._spec))
        return projections, ((projections > 0).float() @ self.powers).to(torch.uint8)


def _structured(tensors: Iterator[Tensor], spec: InputSpec) -> Input:
    """Return an input made of its tensors."""
    if isinstance(spec, TensorSpec):
        return next(tensors)
    return {name: _structured(tensors, part) for name, part in spec.items()}


def _named(spec: InputSpec, name: str = "") -> dict[str, TensorSpec]:
    """Return the specifications of all tensors by the names of inputs: "x", or the keys of a dict."""
    if isinstance(spec, TensorSpec):
        return {name or "x": spec}
    found = [_named(part, f"{name}.{key}" if name else key) for key, part in spec.items()]
    return {key: part for each in found for key, part in each.items()}


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


def _exported(encoder: nn.Module, what: str, inputs: Mapping[str, TensorSpec]) -> bytes:
    """Return an ONNX model for any number of rows; `what` names the network in errors.

    By torch's exporter of traces: every version has it, and it takes a fraction of the other's time.
    """
    # Before torch 2.5 there was no other to choose.
    chosen: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    rng = torch.Generator().manual_seed(0)
    few, more = (tuple(_some_rows(spec, n, rng) for spec in inputs.values()) for n in (_ROWS_TRACED, _ROWS_TRIED))
    content = io.BytesIO()
    axes: dict[str, dict[int, str]] = {name: {0: "n"} for name in (*inputs, *_OUTPUTS)}
    for name, spec in inputs.items():
        axes[name] |= {i: f"axis{i}" for i in range(1, 1 + len(spec.shape)) if spec.has_any_length}
    with torch.no_grad(), _without_torch_warnings():
        try:
            with _AdaptivePoolsAsProducts():
                traced: Any = torch.jit.trace(encoder, few, check_trace=False)  # type: ignore[no-untyped-call]
            _check_trace(traced, encoder, what, more)
            with _AdaptivePoolsAsProducts():
                torch.onnx.export(
                    encoder,
                    few,
                    content,  # type: ignore[arg-type]  # what every version takes, and none says
                    input_names=list(inputs),
                    output_names=list(_OUTPUTS),
                    dynamic_axes=axes,
                    opset_version=_OPSET,
                    **chosen,
                )
        except RuntimeError as error:  # such as an operation that ONNX does not have
            raise ValueError(f"{what} must be one that an ONNX file can hold: {_first_line(error)}") from error
    return content.getvalue()


def _some_rows(spec: TensorSpec, n: int, rng: torch.Generator) -> Tensor:
    """Return rows of random numbers, or of ones: every vocabulary has a token of this number."""
    if spec.dtype.is_floating_point:
        return torch.rand((n, *spec.shape), generator=rng)
    return torch.ones((n, *spec.shape), dtype=spec.dtype)


def _check_trace(traced: nn.Module, encoder: nn.Module, what: str, rows: tuple[Tensor, ...]) -> None:
    """Raise a ValueError if a trace holds the number of rows, or something that depends on values, as a constant."""
    expected, _ = encoder(*rows)
    try:
        found, _ = traced(*rows)
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

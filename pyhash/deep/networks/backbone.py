"""What backbones, networks of the user's, make of their inputs."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pyhash.deep.networks.inputs import Input, InputSpec, TensorSpec, map_tensors, spec_of, tensors_of


def embedded(backbone: nn.Module, x: Input) -> Tensor:
    """Return the features (n, d) float32 that a backbone makes of inputs.

    Floating inputs get the dtype of its weights. A dict is passed as keywords if the module takes all of them, else as
    one dict. Of an output of Hugging Face's models, ``pooler_output`` is taken.
    """
    dtype = next((p.dtype for p in backbone.parameters() if p.is_floating_point()), torch.float32)
    x = map_tensors(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, x)
    found = backbone(**x) if isinstance(x, dict) and _takes_keywords(backbone, x) else backbone(x)
    found = getattr(found, "pooler_output", found)
    if not isinstance(found, Tensor):
        raise TypeError(f"it gives {type(found).__name__}; wrap it in a module that gives a tensor (n, ...)")
    return found.flatten(1).float()


def _takes_keywords(module: nn.Module, names: Collection[str]) -> bool:
    parameters = inspect.signature(module.forward).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds or all(name in parameters for name in names)


def embedded_width(modality: str, backbone: nn.Module, first: Input) -> int:
    """Return the number of features that a backbone gives, by running it on the first row."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _in_eval_mode(backbone):
            # Two rows: one may lose its axis.
            found = embedded(backbone, map_tensors(lambda tensor: torch.cat([tensor, tensor]), first))
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"backbones[{modality!r}] must take {_described(first)} and give features, a row for each row: {said}"
        ) from error
    if found.ndim != 2 or len(found) != 2 or found.shape[1] == 0:
        raise ValueError(
            f"backbones[{modality!r}] must give features, a row for each row, got shape {tuple(found.shape)} for two"
        )
    return int(found.shape[1])


def zero_row(spec: InputSpec) -> Input:
    """Return a row of zeros."""
    if isinstance(spec, TensorSpec):
        return torch.zeros(1, *spec.shape, dtype=spec.dtype)
    return {name: zero_row(part) for name, part in spec.items()}


def _described(x: Input) -> str:
    if isinstance(x, dict):
        return f"a dict with {', '.join(f'{name!r}: {_described(part)}' for name, part in x.items())}"
    dtype = str(tensors_of(x)[0].dtype).removeprefix("torch.")
    spec = spec_of(tensors_of(x)[0])
    lengths = spec.shape if isinstance(spec, TensorSpec) else ()
    shape = ", ".join(["n", *map(str, lengths)])
    return f"rows of shape ({shape})" + ("" if dtype == "float32" else f" and dtype {dtype}")


@contextmanager
def _in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode within the block, and every module of it in its own mode after."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode

"""Models by name, such as "lemon+rbf", with parameters that suit each other."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from pyhash._inputs.checks import check_integer, check_n_bits, is_sparse
from pyhash._inputs.frames import is_sparse_frame
from pyhash.methods.contract import HashingMethod
from pyhash.methods.parts.feature_maps import RBFAnchors
from pyhash.methods.registry import METHODS, method_class

__all__ = ["METHOD_NAMES", "RECOMMENDED", "make_method"]

METHOD_NAMES = METHODS.keys()  # a view, which sees methods that join later
_ENCODERS = ("posterior", "bayes", "auto")
_FORM = "METHOD[/VARIANT][+rbf|+instance][+posterior|+bayes|+auto]"

_N_ANCHORS = 1500
_XI_OF_KERNELS = 0.01

# Class bits of codes with instance bits: 3 of 8, and no more than so many, which tell hundreds of classes.
_MOST_CLASS_BITS = 32

# What to use unless there is a reason for another: the best mAP on the built-in data, both ways.
RECOMMENDED = "boch"


def make_method(
    name: str,
    *,
    n_bits: int,
    seed: int = 0,
    views: Mapping[str, Any] | None = None,
    hierarchy: Sequence[ArrayLike] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> HashingMethod:
    """Return a new model by the name of its method, such as ``"lemon"`` or ``"lemon+rbf+posterior"``.

    Parameters
    ----------
    name : str
        One of ``METHOD_NAMES``, with the method's own defaults; then, in this order,

        - ``/VARIANT``: one of the method's ``variants``, such as the ablations of its paper: ``"shoh/hard-labels"``;
        - ``+rbf``: dense views go through 1500 radial basis functions, ``RBFAnchors(1500,
          width="mean_squared_distance", centered=True)``, and methods with a parameter `xi` have 0.01 for these views.
          Sparse views keep the method's default map and `xi`. Not for BOCH, whose own map of dense views is a kernel;
        - ``+instance``, for BOCH: 3 of 8 bits, at most 32, are class bits, the others instance bits, which tell things
          of one class apart;
        - ``+posterior``, ``+bayes`` or ``+auto``: the encoder of queries; for supervised methods.
    n_bits : int
        Code length in bits.
    seed : int
        Seed of the method, if it has one, and of the anchors.
    views : mapping of str to array_like or scipy.sparse of shape (n, n_features), optional
        The views that the model will learn; only ``+rbf`` needs them, to tell dense views from sparse ones.
    hierarchy : sequence of array_like, optional
        For methods that take one; see ``SHOH``. Others ignore it.
    parameters : mapping of str to object, optional
        Further parameters of the method; they take precedence over all others. Those of a parameter have its name and
        two underscores first, as in ``set_params``: ``{"training__epochs": 5}``, for deep methods.

    Returns
    -------
    HashingMethod
        A model that has not learned yet.

    Raises
    ------
    TypeError
        If name is not a string, or n_bits or seed is not an integer.
    TypeError
        If `parameters` is not a mapping.
    ImportError
        If the method is a deep one, and torch is not installed.
    ValueError
        If the name is unknown, or its parts are in another order.
    ValueError
        If the method has no such variant, or no such parameter.
    ValueError
        If n_bits or seed is out of range.
    ValueError
        If the method learns without labels and the name has an encoder.
    ValueError
        If the name has ``+rbf`` and no view is dense, or the method is BOCH.
    ValueError
        If the name has ``+instance`` and the method is another, or n_bits is 1.

    Notes
    -----
    SEOCH has no `xi`: the ridge of its projections is ``alpha / lambda_m``, and `lambda_m` also weighs the modality's
    fit while codes are learned. ``+rbf`` sets `lambda_m` of dense views to ``alpha / 0.01``, hence their ridge to 0.01.
    Methods with neither (SCM-seq and those without labels) have the map alone.

    Examples
    --------
    >>> make_method("lemon", n_bits=16, seed=3)
    LEMON(n_bits=16, seed=3)
    >>> model = make_method("lemon+rbf+auto", n_bits=16, views={"image": [[0.5, 1.0]]})
    >>> model.xi, model.encoder
    ({'image': 0.01}, 'auto')
    >>> make_method("lemon", n_bits=16, parameters={"alpha": 10.0})
    LEMON(n_bits=16, alpha=10.0)
    """
    base, variant, suffix, encoder = parse_name("name", name)
    method = method_class(base)
    takes = inspect.signature(method).parameters
    chosen: dict[str, Any] = {"n_bits": check_n_bits(n_bits)}
    seed = check_integer("seed", seed, 0)
    if "seed" in takes:
        chosen["seed"] = seed
    if "hierarchy" in takes and hierarchy is not None:
        chosen["hierarchy"] = hierarchy
    if encoder is not None:
        if not method.is_supervised:
            raise ValueError(f"name must be without +{encoder} for {base}, which learns without labels, got {name!r}")
        chosen["encoder"] = encoder
    if suffix == "instance":
        if base != "boch":
            raise ValueError(f"name must be without +instance for {base}, only boch has instance bits, got {name!r}")
        if n_bits < 2:
            raise ValueError(f"n_bits must be at least 2 for {name!r}, a class bit and an instance bit, got {n_bits}")
        chosen["class_bits"] = max(1, min(_MOST_CLASS_BITS, 3 * n_bits // 8))
    if suffix == "rbf":
        if base == "boch":
            raise ValueError(
                f"name must be without +rbf for boch, which maps dense views to kernels itself, got {name!r}"
            )
        chosen |= _kernel_parameters(name, takes, views, seed)
    own, nested = _check_parameters(base, parameters, takes)
    return method(**chosen | _parameters_of(name, base, method, variant) | own).set_params(**nested)


def parse_name(argument: str, name: object) -> tuple[str, str | None, str | None, str | None]:
    """Return the method, its variant, "rbf" or "instance", and the encoder that a name has; errors name `argument`."""
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be a string, got {type(name).__name__}")
    first, *suffixes = name.split("+")
    base, slash, variant = first.partition("/")
    if base not in METHODS:
        close = difflib.get_close_matches(base.lower(), list(METHODS), 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{argument} must begin with one of {', '.join(METHOD_NAMES)}, got {base!r}{hint}")
    suffix = suffixes.pop(0) if suffixes and suffixes[0] in ("rbf", "instance") else None
    if len(suffixes) > 1 or not set(suffixes) <= set(_ENCODERS):
        raise ValueError(f"{argument} must be {_FORM}, got {name!r}")
    return base, variant if slash else None, suffix, suffixes[0] if suffixes else None


def _parameters_of(name: str, base: str, method: type[HashingMethod], variant: str | None) -> dict[str, Any]:
    """Return the parameters that a variant sets."""
    if variant is None:
        return {}
    if variant not in method.variants:
        known = ", ".join(method.variants) or "none"
        raise ValueError(f"name must have one of the variants of {base}, which are: {known}; got {name!r}")
    return dict(method.variants[variant])


def _check_parameters(base: str, parameters: object, takes: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the user's parameters by name: those of the method, and those of these."""
    if parameters is None:
        return {}, {}
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters must be a mapping of names to values, got {type(parameters).__name__}")
    own: dict[str, Any] = {}
    nested: dict[str, Any] = {}
    for parameter, value in parameters.items():
        first, is_nested, _ = str(parameter).partition("__")
        if first not in takes or first in ("n_bits", "seed"):
            free = ", ".join(known for known in takes if known not in ("n_bits", "seed"))
            raise ValueError(f"parameters must be among those of {base}, {free}; got {parameter!r}")
        (nested if is_nested else own)[parameter] = value
    return own, nested


def _kernel_parameters(
    name: str, takes: Mapping[str, inspect.Parameter], views: Mapping[str, Any] | None, seed: int
) -> dict[str, Any]:
    """Return feature maps of the dense views, and a ridge that suits them."""
    if views is None:
        raise ValueError(f"views must be given for {name!r}: +rbf maps those that are dense")
    dense = [view for view, rows in views.items() if not (is_sparse(rows) or is_sparse_frame(rows))]
    if not dense:
        raise ValueError(f"views must have a dense one for {name!r}, all are sparse: {', '.join(views) or 'none'}")
    feature_map = RBFAnchors(_N_ANCHORS, width="mean_squared_distance", centered=True, seed=seed)
    chosen: dict[str, Any] = {"feature_maps": dict.fromkeys(dense, feature_map)}
    for ridge, of_kernels in (("xi", _XI_OF_KERNELS), ("lambda_m", _lambda_of_kernels(takes))):
        if ridge in takes:
            default = takes[ridge].default
            chosen[ridge] = {view: of_kernels if view in dense else default for view in views}
    return chosen


def _lambda_of_kernels(takes: Mapping[str, inspect.Parameter]) -> float | None:
    return takes["alpha"].default / _XI_OF_KERNELS if "lambda_m" in takes else None

"""Codes of dask arrays."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_numeric, n_bytes_of, shape_of_features
from pyhash.distributed.row_errors import name_block
from pyhash.distributed.row_pieces import aligned, check_dask_rows
from pyhash.methods.contract import HashingMethod, check_modality
from pyhash.methods.linear import LinearMethod
from pyhash.methods.parts.feature_maps import row_blocks

if TYPE_CHECKING:
    from dask.array import Array

# More rows than any block has.
_MANY = 1 << 40


def encode(model: HashingMethod, X: Array, *, modality: str) -> Array:
    """Return the packed codes of samples of one modality as a dask array, which is computed when it is needed.

    Parameters
    ----------
    model : fitted method
        Any method of pyhash; its state is sent once to each worker, without the sums that only learning needs.
    X : dask.array.Array of shape (n, n_features)
        Real and finite; blocks may be dense or of scipy.sparse. The sizes of the blocks must be known.
    modality : str
        One of the modalities learned.

    Returns
    -------
    dask.array.Array of shape (n, ceil(n_bits / 8)), uint8
        Equal to ``model.encode(x, modality=modality)`` of the whole array: blocks start where those of that call
        start, so they may differ a little from those of X.

    Raises
    ------
    NotFittedError
        If nothing was learned yet.
    TypeError
        If `model` is not a method, or X not a dask array that holds numbers.
    ValueError
        If the modality is unknown.
    ValueError
        If X has another number of columns than the learned modality, or blocks of unknown sizes.
    ValueError
        When the codes are computed: if X has values that are not finite, or too large to be projected.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> from pyhash import LEMON, distributed
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((1000, 4))
    >>> model = LEMON(n_bits=16).fit({"image": x}, np.arange(1000) % 3)
    >>> codes = distributed.encode(model, da.from_array(x, chunks=(400, -1)), modality="image")
    >>> codes.shape, bool((codes.compute() == model.encode(x, modality="image")).all())
    ((1000, 2), True)
    """
    from dask import delayed

    if not isinstance(model, HashingMethod):
        raise TypeError(f"model must be a method of pyhash, got {type(model).__name__}")
    state = model._fitted_state()
    check_modality(state, modality)
    rows = check_dask_rows("X", X)
    n, _ = shape_of_features("X", cast("NDArray[Any]", rows), state.n_features[modality])
    check_numeric("X", cast("NDArray[Any]", rows))
    n_bytes = n_bytes_of(model._n_bits_of(state))
    sizes = aligned(rows.chunks[0], _rows_at_a_time(model, modality)) if n else (0,)
    codes: Array = rows.rechunk((sizes, -1)).map_blocks(
        _encode_block,
        # Sent as one task, not with each block.
        model=delayed(_for_encoding(model, modality), pure=False),
        modality=modality,
        dtype=np.uint8,
        chunks=(sizes, (n_bytes,)),
        meta=np.empty((0, 0), dtype=np.uint8),
        name="encode",
    )
    return codes


def _encode_block(
    rows: Any, model: HashingMethod, modality: str, block_info: dict[int, dict[str, Any]]
) -> NDArray[np.uint8]:
    first, last = block_info[0]["array-location"][0]
    with name_block("X", first, last):
        return model.encode(rows, modality=modality)


def _rows_at_a_time(model: HashingMethod, modality: str) -> int:
    """Return how many rows ``encode`` projects at a time: products of other rows may round in another way."""
    state, n_sets = model._fitted_state(), 0
    if isinstance(model, LinearMethod) and model._encoder_of(modality) != "bits":
        n_sets = len(state.label_sets.counts)
    return len(range(*next(row_blocks(_MANY, n_sets)).indices(_MANY)))


def _for_encoding(model: HashingMethod, modality: str) -> HashingMethod:
    """Return a copy of a model that encodes a modality, without codes and, for linear methods, without sums X'X."""
    light = copy.copy(model)
    light._codes = None
    if isinstance(model, LinearMethod):
        state = model._fitted_state()
        model.project(np.zeros((1, state.n_features[modality])), modality=modality)  # solves all that is needed
        light._state = replace(
            state,
            sums={name: replace(sums, XX=np.zeros((0, 0))) for name, sums in state.sums.items()},
            unlabelled={},
            history=(),
            solvers={},
        )
    return light

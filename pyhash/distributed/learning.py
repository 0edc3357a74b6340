"""Learning from data on a cluster: codes from labels alone, then sums over features, which add up in any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyhash.distributed.chunk_sources import make_source
from pyhash.distributed.cluster import check_client, compute
from pyhash.distributed.held_back import calibrated, rows_held_back
from pyhash.distributed.label_pass import read_labels
from pyhash.distributed.map_pass import fit_maps
from pyhash.distributed.reduction import Plan, learn_stream
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.origins import Origins

if TYPE_CHECKING:
    from dask.array import Array
    from distributed import Client

    from pyhash.methods.linear import Settings

MethodT = TypeVar("MethodT", bound=OnlineMethod[Any, Any])


def fit(
    model: MethodT,
    views: Mapping[str, Array] | Sequence[Callable[[], Any]],
    labels: Any = None,
    client: Client | None = None,
    *,
    present: Mapping[str, Any] | None = None,
    chunk_size: int = 2000,
) -> MethodT:
    """Learn whole data from scratch on a cluster, with the codes that ``model.fit`` gives on one machine.

    Parameters
    ----------
    model : LEMON, SHOH or BOCH
        A method whose codes depend on labels alone. What it has learned before is replaced.
    views : mapping of str to dask.array.Array of shape (n, n_features), or list of functions
        Features of each modality, rows aligned, in blocks of known sizes, dense or of scipy.sparse. Or functions
        without arguments, one a chunk, in the order of the stream: each returns ``(views, labels)`` or ``(views,
        labels, present)`` of its chunk, as ``partial_fit`` takes them, and the same again whenever it is called.
    labels : array_like or dask.array.Array, or list of them
        Labels of all rows, as the class of the model describes them; None with functions.
    client : distributed.Client, optional
        By default what Dask chooses: the current client, else threads of this process.
    present : mapping of str to array_like or dask.array.Array of shape (n,), bool, optional
        Rows that have a modality, as for ``partial_fit``; None with functions.
    chunk_size : int
        Rows of a chunk, however the arrays are divided into blocks. Functions give chunks as they are.

    Returns
    -------
    model
        ``codes_`` holds the codes of all rows.

    Raises
    ------
    TypeError
        If `model` is not a method that learns a stream.
    ValueError
        If codes depend on features: for other methods, instance bits, and ``noise``; or if ``encoder="auto"``.
    TypeError
        If `views` is neither a mapping of dask arrays nor a list of functions, or `client` no client that waits.
    TypeError, ValueError
        As ``model.fit``; the model is unchanged, as for every error.
    ValueError
        If a row has no label, or an array has blocks of unknown sizes.
    ClusterError
        If the cluster lost its scheduler, or its workers died again and again.

    Notes
    -----
    The maps are fitted on the first chunk. Maps that grow take on all their anchors first, those of ``model.fit``, and
    every row is mapped to all of them: sums that one machine completes are then exact, so projections differ. For maps
    that do not grow they agree to about 1e-15, relative. Up to 500 rows, drawn from the whole stream, calibrate the
    encoder "bayes": the sums less these rows predict them. Which rows are summed up together depends on the chunks
    alone, so nothing depends on workers and blocks.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> from pyhash import LEMON, distributed
    >>> rng = np.random.default_rng(0)
    >>> x, labels = rng.standard_normal((1000, 4)), np.arange(1000) % 3
    >>> views = {"image": da.from_array(x, chunks=(300, -1))}
    >>> model = distributed.fit(LEMON(n_bits=16), views, labels, chunk_size=500)
    >>> bool((model.codes_ == LEMON(n_bits=16).fit({"image": x}, labels, chunk_size=500).codes_).all())
    True
    """
    client = check_client(client)
    if not isinstance(model, OnlineMethod):
        raise TypeError(f"model must be a method that learns a stream, got {type(model).__name__}")
    source = make_source(views, labels, present, chunk_size, client)
    settings = model._settings(list(source.n_features))
    _check_settings(model, settings)
    settings, labels_of_chunks = read_labels(model, settings, source)
    unfitted = type(model)(**model.get_params())  # to be sent
    maps = fit_maps(unfitted, settings, source, labels_of_chunks[0], client)
    held = rows_held_back(settings, labels_of_chunks, maps) if model._calibrates(settings) else None
    plan = Plan.of(unfitted, settings, maps.state, labels_of_chunks)
    state, codes, sums, rows = compute(tuple(learn_stream(plan, source, labels_of_chunks, held)), client)
    # Every row was mapped to all anchors.
    n = sum(source.n_rows)
    origins = {name: Origins.of_anchors(maps.anchors[name]).with_rows(n) for name in state.origins}
    state = replace(state, maps=maps.state.maps, origins=origins, **vars(sums))
    codes = np.concatenate([of_chunk for of_task in codes for of_chunk in of_task])
    if rows:
        with model._computable():
            state = calibrated(settings, state, [of_chunk for of_task in rows for of_chunk in of_task], codes, maps)
    model._take(state, codes, None)
    return model


def _check_settings(model: OnlineMethod[Any, Any], settings: Settings) -> None:
    """Raise ValueError if codes, or the choice of the encoder, depend on features."""
    reason = model._why_codes_need_features(settings)
    if reason is not None:
        raise ValueError(f"model must have codes that depend on labels alone, to be learned on a cluster: {reason}")
    if settings.encoder == "auto":
        raise ValueError(
            "encoder must not be 'auto' on a cluster: it is chosen by trying encoders on each chunk before the next is "
            "learned; choose among 'bits', 'posterior' and 'bayes' on rows held out"
        )

"""Learning and encoding of raw items: features are made chunk by chunk where the method allows it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.chunks import cut
from pyhash._inputs.labels import name_rows
from pyhash.encoders.progress_bar import progress_bar
from pyhash.methods.contract import HashingMethod
from pyhash.methods.online import OnlineMethod
from pyhash.methods.parts.hierarchy import label_layers
from pyhash.methods.recipes import make_method
from pyhash.retriever.encoder_set import EncoderSet
from pyhash.retriever.item_rows import ItemRows, spread

if TYPE_CHECKING:
    from pyhash._inputs.checks import Features

# Rows whose features are made at once where they are only encoded.
_BLOCK = 2048

Views = dict[str, Any]
NewModel = Callable[[Mapping[str, Any]], HashingMethod]


def unfitted(method: HashingMethod) -> HashingMethod:
    """Return a model with the same parameters that has not learned."""
    return type(method)(**method.get_params())


def named_model(name: str, n_bits: int, seed: int, parameters: Mapping[str, Any] | None) -> NewModel:
    """Return a function of the first views to a new model."""
    return lambda views: make_method(name, n_bits=n_bits, seed=seed, views=views, parameters=parameters)


def learn(
    new_model: NewModel,
    encoders: EncoderSet,
    rows: ItemRows,
    labels: Any,
    *,
    chunk_size: int,
    batch_size: int,
    progress: bool,
) -> tuple[HashingMethod, NDArray[np.uint8]]:
    """Return a model that has learned items from scratch, and their codes."""
    first = cut(rows.n, chunk_size)[0]
    views, present = _views(encoders, rows, first, batch_size, list(rows.items))
    model = new_model(views)
    if isinstance(model, OnlineMethod):
        layers = labels_by_row(model, labels, rows.n)
        packed = []
        with progress_bar(progress, "learn", rows.n) as bar:
            for chunk in cut(rows.n, chunk_size):
                if chunk.start:
                    views, present = _views(encoders, rows, chunk, batch_size, list(model.modalities_))
                model.partial_fit(views, layers(chunk), present=present)
                packed.append(model.codes_)
                bar.update(chunk.stop - chunk.start)
        return model, np.concatenate(packed)
    for name in rows.items:
        lacking = np.flatnonzero(~rows.has(name))
        if lacking.size:
            raise ValueError(
                f"items[{name!r}] must have one in every row for {type(model).__name__}, which learns whole data, none "
                f"in {name_rows(lacking)}"
            )
    if first.stop < rows.n:
        views = {name: encoders.features(name, rows, slice(0, rows.n), batch_size, progress) for name in rows.items}
    takes_progress = "progress" in inspect.signature(model.fit).parameters
    model.fit(views, labels, **({"progress": progress} if takes_progress else {}))
    return model, model.codes_


def learn_further(
    model: OnlineMethod[Any, Any], encoders: EncoderSet, rows: ItemRows, labels: Any, batch_size: int
) -> tuple[HashingMethod, NDArray[np.uint8]]:
    """Return a model that has learned one more chunk of items, and their codes."""
    for name in rows.items:
        if name not in model.modalities_:
            learned = ", ".join(map(repr, model.modalities_))
            raise ValueError(f"items must be of the modalities that were learned first, {learned}, got {name!r}")
    views, present = _views(encoders, rows, slice(0, rows.n), batch_size, list(model.modalities_))
    further = copy.copy(model)  # it shares what was learned, which no model changes: it replaces it
    further.partial_fit(views, labels, present=present)
    return further, further.codes_


def labels_by_row(model: HashingMethod, labels: Any, n: int) -> Callable[[slice], Any]:
    """Return a function of rows to their labels, which were checked to be of n rows."""
    if not model.is_supervised:
        return lambda rows: None
    if labels is None:
        raise TypeError(f"labels must be given: {type(model).__name__} learns from them")
    hierarchy = getattr(model, "hierarchy", None)
    layers = label_layers(labels, 1 if hierarchy is None else len(hierarchy) + 1, n)
    return lambda rows: layers[0][rows] if len(layers) == 1 else [layer[rows] for layer in layers]


def encoded(
    model: HashingMethod, encoders: EncoderSet, rows: ItemRows, batch_size: int, progress: bool = False
) -> NDArray[np.uint8]:
    """Return the packed codes (n, n_bytes) of items, each from the modalities that it has."""

    def of_views(views: Views) -> NDArray[np.uint8]:
        if len(views) > 1:
            return model.encode_fused(views)
        ((name, X),) = views.items()
        return model.encode(X, modality=name)

    return _by_block(of_views, encoders, rows, batch_size, progress)


def projected(
    model: HashingMethod, encoders: EncoderSet, rows: ItemRows, batch_size: int, progress: bool = False
) -> NDArray[np.float32]:
    """Return the projections (n, n_bits) of items, each from the modalities that it has."""

    def of_views(views: Views) -> NDArray[np.float32]:
        if len(views) > 1:
            return model.project_fused(views)
        ((name, X),) = views.items()
        return model.project(X, modality=name)

    return _by_block(of_views, encoders, rows, batch_size, progress)


def _by_block(
    of_views: Callable[[Views], NDArray[Any]], encoders: EncoderSet, rows: ItemRows, batch_size: int, progress: bool
) -> NDArray[Any]:
    out: NDArray[Any] | None = None
    with progress_bar(progress, "encode", rows.n) as bar:
        for names, of_set in rows.by_modalities():
            for piece in cut(len(of_set), _BLOCK):
                chosen = of_set[piece]
                made = of_views({name: encoders.features(name, rows, chosen, batch_size) for name in names})
                if out is None:
                    out = np.empty((rows.n, made.shape[1]), dtype=made.dtype)
                out[chosen] = made
                bar.update(len(chosen))
    return np.empty((0, 0)) if out is None else out


def _views(
    encoders: EncoderSet, rows: ItemRows, chunk: slice, batch_size: int, modalities: list[str]
) -> tuple[Views, dict[str, NDArray[np.bool_]] | None]:
    """Return the views of a chunk, None for modalities that no row has, and which rows have the others."""
    views: Views = {}
    present: dict[str, NDArray[np.bool_]] = {}
    for name in modalities:
        has = rows.has(name)[chunk]
        if not has.any():
            views[name] = None
            continue
        features: Features = encoders.features(name, rows, chunk, batch_size)
        views[name] = spread(features, len(has), np.flatnonzero(has))
        if not has.all():
            present[name] = has
    return views, present or None

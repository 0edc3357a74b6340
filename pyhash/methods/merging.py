"""One model of several that learned parts of the data apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pyhash._inputs.checks import listed
from pyhash.methods.contract import HashingMethod
from pyhash.methods.online import OnlineMethod

Model = TypeVar("Model", bound=OnlineMethod[Any, Any])


def merge(models: Iterable[Model]) -> Model:
    """Return one model of the rows of several that learned them apart, as if one had learned all, exactly.

    Only for methods whose codes do not depend on other rows: BOCH, where every row has one label and all bits are class
    bits. The feature maps must be the same, which they are in models that began with one model's ``emptied()``. ``a +
    b`` is ``merge([a, b])``.

    Parameters
    ----------
    models : iterable of models
        At least one; all of one class, with the same parameters, modalities and feature maps. Where classes have labels
        by name, all must number them alike: the classes of each model are the first of those of the model with most.

    Returns
    -------
    model
        A new model. Its rows are numbered in the order of the models, and its fingerprint is that of the first. Its
        calibrations are the sums of those of the models: each predicted rows by what it had learned itself.

    Raises
    ------
    TypeError
        If `models` is not an iterable of models of one class, or the codes of their method depend on other rows.
    NotFittedError
        If a model has not learned anything yet.
    ValueError
        If there are no models.
    ValueError
        If a model has codes that depend on other rows, or keeps more than sums over rows.
    ValueError
        If models differ in parameters, modalities, feature maps or the numbers of their classes.

    Examples
    --------
    >>> import numpy as np
    >>> from pyhash import BOCH, merge
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, size=300)
    >>> image = np.eye(4)[labels] + 0.3 * rng.standard_normal((300, 4))
    >>> first = BOCH(n_bits=16).partial_fit({"image": image[:100]}, labels[:100])
    >>> parts = [first.emptied() for _ in range(2)]  # on other machines, say
    >>> for part, rows in zip(parts, (slice(100, 200), slice(200, 300)), strict=True):
    ...     _ = part.partial_fit({"image": image[rows]}, labels[rows])
    >>> merge([first, *parts]).n_samples_seen_
    300
    """
    found = listed("models", models, "models")
    if not found:
        raise ValueError("models must hold at least one model, got none")
    for i, model in enumerate(found):
        if not isinstance(model, HashingMethod):
            raise TypeError(f"models must hold models, got {type(model).__name__} as models[{i}]")
        if not isinstance(model, OnlineMethod):
            raise TypeError(
                f"models must be of a method that learns chunk by chunk, got {type(model).__name__} as models[{i}]: it "
                "learns whole data in one call, and keeps no sums to add"
            )
    first: Model = found[0]
    return first._merged_with(found[1:])

"""Identity of a run: the fields of its record that are known before learning, and the versions of what ran."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from pyhash import _core
from pyhash._inputs.checks import is_sparse
from pyhash.comparison.experiment import Experiment
from pyhash.comparison.learned_labels import LearnedLabels
from pyhash.comparison.records import Identity
from pyhash.methods.contract import HashingMethod

_DISTRIBUTION = "pyhash-crossmodal"
_MAX_LISTED = 1000


def identify(
    experiment: Experiment, method: str, model: HashingMethod, labels: LearnedLabels, n_bits: int, seed: int
) -> Identity:
    """Return the fields of a record that are known before learning; ``key`` is a hash of the others."""
    identity: Identity = {
        "key": "",
        "method": method,
        "class": type(model).__name__,
        "n_bits": n_bits,
        "seed": seed,
        # The number of threads changes no score.
        "parameters": {name: describe(value) for name, value in model.get_params().items() if name != "n_threads"},
        **experiment.conditions(labels),
        "scored_by_round": experiment.scores_rounds_of(model),
        "pyhash": version(_DISTRIBUTION),
    }
    fields = {name: value for name, value in identity.items() if name != "key"}
    # Rounds are scored by the first protocol: the same ones in another order are other conditions.
    fields["protocols"] = list(identity["protocols"].items())
    identity["key"] = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
    return identity


def describe(value: Any) -> Any:
    """Return a parameter as JSON: a long array as its hash, an object of another type as its repr."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(entry) for entry in value]
    if is_sparse(value):
        value = value.toarray()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.size <= _MAX_LISTED:
            return value.tolist()
        digest = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()[:32]
        return {"dtype": value.dtype.str, "shape": list(value.shape), "sha256": digest}
    if callable(getattr(value, "get_params", None)):
        return {"class": type(value).__name__, **{name: describe(entry) for name, entry in value.get_params().items()}}
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # an address differs between processes


def versions() -> dict[str, str]:
    """Return the versions of pyhash and its dependencies, and the platform."""
    import scipy

    torch = sys.modules.get("torch")  # only if a method has loaded it
    return {
        "pyhash": version(_DISTRIBUTION),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_level": _core.cpu_level(),
        **({} if torch is None else {"torch": str(torch.__version__)}),
    }

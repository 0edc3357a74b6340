"""The card of a model: what a reader of its repository sees first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyhash
from pyhash._extras import require
from pyhash.errors import NotFittedError
from pyhash.methods.contract import HashingMethod
from pyhash.retriever import Retriever

EXTRA = "hub"
_TAGS = ("pyhash", "hashing", "cross-modal-retrieval", "hamming-distance")
_LONGEST_VALUE = 80


def model_card(model: HashingMethod | Retriever, repo_id: str, *, license: str | None = None) -> str:
    """Return the text of the README.md of a model's repository.

    Parameters
    ----------
    model : HashingMethod or Retriever
        A model that has learned.
    repo_id : str
        Name of the repository, such as "me/birds".
    license : str, optional
        Identifier of the license of the learned values, such as "cc-by-4.0"; left out by default.

    Returns
    -------
    str
        YAML metadata, then Markdown: modalities, parameters, scores where the retriever has some, and how to load it.

    Raises
    ------
    NotFittedError
        If nothing was learned yet.
    TypeError
        If `model` is neither a model nor a retriever, or `license` is not a string.
    ValueError
        If `repo_id` cannot be the name of a repository, or `license` is of several lines.
    ImportError
        If huggingface_hub is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from pyhash import SHOH
    >>> from pyhash.hub import model_card
    >>> model = SHOH(n_bits=8).partial_fit({"image": np.eye(4)}, [0, 1, 0, 1])
    >>> card = model_card(model, "me/birds", license="cc-by-4.0")
    >>> print(card[card.index("# birds"):].splitlines()[2].partition(" Written")[0])
    SHOH, a model of [pyhash](https://github.com/pyhash/pyhash): codes of 8 bits, learned from 4 rows.
    """
    hub = require("huggingface_hub", "model cards", EXTRA)
    check_model("model", model)
    # Its parts load when they are first imported.
    require("huggingface_hub.utils", "model cards", EXTRA).validate_repo_id(repo_id)
    if license is not None and not isinstance(license, str):
        raise TypeError(f"license must be a string, got {type(license).__name__}")
    if license is not None and license.splitlines() != [license]:
        raise ValueError(f"license must be an identifier in one line, got {license!r}")
    learned = _learned(model)
    metadata = hub.ModelCardData(library_name="pyhash", license=license, tags=list(_TAGS)).to_yaml()
    parts = [
        f"---\n{metadata}\n---",
        f"# {repo_id.rpartition('/')[2]}",
        _summary(model, learned),
        "## Modalities",
        _modalities(model, learned),
        "## Parameters",
        _table(("parameter", "value"), [(name, _short(value)) for name, value in learned.get_params().items()]),
    ]
    if isinstance(model, Retriever) and model.evaluation is not None:
        parts += ["## Scores", *_scores(model.evaluation)]
    parts += ["## Use", _use(model, learned, repo_id)]
    return "\n\n".join(parts) + "\n"


def check_model(name: str, model: Any) -> None:
    """Raise TypeError unless the argument is a model or a retriever."""
    if not isinstance(model, (HashingMethod, Retriever)):
        raise TypeError(f"{name} must be a model or a Retriever, got {type(model).__name__}")


def _learned(model: HashingMethod | Retriever) -> HashingMethod:
    learned = model.model if isinstance(model, Retriever) else model
    if learned is None:
        raise NotFittedError("this Retriever has not learned anything yet: call learn first")
    return learned


def _summary(model: HashingMethod | Retriever, learned: HashingMethod) -> str:
    kind = "a retriever" if isinstance(model, Retriever) else "a model"
    text = f"{type(learned).__name__}, {kind} of [pyhash](https://github.com/pyhash/pyhash): codes of "
    text += f"{learned.n_bits} bits, learned from {learned.n_samples_seen_:,} rows."
    if isinstance(model, Retriever):
        text += f" Its index holds {len(model.index):,} items."
    return f"{text} Written by pyhash {pyhash.__version__}; fingerprint `{learned.fingerprint}`."


def _modalities(model: HashingMethod | Retriever, learned: HashingMethod) -> str:
    if not isinstance(model, Retriever):
        return _table(("modality", "features"), learned.modalities_.items())
    encoders = dict.fromkeys(learned.modalities_, "none: items are features")
    encoders |= {name: f"{encoder.name} {encoder.version}" for name, encoder in model.encoders.items() if encoder}
    rows = [(name, n, encoders[name]) for name, n in learned.modalities_.items()]
    return _table(("modality", "features", "encoder"), rows)


def _scores(evaluation: Mapping[str, Any]) -> list[str]:
    rows = [
        (query, distance, f"{scores['map']:.3f}")
        for query, distances in evaluation["directions"].items()
        for distance, scores in distances.items()
    ]
    labels = evaluation["labels"]
    return [
        f"Mean average precision of {evaluation['rows']:,} queries; items that share their {labels} are relevant.",
        _table(("query", "distance", "mAP"), rows),
    ]


def _use(model: HashingMethod | Retriever, learned: HashingMethod, repo_id: str) -> str:
    modality = next(iter(learned.modalities_))
    if isinstance(model, Retriever):
        lines = [f"retriever = from_hub({repo_id!r})", f"results = retriever.search({modality}=..., k=10)"]
    else:
        lines = [f"model = from_hub({repo_id!r})", f"codes = model.encode(features, modality={modality!r})"]
    code = "\n".join(["from pyhash.hub import from_hub", "", *lines])
    return f'```console\npip install "pyhash-crossmodal[{EXTRA}]"\n```\n\n```python\n{code}\n```'


def _table(columns: Sequence[str], rows: Any) -> str:
    # A cell is one line.
    lines = [columns, ["--"] * len(columns), *([" ".join(str(cell).split()) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return f"`{text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + '...'}`"

"""A model as HTML, which notebooks show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyhash._html import Html, bold, details, note, properties, section, table
from pyhash.methods.parts.parameters import Parameters, shown_parameters


def model_html(model: Parameters, learned: Mapping[str, Any], modalities: Mapping[str, tuple[int, str, str]]) -> str:
    """Return what a notebook shows of a model.

    Parameters
    ----------
    model : Parameters
    learned : mapping of str to object
        What was learned, in words; empty before.
    modalities : mapping of str to (int, str, str)
        Number of features, feature map and encoder of each modality.
    """
    parts = [properties(learned) if learned else note("has not learned anything yet")]
    if modalities:
        rows = [(name, f"{n:,}", *of) for name, (n, *of) in modalities.items()]
        parts.append(table(["modality", "features", "feature map", "encoder"], rows))
    parts.append(details("Parameters (bold: not the default)", _parameters(model)))
    return section(type(model).__name__, *parts)


def _parameters(model: Parameters) -> Html:
    rows = [
        (name, value) if is_default else (bold(name), bold(value))
        for name, value, is_default in shown_parameters(model)
    ]
    return table(["parameter", "value"], rows)

"""The model whose codes an index holds, known by its fingerprint."""

from __future__ import annotations

from typing import Any


def fingerprint_of(model: Any, n_bits: int) -> str:
    """Return the fingerprint of a model that makes codes of `n_bits`; a str is one already."""
    if isinstance(model, str):
        return model
    fingerprint = getattr(model, "fingerprint", None)
    if not isinstance(fingerprint, str):
        raise TypeError(f"model must be a fitted model or its fingerprint, got {type(model).__name__}")
    if getattr(model, "n_bits", n_bits) != n_bits:
        raise ValueError(f"model must make codes of n_bits={n_bits}, got one of {model.n_bits}")
    return fingerprint


def fingerprint_with(model: Any, n_bits: int, own: str | None, *, is_empty: bool) -> str | None:
    """Return the fingerprint of an index once codes of a model are in it; `own` is that before, None if not known."""
    if model is None:
        return own
    given = fingerprint_of(model, n_bits)
    if own is not None or not is_empty:
        refuse_other(given, own)
    return given


def refuse_other(given: str, own: str | None) -> None:
    """Raise ValueError unless the fingerprint `given` is that of the codes of an index, None where it is not known."""
    if own is None:
        raise ValueError(f"model must be None: the index holds codes that were added without their model, got {given}")
    if given != own:
        raise ValueError(f"model must be the one whose codes the index holds, of model {own}, got {given}")

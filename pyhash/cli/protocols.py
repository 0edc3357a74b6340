"""Protocols as text, such as shoh or cutoff=50:ties=expected."""

from __future__ import annotations

from dataclasses import asdict

from pyhash.evaluation import Protocol


def protocol_of(text: str) -> Protocol | str:
    """Return the preset's name, or the protocol of choices such as cutoff=50:ties=expected."""
    if text in Protocol.presets:
        return text
    choices = dict.fromkeys(("cutoff", "denominator", "empty_queries", "ties"))
    for part in text.split(":"):
        name, _, value = part.partition("=")
        if name not in choices or not value:
            raise ValueError(
                f"--protocol must be a preset ({', '.join(Protocol.presets)}) or cutoff=, denominator=, "
                f"empty_queries=, ties= joined by colons, got {text!r}"
            )
        choices[name] = value
    cutoff = choices.pop("cutoff")
    if cutoff is not None and not cutoff.isdecimal():
        raise ValueError(f"--protocol must have an integer as cutoff, got {cutoff!r}")
    given = {name: value for name, value in choices.items() if value is not None}
    return Protocol(None if cutoff is None else int(cutoff), **given)


def protocol_text(protocol: Protocol) -> str:
    """Return choices such as cutoff=50:denominator=hits:empty_queries=skip:ties=id."""
    choices = asdict(protocol)
    return ":".join(f"{name}={value}" for name, value in choices.items() if value is not None)

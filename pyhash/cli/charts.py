"""Check that the charts of a command can be drawn."""

from __future__ import annotations

from pyhash.plotting import require_matplotlib


def require_charts() -> None:
    """Raise if matplotlib cannot be imported; the message names the option that draws no charts."""
    try:
        require_matplotlib()
    except ImportError as error:
        raise ImportError(f"{error}, or run with --no-charts") from None

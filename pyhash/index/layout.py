"""How the codes of an index are laid out for search: the parameters `layout` and `layout_bytes_per_code`."""

from __future__ import annotations

from dataclasses import dataclass

from pyhash._inputs.checks import check_choice, check_real

LAYOUTS = ("auto", "scan", "multi-index")
DEFAULT_BYTES_PER_CODE = 64.0


@dataclass(frozen=True)
class Layout:
    """What searches may build.

    Attributes
    ----------
    name : str
        One of ``LAYOUTS``.
    bytes_per_code : float
        Memory of the tables for each code, at most.
    """

    name: str = "auto"
    bytes_per_code: float = DEFAULT_BYTES_PER_CODE


AUTO = Layout()


def check_layout(layout: object, bytes_per_code: object) -> Layout:
    """Return the layout of these two parameters, checked."""
    name = check_choice("layout", layout, LAYOUTS)
    return Layout(name, check_real("layout_bytes_per_code", bytes_per_code, 0))

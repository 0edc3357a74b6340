"""Types in signatures as the source writes them."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_ARRAY = re.compile(
    r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\]"
)


def shorten(signature: str) -> str:
    """Write arrays as ``NDArray[uint8]``, which Sphinx expands."""
    return _ARRAY.sub(r"~numpy.typing.NDArray[\1]", signature)


def _shortened(app: Sphinx, what: str, name: str, value: Any, options: Any, *texts: str | None) -> tuple[Any, ...]:
    return tuple(text and shorten(text) for text in texts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add it to the build; ``ArrayLike`` is kept by ``autodoc_type_aliases``."""
    app.connect("autodoc-process-signature", _shortened)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

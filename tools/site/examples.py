"""Examples as readers see them: without what only their test needs."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class TrimExamples(SphinxTransform):
    """Remove directives of doctest, and the empty line that ends an example in Markdown."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Trim every block of code that has a prompt."""
        for block in self.document.findall(nodes.literal_block):
            if ">>> " in block.astext():
                text = re.sub(r" *# doctest:.*", "", block.astext()).rstrip("\n")
                block.rawsource, block[:] = text, [nodes.Text(text)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add it to the build."""
    app.add_transform(TrimExamples)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

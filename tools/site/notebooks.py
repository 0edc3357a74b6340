"""Run the notebooks of the documentation anew and store what they show: python -m tools.site.notebooks [NAME ...]."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


def executed(notebook: Any) -> Any:
    """Return a notebook with the outputs of a run in an empty folder; raise CellExecutionError where a cell raises."""
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # else jupyter_core warns
    import nbclient
    import nbformat

    new = nbformat.from_dict(notebook)
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        nbclient.NotebookClient(new, timeout=600, resources=resources, record_timing=False).execute()
    new.metadata = notebook.metadata  # without the release of Python
    return new


def main(names: list[str]) -> None:
    """Write the outputs of some notebooks, by default of all."""
    import nbformat

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if not names or path.stem in names:
            nbformat.write(executed(nbformat.read(path, as_version=4)), path)
            print(path)


if __name__ == "__main__":
    main(sys.argv[1:])

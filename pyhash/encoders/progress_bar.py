"""The progress bar of encoders."""

from __future__ import annotations

from typing import Any

from pyhash._inputs.checks import check_bool


def progress_bar(progress: bool | None, name: str, n_items: int, n_done: int = 0) -> Any:
    """Return a bar of items on stderr, a context; None: only where stderr is a terminal."""
    # tqdm takes None for "where stderr is a terminal".
    disable = None if progress is None else not check_bool("progress", progress)
    from tqdm import tqdm

    return tqdm(total=n_items, initial=n_done, desc=name, unit="item", disable=disable)

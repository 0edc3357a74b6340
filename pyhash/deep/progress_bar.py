"""The progress bar of a training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from pyhash.deep.checkpoint import Progress


@contextmanager
def progress_bar(progress: bool | None, name: str, epochs: int) -> Iterator[Callable[[Progress], None]]:
    """Show epochs, losses and the mean validation mAP on stderr; None: only where stderr is a terminal.

    On a terminal the bar is cleared at the end of the block, hence what is printed next begins on a line of its own.
    Elsewhere the finished bar stays, with the end of its line.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    if not (is_terminal if progress is None else progress):
        yield lambda done: None
        return
    from tqdm import tqdm

    with tqdm(total=epochs, desc=name, unit="epoch", leave=not is_terminal) as bar:

        def show(done: Progress) -> None:
            if done.history:
                last = done.history[-1]
                shown = {term: f"{value:.3g}" for term, value in {"loss": last["loss"], **last["losses"]}.items()}
                if last["validation"] is not None:
                    shown["mAP"] = f"{np.mean(list(last['validation'].values())):.3f}"
                bar.set_postfix(shown, refresh=False)
            bar.update(done.epoch - bar.n)

        yield show

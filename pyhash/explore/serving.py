"""The page of a folder, until it is ended."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from pathlib import Path

from pyhash.explore.collection import Collection
from pyhash.explore.origin import is_of_this_machine
from pyhash.explore.routes import Routes
from pyhash.explore.server import ExploreServer
from pyhash.retriever import Retriever


def serve(folder: str | os.PathLike[str], *, host: str = "127.0.0.1", port: int = 0, open_browser: bool = True) -> None:
    """Show a folder of ``Retriever.save`` as a page in the browser, until Ctrl-C.

    The address is printed on stderr. The page needs no network. It searches by words, pictures and items, shows which
    bits differ, a map of classes, and how well the model retrieves where that was measured.

    Parameters
    ----------
    folder : str or path
        What ``Retriever.save`` or ``pyhash learn`` wrote. It is read, never changed.
    host : str
        Address to listen at. By default, only programs of this machine can connect. There is no password: at any other
        address, everyone who can reach it sees all items.
    port : int
        0 takes a free one.
    open_browser : bool
        Whether to open the page in the user's browser.

    Raises
    ------
    FileNotFoundError
        If the folder is missing.
    ModelFormatError
        If the folder is damaged.
    OSError
        If the address cannot be used.
    KeyboardInterrupt
        At Ctrl-C; the server is closed then.

    Examples
    --------
    >>> from pyhash import explore
    >>> explore.serve("pyhash-demo")  # doctest: +SKIP
    http://127.0.0.1:46311/ shows pyhash-demo; Ctrl-C ends
    """
    with Retriever.open(folder, read_only=True) as retriever:
        name = Path(folder).resolve().name
        collection = Collection(retriever, name)
        with ExploreServer(Routes(collection), host=host, port=port) as server:
            print(f"{server.url} shows {folder}; Ctrl-C ends", file=sys.stderr, flush=True)
            if not is_of_this_machine(host):
                print(
                    f"everyone who can reach {host} sees all items: there is no password", file=sys.stderr, flush=True
                )
            if open_browser:
                # On a thread: a browser in the terminal returns when it ends.
                threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
            threading.Thread(target=collection.warm_up, daemon=True).start()
            server.serve_forever()

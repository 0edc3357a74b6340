"""``pyhash explore``: a page for queries by words and pictures, on this machine."""

from __future__ import annotations

import argparse

from pyhash.cli import argument_types as types
from pyhash.cli.parser import CommandParser
from pyhash.cli.retriever_folder import check_retriever


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and an example of the command."""
    parser.description = (
        "Serve a page on 127.0.0.1 that searches a folder by words, by pictures and by what was found, and shows the "
        "bits that differ. Ctrl-C ends it."
    )
    parser.examples = ("pyhash explore model",)
    parser.add_argument(
        "folder", type=types.path, metavar="FOLDER", help="folder that `pyhash learn` or `pyhash demo` wrote"
    )
    parser.add_argument("--port", type=types.integer(0), default=0, help="port of the page (default: one that is free)")
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="print the address, and open no browser"
    )


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from pyhash.explore import serve

    check_retriever(arguments.folder)
    serve(arguments.folder, port=arguments.port, open_browser=arguments.browser)

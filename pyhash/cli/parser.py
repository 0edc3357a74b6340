"""The commands, and the parser of their arguments.

A command is a module of this package with ``add_arguments(parser)`` and ``run(arguments)``, and a line in ``COMMANDS``.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from importlib import import_module
from typing import Any, NoReturn

COMMANDS = {
    "demo": "learn the built-in emoji data as a stream, measure, and answer some queries",
    "learn": "learn codes from your own pictures, texts or features, into a folder",
    "encode": "write the codes of data",
    "index": "add items to a folder, remove, count or check them",
    "search": "find items for words, a picture, or another item",
    "evaluate": "measure retrieval with queries that have labels",
    "explore": "search a folder on a page in the browser",
    "bench": "compare methods under equal conditions, with a table and charts",
    "completion": "print the script with which a shell completes commands",
}


class CommandParser(argparse.ArgumentParser):
    """Parser with errors of usage in one line, and help that ends with examples."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.examples: tuple[str, ...] = ()
        # Whether options may stand between positional arguments of which one may be left out.
        self.intermixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments, and the words that are none of them."""
        if not self.intermixed:
            return super().parse_known_args(args, namespace)
        self.intermixed = False  # parse_known_intermixed_args comes back here
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.intermixed = True

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def format_help(self) -> str:
        """Return the help, with the examples at its end."""
        title = "examples" if len(self.examples) > 1 else "example"
        lines = [f"\n{title}:", *(f"  {example}" for example in self.examples)] if self.examples else []
        return super().format_help() + "".join(f"{line}\n" for line in lines)


class _Version(argparse.Action):
    """Option that prints the version; pyhash is imported only if it is given."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import pyhash

        print(f"pyhash {pyhash.__version__}")
        parser.exit()


def make_parser(commands: Collection[str]) -> argparse.ArgumentParser:
    """Return the parser of the command line; only of `commands`, whose modules are imported, it knows the arguments."""
    parser = CommandParser(prog="pyhash", description="Learn short binary codes from a stream and search them.")
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version and exit"
    )
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = parsers.add_parser(name, help=summary)
        if name in commands:
            module = import_module(f"pyhash.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run, usage_error=command.error)
    return parser

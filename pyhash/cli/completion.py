"""``pyhash completion``: the script with which a shell completes commands, options and paths."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pyhash._extras import require
from pyhash.cli import argument_types as types
from pyhash.cli.parser import COMMANDS, CommandParser, make_parser

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: CommandParser) -> None:
    """Add the description, the arguments and an example of the command."""
    parser.description = (
        "Print the script with which a shell completes commands, options, choices and paths. For bash, put it into "
        "~/.local/share/bash-completion/completions/pyhash; for zsh, into a file _pyhash in a folder of $fpath; for "
        "tcsh, into a file that ~/.tcshrc sources."
    )
    parser.examples = ("pyhash completion bash > pyhash.bash",)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(arguments: argparse.Namespace) -> None:
    """Print the script of a shell."""
    shtab = require("shtab", "scripts of shells", "cli")
    parser = make_parser(COMMANDS)
    completed = {types.path: shtab.FILE, types.data: shtab.FILE, types.folder: shtab.DIRECTORY}
    for action in _actions(parser):
        if action.type in completed:
            action.complete = completed[action.type]  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(parser, arguments.shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in dict.fromkeys(action.choices.values()):
                yield from _actions(command)

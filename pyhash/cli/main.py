"""Arguments, exit codes and errors of the ``pyhash`` command.

Exit codes: 0 success, 1 error, 2 wrong usage, 128 + number of the signal after an interrupt: 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pyhash._inputs.value_text import parse_value
from pyhash.cli.interrupts import INTERRUPTS

_SECONDS_TO_CATCH = 0.5


class _Parser(argparse.ArgumentParser):
    """Parser that prints an error of usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _integer(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be an integer >= {minimum}, got {text!r}")
        return value

    return parse


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"must be names joined by commas, got {text!r}")
    return names


def _pairs(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(key.strip() and value.strip() for key, _, value in pairs):
        raise argparse.ArgumentTypeError(f"must be such as image=X1,text=X2,labels=L, got {text!r}")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _sweep(text: str) -> tuple[str, dict[str, list[Any]]]:
    method, _, rest = text.partition(":")
    columns: dict[str, list[str]] = {}
    name = ""
    for part in rest.split(","):
        # A part without "=" is one more value of the parameter before it.
        *named, value = part.split("=", 1)
        name = named[0].strip() if named else name
        columns.setdefault(name, []).append(value.strip())
    if not method.strip() or not all(columns) or not all(all(column) for column in columns.values()):
        raise argparse.ArgumentTypeError(f"must be such as lemon:alpha=1,1e2,beta=1,10, got {text!r}")
    return method.strip(), {name: [parse_value(value) for value in column] for name, column in columns.items()}


def _setting(text: str) -> tuple[str, dict[str, Any]]:
    try:
        method, columns = _sweep(text)
        return method, {name: value for name, (value,) in columns.items()}
    except (argparse.ArgumentTypeError, ValueError):
        raise argparse.ArgumentTypeError(f"must be such as lemon:alpha=1e2,beta=10, got {text!r}") from None


def _directions(text: str) -> list[tuple[str, str]]:
    pairs = [tuple(part.split("->")) for part in _names(text)]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise argparse.ArgumentTypeError(f"must be such as 'image->text,image+text->text', got {text!r}")
    return [(query, database) for query, database in pairs]


def _weights(text: str) -> dict[str, float]:
    try:
        return {view: float(weight) for view, weight in _pairs(text).items()}
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"must be such as image=1,text=0.6, got {text!r}") from None


def _fraction(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1, got {text!r}")
    return share


def _integers(minimum: int) -> Callable[[str], list[int]]:
    def parse(text: str) -> list[int]:
        try:
            return [_integer(minimum)(part.strip()) for part in text.split(",")]
        except argparse.ArgumentTypeError:
            raise argparse.ArgumentTypeError(f"must be integers >= {minimum} joined by commas, got {text!r}") from None

    return parse


def _words(text: str) -> str:
    if not text.split():
        raise argparse.ArgumentTypeError("must hold at least one word")
    return text


def _folder(text: str) -> Path:
    # Path("") is the current folder: an unset variable of the shell would fill it with files.
    if not text:
        raise argparse.ArgumentTypeError("must name a folder, got ''")
    return Path(text)


class _Version(argparse.Action):
    """Option that prints the version; pyhash is imported only if it is given."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import pyhash

        print(f"pyhash {pyhash.__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pyhash", description="Learn short binary codes from a stream and search them.")
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version and exit"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser(
        "demo",
        help="learn the built-in emoji data as a stream, measure, and answer some queries",
        description="Learn 8,000 image-text pairs in chunks with each method, measure retrieval after every chunk, and "
        "answer twelve text queries with the last method. The model and the index of the last method, and charts of "
        "all methods, are written to a folder that `pyhash search` reads.",
    )
    command.add_argument(
        "--methods",
        type=_names,
        default=["lemon+rbf", "boch+instance"],
        help="names joined by commas, such as dsfh or dhsl; the last method answers the queries and is saved. Methods "
        "that are not online learn all pairs in one round (default: lemon+rbf,boch+instance)",
    )
    command.add_argument("--bits", type=_integer(1), default=64, help="length of a code in bits (default: %(default)s)")
    command.add_argument(
        "--seed", type=_integer(0), default=0, help="seed of all random choices (default: %(default)s)"
    )
    command.add_argument(
        "--split",
        choices=("pair", "emoji"),
        default="pair",
        help="queries: new pictures of known emoji (pair), or emoji never seen (emoji) (default: %(default)s)",
    )
    command.add_argument(
        "--chunk-size",
        type=_integer(1),
        default=2000,
        help="number of pairs that online methods learn at a time (default: %(default)s)",
    )
    command.add_argument(
        "--out", type=_folder, default=Path("pyhash-demo"), help="folder to write (default: %(default)s)"
    )
    command.add_argument("--no-charts", action="store_true", help="draw no charts; matplotlib is then not needed")
    command.set_defaults(run=_demo)

    command = commands.add_parser(
        "search",
        help="find pictures for words in the folder that the demo wrote",
        description="Find the emoji pictures that are nearest to some words, in the folder that `pyhash demo` wrote.",
    )
    command.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="folder that `pyhash demo` wrote")
    command.add_argument("query", type=_words, metavar="WORDS", help='words to search for, such as "cat face"')
    command.add_argument("-k", type=_integer(1), default=10, help="number of pictures to show (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print the answer as JSON")
    command.set_defaults(run=_search)
    _add_bench(commands.add_parser)
    return parser


def _add_bench(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    command = add_parser(
        "bench",
        help="compare methods under equal conditions, with a table and charts",
        description="Run every method at every length with every seed, and write results.jsonl, table.md and charts. "
        "Runs whose results are in the folder are not repeated: after Ctrl-C, the same command resumes.",
        argument_default=argparse.SUPPRESS,  # the defaults are those of bench.run
    )
    command.add_argument(
        "--preset",
        metavar="PAPER/DATASET",
        help="the experiment of a paper, such as shoh/fashionvc, which other options override; 'list' prints all, with "
        "what each paper leaves open",
    )
    command.add_argument(
        "--data",
        help="emoji, hierarchical, multilabel, or a .mat or .npz file (default: emoji)",
    )
    command.add_argument(
        "--names",
        type=_pairs,
        metavar="VIEW=ARRAY,...",
        help="names of the arrays in a file, such as image=X1,text=X2,labels=L (default: usual names)",
    )
    command.add_argument(
        "--labels",
        metavar="KIND[+KIND...]",
        help="labels to learn, of one kind or of several joined by a plus (default: the finest of the hierarchy)",
    )
    command.add_argument(
        "--relevance",
        metavar="KIND",
        help="labels that define relevance (default: those to learn, or the finest of several)",
    )
    command.add_argument(
        "--split",
        help="rows that are queries: a split of the data, 'random' (a tenth of the rows), or a random split of a "
        "published size: mirflickr, nus-wide, nus-wide-2100, nus-wide-5000, iapr-tc12, fashionvc, ssense (default: the "
        "first of the data, or random)",
    )
    command.add_argument(
        "--sweep",
        type=_sweep,
        action="append",
        metavar="METHOD:PARAMETER=VALUE,...",
        help="run a method at every combination of values, such as lemon:alpha=1,1e2,beta=1,10; numbers, true, false, "
        "none or words; 0.2/0.8 for a sequence, image:0.1/text:1 for a value of each modality; may be repeated",
    )
    command.add_argument(
        "--set",
        type=_setting,
        action="append",
        dest="parameters",
        metavar="METHOD:PARAMETER=VALUE,...",
        help="parameters of a method in the place of its defaults, such as lemon:alpha=1e2,beta=10; may be repeated",
    )
    command.add_argument(
        "--views", type=_names, help="modalities to learn, such as image,text (default: all; for emoji image_deep,text)"
    )
    command.add_argument(
        "--methods",
        type=_names,
        help="names joined by commas, such as boch+instance,lemon+rbf,dsfh+posterior; @ and kinds of labels after a "
        "name are what this method learns, such as lemon@level1+level2 (default: boch,lemon+rbf,cca-itq; with --sweep "
        "none)",
    )
    command.add_argument("--bits", type=_integers(1), help="lengths of codes in bits (default: 16,32,64)")
    command.add_argument("--seeds", type=_integer(1), help="number of seeds: 0, 1, ... (default: 3)")
    command.add_argument(
        "--chunk-size",
        type=_integer(1),
        help="number of rows that online methods learn at a time (default: 2000)",
    )
    command.add_argument(
        "--remainder",
        choices=("keep", "merge"),
        help="what becomes of a last chunk of fewer rows: learned as it is, or joined to the one before (default: "
        "keep)",
    )
    command.add_argument(
        "--rounds",
        choices=("shallow", "online", "all", "none"),
        help="methods with mAP after every round: all but deep ones, where methods that learn whole data are fitted "
        "again on the rows so far; only online ones, which saves these fits; all; or none (default: shallow)",
    )
    command.add_argument(
        "--protocol",
        type=_names,
        dest="protocols",
        metavar="PROTOCOL",
        help="presets, or choices such as cutoff=50:ties=expected, joined by commas (default: shoh)",
    )
    command.add_argument(
        "--directions",
        type=_directions,
        metavar="QUERY->DATABASE,...",
        help="modalities of queries and database, such as 'image->text,image+text->text' (default: every pair)",
    )
    command.add_argument(
        "--database",
        choices=("learned", "encoded", "fused"),
        help="codes to search: those learned, those encoded from the modality searched, or those encoded from all "
        "modalities together (default: learned)",
    )
    command.add_argument(
        "--weights",
        type=_weights,
        metavar="VIEW=NUMBER,...",
        help="weights of modalities where several are fused (default: 1 each)",
    )
    command.add_argument(
        "--learn-fraction",
        type=_fraction,
        metavar="SHARE",
        help="share of the database rows to learn; below 1 only the others are searched, which needs --database "
        "encoded or fused (default: 1)",
    )
    command.add_argument(
        "--learn-rows",
        type=_integer(1),
        metavar="N",
        help="number of database rows to learn; all are searched, which needs --database encoded or fused (default: "
        "all)",
    )
    command.add_argument("--out", type=_folder, help="folder to write (default: pyhash-bench)")
    command.add_argument(
        "--no-charts", dest="charts", action="store_false", help="draw no charts; matplotlib is then not needed"
    )
    command.add_argument(
        "--threads",
        type=_integer(1),
        dest="n_threads",
        metavar="THREADS",
        help="number of threads (default: PYHASH_NUM_THREADS, or all CPUs)",
    )
    command.set_defaults(run=_bench)


# Commands are imported when they run: help and errors of usage are quick, and interrupts during imports are caught.


def _demo(a: argparse.Namespace) -> None:
    from pyhash.cli import demo

    demo.run(
        methods=a.methods,
        n_bits=a.bits,
        seed=a.seed,
        split=a.split,
        chunk_size=a.chunk_size,
        out=a.out,
        charts=not a.no_charts,
    )


def _search(a: argparse.Namespace) -> None:
    from pyhash.cli import search

    search.run(a.model_dir, a.query, k=a.k, as_json=a.json)


def _bench(a: argparse.Namespace) -> None:
    from pyhash.cli import bench

    given = {name: value for name, value in vars(a).items() if name not in ("command", "run", "preset")}
    bench.run_preset(a.preset, given) if "preset" in a else bench.run(**given)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    # Signals that are ignored stay so: a shell lets commands in the background ignore Ctrl-C.
    numbers = [n for n in INTERRUPTS if signal.getsignal(n) is not signal.SIG_IGN]
    received = [signal.SIGINT]

    def interrupt(number: int, _: object) -> NoReturn:
        # Finalizers, also those of imports, and some C code drop exceptions: SIGALRM raises it again until it is caught
        # below.
        if number != signal.SIGALRM:
            received.append(signal.Signals(number))
        signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_CATCH)
        raise _Interrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        arguments = _parser().parse_args(argv)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A terminal that lacks an emoji shows a question mark. Lines are whole where stderr goes to the same file.
            sys.stdout.reconfigure(errors="replace", line_buffering=True)
        arguments.run(arguments)
        if sys.stdout is not None:  # None where the caller closed it
            sys.stdout.flush()
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("pyhash: interrupted", file=sys.stderr)
        return 128 + received[-1]  # as shells report a process that a signal ended
    except BrokenPipeError:
        # The reader has ended, as in `pyhash search ... | head -1`; discard what is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, ImportError, MemoryError, OverflowError) as error:
        # A MemoryError raised by Python has no message.
        print(f"pyhash: {str(error) or 'out of memory'}", file=sys.stderr)
        return 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C or SIGTERM.

    Not KeyboardInterrupt itself: if that passes through exec(), as during an import, it decides the exit code of
    Python even if it is caught.
    """


if __name__ == "__main__":
    sys.exit(main())

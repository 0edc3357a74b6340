"""Progress bars of trainings: shown on terminals alone, and never on one line with anything else that is printed."""

import os
import re
import struct
import subprocess
import sys

import pytest

fcntl = pytest.importorskip("fcntl", reason="needs pseudo-terminals")
pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
termios = pytest.importorskip("termios", reason="needs pseudo-terminals")

# Two commands as a user runs them, on a sixteenth of the built-in data, with two epochs instead of 40. One process
# for both: most of its time goes into the import of torch.
COMMANDS = """
import dataclasses, sys
from pyhash import datasets
from pyhash.cli import demo, main
from pyhash.deep import sdch

whole = datasets.load_emoji()
kinds = ("views", "labels", "splits", "items")
fewer = {kind: {name: rows[::16] for name, rows in getattr(whole, kind).items()} for kind in kinds}
fewer["views"]["text"] = fewer["views"]["text"][:, :300]
data = dataclasses.replace(whole, **fewer, vocabulary=whole.vocabulary[:300])
demo.load_emoji = datasets.load_emoji = lambda: data
sdch._PRESETS["default"] |= {"epochs": 2, "hidden": (32,), "learning_rate": 1e-9, "hash_learning_rate": 1e-9}
out = sys.argv[1]
same = ("--methods", "lemon,sdch", "--bits", "16", "--no-charts")
failed = main.main(["demo", *same, "--chunk-size", "200", "--out", out + "/demo"])
print("then", flush=True)
sys.exit(failed or main.main(["bench", *same, "--seeds", "1", "--out", out + "/bench"]))
"""
ROW = re.compile(r" *\d+( +\d\.\d{3}){2}( +\d+\.\d{3}){2}")
# Little is learned in so few and small steps: trainings of SDCH may end with this, those of the comparison do.
WARNING = re.compile(r"\S*\.py:\d+: CollapseWarning: the codes of '(image_deep|image|text)' have collapsed: .*")


def command(out):
    return [sys.executable, "-W", "always", "-c", COMMANDS, str(out)]


@pytest.fixture(scope="module")
def in_a_file(tmp_path_factory):
    """Lines that the commands write where stdout and stderr are one file."""
    folder = tmp_path_factory.mktemp("file")
    with open(folder / "log", "w+") as log:
        result = subprocess.run(command(folder), stdout=log, stderr=subprocess.STDOUT)
        log.seek(0)
        said = log.read()
    assert result.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def in_a_terminal(tmp_path_factory):
    """The text that the commands send to a terminal."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))  # rows, columns
    sent = b""
    out = tmp_path_factory.mktemp("terminal")
    with subprocess.Popen(command(out), stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        while True:
            try:
                received = os.read(controller, 65536)
            except OSError:  # on Linux, once the other end is closed
                break
            if not received:
                break
            sent += received
    os.close(controller)
    assert process.returncode == 0, sent.decode()
    return sent.decode()


def screen_of(sent):
    """The lines that a terminal of any height shows in the end."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[A|\r|\n|[^\x1b\r\n]+", sent):
        if part == "\x1b[A":
            row = max(0, row - 1)
        elif part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


def rows_of_tables(lines):
    """The rows below each header of the demo's tables."""
    tables = []
    for number, line in enumerate(lines):
        if line.startswith("pairs  "):
            end = next(n for n in range(number + 1, len(lines)) if not lines[n])
            tables.append(lines[number + 1 : end])
    return tables


def check_tables(lines):
    of_lemon, of_sdch = rows_of_tables(lines)
    assert len(of_lemon) == 3
    assert all(ROW.fullmatch(line) for line in of_lemon)
    assert ROW.fullmatch(of_sdch[-1])
    assert all(WARNING.fullmatch(line) for line in of_sdch[:-1])  # where it occurred: before the row of the training


def halves(lines):
    """Split the output into that of the demo and that of the comparison."""
    end = lines.index("then")
    return lines[:end], lines[end + 1 :]


@pytest.mark.slow("runs the demo and a comparison with networks")
def test_in_a_file_there_is_no_bar(in_a_file):
    assert "\r" not in in_a_file
    assert "%|" not in in_a_file
    of_demo, of_bench = halves(in_a_file.splitlines())
    check_tables(of_demo)
    assert any(WARNING.fullmatch(line) for line in of_bench)


@pytest.mark.slow("runs the demo and a comparison with networks")
def test_the_demo_on_a_terminal_clears_its_bars(in_a_terminal):
    sent, _ = in_a_terminal.split("then")
    assert "learning:" in sent
    assert "SDCH:" in sent
    lines, _ = halves(screen_of(in_a_terminal))
    assert not any("%|" in line for line in lines)
    check_tables(lines)


@pytest.mark.slow("runs the demo and a comparison with networks")
def test_bench_on_a_terminal_keeps_its_bar_on_a_line_of_its_own(in_a_terminal):
    _, sent = in_a_terminal.split("then")
    assert "SDCH:" in sent
    _, lines = halves(screen_of(in_a_terminal))
    assert any(WARNING.fullmatch(line) for line in lines)
    (bar,) = (line for line in lines if "%|" in line)
    assert re.fullmatch(r"sdch, 16 bits, seed 0: 100%\|.*\| 2/2 \[.*\]", bar)

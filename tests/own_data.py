"""Folders of small pictures with captions, and commands in a shell's words, for tests of the command line."""

import csv
import io
import shlex
import sys

import numpy as np

from pyhash.cli.main import main

COLOURS = {"red": (210, 40, 40), "green": (40, 160, 60), "blue": (40, 70, 200)}
SHAPES = ("circle", "square")


def write_pictures(folder, n, *, seed=0, table=True):
    """Write n pictures of coloured shapes, with the table photos.csv; return the rows of the table."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    folder.mkdir()
    rows = []
    for i in range(n):
        colour, shape = list(COLOURS)[i % 3], SHAPES[i // 3 % 2]
        image = Image.new("RGB", (40, 32), "white")
        x, y, size = rng.integers(0, 12), rng.integers(0, 8), rng.integers(14, 22)
        fill = tuple(int(part) for part in np.clip(np.array(COLOURS[colour]) + rng.integers(-20, 20, 3), 0, 255))
        draw = ImageDraw.Draw(image)
        (draw.ellipse if shape == "circle" else draw.rectangle)((x, y, x + size, y + size), fill=fill)
        image.save(folder / f"{i:03d}.jpg")
        rows.append({"file_name": f"{i:03d}.jpg", "caption": f"a {colour} {shape}", "category": colour})
    if table:
        write_table(folder / "photos.csv", rows)
    return rows


def write_table(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def run_line(line, capsys, monkeypatch):
    """Run a line such as `cat FILE | pyhash ARGUMENTS > OUT` in this process; return exit code, stdout and stderr."""
    words = shlex.split(line)
    out = None
    if ">" in words:
        words, out = words[: words.index(">")], words[words.index(">") + 1]
    if words[0] == "cat":
        with open(words[1], encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stdin", io.StringIO(file.read()))
        words = words[words.index("|") + 1 :]
    assert words[0] == "pyhash", line
    try:
        code = main(words[1:])
    except SystemExit as leaving:
        code = leaving.code
    captured = capsys.readouterr()
    if out is not None:
        with open(out, "w") as file:
            file.write(captured.out)
    return code, captured.out, captured.err

"""IAPR TC-12: descriptions, and the labels of regions, of 20,000 pictures.

Official files, from "IAPR TC-12 Benchmark" and "Segmented and annotated IAPR TC-12 dataset" of ImageCLEF:

  iaprtc12.tgz                    images/00/25.jpg ..., annotations_complete_eng/00/25.eng ...
  saiaprtc12ok.part1.rar, ...     benchmark/saiapr_tc-12/00/labels.txt ..., benchmark/wlist.txt

Unpack them first. Example:

  python recipes/iapr_tc12.py --data iaprtc12 --data saiaprtc12ok --encoder image=timm:resnet50 --out iapr-tc12.npz
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import numpy as np
from feature_file import Files, image_view, pictures_of, recipe_parser, report_rows, run_recipe, text_view, with_splits

from pyhash.datasets import Dataset

N_PUBLISHED = 20000
# Words of the bag in papers, which do not say how they were chosen.
N_WORDS = 2912


def build(arguments: argparse.Namespace) -> Dataset:
    """Return the pictures that have a description and at least one label."""
    files = Files(arguments.data)
    labels_of: dict[int, set[int]] = {}
    for path in files.within("saiapr_tc-12", "labels.txt").values():
        for picture, _, label in files.numbers(path, 3):
            labels_of.setdefault(picture, set()).add(label)
    texts: dict[int, str] = {}
    pictures: dict[int, str] = {}
    for name, path in files.within("annotations_complete_eng", ".eng").items():
        picture = int(name.rpartition("/")[2].removesuffix(".eng"))
        document = files.text(path)
        texts[picture] = _field(document, "DESCRIPTION", path)
        pictures[picture] = _field(document, "IMAGE", path)
    order = sorted(pictures)
    counts = Counter(label for picture in order for label in labels_of.get(picture, ()))
    # Most frequent first; equally frequent ones by number.
    used = sorted(sorted(counts, key=lambda label: (-counts[label], label))[: arguments.classes])
    column = {label: c for c, label in enumerate(used)}
    rows = [
        row for row, picture in enumerate(order) if texts[picture] and labels_of.get(picture, set()) & column.keys()
    ]
    report_rows(len(rows), N_PUBLISHED)
    kept = [order[row] for row in rows]
    labels = np.zeros((len(kept), len(used)), dtype=np.uint8)
    for i, picture in enumerate(kept):
        labels[i, [column[label] for label in labels_of[picture] if label in column]] = 1
    names = _names(files)
    text, vocabulary = text_view(arguments, [texts[picture] for picture in kept])
    paths = [pictures[picture] for picture in kept]
    dataset = Dataset(
        "iapr-tc12",
        views={
            "image": image_view(arguments, lambda: pictures_of(files, paths), np.array(rows), len(order)),
            "text": text,
        },
        labels={"classes": labels},
        label_names={"classes": [names.get(label, str(label)) for label in used]},
        hierarchy=[],
        layers=("classes",),
        splits={},
        items={"file": np.array(paths)},
        vocabulary=vocabulary,
    )
    return with_splits(dataset, arguments, {"iapr-tc12": "iapr-tc12"})


def _field(document: str, tag: str, path: str) -> str:
    """Return the text of an element; documents have signs that XML does not allow, such as a plain ampersand."""
    found = re.search(f"<{tag}>(.*?)</{tag}>", document, re.DOTALL)
    if found is None:
        raise ValueError(f"{path} must have an element {tag}")
    return " ".join(unescape(found[1]).split())


def _names(files: Files) -> dict[int, str]:
    """Return the names of labels by number."""
    names = {}
    for line in files.text(files.find("wlist.txt")).splitlines():
        number, _, name = line.strip().partition("\t")
        if number:
            names[int(number)] = name.strip()
    return names


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe."""
    parser = recipe_parser(__doc__ or "")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="FOLDER", help="a folder of the above, unpacked"
    )
    parser.add_argument("--classes", type=int, default=276, metavar="N", help="most frequent labels (default: all)")
    parser.add_argument(
        "--words", type=int, default=N_WORDS, metavar="N", help=f"most frequent words (default: {N_WORDS})"
    )
    return run_recipe(build, parser, argv)


if __name__ == "__main__":
    sys.exit(main())

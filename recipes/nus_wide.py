r"""NUS-WIDE: 1,000 tags, and the 10 or 21 most frequent of the 81 concepts.

Official files, from "NUS-WIDE" of the Lab for Media Search at the National University of Singapore:

  Groundtruth.zip     AllLabels/Labels_CONCEPT.txt: 0 or 1 for each of the 269,648 pictures
  NUS_WID_Tags.zip    AllTags1k.txt: 0 or 1 for each picture and tag; TagList1k.txt: the tags
  ConceptsList.zip    Concepts81.txt
  ImageList.zip       Imagelist.txt
  the pictures        Flickr/FOLDER/NAME.jpg; or features of them, such as BoW_int.dat of the low level features

Example, with the archives as they are, or unpacked:

  python recipes/nus_wide.py --data Groundtruth.zip --data NUS_WID_Tags.zip --data ConceptsList.zip \
      --data ImageList.zip --features BoW_int.dat --concepts 10 --out nus-wide-10.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from feature_file import Files, image_view, pictures_of, recipe_parser, report_rows, run_recipe, text_view, with_splits
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pyhash.datasets import Dataset

# Pairs that have one of the most frequent concepts, and the splits of papers, by the number of concepts.
PUBLISHED = {
    10: (186577, {"nus-wide": "nus-wide"}),
    21: (195834, {"nus-wide-2100": "nus-wide-2100", "nus-wide-5000": "nus-wide-5000"}),
}


def build(arguments: argparse.Namespace) -> Dataset:
    """Return the pairs that have at least one of the most frequent concepts."""
    files = Files(arguments.data)
    concepts = files.text(files.find("Concepts81.txt")).split()
    label_files = [files.find(f"AllLabels/Labels_{concept}.txt") for concept in concepts]
    matrix = np.stack([_digits(files.read(path), path) for path in label_files], axis=1)
    # Most frequent first; equally frequent ones in the order of the list.
    frequent = np.sort(np.argsort(-matrix.sum(axis=0, dtype=np.int64), kind="stable")[: arguments.concepts])
    labels = matrix[:, frequent]
    vocabulary = files.text(files.find("TagList1k.txt")).split()
    tags = _tag_rows(files, len(vocabulary))
    pictures = [_picture(line) for line in files.text(files.find("Imagelist.txt")).splitlines() if line.strip()]
    n_all = len(pictures)
    if not len(labels) == tags.shape[0] == n_all:
        raise ValueError(
            f"files must tell of equally many pictures, got {len(labels)} labels, {tags.shape[0]} rows of "
            f"tags, {n_all} pictures"
        )
    keep = labels.any(axis=1)
    if arguments.tagged:
        keep &= np.diff(tags.indptr) > 0
    rows = np.flatnonzero(keep)
    published, queries = PUBLISHED[arguments.concepts]
    report_rows(len(rows), published)
    bag = tags[rows]
    texts = [" ".join(vocabulary[j] for j in bag.indices[a:b]) for a, b in pairwise(bag.indptr)]
    names = [pictures[row] for row in rows]
    text, words = text_view(arguments, texts, (bag, vocabulary))
    dataset = Dataset(
        f"nus-wide-{arguments.concepts}",
        views={
            "image": image_view(arguments, lambda: pictures_of(files, names), rows, n_all),
            "text": text,
        },
        labels={"classes": labels[rows]},
        label_names={"classes": [concepts[c] for c in frequent]},
        hierarchy=[],
        layers=("classes",),
        splits={},
        items={"file": np.array(names)},
        vocabulary=words,
    )
    return with_splits(dataset, arguments, queries)


def _digits(data: bytes, path: str) -> NDArray[np.uint8]:
    """Return the digits 0 and 1 of a text, without the blanks between them."""
    digits = np.frombuffer(data.translate(None, b" \t\r\n"), dtype=np.uint8) - ord("0")
    if (digits > 1).any():
        raise ValueError(f"{path} must hold only 0 and 1")
    return digits


def _tag_rows(files: Files, n_tags: int) -> csr_array:
    """Return the 0/1 matrix of tags, read line by line: as text it has half a gigabyte."""
    path = files.find("AllTags1k.txt")
    rows = []
    for number, line in enumerate(files.lines(path)):
        digits = _digits(line, path)
        if len(digits) != n_tags:
            raise ValueError(f"{path} must have {n_tags} digits in each line, got {len(digits)} in row {number}")
        rows.append(np.flatnonzero(digits).astype(np.int32))
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    indices = np.concatenate(rows)
    return csr_array((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=(len(rows), n_tags))


def _picture(line: str) -> str:
    """Return FOLDER/NAME.jpg of a line of the list, which has backslashes and may begin with a drive."""
    return "/".join(line.strip().replace("\\", "/").split("/")[-2:])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe."""
    parser = recipe_parser(__doc__ or "")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="PATH", help="an archive or folder of the above"
    )
    parser.add_argument(
        "--concepts", type=int, choices=sorted(PUBLISHED), default=10, help="the most frequent ones (default: 10)"
    )
    parser.add_argument("--tagged", action="store_true", help="leave out pairs without any of the 1,000 tags")
    return run_recipe(build, parser, argv)


if __name__ == "__main__":
    sys.exit(main())

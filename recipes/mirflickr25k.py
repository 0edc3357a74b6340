r"""MIRFlickr-25K: 1,386 tags, 24 labels, the 20,015 pairs of the papers.

Official files, from "The MIRFLICKR Retrieval Evaluation" of LIACS Medialab at Leiden University:

  mirflickr25k.zip                    im1.jpg ... im25000.jpg, meta/tags/tags1.txt ..., doc/common_tags.txt
  mirflickr25k_annotations_v080.zip   a file of picture numbers for each label

Example, with the archives as they are, or unpacked:

  python recipes/mirflickr25k.py --images mirflickr25k.zip --annotations mirflickr25k_annotations_v080.zip \
      --encoder image=timm:resnet50 --out mirflickr25k.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from feature_file import Files, image_view, pictures_of, recipe_parser, report_rows, run_recipe, text_view, with_splits
from scipy.sparse import csr_array

from pyhash.datasets import Dataset

N_PUBLISHED = 20015
# Labels that were marked where they are relevant to the picture, beside the "potential" ones that papers take.
RELEVANT = "_r1.txt"


def build(arguments: argparse.Namespace) -> Dataset:
    """Return the pairs that have at least one of the common tags and one label."""
    files, annotations = Files([arguments.images]), Files([arguments.annotations])
    vocabulary = [
        line.split()[0] for line in files.text(files.find("doc/common_tags.txt")).splitlines() if line.strip()
    ]
    column = {tag: j for j, tag in enumerate(vocabulary)}
    paths = files.within("meta/tags", ".txt")
    numbers = sorted(int(name.removeprefix("tags").removesuffix(".txt")) for name in paths)
    tags = [files.text(paths[f"tags{number}.txt"]).split() for number in numbers]
    row_of = {number: row for row, number in enumerate(numbers)}
    label_files = _label_files(annotations)
    labels = np.zeros((len(numbers), len(label_files)), dtype=np.uint8)
    for c, path in enumerate(label_files.values()):
        for (number,) in annotations.numbers(path):
            if number not in row_of:
                raise ValueError(f"{path} must name pictures that have tags, got {number}")
            labels[row_of[number], c] = 1
    known = [sorted({column[tag] for tag in row if tag in column}) for row in tags]
    rows = np.flatnonzero(labels.any(axis=1) & np.array([bool(row) for row in known]))
    report_rows(len(rows), N_PUBLISHED)
    names = [f"im{numbers[row]}.jpg" for row in rows]
    texts = [" ".join(tags[row]) for row in rows]
    kept = [known[row] for row in rows]
    indices = np.array([j for row in kept for j in row], dtype=np.int32)
    indptr = np.cumsum([0, *map(len, kept)]).astype(np.int32)
    bag = csr_array((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=(len(kept), len(vocabulary)))
    text, words = text_view(arguments, texts, (bag, vocabulary))
    dataset = Dataset(
        "mirflickr25k",
        views={
            "image": image_view(arguments, lambda: pictures_of(files, names), rows, len(numbers)),
            "text": text,
        },
        labels={"classes": labels[rows]},
        label_names={"classes": list(label_files)},
        hierarchy=[],
        layers=("classes",),
        splits={},
        items={"file": np.array(names)},
        vocabulary=words,
    )
    return with_splits(dataset, arguments, {"mirflickr": "mirflickr"})


def _label_files(annotations: Files) -> dict[str, str]:
    """Return the files of the labels, by label."""
    paths = {path.rpartition("/")[2]: path for path in annotations.ending(".txt")}
    names = [name for name in sorted(paths) if name != "README.txt" and not name.endswith(RELEVANT)]
    return {name.removesuffix(".txt"): paths[name] for name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe."""
    parser = recipe_parser(__doc__ or "")
    parser.add_argument("--images", type=Path, required=True, metavar="PATH", help="mirflickr25k.zip, or its folder")
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="PATH",
        help="mirflickr25k_annotations_v080.zip, or its folder",
    )
    return run_recipe(build, parser, argv)


if __name__ == "__main__":
    sys.exit(main())

r"""MSCOCO 2014: captions and the 80 categories of objects; training and validation pictures together.

Official files, from "COCO - Common Objects in Context":

  annotations_trainval2014.zip    annotations/captions_train2014.json, instances_train2014.json, and of val2014
  train2014.zip, val2014.zip      train2014/COCO_train2014_NUMBER.jpg, val2014/COCO_val2014_NUMBER.jpg

Example, with the archives as they are, or unpacked:

  python recipes/mscoco.py --data annotations_trainval2014.zip --data train2014.zip --data val2014.zip \
      --encoder image=timm:resnet50 --out mscoco.npz
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from feature_file import Files, image_view, pictures_of, recipe_parser, report_rows, run_recipe, text_view, with_splits

from pyhash.datasets import Dataset

PARTS = ("train2014", "val2014")
N_PUBLISHED = 122218
N_QUERIES = 5000


def build(arguments: argparse.Namespace) -> Dataset:
    """Return the pictures that show at least one object, each with all its captions as one text."""
    files = Files(arguments.data)
    names: list[str] = []
    captions: list[str] = []
    shown: list[set[int]] = []
    categories: dict[int, str] = {}
    for part in PARTS:
        told, seen = (_load(files, f"annotations/{kind}_{part}.json") for kind in ("captions", "instances"))
        categories |= {each["id"]: each["name"] for each in seen["categories"]}
        pictures = sorted(told["images"], key=lambda picture: picture["id"])
        row_of = {picture["id"]: row for row, picture in enumerate(pictures, start=len(names))}
        names += [f"{part}/{picture['file_name']}" for picture in pictures]
        shown += [set() for _ in pictures]
        texts: list[list[str]] = [[] for _ in pictures]
        for each in sorted(told["annotations"], key=lambda annotation: annotation["id"]):
            texts[_row(row_of, each, part) - len(captions)].append(each["caption"].strip())
        for each in seen["annotations"]:
            shown[_row(row_of, each, part)].add(each["category_id"])
        captions += [" ".join(each) for each in texts]
    rows = np.array([row for row, classes in enumerate(shown) if classes and captions[row]], dtype=np.int64)
    report_rows(len(rows), N_PUBLISHED)
    column = {category: c for c, category in enumerate(sorted(categories))}
    labels = np.zeros((len(rows), len(column)), dtype=np.uint8)
    for i, row in enumerate(rows):
        labels[i, [column[category] for category in shown[row]]] = 1
    kept = [names[row] for row in rows]
    text, vocabulary = text_view(arguments, [captions[row] for row in rows])
    dataset = Dataset(
        "mscoco",
        views={
            "image": image_view(arguments, lambda: pictures_of(files, kept), rows, len(names)),
            "text": text,
        },
        labels={"classes": labels},
        label_names={"classes": [categories[category] for category in sorted(categories)]},
        hierarchy=[],
        layers=("classes",),
        splits={},
        items={"file": np.array(kept)},
        vocabulary=vocabulary,
    )
    return with_splits(dataset, arguments, {"mscoco": N_QUERIES})


def _row(row_of: dict[int, int], annotation: dict[str, Any], part: str) -> int:
    """Return the row of the picture that an annotation is of."""
    if annotation["image_id"] not in row_of:
        raise ValueError(f"annotations of {part} must be of its pictures, got one of {annotation['image_id']}")
    return row_of[annotation["image_id"]]


def _load(files: Files, end: str) -> dict[str, Any]:
    """Return the content of an annotation file, without the outlines of objects, which take most of its memory."""

    def slim(values: dict[str, Any]) -> dict[str, Any]:
        values.pop("segmentation", None)
        return values

    path = files.find(end)
    loaded = json.loads(files.read(path), object_hook=slim)
    missing = {"images", "annotations"} - set(loaded)
    if missing:
        raise ValueError(f"{path} must hold {' and '.join(sorted(missing))}")
    return dict(loaded)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe."""
    parser = recipe_parser(__doc__ or "")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="PATH", help="an archive or folder of the above"
    )
    parser.add_argument("--words", type=int, default=2000, metavar="N", help="most frequent words (default: 2000)")
    return run_recipe(build, parser, argv)


if __name__ == "__main__":
    sys.exit(main())

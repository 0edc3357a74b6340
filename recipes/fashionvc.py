"""FashionVC: 8 classes and 27 subclasses of clothes, the 19,862 pairs of the papers.

Files that the authors of hierarchical cross-modal hashing share (HiCHNet, SHDCH), as "FashionVC":

  image.mat    Image (19862, 224, 224, 3)
  tag.mat      Tag (19862, 2685)
  label.mat    Label (19862, 35): 8 classes, then their 27 subclasses

Example:

  python recipes/fashionvc.py --data FashionVC --encoder image=timm:resnet50 --out fashionvc.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from feature_file import (
    READ_PICTURES,
    encoder_of,
    image_view,
    recipe_parser,
    report_rows,
    run_recipe,
    with_splits,
)
from numpy.typing import NDArray

from pyhash.datasets import Dataset, load_mat

N_PUBLISHED = 19862
N_CLASSES = 8
# Table 2 of Han et al., TOMM 2024.
HIERARCHY = {
    "Activewear": ["Active Wear Pants"],
    "Dress": ["Cocktail Dress", "Day Dress", "Gown"],
    "Jeans": [
        *("Bootcut Jeans", "Flared Jeans", "Wide Leg Jeans", "Boyfriend Jeans", "Skinny Jeans", "Straight Leg Jeans"),
        "Topshop Jeans",
    ],
    "Outerwear": ["Coat", "Jacket", "Vest"],
    "Pants": ["Cropped Pants", "Leggings"],
    "Short": ["Short Pants"],
    "Skirt": ["Knee-length Skirt", "Long Skirt", "Mini Skirt"],
    "Top": ["Blouse", "Cardigan", "Sweater", "Sweat & Hoodyshirt", "Tank Top", "T-shirt", "Tunic"],
}


def build(arguments: argparse.Namespace) -> Dataset:
    """Return all pairs, with the hierarchy that the labels show."""
    if encoder_of(arguments, "text") is not None:
        raise ValueError("FashionVC has bags of words, not texts: leave --encoder text=NAME out")
    stored = load_mat(arguments.data, names={"text": "Tag", "labels": "Label"})
    matrix = stored.labels["classes"]
    n = len(stored)
    report_rows(n, N_PUBLISHED)
    layers = [matrix[:, :N_CLASSES], matrix[:, N_CLASSES:]] if matrix.ndim == 2 else []
    if not layers or layers[1].shape[1] == 0 or any((layer.sum(axis=1) != 1).any() for layer in layers):
        raise ValueError(f"Label must have one of {N_CLASSES} classes and one of their subclasses in each row")
    coarse, fine = (layer.argmax(axis=1) for layer in layers)
    parents = np.zeros(layers[1].shape[1], dtype=np.int64)
    for child in range(len(parents)):
        found = np.unique(coarse[fine == child])
        if len(found) != 1:
            raise ValueError(f"Label must have one class for each subclass, got {len(found)} for subclass {child}")
        parents[child] = found[0]
    image = image_view(arguments, lambda: _pictures(arguments.data / "image.mat", n), np.arange(n), n)
    dataset = Dataset(
        "fashionvc",
        views={"image": image, "text": stored.views["text"]},
        labels={"level1": coarse, "level2": fine},
        label_names=_names(parents),
        hierarchy=[parents],
        layers=("level1", "level2"),
        splits={},
    )
    return with_splits(dataset, arguments, {"fashionvc": "fashionvc"})


def _names(parents: NDArray[np.int64]) -> dict[str, list[str]]:
    """Return the names of the classes if the hierarchy is that of the paper, else numbers."""
    published = [c for c, children in enumerate(HIERARCHY.values()) for _ in children]
    if parents.tolist() == published:
        return {"level1": list(HIERARCHY), "level2": [child for children in HIERARCHY.values() for child in children]}
    print("the classes are not in the order of the paper's table: they are numbered", file=sys.stderr)
    return {
        "level1": [f"level1.{c}" for c in range(N_CLASSES)],
        "level2": [f"level2.{c}" for c in range(len(parents))],
    }


def _pictures(path: Path, n: int) -> Iterator[dict[str, Any]]:
    """Yield the pictures of a file of MATLAB, by name; one of version 7.3 is read a few at a time."""
    import h5py

    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            stored = file["Image"]  # dimensions in reverse
            _check_shape(path, stored.shape[::-1], n)
            for start in range(0, n, READ_PICTURES):
                yield _named(path, start, stored[..., start : start + READ_PICTURES].transpose(3, 2, 1, 0))
        return
    from scipy.io import loadmat

    pictures = loadmat(path, variable_names=["Image"])["Image"]
    _check_shape(path, pictures.shape, n)
    for start in range(0, n, READ_PICTURES):
        yield _named(path, start, pictures[start : start + READ_PICTURES])


def _check_shape(path: Path, shape: tuple[int, ...], n: int) -> None:
    if len(shape) != 4 or shape[0] != n or shape[3] != 3:
        raise ValueError(f"{path}: Image must have shape ({n}, height, width, 3), got {shape}")


def _named(path: Path, first: int, pictures: NDArray[Any]) -> dict[str, NDArray[np.uint8]]:
    if ((pictures < 0) | (pictures > 255)).any():
        raise ValueError(f"{path}: Image must have values from 0 to 255")
    return {f"{path}: picture {i}": picture for i, picture in enumerate(pictures.astype(np.uint8), start=first)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe."""
    parser = recipe_parser(__doc__ or "")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the folder of the three files")
    return run_recipe(build, parser, argv)


if __name__ == "__main__":
    sys.exit(main())

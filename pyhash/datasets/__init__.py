"""Data sets: a built-in real one, seeded generators of any size, and readers of your own files."""

from pyhash.datasets.dataset import Chunk, Dataset
from pyhash.datasets.emoji import load_emoji
from pyhash.datasets.mat import load_mat
from pyhash.datasets.npz import load_npz, save_npz
from pyhash.datasets.published import published_split
from pyhash.datasets.synthetic import make_drifting, make_hierarchical, make_multilabel
from pyhash.datasets.table import Table, open_table
from pyhash.datasets.table_dataset import load_table

__all__ = [
    "Chunk",
    "Dataset",
    "Table",
    "load_emoji",
    "load_mat",
    "load_npz",
    "load_table",
    "make_drifting",
    "make_hierarchical",
    "make_multilabel",
    "open_table",
    "published_split",
    "save_npz",
]

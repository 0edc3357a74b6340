"""Data to learn from: a real set that ships with the package, and generators of any size."""

from pyhash.datasets.dataset import Chunk, Dataset
from pyhash.datasets.emoji import load_emoji
from pyhash.datasets.synthetic import make_hierarchical, make_multilabel

__all__ = ["Chunk", "Dataset", "load_emoji", "make_hierarchical", "make_multilabel"]

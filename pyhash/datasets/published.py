"""Splits into queries and database of the sizes that papers report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyhash._inputs.checks import check_choice, check_integer
from pyhash.datasets.dataset import Dataset

# Queries of each published split; docs/datasets.md says where the numbers stand.
PUBLISHED_QUERIES = {
    "mirflickr": 2000,
    "nus-wide": 1867,
    "nus-wide-2100": 2100,
    "nus-wide-5000": 5000,
    "iapr-tc12": 2000,
    "fashionvc": 2000,
    "ssense": 2000,
}


def published_split(dataset: Dataset, preset: str | int, *, seed: int = 0, name: str | None = None) -> Dataset:
    """Return the data set with one more split: as many random queries as a paper uses, all other rows as database.

    Parameters
    ----------
    dataset : Dataset
        Not changed.
    preset : str or int
        Any number of queries, or one of these:

        - "mirflickr": 2,000 queries. Of the 20,015 pairs that papers keep, 18,015 are the database (Zhang et al.,
          SEOCH, Scientific Reports 2024; Liu et al., DSFH, IJCAI 2024). Other versions of the data have other totals
          and are taken too.
        - "nus-wide": 1,867 queries; 10 classes, 186,577 pairs (the same two).
        - "nus-wide-2100": 2,100 queries; 21 classes, 195,834 pairs (Ma et al., DHSL, IEEE Access 2024).
        - "nus-wide-5000": 5,000 queries; 21 classes, 195,834 pairs (Han et al., SHOH, TOMM 2024).
        - "iapr-tc12": 2,000 queries of 20,000 pairs (Liu et al., DSFH).
        - "fashionvc": 2,000 queries of 19,862 pairs (Han et al., SHOH).
        - "ssense": 2,000 queries of 15,696 pairs (the same).
    seed : int
        Papers draw queries at random and do not publish them: report the mean over several seeds.
    name : str, optional
        Name of the split; by default the preset, or "random" for a number. A split of this name is replaced.

    Returns
    -------
    Dataset
        Shares views, labels and items with `dataset`.

    Raises
    ------
    TypeError
        If `dataset` is not a Dataset.
    TypeError
        If `preset` is neither a string nor an integer.
    TypeError
        If `name` is not a string, or `seed` not an integer.
    ValueError
        If `preset` is a string that is not listed, or an integer < 1.
    ValueError
        If `seed` is < 0.
    ValueError
        If the data set has no more rows than there are queries.

    Examples
    --------
    >>> from pyhash.datasets import make_multilabel
    >>> data = published_split(make_multilabel(20015), "mirflickr", seed=1)
    >>> [len(rows) for rows in data.split("mirflickr")]
    [18015, 2000]
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a Dataset, got {type(dataset).__name__}")
    if isinstance(preset, str):
        n_queries = PUBLISHED_QUERIES[check_choice("preset", preset, tuple(PUBLISHED_QUERIES))]
    else:
        n_queries = check_integer("preset", preset, 1)
    if name is None:
        name = preset if isinstance(preset, str) else "random"
    elif not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    n = len(dataset)
    if n <= n_queries:
        raise ValueError(f"dataset must have more than {n_queries} rows for preset {preset!r}, got {n}")
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    is_query = np.zeros(n, dtype=bool)
    is_query[rng.permutation(n)[:n_queries]] = True
    return replace(dataset, splits={**dataset.splits, name: is_query})

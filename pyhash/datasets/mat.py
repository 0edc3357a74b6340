"""Data sets of the field's MATLAB files."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pyhash.datasets.dataset import Dataset
from pyhash.datasets.layouts import dataset_of
from pyhash.datasets.matlab import MatSource


def load_mat(
    path: str | os.PathLike[str], layout: str | None = None, *, names: Mapping[str, str] | None = None
) -> Dataset:
    """A data set of a MATLAB file, in a layout that the field uses or with arrays that you name.

    Parameters
    ----------
    path : path-like
        A .mat file of any version, or a folder of which all .mat files are read as one. Version 7.3 needs h5py, the
        extra ``[mat]``.
    layout : str, optional
        By default the first that the file has all variables for. Names match whatever the case, where one does.

        - "shoh": ``Gist``, ``Tag``, ``Label``, ``A1_2`` (c1, c2). Views "image", "text"; the first c1 columns of the
          labels are "level1", the others "level2"; the hierarchy holds parents, or the 0/1 matrix where a class has
          several.
        - "dcmh": ``XAll`` or ``IAll``, ``YAll``, ``LAll``, ``FAll``. Views "image", "text"; ``FAll`` is view
          "image_deep" where it holds numbers and item "file" where it holds names; ``IAll`` beside ``XAll`` is
          view "image_raw", unless it is raw pictures (n, ., ., .), which are not read.
        - "tr-te-db": ``I_tr``, ``T_tr``, ``L_tr``, the same with ``_te`` for queries and ``_db`` for the database;
          without the latter the training rows are the database. See Notes.
        - "tr-te": the same, with ``_db`` ignored.
        - "captions": ``index``, ``caption``, ``label`` (or ``category``), in one file or a folder of three. Texts
          become item "caption" and view "text", the counts of words that at least two captions have, with their
          vocabulary; numbers are view "text" as they are. ``index`` is item "index", or view "image" where it is a
          matrix.
    names : mapping of str to str, optional
        Which variables are what, for any other file: ``{"image": "X1", "text": "X2", "labels": "L"}``. All keys but
        "labels" are views.

    Returns
    -------
    Dataset
        Views of the dtype that is stored, sparse ones as csr_array; labels "classes", 0/1 (n, c) uint8, or class
        indices (n,) int64 from 0 where the file has one column of class numbers, which ``label_names`` keep.

    Raises
    ------
    ImportError
        If the file has version 7.3 and there is no h5py.
    OSError
        If the file cannot be opened.
    TypeError, ValueError
        If the file is damaged, has none of the layouts or not all of the one asked for (the message lists what it has;
        structs and objects are never read), if rows and columns cannot be told apart, or if labels are not 0/1 or
        class numbers.

    Notes
    -----
    Samples may be rows or columns: the number that all matrices have in common tells. Features are not checked for NaN
    here; every method does.

    "tr-te-db" and "tr-te" have one row space, database and then queries, and split "published". Training rows that the
    database has too, equal in all views and labels, are there once. ``items["role"]`` is "train", "database" (not
    learned from), "query", or "train only": learned from, but not in the file's database. Where there are any of
    those, they follow the database, and since a split has only two sides ``split("published")`` counts them to the
    database; search the rows of role "train" and "database" then.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from scipy.io import savemat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "mine.mat")
    ...     savemat(path, {"X1": np.ones((6, 4)), "X2": np.eye(6, 5), "L": [[1], [1], [2], [3], [3], [3]]})
    ...     data = load_mat(path, names={"image": "X1", "text": "X2", "labels": "L"})
    >>> data
    Dataset('mine', 6 rows; views: image 4, text 5; labels: classes)
    >>> data.labels["classes"]
    array([0, 0, 1, 2, 2, 2])
    """
    return dataset_of(MatSource(path), layout, names)

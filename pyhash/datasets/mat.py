"""Reader of MATLAB files in the layouts of published data sets."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pyhash.datasets.dataset import Dataset
from pyhash.datasets.layouts import dataset_of
from pyhash.datasets.matlab import MatSource


def load_mat(
    path: str | os.PathLike[str], layout: str | None = None, *, names: Mapping[str, str] | None = None
) -> Dataset:
    """Read a data set from a MATLAB file, in a published layout or by the names of its arrays.

    Parameters
    ----------
    path : path-like
        A .mat file of any version, or a folder whose .mat files are read as one. Version 7.3 needs h5py, the extra
        ``[mat]``.
    layout : str, optional
        By default the first of which the file has all variables. Case is ignored if only one variable matches then.

        - "shoh": ``Gist``, ``Tag``, ``Label``, ``A1_2`` (c1, c2), for more than two levels also ``A2_3`` (c2, c3) and
          so on. Views "image", "text"; the first c1 columns of the labels are "level1", the next c2 "level2", and so
          on; the hierarchy holds parents, or the 0/1 matrix where a class has several parents.
        - "dcmh": ``XAll`` or ``IAll``, ``YAll``, ``LAll``, ``FAll``. Views "image", "text"; ``FAll`` is view
          "image_deep" if it holds numbers and item "file" if it holds names; ``IAll`` beside ``XAll`` is view
          "image_raw", unless it holds raw pictures (n, ., ., .), which are not read.
        - "tr-te-db": ``I_tr``, ``T_tr``, ``L_tr``, the same with ``_te`` for queries and ``_db`` for the database;
          without the latter the training rows are the database. See Notes.
        - "tr-te": the same, with ``_db`` ignored.
        - "captions": ``index``, ``caption``, ``label`` (or ``category``), in one file or a folder of three. Texts
          become item "caption" and view "text", the counts of the words that occur in at least two captions, with
          their vocabulary. Numbers become view "text" unchanged. ``index`` is item "index", or view "image" if it is a
          matrix.
    names : mapping of str to str, optional
        For other files, the variables of the views and of the labels:
        ``{"image": "X1", "text": "X2", "labels": "L"}``. All keys but "labels" are views.

    Returns
    -------
    Dataset
        Views have the dtype of the file; sparse ones are csr_array. Labels "classes" are 0/1 (n, c) uint8, or class
        indices (n,) int64 from 0 if the file has one column of class numbers. ``label_names`` keep these numbers.

    Raises
    ------
    ImportError
        If the file has version 7.3 and h5py is not installed.
    OSError
        If the file cannot be opened.
    ValueError
        If the file is damaged.
    ValueError
        If the file has none of the layouts, or not all variables of the given one. The message lists its variables;
        structs and objects are not read.
    ValueError
        If the shapes do not tell whether samples are rows or columns.
    ValueError
        If labels are neither 0/1 nor class numbers.
    TypeError
        If `names` is not a mapping of str to str.

    Notes
    -----
    Samples may be rows or columns: all matrices have their number in common. Features are not checked for NaN; every
    method does that.

    The rows of "tr-te-db" and "tr-te" are the database, then the queries; split "published" separates them. Training
    rows that are also in the database, equal in all views and labels, appear once. ``items["role"]`` is "train",
    "database" (not learned from), "query", or "train only" (learned from, but not in the file's database). Rows of role
    "train only" follow the database, and ``split("published")`` counts them as database, since a split has only two
    sides. If there are any, search only the rows of role "train" and "database".

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

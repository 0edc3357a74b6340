"""The built-in data set: pictures and texts of emoji."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyhash.datasets.dataset import Dataset


def load_emoji() -> Dataset:
    """Load 9,150 real pairs of an emoji's picture and text.

    Returns
    -------
    Dataset
        - views: "image_deep" (9150, 256) float32, "image_gist" (9150, 512) float32, "text" (9150, 2443) csr_array of
          0/1, "text_deep" (9150, 256) float32
        - labels: "level1" (8 groups) and "level2" (87 subgroups) class indices, the hierarchy; "keywords" (9150, 80)
          0/1, of which 27 % of the rows have none: leave these rows out for multi-label learning
        - splits: "pair" (903 queries: a new picture of a known emoji), "emoji" (888 queries: emoji never seen)
        - items: "text", "name", "codepoints", "emoji_id", "vendor"
        - vocabulary: the words of the columns of "text"

    Notes
    -----
    "image_deep" and "image_gist" are two descriptions of the picture, "text" (a bag of words) and "text_deep" (a
    sentence embedding) two of the text. The examples and ``pyhash bench`` take "image_deep" and "text" unless they say
    otherwise.

    The data set holds features only, no pictures. docs/datasets.md describes how it was made, NOTICE its sources and
    their licenses.

    Examples
    --------
    >>> data = load_emoji()
    >>> {name: view.shape[1] for name, view in data.views.items()}
    {'image_deep': 256, 'image_gist': 512, 'text': 2443, 'text_deep': 256}
    >>> str(data.items["name"][0]), data.label_names["level2"][data.labels["level2"][0]]
    ('grinning face', 'face-smiling')
    """
    from scipy.sparse import csr_array

    raw = _stored("emoji.npz") | _stored("emoji_text_deep.npz")
    indices = raw["text_indices"].astype(np.int32)
    text = csr_array(
        (np.ones(len(indices), dtype=np.float32), indices, raw["text_indptr"]), shape=tuple(raw["text_shape"])
    )
    keywords = np.unpackbits(raw["keyword_labels"], axis=1, count=len(raw["keyword_names"]), bitorder="little")
    return Dataset(
        name="emoji",
        views={
            "image_deep": _decode(raw["image_deep"], raw["image_deep_range"]),
            "image_gist": _decode(raw["image_gist"], raw["image_gist_range"]),
            "text": text,
            "text_deep": _decode(raw["text_deep"], raw["text_deep_range"]),
        },
        labels={
            "level1": raw["group"].astype(np.int64),
            "level2": raw["subgroup"].astype(np.int64),
            "keywords": keywords,
        },
        label_names={
            "level1": raw["group_names"].tolist(),
            "level2": raw["subgroup_names"].tolist(),
            "keywords": raw["keyword_names"].tolist(),
        },
        hierarchy=[raw["subgroup_parent"].astype(np.int64)],
        layers=("level1", "level2"),
        splits={"pair": raw["query_by_pair"] == 1, "emoji": raw["query_by_emoji"] == 1},
        items={
            "text": raw["text"],
            "name": raw["name"],
            "codepoints": raw["codepoints"],
            "emoji_id": raw["emoji_id"].astype(np.int64),
            "vendor": raw["vendor_names"][raw["vendor"]],
        },
        vocabulary=raw["vocab"].tolist(),
        instances="emoji_id",
    )


def _stored(name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file of the package."""
    with as_file(files("pyhash.datasets") / "data" / name) as path, np.load(path, allow_pickle=False) as stored:
        return {member: stored[member] for member in stored.files}


def _decode(coded: NDArray[np.uint8], limits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features that are stored as a byte between two limits."""
    low, high = limits
    decoded: NDArray[np.float32] = coded.astype(np.float32) / np.float32(255) * (high - low) + low
    return decoded

"""Find pictures for words in the folder that the demo wrote."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pyhash.cli.model_folder import ModelFolder, read_model_folder


def search_catalogue(directory: Path, query: str, *, k: int, as_json: bool) -> None:
    """Print the `k` pictures of the folder's index that are nearest to the words, by weighted Hamming distance."""
    folder = read_model_folder(directory)
    known, unknown = split_words(query, folder)
    if not known:
        raise ValueError(f"none of the words of {query!r} is in the vocabulary of {directory}")
    hits = find(known, folder, k)
    if as_json:
        print(json.dumps({"query": query, "unknown_words": unknown, "hits": hits}, ensure_ascii=False, indent=1))
        return
    if unknown:
        print(f"not in the vocabulary: {' '.join(unknown)}")
    print(f"{'rank':>4}  {'distance':>8}  picture")
    for hit in hits:
        source = f"{hit['vendor']}, {hit['subgroup']}"
        print(f"{hit['rank']:>4}  {hit['distance']:>8.3f}  {hit['emoji']} {hit['name']} ({source})")


def split_words(query: str, folder: ModelFolder) -> tuple[list[str], list[str]]:
    """Return the words of a query that the vocabulary has, and the others."""
    vocabulary = set(folder.catalogue.vocabulary)
    words = list(dict.fromkeys(query.lower().split()))
    return [word for word in words if word in vocabulary], [word for word in words if word not in vocabulary]


def find(words: list[str], folder: ModelFolder, k: int) -> list[dict[str, object]]:
    """Return the nearest pictures as JSON objects, nearest first."""
    catalogue = folder.catalogue
    bag = np.isin(catalogue.vocabulary, words).astype(np.float32)[None, :]
    projections = folder.model.project(bag, modality=catalogue.modality)
    hits = folder.index.search_weighted(projections, k, model=folder.model)
    return [
        {"rank": rank, "id": number, "distance": round(distance, 6), **asdict(catalogue.pictures[number])}
        for rank, (number, distance) in enumerate(
            zip(hits.ids[0].tolist(), hits.distances[0].tolist(), strict=True), start=1
        )
    ]

"""Texts as a bag of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyhash.encoders.words import words_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_MIN_TEXTS = 2


def bag_of_words(texts: Sequence[str], n_words: int | None = None) -> tuple[csr_array, list[str]]:
    """Return the counts of words in texts (n, n_words) float32, and the words in alphabetical order.

    Words are runs of letters, marks and digits, in lower case. Only words that occur in at least two texts count; of
    these, the `n_words` that occur in most texts, by default all.
    """
    from scipy.sparse import csr_array

    counts = [Counter(words_of(text)) for text in texts]
    n_texts = Counter(word for count in counts for word in count)
    known = sorted((word for word, n in n_texts.items() if n >= _MIN_TEXTS), key=lambda word: (-n_texts[word], word))
    vocabulary = sorted(known[:n_words])
    if not vocabulary:
        raise ValueError(f"must have a word that occurs in {_MIN_TEXTS} texts, got none in {len(texts)} texts")
    column = {word: j for j, word in enumerate(vocabulary)}
    rows = [sorted((column[word], n) for word, n in count.items() if word in column) for count in counts]
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([j for row in rows for j, _ in row], dtype=np.int32)
    data = np.array([n for row in rows for _, n in row], dtype=np.float32)
    return csr_array((data, indices, indptr.astype(np.int32)), shape=(len(texts), len(vocabulary))), vocabulary

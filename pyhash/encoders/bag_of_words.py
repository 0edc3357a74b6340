"""Bags of words over a vocabulary that grows with a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyhash._inputs.checks import MAX_WIDTH, check_bool, check_integer
from pyhash.encoders.contract import Encoder
from pyhash.encoders.items import Kind, listed_items
from pyhash.encoders.words import words_of
from pyhash.errors import NotFittedError

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class BagOfWords(Encoder):
    """Bags of words, over a vocabulary that grows as texts come.

    A word is a longest run of letters, marks and digits, in lower case (Unicode's case folding, normal form KC). Once
    it has been in `min_count` texts it gets the next free column, for good: columns of texts that were encoded before
    keep their meaning. When all columns are taken, no word is added any more.

    Parameters
    ----------
    n_features : int, default=2048
        Number of columns, known and fixed from the start.
    min_count : int, default=1
        Number of texts that a word must be in to get a column. Rarer words are counted until all columns are taken.
    binary : bool, default=True
        Whether a value is 1 for each word of the text; otherwise, how often the text has it.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        The column of each word.

    Examples
    --------
    >>> from pyhash.encoders import BagOfWords
    >>> bag = BagOfWords(n_features=4).partial_fit(["Canned food", "food for cats"])
    >>> bag.vocabulary_
    {'canned': 0, 'food': 1, 'for': 2, 'cats': 3}
    >>> bag.encode(["FOOD, canned!", "dogs"]).toarray()
    array([[1., 1., 0., 0.],
           [0., 0., 0., 0.]], dtype=float32)
    >>> bag.unknown_words("canned dogs")
    ['dogs']
    """

    name = "bag-of-words"
    kind: Kind = "text"
    is_sparse = True

    def __init__(self, n_features: int = 2048, *, min_count: int = 1, binary: bool = True) -> None:
        self.n_features: int = check_integer("n_features", n_features, 1, MAX_WIDTH)
        self.min_count = check_integer("min_count", min_count, 1)
        self.binary = check_bool("binary", binary)
        self._columns: dict[str, int] = {}
        self._counts: dict[str, int] = {}  # of words without a column

    @property
    def vocabulary_(self) -> dict[str, int]:
        """The column of each word."""
        return dict(self._columns)

    @property
    def version(self) -> str:  # type: ignore[override]
        """The rule for words, and a checksum of the vocabulary; another one after texts that add words."""
        digest = hashlib.sha256("\n".join(self._columns).encode("utf-8", "surrogatepass"))
        return f"1, {self.n_features} columns, {'binary' if self.binary else 'counts'}, {digest.hexdigest()[:16]}"

    def partial_fit(self, texts: Any) -> BagOfWords:
        """Add the words of texts to the vocabulary; it is the same however the texts are cut into chunks.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        BagOfWords
            Itself.

        Raises
        ------
        TypeError
            If `texts` is not a sequence of str.
        """
        for text in listed_items("text", texts, "texts"):
            if len(self._columns) == self.n_features:
                break
            for word in dict.fromkeys(words_of(text)):
                self._count(word)
        return self

    def _count(self, word: str) -> None:
        if word in self._columns or len(self._columns) == self.n_features:
            return
        count = self._counts.pop(word, 0) + 1
        if count < self.min_count:
            self._counts[word] = count
            return
        self._columns[word] = len(self._columns)
        if len(self._columns) == self.n_features:
            self._counts.clear()

    def unknown_words(self, text: str) -> list[str]:
        """Return the words of a text that have no column, each once, in their order.

        Raises
        ------
        TypeError
            If `text` is not a str.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        return [word for word in dict.fromkeys(words_of(text)) if word not in self._columns]

    def _encode_batch(self, items: list[Any]) -> csr_array:
        if not self._columns:
            raise NotFittedError("this BagOfWords has no words yet: call partial_fit with texts first")
        from scipy.sparse import csr_array

        columns: list[int] = []
        ends = [0]
        for text in items:
            found = [self._columns[word] for word in words_of(text) if word in self._columns]
            columns += set(found) if self.binary else found
            ends.append(len(columns))
        values = np.ones(len(columns), np.float32)
        rows = csr_array((values, np.array(columns, np.int32), ends), shape=(len(items), self.n_features))
        rows.sum_duplicates()  # sorts the columns too
        return rows

    def to_state(self) -> dict[str, Any]:
        """Return parameters and vocabulary as values of JSON, which ``from_state`` takes."""
        return {
            "n_features": self.n_features,
            "min_count": self.min_count,
            "binary": self.binary,
            "words": list(self._columns),
            "counts": dict(self._counts),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BagOfWords:
        """Return the encoder of a state.

        Parameters
        ----------
        state : mapping
            What ``to_state`` gave, also after a way through JSON.

        Raises
        ------
        TypeError
            If `state` is not a mapping, or a value is of another type.
        ValueError
            If an entry is missing or unknown, or values do not fit together.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping, got {type(state).__name__}")
        wanted = {"n_features", "min_count", "binary", "words", "counts"}
        if set(state) != wanted:
            raise ValueError(f"state must have the entries {sorted(wanted)}, got {sorted(map(str, state))}")
        bag = cls(state["n_features"], min_count=state["min_count"], binary=state["binary"])
        words, counts = state["words"], state["counts"]
        if not isinstance(words, (list, tuple)) or not isinstance(counts, Mapping):
            raise TypeError("state must have a list of words and a mapping of counts")
        for word in (*words, *counts):
            if not isinstance(word, str):
                raise TypeError(f"state must have words of type str, got {word!r}")
        bag._columns = {word: column for column, word in enumerate(words)}
        bag._counts = {word: check_integer(f"count of {word!r}", n, 1, bag.min_count - 1) for word, n in counts.items()}
        is_full = len(words) == bag.n_features
        if len(bag._columns) < len(words) or len(words) > bag.n_features or bag._columns.keys() & counts.keys():
            raise ValueError(f"state must have at most {bag.n_features} words, each once")
        if is_full and counts:
            raise ValueError("state must have no counts where all columns are taken")
        return bag

"""The words of a text."""

from __future__ import annotations

import re
import unicodedata

_ASCII_WORDS = re.compile("[a-z0-9]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order: longest runs of letters, marks and digits, case-folded.

    The text is brought to normal form KC first, so that equal letters are equal. Scripts without spaces between words
    give one word for each run.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if folded.isascii():
        return _ASCII_WORDS.findall(folded)
    # Not \\w of re, which ends words at the vowel signs of many scripts.
    return "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in folded).split()

"""What transforms of pictures and tokenizers do, as values of JSON that are the same in every process."""

from __future__ import annotations

import json
import re
from typing import Any

_STATE_OF_CALLS = ("padding", "truncation")


def transform_values(transform: object) -> str:
    """Return the type of a transform or tokenizer and its description, without addresses in memory."""
    length = getattr(transform, "context_length", None)  # of a tokenizer
    return f"{type(transform).__name__} {length} {re.sub(' at 0x[0-9a-f]+', '', repr(transform))}"


def tokenizer_values(tokenizer: Any) -> list[object]:
    """Return the rules of a tokenizer of transformers, without what its last call left in it."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return [tokenizer.get_vocab()]
    return [rule for rule in json.loads(fast.to_str()).items() if rule[0] not in _STATE_OF_CALLS]

"""Calls the public interface with wrong arguments, which its signatures name.

A call must succeed, or raise an error of a documented type whose message names an argument; one that raises leaves
its object as it was. No crash, no hang, no memory without need.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from typing import Any

import numpy as np

from pyhash import IndexChangedError
from tools.fuzz.child import Case
from tools.fuzz.command import main
from tools.fuzz.interface import Target, targets

ALLOWED = (TypeError, ValueError, IndexError, KeyError, OSError, ImportError, IndexChangedError)

# Parameters that may ask for as much work as one likes.
WORK = {
    "n_iter", "epochs", "max_sweeps", "n_samples", "n_clusters", "seeds", "n_anchors", "n_concepts",
    "hidden", "feature_width", "relation_hidden", "relation_rows", "selector_hidden",
}  # fmt: skip
HUGE = (2**31, 2**62, 2**70)


def wrong_values(rng: np.random.Generator) -> list[Any]:
    """Return values of many kinds, most of which are wrong wherever they are given."""
    import torch
    from scipy.sparse import csr_array

    n, m = (int(each) for each in rng.integers(0, 30, size=2))
    return [
        None, True, False, 0, 1, -1, 3, 1.5, -0.0, float("nan"), float("inf"), 1e308, 1j, *HUGE, -(2**63),
        "", "a", "bits", "\0", "x" * 300, b"", b"ab", bytearray(b"ab"), range(3), object(), int, len,
        [], [[]], [[], [1]], [None], ["a"], [[1, 2], [3]], (), (1,), set(), {1, 2}, iter([1, 2]),
        {}, {"a": 1}, {"a": None}, {1: [1]}, {"": []}, {"a": [[1]], "b": "x"}, [np.zeros(3), np.zeros(2)],
        np.float16(1), np.int8(3), np.array(3), np.array([]), np.array([np.nan]), np.full((3, 16), np.inf),
        np.zeros((n, m)), np.zeros((n, 2), np.uint8), np.zeros((2, 2, 2)), np.zeros((24, 20))[::-2],
        np.arange(24), np.arange(24) - 5, np.full(24, 2**40), np.zeros(24, bool), np.zeros((24, 3)),
        np.array([1, "a", None], object), np.array(["a", "b"]), np.array([1 + 2j]),
        np.array(["2020-01-01"], "M8[D]"), np.ma.masked_array([1, 2], [0, 1]), csr_array((24, 20)),
        torch.zeros(3, 16), torch.zeros(3, 16, requires_grad=True), torch.zeros((24,), dtype=torch.int64),
        torch.zeros(3, 2, dtype=torch.uint8), torch.zeros(3, 16, dtype=torch.bfloat16),
        {"a": np.zeros((24, 20)), "b": np.zeros((23, 17))}, {"a": np.full((24, 20), np.nan)},
        {"a": np.full((24, 20), 1e300)}, {"a": np.zeros((24, 0))}, {"c": np.zeros((24, 20))},
    ]  # fmt: skip


def call_wrongly(target: Target, wrong: dict[str, Any]) -> str | None:
    """Call a target with some arguments replaced; return what is wrong with the outcome."""
    call, state = target.prepare()
    before = state()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        os.chdir(folder)  # some of the wrong values are names of files
        warnings.simplefilter("ignore")
        try:
            call(**{**target.valid, **wrong})
        except MemoryError:
            asked = any(isinstance(value, int) and value in HUGE for value in wrong.values())
            return None if asked else "raises MemoryError"
        except ALLOWED as error:
            if state() != before:
                return f"raises {type(error).__name__}, but has changed the object: {error}"
            return _fault_of_message(target, wrong, error)
        except BaseException as error:
            return f"raises {type(error).__name__}: {error}"
    return None


def _fault_of_message(target: Target, wrong: dict[str, Any], error: Exception) -> str | None:
    message = str(error)
    # A KeyError names the key; paths are named by themselves, and refused by Python as everywhere.
    if isinstance(error, (OSError, ImportError, KeyError)) or re.search("os.PathLike object|embedded null", message):
        return None
    if isinstance(wrong.get("path"), str) and wrong["path"] in message:
        return None
    if any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message) for name in (*target.parameters, *target.named)):
        return None
    return f"names none of its arguments: {type(error).__name__}: {message}"


def make_batch(rng: np.random.Generator) -> list[Case]:
    """Return calls with one wrong argument, or sometimes two."""
    cases = []
    for _ in range(60):
        target = targets()[rng.integers(len(targets()))]
        chosen = rng.choice(
            target.parameters, size=min(len(target.parameters), 1 + (rng.random() < 0.2)), replace=False
        )
        values = wrong_values(rng)
        wrong = {}
        for name in map(str, chosen):
            value = values[rng.integers(len(values))]
            if name in ("metric", "source") and callable(value):
                continue  # a function of the user, whose own errors are not ours
            if not (name in WORK and isinstance(value, int) and value in HUGE):
                wrong[name] = value
        shown = ", ".join(f"{name}={_short(value)}" for name, value in wrong.items())
        cases.append(Case(f"{target.name} ({shown})", lambda target=target, wrong=wrong: call_wrongly(target, wrong)))
    return cases


def _short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype} and shape {value.shape}"
    return re.sub(" at 0x[0-9a-f]+|\\s+", " ", repr(value))[:60]


if __name__ == "__main__":
    sys.exit(main("calls", make_batch))

"""Ways to damage a file: its bytes, the members of a zip, values of JSON, arrays."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from typing import Any

import numpy as np

_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF]
_VALUES = [None, True, 0, -1, 2**31, 2**63, 1e308, float("nan"), "", "\0", "x" * 1000, [], [[]], {}, {"a": 1}]


def mutate_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, overwrite numbers, cut, repeat or insert, once to four times."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if not changed:
            break
        # Headers lie at the start: half of the changes go there.
        place = int(rng.integers(len(changed) if rng.random() < 0.5 else min(256, len(changed))))
        length = int(rng.integers(1, 65))
        match rng.integers(6):
            case 0:
                changed[place] ^= 1 << int(rng.integers(8))
            case 1:
                size = int(rng.choice([1, 2, 4, 8]))
                number = _NUMBERS[rng.integers(len(_NUMBERS))] % (1 << 8 * size)
                changed[place : place + size] = number.to_bytes(size, "little")
            case 2:
                del changed[place:]
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = changed[place : place + length]
            case _:
                changed[place : place + length] = rng.bytes(length)
    return bytes(changed)


def mutate_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one member of a zip whose checksums hold afterwards."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = str(rng.choice(sorted(members)))
    if rng.random() < 0.1:
        del members[name]
    else:
        members[name] = mutate_member(name, members[name], rng)
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return out.getvalue()


def mutate_member(name: str, content: bytes, rng: np.random.Generator) -> bytes:
    """Change a file as its name says: values of JSON, an array of .npy, else bytes."""
    if rng.random() < 0.7:
        if name.endswith(".json"):
            return json.dumps(mutate_json(json.loads(content), rng)).encode()
        if name.endswith(".npy"):
            out = io.BytesIO()
            np.save(out, mutate_array(np.load(io.BytesIO(content)), rng), allow_pickle=False)
            return out.getvalue()
    return mutate_bytes(content, rng)


def mutate_json(value: Any, rng: np.random.Generator) -> Any:
    """Replace, remove or repeat one value somewhere inside."""
    value = copy.deepcopy(value)
    parent = value
    while isinstance(parent, (dict, list)) and parent:
        key = list(parent)[rng.integers(len(parent))] if isinstance(parent, dict) else int(rng.integers(len(parent)))
        child = parent[key]
        if isinstance(child, (dict, list)) and child and rng.random() < 0.8:
            parent = child
        elif rng.random() < 0.2:
            del parent[key]
            break
        elif isinstance(child, int) and rng.random() < 0.5:
            parent[key] = child + int(rng.integers(-3, 4))
            break
        else:
            parent[key] = _VALUES[rng.integers(len(_VALUES))]
            break
    return value


def mutate_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut, lengthen, reshape or convert an array, or change a value."""
    match rng.integers(6):
        case 0:
            return array[: array.shape[0] // 2] if array.ndim else array[None]
        case 1:
            return np.concatenate([array, array]) if array.ndim else np.repeat(array, 3)
        case 2:
            return array.reshape(-1)
        case 3 if array.dtype.kind in "iufbc":
            return array.astype(rng.choice(["i1", "u1", "i8", "f2", "f4", "f8", "?", "c16"]), casting="unsafe")
        case 4:
            return array[..., :0] if array.ndim else array[None][:0]
        case _:
            changed = array.copy()
            if changed.size and changed.dtype.kind in "iufb":
                place = rng.integers(changed.size)
                limits = np.iinfo(changed.dtype) if changed.dtype.kind in "iu" else None
                values = [limits.min, limits.max, 0] if limits else [0, 1] if changed.dtype == bool else [np.nan, 1e30]
                changed.reshape(-1)[place] = values[rng.integers(len(values))]
            return changed

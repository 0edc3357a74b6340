"""Damages files behind their checksums: the content changes, and the checksums are those of the new content."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyhash._files.npz import write_archive
from pyhash._files.reading import read_archive
from pyhash._files.safetensors import write_tensor_file
from tools.fuzz.mutations import mutate_array, mutate_bytes, mutate_json

_MAT_HEADER = 128
_MAT_COMPRESSED = 15


def mutate_archive(path: Path, rng: np.random.Generator) -> None:
    """Change fields or arrays of a model, an index or a checkpoint, in a file whose header and checksums fit them."""
    archive = read_archive(path)
    write = write_archive if path.read_bytes().startswith(b"PK") else write_tensor_file
    for _ in range(20):
        fields, arrays = archive.fields, dict(archive.arrays)
        for _ in range(rng.integers(1, 3)):
            if rng.random() < 0.5:
                fields = mutate_json(fields, rng)
            else:
                _mutate_one_array(arrays, rng)
        try:
            write(path, archive.kind, fields, arrays)
        except (TypeError, ValueError):  # NaN in JSON, dtypes of no safetensors: no file can hold them
            continue
        return


def _mutate_one_array(arrays: dict[str, Any], rng: np.random.Generator) -> None:
    name = str(rng.choice(sorted(arrays)))
    match rng.integers(10):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = arrays[str(rng.choice(sorted(arrays)))]
        case _:
            arrays[name] = mutate_array(arrays[name], rng)


def mutate_index(path: Path, rng: np.random.Generator) -> None:
    """Change the manifest of an index directory, or an array and its crc32 there."""
    manifest = path / "manifest.json"
    content = json.loads(manifest.read_bytes())
    del content["crc32"]
    if rng.random() < 0.5:
        content = mutate_json(content, rng)
    else:
        segment = content["segments"][rng.integers(len(content["segments"]))]
        tables = segment.get("tables")
        optional = [name for name in ("alive", "tables") if segment.get(name)]
        part = str(rng.choice(["codes", "ids", *optional]))
        own = {"alive": segment["alive"], "tables": tables and tables["name"]}
        file = path / own.get(part, f"{segment['name']}.{part}.npy")
        array = mutate_array(np.load(file), rng)
        np.save(file, array, allow_pickle=False)
        crc = zlib.crc32(file.read_bytes())
        if part == "tables":
            tables["crc"] = crc
            if array.ndim and rng.random() < 0.5:
                tables["size"] = len(array)
        else:
            segment[f"{part}_crc"] = crc
        if part in ("codes", "ids") and array.ndim and rng.random() < 0.5:
            segment["n"] = len(array)
    write_manifest(manifest, content)


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a manifest whose crc32 fits."""
    body = json.dumps(content, indent=1).removesuffix("\n}").encode()
    path.write_bytes(body + b',\n "crc32": %d\n}\n' % zlib.crc32(body))


def mutate_compressed_mat(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one variable of a MATLAB file of version 7 under its compression."""
    return change_compressed_mat(data, lambda content: mutate_bytes(content, rng), rng)


def change_compressed_mat(data: bytes, change: Callable[[bytes], bytes], rng: np.random.Generator) -> bytes:
    """Change one variable of a MATLAB file of version 7 by a function of its bytes."""
    elements, place = [], _MAT_HEADER
    while place < len(data):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        elements.append(zlib.decompress(data[place + 8 : place + 8 + size]))
        place += 8 + size
    chosen = int(rng.integers(len(elements)))
    elements[chosen] = change(elements[chosen])
    parts = [zlib.compress(element) for element in elements]
    return data[:_MAT_HEADER] + b"".join(
        _MAT_COMPRESSED.to_bytes(4, "little") + len(part).to_bytes(4, "little") + part for part in parts
    )

"""Damages files of every kind that pyhash reads, and reads them.

Each must be read, or be refused with an error that is documented: no crash, no hang, no memory beyond what a file of
its size can need.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from pyhash import CodeIndex, ModelFormatError, load
from pyhash.datasets import load_mat, load_npz, make_multilabel, save_npz
from tools.fuzz.child import Case
from tools.fuzz.command import main
from tools.fuzz.mutations import mutate_bytes, mutate_json, mutate_member, mutate_zip

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"

Mutation = Callable[[bytes, np.random.Generator], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file: a whole one, how it is damaged and read, and what its reader may raise."""

    name: str
    source: Path
    read: Callable[[Path], object]
    allowed: tuple[type[Exception], ...]
    mutations: Sequence[Mutation] = field(default=(mutate_bytes,))


def _use_model(path: Path) -> None:
    try:
        model = load(path)
    except TypeError as error:
        if "pyhash.load(path, backbones=" in str(error):  # the file says that the user's own networks belong to it
            return
        raise
    for modality, width in model.modalities_.items():
        with contextlib.suppress(ValueError):  # damaged weights can overflow
            model.project(np.zeros((2, width)), modality=modality)


def _use_index(path: Path, *, mmap: bool = False) -> None:
    index = CodeIndex.open(path, mmap=mmap) if mmap else CodeIndex.open(path)
    try:
        if path.is_dir():
            index.verify()
        index.search(np.zeros((2, (index.n_bits + 7) // 8), np.uint8), 3)
    finally:
        index.close()


def _use_mapped_index(path: Path) -> None:
    _use_index(path, mmap=True)


def _mutate_safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    """Change values of the JSON that a safetensors file begins with."""
    import json

    length = int.from_bytes(data[:8], "little")
    header = json.dumps(mutate_json(json.loads(data[8 : 8 + length]), rng)).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _write_mat(path: Path, *, compressed: bool) -> None:
    from scipy.io import savemat
    from scipy.sparse import csc_array

    rng = np.random.default_rng(0)
    arrays = {"I": rng.normal(size=(12, 5)), "T": csc_array(rng.integers(0, 2, (12, 7))), "L": np.eye(12, 3)}
    savemat(path, arrays, do_compression=compressed)


def _write_mat73(path: Path) -> None:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in {"I": np.ones((5, 12)), "T": np.ones((7, 12)), "L": np.eye(3, 12)}.items():
            file[name] = array
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    content = bytearray(path.read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM"
    path.write_bytes(content)


class Checkpoint:
    """A training that is continued from a damaged checkpoint."""

    def __init__(self) -> None:
        data = make_multilabel(24, n_classes=3, n_features={"a": 4, "b": 3})
        self._views, self._labels = data.views, next(iter(data.labels.values()))

    def read(self, path: Path, epochs: int = 2) -> None:
        """Train from what the checkpoint holds."""
        from pyhash.deep import SDCH, TrainingOptions

        training = TrainingOptions(epochs=epochs, batch_size=8, validation_fraction=0.0)
        model = SDCH(8, hidden=(4,), feature_width=4, training=training)
        model.fit(self._views, self._labels, checkpoint=path)


@cache
def kinds() -> list[Kind]:
    """Return the kinds of files, with whole ones written to a temporary folder."""
    import torch

    torch.set_num_threads(1)  # children are forked: no thread may hold a lock then
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save_npz(folder / "data.npz", make_multilabel(20, n_features={"a": 4, "b": 3}))
    _write_mat(folder / "classic.mat", compressed=False)
    _write_mat(folder / "compressed.mat", compressed=True)
    _write_mat73(folder / "hdf5.mat")
    checkpoint = Checkpoint()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.read(folder / "checkpoint", epochs=1)
    model, index = (ModelFormatError, OSError), (ModelFormatError, OSError)
    data = (TypeError, ValueError, OSError)
    in_zip, in_tensors = (mutate_bytes, mutate_zip, mutate_zip), (mutate_bytes, _mutate_safetensors)
    return [
        Kind("model.npz", GOLDEN / "v2" / "shoh.npz", _use_model, model, in_zip),
        Kind("sdch.safetensors", GOLDEN / "deep_v1" / "sdch.safetensors", _use_model, model, in_tensors),
        Kind("dhsl.safetensors", GOLDEN / "deep_v1" / "dhsl.safetensors", _use_model, model, in_tensors),
        Kind("index.npz", GOLDEN / "v1" / "index.npz", _use_index, index, in_zip),
        Kind("index", GOLDEN / "v2" / "index", _use_index, index),
        Kind("mapped-index", GOLDEN / "v2" / "index", _use_mapped_index, index),
        Kind("data.npz", folder / "data.npz", load_npz, data, in_zip),
        Kind("classic.mat", folder / "classic.mat", load_mat, data),
        Kind("compressed.mat", folder / "compressed.mat", load_mat, data),
        Kind("hdf5.mat", folder / "hdf5.mat", load_mat, data),
        Kind("checkpoint", folder / "checkpoint", checkpoint.read, (ModelFormatError, ValueError, OSError)),
    ]


def _damaged_copy(kind: Kind, folder: Path, rng: np.random.Generator) -> Path:
    target = folder / kind.source.name
    if kind.source.is_dir():
        shutil.copytree(kind.source, target)
        name = str(rng.choice(sorted(path.name for path in target.iterdir())))
        damaged = target / name
        if rng.random() < 0.05:
            damaged.unlink()
        else:
            damaged.write_bytes(mutate_member(name, damaged.read_bytes(), rng))
        return target
    mutation = kind.mutations[rng.integers(len(kind.mutations))]
    target.write_bytes(mutation(kind.source.read_bytes(), rng))
    return target


def read_damaged(kind: Kind, seed: Sequence[int]) -> str | None:
    """Damage a file of a kind and read it; return what is wrong with the outcome."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = _damaged_copy(kind, Path(folder), np.random.default_rng(seed))
        try:
            kind.read(path)
        except kind.allowed:
            return None
        except BaseException as error:
            return f"raises {type(error).__name__}: {error}"
    return None


def make_batch(rng: np.random.Generator) -> list[Case]:
    """Return five cases of every kind."""
    seeds = rng.integers(2**32, size=5)
    return [
        Case(f"{kind.name} --case {seed}", lambda kind=kind, seed=int(seed): read_damaged(kind, [seed]))
        for kind in kinds()
        for seed in seeds
    ]


if __name__ == "__main__":
    sys.exit(main("files", make_batch))

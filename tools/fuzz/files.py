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
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from pyhash import CodeIndex, ModelFormatError, load
from pyhash.datasets import load_mat, load_npz, make_multilabel, open_table, save_npz
from pyhash.methods import BATCH, RBFAnchors
from pyhash.methods.registry import METHODS, method_class
from tools.fuzz.checksums import mutate_archive, mutate_compressed_mat, mutate_index
from tools.fuzz.child import Case
from tools.fuzz.command import main
from tools.fuzz.mutations import mutate_bytes, mutate_member, mutate_zip

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"

# Damages a file or a folder in its place.
Mutation = Callable[[Path, np.random.Generator], None]


def _in_file(mutate: Callable[[bytes, np.random.Generator], bytes]) -> Mutation:
    def mutation(path: Path, rng: np.random.Generator) -> None:
        path.write_bytes(mutate(path.read_bytes(), rng))

    return mutation


def _in_folder(path: Path, rng: np.random.Generator) -> None:
    """Remove or change one file of a folder."""
    name = str(rng.choice(sorted(each.name for each in path.iterdir())))
    damaged = path / name
    if rng.random() < 0.05:
        damaged.unlink()
    else:
        damaged.write_bytes(mutate_member(name, damaged.read_bytes(), rng))


@dataclass(frozen=True)
class Kind:
    """A kind of file: a whole one, how it is damaged and read, and what its reader may raise."""

    name: str
    source: Path
    read: Callable[[Path], object]
    allowed: tuple[type[Exception], ...]
    mutations: Sequence[Mutation] = (_in_file(mutate_bytes),)


def _use_model(path: Path, **backbones: Any) -> None:
    model = load(path, backbones=backbones or None)
    for modality, width in model.modalities_.items():
        shape = (3, 4, 4) if modality in backbones else (width,)
        with contextlib.suppress(ValueError):  # damaged weights can overflow
            model.project(np.zeros((2, *shape)), modality=modality)


def _use_model_of_pictures(path: Path) -> None:
    import torch

    try:
        _use_model(path, pictures=torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU()))
    except (TypeError, ValueError) as error:
        if "backbones" not in str(error):  # a file that asks for other networks than those given is not broken
            raise


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


def _write_mat(path: Path, *, compressed: bool) -> None:
    from scipy.io import savemat
    from scipy.sparse import csc_array

    rng = np.random.default_rng(0)
    arrays = {"I": rng.normal(size=(12, 5)), "T": csc_array(rng.integers(0, 2, (12, 7))), "L": np.eye(12, 3)}
    savemat(path, arrays, do_compression=compressed)


def _write_texts_mat(path: Path, *, compressed: bool) -> None:
    """Write a file of cells, texts, truth values, complex numbers and a struct, in the layout "dcmh"."""
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    arrays = {
        "IAll": rng.normal(size=(12, 5)).astype(np.float32), "YAll": rng.integers(0, 2, (12, 7)).astype(bool),
        "LAll": np.eye(12, 3, dtype=np.uint8), "FAll": _cell([f"{row}.jpg" for row in range(12)]),
        "lines": np.array(["one", "two"]), "waves": rng.normal(size=(12, 2)) * 1j, "notes": {"by": "nobody"},
    }  # fmt: skip
    savemat(path, arrays, do_compression=compressed)


def _write_captions(folder: Path) -> None:
    """Write a folder of three files in the layout "captions"."""
    from scipy.io import savemat

    folder.mkdir()
    texts = ["a red bus", "a blue bus", "two red cars", "two dogs"] * 3
    for name, value in {"index": _cell("abcdefghijkl"), "caption": _cell(texts), "label": np.eye(12, 3)}.items():
        savemat(folder / f"{name}.mat", {name: value})


def _cell(texts: Sequence[str]) -> np.ndarray:
    cell = np.empty((len(texts), 1), object)
    cell[:, 0] = list(texts)
    return cell


def _write_mat73(path: Path) -> None:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in {"I": np.ones((5, 12)), "T": np.ones((7, 12)), "L": np.eye(3, 12)}.items():
            file[name] = array
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    content = bytearray(path.read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM"
    path.write_bytes(content)


def _write_sparse_npz(path: Path) -> None:
    from scipy.sparse import csr_array

    data = make_multilabel(20, n_features={"a": 4, "b": 3})
    save_npz(path, replace(data, views={"a": csr_array(data.views["a"].round()), "b": data.views["b"]}))


def _write_models(folder: Path) -> list[Path]:
    """Write a small model of every linear method, and one of anchors that are sparse rows."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    views, labels = {"a": rng.normal(size=(24, 6)), "b": rng.normal(size=(24, 5))}, np.arange(24) % 3
    sparse = {"a": views["a"], "b": csr_array((rng.random((24, 5)) < 0.5).astype(float))}
    names = [name for name, path in METHODS.items() if path.startswith("pyhash.methods.")]
    for name in names:
        method_class(name)(4).fit(views, labels).save(folder / f"{name}.npz")
    anchors = {name: RBFAnchors(n_anchors=5) for name in sparse}
    BATCH(4, feature_maps=anchors).fit(sparse, labels).save(folder / "anchors.npz")
    names.append("anchors")
    return [folder / f"{name}.npz" for name in names]


def _write_tables(folder: Path) -> list[Path]:
    """Write a table with a column of every kind that a form of file has, in every form."""
    import pyarrow as pa
    from pyarrow.csv import write_csv
    from pyarrow.parquet import write_table

    rng = np.random.default_rng(0)
    flat = {"label": ["a", "b", "c"] * 8, "text": ["some words"] * 24, "n": list(range(24))}
    nested = {
        "x": rng.normal(size=(24, 4)).tolist(),
        "tags": [["a"], [], ["a", "b"]] * 8,
        "image": [b"\x89PNG\r\n\x1a\n"] * 24,
    }
    table = pa.table({**flat, **nested})
    names = ("plain.parquet", "zstd.parquet", "file.arrow", "stream.arrows", "table.csv")
    paths = [folder / name for name in names]
    for path, compression in zip(paths[:2], ("none", "zstd"), strict=True):
        write_table(table, path, compression=compression, row_group_size=10)
    for path, new in zip(paths[2:4], (pa.ipc.new_file, pa.ipc.new_stream), strict=True):
        with new(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=10)
    write_csv(pa.table(flat), paths[4])
    return paths


def _use_table(path: Path) -> None:
    for _ in open_table(path).chunks(7):
        pass


class Checkpoint:
    """A training that is continued from a damaged checkpoint."""

    def __init__(self) -> None:
        data = make_multilabel(24, n_classes=3, n_features={"a": 4, "b": 3})
        self._views, self._labels = data.views, next(iter(data.labels.values()))

    def write(self, path: Path) -> None:
        """Write a checkpoint after the first of two epochs."""
        from pyhash.deep import training

        def write_and_stop(*args: Any) -> None:
            write_checkpoint(*args)
            raise InterruptedError

        write_checkpoint = training.write_checkpoint
        with patch.object(training, "write_checkpoint", write_and_stop), contextlib.suppress(InterruptedError):
            self.read(path)

    def read(self, path: Path) -> None:
        """Train from what the checkpoint holds."""
        from pyhash.deep import SDCH, TrainingOptions

        training = TrainingOptions(epochs=2, batch_size=8, validation_fraction=0.0)
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
    _write_sparse_npz(folder / "sparse.npz")
    _write_mat(folder / "classic.mat", compressed=False)
    _write_mat(folder / "compressed.mat", compressed=True)
    _write_texts_mat(folder / "texts.mat", compressed=False)
    _write_texts_mat(folder / "compressed-texts.mat", compressed=True)
    _write_captions(folder / "captions")
    _write_mat73(folder / "hdf5.mat")
    checkpoint = Checkpoint()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.write(folder / "checkpoint")
        models = _write_models(folder)
    with CodeIndex(16, layout="multi-index", layout_bytes_per_code=100) as index:
        index.add(np.random.default_rng(2).integers(0, 256, (4000, 2), np.uint8))
        index.save(folder / "tables")
    broken, unread = (ModelFormatError, OSError), (TypeError, ValueError, OSError)
    in_bytes, in_zip = _in_file(mutate_bytes), _in_file(mutate_zip)
    # Most changes of bytes stop at a checksum.
    in_model = (in_bytes, in_zip, mutate_archive, mutate_archive, mutate_archive)
    in_tensors = (in_bytes, mutate_archive, mutate_archive, mutate_archive)
    in_index = (_in_folder, mutate_index, mutate_index)
    in_compressed = (in_bytes, _in_file(mutate_compressed_mat), _in_file(mutate_compressed_mat))
    deep = GOLDEN / "deep_v1"
    return [
        Kind("model.npz", GOLDEN / "v2" / "shoh.npz", _use_model, broken, in_model),
        *(Kind(path.name, path, _use_model, broken, in_model) for path in models),
        Kind("sdch.safetensors", deep / "sdch.safetensors", _use_model_of_pictures, broken, in_tensors),
        Kind("dhsl.safetensors", deep / "dhsl.safetensors", _use_model, broken, in_tensors),
        Kind("index.npz", GOLDEN / "v1" / "index.npz", _use_index, broken, in_model),
        Kind("index", GOLDEN / "v2" / "index", _use_index, broken, in_index),
        Kind("mapped-index", GOLDEN / "v2" / "index", _use_mapped_index, broken, in_index),
        Kind("index-with-tables", folder / "tables", _use_index, broken, in_index),
        Kind("mapped-tables", folder / "tables", _use_mapped_index, broken, in_index),
        Kind("data.npz", folder / "data.npz", load_npz, unread, (in_bytes, in_zip, in_zip)),
        Kind("sparse.npz", folder / "sparse.npz", load_npz, unread, (in_bytes, in_zip, in_zip)),
        Kind("classic.mat", folder / "classic.mat", load_mat, unread),
        Kind("compressed.mat", folder / "compressed.mat", load_mat, unread, in_compressed),
        Kind("texts.mat", folder / "texts.mat", load_mat, unread),
        Kind("compressed-texts.mat", folder / "compressed-texts.mat", load_mat, unread, in_compressed),
        Kind("captions", folder / "captions", load_mat, unread, (_in_folder,)),
        Kind("hdf5.mat", folder / "hdf5.mat", load_mat, unread),
        *(Kind(path.name, path, _use_table, unread) for path in _write_tables(folder)),
        Kind("checkpoint", folder / "checkpoint", checkpoint.read, (ModelFormatError, ValueError, OSError), in_tensors),
    ]


def _damaged_copy(kind: Kind, folder: Path, rng: np.random.Generator) -> Path:
    target = folder / kind.source.name
    if kind.source.is_dir():
        shutil.copytree(kind.source, target)
    else:
        shutil.copyfile(kind.source, target)
    kind.mutations[rng.integers(len(kind.mutations))](target, rng)
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

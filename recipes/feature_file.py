"""What the recipes share: official files in folders and zip archives, features of pictures, the file and its checksums.

A recipe reads the files that one downloads from the makers of a data set, and writes one feature file for
``pyhash.datasets.load_npz`` and ``pyhash bench --data``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tqdm import tqdm

from pyhash.datasets import Dataset, published_split, save_npz
from pyhash.datasets.captions import bag_of_words
from pyhash.encoders import CachedEncoder, CallableEncoder, Encoder, make_encoder, open_picture

READ_PICTURES = 256  # at a time
_THUMBNAIL = 8  # pixels a side
_Build = Callable[[argparse.Namespace], Dataset]


# --- official files ---------------------------------------------------------------------------------------------------


class Files:
    """Files in folders and zip archives, found by the ends of their paths. Archives stay packed.

    Parameters
    ----------
    paths : sequence of Path
        Folders and zip archives, searched in this order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._places: dict[str, tuple[Path | zipfile.ZipFile, str]] = {}
        self._described = ", ".join(map(str, paths))
        for path in paths:
            if path.is_dir():
                for file in sorted(path.rglob("*")):
                    if file.is_file():
                        name = file.relative_to(path).as_posix()
                        self._places.setdefault(f"/{path.resolve().name}/{name}", (file, name))
            elif zipfile.is_zipfile(path):
                archive = zipfile.ZipFile(path)
                for name in sorted(archive.namelist()):
                    if not name.endswith("/") and not name.startswith("__MACOSX/"):
                        self._places.setdefault(f"/{name}", (archive, name))
            elif path.exists():
                raise ValueError(f"{path} must be a folder or a zip archive: unpack other archives first")
            else:
                raise FileNotFoundError(f"{path} does not exist")
        self._by_name: dict[str, list[str]] = {}
        for full in self._places:
            self._by_name.setdefault(full.rpartition("/")[2], []).append(full)

    def find(self, end: str) -> str:
        """Return the path that ends so, such as "doc/common_tags.txt"; raise if there is none, or several."""
        named = self._by_name.get(end.rpartition("/")[2], [])
        found = [full for full in named if full.endswith(f"/{end}")]
        if len(found) != 1:
            problem = f"has {', '.join(found)} for" if found else "must hold"
            raise FileNotFoundError(f"{self._described} {problem} {end}")
        return found[0]

    def within(self, folder: str, ending: str) -> dict[str, str]:
        """Return the paths of all files with an ending in folders of a name, by what follows the folder, in order."""
        mark = f"/{folder}/"
        inside = {full.rpartition(mark)[2]: full for full in self._places if mark in full and full.endswith(ending)}
        if not inside:
            raise FileNotFoundError(f"{self._described} must hold a folder {folder} with files {ending}")
        return dict(sorted(inside.items()))

    def ending(self, ending: str) -> list[str]:
        """Return the paths of all files with an ending, in order."""
        return sorted(full for full in self._places if full.endswith(ending))

    def read(self, path: str) -> bytes:
        """Return the content of a file, by the path that the methods above gave."""
        place, name = self._places[path]
        return place.read(name) if isinstance(place, zipfile.ZipFile) else place.read_bytes()

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of a file, which may be larger than memory."""
        place, name = self._places[path]
        with place.open(name) if isinstance(place, zipfile.ZipFile) else place.open("rb") as file:
            yield from file

    def text(self, path: str) -> str:
        """Return the text of a file: UTF-8, or Latin-1 where it is not."""
        data = self.read(path)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def numbers(self, path: str, n_fields: int = 1) -> list[list[int]]:
        """Return the first `n_fields` integers of each line of a text; lines without anything are left out."""
        rows = []
        for i, line in enumerate(self.text(path).splitlines(), start=1):
            fields = line.split()[:n_fields]
            if fields:
                try:
                    rows.append(list(map(int, fields)))
                except ValueError:
                    fields = []
                if len(fields) != n_fields:
                    raise ValueError(f"{path} must have integers, {n_fields} in each line, got {line!r} in line {i}")
        return rows


# --- features ---------------------------------------------------------------------------------------------------------


def pictures_of(files: Files, ends: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the contents of pictures by path, a few at a time; they are found by the ends of their paths."""
    paths = [files.find(end) for end in ends]  # all, before the first is encoded
    for start in range(0, len(paths), READ_PICTURES):
        yield {path: files.read(path) for path in paths[start : start + READ_PICTURES]}


def feature_rows(path: Path, rows: NDArray[np.int64], n_all: int) -> NDArray[np.float32]:
    """Return some rows of a feature file that has a row for each of `n_all` pictures, in official order.

    The file is a ``.npy`` array, or numbers in lines of text such as BoW_int.dat of NUS-WIDE.
    """
    if path.suffix == ".npy":
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        if matrix.ndim != 2 or len(matrix) != n_all:
            raise ValueError(f"{path} must have shape ({n_all}, d), a row for each picture, got {matrix.shape}")
        return np.ascontiguousarray(matrix[rows], dtype=np.float32)
    wanted = set(rows.tolist())
    found, n = [], 0
    with path.open() as file:
        for n, line in enumerate(file, start=1):
            if n - 1 in wanted:
                found.append(np.array(line.split(), dtype=np.float32))
    if n != n_all:
        raise ValueError(f"{path} must have {n_all} lines, one for each picture, got {n}")
    if len({len(row) for row in found}) != 1:
        raise ValueError(f"{path} must have lines of equally many numbers")
    return np.stack(found)


def _thumbnails(pictures: list[Any]) -> NDArray[np.float32]:
    small = [picture.resize((_THUMBNAIL, _THUMBNAIL)) for picture in pictures]
    return np.stack([np.asarray(each, dtype=np.float32).ravel() / 255 for each in small])


def encoder_of(arguments: argparse.Namespace, kind: str) -> Encoder | None:
    """Return the encoder that the command line names for a kind of items, None if it names none."""
    name = arguments.encoder.get(kind)
    if name is None or (name == "bag-of-words" and kind == "text"):  # which every recipe makes by itself
        return None
    if name == "thumbnail" and kind == "image":
        return CallableEncoder(_thumbnails, kind="image", name="thumbnail", version="1")
    encoder = make_encoder(name, kind=kind)
    return encoder if arguments.cache is None else CachedEncoder(encoder, arguments.cache)


def image_view(
    arguments: argparse.Namespace, pictures: Callable[[], Iterable[dict[str, Any]]], rows: NDArray[np.int64], n_all: int
) -> NDArray[np.float32]:
    """Return the features of the pictures of some rows, from --features or by --encoder image=NAME.

    `pictures` gives them by name, a few at a time; it is not called where features are given for all `n_all` pictures.
    """
    if arguments.features is not None:
        return feature_rows(arguments.features, rows, n_all)
    encoder = encoder_of(arguments, "image")
    if encoder is None:
        raise ValueError("pictures need --encoder image=NAME, or --features FILE with a row for each picture")
    parts = []
    with tqdm(total=len(rows), desc=encoder.name, unit="picture", disable=None) as bar:
        for some in pictures():
            try:
                parts.append(encoder.encode(list(some.values())))
            except ValueError:
                for path, picture in some.items():
                    open_picture(picture, path)  # raises for the one that cannot be read, by its name
                raise
            bar.update(len(some))
    return np.concatenate(parts)


def text_view(
    arguments: argparse.Namespace, texts: Sequence[str], bag: tuple[csr_array, list[str]] | None = None
) -> tuple[Any, list[str]]:
    """Return the features of texts and the words of their columns.

    They are a bag of words with its words, by default of the --words most frequent ones; or those of --encoder
    text=NAME, without words.
    """
    encoder = encoder_of(arguments, "text")
    if encoder is not None:
        return encoder.encode(list(texts), progress=None), []
    return bag_of_words(texts, arguments.words) if bag is None else bag


# --- the file and its checksums ---------------------------------------------------------------------------------------


def checksums(dataset: Dataset) -> dict[str, str]:
    """Return the SHA-256 of each part of a data set, in a form that does not depend on the machine or the file."""
    parts: dict[str, Any] = {f"views.{name}": view for name, view in dataset.views.items()}
    parts |= {f"labels.{name}": labels for name, labels in dataset.labels.items()}
    parts |= {f"label_names.{name}": names for name, names in dataset.label_names.items()}
    parts |= {f"hierarchy.{k}": parents for k, parents in enumerate(dataset.hierarchy)}
    parts |= {f"splits.{name}": mask for name, mask in dataset.splits.items()}
    parts |= {f"items.{name}": item.tolist() for name, item in dataset.items.items()}
    parts |= {"vocabulary": dataset.vocabulary} if dataset.vocabulary else {}
    return {name: _checksum(part) for name, part in parts.items()}


def _checksum(part: Any) -> str:
    if isinstance(part, list):
        return hashlib.sha256(json.dumps(part, ensure_ascii=False).encode()).hexdigest()
    digest = hashlib.sha256()
    if hasattr(part, "indptr"):
        by_rows = part.copy()
        by_rows.sort_indices()
        arrays = [np.array(part.shape), by_rows.indptr, by_rows.indices]
        arrays = [array.astype(np.int64) for array in arrays] + [by_rows.data]
    else:
        arrays = [np.asarray(part)]
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(json.dumps([little.dtype.str, list(little.shape)]).encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def compare_checksums(found: Mapping[str, str], path: Path) -> None:
    """Raise ValueError unless each line of a file, a checksum and the name of a part, is true."""
    expected = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if not expected or any(len(line) != 2 for line in expected):
        raise ValueError(f"{path} must hold lines of a checksum and the name of a part")
    wrong = [part for checksum, part in expected if found.get(part) != checksum]
    if wrong:
        raise ValueError(f"the result differs from {path} in {', '.join(wrong)}")


# --- the command line -------------------------------------------------------------------------------------------------


def recipe_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every recipe."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="the feature file to write")
    parser.add_argument(
        "--encoder",
        type=_encoder_name,
        action="append",
        default=[],
        metavar="KIND=NAME",
        help="what makes features: image=NAME and text=NAME, by the names of pyhash.encoders.make_encoder, or "
        "image=thumbnail, which is 8 x 8 pixels; texts are bags of words unless one is named",
    )
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="features of the pictures made elsewhere, in place of an encoder: .npy, or numbers in lines of text, "
        "with a row for each picture in official order",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keep features there, and go on from it after a stop"
    )
    parser.add_argument("--queries", type=int, metavar="N", help="queries of the split (default: as in the papers)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of queries (default: 0)")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare the checksums that the file lists")
    return parser


def _encoder_name(text: str) -> tuple[str, str]:
    kind, _, name = text.partition("=")
    if kind not in ("image", "text") or not name:
        raise argparse.ArgumentTypeError(f"must be image=NAME or text=NAME, got {text!r}")
    return kind, name


def with_splits(dataset: Dataset, arguments: argparse.Namespace, queries: Mapping[str, str | int]) -> Dataset:
    """Return the data set with random splits, as many queries each as `queries` or --queries says, by name."""
    for name, preset in queries.items():
        n = preset if arguments.queries is None else arguments.queries
        dataset = published_split(dataset, n, seed=arguments.seed, name=name)
    return dataset


def report_rows(n: int, published: int) -> None:
    """Tell on stderr how many rows were kept, beside the number in the papers; raise if there are none."""
    if n == 0:
        raise ValueError("the files must have rows with a text and a label, got none")
    print(f"{n:,} rows; the papers have {published:,}", file=sys.stderr)


def run_recipe(build: _Build, parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Build a data set as the command line says, write it, print its checksums, and return the exit code."""
    arguments = parser.parse_args(argv)
    arguments.encoder = dict(arguments.encoder)
    try:
        dataset = build(arguments)
        save_npz(arguments.out, dataset)
        found = checksums(dataset)
        print(dataset, file=sys.stderr)
        for part, checksum in found.items():
            print(f"{checksum}  {part}")
        if arguments.check is not None:
            compare_checksums(found, arguments.check)
    except (OSError, ValueError, ImportError, zipfile.BadZipFile) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0

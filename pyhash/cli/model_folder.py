"""Folder that the demo writes and the search reads: model, index, and a catalogue of the pictures by id."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pyhash._files.atomic import atomic_file
from pyhash.cli.interrupts import undivided
from pyhash.errors import ModelFormatError
from pyhash.index import CodeIndex
from pyhash.methods import load
from pyhash.methods.contract import HashingMethod
from pyhash.methods.registry import modules_of_classes

# A folder has one of the two: files of deep methods have another format.
MODEL, DEEP_MODEL = "model.npz", "model.safetensors"
MODELS = (MODEL, DEEP_MODEL)
INDEX = "index"
CATALOGUE = "catalogue.json"


@dataclass(frozen=True)
class Picture:
    """Description of a picture in the index."""

    emoji: str
    name: str
    vendor: str
    subgroup: str


@dataclass(frozen=True)
class Catalogue:
    """Words of queries, and pictures by id."""

    modality: str  # of the queries
    vocabulary: list[str]
    pictures: dict[int, Picture]


@dataclass(frozen=True)
class ModelFolder:
    """Model, index and catalogue: everything needed to answer a query."""

    model: HashingMethod
    index: CodeIndex
    catalogue: Catalogue


def write_json(path: Path, value: object) -> None:
    """Write JSON; an error leaves an existing file unchanged."""
    with atomic_file(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=1).encode())


def write_model_folder(directory: Path, folder: ModelFolder) -> None:
    """Write model, index and catalogue into an existing directory."""
    is_deep = type(folder.model).__name__ in modules_of_classes("pyhash.deep")
    folder.model.save(directory / (DEEP_MODEL if is_deep else MODEL))
    folder.index.save(directory / INDEX)
    folder.index.close()  # the folder may move
    catalogue = folder.catalogue
    pictures = {str(number): asdict(picture) for number, picture in catalogue.pictures.items()}
    write_json(
        directory / CATALOGUE,
        {"modality": catalogue.modality, "vocabulary": catalogue.vocabulary, "pictures": pictures},
    )


def read_model_folder(directory: Path) -> ModelFolder:
    """Read the files of ``write_model_folder``; raise ModelFormatError, which names the file, if one is damaged."""
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is not a folder; `pyhash demo --out {directory}` writes one")
    model, index, catalogue = (_existing(directory, names) for names in (MODELS, (INDEX,), (CATALOGUE,)))
    folder = ModelFolder(load(model), CodeIndex.open(index), _read_catalogue(catalogue))
    n_words = len(folder.catalogue.vocabulary)
    if (
        folder.model.n_bits != folder.index.n_bits
        or folder.index.fingerprint != folder.model.fingerprint
        or folder.model.modalities_.get(folder.catalogue.modality) != n_words
        or folder.catalogue.pictures.keys() != set(folder.index.ids.tolist())
    ):
        raise ModelFormatError(f"{directory} holds a model, an index and a catalogue that do not belong together")
    return folder


def _existing(directory: Path, names: Sequence[str]) -> Path:
    """Return the path of the first of the names that exists."""
    for name in names:
        if (directory / name).exists():
            return directory / name
    raise FileNotFoundError(f"{directory} has no {' or '.join(names)}: `pyhash demo --out {directory}` writes one")


def _read_catalogue(path: Path) -> Catalogue:
    try:
        stored = json.loads(path.read_bytes())
        return Catalogue(
            modality=str(stored["modality"]),
            vocabulary=[str(word) for word in stored["vocabulary"]],
            pictures={int(number): Picture(**picture) for number, picture in stored["pictures"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{path} is not a whole catalogue: {error}") from error


@contextmanager
def staged(directory: Path, owned: tuple[str, ...]) -> Iterator[Path]:
    """Yield a folder to write into; its files move to `directory` at the end, or are removed after an error.

    Files of an earlier run that are named in `owned`, and were not written again, are removed too.
    """
    directory = directory.resolve()
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a folder")
    try:
        stage = _make_stage(directory)
    except OSError as error:
        raise OSError(f"{directory} cannot be written: {error.strerror}") from error
    try:
        yield stage
        with undivided():
            written = {file.name for file in stage.iterdir()}
            directory.mkdir(exist_ok=True)
            for name in sorted(written):
                new, old = stage / name, directory / name
                # os.replace replaces neither a folder nor anything by a folder: move the old one away first.
                if old.is_dir() or (new.is_dir() and old.exists()):
                    os.replace(old, stage / f"{name}.before")
                os.replace(new, old)
            for name in set(owned) - written:
                (directory / name).unlink(missing_ok=True)
    finally:
        with undivided():
            shutil.rmtree(stage)


def _make_stage(directory: Path) -> Path:
    """Make a temporary folder on the file system of `directory`: an unwritable one is noticed before any work."""
    if directory.exists():
        return Path(tempfile.mkdtemp(dir=directory, prefix=".partial-"))
    directory.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}.partial-"))

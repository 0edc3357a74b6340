"""Models and retrievers to the Hugging Face Hub, and from it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyhash._extras import require
from pyhash._inputs.checks import check_bool
from pyhash.errors import ModelFormatError
from pyhash.hub.card import EXTRA, check_model, model_card
from pyhash.methods import load
from pyhash.retriever import Retriever

if TYPE_CHECKING:
    from pyhash.encoders import Encoder
    from pyhash.methods.contract import HashingMethod

CARD = "README.md"
MODEL, DEEP_MODEL = "model.npz", "model.safetensors"
# A repository may hold anything; no more than this is sent for, and none of it is code.
_FILES = ["*.npz", "*.npy", "*.safetensors", "*.arrow", "*.json"]


def push_to_hub(
    model: HashingMethod | Retriever,
    repo_id: str,
    *,
    card: str | None = None,
    license: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> str:
    """Write a model or a retriever to a repository of the Hub, in one commit.

    The branch then holds these files alone; others that it had are in its history.

    Parameters
    ----------
    model : HashingMethod or Retriever
        One that has learned. Of a retriever everything is written: model, index, payload, state of encoders.
    repo_id : str
        Name of the repository, such as "me/birds". It is created if it does not exist.
    card : str, optional
        Text of its README.md; by default ``model_card(model, repo_id, license=license)``.
    license : str, optional
        Identifier of a license for this card.
    private : bool, optional
        Whether a repository that is created is private; by default as the Hub does for the user.
    revision : str, optional
        Branch to write; by default the main one.
    message : str, optional
        Message of the commit.
    token : str or bool, optional
        As huggingface_hub takes it; by default the one that is stored on this machine.
    endpoint : str, optional
        Address of another server with the interface of the Hub.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    NotFittedError
        If nothing was learned yet; nothing is sent.
    TypeError
        If `model` is neither a model nor a retriever, or `card` is not a string.
    TypeError
        If the model has a feature map that is not one of pyhash's: files hold no code.
    ValueError
        If `card` and `license` are both given.
    ImportError
        If huggingface_hub is not installed.
    huggingface_hub.errors.HfHubHTTPError
        If the Hub refuses; what was in the repository stays as it was.

    Examples
    --------
    >>> from pyhash.hub import from_hub, push_to_hub
    >>> push_to_hub(model, "me/birds", private=True)  # doctest: +SKIP
    'https://huggingface.co/me/birds/commit/...'
    >>> from_hub("me/birds").n_bits  # doctest: +SKIP
    64
    """
    check_model("model", model)
    if card is not None and not isinstance(card, str):
        raise TypeError(f"card must be a string, got {type(card).__name__}")
    if card is not None and license is not None:
        raise ValueError("license must be left out where a card is given: write it into the card")
    hub = require("huggingface_hub", "push_to_hub and from_hub", EXTRA)
    api = hub.HfApi(endpoint=endpoint, token=token)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "content"
        if isinstance(model, Retriever):
            model.save_copy(folder)
        else:
            folder.mkdir()
            model.save(folder / (DEEP_MODEL if model.is_deep else MODEL))
        text = model_card(model, repo_id, license=license) if card is None else card
        (folder / CARD).write_text(text, encoding="utf-8")
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=message or f"Write {type(model).__name__}",
            delete_patterns="*",  # files of an earlier model; those that are written again stay
        )
    return str(commit.commit_url)


def from_hub(
    repo_id: str,
    *,
    revision: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    backbones: Mapping[str, Any] | None = None,
    encoders: Mapping[str, Encoder | str | None] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    endpoint: str | None = None,
) -> HashingMethod | Retriever:
    """Return the model or the retriever of a repository of the Hub.

    Parameters
    ----------
    repo_id : str
        Name of the repository, such as "me/birds".
    revision : str, optional
        Branch, tag or commit; by default the main branch.
    folder : path-like, optional
        Where to keep the files. A retriever can be changed only there: without it, files stay in the cache of
        huggingface_hub, and the retriever is read-only.
    backbones : mapping of str to torch Module, optional
        As for ``pyhash.load`` and ``Retriever.open``.
    encoders : mapping of str to Encoder, optional
        As for ``Retriever.open``.
    token : str or bool, optional
        As huggingface_hub takes it.
    local_files_only : bool
        Use the cache alone, without network.
    endpoint : str, optional
        Address of another server with the interface of the Hub.

    Returns
    -------
    HashingMethod or Retriever

    Raises
    ------
    ModelFormatError
        If the repository holds neither, or its files are damaged.
    FileExistsError
        If `folder` has a file of pyhash that the repository has not, as one that was changed since.
    TypeError
        If `encoders` are given for a model; if `backbones` do not fit the model.
    ImportError
        If huggingface_hub is not installed, or another package that the model needs.
    huggingface_hub.errors.RepositoryNotFoundError
        If there is no such repository, or it is private and the token is not that of a member.
    huggingface_hub.errors.LocalEntryNotFoundError
        If the files are not in the cache, and cannot be fetched.

    Examples
    --------
    >>> from pyhash.hub import from_hub
    >>> retriever = from_hub("me/birds", revision="v1")  # doctest: +SKIP
    >>> retriever.search(text="a small brown bird", k=3)  # doctest: +SKIP
    """
    check_bool("local_files_only", local_files_only)
    hub = require("huggingface_hub", "push_to_hub and from_hub", EXTRA)
    api = hub.HfApi(endpoint=endpoint, token=token)
    if folder is not None and not local_files_only:
        _check_folder(Path(folder), repo_id, api.list_repo_files(repo_id, revision=revision))
    path = Path(
        api.snapshot_download(
            repo_id,
            revision=revision,
            local_dir=folder,
            local_files_only=local_files_only,
            allow_patterns=_FILES,
        )
    )
    if (path / "retriever.json").exists():
        return Retriever.open(path, encoders=encoders, backbones=backbones, read_only=folder is None)
    for name in (MODEL, DEEP_MODEL):
        if (path / name).exists():
            if encoders is not None:
                raise TypeError(f"encoders must be left out: {repo_id} holds a model, not a retriever")
            return load(path / name, backbones=backbones)
    raise ModelFormatError(
        f"{repo_id} has no retriever.json, {MODEL} or {DEEP_MODEL}: it was not written by push_to_hub"
    )


def _check_folder(folder: Path, repo_id: str, files: Sequence[str]) -> None:
    """Raise FileExistsError if a folder holds another model, or changes that a download would overwrite in part."""
    suffixes = tuple(pattern.removeprefix("*") for pattern in _FILES)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name.endswith(suffixes))
    foreign = [name for name in names if name not in files and not name.startswith(".")]
    if foreign:
        raise FileExistsError(f"{folder} must be a new folder: it holds {foreign[0]}, which {repo_id} does not have")

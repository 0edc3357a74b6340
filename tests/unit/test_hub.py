import base64
import os

import numpy as np
import pytest
from hub_server import HubServer

import pyhash
from pyhash.errors import ModelFormatError, NotFittedError
from pyhash.hub import from_hub, model_card, push_to_hub

EYE = np.eye(4)
LABELS = [0, 1, 0, 1]
REPO = "me/birds"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A server with the Hub's interface of files; the client keeps its own files in a folder of the test."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    server = HubServer()
    yield server
    server.close()


@pytest.fixture
def model():
    return pyhash.SHOH(n_bits=8).partial_fit({"image": EYE, "text": 2 * EYE}, LABELS)


@pytest.fixture
def retriever():
    words = pyhash.encoders.BagOfWords(n_features=32)
    made = pyhash.Retriever({"image": None, "text": words}, "lemon", n_bits=16)
    texts = ["a red bird", "a blue fish", "red bird sings", "blue fish swims"]
    return made.learn({"image": EYE, "text": texts}, LABELS, add=True, payload={"name": texts})


def push(hub, model, **options):
    return push_to_hub(model, REPO, endpoint=hub.endpoint, token="hf_secret", **options)


def pull(hub, **options):
    return from_hub(REPO, endpoint=hub.endpoint, token=False, **options)


def replace(hub, files, delete=None):
    """Commit files as others could."""
    lines = [
        {"key": "file", "value": {"path": name, "content": base64.b64encode(data).decode()}}
        for name, data in files.items()
    ]
    if delete is not None:
        lines.append({"key": "deletedFile", "value": {"path": delete}})
    hub.commit(REPO, "main", lines)


def test_a_model_comes_back_equal_and_learns_further(hub, model):
    address = push(hub, model, private=True, message="first")
    assert address.startswith(f"{hub.endpoint}/{REPO}/commit/")
    assert hub.files(REPO).keys() == {"README.md", "model.npz"}
    assert hub.tokens == {"Bearer hf_secret"}
    back = pull(hub)
    assert back.fingerprint == model.fingerprint
    assert np.array_equal(back.encode(EYE, modality="text"), model.encode(EYE, modality="text"))
    assert back.partial_fit({"image": EYE, "text": EYE}, LABELS).n_samples_seen_ == 8


def test_a_retriever_comes_back_read_only_or_to_a_folder(hub, retriever, tmp_path):
    push(hub, retriever)
    wanted = retriever.search(text="red bird", k=4)
    back = pull(hub)
    assert back.search(text="red bird", k=4).ids.tolist() == wanted.ids.tolist()
    assert [hit.payload for hit in back.search(text="red bird", k=4)] == [hit.payload for hit in wanted]
    with pytest.raises(ValueError, match="opened read-only"):
        back.remove([0])
    back.close()
    mine = pull(hub, folder=tmp_path / "mine")
    mine.remove([0])
    mine.commit()
    mine.close()
    with pytest.raises(FileExistsError, match="must be a new folder: it holds index/"):
        pull(hub, folder=tmp_path / "mine")
    again = pyhash.Retriever.open(tmp_path / "mine")
    assert len(again.index) == 3
    again.close()


def test_a_folder_of_another_model_is_refused(hub, model, retriever, tmp_path):
    push(hub, retriever)
    pull(hub, folder=tmp_path / "mine").close()
    pull(hub, folder=tmp_path / "mine").close()
    push(hub, model)
    with pytest.raises(FileExistsError, match="which me/birds does not have"):
        pull(hub, folder=tmp_path / "mine")


def test_a_second_push_replaces_files_in_one_commit(hub, model, retriever):
    push(hub, retriever)
    assert "retriever.json" in hub.files(REPO)
    push(hub, model)
    assert hub.files(REPO).keys() == {"README.md", "model.npz"}
    assert len(hub.repositories[REPO]) == 3  # the empty one, and one of each push


def test_a_branch_leaves_the_main_one_alone(hub, model):
    push(hub, model)
    other = pyhash.SHOH(n_bits=16).partial_fit({"image": EYE}, LABELS)
    push(hub, other, revision="v2")
    assert pull(hub).n_bits == 8
    assert pull(hub, revision="v2").n_bits == 16


def test_the_cache_is_enough_without_network(hub, model):
    push(hub, model)
    pull(hub)
    files = hub.repositories[REPO]
    hub.repositories[REPO] = {}
    assert pull(hub, local_files_only=True).fingerprint == model.fingerprint
    hub.repositories[REPO] = files


def test_a_refused_commit_changes_nothing(hub, model):
    from huggingface_hub.errors import HfHubHTTPError

    push(hub, model)
    before = dict(hub.files(REPO))
    hub.refuses_commits = True
    with pytest.raises(HfHubHTTPError, match="closed"):
        push(hub, pyhash.SHOH(n_bits=16).partial_fit({"image": EYE}, LABELS))
    assert hub.files(REPO) == before


def test_nothing_but_files_of_pyhash_is_fetched(hub, model, tmp_path):
    push(hub, model)
    replace(hub, {"setup.py": b"raise SystemExit", "model.pkl": b"x"})
    pull(hub, folder=tmp_path / "mine")
    assert sorted(name for name in os.listdir(tmp_path / "mine") if not name.startswith(".")) == ["model.npz"]


def test_wrong_repositories_and_arguments(hub, model, retriever):
    from huggingface_hub.errors import RepositoryNotFoundError

    with pytest.raises(RepositoryNotFoundError):
        pull(hub)
    push(hub, model)
    with pytest.raises(TypeError, match="encoders must be left out: me/birds holds a model"):
        pull(hub, encoders={})
    replace(hub, {"model.npz": b"PK damaged"})
    with pytest.raises(ModelFormatError):
        pull(hub)
    replace(hub, {"other.npz": b"x"}, delete="model.npz")
    with pytest.raises(ModelFormatError, match=r"has no retriever.json, model.npz or model.safetensors"):
        pull(hub)
    push(hub, retriever)


def test_what_cannot_be_pushed_sends_nothing(hub, model):
    with pytest.raises(NotFittedError):
        push(hub, pyhash.SHOH(n_bits=8))
    with pytest.raises(NotFittedError):
        push(hub, pyhash.Retriever({"image": None}))
    with pytest.raises(TypeError, match="model must be a model or a Retriever, got dict"):
        push(hub, {})
    with pytest.raises(TypeError, match="card must be a string, got int"):
        push(hub, model, card=3)
    with pytest.raises(ValueError, match="license must be left out"):
        push(hub, model, card="# mine", license="mit")
    assert hub.repositories == {}


def test_the_card_says_what_was_learned(model):
    card = model_card(model, REPO, license="cc-by-4.0")
    assert card.startswith("---\nlibrary_name: pyhash\nlicense: cc-by-4.0\n")
    assert "# birds\n\nSHOH, a model of" in card
    assert "learned from 4 rows" in card
    assert f"fingerprint `{model.fingerprint}`" in card
    assert "| image | 4 |\n| text | 4 |" in card
    assert "| n_bits | `8` |" in card
    assert "model = from_hub('me/birds')" in card


def test_a_card_has_the_lines_of_its_own_form_alone():
    model = pyhash.LEMON(n_bits=8).partial_fit({"a|b\n---\nlicense: mit": EYE}, LABELS)
    card = model_card(model, REPO)
    assert "| a\\|b --- license: mit | 4 |" in card
    assert card.splitlines().count("---") == 2
    with pytest.raises(ValueError, match="license must be an identifier in one line"):
        model_card(model, REPO, license="mit\n---")
    with pytest.raises(TypeError, match="license must be a string, got int"):
        model_card(model, REPO, license=5)
    with pytest.raises(ValueError, match="Repo id"):
        model_card(model, "me/birds\n# Birds")


def test_the_card_of_a_retriever_has_encoders_and_scores(retriever):
    card = model_card(retriever, REPO)
    assert "LEMON, a retriever of" in card
    assert "Its index holds 4 items." in card
    assert "| text | 32 | bag-of-words " in card
    assert "| image | 4 | none: items are features |" in card
    assert "## Scores" not in card

"""The same calls over methods of every kind."""

import numpy as np
import pytest

from pyhash import ModelFormatError, Retriever
from pyhash.methods.online import OnlineMethod

RNG = np.random.default_rng(0)
N = 72
COARSE = np.arange(N) % 2
FINE = np.arange(N) % 6
VIEWS = {
    "image": np.eye(6)[FINE] + 0.2 * RNG.normal(size=(N, 6)),
    "text": np.eye(6)[FINE] @ RNG.normal(size=(6, 8)) + 0.2 * RNG.normal(size=(N, 8)),
}
NAMES = np.array(["ant", "bee", "cat", "dog", "eel", "fox"])[FINE].tolist()
HIERARCHY = [np.arange(6) % 2]

CASES = {
    "boch": ({}, NAMES),
    "boch+instance": ({}, FINE),
    "lemon+rbf": ({}, [{name, "animal"} for name in NAMES]),
    "shoh": ({"hierarchy": HIERARCHY}, [COARSE, FINE]),
    "cca-itq": ({}, None),
    "dhsl": ({"training__epochs": 2, "training__validation_fraction": 0.0, "hidden": [8]}, FINE),
}


@pytest.fixture(params=CASES)
def case(request):
    if request.param == "dhsl":
        pytest.importorskip("torch")
    parameters, labels = CASES[request.param]
    retriever = Retriever(dict.fromkeys(VIEWS), request.param, 6, parameters=parameters)
    return retriever.learn(VIEWS, labels, add=True, chunk_size=40), labels


@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")
def test_learned_codes_searches_and_folders(case, tmp_path):
    retriever, labels = case
    assert len(retriever) == N
    both = {name: x[:5] for name, x in VIEWS.items()}
    model, index = retriever.model, retriever.index
    assert np.array_equal(retriever.project(both), model.project_fused(both))
    assert np.array_equal(retriever.encode(both), model.encode_fused(both))
    for name, x in VIEWS.items():
        assert np.array_equal(retriever.encode({name: x[:5]}), model.encode(x[:5], modality=name))
        found = retriever.search(**{name: x[3]}, k=4)
        assert found.ids.tolist() == index.search_weighted(model.project(x[3:4], modality=name), 4).ids[0].tolist()
    retriever.save(tmp_path / "r")
    retriever.close()
    opened = Retriever.open(tmp_path / "r")
    assert np.array_equal(opened.encode(both), retriever.encode(both))
    assert opened.search(image=VIEWS["image"][0], k=5).ids.tolist() == (
        retriever.search(image=VIEWS["image"][0], k=5).ids.tolist()
    )
    opened.remove(opened.index.ids)
    opened.learn(VIEWS, labels, chunk_size=40)  # again from scratch, by the parameters of the model
    assert type(opened.model) is type(model)
    opened.add({"text": VIEWS["text"][:3]}, ids=[5, 1, 9])
    opened.commit()
    opened.close()
    assert Retriever.open(tmp_path / "r", read_only=True).index.ids.tolist() == [1, 5, 9]
    (tmp_path / "r" / "retriever.json").unlink()
    with pytest.raises(ModelFormatError, match=r"has no retriever\.json; save makes one"):
        Retriever.open(tmp_path / "r")


@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")
def test_rows_that_lack_a_modality_and_further_chunks(case):
    retriever, labels = case
    some = {"image": VIEWS["image"], "text": [None, *VIEWS["text"][1:]]}
    again = Retriever(dict.fromkeys(VIEWS), retriever._make_model({}) if labels is None else retriever.model)
    if isinstance(retriever.model, OnlineMethod):
        seen = retriever.model.n_samples_seen_
        assert retriever.partial_learn(some, labels, add=True).model.n_samples_seen_ == seen + N
        assert len(retriever) == 2 * N
        assert len(again.learn(some, labels, add=True)) == N
    else:
        with pytest.raises(TypeError, match="call learn"):
            retriever.partial_learn(VIEWS, labels)
        with pytest.raises(ValueError, match=r"items\['text'\] must have one in every row .*row 0"):
            again.learn(some, labels)
    assert len(retriever.add(some)) == N

"""A Retriever whose writer is killed at any moment opens at its last commit, whole."""

import os
from functools import cache

import numpy as np
import pytest
from killed_writers import count_lines, fork, was_killed

from pyhash import Retriever

pytest.importorskip("pyarrow")

pytestmark = [
    pytest.mark.usefixtures("one_blas_thread"),
    # Newer Pythons warn of forks where any library has started threads; these children use none of them.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

WORDS = ["apple", "cherry", "plum", "cat", "dog", "owl", "oak", "fir", "elm"]
LABELS = [["fruit", "animal", "tree"][i // 3] for i in range(9)]
END = 5
SLOW = pytest.mark.slow("starts and kills many processes")
WRITERS = ("/pyhash/_files/", "/pyhash/index/", "/pyhash/retriever/", "/zipfile", "/numpy/lib/")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """A process that is killed loses nothing that it wrote."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def change(retriever, number):
    """Make the changes of one commit."""
    if number:  # texts with a word that is new, their codes and payload; an item without payload; one that goes
        texts = [f"{word} {number}" for word in WORDS]
        payload = {"text": texts, "n": [number] * 9}
        retriever.partial_learn({"text": texts}, LABELS, add=True, payload=payload)
        retriever.add({"text": [f"cat {number}"]})
        retriever.remove(retriever.index.ids[[number]])
    else:
        retriever.learn({"text": WORDS}, LABELS, add=True, payload={"text": WORDS})


def content(retriever):
    searched = retriever.search_many({"text": WORDS}, k=5)
    return (
        retriever.index.codes.tolist(),
        retriever.index.ids.tolist(),
        retriever.payload.to_pylist(),
        retriever.encoders["text"].vocabulary_,
        retriever.model.n_samples_seen_,
        [results.ids.tolist() for results in searched],
        [result.modalities for result in searched[0]],
    )


@cache
def contents():
    """What a Retriever in memory holds after each commit, from 1 on."""
    retriever, found = Retriever({"text": "bag-of-words"}, n_bits=16), [None]
    for number in range(END):
        change(retriever, number)
        found.append(content(retriever))
    return found


def write(path):
    """Go on from the last commit to the end."""
    if (path / "retriever.json").exists():
        retriever = Retriever.open(path)
    else:
        retriever = Retriever({"text": "bag-of-words"}, n_bits=16)
        change(retriever, 0)
        retriever.save(path)
    with retriever:
        for number in range(n_committed(path), END):
            change(retriever, number)
            retriever.commit()


def n_committed(path):
    """Check that all in the folder is of one commit; return its number."""
    if not (path / "retriever.json").exists():
        return 0
    found = content(Retriever.open(path, read_only=True))
    assert found in contents()
    return contents().index(found)


def run_traced(path, stop=None):
    """Write; at the `stop`-th line of code that has to do with files, the process kills itself."""
    return count_lines(lambda: write(path), WRITERS, stop)


@SLOW
def test_kills_spread_over_the_code_that_writes(tmp_path):
    n_moments = 20
    run_traced(tmp_path / "first")  # modules load
    n_lines = run_traced(tmp_path / "whole")
    assert n_committed(tmp_path / "whole") == END
    files = {name.partition("-")[0] for name in os.listdir(tmp_path / "whole")}
    found = []
    for number in range(n_moments):
        path = tmp_path / str(number)
        # Evenly, and not at the same lines of each commit.
        stop = (2 * number + 1) * n_lines // (2 * n_moments)
        assert was_killed(fork(lambda path=path, stop=stop: run_traced(path, stop)))
        found.append(n_committed(path))
        write(path)
        assert n_committed(path) == END
        assert {name.partition("-")[0] for name in os.listdir(path)} == files
        assert "prepared.json" not in os.listdir(path / "index")
    assert found == sorted(found)
    assert len(set(found)) > 1


STEPS = ["replace", "unlink", "fsync", "mkdir"]


@SLOW
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_every_step_on_the_disk_may_fail(tmp_path, monkeypatch, step, after):
    """What is in memory and on disk is the last commit or the new one, and the next commit works."""
    real, failing = getattr(os, step), {"at": None, "n": 0}

    def fail(*args, **kwargs):
        failing["n"] += 1
        if failing["n"] - 1 == failing["at"]:
            if after:
                real(*args, **kwargs)
            raise OSError("planted")
        return real(*args, **kwargs)

    for at in range(0, 200, 5 if step == "fsync" else 1):  # of these there are many
        path = tmp_path / str(at)
        retriever = Retriever({"text": "bag-of-words"}, n_bits=16)
        change(retriever, 0)
        failing.update(at=at, n=0)
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            for number in range(3):
                if number:
                    change(retriever, number)
                try:
                    retriever.commit() if number else retriever.save(path)
                except OSError:
                    assert content(retriever) == contents()[number + 1]
                    on_disk = n_committed(path)
                    assert on_disk in (number, number + 1)
                    failing["at"] = None
                    if number == 0 and on_disk:  # saved, and told that it failed: it is there, and stays
                        retriever = Retriever.open(path)
                    elif number == 0:
                        retriever.save(path)
                    else:
                        retriever.commit()
                assert n_committed(path) == number + 1
        retriever.close()
        if failing["n"] <= at:  # there are no more steps; one that finds nothing to delete is told of, and not raised
            assert at > 2 or step == "mkdir"
            return
    pytest.fail("more steps than expected")


@SLOW
def test_readers_see_whole_commits_while_a_writer_goes_on(tmp_path):
    path = tmp_path / "r"
    retriever = Retriever({"text": "bag-of-words"}, n_bits=16)
    change(retriever, 0)
    retriever.save(path)
    retriever.close()
    pid = fork(lambda: write(path))
    seen = []
    while (status := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        seen.append(n_committed(path))
    assert status[1] == 0
    assert seen == sorted(seen)
    assert np.all(np.array(seen) >= 1)
    assert n_committed(path) == END

"""Class codes: far apart, spread evenly, the same whoever asks for them and when."""

import hashlib
import threading

import numpy as np
import pytest

from pyhash.codes import pack
from pyhash.methods.parts.code_book import CodeBook, code_book


def greedy(candidates, n):
    """The first n of a sequence in which each code has the least largest inner product with those before it."""
    left, chosen = list(range(len(candidates))), [0]
    left.remove(0)
    while len(chosen) < n:
        largest = (candidates[left].astype(int) @ candidates[chosen].T.astype(int)).max(axis=1)
        chosen.append(left.pop(int(np.argmin(largest))))
    return candidates[chosen]


@pytest.mark.parametrize("n_bits", [1, 2, 5, 8])
def test_short_codes_are_chosen_greedily_from_all(n_bits):
    codes = CodeBook(n_bits, seed=4).codes(1 << n_bits)
    assert len(np.unique(codes, axis=0)) == 1 << n_bits
    if n_bits > 1:
        np.testing.assert_array_equal(codes[1], -codes[0])  # nothing is farther
    order = CodeBook(n_bits, seed=4)
    order._begin_block()
    candidates = np.unpackbits(order._candidates, axis=1, count=n_bits, bitorder="little").astype(np.int8) * 2 - 1
    np.testing.assert_array_equal(codes, greedy(candidates, 1 << n_bits))


@pytest.mark.parametrize("n_bits", [15, 16, 17, 64, 65, 200])
def test_long_codes_are_chosen_greedily_from_random_ones(monkeypatch, n_bits):
    monkeypatch.setattr("pyhash.methods.parts.code_book._MAX_CANDIDATES", 300)
    book = CodeBook(n_bits, seed=1)
    codes = book.codes(40)
    candidates = np.unpackbits(book._candidates, axis=1, count=n_bits, bitorder="little").astype(np.int8) * 2 - 1
    np.testing.assert_array_equal(codes, greedy(candidates, 40))
    assert abs(candidates.mean()) < 5 / np.sqrt(candidates.size)


@pytest.mark.parametrize("n_bits", [1, 3, 4, 7])
def test_codes_repeat_equally_often_where_there_are_more_classes_than_codes(n_bits):
    _, n_classes = np.unique(CodeBook(n_bits, seed=0).codes(1000), axis=0, return_counts=True)
    assert len(n_classes) == 1 << n_bits
    assert n_classes.max() - n_classes.min() <= 1


def test_codes_do_not_depend_on_how_many_are_asked_for_or_who_asks():
    at_once = CodeBook(24, seed=3).codes(300)
    book = CodeBook(24, seed=3)
    found = {}

    def ask(n):
        found[n] = book.codes(n)

    threads = [threading.Thread(target=ask, args=(n,)) for n in (300, 1, 17, 120, 16, 299, 2, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, codes in found.items():
        np.testing.assert_array_equal(codes, at_once[:n])
    assert code_book(24, 3) is code_book(24, 3)


def test_lengths_and_seeds_have_codes_of_their_own():
    codes = [CodeBook(64, seed).codes(50) for seed in (0, 1)]
    assert abs((codes[0] * codes[1]).mean()) < 0.1
    assert (CodeBook(63, 0).codes(50) != codes[0][:, :63]).any()


def test_codes_are_farther_apart_than_random_ones(rng):
    for n_bits, n in ((16, 87), (32, 87), (64, 87), (64, 1000)):
        codes = CodeBook(n_bits, seed=0).codes(n).astype(int)
        random = 2 * rng.integers(0, 2, codes.shape) - 1
        largest = [np.triu(each @ each.T, 1).max() for each in (codes, random)]
        assert largest[0] <= 0.75 * largest[1]


@pytest.mark.parametrize(
    ("n_bits", "digest"),
    [(8, "49206197a4309085"), (32, "c90041b5b34ed154"), (100, "f3bf680a9ace07b2")],
)
def test_codes_stay_the_same_in_all_versions(n_bits, digest):
    """Models learned anywhere, at any time, share their class codes."""
    codes = pack(CodeBook(n_bits, seed=0).codes(500))
    assert hashlib.sha256(codes.tobytes()).hexdigest()[:16] == digest


def test_blocks_follow_each_other(monkeypatch):
    monkeypatch.setattr("pyhash.methods.parts.code_book._MAX_CANDIDATES", 100)
    codes = CodeBook(40, seed=0).codes(350)
    assert len(np.unique(codes, axis=0)) == 350


def test_many_classes_and_long_codes_take_little_memory():
    book = CodeBook(1 << 20, seed=0)
    assert book.codes(3).shape == (3, 1 << 20)
    assert book._candidates.nbytes <= 1 << 25
    assert len(np.unique(pack(CodeBook(64, seed=0).codes(5000)), axis=0)) == 5000

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pyhash.encoders import BagOfWords, CachedEncoder, CallableEncoder, cached_encoder


class Counted:
    """A function of texts or pictures that keeps what it was asked for."""

    def __init__(self, fails_at=None):
        self.asked = []
        self.fails_at = fails_at

    def __call__(self, items):
        for item in items:
            if len(self.asked) == self.fails_at:
                raise KeyboardInterrupt
            self.asked.append(item)
        return [features_of(item) for item in items]


def features_of(item):
    return [len(item), item.count("a")] if isinstance(item, str) else np.asarray(item).mean((0, 1))


def cut(path):
    path.write_bytes(path.read_bytes()[:50])


def cached(folder, function=None, kind="text", **names):
    function = function or Counted()
    encoder = CallableEncoder(function, kind=kind, **{"name": "lengths", "version": "1", **names})
    return CachedEncoder(encoder, folder), function


def batches(folder):
    return sorted(folder.glob("*/*.safetensors"))


def test_only_what_is_new_is_encoded(tmp_path):
    first, asked = cached(tmp_path)
    texts = ["a", "bb", "a", "", "\ud800"]
    wanted = [[1, 1], [2, 0], [1, 1], [0, 0], [1, 0]]
    assert first.encode(texts, batch_size=2).tolist() == wanted
    assert asked.asked == ["a", "bb", "", "\ud800"]
    assert first.encode(texts[::-1]).tolist() == wanted[::-1]
    again, asked = cached(tmp_path)
    features = again.encode([*texts, "new"], batch_size=3)
    assert features.dtype == np.float32
    assert features.tolist() == [*wanted, [3, 0]]
    assert asked.asked == ["new"]
    assert again.n_features == 2
    assert again.encode([]).shape == (0, 2)
    assert (again.name, again.version, again.kind) == ("lengths", "1", "text")


@pytest.mark.parametrize("change", [{"version": "2"}, {"name": "others"}])
def test_other_encoders_share_nothing(tmp_path, change):
    cached(tmp_path)[0].encode(["a"])
    other, asked = cached(tmp_path, **change)
    other.encode(["a"])
    assert asked.asked == ["a"]


def test_pictures_are_known_by_their_content(tmp_path):
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (4, 5, 3)).astype(np.uint8) for _ in range(2)]
    paths = [tmp_path / name for name in ("a.png", "b.png", "copy.png")]
    for path, array in zip(paths, (pixels[0], pixels[1], pixels[0]), strict=True):
        Image.fromarray(array).save(path)
    encoder, asked = cached(tmp_path / "cache", kind="image")
    features = encoder.encode([*paths, paths[0].read_bytes()])
    assert len(asked.asked) == 2
    assert np.allclose(features, [pixels[i].mean((0, 1)) for i in (0, 1, 0, 0)])
    assert np.array_equal(encoder.encode([pixels[0], Image.fromarray(pixels[0])]), features[[0, 0]])
    assert len(asked.asked) == 3
    paths[1].write_bytes(paths[0].read_bytes())  # another picture under the same name
    assert np.array_equal(encoder.encode([paths[1]]), features[:1])
    assert len(asked.asked) == 3
    paths[1].write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"items\[2\] \(.*b.png\) must be a picture that can be read"):
        encoder.encode([paths[0], pixels[0], paths[1]])


def test_an_interrupted_call_is_resumed(tmp_path):
    texts = [f"text {i}" for i in range(10)]
    encoder, _ = cached(tmp_path, Counted(fails_at=7))
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(texts, batch_size=2)
    again, asked = cached(tmp_path)
    assert again.encode(texts).tolist() == cached(tmp_path / "other")[0].encode(texts).tolist()
    assert asked.asked == texts[6:]


def test_batches_are_committed_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(cached_encoder, "_MAX_ROWS", 4)
    cached(tmp_path)[0].encode([str(i) for i in range(10)], batch_size=2)
    assert len(batches(tmp_path)) == 3
    monkeypatch.setattr(cached_encoder, "_MAX_SECONDS", 0.0)
    cached(tmp_path, version="2")[0].encode([str(i) for i in range(10)], batch_size=2)
    assert len(batches(tmp_path)) == 3 + 5


@pytest.mark.parametrize("place", [0, 4, 9, 30, 0.5, -40, -1])
@pytest.mark.parametrize("is_open", [False, True])
def test_damaged_files_are_computed_again(tmp_path, place, is_open):
    texts = [f"{i} a" for i in range(20)]
    encoder, asked = cached(tmp_path)
    wanted = encoder.encode(texts)
    (path,) = batches(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 0x10
    path.write_bytes(content)
    if not is_open:
        encoder, asked = cached(tmp_path)
    asked.asked.clear()
    assert np.array_equal(encoder.encode(texts), wanted)
    assert asked.asked == texts
    again, asked = cached(tmp_path)
    assert np.array_equal(again.encode(texts), wanted)
    assert asked.asked == []


@pytest.mark.parametrize("damage", [cut, os.remove, lambda path: path.write_bytes(b"")])
def test_files_that_are_cut_or_gone_are_computed_again(tmp_path, damage):
    encoder, asked = cached(tmp_path)
    wanted = encoder.encode(["a", "b"])
    damage(batches(tmp_path)[0])
    for each in (encoder, cached(tmp_path)[0]):
        assert np.array_equal(each.encode(["a", "b"]), wanted)
    assert asked.asked == ["a", "b"] * 2


def test_two_that_share_a_folder_learn_from_each_other(tmp_path):
    (one, asked), (two, of_two) = cached(tmp_path), cached(tmp_path)
    one.encode(["a"])
    two.encode(["a", "b"])
    one.encode(["a", "b", "c"])
    assert (asked.asked, of_two.asked) == (["a", "c"], ["b"])


def test_a_version_that_does_not_tell_is_noticed(tmp_path):
    cached(tmp_path)[0].encode(["a"])
    other, _ = cached(tmp_path, lambda items: np.ones((len(items), 3)))
    with pytest.raises(ValueError, match=r"features of encoder 'lengths' must have as many columns .* got \[2, 3\]"):
        other.encode(["a", "b"])


def test_what_cannot_be_cached_is_refused(tmp_path):
    with pytest.raises(TypeError, match="encoder must be one of dense features, got 'bag-of-words'"):
        CachedEncoder(BagOfWords(), tmp_path)
    with pytest.raises(TypeError, match="encoder must be an Encoder, got int"):
        CachedEncoder(3, tmp_path)
    with pytest.raises(TypeError, match=r"items\[1\] must be a str, got 3"):
        cached(tmp_path)[0].encode(["a", 3])
    with pytest.raises(ValueError, match="items must not be empty while"):
        cached(tmp_path)[0].encode([])


_CHILD = """
import sys, time
from pyhash.encoders import CachedEncoder, CallableEncoder, cached_encoder
cached_encoder._MAX_SECONDS = 0.0
def slowly(texts):
    time.sleep(0.002)
    print(texts[0], flush=True)
    return [[len(text), text.count("a")] for text in texts]
encoder = CallableEncoder(slowly, kind="text", name="lengths", version="1")
CachedEncoder(encoder, sys.argv[1]).encode([f"a{i}" for i in range(400)], batch_size=1)
"""


@pytest.mark.slow("kills processes")
def test_killed_processes_leave_whole_files(tmp_path):
    texts = [f"a{i}" for i in range(400)]
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]  # both at once, on one folder
    for process in started:
        for _ in range(12):
            process.stdout.readline()
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
    n_files = len(batches(tmp_path))
    assert n_files > 10
    encoder, asked = cached(tmp_path)
    assert encoder.encode(texts).tolist() == [[len(text), 1] for text in texts]
    assert len(asked.asked) <= 400 - n_files

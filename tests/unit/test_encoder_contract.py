import io
import json
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_array

from pyhash.encoders import ENCODER_NAMES, BagOfWords, CallableEncoder, make_encoder, open_picture
from pyhash.errors import NotFittedError


def lengths(texts):
    return [[len(text), text.count("a")] for text in texts]


def counting(function=lengths, kind="text", **names):
    sizes = []

    def encode(items):
        sizes.append(len(items))
        return function(items)

    return CallableEncoder(encode, kind=kind, **{"name": "lengths", "version": "1", **names}), sizes


def content(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


# --- the contract ---


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_give_the_same_rows(batch_size):
    encoder, sizes = counting()
    features = encoder.encode(["a", "bb", "", "aaa", "b"], batch_size=batch_size)
    assert features.dtype == np.float32
    assert features.tolist() == [[1, 1], [2, 0], [0, 0], [3, 3], [1, 0]]
    assert max(sizes) == min(batch_size, 5)
    assert encoder.n_features == 2


def test_no_items_need_a_known_width():
    encoder, _ = counting()
    with pytest.raises(ValueError, match="items must not be empty while the number of features is not known"):
        encoder.encode([])
    encoder.encode(["a"])
    assert encoder.encode([]).shape == (0, 2)
    assert BagOfWords(5).encode([]).shape == (0, 5)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("one text", r"items must be a sequence of texts \(str\), got one str"),
        (7, r"items must be a sequence of texts \(str\), got one int"),
        (["a", None], r"items\[1\] must be a str, got None"),
        (["a", "b", b"c"], r"items\[2\] must be a str, got bytes"),
        ([3.5], r"items\[0\] must be a str, got 3.5"),
    ],
)
def test_wrong_texts_are_named_by_position(items, message):
    encoder, sizes = counting()
    with pytest.raises(TypeError, match=message):
        encoder.encode(items, batch_size=1)
    assert sizes == []


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("one.png", "got one str"),
        (b"bytes", "got one bytes"),
        (Image.new("RGB", (2, 2)), "got one Image"),
        (np.zeros((4, 5, 3), np.uint8), r"got one array of shape \(4, 5, 3\)"),
        ([np.zeros((2, 2), np.uint8), 7], r"items\[1\] must be a path, a PIL image, an array of uint8"),
        ([np.zeros((2, 2), np.uint8), np.zeros((2, 2))], r"items\[1\] must be an array of shape .* got float64"),
    ],
)
def test_wrong_pictures_are_named_by_position(items, message):
    encoder, _ = counting(kind="image")
    with pytest.raises(TypeError, match=message):
        encoder.encode(items)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (
            lambda items: np.zeros((1, 2)),
            ValueError,
            r"features of encoder 'lengths' must have shape \(2, n_features\)",
        ),
        (lambda items: np.zeros(2), ValueError, r"got \(2,\)"),
        (lambda items: np.zeros((2, 0)), ValueError, r"got \(2, 0\)"),
        (lambda items: [[1.0], [np.nan]], ValueError, "must be finite, got nan in row 1"),
        (lambda items: [[1.0], [1e300]], ValueError, "must be finite, got inf in row 1"),
        (lambda items: [["x"], ["y"]], TypeError, "must hold real numbers"),
        (lambda items: csr_array(np.eye(2)), TypeError, "must be dense, got csr_array"),
    ],
)
def test_wrong_features_are_refused_and_leave_the_encoder_as_it_was(function, error, message):
    encoder, _ = counting(function)
    with pytest.raises(error, match=message):
        encoder.encode(["a", "b"])
    assert encoder.n_features is None


def test_the_width_stays():
    encoder, _ = counting(lambda items: np.ones((len(items), len(items[0]))))
    encoder.encode(["aa"])
    with pytest.raises(ValueError, match=r"must have shape \(1, 2\), got \(1, 3\)"):
        encoder.encode(["aaa"])


def test_columns_of_frames_are_texts():
    pandas, polars, arrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    encoder, _ = counting()
    texts = ["a", "bb"]
    for items in (pandas.Series(texts), polars.Series(texts), arrow.array(texts), np.array(texts), iter(texts)):
        assert encoder.encode(items).tolist() == [[1, 1], [2, 0]]


def test_progress_goes_to_stderr(capfd):
    encoder, _ = counting()
    encoder.encode(["a"] * 3, batch_size=2)
    encoder.encode(["a"] * 3, batch_size=2, progress=None)
    assert capfd.readouterr() == ("", "")
    encoder.encode(["a"] * 3, batch_size=2, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "lengths: 100%" in err
    assert "3/3" in err


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, None])
def test_wrong_batch_sizes_are_refused(batch_size):
    with pytest.raises((ValueError, TypeError), match="batch_size must be an integer >= 1"):
        counting()[0].encode(["a"], batch_size=batch_size)


@pytest.mark.parametrize("wrong", [{"kind": "audio"}, {"name": ""}, {"version": None}])
def test_a_callable_has_a_kind_a_name_and_a_version(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        CallableEncoder(lengths, **{"kind": "text", "name": "mine", "version": "1", **wrong})
    with pytest.raises(TypeError, match="function must be callable, got int"):
        CallableEncoder(3, kind="text", name="mine", version="1")


# --- pictures ---

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def test_a_picture_is_the_same_in_every_form(tmp_path):
    image = Image.fromarray(PIXELS)
    (tmp_path / "a.png").write_bytes(content(image))
    for item in (image, PIXELS, content(image), tmp_path / "a.png", str(tmp_path / "a.png"), content(image, "BMP")):
        opened = open_picture(item)
        assert opened.mode == "RGB"
        assert np.array_equal(np.asarray(opened), PIXELS)


def test_modes_become_rgb():
    gray = PIXELS[:, :, 0]
    of_gray = np.repeat(gray[:, :, None], 3, axis=2)
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    for item in (gray, Image.fromarray(gray), deep, content(deep), content(Image.fromarray(PIXELS), "PNG")):
        wanted = PIXELS if isinstance(item, bytes) and item == content(Image.fromarray(PIXELS)) else of_gray
        assert np.array_equal(np.asarray(open_picture(item)), wanted)
    assert open_picture(Image.fromarray(PIXELS).convert("CMYK")).mode == "RGB"
    assert open_picture(Image.fromarray(PIXELS).convert("1")).mode == "RGB"
    with pytest.raises(ValueError, match="item must be a picture of 8 or 16 bits a channel, got one of mode 'F'"):
        open_picture(Image.fromarray(gray.astype(np.float32)))


def test_what_is_transparent_is_white():
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    clear.putpixel((0, 0), (9, 8, 7, 255))
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.putpixel((1, 0), 1)
    for item in (clear, content(clear)):
        assert np.asarray(open_picture(item)).tolist() == [[[9, 8, 7], [255] * 3], [[255] * 3] * 2]
    assert np.asarray(open_picture(content(palette, transparency=0))).tolist() == [[[255] * 3, [4, 5, 6]]]
    assert np.asarray(open_picture(content(palette))).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_a_file_is_turned_upright():
    image = Image.fromarray(PIXELS)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    turned = content(image, "PNG", exif=exif)
    assert np.array_equal(np.asarray(open_picture(turned)), np.rot90(PIXELS, -1))


def test_a_picture_that_cannot_be_read_names_the_file(tmp_path):
    whole = content(Image.fromarray(PIXELS), "JPEG")
    files = {"cut.jpg": whole[: len(whole) // 2], "none.png": b"no picture", "empty.png": b""}
    # Ghostscript would run.
    files["script.eps"] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    encoder, _ = counting(kind="image")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"items\[1\] \(.*{name}\) must be a picture that can be read: "):
            encoder.encode([PIXELS, tmp_path / name])
        with pytest.raises(ValueError, match=r"items\[0\] must be a picture that can be read: "):
            encoder.encode([data])
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        encoder.encode([tmp_path / "missing.png"])
    with pytest.raises(ValueError, match="not a regular file"):
        encoder.encode([tmp_path])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"pipe, which is not a regular file"):
        encoder.encode([tmp_path / "pipe"])


def test_sizes_are_limited():
    assert open_picture(PIXELS, max_pixels=35).size == (7, 5)
    for item in (PIXELS, Image.fromarray(PIXELS), content(Image.fromarray(PIXELS))):
        with pytest.raises(ValueError, match="item must be a picture of 1 to 34 pixels, got 7 x 5"):
            open_picture(item, max_pixels=34)
    with pytest.raises(ValueError, match="got 0 x 5"):
        open_picture(np.zeros((5, 0, 3), np.uint8))
    # The header of a picture of 100 or 200 million pixels, above what PIL warns of, and refuses.
    small = content(Image.new("1", (1, 1)))
    for width in (10_000, 20_000):
        header = b"IHDR" + struct.pack(">II", width, 10_000) + small[24:29]
        bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
        with pytest.raises(ValueError, match=r"item must be a picture that can be read: .* exceeds limit"):
            open_picture(bomb)


def test_without_pillow_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pictures need PIL: pip install 'pyhash-crossmodal\[image\]'"):
        open_picture(PIXELS)


# --- bags of words ---


def test_words():
    bag = BagOfWords(50).partial_fit(
        ["Don't STOP_here: Straße, naïve CAFÉ №5 हिन्दी 東京タワー x²!", "strasse Cafe\u0301"]
    )
    assert list(bag.vocabulary_) == [
        *("don", "t", "stop", "here", "strasse", "naïve", "café", "no5", "हिन्दी", "東京タワー", "x2"),
    ]


def test_words_take_the_next_free_column_for_good():
    bag = BagOfWords(3, min_count=2)
    bag.partial_fit(["b a a", "a c"])
    assert bag.vocabulary_ == {"a": 0}
    assert bag.encode(["a b c"]).toarray().tolist() == [[1, 0, 0]]
    bag.partial_fit(["c b d"])
    assert bag.vocabulary_ == {"a": 0, "c": 1, "b": 2}
    bag.partial_fit(["d e", "d e"])
    assert bag.vocabulary_ == {"a": 0, "c": 1, "b": 2}
    assert bag.to_state()["counts"] == {}
    assert bag.unknown_words("E a, d e!") == ["e", "d"]


def test_the_cut_into_chunks_changes_nothing():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.zipf(1.5, 8) % 60) for _ in range(60)]
    whole = BagOfWords(20, min_count=2).partial_fit(texts)
    parts = BagOfWords(20, min_count=2)
    for text in texts:
        parts.partial_fit([text])
    assert parts.to_state() == whole.to_state()
    assert len(whole.vocabulary_) == 20
    assert np.array_equal(parts.encode(texts, batch_size=7).toarray(), whole.encode(texts).toarray())


def test_binary_and_counts():
    texts = ["a b a", "", "c", "b b b"]
    for binary, wanted in ((True, [[1, 1], [0, 0], [0, 0], [0, 1]]), (False, [[2, 1], [0, 0], [0, 0], [0, 3]])):
        features = BagOfWords(2, binary=binary).partial_fit(["a b"]).encode(texts)
        assert isinstance(features, csr_array)
        assert features.dtype == np.float32
        assert features.toarray().tolist() == wanted


def test_a_bag_without_words_says_what_to_call():
    with pytest.raises(NotFittedError, match="call partial_fit with texts first"):
        BagOfWords().encode(["a"])
    with pytest.raises(TypeError, match=r"texts\[1\] must be a str, got 3"):
        BagOfWords().partial_fit(["a", 3])
    with pytest.raises(TypeError, match="text must be a str, got list"):
        BagOfWords().unknown_words(["a"])


def test_the_version_tells_the_vocabulary():
    versions = {BagOfWords(4).version, BagOfWords(5).version, BagOfWords(4, binary=False).version}
    bag = BagOfWords(4).partial_fit(["a b"])
    versions |= {bag.version, BagOfWords(4).partial_fit(["b a"]).version}
    assert len(versions) == 5
    before = bag.version
    assert bag.partial_fit(["b"]).version == before
    assert bag.partial_fit(["c"]).version != before


def test_a_state_passes_through_json():
    bag = BagOfWords(5, min_count=2, binary=False).partial_fit(["a b é", "b é c", "\ud800x"])
    again = BagOfWords.from_state(json.loads(json.dumps(bag.to_state())))
    assert again.to_state() == bag.to_state()
    assert again.version == bag.version
    assert again.partial_fit(["a c"]).vocabulary_ == bag.partial_fit(["a c"]).vocabulary_


@pytest.mark.parametrize(
    "change",
    [
        *({"words": "ab"}, {"words": ["a", "a"]}, {"words": [1]}, {"words": ["a", "b", "c", "d"]}, {"more": 1}),
        *({"counts": {"a": 1}}, {"counts": {"x": 2}}, {"counts": {"x": 0}}, {"counts": [1]}, {"binary": 1}),
        *({"n_features": 0}, {"min_count": "2"}, {"words": ["a", "b", "c"], "counts": {"x": 1}}),
    ],
)
def test_a_damaged_state_is_refused(change):
    state = {"n_features": 3, "min_count": 2, "binary": True, "words": ["a"], "counts": {"x": 1}}
    assert BagOfWords.from_state(state).to_state() == state
    with pytest.raises((TypeError, ValueError)):
        BagOfWords.from_state({**state, **change})


# --- names ---


def test_encoders_by_name():
    assert isinstance(make_encoder("bag-of-words", kind="text", n_features=7), BagOfWords)
    for name in ("bag-of-word", "bag-of-words:x", "", "timm:", ":"):
        with pytest.raises(ValueError, match=r"name must be one of 'bag-of-words', .*got"):
            make_encoder(name)
    with pytest.raises(ValueError, match="kind must be 'text' for 'bag-of-words', got 'image'"):
        make_encoder("bag-of-words", kind="image")
    with pytest.raises(ValueError, match="kind must be one of 'text', 'image', got 'words'"):
        make_encoder("bag-of-words", kind="words")
    assert "bag-of-words" in ENCODER_NAMES


def test_what_messages_call_a_picture_is_a_text():
    for name in (np.array([1.0]), ""):
        with pytest.raises(TypeError, match="name must be a str that is not empty, got "):
            open_picture(np.zeros((2, 2), np.uint8), name)

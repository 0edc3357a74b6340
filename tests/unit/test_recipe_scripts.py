"""Recipes make feature files from small copies of official files: the same names of files, the same formats."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csr_array

from pyhash.datasets import load_npz, make_multilabel
from pyhash.encoders import CallableEncoder

RECIPES = Path(__file__).parents[2] / "recipes"

if not RECIPES.exists():
    pytest.skip("needs a checkout, not only its tests", allow_module_level=True)


def jpeg(value):
    buffer = io.BytesIO()
    Image.new("RGB", (12, 9), (value, 255 - value, 100)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write(root, files):
    """Write files by path: text or bytes."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("latin-1"))
    return root


def pack(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def run(monkeypatch, capsys, name, *arguments):
    """Exit code, stdout and stderr of a recipe."""
    monkeypatch.syspath_prepend(str(RECIPES))
    code = import_module(name).main([*map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def made(monkeypatch, capsys, tmp_path, name, *arguments):
    """The data set that a recipe writes, whose checksums are those of the repository."""
    out = tmp_path / "out.npz"
    recorded = RECIPES / "checksums" / f"{name}.synthetic.txt"
    code, said, err = run(monkeypatch, capsys, name, *arguments, "--out", out, "--check", recorded)
    assert code == 0, f"{err}{said}"
    return load_npz(out)


def encoded_texts(monkeypatch, capsys, tmp_path, name, *arguments):
    """The texts that a recipe gives to a text encoder."""
    monkeypatch.syspath_prepend(str(RECIPES))
    given = []

    def encode(texts):
        given.extend(texts)
        return [[len(text)] for text in texts]

    def make(name, kind):
        assert (name, kind) == ("universal-sentence-encoder", "text")
        return CallableEncoder(encode, kind="text", name="lengths", version="1")

    monkeypatch.setattr(import_module("feature_file"), "make_encoder", make)
    more = ("--encoder", "text=universal-sentence-encoder", "--encoder", "image=thumbnail", "--out", tmp_path / "t.npz")
    assert run(monkeypatch, capsys, name, *arguments, *more)[0] == 0
    data = load_npz(tmp_path / "t.npz")
    assert data.views["text"].ravel().tolist() == list(map(len, given))
    assert data.vocabulary == []
    return given


def check_colors(view, values):
    """Thumbnails of pictures of one color each."""
    assert view.shape == (len(values), 192)
    np.testing.assert_allclose(view[:, 0] * 255, values, atol=3)


# --- MIRFlickr-25K ----------------------------------------------------------------------------------------------------

TAGS = [["sky", "sunset"], ["nothing"], ["dog", "café"], [], ["sky"], ["dog"]]


def mirflickr(folder):
    images = {"mirflickr/doc/common_tags.txt": "sky 845\r\nsunset 400\r\ndog 371\r\ncaf\u00e9 20\r\n"}
    images |= {f"mirflickr/im{i}.jpg": jpeg(20 * i) for i in range(1, 7)}
    images |= {f"mirflickr/meta/tags/tags{i}.txt": "\r\n".join(tags) for i, tags in enumerate(TAGS, start=1)}
    images |= {f"mirflickr/meta/tags_raw/tags{i}.txt": "Raw Tags" for i in range(1, 7)}
    labels = {"sky.txt": "1\r\n5\r\n", "sky_r1.txt": "1\r\n", "dog.txt": "3\r\n", "animals.txt": "3\r\n2\r\n4\r\n"}
    return images, labels | {"README.txt": "MIRFLICKR annotations"}


def test_mirflickr(monkeypatch, capsys, tmp_path):
    images, labels = mirflickr(tmp_path)
    arguments = ("--images", pack(tmp_path / "mirflickr25k.zip", images), "--annotations")
    arguments += (pack(tmp_path / "mirflickr25k_annotations_v080.zip", labels), "--queries", 1)
    data = made(monkeypatch, capsys, tmp_path, "mirflickr25k", *arguments, "--encoder", "image=thumbnail")
    assert data.items["file"].tolist() == ["im1.jpg", "im3.jpg", "im5.jpg"]  # with a common tag and a label
    assert data.vocabulary == ["sky", "sunset", "dog", "café"]
    assert data.views["text"].toarray().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]]
    assert data.label_names["classes"] == ["animals", "dog", "sky"]
    assert data.labels["classes"].tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 1]]
    assert data.splits["mirflickr"].sum() == 1
    check_colors(data.views["image"], [20, 60, 100])
    texts = encoded_texts(monkeypatch, capsys, tmp_path, "mirflickr25k", *arguments)
    assert texts == ["sky sunset", "dog café", "sky"]


def test_unpacked_files_give_the_same(monkeypatch, capsys, tmp_path):
    images, labels = mirflickr(tmp_path)
    arguments = ("--images", write(tmp_path / "a", images), "--annotations", write(tmp_path / "b", labels))
    made(monkeypatch, capsys, tmp_path, "mirflickr25k", *arguments, "--queries", 1, "--encoder", "image=thumbnail")


def test_features_made_elsewhere(monkeypatch, capsys, tmp_path):
    images, labels = mirflickr(tmp_path)
    images = {name: content for name, content in images.items() if not name.endswith(".jpg")}  # are not needed
    arguments = ("--images", write(tmp_path / "a", images), "--annotations", write(tmp_path / "b", labels))
    np.save(tmp_path / "gist.npy", np.arange(12.0).reshape(6, 2))
    (tmp_path / "gist.txt").write_text("".join(f"{2 * i} {2 * i + 1} \n" for i in range(6)))
    for name in ("gist.npy", "gist.txt"):
        more = ("--queries", 1, "--features", tmp_path / name)
        data = made(monkeypatch, capsys, tmp_path, "mirflickr25k", *arguments, *more)
        assert data.views["image"].tolist() == [[0, 1], [4, 5], [8, 9]]
    np.save(tmp_path / "short.npy", np.zeros((5, 2)))
    (tmp_path / "short.txt").write_text("1 2\n")
    for name in ("short.npy", "short.txt"):
        more = ("--out", tmp_path / "x.npz", "--features", tmp_path / name)
        code, _, err = run(monkeypatch, capsys, "mirflickr25k", *arguments, *more)
        assert code == 1
        assert f"{name} must have" in err
        assert "6" in err
    assert not (tmp_path / "x.npz").exists()


def test_a_cache_of_features(monkeypatch, capsys, tmp_path):
    images, labels = mirflickr(tmp_path)
    arguments = ("--images", pack(tmp_path / "a.zip", images), "--annotations", pack(tmp_path / "b.zip", labels))
    monkeypatch.syspath_prepend(str(RECIPES))
    given = []

    def encode(pictures):
        given.append(len(pictures))
        return [np.asarray(picture)[0, 0] for picture in pictures]

    encoder = CallableEncoder(encode, kind="image", name="corners", version="1")
    monkeypatch.setattr(import_module("feature_file"), "make_encoder", lambda name, kind: encoder)
    more = ("--queries", 1, "--encoder", "image=corners", "--cache", tmp_path / "cache", "--out", tmp_path / "x.npz")
    for _ in range(2):
        assert run(monkeypatch, capsys, "mirflickr25k", *arguments, *more)[0] == 0
        np.testing.assert_allclose(load_npz(tmp_path / "x.npz").views["image"][:, 0], [20, 60, 100], atol=3)
    assert given == [3]


def test_what_is_wrong_is_one_line(monkeypatch, capsys, tmp_path):
    images, labels = mirflickr(tmp_path)

    def told(images, labels, *more):
        a, b = tmp_path / "a.zip", tmp_path / "b.zip"
        arguments = ("--images", pack(a, images), "--annotations", pack(b, labels), "--out", tmp_path / "x.npz")
        code, _, err = run(monkeypatch, capsys, "mirflickr25k", *arguments, *more)
        assert code == 1
        return err.splitlines()[-1]

    thumbnails = ("--encoder", "image=thumbnail", "--queries", 1)
    assert "pictures need --encoder image=NAME, or --features FILE" in told(images, labels)
    assert "must have more than 2000 rows" in told(images, labels, *thumbnails[:2])
    assert "sky.txt must have integers, 1 in each line, got 'one' in line 1" in told(
        images, labels | {"sky.txt": "one"}
    )
    assert "must have rows with a text and a label, got none" in told(images, {"README.txt": "nothing"}, *thumbnails)
    assert "must name pictures that have tags, got 99" in told(images, labels | {"sky.txt": "99"}, *thumbnails)
    damaged = told({**images, "mirflickr/im3.jpg": b"nothing"}, labels, *thumbnails)
    assert "mirflickr/im3.jpg must be a picture" in damaged
    del images["mirflickr/im3.jpg"]
    assert "must hold im3.jpg" in told(images, labels, *thumbnails)
    (tmp_path / "other.txt").write_text(f"{'0' * 64}  views.text\n")
    whole = mirflickr(tmp_path)
    differs = told(*whole, *thumbnails, "--check", tmp_path / "other.txt")
    assert "the result differs from" in differs
    assert differs.endswith("in views.text")
    code, _, err = run(
        monkeypatch, capsys, "mirflickr25k", "--images", tmp_path / "no", "--annotations", "b", "--out", "x.npz"
    )
    assert (code, err.endswith("no does not exist\n")) == (1, True)


# --- NUS-WIDE ---------------------------------------------------------------------------------------------------------


def nus_wide():
    """Thirteen concepts of which eleven are used, of six pictures, one of them without any of the tags."""
    rng = np.random.default_rng(3)
    labels = (rng.random((6, 13)) < 0.4).astype(int)
    labels[:, 11:] = 0
    labels[5] = 0
    tags = (rng.random((6, 8)) < 0.4).astype(int)
    tags[2] = 0
    concepts = [f"concept{c:02d}" for c in range(13)]
    names = [f"actor\\000{i}_21{i}.jpg" for i in range(6)]
    archives = {
        "Groundtruth.zip": {
            **{
                f"Groundtruth/AllLabels/Labels_{concept}.txt": "".join(f"{x}\r\n" for x in labels[:, c])
                for c, concept in enumerate(concepts)
            },
            "Groundtruth/TrainTestLabels/Labels_concept00_Train.txt": "0\r\n",
        },
        "NUS_WID_Tags.zip": {
            "NUS_WID_Tags/AllTags1k.txt": "".join("\t".join(map(str, row)) + "\t\r\n" for row in tags),
            "NUS_WID_Tags/TagList1k.txt": "".join(f"tag{j}\r\n" for j in range(8)),
        },
        "ConceptsList.zip": {"ConceptsList/Concepts81.txt": "".join(f"{concept}\r\n" for concept in concepts)},
        "ImageList.zip": {"ImageList/Imagelist.txt": "".join(f"{name}\r\n" for name in names)},
    }
    return archives, labels, tags


def test_nus_wide(monkeypatch, capsys, tmp_path):
    archives, labels, tags = nus_wide()
    arguments = []
    for name, files in archives.items():
        arguments += ["--data", pack(tmp_path / name, files)]
    pictures = {f"Flickr/actor/000{i}_21{i}.jpg": jpeg(30 * i) for i in range(6)}
    arguments += ["--data", write(tmp_path / "pictures", pictures), "--queries", 2, "--encoder", "image=thumbnail"]
    data = made(monkeypatch, capsys, tmp_path, "nus_wide", *arguments)
    frequent = np.sort(np.argsort(-labels.sum(axis=0), kind="stable")[:10])
    rows = np.flatnonzero(labels[:, frequent].any(axis=1))
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert data.labels["classes"].tolist() == labels[rows][:, frequent].tolist()
    assert data.label_names["classes"] == [f"concept{c:02d}" for c in frequent]
    assert data.views["text"].toarray().tolist() == tags[rows].tolist()
    assert data.items["file"][3] == "actor/0003_213.jpg"
    assert data.splits["nus-wide"].sum() == 2
    check_colors(data.views["image"], [0, 30, 60, 90, 120])
    texts = [" ".join(f"tag{j}" for j in np.flatnonzero(row)) for row in tags[rows]]
    assert encoded_texts(monkeypatch, capsys, tmp_path, "nus_wide", *arguments) == texts
    code, _, err = run(monkeypatch, capsys, "nus_wide", *arguments, "--out", tmp_path / "x.npz", "--tagged")
    assert code == 0
    assert "4 rows; the papers have 186,577" in err
    code, _, _ = run(monkeypatch, capsys, "nus_wide", *arguments, "--out", tmp_path / "x.npz", "--concepts", 21)
    assert code == 0
    data = load_npz(tmp_path / "x.npz")
    assert data.labels["classes"].shape == (5, 13)
    assert list(data.splits) == ["nus-wide-2100", "nus-wide-5000"]


# --- MSCOCO -----------------------------------------------------------------------------------------------------------


def mscoco():
    categories = [
        {"id": 1, "name": "person", "supercategory": "person"},
        {"id": 18, "name": "dog"},
        {"id": 3, "name": "car"},
    ]
    annotations, pictures = {}, {}
    shown = {"train2014": {9: [18, 18, 1], 30: [3], 581: []}, "val2014": {42: [1], 73: [3, 1]}}
    for part, images in shown.items():
        listed = [
            {"id": i, "file_name": f"COCO_{part}_{i:012d}.jpg", "height": 9, "width": 12} for i in reversed(images)
        ]
        captions = [
            {"image_id": i, "id": 100 * i + k, "caption": f" A caption {k} of {i}\n"} for k in (2, 0, 1) for i in images
        ]
        objects = [
            {"id": 100 * i + k, "image_id": i, "category_id": c, "segmentation": [[1, 2, 3, 4]], "bbox": [0, 0, 1, 1]}
            for i, classes in images.items()
            for k, c in enumerate(classes)
        ]
        annotations[f"annotations/captions_{part}.json"] = json.dumps({"images": listed, "annotations": captions})
        annotations[f"annotations/instances_{part}.json"] = json.dumps(
            {"images": listed, "annotations": objects, "categories": categories}
        )
        pictures[part] = {f"{part}/COCO_{part}_{i:012d}.jpg": jpeg(i % 256) for i in images}
    return annotations, pictures


def test_mscoco(monkeypatch, capsys, tmp_path):
    annotations, pictures = mscoco()
    arguments = ["--data", pack(tmp_path / "annotations_trainval2014.zip", annotations)]
    for part, files in pictures.items():
        arguments += ["--data", pack(tmp_path / f"{part}.zip", files)]
    arguments += ["--queries", 1, "--encoder", "image=thumbnail"]
    data = made(monkeypatch, capsys, tmp_path, "mscoco", *arguments)
    assert data.items["file"].tolist() == [
        "train2014/COCO_train2014_000000000009.jpg",
        "train2014/COCO_train2014_000000000030.jpg",
        "val2014/COCO_val2014_000000000042.jpg",
        "val2014/COCO_val2014_000000000073.jpg",
    ]
    assert data.label_names["classes"] == ["person", "car", "dog"]
    assert data.labels["classes"].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0]]
    assert data.vocabulary == ["0", "1", "2", "a", "caption", "of"]
    assert data.views["text"].toarray().tolist() == [[1, 1, 1, 3, 3, 3]] * 4
    assert data.splits["mscoco"].sum() == 1
    check_colors(data.views["image"], [9, 30, 42, 73])
    texts = encoded_texts(monkeypatch, capsys, tmp_path, "mscoco", *arguments)
    assert texts[1] == "A caption 0 of 30 A caption 1 of 30 A caption 2 of 30"
    run(monkeypatch, capsys, "mscoco", *arguments, "--out", tmp_path / "x.npz", "--words", 2)
    assert load_npz(tmp_path / "x.npz").vocabulary == ["0", "1"]


# --- IAPR TC-12 -------------------------------------------------------------------------------------------------------


def description(folder, number, text):
    return (
        f"<DOC>\n<DOCNO>annotations/{folder}/{number}.eng</DOCNO>\n<TITLE>Tom & Ann in Tucum\u00e1n</TITLE>\n"
        f"<DESCRIPTION>{text}</DESCRIPTION>\n<NOTES></NOTES>\n<LOCATION>Quilotoa, Ecuador</LOCATION>\n"
        f"<DATE>April 2002</DATE>\n<IMAGE>images/{folder}/{number}.jpg</IMAGE>\n"
        f"<THUMBNAIL>thumbnails/{folder}/{number}.jpg</THUMBNAIL>\n</DOC>\n"
    )


def iapr(folder):
    texts = {
        ("00", 25): "a ca\u00f1on &amp; a boy;\n a dry slope;",
        ("00", 116): "a boy & a ca\u00f1on;",
        ("01", 1000): "a dry lake;",
        ("01", 1001): "",
        ("02", 2001): "a lake;",
    }
    files = {}
    for (part, number), text in texts.items():
        files[f"iaprtc12/annotations_complete_eng/{part}/{number}.eng"] = description(part, number, text)
        files[f"iaprtc12/images/{part}/{number}.jpg"] = jpeg(number % 256)
    files["saiaprtc12ok/benchmark/wlist.txt"] = "1\tairplane\r\n2\tboy\r\n3\tlake\r\n12\tdry slope\r\n13\t\r\n"
    labels = "saiaprtc12ok/benchmark/saiapr_tc-12/{}/labels.txt"
    files[labels.format("00")] = "25\t1\t2\r\n25\t2\t12\r\n25\t3\t2\r\n116\t1\t2\r\n"
    files[labels.format("01")] = "1000\t1\t3\r\n1000\t2\t12\r\n1001\t1\t1\r\n"
    files[labels.format("02")] = ""
    files["saiaprtc12ok/benchmark/saiapr_tc-12/00/images/25.jpg"] = jpeg(1)
    return write(folder, files)


def test_iapr(monkeypatch, capsys, tmp_path):
    root = iapr(tmp_path)
    arguments = ["--data", root / "iaprtc12", "--data", root / "saiaprtc12ok", "--queries", 1]
    data = made(monkeypatch, capsys, tmp_path, "iapr_tc12", *arguments, "--encoder", "image=thumbnail")
    assert data.items["file"].tolist() == ["images/00/25.jpg", "images/00/116.jpg", "images/01/1000.jpg"]
    assert data.label_names["classes"] == ["airplane", "boy", "lake", "dry slope"]
    assert data.labels["classes"].tolist() == [[0, 1, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]]
    assert data.vocabulary == ["a", "boy", "cañon", "dry"]
    assert data.splits["iapr-tc12"].sum() == 1
    check_colors(data.views["image"], [25, 116, 1000 % 256])
    texts = encoded_texts(monkeypatch, capsys, tmp_path, "iapr_tc12", *arguments)
    assert texts == ["a cañon & a boy; a dry slope;", "a boy & a cañon;", "a dry lake;"]
    more = ("--classes", 1, "--words", 1, "--encoder", "image=thumbnail", "--out", tmp_path / "x.npz")
    assert run(monkeypatch, capsys, "iapr_tc12", *arguments, *more)[0] == 0
    few = load_npz(tmp_path / "x.npz")
    assert (len(few), few.label_names["classes"], few.vocabulary) == (2, ["boy"], ["a"])


# --- FashionVC --------------------------------------------------------------------------------------------------------

PARENTS = np.repeat(np.arange(8), [1, 3, 7, 3, 2, 1, 3, 7])


def fashionvc(folder, version):
    rng = np.random.default_rng(5)
    fine = np.concatenate([np.arange(27), [3, 3, 20]])
    label = np.concatenate([np.eye(8)[PARENTS[fine]], np.eye(27)[fine]], axis=1).astype(np.uint8)
    tag = (rng.random((30, 41)) < 0.2).astype(np.uint8)
    image = np.repeat(np.arange(0, 240, 8, dtype=np.uint8), 5 * 6 * 3).reshape(30, 5, 6, 3)
    folder.mkdir()
    for name, array in {"label": label, "tag": tag, "image": image}.items():
        variable = name.capitalize()
        if version == "5":
            savemat(folder / f"{name}.mat", {variable: array})
            continue
        with h5py.File(folder / f"{name}.mat", "w", userblock_size=512) as file:
            file[variable] = array.T
            file[variable].attrs["MATLAB_class"] = np.bytes_("uint8")
        with open(folder / f"{name}.mat", "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return fine, tag


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_fashionvc(version, monkeypatch, capsys, tmp_path):
    fine, tag = fashionvc(tmp_path / "FashionVC", version)
    arguments = ("--data", tmp_path / "FashionVC", "--queries", 4, "--encoder", "image=thumbnail")
    data = made(monkeypatch, capsys, tmp_path, "fashionvc", *arguments)
    assert data.layers == ("level1", "level2")
    assert data.labels["level2"].tolist() == fine.tolist()
    assert data.labels["level1"].tolist() == PARENTS[fine].tolist()
    assert data.hierarchy[0].tolist() == PARENTS.tolist()
    assert data.label_names["level1"][2] == "Jeans"
    assert data.label_names["level2"][4:11][-1] == "Topshop Jeans"
    assert data.views["text"].tolist() == tag.tolist()
    assert data.splits["fashionvc"].sum() == 4
    np.testing.assert_allclose(data.views["image"][:, 0] * 255, np.arange(0, 240, 8), atol=1e-3)


def test_fashionvc_in_another_order_is_numbered(monkeypatch, capsys, tmp_path):
    fashionvc(tmp_path / "FashionVC", "5")
    fine = np.arange(9)
    label = np.concatenate([np.eye(8)[np.minimum(fine, 7)], np.eye(9)], axis=1)
    savemat(tmp_path / "FashionVC" / "label.mat", {"Label": label.astype(np.uint8)})
    savemat(tmp_path / "FashionVC" / "tag.mat", {"Tag": np.ones((9, 41), np.uint8)})
    savemat(tmp_path / "FashionVC" / "image.mat", {"Image": np.ones((9, 5, 6, 3), np.uint8)})
    arguments = ("--data", tmp_path / "FashionVC", "--queries", 1, "--encoder", "image=thumbnail")
    code, _, err = run(monkeypatch, capsys, "fashionvc", *arguments, "--out", tmp_path / "x.npz")
    assert code == 0
    assert "they are numbered" in err
    assert load_npz(tmp_path / "x.npz").label_names["level2"][8] == "level2.8"
    label[4, 3] = 1
    savemat(tmp_path / "FashionVC" / "label.mat", {"Label": label.astype(np.uint8)})
    code, _, err = run(monkeypatch, capsys, "fashionvc", *arguments, "--out", tmp_path / "y.npz")
    assert code == 1
    assert "Label must have one of 8 classes and one of their subclasses in each row" in err


# --- all --------------------------------------------------------------------------------------------------------------


def test_a_recipe_runs_as_a_script(tmp_path):
    images, labels = mirflickr(tmp_path)
    arguments = ["--images", pack(tmp_path / "a.zip", images), "--annotations", pack(tmp_path / "b.zip", labels)]
    arguments += ["--queries", 1, "--encoder", "image=thumbnail", "--out", tmp_path / "out.npz"]
    command = [sys.executable, RECIPES / "mirflickr25k.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 rows; the papers have 20,015" in done.stderr
    recorded = (RECIPES / "checksums" / "mirflickr25k.synthetic.txt").read_text()
    assert set(recorded.splitlines()) < set(done.stdout.splitlines())


def test_checksums_are_of_the_content(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    checksums = import_module("feature_file").checksums
    data = make_multilabel(30, n_features={"a": 3})
    changed = data.views["a"].copy()
    changed[29, 2] += 1e-6
    other = replace(data, views={"a": changed})
    assert [part for part, value in checksums(data).items() if checksums(other)[part] != value] == ["views.a"]
    by_rows = csr_array(data.views["a"])
    shuffled = csr_array((by_rows.data.copy(), by_rows.indices.copy(), by_rows.indptr), shape=by_rows.shape)
    shuffled.data[:3], shuffled.indices[:3] = shuffled.data[2::-1].copy(), shuffled.indices[2::-1].copy()
    shuffled.has_sorted_indices = False
    sums = [checksums(replace(data, views={"a": view})) for view in (by_rows, shuffled)]
    assert sums[0] == sums[1]

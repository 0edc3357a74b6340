import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pyhash import CodeIndex, Retriever
from pyhash.cli.main import main
from pyhash.datasets import load_emoji
from pyhash.deep import sdch

QUICK = ("--methods", "shoh,lemon", "--chunk-size", "5000")  # of all pairs
FILES = {
    *("evaluation.json", "index", "items-00000001.npz", "payload-00000001.arrow", "results.json", "retriever.json"),
    "model-00000001.npz",
}
COMMAND = [sys.executable, "-m", "pyhash.cli.main"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder that the demo writes, after two chunks."""
    out = tmp_path_factory.mktemp("cli") / "deep" / "demo"
    assert main(["demo", "--out", str(out), *QUICK]) == 0
    return out


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def content(folder):
    """Return the content of every file by its path, without the lock, which names the process."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run(capsys, *arguments):
    """Exit code, stdout and stderr of a call in this process."""
    try:
        code = main(arguments)
    except SystemExit as leaving:
        code = leaving.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_demo_writes_model_index_and_charts(folder):
    names = {file.name for file in folder.iterdir()}
    assert names == {*FILES, "map_by_round.png", "precision_recall.png"}
    assert [file.name for file in folder.parent.iterdir()] == ["demo"]
    with Retriever.open(folder, read_only=True) as retriever:
        assert (retriever.model.n_samples_seen_, len(retriever)) == (8247, 8247)
        assert retriever.payload.column_names == ["emoji", "name", "text", "vendor", "subgroup"]
        assert retriever.evaluation["rows"] == 903
        rounds = json.loads((folder / "results.json").read_text())["rounds"]["lemon"]
        for modality, direction in (("image", "image->text"), ("text", "text->image")):
            kept = retriever.evaluation["directions"][modality]
            assert kept["plain"]["map"] == pytest.approx(rounds[-1]["scores"][direction])
            assert kept["weighted"]["map"] == pytest.approx(rounds[-1]["scores"][f"{direction} weighted"])
            shown = [of_round[modality] for of_round in retriever.evaluation["rounds"]]
            assert shown == pytest.approx([r["scores"][f"{direction} weighted"] for r in rounds])
    for chart in ("map_by_round.png", "precision_recall.png"):
        assert (folder / chart).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow("runs the whole demo, and again with other options")
def test_the_demo_reports_every_round(capsys, tmp_path):
    assert run(capsys, "demo", "--no-charts", "--out", str(tmp_path / "demo"))[0] == 0
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert results["same_emoji_in_first_10"]["boch+instance"]["text->image weighted"] > 0.9
    assert results["rounds"]["boch+instance"][-1]["scores"]["text->image weighted"] > 0.95

    code, out, err = run(
        capsys, "demo", "--bits", "16", "--seed", "3", "--split", "emoji", "--chunk-size", "3000", "--no-charts",
        "--out", str(tmp_path / "demo"),
    )  # fmt: skip
    assert code == 0
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert list(results["rounds"]) == ["lemon+rbf", "boch+instance"]
    assert (results["n_bits"], results["seed"], results["split"]) == (16, 3, "emoji")
    for name, rounds in results["rounds"].items():
        assert [r["n_seen"] for r in rounds] == [3000, 6000, 8262]
        shown = out[out.index(f"{name}: ") :].splitlines()
        for r in rounds:
            assert set(r["scores"]) == {"image->text", "image->text weighted", "text->image", "text->image weighted"}
            assert all(0.02 < score < 1 for score in r["scores"].values())
            row = next(line for line in shown if line.split()[:1] == [str(r["n_seen"])])
            weighted = [f"{score:.3f}" for direction, score in r["scores"].items() if direction.endswith("weighted")]
            assert row.split()[1:3] == weighted
    assert results["same_emoji_in_first_10"] == {name: dict.fromkeys(r["scores"]) for name in results["rounds"]}
    assert "no picture of these emoji was learned" in out
    assert out.count(" at rank ") + out.count("none of its group") == 12
    assert err == ""  # no progress bar: stderr is not a terminal
    assert f"written to {tmp_path / 'demo'}: evaluation.json" in out
    assert not (tmp_path / "demo" / "map_by_round.png").exists()


@pytest.mark.slow("runs the whole demo a second time")
def test_the_demo_is_deterministic(folder, tmp_path, capsys):
    assert run(capsys, "demo", "--out", str(tmp_path / "again"), *QUICK)[0] == 0
    assert content(tmp_path / "again" / "index") == content(folder / "index")
    for name in ("payload-00000001.arrow", "items-00000001.npz", "model-00000001.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    scores = [
        [[r["scores"] for r in rounds] for rounds in json.loads((path / "results.json").read_text())["rounds"].values()]
        for path in (folder, tmp_path / "again")
    ]
    assert scores[0] == scores[1]


@pytest.fixture
def fewer_pairs(monkeypatch):
    """Let the demo learn an eighth of the built-in data: 1031 pairs, 113 queries."""
    whole = load_emoji()
    fewer = {
        kind: {name: array[::8] for name, array in getattr(whole, kind).items()}
        for kind in ("views", "labels", "splits", "items")
    }
    data = dataclasses.replace(whole, **fewer)
    monkeypatch.setattr("pyhash.cli.demo.load_emoji", lambda: data)
    return data


def test_on_a_terminal_the_bar_of_the_demo_is_cleared_before_a_row_is_printed(
    capsys, tmp_path, fewer_pairs, monkeypatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    out = tmp_path / "demo"
    arguments = ("--methods", "lemon,lsh", "--bits", "8", "--chunk-size", "600", "--no-charts", "--out", str(out))
    code, printed, err = run(capsys, "demo", *arguments)
    assert code == 0
    assert "learning:   0%" in err
    assert "\n" not in err  # cleared in the end
    rows = [line.split()[0] for line in printed.splitlines() if re.fullmatch(r" *\d+(  +\d\.\d{3}){4}", line)]
    assert rows == ["600", "1031", "1031"]


def test_the_demo_learns_whole_data_in_one_round(capsys, tmp_path, fewer_pairs):
    arguments = ("demo", "--methods", "lsh,dsfh", "--bits", "16", "--no-charts", "--out", str(tmp_path / "demo"))
    code, out, err = run(capsys, *arguments)
    assert code == 0
    assert "learning" not in err  # a bar of one round
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    rounds = results["rounds"]
    assert {name: [r["n_seen"] for r in of_method] for name, of_method in rounds.items()} == {
        "lsh": [len(fewer_pairs.split("pair")[0])],
        "dsfh": [len(fewer_pairs.split("pair")[0])],
    }
    scores = {name: of_method[0]["scores"].values() for name, of_method in rounds.items()}
    assert min(scores["dsfh"]) > 3 * max(scores["lsh"])  # labels were learned, and pairs stayed pairs
    for name, same in results["same_emoji_in_first_10"].items():
        assert all(0 < share < 1 for share in same.values())
        last = rounds[name][-1]["scores"]
        for distance, kind in (("plain", ""), ("weighted", " weighted")):
            shown = [of[direction + kind] for direction in ("image->text", "text->image") for of in (last, same)]
            assert [name, distance, *(f"{score:.3f}" for score in shown)] in [line.split() for line in out.splitlines()]
    assert "the emoji that they find (dsfh, weighted distance)" in out
    assert len(re.findall(r" at rank \d+ [(]lsh: \d+[)]", out)) + out.count("none of its group") == 12
    assert type(Retriever.open(tmp_path / "demo", read_only=True).model).__name__ == "DSFH"
    assert "cat" in run(capsys, "search", str(tmp_path / "demo"), "cat face")[1].splitlines()[1]


@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")  # an epoch is too short
def test_the_demo_with_a_deep_method_and_then_with_another(capsys, tmp_path, monkeypatch, fewer_pairs):
    monkeypatch.setitem(sdch._PRESETS["default"], "epochs", 1)
    out = tmp_path / "demo"
    assert run(capsys, "demo", "--methods", "sdch", "--bits", "32", "--no-charts", "--out", str(out))[0] == 0
    deep = {name.replace("model-00000001.npz", "model-00000001.safetensors") for name in FILES}
    assert {file.name for file in out.iterdir()} == deep
    with Retriever.open(out, read_only=True) as retriever:
        model = retriever.model
        assert (type(model).__name__, model.n_samples_seen_) == ("SDCH", len(fewer_pairs.split("pair")[0]))
        assert (len(retriever), len(model.history_)) == (model.n_samples_seen_, 1)
        wanted = retriever.search(text="cat face")
    answer = json.loads(run(capsys, "search", str(out), "cat face", "--json")[1])
    assert [hit["id"] for hit in answer["hits"]] == wanted.ids.tolist()

    # The next model has a file of the other form; the old one would not belong to the new index.
    assert run(capsys, "demo", "--methods", "cca-sign", "--bits", "8", "--no-charts", "--out", str(out))[0] == 0
    assert {file.name for file in out.iterdir()} == FILES
    assert run(capsys, "search", str(out), "cat face")[0] == 0


@pytest.mark.slow("learns the built-in data")
def test_the_demo_compares_methods_that_find_classes_and_things(capsys, tmp_path, fewer_pairs):
    out = tmp_path / "demo"
    assert run(capsys, "demo", "--no-charts", "--chunk-size", "600", "--out", str(out))[0] == 0
    results = json.loads((out / "results.json").read_text())
    of_class, of_thing = results["same_emoji_in_first_10"].values()
    assert list(results["same_emoji_in_first_10"]) == ["lemon+rbf", "boch+instance"]
    assert of_thing["text->image weighted"] > of_class["text->image weighted"] + 0.1
    assert Retriever.open(out, read_only=True).model.class_bits == 24
    assert "cat" in run(capsys, "search", str(out), "cat face")[1].splitlines()[1]


@pytest.mark.slow("learns the built-in data")
def test_the_demo_learns_from_a_first_chunk_that_lacks_classes(capsys, tmp_path, fewer_pairs):
    first, *others = fewer_pairs.chunks(100, 3, split="pair", labels="level2")
    assert first.labels.max() < max(chunk.labels.max() for chunk in others)
    arguments = ("--methods", "lemon", "--bits", "8", "--chunk-size", "100", "--seed", "3", "--no-charts")
    assert run(capsys, "demo", *arguments, "--out", str(tmp_path / "demo"))[0] == 0


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("shoh,lemmon", "methods must begin with one of boch, shoh, lemon, .*, got 'lemmon'; did you mean 'lemon'[?]"),
        ("lsh+auto", "name must be without [+]auto for lsh, which learns without labels, got 'lsh[+]auto'"),
        ("lsh,shoh,lsh", "--methods must name every method once, got lsh twice"),
    ],
)
def test_wrong_methods_show_before_the_demo_works(capsys, tmp_path, methods, message):
    code, out, err = run(capsys, "demo", "--methods", methods, "--out", str(tmp_path / "demo"))
    assert (code, out) == (1, "")
    assert re.fullmatch(f"pyhash: {message}\n", err)
    assert os.listdir(tmp_path) == []


def test_without_torch_the_demo_says_so_before_it_works(tmp_path):
    hidden = "import sys; sys.modules['torch'] = None; from pyhash.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", hidden, "demo", "--methods", "lemon,dhsl", "--out", str(tmp_path / "demo")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == 'pyhash: pyhash.deep needs torch and accelerate: pip install "pyhash-crossmodal[deep]"\n'
    assert os.listdir(tmp_path) == []


def test_search_finds_what_words_describe(capsys, folder):
    code, out, err = run(capsys, "search", str(folder), "cat face", "-k", "7")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 8
    assert [int(line.split()[0]) for line in lines[1:]] == list(range(1, 8))
    assert "animal-mammal" in lines[1] or "cat-face" in lines[1]


def test_search_finds_what_no_word_of_the_data_names(capsys, folder):
    """Sentence features know words that no text of the data has."""
    assert "vessel" not in load_emoji().vocabulary
    answer = json.loads(run(capsys, "search", str(folder), "vessel", "-k", "3", "--json")[1])
    assert [hit["payload"]["subgroup"] for hit in answer["hits"]] == ["transport-water"] * 3


@pytest.mark.slow("runs a network")
def test_search_by_a_picture_of_an_emoji(capsys, folder, tmp_path):
    """A drawing finds things of its colour and form: a plain disc is a circle of the same colour."""
    pytest.importorskip("efficientnet_lite_pytorch")
    from PIL import Image, ImageDraw

    picture = Image.new("RGBA", (72, 72))
    ImageDraw.Draw(picture).ellipse((4, 4, 68, 68), fill=(221, 46, 68))
    picture.save(tmp_path / "disc.png")
    answer = json.loads(run(capsys, "search", str(folder), "--image", str(tmp_path / "disc.png"), "--json")[1])
    assert "geometric" in {hit["payload"]["subgroup"] for hit in answer["hits"][:3]}


def test_search_knows_as_many_as_there_are(capsys, folder):
    out = run(capsys, "search", str(folder), "cat", "-k", "100000", "--json")[1]
    assert len(json.loads(out)["hits"]) == 8247


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pyhash: the following arguments are required: COMMAND (see pyhash --help)"),
        (["teach"], "pyhash: argument COMMAND: invalid choice: 'teach'"),
        (["demo", "--bits", "0"], "pyhash demo: argument --bits: must be an integer >= 1, got '0'"),
        (["demo", "--bits", "many"], "pyhash demo: argument --bits: must be an integer >= 1, got 'many'"),
        (["demo", "--seed", "-1"], "pyhash demo: argument --seed: must be an integer >= 0, got '-1'"),
        (["demo", "--split", "half"], "pyhash demo: argument --split: invalid choice: 'half'"),
        (["demo", "--chunk-size", "0"], "pyhash demo: argument --chunk-size: must be an integer >= 1, got '0'"),
        (["demo", "--methods", "shoh,,lsh"], "pyhash demo: argument --methods: must be names joined by commas, got"),
        (["demo", "--out", ""], "pyhash demo: argument --out: must name a folder, got ''"),
        (["bench", "--out", ""], "pyhash bench: argument --out: must name a folder, got ''"),
        (["demo", "--colour"], "pyhash: unrecognized arguments: --colour"),
        (["search", "somewhere"], "pyhash search: give WORDS, --image FILE or both; or --like ID alone; or - alone"),
        (["search", "somewhere", "  "], "pyhash search: give WORDS, --image FILE or both; or --like ID alone; or"),
        (["search", "somewhere", "--like", "3", "cat"], "pyhash search: give WORDS, --image FILE or both; or"),
        (["search", "somewhere", "-", "--image", "a.jpg"], "pyhash search: give WORDS, --image FILE or both; or"),
        (["search", "somewhere", "cat", "-k", "0"], "pyhash search: argument -k: must be an integer >= 1, got '0'"),
    ],
)
def test_wrong_usage_is_one_clear_line(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_help_and_version(capsys):
    assert run(capsys, "--help")[0] == 0
    assert run(capsys, "demo", "--help")[0] == 0
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert out.startswith("pyhash 0.")


def damage(name, change):
    def apply(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return apply


def part_of_index(folder, pattern):
    (path,) = (folder / "index").glob(pattern)
    return path


def flip_a_code(folder):
    path = part_of_index(folder, "*.codes.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def empty_index(folder):
    shutil.rmtree(folder / "index")
    (folder / "index").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: shutil.rmtree(f / "index"), "index is missing"),
        (lambda f: (f / "model-00000001.npz").unlink(), "model-00000001.npz is missing"),
        (lambda f: shutil.rmtree(f), "is not a folder"),
        (damage("model-00000001.npz", lambda b: b[: len(b) // 2]), "model-00000001.npz"),
        (damage("payload-00000001.arrow", lambda b: b[:-9]), "payload-00000001.arrow"),
        (damage("retriever.json", lambda b: b[:-9]), "retriever.json"),
        (empty_index, "index has no generation"),
        (damage("index/manifest.json", lambda b: b[:-9]), "manifest.json is not a whole manifest"),
        (lambda f: part_of_index(f, "*.ids.npy").unlink(), ".ids.npy is missing"),
        (flip_a_code, ".codes.npy is damaged"),
    ],
)
def test_damaged_folders(capsys, copy, spoil, message):
    spoil(copy)
    code, out, err = run(capsys, "search", str(copy), "cat")
    assert (code, out) == (1, "")
    assert err.startswith("pyhash: ")
    assert message in err
    assert str(copy) in err
    assert err.count("\n") == 1


def test_the_demo_does_not_write_over_a_file(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    code, _, err = run(capsys, "demo", "--out", str(tmp_path / "file"))
    assert code == 1
    assert "file is not a folder" in err
    assert (tmp_path / "file").read_text() == "mine"
    assert os.listdir(tmp_path) == ["file"]


def test_without_matplotlib_the_demo_says_so_before_it_works(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run(capsys, "demo", "--out", str(tmp_path / "demo"))
    assert (code, out) == (1, "")
    assert err == "pyhash: charts need matplotlib: pip install 'pyhash-crossmodal[plot]', or run with --no-charts\n"
    assert os.listdir(tmp_path) == []


def wait_for_work(directory):
    """Wait until the demo has begun: its temporary folder exists."""
    for _ in range(2400):
        if any(".partial-" in name for name in os.listdir(directory)):
            return
        time.sleep(0.05)
    pytest.fail("the demo did not begin within two minutes")


def test_a_request_to_end_leaves_nothing(tmp_path):
    """SIGTERM, which `timeout` and container runtimes send."""
    process = subprocess.Popen([*COMMAND, "demo", "--out", str(tmp_path / "demo"), "--chunk-size", "200"])
    wait_for_work(tmp_path)
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert os.listdir(tmp_path) == []


@pytest.mark.slow("learns the built-in data")
def test_an_output_folder_behind_a_link(capsys, tmp_path, fewer_pairs):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    out = tmp_path / "link"
    assert run(capsys, "demo", "--out", str(out), "--bits", "8", "--no-charts", "--chunk-size", "9000")[0] == 0
    assert {file.name for file in (tmp_path / "real").iterdir()} == FILES
    assert out.is_symlink()


def test_ctrl_c_waits_while_files_change_places(tmp_path, monkeypatch):
    from pyhash.cli import staged_folder

    replace = os.replace

    def interrupted(source, target):
        os.kill(os.getpid(), signal.SIGINT)
        replace(source, target)

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(staged_folder.os, "replace", interrupted)
    with staged_folder.staged(tmp_path / "out", lambda name: False) as stage:
        for name in "abc":
            (stage / name).write_text("new")
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b", "c"]


def test_too_much_memory_is_one_clear_line(capsys, tmp_path):
    code, _, err = run(capsys, "demo", "--bits", "1000000", "--out", str(tmp_path / "demo"), "--no-charts")
    assert code == 1
    assert "pyhash: Unable to allocate" in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("wait", [0.0, 1.0, pytest.param(2.0, marks=pytest.mark.slow("waits"))])
def test_ctrl_c_leaves_what_was_there(copy, wait):
    """Interrupt a second run into the same folder: the files of the first stay, and no other file is left."""
    before = content(copy)
    arguments = ["demo", "--out", str(copy), "--seed", "9", "--chunk-size", "200"]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Of tests in the background, the shell ignores Ctrl-C, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for_work(copy)
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("pyhash: interrupted\n")
    assert content(copy) == before
    assert os.listdir(copy.parent) == ["copy"]


def test_an_interrupt_that_is_dropped_comes_again(capsys, monkeypatch):
    """As by a finalizer, or by C code that drops exceptions."""

    def drop_it(_):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        time.sleep(30)

    monkeypatch.setattr("pyhash.cli.demo.run", drop_it)
    start = time.monotonic()
    code, _, err = run(capsys, "demo")
    assert time.monotonic() - start < 25
    assert (code, err) == (128 + signal.SIGTERM, "pyhash: interrupted\n")
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_reader_that_leaves_is_no_accident(folder):
    command = f"{sys.executable} -m pyhash.cli.main search {folder} cat -k 8000 | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stdout.strip().startswith("rank")
    assert result.stderr == ""


def test_a_closed_stdout_is_no_crash(folder):
    command = f"{sys.executable} -m pyhash.cli.main search {folder} cat >&-"
    assert subprocess.run(command, shell=True, capture_output=True, text=True).stderr == ""


def test_a_folder_that_cannot_be_written_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    for command in (["demo"], ["bench", "--data", "multilabel"]):
        code, _, err = run(capsys, *command, "--no-charts", "--out", str(tmp_path / "file" / "out"))
        assert code == 1
        assert re.fullmatch(f"pyhash: {tmp_path}/file/out cannot be written: .*\n", err)


def test_a_terminal_without_emoji(folder):
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = subprocess.run([*COMMAND, "search", str(folder), "cat"], env=env, capture_output=True, text=True)
    assert result.returncode == 0
    assert "? " in result.stdout


def test_the_installed_command_runs(folder):
    command = shutil.which("pyhash", path=os.path.dirname(sys.executable))
    assert command is not None
    result = subprocess.run([command, "search", str(folder), "red heart"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "heart" in result.stdout


@pytest.mark.slow("runs the whole demo over its own output")
def test_the_demo_can_be_written_twice(folder, copy, capsys):
    assert run(capsys, "demo", "--out", str(copy), "--bits", "32", "--no-charts")[0] == 0
    # The charts of the first run are removed: they show another model.
    assert {file.name for file in copy.iterdir()} == FILES
    index = CodeIndex.open(copy / "index")
    assert index.n_bits == Retriever.open(copy, read_only=True).model.n_bits == 32
    assert np.array_equal(index.ids, CodeIndex.open(folder / "index").ids)
    index.verify()
    assert run(capsys, "search", str(copy), "cat")[0] == 0


def test_the_demo_writes_over_what_is_called_index(tmp_path):
    """A folder replaces a file, and a folder with files in it."""
    from pyhash.cli.staged_folder import staged

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index").write_text("a file")
    for name in ("first", "second"):
        with staged(tmp_path / "out", lambda name: False) as stage:
            (stage / "index").mkdir()
            (stage / "index" / name).write_text(name)
        assert [path.name for path in tmp_path.rglob("*")] == ["out", "index", name]

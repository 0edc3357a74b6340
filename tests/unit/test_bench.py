import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pyarrow
import pytest
from pyarrow.parquet import write_table

from pyhash.cli import bench
from pyhash.cli.main import main
from pyhash.comparison.records import score_of
from pyhash.datasets import make_hierarchical, make_multilabel, save_npz

COMMAND = [sys.executable, "-m", "pyhash.cli.main", "bench"]


@pytest.fixture
def file(tmp_path):
    """A small data set in a file."""
    path = tmp_path / "mine.npz"
    save_npz(path, make_hierarchical(150, n_classes=(2, 5), n_features={"image": 10, "text": 12}))
    return path


def run(capsys, *arguments):
    """Exit code, stdout and stderr of a call in this process."""
    try:
        code = main(["bench", *map(str, arguments)])
    except SystemExit as leaving:
        code = leaving.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def records_of(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.mark.slow("draws the charts of several methods")
def test_results_table_and_charts(capsys, file, tmp_path):
    out = tmp_path / "out"
    arguments = ("--data", file, "--methods", "lemon+rbf,lsh", "--bits", "4,8", "--seeds", "2", "--out", out)
    code, said, err = run(capsys, *arguments, "--threads", "1")
    assert code == 0
    assert len(records_of(out)) == 8
    assert "4 of 8: lemon+rbf, 8 bits, seed 1\n" in err
    assert "Dataset('hierarchical', 150 rows" in said
    assert "split random\n" in said
    table = (out / "table.md").read_text()
    assert (
        "pyhash bench --data mine.npz --labels level2 --split random --views image,text --methods lemon+rbf,lsh "
        "--bits 4,8 --seeds 2 --chunk-size 2000 --protocol shoh --database learned --out out\n" in table
    )
    assert str(tmp_path) not in table
    assert "full list, denominator hits, empty queries zero, ties id; mean ± sample standard deviation of 2" in table
    assert "Made with pyhash 0." in table
    row = next(line for line in table.splitlines() if line.startswith("| lemon+rbf | 8 |"))
    values = [score_of(record, "shoh", "image->text")["map"] for record in records_of(out)[2:4]]
    assert f"{sum(values) / 2:.3f} ± {abs(values[0] - values[1]) / 2**0.5:.3f}" in row
    assert row in said
    assert {file.name for file in out.iterdir()} == {"results.jsonl", "table.md", "charts", "lock", "queries"}
    assert (out / "charts" / "map_by_bits.image-to-text.png").read_bytes().startswith(b"\x89PNG")

    code, said, _ = run(capsys, *arguments, "--no-charts")
    assert code == 0
    assert f"8 of 8 combinations were in {out / 'results.jsonl'} and were not run again" in said
    assert (out / "table.md").read_text() == table


def test_lines_of_both_streams_in_one_file_are_whole(file, tmp_path):
    """As with `pyhash bench > log 2>&1`: stdout is not behind stderr, and no bar overwrites a line."""
    arguments = ["--data", str(file), "--methods", "lsh", "--bits", "4", "--seeds", "2", "--out", str(tmp_path / "out")]
    with open(tmp_path / "log", "w") as log:
        command = [*COMMAND, *arguments, "--no-charts"]
        assert subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode == 0
    printed = (tmp_path / "log").read_bytes().decode()
    assert "\r" not in printed
    lines = printed.splitlines()
    assert lines[1:5] == ["split random", "1 of 2: lsh, 4 bits, seed 0", "2 of 2: lsh, 4 bits, seed 1", ""]
    assert [line.split(" |")[0] for line in lines if line.startswith("|")] == ["| method", "| ---", "| lsh"]
    assert lines[-1].startswith("written to ")


def test_a_line_that_is_not_whole(capsys, file, tmp_path):
    arguments = ("--data", file, "--methods", "lsh", "--bits", "4", "--seeds", "2", "--out", tmp_path, "--no-charts")
    assert run(capsys, *arguments)[0] == 0
    path = tmp_path / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    code, said, _ = run(capsys, *arguments)
    assert code == 0
    assert f"the last line of {path} was incomplete and was removed" in said
    assert "1 of 2 combinations" in said
    assert [record["seed"] for record in records_of(tmp_path)] == [0, 1]


def test_every_option(capsys, file, tmp_path):
    code, _, err = run(
        capsys, "--data", file, "--labels", "level1", "--split", "random", "--views", "text,image",
        "--methods", "lemon", "--bits", "4", "--seeds", "1", "--chunk-size", "50",
        "--protocol", "shoh,cutoff=9:denominator=min:ties=expected", "--database", "encoded",
        "--out", tmp_path, "--no-charts",
    )  # fmt: skip
    assert code == 0, err
    (record,) = records_of(tmp_path)
    assert (record["labels"], record["views"], record["database"]) == ("level1", ["text", "image"], "encoded")
    assert len(record["rounds"]) == 3
    strict = "cutoff 9, denominator min, empty queries skip, ties expected"
    assert record["protocols"][strict] == strict
    assert strict in (tmp_path / "table.md").read_text()


def test_metrics_and_intervals(capsys, file, tmp_path):
    arguments = ("--data", file, "--methods", "cca-itq,lsh", "--bits", "8", "--seeds", "1", "--rounds", "none")
    code, said, err = run(
        capsys, *arguments, "--metrics", "ndcg@10,mrr", "--intervals", "--out", tmp_path, "--no-charts"
    )
    assert code == 0, err
    table = (tmp_path / "table.md").read_text()
    command = table.splitlines()[2]
    assert "--protocol shoh --metrics map,ndcg@10,mrr --database" in command
    assert command.endswith(" --intervals")
    for title in ("mAP of", "nDCG@10 (linear gains of layers shared) of", "MRR of"):
        assert f"\n{title} hierarchical" in said
    assert table.count("95 % intervals") == 3
    assert table.count("| **") == 3 * 4  # the best of each column
    assert len(list((tmp_path / "queries").iterdir())) == 2
    code, _, err = run(capsys, *arguments, "--metrics", "ndcg@x", "--out", tmp_path, "--no-charts")
    assert code == 1
    assert "metrics must be among" in err


@pytest.mark.parametrize(("name", "views"), [("hierarchical", "image,text"), ("multilabel", "image,text")])
def test_generated_data(capsys, tmp_path, name, views):
    arguments = ("--data", name, "--methods", "lsh", "--bits", "4", "--seeds", "1", "--out", tmp_path, "--no-charts")
    assert run(capsys, *arguments)[0] == 0
    assert f"--data {name}" in (tmp_path / "table.md").read_text()
    assert f"--views {views}" in (tmp_path / "table.md").read_text()


def test_labels_of_methods_and_of_relevance(capsys, file, tmp_path):
    arguments = ("--data", file, "--bits", "4", "--seeds", "1", "--no-charts", "--out", tmp_path)
    code, said, err = run(
        capsys, *arguments, "--methods", "lemon@level1+level2,lsh", "--relevance", "hierarchy", "--labels", "level1",
        "--chunk-size", "50", "--remainder", "merge", "--rounds", "none",
    )  # fmt: skip
    assert code == 0, err
    assert [(record["labels"], record["relevance"]) for record in records_of(tmp_path)] == [
        ("level1+level2", "level2"), ("level1", "level2")
    ]  # fmt: skip
    assert [(entry["n_seen"], entry["map"]) for entry in records_of(tmp_path)[0]["rounds"]] == [(50, None), (135, None)]
    assert "learned from level1+level2 (lemon@level1+level2) and level1 (lsh)" in said
    command = (tmp_path / "table.md").read_text().splitlines()[2]
    assert "--labels level1 --relevance level2 --split random" in command
    assert "--methods lemon@level1+level2,lsh --bits 4 --seeds 1" in command
    assert "--chunk-size 50 --remainder merge --rounds none --protocol" in command
    assert run(capsys, *arguments, "--methods", "lemon@level1", "--relevance", "level2")[0] == 0
    assert "mine.npz --relevance level2 --split" in (tmp_path / "table.md").read_text()
    assert run(capsys, *arguments, "--methods", "lemon", "--labels", "level1+level2")[0] == 0
    assert "--labels level1+level2 --relevance level2 --split" in (tmp_path / "table.md").read_text()


def test_emoji_has_defaults(capsys, monkeypatch, tmp_path):
    asked = {}

    def compare(data, methods, **choices):
        asked.update(choices, methods=methods, name=data.name)
        raise ValueError("enough")

    monkeypatch.setattr(bench, "compare", compare)
    code, said, err = run(capsys, "--out", tmp_path, "--no-charts")
    assert (code, err) == (1, "pyhash: enough\n")
    assert said.endswith("split pair\n")
    assert asked["name"] == "emoji"
    assert asked["views"] == ("image_deep", "text")
    assert (asked["labels"], asked["split"]) == (None, None)  # level2 and pair: the finest, and the first
    assert asked["methods"] == ("boch", "lemon+rbf", "cca-itq")
    assert (asked["bits"], asked["seeds"]) == ((16, 32, 64), 3)


def test_a_mat_file_without_a_split(capsys, tmp_path, rng):
    from scipy.io import savemat

    kinds = rng.integers(0, 3, 80)
    path = tmp_path / "flickr.mat"
    text = rng.random((80, 7)) < 0.5
    savemat(path, {"XAll": rng.standard_normal((80, 5)), "YAll": text, "LAll": np.eye(3)[kinds]})
    out = tmp_path / "out"
    code, said, err = run(
        capsys, "--data", path, "--methods", "lsh", "--bits", "4", "--seeds", "1", "--out", out, "--no-charts"
    )
    assert code == 0, err
    assert "split random: a tenth of the rows, drawn with seed 0, are queries" in said
    assert records_of(out)[0]["data"]["n_queries"] == 8


def test_fused_codes_and_rows_that_are_not_learned(capsys, file, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run(
        capsys, "--data", file, "--methods", "lemon", "--bits", "4", "--seeds", "1", "--database", "fused",
        "--directions", "image->text, image+text->text", "--weights", "image=1, text=0.6", "--learn-fraction", "0.5",
        "--no-charts", "--out", out,
    )  # fmt: skip
    assert code == 0
    assert "| method | bits | bytes per item | image->text | image->text weighted | image+text->text |" in said
    assert "(67 rows to learn, 68 others to search, 15 queries)" in said
    (record,) = records_of(out)
    assert (record["database"], record["weights"]) == ("fused", {"image": 1.0, "text": 0.6})
    assert (
        "--directions 'image->text,image+text->text' --database fused --weights image=1.0,text=0.6 "
        "--learn-fraction 0.5 --out out\n" in (out / "table.md").read_text()
    )


def test_a_file_that_says_which_thing_a_row_shows(capsys, tmp_path):
    data = make_hierarchical(150, n_classes=(2, 5), n_features={"image": 10, "text": 12})
    save_npz(tmp_path / "mine.npz", replace(data, items={"of": np.arange(150) % 50}, instances="of"))
    save_npz(tmp_path / "alone.npz", replace(data, items={"of": np.arange(150)}, instances="of"))
    arguments = ("--methods", "lsh", "--bits", "4", "--seeds", "1", "--no-charts", "--out")
    code, said, _ = run(capsys, "--data", tmp_path / "mine.npz", *arguments, tmp_path / "out")
    assert code == 0
    assert "\nFinding an item with the of of the query, of the 15 of 15 queries" in said
    assert "\n| lsh | 4 | weighted | " in said
    assert "| method | bits | distance | " in (tmp_path / "out" / "table.md").read_text()
    code, said, _ = run(capsys, "--data", tmp_path / "alone.npz", *arguments, tmp_path / "out2")
    assert code == 0
    assert "\nNo item of the database has the of of a query" in said
    assert "distance" not in (tmp_path / "out2" / "table.md").read_text()


def test_a_file_of_arrays_by_any_names(capsys, tmp_path, rng):
    path, out = tmp_path / "mine.npz", tmp_path / "out"
    np.savez(path, A=rng.standard_normal((60, 5)), B=rng.standard_normal((60, 7)), C=rng.integers(0, 3, 60))
    arguments = ["--methods", "lsh", "--bits", "4", "--seeds", "1", "--out", out, "--no-charts"]
    code, _, err = run(capsys, "--data", path, *arguments)
    assert code == 1
    assert "got A (60, 5), B (60, 7), C (60,). Say which arrays are what" in err
    assert "--names image=X1,text=X2,labels=L for pyhash bench" in err
    code, _, err = run(capsys, "--data", path, "--names", "image=A, text=B,labels=C", *arguments)
    assert code == 0, err
    assert "--data mine.npz --names image=A,text=B,labels=C --labels classes" in (out / "table.md").read_text()
    code, _, err = run(capsys, "--data", path, "--names", "image=A,B", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert "argument --names: must be such as image=X1,text=X2,labels=L, got 'image=A,B'" in err


def test_what_says_nothing_of_itself_is_out_of_memory(capsys, monkeypatch, tmp_path):
    def load(data, names):
        raise MemoryError

    monkeypatch.setattr(bench, "_load", load)
    code, _, err = run(capsys, "--out", tmp_path / "out", "--no-charts")
    assert (code, err) == (1, "pyhash: out of memory\n")


def test_data_with_another_split(capsys, tmp_path):
    data = make_hierarchical(100, n_features={"image": 4, "text": 5})
    path = tmp_path / "mine.npz"
    save_npz(path, replace(data, splits={"mine": data.splits["random"]}))
    out = tmp_path / "out"
    arguments = ("--data", path, "--methods", "lsh", "--bits", "4", "--seeds", "1", "--out", out, "--no-charts")
    assert "split mine\n" in run(capsys, *arguments)[1]
    code, _, err = run(capsys, *arguments, "--split", "pair")
    assert code == 1
    assert err.startswith("pyhash: split must be one of 'mine', 'random', 'mirflickr', ")
    assert err.endswith(", got 'pair'\n")


def test_a_table_as_data(capsys, tmp_path):
    data = make_hierarchical(100, n_features={"image": 4, "text": 5})
    path = tmp_path / "mine.parquet"
    views = {name: data.views[name].tolist() for name in ("image", "text")}
    write_table(pyarrow.table({**views, "kind": data.labels["level2"]}), path)
    arguments = ("--methods", "lsh", "--bits", "4", "--seeds", "1", "--out", tmp_path / "out", "--no-charts")
    code, said, _ = run(capsys, "--data", path, "--names", "image=image,text=text,labels=kind", *arguments)
    assert code == 0
    assert "Dataset('mine', 100 rows; views: image 4, text 5; labels: classes)" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "lemmon"], "methods must begin with one of "),
        (["--methods", "lemmon"], "got 'lemmon'; did you mean 'lemon'?"),
        (["--methods", "cca-itq+posterior"], "which learns without labels"),
        (
            ["--relevance", "level9"],
            "relevance must be one of 'hierarchy', 'level1', 'level2', 'keywords', got 'level9'",
        ),
        (
            ["--methods", "lemon@level9"],
            "the labels of 'lemon@level9' must be one of 'hierarchy', 'level1', 'level2', ",
        ),
        (["--labels", "level9"], "labels must be one of 'hierarchy', 'level1', 'level2', 'keywords', got 'level9'"),
        (["--split", "half"], "split must be one of 'pair', 'emoji', 'random', 'mirflickr', 'nus-wide', "),
        (["--split", "half"], "'fashionvc', 'ssense', got 'half'"),
        (["--views", "sound"], "views must be one of 'image_deep', 'image_gist', 'text', 'text_deep', got 'sound'"),
        (
            ["--protocol", "mine"],
            "--protocol must be a preset (shoh) or cutoff=, denominator=, empty_queries=, ties= joined",
        ),
        (["--protocol", "cutoff=many"], "--protocol must have an integer as cutoff, got 'many'"),
        (["--protocol", "size=3"], "empty_queries=, ties= joined by colons, got 'size=3'"),
        (["--protocol", "ties=none"], "ties must be one of"),
        (
            ["--data", "moji"],
            "--data must be emoji, hierarchical, multilabel, or a file that ends in .mat, .npz, .parquet",
        ),
        (["--data", "missing.npz"], "missing.npz"),
        (["--data", "missing.parquet"], "missing.parquet"),
        (["--data", ""], "--data must be emoji, hierarchical, multilabel, or a file"),
        (["--names", "image=X,labels=L"], "--names must go with a file, got --data emoji"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(capsys, tmp_path, arguments, message):
    code, _, err = run(capsys, *arguments, "--out", tmp_path / "out", "--no-charts")
    assert code == 1
    assert err.startswith("pyhash: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bits", "16,many"], "argument --bits: must be integers >= 1 joined by commas, got '16,many'"),
        (["--bits", "0"], "argument --bits: must be integers >= 1 joined by commas, got '0'"),
        (["--seeds", "0"], "argument --seeds: must be an integer >= 1, got '0'"),
        (["--methods", "lemon,,lsh"], "argument --methods: must be names joined by commas, got 'lemon,,lsh'"),
        (["--database", "both"], "argument --database: invalid choice: 'both'"),
        (["--directions", "image-text"], "argument --directions: must be such as 'image->text,image+text->text', got"),
        (["--directions", "image->"], "argument --directions: must be such as 'image->text,image+text->text', got"),
        (["--rounds", "some"], "argument --rounds: invalid choice: 'some'"),
        (["--remainder", "drop"], "argument --remainder: invalid choice: 'drop'"),
        (["--weights", "image=heavy"], "argument --weights: must be such as image=1,text=0.6, got 'image=heavy'"),
        (["--learn-fraction", "0"], "argument --learn-fraction: must be a number above 0, at most 1, got '0'"),
        (["--learn-fraction", "all"], "argument --learn-fraction: must be a number above 0, at most 1, got 'all'"),
    ],
)
def test_wrong_usage_is_one_clear_line(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_without_matplotlib_the_bench_says_so_before_it_works(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run(capsys, "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err == "pyhash: charts need matplotlib: pip install 'pyhash-crossmodal[plot]', or run with --no-charts\n"
    assert os.listdir(tmp_path) == []


def test_ctrl_c_keeps_what_is_done(capsys, file, tmp_path):
    out = tmp_path / "out"
    arguments = ["--data", str(file), "--methods", "lemon", "--bits", "8", "--out", str(out), "--no-charts"]
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--seeds", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Of tests in the background, the shell ignores Ctrl-C, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(2400):
        if (out / "results.jsonl").exists() and b"\n" in (out / "results.jsonl").read_bytes():
            break
        time.sleep(0.05)
    else:
        process.kill()
        process.communicate()
        pytest.fail("nothing was done within two minutes")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith(f"finished runs are in {out}: the same command resumes from there\npyhash: interrupted\n")
    assert not (out / "table.md").exists()
    code, said, _ = run(capsys, *arguments, "--seeds", "1")
    assert code == 0
    assert "1 of 1 combinations" in said
    assert len({record["key"] for record in records_of(out)}) == len(records_of(out))


def test_the_table_of_versions_that_differ():
    """As after a run that was resumed with another numpy."""
    versions = {"pyhash": "0.1.0", "numpy": "2.0.0", "scipy": "1.1", "python": "3.11"}
    records = [{"versions": versions}, {"versions": {**versions, "numpy": "2.1.0"}}]
    from pyhash.comparison import Comparison

    said = bench._describe_versions(Comparison(records))
    assert said == "Made with pyhash 0.1.0, numpy 2.0.0 and 2.1.0, scipy 1.1, python 3.11."


def test_a_split_as_large_as_a_published_one(tmp_path, capsys):
    data, out = tmp_path / "data.npz", tmp_path / "out"
    save_npz(data, make_multilabel(2100, n_features={"image": 4, "text": 5}))
    arguments = ["--split", "mirflickr", "--methods", "lemon", "--bits", 8, "--seeds", 1, "--no-charts"]
    code, shown, _ = run(capsys, "--data", data, "--out", out, *arguments)
    assert code == 0
    assert "split mirflickr (100 rows to learn and search, 2,000 queries)" in shown


@pytest.mark.slow("a grid of runs with charts")
def test_a_sweep_and_parameters(capsys, file, tmp_path):
    out = tmp_path / "out"
    options = [
        "--sweep", "lemon:alpha=1,1e2", "--sweep", "lemon:gamma=0.5,xi=image:0.1/text:2,3", "--sweep",
        "shoh:alpha=0.2/0.8,0.5/0.5", "--set", "lemon:beta=10,n_iter=2", "--set", "shoh:init=random",
    ]  # fmt: skip
    arguments = ("--data", file, "--bits", "4", "--seeds", "1", "--out", out, "--no-charts")
    code, said, err = run(capsys, *arguments, *options)
    assert code == 0, err
    records = records_of(out)
    assert [record["method"] for record in records] == [
        "lemon[alpha=1]", "lemon[alpha=100]", "lemon[gamma=0.5,xi=image:0.1/text:2]", "lemon[gamma=0.5,xi=3]",
        "shoh[alpha=0.2/0.8]", "shoh[alpha=0.5/0.5]",
    ]  # fmt: skip
    assert records[2]["parameters"]["xi"] == {"image": 0.1, "text": 2}
    assert {record["parameters"]["beta"] for record in records[:4]} == {10}
    assert (records[5]["parameters"]["alpha"], records[5]["parameters"]["init"]) == ([0.5, 0.5], "random")
    command = next(line for line in (out / "table.md").read_text().splitlines() if line.startswith("    pyhash"))
    assert command.endswith(
        "--sweep lemon:alpha=1,100 --sweep lemon:gamma=0.5,xi=image:0.1/text:2,3 --sweep shoh:alpha=0.2/0.8,0.5/0.5 "
        "--set lemon:beta=10,n_iter=2 --set shoh:init=random"
    )
    assert "--methods" not in command
    code, said, _ = run(capsys, *arguments, *options, "--methods", "lsh")
    assert code == 0
    assert "6 of 7 combinations" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "lemon"], "argument --sweep: must be such as lemon:alpha=1,1e2,beta=1,10, got 'lemon'"),
        (["--sweep", "lemon:"], "argument --sweep: must be such as"),
        (["--sweep", "lemon:1,2"], "argument --sweep: must be such as"),
        (["--sweep", ":alpha=1"], "argument --sweep: must be such as"),
        (["--sweep", "lemon:alpha=1,,2"], "argument --sweep: must be such as"),
        (["--sweep", "lemon:=1"], "argument --sweep: must be such as"),
        (["--set", "lemon:alpha=1,2"], "argument --set: must be such as lemon:alpha=1e2,beta=10, got 'lemon:alpha=1,"),
        (["--set", "lemon"], "argument --set: must be such as lemon:alpha=1e2,beta=10, got 'lemon'"),
    ],
)
def test_wrong_sweeps_are_one_clear_line(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "got"),
    [(["--sweep", "lemon:alpha=abc"], "'abc'"), (["--methods", "lemon", "--set", "lemon:alpha=none"], "None")],
)
def test_a_parameter_of_the_wrong_type_is_one_clear_line(capsys, file, tmp_path, option, got):
    arguments = ["--data", file, "--bits", 4, "--seeds", 1, "--out", tmp_path / "out", "--no-charts"]
    code, _, err = run(capsys, *arguments, *option)
    assert code == 1
    assert err.splitlines()[-1].endswith(f"4 bits, seed 0: alpha must be a finite number >= 0, got {got}")


def test_an_unknown_parameter_of_a_sweep(capsys, file, tmp_path):
    code, _, err = run(capsys, "--data", file, "--sweep", "lemon:alfa=1", "--out", tmp_path / "out", "--no-charts")
    assert code == 1
    assert "must be among those of lemon, n_classes, alpha, beta, gamma, xi" in err
    assert not (tmp_path / "out").exists()

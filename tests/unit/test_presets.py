import re

import numpy as np
import pytest
from scipy.io import savemat

from pyhash.cli.main import main
from pyhash.comparison import PRESETS, find_preset
from pyhash.comparison.preset import PerView, by_view
from pyhash.datasets import make_hierarchical, make_multilabel, save_npz
from pyhash.datasets.published import PUBLISHED_QUERIES
from pyhash.deep import TrainingOptions

SMALL = {"image": 6, "text": 8}


def small(preset):
    """Data of the preset's kind, as many rows as its split needs and 130 more, with few features."""
    n = (PUBLISHED_QUERIES[preset.split] if preset.split else 14) + 130
    if preset.labels == "hierarchy":
        return make_hierarchical(n, n_classes=(2, 5), n_features=SMALL)
    return make_multilabel(n, n_classes=5, n_features=SMALL)


def brief(preset):
    """Choices that make a run short and keep what is the preset's own."""
    networks = {"hidden": (4,), "training": TrainingOptions(epochs=1, batch_size=64)}
    widths = {"sdch": {}, "dhsl": {"selector_hidden": (4, 4), "relation_hidden": 4, "relation_rows": 8}}
    deep = {name: networks | widths[name[:4]] for name in preset.methods if name[:4] in widths}
    n_values = 1 if deep else 2
    sweep = {
        method: [{name: list(column[-n_values:]) for name, column in grid.items()} for grid in grids]
        for method, grids in preset.sweep.items()
    }
    choices = {"bits": [4], "seeds": 1, "chunk_size": 50, "sweep": sweep, "parameters": deep, "n_threads": 1}
    return choices | ({"learn_rows": 100} if preset.learn_rows else {})


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.filterwarnings("ignore::pyhash.deep.CollapseWarning")
def test_every_preset_runs(name, monkeypatch):
    preset = find_preset(name)
    if preset.split is not None:
        monkeypatch.setitem(PUBLISHED_QUERIES, preset.split, 20)
    monkeypatch.setattr("pyhash.comparison.memory.gc.collect", lambda: 0)  # which takes long
    choices = brief(preset)
    result = preset.compare(small(preset), **choices)
    n_queries = PUBLISHED_QUERIES[preset.split] if preset.split else 14
    grids = [grid for grids in choices["sweep"].values() for grid in grids]
    n_points = sum(np.prod([len(column) for column in grid.values()]) for grid in grids)
    assert len(result) == n_points + sum(method not in preset.sweep for method in preset.methods)
    for record in result.records:
        method = record["method"].partition("[")[0]
        swept = (record["swept"] or {"values": {}})["values"]
        wanted = by_view({method: preset.methods[method]}, ["image", "text"])[method]
        assert {key: record["parameters"][key] for key in wanted if key not in swept} == {
            key: value for key, value in wanted.items() if key not in swept
        }
        assert record["data"]["n_queries"] == n_queries
        assert record["data"]["n_learned"] == (100 if preset.learn_rows else record["data"]["n_database"])
        assert record["relevance"] == ("level2" if preset.labels == "hierarchy" else "classes")
        assert (record["remainder"], record["database"]) == ("merge", preset.database)
        assert all(entry["map"] is not None for entry in record["scores"])
        is_online = method.split("/")[0] in ("shoh", "lemon", "lemon@level1+level2", "seoch")
        assert (len(record["rounds"]) > 1) == (is_online or preset.rounds == "shallow")


def test_chunks_are_those_of_the_papers():
    """130 rows of the database: the last 30 join the 50 before them."""
    preset = find_preset("shoh/fashionvc")
    result = preset.compare(small(preset), **brief(preset), methods=["shoh/paper", "lemon@level1+level2"])
    assert [[entry["n_seen"] for entry in record["rounds"]] for record in result.records] == [[50, 130], [50, 130]]
    sizes = {"seoch/mirflickr": (8, 2015), "seoch/nus-wide": (17, 14710), "shoh/ssense": (5, 3696)}
    sizes |= {"shoh/fashionvc": (7, 3862), "shoh/nus-wide": (18, 10834)}
    for name, (n_whole, last) in sizes.items():
        preset = find_preset(name)
        assert preset.remainder == "merge"
        n = preset.n_rows - PUBLISHED_QUERIES[preset.split]
        assert divmod(n, preset.chunk_size) == (n_whole + 1, last - preset.chunk_size)


def test_choices_override_those_of_the_preset():
    preset = find_preset("seoch/mirflickr")
    data = make_multilabel(120, n_classes=5, n_features=SMALL)
    choices = {
        "methods": ["seoch/paper", "lsh"],
        "bits": [4],
        "split": "random",
        "parameters": {"seoch/paper": {"alpha": 2.0}},
    }
    result = preset.compare(data, **choices)
    assert [record["method"] for record in result.records] == ["seoch/paper", "lsh"]
    parameters = result.records[0]["parameters"]
    assert (parameters["alpha"], parameters["n_concepts"], parameters["lambda_m"]) == (
        2.0, 50, {"image": 0.1, "text": 1.0}
    )  # fmt: skip
    swapped = preset.compare(data, **choices, views=["text", "image"])
    assert swapped.records[0]["parameters"]["lambda_m"] == {"image": 0.1, "text": 1.0}
    (alone,) = preset.compare(data, methods="lsh", bits=[4], split="random").records
    assert alone["method"] == "lsh"
    with pytest.raises(ValueError, match=re.escape("views must be 2, one for each value of image:0.1/text:1, got 1")):
        preset.compare(data, **choices, views=["text"])


def test_a_method_of_the_same_name_that_is_given_by_a_function_has_its_own_parameters():
    from pyhash import SEOCH

    preset = find_preset("seoch/mirflickr")
    data = make_multilabel(120, n_classes=5, n_features=SMALL)
    methods = {"seoch/paper": lambda n_bits, seed: SEOCH(n_bits, alpha=3.0, seed=seed)}
    (record,) = preset.compare(data, methods=methods, bits=[4], split="random").records
    assert (record["parameters"]["alpha"], record["parameters"]["restart"]) == (3.0, False)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"parameters": 3}, "parameters must be a mapping of methods to parameters, got int"),
        ({"parameters": {"batch": 3}}, r"parameters\['batch'\] must be a mapping of names to values, got int"),
        ({"sweep": 3}, "sweep must be a mapping of methods to values by parameter, got int"),
    ],
)
def test_choices_of_the_wrong_type(choices, message):
    preset = PRESETS["dsfh/mirflickr"]
    with pytest.raises(TypeError, match=message):
        preset.compare(small(preset), **choices)


def test_every_preset_says_what_it_is():
    for name, preset in PRESETS.items():
        assert preset.name == name
        text = preset.describe()
        assert text.startswith(f"{name}: {preset.results}\n{preset.paper}")
        assert all(len(line) <= 100 for line in text.splitlines())
        assert all(f"method {method}" in text for method in preset.methods)
        assert text.count("note: ") == len(preset.notes) > 0
    assert "sweep of alpha in 0.0001, 0.001" in PRESETS["dsfh/nus-wide/sensitivity"].describe()


def test_an_unknown_preset():
    with pytest.raises(ValueError, match=r"name must be one of 'shoh/fashionvc', .*, got 'shoh'"):
        find_preset("shoh")


@pytest.mark.parametrize(
    ("views", "values"),
    [
        (["image", "text"], {"image": 1, "text": 2}),
        (["text", "image"], {"image": 1, "text": 2}),  # by name, in whatever order the file has them
        (["image_deep", "text"], {"image_deep": 1, "text": 2}),
    ],
)
def test_values_by_view(views, values):
    parameters = {"seoch": {"alpha": 1, "lambda_m": PerView(image=1, text=2)}}
    assert by_view(parameters, views) == {"seoch": {"alpha": 1, "lambda_m": values}}


def run(capsys, *arguments):
    try:
        code = main(["bench", *map(str, arguments), "--no-charts"])
    except SystemExit as leaving:
        code = leaving.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_preset_of_the_command_on_a_mat_file(capsys, tmp_path, rng):
    """The layout of the authors of SHOH."""
    fine = np.arange(2120) % 4
    parents = np.array([0, 0, 1, 1])
    savemat(
        tmp_path / "FashionVC.mat",
        {
            "Gist": rng.standard_normal((2120, 6)) + fine[:, None], "Tag": rng.random((2120, 7)) < 0.5,
            "Label": np.hstack([np.eye(2)[parents[fine]], np.eye(4)[fine]]), "A1_2": np.eye(2)[parents].T,
        },
    )  # fmt: skip
    out = tmp_path / "out"
    arguments = ("--preset", "shoh/fashionvc", "--data", tmp_path / "FashionVC.mat", "--out", out)
    code, said, err = run(capsys, *arguments, "--bits", "4", "--seeds", "1", "--chunk-size", "50")
    assert code == 0, err
    assert said.startswith("shoh/fashionvc: Table 4")
    assert "note: The paper names no parameters of LEMON" in said
    assert "split fashionvc (120 rows to learn and search, 2,000 queries)" in said
    table = (out / "table.md").read_text()
    assert [line.split(" |")[0] for line in table.splitlines() if line.startswith("| ")][2:] == [
        "| shoh/paper", "| lemon", "| lemon@level1+level2"
    ]  # fmt: skip
    assert "--methods shoh/paper,lemon,lemon@level1+level2 --bits 4 --seeds 1" in table


def test_the_command_of_a_preset_can_be_repeated_without_it(capsys, tmp_path):
    save_npz(tmp_path / "mine.npz", make_multilabel(120, n_classes=5, n_features=SMALL))
    out = tmp_path / "out"
    arguments = ("--data", tmp_path / "mine.npz", "--bits", "4", "--seeds", "1", "--split", "random", "--out", out)
    preset = ("--preset", "seoch/mirflickr", "--methods", "seoch/paper", "--set", "seoch/paper:alpha=2")
    assert run(capsys, *preset, *arguments)[0] == 0
    command = next(line for line in (out / "table.md").read_text().splitlines() if line.startswith("    pyhash"))
    assert "--preset" not in command
    setting = "seoch/paper:lambda_1=1000,lambda_m=image:0.1/text:1,alpha=2,beta=1,n_concepts=50"
    assert f"--set {setting}" in command
    assert "--remainder merge" in command
    again = ("--methods", "seoch/paper", "--set", setting, "--remainder", "merge", *arguments)
    code, said, _ = run(capsys, *again)
    assert code == 0
    assert "1 of 1 combinations" in said


def test_a_part_to_learn_and_a_protocol_of_the_command(capsys, tmp_path):
    save_npz(tmp_path / "mine.npz", make_multilabel(2100, n_classes=5, n_features=SMALL))
    out = tmp_path / "out"
    arguments = ("--data", tmp_path / "mine.npz", "--bits", "4", "--seeds", "1", "--methods", "scm-seq", "--out", out)
    code, said, _ = run(capsys, "--preset", "dhsl/mirflickr", "--learn-rows", "60", *arguments)
    assert code == 0
    assert "(60 of 100 rows to learn, all to search, 2,000 queries)" in said
    assert "--database encoded --learn-rows 60" in (out / "table.md").read_text()
    code, said, _ = run(capsys, "--preset", "sdch/mirflickr", *arguments)
    assert code == 0
    assert "cutoff 500, denominator hits, empty queries skip, ties id" in said
    assert "--protocol cutoff=500:denominator=hits:empty_queries=skip:ties=id" in (out / "table.md").read_text()
    code, _, err = run(capsys, "--preset", "dhsl/mirflickr", *arguments)
    assert (code, err) == (1, "pyhash: learn_rows must be at most the 100 rows of the database, got 10000\n")


def test_presets_are_listed_or_refused_in_one_line(capsys, tmp_path):
    code, said, _ = run(capsys, "--preset", "list", "--out", tmp_path / "out")
    assert code == 0
    assert [text.split(":")[0] for text in said.rstrip().split("\n\n")] == list(PRESETS)
    assert not (tmp_path / "out").exists()
    code, _, err = run(capsys, "--preset", "shoh/fashion", "--out", tmp_path / "out")
    assert code == 1
    assert err.startswith("pyhash: --preset must be one of 'list', 'shoh/fashionvc', ")
    assert err.endswith(", got 'shoh/fashion'\n")


def test_data_of_fewer_rows_than_the_queries_of_a_preset(capsys, tmp_path):
    arguments = ["--preset", "seoch/mirflickr", "--data", "multilabel", "--out", tmp_path / "out"]
    code, _, err = run(capsys, *arguments)
    assert (code, err) == (
        1,
        "pyhash: --split mirflickr draws 2,000 queries and must leave rows to learn, got 1,000 rows; --split random "
        "draws a tenth\n",
    )

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash.methods import BATCH, LEMON, SEOCH, SHOH, RBFAnchors
from pyhash.methods.recipes import METHOD_NAMES, RECOMMENDED, make_method
from pyhash.methods.registry import method_class

VIEWS = {"image": np.ones((3, 4)), "text": csr_array(np.eye(3))}


def test_every_method_of_the_registry_has_a_name():
    made = [make_method(name, n_bits=8, seed=5) for name in METHOD_NAMES]
    assert [type(model) for model in made] == [method_class(name) for name in METHOD_NAMES]
    for model in made:
        assert model.n_bits == 8
        assert getattr(model, "seed", 5) == 5
        assert model.feature_maps is None


def test_the_hierarchy_goes_to_those_that_take_it():
    assert make_method("shoh", n_bits=8, hierarchy=[[0, 0, 1]]).hierarchy == [[0, 0, 1]]
    assert make_method("shoh", n_bits=8).hierarchy is None
    assert isinstance(make_method("lemon", n_bits=8, hierarchy=[[0, 0, 1]]), LEMON)


def test_kernels_for_dense_views():
    model = make_method("lemon+rbf", n_bits=8, seed=2, views=VIEWS)
    assert isinstance(model, LEMON)
    assert model.xi == {"image": 0.01, "text": 1.0}
    assert list(model.feature_maps) == ["image"]
    anchors = model.feature_maps["image"]
    assert isinstance(anchors, RBFAnchors)
    assert repr(anchors) == "RBFAnchors(width='mean_squared_distance', centered=True, seed=2)"


def test_the_ridge_of_seoch_is_that_of_kernels():
    model = make_method("seoch+rbf", n_bits=8, views=VIEWS)
    assert isinstance(model, SEOCH)
    ridges = model._settings(["image", "text"]).ridge
    assert ridges["image"] == pytest.approx(0.01)
    assert ridges["text"] == SEOCH()._settings(["text"]).ridge["text"]


@pytest.mark.parametrize("name", [f"{name}+rbf" for name in METHOD_NAMES if name != "boch"])
def test_every_method_learns_with_kernels(name, rng):
    labels = rng.integers(0, 3, 60)
    views = {
        "image": rng.standard_normal((60, 8)) + labels[:, None],
        "text": csr_array(rng.random((60, 9)) < 0.2 + 0.2 * labels[:, None]),
    }
    model = make_method(name, n_bits=4, views=views).fit(views, labels)
    assert model.encode(views["image"], modality="image").shape == (60, 1)
    assert model.encode(views["text"], modality="text").shape == (60, 1)


def test_sparse_views_keep_the_default_map():
    model = make_method("batch+rbf", n_bits=8, views=VIEWS)
    assert isinstance(model, BATCH)
    assert "text" not in model.feature_maps
    assert model.xi == {"image": 0.01, "text": 0.01}


def test_encoders():
    for encoder in ("posterior", "bayes", "auto"):
        assert make_method(f"shoh+{encoder}", n_bits=8).encoder == encoder
    assert make_method("shoh", n_bits=8).encoder == "bits"
    assert make_method("boch", n_bits=8).encoder == "bayes"
    assert make_method("lemon+rbf+bayes", n_bits=8, views=VIEWS).xi == {"image": 0.01, "text": 1.0}
    model = make_method("shoh+rbf+auto", n_bits=8, views=VIEWS)
    assert isinstance(model, SHOH)
    assert model.encoder == "auto"
    with pytest.raises(ValueError, match=r"without \+posterior for cca-itq, which learns without labels"):
        make_method("cca-itq+posterior", n_bits=8)


@pytest.mark.parametrize(("n_bits", "class_bits"), [(2, 1), (16, 6), (64, 24), (128, 32), (256, 32), (512, 32)])
def test_instance_bits(n_bits, class_bits):
    model = make_method("boch+instance", n_bits=n_bits, seed=3)
    assert (model.n_bits, model.class_bits, model.seed, model.encoder) == (n_bits, class_bits, 3, "bayes")
    assert make_method("boch+instance+auto", n_bits=64).encoder == "auto"
    assert make_method("boch", n_bits=n_bits).class_bits is None


def test_the_recommended_recipe_is_one():
    assert make_method(RECOMMENDED, n_bits=8, views=VIEWS).n_bits == 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lemmon", r"^name must begin with one of boch, shoh, lemon, seoch.*got 'lemmon'; did you mean 'lemon'\?"),
        ("LEMON", r"got 'LEMON'; did you mean 'lemon'\?"),
        ("zzz", "sdch, dhsl, got 'zzz'$"),
        ("", "got ''$"),
        ("lemon+", r"got 'lemon\+'"),
        (
            "lemon+rfb",
            r"^name must be METHOD\[/VARIANT\].*, got 'lemon\+rfb'",
        ),
        ("lemon+posterior+rbf", "got 'lemon"),
        ("lemon+posterior+auto", "got 'lemon"),
        ("lemon+rbf+rbf", "got 'lemon"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        make_method(name, n_bits=8, views=VIEWS)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="name must be a string, got int"):
        make_method(3, n_bits=8)
    with pytest.raises(ValueError, match="views must be given for 'lemon\\+rbf'"):
        make_method("lemon+rbf", n_bits=8)
    with pytest.raises(ValueError, match="views must have a dense one for 'lemon\\+rbf', all are sparse: text"):
        make_method("lemon+rbf", n_bits=8, views={"text": VIEWS["text"]})
    with pytest.raises(ValueError, match=r"name must be without \+rbf for boch, .* got 'boch\+rbf'"):
        make_method("boch+rbf", n_bits=8, views=VIEWS)
    with pytest.raises(ValueError, match=r"name must be without \+instance for lemon, only boch .* got 'lemon\+inst"):
        make_method("lemon+instance", n_bits=8)
    with pytest.raises(ValueError, match=r"n_bits must be at least 2 for 'boch\+instance', .* got 1"):
        make_method("boch+instance", n_bits=1)
    with pytest.raises(ValueError, match="n_bits"):
        make_method("lemon", n_bits=0)
    with pytest.raises(ValueError, match="seed"):
        make_method("cca-sign", n_bits=8, seed=-1)


@pytest.fixture
def variants(monkeypatch):
    monkeypatch.setattr(LEMON, "variants", {"no-labels": {"beta": 0.0}})
    monkeypatch.setattr(SHOH, "variants", {"flat": {"hierarchy": None}})


@pytest.mark.usefixtures("variants")
def test_a_variant_sets_its_parameters():
    assert make_method("lemon/no-labels", n_bits=8).beta == 0.0
    model = make_method("lemon/no-labels+rbf+bayes", n_bits=8, seed=2, views=VIEWS)
    assert (model.beta, model.encoder, model.xi["image"]) == (0.0, "bayes", 0.01)
    assert make_method("lemon", n_bits=8).beta == LEMON().beta


@pytest.mark.usefixtures("variants")
def test_a_variant_takes_precedence_over_the_hierarchy():
    assert make_method("shoh/flat", n_bits=8, hierarchy=[[0, 0, 1]]).hierarchy is None


@pytest.mark.usefixtures("variants")
@pytest.mark.parametrize("name", ["lemon/other", "lemon/", "lemon/flat", "seoch/No-Labels"])
def test_unknown_variants_raise(name):
    base = name.partition("/")[0]
    with pytest.raises(ValueError, match=f"name must have one of the variants of {base}, which are: .*got '{name}'"):
        make_method(name, n_bits=8)


def test_every_variant_makes_a_model_of_its_own():
    for base in METHOD_NAMES:
        default = make_method(base, n_bits=8, hierarchy=[[0, 0, 1]]).get_params()
        for variant in method_class(base).variants:
            assert make_method(f"{base}/{variant}", n_bits=8, hierarchy=[[0, 0, 1]]).get_params() != default


@pytest.mark.usefixtures("variants")
def test_parameters_take_precedence_over_all_others():
    model = make_method(
        "lemon/no-labels+rbf+auto", n_bits=8, views=VIEWS, parameters={"beta": 2.0, "xi": 3.0, "encoder": "bits"}
    )
    assert (model.beta, model.xi, model.encoder) == (2.0, 3.0, "bits")


@pytest.mark.parametrize("parameter", ["lambda_1", "n_bits", "seed", ""])
def test_unknown_parameters_raise(parameter):
    with pytest.raises(ValueError, match=f"parameters must be among those of lemon, .*alpha.*; got '{parameter}'"):
        make_method("lemon", n_bits=8, parameters={parameter: 1})


def test_parameters_of_a_parameter():
    model = make_method("sdch", n_bits=8, parameters={"training__epochs": 3, "gamma": 0.5})
    assert (model.training.epochs, model.gamma) == (3, 0.5)
    with pytest.raises(ValueError, match="training has no option 'epoch'"):
        make_method("sdch", n_bits=8, parameters={"training__epoch": 3})
    with pytest.raises(ValueError, match="LEMON has no parameter 'alpha__epochs'"):
        make_method("lemon", n_bits=8, parameters={"alpha__epochs": 3})


def test_parameters_must_be_a_mapping():
    with pytest.raises(TypeError, match="parameters must be a mapping of names to values, got list"):
        make_method("lemon", n_bits=8, parameters=[("alpha", 1.0)])

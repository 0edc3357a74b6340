import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pyhash import NotFittedError, codes, evaluation, plotting
from pyhash.methods import LEMON, LSH


@pytest.fixture
def data(rng):
    """Queries, database and their labels, with 8 bits."""
    rows = codes.pack(rng.choice([-1, 1], size=(50, 8)))
    return rows[:10], rows[10:], rng.integers(0, 3, 10), rng.integers(0, 3, 40)


@pytest.fixture
def curve(data):
    return evaluation.precision_recall_curve(*data, n_bits=8)


@pytest.fixture
def distances(rng):
    """Five classes, the fourth without samples."""
    return evaluation.class_distances(codes.pack(rng.choice([-1, 1], size=(40, 8))), [0, 1, 2, 4] * 10, n_bits=8)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def names(labels):
    return [label.get_text() for label in labels]


def test_a_curve_shows_what_was_measured(curve):
    display = plotting.PrecisionRecallDisplay(curve, name="mine").plot(color="red")
    (line,) = display.ax_.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), curve.recall)
    np.testing.assert_array_equal(line.get_ydata(), curve.precision)
    assert (line.get_color(), line.get_label()) == ("red", "mine")
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Recall", "Precision")


def test_a_curve_from_codes(data):
    choices = {"by": "radius", "n_bits": 8, "protocol": "shoh", "n_threads": 1}
    display = plotting.PrecisionRecallDisplay.from_codes(*data, **choices, name="mine", ls=":")
    wanted = evaluation.precision_recall_curve(*data, **choices)
    np.testing.assert_array_equal(display.curve.precision, wanted.precision)
    np.testing.assert_array_equal(display.curve.recall, wanted.recall)
    assert (display.curve.by, display.curve.protocol) == ("radius", wanted.protocol)
    assert display.ax_.get_lines()[0].get_linestyle() == ":"
    assert legend(display.ax_) == ["mine"]


@pytest.mark.parametrize(
    ("cutoff", "wanted"), [(None, [1, 2, 5, 10, 20, 40]), (12, [1, 2, 5, 10, 12]), (10, [1, 2, 5, 10]), (1, [1])]
)
def test_precision_at_from_codes(data, cutoff, wanted):
    protocol = evaluation.Protocol(cutoff=cutoff, ties="expected")
    display = plotting.PrecisionAtDisplay.from_codes(*data, n_bits=8, protocol=protocol, name="mine")
    result = evaluation.precision_at(*data, n_bits=8, protocol=protocol, top_n=wanted)
    (line,) = display.ax_.get_lines()
    assert line.get_xdata().tolist() == wanted
    np.testing.assert_array_equal(line.get_ydata(), result.values)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("N", "Precision")
    assert (display.ax_.get_xscale(), display.ax_.get_ylim()) == ("log", (0, 1))


def test_precision_at_takes_labels_in_any_form_and_n_in_any_order(data):
    from scipy.sparse import csr_array

    queries, rows, query_labels, labels = data
    sets = csr_array(np.eye(3, dtype=int)[query_labels]), csr_array(np.eye(3, dtype=int)[labels])
    display = plotting.PrecisionAtDisplay.from_codes(queries, rows, *sets, n_bits=8)
    assert display.result.top_n.tolist() == [1, 2, 5, 10, 20, 40]
    display = plotting.PrecisionAtDisplay.from_codes(*data, n_bits=8, top_n=[10, 1, 20])
    (line,) = display.ax_.get_lines()
    assert line.get_xdata().tolist() == [1, 10, 20]
    np.testing.assert_array_equal(line.get_ydata(), display.result.values[[1, 0, 2]])
    with pytest.raises(ValueError, match="database codes must have at least one row, got none"):
        plotting.PrecisionAtDisplay.from_codes(queries, rows[:0], query_labels, labels[:0], n_bits=8)
    with pytest.raises(ValueError, match=r"database_labels must have shape \(n,\) or \(n, 3\), got \(\)"):
        plotting.PrecisionAtDisplay.from_codes(queries, rows, sets[0], 3, n_bits=8)


def test_several_runs_share_one_axis(curve):
    first = plotting.RoundsDisplay([10, 20], [0.1, 0.2], name="a").plot()
    second = plotting.RoundsDisplay([10, 20], [0.3, 0.4], name="b").plot(first.ax_)
    assert second.ax_ is first.ax_
    assert legend(first.ax_) == ["a", "b"]


def test_scores_have_fixed_limits_and_seconds_what_they_need():
    score = plotting.RoundsDisplay([10, 20], [0.1, 0.2]).plot()
    assert score.ax_.get_ylim() == (0, 1)
    assert score.ax_.get_legend() is None
    first = plotting.RoundsDisplay([10, 20], [3, 4], ylabel="Seconds").plot()
    low, high = first.ax_.get_ylim()
    assert low == 0
    assert 4 < high < 5
    plotting.RoundsDisplay([10, 20], [30, 40], ylabel="Seconds").plot(first.ax_)
    low, high = first.ax_.get_ylim()
    assert low == 0
    assert 40 < high < 50
    below = plotting.RoundsDisplay([10, 20], [-3, 4], ylabel="Gain").plot()
    assert below.ax_.get_ylim()[0] < -3


def test_bits_show_scores_and_spread():
    display = plotting.BitsDisplay([64, 16, 32], [0.6, 0.4, 0.5], spread=[0.03, 0.01, 0.02], name="mine").plot(c="red")
    (container,) = display.ax_.containers
    line, _, (bars,) = container.lines
    assert line.get_xdata().tolist() == [16, 32, 64]
    assert line.get_ydata().tolist() == [0.4, 0.5, 0.6]
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], [[0.39, 0.41], [0.48, 0.52], [0.57, 0.63]])
    assert line.get_color() == "red"
    assert legend(display.ax_) == ["mine"]
    assert (display.ax_.get_xscale(), display.ax_.get_ylim()) == ("log", (0, 1))
    # A second run: ticks at the lengths of both, uneven spread.
    plotting.BitsDisplay([128, 32], [0.7, 0.5], spread=[[0.1, 0.2], [0.0, 0.3]]).plot(display.ax_)
    assert names(display.ax_.get_xticklabels()) == ["16", "32", "64", "128"]
    bars = display.ax_.containers[1].lines[2][0]
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], [[0.3, 0.8], [0.6, 0.7]])


def test_bits_from_codes(data, rng):
    queries, rows, *labels = data
    by_length = {8: queries, 3: queries & 7}, {3: rows & 7, 8: rows}
    display = plotting.BitsDisplay.from_codes(*by_length, *labels, protocol="shoh", name="mine")
    for n_bits, score in zip(display.n_bits, display.scores, strict=True):
        codes_of = by_length[0][n_bits], by_length[1][n_bits]
        wanted = evaluation.mean_average_precision(*codes_of, *labels, n_bits=n_bits, protocol="shoh")
        assert score == wanted.value
    assert sorted(display.n_bits) == [3, 8]
    assert display.ax_.get_xlabel() == "Code length (bits)"


def test_bits_from_runs():
    scores = np.array([[0.4, 0.5], [0.6, 0.5], [0.2, 0.8]])
    display = plotting.BitsDisplay.from_runs([16, 32], scores, ylabel="Seconds", name="mine")
    np.testing.assert_allclose(display.scores, [0.4, 0.6])
    np.testing.assert_allclose(display.spread, [0.2, np.sqrt(0.03)])
    assert (display.ylabel, display.name, display.ax_.get_ylabel()) == ("Seconds", "mine", "Seconds")
    assert plotting.BitsDisplay.from_runs([16, 32], scores[:1]).spread is None


def test_bytes_show_points_names_and_the_upper_line():
    display = plotting.BytesPerItemDisplay([4, 8, 64], [0.4, 0.5, 0.55], ["a", "b", "c"], name="mine", upper=0.6).plot()
    points, upper = display.ax_.get_lines()
    assert points.get_xdata().tolist() == [4, 8, 64]
    assert points.get_ydata().tolist() == [0.4, 0.5, 0.55]
    assert points.get_linestyle() == "None"
    assert [(text.get_text(), text.xy) for text in display.ax_.texts] == [
        ("a", (4, 0.4)),
        ("b", (8, 0.5)),
        ("c", (64, 0.55)),
    ]
    assert list(upper.get_ydata()) == [0.6, 0.6]
    assert legend(display.ax_) == ["mine", "float features"]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Bytes per item", "mAP")
    assert display.ax_.get_xscale() == "log"
    display.ax_.figure.canvas.draw()
    assert {"4", "16", "64"} <= set(names(display.ax_.get_xticklabels()))


def test_bytes_without_names_or_upper_line():
    display = plotting.BytesPerItemDisplay([4, 8], [0.4, 0.5]).plot(linestyle="-")
    assert len(display.ax_.get_lines()) == 1
    assert display.ax_.get_lines()[0].get_linestyle() == "-"
    assert list(display.ax_.texts) == []
    assert display.ax_.get_legend() is None


def test_bytes_from_codes(data, rng):
    queries, rows, *labels = data
    projections = rng.normal(size=(10, 8))
    two = np.repeat(queries, 2, axis=1), np.repeat(rows, 2, axis=1)
    display = plotting.BytesPerItemDisplay.from_codes(
        {"8 bits": queries, "16 bits": two[0]}, {"16 bits": two[1], "8 bits": rows}, *labels, upper=0.9
    )
    assert (display.n_bytes, display.point_names, display.upper) == ([1, 2], ["8 bits", "16 bits"], 0.9)
    assert display.scores[0] == evaluation.mean_average_precision(queries, rows, *labels).value
    weighted = plotting.BytesPerItemDisplay.from_codes(
        {"8 bits": projections}, {"8 bits": rows}, *labels, metric="weighted_hamming"
    )
    wanted = evaluation.mean_average_precision(projections, rows, *labels, metric="weighted_hamming")
    assert (weighted.n_bytes, weighted.scores) == ([1], [wanted.value])


def test_class_distances_are_a_heat_map(distances):
    display = plotting.ClassDistanceDisplay(distances, list("abcde"), order=[4, 0, 3], name="mine").plot()
    shown = np.ma.filled(display.image_.get_array().astype(float), np.nan)
    np.testing.assert_array_equal(shown, distances.distances[np.ix_([4, 0, 3], [4, 0, 3])])
    assert names(display.ax_.get_xticklabels()) == names(display.ax_.get_yticklabels()) == ["e", "a", "d"]
    assert display.ax_.get_title() == "mine"
    assert display.image_.get_clim() == (0, np.nanmax(shown))
    near, far = (display.image_.cmap(display.image_.norm(d))[:3] for d in (0, np.nanmax(shown)))
    assert sum(near) < sum(far), "darker means closer"
    assert list(display.ax_.get_lines()) == []


def test_groups_lie_together_between_lines(distances):
    display = plotting.ClassDistanceDisplay(distances, groups=[1, 0, 1, 0, 2]).plot()
    assert names(display.ax_.get_xticklabels()) == ["1", "3", "0", "2", "4"]
    vertical = [line.get_xdata()[0] for line in display.ax_.get_lines()[::2]]
    horizontal = [line.get_ydata()[0] for line in display.ax_.get_lines()[1::2]]
    assert vertical == horizontal == [1.5, 3.5]
    ordered = plotting.ClassDistanceDisplay(distances, groups=[1, 0, 1, 0, 2], order=[0, 2, 4]).plot()
    assert [line.get_xdata()[0] for line in ordered.ax_.get_lines()[::2]] == [1.5]


@pytest.mark.parametrize(("n_classes", "named"), [(40, 40), (41, 0)])
def test_many_classes_are_not_named(n_classes, named):
    rows = np.zeros((2, 1), dtype=np.uint8)
    display = plotting.ClassDistanceDisplay.from_codes(rows, [0, 1], n_bits=8, n_classes=n_classes)
    assert len(display.ax_.get_xticklabels()) == len(display.ax_.get_yticklabels()) == named
    few = plotting.ClassDistanceDisplay(display.result, order=[1, 0]).plot()
    assert names(few.ax_.get_xticklabels()) == ["1", "0"]


def test_class_distances_from_codes(rng, tmp_path):
    rows, labels = codes.pack(rng.choice([-1, 1], size=(40, 8))), rng.integers(0, 4, 40)
    display = plotting.ClassDistanceDisplay.from_codes(
        rows, labels, n_bits=8, class_names=list("abcde"), groups=[0, 0, 1, 1, 1], vmax=8, cmap="gray"
    )
    np.testing.assert_array_equal(
        display.result.distances, evaluation.class_distances(rows, labels, n_bits=8, n_classes=5).distances
    )
    assert (display.image_.get_clim(), display.image_.cmap.name) == ((0, 8), "gray")
    plotting.save_figure(display.ax_, tmp_path / "map.png")
    nobody = plotting.ClassDistanceDisplay(display.result, order=[4]).plot()
    assert np.ma.getmaskarray(nobody.image_.get_array()).all()


@pytest.mark.parametrize(
    ("name", "start"), [("chart.png", b"\x89PNG"), ("chart.PNG", b"\x89PNG"), ("chart.svg", b"<?xml")]
)
def test_a_figure_is_saved_whole(curve, tmp_path, name, start):
    display = plotting.PrecisionRecallDisplay(curve).plot()
    plotting.save_figure(display.ax_, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    plotting.save_figure(display.ax_, str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        plotting.save_figure(display.ax_, tmp_path / "nowhere" / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["chart.pdf", "chart", "chart.svgz"])
def test_other_formats_are_refused(curve, tmp_path, name):
    display = plotting.PrecisionRecallDisplay(curve).plot()
    with pytest.raises(ValueError, match=rf"path must end in .png or .svg, got '.*{name}'"):
        plotting.save_figure(display.ax_, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_global_is_touched():
    code = (
        "import sys; from pyhash import plotting; plotting.RoundsDisplay; early = 'matplotlib' in sys.modules; "
        "import numpy as np; rows = np.zeros((2, 1), np.uint8); "
        "plotting.RoundsDisplay([1], [0.5]).plot(); plotting.BitsDisplay([8], [0.5]).plot(); "
        "plotting.BytesPerItemDisplay([8], [0.5]).plot(); "
        "plotting.PrecisionAtDisplay.from_codes(rows, rows, [0, 1], [0, 1]); "
        "plotting.PrecisionRecallDisplay.from_codes(rows, rows, [0, 1], [0, 1]); "
        "plotting.ClassDistanceDisplay.from_codes(rows, [0, 1], n_bits=8); "
        "sys.exit(early or 'matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


FROM_CODES = {
    "PrecisionRecallDisplay": lambda d: plotting.PrecisionRecallDisplay.from_codes(*d),
    "PrecisionAtDisplay": lambda d: plotting.PrecisionAtDisplay.from_codes(*d),
    "BitsDisplay": lambda d: plotting.BitsDisplay.from_codes({8: d[0]}, {8: d[1]}, *d[2:]),
    "BytesPerItemDisplay": lambda d: plotting.BytesPerItemDisplay.from_codes({"a": d[0]}, {"a": d[1]}, *d[2:]),
    "ClassDistanceDisplay": lambda d: plotting.ClassDistanceDisplay.from_codes(d[1], d[3], n_bits=8),
}


@pytest.mark.parametrize("name", FROM_CODES)
def test_without_matplotlib_the_extra_is_named_before_anything_is_measured(monkeypatch, data, name):
    class Unreadable:
        def __array__(self, *args, **kwargs):
            raise AssertionError("measured")

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"charts need matplotlib: pip install 'pyhash-crossmodal\[plot\]'"):
        FROM_CODES[name]([Unreadable()] * 4)


def test_without_matplotlib_the_extra_is_named(monkeypatch, curve):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"charts need matplotlib: pip install 'pyhash-crossmodal\[plot\]'"):
        plotting.PrecisionRecallDisplay(curve).plot()


@pytest.mark.parametrize("name", FROM_CODES)
def test_from_codes_draws_on_axes_that_are_there(data, name):
    first = FROM_CODES[name](data)
    assert type(first).__name__ == name
    again = type(first)(**{field: getattr(first, field) for field in first.__dataclass_fields__})
    assert again.plot(first.ax_).ax_ is first.ax_


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda d: plotting.RoundsDisplay([1, 2], [0.5]).plot(),
            ValueError,
            r"scores must have shape \(2,\), one for each of n_seen, got \(1,\)",
        ),
        (lambda d: plotting.RoundsDisplay(3, [0.5]).plot(), ValueError, r"n_seen must have shape \(n,\), got \(\)"),
        (lambda d: plotting.RoundsDisplay([1], ["x"]).plot(), TypeError, "scores must hold real numbers"),
        (lambda d: plotting.BitsDisplay([0], [0.5]).plot(), ValueError, "n_bits must be an integer from 1 to"),
        (lambda d: plotting.BitsDisplay([1.5], [0.5]).plot(), TypeError, "n_bits must be an integer from 1 to"),
        (
            lambda d: plotting.BitsDisplay([8], [0.5, 1]).plot(),
            ValueError,
            r"scores must have shape \(1,\), one for each of n_bits",
        ),
        (
            lambda d: plotting.BitsDisplay([8, 16], [0.5, 1], spread=[1, 2, 3]).plot(),
            ValueError,
            r"spread must have shape \(2,\) or \(2, 2\), got \(3,\)",
        ),
        (
            lambda d: plotting.BitsDisplay([8, 16], [0.5, 1], spread=[1, -2]).plot(),
            ValueError,
            "spread must be at least 0, got -2",
        ),
        (lambda d: plotting.BitsDisplay([8], [0.5], spread=["x"]).plot(), TypeError, "spread must hold real numbers"),
        (
            lambda d: plotting.BitsDisplay.from_runs([8, 16], [0.5, 0.6]),
            ValueError,
            r"scores must have shape \(n_runs, 2\), got \(2,\)",
        ),
        (
            lambda d: plotting.BitsDisplay.from_runs([8, 16], np.zeros((0, 2))),
            ValueError,
            r"scores must have shape \(n_runs, 2\), got \(0, 2\)",
        ),
        (lambda d: plotting.BitsDisplay.from_runs([8], [["x"]]), TypeError, "scores must hold real numbers"),
        (
            lambda d: plotting.BitsDisplay.from_codes(d[0], {8: d[1]}, *d[2:]),
            TypeError,
            "queries must be a mapping of lengths in bits to codes, got ndarray",
        ),
        (
            lambda d: plotting.BytesPerItemDisplay.from_codes({"a": d[0]}, d[1], *d[2:]),
            TypeError,
            "database must be a mapping of names to codes, got ndarray",
        ),
        (
            lambda d: plotting.BitsDisplay.from_codes({}, {}, *d[2:]),
            ValueError,
            "queries must hold at least one set of codes, got none",
        ),
        (
            lambda d: plotting.BitsDisplay.from_codes({8: d[0]}, {16: d[1]}, *d[2:]),
            ValueError,
            r"database must have the keys of queries, \[8\], got \[16\]",
        ),
        (lambda d: plotting.BytesPerItemDisplay([4, 0], [1, 1]).plot(), ValueError, "n_bytes must be above 0, got 0"),
        (
            lambda d: plotting.BytesPerItemDisplay([4], [1, 1]).plot(),
            ValueError,
            r"scores must have shape \(1,\), one for each of n_bytes, got \(2,\)",
        ),
        (
            lambda d: plotting.BytesPerItemDisplay([4], [1], ["a", "b"]).plot(),
            ValueError,
            "point_names must name 1 points, got 2",
        ),
        (
            lambda d: plotting.BytesPerItemDisplay([4], [1], upper=float("nan")).plot(),
            ValueError,
            "upper must be a finite number >= 0, got nan",
        ),
    ],
)
def test_wrong_input(data, call, error, message):
    with pytest.raises(error, match=message):
        call(data)


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"class_names": ["a"]}, ValueError, "class_names must name 5 classes, got 1"),
        ({"groups": [0, 1]}, ValueError, r"groups must have shape \(5,\), one for each class, got \(2,\)"),
        ({"groups": list("abcde")}, TypeError, "groups must hold real numbers"),
        ({"order": [5]}, ValueError, "order must be an integer from 0 to 4, got 5"),
        ({"order": [0.5]}, TypeError, "order must be an integer from 0 to 4, got 0.5"),
        ({"order": []}, ValueError, "order must name at least one class, got none"),
        ({"order": [1, 2, 1]}, ValueError, "order must name each class at most once, got 1 more than once"),
    ],
)
def test_wrong_input_of_class_distances(distances, choices, error, message):
    display = plotting.ClassDistanceDisplay(distances, **choices)
    with pytest.raises(error, match=message):
        display.plot()
    assert not hasattr(display, "ax_")


def test_every_public_name_shows_itself_at_work():
    for name in plotting.__all__:
        assert "Examples\n" in getattr(plotting, name).__doc__, name
        for method in ("from_codes", "from_runs"):
            if hasattr(getattr(plotting, name), method):
                assert "Examples\n" in getattr(getattr(plotting, name), method).__doc__, (name, method)


# --- training curves --------------------------------------------------------------------------------------------------


def epoch(number, loss=1.0, losses=None, validation=None):
    """A history of the form that deep methods keep."""
    return {
        "epoch": number,
        "losses": {"triplet": loss} if losses is None else losses,
        "loss": loss,
        "validation": validation,
        "learning_rates": {"main": 1e-3},
        "seconds": 0.5,
    }


def lines_of(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.get_lines()}


def test_training_curves_show_losses_left_and_validation_right():
    losses = {"total": [9.0, 0.9, 0.09], "triplet": [3.0, 2.0, 1.0]}
    display = plotting.TrainingCurvesDisplay([1, 2, 3], losses, {"image->text": [0.1, 0.5, 0.6]}).plot()
    left, right = display.ax_, display.validation_ax_
    shown = lines_of(left)
    assert shown["total"] == ([1, 2, 3], [9.0, 0.9, 0.09])
    assert shown["triplet"] == ([1, 2, 3], [3.0, 2.0, 1.0])
    (curve,) = right.get_lines()
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == ([1, 2, 3], [0.1, 0.5, 0.6])
    assert curve.get_transform().transform((3, 0.6)) == pytest.approx(right.transData.transform((3, 0.6)))
    assert (left.get_xlabel(), left.get_ylabel(), right.get_ylabel()) == ("Epoch", "Loss", "Validation mAP")
    assert right.get_ylim() == (0, 1)
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear")
    assert left.get_ylim()[0] < 0.09 < 9 < left.get_ylim()[1]
    assert right.yaxis.get_ticks_position() == "right"
    assert left.get_xlim() == right.get_xlim()
    assert legend(left) == ["total", "triplet", "mAP image->text"]
    assert right.get_legend() is None
    colors = [line.get_color() for line in left.get_lines()]
    assert len(set(colors)) == 3
    assert colors[2] == curve.get_color()  # the entry of the legend is that of the curve
    left.figure.canvas.draw()
    assert left.get_legend().get_window_extent().y1 < left.get_window_extent().y0  # below, over no curve


def test_training_curves_without_validation_have_no_right_axis():
    display = plotting.TrainingCurvesDisplay([1, 2], {"total": [2.0, 1.0]}).plot()
    assert display.validation_ax_ is None
    assert display.ax_.figure.axes == [display.ax_]
    assert legend(display.ax_) == ["total"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([2.0, 1.0], "log"), ([2.0, 0.0], "linear"), ([2.0, -1.0], "linear"), ([float("nan"), 1.0], "log")],
)
def test_losses_are_on_a_logarithmic_axis_if_all_are_positive(losses, scale):
    display = plotting.TrainingCurvesDisplay([1, 2], {"total": [2.0, 1.0], "term": losses}).plot()
    assert display.ax_.get_yscale() == scale
    display.ax_.figure.canvas.draw()
    low, high = display.ax_.get_ylim()
    known = [loss for loss in losses if loss == loss]
    assert low <= min(known) <= max(known) <= high
    assert scale == "log" or low == min(0, low)


def test_training_curves_of_several_models_share_axes():
    first = plotting.TrainingCurvesDisplay([1, 2], {"total": [2.0, 1.0]}, {"a->b": [0.1, 0.2]}, name="x").plot()
    second = plotting.TrainingCurvesDisplay([1, 2, 3], {"total": [9.0, 1.0, 0.5]}, {"a->b": [0.3, 0.4, 0.5]}, name="y")
    assert second.plot(first.ax_).ax_ is first.ax_
    assert legend(first.ax_) == ["x, total", "x, mAP a->b", "y, total", "y, mAP a->b"]
    assert first.ax_.get_yscale() == "log"
    assert first.ax_.get_ylim()[1] > 9
    plotting.TrainingCurvesDisplay([1], {"total": [0.0]}, name="z").plot(first.ax_)
    assert first.ax_.get_yscale() == "linear"
    assert first.ax_.get_ylim()[0] == 0


def test_training_curves_from_a_model():
    class Model:
        history_ = [  # noqa: RUF012 - a model of two lines
            epoch(1, 5.0, {"features": 5.0}),
            epoch(2, 4.0, {"hash": 3.0, "features": 1.0}, {"image->text": 0.25, "text->image": 0.5}),
            epoch(3, None, {"hash": None, "features": 0.5}, {"image->text": None, "text->image": 0.75}),
        ]

    display = plotting.TrainingCurvesDisplay.from_model(Model(), name="mine")
    nan = float("nan")
    assert (display.epochs, display.name) == ([1, 2, 3], "mine")
    np.testing.assert_equal(
        display.losses, {"total": [5.0, 4.0, nan], "features": [5.0, 1.0, 0.5], "hash": [nan, 3.0, nan]}
    )
    np.testing.assert_equal(display.validation, {"image->text": [nan, 0.25, nan], "text->image": [nan, 0.5, 0.75]})
    shown = lines_of(display.ax_)
    assert shown["mine, total"] == ([1, 2], [5.0, 4.0])
    assert shown["mine, hash"] == ([2], [3.0])
    curves = [(list(line.get_xdata()), list(line.get_ydata())) for line in display.validation_ax_.get_lines()]
    assert curves == [([2], [0.25]), ([2, 3], [0.5, 0.75])]
    again = plotting.TrainingCurvesDisplay.from_model(Model(), display.ax_)
    assert again.ax_ is display.ax_


def test_training_curves_of_models_that_never_validate_or_diverge_at_once():
    nan = float("nan")
    display = plotting.TrainingCurvesDisplay.from_history([epoch(1, nan), epoch(2, None)])
    assert display.validation is None
    assert lines_of(display.ax_) == {"total": ([], []), "triplet": ([], [])}
    display.ax_.figure.canvas.draw()


class NotTrained:
    @property
    def history_(self):
        raise NotFittedError("this model has learned nothing yet")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda make: make.from_model(LSH(8)),
            TypeError,
            "model must have a history_, as deep methods do, got LSH",
        ),
        (lambda make: make.from_model(NotTrained()), NotFittedError, "has learned nothing yet"),
        (lambda make: make.from_model(SimpleNamespace(history_=None)), ValueError, "model must have learned, got Si"),
        (lambda make: make.from_model(SimpleNamespace(history_=[])), ValueError, "without any epoch in its history_"),
        (lambda make: make.from_history([]), ValueError, "history must hold at least one epoch, got none"),
        (lambda make: make.from_history(3), TypeError, "history must be a sequence of mappings, .*got int"),
        (lambda make: make.from_history("12"), TypeError, "history must be a sequence of mappings, .*got str"),
        (lambda make: make.from_history([epoch(1), 3]), TypeError, r"history\[1\] must be a mapping, got int"),
        (
            lambda make: make.from_history([{"epoch": 1, "loss": 1.0}]),
            ValueError,
            r"history\[0\] must hold epoch, loss, losses, validation, got none of losses, validation",
        ),
        (
            lambda make: make.from_history([epoch(1), epoch(2, losses=[1.0])]),
            TypeError,
            r"history\[1\]\['losses'\] must be a mapping, got list",
        ),
        (
            lambda make: make.from_history([epoch(1, validation=0.5)]),
            TypeError,
            r"history\[0\]\['validation'\] must be a mapping, got float",
        ),
        (lambda make: make([1], [0.5]).plot(), TypeError, "losses must be a mapping of names to values, got list"),
        (
            lambda make: make([1], {"a": [1]}, [0.5]).plot(),
            TypeError,
            "validation must be a mapping of names to values, got list",
        ),
        (lambda make: make([1], {}).plot(), ValueError, "losses must name at least one term, got none"),
        (
            lambda make: make([1, 2], {"a": [1]}).plot(),
            ValueError,
            r"losses\['a'\] must have shape \(2,\), one for each of epochs, got \(1,\)",
        ),
        (
            lambda make: make([1], {"a": [1]}, {"x->y": [1, 2]}).plot(),
            ValueError,
            r"validation\['x->y'\] must have shape \(1,\), one for each of epochs, got \(2,\)",
        ),
        (lambda make: make([1], {"a": ["x"]}).plot(), TypeError, r"losses\['a'\] must hold real numbers"),
        (lambda make: make(3, {"a": [1]}).plot(), ValueError, r"epochs must have shape \(n,\), got \(\)"),
    ],
)
def test_wrong_input_of_training_curves(call, error, message):
    with pytest.raises(error, match=message):
        call(plotting.TrainingCurvesDisplay)


def test_training_curves_need_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"charts need matplotlib: pip install 'pyhash-crossmodal\[plot\]'"):
        plotting.TrainingCurvesDisplay.from_history([epoch(1)])


# --- convergence ---


def iteration(chunk, number, terms, validation=None):
    return {
        "chunk": chunk,
        "iteration": number,
        "objective": sum(terms.values()),
        "terms": terms,
        "validation": validation,
    }


STREAM = [
    iteration(1, 1, {"labels": 8.0, "codes": 2.0}, {"image->text": 0.25}),
    iteration(1, 2, {"labels": 4.0, "codes": 1.0}, {"image->text": 0.5}),
    iteration(2, 1, {"labels": 16.0, "codes": 1.0}),
]


def test_convergence_shows_the_objective_and_its_terms_left_and_validation_right():
    display = plotting.ConvergenceDisplay.from_history(STREAM)
    left, right = display.ax_, display.validation_ax_
    shown = lines_of(left)
    nan = float("nan")
    np.testing.assert_equal(shown["objective"], ([1, 2, nan, 3], [10, 5, nan, 17]))  # broken between chunks
    np.testing.assert_equal(shown["labels"], ([1, 2, nan, 3], [8, 4, nan, 16]))
    np.testing.assert_equal(shown["codes"], ([1, 2, nan, 3], [2, 1, nan, 1]))
    (curve,) = right.get_lines()
    np.testing.assert_equal((list(curve.get_xdata()), list(curve.get_ydata())), ([1, 2, nan], [0.25, 0.5, nan]))
    borders = [line for line in left.get_lines() if line.get_linestyle() == ":"]
    assert [list(line.get_xdata()) for line in borders] == [[2.5, 2.5]]
    assert (left.get_xlabel(), left.get_ylabel(), right.get_ylabel()) == ("Iteration", "Objective", "Validation mAP")
    assert right.get_ylim() == (0, 1)
    assert left.get_yscale() == "log"
    assert left.get_ylim()[0] < 1 < 17 < left.get_ylim()[1]
    assert legend(left) == ["objective", "labels", "codes", "mAP image->text"]
    order = [line.get_zorder() for line in left.get_lines() if line.get_label() in ("objective", "labels", "codes")]
    assert order == sorted(order, reverse=True)  # the objective above a term that it nearly equals


@pytest.mark.parametrize("term", ["labels", "similarity.image_deep", "the similarity of rows and columns"])
def test_a_legend_of_long_names_fits_into_the_figure(term):
    display = plotting.ConvergenceDisplay.from_history(
        [iteration(1, 1, {f"{term} {n}": 1.0 for n in range(5)}, {"image_deep->text_deep": 0.5})]
    )
    figure = display.ax_.figure
    figure.canvas.draw()
    extent = display.ax_.get_legend().get_window_extent()
    assert 0 <= extent.x0 < extent.x1 <= figure.bbox.x1


def test_convergence_of_one_chunk_and_one_term_is_one_line():
    display = plotting.ConvergenceDisplay.from_history([iteration(1, n, {"quantization": 1.0 / n}) for n in (1, 2)])
    assert display.validation_ax_ is None
    assert lines_of(display.ax_) == {"objective": ([1, 2], [1.0, 0.5])}


def test_convergence_with_values_that_are_not_positive_is_on_a_linear_axis():
    display = plotting.ConvergenceDisplay([1, 1, 2], {"objective": [2.0, -1.0, 1.0]}).plot()
    assert display.ax_.get_yscale() == "linear"
    assert display.ax_.get_ylim()[0] <= -1


def test_convergence_of_several_models_shares_axes():
    first = plotting.ConvergenceDisplay.from_history(STREAM, name="x")
    second = plotting.ConvergenceDisplay.from_history(STREAM[:2], first.ax_, name="y")
    assert second.ax_ is first.ax_
    assert legend(first.ax_)[:1] == ["x, objective"]
    assert legend(first.ax_)[4:5] == ["y, objective"]
    assert first.ax_.get_yscale() == "log"


def test_convergence_from_a_model():
    labels = np.arange(60) % 3
    views = {"image": np.eye(3)[labels], "text": np.eye(3)[labels]}
    model = LEMON(8, n_iter=2, record=True).fit(views, labels, chunk_size=30, validation=(views, labels))
    display = plotting.ConvergenceDisplay.from_model(model, name="mine")
    assert (display.chunks, display.name) == ([1, 1, 2, 2], "mine")
    assert display.values["objective"] == [entry["objective"] for entry in model.history_]
    assert list(display.values) == ["objective", *model.history_[0]["terms"]]
    assert display.validation == {
        direction: [entry["validation"][direction] for entry in model.history_]
        for direction in ("image->text", "text->image")
    }


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda make: make.from_model(LSH(8)),
            TypeError,
            "model must have a history_, as methods that learn by iterations do, got LSH",
        ),
        (lambda make: make.from_model(LEMON(8)), NotFittedError, "has not learned anything yet"),
        (
            lambda make: make.from_model(LEMON(8).fit({"x": np.eye(3)}, np.arange(3))),
            NotFittedError,
            "set record=True before it learns",
        ),
        (
            lambda make: make.from_model(SimpleNamespace(history_=[epoch(1)])),
            ValueError,
            r"history\[0\] must hold chunk, iteration, objective, terms, validation, got none of chunk, iteration",
        ),
        (lambda make: make.from_history([]), ValueError, "history must hold at least one iteration, got none"),
        (lambda make: make.from_history(3), TypeError, "one for each iteration, got int"),
        (
            lambda make: make.from_history([{**STREAM[0], "terms": None}]),
            TypeError,
            r"history\[0\]\['terms'\] must be a mapping, got NoneType",
        ),
        (lambda make: make([1], [0.5]).plot(), TypeError, "values must be a mapping of names to values, got list"),
        (lambda make: make([1], {}).plot(), ValueError, "values must name at least one term, got none"),
        (
            lambda make: make([1, 1], {"a": [1]}).plot(),
            ValueError,
            r"values\['a'\] must have shape \(2,\), one for each of chunks, got \(1,\)",
        ),
        (
            lambda make: make([1], {"a": [1]}, {"x->y": [1, 2]}).plot(),
            ValueError,
            r"validation\['x->y'\] must have shape \(1,\), one for each of chunks, got \(2,\)",
        ),
        (lambda make: make(3, {"a": [1]}).plot(), ValueError, r"chunks must have shape \(n,\), got \(\)"),
    ],
)
def test_wrong_input_of_convergence(call, error, message):
    with pytest.raises(error, match=message):
        call(plotting.ConvergenceDisplay)


@pytest.mark.parametrize("wrong", [5, "axes", [None]])
def test_axes_of_another_type_are_refused(data, curve, wrong):
    message = f"^ax must be matplotlib Axes or None, got {type(wrong).__name__}$"
    with pytest.raises(TypeError, match=message):
        plotting.PrecisionRecallDisplay.from_codes(*data, n_bits=8, ax=wrong)
    for display in (plotting.PrecisionRecallDisplay(curve), plotting.RoundsDisplay([1, 2], [0.1, 0.2])):
        with pytest.raises(TypeError, match=message):
            display.plot(wrong)


def test_sensitivity_of_one_parameter():
    display = plotting.SensitivityDisplay({"alpha": [1, 10, 100]}, [0.1, np.nan, 0.3], name="8 bits").plot(color="red")
    (line,) = display.ax_.get_lines()
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 100], [0.1, 0.3])
    assert (line.get_color(), legend(display.ax_)) == ("red", ["8 bits"])
    assert (display.ax_.get_xscale(), display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("log", "alpha", "mAP")
    again = plotting.SensitivityDisplay({"alpha": [1, 10, 100]}, [0.2, 0.2, 0.2], name="16 bits").plot(display.ax_)
    assert legend(again.ax_) == ["8 bits", "16 bits"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 2, 99], "linear"), ([1, 100], "log"), ([0, 1, 100], "symlog"), ([0, 1], "linear"), ([-1, 100], "linear"),
        ([0], "linear"), ([5], "linear"),
    ],
)  # fmt: skip
def test_the_axis_is_logarithmic_where_values_span_decades(values, scale):
    display = plotting.SensitivityDisplay({"alpha": values}, [0.1] * len(values)).plot()
    assert display.ax_.get_xscale() == scale


def test_values_that_are_no_numbers_are_shown_as_text():
    ax = plotting.SensitivityDisplay({"init": ["random", None, True, [0.2, 0.8]]}, [0.1, 0.2, 0.3, 0.4]).plot().ax_
    assert names(ax.get_xticklabels()) == ["random", "none", "true", "0.2/0.8"]
    assert ax.get_lines()[0].get_xdata().tolist() == [0, 1, 2, 3]


def test_sensitivity_of_two_parameters():
    display = plotting.SensitivityDisplay(
        {"alpha": [1, 100], "xi": [0.1, 0.2, 0.3]}, [[0.1, 0.2, np.nan], [0.4, 0.5, 0.6]], name="8 bits"
    ).plot()
    (image,) = display.ax_.get_images()
    assert image.get_array().filled(-1).tolist() == [[0.1, 0.4], [0.2, 0.5], [-1, 0.6]]
    assert names(display.ax_.get_xticklabels()) == ["1", "100"]
    assert names(display.ax_.get_yticklabels()) == ["0.1", "0.2", "0.3"]
    assert names(display.ax_.texts) == ["0.100", "0.200", "0.400", "0.500", "0.600"]
    assert (display.ax_.get_title(), display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("8 bits", "alpha", "xi")


def swept(values, n_bits, score, method="lemon"):
    """A record of a sweep, with what is drawn of it."""
    entry = {"protocol": "shoh", "direction": "image->text", "map": score}
    fields = {"method": method, "values": values}
    return {"n_bits": n_bits, "protocols": {"shoh": "the choices"}, "scores": [entry], "swept": fields}


def test_sensitivity_from_records_is_the_mean_of_seeds_in_ascending_order():
    records = [
        {"n_bits": 8}, swept({"alpha": 100}, 8, 0.4), swept({"alpha": 100}, 8, 0.6), swept({"alpha": 1}, 8, 0.1),
        swept({"alpha": 1}, 8, 0.3), swept({"alpha": 5}, 8, None), swept({"alpha": 1}, 16, 0.9),
        swept({"beta": 1}, 8, 0.9), swept({"alpha": 1}, 8, 0.9, "shoh"),
    ]  # fmt: skip
    choices = {"n_bits": 8, "parameters": ["alpha"], "name": "mine", "color": "red"}
    display = plotting.SensitivityDisplay.from_records(records, "lemon", "image->text", **choices)
    assert display.values == {"alpha": [1, 5, 100]}
    np.testing.assert_allclose(display.scores, [0.2, np.nan, 0.5])
    (line,) = display.ax_.get_lines()
    assert (line.get_color(), line.get_label()) == ("red", "mine")


def test_a_parameter_with_one_value_is_no_axis():
    records = [swept({"alpha": 1, "beta": beta, "xi": 2}, 8, beta / 10) for beta in (1, 2)]
    display = plotting.SensitivityDisplay.from_records(records, "lemon", "image->text", n_bits=8)
    assert (display.values, display.scores) == ({"beta": [1, 2]}, [0.1, 0.2])
    pair = [swept({"alpha": 1, "beta": 1}, 8, 0.3)]
    alone = plotting.SensitivityDisplay.from_records(pair, "lemon", "image->text", n_bits=8)
    assert (alone.values, alone.scores) == ({"alpha": [1], "beta": [1]}, [[0.3]])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"method": "dsfh"}, "records must hold a sweep of method 'dsfh', got none"),
        ({"n_bits": 32}, "n_bits must be a length of the sweep of 'lemon', got 32"),
        ({"direction": "text->text"}, "direction must be one of 'image->text', got 'text->text'"),
        ({"protocol": "mine"}, "protocol must be one of 'shoh', got 'mine'"),
        ({"parameters": ["beta"]}, "parameters must be those of one sweep of 'lemon', alpha, xi; got"),
        ({"method": "shoh"}, "parameters must be given where a method has several sweeps, which are eta; mu"),
        ({"method": "three"}, "parameters must be one or two, got a, b, c"),
    ],
)
def test_sensitivity_of_records_that_are_not_there(choices, message):
    records = [
        swept({"alpha": 1, "xi": 2}, 8, 0.4), swept({"eta": 1}, 8, 0.4, "shoh"), swept({"mu": 1}, 8, 0.4, "shoh"),
        swept({"a": 1, "b": 1, "c": 1}, 8, 0.4, "three"),
        swept({"a": 2, "b": 2, "c": 2}, 8, 0.4, "three"),
    ]  # fmt: skip
    given = {"method": "lemon", "direction": "image->text", "n_bits": 8, **choices}
    with pytest.raises(ValueError, match=re.escape(message)):
        plotting.SensitivityDisplay.from_records(records, **given)


@pytest.mark.parametrize(
    ("values", "scores", "error", "message"),
    [
        ([1, 2], [0.1, 0.2], TypeError, "values must be a mapping of parameters to values, got list"),
        ({"a": 1}, [0.1], TypeError, "values['a'] must be a sequence of values, got 1"),
        ({}, [0.1], ValueError, "values must be those of one or two parameters, at least one of each, got none"),
        ({"a": []}, [], ValueError, "at least one of each, got 0 of a"),
        ({"a": [1, 2]}, [0.1], ValueError, "scores must have shape (2,), one for each value, got (1,)"),
        ({"a": [1, 2], "b": [1]}, [0.1, 0.2], ValueError, "scores must have shape (2, 1), one for each value"),
        ({"a": [1]}, ["x"], TypeError, "scores must hold real numbers"),
    ],
)
def test_sensitivity_that_cannot_be_drawn(values, scores, error, message):
    with pytest.raises(error, match=re.escape(message)):
        plotting.SensitivityDisplay(values, scores).plot()

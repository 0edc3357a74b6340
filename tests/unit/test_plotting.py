import subprocess
import sys

import numpy as np
import pytest

from pyhash import codes, plotting
from pyhash.evaluation import precision_recall_curve


@pytest.fixture
def curve(rng):
    rows = codes.pack(rng.choice([-1, 1], size=(50, 8)))
    return precision_recall_curve(rows[:10], rows[10:], rng.integers(0, 3, 10), rng.integers(0, 3, 40), n_bits=8)


def test_a_curve_shows_what_was_measured(curve):
    display = plotting.PrecisionRecallDisplay(curve, name="mine").plot(color="red")
    (line,) = display.ax_.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), curve.recall)
    np.testing.assert_array_equal(line.get_ydata(), curve.precision)
    assert (line.get_color(), line.get_label()) == ("red", "mine")
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Recall", "Precision")


def test_several_runs_share_one_axis(curve):
    first = plotting.RoundsDisplay([10, 20], [0.1, 0.2], name="a").plot()
    second = plotting.RoundsDisplay([10, 20], [0.3, 0.4], name="b").plot(first.ax_)
    assert second.ax_ is first.ax_
    assert [text.get_text() for text in first.ax_.get_legend().get_texts()] == ["a", "b"]


def test_a_figure_is_saved_whole(curve, tmp_path):
    display = plotting.PrecisionRecallDisplay(curve).plot()
    plotting.save_figure(display.ax_, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileNotFoundError):
        plotting.save_figure(display.ax_, tmp_path / "nowhere" / "chart.png")


def test_nothing_global_is_touched(curve):
    code = (
        "import sys; from pyhash import plotting; plotting.RoundsDisplay([1], [0.5]).plot(); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_extra_is_named(monkeypatch, curve):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"charts need matplotlib: pip install 'pyhash-crossmodal\[plot\]'"):
        plotting.PrecisionRecallDisplay(curve).plot()

"""Draw a picture of each display of pyhash.plotting: python docs/figures/displays.py [FOLDER] [NAME ...].

All are of the built-in data: 2,000 pairs in 5 chunks, and 300 queries that are not learned. `make figures` draws them
anew; a slow test compares what is written on them.
"""

import sys
from functools import cache
from pathlib import Path

import matplotlib

import pyhash
from pyhash import evaluation, plotting

VIEWS, LABELS = ["image_deep", "text"], "level2"
BITS = (16, 32, 64)
COLORS = {"text": "#1f4e79", "image_deep": "#d1495b"}
NAMES = {"text": "text → image", "image_deep": "image → text"}


@cache
def chunks():
    """Return the rows to learn."""
    data = pyhash.datasets.load_emoji()
    stream = data.chunks(400, split="pair", views=VIEWS, labels=LABELS)
    return [next(stream) for _ in range(5)]


@cache
def queries():
    """Return the queries: data of their own."""
    data = pyhash.datasets.load_emoji()
    return data.select(data.split("pair")[1][:300], views=VIEWS, labels=LABELS)


@cache
def learned(n_bits):
    """Return the codes that LEMON learns, their labels, and the codes of the queries of each modality by round."""
    model, codes, labels, by_round = pyhash.LEMON(n_bits), [], [], []
    for chunk in chunks():
        model.partial_fit(chunk.views, chunk.labels)
        codes += list(model.codes_)
        labels += list(chunk.labels)
        by_round.append({name: model.encode(queries().views[name], modality=name) for name in VIEWS})
    return codes, labels, by_round


def mean_average_precision(model, view):
    """Return the mAP of queries over the last codes of a model."""
    codes = model.encode(queries().views[view], modality=view)
    return evaluation.mean_average_precision(codes, model.codes_, queries().labels, chunks()[-1].labels).value


def bits():
    """Draw text and image queries at three lengths."""
    ax = None
    for view in VIEWS:
        asked = {n: learned(n)[2][-1][view] for n in BITS}
        codes, labels = {n: learned(n)[0] for n in BITS}, learned(BITS[0])[1]
        style = {"name": NAMES[view], "ax": ax, "color": COLORS[view]}
        ax = plotting.BitsDisplay.from_codes(asked, codes, queries().labels, labels, **style).ax_
    return ax


def bytes_per_item():
    """Draw the same lengths by memory."""
    asked = {f"{n} bits": learned(n)[2][-1]["text"] for n in BITS}
    codes = {f"{n} bits": learned(n)[0] for n in BITS}
    return plotting.BytesPerItemDisplay.from_codes(
        asked, codes, queries().labels, learned(BITS[0])[1], name=NAMES["text"], color=COLORS["text"]
    ).ax_


def class_distance():
    """Draw the subgroups of emoji, sorted by group."""
    data = pyhash.datasets.load_emoji()
    codes, labels, _ = learned(64)
    return plotting.ClassDistanceDisplay.from_codes(
        codes, labels, n_bits=64, n_classes=87, groups=data.hierarchy[0], name="87 subgroups in 8 groups"
    ).ax_


def convergence():
    """Draw the terms of DSFH, and the mAP of the queries after each iteration."""
    chunk = chunks()[0]
    model = pyhash.DSFH(n_bits=32, n_iter=12, record=True)
    model.fit(chunk.views, chunk.labels, validation=(queries().views, queries().labels))
    return plotting.ConvergenceDisplay.from_model(model).ax_


def curve(display, **options):
    """Draw a display of text queries at three lengths on the same axes."""
    ax = None
    for n in BITS:
        codes, labels, by_round = learned(n)
        style = {"name": f"{n} bits", "ax": ax, **options}
        ax = display.from_codes(by_round[-1]["text"], codes, queries().labels, labels, n_bits=n, **style).ax_
    return ax


def precision_at():
    """Draw precision among the first N answers."""
    return curve(plotting.PrecisionAtDisplay, top_n=[1, 2, 5, 10, 20, 50, 100, 200])


def precision_recall():
    """Draw precision and recall down the whole ranking."""
    return curve(plotting.PrecisionRecallDisplay)


def rounds():
    """Draw text and image queries after each chunk, over the codes so far."""
    ax = None
    codes, labels, by_round = learned(32)
    seen = [400 * (i + 1) for i in range(len(by_round))]
    for view in VIEWS:
        scores = [
            evaluation.mean_average_precision(asked[view], codes[:n], queries().labels, labels[:n]).value
            for n, asked in zip(seen, by_round, strict=True)
        ]
        display = plotting.RoundsDisplay(seen, scores, name=NAMES[view])
        ax = display.plot(ax, color=COLORS[view]).ax_
    return ax


def sensitivity():
    """Draw two parameters of SHOH."""
    chunk = chunks()[-1]
    values = {"n_iter": [1, 2, 4, 8], "xi": [0.1, 1.0, 10.0, 100.0]}
    scores = [
        [
            mean_average_precision(
                pyhash.SHOH(32, n_iter=n, xi=xi).partial_fit(chunk.views, chunk.labels), "image_deep"
            )
            for xi in values["xi"]
        ]
        for n in values["n_iter"]
    ]
    return plotting.SensitivityDisplay(values, scores, name="SHOH, 32 bits, image queries").plot().ax_


def training_curves():
    """Draw the losses of a small SDCH, and the mAP of rows held out."""
    from pyhash.deep import SDCH, TrainingOptions

    chunk = chunks()[0]
    model = SDCH(32, hidden=[64], training=TrainingOptions(epochs=15, batch_size=64, device="cpu"))
    model.fit(chunk.views, chunk.labels)
    return plotting.TrainingCurvesDisplay.from_model(model).ax_


PICTURES = {
    "BitsDisplay": bits,
    "BytesPerItemDisplay": bytes_per_item,
    "ClassDistanceDisplay": class_distance,
    "ConvergenceDisplay": convergence,
    "PrecisionAtDisplay": precision_at,
    "PrecisionRecallDisplay": precision_recall,
    "RoundsDisplay": rounds,
    "SensitivityDisplay": sensitivity,
    "TrainingCurvesDisplay": training_curves,
}


def draw(folder, names=tuple(PICTURES)):
    """Write the pictures into a folder, each named after its display."""
    with matplotlib.rc_context({"svg.hashsalt": "pyhash", "font.size": 10}):
        for name in names:
            ax = PICTURES[name]()
            ax.figure.savefig(Path(folder) / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_suffix(""), sys.argv[2:] or tuple(PICTURES))

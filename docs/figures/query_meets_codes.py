"""Draw query_meets_codes.svg, the picture of the README: python docs/figures/query_meets_codes.py [FILE].

It shows the README's first example: the code of a text beside the codes that a search compares it with.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle

import pyhash

QUERY = 68  # "curry rice"
FAR = ("high-speed train", "umbrella")
N_BITS, CLASS_BITS = 64, 24
GAP = 1  # between bits for the class and bits for the thing
ONE, ZERO, WRONG, PAPER, INK, FAINT = "#1f4e79", "#c9d8e6", "#d1495b", "#ffffff", "#1b1f24", "#57606a"


def example():
    """Return the query's text and signs, and (name, signs) of the codes to show, nearest first."""
    data = pyhash.datasets.load_emoji()
    model, index = pyhash.BOCH(n_bits=N_BITS, class_bits=CLASS_BITS), pyhash.CodeIndex(n_bits=N_BITS)
    for chunk in data.chunks(2000, split="pair", views=["image_deep", "text"], labels="level2"):
        model.partial_fit(chunk.views, chunk.labels)
        index.add(model.codes_, ids=chunk.rows)
    known, new = data.split("pair")
    query = model.project(data.views["text"][new[[QUERY]]], modality="text")
    names = data.items["name"]
    nearest = {}  # the first picture of each emoji
    for row in index.search_weighted(query, k=30).ids[0].tolist():
        nearest.setdefault(names[row], row)
    far = {name: known[np.flatnonzero(names[known] == name)[0]] for name in FAR}
    shown = dict(list(nearest.items())[:3]) | far
    signs = pyhash.codes.unpack(index.reconstruct(list(shown.values())), n_bits=N_BITS)
    return data.items["text"][new[QUERY]], np.where(query[0] > 0, 1, -1), list(zip(shown, signs, strict=True))


def draw(path):
    """Write the picture to a file; its suffix is the format."""
    text, query, shown = example()
    bottom = -len(shown) - 1.9
    figure, ax = plt.subplots(figsize=(10, 2.9))
    figure.patch.set_alpha(0)
    panel = "round,pad=0,rounding_size=0.8"  # opaque, so that the picture reads on dark pages too
    ax.add_patch(FancyBboxPatch((-19, bottom), 103, 1.5 - bottom, boxstyle=panel, fc=PAPER, ec="#d0d7de"))

    def row(y, label, signs, note, weight="normal"):
        ax.text(-1, y, label, ha="right", va="center", fontsize=11, color=INK, weight=weight)
        ax.text(65 + GAP, y, note, ha="left", va="center", fontsize=11, color=INK if weight == "bold" else FAINT)
        for bit, sign in enumerate(signs):
            differs = sign != query[bit]
            color = (WRONG if sign > 0 else "#f1c0c6") if differs else ONE if sign > 0 else ZERO
            left = bit + 0.08 + (GAP if bit >= CLASS_BITS else 0)
            ax.add_patch(Rectangle((left, y - 0.36), 0.84, 0.72, fc=color, ec="none", clip_on=False))

    row(0, f"“{text}”", query, f"text, as {N_BITS} bits", "bold")
    for i, (name, signs) in enumerate(shown):
        differs = signs != query
        n_class, n_thing = int(differs[:CLASS_BITS].sum()), int(differs[CLASS_BITS:].sum())
        row(-1.7 - i - (0.35 if i > 2 else 0), name, signs, f"{n_class} + {n_thing} bits differ")
    ax.text(0, 0.85, f"query: {CLASS_BITS} bits for the class", fontsize=9, color=FAINT, va="center")
    rest = f"{N_BITS - CLASS_BITS} bits for the thing itself"
    ax.text(CLASS_BITS + GAP, 0.85, rest, fontsize=9, color=FAINT, va="center")
    below = "pictures in the index (red: bits that differ from the query)"
    ax.text(0, -0.85, below, fontsize=9, color=FAINT, va="center")
    ax.set_xlim(-19.5, 84.5)
    ax.set_ylim(bottom - 0.1, 1.6)
    ax.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    figure.savefig(path, metadata={"Date": None} if str(path).endswith("svg") else None, dpi=110)


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "pyhash"
    draw(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_suffix(".svg"))

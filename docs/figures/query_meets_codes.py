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

QUERY = 48  # "monkey banana"
FAR = ("high-speed train", "umbrella")
ONE, ZERO, WRONG, PAPER, INK, FAINT = "#1f4e79", "#c9d8e6", "#d1495b", "#ffffff", "#1b1f24", "#57606a"


def example():
    """Return the query's text and signs, and (name, signs) of the codes to show, nearest first."""
    data = pyhash.datasets.load_emoji()
    known, new = data.split("pair")
    pictures, texts = data.views["image_deep"], data.views["text"]
    views = {"image": pictures[known], "text": texts[known]}
    model = pyhash.LEMON(n_bits=64).fit(views, data.labels["level2"][known])
    index = pyhash.CodeIndex(n_bits=64)
    index.add(model.codes_, ids=known)
    query = model.encode(texts[new[[QUERY]]], modality="text")
    names = data.items["name"]
    nearest = index.search(query, k=3).ids[0]
    far = [known[np.flatnonzero(names[known] == name)[0]] for name in FAR]
    signs = pyhash.codes.unpack(index.reconstruct([*nearest, *far]), n_bits=64)
    shown = zip([*names[nearest], *FAR], signs, strict=True)
    return data.items["text"][new[QUERY]], pyhash.codes.unpack(query, n_bits=64)[0], list(shown)


def draw(path):
    """Write the picture to a file; its suffix is the format."""
    text, query, shown = example()
    bottom = -len(shown) - 1.9
    figure, ax = plt.subplots(figsize=(10, 2.9))
    figure.patch.set_alpha(0)
    panel = "round,pad=0,rounding_size=0.8"  # opaque, so that the picture reads on dark pages too
    ax.add_patch(FancyBboxPatch((-19, bottom), 100, 1.5 - bottom, boxstyle=panel, fc=PAPER, ec="#d0d7de"))

    def row(y, label, signs, note, weight="normal"):
        ax.text(-1, y, label, ha="right", va="center", fontsize=11, color=INK, weight=weight)
        ax.text(65, y, note, ha="left", va="center", fontsize=11, color=INK if weight == "bold" else FAINT)
        for bit, sign in enumerate(signs):
            differs = sign != query[bit]
            color = (WRONG if sign > 0 else "#f1c0c6") if differs else ONE if sign > 0 else ZERO
            ax.add_patch(Rectangle((bit + 0.08, y - 0.36), 0.84, 0.72, fc=color, ec="none", clip_on=False))

    row(0, f"“{text}”", query, "text, as 64 bits", "bold")
    for i, (name, signs) in enumerate(shown):
        n = int((signs != query).sum())
        row(-1.7 - i - (0.35 if i > 2 else 0), name, signs, f"{n} bits differ")
    ax.text(0, 0.85, "query", fontsize=9, color=FAINT, va="center")
    below = "pictures in the index (red: bits that differ from the query)"
    ax.text(0, -0.85, below, fontsize=9, color=FAINT, va="center")
    ax.set_xlim(-19.5, 81.5)
    ax.set_ylim(bottom - 0.1, 1.6)
    ax.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    figure.savefig(path, metadata={"Date": None} if str(path).endswith("svg") else None, dpi=110)


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "pyhash"
    draw(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_suffix(".svg"))

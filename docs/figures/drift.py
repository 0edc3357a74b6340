"""Draw drift.svg: what decay does where features drift. python docs/figures/drift.py [FILE].

After each chunk of a stream whose features turn by 180 degrees, the next chunk, not learned yet, queries all before it.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

import pyhash
from pyhash.datasets import make_drifting
from pyhash.evaluation import mean_average_precision

N_BITS, SIZE = 32, 300
DECAYS = {0.0: "#d1495b", 0.1: "#8aa9c4", 0.2: "#4a7fb0", 0.4: "#1f4e79"}


def qualities(data, decay):
    """Return the mAP of image queries from each chunk but the first, over all rows before it."""
    model, codes, scores = pyhash.LEMON(N_BITS, decay=decay), [], []
    labels = data.labels["classes"]
    for start in range(0, len(data), SIZE):
        rows = slice(start, start + SIZE)
        views = {name: x[rows] for name, x in data.views.items()}
        if codes:
            queries = model.encode(views["image"], modality="image")
            scores.append(mean_average_precision(queries, np.concatenate(codes), labels[rows], labels[:start]).value)
        codes.append(model.partial_fit(views, labels[rows]).codes_)
    return scores


def draw(path):
    """Write the chart."""
    data = make_drifting(40 * SIZE, turn=180.0, seed=1)
    fig, axes = plt.subplots(figsize=(6.4, 3.4))
    for decay, color in DECAYS.items():
        scores = qualities(data, decay)
        first, middle, last = scores[0], scores[len(scores) // 2], scores[-1]
        print(f"decay {decay}: mAP {first:.3f} at first, {middle:.3f} halfway, {last:.3f} at the end")
        turned = 180.0 * (np.arange(len(scores)) + 1.5) * SIZE / len(data)
        axes.plot(turned, scores, color=color, label=f"decay = {decay:g}")
    axes.set(xlabel="degrees by which the features have turned", ylabel="mAP, image queries", ylim=(0, 1.02))
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    plt.rcParams["svg.hashsalt"] = "pyhash"
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))

"""Writes the golden files of SEOCH and DSFH; run by hand, never to mend a test.

python tests/golden/make_methods_golden.py tests/golden/methods_v1
"""

import json
import sys
from pathlib import Path

import numpy as np

import pyhash
from pyhash import DSFH, SEOCH


def data():
    """Small integers, with two labels in every second row."""
    rows = np.arange(60)
    labels = np.eye(6)[rows % 6]
    labels[::2, 0] = 1
    image = labels * 4 + (rows[:, None] * np.arange(1, 7) % 5)
    text = labels[:, ::-1] * 2 + (rows[:, None] * np.arange(2, 8) % 3)
    return {"image": image, "text": text}, labels


def models():
    """Only with parameters that the first version with these files knew."""
    return {
        "seoch": SEOCH(n_bits=12, n_concepts=8, seed=11),
        "dsfh": DSFH(n_bits=5, n_clusters=3, feature_maps={"image": None, "text": None}, n_iter=4, seed=11),
    }


def main(directory):
    directory.mkdir(exist_ok=True)
    views, labels = data()
    expected = {"written_by": f"pyhash {pyhash.__version__}"}
    for name, model in models().items():
        model.fit(views, labels, **({"chunk_size": 25} if name == "seoch" else {}))
        model.save(directory / f"{name}.npz")
        expected[name] = {
            "fingerprint": model.fingerprint,
            "codes": model.codes_.tolist(),
            "projections": {view: model.project(rows, modality=view).tolist() for view, rows in views.items()},
        }
    (directory / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

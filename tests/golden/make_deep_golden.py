"""Writes the golden files of deep models; run by hand when their format goes up, never to mend a test.

python tests/golden/make_deep_golden.py tests/golden/deep_v1
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import pyhash
from pyhash.deep import DHSL, SDCH, TrainingOptions

ENCODERS = ("bits", "posterior")


def data():
    """Three views of two dozen samples: dense, a bag of words, pictures."""
    fine = np.arange(24) % 4
    dense = np.eye(4)[fine] * 3 + (np.arange(24)[:, None] * np.arange(1, 5) % 3)
    words = np.zeros((24, 60))
    words[np.arange(24), fine * 10 + np.arange(24) % 3] = 1
    pictures = (np.eye(4)[fine].repeat(12, axis=1) * 200).astype(np.uint8).reshape(24, 3, 4, 4)
    return {"dense": dense, "words": words, "pictures": pictures}, fine


def backbone():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())


def models():
    views, fine = data()
    training = TrainingOptions(epochs=30, batch_size=8, validation_fraction=0.2)
    small = {"training": training, "encoder": "auto", "seed": 3}
    of_features = {name: views[name] for name in ("dense", "words")}
    torch.manual_seed(0)
    yield "dhsl", DHSL(12, hidden=[8, 6], selector_hidden=[4, 4], relation_hidden=6, **small).fit(of_features, fine)
    yield (
        "sdch",
        SDCH(12, hidden=[16], feature_width=8, learning_rate=1e-2, backbones={"pictures": backbone()}, **small).fit(
            views, fine
        ),
    )


def main(directory):
    directory.mkdir(exist_ok=True)
    views, _ = data()
    expected = {"written_by": f"pyhash {pyhash.__version__}, torch {torch.__version__}"}
    for name, model in models():
        model.save(directory / f"{name}.safetensors")
        expected[name] = {"fingerprint": model.fingerprint, "encoders": model.encoders_, "projections": {}}
        for encoder in ENCODERS:
            model.set_params(encoder=encoder)
            expected[name]["projections"][encoder] = {
                modality: model.project(views[modality], modality=modality).tolist() for modality in model.modalities_
            }
    (directory / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

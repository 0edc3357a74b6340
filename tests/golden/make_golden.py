"""Writes the golden files of the current formats; run by hand when one of them goes up, never to mend a test.

python tests/golden/make_golden.py tests/golden/v3
"""

import json
import sys
from pathlib import Path

import numpy as np

import pyhash
from pyhash import SHOH, CodeIndex


def data():
    """Small integers: every sum is exact on every machine."""
    fine = np.arange(60) % 6
    image = np.eye(6)[fine] * 4 + (np.arange(60)[:, None] * np.arange(1, 7) % 3)
    text = np.eye(6)[fine][:, ::-1] * 2 + (np.arange(60)[:, None] * np.arange(2, 8) % 2)
    return {"image": image, "text": text}, fine


def model():
    return SHOH(n_bits=20, hierarchy=[[0, 0, 1, 1, 2, 2]], mu=10.0, seed=11)


def main(directory):
    directory.mkdir(exist_ok=True)
    views, fine = data()
    learned = model().fit(views, fine, chunk_size=25)
    learned.save(directory / "shoh.npz")
    index = CodeIndex(20, layout="multi-index", layout_bytes_per_code=1000)
    # Several runs of rows, removed ones in each, and tables: nothing of the format is left out.
    ids = np.arange(60) * 3 - 50
    index.add(learned.codes_[:50], ids[:50], model=learned)
    index.add(learned.codes_[50:], ids[50:], model=learned)
    index.remove([ids[7], ids[52]])
    index.save(directory / "index")
    (directory / "index" / "lock").unlink()  # tells of this machine, and is made where it is needed
    queries = learned.project(views["text"][:5], modality="text")
    hits = index.search_weighted(queries, k=4)
    plain = index.search(learned.encode(views["text"][:5], modality="text"), k=4)
    expected = {
        "written_by": f"pyhash {pyhash.__version__}",
        "fingerprint": learned.fingerprint,
        "codes": learned.codes_.tolist(),
        "index_ids": index.ids.tolist(),
        "index_codes": index.codes.tolist(),
        "encoded_text": learned.encode(views["text"], modality="text").tolist(),
        "ids": plain.ids.tolist(),
        "distances": plain.distances.tolist(),
        "weighted_ids": hits.ids.tolist(),
        "weighted_distances": hits.distances.tolist(),
    }
    (directory / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""From labeled rows to the answers of queries, in stages, in a process of its own: pyhash, or numpy and FAISS.

Run ``python -m benchmarks.labels_to_answers pyhash 10000000``. It prints a line of JSON for each stage: CPU seconds,
the most memory that the process had, and the precision of answers. Rows are made chunk by chunk, outside of the times.

Rows have two modalities and one of 87 classes. Both learn linear hash functions from all rows, encode the images, and
ask with 1,000 texts. numpy gives each class a random code and learns by least squares: two products a chunk and
modality, one solution at the end.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

N_BITS, N_CLASSES, WIDTH, CHUNK = 64, 87, 64, 100_000
MODALITIES = ("image", "text")
N_QUERIES, K = 1000, 10
N_LISTS, N_PROBE = 4096, 16
_RIDGE = 1.0


class Rows:
    """Rows around the centre of their class."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self._centers = {name: rng.standard_normal((N_CLASSES, WIDTH), np.float32) for name in MODALITIES}

    def chunk(self, number, n=CHUNK):
        """Return a view of each modality, and the labels."""
        rng = np.random.default_rng([1, number])
        labels = rng.integers(0, N_CLASSES, n)
        return {
            name: centers[labels] + rng.standard_normal((n, WIDTH), np.float32)
            for name, centers in self._centers.items()
        }, labels

    def queries(self):
        views, labels = self.chunk(2**31, N_QUERIES)
        return views["text"], labels


class Stages:
    """Times and memory by stage; what is in a `work` block counts."""

    def __init__(self):
        self._seconds = 0.0

    def work(self, call, *arguments):
        begin = time.process_time()
        result = call(*arguments)
        self._seconds += time.process_time() - begin
        return result

    def end(self, stage, **notes):
        line = {"stage": stage, "seconds": self._seconds, "bytes": _most_memory(), **notes}
        print(json.dumps(line), flush=True)
        self._seconds = 0.0
        Path("/proc/self/clear_refs").write_text("5")  # the most memory counts from here


def _most_memory():
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024


def with_pyhash(rows, n_chunks, stages):
    from pyhash import BOCH, CodeIndex

    model = BOCH(N_BITS, feature_maps=dict.fromkeys(MODALITIES), encoder="bits")
    index = CodeIndex(N_BITS)
    for number in range(n_chunks):
        stages.work(model.partial_fit, *rows.chunk(number))
    stages.end("learn")
    codes = []
    for number in range(n_chunks):
        views, _ = rows.chunk(number)
        codes.append(stages.work(lambda: model.encode(views["image"], modality="image")))  # noqa: B023
    stages.end("encode")
    while codes:
        stages.work(index.add, codes.pop(0))
    stages.end("index")

    def ask(texts):
        return index.search(model.encode(texts, modality="text"), K, n_threads=1).ids

    answer(rows, stages, "ask", ask)


def with_numpy(rows, n_chunks, stages):
    import faiss

    faiss.omp_set_num_threads(1)
    hash_functions = stages.work(LeastSquares)
    for number in range(n_chunks):
        stages.work(hash_functions.learn, *rows.chunk(number))
    stages.work(hash_functions.solve)
    stages.end("learn")
    codes = []
    for number in range(n_chunks):
        views, _ = rows.chunk(number)
        codes.append(stages.work(hash_functions.encode, views["image"], "image"))
    stages.end("encode")

    def ask_with(index, name):
        answer(rows, stages, f"ask, {name}", lambda texts: index.search(hash_functions.encode(texts, "text"), K)[1])

    flat = faiss.IndexBinaryFlat(N_BITS)
    for chunk in codes:
        stages.work(flat.add, chunk)
    stages.end("index, flat")
    ask_with(flat, "flat")

    flat.reset()
    quantizer = faiss.IndexBinaryFlat(N_BITS)
    ivf = faiss.IndexBinaryIVF(quantizer, N_BITS, min(N_LISTS, n_chunks * CHUNK // 50))
    stages.work(ivf.train, np.concatenate(codes[: N_LISTS * 50 // CHUNK + 1]))
    for chunk in codes:
        stages.work(ivf.add, chunk)
    stages.end("index, IVF")
    ivf.nprobe = N_PROBE
    ask_with(ivf, "IVF")


def answer(rows, stages, stage, ask):
    """Time all queries in one call, and note the share of hits with the label of their query."""
    texts, labels = rows.queries()
    ids = stages.work(ask, texts)
    found = {number: rows.chunk(number)[1] for number in np.unique(ids // CHUNK)}
    hits = np.array([[found[i // CHUNK][i % CHUNK] for i in of_query] for of_query in ids])
    stages.end(stage, precision=float((hits == labels[:, None]).mean()))


class LeastSquares:
    """Projections of each modality to the codes of the classes."""

    def __init__(self):
        self._codes = np.random.default_rng(2).choice([-1.0, 1.0], (N_CLASSES, N_BITS))
        self._XX = {name: np.zeros((WIDTH, WIDTH)) for name in MODALITIES}
        self._XB = {name: np.zeros((WIDTH, N_BITS)) for name in MODALITIES}

    def learn(self, views, labels):
        B = self._codes[labels].astype(np.float32)
        for name, X in views.items():
            self._XX[name] += X.T @ X
            self._XB[name] += X.T @ B

    def solve(self):
        ridge = _RIDGE * np.eye(WIDTH)
        self._W = {name: np.linalg.solve(XX + ridge, self._XB[name]) for name, XX in self._XX.items()}

    def encode(self, X, name):
        return np.packbits(X @ self._W[name].astype(np.float32) > 0, axis=1, bitorder="little")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("by", choices=("pyhash", "numpy"))
    parser.add_argument("n", type=int, help=f"rows, a multiple of {CHUNK:,}")
    given = parser.parse_args()
    run = with_pyhash if given.by == "pyhash" else with_numpy
    run(Rows(), given.n // CHUNK, Stages())


if __name__ == "__main__":
    main()

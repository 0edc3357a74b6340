"""Write the speeds in README.md from the results: python -m benchmarks.readme RESULTS.json README.md.

Each row is a range over the records that it fits; only the text between the two markers is replaced.
"""

import json
import sys
from pathlib import Path

from benchmarks import targets

_BEGIN, _END = "<!-- speeds: begin -->", "<!-- speeds: end -->"
_FLAT = "FAISS's flat index (the best of three settings)"
_TEN_MILLION = {"codes": 10_000_000, "bits": 64, "k": 10}

# (task, table, case, peers as they are named in records and here)
_ROWS = [
    (
        "exact 10 nearest by a scan, codes of 64 bits, 180,000 × 500 queries",
        "top_k",
        {"codes": 180_000, "bits": 64, "k": 10},
        {"FAISS": _FLAT},
    ),
    ("the same, 10,000,000 × 32", "top_k", {**_TEN_MILLION, "queries": 32}, {"FAISS": _FLAT}),
    *(
        (
            f"the same by multi-index hashing, 10,000,000 × {n}, {name}",
            "multi_index",
            {**_TEN_MILLION, "queries": n, "data": data},
            {"scan": "our own scan"},
        )
        for data, name in (("mixture", "2,000 Gaussians"), ("itq", "learned by ITQ"), ("uniform", "uniform"))
        for n in (1, 32)
    ),
    (
        "learned codes, 1,000,000 × 200: equal codes are scanned once",
        "learned",
        {"codes": 1_000_000},
        {"FAISS": _FLAT},
    ),
    (
        "exact 10 nearest by weighted distance, 64 bits, 1,000,000 × 32",
        "weighted",
        {"codes": 1_000_000, "queries": 32, "bits": 64},
        {"numpy": "numpy", "FAISS": "FAISS's approximate IndexPQFastScan"},
    ),
    (
        "discrete cyclic descent, n = 200,000, 64 bits, 7 sweeps, float32, 2 threads",
        "descent",
        {"codes": 200_000, "bits": 64},
        {"numpy float32": "numpy float32", "numpy float64": "numpy float64"},
    ),
    (
        "mAP, 2000 queries, 18,015 codes of 32 bits, 24 labels, 2 threads",
        "map",
        {"codes": 18_015, "threads": "all"},
        {"numpy argsort": "numpy argsort"},
    ),
]


def main(results_file, page):
    records = json.loads(Path(results_file).read_text())["records"]
    page = Path(page)
    before, rest = page.read_text().split(_BEGIN)
    _, after = rest.split(_END)
    rows = [f"| {task} | {speeds} |" for task, *row in _ROWS if (speeds := _speeds(records, *row))]
    table = "\n".join(["| task | times as fast as |", "| -- | -- |", *rows])
    page.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}")


def _speeds(records, table, case, peers):
    """Return the ranges of ratios to each peer, or nothing if there are no records."""
    fitting = [r for r in records if r["table"] == table and case.items() <= r["case"].items()]
    return ", ".join(f"{_range(fitting, peer)} {name}" for peer, name in peers.items()) if fitting else ""


def _range(records, peer):
    ratios = [targets.ratio(r, targets.fastest(r, peer)) for r in records]
    ends = list(dict.fromkeys(_rounded(ratio) for ratio in (min(ratios), max(ratios))))
    return " to ".join(ends)


def _rounded(ratio):
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


if __name__ == "__main__":
    main(*sys.argv[1:])

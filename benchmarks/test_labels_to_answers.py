"""From ten million labeled rows to the answers of 1,000 queries, by stage; each library in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.labels_to_answers import CHUNK, N_BITS

_STAGES = {"ours": ("learn", "encode", "index", "ask")}
for _kind in ("flat", "IVF"):
    _STAGES[f"numpy + FAISS {_kind}"] = ("learn", "encode", f"index, {_kind}", f"ask, {_kind}")


def stages_of(by, n):
    """Return what each stage took: {stage: its line}."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    call = [sys.executable, "-m", "benchmarks.labels_to_answers", by, str(n)]
    done = subprocess.run(
        call, env=os.environ | one_thread, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True
    )
    return {line["stage"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.large
def test_labels_to_answers(run):
    n = 2 * CHUNK if run.quick else 10_000_000
    lines = {"ours": stages_of("pyhash", n), **dict.fromkeys(list(_STAGES)[1:], stages_of("numpy", n))}
    for number, stage in enumerate(_STAGES["ours"]):
        of_stage = {name: lines[name][stages[number]] for name, stages in _STAGES.items()}
        run.add(
            table="answers",
            case={"codes": n, "bits": N_BITS, "stage": stage},
            times={name: once(line["seconds"]) for name, line in of_stage.items()},
            notes={
                "bytes": {name: line["bytes"] for name, line in of_stage.items()},
                "precision": {name: line["precision"] for name, line in of_stage.items() if "precision" in line},
            },
        )
    precision = run.records[-1]["notes"]["precision"]
    assert precision["ours"] >= 0.95 * precision["numpy + FAISS flat"]  # they do the same task


def once(seconds):
    return {"cpu": seconds, "wall": seconds, "spread": 0.0, "rounds": 1, "share": 1.0}

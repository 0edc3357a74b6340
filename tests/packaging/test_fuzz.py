"""The fuzzers run, and find faults that are planted."""

import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pyhash.distributed

ROOT = Path(__file__).parents[2]

if not (ROOT / "tools" / "fuzz").exists():
    pytest.skip("needs a checkout, not only its tests", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from tools.fuzz import calls, files, interface, requests  # noqa: E402
from tools.fuzz.child import Case, run_cases  # noqa: E402
from tools.fuzz.command import fuzz  # noqa: E402


@pytest.mark.parametrize("fuzzer", [files, calls, requests])
def test_nothing_is_found_in_a_short_run(fuzzer, capfd):
    assert fuzz("short run", fuzzer.make_batch, seconds=1, seed=1) == []
    assert "short run: seed 1, 1 s" in capfd.readouterr().out


def test_the_same_seed_makes_the_same_cases():
    names = [
        [case.name for case in fuzzer.make_batch(np.random.default_rng(5))] for fuzzer in (files, calls, requests) * 2
    ]
    assert names[:3] == names[3:]


def test_every_public_name_is_called_or_listed():
    called = {target.name for target in interface.targets()}
    for module in interface.MODULES:
        assert set(module.__all__) <= called | interface.NOT_CALLED
    of_clusters = {f"distributed.{name}" for name in pyhash.distributed.__all__}
    assert of_clusters <= called | interface.NOT_CALLED


def send_malformed(n, seed):
    """Send requests to a server; the last of them must still be answered well."""
    port, rng = requests.serve_small_folder(), np.random.default_rng(seed)
    faults = [requests.fault_of(requests.request_bytes(rng, port), port) for _ in range(n)]
    assert [fault for fault in faults if fault] == []


@pytest.mark.slow("sends 10,000 requests, and a whole one after each")
def test_ten_thousand_malformed_requests_do_no_harm(capfd):
    send_malformed(10_000, seed=3)
    assert "Traceback" not in capfd.readouterr().err


def test_a_server_that_fails_is_found(monkeypatch, capfd):
    from pyhash.explore.collection import Collection

    monkeypatch.setattr(Collection, "search", lambda *_: 1 / 0)
    port = requests.serve_small_folder()
    request = requests.whole("POST", "/api/search", port, b"{}")
    assert "answers b'HTTP/1.0 500" in requests.fault_of(request, port)
    assert "ZeroDivisionError" in capfd.readouterr().err


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_crash_a_hang_and_too_much_memory_are_findings_and_the_rest_runs():
    faults = {
        "crash": kill,
        "exit": lambda: os._exit(3),
        "fine": lambda: None,
        "hang": lambda: time.sleep(60),
        "memory": lambda: np.ones(80 << 20, np.uint8).sum() and None,
        "fault": lambda: "says so",
    }
    found = run_cases([Case(name, run) for name, run in faults.items()], seconds=4, memory=40 << 20)
    assert [(each.case, re.sub("[0-9]+ MiB", "MiB", each.fault)) for each in found] == [
        ("crash", "crashes with SIGKILL"),
        ("exit", "ends the process with exit code 3"),
        ("hang", "hangs: not done after 4 s"),
        ("memory", "takes MiB; no other fault"),
        ("fault", "says so"),
    ]
    (mebibytes,) = re.findall("[0-9]+", found[3].fault)
    assert 70 <= int(mebibytes) <= 100


def test_a_reader_that_raises_what_is_not_documented_is_found():
    (whole,) = [kind for kind in files.kinds() if kind.name == "index.npz"]

    def careless(path):
        raise IndexError(f"row {path.stat().st_size} is missing")

    assert files.read_damaged(whole, [1]) is None
    damaged = files.Kind("careless", whole.source, careless, (ValueError, OSError))
    assert re.fullmatch("raises IndexError: row [0-9]+ is missing", files.read_damaged(damaged, [1]))
    assert files.read_damaged(replace(damaged, allowed=(IndexError,)), [1]) is None


def careless(rows, k):
    """Fail in the ways that a careless function does."""
    if k is None:
        raise AssertionError
    if k == 1:
        raise ValueError("the truth value is ambiguous")
    if k == 2:
        rows.append(1)
    raise ValueError(f"k must be 0, got {k}")


@pytest.mark.parametrize(
    ("k", "fault"),
    [
        (None, "raises AssertionError"),
        (1, "names none of its arguments"),
        (2, "raises ValueError, but has changed the object"),
        (3, None),
    ],
)
def test_a_call_that_fails_badly_is_found(k, fault, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # and back at the end
    rows = []
    target = interface.Target("careless", ("rows", "k"), {"rows": rows}, lambda: (careless, lambda: list(rows)))
    found = calls.call_wrongly(target, {"k": k})
    assert found is None if fault is None else found.startswith(fault)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("make_multilabel", {"n_features": [3]}),
        ("make_hierarchical", {"n_classes": np.array(3)}),
        ("Dataset", {"items": 3}),
        ("Dataset", {"items": {"a": 1}}),
        ("Dataset", {"layers": 3}),
        ("Dataset", {"hierarchy": np.zeros((3, 3))}),
        ("mean_average_precision", {"metric": np.zeros((3, 3))}),
        ("precision_at", {"top_n": [[1, 2], [3]]}),
        ("class_distances", {"n_classes": 2**62}),
        ("BATCH", {"n_classes": 2**62}),
        ("from_bit_strings", {"strings": np.array(3)}),
        ("from_pgvector_bytes", {"values": np.array(3)}),
        ("make_method", {"name": "bits"}),
        ("DHSL", {"feature_maps": np.zeros((3, 3))}),
        ("merge_hits", {"hits": np.array(3)}),
        ("distributed.fit", {"views": iter([1, 2])}),
        ("distributed.encode", {"model": len}),
        ("compare", {"progress": np.zeros(3)}),
        ("compare", {"labels": np.arange(24)}),
        ("compare", {"split": np.arange(24)}),
        ("compare", {"methods": [[1, 2], [3]]}),
    ],
)
def test_calls_that_once_failed_badly(name, wrong, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (target,) = [target for target in interface.targets() if target.name == name]
    assert calls.call_wrongly(target, wrong) is None
    with pytest.raises((TypeError, ValueError)):
        target.prepare()[0](**{**target.valid, **wrong})

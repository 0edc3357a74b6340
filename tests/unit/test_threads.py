import os
import subprocess
import sys

import numpy as np
import pytest

from pyhash import _core
from pyhash._inputs.threads import resolve_n_threads


def test_argument_then_environment_then_affinity(monkeypatch):
    monkeypatch.setenv("PYHASH_NUM_THREADS", "3")
    assert resolve_n_threads(5) == 5
    assert resolve_n_threads(None) == 3
    monkeypatch.delenv("PYHASH_NUM_THREADS")
    if hasattr(os, "sched_getaffinity"):
        assert resolve_n_threads(None) == len(os.sched_getaffinity(0))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
        assert resolve_n_threads(None) == 3


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_environment_must_be_a_count(monkeypatch, value):
    monkeypatch.setenv("PYHASH_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"PYHASH_NUM_THREADS must be an integer >= 1, got '{value}'"):
        resolve_n_threads(None)


def test_argument_must_be_a_count():
    with pytest.raises(ValueError, match="n_threads must be an integer >= 1, got 0"):
        resolve_n_threads(0)


def test_an_exception_of_a_worker_thread_reaches_python(monkeypatch):
    signs = np.ones((1 << 20, 8), dtype=np.int8)
    signs[-1, -1] = 5  # found by whichever thread takes the last rows
    before = signs.copy()
    with pytest.raises(ValueError, match="signs must hold only -1 and \\+1, row 1048575 holds 5"):
        _core.cyclic_descent(signs, np.zeros((8, 8)), -np.ones((1 << 20, 8)), 1, 4)
    np.testing.assert_array_equal(signs, before)


def test_the_lock_is_released(rng):
    """Other Python threads run while the core computes."""
    import threading

    codes = rng.integers(0, 256, size=(200_000, 8), dtype=np.uint8)
    done = threading.Event()
    ticks = 0

    def search():
        try:
            _core.hamming_distances(codes[:400], codes, 1)
        finally:
            done.set()

    worker = threading.Thread(target=search)
    worker.start()
    while not done.wait(0.001):
        ticks += 1
    worker.join()
    assert ticks >= 3


@pytest.mark.parametrize("level", _core.available_cpu_levels())
def test_environment_chooses_the_cpu_level(level):
    code = "from pyhash import _core; print(_core.cpu_level())"
    env = {**os.environ, "PYHASH_CPU_LEVEL": level}
    assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip() == level


def test_an_unknown_cpu_level_fails_at_import():
    env = {**os.environ, "PYHASH_CPU_LEVEL": "vax"}
    result = subprocess.run([sys.executable, "-c", "from pyhash import _core"], env=env, capture_output=True, text=True)
    assert result.returncode != 0
    assert "PYHASH_CPU_LEVEL must be one of 'scalar', 'portable'" in result.stderr
    for level in _core.unavailable_cpu_levels():
        assert f"'{level}'" in result.stderr
    assert "got 'vax'" in result.stderr


@pytest.mark.skipif(not _core.unavailable_cpu_levels(), reason="this machine runs every CPU level of this build")
def test_a_level_of_another_machine_is_refused():
    level = _core.unavailable_cpu_levels()[0]
    with pytest.raises(ValueError, match=rf"this machine \(which cannot run .*'{level}'.*\), got '{level}'"):
        _core.set_cpu_level(level)


def test_works_after_a_fork(rng):
    """Threads live for one call: a child can search like its parent."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    codes = rng.integers(0, 256, size=(50_000, 8), dtype=np.uint8)
    expected = _core.hamming_distances(codes[:50], codes, 2)
    child = os.fork()
    if child == 0:
        same = np.array_equal(_core.hamming_distances(codes[:50], codes, 2), expected)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

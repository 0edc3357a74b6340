import gc
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from pyhash import _core
from pyhash.datasets import load_emoji

# Deadlines depend on the machine's load; the cpu_level fixture is set once for all examples, which is what is meant.
settings.register_profile(
    "pyhash", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("pyhash")


def pytest_collection_modifyitems(items):
    """A slow test says why it is slow."""
    for item in items:
        for mark in item.iter_markers("slow"):
            if mark.kwargs or [type(each) for each in mark.args] != [str] or not mark.args[0].strip():
                raise pytest.UsageError(f'{item.nodeid}: write @pytest.mark.slow("why it takes long")')


def pytest_collection_finish():
    """Leave what is loaded by now out of garbage collections: a full one took 0.3 s, and every comparison makes one."""
    gc.freeze()


def _skipped(level):
    return pytest.param(level, marks=pytest.mark.skip(reason=f"this machine cannot run the CPU level {level!r}"))


def pytest_terminal_summary(terminalreporter):
    """Tell at which CPU levels of the build kernels were not tested."""
    for level in _core.unavailable_cpu_levels():
        terminalreporter.write_line(f"CPU level {level!r} was not tested: this machine cannot run it")


@pytest.fixture(params=_core.available_cpu_levels() + [_skipped(level) for level in _core.unavailable_cpu_levels()])
def cpu_level(request):
    """Runs a test once at every CPU level of this build."""
    before = _core.cpu_level()
    _core.set_cpu_level(request.param)
    yield request.param
    _core.set_cpu_level(before)


@pytest.fixture(scope="module")
def one_blas_thread():
    """For many small problems: threads of BLAS wait for each other far longer than they work."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def emoji():
    return load_emoji()


@pytest.fixture(scope="session")
def postgres():
    """What ``psycopg.connect`` takes for a PostgreSQL with pgvector that tests may use."""
    pytest.importorskip("psycopg")
    from postgres_server import UnavailableError, postgres_server

    with ExitStack() as stack:
        try:
            where = stack.enter_context(postgres_server())
        except UnavailableError as error:
            pytest.skip(f"no PostgreSQL: {error}")
        yield where

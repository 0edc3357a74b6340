"""Clusters of Dask: the number of workers changes nothing, nor do workers that die; a lost scheduler is an error."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

import pyhash
from pyhash import distributed, evaluation

N, CHUNK = 6000, 500
LABELS = np.random.default_rng(0).integers(0, 8, N)
# Made by the workers, chunk after chunk, so that a kill finds them at work.
CENTERS = np.random.default_rng(1).normal(size=(8, 40))


def rows_of(block_info=None, seconds=0.0):
    start, stop = block_info[None]["array-location"][0]
    time.sleep(seconds)
    rng = np.random.default_rng([2, start])
    return CENTERS[LABELS[start:stop]] + rng.normal(size=(stop - start, 40))


def views(seconds=0.0):
    x = da.map_blocks(rows_of, chunks=((750,) * 8, (40,)), dtype=np.float64, seconds=seconds)
    return {"image": x, "other": x[:, ::-1] ** 2}


def model():
    return pyhash.BOCH(16, feature_maps=dict.fromkeys(("image", "other"), pyhash.RBFAnchors(60, grow=20)), xi=1.0)


@pytest.fixture(scope="module")
def expected():
    with dask.config.set(scheduler="sync"):
        return distributed.fit(model(), views(), LABELS, chunk_size=CHUNK)


def assert_same(found, expected):
    np.testing.assert_array_equal(found.codes_, expected.codes_)
    for name in expected.modalities_:
        W = expected._weights(expected._state, name)
        assert np.abs(found._weights(found._state, name) - W).max() <= 1e-10 * np.abs(W).max()
        assert found.calibration_[name] == pytest.approx(expected.calibration_[name], rel=1e-9)


@contextlib.contextmanager
def cluster(n_workers, *, processes=True):
    config = {
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": "10s",
        "distributed.logging.distributed": "error",
    }
    with (
        dask.config.set(config),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=processes,
            host="127.0.0.1" if processes else None,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as local,
        Client(local) as client,
    ):
        yield client


def test_a_small_cluster_learns_encodes_and_scores(expected):
    with cluster(2, processes=False) as client:
        found = distributed.fit(model(), views(), LABELS, client, chunk_size=CHUNK)
        assert_same(found, expected)
        x = views()["image"]
        codes = distributed.encode(found, x, modality="image")
        np.testing.assert_array_equal(codes.compute(), found.encode(x.compute(), modality="image"))
        score = distributed.mean_average_precision(codes[:300], found.codes_, LABELS[:300], LABELS, client=client)
    local = evaluation.mean_average_precision(codes[:300].compute(scheduler="sync"), found.codes_, LABELS[:300], LABELS)
    assert score.value == local.value


@pytest.mark.slow("starts clusters of processes")
@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_the_number_of_workers_changes_nothing(expected, n_workers):
    with cluster(n_workers):
        found = distributed.fit(model(), views(), LABELS, chunk_size=CHUNK)  # the current client
        codes = distributed.encode(found, views()["image"], modality="image")
        score = distributed.mean_average_precision(codes, found.codes_[:500], LABELS, LABELS[:500])
        codes = codes.compute()
    assert_same(found, expected)
    np.testing.assert_array_equal(codes, expected.encode(views()["image"].compute(scheduler="sync"), modality="image"))
    assert score.value == evaluation.mean_average_precision(codes, found.codes_[:500], LABELS, LABELS[:500]).value


def die_once(flag):
    """Kill this process unless one was killed here before; a worker's nanny then starts another."""
    with contextlib.suppress(FileExistsError):
        flag.touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


class DeadlyMap:
    """Leaves out the first column, the number of the row, and kills its process once: in ``fit``, or at a row."""

    def __init__(self, moment, flag):
        self.moment = moment
        self.flag = flag

    def fit(self, X):
        if self.moment == "fit":
            die_once(self.flag)
        return self

    def transform(self, X):
        if len(X) > 1 and self.moment in X[:, 0]:
            die_once(self.flag)
        return X[:, 1:]


def numbered_rows(block_info=None, moment=None, flag=None):
    start, stop = block_info[None]["array-location"][0]
    if moment == "load" and start > 0:
        die_once(flag)
    return np.hstack([np.arange(start, stop)[:, None], rows_of(block_info)])


def learn_with_a_death(moment, flag):
    x = da.map_blocks(numbered_rows, chunks=((750,) * 8, (41,)), dtype=np.float64, moment=moment, flag=flag)
    maps = {"image": DeadlyMap(moment, flag), "other": pyhash.RBFAnchors(60, grow=20)}
    return distributed.fit(
        pyhash.BOCH(16, feature_maps=maps), {"image": x, "other": x[:, 1:]}, LABELS, chunk_size=CHUNK
    )


@pytest.mark.slow("kills workers of a cluster of processes")
def test_a_worker_that_dies_changes_nothing(tmp_path):
    """As it loads rows, fits a map, or sums up the first rows, some or the last: then it holds sums of others."""
    with dask.config.set(scheduler="sync"):
        expected = learn_with_a_death(None, None)
    with cluster(2):
        for moment in ("load", "fit", 0, N // 2, N - 1):
            flag = tmp_path / str(moment)
            found = learn_with_a_death(moment, flag)
            assert flag.exists()
            assert_same(found, expected)


@contextlib.contextmanager
def scheduler_and_worker(folder):
    """A scheduler and a worker in processes of their own, as on a cluster."""
    address_file = folder / "scheduler.json"
    common = ["--scheduler-file", str(address_file), "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", "0", *common],
        ["worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", *common],
    ]
    processes = []
    with contextlib.ExitStack() as stack:
        for kind, *options in commands:
            command = [sys.executable, "-m", "dask", kind, *options, "--local-directory", str(folder)]
            if kind == "scheduler":
                command = command[:-2]
            process = stack.enter_context(
                subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            )
            stack.callback(process.kill)
            processes.append(process)
            while not address_file.exists():
                assert process.poll() is None
                time.sleep(0.05)
        yield address_file, *processes


@pytest.mark.slow("starts a scheduler and a worker, and kills the scheduler")
def test_a_scheduler_that_goes_away_is_an_error_and_the_model_as_it_was(tmp_path):
    learned = model().fit({name: x[:1000].compute(scheduler="sync") for name, x in views().items()}, LABELS[:1000])
    before = dict(learned.__dict__)
    with (
        scheduler_and_worker(tmp_path) as (address_file, scheduler, _),
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
    ):
        client = Client(scheduler_file=str(address_file))
        try:
            client.wait_for_workers(1)
            threading.Timer(1.0, scheduler.kill).start()
            start = time.monotonic()
            with pytest.raises(pyhash.ClusterError, match="the scheduler of the cluster went away before the call was"):
                distributed.fit(learned, views(seconds=0.3), LABELS, client, chunk_size=CHUNK)
            assert time.monotonic() - start < 30
            assert learned.__dict__ == before
            with pytest.raises(pyhash.ClusterError):  # from now on
                distributed.fit(learned, views(), LABELS, client, chunk_size=CHUNK)
        finally:
            client.close(timeout=1)


def killed_by_its_own_work(block):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow("kills workers of a cluster of processes")
def test_a_task_that_kills_its_workers_is_an_error():
    with cluster(2), dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        # With `meta`, since Dask would call the function here to learn what it gives.
        x = da.zeros((100, 4), chunks=(50, 4)).map_blocks(killed_by_its_own_work, meta=np.empty((0, 0)))
        with pytest.raises(pyhash.ClusterError, match="workers of the cluster died again and again"):
            distributed.fit(pyhash.LEMON(8), {"image": x}, np.arange(100) % 2)

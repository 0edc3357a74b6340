"""A stream from Kafka: the real protocol, spoken by the mock cluster of librdkafka at 127.0.0.1."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pyhash import LEMON, CodeIndex, StreamFolder
from pyhash.datasets import make_hierarchical

kafka = pytest.importorskip("confluent_kafka")

pytestmark = pytest.mark.usefixtures("one_blas_thread")

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "howto" / "stream-folder.md"
if not GUIDE.exists():
    pytest.skip("needs a checkout, not only its tests", allow_module_level=True)
TOPIC, SIZE = "items", 20
DATA = make_hierarchical(120, n_classes=(3, 6), n_features={"image": 10, "text": 8}, seed=4)


# Partitions in turn, a chunk of each.
CHUNKS = [np.arange(start + partition, start + 2 * SIZE, 2) for start in (0, 40, 80) for partition in (0, 1)]
(CODE,) = re.findall(r"```python\n(import json\n.*?)```", GUIDE.read_text("utf-8"), re.S)


def message(row):
    views = {name: x[row].tolist() for name, x in DATA.views.items()}
    return json.dumps({"id": row, "label": int(DATA.labels["level2"][row]), **views}).encode()


@pytest.fixture
def brokers():
    """The address of a cluster that has all rows but the last forty, and what sends rows to it."""
    cluster = kafka.Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    address = ",".join(f"{each.host}:{each.port}" for each in cluster.list_topics(timeout=30).brokers.values())
    assert address.startswith("127.0.0.1:")
    producer = kafka.Producer({"bootstrap.servers": address, "log_level": 0})

    def send(rows):
        for row in rows:
            producer.produce(TOPIC, message(row), partition=row % 2)
        assert producer.flush(30) == 0

    send(range(80))
    yield address, send
    assert len(cluster) == 0  # it lives as long as this client


def kafka_source(address):
    """The function of the guide."""
    names = {}
    exec(CODE, names)
    return names["kafka_source"](address, TOPIC, n_partitions=2, size=SIZE, patience=0.5)


def assert_learned(path, n_chunks):
    """The folder holds what the rows of the topic teach, chunk by chunk."""
    model, index = LEMON(16), CodeIndex(16)
    for rows in CHUNKS[:n_chunks]:
        model.partial_fit({name: x[rows] for name, x in DATA.views.items()}, DATA.labels["level2"][rows])
        index.add(model.codes_, rows, model=model)
    reader = StreamFolder(path, read_only=True)
    per_partition = [SIZE * ((n_chunks + 1 - partition) // 2) for partition in (0, 1)]
    assert reader.offset == {"0": per_partition[0], "1": per_partition[1]}
    assert np.array_equal(reader.index.ids, index.ids)
    assert np.array_equal(reader.index.codes, index.codes)
    for name, x in DATA.views.items():
        assert np.array_equal(reader.model.project(x, modality=name), model.project(x, modality=name))


def test_the_source_of_the_guide(brokers, tmp_path):
    address, send = brokers
    with StreamFolder(tmp_path / "stream", LEMON(16)) as stream:
        chunks = kafka_source(address)(None)
        first = next(chunks)
        chunks.close()
        stream.learn(first.views, first.labels, offset=first.offset, ids=first.ids)
        assert_learned(tmp_path / "stream", 1)
        assert stream.run(kafka_source(address)) == 3
        assert_learned(tmp_path / "stream", 4)
        send(range(80, 110))  # 15 rows a partition: no whole chunk
        assert stream.run(kafka_source(address)) == 0
    send(range(110, 120))
    with StreamFolder(tmp_path / "stream", LEMON(16)) as stream:
        assert stream.run(kafka_source(address)) == 2
    assert_learned(tmp_path / "stream", 6)


@pytest.mark.slow("starts and kills processes")
def test_processes_that_are_killed(brokers, tmp_path):
    address, send = brokers
    send(range(80, 120))
    path, script = tmp_path / "stream", tmp_path / "learn.py"
    script.write_text(
        CODE
        + "\nimport sys\nfrom threadpoolctl import threadpool_limits\nfrom pyhash import LEMON, StreamFolder\n"
        + "threadpool_limits(1, user_api='blas')\n"
        + f"with StreamFolder({str(path)!r}, LEMON(16)) as stream:\n"
        + f"    stream.run(kafka_source({address!r}, {TOPIC!r}, n_partitions=2, size={SIZE}, patience=0.5))\n"
    )
    for n_chunks in (1, 2, 3):
        with subprocess.Popen([sys.executable, script]) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if (path / "stream.json").exists() and StreamFolder(path, read_only=True).n_chunks >= n_chunks:
                    break
                time.sleep(0.001)
            os.kill(process.pid, signal.SIGKILL)
        assert_learned(path, StreamFolder(path, read_only=True).n_chunks)
    subprocess.check_call([sys.executable, script])
    assert_learned(path, 6)

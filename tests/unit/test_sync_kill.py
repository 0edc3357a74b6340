"""A sync that is killed leaves the table as it was, or as it should be; the next sync makes it right."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import databases
import numpy as np
import pytest

from pyhash import CodeIndex, interop

N_KILLS = 4

# Generation g of the index has the ids from g % 50 on, all with code g: whatever is mixed in a table shows.
_CHILD = """
import json, sys
from itertools import count
import numpy as np
sys.path.insert(0, sys.argv[1])
import databases
from pyhash import CodeIndex, interop
where = json.loads(sys.argv[3])
database = databases.KINDS[sys.argv[2]](where)
index = CodeIndex.open(sys.argv[4])
for g in count(1 + int(index.codes[0].view("<u8")[0])):
    ids = np.arange(g % 50, 400 + g % 50)
    index.remove(np.setdiff1d(index.ids, ids))
    index.upsert(np.full((400, 1), g, "<u8").view(np.uint8), ids)
    index.commit()
    interop.sync(index, database.table())
    print(g, flush=True)
"""


@pytest.mark.slow("starts processes that import a database each, and kills them")
@pytest.mark.parametrize("name", databases.KINDS)
def test_a_killed_sync(name, request, tmp_path):
    pytest.importorskip(name if name != "postgres" else "psycopg")
    where = request.getfixturevalue("postgres") if name == "postgres" else str(tmp_path / "database")
    with CodeIndex(64) as index:
        index.add(np.zeros((400, 8), np.uint8), np.arange(400))
        index.save(tmp_path / "index")
    rng = random.Random(5)
    command = [sys.executable, "-c", _CHILD, str(Path(databases.__file__).parent), name, json.dumps(where)]
    for _ in range(N_KILLS):
        with subprocess.Popen([*command, str(tmp_path / "index")], stdout=subprocess.PIPE, text=True) as child:
            first = int(child.stdout.readline())
            time.sleep(rng.uniform(0, 0.3))
            child.send_signal(signal.SIGKILL)
            finished = [first, *map(int, child.stdout.read().split())]
        database = databases.KINDS[name](where)
        with CodeIndex.open(tmp_path / "index") as index:
            generation = int(index.codes[0].view("<u8")[0])
            assert generation in (finished[-1], finished[-1] + 1)
            if name != "lancedb":
                ids, codes = database.content(64)
                (found,) = set(codes.view("<u8")[:, 0].tolist())
                assert finished[-1] <= found <= generation
                np.testing.assert_array_equal(np.sort(ids), np.arange(found % 50, 400 + found % 50))
            interop.sync(index, database.table())
            ids, codes = database.content(64)
            order = np.argsort(ids)
            np.testing.assert_array_equal(ids[order], index.ids)
            np.testing.assert_array_equal(codes[order], index.codes)
            assert interop.sync(index, database.table(), full=True) == (0, 0, 0, 400)
        if name == "postgres":
            database.connection.close()
        elif name == "duckdb":
            database.close()
    if name == "postgres":
        databases.Postgres(where).close()

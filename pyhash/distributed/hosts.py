"""The processes that hold shards: the workers of a cluster, or this process alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pyhash._inputs.threads import resolve_n_threads
from pyhash.distributed.cluster import cluster_errors
from pyhash.distributed.shard_host import ShardHost, threads_of_worker
from pyhash.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

_PATIENCE = 10.0  # seconds for a lock whose holder is about to end
_TIMEOUT = 60.0  # seconds to wait for a worker
_LARGE = 1 << 20  # bytes of a message that Dask sends in frames of its own
_PAUSE = 0.02  # seconds between two looks at them
_GOOD = ("pending", "finished")  # of the states of actors


class Call(NamedTuple):
    """A method of ``ShardHost`` to call at a host."""

    host: str
    method: str
    arguments: tuple[Any, ...]


class HostLost(Exception):  # noqa: N818 - not an error of the caller's: the call is made at another host
    """A host does not answer, and with it what was open there is lost."""


class Hosts(Protocol):
    """Processes that hold shards, by name."""

    def alive(self) -> list[str]:
        """Return those that can take shards, at least one.

        Raises
        ------
        ClusterError
            If there is none.
        """

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Return what each call returned or raised; HostLost where the host does not answer."""

    def close(self) -> None:
        """Let go of all hosts, and of what is open there."""


class ThisProcess:
    """The host that this process is, alone."""

    def __init__(self) -> None:
        self._host = ShardHost(resolve_n_threads(None))

    def alive(self) -> list[str]:
        """Return the one host there is."""
        return ["this process"]

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Return what each call returned or raised."""
        return [self._host.answer(call.method, call.arguments) for call in calls]

    def close(self) -> None:
        """Close all shards."""
        self._host.close_all()


class ShardActor:
    """A ``ShardHost`` in a worker, for one client, with a thread of its own: others there do not wait for it."""

    def __init__(self) -> None:
        from distributed import get_worker

        self._host = ShardHost(threads_of_worker(get_worker().state.nthreads), _PATIENCE)
        self._thread = ThreadPoolExecutor(1, "pyhash-shards")

    async def answer(self, message: bytes) -> bytes:
        """Return what a method returned or raised."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, message)

    def _answer(self, message: bytes) -> bytes:
        from distributed.protocol.pickle import dumps, loads

        reply: bytes = dumps(self._host.answer(*loads(message)))
        return reply


class Workers:
    """The workers of a cluster, each with an actor of this client; by address.

    The client asks them directly: a call takes about 1 ms, where a task that the scheduler places takes about 10.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._actors: dict[str, Future[Any]] = {}

    def alive(self) -> list[str]:
        """Return the workers whose actors have started; waits for the first one."""
        deadline = time.monotonic() + _TIMEOUT
        while True:
            addresses = self._addresses()
            for address in self._actors.keys() - addresses:
                self._drop(address)
            for address in addresses - self._actors.keys():
                self._actors[address] = self._client.submit(
                    ShardActor, workers=[address], allow_other_workers=False, actor=True, pure=False
                )
            started = sorted(address for address, actor in self._actors.items() if actor.status == "finished")
            waiting = [actor for actor in self._actors.values() if actor.status == "pending"]
            for address in [address for address, actor in self._actors.items() if actor.status not in _GOOD]:
                self._drop(address)
            late = time.monotonic() > deadline
            if started and (late or not waiting):
                return started
            if late:
                raise ClusterError(f"the cluster must have a worker to open shards, none answered in {_TIMEOUT:g} s")
            time.sleep(_PAUSE)

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Return what each call returned or raised; all workers work at the same time."""
        self._check_client()
        from distributed.protocol.pickle import dumps, loads

        # Messages are bytes: Dask would look at each object in them to choose a form, which takes 2 ms.
        messages = [dumps((call.method, call.arguments)) for call in calls]
        replies = self._client.sync(self._ask_all, [call.host for call in calls], messages)
        answers = [reply if isinstance(reply, Exception) else loads(reply) for reply in replies]
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, HostLost):
                self._drop(call.host)
        return answers

    async def _ask_all(self, hosts: Sequence[str], messages: Sequence[bytes]) -> list[Any]:
        return await asyncio.gather(*map(self._ask, hosts, messages))

    async def _ask(self, host: str, message: bytes) -> Any:
        from distributed.protocol import to_serialize

        actor = self._actors.get(host)
        if actor is None:
            return HostLost(host)
        try:
            reply = await self._client.rpc(host).actor_execute(
                actor=actor.key,
                function="answer",
                args=[message if len(message) < _LARGE else to_serialize(message)],
                kwargs={},
            )
        # No answer, or, from a process that has just started at the same address, that it has no such actor.
        except (OSError, KeyError, RuntimeError, asyncio.TimeoutError) as error:
            return HostLost(f"{host}: {error}")
        return reply["result"] if reply["status"] == "OK" else reply["exception"]

    def close(self) -> None:
        """Let the workers forget the actors, which close their shards."""
        for address in list(self._actors):
            self._drop(address)

    def _addresses(self) -> set[str]:
        self._check_client()
        try:
            with cluster_errors():
                return set(self._client.nthreads())
        except OSError as error:
            raise ClusterError(f"the scheduler of the cluster does not answer: {error}") from error

    def _check_client(self) -> None:
        if self._client.status in ("closing", "closed") or self._client.scheduler is None:
            raise ClusterError(
                "the client of the index is closed, or its scheduler has gone: open the index with another"
            )

    def _drop(self, address: str) -> None:
        actor = self._actors.pop(address, None)
        if actor is not None:
            actor.release()

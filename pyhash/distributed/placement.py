"""Where the shards of an index are open, and the calls that reach them whatever happens to the hosts."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyhash.distributed.hosts import Call, HostLost, Hosts
from pyhash.distributed.shard_host import Change, Opening, ShardSize
from pyhash.errors import ClusterError, IndexChangedError

_MAX_LOSSES = 5  # hosts that a shard may lose in one call: it may be what ends them
_MAX_HOSTS = 2  # hosts that are tried where a shard cannot be opened: one may lack the storage or the memory

_tickets = itertools.count(1)


@dataclass
class Shard:
    """A shard as the client knows it.

    Attributes
    ----------
    number : int
    path : str
    generation : int
    size : ShardSize
        With the changes.
    changes : list of Change
        Since the generation.
    host : str or None
        Where it is open, under `ticket`; None where it is not.
    """

    number: int
    path: str
    generation: int
    size: ShardSize
    changes: list[Change] = field(default_factory=list)
    host: str | None = None
    ticket: int = 0


class Answer:
    """What one host returned for some shards; a method's list has one result for each."""

    __slots__ = ("shards", "value")

    def __init__(self, shards: list[int], value: Any) -> None:
        self.shards, self.value = shards, value


class Placement:
    """Shards at hosts. Where a host is lost, its shards are opened at others, with the changes since their generation.

    Several threads may ask at a time, but only one may change shards, while no other asks.

    Parameters
    ----------
    hosts : Hosts
    shards : sequence of Shard
    mmap : bool
        Whether hosts map the files of shards.
    """

    def __init__(self, hosts: Hosts, shards: Sequence[Shard], *, mmap: bool) -> None:
        self._hosts, self.shards, self._mmap = hosts, list(shards), mmap
        self._mutex = threading.RLock()  # of the places of shards
        self._unwanted: list[tuple[str, int]] = []  # hosts and tickets of shards to close there

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(
        self, method: str, arguments: Mapping[int, Any], *common: Any, missing: dict[int, Exception] | None = None
    ) -> list[Answer]:
        """Call a method of ``ShardHost`` for some shards, once at each host.

        Parameters
        ----------
        method : str
        arguments : mapping of int to object
            Of each shard.
        *common
            Further arguments of the method.
        missing : dict, optional
            Takes the shards that cannot be opened, and the reasons; without it the first reason is raised.

        Returns
        -------
        list of Answer

        Raises
        ------
        ClusterError
            If there are no workers, or hosts end again and again when they hold a shard.
        Exception
            What opening a shard, or the method, raised.
        """
        left, answers, losses = set(arguments), [], Counter[int]()
        while left:
            failed = self.open(left)
            if missing is None:
                _refuse(failed)
            else:
                missing.update(failed)
            left -= failed.keys()
            groups = self._by_host(left)
            calls = [
                Call(host, method, ([(self.shards[s].ticket, arguments[s]) for s in group], *common))
                for host, group in groups
            ]
            errors = []
            for (host, group), value in zip(groups, self._hosts.ask(calls), strict=True):
                if isinstance(value, HostLost):
                    self._lose(host)
                    losses.update(group)
                elif isinstance(value, Exception):
                    errors.append(value)
                else:
                    answers.append(Answer(group, value))
                    left.difference_update(group)
            for error in errors:
                raise error
            for shard, n in losses.items():
                if n > _MAX_LOSSES and shard in left:
                    lost = ClusterError(f"{n} workers in turn ended while they held {self.shards[shard].path}")
                    if missing is None:
                        raise lost
                    missing[shard] = lost
                    left.discard(shard)
        return answers

    def ask_each(self, method: str, arguments: Mapping[int, Any], *common: Any) -> dict[int, Any]:
        """Call a method that returns a list, and return its results by shard."""
        answers = self.ask(method, arguments, *common)
        return {shard: value for each in answers for shard, value in zip(each.shards, each.value, strict=True)}

    # --- changing -----------------------------------------------------------------------------------------------------

    def change(self, changes: Mapping[int, Change]) -> None:
        """Change shards: all of them, or none where this raises."""
        _refuse(self.open(changes))
        before = {s: self.shards[s].size for s in changes}
        try:
            # From here on, a shard that is opened anew has its change: only those that are open get it by a call.
            for s, change in changes.items():
                self.shards[s].changes.append(change)
            groups = self._by_host(changes)
            calls = [
                Call(host, "change", ([(self.shards[s].ticket, changes[s]) for s in group],)) for host, group in groups
            ]
            for (host, group), value in zip(groups, self._hosts.ask(calls), strict=True):
                if isinstance(value, HostLost):
                    self._lose(host)
                elif isinstance(value, Exception):
                    raise value
                else:
                    for s, size in zip(group, value, strict=True):
                        self.shards[s].size = size
            _refuse(self.open(changes))
        except BaseException:
            # Nobody knows which shards have changed: all are opened anew, without the change.
            for s, change in changes.items():
                shard = self.shards[s]
                shard.size = before[s]
                if shard.changes and shard.changes[-1] is change:
                    shard.changes.pop()
            self.give_up(changes)
            raise

    def committed(self, generations: Mapping[int, int]) -> None:
        """Take the generations of shards that a commit has made; let hosts publish them."""
        for s, generation in generations.items():
            self.shards[s].generation, self.shards[s].changes = generation, []
        groups = self._by_host(generations)
        calls = [Call(host, "publish", ([(self.shards[s].ticket, None) for s in group],)) for host, group in groups]
        for (host, group), value in zip(groups, self._hosts.ask(calls), strict=True):
            # The commit has happened. A shard whose files are still as prepared is published by the next change.
            if isinstance(value, HostLost):
                self._lose(host)
            elif isinstance(value, Exception):
                self.give_up(group)

    def give_up(self, shards: Iterable[int]) -> None:
        """Close shards at their hosts; the next call opens them anew."""
        with self._mutex:
            for s in shards:
                shard = self.shards[s]
                if shard.host is not None:
                    self._unwanted.append((shard.host, shard.ticket))
                    shard.host = None

    def close(self) -> None:
        """Close all shards at their hosts, as far as these answer."""
        self.give_up(range(len(self.shards)))
        with self._mutex:
            self._close_unwanted()

    def frozen(self) -> Placement:
        """Return the shards as they are now, which later changes leave as they are; ``close`` it when done."""
        with self._mutex:
            copies = [Shard(s.number, s.path, s.generation, s.size, list(s.changes)) for s in self.shards]
            frozen = Placement(self._hosts, copies, mmap=self._mmap)
            groups = self._by_host(s.number for s in self.shards if s.host is not None)
            tickets = {s: next(_tickets) for _, group in groups for s in group}
            calls = [
                Call(host, "freeze", ([(self.shards[s].ticket, tickets[s]) for s in group],)) for host, group in groups
            ]
            for (host, group), value in zip(groups, self._hosts.ask(calls), strict=True):
                if not isinstance(value, Exception):  # else it is opened when it is asked for
                    for s in group:
                        copies[s].host, copies[s].ticket = host, tickets[s]
            return frozen

    # --- places -------------------------------------------------------------------------------------------------------

    def open(self, shards: Iterable[int]) -> dict[int, Exception]:
        """Open shards that are not open; return those that cannot be, and why.

        Raises
        ------
        IndexChangedError
            If a writer has gone on from the generation of a shard.
        ClusterError
            If there are no workers, or all that open a shard end.
        """
        with self._mutex:
            self._close_unwanted()
            waiting = sorted(s for s in shards if self.shards[s].host is None)
            failed: dict[int, Exception] = {}
            tried: dict[int, set[str]] = {s: set() for s in waiting}
            losses = Counter[int]()
            while waiting:
                groups = self._assign(waiting, tried)
                openings = [[self._opening(s) for s in group] for _, group in groups]
                calls = [Call(host, "open", (own,)) for (host, _), own in zip(groups, openings, strict=True)]
                waiting = []
                for (host, group), asked, value in zip(groups, openings, self._ask_to_open(calls), strict=True):
                    if isinstance(value, HostLost):
                        self._lose(host)
                        losses.update(group)
                        waiting += group
                        continue
                    if isinstance(value, Exception):
                        raise value
                    for s, opening, size in zip(group, asked, value, strict=True):
                        if isinstance(size, Exception):
                            if isinstance(size, IndexChangedError):
                                raise size
                            failed[s] = size
                            tried[s].add(host)
                            if len(tried[s]) < _MAX_HOSTS:
                                waiting.append(s)
                        else:
                            failed.pop(s, None)
                            shard = self.shards[s]
                            shard.host, shard.ticket, shard.size = host, opening.ticket, size
                for s, n in losses.items():
                    if n > _MAX_LOSSES:
                        raise ClusterError(f"{n} workers in turn ended while they opened {self.shards[s].path}")
            return failed

    def _ask_to_open(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return self._hosts.ask(calls)
        except BaseException:
            self._unwanted += [(call.host, opening.ticket) for call in calls for opening in call.arguments[0]]
            raise

    def _opening(self, s: int) -> Opening:
        shard = self.shards[s]
        return Opening(next(_tickets), shard.path, shard.generation, self._mmap, tuple(shard.changes))

    def _assign(self, shards: Sequence[int], tried: Mapping[int, set[str]]) -> list[tuple[str, list[int]]]:
        """Return a host for each shard, so that all hold about equally many codes; none that was tried and failed."""
        alive = self._hosts.alive()
        loads = dict.fromkeys(alive, 0)
        for shard in self.shards:
            if shard.host in loads:
                loads[shard.host] += shard.size.n + 1
        chosen: dict[str, list[int]] = {}
        for s in sorted(shards, key=lambda s: (-self.shards[s].size.n, s)):
            host = min((h for h in alive if h not in tried[s]), key=lambda h: loads[h], default=None)
            if host is not None:
                loads[host] += self.shards[s].size.n + 1
                chosen.setdefault(host, []).append(s)
        return list(chosen.items())

    def _by_host(self, shards: Iterable[int]) -> list[tuple[str, list[int]]]:
        groups: dict[str, list[int]] = {}
        with self._mutex:
            for s in sorted(shards):
                host = self.shards[s].host
                if host is not None:
                    groups.setdefault(host, []).append(s)
        return list(groups.items())

    def _lose(self, host: str) -> None:
        with self._mutex:
            for shard in self.shards:
                if shard.host == host:
                    shard.host = None
            self._unwanted = [(where, ticket) for where, ticket in self._unwanted if where != host]

    def _close_unwanted(self) -> None:
        if self._unwanted:
            tickets: dict[str, list[int]] = {}
            for host, ticket in self._unwanted:
                tickets.setdefault(host, []).append(ticket)
            self._unwanted = []
            self._hosts.ask([Call(host, "close", (own,)) for host, own in tickets.items()])


def _refuse(failed: Mapping[int, Exception]) -> None:
    """Raise what keeps the first of the shards from being opened."""
    if failed:
        raise failed[min(failed)]

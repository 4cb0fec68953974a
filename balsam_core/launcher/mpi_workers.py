"""The workers of many nodes, as the master sees them: its own beside it, the others behind their ranks."""

from __future__ import annotations

import selectors
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from balsam_core.errors import LaunchError
from balsam_core.launcher.channel import Message
from balsam_core.launcher.messages import Recalled, Report, Started, Task
from balsam_core.launcher.transport import Transport
from balsam_core.launcher.worker_client import (
    WorkerClient,
    WorkerDied,
    kill_message,
    recall_message,
    start_message,
    stop_with_message,
    typed,
)

if TYPE_CHECKING:
    from balsam_core.plugins import Command

_LOOK_SECONDS = 1.0


class RankLost(LaunchError):
    """A rank does not answer any more: the program must be started again without it."""


class MpiWorkers:
    """One worker per node; satisfies `loop.Workers`.

    ranks: for each node, the rank that works it. silence_seconds: a rank that says nothing for so long is lost.
    """

    def __init__(self, transport: Transport, own: WorkerClient, ranks: Sequence[int], silence_seconds: float) -> None:
        self._transport = transport
        self._own = own
        self._ranks = ranks
        self._silence_seconds = silence_seconds
        self._node_of: dict[str, int] = {}
        self._heard = dict.fromkeys(ranks, time.monotonic())
        self._next_look = self._next_beat = time.monotonic()
        self._own_is_ready = True

    def fileno(self) -> int:
        """Of the master's own worker; the others are seen by `wait`."""
        return self._own.fileno()

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> None:
        """Until something that the selector knows has happened, or a rank has said something; at most so long."""
        ready = self._transport.wait(selector, seconds)
        self._own_is_ready = any(key.fileobj is self for key in ready)

    def configure(self, messages: Mapping[int, Sequence[Message]]) -> None:
        """Send each node's worker what it must know first."""
        for node, first in messages.items():
            self._tell(node, first)

    def start(self, tasks: Iterable[Task]) -> None:
        """Hand over tasks to the workers of their nodes."""
        by_node: dict[int, list[Task]] = defaultdict(list)
        for task in tasks:
            by_node[task.node].append(task)
            self._node_of[task.key] = task.node
        for node, several in by_node.items():
            self._tell(node, [start_message(several)])

    def kill(self, keys: Iterable[str], grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL after the grace; unknown keys are ignored."""
        for node, several in self._by_node(keys).items():
            self._tell(node, [kill_message(several, grace_seconds)])

    def stop_with(self, key: str, request: Command, force: Command) -> None:
        """See `WorkerClient.stop_with`."""
        if key in self._node_of:
            self._tell(self._node_of[key], [stop_with_message(key, request, force)])

    def recall(self, keys: Iterable[str] | None = None) -> None:
        """Ask for tasks back that are still queued (None: all)."""
        if keys is None:
            for node in range(len(self._ranks)):
                self._tell(node, [recall_message(None)])
            return
        for node, several in self._by_node(keys).items():
            self._tell(node, [recall_message(several)])

    def receive(self) -> list[Report]:
        """What has arrived, without waiting; raises RankLost."""
        messages = self._hear_own() if self._own_is_ready else []
        self._own_is_ready = False
        for rank, several in self._transport.receive():
            self._heard[rank] = time.monotonic()
            messages += several
        reports = [typed(message) for message in messages if message[0] != "beat"]
        for report in reports:
            self._forget(report)
        self._look_after_ranks()
        return reports

    def end(self) -> None:
        """Tell all ranks to end, and what still runs on their nodes with them."""
        for rank in self._ranks:
            if rank != self._transport.rank:
                self._transport.send(rank, [("end",)])

    def _tell(self, node: int, messages: Sequence[Message]) -> None:
        rank = self._ranks[node]
        if rank == self._transport.rank:
            try:
                self._own.tell(messages)
            except WorkerDied as error:
                raise RankLost(f"rank {rank}: {error}") from error
        else:
            self._transport.send(rank, messages)

    def _hear_own(self) -> list[Message]:
        try:
            return self._own.hear()
        except WorkerDied as error:
            raise RankLost(f"rank {self._transport.rank}: {error}") from error

    def _by_node(self, keys: Iterable[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for key in keys:
            if key in self._node_of:
                found[self._node_of[key]].append(key)
        return found

    def _forget(self, report: Report) -> None:
        if isinstance(report, Recalled):
            for key in report.keys:
                self._node_of.pop(key, None)
        elif not isinstance(report, Started):
            self._node_of.pop(report.key, None)

    def _look_after_ranks(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        if now >= self._next_beat:
            self._next_beat = now + self._silence_seconds / 4
            for rank in self._ranks:
                if rank != self._transport.rank:
                    self._transport.send(rank, [("beat",)])
        for rank, heard in self._heard.items():
            if rank != self._transport.rank and now - heard > self._silence_seconds:
                raise RankLost(f"rank {rank} has said nothing for {now - heard:.0f} s")

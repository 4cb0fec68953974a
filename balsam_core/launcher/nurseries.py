"""The nurseries of a worker: one process per function that jobs call, with the processes that it has forked.

Loaded when the first such job comes; it takes the standard library only, as all of the worker.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from balsam_core.launcher.channel import Channel, Message
from balsam_core.launcher.messages import NURSERY_SOCKETS, Bound, Call, Task
from balsam_core.launcher.spawner import CannotStart, Spawner

# A fork takes a millisecond, and some more for each gigabyte; a nursery that takes longer is given up.
_FORK_SECONDS = 30.0
# A module that takes longer to import may hang: its jobs import it themselves, under their own time limits.
_IMPORT_SECONDS = 120.0
# With more functions than these at a time, or more sets of variables, those used longest ago are ended.
_MOST = 8
# So long after a nursery has failed, jobs start an interpreter each, which says what is wrong.
_RETRY_SECONDS = 30.0


class NurseryGone(Exception):
    """The nursery has died, or does not answer."""


class CannotFork(Exception):
    """The nursery lives, but the system gives it no process now."""


class Ended(NamedTuple):
    """A process that a nursery had forked has ended."""

    pid: int
    code: int


class Done(NamedTuple):
    """A process that is reused has made its call; is_last: it will make no others."""

    process: Reused
    key: str
    code: int
    is_last: bool


class Reused:
    """A process that makes one call after the other."""

    def __init__(self, nursery: Nursery, pid: int, channel: Channel) -> None:
        self.nursery = nursery
        self.pid = pid
        self._channel = channel

    def fileno(self) -> int:
        """For a poll: readable when a call is done."""
        return self._channel.fileno()

    def call(self, order: tuple[object, ...]) -> None:
        """Have it make a call; one that has died says so by its end."""
        self._channel.put([order])
        self._channel.flush()

    def hear(self) -> Iterator[Done]:
        """The calls that are done."""
        for key, code, is_last in self._channel.receive():
            yield Done(self, cast(str, key), cast(int, code), cast(bool, is_last))

    @property
    def is_closed(self) -> bool:
        """Whether it has hung up."""
        return self._channel.is_closed

    def close(self) -> None:
        """Hang up; it ends when it is idle."""
        self._channel.close()


class Nursery:
    """The worker's end of one nursery; `waiting` are the tasks that came before it had imported its function."""

    def __init__(self, pid: int, channel: Channel, hand_over: socket.socket) -> None:
        self.pid = pid
        self.waiting: dict[str, tuple[Task, Bound]] = {}
        self.running = 0
        self.is_ready = False
        self.gone_at: float | None = None
        self.idle: dict[int, Reused] = {}
        self.reused: dict[int, Reused] = {}
        self._channel = channel
        self._hand_over = hand_over
        self._heard: list[Message] = []
        self._ready_by = time.monotonic() + _IMPORT_SECONDS

    def fileno(self) -> int:
        """For a poll: readable when it says something, its end included."""
        return self._channel.fileno()

    def call(self, order: tuple[object, ...]) -> tuple[int, float]:
        """One call in a process of its own; its pid and start (CLOCK_BOOTTIME seconds).

        Raises CannotFork, NurseryGone.
        """
        return self._ask(("call", order))

    def hatch(self) -> Reused:
        """A process for many calls. Raises CannotFork, NurseryGone."""
        pid, _ = self._ask(("hatch",))
        _, descriptors, _, _ = socket.recv_fds(self._hand_over, 1, 1)
        if not descriptors:
            raise NurseryGone
        os.set_inheritable(descriptors[0], False)
        process = self.reused[pid] = Reused(self, pid, Channel(descriptors[0]))
        return process

    def signal(self, pid: int, signum: signal.Signals) -> None:
        """Signal a process that it has forked, and the group of that; one that is reaped is left alone."""
        if not self.is_gone:
            self._channel.put([("signal", pid, int(signum))])
            self._channel.flush()

    def hear(self) -> list[Ended]:
        """What has ended. Afterwards `is_ready` and `is_gone` are as it said."""
        messages = [*self._heard, *self._channel.receive()]
        self._heard.clear()
        for message in messages:
            if message[0] == "ready":
                self.is_ready = True
        return [Ended(*cast(Any, message[1:])) for message in messages if message[0] == "ended"]

    @property
    def has_heard(self) -> bool:
        """Whether it has said something while it was asked for something else."""
        return bool(self._heard)

    @property
    def is_gone(self) -> bool:
        """Whether it has hung up, or was given up."""
        return self._channel.is_closed or self.gone_at is not None

    @property
    def seconds_to_import(self) -> float | None:
        """How long it may still take to import its function; None: it has done so, or is gone."""
        return None if self.is_ready or self.is_gone else self._ready_by - time.monotonic()

    def close(self) -> None:
        """Hang up: it ends, and what it has forked with it."""
        self.gone_at = time.monotonic()
        self.is_ready = False
        self._channel.close()
        self._hand_over.close()

    def _ask(self, message: Message) -> tuple[int, float]:
        """Have it fork; the worker waits for that, as it does for a fork of its own."""
        self._channel.put([message])
        until = time.monotonic() + _FORK_SECONDS
        try:
            self._channel.drain(_FORK_SECONDS)
        except TimeoutError as error:
            raise NurseryGone from error
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        while True:
            answer: Message | None = None
            for one in self._channel.receive():
                if one[0] in ("started", "not_started"):
                    answer = one
                else:
                    self._heard.append(one)
            if answer is not None:
                if answer[0] == "not_started":
                    raise CannotFork
                return cast(tuple[int, float], answer[1:])
            if self._channel.is_closed or not poll.poll(max(until - time.monotonic(), 0) * 1000):
                raise NurseryGone


class Nurseries:
    """All nurseries of one worker, by what they are started with."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._all: dict[object, Nursery] = {}

    def __iter__(self) -> Iterator[Nursery]:
        return iter(list(self._all.values()))

    def of(self, task: Task, call: Call) -> tuple[Nursery | None, list[Nursery]]:
        """The nursery for a task (None: it has failed a moment ago), and those that had to be ended for a new one.

        Raises CannotStart when it cannot even be started.
        """
        shared = {name: value for name, value in task.env.items() if name not in call.own}
        key = (tuple(call.nursery), tuple(sorted(shared.items(), key=str)))
        found = self._all.pop(key, None)
        if found is not None and found.gone_at is not None:
            if time.monotonic() < found.gone_at + _RETRY_SECONDS:
                self._all[key] = found
                return None, []
            found = None
        closed: list[Nursery] = []
        if found is None:
            closed = self._make_room()
            found = self._start(call, shared)
        self._all[key] = found  # the last is the one used last
        return found, closed

    def _start(self, call: Call, shared: Mapping[str, str | None]) -> Nursery:
        try:
            pairs = socket.socketpair(), socket.socketpair()
        except OSError as error:
            raise CannotStart(str(error.strerror).lower()) from error
        for _, theirs in pairs:
            theirs.set_inheritable(True)
        sockets = ",".join(str(theirs.fileno()) for _, theirs in pairs)
        try:
            environment = self._spawner.environment({**shared, NURSERY_SOCKETS: sockets})
            child = self._spawner.spawn(call.nursery, environment, "/", False, "/dev/null", Bound())
        except CannotStart:
            for ours, _ in pairs:
                ours.close()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()
        (talk, _), (hand_over, _) = pairs
        hand_over.settimeout(_FORK_SECONDS)
        return Nursery(child.pid, Channel(talk.detach()), hand_over)

    def _make_room(self) -> list[Nursery]:
        closed = []
        for key, one in list(self._all.items()):
            if len(self._all) < _MOST:
                break
            if not one.waiting and not one.running:
                del self._all[key]
                closed.append(one)
        return closed

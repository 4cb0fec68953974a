"""The worker process of one node: queues tasks, starts them, ends them, reports.

`worker_client.py` starts it as `python -m balsam_core.launcher.worker FD PARENT_PID` would. The process is
single-threaded, waits in one poll() and imports the standard library only. When its parent vanishes it SIGKILLs all
that it started and ends; docs/spawner.md says why it is built so.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, cast

from balsam_core.launcher import procfs
from balsam_core.launcher.backlog import Backlog
from balsam_core.launcher.channel import Channel, Message
from balsam_core.launcher.journal import Journal
from balsam_core.launcher.messages import Bound, Call, Ended, How, Need, Recalled, Refused, Report, Started, Task
from balsam_core.launcher.slots import Slots
from balsam_core.launcher.spawner import (
    CannotStart,
    Child,
    Spawner,
    become_subreaper,
    child_signals,
    kill_everything,
    reap,
)

if TYPE_CHECKING:
    from balsam_core.launcher.nurseries import Done, Nurseries, Nursery, Reused

# A busy worker reports this often, not once per task: each report wakes the launcher.
_REPORT_SECONDS = 0.005
# While a killed task's leader is gone and others of its group still use their grace, look for them this often.
_LINGER_SECONDS = 0.1
# poll() takes at most 24 days, and a task may have a time limit of years.
_LONGEST_WAIT_SECONDS = 86_400.0
# The command that is to end a task by force gets so long before the task is sent SIGKILL all the same; the loop waits
# for 2 s after the grace.
_STOP_COMMAND_SECONDS = 1.0
_Words = tuple[list[str], dict[str, str]]  # a command and its changes of the environment
_Table = Callable[[], list[procfs.Process]]  # reading it takes 10 microseconds for each process of the host
# A longer result stays in its file.
_RESULT_BYTES = 100_000
_TOO_SHORT = "the time left is too short"
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def main(descriptor: int, parent: int) -> None:
    """Serve the launcher at the other end of the socket until it is gone."""
    os.set_inheritable(descriptor, False)
    for signum in _IGNORED:  # the terminal or the scheduler signals everybody; the launcher decides what it means
        signal.signal(signum, signal.SIG_IGN)
    gc.set_threshold(100_000)  # nothing here makes cycles by the thousand; a long backlog is costly to look through
    become_subreaper()
    child_ended = child_signals()
    channel = Channel(descriptor)
    poll = select.poll()
    worker = Worker(channel, poll)
    try:
        _serve(worker, channel, poll, child_ended, parent)
    finally:
        kill_everything(lambda seconds: _wait(child_ended, seconds))


class Worker:
    """The tasks of one node and what is to happen to them; `handle`, `reap` and `tick` return at once."""

    def __init__(self, channel: Channel, poll: select.poll) -> None:
        self._channel = channel
        self._poll = poll
        self._backlog = Backlog()
        self._at_once: list[Task] = []
        self._running: dict[str, _Running] = {}
        self._by_pid: dict[int, _Running] = {}
        self._nurseries: Nurseries | None = None
        self._waiting: dict[str, Nursery] = {}
        self._warm: dict[int, Nursery | Reused] = {}
        self._timers: list[tuple[float, int, _Running, str]] = []
        self._timer_count = 0
        self._reports: list[Report] = []
        self._last_report = 0.0
        self._deadline: float | None = None

    def configure(self, config: dict[str, Any]) -> None:
        """The first message: the node, the base environment and so on; see `start_worker`."""
        self._spawner = Spawner(config["environment"])
        self._all_cpus = sorted(os.sched_getaffinity(0))
        self._slots = Slots(config["cpus"], config["numa"], config["gpus"], config["memory_mb"])
        self._gpu_variable: str = config["gpu_variable"]
        self._has_gpus = bool(config["gpus"])
        self._grace_seconds: float = config["grace_seconds"]
        self._journal = Journal(config["journal"]) if config["journal"] else None

    def handle(self, message: Message) -> None:
        """Do what the launcher asks; the names are the methods of `WorkerClient`."""
        name, *arguments = message
        getattr(self, f"_do_{name}")(*arguments)

    def reap(self) -> None:
        """Take in ended processes, and end what is left of their groups."""
        for descriptor in list(self._warm):  # first: what its nursery has taken in is not ours to take in
            self.hear(descriptor)
        ended = list(reap(before=self._end_group))
        table = cache(procfs.processes)  # one look for all of them, and none when nobody was killed
        for pid, code in ended:
            self._ended(pid, code, table)

    def hear(self, descriptor: int) -> None:
        """A nursery, or a process that it has forked, has said something."""
        from balsam_core.launcher.nurseries import Nursery

        one = self._warm.get(descriptor)
        if isinstance(one, Nursery):
            self._hear_nursery(one)
        elif one is not None:
            for done in one.hear():
                self._done(done)
            if one.is_closed:
                self._unwatch(one)

    def tick(self) -> float | None:
        """Do what is due, start what fits, report; the answer is the seconds until something is due again."""
        now, table = time.monotonic(), cache(procfs.processes)
        while self._timers and self._timers[0][0] <= now:
            _, _, running, what = heappop(self._timers)
            if running.key in self._running and self._running[running.key] is running:
                getattr(self, f"_{what}")(running, table)
        for nursery, seconds in self._importing():
            if seconds <= 0:
                self._lose(nursery)
        self._start_what_fits()
        while heard := [one for one in self._nurseries or () if one.has_heard]:
            for nursery in heard:
                self._hear_nursery(nursery)
            self._start_what_fits()
        return self._report()

    def _importing(self) -> list[tuple[Nursery, float]]:
        """The nurseries that import their functions, and for how long they still may."""
        nurseries = [(one, one.seconds_to_import) for one in self._nurseries or ()]
        return [(one, seconds) for one, seconds in nurseries if seconds is not None]

    # What the launcher asks.

    def _do_configure(self, config: dict[str, Any]) -> None:
        self.configure(config)

    def _do_start(self, tasks: list[tuple[Any, ...]]) -> None:
        for key, argv, cwd, output, env, make_cwd, need, bound, *rest in tasks:
            if key in self._running or key in self._backlog or key in self._waiting:
                continue
            timeout_seconds, node, result, call = rest
            task = Task(
                key, argv, cwd, output, env, make_cwd, Need(*need), bound and Bound(*bound),
                timeout_seconds, node, result, call and Call(*call),
            )  # fmt: skip
            if task.bound:
                self._at_once.append(task)
            elif reason := self._slots.never(task.need):
                self._say(Refused(key, reason))
            else:
                self._backlog.add(task)
        self._recall_too_long()

    def _do_kill(self, keys: list[str], grace_seconds: float) -> None:
        self.reap()  # what has ended by itself was not killed
        not_begun = self._take_from_at_once(keys) + self._backlog.remove(keys) + self._stop_waiting(keys)
        self._recalled(not_begun, "killed before it started")
        running = [self._running[key] for key in keys if key in self._running]
        self._terminate(running, How.KILLED, grace_seconds)

    def _do_stop_with(self, key: str, request: _Words, force: _Words) -> None:
        if running := self._running.get(key):
            running.stops = [request, force]
            if running.how is not None:  # it was told to end before this came
                self._stop_by_command(running, request)

    def _do_recall(self, keys: list[str] | None) -> None:
        removed = self._backlog.remove(self._backlog.keys() if keys is None else keys)
        removed += self._stop_waiting(list(self._waiting) if keys is None else keys)
        self._say(Recalled(tuple(removed), "recalled"))

    def _take_from_at_once(self, keys: list[str]) -> list[str]:
        """Take out tasks that came together with the order to kill them; the answer is those that were there."""
        found = [task.key for task in self._at_once if task.key in keys]
        self._at_once = [task for task in self._at_once if task.key not in found]
        return found

    def _stop_waiting(self, keys: list[str]) -> list[str]:
        """Take out tasks whose function is being imported; the answer is those that were there."""
        found = [key for key in keys if key in self._waiting]
        for key in found:
            task, bound = self._waiting.pop(key).waiting.pop(key)
            self._slots.release(bound, task.need)
        return found

    def _do_set_time_left(self, seconds: float | None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._recall_too_long()

    def _recall_too_long(self) -> None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            self._recalled(self._backlog.remove(self._backlog.longer_than(left)), _TOO_SHORT)

    def _is_too_long(self, task: Task) -> bool:
        needed = task.need.wall_seconds
        return self._deadline is not None and needed is not None and time.monotonic() + needed > self._deadline

    def _recalled(self, keys: list[str], reason: str) -> None:
        if keys:
            self._say(Recalled(tuple(keys), reason))

    # From the queue to the process.

    def _start_what_fits(self) -> None:
        while batch := self._next_batch():
            try:
                if self._journal:
                    self._journal.add(task.key for task, _ in batch)
            except OSError as error:
                for task, bound in batch:
                    self._refuse(task, bound, f"cannot write the journal: {str(error.strerror).lower()}")
                continue
            for task, bound in batch:
                self._start(task, bound)
            self._spawner.rest()

    def _next_batch(self) -> list[tuple[Task, Bound]]:
        batch = [(task, task.bound or Bound()) for task in self._at_once]
        self._at_once.clear()
        while not self._slots.is_full and (found := self._backlog.take(self._slots)):
            task, bound = found
            if self._is_too_long(task):
                self._slots.release(bound, task.need)
                self._say(Recalled((task.key,), _TOO_SHORT))
            else:
                batch.append(found)
        return batch

    def _start(self, task: Task, bound: Bound) -> None:
        changes = task.env
        if bound.gpus or (self._has_gpus and not task.bound):  # no GPUs given: none to be seen
            changes = {self._gpu_variable: ",".join(bound.gpus), **changes}
        try:
            running = self._start_warm(task, bound, changes) if task.call and not task.bound else None
            if task.key in self._waiting:
                return
            if running is None:
                environment = self._spawner.environment(changes)
                child = self._spawner.spawn(task.argv, environment, task.cwd, task.make_cwd, task.output, bound)
                running = _Running(task, child, bound)
        except CannotStart as error:
            self._refuse(task, bound, str(error))
            return
        child = running.child
        self._running[task.key] = self._by_pid[child.pid] = running
        self._say(Started(task.key, child.pid, child.boottime_seconds, bound.cpus, bound.gpus))
        if task.timeout_seconds is not None:
            self._set_timer(task.timeout_seconds, running, "time_out")

    def _refuse(self, task: Task, bound: Bound, reason: str) -> None:
        if not task.bound:
            self._slots.release(bound, task.need)
        self._say(Refused(task.key, reason))

    # Processes that are kept warm.

    def _start_warm(self, task: Task, bound: Bound, changes: Mapping[str, str | None]) -> _Running | None:
        """The call in a warm process; None: it has to wait for one, or an interpreter of its own must do."""
        from balsam_core.launcher.nurseries import CannotFork, Nurseries, NurseryGone

        call = cast(Call, task.call)
        if self._nurseries is None:
            self._nurseries = Nurseries(self._spawner)
        nursery, closed = self._nurseries.of(task, call)
        for one in closed:
            self._close(one)
        if nursery is None:
            return None
        self._watch(nursery)
        if not nursery.is_ready:
            nursery.waiting[task.key] = (task, bound)
            self._waiting[task.key] = nursery
            return None
        start = self._spawner.prepare(task.cwd, task.make_cwd, task.output)
        environ = {name: changes.get(name) for name in (*call.own, self._gpu_variable) if name in changes}
        cpus = list(bound.cpus or (self._all_cpus if call.reuse else ()))
        order = (task.key, task.cwd, task.output, environ, cpus, list(call.arguments), task.result)
        try:
            process = None
            if call.reuse:
                process = nursery.idle.popitem()[1] if nursery.idle else nursery.hatch()
                self._watch(process)
                pid, began = process.pid, time.clock_gettime(time.CLOCK_BOOTTIME)
                process.call(order)
            else:
                pid, began = nursery.call(order)
        except CannotFork:
            return None
        except NurseryGone:
            self._lose(nursery)
            return None
        nursery.running += 1
        return _Running(task, Child(pid, began, task.cwd, task.output, start), bound, nursery, process)

    def _done(self, done: Done) -> None:
        """A process that is reused has made its call."""
        running = self._running.get(done.key)
        if running is None or running.process is not done.process or running.code is not None:
            return
        running.code = done.code
        del self._by_pid[running.child.pid]
        if done.process.nursery.is_gone:
            self._unwatch(done.process)  # it ends for that
        elif running.how is not None:  # a signal may be on its way to it
            done.process.nursery.signal(done.process.pid, signal.SIGKILL)
        elif not done.is_last:
            done.process.nursery.idle[done.process.pid] = done.process
        self._finish(running)

    def _hear_nursery(self, nursery: Nursery) -> None:
        was_ready, table = nursery.is_ready, cache(procfs.processes)
        for pid, code in nursery.hear():
            process = nursery.reused.get(pid)
            if process is not None:
                self.hear(process.fileno())
                self._unwatch(process)
                nursery.idle.pop(pid, None)
                del nursery.reused[pid]
            self._ended(pid, code, table)
        if nursery.is_gone:
            self._lose(nursery)
        elif nursery.is_ready and not was_ready:
            self._start_waiting(nursery)

    def _start_waiting(self, nursery: Nursery) -> None:
        waiting = list(nursery.waiting.values())
        nursery.waiting.clear()
        for task, _ in waiting:
            del self._waiting[task.key]
        for task, bound in waiting:
            self._start(task, bound)
        self._spawner.rest()

    def _lose(self, nursery: Nursery) -> None:
        """It has died, has not imported its function (in time), or does not answer: what it had running is now ours."""
        if nursery.gone_at is not None:
            return
        self._close(nursery)
        process = procfs.process(nursery.pid)
        if process is not None and process.parent == os.getpid():
            procfs.send(process, signal.SIGKILL)
        orphans = [running for running in self._running.values() if running.nursery is nursery]
        for running in orphans:
            running.nursery = None
            if running.code is None and procfs.process(running.child.pid) is None:
                self._ended(running.child.pid, -signal.SIGKILL)
        self._start_waiting(nursery)

    def _close(self, nursery: Nursery) -> None:
        for process in nursery.reused.values():
            running = self._by_pid.get(process.pid)
            if running is None or running.process is not process:
                self._unwatch(process)
        self._unwatch(nursery)

    def _watch(self, one: Nursery | Reused) -> None:
        if one.fileno() not in self._warm:
            self._warm[one.fileno()] = one
            self._poll.register(one.fileno(), select.POLLIN)

    def _unwatch(self, one: Nursery | Reused) -> None:
        if self._warm.get(one.fileno()) is one:
            del self._warm[one.fileno()]
            self._poll.unregister(one.fileno())
            one.close()

    # From the process to its end.

    def _ended(self, pid: int, code: int, table: _Table = procfs.processes) -> None:
        running = self._by_pid.pop(pid, None)
        if running is None:
            return  # an orphan that came to us as the subreaper, or a nursery
        running.code = code
        if running.how is None or running.is_forced or not _others(running, table()):
            self._finish(running)
        else:
            self._set_timer(_LINGER_SECONDS, running, "linger")

    def _time_out(self, running: _Running, _: _Table) -> None:
        self.reap()
        if running.key in self._running and running.how is None:
            self._terminate([running], How.TIMED_OUT, self._grace_seconds)

    def _terminate(self, several: list[_Running], how: How, grace_seconds: float) -> None:
        table = procfs.processes() if several else []
        for running in several:
            running.how = running.how or how
            running.family = procfs.descendants(table, [running.child.pid])
            if running.stops:
                self._stop_by_command(running, running.stops[0])
            else:
                _signal(running, signal.SIGTERM)
                _signal(running, signal.SIGCONT)  # a stopped process gets its SIGTERM only now
            self._set_timer(max(grace_seconds, 0), running, "force")

    def _stop_by_command(self, running: _Running, stop: _Words) -> None:
        """What it prints goes to the task's output; one that cannot be run leaves the task to the signals."""
        argv, changes = stop
        environment = self._spawner.environment({**running.task.env, **changes})
        try:
            self._spawner.spawn(argv, environment, running.child.cwd, False, running.child.output, Bound())
        except CannotStart:
            running.stops = []
            _signal(running, signal.SIGTERM)
        self._spawner.rest()

    def _force(self, running: _Running, table: _Table) -> None:
        if running.stops:
            self._stop_by_command(running, running.stops[1])
            running.stops = []
            self._set_timer(_STOP_COMMAND_SECONDS, running, "force")
            return
        running.is_forced = True
        running.family += procfs.descendants(table(), [running.child.pid]) + _others(running, table())
        _signal(running, signal.SIGKILL)
        if running.code is not None:
            self._finish(running)

    def _linger(self, running: _Running, table: _Table) -> None:
        if _others(running, table()):
            self._set_timer(_LINGER_SECONDS, running, "linger")
        else:
            self._finish(running)

    def _end_group(self, pid: int) -> None:
        """The leader is a zombie: kill the rest of its group, unless it was given a grace to end by itself."""
        running = self._by_pid.get(pid)
        if running and (running.how is None or running.is_forced):
            procfs.send_group(pid, signal.SIGKILL)

    def _finish(self, running: _Running) -> None:
        code = running.code or 0
        for one in running.family:
            procfs.send(one, signal.SIGKILL)
        del self._running[running.key]
        if running.nursery is not None:
            running.nursery.running -= 1
        if not running.task.bound:
            self._slots.release(running.bound, running.task.need)
        how = cast(How, (running.how or How.EXITED).value)  # marshal takes no enum
        tail = running.child.tail() if code or running.how else ""
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - running.child.boottime_seconds
        result = "" if code or running.how or not running.task.result else _result(running.task)
        self._say(Ended(running.key, code, how, seconds, tail, result))

    # Timers and reports.

    def _set_timer(self, seconds: float, running: _Running, what: str) -> None:
        if len(self._timers) > 64 + 4 * len(self._running):  # most of them are of tasks that have ended
            self._timers = [timer for timer in self._timers if timer[2].key in self._running]
            heapify(self._timers)
        self._timer_count += 1
        heappush(self._timers, (time.monotonic() + seconds, self._timer_count, running, what))

    def _say(self, report: Report) -> None:
        self._reports.append(report)

    def _report(self) -> float | None:
        now = time.monotonic()
        due = self._last_report + _REPORT_SECONDS - now
        if self._reports and (due <= 0 or not self._backlog):
            self._channel.put([(type(report).__name__, *report) for report in self._reports])
            self._channel.flush()
            self._reports = []
            self._last_report = now
        waits = [due] if self._reports else []
        if self._timers:
            waits.append(self._timers[0][0] - now)
        waits += [seconds for _, seconds in self._importing()]
        return min(max(min(waits), 0), _LONGEST_WAIT_SECONDS) if waits else None


class _Running:
    """A task whose process was started and whose end is not reported yet."""

    def __init__(
        self, task: Task, child: Child, bound: Bound, nursery: Nursery | None = None, process: Reused | None = None
    ) -> None:
        self.nursery = nursery
        self.process = process
        self.key = task.key
        self.task = task
        self.child = child
        self.bound = bound
        self.how: How | None = None  # not None: we have begun to end it
        self.is_forced = False
        self.code: int | None = None  # not None: the leader has ended
        self.stops: list[_Words] = []  # commands that stand in for SIGTERM and SIGKILL
        self.family: list[procfs.Process] = []  # what it had started when we began to end it


def _signal(running: _Running, signum: signal.Signals) -> None:
    """Signal the task's group, and its descendants that left the group."""
    if running.code is None and running.nursery is not None:
        running.nursery.signal(running.child.pid, signum)
    elif running.code is None:
        procfs.send_group(running.child.pid, signum)
    for one in running.family:
        if one.group != running.child.pid or running.code is not None:
            procfs.send(one, signum)


def _others(running: _Running, table: Iterable[procfs.Process]) -> list[procfs.Process]:
    """What is alive of the task besides its leader: in its group, in its session, or of the family that it had."""
    leader = running.child.pid
    family = {(one.pid, one.start_ticks) for one in running.family}
    return [
        one
        for one in table
        if (leader in (one.group, one.session) or (one.pid, one.start_ticks) in family)
        and one.pid != leader
        and not one.is_zombie
    ]


def _serve(worker: Worker, channel: Channel, poll: select.poll, child_ended: int, parent: int) -> None:
    poll.register(child_ended, select.POLLIN)
    if (parent_ended := _end_of(parent)) is None:
        return
    if parent_ended >= 0:
        poll.register(parent_ended, select.POLLIN)
    socket = channel.fileno()
    poll.register(socket, select.POLLIN)
    seconds: float | None = None
    while True:
        if channel.has_unsent:
            poll.modify(socket, select.POLLIN | select.POLLOUT)
        for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000):
            if descriptor == child_ended:
                os.read(child_ended, 4096)
                worker.reap()
            elif descriptor == parent_ended:
                return
            elif descriptor != socket:
                worker.hear(descriptor)
            else:
                for message in channel.receive():
                    worker.handle(message)
                if channel.is_closed:
                    return
                if channel.has_unsent:
                    channel.flush()
                    poll.modify(socket, select.POLLIN)
        seconds = worker.tick()


def _result(task: Task) -> str:
    """What the task has left for its sender; empty: nothing, or too much."""
    try:
        descriptor = os.open(os.path.join(task.cwd, task.result), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # noqa: PTH118 - pathlib costs 13 ms
    except OSError:
        return ""
    try:
        data = os.read(descriptor, _RESULT_BYTES + 1)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return data.decode(errors="replace") if len(data) <= _RESULT_BYTES else ""


def _wait(descriptor: int, seconds: float) -> None:
    """Wait until it is readable, at most so long, and empty it."""
    if select.select([descriptor], [], [], seconds)[0]:
        os.read(descriptor, 4096)


def _end_of(pid: int) -> int | None:
    """A descriptor that becomes readable when the parent ends: should a copy of the socket outlive it.

    None: it has ended already. -1: the kernel is too old, the socket alone must tell.
    """
    if os.getppid() != pid:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

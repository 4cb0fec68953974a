"""The runner: starts batch jobs in order, ends them in time, and sleeps in between.

One process and one thread. It waits for a byte in the queue's pipe, for a signal (SIGCHLD, SIGTERM) and for the next
walltime, whichever comes first.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
from collections.abc import Collection, Iterator
from types import FrameType

from balsam_local.queue import running
from balsam_local.queue.folder import Folder
from balsam_local.queue.jobs import BatchJob, State
from balsam_local.queue.keeper import end_leftovers
from balsam_local.queue.running import Running

_log = logging.getLogger(__name__)
_PR_SET_CHILD_SUBREAPER = 36
_TRY_AGAIN_SECONDS = 1.0
_MOST_SECONDS = 86_400.0


def run(folder: Folder, lock: int) -> None:
    """Work the queue off and return; lock: the runner's, held. After SIGTERM what waits is left for the next runner."""
    os.set_inheritable(lock, False)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    # From now on an orphan of a batch job is a child of this process, and its end a SIGCHLD.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _default_signals()
    with folder.locked():
        end_leftovers(folder)
    with _signals() as signals:
        wake = folder.open_wake()
        try:
            Runner(folder, lock, wake, signals).run()
        finally:
            os.close(wake)


class Runner:
    """The loop, and the batch jobs that run."""

    def __init__(self, folder: Folder, lock: int, wake: int, signals: int) -> None:
        self._folder = folder
        self._lock = lock
        self._wake = wake
        self._signals = signals
        self._running: dict[int, Running] = {}
        self._is_leaving = False

    def run(self) -> None:
        """Return when nothing is left to do."""
        while True:
            try:
                if self._turn():
                    return
                seconds = self._seconds_to_wait()
            except OSError:
                if not self._folder.is_runner(self._lock):
                    self._abandon()
                    return
                _log.exception("batch jobs %s: something failed and is tried again", sorted(self._running))
                seconds = _TRY_AGAIN_SECONDS
            self._sleep(seconds)

    def _turn(self) -> bool:
        """All that is due; whether it was the last."""
        with self._folder.locked():
            if not self._folder.is_runner(self._lock):
                raise FileNotFoundError(f"the queue {self._folder.path} was removed")
            for one in list(self._running.values()):
                self._look_at(one)
            _reap_orphans({one.pid for one in self._running.values()})
            while not self._is_leaving and self._start_next():
                pass
            if self._running or (self._folder.active() and not self._is_leaving):
                return False
            # Given up before the other lock is: whoever submits next finds that no runner lives.
            os.close(self._lock)
            return True

    def _look_at(self, one: Running) -> None:
        job_id = one.job.id
        if one.is_over():
            self._folder.end(*one.end())
            del self._running[job_id]
            return
        stopped = False
        if self._is_leaving:
            stopped = one.stop(State.FAILED, "the runner received SIGTERM")
        elif one.is_late():
            stopped = one.stop(State.TIMEOUT, f"its walltime of {one.job.minutes:g} minutes was over")
        else:
            saved = self._folder.read(job_id)
            if saved is not None and saved.cancel:
                stopped = one.stop(State.CANCELLED, "cancelled")
        if stopped:
            self._folder.save(one.ending())

    def _start_next(self) -> bool:
        """Start the first that waits, if it fits; whether the next one is worth a look."""
        waiting = next((job_id for job_id in self._folder.active() if job_id not in self._running), None)
        job = None if waiting is None else self._folder.read(waiting)
        if job is None:
            return False
        if job.is_over:  # whoever wrote this did not come to put it away
            self._folder.settle(job.id)
        elif job.state is not State.WAITING:
            self._folder.end(job, State.FAILED, job.reason or "it was not started")
        else:
            used = {slot for one in self._running.values() for slot in one.job.slots}
            slots = free_slots(job, used)
            if not slots:
                return False
            self._start(running.prepared(job, slots))
        return True

    def _start(self, job: BatchJob) -> None:
        self._folder.save(job)
        try:
            one = running.start(job)
        except (OSError, ValueError) as error:
            self._folder.end(job, State.FAILED, f"cannot start: {error}")
            return
        self._running[job.id] = one
        self._folder.save(one.job)

    def _seconds_to_wait(self) -> float | None:
        return min((one.seconds_to_wait() for one in self._running.values()), default=None)

    def _sleep(self, seconds: float | None) -> None:
        # select(2) takes no walltime of centuries.
        select.select([self._wake, self._signals], [], [], None if seconds is None else min(seconds, _MOST_SECONDS))
        for descriptor in (self._wake, self._signals):
            with contextlib.suppress(BlockingIOError):
                received = os.read(descriptor, 4096)
                if descriptor == self._signals and signal.SIGTERM in received:
                    self._is_leaving = True

    def _abandon(self) -> None:
        """The folder is gone, and with it whoever could ask for these batch jobs."""
        for one in self._running.values():
            one.kill()
        while self._running:
            for one in [one for one in self._running.values() if one.is_over()]:
                one.end()
                del self._running[one.job.id]
            if self._running:
                self._sleep(self._seconds_to_wait())


def free_slots(job: BatchJob, used: Collection[int]) -> tuple[int, ...]:
    """The first free nodes of the machine, as many as the batch job asks for; empty: it has to wait."""
    free = [slot for slot in range(1, job.machine_nodes + 1) if slot not in used]
    # Somebody else may have seen more nodes in this machine, and use them.
    if len(free) < job.nodes or len(used) + job.nodes > job.machine_nodes:
        return ()
    return tuple(free[: job.nodes])


def _reap_orphans(scripts: Collection[int]) -> None:
    """Those that became children of this process; a script that ended is left alone, and hides others until later."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in scripts:
            return
        os.waitpid(ended.si_pid, 0)


def _default_signals() -> None:
    """What the submitter's shell ignored (nohup, a background job) shall end batch jobs all the same."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor from which the numbers of the signals can be read that came."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, _nothing)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The number arrives through the pipe; without a handler SIGTERM would end the process."""

"""The process that has imported the function of one application, and forks those that call it.

A worker starts it as `python -m balsam_core.launcher.nursery MODULE:FUNCTION`, under the application's interpreter. It
has one thread and does what its worker says: fork, signal, reap. When the worker is gone it SIGKILLs all that it forked
and ends. docs/functions.md says why it is built so.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # less Python than `signal`: a child copies what it touches
import atexit
import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

from balsam_core.function import NoFunction, call, load, remove_results, use_search_path
from balsam_core.launcher import procfs
from balsam_core.launcher.channel import Channel, Message
from balsam_core.launcher.messages import NURSERY_SOCKETS
from balsam_core.launcher.spawner import child_signals, kill_everything, reap

# Blocked and not ignored: a child undoes that by one call.
_BLOCKED = tuple(
    map(int, (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2))
)
_ALL_BLOCKED = (*_BLOCKED, int(signal.SIGCHLD))
_SEND_SECONDS = 60.0


class Order(NamedTuple):
    """One call: where, with what, on which cores; environ: variables to set, None: to remove."""

    key: str
    cwd: str
    output: str
    environ: Mapping[str, str | None]
    cpus: Sequence[int]
    arguments: Sequence[str]
    result_file: str


def main(target: str) -> None:
    """Import the function, say so, and serve until the worker is gone."""
    talk, hand_over = (int(word) for word in os.environ.pop(NURSERY_SOCKETS).split(","))
    for descriptor in (talk, hand_over):
        os.set_inheritable(descriptor, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)  # the worker decides what they mean
    channel = Channel(talk)
    use_search_path()
    try:
        function = load(target)
    except NoFunction as error:
        _say(channel, ("failed", str(error)))
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # What is there by now stays: a child that collects garbage need not copy it.
    gc.collect()
    gc.freeze()
    child_ended = child_signals()
    nursery = Nursery(function, channel, socket.socket(fileno=hand_over), child_ended)
    _say(channel, ("ready",))
    try:
        _serve(nursery, channel, child_ended)
    finally:
        nursery.kill_all()
        kill_everything(lambda seconds: _wait(child_ended, seconds))


class Nursery:
    """The processes forked here: each is the leader of a session of its own."""

    def __init__(
        self, function: Callable[..., Any], channel: Channel, hand_over: socket.socket, child_ended: int
    ) -> None:
        self._function = function
        self._channel = channel
        self._hand_over = hand_over
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._own_descriptors = (channel.fileno(), hand_over.fileno(), child_ended, self._null)
        self._numpy_random: Any = sys.modules.get("numpy.random")
        self._children: set[int] = set()
        self._spared: set[int] = set()

    def handle(self, message: Message) -> None:
        """Do what the worker asks."""
        name, *arguments = message
        getattr(self, f"_do_{name}")(*arguments)

    def reap(self) -> None:
        """Take in ended processes, end what is left of their groups, and tell."""
        ended = [("ended", pid, code) for pid, code in reap(before=self._end_group) if pid in self._children]
        self._children.difference_update(pid for _, pid, _ in ended)
        self._spared &= self._children
        if ended:
            _say(self._channel, *ended)

    def kill_all(self) -> None:
        """SIGKILL every process here, and what is in its group or session."""
        for one in procfs.processes():
            if one.group in self._children or one.session in self._children:
                procfs.send(one, signal.SIGKILL)

    # What the worker asks.

    def _do_call(self, fields: tuple[Any, ...]) -> None:
        """One call in a process of its own.

        All that can be done before the fork is: what a child touches is copied for it, page by page.
        """
        order = Order(*fields)
        work = partial(_call_once, self._function, order) if _enter(order) else _failed
        self._fork(work)
        self._rest()

    def _rest(self) -> None:
        """Leave the folder and the output of the last call."""
        os.chdir("/")
        os.dup2(self._null, 1)
        os.dup2(self._null, 2)

    def _do_hatch(self) -> None:
        """A process that makes calls until its socket closes; the worker gets the other end of that."""
        ours, theirs = socket.socketpair()
        descriptor = ours.detach()

        def serve() -> int:
            theirs.close()  # or its end would never be seen
            return _serve_calls(self._function, descriptor)

        is_forked = self._fork(serve)
        os.close(descriptor)
        with theirs:
            if is_forked:
                socket.send_fds(self._hand_over, [b"\0"], [theirs.fileno()])

    def _do_signal(self, pid: int, signum: int) -> None:
        """Signal a process and its group. One that is asked to end may have the rest of its group end by itself."""
        if pid not in self._children:
            return
        self._spared.add(pid)
        if signum == signal.SIGKILL:
            self._spared.discard(pid)
        try:
            os.killpg(pid, signum)
        except ProcessLookupError:  # it has not come to its setsid yet
            os.kill(pid, signum)

    def _fork(self, work: Callable[[], int]) -> bool:
        """Whether there is a process for it; the worker is told."""
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            pid = os.fork()
        except OSError:  # no memory, or too many processes: those that run go on
            _say(self._channel, ("not_started",))
            return False
        if pid == 0:
            self._be_child(work)
        self._children.add(pid)
        _say(self._channel, ("started", pid, began))
        return True

    def _be_child(self, work: Callable[[], int]) -> NoReturn:
        code = 1
        try:
            os.setsid()
            for descriptor in self._own_descriptors:
                os.close(descriptor)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _ALL_BLOCKED)
            # What the module has registered is for the nursery's end, not for each child's.
            atexit._clear()
            if self._numpy_random is not None:  # Python's own random gets a new state after a fork, numpy's does not
                self._numpy_random.seed()
            code = work()
        finally:
            os._exit(code)

    def _end_group(self, pid: int) -> None:
        if pid in self._children and pid not in self._spared:
            procfs.send_group(pid, signal.SIGKILL)


def _call_once(function: Callable[..., Any], order: Order) -> int:
    """One call as a whole program: threads that it left are waited for, and what it registered for its exit is done."""
    code = _make_call(function, order)
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    return _flushed(code)


def _failed() -> int:
    return 1


def _serve_calls(function: Callable[..., Any], descriptor: int) -> int:
    channel = Channel(descriptor)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not channel.is_closed:
        poll.poll()
        for message in channel.receive():
            order = Order(*message)  # type: ignore[arg-type]
            code = _flushed(_make_call(function, order)) if _enter(order) else 1
            is_last = _has_children()
            _say(channel, (order.key, code, is_last))
            if is_last:  # they end with this process
                return 0
    return 0


def _make_call(function: Callable[..., Any], order: Order) -> int:
    """Make the call on its cores; the exit code."""
    if order.cpus:
        try:
            os.sched_setaffinity(0, order.cpus)
        except OSError as error:
            print(f"cannot bind to the cores {', '.join(map(str, order.cpus))}: {error}", file=sys.stderr)
            return 1
    return call(function, order.arguments, order.result_file)


def _enter(order: Order) -> bool:
    """Be in the job's folder, with its output and variables, and without an earlier result; whether that was done."""
    try:
        os.chdir(order.cwd)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(order.output, flags, 0o666)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        remove_results(order.result_file)
    except OSError as error:
        print(f"cannot start the call: {error}", file=sys.stderr, flush=True)
        return False
    for name, value in order.environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    dag: Any = sys.modules.get("balsam.launcher.dag")
    if dag is not None:
        dag.look_again()
    return True


def _flushed(code: int) -> int:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # full disk; closed or replaced by the function
            code = code or 1
    return code


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _say(channel: Channel, *messages: Message) -> None:
    channel.put(messages)
    with contextlib.suppress(TimeoutError):
        channel.drain(_SEND_SECONDS)


def _serve(nursery: Nursery, channel: Channel, child_ended: int) -> None:
    poll = select.poll()
    poll.register(child_ended, select.POLLIN)
    poll.register(channel.fileno(), select.POLLIN)
    while not channel.is_closed:
        ready = {descriptor for descriptor, _ in poll.poll()}
        # Before the reaping: who is asked to end may have ended for that.
        for message in channel.receive():
            nursery.handle(message)
        if child_ended in ready:
            os.read(child_ended, 4096)
            nursery.reap()


def _wait(descriptor: int, seconds: float) -> None:
    if select.select([descriptor], [], [], seconds)[0]:
        os.read(descriptor, 4096)


if __name__ == "__main__":
    main(sys.argv[1])

"""Starts and reaps processes: what a worker needs of the kernel, without any policy.

`os.posix_spawn` is the fastest public way to start a process and may not be used beside other threads here: it
takes the working directory and the cores from the caller. docs/spawner.md has the figures.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from balsam_core.launcher import procfs
from balsam_core.launcher.messages import Bound

Environment = dict[bytes, bytes]
_TAIL_BYTES = 2048
_PR_SET_CHILD_SUBREAPER = 36


class CannotStart(Exception):
    """The process cannot be started; the message says why in plain words."""


class Child(NamedTuple):
    """A started process: the leader of its own session and process group."""

    pid: int
    boottime_seconds: float
    cwd: str
    output: str
    output_start: int  # an attempt appends: what lies before this is another attempt's

    def tail(self) -> str:
        """The end of what the process wrote; empty when the file is gone."""
        try:
            path = os.path.join(self.cwd, self.output)  # noqa: PTH118 - pathlib costs 13 ms
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return ""
        try:
            size = os.fstat(descriptor).st_size
            data = os.pread(descriptor, _TAIL_BYTES, max(self.output_start, size - _TAIL_BYTES))
        except OSError:
            return ""
        finally:
            os.close(descriptor)
        return data.decode(errors="replace")


class Spawner:
    """Starts processes from a base environment; the process that holds it must stay single-threaded."""

    def __init__(self, base_environment: Mapping[str, str]) -> None:
        self._base = _encoded(base_environment)
        self._programs: dict[tuple[bytes, bytes], bytes] = {}
        self._own_cores = os.sched_getaffinity(0)
        self._is_bound = False
        # An ignored signal stays ignored over exec: by us, by Python (SIGPIPE), or by the `nohup` above us.
        self._ignored = [one for one in signal.valid_signals() if signal.getsignal(one) is signal.SIG_IGN]

    def environment(self, changes: Mapping[str, str | None]) -> Environment:
        """The base environment with these changes; None removes a variable. Raises CannotStart."""
        merged = dict(self._base)
        for name, value in changes.items():
            if value is None:
                merged.pop(os.fsencode(name), None)
            else:
                merged[os.fsencode(name)] = _in_locale(name, value)
        return merged

    def spawn(
        self, argv: Sequence[str], environment: Environment, cwd: str, make_cwd: bool, output: str, bound: Bound
    ) -> Child:
        """A running process; raises CannotStart. Call `rest` after the last of a batch."""
        if not argv:
            raise CannotStart("the command is empty")
        descriptor = _opened(cwd, make_cwd, output)
        try:
            program = self._find(os.fsencode(argv[0]), environment)
            self._bind(bound.cpus)
            start = os.lseek(descriptor, 0, os.SEEK_END)
            now = time.clock_gettime(time.CLOCK_BOOTTIME)
            pid = os.posix_spawn(
                program,
                list(argv),
                environment,
                file_actions=((os.POSIX_SPAWN_DUP2, descriptor, 1), (os.POSIX_SPAWN_DUP2, descriptor, 2)),
                setsid=True,
                setsigdef=self._ignored,
                setsigmask=(),
            )
        except (OSError, ValueError) as error:
            self._programs.clear()
            raise CannotStart(_in_words(error)) from error
        finally:
            os.close(descriptor)
        return Child(pid, now, cwd, output, start)

    def prepare(self, cwd: str, make_cwd: bool, output: str) -> int:
        """The folder and the output of a process that another one starts, and how long that output is by now.

        Raises CannotStart. Call `rest` after the last of a batch.
        """
        descriptor = _opened(cwd, make_cwd, output)
        try:
            return os.lseek(descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise CannotStart(_in_words(error)) from error
        finally:
            os.close(descriptor)

    def rest(self) -> None:
        """Leave the cores and the folder of the last child."""
        self._unbind()
        os.chdir("/")

    def _bind(self, cpus: Sequence[int]) -> None:
        """Go to the child's cores before the start: it inherits them and never runs elsewhere."""
        if not cpus:
            self._unbind()
            return
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            raise CannotStart(f"cannot bind to the cores {', '.join(map(str, cpus))}: {_in_words(error)}") from error
        self._is_bound = True

    def _unbind(self) -> None:
        if self._is_bound:
            os.sched_setaffinity(0, self._own_cores)
            self._is_bound = False

    def _find(self, name: bytes, environment: Environment) -> bytes:
        """The program's file, from the job's own PATH; a name with a slash is relative to its working directory."""
        if b"/" in name:
            return name
        path = environment.get(b"PATH") or os.fsencode(os.defpath)
        program = self._programs.get((name, path))
        if program is None:
            program = _search(name, path)
            if program.startswith(b"/"):
                self._programs[name, path] = program
        return program


def become_subreaper() -> None:
    """From now on an orphaned descendant becomes a child of this process, whatever session it made for itself."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def child_signals() -> int:
    """A descriptor that becomes readable when a child ends: a signalfd, which interrupts no other call."""
    import ctypes

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    mask = (ctypes.c_uint64 * 16)(1 << (signal.SIGCHLD - 1))  # sigset_t of the C library: 1,024 bits
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return descriptor


def reap(before: Callable[[int], None]) -> Iterator[tuple[int, int]]:
    """Each ended child and its exit code (or minus the signal).

    `before` gets the pid while the child is still a zombie: its process group cannot be another's by then.
    """
    while ended := _next_ended():
        before(ended.si_pid)
        os.waitpid(ended.si_pid, 0)
        is_exit = ended.si_code == os.CLD_EXITED
        yield ended.si_pid, ended.si_status if is_exit else -ended.si_status


def kill_everything(wait: Callable[[float], None], deadline_seconds: float = 10) -> None:
    """SIGKILL all descendants of this process until there are none; `wait` sleeps until a child ends."""
    until = time.monotonic() + deadline_seconds
    while _has_children() and time.monotonic() < until:
        for one in procfs.descendants(procfs.processes(), [os.getpid()]):
            procfs.send(one, signal.SIGKILL)
        wait(0.05)
        for _ in reap(before=lambda pid: None):
            pass


def _next_ended() -> os.waitid_result | None:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _opened(cwd: str, make_cwd: bool, output: str) -> int:
    """The output, for appending; the current folder is `cwd` then. Raises CannotStart."""
    _enter(cwd, make_cwd)
    try:
        return os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
    except (OSError, ValueError) as error:
        raise CannotStart(_in_words(error)) from error


def _enter(cwd: str, make: bool) -> None:
    try:
        if make:
            _make(cwd)
        os.chdir(cwd)
    except (OSError, ValueError) as error:
        raise CannotStart(f"cannot use the working directory: {_in_words(error)}") from error


def _make(cwd: str) -> None:
    try:
        os.mkdir(cwd)  # noqa: PTH102 - pathlib costs 13 ms
    except FileExistsError:
        return
    except FileNotFoundError:
        os.makedirs(cwd, exist_ok=True)  # noqa: PTH103 - pathlib costs 13 ms


def _search(name: bytes, path: bytes) -> bytes:
    for folder in path.split(b":"):
        program = (folder or b".") + b"/" + name
        if os.access(program, os.X_OK) and not os.path.isdir(program):  # noqa: PTH112 - pathlib costs 13 ms
            return program
    raise FileNotFoundError(errno.ENOENT, "not found in PATH", name)


def _encoded(environment: Mapping[str, str]) -> Environment:
    return {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}


def _in_locale(name: str, value: str) -> bytes:
    try:
        return os.fsencode(value)
    except UnicodeEncodeError as error:
        letter = value[error.start]
        raise CannotStart(f"the locale has no letter {letter!r}, which {name} holds; use one with UTF-8") from error


def _in_words(error: OSError | ValueError) -> str:
    """`no such file or directory: '/x/y'`."""
    if not isinstance(error, OSError):
        return str(error)
    text = error.strerror or str(error)
    text = text[:1].lower() + text[1:]
    if error.filename is None:
        return text
    name = os.fsdecode(error.filename)
    if error.errno == errno.ENOENT and os.access(name, os.X_OK):
        text = "the interpreter in its first line does not exist"
    if error.errno == errno.ENOEXEC:
        text += " (a script without a first line like #!/bin/sh?)"
    return f"{text}: {name!r}"

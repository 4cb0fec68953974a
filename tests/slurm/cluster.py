"""A Slurm of four nodes on this host, for the tests: started once per run of pytest, whatever the number of workers."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from balsam_core.batch.asking import Shell
from balsam_core.plugins import Command, CommandResult
from tests.postgres import free_port

HERE = Path(__file__).parent
NODES = 4
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun", "salloc")
_START_SECONDS = 60.0
_T = TypeVar("_T")


def why_not() -> str:
    """Why no Slurm can run here; empty: one can."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    if missing:
        return f"no {missing[0]} here; tests/slurm/install.sh installs Slurm as root on Debian"
    return "" if os.geteuid() == 0 else "only root can start Slurm's daemons"


class SlurmCluster:
    """All workers of one run of pytest use the same; the last one ends it."""

    def __init__(self) -> None:
        # Not below a folder of pytest: those are closed to ordinary users.
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")
        self.folder = Path(tempfile.gettempdir()) / f"balsam-slurm-{run}"
        self._conf = self.folder / "slurm.conf"
        self._starting, self._using, self._disturbing = (
            _Lock(self.folder.with_suffix(f".{name}")) for name in ("starting", "using", "disturbing")
        )

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment in which Slurm's commands find this cluster."""
        return {**os.environ, "PATH": _path(), "SLURM_CONF": str(self._conf)}

    @property
    def shell(self) -> Shell:
        """Runs commands as the core does."""
        return Shell(self.environ, 30.0)

    def run(self, *argv: str, **environ: str) -> CommandResult:
        """Run a command to its end."""
        return self.shell.run(Command(argv, environ))

    def up(self) -> None:
        """Start what does not run."""
        with self._starting.held(fcntl.LOCK_EX):
            self._using.take(fcntl.LOCK_SH)
            self._script("slurm-up.sh")

    def down(self) -> None:
        """End it, unless another worker uses it."""
        with self._starting.held(fcntl.LOCK_EX):
            if self._using.take(fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._script("slurm-down.sh")
                for lock in (self._disturbing, self._using, self._starting):
                    lock.path.unlink(missing_ok=True)
            self._using.release()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """While nobody makes an outage."""
        with self._disturbing.held(fcntl.LOCK_SH):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other test uses it."""
        with self._disturbing.held(fcntl.LOCK_EX):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """slurmctld is down; begins when no test is undisturbed, and ends when all nodes can be used again."""
        with self.alone():
            pid = int((self.folder / "run" / "slurmctld.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not Path(f"/proc/{pid}").exists())
            try:
                yield
            finally:
                self._script("slurm-up.sh")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Commands give up soon: by default each tries for 10 s."""
        patient = self._conf
        self._conf = self.folder / "impatient.conf"
        self._conf.write_text(f"{patient.read_text()}MessageTimeout=1\n")
        yield
        self._conf = patient

    def _script(self, name: str) -> None:
        port = {} if (self.folder / "slurm.conf").exists() else {"SLURM_PORT": str(_free_ports(NODES + 1))}
        environ = {**os.environ, "PATH": _path(), "SLURM_NODES": str(NODES), **port}
        # Daemons keep the files that they are given: a pipe would never end.
        with tempfile.TemporaryFile() as said:
            words = [str(HERE / name), str(self.folder)]
            code = subprocess.run(
                words, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=_START_SECONDS
            ).returncode
            said.seek(0)
            if code:
                raise RuntimeError(f"{name}: {said.read().decode()}")


class _Lock:
    """A lock between processes; a process that dies gives it back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def take(self, how: int) -> bool:
        """Whether it was taken, in the way of flock(2)."""
        if self._file is None:
            self._file = self.path.open("wb")
        try:
            fcntl.flock(self._file, how)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def held(self, how: int) -> Iterator[None]:
        """Take it, and give it back."""
        self.take(how)
        try:
            yield
        finally:
            self.release()


def started() -> Iterator[SlurmCluster]:
    """A cluster for the tests of one process."""
    cluster = SlurmCluster()
    cluster.up()
    yield cluster
    cluster.down()


def wait_until(look: Callable[[], _T], seconds: float = 90.0, every: float = 0.1) -> _T:
    """What `look` returns as soon as that is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(every)
    return seen


def _path() -> str:
    """Daemons lie where an ordinary PATH does not look."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    while True:
        first = free_port()
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first

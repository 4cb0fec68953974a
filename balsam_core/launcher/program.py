"""The MPI command that runs one rank per node, as the launcher sees it: orders in, news out, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from balsam_core.errors import LaunchError
from balsam_core.launcher.plan import News, news_in, order_line
from balsam_core.launcher.sweep import RANKS_VARIABLE, sweep
from balsam_core.plugins import Command

_READ_BYTES = 1 << 16
_STOP_SECONDS = 2.0


class Program:
    """One start of the ranks; `mark` is what its processes carry in BALSAM_RANKS_ID."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._orders = process.stdin
        self._output = process.stdout
        self._text = b""
        self._heard = time.monotonic()
        self.mark = mark
        self.has_begun = False
        self.is_closed = False

    def fileno(self) -> int:
        """For a selector: readable when there is news, its end included."""
        return self._output.fileno()

    @property
    def silent_seconds(self) -> float:
        """Since its last news."""
        return time.monotonic() - self._heard

    def stop(self, reason: str) -> None:
        """Tell the master to stop; with an empty reason: to end when nothing more can run."""
        # A program that has ended takes no order: its output tells.
        with contextlib.suppress(BrokenPipeError):
            self._orders.write(order_line(reason).encode())
            self._orders.flush()

    def news(self) -> Iterator[News]:
        """What the master has said; what others have printed goes to our own standard error."""
        self._read()
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            news = news_in(text)
            if news is None:
                print(text, file=sys.stderr)
            else:
                self._heard, self.has_begun = time.monotonic(), True
                yield news

    def end(self) -> str:
        """End what is left of it on this host; how it ended."""
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
        self._output.close()
        sweep(self.mark, variable=RANKS_VARIABLE)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.fileno(), _READ_BYTES):
                self._text += chunk
            self.is_closed = True


def start_program(command: Command, environ: Mapping[str, str], mark: str) -> Program:
    """Start the ranks; raises LaunchError when the command is missing."""
    try:
        process = subprocess.Popen(
            command.argv,
            # Nothing in the user's folder is to stand in for one of our modules.
            cwd="/",
            env={**environ, **command.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise LaunchError(f"cannot run {command.argv[0]}: {str(error.strerror).lower()}; check [mpi] name") from error
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    return Program(process, mark)

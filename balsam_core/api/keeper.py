"""A launcher for as long as a program wants it: it ends with that program, however that ends.

Between the two stands a process that waits for the end of its standard input: `python -m balsam_core.api.keeper`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from balsam_core.errors import LaunchError

# A launcher that was told to end does so within 8 s.
_END_SECONDS = 15.0
_MOST_BYTES = 1_000_000
_log = logging.getLogger(__name__)


class KeptLauncher:
    """A launcher of one workflow in the background, started at once; what it logs is in the site's folder `log`."""

    def __init__(self, site: Path, workflow: str) -> None:
        self._workflow = workflow
        self._pid = os.getpid()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the launcher
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "balsam_core.api.keeper", workflow],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            cwd=site,
            env={**os.environ, "BALSAM_DB_PATH": str(site)},
            # Ctrl-C is for the program, which then says what becomes of the calls.
            start_new_session=True,
        )

        threading.Thread(target=self._wait_and_tell, name="balsam-keeper", daemon=True).start()

    def check(self) -> None:
        """Raise LaunchError, with its last words, when it has ended by itself."""
        if self._keeper.stdin is None or self._keeper.stdin.closed or self._keeper.poll() is None:
            return
        said = os.pread(self._output.fileno(), _MOST_BYTES, 0).decode(errors="replace")
        lines = said.splitlines() or [f"exit code {self._keeper.returncode}"]
        raise LaunchError(
            f"the launcher of the workflow {self._workflow!r} ended: {lines[-1]}; its calls wait for another"
        )

    def end(self) -> None:
        """Tell it to end; a child process, which has inherited it, does not."""
        if self._keeper.stdin is not None and os.getpid() == self._pid:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.close()

    def _wait_and_tell(self) -> None:
        # Whoever waits for a result would never hear of it.
        self._keeper.wait()
        try:
            self.check()
        except LaunchError as error:
            _log.error("%s", error)

    def wait(self) -> None:
        """Until it has ended, after `end`."""
        if os.getpid() == self._pid:
            self._keeper.wait(2 * _END_SECONDS)


def main(workflow: str) -> int:
    """Run a launcher until standard input ends; its exit code."""
    words = ["launcher", "--wf-filter", workflow, "--job-mode", "serial", "--persistent"]
    launcher = subprocess.Popen([sys.executable, "-m", "balsam_core", *words], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, args=(launcher,), daemon=True).start()
    return launcher.wait()


def _end_with_input(launcher: subprocess.Popen[bytes]) -> None:
    # Not through `sys.stdin`: Python cannot end while a thread reads from that.
    while os.read(0, 1024):
        pass
    launcher.terminate()
    try:
        launcher.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Files from and to `user@host:path`, by rsync where both hosts have it, else by scp; the user's ssh settings count.

Nobody is asked for a password: a key or an agent must open the way.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from balsam_core.errors import BalsamError
from balsam_core.transitions.copying import PART, move, part_name
from balsam_core.transitions.persistence import Limits, Say, persist
from balsam_core.transitions.urls import StagingError, TransferError, host_path

# rsync(1): a file vanished or cannot be read or written. 127: the other host's shell found no rsync.
_PARTIAL = 23
_NOT_FOUND = 127
_KEEPALIVES = 3


class NoRsync(StagingError):
    """One of the two hosts has no rsync."""


class SshFailed(BalsamError):
    """A command failed in a way that may pass."""


class SshMover:
    """Moves all files of a URL by one command; of what is there already rsync sends only the blocks that differ."""

    def __init__(self, url: str, limits: Limits, say: Say) -> None:
        self._url = url
        self._host, self._path = host_path(url)
        self._silence_seconds = max(1, round(limits.silence_seconds))
        self._limits = limits
        self._say = say

    def fetch(self, target: Path) -> None:
        """See `staging.Mover`."""
        folder = target / part_name()
        folder.mkdir()
        try:
            self._by_either(lambda: self._rsync_in(target, folder), lambda: self._scp_in(target, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def deliver(self, found: Sequence[Path]) -> None:
        """See `staging.Mover`."""
        if found:
            paths = [str(path) for path in found]
            self._by_either(lambda: self._rsync_out(paths), lambda: self._scp_out(paths))

    def _rsync_in(self, target: Path, folder: Path) -> None:
        self._rsync([f"--temp-dir={folder}"], [f"{self._host}:{self._path}"], f"{target}/")

    def _rsync_out(self, paths: Sequence[str]) -> None:
        self._there("mkdir", "-p", "--", self._path)
        self._rsync([], paths, f"{self._host}:{self._path}/")

    def _rsync(self, options: Sequence[str], sources: Sequence[str], target: str) -> None:
        # -s: the other host's shell does not see the paths. Links are followed, as by all ways to other hosts. -I: what
        # was written again within a second, with as many bytes, is not taken for what is there.
        argv = ["rsync", "-rLptsI", f"--timeout={self._silence_seconds}", "--out-format=%n: %l bytes"]
        argv += [f"--exclude={PART}*", "-e", " ".join(["ssh", *self._options()]), *options, "--", *sources, target]
        self._run(argv)

    def _scp_in(self, target: Path, folder: Path) -> None:
        self._run([*self._scp(), f"{self._host}:{self._path}", f"{folder}/"])
        for path in sorted(folder.iterdir()):
            self._say(f"{path.name}: here")
            move(path, target / path.name)

    def _scp_out(self, paths: Sequence[str]) -> None:
        name = part_name()
        folder = f"{self._path}/{name}"
        self._there("mkdir", "-p", "--", folder)
        try:
            self._run([*self._scp(), *paths, f"{self._host}:{folder}/"])
            self._run_there(f"cd {shlex.quote(folder)} && {_UP} && rm -rf ../{name}")
        except Exception:
            with suppress(BalsamError):
                self._there("rm", "-rf", "--", folder)
            raise

    def _scp(self) -> list[str]:
        return ["scp", "-rpq", *self._options(), "--"]

    def _there(self, *words: str) -> None:
        """Run a command on the other host; its shell gets quoted words."""
        self._run_there(shlex.join(words))

    def _run_there(self, command: str) -> None:
        self._run(["ssh", *self._options(), "--", self._host, command])

    def _options(self) -> list[str]:
        return [
            "-oBatchMode=yes",
            f"-oConnectTimeout={self._silence_seconds}",
            f"-oServerAliveInterval={max(1, self._silence_seconds // _KEEPALIVES)}",
            f"-oServerAliveCountMax={_KEEPALIVES}",
        ]

    def _by_either(self, by_rsync: Callable[[], None], by_scp: Callable[[], None]) -> None:
        try:
            if shutil.which("rsync") is None:
                raise NoRsync
            self._persist(by_rsync)
        except NoRsync:
            self._say(f"{self._url}: no rsync on both hosts; by scp")
            self._persist(by_scp)

    def _persist(self, attempt: Callable[[], None]) -> None:
        # What these commands say names the host and the file.
        persist("", attempt, self._limits, self._say)

    def _run(self, argv: Sequence[str]) -> None:
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        except FileNotFoundError as error:
            raise StagingError(f"cannot stage {self._url}: {argv[0]} is not installed; install OpenSSH") from error
        if done.returncode == 0:
            return
        if argv[0] == "rsync" and done.returncode == _NOT_FOUND:
            raise NoRsync
        # What rsync says last is where in its source it ended.
        lines = [line.strip() for line in done.stderr.splitlines() if not line.startswith("rsync error: ")]
        words = "; ".join(filter(None, lines)) or f"{argv[0]} ended with exit code {done.returncode}"
        if argv[0] == "rsync" and done.returncode == _PARTIAL:
            raise TransferError(words)
        raise SshFailed(words)


# In the folder of an upload: what it holds goes up one level, each file at one stroke.
_UP = (
    r"find . -type d -exec chmod u+rwx {} + && find . -type d ! -name . -exec mkdir -p ../{} \;"
    r" && find . ! -type d -exec mv -f {} ../{} \;"
)

"""Sees to it that a runner lives while there is anything to run, and ends what a dead one left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from balsam_local.queue import processes
from balsam_local.queue.folder import Folder
from balsam_local.queue.jobs import State


def attend(folder: Folder, environ: Mapping[str, str]) -> str:
    """Called by every command, under the folder's lock; why no runner could be started, else nothing."""
    lock = folder.take_runner()
    if lock is None:
        return ""
    try:
        end_leftovers(folder, environ.get(processes.MARK_VARIABLE, ""))
        if folder.active():
            _start_runner(folder, lock, environ)
        return ""
    except OSError as error:
        return f"no runner could be started: {error}"
    finally:
        # A runner that was started has the lock open as well, and keeps it.
        os.close(lock)


def end_leftovers(folder: Folder, own_mark: str = "") -> None:
    """What a dead runner had started is killed and has FAILED; what waited goes on waiting.

    own_mark: of the batch job that this process is a part of, if any; it is left to the next runner, which is not.
    """
    for job_id in folder.active():
        job = folder.read(job_id)
        if job is None or job.state is State.WAITING or (own_mark and job.mark == own_mark):
            continue
        if job.is_over:
            folder.settle(job_id)
            continue
        reason = job.reason if job.state is State.UNREADABLE else "the runner died"
        if job.boot_id and job.boot_id != processes.boot_id():
            reason = "the machine was booted anew"
        else:
            processes.sweep(job.pid, job.start_ticks, job.mark)
        folder.end(job, State.FAILED, reason)


def _start_runner(folder: Folder, lock: int, environ: Mapping[str, str]) -> None:
    """The new process has the lock from its first moment on, so there is never a second one.

    It is no part of what submits: a session of its own, and no variable by which a launcher finds what it started.
    """
    with (folder.path / "runner.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "balsam_local.queue", f"--path={folder.path}", "run", str(lock)],
            env={name: value for name, value in environ.items() if not name.startswith("BALSAM_")},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock,),
        )

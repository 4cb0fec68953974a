"""Runs one batch job of a fake scheduler from its start to its end, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from balsam_core.testing.fake_batch.faces import Face, face_of
from balsam_core.testing.fake_batch.folder import Folder
from balsam_core.testing.fake_batch.jobs import ENDING, OVER, BatchJob
from balsam_core.testing.fake_batch.queue import Queue

# All processes of a batch job carry it, so that a test can end them.
MARK = "FAKE_BATCH_JOB"
_LOOK_SECONDS = 0.05


def run(folder: Folder, number: int) -> None:
    """Start the batch job, wait for its end, and start those that waited for its nodes."""
    face = face_of(folder.config)
    job = folder.read(number)
    code = _run_script(folder, face, job)
    with folder.locked():
        job = replace(folder.read(number), state=OVER, exit_status=code, ended_at=time.time())
        _deliver(folder, job)
        face.note_end(job)
        folder.save(job)
        Queue(folder).attend()


def mark_of(folder: Folder, number: int) -> str:
    """The variable in the environment of all processes of a batch job."""
    return f"{MARK}={folder.path}/{number}"


def _run_script(folder: Folder, face: Face, job: BatchJob) -> int:
    """The exit status of its first process; -1: it could not be started."""
    name, _, value = mark_of(folder, job.number).partition("=")
    environ = {**face.environ(folder, job), **folder.config.environ, **job.environ, name: value}
    try:
        with _outputs(folder, job) as (out, err), _file_of(folder, job).open("rb") as stdin:
            process = subprocess.Popen(
                job.argv,
                executable=job.facts.get("executable"),
                cwd=face.starts_in(job),
                env=environ,
                stdin=stdin,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
    except OSError as error:
        print(f"{job.number}: {error}", flush=True)
        return -1
    with folder.locked():
        folder.save(replace(folder.read(job.number), pid=process.pid))
    _watch(folder, job, process)
    # What the first process left behind.
    _signal(process.pid, signal.SIGKILL)
    return process.wait()


def _watch(folder: Folder, job: BatchJob, process: subprocess.Popen[bytes]) -> None:
    """Return when the first process is over: by itself, by its walltime, or because somebody deleted the batch job."""
    until, kill_at = time.monotonic() + job.walltime_seconds, None
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = time.monotonic()
        if kill_at is not None and now >= kill_at:
            _signal(process.pid, signal.SIGKILL)
        elif kill_at is None and (now >= until or folder.read(job.number).stopped):
            _note_stop(folder, job.number)
            _signal(process.pid, signal.SIGTERM)
            kill_at = now + folder.config.grace_seconds
        time.sleep(_LOOK_SECONDS)


def _note_stop(folder: Folder, number: int) -> None:
    with folder.locked():
        job = folder.read(number)
        folder.save(replace(job, state=ENDING, stopped=job.stopped or "walltime"))


def _signal(session: int, signum: signal.Signals) -> None:
    """To all processes of a session."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - only names are wanted
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(name)) == session:
                    os.kill(int(name), signum)


@contextlib.contextmanager
def _outputs(folder: Folder, job: BatchJob) -> Iterator[tuple[int, int]]:
    """The descriptors of its standard output and standard error."""
    paths = [_spool_file(folder, job, path) if job.spooled else Path(path) for path in (job.output, job.error)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptors = [os.open(path, flags, 0o600) for path in paths]
    try:
        yield descriptors[0], descriptors[1]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _file_of(folder: Folder, job: BatchJob) -> Path:
    """What its first process reads."""
    file = folder.spool / f"{job.number}.stdin"
    file.write_text(job.stdin)
    return file


def _spool_file(folder: Folder, job: BatchJob, path: str) -> Path:
    return folder.spool / f"{job.number}.{'output' if path == job.output else 'error'}"


def _deliver(folder: Folder, job: BatchJob) -> None:
    """Spooled output reaches its place at the end; where that is gone, it stays."""
    for path in {job.output, job.error} if job.spooled else ():
        with contextlib.suppress(OSError):
            shutil.move(_spool_file(folder, job, path), path)

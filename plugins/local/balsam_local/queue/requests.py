"""What the queue's command does: submit, status, cancel, history, find."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from balsam_local.queue import running
from balsam_local.queue.errors import RequestRefused
from balsam_local.queue.folder import Folder
from balsam_local.queue.jobs import BatchJob, State, row
from balsam_local.queue.keeper import attend

Row = dict[str, object]
# A launcher's marks on what it started: a batch job is not its own, and outlives it.
_MARKS_OF_LAUNCHERS = ("BALSAM_LAUNCHER_ID", "BALSAM_RANKS_ID")


def check(job: BatchJob) -> None:
    """Raises RequestRefused when the batch job can never run."""
    if job.nodes > job.machine_nodes:
        there = "there is 1" if job.machine_nodes == 1 else f"there are {job.machine_nodes}"
        raise RequestRefused(
            f"{job.nodes} nodes were asked for and {there}; ask for fewer, or set [local] virtual_nodes"
        )
    for name, folder in (("working directory", job.workdir), ("folder of the output", str(Path(job.output).parent))):
        if not Path(folder).is_dir():
            raise RequestRefused(f"the {name} {folder!r} is not there; make it first")
    try:
        running.interpreter(Path(job.script))
    except (OSError, ValueError) as error:
        raise RequestRefused(f"{job.script!r} is no batch script: {error}") from error


def submit(folder: Folder, job: BatchJob, environ: Mapping[str, str]) -> tuple[int, str]:
    """Put a batch job that was checked into the queue; its id, and why no runner could be started."""
    kept = {name: value for name, value in environ.items() if name not in _MARKS_OF_LAUNCHERS}
    with folder.locked():
        new = replace(job, id=folder.new_id(), submitted_at=time.time(), environ=kept, umask=_umask())
        folder.save(new)
        trouble = attend(folder, environ)
    folder.wake_up()
    return new.id, trouble


def status(folder: Folder, ids: Sequence[int], environ: Mapping[str, str]) -> list[Row]:
    """What is known of these batch jobs; no ids: of all that wait or run."""
    with folder.locked():
        trouble = attend(folder, environ)
        active = folder.active()
        jobs = _read(folder, dict.fromkeys(ids or active))
        before = dict(zip(active[1:], active, strict=False))
    return [row(job, time.monotonic(), _why_it_waits(job, before.get(job.id), trouble)) for job in jobs]


def cancel(folder: Folder, ids: Sequence[int], environ: Mapping[str, str]) -> list[Row]:
    """End these batch jobs; the answers: cancelled (it waited), stopping (it runs), over, unknown."""
    with folder.locked():
        attend(folder, environ)
        answers = {job_id: _cancel(folder, job_id) for job_id in ids}
    folder.wake_up()
    return [{"id": str(job_id), "answer": answer} for job_id, answer in answers.items()]


def history(folder: Folder, ids: Sequence[int], environ: Mapping[str, str]) -> list[Row]:
    """Those of these batch jobs that are over, in the order of their submission; no ids: all."""
    with folder.locked():
        attend(folder, environ)
        ended = folder.ended()
        jobs = _read(folder, [job_id for job_id in ended if not ids or job_id in ids])
    return [row(job, time.monotonic()) for job in jobs]


def find(folder: Folder, name: str, environ: Mapping[str, str]) -> list[Row]:
    """The batch jobs of that name, in the order of their submission."""
    with folder.locked():
        attend(folder, environ)
        jobs = _read(folder, sorted([*folder.active(), *folder.ended()]))
    return [row(job, time.monotonic()) for job in jobs if job.name == name]


def _cancel(folder: Folder, job_id: int) -> str:
    job = folder.read(job_id)
    if job is None:
        return "unknown"
    if job.is_over:
        return "over"
    if job.state is State.WAITING:
        folder.end(job, State.CANCELLED, "cancelled before it started")
        return "cancelled"
    folder.save(replace(job, cancel=True))
    return "stopping"


def _read(folder: Folder, ids: Iterable[int]) -> list[BatchJob]:
    found = (folder.read(job_id) for job_id in ids)
    return [job for job in found if job is not None]


def _why_it_waits(job: BatchJob, before: int | None, trouble: str) -> str:
    if job.state is not State.WAITING:
        return ""
    return trouble or (f"behind batch job {before}" if before else "first in line")


def _umask() -> int:
    old = os.umask(0o077)
    os.umask(old)
    return old

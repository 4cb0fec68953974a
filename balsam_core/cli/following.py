"""Prints what a job writes into its output, until the job ends."""

from __future__ import annotations

import time
from pathlib import Path

from balsam_core.cli.output import print_text, tell
from balsam_core.growing import Growing
from balsam_core.models.job import Job
from balsam_core.state.machine import RUNNABLE, State
from balsam_core.state.store import Store

_FILE_SECONDS = 0.2
_FILES_PER_STATE = 5

# A job in one of these has more to print; later ones are about what was printed.
_TO_RUN = RUNNABLE | {State.CREATED, State.AWAITING_PARENTS, State.READY, State.STAGED_IN}


def show_end(output: Path, lines: int) -> None:
    """Print the last lines."""
    if not output.exists():
        tell(f"there is no {output} yet")
    print_text(Growing(output).last_lines(lines))


def follow_job(store: Store, job: Job, output: Path, lines: int) -> None:
    """Print the last lines and what is added, until the job has run; raises JobNotFound when it is deleted meanwhile.

    A run that will be followed by another one, after a time limit, is not the end.
    """
    file = Growing(output)
    print_text(file.last_lines(lines))
    waited_for = False
    while _runs_again(job) or job.state is State.RUNNING:
        if _runs_again(job) and not waited_for:
            tell(f"waiting for {job.cute_id} to begin: it is {job.state}; `balsam explain {_short(job)}` says why")
        waited_for = _runs_again(job)
        for _ in range(_FILES_PER_STATE):
            print_text(file.added())
            time.sleep(_FILE_SECONDS)
        job = store.job(job.job_id)
    # The state was read first: all that the run wrote is in the file by now.
    print_text(file.added())
    tell(f"{job.cute_id} is {job.state}")


def _runs_again(job: Job) -> bool:
    """Whether the job is yet to run, for the first time or once more."""
    return job.state in _TO_RUN or (job.state is State.RUN_TIMEOUT and job.auto_timeout_retry)


def _short(job: Job) -> str:
    return str(job.job_id)[:8]

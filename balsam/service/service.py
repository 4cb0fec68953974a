"""Submits batch jobs for programs: `service.submit_qlaunch(QueuedLaunch(nodes=8, ...), verbose=True)`."""

from __future__ import annotations

import os
import shlex

from balsam.core.models import QueuedLaunch
from balsam.core.site import current_site, store
from balsam.launcher.allocation import registry
from balsam_core.batch.asking import Shell
from balsam_core.batch.submission import Submission, Submitted, Wanted

__all__ = ["submit_qlaunch"]


def submit_qlaunch(qlaunch: QueuedLaunch, verbose: bool = False) -> None:
    """Submit a batch job whose launcher runs the site's jobs; `verbose`: print the scheduler's id.

    Raises JobSpecError, ConfigError, SchedulerError.
    """
    done = _submit(qlaunch)
    qlaunch.take(done.number)
    if verbose:
        print(f"Submit OK: {done.scheduler} job {done.scheduler_id}, our number {done.number}")


def _submit(qlaunch: QueuedLaunch) -> Submitted:
    settings = current_site().settings
    wanted = Wanted(
        nodes=int(qlaunch.nodes),
        time_limit_minutes=int(qlaunch.wall_minutes),
        job_mode="mpi" if (qlaunch.job_mode or settings.launcher.default_job_mode) == "mpi" else "serial",
        queue=qlaunch.queue or None,
        project=qlaunch.project or None,
        wf_filter=qlaunch.wf_filter or None,
        sched_flags=tuple(shlex.split(qlaunch.sched_flags or "")),
    )
    shell = Shell(os.environ, settings.scheduler.command_timeout_seconds)
    return Submission(current_site(), store(), settings, registry(), shell).submit(wanted)

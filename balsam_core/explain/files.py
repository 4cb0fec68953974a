"""The ends of files that show what a job, a script, a batch job or a launcher did last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from balsam_core.explain.facts import Excerpt, LauncherFacts, Move
from balsam_core.growing import Growing, end_of
from balsam_core.models.job import Job
from balsam_core.state.machine import State
from balsam_core.transitions.copying import LOG
from balsam_core.workdirs import Workdirs

_LINES = 10
# A launcher's log is named by a moment before it registers; finding the nodes takes a while.
_LOG_BEFORE_SECONDS = 300.0

# Which log tells of a job in this state, or of one that failed in it.
_LOGS = {
    State.READY: LOG,
    State.POSTPROCESSED: LOG,
    State.STAGED_IN: "preprocess.log",
    State.RUN_DONE: "postprocess.log",
    State.RUN_ERROR: "postprocess.log",
    State.RUN_TIMEOUT: "postprocess.log",
}


def excerpt(what: str, file: Path) -> Excerpt | None:
    """The last lines of a file; None: it is not there, or is empty."""
    lines = end_of(Growing(file), _LINES).splitlines()
    return Excerpt(what, str(file), tuple(lines)) if lines else None


def output(workdirs: Workdirs, job: Job) -> Excerpt | None:
    """What a job that has begun printed last."""
    return excerpt("the end of its output", workdirs.output_of(job)) if job.attempt else None


def script_log(workdirs: Workdirs, job: Job, moves: Sequence[Move]) -> Excerpt | None:
    """What the script or the staging wrote last that is due now, or that made the job fail."""
    state = State(moves[-1].from_state) if job.state is State.FAILED and moves else job.state
    handles = {State.RUN_ERROR: job.post_error_handler, State.RUN_TIMEOUT: job.post_timeout_handler}
    if state not in _LOGS or not handles.get(state, True):
        return None
    whose = "staging" if _LOGS[state] == LOG else "script"
    return excerpt(f"the end of its {whose}'s log", workdirs.of(job) / _LOGS[state])


def launch_outputs(prefix: Path) -> tuple[Excerpt, ...]:
    """What a batch job printed last, into files that its scheduler named."""
    files = sorted(file for file in prefix.parent.glob(f"{prefix.name}.*") if file.suffix != ".sh")
    return tuple(found for file in files if (found := excerpt("the end of its output", file)) is not None)


def launcher_log(folder: Path, launcher: LauncherFacts) -> Excerpt | None:
    """The end of a launcher's log, which is named by the launcher's pid and by when it began."""
    before = {file: launcher.started_at - _stamp(file) for file in folder.glob(f"launcher-*-{launcher.pid}.log")}
    fitting = [file for file, seconds in before.items() if -1 <= seconds < _LOG_BEFORE_SECONDS]
    return excerpt("the end of its log", min(fitting, key=before.__getitem__)) if fitting else None


def _stamp(log: Path) -> float:
    """When a launcher's log was begun, by its name; 0: it does not say."""
    try:
        return datetime.strptime(log.stem.split("-", 1)[1].rpartition("-")[0], "%Y%m%d-%H%M%S").timestamp()
    except ValueError:
        return 0.0

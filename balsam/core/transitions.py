"""One step between two states, done here and now, for programs that move jobs on themselves.

Each sets `job.state` to where the job goes and saves nothing; `BalsamJob.batch_update_state` or `job.save()` does. A
launcher does these steps for all other jobs by itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from balsam.core.models import PROCESSABLE_STATES, BalsamJob
from balsam.core.site import current_site
from balsam.launcher.exceptions import BalsamTransitionError, TransitionNotFoundError
from balsam.launcher.util import get_tail
from balsam_core.errors import BalsamError
from balsam_core.models.app import AppSpec
from balsam_core.state.machine import State
from balsam_core.transitions import staging
from balsam_core.transitions.scripts import Script, begin_log, script_of

__all__ = [
    "POSTPROCESS_TIMEOUT_SECONDS",
    "PREPROCESS_TIMEOUT_SECONDS",
    "PROCESSABLE_STATES",
    "TRANSITIONS",
    "check_parents",
    "handle_run_error",
    "handle_timeout",
    "postprocess",
    "preprocess",
    "stage_in",
    "stage_out",
]

PREPROCESS_TIMEOUT_SECONDS = POSTPROCESS_TIMEOUT_SECONDS = current_site().settings.launcher.script_timeout_seconds


def check_parents(job: BalsamJob) -> None:
    """READY when it waits for nothing, else AWAITING_PARENTS."""
    unfinished = job.get_parents().exclude(state="JOB_FINISHED")
    waits = bool(getattr(job, "wait_for_parents")) and unfinished.exists()  # noqa: B009 not declared
    job.state = "AWAITING_PARENTS" if waits else "READY"


def stage_in(job: BalsamJob) -> None:
    """Copy its input and link its parents' files; raises BalsamTransitionError."""
    parents = {parent.pk: Path(parent.working_directory) for parent in job.get_parents()}
    core = job._core()
    try:
        staging.stage_in(_workdir(job), url=core.stage_in_url, patterns=core.input_files, parents=parents)
    except (BalsamError, OSError) as error:
        raise BalsamTransitionError(f"{job.cute_id}: stage-in failed: {error}") from error
    job.state = "STAGED_IN"


def stage_out(job: BalsamJob) -> None:
    """Copy its output; raises BalsamTransitionError."""
    core = job._core()
    try:
        if core.stage_out_url and core.stage_out_files:
            staging.stage_out(_workdir(job), url=core.stage_out_url, patterns=core.stage_out_files)
    except (BalsamError, OSError) as error:
        raise BalsamTransitionError(f"{job.cute_id}: stage-out failed: {error}") from error
    job.state = "JOB_FINISHED"


def preprocess(job: BalsamJob) -> None:
    """Run the preprocess script, if there is one; raises BalsamTransitionError."""
    _run(job, State.STAGED_IN)
    job.state = "PREPROCESSED"


def postprocess(job: BalsamJob, *, error_handling: bool = False, timeout_handling: bool = False) -> None:
    """Run the postprocess script, if there is one; as a handler it must move the job. Raises BalsamTransitionError.

    A state that the script set itself stands.
    """
    if error_handling and timeout_handling:
        raise ValueError("a postprocess script handles an error or a timeout, not both")
    before = State.RUN_ERROR if error_handling else State.RUN_TIMEOUT if timeout_handling else State.RUN_DONE
    ran = _run(job, before)
    state = str(BalsamJob.objects.get(pk=job.pk).state) if ran else before.value
    if state == before.value and before is not State.RUN_DONE:
        raise BalsamTransitionError(f"{job.cute_id}: the handler did not move the job out of {before}")
    job.state = "POSTPROCESSED" if state == State.RUN_DONE.value else state


def handle_timeout(job: BalsamJob) -> None:
    """What follows a RUN_TIMEOUT: the handler, a restart, or FAILED; raises BalsamTransitionError."""
    core = job._core()
    if core.post_timeout_handler and job.postprocess:
        postprocess(job, timeout_handling=True)
    elif core.auto_timeout_retry and not core.post_timeout_handler:
        job.state = "RESTART_READY"
    else:
        raise BalsamTransitionError(f"{job.cute_id}: no timeout handler takes care of it")


def handle_run_error(job: BalsamJob) -> None:
    """What follows a RUN_ERROR: the handler, or FAILED; raises BalsamTransitionError."""
    if not (job._core().post_error_handler and job.postprocess):
        raise BalsamTransitionError(f"{job.cute_id}: no error handler takes care of it")
    postprocess(job, error_handling=True)


class _Transitions(dict[str, Callable[[BalsamJob], None]]):
    def __missing__(self, state: str) -> Callable[[BalsamJob], None]:
        raise TransitionNotFoundError(f"no transition leads out of {state}; known: {', '.join(self)}")


TRANSITIONS: dict[str, Callable[[BalsamJob], None]] = _Transitions(
    CREATED=check_parents,
    AWAITING_PARENTS=check_parents,
    READY=stage_in,
    STAGED_IN=preprocess,
    RUN_DONE=postprocess,
    RUN_TIMEOUT=handle_timeout,
    RUN_ERROR=handle_run_error,
    POSTPROCESSED=stage_out,
)


def _run(job: BalsamJob, state: State) -> bool:
    """Run the script that a job in `state` waits for; whether there was one."""
    app = job.get_application() if job.application else None
    if app is None:
        return False
    spec = AppSpec.model_construct(
        name=app.name, executable=app.executable, preprocess=app.preprocess, postprocess=app.postprocess
    )
    try:
        script = script_of(job._core().model_copy(update={"state": state}), spec)
    except BalsamError as error:
        raise BalsamTransitionError(str(error)) from error
    if script is None:
        return False
    _run_script(job, script)
    return True


def _run_script(job: BalsamJob, script: Script) -> None:
    workdir = _workdir(job)
    begin_log(workdir, script)
    limit = PREPROCESS_TIMEOUT_SECONDS
    log = workdir / script.log
    with log.open("a") as output:
        try:
            done = subprocess.run(
                script.argv,
                cwd=workdir,
                env={**job.get_envs(), **script.environ},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BalsamTransitionError(script.failure(f"was stopped after its time limit of {limit:g} s")) from None
        except OSError as error:
            raise BalsamTransitionError(script.failure(f"could not be started ({error})")) from error
    if done.returncode != 0:
        raise BalsamTransitionError(script.failure(f"ended with exit code {done.returncode}", get_tail(log)))


def _workdir(job: BalsamJob) -> Path:
    folder = Path(job.working_directory)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

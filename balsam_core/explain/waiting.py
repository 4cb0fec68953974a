"""Why a job waits: for parents, for a script or staging, for a launcher that takes it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace

from balsam_core.explain.facts import Advice, Excerpt, Explanation, JobFacts, Relative
from balsam_core.explain.failures import no_application, printed, run_ended
from balsam_core.explain.takers import is_hopeless, not_known, takers, would_take, wrong_workflow
from balsam_core.explain.words import first_line, launcher_named, named, sentence, short, times
from balsam_core.state.machine import State

_PARENTS_SHOWN = 5


def before_parents(facts: JobFacts) -> Explanation:
    """CREATED, AWAITING_PARENTS."""
    if facts.app is None:
        return _without_app(facts)
    waits = waits_for(facts.parents) if facts.job.wait_for_parents else ()
    if not waits:
        return _waits_for_work(facts, "a launcher to take note of it")
    return Explanation(waits, advice=_help_parents(facts.parents))


def between(facts: JobFacts) -> Explanation:
    """READY, STAGED_IN, RUN_DONE, POSTPROCESSED: a script or staging is due, or nothing at all."""
    if facts.app is None and facts.job.state in _NEED_APP:
        return _without_app(facts)
    return _waits_for_work(facts, _WORK[facts.job.state](facts) or "a launcher to move it on")


def after_bad_end(facts: JobFacts) -> Explanation:
    """RUN_ERROR, RUN_TIMEOUT: a handler is due, or the move to what follows."""
    end = facts.moves[-1] if facts.moves else None
    rest = _waits_for_work(facts, _WORK[facts.job.state](facts) or "a launcher to move it on")
    return replace(
        rest, sentences=(*run_ended(facts, end), *rest.sentences), excerpts=printed(facts, end) + rest.excerpts
    )


def runnable(facts: JobFacts) -> Explanation:
    """PREPROCESSED, RESTART_READY."""
    again = _ran_before(facts)
    if facts.holder is not None:
        claimed = f"{launcher_named(facts.holder)} has claimed it, and starts it when there is room on its node"
        return Explanation((*again, sentence(claimed)))
    if facts.app is None:
        rest = _without_app(facts)
        return replace(rest, sentences=(*again, *rest.sentences))
    missing = tuple(sentence(f"On this host {wrong}") for wrong in facts.missing)
    lines = (*again, "It waits for a launcher that takes it.", *takers(facts), *not_known(facts), *missing)
    return Explanation(lines, advice=_to_be_taken(facts))


def start_a_launcher(facts: JobFacts) -> Advice:
    """The command that brings one which takes the job."""
    job = facts.job
    if facts.service is not None and wrong_workflow(job, facts.service.workflow) is None:
        return Advice("The service submits batch jobs; see what it is about to do", "balsam service status")
    words = ["--job-mode", "mpi" if job.num_ranks > 1 else "serial", "--wf-filter", shlex.quote(job.workflow)]
    if facts.scheduler == "local":
        return Advice("Start a launcher", " ".join(["balsam launcher", *words]))
    time = "MINUTES" if facts.minutes is None else str(facts.minutes)
    return Advice("Submit a batch job", " ".join(["balsam submit-launch -n", str(job.num_nodes), "-t", time, *words]))


def waits_for(parents: tuple[Relative, ...]) -> tuple[str, ...]:
    """The parents that are missing; none: there are none."""
    missing = [parent for parent in parents if parent.state is not State.JOB_FINISHED]
    if not missing:
        return ()
    shown = ", ".join(
        f"{named(parent.name, parent.job_id)} is {parent.state}{' and on hold' if parent.hold else ''}"
        for parent in missing[:_PARENTS_SHOWN]
    )
    more = f", and {len(missing) - _PARENTS_SHOWN} more" if len(missing) > _PARENTS_SHOWN else ""
    which = "its parent" if len(parents) == 1 else f"{len(missing)} of its {len(parents)} parents"
    return (f"It waits for {which}: {shown}{more}.",)


def _waits_for_work(facts: JobFacts, work: str) -> Explanation:
    """What launchers do for any job of their workflow, without giving it nodes."""
    if facts.holder is not None:
        return Explanation((sentence(f"{launcher_named(facts.holder)} is at it: {work}"),), _log(facts))
    lines = [f"It waits for {work}."]
    able = [one for one in facts.launchers if wrong_workflow(facts.job, one.workflow) is None]
    for launcher in facts.launchers:
        why = wrong_workflow(facts.job, launcher.workflow)
        says_so = f"does not: {why}" if why else "does that, so many at a time"
        lines.append(sentence(f"{launcher_named(launcher)} {says_so}"))
    if not facts.launchers:
        lines.append("No launcher runs.")
    return Explanation(tuple(lines), advice=() if able else (start_a_launcher(facts),))


def _to_be_taken(facts: JobFacts) -> tuple[Advice, ...]:
    job = short(facts.job.job_id)
    if hopeless := is_hopeless(facts.job, facts.shape):
        field = "gpus_per_rank" if "GPU" in hopeless else "memory_mb"
        text = f"By the settings no node fits: the job {hopeless}; ask for less"
        return (Advice(text, f"balsam modify {job} {field} N"),)
    if any(would_take(facts, launcher) for launcher in facts.launchers):
        return (Advice("Nothing is to be done: it runs when its turn comes"),)
    launch = next((one.job.number for one in facts.launches if would_take(facts, one)), None)
    if launch is not None:
        return (Advice("It runs when a batch job begins; see what that waits for", f"balsam explain launch {launch}"),)
    return (start_a_launcher(facts),)


def _without_app(facts: JobFacts) -> Explanation:
    name = facts.job.application
    why = f"There is no application named {name!r}." if name else "It names no application."
    return Explanation((why, "It fails when a launcher takes it up."), advice=no_application(facts, again=False))


def _help_parents(parents: tuple[Relative, ...]) -> tuple[Advice, ...]:
    missing = [parent for parent in parents if parent.state is not State.JOB_FINISHED]
    held = [parent for parent in missing if parent.hold]
    if held:
        return (Advice("Let its parents start", f"balsam release {' '.join(short(one.job_id) for one in held)}"),)
    return (Advice("See what the first of them waits for", f"balsam explain {short(missing[0].job_id)}"),)


def _ran_before(facts: JobFacts) -> tuple[str, ...]:
    """Why it is to run again."""
    if not facts.job.attempt:
        return ()
    last = facts.moves[-1] if facts.moves else None
    told = f": {first_line(last.message)}" if last is not None and last.message else ""
    ended = next((move for move in reversed(facts.moves) if move.from_state == State.RUNNING.value), None)
    so_far = f"it ran {times(facts.job.attempt)} before"
    came = f", the last time to {ended.to_state}" if ended is not None and ended is not last else ""
    return (sentence(f"{so_far}{came}, and is to run again{told}"),)


def _log(facts: JobFacts) -> tuple[Excerpt, ...]:
    return (facts.script_log,) if facts.script_log is not None else ()


def _stage_in(facts: JobFacts) -> str:
    job = facts.job
    return "its files to be staged in" if job.stage_in_url or (job.input_files and facts.parents) else ""


def _stage_out(facts: JobFacts) -> str:
    return "its files to be staged out" if facts.job.stage_out_url and facts.job.stage_out_files else ""


def _preprocess(facts: JobFacts) -> str:
    return "its preprocess script" if facts.app is not None and facts.app.preprocess else ""


def _postprocess(facts: JobFacts) -> str:
    return "its postprocess script" if facts.app is not None and facts.app.postprocess else ""


def _error_handler(facts: JobFacts) -> str:
    return "its postprocess script to handle the error" if facts.job.post_error_handler and _postprocess(facts) else ""


def _timeout_handler(facts: JobFacts) -> str:
    return (
        "its postprocess script to handle the timeout" if facts.job.post_timeout_handler and _postprocess(facts) else ""
    )


_NEED_APP = frozenset({State.READY, State.STAGED_IN})

_WORK: Mapping[State, Callable[[JobFacts], str]] = {
    State.READY: _stage_in,
    State.STAGED_IN: _preprocess,
    State.RUN_DONE: _postprocess,
    State.POSTPROCESSED: _stage_out,
    State.RUN_ERROR: _error_handler,
    State.RUN_TIMEOUT: _timeout_handler,
}

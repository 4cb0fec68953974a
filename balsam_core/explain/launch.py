"""Why a batch job is where it is: the scheduler's words, what showed each change, its launcher, what it would run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone

from balsam_core.counting import counted
from balsam_core.explain.facts import Advice, Explanation, LauncherFacts, LaunchFacts, LaunchMove
from balsam_core.explain.words import batch_job_named, lasting, launcher_named, sentence, since
from balsam_core.models.batch import LaunchState
from balsam_core.state.machine import RUNNABLE

_REASONS_SHOWN = 5
_LONGEST_ANSWER = 120


def explain_launch(facts: LaunchFacts) -> Explanation:
    """Where the batch job stands, who says so, and what follows for jobs."""
    job = facts.job
    sentences = (
        sentence(f"{batch_job_named(job)} is {job.state.value} since {since(job.state_at, facts.now)}"),
        _asked_for(facts),
        *_scheduler_says(facts),
        *_launchers(facts),
        *_would_run(facts),
        *map(_moved, facts.moves),
    )
    return Explanation(sentences, facts.outputs, _ADVICE[job.state](facts))


def _asked_for(facts: LaunchFacts) -> str:
    job = facts.job
    queue = f" in the queue {job.queue}" if job.queue else ""
    whose = f"the workflow {job.wf_filter}" if job.wf_filter else "all workflows"
    time = counted(job.time_limit_minutes, "minute")
    return f"It asks for {counted(job.nodes, 'node')} for {time}{queue}, to run jobs of {whose} in {job.job_mode} mode."


def _scheduler_says(facts: LaunchFacts) -> Iterator[str]:
    job = facts.job
    words = ": ".join(word for word in (job.raw_state, job.reason) if word)
    if words:
        code = "" if job.exit_code is None else f", exit code {job.exit_code}"
        yield sentence(f"{job.scheduler} said last: {words}{code}")
    else:
        yield sentence(f"{job.scheduler} has said nothing of it yet")
    if job.absent_since is not None and job.is_open:
        yield sentence(f"it was not in the last answer of {job.scheduler}; that alone means nothing")
    if facts.problem:
        yield sentence(f"{job.scheduler} gives no answer now: {facts.problem}")
    elif facts.answer_seconds is not None and job.is_open:
        yield sentence(f"{job.scheduler} was asked {lasting(facts.answer_seconds)} ago")
    if job.cancelled and job.is_open:
        yield sentence(f"{job.scheduler} has agreed to cancel it")
    if job.seconds_left is not None and job.state is LaunchState.RUNNING:
        yield sentence(f"{lasting(job.seconds_left)} of its time were left when {job.scheduler} said so")


def _launchers(facts: LaunchFacts) -> Iterator[str]:
    for launcher in facts.launchers:
        yield sentence(f"{launcher_named(launcher)} {_stands(launcher, facts.now)}")
    if not facts.launchers:
        yield f"No launcher of it has {'registered yet' if facts.job.is_open else 'ever registered'}."


def _stands(launcher: LauncherFacts, now: float) -> str:
    done = f"{counted(launcher.jobs_done, 'job')} done"
    if launcher.is_live:
        return f"is at work since {since(launcher.started_at, now)}: {done}, {sum(launcher.held.values())} held"
    if launcher.over:
        return f"is gone: {launcher.over}; {done}, {sum(launcher.held.values())} still to be taken back"
    return f"ended {since(launcher.ended_at or 0.0, now)}: {launcher.end_reason}; {done}"


def _would_run(facts: LaunchFacts) -> Iterator[str]:
    """What waits for it."""
    states = ", ".join(f"{count} {state}" for state, count in facts.would_run.items())
    if not states:
        if facts.job.is_open:
            yield "No unfinished job is of its workflows: its launcher would end at once."
        return
    yield f"Unfinished jobs of its workflows: {states}."
    if facts.looked_at:
        among = "" if facts.looked_at == _runnable(facts) else f" (the first {facts.looked_at})"
        which = "it" if facts.job.is_open else "another one like it"
        yield f"Of the runnable ones{among} {which} could start {facts.fits}."
    for reason, count in list(facts.refused.items())[:_REASONS_SHOWN]:
        yield sentence(f"not {counted(count, 'job')}: {reason}")


def _runnable(facts: LaunchFacts) -> int:
    return sum(count for state, count in facts.would_run.items() if state in RUNNABLE)


def _moved(move: LaunchMove) -> str:
    at = datetime.fromtimestamp(move.at, timezone.utc)
    what = move.to_state if move.from_state == move.to_state else f"{move.from_state} -> {move.to_state}"
    return f"{at:%Y-%m-%d %H:%M:%S} {what}: {move.message}{_evidence(move)}"


def _evidence(move: LaunchMove) -> str:
    """The command that showed it, and the last line of its answer."""
    if not move.command:
        return ""
    lines = [line.strip() for line in move.answer.splitlines() if line.strip()]
    return f" [{move.command}: {lines[-1][:_LONGEST_ANSWER]}]" if lines else f" [{move.command}: no answer]"


def _would_start_none(facts: LaunchFacts) -> bool:
    return not facts.fits and facts.looked_at == sum(facts.would_run.values())


def _while_open(facts: LaunchFacts) -> tuple[Advice, ...]:
    if _would_start_none(facts):
        return (Advice("It would run nothing; give its place back", f"balsam cancel-launch {facts.job.number}"),)
    return (Advice("Nothing is to be done: it begins when the scheduler lets it"),)


def _while_running(facts: LaunchFacts) -> tuple[Advice, ...]:
    live = [launcher for launcher in facts.launchers if launcher.is_live]
    if live:
        return (Advice("See what its launcher does", f"balsam explain launcher {str(live[0].launcher_id)[:8]}"),)
    return (Advice("Its output tells why no launcher of it lives", f"ls -l {facts.job.output_prefix}.*"),)


def _afterwards(facts: LaunchFacts) -> tuple[Advice, ...]:
    if not facts.would_run:
        return (Advice("Nothing is to be done: no unfinished job is of its workflows"),)
    if _would_start_none(facts):
        return (Advice("Another one like it would start none of them; see each by `balsam explain ID`", "balsam ls"),)
    job = facts.job
    words = ["balsam submit-launch", f"-n {job.nodes}", f"-t {job.time_limit_minutes}", f"--job-mode {job.job_mode}"]
    words += [f"-q {job.queue}"] if job.queue else []
    words += [f"--wf-filter {shlex.quote(job.wf_filter)}"] if job.wf_filter else []
    return (Advice("Unfinished jobs are left; submit another one", " ".join(words)),)


_ADVICE: Mapping[LaunchState, Callable[[LaunchFacts], tuple[Advice, ...]]] = {
    LaunchState.SUBMITTING: _while_open,
    LaunchState.QUEUED: _while_open,
    LaunchState.RUNNING: _while_running,
    LaunchState.REJECTED: _afterwards,
    LaunchState.ENDED: _afterwards,
    LaunchState.CANCELLED: _afterwards,
    LaunchState.LOST: _afterwards,
}

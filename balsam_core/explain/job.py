"""Why a job is where it is, and what would make it run: one function per state, or per group of states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from balsam_core.explain.facts import Advice, Explanation, JobFacts
from balsam_core.explain.failures import printed, why_failed
from balsam_core.explain.waiting import after_bad_end, before_parents, between, runnable, start_a_launcher, waits_for
from balsam_core.explain.words import (
    batch_job_named,
    lasting,
    launcher_named,
    named,
    sentence,
    short,
    since,
    times,
)
from balsam_core.state.machine import END, State


def explain_job(facts: JobFacts) -> Explanation:
    """Where the job stands and since when, then why, then what would help."""
    job = facts.job
    begun = f"{named(job.name, job.job_id)} is {job.state} since {since(job.state_at, facts.now)}"
    why = _why(facts)
    return replace(why, sentences=(sentence(begun), *why.sentences))


def _why(facts: JobFacts) -> Explanation:
    job = facts.job
    if job.hold and job.launcher_id is None and job.state not in END:
        return _held(facts)
    if job.launcher_id is not None and (facts.holder is None or not facts.holder.is_live):
        return _deserted(facts)
    return _BY_STATE[job.state](facts)


def _held(facts: JobFacts) -> Explanation:
    """Nobody takes it up, whatever its state."""
    waits = waits_for(facts.parents) if facts.job.state in _BEFORE_PARENTS and facts.job.wait_for_parents else ()
    release = Advice("Let it start again", f"balsam release {short(facts.job.job_id)}")
    return Explanation(("It is on hold: no launcher takes it up.", *waits), advice=(release,))


def _deserted(facts: JobFacts) -> Explanation:
    """A launcher holds it that does not live."""
    holder = facts.holder
    if holder is None:
        whose = sentence(f"launcher {short(facts.job.launcher_id)} holds it" if facts.job.launcher_id else "")
        return Explanation((whose, "There is no record of that launcher: what became of it is not known."))
    what = holder.over or f"it ended: {holder.end_reason}"
    after = "ends what is left of its run, and runs it again" if facts.job.state is State.RUNNING else "takes it back"
    sentences = (
        sentence(f"{launcher_named(holder)} holds it, and is gone: {what}"),
        f"The next launcher of this site {after}.",
    )
    return Explanation(sentences, printed(facts, None), (start_a_launcher(facts),))


def _running(facts: JobFacts) -> Explanation:
    job, holder = facts.job, facts.holder
    pid = f" as pid {job.pid}" if job.pid else ", with a pid that is not known,"
    where = f"attempt {job.attempt} runs on node {job.node or 'not known'}{pid} for {lasting(facts.now - job.state_at)}"
    lines = [sentence(where)]
    if holder is not None:
        belongs = f", of {batch_job_named(holder.batch_job)}" if holder.batch_job else ""
        lines.append(sentence(f"{launcher_named(holder)}{belongs} runs it"))
    else:
        lines.append("No launcher holds it: who runs it is not known.")
    if job.timeout_seconds is not None:
        lines.append(f"It is stopped when it has run for {lasting(job.timeout_seconds)}.")
    if facts.output is None:
        lines.append("It has printed nothing yet.")
    follow = Advice("Follow what it prints", f"balsam tail {short(job.job_id)}")
    return Explanation(tuple(lines), printed(facts, None), (follow,))


def _finished(facts: JobFacts) -> Explanation:
    job = facts.job
    line = "It was moved there: no run of it that ended well is known."
    if job.attempt and job.exit_code == 0:
        line = f"It ran {times(job.attempt)}, and the last run ended well."
    once_more = f"balsam modify {short(job.job_id)} state RESTART_READY"
    again = Advice("There is nothing to wait for; to run it once more", once_more)
    return Explanation((line,), printed(facts, None), (again,))


def _killed(facts: JobFacts) -> Explanation:
    told = facts.moves[-1].message if facts.moves else ""
    lines = [sentence(f"It was killed: {told}" if told else "It was killed; by what was not recorded")]
    if facts.holder is not None:
        lines.append(sentence(f"{launcher_named(facts.holder)} is ending what it started"))
    return Explanation(
        tuple(lines), advice=(Advice("A job that is USER_KILLED stays so: add it anew, with `balsam job`"),)
    )


_BEFORE_PARENTS = frozenset({State.CREATED, State.AWAITING_PARENTS})
_BY_STATE: Mapping[State, Callable[[JobFacts], Explanation]] = {
    State.CREATED: before_parents,
    State.AWAITING_PARENTS: before_parents,
    State.READY: between,
    State.STAGED_IN: between,
    State.PREPROCESSED: runnable,
    State.RUNNING: _running,
    State.RUN_DONE: between,
    State.POSTPROCESSED: between,
    State.JOB_FINISHED: _finished,
    State.RUN_TIMEOUT: after_bad_end,
    State.RUN_ERROR: after_bad_end,
    State.RESTART_READY: runnable,
    State.FAILED: why_failed,
    State.USER_KILLED: _killed,
}

"""Why a launcher is where it is: its lease, what it holds, why it ended."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from balsam_core.counting import counted
from balsam_core.explain.facts import Advice, Explanation, HeldJob, LauncherFacts, OneLauncher
from balsam_core.explain.words import batch_job_named, lasting, launcher_named, named, sentence, since


def explain_launcher(facts: OneLauncher) -> Explanation:
    """Who it is, whether its lease holds, and what is in its hands."""
    launcher = facts.launcher
    sentences = (
        *_who(launcher, facts.now),
        _lease(launcher, facts.now),
        *(() if launcher.is_service else _holds(facts)),
    )
    return Explanation(sentences, (facts.log,) if facts.log is not None else (), _advice(launcher))


def _who(launcher: LauncherFacts, now: float) -> Iterator[str]:
    whose = f"the workflow {launcher.workflow}" if launcher.workflow else "all workflows"
    yield sentence(
        f"{launcher_named(launcher)} began as pid {launcher.pid} at {since(launcher.started_at, now)}, "
        f"for jobs of {whose}"
    )
    if launcher.is_service:
        yield "It runs no jobs: it submits batch jobs while work remains."
    elif launcher.batch_job is not None:
        yield sentence(f"it is of {batch_job_named(launcher.batch_job)}")
    elif launcher.scheduler_id is not None:
        yield sentence(f"it runs inside {launcher.scheduler_id}, a batch job that this site has not submitted")
    else:
        yield "It is of no batch job."


def _lease(launcher: LauncherFacts, now: float) -> str:
    limit = lasting(launcher.lease_seconds)
    if launcher.ended_at is not None:
        how = "Others declared its lease over" if launcher.expired else "It ended"
        return sentence(f"{how} at {since(launcher.ended_at, now)}: {launcher.end_reason}")
    if launcher.over:
        return sentence(f"its lease is over: {launcher.over}; the next launcher of this site takes back what it holds")
    if launcher.silent_seconds is None:
        return "Its lease was not ended; how old its heartbeat is, on another machine's clock, is not known."
    return f"Its lease holds: it was heard of {lasting(launcher.silent_seconds)} ago, and may be silent for {limit}."


def _holds(facts: OneLauncher) -> Iterator[str]:
    launcher = facts.launcher
    yield sentence(f"{counted(launcher.jobs_done, 'job')} ended well in its hands so far")
    total = sum(launcher.held.values())
    if not total:
        yield "It holds no job."
        return
    states = ", ".join(f"{count} {state}" for state, count in launcher.held.items())
    more = f"; the first {len(facts.jobs)}:" if total > len(facts.jobs) else ""
    yield f"It holds {counted(total, 'job')}: {states}{more or '.'}"
    yield from map(_job_line, facts.jobs)


def _job_line(job: HeldJob) -> str:
    where = f" on {job.node}" if job.node and job.pid else ""
    pid = f", pid {job.pid}" if job.pid else ""
    return f"{named(job.name, job.job_id)} is {job.state}{where}{pid}."


def _advice(launcher: LauncherFacts) -> tuple[Advice, ...]:
    if launcher.is_service:
        return (Advice("To end it", "balsam service stop"),) if launcher.is_live else ()
    if launcher.is_live:
        return (Advice(f"To end it gracefully, on {launcher.host}", f"kill -TERM {launcher.pid}"),)
    if launcher.over and launcher.held:
        words = f"--wf-filter {shlex.quote(launcher.workflow)}" if launcher.workflow else "--consume-all"
        return (Advice("Let another launcher take back its jobs", f"balsam launcher {words}"),)
    return ()

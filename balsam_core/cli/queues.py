"""Shows the site's batch jobs, after asking their schedulers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime, timezone

from balsam_core.batch.asking import Shell
from balsam_core.batch.polling import Poller
from balsam_core.cli.context import Opened
from balsam_core.cli.output import print_json, print_lines, print_table, warn
from balsam_core.models import listings
from balsam_core.models.batch import BatchJob
from balsam_core.plugins.registry import load_registry
from balsam_core.state.hosts import machine_id
from balsam_core.state.store import Store

# A batch job that has ended is listed without `--history` for a day.
_RECENT_SECONDS = 24 * 3600.0
_COLUMNS = (
    "number",
    "id",
    "scheduler",
    "queue",
    "nodes",
    "state",
    "scheduler says",
    "minutes left",
    "jobs done",
    "age",
)


def shell(here: Opened) -> Shell:
    """How the site runs its schedulers' commands."""
    return Shell(os.environ, here.settings.scheduler.command_timeout_seconds)


def poller(here: Opened) -> Poller:
    """What asks the schedulers of the site."""
    registry, lease = load_registry(here.settings), here.settings.launcher.lease_seconds
    return Poller(here.store, registry, shell(here), machine_id(os.environ), lease)


def show_queues(here: Opened, *, history: bool, verbose: bool, as_json: bool) -> None:
    """`ls queues`."""
    ask = poller(here)
    problems = ask.refresh()
    jobs = here.store.batches.select(machine_id=ask.machine_id)
    shown = [job for job in jobs if history or job.is_open or time.time() - job.state_at < _RECENT_SECONDS]
    polls = {name: here.store.batches.poll(name) for name in {job.scheduler for job in shown}}
    lines = [_line(job, polls[job.scheduler]) for job in shown]
    events = _events(here.store, shown) if verbose else []
    if as_json:
        print_json(listings.QueueListing(queues=lines, problems=problems, events=events))
        return
    for name, problem in problems.items():
        warn(f"{name} gave no answer: {problem}")
    if lines:
        print_table(_COLUMNS, [_cells(line) for line in lines])
    else:
        print_lines(["No batch jobs found" if history or not jobs else "No batch jobs now; --history shows the past"])
    print_lines(_event_line(event) for event in events)


def _line(job: BatchJob, poll: tuple[float, bool, str] | None) -> listings.QueueLine:
    return listings.QueueLine(
        number=job.number,
        launch_id=job.launch_id,
        scheduler=job.scheduler,
        scheduler_id=job.scheduler_id,
        state=job.state,
        raw_state=job.raw_state,
        reason=job.reason,
        queue=job.queue,
        project=job.project,
        nodes=job.nodes,
        time_limit_minutes=job.time_limit_minutes,
        minutes_left=None if job.seconds_left is None else round(job.seconds_left / 60, 1),
        job_mode=job.job_mode,
        wf_filter=job.wf_filter,
        jobs_done=job.pilot.jobs_done if job.pilot else 0,
        exit_code=job.exit_code,
        answer_age_seconds=None if poll is None else round(poll[0], 1),
        created_at=_utc(job.created_at),
        state_at=_utc(job.state_at),
        script=f"{job.output_prefix}.sh",
    )


def _cells(line: listings.QueueLine) -> tuple[object, ...]:
    says = ": ".join(words for words in (line.raw_state, line.reason) if words)
    age = "" if line.answer_age_seconds is None else f"{line.answer_age_seconds:.0f} s"
    return (
        line.number,
        line.scheduler_id or "-",
        line.scheduler,
        line.queue or "",
        line.nodes,
        line.state.value,
        says,
        "" if line.minutes_left is None else f"{line.minutes_left:.0f}",
        line.jobs_done,
        age,
    )


def _events(store: Store, jobs: Sequence[BatchJob]) -> list[listings.QueueEvent]:
    numbers = {job.launch_id: job.number for job in jobs}
    return [
        listings.QueueEvent(
            number=numbers[row.launch_id],
            from_state=row.from_state,
            to_state=row.to_state,
            at=_utc(row.at),
            message=row.message,
            evidence=row.evidence,
        )
        for row in store.batches.history(list(numbers))
    ]


def _event_line(event: listings.QueueEvent) -> str:
    moved = event.to_state if event.from_state == event.to_state else f"{event.from_state} -> {event.to_state}"
    shown = f" [{' '.join(event.evidence['argv'])}]" if event.evidence else ""
    return f"{event.number}: {event.at:%Y-%m-%d %H:%M:%S} {moved}: {event.message}{shown}"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)

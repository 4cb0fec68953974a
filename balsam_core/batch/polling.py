"""Asks schedulers what became of the site's batch jobs: one status command per scheduler, shared by all who ask."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from balsam_core.batch.asking import Shell, evidence_of, user_name
from balsam_core.batch.verdict import Answer, judge, needs_history
from balsam_core.commands import answer_of
from balsam_core.errors import BalsamError, PluginError, SchedulerError, SchedulerNotUnderstood
from balsam_core.models.batch import OPEN, BatchJob, Change, Evidence, LaunchState
from balsam_core.plugins.contracts import BatchEvent, BatchRecord, BatchStatus, IdleNodes, Scheduler, StatusReport
from balsam_core.plugins.registry import Registry
from balsam_core.state.store import Store

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Poller:
    """Asks about the batch jobs of one site; machine_id: of this host. lease_seconds: of the site's launchers."""

    store: Store
    registry: Registry
    shell: Shell
    machine_id: str
    lease_seconds: float

    def refresh(self) -> dict[str, str]:
        """Ask every scheduler that has open batch jobs, unless it was asked a moment ago; who gave no answer, and why.

        While another program asks, this waits for that answer. No scheduler's fault ends it.
        """
        problems = {}
        for name in sorted({job.scheduler for job in self._open()}):
            try:
                self._refresh(self.registry.scheduler(name))
            except PluginError as error:
                problems[name] = str(error)
                continue
            poll = self.store.batches.poll(name)
            if poll is not None and poll[2]:
                problems[name] = poll[2]
        return problems

    def idle_nodes(self, name: str) -> Sequence[IdleNodes]:
        """What a scheduler says of idle nodes; nothing when it does not tell, or gives no answer."""
        try:
            scheduler = self.registry.scheduler(name)
            command = scheduler.idle_command()
            return scheduler.parse_idle(answer_of(self.shell.run(command))) if command else ()
        except (PluginError, SchedulerError) as error:
            _log.warning("scheduler %s does not tell which nodes are idle: %s", name, error)
            return ()

    def _refresh(self, scheduler: Scheduler) -> None:
        # Two commands may run, and each waits its whole time.
        patience = 2 * self.shell.timeout_seconds + 5
        if not self.store.batches.begin_poll(scheduler.name, scheduler.min_poll_seconds, patience):
            self._wait_for_the_other(scheduler.name, patience)
            return
        problem = "it was interrupted"
        try:
            problem = self._ask(scheduler)
        finally:
            self.store.batches.end_poll(scheduler.name, problem)

    def _wait_for_the_other(self, name: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            poll = self.store.batches.poll(name)
            if poll is None or not poll[1]:
                return
            time.sleep(_LOOK_SECONDS)

    def _ask(self, scheduler: Scheduler) -> str:
        """Ask once, and record what was learnt; what went wrong, or nothing."""
        jobs = self._open(scheduler.name)
        try:
            found = self._find_submitted(scheduler, [job for job in jobs if job.scheduler_id is None])
            known = [job for job in jobs if job.scheduler_id is not None] + found
            self._record(known, self._judged(scheduler, known) if known else [])
        except (PluginError, SchedulerError) as error:
            _log.warning("scheduler %s: %s", scheduler.name, error)
            return _with_raw_text(error)
        return ""

    def _judged(self, scheduler: Scheduler, jobs: Sequence[BatchJob]) -> list[Change]:
        ids = [str(job.scheduler_id) for job in jobs]
        result = self.shell.run(scheduler.status_command(ids, user_name()))
        report = scheduler.parse_status(ids, answer_of(result))
        for row in report.unreadable:
            _log.warning("scheduler %s: cannot read %r; nothing changes for it", scheduler.name, row)
        clock, now = self.store.batches.clock(), time.time()
        absent = [job for job in jobs if job.scheduler_id not in report.jobs]
        past, tellers = self._history(
            scheduler, [job for job in absent if needs_history(job, clock, scheduler.grace_seconds)]
        )
        seen = evidence_of(result)
        changes = []
        for job in jobs:
            name = str(job.scheduler_id)
            if name in report.jobs or not _is_mentioned(name, report):
                evidence = tellers if name in past else seen
                answer = Answer(report.jobs.get(name), past.get(name), clock, self._patience(scheduler), evidence)
                changes.append(judge(job, answer, now))
        return changes

    def _history(
        self, scheduler: Scheduler, jobs: Sequence[BatchJob]
    ) -> tuple[Mapping[str, BatchStatus], Evidence | None]:
        """How absent batch jobs ended, as far as the scheduler remembers."""
        records = [BatchRecord(str(job.scheduler_id), job.workdir, job.output_prefix) for job in jobs]
        try:
            commands = scheduler.history_commands(records) if records else ()
            if not commands:
                return {}, None
            results = [self.shell.run(command) for command in commands]
            report = scheduler.parse_history(records, results)
        except (PluginError, SchedulerError) as error:
            # Silence about the past is no reason to doubt what was said of the present.
            _log.warning("scheduler %s tells no history: %s", scheduler.name, error)
            return {}, None
        return report.jobs, evidence_of(results[-1])

    def _find_submitted(self, scheduler: Scheduler, jobs: Iterable[BatchJob]) -> list[BatchJob]:
        """Batch jobs whose submit command was cut off, as far as the scheduler has them; the others grow old."""
        found = []
        for job in jobs:
            if job.submitting and job.pilot is None:
                continue
            try:
                scheduler_id, evidence = self._find(scheduler, job)
            except (PluginError, SchedulerNotUnderstood) as error:
                # That nothing is known of this one keeps none of the others from being asked for.
                _log.warning("scheduler %s, batch job %s: %s", scheduler.name, job.tag, error)
                self._record(
                    [job], [Change(job.launch_id, job.state, job.state, "", {"reason": _with_raw_text(error)})]
                )
                continue
            if scheduler_id is None:
                answer = Answer(None, None, self.store.batches.clock(), self._patience(scheduler), evidence)
                self._record([job], [judge(job, answer, time.time())])
                continue
            message = f"found as {scheduler_id} after its submit command was cut off"
            values = {"scheduler_id": scheduler_id}
            self._record([job], [Change(job.launch_id, job.state, LaunchState.QUEUED, message, values, evidence)])
            found.append(replace(job, scheduler_id=scheduler_id, state=LaunchState.QUEUED))
        return found

    def _find(self, scheduler: Scheduler, job: BatchJob) -> tuple[str | None, Evidence | None]:
        """What the scheduler calls a batch job of which we know the tag only; its launcher knows best."""
        if job.pilot and job.pilot.batch_job_id:
            return job.pilot.batch_job_id, None
        command = scheduler.find_command(job.tag, user_name())
        if command is None:
            return None, None
        result = self.shell.run(command)
        return scheduler.parse_find(answer_of(result)), evidence_of(result)

    def _record(self, jobs: Sequence[BatchJob], changes: Sequence[Change]) -> None:
        made = [change for change in self.store.batches.apply(changes) if change.new is not change.old]
        if made:
            known = {job.launch_id: job for job in jobs}
            self.registry.notify_batch_events([_event(known[change.launch_id], change) for change in made])

    def _patience(self, scheduler: Scheduler) -> float:
        return max(scheduler.grace_seconds, self.lease_seconds)

    def _open(self, scheduler: str = "") -> list[BatchJob]:
        return self.store.batches.select(machine_id=self.machine_id, states=OPEN, scheduler=scheduler)


def _event(job: BatchJob, change: Change) -> BatchEvent:
    return BatchEvent(
        change.values.get("scheduler_id", job.scheduler_id),
        job.tag,
        job.scheduler,
        change.old.value,
        change.new.value,
        datetime.now(timezone.utc),
        change.message,
    )


def _with_raw_text(error: BalsamError) -> str:
    """The error, and what could not be read."""
    raw = error.raw.strip() if isinstance(error, SchedulerNotUnderstood) else ""
    return f"{error}: {raw[:500]}" if raw else str(error)


def _is_mentioned(scheduler_id: str, report: StatusReport) -> bool:
    """Whether a row that could not be read may be about this batch job: then it is neither there nor absent."""
    return any(scheduler_id in row for row in report.unreadable)

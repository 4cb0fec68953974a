"""One round of the service: asks the schedulers, looks at the work, submits what the plan says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from balsam_core.batch.polling import Poller
from balsam_core.batch.submission import Submission, Wanted
from balsam_core.counting import counted
from balsam_core.errors import BalsamError, ConfigError, SchedulerError, SchedulerRejected
from balsam_core.models.batch import BatchJob, LaunchState, Work
from balsam_core.plugins.contracts import BatchState
from balsam_core.service.plan import Ask, Supply, plan, uncovered
from balsam_core.settings import QueueSettings, Settings

_log = logging.getLogger(__name__)
# Ends that are nobody's failure: the launcher's jobs run again in the next batch job.
_NO_FAILURE = frozenset({BatchState.TIMEOUT.value, BatchState.PREEMPTED.value, BatchState.CANCELLED.value})


@dataclass(frozen=True)
class Outlook:
    """What a round found: the work that no batch job will take, what it asks for, and the queues that rest, and why."""

    work: Sequence[Work]
    asks: Sequence[Ask]
    paused: Mapping[str, str]
    problems: Mapping[str, str]


@dataclass(frozen=True)
class Rounds:
    """The rounds of one site's service."""

    submission: Submission
    poller: Poller
    settings: Settings

    def look(self) -> Outlook:
        """Ask the schedulers, and plan; raises ConfigError when the settings have no queues."""
        if not self.settings.queues:
            raise ConfigError("the service needs to know the queues; add a [[queues]] section to settings.toml")
        problems = self.poller.refresh()
        store = self.submission.store
        paused = self._paused()
        queues = [queue for queue in self.settings.queues if queue.name not in paused]
        supply = [self._supply(job) for job in self._records() if job.is_open]
        work = store.batches.backlog(self.settings.service.wf_filter, self._mode, self.settings.service.assumed_minutes)
        # A scheduler that does not answer is not asked for more.
        name = self.settings.scheduler.name
        left = uncovered(work, supply)
        idle = self.poller.idle_nodes(name) if left and queues and name not in problems else ()
        asks = [] if name in problems else plan(work, queues, supply, idle)
        return Outlook(left, asks, paused, problems)

    def act(self, outlook: Outlook, may_go_on: Callable[[], bool]) -> int:
        """Submit what was planned; how many batch jobs. No fault of a scheduler ends it.

        may_go_on: is asked before each, for a scheduler may take its time.
        """
        submitted = 0
        paused: Mapping[str, str] = {}
        for ask in outlook.asks:
            if ask.queue in paused:
                continue
            if not may_go_on():
                break
            try:
                done = self.submission.submit(self._wanted(ask))
            except SchedulerRejected as error:
                _log.warning("queue %s refused %d nodes for %d minutes: %s", ask.queue, ask.nodes, ask.minutes, error)
                paused = self._paused()
            except SchedulerError as error:
                _log.warning("nothing more is submitted in this round: %s", error)
                break
            except BalsamError as error:
                _log.warning("%d nodes for %d minutes in %s: %s", ask.nodes, ask.minutes, ask.queue, error)
            else:
                submitted += 1
                _log.info(
                    "submitted %s job %s: %d nodes for %d minutes in %s, %s mode",
                    done.scheduler, done.scheduler_id, ask.nodes, ask.minutes, ask.queue, ask.job_mode,
                )  # fmt: skip
        return submitted

    def resume(self) -> list[str]:
        """Forget the failures until now; the queues that rested for them."""
        rested = sorted(self._paused())
        self.submission.store.batches.resume()
        return rested

    def _paused(self) -> dict[str, str]:
        resumed_at = self.submission.store.batches.resumed_at()
        return paused_queues(self._records(), self.settings.service.max_failures, resumed_at)

    def _records(self) -> list[BatchJob]:
        return self.submission.store.batches.select(machine_id=self.poller.machine_id)

    def _supply(self, job: BatchJob) -> Supply:
        """What a batch job offers to the work that is counted; for another workflow it only takes room in its queue."""
        minutes = job.time_limit_minutes if job.seconds_left is None else job.seconds_left / 60
        serves = job.wf_filter in (None, self.settings.service.wf_filter or None)
        is_running = job.state is LaunchState.RUNNING
        return Supply(job.queue, job.job_mode, job.nodes, minutes if serves else 0.0, is_running)

    def _mode(self, is_parallel: bool) -> str:
        return "mpi" if is_parallel or self.settings.launcher.default_job_mode == "mpi" else "serial"

    def _wanted(self, ask: Ask) -> Wanted:
        return Wanted(
            nodes=ask.nodes,
            time_limit_minutes=ask.minutes,
            job_mode="mpi" if ask.job_mode == "mpi" else "serial",
            queue=ask.queue,
            project=ask.project,
            wf_filter=self.settings.service.wf_filter or None,
        )


def paused_queues(records: Sequence[BatchJob], most: int, resumed_at: float) -> dict[str, str]:
    """The queues whose last batch jobs all failed before a launcher began, each with the last one's reason."""
    paused = {}
    for name in {job.queue for job in records if job.queue is not None}:
        ended = [job for job in records if job.queue == name and not job.is_open and job.state_at > resumed_at]
        last = ended[-most:]
        if len(last) == most and all(map(_has_failed, last)):
            paused[name] = f"the last {most} batch jobs failed before a launcher began: {last[-1].reason}"
    return paused


def describe(queues: Sequence[QueueSettings], outlook: Outlook) -> list[str]:
    """An outlook as lines for people."""
    lines = [f"{name} gave no answer: {problem}" for name, problem in outlook.problems.items()]
    lines += [f"queue {name} rests: {why}; `balsam service resume` goes on" for name, why in outlook.paused.items()]
    if not outlook.work:
        return [*lines, "No work waits that the batch jobs at hand will not take"]
    lines += [
        f"waiting: {counted(item.count, 'job')} of {counted(item.nodes, 'node')}, "
        f"{counted(item.minutes, 'minute')} each, for {item.job_mode} mode"
        for item in outlook.work
    ]
    lines += [
        f"asks for {counted(ask.nodes, 'node')} for {counted(ask.minutes, 'minute')} "
        f"in {ask.queue}, {ask.job_mode} mode"
        for ask in outlook.asks
    ]
    if not outlook.asks:
        names = ", ".join(dict.fromkeys(queue.name for queue in queues))
        lines.append(f"asks for nothing now: the limits of the queues ({names}) leave no room for it")
    return lines


def _has_failed(job: BatchJob) -> bool:
    if job.state in (LaunchState.REJECTED, LaunchState.LOST):
        return job.pilot is None
    return job.state is LaunchState.ENDED and job.pilot is None and job.batch_state not in _NO_FAILURE

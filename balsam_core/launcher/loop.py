"""The launcher's event loop: claims jobs, hands them to the worker, records how they end, and knows when to stop."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from balsam_core.errors import DatabaseError, JobSpecError, LaunchError
from balsam_core.launcher.command import job_environ
from balsam_core.launcher.journal import read_journal
from balsam_core.launcher.messages import Ended, How, Recalled, Refused, Report, Started, Task
from balsam_core.launcher.modes import Flight, JobMode
from balsam_core.launcher.signals import StopSignals
from balsam_core.launcher.sweep import sweep
from balsam_core.launcher.timing import Timers, patience_with
from balsam_core.launcher.worker_client import WorkerDied
from balsam_core.models.app import AppSpec
from balsam_core.models.job import Job
from balsam_core.plugins import Command
from balsam_core.state.hosts import boot_clock
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End, RetryPolicy
from balsam_core.state.reports import Result, Start
from balsam_core.state.store import Store
from balsam_core.transitions.recovery import journal_path, recover
from balsam_core.workdirs import Workdirs, output_name

_log = logging.getLogger(__name__)

# New work and kills by others are noticed this soon; reading the counter takes microseconds.
_POLL_SECONDS = 0.25
# Under load results are recorded, and children released, in batches of this length; alone, at once.
_BATCH_SECONDS = 0.05
_ADVANCE_SECONDS = 0.1
_RECOVER_SECONDS = 2.0
_LOCK_SECONDS = 2.0
_LAST_LOCK_SECONDS = 30.0
# A job that its user killed is gone within 2 s, noticing it included; at its launcher's end it gets the full grace.
_KILL_GRACE_SECONDS = 1.0
# After SIGKILL a process may take a moment to go; all must be recorded within 8 s of a signal.
_LAST_WAIT_SECONDS = 2.0
# So late a report of a start can be.
_LATEST_REPORT_SECONDS = 5.0

# A scheduler that ends a batch job signals everybody: a job may be gone before its launcher has heard of it.
_DOUBT_SECONDS = 1.0
_TERMINATED = frozenset({-signal.SIGTERM, 128 + signal.SIGTERM})

LEASE_LOST = "this launcher's lease was declared over; its jobs were ended here and given to others"


@dataclass(frozen=True)
class Rules:
    """How a launcher behaves, from its options and the site's settings.

    keeps_lease False: the launcher beside this process renews the lease and recovers. deadline: monotonic clock.
    reuses_processes: see `SerialMode`.
    """

    launcher_id: UUID
    machine_id: str
    site: Path
    journals: Path
    lease_seconds: float
    stop_grace_seconds: float
    policy: RetryPolicy
    persistent: bool = False
    deadline: float | None = None
    keeps_lease: bool = True
    reuses_processes: bool = False

    @property
    def seconds_for_jobs(self) -> float | None:
        """Until jobs are stopped, which is a grace before the deadline; None: no limit."""
        return None if self.deadline is None else self.deadline - self.stop_grace_seconds - time.monotonic()


class Workers(Protocol):
    """The workers of one launcher, one per node; `Task.node` says whose a task is."""

    def fileno(self) -> int:
        """For a selector: readable when `receive` has something to say."""

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> None:
        """Until something that the selector knows has happened, or a report has come; at most so long."""

    def start(self, tasks: Iterable[Task]) -> None:
        """Hand over tasks."""

    def kill(self, keys: Iterable[str], grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL after the grace."""

    def stop_with(self, key: str, request: Command, force: Command) -> None:
        """End this running task by commands instead of SIGTERM and SIGKILL."""

    def recall(self, keys: Iterable[str] | None = None) -> None:
        """Ask for tasks back that are still queued."""

    def receive(self) -> list[Report]:
        """What has arrived, without waiting; raises WorkerDied or LaunchError when a worker is gone."""


class BetweenRuns(Protocol):
    """What is done with jobs before and after their runs; see `transitions/runner.py`."""

    @property
    def busy(self) -> set[UUID]:
        """The jobs that are being worked on."""

    @property
    def is_behind(self) -> bool:
        """Whether `fill` has left something that it could do now."""

    def sources(self) -> Sequence[HasFileno]:
        """What a selector must watch for it."""

    def fill(self) -> bool:
        """Start what can be; whether anything was done."""

    def record(self) -> bool:
        """Record what has ended, without starting anything."""

    def finish_staging(self) -> bool:
        """Whether anything has ended."""

    def finish_script(self, report: Report) -> bool:
        """Whether the report was about a script."""

    def give_up(self, job_ids: Iterable[UUID], grace_seconds: float) -> None:
        """Stop the scripts of these jobs."""


class HasFileno(Protocol):
    """Something that a selector can watch."""

    def fileno(self) -> int:
        """Its descriptor."""


class Orders(HasFileno, Protocol):
    """Where a loop is told to stop."""

    def reasons(self) -> Iterable[str]:
        """Why to stop, for each order that has come; an empty one: end as soon as nothing more can run."""


@dataclass
class Tally:
    """What a launcher has done so far, for its progress display."""

    done: int = 0
    failed: int = 0
    timed_out: int = 0
    started: int = 0


class Account(Protocol):
    """What a launcher shows of its work."""

    tally: Tally

    @property
    def mode(self) -> JobMode:
        """How it chooses jobs."""

    @property
    def running(self) -> int:
        """How many attempts run now."""

    @property
    def seconds_left(self) -> float | None:
        """Until it must have ended; None: no limit."""


@dataclass
class Loop:
    """One launcher at work; `run` returns why it ended."""

    store: Store
    mode: JobMode
    worker: Workers
    transitions: BetweenRuns
    workdirs: Workdirs
    rules: Rules
    show: Callable[[Loop], None]
    notify: Callable[[Sequence[Mapping[str, Any]]], None]
    orders: Callable[[], AbstractContextManager[Orders]] = StopSignals
    tally: Tally = field(default_factory=Tally)
    _starts: list[Start] = field(default_factory=list)
    _results: list[Result] = field(default_factory=list)
    _returned: list[UUID] = field(default_factory=list)
    _doubtful: deque[tuple[float, Ended]] = field(default_factory=deque)
    _apps: dict[str, AppSpec] = field(default_factory=dict)
    _stopping: str = ""
    _stop_by: float = 0.0
    _finishing: bool = False
    _exhausted: bool = False
    _look: bool = True
    _advance_due: bool = True
    _changes: tuple[int, int] | None = None
    _timers: Timers = field(default_factory=Timers)

    def __post_init__(self) -> None:
        self._patience = patience_with(self.store.database, self.rules.lease_seconds)

    def run(self) -> str:
        """Work until nothing more can be done, the time is up, or a signal comes; why it ended.

        Raises LaunchError when the lease was lost or the worker died: nothing that was started still runs then.
        """
        try:
            return self._run()
        except WorkerDied as error:
            self._all_lost(str(error))
            if not self.store.heartbeat(self.rules.launcher_id, self.tally.done):
                raise LaunchError(LEASE_LOST) from error
            raise

    def _run(self) -> str:
        # Signals and the time limit are not seen meanwhile.
        self.store.database.wait_for_locks(_LOCK_SECONDS)
        with self.orders() as orders, selectors.DefaultSelector() as selector:
            sources: list[HasFileno] = [orders, self.worker, *self.transitions.sources()]
            for source in sources:
                selector.register(source, selectors.EVENT_READ)
            while True:
                why = self._turn()
                if why:
                    self.store.database.wait_for_locks(_LAST_LOCK_SECONDS)
                    self._flush()
                    return why
                self.worker.wait(selector, self._pause())
                for reason in orders.reasons():
                    if reason:
                        self.stop(reason)
                    else:
                        self.finish()
                self._take_reports()

    def stop(self, why: str) -> None:
        """End gracefully: nothing new is started, what runs gets SIGTERM, then SIGKILL; a second call: SIGKILL now."""
        grace = self.rules.stop_grace_seconds if not self._stopping else 0.0
        if not self._stopping:
            _log.info("stopping: %s", why)
        self._stopping = self._stopping or why
        self._stop_by = time.monotonic() + grace + _LAST_WAIT_SECONDS
        self.worker.recall()
        self.worker.kill([flight.key for flight in self.mode.flights.values()], grace)
        self.transitions.give_up(self.transitions.busy, grace)

    def finish(self) -> None:
        """Look once more, and end if there is nothing to do; else go on as before."""
        self._finishing = self._look = True
        self._exhausted = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, nothing is to be recorded, and nothing more can be started for now."""
        return not self._is_flying and not (self._look and not self._exhausted) and not self._advance_due

    @property
    def running(self) -> int:
        """How many attempts run now."""
        return sum(flight.started_at is not None for flight in self.mode.flights.values())

    @property
    def seconds_left(self) -> float | None:
        """Until the launcher must have ended; None: no limit."""
        return None if self.rules.deadline is None else self.rules.deadline - time.monotonic()

    @property
    def _is_flying(self) -> bool:
        return bool(self.mode.flights or self.transitions.busy or self._results or self._returned)

    @property
    def _kill_grace(self) -> float:
        return min(self.rules.stop_grace_seconds, _KILL_GRACE_SECONDS)

    # --- one turn

    def _turn(self) -> str:
        """Do what is due; why this was the last turn, or nothing."""
        why = ""
        if not self._stopping:
            self._check_time()
        try:
            self._work()
            why = self._why_end()
            self._patience.served()
        except DatabaseError as error:
            # What was to be recorded is kept and comes again. While nobody can write, nobody can take our jobs either;
            # a lease that was lost meanwhile shows at the first success.
            self._patience.wait(error)
            if self._stopping and time.monotonic() > self._stop_by:
                why = self._stopping
        self.show(self)
        return why

    def _work(self) -> None:
        self._settle_doubts()
        if self._timers.due("poll", _POLL_SECONDS):
            self._notice_changes()
        if self.transitions.finish_staging():
            self._advance_due = True
        if self._returned:
            self._record_returned()
        if not self._stopping:
            if self.rules.keeps_lease and self._timers.due("recover", _RECOVER_SECONDS):
                self._recover()
            if self._advance_due and self._timers.due("advance", _ADVANCE_SECONDS):
                if self.transitions.fill():
                    self._look, self._exhausted = True, False
                self._advance_due = self.transitions.is_behind
            self._claim()
        else:
            self.transitions.record()
        if (self._starts or self._results) and self._timers.due("flush", _BATCH_SECONDS):
            self._flush()
        if self.rules.keeps_lease and self._timers.due("heartbeat", self.rules.lease_seconds / 3):
            self._keep_lease()

    def _keep_lease(self) -> None:
        if not self.store.heartbeat(self.rules.launcher_id, self.tally.done):
            raise LaunchError(LEASE_LOST)

    def _pause(self) -> float:
        wanted = ["poll", "heartbeat"] if self.rules.keeps_lease else ["poll"]
        if self._starts or self._results:
            wanted.append("flush")
        if self._advance_due and not self._stopping:
            wanted.append("advance")
        pause = self._timers.pause(wanted)
        if self._look and self.mode.wait_seconds() > 0:
            pause = min(pause, self.mode.wait_seconds())
        return max(pause, 0.0)

    def _check_time(self) -> None:
        left = self.rules.seconds_for_jobs
        if left is not None and left <= 0:
            self.stop("the time limit is reached")

    def _why_end(self) -> str:
        if self._stopping:
            if not self._is_flying or time.monotonic() > self._stop_by:
                return self._stopping
            return ""
        self._finishing = self._finishing and not self._is_flying
        if not self.is_idle or (self.rules.persistent and not self._finishing):
            return ""
        if self.store.others_may_release(self.rules.launcher_id, self.mode.workflow):
            return ""
        return "nothing more can run"

    # --- what others did

    def _notice_changes(self) -> None:
        mark = self.store.database.change_mark()
        if mark == self._changes:
            return
        self._look, self._exhausted, self._advance_due = True, False, True
        self._apps.clear()
        self._flush()
        held = self.store.held(self.rules.launcher_id)
        gone = [job_id for job_id, flight in self.mode.flights.items() if _is_taken(flight, held.get(job_id))]
        if gone:
            self.worker.kill([self.mode.flights[job_id].key for job_id in gone], self._kill_grace)
        self.transitions.give_up(
            [job_id for job_id in self.transitions.busy if held.get(job_id) in (None, State.USER_KILLED)],
            self._kill_grace,
        )
        self._changes = mark

    def _recover(self) -> None:
        if recover(self.store, self.rules.journals, self.rules.machine_id):
            self._look, self._exhausted, self._advance_due = True, False, True

    # --- claiming and starting

    def _claim(self) -> None:
        page = self.mode.page() if self._look and not self._exhausted else 0
        if not page:
            if misplaced := self.mode.misplaced():
                self.worker.recall(misplaced)
            return
        seen = 0
        seconds = self.rules.seconds_for_jobs

        # One that was taken from us and may be claimed already: else what ran before would count as the new attempt.
        unrecorded = {result.job_id for result in self._results}

        def choose(candidates: Sequence[Job]) -> list[UUID]:
            nonlocal seen
            recorded = [job for job in candidates if job.job_id not in unrecorded]
            chosen = self.mode.choose(recorded, seconds, from_the_top=not seen)
            seen += len(candidates)
            return chosen

        before = set(self.mode.flights)
        try:
            claimed = self.store.claim(self.rules.launcher_id, self.mode.limits(seconds), choose, page=page)
        except DatabaseError:
            for job_id in set(self.mode.flights) - before:
                self.mode.landed(job_id)
            raise
        self._exhausted = not seen
        self._look = bool(claimed)
        if claimed:
            self._dispatch([self.mode.flights[job.job_id] for job in claimed])

    def _dispatch(self, flights: Sequence[Flight]) -> None:
        try:
            self.worker.start(self._tasks(flights))
        except DatabaseError:
            self._give_back(flights)
            raise

    def _tasks(self, flights: Sequence[Flight]) -> list[Task]:
        parents = self.store.parents_of([flight.job.job_id for flight in flights])
        tasks = []
        for flight in flights:
            job = flight.job
            environ = job_environ(
                job,
                site=self.rules.site,
                parents=parents.get(job.job_id, []),
                job_mode=self.mode.name,
                launcher_nodes=len(self.mode.nodes),
            )
            environ["BALSAM_ATTEMPT"] = str(job.attempt + 1)
            try:
                app = self._app(job.application)
                workdir = str(self.workdirs.of(job))
                tasks.append(self.mode.task(flight, app, workdir, output_name(job), environ))
            except (JobSpecError, LaunchError) as error:
                self._take(Refused(flight.key, str(error)))
        return tasks

    def _app(self, name: str) -> AppSpec:
        if name not in self._apps:
            self._apps[name] = self.store.app(name)
        return self._apps[name]

    # --- what the worker tells

    def _take_reports(self) -> None:
        for report in self.worker.receive():
            if self.transitions.finish_script(report):
                self._advance_due = True
            else:
                self._take(report)

    def _take(self, report: Report) -> None:
        if isinstance(report, Recalled):
            self._take_recalled(report)
            return
        flight = self.mode.by_key.get(report.key)
        if flight is None:
            return
        if isinstance(report, Started):
            self.mode.started(flight)
            self._record_start(flight, report.pid, report.boottime_seconds)
            if stops := self.mode.stop_commands(report.pid):
                self.worker.stop_with(flight.key, *stops)
        elif isinstance(report, Refused):
            self._record_start(flight, None, 0.0)
            self._record_end(flight, End.ERROR, None, 0.0, report.reason)
        elif report.how is How.EXITED and report.code in _TERMINATED and not self._stopping:
            self._doubtful.append((time.monotonic() + _DOUBT_SECONDS, report))
        else:
            self._record_end(flight, *self._outcome(flight, report), added=_result_data(report.result))

    def _settle_doubts(self) -> None:
        """Jobs that SIGTERM has ended: with the launcher, if it was told to stop soon after, else by themselves."""
        while self._doubtful and (self._stopping or self._doubtful[0][0] <= time.monotonic()):
            _, report = self._doubtful.popleft()
            if flight := self.mode.by_key.get(report.key):
                self._record_end(flight, *self._outcome(flight, report))

    def _take_recalled(self, report: Recalled) -> None:
        self._give_back([self.mode.by_key[key] for key in report.keys if key in self.mode.by_key])

    def _give_back(self, flights: Iterable[Flight]) -> None:
        """These were claimed and will not be started."""
        for flight in flights:
            self.mode.landed(flight.job.job_id)
            self._returned.append(flight.job.job_id)

    def _record_returned(self) -> None:
        self.store.give_back(self.rules.launcher_id, self._returned)
        self._returned.clear()
        self._look, self._exhausted = True, False

    def _record_start(self, flight: Flight, pid: int | None, clock: float) -> None:
        flight.process = (pid, clock) if pid else None
        age = boot_clock() - clock
        # Another host's clock counts from its own boot: there the moment of the report stands in.
        flight.started_at = time.time() - (age if 0 <= age < _LATEST_REPORT_SECONDS else 0.0)
        node = flight.placements[0].node if flight.placements else self.mode.nodes[flight.node]
        self.tally.started += 1
        self._starts.append(
            Start(flight.job.job_id, flight.job.attempt + 1, flight.started_at, node.hostname, pid, clock)
        )

    def _outcome(self, flight: Flight, report: Ended) -> tuple[End, int | None, float, str]:
        if report.how is How.TIMED_OUT:
            return End.TIMED_OUT, report.code, report.seconds, _with_tail("met its timeout_seconds", report.tail)
        if report.how is How.KILLED or (self._stopping and report.code in _TERMINATED):
            return End.STOPPED, report.code, report.seconds, f"stopped with its launcher: {self._stopping}"
        if report.code == 0:
            return End.DONE, 0, report.seconds, ""
        what = f"nonzero return {report.code}{_full_disk(self.workdirs.of(flight.job))}"
        return End.ERROR, report.code, report.seconds, _with_tail(what, report.tail)

    def _record_end(
        self,
        flight: Flight,
        end: End,
        code: int | None,
        seconds: float,
        message: str,
        added: Mapping[str, Any] | None = None,
    ) -> None:
        self.mode.landed(flight.job.job_id)
        self._look = True
        self._results.append(
            Result(flight.job.job_id, flight.job.attempt + 1, end, time.time(), code, seconds, message, added)
        )

    def _flush(self) -> None:
        if not (self._starts or self._results):
            return
        starts, results = self._starts, self._results
        self._starts, self._results = [], []
        try:
            recorded = self.store.report(self.rules.launcher_id, starts, results, self.rules.policy)
        except DatabaseError:
            self._starts, self._results = starts + self._starts, results + self._results
            raise
        self._count(recorded.events)
        self.notify(recorded.events)
        running = [self.mode.flights[job_id].key for job_id in recorded.lost if job_id in self.mode.flights]
        if running:
            # Taken from us before the start was recorded: killed, changed or deleted by its user.
            self.worker.kill(running, self._kill_grace)
        self._advance_due = self._advance_due or recorded.opens_work
        if results:
            self._look, self._exhausted = True, self._exhausted and not recorded.opens_claim

    def _count(self, written: Iterable[Mapping[str, Any]]) -> None:
        for event in written:
            self.tally.done += event["to_state"] == State.RUN_DONE
            self.tally.failed += event["to_state"] == State.RUN_ERROR
            self.tally.timed_out += event["to_state"] == State.RUN_TIMEOUT

    def _all_lost(self, why: str) -> None:
        """The worker is dead: end what it left running, and only then let others start those jobs again."""
        running = [flight.process for flight in self.mode.flights.values() if flight.process]
        _log.error("%s; ended %d processes that it left", why, sweep(str(self.rules.launcher_id), running))
        begun = set(read_journal(journal_path(self.rules.journals, self.rules.launcher_id)))
        for flight in list(self.mode.flights.values()):
            if flight.started_at is None and flight.key in begun:
                self._record_start(flight, None, 0.0)
            if flight.started_at is not None:
                self._record_end(flight, End.LOST, None, 0.0, why)
        self._flush()


def _is_taken(flight: Flight, state: State | None) -> bool:
    """Whether somebody has killed, moved, changed or deleted the job; its starts are recorded by now."""
    return state in (None, State.USER_KILLED) or (flight.started_at is not None and state is not State.RUNNING)


def _result_data(text: str) -> Mapping[str, Any] | None:
    """What the result of a function adds to its job's `data`, when it is JSON that every database takes."""
    if not text:
        return None
    try:
        result = json.loads(text, parse_constant=_refuse_constant)
        # Half of a surrogate pair is a letter in JSON, and in nothing else.
        json.dumps(result, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return {"result": result}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _full_disk(folder: Path) -> str:
    """What a job could not write into its output: that there was no room for it."""
    try:
        free = os.statvfs(folder).f_bavail
    except OSError:
        return ""
    return "" if free else f", the disk of {folder} is full"


def _with_tail(what: str, tail: str) -> str:
    return f"{what}: {tail.strip()}" if tail.strip() else what

"""The launcher of several nodes: the master among its ranks runs the jobs; lease, transitions and time stay here."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from balsam_core.errors import DatabaseError, LaunchError
from balsam_core.launcher.loop import LEASE_LOST, HasFileno, Rules, Tally
from balsam_core.launcher.modes import SerialMode
from balsam_core.launcher.plan import News
from balsam_core.launcher.program import Program
from balsam_core.launcher.ranks import MEETING_SECONDS
from balsam_core.launcher.signals import StopSignals
from balsam_core.launcher.timing import Timers, patience_with
from balsam_core.launcher.worker_client import WorkerClient
from balsam_core.models.nodes import Node
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.transitions.recovery import StartedAttempts, recover, remove_node_journals
from balsam_core.transitions.runner import Transitions

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_ADVANCE_SECONDS = 0.1
_RECOVER_SECONDS = 2.0
_LOCK_SECONDS = 2.0
# After its grace the master has so long to record; then it is ended.
_LAST_WAIT_SECONDS = 2.5
_KILL_GRACE_SECONDS = 1.0
# So many deaths in a row without one job that ended in between: something is wrong that no restart cures.
_MOST_DEATHS = 3


class Ranks(Protocol):
    """How the program of ranks is started; see `start.py`."""

    def start(self, nodes: Sequence[Node]) -> Program:
        """Start one rank per node."""

    def answering(self, nodes: Sequence[Node]) -> list[Node]:
        """Those of the nodes that still run commands."""


@dataclass
class Head:
    """One launcher of several nodes; `run` returns why it ended."""

    store: Store
    nodes: Sequence[Node]
    workflow: str
    worker: WorkerClient
    transitions: Transitions
    ranks: Ranks
    rules: Rules
    on_rank_death: Literal["restart", "end"]
    show: Callable[[Head], None]
    notify: Callable[[Sequence[Mapping[str, Any]]], None]
    tally: Tally = field(default_factory=Tally)
    running: int = 0
    _program: Program | None = None
    _before: Tally = field(default_factory=Tally)
    _deaths: int = 0
    _why_dead: str = ""
    _ended: str = ""
    _failed: str = ""
    _stopping: str = ""
    _stop_by: float = 0.0
    _advance_due: bool = True
    _is_idle: bool = False
    _changes: tuple[int, int] | None = None
    _timers: Timers = field(default_factory=Timers)

    def __post_init__(self) -> None:
        self._patience = patience_with(self.store.database, self.rules.lease_seconds)

    @property
    def mode(self) -> SerialMode:
        """What the master packs jobs with, for those who ask why a job was left."""
        return SerialMode(self.nodes, self.workflow)

    @property
    def seconds_left(self) -> float | None:
        """Until the launcher must have ended; None: no limit."""
        return None if self.rules.deadline is None else self.rules.deadline - time.monotonic()

    def run(self) -> str:
        """Work until nothing more can be done, the time is up, or a signal comes; why it ended.

        Raises LaunchError when the lease was lost or the ranks cannot go on: nothing that was started still runs then.
        """
        self.store.database.wait_for_locks(_LOCK_SECONDS)
        try:
            with StopSignals() as signals, selectors.DefaultSelector() as selector:
                sources: list[HasFileno] = [signals, self.worker, self.transitions]
                for source in sources:
                    selector.register(source, selectors.EVENT_READ)
                while True:
                    why = self._turn(selector)
                    if why:
                        return why
                    selector.select(self._pause())
                    for reason in signals.reasons():
                        self.stop(reason)
                    self._take_reports()
                    self._take_news(selector)
        finally:
            if self._program:
                self._program.end()

    def stop(self, why: str) -> None:
        """End gracefully; a second call: at once."""
        grace = self.rules.stop_grace_seconds if not self._stopping else 0.0
        if not self._stopping:
            _log.info("stopping: %s", why)
        self._stopping = self._stopping or why
        self._stop_by = time.monotonic() + grace + _LAST_WAIT_SECONDS
        if self._program:
            self._program.stop(why)
        self.transitions.give_up(self.transitions.busy, grace)

    # --- one turn

    def _turn(self, selector: selectors.BaseSelector) -> str:
        """Do what is due; why this was the last turn, or nothing."""
        left = self.rules.seconds_for_jobs
        if not self._stopping and left is not None and left <= 0:
            self.stop("the time limit is reached")
        try:
            self._work(selector)
            self._patience.served()
        except DatabaseError as error:
            self._patience.wait(error)
        self.show(self)
        if self._failed:
            raise LaunchError(self._failed)
        return self._why_end()

    def _work(self, selector: selectors.BaseSelector) -> None:
        if self._why_dead:
            self._take_back()
        if not (self._program or self._stopping or self._ended or self._failed):
            self._program = self.ranks.start(self.nodes)
            selector.register(self._program, selectors.EVENT_READ)
        if self._timers.due("poll", _POLL_SECONDS):
            self._notice_changes()
        if self.transitions.finish_staging():
            self._advance_due = True
        if self._stopping:
            self.transitions.record()
        else:
            self._move_on()
        is_due = self._timers.due("heartbeat", self.rules.lease_seconds / 3)
        if is_due and not self.store.heartbeat(self.rules.launcher_id, self.tally.done):
            raise LaunchError(LEASE_LOST)

    def _move_on(self) -> None:
        is_due = self._timers.due("recover", _RECOVER_SECONDS)
        if is_due and recover(self.store, self.rules.journals, self.rules.machine_id):
            self._advance_due = True
        if self._is_idle or (self._advance_due and self._timers.due("advance", _ADVANCE_SECONDS)):
            moved = self.transitions.fill()
            self._advance_due = self.transitions.is_behind
            # Idle was said after the last result was recorded: what that result made possible would show here.
            if self._is_idle and self._program and not (moved or self.transitions.busy or self.rules.persistent):
                self._program.stop("")
            self._is_idle = False

    def _notice_changes(self) -> None:
        mark = self.store.database.change_mark()
        if mark == self._changes:
            return
        self._advance_due = True
        if self.transitions.busy:
            held = self.store.held(self.rules.launcher_id)
            gone = [job_id for job_id in self.transitions.busy if held.get(job_id) in (None, State.USER_KILLED)]
            self.transitions.give_up(gone, min(self.rules.stop_grace_seconds, _KILL_GRACE_SECONDS))
        self._changes = mark

    def _pause(self) -> float:
        wanted = ["poll", "heartbeat"] + (["advance"] if self._advance_due and not self._stopping else [])
        if self._is_idle and not self._stopping:
            return 0.0
        return max(self._timers.pause(wanted), 0.0)

    def _why_end(self) -> str:
        if self._stopping:
            is_done = not (self._program or self._why_dead or self.transitions.busy)
            return self._stopping if is_done or time.monotonic() > self._stop_by + _LAST_WAIT_SECONDS else ""
        return self._ended if self._program is None else ""

    # --- the ranks

    def _take_reports(self) -> None:
        for report in self.worker.receive():
            if self.transitions.finish_script(report):
                self._advance_due = True

    def _take_news(self, selector: selectors.BaseSelector) -> None:
        program = self._program
        if program is None:
            return
        lost = ""
        for news in program.news():
            lost = lost or news.lost
            self._take(news)
        if self._stopping and time.monotonic() > self._stop_by:
            lost = lost or "the master did not stop in time"
        elif program.silent_seconds > (self.rules.lease_seconds if program.has_begun else MEETING_SECONDS):
            lost = lost or f"the master has said nothing for {program.silent_seconds:.0f} s"
        if program.is_closed or lost:
            selector.unregister(program)
            self._program = None
            self._bury(program, lost)

    def _take(self, news: News) -> None:
        if news.events:
            self.notify(news.events)
            return
        before = self._before
        self.tally = Tally(
            before.done + news.done,
            before.failed + news.failed_jobs,
            before.timed_out + news.timed_out,
            before.started + news.started,
        )
        self.running = news.running
        self._is_idle = self._is_idle or news.idle
        self._ended = self._ended or news.ended
        self._failed = self._failed or news.failed

    def _bury(self, program: Program, lost: str) -> None:
        how = program.end()
        self.running, self._is_idle = 0, False
        if self._ended or self._failed:
            return
        if not program.has_begun and not lost:
            self._failed = f"the ranks could not be started ({how}); see the messages above, or use --limit-nodes 1"
            return
        self._why_dead = lost or f"one of its ranks died ({how})"

    def _take_back(self) -> None:
        """The ranks are gone: their jobs are runnable again, and the ranks start again where they still can."""
        message = f"the ranks of its launcher ended: {self._why_dead}"
        rules = self.rules
        started = StartedAttempts(rules.journals, rules.launcher_id)
        count = self.store.release_runs(rules.launcher_id, started, message)
        remove_node_journals(rules.journals, rules.launcher_id)
        why, self._why_dead = self._why_dead, ""
        _log.warning("%s; took back %d running jobs", why, count)
        if self._stopping:
            return
        ended_since = self.tally.done + self.tally.failed - self._before.done - self._before.failed
        self._deaths = 1 if ended_since else self._deaths + 1
        self._before = replace(self.tally)
        if self.on_rank_death == "end":
            self._failed = f"{why}; the setting on_rank_death says to end"
        elif self._deaths >= _MOST_DEATHS:
            self._failed = f"{why}, {self._deaths} times without a job that ended in between"
        else:
            self._go_on()

    def _go_on(self) -> None:
        alive = self.ranks.answering(self.nodes)
        if not alive:
            self._failed = "none of the nodes answers any more"
        elif len(alive) < len(self.nodes):
            gone = [node.hostname for node in self.nodes if node not in alive]
            _log.warning("going on without nodes that do not answer, %d: %s", len(gone), ", ".join(gone[:10]))
        self.nodes = alive

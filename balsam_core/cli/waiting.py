"""Waits for jobs: how many have come to a state, how many may still, how many have ended otherwise."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from balsam_core.cli.output import tell
from balsam_core.cli.selection import NOTHING_FOUND
from balsam_core.counting import counted
from balsam_core.errors import InvalidState, JobNotFound
from balsam_core.models.batch import OPEN
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import machine_id
from balsam_core.state.machine import END, State, parse_state
from balsam_core.state.store import Store

_POLL_SECONDS = 1.0
# Without a terminal a line is written when something has changed, and not more often than this.
_LINE_SECONDS = 10.0

# The way of a job for which all goes well.
_WAY = (
    State.CREATED,
    State.AWAITING_PARENTS,
    State.READY,
    State.STAGED_IN,
    State.PREPROCESSED,
    State.RUNNING,
    State.RUN_DONE,
    State.POSTPROCESSED,
    State.JOB_FINISHED,
)
# These have run, and run again or fail.
_AS_FAR_AS_RUNNING = frozenset({State.RUN_ERROR, State.RUN_TIMEOUT, State.RESTART_READY})
_TARGETS = frozenset(_WAY) | END


@dataclass(frozen=True)
class Tally:
    """Where the jobs stand that one waits for."""

    target: State
    reached: int
    pending: int
    otherwise: Mapping[State, int]
    timed_out: bool = False

    @property
    def total(self) -> int:
        """All of them."""
        return self.reached + self.pending + sum(self.otherwise.values())

    @property
    def all_reached(self) -> bool:
        """Whether every job has come to it, and there is one."""
        return self.reached == self.total > 0

    @property
    def summary(self) -> str:
        """One line for people: `8 of 10 jobs reached JOB_FINISHED; 1 FAILED, 1 still on the way`."""
        rest = [f"{count} {state}" for state, count in self.otherwise.items()]
        rest += [f"{self.pending} still on the way"] if self.pending else []
        tail = f"; {', '.join(rest)}" if rest else ""
        end = "; the time is up" if self.timed_out else ""
        return f"{self.reached} of {counted(self.total, 'job')} reached {self.target}{tail}{end}"


def target_state(word: str) -> State:
    """The state that jobs are to come to; raises InvalidState for one that a job may pass unseen."""
    state = parse_state(word)
    if state not in _TARGETS:
        known = ", ".join(known for known in State if known in _TARGETS)
        raise InvalidState(f"a job may pass {state} unseen, so nobody can wait for it; one can for {known}")
    return state


def tally_of(counts: Mapping[State, int], target: State) -> Tally:
    """The jobs sorted out; one that is further on than the target has come to it."""
    reached = sum(count for state, count in counts.items() if _has_reached(state, target))
    otherwise = {state: count for state, count in counts.items() if state in END and not _has_reached(state, target)}
    pending = sum(counts.values()) - reached - sum(otherwise.values())
    return Tally(target, reached, pending, otherwise)


def wait_for(
    store: Store, wanted: JobFilter, target: State, timeout_seconds: float | None, show: Callable[[Tally], None]
) -> Tally:
    """Look once a second until no job is on the way any more, or the time is up; raises JobNotFound: there are none."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    tally = tally_of(store.count_by_state(wanted), target)
    if not tally.total:
        raise JobNotFound(f"{NOTHING_FOUND[:1].lower()}{NOTHING_FOUND[1:]}; `balsam ls` shows what there is")
    if tally.pending and not _somebody_works(store):
        tell("no launcher runs and no batch job is open: nothing goes on until there is one")
    while tally.pending:
        show(tally)
        left = _POLL_SECONDS if deadline is None else min(deadline - time.monotonic(), _POLL_SECONDS)
        if left <= 0:
            return Tally(target, tally.reached, tally.pending, tally.otherwise, timed_out=True)
        time.sleep(left)
        tally = tally_of(store.count_by_state(wanted), target)
    return tally


class Display:
    """A progress bar on a terminal, lines otherwise; both on stderr."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._progress.add_task("", total=None)
        self._last = ""
        self._next = 0.0

    def __enter__(self) -> Display:
        if self._on_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal:
            self._progress.stop()

    def __call__(self, tally: Tally) -> None:
        """Show where the jobs stand."""
        if self._on_terminal:
            failed = "".join(f", {count} {state}" for state, count in tally.otherwise.items())
            words = f"{tally.target}{failed}"
            self._progress.update(self._task, description=words, completed=tally.reached, total=tally.total)
        elif tally.summary != self._last and time.monotonic() >= self._next:
            self._last, self._next = tally.summary, time.monotonic() + _LINE_SECONDS
            tell(tally.summary)

    @property
    def _on_terminal(self) -> bool:
        console = self._progress.console
        return console.is_terminal and not console.is_dumb_terminal


def _has_reached(state: State, target: State) -> bool:
    if state is target:
        return True
    if target not in _WAY:
        return False
    if state in _AS_FAR_AS_RUNNING:
        return _WAY.index(target) <= _WAY.index(State.RUNNING)
    return state in _WAY and _WAY.index(state) >= _WAY.index(target)


def _somebody_works(store: Store) -> bool:
    here = machine_id(os.environ)
    dead = {launcher.launcher_id for launcher in store.expired_launchers(here)}
    alive = any(row.launcher_id not in dead for row, _ in store.launchers())
    return alive or bool(store.batches.select(machine_id=here, states=OPEN))

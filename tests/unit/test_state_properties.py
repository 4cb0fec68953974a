"""No sequence of moves, crashes and expiries loses a job, records two results, or breaks the count of parents.

A search of some minutes: `LONG_SEARCH=1 python -m pytest --timeout=0 tests/unit/test_state_properties.py`
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from balsam_core.errors import CircularDependency, InvalidState, JobSpecError
from balsam_core.models.job import Job
from balsam_core.state.claims import Limits
from balsam_core.state.machine import State, may_move
from balsam_core.state.outcomes import End, RetryPolicy
from balsam_core.state.reports import Result, Start
from balsam_core.state.tables import dependencies, events, jobs, launchers
from tests.helpers import expired_after, make_launcher, make_spec, only, result_of, start_of, temporary_store

_LONG = bool(os.environ.get("LONG_SEARCH"))
_POLICY = RetryPolicy(retry_codes=frozenset({1}), max_retries=1, timeout_retries=1)

picks = st.integers(min_value=0, max_value=10_000)


@dataclass
class Pilot:
    """A launcher as it sees itself: what it claimed, what it runs, what it has reported."""

    launcher_id: UUID
    claimed: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    journal: list[tuple[UUID, int]] = field(default_factory=list)
    said: list[tuple[list[Start], list[Result]]] = field(default_factory=list)


class Site(RuleBasedStateMachine):
    """Users, launchers, crashes and recoveries on one database."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = temporary_store(self.folder)
        self.pilots: list[Pilot] = []
        self.gone: list[Pilot] = []
        self.known: list[UUID] = []
        self.killed: set[UUID] = set()
        self.attempts: dict[UUID, int] = {}

    def teardown(self) -> None:
        self.store.database.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        self.add(number=4, seed=1, scripted=False, waits=True)
        for _ in range(2):
            self.launcher_begins()
            self.claim(pick=1, most=2)
        self.start(pick=0, also_end=None, told=True)

    # --- users

    @rule(number=st.integers(1, 4), seed=picks, scripted=st.booleans(), waits=st.booleans())
    def add(self, number: int, seed: int, scripted: bool, waits: bool) -> None:
        chance = random.Random(seed)
        added: list[UUID] = []
        for _ in range(number):
            parents = [job_id for job_id in (self.known + added)[-6:] if chance.random() < 0.4]
            spec = make_spec(
                parents=tuple(parents),
                application="scripted" if scripted else "true",
                wait_for_parents=waits,
                input_files=chance.choice(["*", ""]),
                post_error_handler=chance.random() < 0.3,
                post_timeout_handler=chance.random() < 0.3,
                auto_timeout_retry=chance.random() < 0.7,
            )
            self.store.add_jobs([spec])
            added.append(spec.job_id)
        self.known += added

    @precondition(lambda self: self.known)
    @rule(pick=picks, state=st.sampled_from(State))
    def move_by_hand(self, pick: int, state: State) -> None:
        try:
            self.store.move_by_hand(only(self.some_job(pick)), state, "because")
        except InvalidState:
            assert self.some_job(pick) in self.killed

    @precondition(lambda self: self.known)
    @rule(pick=picks, recursive=st.booleans())
    def kill(self, pick: int, recursive: bool) -> None:
        self.store.kill(only(self.some_job(pick)), recursive=recursive)

    @precondition(lambda self: len(self.known) > 6)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        job_id = self.some_job(pick)
        assert self.store.delete_jobs([job_id]) == 1
        self.known.remove(job_id)

    @precondition(lambda self: self.known)
    @rule(
        pick=picks,
        field=st.sampled_from(["hold", "wait_for_parents"]),
        value=st.booleans(),
    )
    def change(self, pick: int, field: str, value: bool) -> None:
        self.store.change_jobs(only(self.some_job(pick)), {field: value})

    @precondition(lambda self: self.known)
    @rule(parent=picks, child=picks)
    def add_edge(self, parent: int, child: int) -> None:
        with suppress(JobSpecError):  # A circle, or an edge that is there.
            self.store.add_dependency(self.some_job(parent), self.some_job(child))

    @precondition(lambda self: self.known)
    @rule(child=picks, parents=st.lists(picks, max_size=2))
    def set_parents(self, child: int, parents: list[int]) -> None:
        with suppress(CircularDependency):
            self.store.set_parents(self.some_job(child), [self.some_job(parent) for parent in parents])

    # --- launchers

    @precondition(lambda self: len(self.pilots) < 3)
    @rule()
    def launcher_begins(self) -> None:
        self.pilots.append(Pilot(make_launcher(self.store, lease_seconds=4.0)))

    @precondition(lambda self: self.pilots)
    @rule(pick=picks, most=st.integers(1, 4))
    def claim(self, pick: int, most: int) -> None:
        self.store.advance()
        pilot = self.some_pilot(pick)
        busy = {job.job_id for job in pilot.running}
        pilot.claimed += self.store.claim(
            pilot.launcher_id, Limits(), lambda found: [job.job_id for job in found if job.job_id not in busy][:most]
        )

    @precondition(lambda self: self.gone)
    @rule(pick=picks)
    def claim_after_the_end(self, pick: int) -> None:
        pilot = self.gone[pick % len(self.gone)]
        held = self.store.claim(pilot.launcher_id, Limits(), lambda found: [job.job_id for job in found])
        held += self.store.claim_work(pilot.launcher_id, "", 10)
        assert not held or self.store.heartbeat(pilot.launcher_id)

    @precondition(lambda self: any(pilot.claimed for pilot in self.pilots))
    @rule(pick=picks, also_end=st.none() | st.sampled_from([End.DONE, End.ERROR]), told=st.booleans())
    def start(self, pick: int, also_end: End | None, told: bool) -> None:
        pilot = self.some_pilot(pick, lambda pilot: pilot.claimed)
        starting, pilot.claimed = pilot.claimed, []
        pilot.journal += [(job.job_id, job.attempt + 1) for job in starting]
        pilot.running += starting
        if told:
            results = [result_of(job, also_end) for job in starting] if also_end else []
            self.report(pilot, [start_of(job) for job in starting], results)

    @precondition(lambda self: any(pilot.running for pilot in self.pilots))
    @rule(pick=picks, end=st.sampled_from(End), exit_code=st.sampled_from([0, 1, 2, None]))
    def finish(self, pick: int, end: End, exit_code: int | None) -> None:
        pilot = self.some_pilot(pick, lambda pilot: pilot.running)
        # Starts that were not told yet come with the result, as a launcher keeps what it could not send.
        starts = [start_of(job) for job in pilot.running]
        self.report(pilot, starts, [result_of(job, end, exit_code=exit_code) for job in pilot.running])

    @precondition(lambda self: self.pilots)
    @rule(pick=picks)
    def give_back(self, pick: int) -> None:
        pilot = self.some_pilot(pick)
        self.store.give_back(pilot.launcher_id, [job.job_id for job in pilot.claimed + pilot.running])
        pilot.claimed = []

    @precondition(lambda self: any(pilot.said for pilot in self.pilots + self.gone))
    @rule(pick=picks)
    def say_it_again(self, pick: int) -> None:
        """A launcher that lost its lease, or is not sure that it was heard, repeats an old report."""
        talkers = [pilot for pilot in self.pilots + self.gone if pilot.said]
        pilot = talkers[pick % len(talkers)]
        starts, results = pilot.said[pick % len(pilot.said)]
        _, written, *_ = self.store.report(pilot.launcher_id, starts, results, _POLICY)
        said = {(start.job_id, start.attempt) for start in starts}
        said |= {(result.job_id, result.attempt) for result in results}
        assert {(event["job_id"], event["attempt"]) for event in written} <= said

    @precondition(lambda self: self.pilots)
    @rule(pick=picks, crash=st.booleans())
    def launcher_goes(self, pick: int, crash: bool) -> None:
        pilot = self.some_pilot(pick)
        self.pilots.remove(pilot)
        self.gone.append(pilot)
        if not crash:
            self.store.end_launcher(pilot.launcher_id, "done")

    @precondition(lambda self: self.gone)
    @rule(silent=st.booleans(), journal=st.booleans())
    def recover(self, silent: bool, journal: bool) -> None:
        """The launchers that went without a word are silent for long; what they held is taken back."""
        started = {pilot.launcher_id: pilot.journal for pilot in self.gone}
        alive = [pilot.launcher_id for pilot in self.pilots]
        for dead in expired_after(self.store, 5 if silent else 0, alive):
            self.store.take_back(dead, started[dead.launcher_id] if journal else ())
            assert not self.store.heartbeat(dead.launcher_id)

    # --- transitions

    @rule()
    def advance(self) -> None:
        self.store.advance()
        assert self.store.advance() == 0

    @precondition(lambda self: self.pilots)
    @rule(pick=picks, fails=st.booleans(), tells=st.booleans())
    def work(self, pick: int, fails: bool, tells: bool) -> None:
        pilot = self.some_pilot(pick)
        for job in self.store.claim_work(pilot.launcher_id, "", 3):
            if tells:
                target = State.FAILED if fails else _AFTER_WORK[job.state]
                assert self.store.finish_work(pilot.launcher_id, job, target)

    # --- what must hold

    @invariant()
    def everything_is_right(self) -> None:
        with self.store.database.read() as tx:
            rows = {row.job_id: row for row in tx.execute(select(*(jobs.c[name] for name in _LOOKED_AT)))}
            edges = tx.execute(select(dependencies)).all()
            history = tx.execute(select(events).order_by(events.c.event_id)).all()
            live = set(tx.execute(select(launchers.c.launcher_id).where(launchers.c.ended_at.is_(None))).scalars())
        self.no_job_is_lost(rows, live)
        self.edges_are_counted_right(rows, edges)
        self.histories_are_whole(rows, history)

    def no_job_is_lost(self, rows: dict[UUID, Any], live: set[UUID]) -> None:
        assert set(rows) == set(self.known)
        for job_id, row in rows.items():
            assert row.launcher_id is None or row.launcher_id in live
            assert row.attempt >= self.attempts.get(job_id, 0)
            assert job_id not in self.killed or row.state == "USER_KILLED"
            self.attempts[job_id] = row.attempt
            if row.state == "USER_KILLED":
                self.killed.add(job_id)

    def edges_are_counted_right(self, rows: dict[UUID, Any], edges: Sequence[Any]) -> None:
        unmet = dict.fromkeys(rows, 0)
        for edge in edges:
            assert edge.satisfied == (rows[edge.parent_id].state == "JOB_FINISHED")
            unmet[edge.child_id] += not edge.satisfied
        assert {job_id: row.unmet_parents for job_id, row in rows.items()} == unmet
        # Nobody polls the jobs that wait: each of them has something to wait for.
        waiting = [row for row in rows.values() if row.state == "AWAITING_PARENTS"]
        assert all(row.unmet_parents and row.wait_for_parents for row in waiting)

    def histories_are_whole(self, rows: dict[UUID, Any], history: Sequence[Any]) -> None:
        last: dict[UUID, Any] = {}
        starts: Counter[tuple[UUID, int]] = Counter()
        results: Counter[tuple[UUID, int]] = Counter()
        for event in history:
            assert event.from_state == (last[event.job_id].to_state if event.job_id in last else "")
            last[event.job_id] = event
            if event.message.startswith("by hand") or not event.from_state:
                continue
            assert may_move(State(event.from_state), State(event.to_state)), event
            starts[event.job_id, event.attempt] += event.to_state == "RUNNING"
            results[event.job_id, event.attempt] += event.to_state in _RESULTS
        assert {job_id: event.to_state for job_id, event in last.items()} == {
            job_id: row.state for job_id, row in rows.items()
        }
        assert max(starts.values(), default=0) <= 1
        assert max(results.values(), default=0) <= 1
        for job_id, row in rows.items():
            # Only a user can make a job RUNNING that nobody runs.
            assert row.state != "RUNNING" or row.launcher_id or last[job_id].message.startswith("by hand")

    # --- helpers

    def report(self, pilot: Pilot, starts: list[Start], results: list[Result]) -> None:
        lost, *_ = self.store.report(pilot.launcher_id, starts, results, _POLICY)
        pilot.said.append((starts, results))
        ended = {result.job_id for result in results}
        pilot.running = [job for job in pilot.running if job.job_id not in lost | ended]

    def some_job(self, pick: int) -> UUID:
        return self.known[pick % len(self.known)]

    def some_pilot(self, pick: int, fits: Any = lambda _: True) -> Pilot:
        fitting = [pilot for pilot in self.pilots if fits(pilot)]
        return fitting[pick % len(fitting)]


_LOOKED_AT = ["job_id", "state", "attempt", "launcher_id", "unmet_parents", "wait_for_parents"]
_RESULTS = {"RUN_DONE", "RUN_ERROR", "RUN_TIMEOUT"}
_AFTER_WORK = {
    State.READY: State.STAGED_IN,
    State.STAGED_IN: State.PREPROCESSED,
    State.RUN_DONE: State.POSTPROCESSED,
    State.POSTPROCESSED: State.JOB_FINISHED,
    State.RUN_ERROR: State.FAILED,
    State.RUN_TIMEOUT: State.FAILED,
}

TestSite = Site.TestCase
TestSite.settings = settings(
    max_examples=600 if _LONG else 45,
    stateful_step_count=60 if _LONG else 30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSite.__doc__ = "The site under random sequences of all of the above."

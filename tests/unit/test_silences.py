"""Leases are counted by those who watch: clocks that are stepped and databases that are lost expire nobody."""

from __future__ import annotations

from uuid import uuid4

import pytest

from balsam_core.state.silences import Silences

LAUNCHER = uuid4()


class Observer:
    """Looks at one launcher; `own` is its clock, `database` that of the heartbeats."""

    def __init__(self) -> None:
        self.own = 1000.0
        self.database = 1e9
        self.interruptions = 0
        self.served_since = 0.0
        self.heartbeat = self.database
        self._silences = Silences(lambda: self.own)

    def silent(self, *, after: float = 0.0, beats: bool = False) -> float:
        """How long the launcher has been silent, when we look again so many seconds later."""
        self.own += after
        self.database += after
        if beats:
            self.heartbeat = self.database
        return self._silences.look(
            {LAUNCHER: self.heartbeat},
            clock=self.database,
            served_since=self.served_since,
            interruptions=self.interruptions,
        )[LAUNCHER]


@pytest.fixture
def observer() -> Observer:
    return Observer()


def test_what_was_before_the_first_look_is_told_by_the_clock_of_the_database(observer: Observer) -> None:
    assert observer.silent(after=40) == 40
    assert observer.silent(after=2) == 42
    assert observer.silent(after=2, beats=True) == 0


@pytest.mark.parametrize("step", [86400.0, -86400.0])
def test_a_step_of_the_databases_clock_neither_expires_nor_prolongs_a_lease(observer: Observer, step: float) -> None:
    observer.silent()
    observer.database += step
    assert [observer.silent(after=2) for _ in range(3)] == [2, 4, 6]
    assert observer.silent(after=2, beats=True) == 0
    assert observer.silent(after=2) == 2


def test_a_clock_that_was_set_back_before_the_first_look_makes_no_silence_of_less_than_nothing(
    observer: Observer,
) -> None:
    observer.database -= 3600
    assert observer.silent() == 0
    assert observer.silent(after=3) == 3


def test_time_without_a_database_does_not_count(observer: Observer) -> None:
    observer.silent(after=1)
    observer.interruptions += 1
    assert observer.silent(after=4) == 1
    assert observer.silent(after=2) == 3


def test_an_observer_that_comes_after_an_outage_counts_from_its_end(observer: Observer) -> None:
    observer.served_since = observer.database + 100
    assert observer.silent(after=103) == 3


def test_an_observer_that_was_stopped_itself_has_not_watched(observer: Observer) -> None:
    observer.silent()
    assert observer.silent(after=500) == 5

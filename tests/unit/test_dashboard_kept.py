"""What takes long is kept, and browsers are told when there is more to see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.dashboard

pytest.importorskip("starlette")

from balsam_core.dashboard.kept import Kept  # noqa: E402  # after the look whether it is there
from balsam_core.dashboard.live import Changes  # noqa: E402
from balsam_core.state.database import Database  # noqa: E402
from tests.helpers import temporary_store  # noqa: E402

_SECONDS = 10.0


class Counted(Changes):
    """How often browsers were told to look again."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.looks = 0

    def look_again(self) -> None:
        self.looks += 1


@pytest.fixture
def changes(tmp_path: Path) -> Iterator[Counted]:
    database = temporary_store(tmp_path).database
    yield Counted(database)
    database.close()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_value_is_made_once_per_key_while_it_is_good(changes: Counted) -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key.upper()

    kept: Kept[str, str] = Kept(make, _SECONDS, changes)
    assert [kept.get("a"), kept.get("a"), kept.get("b")] == ["A", "A", "B"]
    assert (made, changes.looks) == (["a", "b"], 0)


def test_a_value_that_is_no_longer_good_is_made_anew(changes: Counted) -> None:
    numbers = iter(range(10))
    kept: Kept[None, int] = Kept(lambda _: next(numbers), 0.0, changes)
    assert kept.get(None) == 0
    wait_until(lambda: kept.get(None) == 1)


def test_nobody_waits_for_what_takes_long_and_browsers_are_told_when_it_is_there(changes: Counted) -> None:
    done = threading.Event()
    kept: Kept[None, int] = Kept(lambda _: 1 if done.wait(_SECONDS) else 0, _SECONDS, changes)
    assert (kept.soon(None), changes.looks) == (None, 0)
    done.set()
    wait_until(lambda: changes.looks == 1)
    assert kept.soon(None) == 1


def test_who_was_given_a_value_from_before_a_change_is_told_when_a_newer_one_is_due(changes: Counted) -> None:
    kept: Kept[None, int] = Kept(lambda _: changes.number, 0.3, changes)
    assert kept.get(None) == 0
    changes.number += 1
    assert [kept.get(None), kept.get(None)] == [0, 0]
    wait_until(lambda: changes.looks == 1)
    wait_until(lambda: kept.get(None) == 1)


def test_the_oldest_of_many_values_is_forgotten(changes: Counted) -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return key

    kept: Kept[int, int] = Kept(make, _SECONDS, changes)
    for key in (*range(101), 100, 0):
        kept.get(key)
    assert made == [*range(101), 0]


def test_an_error_is_raised_to_who_asks_and_not_kept(changes: Counted) -> None:
    answers = iter(["no", "1"])
    kept: Kept[None, int] = Kept(lambda _: int(next(answers)), _SECONDS, changes)
    with pytest.raises(ValueError, match="'no'"):
        kept.get(None)
    assert kept.get(None) == 1

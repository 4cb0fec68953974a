"""Faults that a fake scheduler's commands play, by variable.

FAKE_BATCH_DELAY_SECONDS          wait before anything is done
FAKE_BATCH_ANSWER_DELAY_SECONDS   do it, and say so late
FAKE_BATCH_EXIT_CODE              end with this code
FAKE_BATCH_GARBAGE                do it, and print this in place of the answer
FAKE_BATCH_FORGET_AFTER_SECONDS   know nothing of batch jobs that were submitted so long ago
FAKE_BATCH_REFUSE                 do nothing, and print this on stderr

`FAKE_BATCH_QSTAT_EXIT_CODE` is for qstat alone, and so on; it beats the one for all. What the folder's file sets beats
the environment. EXIT_CODE without GARBAGE and REFUSE: nothing is done, and nothing said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "FAKE_BATCH_"
NAMES = ("DELAY_SECONDS", "ANSWER_DELAY_SECONDS", "EXIT_CODE", "GARBAGE", "FORGET_AFTER_SECONDS", "REFUSE")


@dataclass(frozen=True)
class Faults:
    """The faults of one command; None: it has no such fault."""

    delay_seconds: float
    answer_delay_seconds: float
    exit_code: int | None
    garbage: str | None
    forget_after_seconds: float | None
    refuse: str | None


def faults_of(command: str, *sources: Mapping[str, str]) -> Faults:
    """The faults that `command` plays; earlier sources beat later ones. Raises ValueError for what is no number."""
    found = {name: _look_up(command, name, sources) for name in NAMES}
    forget, code = found["FORGET_AFTER_SECONDS"], found["EXIT_CODE"]
    return Faults(
        delay_seconds=float(found["DELAY_SECONDS"] or 0),
        answer_delay_seconds=float(found["ANSWER_DELAY_SECONDS"] or 0),
        exit_code=int(code) if code else None,
        garbage=found["GARBAGE"],
        forget_after_seconds=float(forget) if forget else None,
        refuse=found["REFUSE"],
    )


def variable(name: str, command: str = "") -> str:
    """The variable of a fault, for one command or for all; raises ValueError when there is no such fault."""
    if name not in NAMES:
        raise ValueError(f"no fault is called {name!r}; there are {', '.join(NAMES)}")
    return f"{PREFIX}{command.upper()}_{name}" if command else f"{PREFIX}{name}"


def _look_up(command: str, name: str, sources: tuple[Mapping[str, str], ...]) -> str | None:
    for source in sources:
        for key in (variable(name, command), variable(name)):
            if key in source:
                return source[key]
    return None

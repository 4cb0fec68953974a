"""Reads the fields of Slurm's tables: states, times, exit codes, counts."""

from __future__ import annotations

import re

from balsam_core.plugins import BatchState

# squeue(1), "JOB STATE CODES", of 17.11 to 24.05. REVOKED is left out: another cluster has that batch job.
_STATES = {
    "PENDING": BatchState.QUEUED,
    "REQUEUED": BatchState.QUEUED,
    "REQUEUE_FED": BatchState.QUEUED,
    "REQUEUE_HOLD": BatchState.HELD,
    "RESV_DEL_HOLD": BatchState.HELD,
    "SPECIAL_EXIT": BatchState.HELD,
    "CONFIGURING": BatchState.STARTING,
    "POWER_UP_NODE": BatchState.STARTING,
    "RUNNING": BatchState.RUNNING,
    "RESIZING": BatchState.RUNNING,
    "SIGNALING": BatchState.RUNNING,
    "STOPPED": BatchState.SUSPENDED,
    "SUSPENDED": BatchState.SUSPENDED,
    "COMPLETING": BatchState.ENDING,
    "STAGE_OUT": BatchState.ENDING,
    "COMPLETED": BatchState.DONE,
    "BOOT_FAIL": BatchState.FAILED,
    "FAILED": BatchState.FAILED,
    "LAUNCH_FAILED": BatchState.FAILED,
    "NODE_FAIL": BatchState.FAILED,
    "OUT_OF_MEMORY": BatchState.FAILED,
    "RECONFIG_FAIL": BatchState.FAILED,
    "DEADLINE": BatchState.TIMEOUT,
    "TIMEOUT": BatchState.TIMEOUT,
    "CANCELLED": BatchState.CANCELLED,
    "PREEMPTED": BatchState.PREEMPTED,
}
FINAL = frozenset({BatchState.DONE, BatchState.FAILED, BatchState.TIMEOUT, BatchState.CANCELLED, BatchState.PREEMPTED})
_HELD = ("JobHeldUser", "JobHeldAdmin")
_TIME = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9})\Z", re.ASCII)
_COUNT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([KM]?)(?:-\d[\d.]*[KM]?)?\Z", re.ASCII)
_TIMES = {"": 1, "K": 1024, "M": 1024**2}
_CODE = re.compile(r"(\d{1,9}):(\d{1,9})\Z", re.ASCII)
_WAIT_STATUS = re.compile(r"\d{1,9}\Z", re.ASCII)
_NOTHING = frozenset({"", "(null)", "None", "N/A"})


def state_of(word: str, reason: str = "") -> BatchState:
    """The state that Slurm calls `word`; UNKNOWN when no table knows it."""
    if word == "PENDING" and reason.startswith(_HELD):
        return BatchState.HELD
    return _STATES.get(word, BatchState.UNKNOWN)


def seconds_in(text: str) -> float | None:
    """The seconds of `1-02:00:00`, `120:00:00` or `9:58`; None: `UNLIMITED`, `INVALID` or no time at all."""
    match = _TIME.match(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def exit_code_in(text: str) -> int | None:
    """The code in `3:0`, -9 in `0:9`: killed by signal 9; squeue prints the status of wait(2): 768 is 3, 9 is -9."""
    code, signal = 0, 0
    if pair := _CODE.match(text):
        code, signal = int(pair[1]), int(pair[2])
    elif _WAIT_STATUS.match(text):
        code, signal = int(text) >> 8, int(text) & 0x7F
    else:
        return None
    return code or -signal


def count_in(text: str) -> int | None:
    """The number in `4`, `2K` (2048) or `2-4` (2)."""
    match = _COUNT.match(text)
    return None if match is None else int(float(match[1]) * _TIMES[match[2]])


def text_in(text: str) -> str:
    """The text, empty for the words by which Slurm says that there is none."""
    return "" if text in _NOTHING else text

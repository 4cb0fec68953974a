"""The scheduler `local`: builds the commands of the queue on this machine, and reads its answers."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from balsam_core.plugins import (
    BatchRecord,
    BatchState,
    BatchStatus,
    Command,
    CommandResult,
    Scheduler,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
    StatusReport,
)

if TYPE_CHECKING:
    from balsam_core.plugins import BatchRequest
    from balsam_local.settings import LocalSettings

# -P: a file `random.py` in the user's folder shall not be taken for Python's own; Python 3.10 has no such option.
_PROGRAM = (sys.executable, *(("-P",) if sys.version_info >= (3, 11) else ()), "-m", "balsam_local.queue")
_USAGE, _REFUSED, _UNAVAILABLE = 2, 3, 4
_STATES = {
    "WAITING": BatchState.QUEUED,
    "STARTING": BatchState.STARTING,
    "RUNNING": BatchState.RUNNING,
    "ENDING": BatchState.ENDING,
    "DONE": BatchState.DONE,
    "FAILED": BatchState.FAILED,
    "TIMEOUT": BatchState.TIMEOUT,
    "CANCELLED": BatchState.CANCELLED,
}
_AGREED = ("cancelled", "stopping", "over")
_ID = re.compile(r"[0-9]+\Z")


class LocalScheduler(Scheduler):
    """The queue of this user on this machine; see `python -m balsam_local.queue --help`."""

    name = "local"
    template = "balsam_templates:local.sh.j2"
    job_id_variable = "BALSAM_LOCAL_JOB_ID"
    min_poll_seconds = 1.0
    grace_seconds = 5.0
    runs_here = True

    def __init__(self, settings: LocalSettings) -> None:
        self._queue = (*_PROGRAM, f"--path={settings.queue_path}")
        self._nodes = settings.virtual_nodes or 1
        self._kill_grace_seconds = settings.kill_grace_seconds

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        options = {
            "--name": request.tag,
            "--nodes": request.nodes,
            "--minutes": request.time_limit_minutes,
            "--workdir": request.workdir,
            "--output-prefix": request.output_prefix,
            "--machine-nodes": self._nodes,
            "--grace-seconds": self._kill_grace_seconds,
            "--queue": request.queue,
            "--project": request.project,
        }
        words = [f"{option}={value}" for option, value in options.items() if value is not None]
        checking = ("--dry-run",) if dry_run else ()
        return Command((*self._queue, "submit", *words, *checking, *request.sched_flags, script))

    def parse_submit(self, result: CommandResult) -> str:
        _refuse(result)
        ids = [line for line in _lines(_answer(result)) if _ID.match(line)]
        if len(ids) != 1:
            raise _not_understood("no id of a batch job", result)
        return ids[0]

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        return self._about("status", ids)

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        return _report(ids, [result])

    def find_command(self, tag: str, user: str) -> Command | None:
        return Command((*self._queue, "find", tag))

    def parse_find(self, result: CommandResult) -> str | None:
        rows = [_row(line) for line in _lines(_answer(result))]
        if None in rows:
            raise _not_understood("a batch job that cannot be read", result)
        return rows[-1][0] if rows and rows[-1] else None

    def history_commands(self, records: Sequence[BatchRecord]) -> Sequence[Command]:
        return [self._about("history", [record.id for record in records])] if records else []

    def parse_history(self, records: Sequence[BatchRecord], results: Sequence[CommandResult]) -> StatusReport:
        return _report([record.id for record in records], results)

    def cancel_command(self, ids: Sequence[str]) -> Command:
        return self._about("cancel", ids)

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        _refuse(result)
        agreed = set()
        for line in _lines(_answer(result)):
            raw = _object(line)
            if raw is None or not isinstance(raw.get("id"), str) or not isinstance(raw.get("answer"), str):
                raise _not_understood("an answer that cannot be read", result)
            if raw["answer"] in _AGREED:
                agreed.add(raw["id"])
        return frozenset(agreed & set(ids))

    def _about(self, command: str, ids: Sequence[str]) -> Command:
        # An id of another scheduler would be refused as a usage error, and spoil the rest.
        return Command((*self._queue, command, *(id for id in ids if _ID.match(id))))


# ---- answers ----


def _refuse(result: CommandResult) -> None:
    """Raises SchedulerRejected when the queue answered no, or did not take the words that the user gave."""
    if result.returncode in (_USAGE, _REFUSED):
        raise SchedulerRejected(_last_line(result.stderr) or "the local queue refused and said nothing")


def _answer(result: CommandResult) -> str:
    """What was printed; raises for an answer that is none."""
    code = result.returncode
    if code == _UNAVAILABLE or code < 0:
        why = _last_line(result.stderr) or (
            f"its command was killed by signal {-code}" if code < 0 else "no reason given"
        )
        raise SchedulerUnavailable(f"the local queue gave no answer: {why}")
    if code != 0:
        raise _not_understood(f"exit code {code}: {_last_line(result.stderr) or 'nothing was said'}", result)
    return result.stdout


def _report(ids: Sequence[str], results: Sequence[CommandResult]) -> StatusReport:
    """What the answers say of `ids`; a second row of one id contradicts the first, and counts as unreadable."""
    jobs: dict[str, BatchStatus] = {}
    unreadable: list[str] = []
    for line in (line for result in results for line in _lines(_answer(result))):
        found = _row(line)
        if found is None or found[0] in jobs:
            unreadable.append(line)
        elif found[0] in ids:
            jobs[found[0]] = found[1]
    return StatusReport(jobs, tuple(unreadable))


def _row(line: str) -> tuple[str, BatchStatus] | None:
    """The id and the state in one line of an answer; None: it cannot be read."""
    raw = _object(line)
    if raw is None:
        return None
    try:
        state = _text(raw["state"])
        return _text(raw["id"]), BatchStatus(
            _STATES.get(state, BatchState.UNKNOWN),
            raw_state=state,
            name=_text(raw["name"]),
            reason=_text(raw["reason"]),
            exit_code=None if raw["exit_code"] is None else _whole(raw["exit_code"]),
            seconds_left=None if raw["seconds_left"] is None else _number(raw["seconds_left"]),
            queue=None if raw["queue"] is None else _text(raw["queue"]),
            nodes=_whole(raw["nodes"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _object(line: str) -> dict[str, Any] | None:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(value)
    return float(value)


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _last_line(text: str) -> str:
    lines = list(_lines(text))
    return lines[-1].strip() if lines else ""


def _not_understood(what: str, result: CommandResult) -> SchedulerNotUnderstood:
    raw = "\n".join(text for text in (result.stdout, result.stderr) if text)
    return SchedulerNotUnderstood(f"the local queue answered with {what}; see the raw text", raw)

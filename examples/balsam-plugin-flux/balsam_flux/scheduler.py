"""The scheduler `flux`: flux-batch(1), flux-jobs(1), flux-cancel(1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from balsam_core.plugins import (
    BatchRequest,
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

# flux-jobs(1), "status": the state of an active job, the result of one that has ended.
_STATES = {
    "DEPEND": BatchState.HELD,
    "PRIORITY": BatchState.QUEUED,
    "SCHED": BatchState.QUEUED,
    "RUN": BatchState.RUNNING,
    "CLEANUP": BatchState.ENDING,
    "COMPLETED": BatchState.DONE,
    "FAILED": BatchState.FAILED,
    "CANCELED": BatchState.CANCELLED,
    "TIMEOUT": BatchState.TIMEOUT,
}
# What can hold blanks or bars comes last.
_FORMAT = "{id.f58plain}|{status}|{returncode}|{t_remaining!F}|{nnodes}|{queue}|{name}|{exception.note}"
_FIELDS = 8
# In the C locale ids begin with `f`, in others with the florin sign.
_ID = re.compile(r"[f\u0192][1-9A-HJ-NP-Za-km-z]+")
_DOWN = re.compile(r"unable to connect|connection refused|broker.*(terminated|shutting down)|FLUX_URI", re.IGNORECASE)


class Flux(Scheduler):
    """Batch jobs of a Flux instance; attributes: further words for `--setattr`."""

    name = "flux"
    template = "balsam_flux:flux.sh.j2"
    job_id_variable = "FLUX_JOB_ID"

    def __init__(self, attributes: Sequence[str] = ()) -> None:
        self._attributes = tuple(attributes)

    def template_values(self, request: BatchRequest) -> Mapping[str, object]:
        """The time limit as Flux reads it."""
        return {"time_limit": f"{request.time_limit_minutes}m"}

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        """`flux batch`, with paths on the command line and the rest in the script's directives."""
        attributes = [word for attribute in self._attributes for word in ("--setattr", attribute)]
        output = f"--output={request.output_prefix}.output"
        check = ["--dry-run"] if dry_run else []
        return Command(
            ("flux", "batch", *check, f"--cwd={request.workdir}", output, *attributes, *request.sched_flags, script)
        )

    def parse_submit(self, result: CommandResult) -> str:
        """The id stands alone on the last line."""
        _refuse_failure(result, SchedulerRejected)
        last = result.stdout.split()[-1:]
        if not last or not _ID.fullmatch(last[0]):
            raise SchedulerNotUnderstood("flux batch printed no job id", result.stdout)
        return _plain(last[0])

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        """All ids at once; unknown ones are a line on stderr each."""
        return Command(("flux", "jobs", "--no-header", f"--format={_FORMAT}", *ids))

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        """A row per job; the exit code is 1 when one of the ids is unknown."""
        if _DOWN.search(result.stderr) or (result.returncode > 1 and not result.stdout.strip()):
            raise SchedulerUnavailable(_said(result))
        found, unreadable = {}, []
        for line in filter(str.strip, result.stdout.splitlines()):
            fields = line.split("|", _FIELDS - 1)
            if len(fields) < _FIELDS or not _ID.fullmatch(fields[0].strip()):
                unreadable.append(line)
            elif _plain(fields[0]) in ids:
                found[_plain(fields[0])] = _status(fields)
        return StatusReport(found, tuple(unreadable))

    def find_command(self, tag: str, user: str) -> Command | None:
        """The jobs of that name, ended ones too."""
        return Command(("flux", "jobs", "-a", "--no-header", f"--name={tag}", "--format={id.f58plain}"))

    def parse_find(self, result: CommandResult) -> str | None:
        """The first id."""
        _refuse_failure(result, SchedulerUnavailable)
        ids = result.stdout.split()
        if ids and not _ID.fullmatch(ids[0]):
            raise SchedulerNotUnderstood("flux jobs printed no job id", result.stdout)
        return _plain(ids[0]) if ids else None

    def cancel_command(self, ids: Sequence[str]) -> Command:
        """`flux cancel`: SIGTERM, and SIGKILL after the instance's kill-timeout."""
        return Command(("flux", "cancel", *ids))

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        """All, unless a line on stderr names one; `inactive` is over already."""
        if _DOWN.search(result.stderr):
            raise SchedulerUnavailable(_said(result))
        refused = [line for line in result.stderr.splitlines() if "inactive" not in line]
        if result.returncode and not result.stderr.strip():
            raise SchedulerRejected(_said(result))
        return frozenset(name for name in ids if not any(name in line for line in refused))


def _status(fields: Sequence[str]) -> BatchStatus:
    _, word, code, left, nodes, queue, name, note = (field.strip() for field in fields)
    return BatchStatus(
        _STATES.get(word, BatchState.UNKNOWN),
        word,
        name=name or None,
        reason=note,
        exit_code=int(code) if re.fullmatch(r"-?\d{1,9}", code) else None,
        seconds_left=float(left[:-1]) if re.fullmatch(r"\d{1,12}(\.\d+)?s", left) else None,
        queue=queue or None,
        nodes=int(nodes) if re.fullmatch(r"\d{1,9}", nodes) else None,
    )


def _plain(text: str) -> str:
    return "f" + text.strip()[1:]


def _refuse_failure(result: CommandResult, no: type[SchedulerRejected] | type[SchedulerUnavailable]) -> None:
    if _DOWN.search(result.stderr):
        raise SchedulerUnavailable(_said(result))
    if result.returncode:
        raise no(_said(result))


def _said(result: CommandResult) -> str:
    return (
        " ".join(result.stderr.split()) or f"{result.argv[0]} ended with exit code {result.returncode}, without a word"
    )

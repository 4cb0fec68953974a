"""The scheduler `pbs`: qsub, qstat, qselect and qdel of OpenPBS and PBS Pro.

The exit code of these commands is PBS's error modulo 256. Seen with OpenPBS 23.06.06: 153 is an unknown job, 35 one
that has finished, and with either the answer still holds the other jobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from balsam_core.plugins import (
    BatchRecord,
    BatchRequest,
    Command,
    CommandResult,
    Scheduler,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
    StatusReport,
)
from balsam_pbs.qstat import read_jobs
from balsam_pbs.settings import PbsSettings
from balsam_pbs.states import status_of

_UNKNOWN_JOB = 153
_FINISHED_JOB = 35
_NO_HISTORY = 36
_ID = re.compile(r"\d{1,18}(\[\d*\])?(\.[\w.-]+)?\Z")
_NO_SERVER = re.compile(
    r"connection (refused|timed out|reset)|cannot connect to|no route to host|errno=1503[134]|"
    r"communication failure|end of file|server shutting down|cannot resolve|temporary failure|no server",
    re.IGNORECASE,
)
# The job is gone, or is about to be: a job that ends can be told nothing more.
_OVER = re.compile(r"unknown job|has finished|invalid for state of job", re.IGNORECASE)


class PbsScheduler(Scheduler):
    """Batch jobs by `qsub`; each node is a chunk of `-l select`."""

    name = "pbs"
    template = "balsam_templates:pbs.sh.j2"
    job_id_variable = "PBS_JOBID"
    # The server knows a batch job before qsub prints its id.
    grace_seconds = 15.0

    def __init__(self, settings: PbsSettings) -> None:
        self._settings = settings

    def template_values(self, request: BatchRequest) -> Mapping[str, object]:
        hours, minutes = divmod(request.time_limit_minutes, 60)
        asked = {"place": self._settings.place, "filesystems": self._settings.filesystems}
        return {
            "select": _select(request, self._settings.select),
            "walltime": f"{hours:02}:{minutes:02}:00",
            "resources": [*(f"{name}={value}" for name, value in asked.items() if value), *self._settings.resources],
            "options": self._settings.options,
        }

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        # qsub has no option that only checks.
        if dry_run:
            return None
        output = ("-o", f"{request.output_prefix}.out")
        return Command(("qsub", *_shell(script), *output, *request.sched_flags, script))

    def parse_submit(self, result: CommandResult) -> str:
        _check_server(result)
        ids = set(_ids(result.stdout))
        if result.returncode == 0 and len(ids) == 1:
            return ids.pop()
        if result.returncode > 0 and not ids and _words(result):
            raise SchedulerRejected(_words(result))
        raise _not_understood(result)

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        return Command(("qstat", "-f", "-F", "json", *ids))

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        answer = read_jobs(result.stdout)
        if answer is not None and (answer.jobs or answer.unreadable):
            found = {_asked(job_id, ids): job for job_id, job in answer.jobs.items()}
            jobs = {job_id: status_of(job) for job_id, job in found.items() if job_id is not None}
            return StatusReport(jobs, tuple(answer.unreadable))
        _check_server(result)
        is_empty = answer is not None or (not result.stdout.strip() and result.returncode != 0)
        if is_empty and result.returncode in (0, _UNKNOWN_JOB, _FINISHED_JOB):
            return StatusReport()
        raise _not_understood(result)

    def find_command(self, tag: str, user: str) -> Command:
        return Command(("qselect", "-u", user, "-N", tag))

    def parse_find(self, result: CommandResult) -> str | None:
        _check_server(result)
        ids = _ids(result.stdout)
        if result.returncode != 0 or (result.stdout.strip() and not ids):
            raise _not_understood(result)
        # Who submits our script by hand once more does so later.
        return min(ids, key=_number, default=None)

    def history_commands(self, records: Sequence[BatchRecord]) -> Sequence[Command]:
        return (Command(("qstat", "-x", "-f", "-F", "json", *(record.id for record in records))),) if records else ()

    def parse_history(self, records: Sequence[BatchRecord], results: Sequence[CommandResult]) -> StatusReport:
        ids = [record.id for record in records]
        # A server with job_history_enable = False keeps nothing of finished jobs.
        reports = [self.parse_status(ids, result) for result in results if result.returncode != _NO_HISTORY]
        jobs = {job_id: status for report in reports for job_id, status in report.jobs.items()}
        return StatusReport(jobs, tuple(row for report in reports for row in report.unreadable))

    def cancel_command(self, ids: Sequence[str]) -> Command:
        # A running job gets SIGTERM, and SIGKILL when the queue's kill_delay (10 s) is over.
        return Command(("qdel", *ids))

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        if result.returncode == 0:
            return frozenset(ids)
        _check_server(result)
        said = [line for line in result.stderr.splitlines() if line.startswith("qdel:")]
        if not said:
            raise _not_understood(result)
        refused = [line for line in said if not _OVER.search(line)]
        named = {job_id for line in refused for job_id in ids if _names(line, job_id)}
        if any(not any(_names(line, job_id) for job_id in ids) for line in refused) or named == set(ids):
            raise SchedulerRejected(_words(result))
        return frozenset(ids) - named


def _shell(script: str) -> tuple[str, ...]:
    """Makes the script itself the first process of the batch job.

    PBS starts a login shell and hands it the script's name. At a qdel that shell dies of SIGTERM, and once the first
    process is gone PBS sends SIGKILL to the rest (scan_for_exiting of pbs_mom): the launcher would have no time.
    In a list of shells `,` and `@` have a meaning.
    """
    return () if re.search(r"[,@\s]", script) else ("-S", script)


def _select(request: BatchRequest, extra: str) -> str:
    """The chunks, one per node; GPUs are asked for unless the settings do so already."""
    parts = [str(request.nodes), *filter(None, [extra])]
    if request.gpus_per_node and "ngpus=" not in extra:
        parts.append(f"ngpus={request.gpus_per_node}")
    return ":".join(parts)


def _ids(text: str) -> list[str]:
    """The lines that are the id of a batch job and nothing else."""
    return [line.strip() for line in text.splitlines() if _ID.match(line.strip())]


def _number(job_id: str) -> int:
    return int(re.split(r"[\[.]", job_id)[0])


def _asked(job_id: str, ids: Iterable[str]) -> str | None:
    """Which of `ids` is this job; the server's name may be shorter in one of them, or left out."""
    return next((asked for asked in ids if asked == job_id), None) or next(
        (asked for asked in ids if _is_same(asked, job_id)), None
    )


def _is_same(one: str, other: str) -> bool:
    (number, _, server), (its_number, _, its_server) = one.partition("."), other.partition(".")
    if number != its_number:
        return False
    return (
        not server or not its_server or f"{server}.".startswith(f"{its_server}.") or its_server.startswith(f"{server}.")
    )


def _names(line: str, job_id: str) -> bool:
    return any(_is_same(word, job_id) for word in re.split(r"[\s,:;]+", line))


def _words(result: CommandResult) -> str:
    """The scheduler's own words on one line; banners of the site stand before them."""
    text = result.stderr if result.stderr.strip() else result.stdout
    own = text.find(f"{result.argv[0]}:")
    return " ".join(text[max(own, 0) :].split())


def _check_server(result: CommandResult) -> None:
    """Raise SchedulerUnavailable when the server did not answer."""
    said = [" ".join(line.split()) for line in result.stderr.splitlines() if _NO_SERVER.search(line)]
    if result.returncode != 0 and said:
        raise SchedulerUnavailable("; ".join(said))


def _not_understood(result: CommandResult) -> SchedulerNotUnderstood:
    said = _words(result) or "and nothing else"
    raw = f"{result.stdout}{result.stderr}"
    return SchedulerNotUnderstood(
        f"cannot read the answer of {result.argv[0]}: exit code {result.returncode}, {said}", raw
    )

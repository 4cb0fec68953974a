"""The scheduler Cobalt: qsub, qstat, qdel, and what they print (1.0.33, and what differs in older versions)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NoReturn

from balsam_cobalt.cobaltlog import end_in_log
from balsam_cobalt.settings import CobaltSettings
from balsam_cobalt.table import Table, read_table, seconds_of, told
from balsam_core.plugins import (
    BatchRecord,
    BatchRequest,
    BatchState,
    BatchStatus,
    Command,
    CommandResult,
    IdleNodes,
    Scheduler,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
    StatusReport,
)

# --header beats QSTAT_HEADER and CQSTAT_HEADER, which users set to their taste. Location has a value in every row, so
# that a row without one was cut off.
_STATUS_HEADER = "JobID:State:JobName:Queue:Nodes:TimeRemaining:Location"
_FIND_HEADER = "JobID:JobName:Location"
# parse_find gets the result alone, and qstat has no way to ask for a name.
_TAG = "BALSAM_TAG="

_STATES = {
    "queued": BatchState.QUEUED,
    "hold": BatchState.HELD,
    "user_hold": BatchState.HELD,
    "admin_hold": BatchState.HELD,
    "dep_hold": BatchState.HELD,
    "dep_fail": BatchState.HELD,
    "maxrun_hold": BatchState.HELD,
    "starting": BatchState.STARTING,
    "running": BatchState.RUNNING,
    "preempting": BatchState.ENDING,
    "preempted": BatchState.PREEMPTED,
    "killing": BatchState.ENDING,
    "exiting": BatchState.ENDING,
    "done": BatchState.DONE,
}

_ID = re.compile(r"[0-9]{1,18}\Z")
_NO_ANSWER = re.compile(
    r"failed to (connect|communicate)|connection (refused|reset|aborted)|timed? ?out|broken pipe"
    r"|no route to host|network is (down|unreachable)|name or service not known|\bssl|lookuperror",
    re.IGNORECASE,
)
# Python 2 says so whenever a component refuses; the usage stands before every complaint about an option.
_NOISE = re.compile(r"No handlers could be found for logger|Usage: q\w+|Refer to man pages")


class Cobalt(Scheduler):
    """Argonne's scheduler; see qsub(1), qstat(1) and qdel(1) of Cobalt 1.0. Its ids are whole numbers."""

    name = "cobalt"
    template = "balsam_templates:cobalt.sh.j2"
    job_id_variable = "COBALT_JOBID"

    def __init__(self, settings: CobaltSettings) -> None:
        self._attrs = settings.attrs_word

    def template_values(self, request: BatchRequest) -> Mapping[str, object]:
        # qsub refuses a second --attrs, and directives count as options.
        return {"attrs": "" if any(map(_is_attrs, request.sched_flags)) else self._attrs}

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        if dry_run:
            return None
        paths = ("--cwd", request.workdir, "-O", request.output_prefix)
        return Command(("qsub", "--mode", "script", *paths, *request.sched_flags, _as_qsub_reads(script, request)))

    def parse_submit(self, result: CommandResult) -> str:
        ids = [line.strip() for line in result.stdout.splitlines() if _ID.match(line.strip())]
        if result.returncode == 0 and ids:
            return ids[-1]
        _raise_if_no_answer(result)
        if not ids and _is_refusal(result):
            raise SchedulerRejected(_words_of(result))
        _raise_unreadable(result)

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        # Asked for ids, qstat is silent and ends with 1 when it knows none of them, as if it had failed; of a user it
        # prints the header at least.
        return Command(("qstat", "-u", user, "--header", _STATUS_HEADER))

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        table = read_table(result.stdout, "jobid", "state")
        if table is None:
            _raise_without_table(result)
        wanted, jobs, unreadable = set(ids), {}, list(table.unreadable)
        for row in table.rows:
            if " " in row["jobid"] or not row["state"]:
                unreadable.append("  ".join(row.values()))
            elif row["jobid"] in wanted:
                jobs[row["jobid"]] = _status(row)
        return StatusReport(jobs, tuple(unreadable))

    def find_command(self, tag: str, user: str) -> Command | None:
        return Command(("env", f"{_TAG}{tag}", "qstat", "-u", user, "--header", _FIND_HEADER))

    def parse_find(self, result: CommandResult) -> str | None:
        tag = next((word.removeprefix(_TAG) for word in result.argv if word.startswith(_TAG)), None)
        table = read_table(result.stdout, "jobid", "jobname")
        if tag is None or table is None:
            _raise_without_table(result)
        return _only_one_named(tag, table, result)

    def history_commands(self, records: Sequence[BatchRecord]) -> Sequence[Command]:
        return [Command(("cat", f"{record.output_prefix}.cobaltlog")) for record in records]

    def parse_history(self, records: Sequence[BatchRecord], results: Sequence[CommandResult]) -> StatusReport:
        ends = {
            record.id: end_in_log(result.stdout, record.id)
            for record, result in zip(records, results, strict=False)
            if result.returncode == 0
        }
        return StatusReport({id: end for id, end in ends.items() if end})

    def idle_command(self) -> Command | None:
        return Command(("nodelist",))

    def parse_idle(self, result: CommandResult) -> Sequence[IdleNodes]:
        table = read_table(result.stdout, "queues", "status", "backfill")
        if table is None:
            _raise_without_table(result)
        # Backfill: how long a node is free that is kept for a larger batch job.
        found = Counter(
            (queue, seconds_of(told(row, "backfill")))
            for row in table.rows
            if row["status"] == "idle"
            for queue in row["queues"].split(":")
        )
        return [IdleNodes(queue, nodes, seconds) for (queue, seconds), nodes in found.items()]

    def cancel_command(self, ids: Sequence[str]) -> Command:
        return Command(("qdel", *ids))

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        # Its table names those that it deleted; it passes over the others in silence: they are over.
        if result.returncode == 0:
            return frozenset(ids)
        _raise_if_no_answer(result)
        if _is_refusal(result):
            raise SchedulerRejected(_words_of(result))
        _raise_unreadable(result)


def _as_qsub_reads(script: str, request: BatchRequest) -> str:
    """qsub drops the blanks from a script's path, but not from the --cwd that it puts before a name."""
    folder, _, name = script.rpartition("/")
    return name if " " in folder and folder == request.workdir else script


def _is_attrs(word: str) -> bool:
    """Whether qsub reads the word as `--attrs`, which may be shortened."""
    option = word.partition("=")[0]
    return len(option) > len("--a") and "--attrs".startswith(option)


def _status(row: dict[str, str]) -> BatchStatus:
    state = _STATES.get(row["state"].lower().replace(" ", "_"), BatchState.UNKNOWN)
    nodes = told(row, "nodes")
    return BatchStatus(
        state,
        row["state"],
        name=told(row, "jobname"),
        seconds_left=seconds_of(told(row, "timeremaining")),
        queue=told(row, "queue"),
        nodes=int(nodes) if nodes and _ID.match(nodes) else None,
    )


def _only_one_named(tag: str, table: Table, result: CommandResult) -> str | None:
    found = [row["jobid"] for row in table.rows if row["jobname"] == tag]
    if len(found) > 1:
        raise SchedulerNotUnderstood(f"several batch jobs are named {tag!r}: {', '.join(found)}", result.stdout)
    if not found and table.unreadable:
        _raise_unreadable(result)
    return found[0] if found else None


def _raise_without_table(result: CommandResult) -> NoReturn:
    if result.returncode > 0 and "component error" in f"{result.stdout}{result.stderr}":
        raise SchedulerUnavailable(_words_of(result))
    _raise_if_no_answer(result)
    _raise_unreadable(result)


def _raise_if_no_answer(result: CommandResult) -> None:
    if result.returncode < 0:
        raise SchedulerUnavailable(f"{_program(result)} was killed by signal {-result.returncode}")
    said = _without_noise(f"{result.stdout}\n{result.stderr}")
    if result.returncode > 0 and (not said or _NO_ANSWER.search(said)):
        raise SchedulerUnavailable(_words_of(result))


def _is_refusal(result: CommandResult) -> bool:
    """Whether the answer is a no; a command that fell over leaves open what became of the request."""
    said = f"{result.stdout}\n{result.stderr}"
    fell_over = "Traceback (most recent call last)" in said or "FATAL EXCEPTION" in said
    # The last is said with exit code 0, and in older versions with a misspelt word.
    return not fell_over and (result.returncode > 0 or "failed to create t" in said)


def _raise_unreadable(result: CommandResult) -> NoReturn:
    raw = f"{result.stdout}{result.stderr}"
    raise SchedulerNotUnderstood(f"the answer of {_program(result)} cannot be read: {_words_of(result)}", raw)


def _words_of(result: CommandResult) -> str:
    """What the command said, its complaints before its output, on one line."""
    said = _without_noise(result.stderr) or _without_noise(result.stdout)
    return said or f"{_program(result)} ended with exit code {result.returncode} and said nothing"


def _program(result: CommandResult) -> str:
    return next((word for word in result.argv if word != "env" and "=" not in word), result.argv[0])


def _without_noise(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not _NOISE.match(line))

"""The scheduler `slurm`: sbatch, squeue, sacct and scancel."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from balsam_core.plugins import (
    BatchRecord,
    BatchRequest,
    BatchStatus,
    Command,
    CommandResult,
    IdleNodes,
    Scheduler,
    SchedulerError,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
    StatusReport,
)
from balsam_slurm.environ import FILTERS_OF_SINFO, FILTERS_OF_SQUEUE, OPTIONS_OF_CANCELLING, overruled
from balsam_slurm.ids import ROW_ID, cluster_of, cluster_words, number_of, report_of
from balsam_slurm.sacct import read_sacct, sacct_of
from balsam_slurm.settings import SlurmSettings
from balsam_slurm.squeue import read_squeue, squeue_of, squeue_words
from balsam_slurm.words import is_no_such_job, is_unavailable, not_answered, own_words

# After its SIGTERM a launcher gives jobs [launcher] stop_grace_seconds, 5 by default, and records how they ended.
_CANCEL_GRACE_SECONDS = 6
_NEW_ID = re.compile(r"\d+(;[\w.-]+)?\Z", re.ASCII)
_NOT_CANCELLED = re.compile(r"job(?: id)? (\d[\w+]*):? +(\S.*)", re.IGNORECASE | re.ASCII)
_OVER = re.compile(r"invalid job id specified|already complet", re.IGNORECASE)
_NO_ACCOUNTS = "accounting storage is disabled"


class Slurm(Scheduler):
    """Slurm; seen with 22.05, options as in the manual pages of 17.11 to 24.05."""

    name = "slurm"
    template = "balsam_templates:slurm.sh.j2"
    job_id_variable = "SLURM_JOB_ID"

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings

    def template_values(self, request: BatchRequest) -> Mapping[str, object]:
        settings = self._settings
        gpus = settings.gpus_per_node if request.gpus_per_node is None else request.gpus_per_node
        ask = {"gpus-per-node": f"--gpus-per-node={gpus}", "gres": f"--gres=gpu:{gpus}"}
        return {
            "queue_option": f"--{settings.queue_is}",
            "constraint": settings.constraint,
            "gpus": ask[settings.gpus_by] if gpus else "",
            "exclusive": settings.exclusive,
            # A whole node comes with the memory of a default batch job, unless all of it is asked for.
            "memory": settings.memory or ("0" if settings.exclusive else ""),
            "options": settings.options,
            "overlap": settings.overlap,
        }

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        # The short -D, for its long form was --workdir before 17.11. In the file's name, %j would be the id.
        output = request.output_prefix.replace("%", "%%") + ".out"
        check = ("--test-only",) if dry_run else ()
        paths = ("-D", request.workdir, "-o", output)
        argv = ("sbatch", "--parsable", *check, *paths, *request.sched_flags, script)
        return Command(argv, unset=overruled(request, self.template_values(request)))

    def parse_submit(self, result: CommandResult) -> str:
        found = [line.strip() for line in result.stdout.splitlines() if _NEW_ID.match(line.strip())]
        if result.returncode == 0 and len(set(found)) == 1:
            return found[0]
        if result.returncode != 0 and is_unavailable(result):
            raise SchedulerUnavailable(own_words(result))
        if result.returncode != 0 and not found:
            raise SchedulerRejected(own_words(result))
        raise SchedulerNotUnderstood(f"sbatch did not print one id: {own_words(result)}", result.stdout + result.stderr)

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        return Command(squeue_of(ids, self._settings.queue_is), unset=FILTERS_OF_SQUEUE)

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        table = read_squeue(result.stdout)
        if table is not None:
            return report_of(ids, table)
        # squeue prints its header even when no id of several is known; a single one is an error.
        if result.returncode != 0 and is_no_such_job(result.stderr):
            return StatusReport()
        raise not_answered(result)

    def find_command(self, tag: str, user: str) -> Command | None:
        argv = (*squeue_words(self._settings.queue_is), f"--user={user}", f"--name={tag}")
        return Command(argv, unset=FILTERS_OF_SQUEUE)

    def parse_find(self, result: CommandResult) -> str | None:
        table = read_squeue(result.stdout)
        if table is None or table.unreadable:
            raise not_answered(result)
        found = {int(match[1]): row.cluster for row in table.rows if (match := ROW_ID.match(row.id))}
        if not found:
            return None
        newest = max(found)
        return f"{newest};{found[newest]}" if found[newest] else str(newest)

    def history_commands(self, records: Sequence[BatchRecord]) -> Sequence[Command]:
        ids = [record.id for record in records]
        if not ids:
            return ()
        recent = Command(squeue_of(ids, self._settings.queue_is), unset=FILTERS_OF_SQUEUE)
        if not self._settings.accounting:
            return (recent,)
        return (recent, Command(sacct_of(ids, self._settings.queue_is)))

    def parse_history(self, records: Sequence[BatchRecord], results: Sequence[CommandResult]) -> StatusReport:
        ids = [record.id for record in records]
        jobs: dict[str, BatchStatus] = {}
        unreadable: list[str] = []
        errors: list[SchedulerError] = []
        # squeue comes first and wins: accounts lag behind.
        for parse, result in zip((self.parse_status, _parse_sacct), results, strict=False):
            try:
                report = parse(ids, result)
            except SchedulerError as error:
                errors.append(error)
            else:
                jobs = {**report.jobs, **jobs}
                unreadable += report.unreadable
        if errors and not jobs:
            raise errors[0]
        return StatusReport(jobs, tuple(unreadable))

    def idle_command(self) -> Command | None:
        return Command(("sinfo", "--noheader", "--format=%R|%T|%D"), unset=FILTERS_OF_SINFO)

    def parse_idle(self, result: CommandResult) -> Sequence[IdleNodes]:
        if result.returncode != 0:
            raise not_answered(result)
        # `planned` is what Slurm calls idle nodes that it keeps for a batch job; `idle~` are asleep, `idle*` silent.
        rows = [row.rsplit("|", 2) for row in result.stdout.split("\n")]
        idle = [(row[0], row[2]) for row in rows if len(row) == 3 and row[1] == "idle"]
        return [IdleNodes(queue, int(nodes)) for queue, nodes in idle if nodes.isdecimal()]

    def cancel_command(self, ids: Sequence[str]) -> Command:
        return Command(("sh", "-c", "; ".join(_cancelling(ids))), unset=OPTIONS_OF_CANCELLING)

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        said = replace(result, argv=("scancel",))
        about = [match.groups() for line in result.stderr.splitlines() if (match := _NOT_CANCELLED.search(line))]
        if (about or result.returncode != 0) and is_unavailable(said):
            raise SchedulerUnavailable(own_words(said))
        refused = {number for number, why in about if not _OVER.search(why)}
        agreed = frozenset(batch_id for batch_id in ids if number_of(batch_id) not in refused)
        if not agreed or (result.returncode != 0 and not about):
            raise SchedulerRejected(own_words(said))
        return agreed


def _parse_sacct(ids: Sequence[str], result: CommandResult) -> StatusReport:
    table = read_sacct(result.stdout)
    if table is not None:
        return report_of(ids, table)
    if _NO_ACCOUNTS in result.stderr:
        return StatusReport()
    raise not_answered(result)


def _cancelling(ids: Sequence[str]) -> Iterator[str]:
    """The commands of a shell that cancels what waits at once, and what runs after the launcher has ended.

    A plain scancel sends SIGTERM to every process of a batch job: its jobs would fail before their launcher could stop
    them. With --batch only the shell gets it, which tells the launcher. That is for what runs only: else scancel tries
    for a minute. While a batch job starts the signal may get lost, so a plain scancel has the last word.
    """
    for cluster in sorted({cluster_of(batch_id) or "" for batch_id in ids}):
        there = [batch_id for batch_id in ids if (cluster_of(batch_id) or "") == cluster]
        on, numbers = cluster_words(there), [number_of(batch_id) for batch_id in there]
        ask = ("squeue", "--noheader", "--states=RUNNING", "--format=%A", *on, f"--jobs={','.join(numbers)}")
        tell = ("scancel", "--ctld", "--batch", "--signal=TERM", *on)
        yield f"run=$({shlex.join(ask)} 2>/dev/null | grep -x '[0-9]*')"
        yield f'[ -z "$run" ] || {{ {shlex.join(tell)} $run 2>/dev/null; sleep {_CANCEL_GRACE_SECONDS}; }}'
        yield shlex.join(("scancel", *on, *numbers))

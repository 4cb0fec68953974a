"""The fake scheduler's face of Cobalt 1.0.33: qsub, qstat, qdel, and the world of its batch jobs."""

from __future__ import annotations

import contextlib
import getopt
import time
from pathlib import Path

from balsam_core.testing.fake_batch.cobalt_printing import FULL_HEADER, as_listing, as_table, locations, shown_ids
from balsam_core.testing.fake_batch.cobalt_qsub import log_time, qsub
from balsam_core.testing.fake_batch.faces import DAEMON_PATH, Answer, Asked, BadWords, Face, lines
from balsam_core.testing.fake_batch.folder import Folder
from balsam_core.testing.fake_batch.jobs import OVER, BatchJob
from balsam_core.testing.fake_batch.queue import Queue

_CORES = 64
_DEFAULT_HEADER = "JobID:User:WallTime:Nodes:State:Location"
_QDEL_USAGE = "Usage: qdel.py [options] <jobid1> [ ... <jobidN>]\n\n"


class Cobalt(Face):
    """The words, tables and exit codes of Cobalt."""

    refusal = 1

    def __init__(self) -> None:
        self.commands = {"qsub": qsub, "qstat": _qstat, "qdel": _qdel}

    def environ(self, folder: Folder, job: BatchJob) -> dict[str, str]:
        """A login's and Cobalt's own variables; on a cluster a node file takes the place of the node numbers."""
        started = job.started_at or 0.0
        own = {
            "PATH": DAEMON_PATH,
            "PWD": job.cwd,
            "COBALT_JOBID": str(job.number),
            "COBALT_JOBSIZE": str(job.nodes),
            "COBALT_PARTSIZE": str(job.nodes),
            "COBALT_PARTCORES": str(_CORES),
            "COBALT_PROJECT": job.project,
            "COBALT_QUEUE": job.queue,
            "COBALT_STARTTIME": str(int(started)),
            "COBALT_ENDTIME": str(int(started + job.walltime_seconds)),
        }
        return {**job.facts["login"], **own, **_where(folder, job)}

    def note_end(self, job: BatchJob) -> None:
        """The log beside the output is all that is left of a batch job."""
        if job.stopped == "walltime":
            _log(job, "Info: maximum execution time exceeded; initiating job termination")
        elif not job.stopped:
            code = f"an exit code of {job.exit_status}"
            _log(job, f"Info: task completed normally with {code}; initiating job cleanup and removal")


def _where(folder: Folder, job: BatchJob) -> dict[str, str]:
    if not folder.config.cluster:
        return {"COBALT_PARTNAME": locations(job)}
    nodes = folder.spool / f"{job.number}.nodes"
    nodes.write_text(lines(job.hosts))
    return {"COBALT_NODEFILE": str(nodes)}


def _qstat(queue: Queue, asked: Asked) -> Answer:
    try:
        given, ids = getopt.gnu_getopt(list(asked.words), "flu:", ["header=", "full", "long", "user="])
    except getopt.GetoptError as error:
        words = f"Usage: qstat.py\n\nqstat.py: error: no such option: {error.opt}\n"
        raise BadWords(Answer(err=words, code=2)) from error
    options = dict(given)
    user = options.get("-u", options.get("--user"))
    known = [job for job in queue.jobs() if job.state != OVER and user in (None, job.user)]
    jobs = [job for job in known if not ids or str(job.number) in ids]
    if ids and not jobs:
        return Answer(code=1)
    full = any(option in options for option in ("-f", "--full"))
    columns = _columns(asked, options, full)
    if any(option in options for option in ("-l", "--long")):
        return Answer(as_listing(jobs, columns, full))
    return Answer(as_table(jobs, columns))


def _columns(asked: Asked, options: dict[str, str], full: bool) -> list[str]:
    """What to show: `--header` beats the variable, and the variable what is usual."""
    usual = FULL_HEADER if full else _DEFAULT_HEADER
    return options.get("--header", asked.environ.get("QSTAT_HEADER") or usual).split(":")


def _qdel(queue: Queue, asked: Asked) -> Answer:
    if not asked.words:
        return Answer(err=f"{_QDEL_USAGE}No Jobid(s) given\n\n", code=1)
    odd = [word for word in asked.words if not word.isdecimal()]
    if odd:
        return Answer(err=f"jobid must be an integer: {odd[0]}\n", code=1)
    jobs = [job for job in queue.jobs() if job.state != OVER and str(job.number) in asked.words]
    for job in jobs:
        queue.delete(job, asked.user)
        signalled = " with signal SIGTERM" if job.has_nodes else ""
        _log(job, f"Info: user delete requested{signalled} by user {asked.user}")
    return Answer(f"      Deleted Jobs\n{shown_ids(jobs)}" if jobs else "")


def _log(job: BatchJob, words: str) -> None:
    with contextlib.suppress(OSError), Path(job.facts["log"]).open("a") as log:
        log.write(f"{log_time(time.time())} {words}\n")

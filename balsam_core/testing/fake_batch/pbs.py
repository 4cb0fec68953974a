"""The fake scheduler's face of OpenPBS 23.06.06: qsub, qstat, qselect, qdel, and the world of its batch jobs."""

from __future__ import annotations

import getopt

from balsam_core.testing.fake_batch.faces import DAEMON_PATH, Answer, Asked, BadWords, Face, lines
from balsam_core.testing.fake_batch.folder import Folder
from balsam_core.testing.fake_batch.jobs import OVER, BatchJob
from balsam_core.testing.fake_batch.pbs_printing import SERVER, as_json, as_table, as_text, job_id, letter
from balsam_core.testing.fake_batch.pbs_qsub import qsub
from balsam_core.testing.fake_batch.queue import Queue

_UNKNOWN, _FINISHED = 153, 35


class Pbs(Face):
    """The words, numbers and exit codes of PBS."""

    # "Job violates queue and/or server resource limits"
    refusal = 188

    def __init__(self) -> None:
        self.commands = {"qsub": qsub, "qstat": _qstat, "qselect": _qselect, "qdel": _qdel}

    def starts_in(self, job: BatchJob) -> str:
        """The user's home, wherever the batch job was submitted."""
        home: str = job.facts["login"]["HOME"]
        return home

    def environ(self, folder: Folder, job: BatchJob) -> dict[str, str]:
        """A login's, PBS's own variables, and the node file: a line for each MPI process."""
        nodes = folder.spool / f"{job.number}.nodes"
        nodes.write_text(lines([host for host in job.hosts for _ in range(job.facts["chunk"].get("mpiprocs", 1))]))
        ncpus = str(job.facts["chunk"].get("ncpus", 1))
        own = {
            "PATH": DAEMON_PATH,
            "PBS_ENVIRONMENT": "PBS_BATCH",
            "PBS_JOBID": job_id(job),
            "PBS_JOBNAME": job.name,
            "PBS_JOBDIR": self.starts_in(job),
            "PBS_NODEFILE": str(nodes),
            "PBS_QUEUE": job.queue,
            "NCPUS": ncpus,
            "OMP_NUM_THREADS": ncpus,
        }
        account = {"PBS_ACCOUNT": job.project} if job.project else {}
        return {**job.facts["login"], **job.facts["variables"], **own, **account}


def _qstat(queue: Queue, asked: Asked) -> Answer:
    given, ids = _options(asked, "xfF:", "qstat")
    history = "-x" in given
    complaints: list[str] = []
    chosen, code, known = [], 0, _by_id(queue)
    for word in ids:
        job = known.get(_full(word))
        if job is None:
            complaints.append(f"qstat: Unknown Job Id {_full(word)}")
            code = _UNKNOWN
        elif job.state == OVER and not history:
            complaints.append(
                f"qstat: {job_id(job)} Job has finished, use -x or -H to obtain historical job information"
            )
            code = _FINISHED
        else:
            chosen.append(job)
    if not ids:
        chosen = [job for job in known.values() if history or job.state != OVER]
    return Answer(_shown(queue, given, chosen), lines(complaints), code)


def _shown(queue: Queue, given: dict[str, str], jobs: list[BatchJob]) -> str:
    if "-f" not in given:
        return as_table(jobs)
    return as_json(queue.config, jobs) if given.get("-F") == "json" else as_text(queue.config, jobs)


def _qselect(queue: Queue, asked: Asked) -> Answer:
    given, _ = _options(asked, "xu:N:s:", "qselect")
    found = [
        job_id(job)
        for job in queue.jobs()
        if (job.state != OVER or "-x" in given)
        and given.get("-N", job.name) == job.name
        and given.get("-u", job.user) == job.user
        and letter(job) in given.get("-s", letter(job))
    ]
    return Answer(lines(found))


def _qdel(queue: Queue, asked: Asked) -> Answer:
    _, ids = _options(asked, "xW:", "qdel")
    complaints, code, known = [], 0, _by_id(queue)
    for word in ids:
        job = known.get(_full(word))
        if job is None:
            complaints.append(f"qdel: Unknown Job Id {_full(word)}")
            code = _UNKNOWN
        elif job.state == OVER:
            complaints.append(f"qdel: Job has finished {job_id(job)}")
            code = _FINISHED
        else:
            queue.delete(job, f"{asked.user}@localhost")
    return Answer(err=lines(complaints), code=code)


def _options(asked: Asked, known: str, name: str) -> tuple[dict[str, str], list[str]]:
    try:
        given, rest = getopt.getopt(list(asked.words), known)
    except getopt.GetoptError as error:
        raise BadWords(Answer(err=f"{name}: illegal option -- {error.opt}\n", code=2)) from error
    return dict(given), rest


def _by_id(queue: Queue) -> dict[str, BatchJob]:
    return {job_id(job): job for job in queue.jobs()}


def _full(word: str) -> str:
    return word if "." in word else f"{word}.{SERVER}"

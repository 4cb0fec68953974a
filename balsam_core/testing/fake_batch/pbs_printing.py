"""How the fake PBS prints batch jobs: the table, `qstat -f`, and its JSON, attribute by attribute."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from balsam_core.testing.fake_batch.faces import clock
from balsam_core.testing.fake_batch.jobs import ENDING, HELD, OVER, QUEUED, RUNNING, BatchJob, Config

SERVER = "vm"
_VERSION = "23.06.06"
_LETTERS = {QUEUED: "Q", HELD: "H", RUNNING: "R", ENDING: "E", OVER: "F"}
_SUBSTATES = {QUEUED: 10, HELD: 20, RUNNING: 42, ENDING: 51}
_TERMINATED, _FINISHED, _FAILED = 91, 92, 93
_KILLED_AT_WALLTIME = -29
_HEAD = (
    "Job id            Name             User              Time Use S Queue\n"
    "----------------  ---------------- ----------------  -------- - -----\n"
)


def job_id(job: BatchJob) -> str:
    """`7.vm`."""
    return f"{job.number}.{SERVER}"


def letter(job: BatchJob) -> str:
    """Its state, as the table has it."""
    return _LETTERS[job.state]


def as_table(jobs: Sequence[BatchJob]) -> str:
    """What plain `qstat` prints; nothing when there is no batch job."""
    rows = [
        f"{job_id(job):<17.17} {job.name:<16.16} {job.user:<16.16}  "
        f"{'0' if job.started_at is None else clock(0):>8} {letter(job)} {job.queue:<16}\n"
        for job in jobs
    ]
    return _HEAD + "".join(rows) if rows else ""


def as_json(config: Config, jobs: Sequence[BatchJob], now: float | None = None) -> str:
    """What `qstat -f -F json` prints."""
    now = time.time() if now is None else now
    whole: dict[str, Any] = {"timestamp": int(now), "pbs_version": _VERSION, "pbs_server": SERVER}
    if jobs:
        whole["Jobs"] = {job_id(job): attributes(config, job, now) for job in jobs}
    return json.dumps(whole, indent="\t", separators=(",", ":\t"), ensure_ascii=False) + "\n"


def as_text(config: Config, jobs: Sequence[BatchJob]) -> str:
    """What `qstat -f` prints, with its long lines left whole."""
    blocks = []
    for job in jobs:
        rows = [f"Job Id: {job_id(job)}"]
        for name, value in attributes(config, job, time.time()).items():
            if name == "Variable_List":
                rows.append(f"    {name} = {','.join(f'{key}={text}' for key, text in value.items())}")
            elif isinstance(value, dict):
                rows += [f"    {name}.{key} = {text}" for key, text in value.items()]
            else:
                rows.append(f"    {name} = {value}")
        blocks.append("".join(f"{row}\n" for row in rows) + "\n")
    return "".join(blocks)


def exit_status(job: BatchJob) -> int | None:
    """PBS's own numbers: 256 and the signal, -29 at the walltime."""
    if job.stopped == "walltime":
        return _KILLED_AT_WALLTIME
    code = job.exit_status
    return 256 - code if code is not None and code < -1 else code


def attributes(config: Config, job: BatchJob, now: float) -> dict[str, Any]:
    """All that PBS tells of a batch job, in its order."""
    chunk, options = job.facts["chunk"], job.facts["options"]
    select = job.facts["resources"].get("select", f"{job.nodes}:ncpus={chunk.get('ncpus', 1)}")
    every = {
        "Job_Name": job.name,
        "Job_Owner": f"{job.user}@localhost",
        "resources_used": _used(job, now) if job.started_at is not None else None,
        "job_state": letter(job),
        "queue": job.queue,
        "server": SERVER,
        "Account_Name": job.project or None,
        "Checkpoint": "u",
        "ctime": time.ctime(job.submitted_at),
        "Error_Path": _at_host(job, job.error, "e"),
        "exec_host": "+".join(f"{host}/0{_times(chunk)}" for host in job.hosts) or None,
        "exec_vnode": _vnodes(job) or None,
        "Hold_Types": "u" if job.state == HELD else "n",
        "Join_Path": options.get("-j", "n"),
        "Keep_Files": "n",
        "Mail_Points": "a",
        "mtime": time.ctime(_changed_at(job)),
        "Output_Path": _at_host(job, job.output, "o"),
        "Priority": 0,
        "qtime": time.ctime(job.submitted_at),
        "Rerunable": "False" if options.get("-r") == "n" else "True",
        "Resource_List": _resources(job, select),
        "schedselect": select,
        "stime": None if job.started_at is None else time.ctime(job.started_at),
        "obittime": time.ctime(job.ended_at) if job.ended_at and job.started_at else None,
        "session_id": job.pid,
        "jobdir": job.facts["login"]["HOME"] if job.started_at is not None else None,
        "substate": _substate(job),
        "Variable_List": job.facts["variables"],
        "euser": job.user,
        "egroup": job.user,
        "hashname": job_id(job),
        "queue_rank": int(job.submitted_at * 1e6),
        "queue_type": "E",
        "comment": _comment(config, job),
        "etime": time.ctime(job.submitted_at),
        "run_count": None if job.started_at is None else 1,
        "Stageout_status": 1 if exit_status(job) is not None else None,
        "Exit_status": exit_status(job),
        "Submit_arguments": " ".join(job.words),
        "history_timestamp": int(job.ended_at) if job.ended_at else None,
        "project": "_pbs_project_default",
        "run_version": None if job.started_at is None else 1,
        "Submit_Host": "localhost",
    }
    return {name: value for name, value in every.items() if value is not None}


def _used(job: BatchJob, now: float) -> dict[str, Any]:
    ncpus = job.nodes * job.facts["chunk"].get("ncpus", 1)
    zero = clock(0)
    walltime = clock(job.seconds_used(now))
    return {"cpupercent": 0, "cput": zero, "mem": "0kb", "ncpus": ncpus, "vmem": "0kb", "walltime": walltime}


def _resources(job: BatchJob, select: str) -> dict[str, Any]:
    """What was asked for, by name; numbers of the chunks are summed up."""
    chunk, asked = job.facts["chunk"], job.facts["resources"]
    numbers = {name: job.nodes * value for name, value in {"ncpus": 1, **chunk}.items()}
    place = asked.get("place", "scatter")
    rest = {name: value for name, value in asked.items() if name not in ("nodes", "select", "place", "walltime")}
    walltime = {"walltime": clock(job.walltime_seconds)} if "walltime" in asked else {}
    every = {**rest, **numbers, "nodect": job.nodes, "place": place, "select": select, **walltime}
    return dict(sorted(every.items()))


def _substate(job: BatchJob) -> int:
    if job.state != OVER:
        return _SUBSTATES[job.state]
    if job.stopped:
        return _TERMINATED
    return _FINISHED if job.exit_status == 0 else _FAILED


def _comment(config: Config, job: BatchJob) -> str | None:
    if job.started_at is None:
        if job.state != QUEUED:
            return f"Job terminated by {job.stopped_by}" if job.stopped else None
        never = job.nodes > len(config.nodes)
        return (
            "Can Never Run: Insufficient amount of resource: ncpus" if never else "Not Running: Not enough free nodes"
        )
    at = time.strftime("%a %b %d at %H:%M", time.localtime(job.started_at))
    return f"Job run at {at} on {_vnodes(job)}{_how_it_ended(job)}"


def _how_it_ended(job: BatchJob) -> str:
    if job.state != OVER:
        return ""
    if job.stopped == "delete":
        return f" and terminated by {job.stopped_by}"
    if job.stopped:
        return " and exceeded resource walltime"
    return " and finished" if job.exit_status == 0 else " and failed"


def _vnodes(job: BatchJob) -> str:
    resources = {"ncpus": 1, **job.facts["chunk"]}
    resources.pop("mpiprocs", None)
    each = ":".join(f"{name}={value}" for name, value in resources.items())
    return "+".join(f"({host}:{each})" for host in job.hosts)


def _times(chunk: dict[str, int]) -> str:
    ncpus = chunk.get("ncpus", 1)
    return "" if ncpus == 1 else f"*{ncpus}"


def _at_host(job: BatchJob, path: str, kind: str) -> str:
    """Joined output keeps the path that the other stream would have had."""
    if kind == "e" and job.error == job.output:
        path = f"{job.cwd}/{job.name}.e{job.number}"
    return f"localhost:{path}"


def _changed_at(job: BatchJob) -> float:
    return job.ended_at or job.started_at or job.submitted_at

"""Measures how long the pages of the dashboard take: `python benchmarks/dashboard_pages.py [JOBS [FOLDER]]`.

A page whose contents take long says so at once, and has them when they are there.
The site is made in FOLDER and kept there for the next time; without one it is made anew, and deleted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert
from starlette.testclient import TestClient

from balsam_core.dashboard.access import Keys
from balsam_core.dashboard.app import dashboard
from balsam_core.dashboard.looking import Looker
from balsam_core.models.app import AppSpec
from balsam_core.models.batch import BatchRequest, Change, Evidence, LaunchState
from balsam_core.models.job import JobSpec
from balsam_core.site import Site
from balsam_core.state.database import open_database
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.store import Store, create_store, open_store, sqlite_url
from balsam_core.state.tables import launchers

_ADDED_AT_ONCE = 50_000
_MACHINE = "machine"
_APPS = ("simulate", "analyse")
# The history: so many nodes were busy for a week, with jobs of ten minutes, 16 at once on a node.
_NODES = 64
_SECONDS = 7 * 86400.0
_RUN_SECONDS = 600
_BATCH_JOBS = 500
_CHILDREN = 10_000


def main(count: int = 1_000_000, folder: str = "") -> None:
    with _folder(folder) as path, _served(path, count) as (store, client):
        parent = store.jobs(limit=1)[0].job_id
        running, waiting = (
            store.jobs(JobFilter(states=(state,)), limit=1)[0].job_id for state in (State.RUNNING, State.PREPROCESSED)
        )
        launcher = store.launchers()[0][0].launcher_id
        print(f"{f'{count:,} jobs, seconds':32}{'answer':>8}{'whole':>8}{'again':>8}")
        for what, link in _links(count, parent, running, waiting, launcher).items():
            answer, whole = _fetch(client, link)
            print(f"{what:32}{answer:8.3f}{whole:8.3f}{_fetch(client, link)[0]:8.3f}")


def _links(count: int, parent: UUID, running: UUID, waiting: UUID, launcher: UUID) -> dict[str, str]:
    return {
        "overview": "/",
        "its charts": "/charts.json",
        "jobs": "/jobs",
        "the last page of jobs": f"/jobs?page={count // 50}",
        "jobs of a workflow": "/jobs?workflow=wf3",
        "jobs of workflows by *": "/jobs?workflow=wf*",
        "jobs in a state": "/jobs?state=FAILED",
        "jobs by a part of their name": "/jobs?name=b_777",
        "jobs by a part of all names": "/jobs?name=job",
        "a job that runs": f"/jobs/{running}",
        "a job that waits": f"/jobs/{waiting}",
        "a job with 10,000 children": f"/jobs/{parent}",
        "batch jobs": "/batch-jobs",
        "a batch job": "/batch-jobs/1",
        "launchers": "/launchers",
        "a launcher at work": f"/launchers/{launcher}",
        "utilization of an hour": "/utilization?window=hour",
        "utilization of a day": "/utilization?window=day",
        "utilization of all time": "/utilization?window=all",
        "figures for monitoring": "/metrics",
    }


def _fetch(client: TestClient, link: str) -> tuple[float, float]:
    """How long until there is an answer, and until it holds all that it is to hold."""
    began = time.perf_counter()
    answer = client.get(link)
    seconds = time.perf_counter() - began
    while answer.status_code == 202 or "are being counted" in answer.text or "is being read" in answer.text:
        time.sleep(0.05)
        answer = client.get(link)
    assert answer.status_code == 200, (link, answer.status_code)
    return seconds, time.perf_counter() - began


@contextmanager
def _served(folder: Path, count: int) -> Iterator[tuple[Store, TestClient]]:
    url = sqlite_url(folder / "balsam.db")
    if not (folder / "balsam.db").exists():
        _fill(create_store(url), count)
    store, watched = open_store(url), open_database(url)
    keys = Keys("key", lambda token: None)
    app = dashboard(Looker(Site(folder), store, _MACHINE), keys, watched, allow_actions=False)
    with TestClient(app, base_url="http://localhost") as client:
        client.get("/", params={"token": keys.token}, follow_redirects=False)
        yield store, client


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    if name:
        Path(name).mkdir(parents=True, exist_ok=True)
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def _fill(store: Store, count: int) -> None:
    for name in _APPS:
        store.add_app(AppSpec(name=name, executable="/bin/true"))
    first = uuid4()
    for start in range(0, count, _ADDED_AT_ONCE):
        numbers = range(start, min(start + _ADDED_AT_ONCE, count))
        store.add_jobs([_spec(number, count, first) for number in numbers])
    now = time.time()
    _add_launchers(store, now)
    _add_batch_jobs(store)
    _add_history(store, now)


def _spec(number: int, count: int, first: UUID) -> JobSpec:
    more: dict[str, Any] = {"job_id": first} if number == 0 else {}
    if number >= max(1, count - _CHILDREN):
        more = {"parents": (first,)}
    workflow, application = f"wf{number % 10}", _APPS[number % 2]
    return JobSpec(name=f"job_{number}", workflow=workflow, application=application, node_packing_count=16, **more)


def _add_history(store: Store, now: float) -> None:
    """By hand: seven tenths of the jobs have run, one waits to run, a few run now."""
    with store.database.write() as tx:
        tx.exec_driver_sql("UPDATE jobs SET state = 'JOB_FINISHED', attempt = 1 WHERE seq / 10 % 10 < 6")
        tx.exec_driver_sql("UPDATE jobs SET state = 'FAILED', attempt = 1 WHERE seq / 10 % 10 = 6")
        tx.exec_driver_sql("UPDATE jobs SET state = 'PREPROCESSED' WHERE seq / 10 % 10 = 8")
        tx.exec_driver_sql(
            "UPDATE jobs SET state = 'RUNNING', attempt = 1, node = 'node' || (seq % ?), state_at = ?, "
            "launcher_id = (SELECT launcher_id FROM launchers WHERE ended_at IS NULL LIMIT 1) "
            "WHERE seq / 10 % 1000 = 7",
            (_NODES, now),
        )
        (most,) = tx.exec_driver_sql("SELECT max(seq) FROM jobs").one()
        running = f"{now} - seq % {_RUN_SECONDS}"
        begins = f"iif(state = 'RUNNING', {running}, {now - _SECONDS - _RUN_SECONDS} + seq * {_SECONDS / most})"
        tx.exec_driver_sql(
            f"""
            INSERT INTO events (job_id, attempt, from_state, to_state, at, message)
            SELECT job_id, 1, origin, target, at, message FROM (
                SELECT job_id, 'PREPROCESSED' AS origin, 'RUNNING' AS target, {begins} AS at,
                       'on node' || (seq % {_NODES}) || ', pid 4711' AS message
                FROM jobs WHERE attempt = 1
                UNION ALL
                SELECT job_id, 'RUNNING', iif(state = 'FAILED', 'RUN_ERROR', 'RUN_DONE'), {begins} + {_RUN_SECONDS},
                       iif(state = 'FAILED', 'exit code 1', '')
                FROM jobs WHERE state IN ('JOB_FINISHED', 'FAILED')
                UNION ALL
                SELECT job_id, iif(state = 'FAILED', 'RUN_ERROR', 'RUN_DONE'), state, {begins} + {_RUN_SECONDS}, ''
                FROM jobs WHERE state IN ('JOB_FINISHED', 'FAILED')
            ) ORDER BY at
            """
        )


def _add_launchers(store: Store, now: float) -> None:
    """One after the other, each for its part of the week; the last one lives."""
    length = _SECONDS / _BATCH_JOBS
    starts = [now - _SECONDS + number * length for number in range(_BATCH_JOBS)]
    rows = [_launcher(start, start + length if start < starts[-1] else None) for start in starts]
    with store.database.write() as tx:
        tx.execute(insert(launchers), rows)


def _launcher(start: float, end: float | None) -> dict[str, Any]:
    # Its machine is not this one: nobody looks whether the process lives.
    fields = {"machine_id": "elsewhere", "boot_id": "boot", "host": "login", "pid": 4711, "process_clock": 0.0}
    fields |= {"job_mode": "serial", "wf_filter": "", "nodes": _NODES, "lease_seconds": 1e9, "heartbeat": 0.0}
    ended = {"ended_at": end, "end_reason": "" if end is None else "its time is over", "jobs_done": 1400}
    return {"launcher_id": uuid4(), **fields, "started_at": start, **ended}


def _add_batch_jobs(store: Store) -> None:
    for _ in range(_BATCH_JOBS):
        asked = store.batches.record("slurm", _MACHINE, _request, lambda in_queue: None)
        evidence = Evidence(("sbatch", "launch.sh"), 0, "Submitted batch job 4711", "", False)
        ways = ((LaunchState.SUBMITTING, LaunchState.QUEUED), (LaunchState.QUEUED, LaunchState.ENDED))
        store.batches.apply(Change(asked.launch_id, *way, "the scheduler says so", {}, evidence) for way in ways)


def _request(number: int) -> BatchRequest:
    files = {"workdir": "/site/qsubmit", "output_prefix": f"/site/qsubmit/qlaunch{number}"}
    return BatchRequest(tag=f"ql{number}", nodes=_NODES, time_limit_minutes=20, job_mode="serial", **files)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])

"""Small builders that many tests share: a store, jobs in any state, launchers, attempts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from balsam_core.models.app import AppSpec
from balsam_core.models.batch import BatchRequest
from balsam_core.models.job import Job, JobSpec
from balsam_core.state.claims import Limits
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import boot_id, process_clock
from balsam_core.state.leases import ExpiredLauncher, LauncherInfo
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End, RetryPolicy
from balsam_core.state.reports import Result, Start
from balsam_core.state.store import Store, create_store, open_store, sqlite_url
from balsam_core.state.tables import metadata
from tests.postgres import PostgresServer

MACHINE = "this-machine"
# The PostgreSQL server on which temporary stores are made, while the fixture `each_database` says so.
SERVER: list[PostgresServer] = []
NO_RERUNS = RetryPolicy()


def temporary_store(folder: Path) -> Store:
    """A store on a new SQLite file in `folder`, with the applications `true` and `scripted` (all three scripts).

    In tests that use the fixture `each_database`, a second time on PostgreSQL.
    """
    if SERVER:
        return _emptied_store(SERVER[-1])
    file = folder / "balsam.db"
    file.write_bytes(_empty_database())
    return open_store(sqlite_url(file))


def make_spec(name: str = "job", **fields: Any) -> JobSpec:
    """A job as a user asks for it."""
    return JobSpec(**{"name": name, "workflow": "test", "application": "true", **fields})


def make_request(**fields: object) -> BatchRequest:
    """A request for a batch job."""
    given = {"tag": "qlaunch1", "nodes": 2, "time_limit_minutes": 30, "job_mode": "mpi", "workdir": "/site/qsubmit"}
    files = {"output_prefix": "/site/qsubmit/qlaunch1", "launch_id": UUID(int=1)}
    return BatchRequest.model_validate({**given, **files, **fields})


def make_job(state: State = State.CREATED, name: str = "job", **fields: Any) -> Job:
    """A job that is in no database."""
    return Job(**{"name": name, "workflow": "test", "application": "true", "state": state, **fields})


def put(store: Store, state: State = State.CREATED, name: str = "job", **fields: Any) -> UUID:
    """Add a job and move it to `state` by hand; its id."""
    spec = make_spec(name, **fields)
    store.add_jobs([spec])
    if state is not State.CREATED:
        move(store, spec.job_id, state)
    return spec.job_id


def move(store: Store, job_id: UUID, state: State, message: str = "") -> int:
    """Move a job by hand."""
    return store.move_by_hand(only(job_id), state, message)


def only(*job_ids: UUID) -> JobFilter:
    """The filter for exactly these jobs."""
    return JobFilter(ids=[str(job_id) for job_id in job_ids])


def state_of(store: Store, job_id: UUID) -> State:
    """Where a job stands."""
    return store.job(job_id).state


def events_of(store: Store, job_id: UUID) -> list[tuple[str, str, str]]:
    """The history of a job as (from, to, message)."""
    return [(event.from_state, event.to_state, event.message) for event in store.history([job_id])]


def states_passed(store: Store, job_id: UUID) -> list[str]:
    """The states in the history of a job."""
    return [event.to_state for event in store.history([job_id])]


def make_launcher(store: Store, *, pid: int | None = None, **fields: Any) -> UUID:
    """Register a launcher, by default this very process, which lives; its id."""
    pid = os.getpid() if pid is None else pid
    info = {
        "launcher_id": uuid4(),
        "machine_id": MACHINE,
        "boot_id": boot_id(),
        "host": "here",
        "pid": pid,
        "process_clock": process_clock(pid) or 0.0,
        "job_mode": "serial",
        "wf_filter": "",
        "nodes": 1,
        "lease_seconds": 90.0,
        **fields,
    }
    store.register_launcher(LauncherInfo(**info))
    launcher_id: UUID = info["launcher_id"]
    return launcher_id


def claim(store: Store, launcher_id: UUID, limits: Limits = Limits(), most: int = 1000) -> list[Job]:  # noqa: B008 frozen
    """Claim up to `most` jobs, in claim order."""
    return store.claim(launcher_id, limits, first(most))


def first(most: int) -> Callable[[Sequence[Job]], list[UUID]]:
    """A placement that takes the first jobs of a page."""
    return lambda jobs: [job.job_id for job in jobs[:most]]


def start_of(job: Job, **fields: Any) -> Start:
    """The start of a claimed job's next attempt."""
    return Start(
        **{
            "job_id": job.job_id,
            "attempt": job.attempt + 1,
            "at": 1.0,
            "node": "n1",
            "pid": 4711,
            "pid_clock": 1.5,
            **fields,
        }
    )


def result_of(job: Job, end: End = End.DONE, **fields: Any) -> Result:
    """The end of a claimed job's next attempt."""
    return Result(**{"job_id": job.job_id, "attempt": job.attempt + 1, "end": end, "at": 2.0, "exit_code": 0, **fields})


def expired_after(store: Store, seconds: float, beating: Sequence[UUID] = ()) -> list[ExpiredLauncher]:
    """Whom an observer finds expired who has watched for so long; those that are `beating` renew their leases."""
    passed = [0.0]
    observer = Store(store.database, lambda: passed[0])
    while passed[0] < seconds:
        observer.expired_launchers(MACHINE)
        passed[0] = min(passed[0] + 5, seconds)
    for launcher_id in beating:
        observer.heartbeat(launcher_id)
    return observer.expired_launchers(MACHINE)


def start(store: Store, launcher_id: UUID, job: Job) -> set[UUID]:
    """Report that a claimed job runs; the ids that were lost."""
    return store.report(launcher_id, [start_of(job)], [], NO_RERUNS)[0]


def finish(store: Store, launcher_id: UUID, job: Job, end: End = End.DONE, **fields: Any) -> set[UUID]:
    """Report that a running job ended; the ids that were lost."""
    return store.report(launcher_id, [], [result_of(job, end, **fields)], NO_RERUNS)[0]


def running(store: Store, launcher_id: UUID, name: str = "job", **fields: Any) -> Job:
    """A job that the launcher runs, as it was when it was claimed."""
    job_id = put(store, State.PREPROCESSED, name, **fields)
    (job,) = store.claim(launcher_id, Limits(max_nodes=1000, serial=False), lambda jobs: [job_id])
    assert start(store, launcher_id, job) == set()
    return job


@cache
def _empty_database() -> bytes:
    # Alembic takes a while, a copy of its work does not.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        store = create_store(sqlite_url(file), journal="DELETE")
        _add_apps(store)
        store.database.close()
        return file.read_bytes()


def _emptied_store(server: PostgresServer) -> Store:
    # A new database takes 0.3 s, emptying one takes milliseconds.
    url, used = server.take()
    store = open_store(url) if used else create_store(url)
    if used:
        with store.database.write() as tx:
            for table in metadata.tables:
                tx.exec_driver_sql(f"DELETE FROM {table}")
    _add_apps(store)
    return store


def _add_apps(store: Store) -> None:
    store.add_app(AppSpec(name="true", executable="/bin/true"))
    store.add_app(AppSpec(name="scripted", executable="/bin/true", preprocess="/pre", postprocess="/post"))

"""What a task or a driver script does with the graph of jobs, under Balsam 0.5's names.

from balsam.launcher import dag
job = dag.add_job(name="eval3", workflow="search", application="train", args="--lr 0.1")
dag.current_job.data["reward"] = 0.97; dag.current_job.save()
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any, TypeAlias
from uuid import UUID

from balsam.core.application import DirectCommand
from balsam.core.models import ApplicationDefinition, BalsamJob, QueuedLaunch, history_line
from balsam.core.query import QuerySet
from balsam.core.site import current_site, store
from balsam_core.errors import CircularDependency, JobNotFound, JobSpecError
from balsam_core.state.filters import JobFilter

__all__ = [
    "ERROR",
    "JOB_ID",
    "LAUNCHER_NODES",
    "TIMEOUT",
    "BalsamJob",
    "add_app",
    "add_dependency",
    "add_job",
    "children",
    "clone",
    "current_job",
    "detect_circular",
    "get_active_database",
    "get_apps",
    "get_database_paths",
    "kill",
    "parents",
    "spawn_child",
    "submit",
    "wf_from_template",
]

Named: TypeAlias = BalsamJob | QuerySet | UUID | str

JOB_ID: UUID | None = UUID(os.environ["BALSAM_JOB_ID"]) if os.environ.get("BALSAM_JOB_ID") else None
TIMEOUT = os.environ.get("BALSAM_JOB_TIMEOUT", "FALSE") == "TRUE"
ERROR = os.environ.get("BALSAM_JOB_ERROR", "FALSE") == "TRUE"
LAUNCHER_NODES = int(os.environ.get("BALSAM_LAUNCHER_NODES") or 1)


def _current_job() -> BalsamJob | None:
    if JOB_ID is None:
        return None
    found: BalsamJob | None = BalsamJob.objects.filter(pk=JOB_ID).first()
    if found is None:
        raise RuntimeError(f"BALSAM_JOB_ID is {JOB_ID}, but no job has that id: it was deleted, or unset BALSAM_JOB_ID")
    return found


current_job: BalsamJob | None = _current_job()
parents: QuerySet | None = current_job.get_parents() if current_job else None
children: QuerySet | None = current_job.get_children() if current_job else None


def look_again() -> None:
    """Be in the job that BALSAM_JOB_ID names now: for a process that has become another job since this was imported."""
    global JOB_ID, current_job, parents, children
    JOB_ID = UUID(os.environ["BALSAM_JOB_ID"]) if os.environ.get("BALSAM_JOB_ID") else None
    current_job = _current_job()
    parents = current_job.get_parents() if current_job else None
    children = current_job.get_children() if current_job else None


# What a copy of a job does not share with it.
_NOT_CLONED = frozenset(
    {"job_id", "state", "state_history", "lock", "tick", "user_workdir", "attempt", "exit_code", "node"}
)


def add_job(
    name: str = "unnamed",
    workflow: str = "default",
    application: str | ApplicationDefinition = "",
    description: str = "",
    args: str = "",
    mpi_flags: str | None = "",
    num_nodes: int = 1,
    ranks_per_node: int = 1,
    cpu_affinity: str = "depth",
    threads_per_rank: int = 1,
    threads_per_core: int = 1,
    environ_vars: str | Mapping[str, Any] = "",
    data: Mapping[str, Any] | None = None,
    save: bool = True,
    **fields: Any,
) -> BalsamJob:
    """Add a job to the site (`save=False`: only build it).

    Its ranks are bound to cores, unlike those of other jobs. An unknown keyword becomes a plain attribute.
    Raises ApplicationDefinition.DoesNotExist, InvalidFieldError.
    """
    job = BalsamJob(
        name=name,
        workflow=workflow,
        application=application,
        description=description,
        args=args,
        mpi_flags=mpi_flags,
        num_nodes=num_nodes,
        ranks_per_node=ranks_per_node,
        cpu_affinity=cpu_affinity,
        threads_per_rank=threads_per_rank,
        threads_per_core=threads_per_core,
        environ_vars=environ_vars,
        data={} if data is None else data,
    )
    for key, value in fields.items():
        setattr(job, key, value)
    if save:
        if job.application and not isinstance(job.application, DirectCommand):
            _require_app(job.application)
        job.save()
    return job


def add_dependency(parent: Named, child: Named) -> None:
    """Make `child` wait for `parent`; both are jobs, ids, or queries of one job.

    Raises RuntimeError when the edge exists or would close a circle, ValueError for what is no id,
    BalsamJob.DoesNotExist for an id that no job has.
    """
    parent_id, child_id = _job_id(parent), _job_id(child)
    try:
        store().add_dependency(parent_id, child_id)
    except JobNotFound as error:
        raise BalsamJob.DoesNotExist(str(error)) from None
    except (CircularDependency, JobSpecError) as error:
        raise RuntimeError(str(error)) from error
    if isinstance(child, BalsamJob):
        child._forget_lazy()


def detect_circular(job: BalsamJob, path: tuple[UUID, ...] = ()) -> bool:
    """Whether a job waits for itself; edges that would close a circle are refused, so that none does."""
    return job.pk in path or any(detect_circular(parent, (*path, job.pk)) for parent in job.get_parents())


def clone(job: BalsamJob, **fields: Any) -> BalsamJob:
    """A copy of a job with other `fields`, which is not saved; raises ValueError for a name that is no field."""
    if not isinstance(job, BalsamJob):
        raise TypeError(f"clone copies a BalsamJob, not {job!r}")
    unknown = fields.keys() - BalsamJob._meta.by_name.keys() - BalsamJob._meta.aliases.keys()
    if unknown:
        raise ValueError(f"Invalid field name: {min(unknown)}")
    copied = {name: getattr(job, name) for name in BalsamJob._meta.by_name if name not in _NOT_CLONED}
    return BalsamJob(**{**copied, "data": copy.deepcopy(job.data), **fields})


def spawn_child(clone: bool = True, **fields: Any) -> BalsamJob:
    """Add a child of the running job, a copy of it but for `fields`; it waits for the job and for the job's parents.

    clone=False: nothing is copied but the workflow. Raises RuntimeError outside a job, ValueError for a name that is
    no field.
    """
    if not isinstance(current_job, BalsamJob):
        raise RuntimeError("spawn_child works inside a running job only: BALSAM_JOB_ID is not set")
    blank = BalsamJob(workflow=current_job.workflow)
    child = _clone(current_job if clone else blank, **fields)
    inherited = current_job.get_parents_by_id() if clone else []
    child.parents = [*inherited, str(current_job.pk)]
    child.state_history = history_line("CREATED", f"spawned by {current_job.cute_id}")
    child.save()
    return child


def kill(job: BalsamJob, recursive: bool = True) -> None:
    """Stop a job (and its descendants); it becomes USER_KILLED. One that has ended stays as it is."""
    store().kill(JobFilter(ids=[str(job.pk)]), recursive=recursive, message="killed by a program")
    job.refresh_from_db()


def wf_from_template(source_wf: str, new_wf: str, **per_name: Mapping[str, Any]) -> QuerySet:
    """Copy all jobs of a workflow, with their edges, into a new one; `per_name` has other fields for jobs by name.

    Raises ValueError when there are no such jobs, when the new workflow has jobs already, and for two of one name.
    """
    source = list(BalsamJob.objects.filter(workflow=source_wf))
    if not source:
        raise ValueError(f"no job is in the workflow {source_wf!r}; name one that exists")
    if BalsamJob.objects.filter(workflow=new_wf).exists():
        raise ValueError(f"there are jobs in the workflow {new_wf!r} already; choose another name")
    if len({job.name for job in source}) < len(source):
        raise ValueError(f"two jobs of {source_wf!r} have the same name; a template names each of its jobs once")
    copies = {str(job.pk): _clone(job, **{**per_name.get(job.name, {}), "workflow": new_wf}) for job in source}
    for job in source:
        copies[str(job.pk)].parents = [copies[p].pk if p in copies else p for p in job.get_parents_by_id()]
        copies[str(job.pk)].state_history = history_line("CREATED", f"copied from the workflow {source_wf}")
    BalsamJob.objects.bulk_create(list(copies.values()))
    found: QuerySet = BalsamJob.objects.filter(workflow=new_wf)
    return found


def add_app(
    name: str,
    executable: str,
    description: str = "",
    envscript: str = "",
    preprocess: str = "",
    postprocess: str = "",
    checkexe: bool = False,
) -> ApplicationDefinition:
    """Define an application, or change the one of that name.

    checkexe: raise ValueError unless the executable is a program that can be found.
    """
    import shutil

    if checkexe and shutil.which(os.path.expanduser(executable.split()[0])) is None:  # noqa: PTH111 - a word
        raise ValueError(f"no program {executable.split()[0]!r} here or on PATH")
    fields = {
        "executable": executable,
        "description": description,
        "envscript": envscript,
        "preprocess": preprocess,
        "postprocess": postprocess,
    }
    app, _ = ApplicationDefinition.objects.update_or_create(name=name, defaults=fields)
    found: ApplicationDefinition = app
    return found


def submit(
    project: str = "",
    queue: str = "",
    nodes: int = 1,
    wall_minutes: int = 30,
    job_mode: str = "mpi",
    wf_filter: str = "",
    **fields: Any,
) -> QueuedLaunch:
    """Submit a batch job whose launcher runs the site's jobs, and print the scheduler's id.

    Raises JobSpecError, ConfigError, SchedulerError.
    """
    from balsam.service import service

    launch = QueuedLaunch(
        project=project,
        queue=queue,
        nodes=nodes,
        wall_minutes=wall_minutes,
        job_mode=job_mode,
        wf_filter=wf_filter,
        **fields,
    )
    service.submit_qlaunch(launch, verbose=True)
    return launch


def get_apps(verbose: bool = False) -> QuerySet:
    """The applications of the site; `verbose`: print their names too."""
    apps: QuerySet = ApplicationDefinition.objects.all()
    if verbose:
        for number, app in enumerate(apps):
            print(f"{number}: {app.name}")
    return apps


def get_database_paths(verbose: bool = False) -> list[str]:
    """The folders of the sites that this user has made and that still exist; `verbose`: print them too."""
    from balsam_core.site import is_site, known_sites

    paths = [str(path) for path in known_sites() if is_site(path)]
    if verbose:
        for number, path in enumerate(paths):
            print(f"{number}: {path}")
    return paths


def get_active_database(verbose: bool = False) -> str:
    """The folder of the site that this program works on; `verbose`: print it too."""
    path = str(current_site().path)
    if verbose:
        print(path)
    return path


_clone = clone


def _require_app(name: str) -> None:
    from balsam_core.errors import AppNotFound

    try:
        store().app(name)
    except AppNotFound as error:
        raise ApplicationDefinition.DoesNotExist(str(error)) from None


def _job_id(job: Named) -> UUID:
    if isinstance(job, QuerySet):
        job = job.get()
    if isinstance(job, BalsamJob):
        return job.job_id
    try:
        return job if isinstance(job, UUID) else UUID(str(job))
    except ValueError:
        raise ValueError(f"{job!r} is neither a job nor the id of one") from None

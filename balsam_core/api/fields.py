"""The keyword arguments that make a job: the fields of JobSpec, for type checkers, and as one is built of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypedDict
from uuid import UUID

from pydantic import ValidationError

from balsam_core.errors import JobSpecError, suggestion
from balsam_core.models.job import JobSpec
from balsam_core.models.wording import reasons


class HasJobId(Protocol):
    """What stands for a job: a `Job`, a `JobSpec`, a `BalsamFuture`."""

    @property
    def job_id(self) -> UUID:
        """Its id."""


class JobOptions(TypedDict, total=False):
    """What any job may be given; `JobSpec` says what each means. parents: jobs, futures of calls, or ids."""

    description: str
    parents: Sequence[HasJobId | UUID]
    input_files: str
    stage_in_url: str
    stage_out_url: str
    stage_out_files: str
    wall_time_minutes: int | None
    num_nodes: int
    coschedule_num_nodes: int
    ranks_per_node: int
    cpu_affinity: Literal["none", "depth"]
    threads_per_rank: int
    threads_per_core: int
    node_packing_count: int
    gpus_per_rank: int | None
    memory_mb: int | None
    timeout_seconds: float | None
    max_retries: int | None
    environ_vars: Mapping[str, str]
    mpi_flags: str
    user_workdir: str
    wait_for_parents: bool
    post_error_handler: bool
    post_timeout_handler: bool
    auto_timeout_retry: bool
    priority: int
    hold: bool
    tags: Mapping[str, str]
    data: Mapping[str, Any]


class JobFields(JobOptions, total=False):
    """What a job may be given beside its name, its workflow and its application."""

    job_id: UUID
    args: str


class CallFields(JobOptions, total=False):
    """What the job of a call may be given; name: instead of the function's. application: one of the user's own."""

    name: str
    workflow: str
    application: str


def job_spec(fields: Mapping[str, Any], known: Iterable[str] = JobSpec.model_fields) -> JobSpec:
    """The job of these fields; raises JobSpecError that names the field, with the nearest one if it is unknown."""
    unknown = fields.keys() - set(known)
    if unknown:
        name = min(unknown)
        raise JobSpecError(f"a job has no field {name!r}; {suggestion(name, known)}")
    given = dict(fields)
    if "parents" in given:
        given["parents"] = [id_of(parent) for parent in given["parents"]]
    try:
        return JobSpec.model_validate(given)
    except ValidationError as error:
        raise JobSpecError(reasons(error)) from None


def id_of(job: HasJobId | UUID) -> UUID:
    """The id of a job, or of what stands for one."""
    return job if isinstance(job, UUID) else job.job_id

"""A job: what a user asks for (JobSpec), and what the site keeps of it (Job)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from balsam_core.counting import MOST, MOST_SECONDS
from balsam_core.models.nodes import Node
from balsam_core.state.machine import State

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NEXT_VARIABLE = re.compile(r":(?=[A-Za-z_][A-Za-z0-9_]*=)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# The folder is <name>_<8 of the id>, at times with the whole id, and a file name has at most 255 bytes.
_MAX_NAME_BYTES = 200


def parse_environ(value: object) -> object:
    """Variables from a mapping, or from Balsam's text `A=1:B=x=y`; `A=/x:/y` is one variable."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in _NEXT_VARIABLE.split(value)]
        for name, equals, _ in pairs:
            if not equals or not _VARIABLE.match(name):
                raise ValueError(f"{name!r} is not of the form NAME=value")
        return {name: text for name, _, text in pairs}
    if isinstance(value, Mapping):
        for name, text in value.items():
            if not _VARIABLE.match(str(name)):
                raise ValueError(f"{name!r} is not the name of a variable")
            if "\x00" in str(text):
                raise ValueError(f"the value of {name} holds a NUL")
        return {str(name): str(text) for name, text in value.items()}
    return value


def parse_tags(value: object) -> object:
    """Tags from a mapping, or from words `key=value`; a word alone is a tag without a value."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = value.split()
    if isinstance(value, list | tuple):
        pairs = [str(word).partition("=") for word in value]
        value = {key: text for key, _, text in pairs}
    if isinstance(value, Mapping) and not all(str(key).strip() for key in value):
        raise ValueError("a tag has no name; write NAME=value")
    return value


def _folder_name(value: str) -> str:
    if not value.strip():
        raise ValueError("should not be empty")
    if "/" in value or _CONTROL.search(value):
        raise ValueError("holds a slash or a control character; it names a folder")
    if value.strip() in {".", ".."}:
        raise ValueError("names no folder of its own")
    if len(value.encode()) > _MAX_NAME_BYTES:
        raise ValueError(f"is longer than {_MAX_NAME_BYTES} bytes; it names a folder")
    return value


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("holds a NUL")
    return value


Count = Annotated[int, Field(ge=1, le=10_000_000)]
Whole = Annotated[int, Field(ge=0, le=MOST)]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value), Field()]


class JobSpec(BaseModel):
    """A job as a user asks for it; unknown fields are refused.

    wall_time_minutes: how long one attempt is declared to take; None: not declared, never keeps a job from starting.
    timeout_seconds: an attempt that runs longer is stopped and is RUN_TIMEOUT; None: no limit.
    node_packing_count: how many such jobs share a node. gpus_per_rank None: the node's GPUs by the packing.
    max_retries: automatic reruns after an own timeout or a retry code; None: as the site's settings say.
    """

    model_config = ConfigDict(extra="forbid", validate_default=False)

    job_id: UUID = Field(default_factory=uuid4)
    name: str
    workflow: str
    description: Text = ""
    application: Text = ""
    args: Text = ""
    parents: tuple[UUID, ...] = ()
    input_files: Text = "*"
    stage_in_url: Text = ""
    stage_out_url: Text = ""
    stage_out_files: Text = ""
    wall_time_minutes: Whole | None = None
    num_nodes: Count = 1
    coschedule_num_nodes: Whole = 0
    ranks_per_node: Count = 1
    cpu_affinity: Literal["none", "depth"] = "none"
    threads_per_rank: Count = 1
    threads_per_core: Count = 1
    node_packing_count: Count = 1
    gpus_per_rank: Whole | None = None
    memory_mb: Annotated[Whole, Field(ge=1)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=MOST_SECONDS, allow_inf_nan=False)] | None = None
    max_retries: Whole | None = None
    environ_vars: Annotated[dict[str, str], BeforeValidator(parse_environ)] = Field(default_factory=dict)
    mpi_flags: Text = ""
    user_workdir: Text = ""
    wait_for_parents: bool = True
    post_error_handler: bool = False
    post_timeout_handler: bool = False
    auto_timeout_retry: bool = True
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    hold: bool = False
    tags: Annotated[dict[str, str], BeforeValidator(parse_tags)] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        return _folder_name(value)

    @field_validator("workflow")
    @classmethod
    def _names_folders(cls, value: str) -> str:
        # `a/b` is a folder in a folder: programs of Balsam 0.5 sort the jobs of a campaign so.
        if len(value.encode()) > _MAX_NAME_BYTES:
            raise ValueError(f"is longer than {_MAX_NAME_BYTES} bytes; it names a folder")
        return "/".join(map(_folder_name, value.split("/")))

    @field_validator("args", "application", "user_workdir", "mpi_flags")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        return _no_nul(value)

    @field_validator("data")
    @classmethod
    def _is_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            # Python writes NaN, which PostgreSQL refuses, and which keeps SQLite from looking into any data.
            json.dumps(value, allow_nan=False)
        except (ValueError, TypeError) as error:
            raise ValueError(f"is not JSON ({error})") from None
        return value

    @property
    def cute_id(self) -> str:
        """`[name | first 8 of the id]`, as people speak of a job."""
        return f"[{self.name} | {str(self.job_id)[:8]}]"

    @property
    def num_ranks(self) -> int:
        """MPI ranks on all nodes together."""
        return self.num_nodes * self.ranks_per_node

    def gpus_per_node(self, node: Node) -> int:
        """How many GPUs of `node` this job owns."""
        if self.gpus_per_rank is None:
            return len(node.gpus) // self.node_packing_count
        return self.gpus_per_rank * self.ranks_per_node


class Job(JobSpec):
    """A job as the site keeps it; built from a row without validating again.

    folder: its working directory relative to the site's data folder. attempt: the number of starts so far.
    retries: automatic reruns used up. launcher_id: who holds it, if anybody. pid, node: where it runs or last ran.
    created_at, state_at: seconds since the epoch, UTC.
    """

    seq: int = 0
    folder: str = ""
    state: State = State.CREATED
    attempt: int = 0
    retries: int = 0
    unmet_parents: int = 0
    exit_code: int | None = None
    launcher_id: UUID | None = None
    pid: int | None = None
    pid_clock: float | None = None
    node: str = ""
    queued_launch: str | None = None
    created_at: float = 0.0
    state_at: float = 0.0

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Job:
        """The job of one whole database row, without its parents (they are rows of their own)."""
        # What model_construct does, but for its look at each field: that takes 30 microseconds.
        job = cls.__new__(cls)
        values = dict(row)
        values["state"] = _STATES[values["state"]]
        values["parents"] = ()
        object.__setattr__(job, "__dict__", values)
        object.__setattr__(job, "__pydantic_fields_set__", _JOB_FIELDS.copy())
        object.__setattr__(job, "__pydantic_extra__", None)
        object.__setattr__(job, "__pydantic_private__", None)
        return job


def safe_folder(name: str) -> str:
    """A name as part of a path: blanks at the ends are gone, inner ones become `_`."""
    return re.sub(r"\s", "_", name.strip())


_STATES = {state.value: state for state in State}
_JOB_FIELDS = set(Job.model_fields)

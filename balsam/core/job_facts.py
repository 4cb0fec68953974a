"""What can be read of a job: where it runs and with what, its history, its place in the graph."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import select

from balsam.core.application import ApplicationDefinition
from balsam.core.conversion import parent_ids, spec_of
from balsam.core.exceptions import NoApplication, ObjectDoesNotExist
from balsam.core.fields import JOB
from balsam.core.history import STATE_TIME_PATTERN, from_time_string
from balsam.core.instances import Instance
from balsam.core.query import QuerySet
from balsam.core.site import current_site, store
from balsam_core.launcher.command import job_environ
from balsam_core.models.job import Job, parse_environ
from balsam_core.state.jobs import job_folder
from balsam_core.state.tables import dependencies, jobs
from balsam_core.workdirs import Workdirs

if TYPE_CHECKING:
    from typing_extensions import Self

# What is read when somebody looks at it, for all jobs of a query at once.
LAZY = frozenset({"lock", "tick", "parents", "state_history"})


class JobFacts(Instance):
    """The part of BalsamJob that changes nothing."""

    # The fields that a type checker should know; the others are attributes all the same.
    job_id: UUID
    name: str
    workflow: str
    application: str
    args: str
    num_nodes: int
    ranks_per_node: int
    threads_per_rank: int
    threads_per_core: int
    data: dict[str, Any]
    state: str
    if TYPE_CHECKING:
        parents: Any
        state_history: str

    _folder: str | None

    # ---- what a job is

    @property
    def cute_id(self) -> str:
        """`[name | first 8 of the id]`."""
        return f"[{self.name} | {str(self.pk)[:8]}]" if self.name else f"[{str(self.pk)[:8]}]"

    @property
    def num_ranks(self) -> int:
        """MPI ranks on all nodes together."""
        return int(self.num_nodes) * int(self.ranks_per_node)

    @property
    def required_num_cores(self) -> int:
        """The cores that its ranks and threads need on one node."""
        threads = int(self.ranks_per_node) * int(self.threads_per_rank)
        return max(1, math.ceil(threads / int(self.threads_per_core)))

    @property
    def working_directory(self) -> str:
        """Where the job runs; known before it is saved."""
        return str(Workdirs(current_site().data).of(self._core()))

    @property
    def runtime_seconds(self) -> float | None:
        """From its last start to its end; None: it has not come to one."""
        times = self.get_state_times()
        started, ended = times.get("RUNNING"), times.get("RUN_DONE")
        return (ended - started).total_seconds() if started and ended else None

    def get_application(self) -> ApplicationDefinition:
        """Its application; raises NoApplication, ApplicationDefinition.DoesNotExist."""
        if not self.application:
            raise NoApplication(f"job {self.cute_id} names no application")
        app: ApplicationDefinition = ApplicationDefinition.objects.get(name=self.application)
        return app

    @property
    def app_cmd(self) -> str:
        """The command line that it runs; raises NoApplication."""
        line = f"{self.get_application().executable} {self.args}"
        return " ".join(os.path.expanduser(word) for word in line.split())  # noqa: PTH111 - a word, not a path

    @property
    def preprocess(self) -> str:
        """The preprocess script of its application; empty without one."""
        return self.get_application().preprocess if self.application else ""

    @property
    def postprocess(self) -> str:
        """The postprocess script of its application; empty without one."""
        return self.get_application().postprocess if self.application else ""

    @property
    def envscript(self) -> str | None:
        """The script that is sourced before it runs; None: there is none, or no such file."""
        script = self.get_application().envscript
        return script if script and Path(script).is_file() else None

    def get_envs(self, *, timeout: bool = False, error: bool = False) -> dict[str, str]:
        """The environment in which it and its scripts run, from here."""
        mode = os.environ.get("BALSAM_JOB_MODE", "serial")
        nodes = int(os.environ.get("BALSAM_LAUNCHER_NODES") or 1)
        parents = self._parent_ids()
        own = job_environ(self._core(), site=current_site().path, parents=parents, job_mode=mode, launcher_nodes=nodes)
        flags = {"BALSAM_JOB_TIMEOUT": timeout, "BALSAM_JOB_ERROR": error}
        return {**os.environ, **own, **{name: "TRUE" for name, is_set in flags.items() if is_set}}

    @staticmethod
    def parse_envstring(s: str) -> dict[str, str]:
        """The variables of a text `A=1:B=2`."""
        found = parse_environ(s)
        assert isinstance(found, dict)
        return found

    def read_file_in_workdir(self, fname: str) -> str:
        """The text of a file of its working directory; raises ValueError when there is none."""
        path = Path(self.working_directory) / fname
        if not path.is_file():
            raise ValueError(f"{fname} not found in working directory of {self.cute_id}")
        return path.read_text()

    # ---- its history

    def get_state_times(self) -> dict[str, datetime]:
        """When it last reached each state, naive, in UTC."""
        found = STATE_TIME_PATTERN.findall(self.state_history)
        return {state: from_time_string(when) for when, state in found}

    def get_recent_state_str(self) -> str:
        """The last line of its history."""
        return self.state_history.split("\n")[-1].strip()

    # ---- its place in the graph

    def _parent_ids(self) -> list[UUID]:
        return parent_ids(self.parents)

    def get_parents_by_id(self) -> list[str]:
        """The ids of its parents."""
        return [str(parent) for parent in self._parent_ids()]

    def get_parents(self) -> QuerySet:
        """The jobs that it waits for."""
        if self._saved is None:
            return QuerySet(type(self)).filter(pk__in=self._parent_ids())
        edges = select(dependencies.c.parent_id).where(dependencies.c.child_id == self.pk)
        return QuerySet(type(self))._with(_where=jobs.c.job_id.in_(edges))

    def get_children(self) -> QuerySet:
        """The jobs that wait for it."""
        edges = select(dependencies.c.child_id).where(dependencies.c.parent_id == self.pk)
        return QuerySet(type(self))._with(_where=jobs.c.job_id.in_(edges))

    def get_children_by_id(self) -> list[UUID]:
        """The ids of the jobs that wait for it."""
        return list(self.get_children().values_list("pk", flat=True))

    def get_child_by_name(self, name: str) -> Self:
        """The one child of that name; raises ValueError when there is none, or several."""
        found: list[Self] = list(self.get_children().filter(name=name)[:2])
        if len(found) != 1:
            raise ValueError(f"{'More than one' if found else 'No'} child named {name}")
        return found[0]

    # ---- as text

    def to_dict(self) -> dict[str, Any]:
        """Its fields."""
        return {name: getattr(self, name) for name in JOB.by_name}

    def serialize(self, **fields: Any) -> str:
        """Its fields as JSON."""
        return json.dumps({**self.to_dict(), **fields}, default=str)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Self:
        """A new job with these fields."""
        known = {name: value for name, value in d.items() if name in JOB.by_name and name not in LAZY - {"parents"}}
        return cls(**{**known, "job_id": UUID(str(d["job_id"])) if d.get("job_id") else uuid4()})

    @classmethod
    def deserialize(cls, serial_data: str | bytes | Mapping[str, Any]) -> Self:
        """A new job from JSON."""
        return cls.from_dict(json.loads(serial_data) if isinstance(serial_data, str | bytes) else serial_data)

    def __repr__(self) -> str:
        try:
            command = self.app_cmd
        except ObjectDoesNotExist:
            command = f"NO APPLICATION MATCHING {self.application}"
        except NoApplication:
            command = "NO APPLICATION"
        listing = self._listing(f"BalsamJob {self.pk}", {"job_id", "tick", "state_history"})
        more = {"  *** Executed command:": command, "  *** Working directory:": self.working_directory}
        return "\n".join([listing, *(name.ljust(32) + text for name, text in more.items()), ""])

    def _core(self) -> Job:
        if self._folder is None and self._saved is not None:
            self._folder = str(store().listed(("folder",), self._mine())[0].folder)
        spec = spec_of({**self.__dict__, "parents": None})
        return Job.model_construct(**spec.__dict__, folder=self._folder or job_folder(spec, 8))

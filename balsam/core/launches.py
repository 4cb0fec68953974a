"""QueuedLaunch: a batch job as a program asks for it, and the record that the site keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from balsam.core.exceptions import MultipleObjectsReturned, NotSupportedError, ObjectDoesNotExist
from balsam.core.fields import Field, Meta, as_text
from balsam.core.instances import Instance
from balsam.core.query import Manager, QuerySet
from balsam_core.state.tables import batch_jobs

_COLUMNS = {
    "id": "number",
    "scheduler_id": "scheduler_id",
    "project": "project",
    "queue": "queue",
    "nodes": "nodes",
    "wall_minutes": "time_limit_minutes",
    "job_mode": "job_mode",
    "wf_filter": "wf_filter",
    "command": "output_prefix",
    "state": "state",
}
# What the site keeps no record of.
_ASKED_ONLY = {"sched_flags": "", "prescheduled_only": True, "from_balsam": True}
_NEW: dict[str, Any] = {
    **dict.fromkeys(_COLUMNS, ""), "id": None, "scheduler_id": None, "nodes": 0, "wall_minutes": 0,
    "state": "pending-submission", **_ASKED_ONLY,
}  # fmt: skip


def _field(name: str, column: str) -> Field:
    is_text = name not in {"id", "nodes", "wall_minutes"}
    return Field(
        name,
        batch_jobs.c[column],
        show=as_text if is_text else lambda value: value,
        parse=as_text if is_text else int,
        text=batch_jobs.c[column] if is_text else None,
    )


LAUNCH = Meta(
    "QueuedLaunch",
    batch_jobs,
    {name: _field(name, column) for name, column in _COLUMNS.items()},
    "id",
    (batch_jobs.c.number,),
    {"pk": "id"},
)


class QueuedLaunch(Instance):
    """The fields of Balsam 0.5; `service.submit_qlaunch` submits it, and only then is there a record of it."""

    class DoesNotExist(ObjectDoesNotExist):
        """There is no such batch job."""

    class MultipleObjectsReturned(MultipleObjectsReturned):
        """There are several such batch jobs."""

    _meta = LAUNCH
    objects: ClassVar[Manager] = Manager()

    id: int | None
    scheduler_id: str | None
    project: str
    queue: str
    nodes: int
    wall_minutes: int
    job_mode: str
    wf_filter: str
    sched_flags: str

    def __init__(self, **fields: Any) -> None:
        unknown = fields.keys() - _NEW.keys()
        if unknown:
            raise TypeError(f"QueuedLaunch() got an unexpected keyword argument {min(unknown)!r}")
        self.__dict__.update(_NEW, **fields)

    @classmethod
    def from_rows(cls, rows: Sequence[Any], extra: Sequence[str]) -> list[Any]:
        found = []
        for row in rows:
            columns = row._mapping
            shown = {name: LAUNCH.by_name[name].show(columns[column]) for name, column in _COLUMNS.items()}
            launch = cls(**shown)
            launch.__dict__.update({name: columns[name] for name in extra})
            found.append(launch)
        return found

    def save(
        self,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Sequence[str] | None = None,
    ) -> None:
        """Nothing is written: the record is made when it is submitted, and is the site's own."""

    def refresh_from_db(self, using: str | None = None, fields: Sequence[str] | None = None) -> None:
        """Read the record anew; raises DoesNotExist, also before it was submitted."""
        self.take(self.id)

    def take(self, number: int | None) -> None:
        """Become the batch job of that number; raises DoesNotExist."""
        kept = {name: self.__dict__[name] for name in _ASKED_ONLY}
        found = QuerySet(QueuedLaunch).filter(pk=number).get()
        self.__dict__.update(found.__dict__, **kept)

    @classmethod
    def update_rows(cls, query: QuerySet, values: Mapping[str, Any]) -> int:
        _refuse()

    @classmethod
    def delete_rows(cls, query: QuerySet) -> int:
        _refuse()

    @classmethod
    def insert_all(cls, made: Sequence[Any]) -> None:
        _refuse()

    def __eq__(self, other: object) -> bool:
        return self is other or (self.id is not None and super().__eq__(other))

    __hash__ = Instance.__hash__

    def __repr__(self) -> str:
        return f"QueuedLaunch({', '.join(f'{name}={self.__dict__[name]!r}' for name in _NEW)})"


def _refuse() -> NoReturn:
    raise NotSupportedError(
        "the record of a batch job is the site's own: submit one with service.submit_qlaunch, end it with "
        "`balsam cancel-launch`"
    )

"""`BalsamJob.source`: jobs for a program that runs them itself, and the locks that keep others off them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import or_

from balsam.core.fields import parse_id
from balsam.core.query import Manager, QuerySet
from balsam.core.site import current_site, store
from balsam_core.state.hosts import boot_id, hostname, machine_id, process_clock
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.machine import RUNNABLE
from balsam_core.state.tables import jobs

if TYPE_CHECKING:
    from balsam.core.instances import Instance

_TICK_SECONDS = 60.0
_LEASE_SECONDS = 180.0


class JobSource(Manager):
    """The jobs that nobody else holds. A lock is the lease of this process, which `start_tick` renews."""

    # One lease for a process, whichever of its sources acquires.
    _holders: ClassVar[dict[int, UUID]] = {}
    _registering: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, workflow: str | None = None) -> None:
        self.workflow = workflow
        self.qLaunch = None
        self._tick: threading.Timer | None = None

    def __set_name__(self, owner: type[Instance], name: str) -> None:
        JobSource.model = owner  # Also of those that programs make.

    @property
    def lock_str(self) -> str:
        """What `lock` reads of a job that this process holds: `host:pid`."""
        return f"{socket.gethostname()}:{os.getpid()}"

    @property
    def holder(self) -> UUID | None:
        """The id under which this process holds jobs; None: it has acquired none."""
        return self._holders.get(os.getpid())

    @property
    def lockQuery(self) -> Any:  # noqa: N802 Balsam 0.5's name
        """The condition that a job is free, or held by this process."""
        from django.db.models import Q

        return Q(lock="") | Q(lock=self.lock_str)

    def get_queryset(self) -> QuerySet:
        """The jobs that are free, or held by this process; of the workflow, if one was set."""
        mine = jobs.c.launcher_id.is_(None) if self.holder is None else _free_or(self.holder)
        query = QuerySet(self.model)._with(_where=mine)
        return query.filter(workflow__contains=self.workflow) if self.workflow else query

    def by_states(self, states: str | Iterable[str] | Mapping[str, Any]) -> QuerySet:
        """Those in one of these states."""
        return self.get_queryset().filter(state__in=[states] if isinstance(states, str) else list(states))

    def get_runnable(
        self,
        *,
        max_nodes: int,
        remaining_minutes: float | None = None,
        mpi_only: bool = False,
        serial_only: bool = False,
        order_by: str | Iterable[str] | None = None,
    ) -> QuerySet:
        """Those that could run on so many nodes in so many minutes."""
        if mpi_only and serial_only:
            raise ValueError("mpi_only and serial_only exclude each other")
        if max_nodes < 1 or (serial_only and max_nodes != 1):
            raise ValueError(f"max_nodes cannot be {max_nodes}; it is 1 at least, and 1 with serial_only")
        found = self.by_states([state.value for state in RUNNABLE]).filter(num_nodes__lte=max_nodes)
        if remaining_minutes is not None:
            found = found.filter(wall_time_minutes__lte=int(remaining_minutes))
        if serial_only:
            found = found.filter(num_nodes=1, ranks_per_node=1)
        elif mpi_only:
            found = found._with(_where=found.where() & or_(jobs.c.num_nodes > 1, jobs.c.ranks_per_node > 1))
        if order_by is None:
            return found
        return found.order_by(*([order_by] if isinstance(order_by, str) else order_by))

    def acquire(self, pk_list: Iterable[Any]) -> list[UUID]:
        """Lock those of these jobs that nobody holds; the ids of those that were locked."""
        ids = _ids(pk_list)
        return store().acquire(self._registered(), ids) if ids else []

    def release(self, pk_list: Iterable[Any]) -> None:
        """Unlock those of these jobs that this process holds."""
        ids = _ids(pk_list)
        if self.holder is not None and ids:
            store().release(self.holder, QuerySet(self.model).filter(pk__in=ids))

    def release_all_owned(self) -> None:
        """Unlock all that this process holds."""
        if self.holder is not None:
            store().release(self.holder)

    def start_tick(self) -> None:
        """From now on renew the locks every minute, in a thread that ends with the program."""
        self._tick = threading.Timer(_TICK_SECONDS, self.start_tick)
        self._tick.daemon = True
        self._tick.start()
        if self.holder is not None:
            store().heartbeat(self.holder)

    def clear_stale_locks(self) -> None:
        """Unlock the jobs of processes that are gone or silent; their RUNNING ones become RESTART_READY."""
        from balsam_core.transitions.recovery import recover

        recover(store(), current_site().log, machine_id(os.environ))

    def check_qLaunch(self) -> None:  # noqa: N802 Balsam 0.5's name
        """Jobs are not tied to batch jobs: all of a workflow may run in any."""

    def _registered(self) -> UUID:
        with self._registering:
            holder = self.holder
            if holder is None or not store().heartbeat(holder):
                holder = uuid4()
                store().register_launcher(_this_process(holder))
                self._holders[os.getpid()] = holder
            return holder


def _free_or(holder: UUID) -> Any:
    return or_(jobs.c.launcher_id.is_(None), jobs.c.launcher_id == holder)


def _ids(pk_list: Iterable[Any]) -> list[UUID]:
    return [parse_id(pk) for pk in pk_list]


def _this_process(holder: UUID) -> LauncherInfo:
    return LauncherInfo(
        launcher_id=holder,
        machine_id=machine_id(os.environ),
        boot_id=boot_id(),
        host=hostname(),
        pid=os.getpid(),
        process_clock=process_clock(os.getpid()) or 0.0,
        job_mode="program",
        wf_filter="",
        nodes=1,
        lease_seconds=_LEASE_SECONDS,
    )
